//! y = x·Wᵀ + b.

use std::cell::RefCell;
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
        self.collect(states);
        let out = RowsMut::dense(out, self.outputs)?;
        multiply(Rows::dense(states, self.inputs)?, &self.weights, Some(&self.bias), out)
    }

    /// Keeps the states for [`inputs_of`], where one of its weights is looked for.
    fn collect(&self, states: &[f32]) {
        COLLECTED.with_borrow_mut(|all| {
            let own = |weight: &Arc<Panels>| self.weights.iter().any(|w| Arc::ptr_eq(w, weight));
            all.iter_mut().filter(|(weight, _)| own(weight)).for_each(|(_, inputs)| inputs.extend_from_slice(states));
        });
    }
}

thread_local! {
    /// Weights looked for on this thread, and what they were fed with.
    static COLLECTED: RefCell<Vec<(Arc<Panels>, Vec<f32>)>> = const { RefCell::new(Vec::new()) };
}

/// What linear layers with these very weights are fed with while `run` runs on this thread: `[tokens, inputs]` for each.
pub fn inputs_of<R>(weights: &[Arc<Panels>], run: impl FnOnce() -> R) -> (R, Vec<Vec<f32>>) {
    COLLECTED.set(weights.iter().map(|weight| (Arc::clone(weight), Vec::new())).collect());
    let result = run();
    (result, COLLECTED.take().into_iter().map(|(_, inputs)| inputs).collect())
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

    #[test]
    fn what_a_weight_is_fed_with_is_collected_where_asked_for() {
        let weights: Vec<_> = (0..2).map(|_| Arc::new(Panels::of_rows(&[1.0, 2.0], 2))).collect();
        let linear = |weight: &Arc<Panels>| PackedLinear::new(vec![(Arc::clone(weight), [0.0f32].as_slice())]).unwrap();
        let (one, other) = (linear(&weights[0]), linear(&weights[1]));
        let (_, inputs) = inputs_of(&weights[..1], || {
            one.apply(&[1.0, 2.0, 3.0, 4.0], &mut [0.0; 2]).unwrap();
            other.apply(&[9.0, 9.0], &mut [0.0]).unwrap();
            one.apply(&[5.0, 6.0], &mut [0.0]).unwrap();
        });
        assert_eq!(inputs, [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]);
        one.apply(&[7.0, 8.0], &mut [0.0]).unwrap();
        assert!(inputs_of(&weights, || ()).1.iter().all(Vec::is_empty));
    }
}
