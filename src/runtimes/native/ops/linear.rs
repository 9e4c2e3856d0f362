//! y = x·Wᵀ + b.

use super::{Matrix, PackedMatrix, ProductError};

/// A linear layer whose weight is packed for the machine's vector unit.
#[derive(Debug)]
pub struct PackedLinear {
    weight: PackedMatrix,
    bias: Vec<f32>,
    inputs: usize,
}

impl PackedLinear {
    /// `weight` is `[outputs, inputs]` as checkpoints store it, `bias` is `[outputs]`; neither is empty.
    pub fn new(weight: &[f32], bias: &[f32], inputs: usize) -> Result<Self, ProductError> {
        let packed = PackedMatrix::new(Matrix::dense(weight, bias.len(), inputs).transposed())?;
        Ok(Self { weight: packed, bias: bias.to_vec(), inputs })
    }

    /// Width of its result.
    pub fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// `states` is `[tokens, inputs]`, the result `[tokens, outputs]`.
    pub fn apply(&self, states: &[f32]) -> Result<Vec<f32>, ProductError> {
        let tokens = states.len() / self.inputs;
        if tokens * self.inputs != states.len() {
            return Err(ProductError(format!("{} values are no rows of {}", states.len(), self.inputs)));
        }
        let mut out = vec![0.0; tokens * self.bias.len()];
        self.weight.multiply(Matrix::dense(states, tokens, self.inputs), 1.0, Some(&self.bias), &mut out)?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_textbook_product() {
        let linear = PackedLinear::new(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[0.5, -0.5], 3).unwrap();
        assert_eq!(linear.apply(&[1.0, 1.0, 1.0, 1.0, 0.0, -1.0]).unwrap(), [6.5, 14.5, -1.5, -2.5]);
        assert!(linear.apply(&[]).unwrap().is_empty());
        assert!(linear.apply(&[1.0; 4]).is_err());
        assert!(PackedLinear::new(&[1.0; 5], &[0.0; 2], 3).is_err());
    }
}
