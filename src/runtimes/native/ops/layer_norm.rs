//! Layer normalization (Ba et al. 2016).

use crate::vectors::widest;

/// γ·(x − mean)/√(variance + ε) + β over the last dimension, biased variance, as torch `LayerNorm`.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    weight: Vec<f32>,
    bias: Vec<f32>,
    eps: f64,
}

impl LayerNorm {
    /// γ and β of one width; a pair of different widths normalizes the shorter one's.
    pub fn new(weight: Vec<f32>, bias: Vec<f32>, eps: f64) -> Self {
        Self { weight, bias, eps }
    }

    /// Normalizes every row of `states` (`[tokens, hidden]`) in place.
    pub fn apply(&self, states: &mut [f32]) {
        widest(
            #[inline(always)]
            || {
                for row in states.chunks_exact_mut(self.weight.len().max(1)) {
                    self.normalize(row);
                }
            },
        );
    }

    /// `states` becomes LayerNorm(states + residual), both `[tokens, hidden]`.
    pub fn apply_residual(&self, states: &mut [f32], residual: &[f32]) {
        let width = self.weight.len().max(1);
        widest(
            #[inline(always)]
            || {
                for (row, residual) in states.chunks_exact_mut(width).zip(residual.chunks_exact(width)) {
                    for (x, r) in row.iter_mut().zip(residual) {
                        *x += r;
                    }
                    self.normalize(row);
                }
            },
        );
    }

    /// The variance is that of the distances from a first mean, whose own error is then taken out (Chan, Golub &
    /// LeVeque 1983, the corrected two-pass algorithm): a row far from zero is as accurate as one around it.
    #[inline(always)]
    fn normalize(&self, row: &mut [f32]) {
        let n = row.len() as f64;
        let first = (sum(row) / n) as f32;
        let (sum, squares) = shift(row, first);
        let mean = sum / n;
        let variance = squares / n - mean * mean;
        // Below zero only by rounding; NaN stays NaN.
        let scale = 1.0 / (if variance < 0.0 { 0.0 } else { variance } + self.eps).sqrt();
        let scale = scale as f32;
        let mean = mean as f32;
        for ((x, w), b) in row.iter_mut().zip(&self.weight).zip(&self.bias) {
            *x = (*x - mean) * scale * w + b;
        }
    }
}

/// Interleaved chains of a sum: two vectors of AVX-512, so that additions need not wait for each other. Each chain
/// adds a few dozen values in float32; the chains are then added in f64.
const CHAINS: usize = 32;

/// Σx: a fixed order, the same on every machine.
#[inline(always)]
fn sum(row: &[f32]) -> f64 {
    let mut chains = [0.0_f32; CHAINS];
    let (blocks, rest) = row.as_chunks::<CHAINS>();
    for block in blocks {
        for i in 0..CHAINS {
            chains[i] += block[i];
        }
    }
    for (chain, x) in chains.iter_mut().zip(rest) {
        *chain += x;
    }
    total(&chains)
}

/// Takes `first` from every value; Σx and Σx² of what is left, likewise.
#[inline(always)]
fn shift(row: &mut [f32], first: f32) -> (f64, f64) {
    let (mut sums, mut squares) = ([0.0_f32; CHAINS], [0.0_f32; CHAINS]);
    let (blocks, rest) = row.as_chunks_mut::<CHAINS>();
    for block in blocks {
        for i in 0..CHAINS {
            block[i] -= first;
            sums[i] += block[i];
            squares[i] += block[i] * block[i];
        }
    }
    for ((sum, square), x) in sums.iter_mut().zip(&mut squares).zip(rest) {
        *x -= first;
        *sum += *x;
        *square += *x * *x;
    }
    let (sum, square) = (total(&sums), total(&squares));
    // Squares beyond float32 are none of a model's, but they are not to be taken for zeros after the division.
    let square = if square.is_finite() { square } else { row.iter().map(|x| f64::from(*x) * f64::from(*x)).sum() };
    (sum, square)
}

