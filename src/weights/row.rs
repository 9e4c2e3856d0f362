//! What the weights section of a report holds.

use serde::{Deserialize, Serialize};

use super::{Equivalent, TwinRow, TwinTotals};
use crate::json_float;

/// One tensor of the candidate against its float32 twin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TensorRow {
    /// Hugging Face name without prefix.
    pub tensor: String,
    /// Logical shape.
    pub shape: Vec<usize>,
    /// Stored element type of the candidate (`U32` codes count as their scales' type): `F16`, `F32`, `BF16`.
    pub dtype: String,
    /// Quantization mode; none for a plain tensor.
    pub mode: Option<String>,
    /// Bits per code.
    pub bits: Option<u32>,
    /// Weights per scale.
    pub group_size: Option<u32>,
    /// Bytes on disk in the candidate, scales and biases included.
    pub bytes: u64,
    /// Bytes as float32.
    pub float32_bytes: u64,
    /// Mean squared error.
    #[serde(with = "json_float")]
    #[schemars(with = "json_float::Written")]
    pub mse: f64,
    /// Its root.
    #[serde(with = "json_float")]
    #[schemars(with = "json_float::Written")]
    pub rmse: f64,
    /// Frobenius norm of the difference over that of the original.
    #[serde(with = "json_float")]
    #[schemars(with = "json_float::Written")]
    pub relative_error: f64,
    /// Largest absolute difference.
    #[serde(with = "json_float")]
    #[schemars(with = "json_float::Written")]
    pub max_abs: f64,
    /// Its index, one number per dimension.
    pub max_abs_index: Vec<usize>,
    /// 10·log10(Σw² / Σ(ŵ−w)²), infinite when equal.
    #[serde(with = "json_float")]
    #[schemars(with = "json_float::Written")]
    pub sqnr_db: f64,
    /// Cosine of the two as vectors.
    #[serde(with = "json_float")]
    #[schemars(with = "json_float::Written")]
    pub cosine: f64,
    /// Quantized matrices: how far the group that moved most did (|mean of ŵ − w| where codes are affine, its root
    /// mean square where they are floats), as a share of the most that rounding to nearest could make of it: at
    /// most 1, unless a code, scale or zero point is wrong.
    #[serde(with = "json_float::optional", default)]
    #[schemars(with = "Option<json_float::Written>")]
    pub group_shift: Option<f64>,
    /// Row and group it was seen in.
    #[serde(default)]
    pub group_shift_at: Option<(usize, usize)>,
    /// Quantized matrices: against what MLX's own quantizer makes of the original.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub twin: Option<TwinRow>,
}

/// Sums over all quantized matrices, and over the file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct WeightTotals {
    /// Tensors compared.
    pub tensors: usize,
    /// Two-dimensional matrices among them that are quantized.
    pub quantized: usize,
    /// Elements of the two-dimensional matrices.
    pub matrix_elements: u64,
    /// Mean squared error over all elements of all two-dimensional matrices.
    #[serde(with = "json_float")]
    #[schemars(with = "json_float::Written")]
    pub mse: f64,
    /// Relative Frobenius error over the same.
    #[serde(with = "json_float")]
    #[schemars(with = "json_float::Written")]
    pub relative_error: f64,
    /// Largest absolute difference over the same.
    #[serde(with = "json_float")]
    #[schemars(with = "json_float::Written")]
    pub max_abs: f64,
    /// The tensor it is in.
    pub max_abs_tensor: Option<String>,
    /// The matrix with the largest relative error.
    pub worst_tensor: Option<String>,
    /// Bytes of the candidate's tensors.
    pub bytes: u64,
    /// Bytes of the same as float32.
    pub float32_bytes: u64,
    /// Stored bits per weight, scales included, over all tensors.
    #[serde(with = "json_float")]
    #[schemars(with = "json_float::Written")]
    pub bits_per_weight: f64,
    /// How many groups are what MLX's own quantizer makes of the original.
    #[serde(default)]
    pub twin: TwinTotals,
}

/// The weights section.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct WeightsReport {
    /// Where the float32 weights came from.
    pub original: String,
    /// Where the candidate's came from.
    pub candidate: String,
    /// Sums.
    pub totals: WeightTotals,
    /// Every tensor both sides have, by name.
    pub tensors: Vec<TensorRow>,
    /// Tensors that are not quantized and yet differ by more than their stored type's rounding.
    pub changed_unquantized: Vec<String>,
    /// Modules between which channels were scaled, their product unchanged (AWQ): the one whose rows were divided, those
    /// whose columns were multiplied. Their rows here are against the original scaled in the same way.
    #[serde(default)]
    pub folds: Vec<(String, String)>,
    /// Tensors that are not their twins and that compute the same: units in another order, or scaled by what the next
    /// matrix undoes. [`equivalents`](super::equivalents) finds them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub equivalents: Vec<Equivalent>,
    /// Tensors of the candidate that have no float32 twin (the reference graph does not contain them).
    pub without_original: Vec<String>,
    /// Tensors of the original that the candidate does not have and the architecture does not need.
    pub without_candidate: Vec<String>,
}

impl WeightsReport {
    /// True where what differs in a tensor is its units' order or scale, and nothing is lost.
    pub(super) fn is_equivalent(&self, tensor: &str) -> bool {
        self.equivalents.iter().any(|e| e.tensors.iter().any(|name| name == tensor))
    }

    /// True when any of its tensors is stored in codes.
    pub fn is_quantized(&self) -> bool {
        self.tensors.iter().any(|row| row.mode.is_some())
    }
}
