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
            || states.chunks_exact_mut(self.weight.len().max(1)).for_each(|row| self.normalize(row)),
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

    /// Two passes in f64: mean and variance carry no float32 error, and each result is rounded once
    /// before γ and once after it.
    #[inline(always)]
    fn normalize(&self, row: &mut [f32]) {
        let n = row.len() as f64;
        let mean = sum(row, |x| x) / n;
        let variance = sum(row, |x| (x - mean) * (x - mean)) / n;
        let scale = 1.0 / (variance + self.eps).sqrt();
        for ((x, w), b) in row.iter_mut().zip(&self.weight).zip(&self.bias) {
            *x = ((f64::from(*x) - mean) * scale) as f32 * w + b;
        }
    }
}

/// Interleaved chains of a sum: four vectors of f64 with AVX-512, so that additions need not wait for each other.
const CHAINS: usize = 32;

/// Σ f(x) in f64 over interleaved chains: a fixed order, the same on every machine.
#[inline(always)]
fn sum(row: &[f32], f: impl Fn(f64) -> f64) -> f64 {
    let mut chains = [0.0_f64; CHAINS];
    let (blocks, rest) = row.as_chunks::<CHAINS>();
    for block in blocks {
        for (chain, x) in chains.iter_mut().zip(block) {
            *chain += f(f64::from(*x));
        }
    }
    let rest: f64 = rest.iter().map(|x| f(f64::from(*x))).sum();
    let mut width = CHAINS;
    while width > 1 {
        width /= 2;
        for i in 0..width {
            chains[i] += chains[i + width];
        }
    }
    chains[0] + rest
}

#[cfg(test)]
mod tests {
    use super::super::testing::noise;
    use super::*;

    /// Measured 8.0e-8 at most, relative to the largest result of the row.
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
