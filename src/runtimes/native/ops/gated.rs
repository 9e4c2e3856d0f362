//! Gated linear units (Shazeer 2020): one half of a projection, activated, times the other.

use super::{Activation, ProductError};

/// `out[t] = activation(both[t][..inner]) · both[t][inner..]`, with `both` `[tokens, 2 · inner]`, whose first halves
/// are overwritten, and `out` `[tokens, inner]`.
///
/// # Errors
/// Sizes that do not fit.
pub fn gated(activation: Activation, both: &mut [f32], inner: usize, out: &mut [f32]) -> Result<(), ProductError> {
    if inner == 0 || both.len() != 2 * out.len() || !out.len().is_multiple_of(inner) {
        let (both, out) = (both.len(), out.len());
        return Err(ProductError(format!("{both} values do not gate each other to {out} of width {inner}")));
    }
    for (both, out) in both.chunks_exact_mut(2 * inner).zip(out.chunks_exact_mut(inner)) {
        let (active, gate) = both.split_at_mut(inner);
        activation(active);
        out.iter_mut().zip(active).zip(gate).for_each(|((out, a), g)| *out = *a * *g);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_half_is_activated_and_the_second_is_not() {
        let relu: Activation = |x| x.iter_mut().for_each(|x| *x = x.max(0.0));
        let mut out = [f32::NAN; 4];
        gated(relu, &mut [1.0, -2.0, -3.0, 4.0, 5.0, 6.0, 7.0, 8.0], 2, &mut out).unwrap();
        assert_eq!(out, [-3.0, 0.0, 35.0, 48.0]);
        assert!(gated(relu, &mut [0.0; 6], 2, &mut out).is_err());
        assert!(gated(relu, &mut [0.0; 8], 3, &mut out).is_err());
        assert!(gated(relu, &mut [], 0, &mut []).is_err());
    }
}
