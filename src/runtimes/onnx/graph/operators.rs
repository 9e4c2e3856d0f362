//! What operators mean to the search for taps. To teach it a new one, add its name here.

/// Reads a tensor's shape, not its values.
pub(crate) const SHAPE: &[&str] = &["Shape", "Size"];
/// Marks an attention block.
pub(crate) const ATTENTION: &[&str] = &[
    "Softmax",
    "Attention",
    "MultiHeadAttention",
    "GroupQueryAttention",
    "PackedAttention",
    "PackedMultiHeadAttention",
    "QAttention",
    "SparseAttention",
    "QLinearSoftmax",
    "BiasSoftmax",
];
/// Multiplies by a weight matrix.
pub(crate) const PROJECTION: &[&str] = &[
    "MatMul",
    "Gemm",
    "FusedMatMul",
    "FusedGemm",
    "TransposeMatMul",
    "MatMulNBits",
    "MatMulBnb4",
    "MatMulInteger",
    "DynamicQuantizeMatMul",
    "MatMulIntegerToFloat",
    "QLinearMatMul",
    "QGemm",
    "Einsum",
    "Conv",
    "GemmFastGelu",
];
/// Residual sum and norm in one: the output that holds the bare sum.
pub(crate) const SKIP_NORM: &[(&str, usize)] =
    &[("SkipLayerNormalization", 3), ("SkipSimplifiedLayerNormalization", 3), ("EmbedLayerNormalization", 2)];
/// Moves values without changing them.
pub(crate) const LAYOUT: &[&str] =
    &["Transpose", "Cast", "Identity", "Dropout", "Reshape", "Squeeze", "Unsqueeze", "Flatten"];
/// Betrays a norm.
pub(crate) const NORM: &[&str] = &[
    "LayerNormalization",
    "SimplifiedLayerNormalization",
    "RMSNormalization",
    "SkipLayerNormalization",
    "SkipSimplifiedLayerNormalization",
    "EmbedLayerNormalization",
    "ReduceMean",
    "ReduceL2",
    "InstanceNormalization",
];
/// Reduces within a decomposed norm.
pub(crate) const REDUCE: &[&str] = &["ReduceMean", "ReduceSumSquare", "ReduceL2", "ReduceSum"];
/// Looks rows up in a table.
pub(crate) const LOOKUP: &[&str] = &["Gather", "GatherBlockQuantized", "GatherND"];
/// Passes token ids on unchanged, whatever the layout.
pub(crate) const PASS_IDS: &[&str] =
    &["Cast", "Identity", "Reshape", "Unsqueeze", "Squeeze", "Flatten", "Clip", "Dropout"];
/// Rearranges token ids.
pub(crate) const REORDER_IDS: &[&str] =
    &["Transpose", "Slice", "Where", "Gather", "Split", "Expand", "Concat", "Mul", "Max", "Min"];

/// Makes truth values or whole numbers.
pub(crate) const NO_FLOATS: &[&str] = &[
    "Shape",
    "Size",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "And",
    "Or",
    "Not",
    "Xor",
    "IsNaN",
    "IsInf",
    "ArgMax",
    "ArgMin",
    "NonZero",
    "QuantizeLinear",
    "DynamicQuantizeLinear",
];
/// Reads what a bias is added to, the bias at the given input.
pub(crate) const BIASED: &[(&str, usize)] =
    &[("BiasGelu", 1), ("FastGelu", 1), ("SkipLayerNormalization", 4), ("SkipSimplifiedLayerNormalization", 3)];

/// The output of a residual-sum-and-norm operator that holds the sum.
pub(crate) fn skip_sum(op: &str) -> Option<usize> {
    SKIP_NORM.iter().find(|(o, _)| *o == op).map(|(_, i)| *i)
}
