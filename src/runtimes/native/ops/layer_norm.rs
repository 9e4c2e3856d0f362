//! `y = (x − mean) / √(variance + eps) · weight + bias`, per token (Ba, Kiros & Hinton 2016).

use rayon::prelude::*;

use crate::checkpoint::{Scope, WeightError};

/// Lanes of the partial sums: a fixed order of additions that the compiler can vectorise.
const LANES: usize = 8;

/// LayerNorm's parameters.
pub struct LayerNorm {
    weight: Vec<f32>,
    bias: Vec<f32>,
    eps: f64,
}

impl LayerNorm {
    /// Takes `weight` and `bias` `[width]` below `scope`.
    pub fn load(scope: &Scope<'_>, width: usize, eps: f64) -> Result<Self, WeightError> {
        let weight = scope.take("weight", &[width])?.values.clone();
        let bias = scope.take("bias", &[width])?.values.clone();
        Ok(Self { weight, bias, eps })
    }

    /// Normalises each token of `x` `[tokens, width]` in place. Mean and variance in f64, two passes.
    pub fn apply(&self, x: &mut [f32]) {
        x.par_chunks_mut(self.weight.len().max(1)).for_each(|token| self.token(token));
    }

    fn token(&self, x: &mut [f32]) {
        let n = x.len() as f64;
        let mean = sum(x, |v| v) / n;
        let variance = sum(x, |v| (v - mean) * (v - mean)) / n;
        let scale = 1.0 / (variance + self.eps).sqrt();
        for ((v, w), b) in x.iter_mut().zip(&self.weight).zip(&self.bias) {
            *v = ((f64::from(*v) - mean) * scale * f64::from(*w) + f64::from(*b)) as f32;
        }
    }
}

fn sum(x: &[f32], f: impl Fn(f64) -> f64) -> f64 {
    let mut lanes = [0.0f64; LANES];
    let chunks = x.chunks_exact(LANES);
    let rest: f64 = chunks.remainder().iter().map(|&v| f(f64::from(v))).sum();
    for chunk in chunks {
        for (lane, &v) in lanes.iter_mut().zip(chunk) {
            *lane += f(f64::from(v));
        }
    }
    lanes.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_get_mean_bias_and_deviation_weight_and_eps_counts() {
        let norm = |eps| LayerNorm { weight: vec![2.0; 11], bias: vec![1.0; 11], eps };
        let mut x: Vec<f32> = (0..22).map(|i| 1000.0 + (i * i % 13) as f32).collect();
        norm(1e-12).apply(&mut x);
        for row in x.chunks(11) {
            let mean: f64 = row.iter().map(|&v| f64::from(v)).sum::<f64>() / 11.0;
            let variance: f64 = row.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / 11.0;
            assert!((mean - 1.0).abs() < 1e-6 && (variance - 4.0).abs() < 1e-5, "{mean} {variance}");
        }
        let (mut a, mut b) = (vec![1e-4f32; 11], vec![1e-4f32; 11]);
        (a[0], b[0]) = (2e-4, 2e-4);
        norm(1e-12).apply(&mut a);
        norm(1e-5).apply(&mut b);
        assert!((a[0] - b[0]).abs() > 1.0, "eps is used");
        let mut constant = vec![3.0f32; 11];
        norm(1e-12).apply(&mut constant);
        assert!(constant.iter().all(|v| *v == 1.0));
    }
}
