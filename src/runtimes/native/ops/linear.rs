//! y = x·Wᵀ + b.

use std::sync::Arc;

use super::{Bias, ProductError, Rows, RowsMut, multiply};
use crate::panels::Panels;

/// A linear layer, or several fed with the same states: their outputs lie side by side.
#[derive(Debug)]
pub struct PackedLinear {
    weights: Vec<Arc<Panels>>,
    bias: Bias,
    inputs: usize,
    outputs: usize,
}

impl PackedLinear {
    /// Each part's weight `[inputs, outputs]` in panels, shared with whoever else has it, and its bias `[outputs]`;
    /// neither is empty.
    ///
    /// # Errors
    /// Sizes that do not fit.
    pub fn new(parts: Vec<(Arc<Panels>, &[f32])>) -> Result<Self, ProductError> {
        let inputs = parts.first().map_or(0, |(weight, _)| weight.inner());
        let fits = |(weight, bias): &(Arc<Panels>, &[f32])| {
            weight.inner() == inputs && weight.columns() == bias.len() && !bias.is_empty()
        };
        if inputs == 0 || !parts.iter().all(fits) {
            let sizes: Vec<_> = parts.iter().map(|(weight, bias)| (weight, bias.len())).collect();
            return Err(ProductError(format!("weights and numbers of biases {sizes:?}")));
        }
        let biases: Vec<&[f32]> = parts.iter().map(|(_, bias)| *bias).collect();
        let (bias, outputs) = (Bias::new(&biases), biases.iter().map(|b| b.len()).sum());
        Ok(Self { weights: parts.into_iter().map(|(weight, _)| weight).collect(), bias, inputs, outputs })
    }

    /// Width of what it is fed with.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Width of its result.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// `states` is `[tokens, inputs]`, `out` is `[tokens, outputs]`.
    ///
    /// # Errors
    /// Sizes that do not fit.
    pub fn apply(&self, states: &[f32], out: &mut [f32]) -> Result<(), ProductError> {
        let out = RowsMut::dense(out, self.outputs)?;
        multiply(Rows::dense(states, self.inputs)?, &self.weights, Some(&self.bias), out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_textbook_product() {
        let part = |weight: &[f32], bias: &'static [f32]| (Arc::new(Panels::of_rows(weight, 3)), bias);
        let linear = PackedLinear::new(vec![part(&[1.0, 2.0, 3.0], &[0.5]), part(&[4.0, 5.0, 6.0], &[-0.5])]).unwrap();
        let mut out = [0.0; 4];
        linear.apply(&[1.0, 1.0, 1.0, 1.0, 0.0, -1.0], &mut out).unwrap();
        assert_eq!(out, [6.5, 14.5, -1.5, -2.5]);
        linear.apply(&[], &mut []).unwrap();
        assert!(linear.apply(&[1.0; 4], &mut out).is_err());
        assert!(linear.apply(&[1.0; 3], &mut out).is_err());
        assert!(PackedLinear::new(vec![]).is_err());
        assert!(PackedLinear::new(vec![part(&[1.0; 6], &[0.0; 3])]).is_err());
        assert!(PackedLinear::new(vec![part(&[], &[])]).is_err());
    }
}