/// Σx², a fixed order likewise.
#[inline(always)]
pub(super) fn squares(row: &[f32]) -> f64 {
    let mut chains = [0.0_f32; CHAINS];
    let (blocks, rest) = row.as_chunks::<CHAINS>();
    for block in blocks {
        for i in 0..CHAINS {
            chains[i] += block[i] * block[i];
        }
    }
    for (chain, x) in chains.iter_mut().zip(rest) {
        *chain += x * x;
    }
    let sum = total(&chains);
    if sum.is_finite() { sum } else { row.iter().map(|x| f64::from(*x) * f64::from(*x)).sum() }
}

#[inline(always)]
fn total(chains: &[f32; CHAINS]) -> f64 {
    let mut sums = [0.0_f64; 4];
    for four in chains.as_chunks::<4>().0 {
        for i in 0..4 {
            sums[i] += f64::from(four[i]);
        }
    }
    (sums[0] + sums[2]) + (sums[1] + sums[3])
}

#[cfg(test)]
mod tests {
    use super::super::testing::noise;
    use super::*;

    /// Measured 9.3e-8 at most, relative to the largest result of the row.
    const MAX_ERROR: f64 = 2e-7;

    fn exact(row: &[f32], norm: &LayerNorm) -> Vec<f64> {
        let n = row.len() as f64;
        let mean = row.iter().map(|x| f64::from(*x)).sum::<f64>() / n;
        let variance = row.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / n;
        let one = |i: usize| (f64::from(row[i]) - mean) / (variance + norm.eps).sqrt();
        (0..row.len()).map(|i| one(i) * f64::from(norm.weight[i]) + f64::from(norm.bias[i])).collect()
    }

    #[test]
    fn it_is_accurate_for_every_width_and_offset() {
        let mut worst = 0.0_f64;
        for width in [1, 2, 7, 8, 9, 64, 384, 1024] {
            let norm = LayerNorm::new(noise(width, 1), noise(width, 2), 1e-12);
            for offset in [0.0, 10.0, -1000.0] {
                let row: Vec<f32> = noise(width, 3).iter().map(|x| x + offset).collect();
                let mut found = row.clone();
                norm.apply(&mut found);
                let expected = exact(&row, &norm);
                let largest = expected.iter().fold(1.0_f64, |m, x| m.max(x.abs()));
                for (f, e) in found.iter().zip(&expected) {
                    worst = worst.max((f64::from(*f) - e).abs() / largest);
                }
            }
        }
        assert!(worst <= MAX_ERROR && worst > 0.0, "{worst:e}");
    }

    #[test]
    fn squares_beyond_float32_are_not_lost() {
        let norm = LayerNorm::new(vec![1.0; 4], vec![0.0; 4], 1e-12);
        let mut row = [3e25, -3e25, 3e25, -3e25];
        norm.apply(&mut row);
        assert_eq!(row, [1.0, -1.0, 1.0, -1.0]);
    }

    #[test]
    fn rows_are_independent_and_a_constant_row_gives_the_bias() {
        let norm = LayerNorm::new(vec![2.0; 4], vec![0.5; 4], 1e-12);
        let mut two = vec![1.0, 2.0, 3.0, 4.0, 7.0, 7.0, 7.0, 7.0];
        let mut one = two[..4].to_vec();
        norm.apply(&mut two);
        norm.apply(&mut one);
        assert_eq!(two[..4], one);
        assert_eq!(two[4..], [0.5; 4]);
        let mut states = vec![0.0; 4];
        norm.apply_residual(&mut states, &[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(states, one);
        norm.apply(&mut [f32::NAN, 1.0, 2.0, 3.0]);
    }

    #[test]
    fn a_nan_spoils_its_whole_row_and_no_other() {
        let norm = LayerNorm::new(vec![1.0; 2], vec![0.0; 2], 1e-12);
        let mut rows = [f32::NAN, 1.0, 2.0, 3.0];
        norm.apply(&mut rows);
        assert!(rows[0].is_nan() && rows[1].is_nan() && rows[2].is_finite() && rows[3].is_finite());
    }
}
