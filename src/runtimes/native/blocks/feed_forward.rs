//! Feed-forward blocks, plain and gated.

use super::super::buffer::Buffer;
use super::super::ops::{Activation, Compute, PackedLinear, ProductError, gated};

/// `down(activation(up(x)))`, or, where it is gated, `down(activation(gate(x)) · up(x))`.
pub(in crate::runtimes::native) struct FeedForward {
    /// To the inner width; where gated, gate and up side by side.
    pub(in crate::runtimes::native) up: PackedLinear,
    pub(in crate::runtimes::native) activation: Activation,
    pub(in crate::runtimes::native) gated: bool,
    pub(in crate::runtimes::native) down: PackedLinear,
}

/// Memory that it works in.
#[derive(Debug, Default)]
pub(in crate::runtimes::native) struct FeedForwardMemory {
    wide: Buffer,
    inner: Buffer,
}

impl FeedForward {
    /// `x` is `[tokens, hidden]`, and so is the result.
    pub(in crate::runtimes::native) fn apply(
        &self,
        x: &[f32],
        compute: Compute,
        memory: &mut FeedForwardMemory,
        out: &mut [f32],
    ) -> Result<(), ProductError> {
        let tokens = x.len() / self.up.inputs().max(1);
        let wide = memory.wide.of(tokens * self.up.outputs()); // [tokens, inner], twice as wide where gated
        self.up.apply(x, wide)?;
        compute.round(wide);
        if !self.gated {
            (self.activation)(wide);
            compute.round(wide);
            self.down.apply(wide, out)?;
            compute.round(out);
            return Ok(());
        }
        let width = self.up.outputs() / 2;
        let inner = memory.inner.of(tokens * width); // [tokens, inner]
        gated(self.activation, wide, width, inner)?;
        compute.round(inner);
        self.down.apply(inner, out)?;
        compute.round(out);
        Ok(())
    }
}
