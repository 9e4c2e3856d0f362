//! Self-attention with its projections.

use std::sync::Arc;

use super::super::buffer::Buffer;
use super::super::ops::{
    AttentionScratch, Compute, Heads, PackedLinear, ProductError, Reach, RelativeBias, RmsNorm, Rotary, Scoring,
    attention,
};

/// From states to what attention adds to them.
pub(in crate::runtimes::native) struct SelfAttention {
    pub(in crate::runtimes::native) heads: Heads,
    /// Query, key and value, side by side.
    pub(in crate::runtimes::native) projections: PackedLinear,
    pub(in crate::runtimes::native) output: PackedLinear,
    pub(in crate::runtimes::native) scale: f32,
    pub(in crate::runtimes::native) reach: Reach,
    /// Turns queries and keys by their positions.
    pub(in crate::runtimes::native) rotary: Option<Arc<Rotary>>,
    /// Added to the scores by distance.
    pub(in crate::runtimes::native) bias: Option<Arc<RelativeBias>>,
    /// Norms of every query's and every key's heads.
    pub(in crate::runtimes::native) head_norms: Option<HeadNorms>,
}

/// Norms of the heads, before they are turned.
pub(in crate::runtimes::native) struct HeadNorms {
    pub(in crate::runtimes::native) query: RmsNorm,
    pub(in crate::runtimes::native) key: RmsNorm,
}

/// Memory that it works in.
#[derive(Debug, Default)]
pub(in crate::runtimes::native) struct AttentionMemory {
    projected: Buffer,
    context: Buffer,
    kernel: AttentionScratch,
}

impl SelfAttention {
    /// Heads that see their whole row, scaled by 1/√d.
    pub(in crate::runtimes::native) fn new(heads: Heads, projections: PackedLinear, output: PackedLinear) -> Self {
        let Scoring { scale, reach, .. } = Scoring::plain(heads.width);
        Self { heads, projections, output, scale, reach, rotary: None, bias: None, head_norms: None }
    }

    /// `x` is `[tokens, hidden]`, and so is the result. Scores and their powers stay float32 whatever is computed in, as
    /// fused attention kernels have them.
    pub(in crate::runtimes::native) fn apply(
        &self,
        x: &[f32],
        offsets: &[usize],
        compute: Compute,
        memory: &mut AttentionMemory,
        out: &mut [f32],
    ) -> Result<(), ProductError> {
        let (tokens, heads) = (offsets.last().copied().unwrap_or(0), self.heads);
        let projected = memory.projected.of(tokens * heads.columns()); // [tokens, (heads + 2 · shared) · d]
        self.projections.apply(x, projected)?;
        compute.round(projected);
        if let Some(HeadNorms { query, key }) = &self.head_norms {
            let (queries, keys) = (heads.context(), heads.shared * heads.width);
            query.apply_columns(projected, heads.columns(), 0..queries);
            key.apply_columns(projected, heads.columns(), queries..queries + keys);
            compute.round(projected);
        }
        if let Some(rotary) = &self.rotary {
            rotary.apply(projected, offsets, heads)?;
            compute.round(projected);
        }
        let context = memory.context.of(tokens * heads.context()); // [tokens, heads · d]
        let scoring = Scoring { scale: self.scale, reach: self.reach, bias: self.bias.as_deref() };
        attention(projected, offsets, heads, scoring, &mut memory.kernel, context)?;
        compute.round(context);
        self.output.apply(context, out)?;
        compute.round(out);
        Ok(())
    }
}
