//! What rows may have been multiplied with, and how heads are bound.

use super::permuted_rows::Moved;

/// Natural logarithm from which on a factor is told: estimates of 1 are nearer to it.
const TOLD: f64 = 0.01;

/// The head that each head comes from; none where one is taken apart.
pub(super) fn by_heads(moved: &Moved, width: usize) -> Option<Vec<usize>> {
    let head = |rows: &[usize]| {
        let first = rows.first()? / width;
        rows.iter().all(|from| from / width == first).then_some(first)
    };
    moved.from.chunks(width).map(head).collect()
}

/// True where every row keeps its place within its head, and heads their signs.
pub(super) fn keeps_places(moved: &Moved, width: usize) -> bool {
    moved.from.iter().enumerate().all(|(j, from)| j % width == from % width)
        && moved.sign.chunks(width).all(|signs| signs.windows(2).all(|w| w[0] == w[1]))
}

/// What units were multiplied with: one factor for so many together; 0 where there are only signs, which are exact.
#[derive(Clone, Debug)]
pub(super) struct Factors {
    pub(super) pool: usize,
    pub(super) each: Vec<f64>,
}

impl Factors {
    /// True where they are estimates.
    pub(super) fn is_estimated(&self) -> bool {
        self.pool > 0
    }

    /// True where they are worth telling: signs are.
    pub(super) fn rescales(&self) -> bool {
        self.is_estimated() || self.each.iter().any(|f| *f < 0.0)
    }

    /// Better ones by what is left of them on both sides, logarithms per unit.
    pub(super) fn refine(&mut self, [ours, theirs]: [&[f64]; 2]) {
        if self.pool == 0 {
            return;
        }
        let left: Vec<f64> = ours.iter().zip(theirs).map(|(a, b)| 0.5 * (a - b)).collect();
        for (factors, left) in self.each.chunks_mut(self.pool).zip(left.chunks(self.pool)) {
            let mean = left.iter().sum::<f64>() / left.len() as f64;
            factors.iter_mut().for_each(|f| *f *= mean.exp());
        }
    }
}

/// What units may have been multiplied with, the plainest first: signs alone, then one factor for so many together, the
/// geometric mean of what the one side was multiplied with and the other divided by.
pub(super) fn factors(sign: &[f64], ours: &[(f64, f64)], theirs: &[(f64, f64)], pools: &[usize]) -> Vec<Factors> {
    let ratio = |sums: &[(f64, f64)]| {
        let (both, own) = sums.iter().fold((0.0, 0.0), |(a, b), (both, own)| (a + both.abs(), b + own));
        both / own
    };
    let mut out = vec![Factors { pool: 0, each: sign.to_vec() }];
    for pool in pools {
        let groups = ours.chunks(*pool).zip(theirs.chunks(*pool));
        let each = groups.flat_map(|(ours, theirs)| vec![(ratio(ours) / ratio(theirs)).sqrt(); ours.len()]);
        let sizes: Vec<f64> = each.collect();
        let usable = sizes.iter().all(|f| f.is_finite() && *f > 0.0);
        if usable && sizes.iter().any(|f| f.ln().abs() > TOLD) {
            out.push(Factors { pool: *pool, each: sizes.iter().zip(sign).map(|(size, sign)| size * sign).collect() });
        }
    }
    out
}
