//! y = x·Wᵀ + b.

use super::{Bias, PackedMatrix, ProductError, Rows, RowsMut};

/// A linear layer whose weight is packed for the machine's vector unit.
#[derive(Debug)]
pub struct PackedLinear {
    weight: PackedMatrix,
    bias: Bias,
}

impl PackedLinear {
    /// `weight` is `[outputs, inputs]` as checkpoints store it, `bias` is `[outputs]`; neither is empty.
    ///
    /// # Errors
    /// Sizes that do not fit.
    pub fn new(weight: &[f32], bias: &[f32], inputs: usize) -> Result<Self, ProductError> {
        Self::side_by_side(&[(weight, bias)], inputs)
    }

    /// Several layers fed with the same states, as one: their outputs lie side by side.
    ///
    /// # Errors
    /// Sizes that do not fit.
    pub fn side_by_side(parts: &[(&[f32], &[f32])], inputs: usize) -> Result<Self, ProductError> {
        let weights = parts.iter().map(|(weight, _)| Rows::dense(weight, inputs)).collect::<Result<Vec<_>, _>>()?;
        let weight = PackedMatrix::transposed(&weights)?;
        let biases: Vec<&[f32]> = parts.iter().map(|(_, bias)| *bias).collect();
        if parts.iter().any(|(weight, bias)| weight.len() != bias.len() * inputs) {
            return Err(ProductError(format!("a weight of {weight:?} with biases of other lengths")));
        }
        Ok(Self { weight, bias: Bias::new(&biases) })
    }

    /// Width of its result.
    pub fn outputs(&self) -> usize {
        self.weight.columns()
    }

    /// `states` is `[tokens, inputs]`, `out` is `[tokens, outputs]`.
    ///
    /// # Errors
    /// Sizes that do not fit.
    pub fn apply(&self, states: &[f32], out: &mut [f32]) -> Result<(), ProductError> {
        let out = RowsMut::dense(out, self.outputs())?;
        self.weight.multiply(Rows::dense(states, self.weight.inner())?, Some(&self.bias), out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_textbook_product() {
        let linear = PackedLinear::new(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[0.5, -0.5], 3).unwrap();
        let mut out = [0.0; 4];
        linear.apply(&[1.0, 1.0, 1.0, 1.0, 0.0, -1.0], &mut out).unwrap();
        assert_eq!(out, [6.5, 14.5, -1.5, -2.5]);
        linear.apply(&[], &mut []).unwrap();
        assert!(linear.apply(&[1.0; 4], &mut out).is_err());
        assert!(linear.apply(&[1.0; 3], &mut out).is_err());
        assert!(PackedLinear::new(&[1.0; 5], &[0.0; 2], 3).is_err());
        assert!(PackedLinear::new(&[1.0; 6], &[0.0; 3], 3).is_err());
    }
}
