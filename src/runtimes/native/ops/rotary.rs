//! Rotary position embeddings (Su et al. 2021), halves turned against each other as in GPT-NeoX and transformers
//! (`apply_rotary_pos_emb`).

use std::sync::{Arc, PoisonError, RwLock};

use super::{Heads, ProductError};

/// Cosines and sines by position, as far as they have been needed.
#[derive(Debug)]
pub struct Rotary {
    /// `[d / 2]`, in float32 as torch computes them: the angles are float32 products of position and frequency, and a
    /// frequency that is off by a rounding turns a far position visibly.
    frequencies: Vec<f32>,
    turns: RwLock<Arc<Turns>>,
}

#[derive(Debug, Default)]
struct Turns {
    positions: usize,
    /// `[positions, d / 2]`, and so are the sines.
    cosines: Vec<f32>,
    sines: Vec<f32>,
}

impl Rotary {
    /// θ^(−2i/d) for heads of width `d`.
    pub fn new(theta: f64, width: usize) -> Self {
        let frequency = |i: usize| {
            let exponent = (2 * i) as f32 / width as f32;
            1.0 / libm::pow(theta, f64::from(exponent)) as f32
        };
        Self { frequencies: (0..width / 2).map(frequency).collect(), turns: RwLock::default() }
    }

    /// The tables for so many positions; made once, whoever needs them first.
    fn turns(&self, positions: usize) -> Arc<Turns> {
        let known = Arc::clone(&self.turns.read().unwrap_or_else(PoisonError::into_inner));
        if known.positions >= positions {
            return known;
        }
        let positions = positions.next_power_of_two();
        let angles = (0..positions).flat_map(|p| self.frequencies.iter().map(move |f| f64::from(p as f32 * f)));
        let (cosines, sines) = angles.map(|a| (libm::cos(a) as f32, libm::sin(a) as f32)).unzip();
        let made = Arc::new(Turns { positions, cosines, sines });
        *self.turns.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&made);
        made
    }

    /// Turns the queries and keys of `projected`, `[tokens, heads.columns()]`, by their places in their rows.
    ///
    /// # Errors
    /// Sizes that do not fit.
    pub fn apply(&self, projected: &mut [f32], offsets: &[usize], heads: Heads) -> Result<(), ProductError> {
        let (half, columns) = (self.frequencies.len(), heads.columns());
        let tokens = offsets.last().copied().unwrap_or(0);
        if half == 0 || heads.width != 2 * half || projected.len() != tokens * columns {
            return Err(ProductError(format!("{tokens} tokens of {heads:?} do not fit a rotation of {half} pairs")));
        }
        let longest = offsets.windows(2).map(|w| w[1].saturating_sub(w[0])).max().unwrap_or(0);
        let turns = self.turns(longest);
        let turned = (heads.count + heads.shared) * heads.width;
        for row in offsets.windows(2).map(|w| w[0]..w[1]) {
            let states = projected[row.start * columns..row.end * columns].chunks_exact_mut(columns);
            let angles = turns.cosines.chunks_exact(half).zip(turns.sines.chunks_exact(half));
            for (state, (cosines, sines)) in states.zip(angles) {
                for head in state[..turned].chunks_exact_mut(heads.width) {
                    let (first, second) = head.split_at_mut(half);
                    for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cosines).zip(sines) {
                        (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::noise;
    use super::*;

    /// Error over the length of the pair. Measured 1.2e-7 at most for positions up to 300.
    const MAX_ERROR: f64 = 2e-7;

    #[test]
    fn pairs_are_turned_by_their_place_in_the_row_and_values_are_left_alone() {
        let heads = Heads { count: 2, shared: 1, width: 8 };
        let offsets = [0, 3, 3, 303];
        let before = noise(303 * heads.columns(), 1);
        let mut after = before.clone();
        Rotary::new(10_000.0, 8).apply(&mut after, &offsets, heads).unwrap();
        let mut worst = 0.0_f64;
        for (t, (x, y)) in before.chunks(32).zip(after.chunks(32)).enumerate() {
            let place = if t < 3 { t } else { t - 3 };
            assert_eq!(x[24..], y[24..], "the values");
            for (head, i) in (0..3).flat_map(|h| (0..4).map(move |i| (h, i))) {
                let angle = f64::from(place as f32 * (1.0 / 10_000f64.powf(f64::from(i as f32 / 4.0)) as f32));
                let (a, b) = (f64::from(x[head * 8 + i]), f64::from(x[head * 8 + 4 + i]));
                let exact = [a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()];
                for (found, exact) in [y[head * 8 + i], y[head * 8 + 4 + i]].into_iter().zip(exact) {
                    worst = worst.max((f64::from(found) - exact).abs() / a.hypot(b));
                }
            }
        }
        assert!(worst <= MAX_ERROR && worst > 0.0, "{worst:e}");
    }

    #[test]
    fn tables_grow_and_stay_what_they_were() {
        let (heads, rotary) = (Heads::own(1, 4), Rotary::new(1000.0, 4));
        let mut short = noise(3 * 12, 2);
        let mut long = [short.clone(), noise(70 * 12, 3)].concat();
        let mut again = long.clone();
        rotary.apply(&mut short, &[0, 3], heads).unwrap();
        rotary.apply(&mut long, &[0, 73], heads).unwrap();
        rotary.apply(&mut again, &[0, 73], heads).unwrap();
        assert_eq!(short, long[..36]);
        assert_eq!(long, again);
        assert!(rotary.apply(&mut short, &[0, 4], heads).is_err());
        assert!(rotary.apply(&mut short, &[0, 3], Heads::own(2, 2)).is_err());
        assert!(Rotary::new(1000.0, 0).apply(&mut [], &[0], Heads::own(0, 0)).is_err());
    }
}
