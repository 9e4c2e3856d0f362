//! What the comparison with the twin says of one tensor.

use serde::{Deserialize, Serialize};

use crate::json_float;

/// Which quantizer made a tensor, by what its codes have in common with the original.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Quantizer {
    /// Codes, scales and biases are what MLX makes of the original.
    Mlx,
    /// Every code is the nearest one, but scales are laid in another way: plain minimum and maximum, fitted, clipped.
    Nearest,
    /// The codes are those of MLX, the scales are not: fitted, or trained afterwards as DWQ does it.
    RetrainedScales,
    /// Every code is one of the two around the weight: stochastic rounding.
    Stochastic,
    /// Codes beyond the two around the weight: error compensation, as GPTQ does it, or no quantizer at all.
    Unknown,
}

impl Quantizer {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Mlx => "MLX's own",
            Self::Nearest => "rounding to nearest with scales other than MLX's (plain, fitted or clipped)",
            Self::RetrainedScales => "MLX's own codes with other scales (fitted, or trained afterwards as DWQ does)",
            Self::Stochastic => "stochastic rounding",
            Self::Unknown => "error-compensating rounding (GPTQ) or none that is known",
        }
    }
}

/// Who made a tensor: the rule of its codes, the law of its scales, and where neither tells, what its errors do.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// MLX's own quantizer.
    Mlx,
    /// Scales from the smallest weight to the largest.
    MinMax,
    /// Scales from minus the largest size to the largest size.
    Symmetric,
    /// Scales of a part of the weights' range.
    Clipped,
    /// HQQ: scales of the whole range, zero points moved.
    HalfQuadratic,
    /// Scale and bias are the least squares of the codes, fitted once or in turn with them.
    Fitted,
    /// DWQ: MLX's codes, scales and biases trained.
    Dwq,
    /// Up or down by chance.
    Stochastic,
    /// GPTQ: errors that compensate each other in what the matrix gives.
    Gptq,
    /// AWQ: channels scaled before rounding.
    Awq,
    /// None of these, or none that was looked for.
    #[default]
    Unknown,
}

impl Method {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Mlx => "MLX's own",
            Self::MinMax => "plain minimum and maximum (rounded to nearest)",
            Self::Symmetric => "symmetric scales (rounded to nearest)",
            Self::Clipped => "clipped ranges (rounded to nearest)",
            Self::HalfQuadratic => "HQQ (zero points moved)",
            Self::Fitted => "scales fitted by least squares",
            Self::Dwq => "DWQ (MLX's own codes, scales trained)",
            Self::Stochastic => "stochastic rounding",
            Self::Gptq => "GPTQ (error-compensating rounding)",
            Self::Awq => "AWQ (channels scaled before rounding)",
            Self::Unknown => "a quantizer that is not known",
        }
    }
}

/// A quantized tensor beside its twin: the original, cast to the checkpoint's float type and quantized by MLX's own
/// quantizer in the tensor's mode, bits and group size.
///
/// Errors are told in half steps: half the distance of two codes of the twin, the most that rounding to nearest moves a
/// weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TwinRow {
    /// Groups of weights that share a scale.
    pub groups: u64,
    /// Groups whose codes, scale and bias are the twin's.
    pub equal: u64,
    /// Type the original was cast to before it was quantized.
    pub cast: String,
    /// Which quantizer made it.
    pub quantizer: Quantizer,
    /// Who made it.
    #[serde(default)]
    pub method: Method,
    /// One rule gives every code, scale and bias: nothing was left to choose.
    #[serde(default)]
    pub fixed: bool,
    /// How far it moves its outputs, over what errors of its own size would if each were by itself: below 1 where they
    /// compensate each other. Of matrices that keep no rule, where sentences were run.
    #[serde(with = "json_float::optional", default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<json_float::Written>")]
    pub outputs: Option<f64>,
    /// Groups that are not what that quantizer makes of the original.
    pub changed: u64,
    /// Rows that such groups are in, the first few.
    #[serde(default)]
    pub changed_rows: Vec<usize>,
    /// Row and number within the row of the first group that differs from the twin's.
    #[serde(default)]
    pub first_different: Option<(usize, usize)>,
    /// Root mean square error in half steps: 0.58 where weights are spread evenly between codes and rounded to nearest.
    #[serde(with = "json_float")]
    #[schemars(with = "json_float::Written")]
    pub error: f64,
    /// Root mean square error over the twin's.
    #[serde(with = "json_float")]
    #[schemars(with = "json_float::Written")]
    pub over_twin: f64,
    /// The largest such ratio of a row.
    #[serde(with = "json_float")]
    #[schemars(with = "json_float::Written")]
    pub row_over_twin: f64,
    /// That row.
    pub row_over_twin_at: usize,
    /// Largest root mean square error of a group, in half steps; 0 where every group is the twin's, as the next.
    #[serde(with = "json_float")]
    #[schemars(with = "json_float::Written")]
    pub group_error: f64,
    /// Row and number within the row of that group.
    pub group_error_at: (usize, usize),
    /// Largest error of a weight, in half steps.
    #[serde(with = "json_float")]
    #[schemars(with = "json_float::Written")]
    pub largest_error: f64,
    /// Row and column of that weight.
    pub largest_error_at: (usize, usize),
    /// How far the errors point one way: their largest singular value over their root mean square, over the same of the
    /// twin's errors. 1 for noise; none where every group is the twin's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coherence: Option<f64>,
    /// How far the errors of MLX's own conversion point one way by themselves: their largest singular value over that of
    /// the same errors with drawn signs. 1 where nobody chose the original's weights; none for small matrices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<f64>,
}

impl TwinRow {
    /// True where MLX's own quantizer did not make it of the original as it is.
    pub fn is_others(&self) -> bool {
        self.quantizer != Quantizer::Mlx || self.method == Method::Awq
    }

    /// Who made it, in words; where that is not known, by which rule. Reports of earlier versions tell the rule alone.
    pub fn made_by(&self) -> &'static str {
        match (self.method, self.outputs) {
            (Method::Unknown, Some(_)) => {
                "no rule of rounding that is known, with errors that do not compensate each other"
            }
            (Method::Unknown, None) => self.quantizer.words(),
            (method, _) => method.words(),
        }
    }

    /// Where every group but the ones counted is the twin's.
    pub(super) fn equal(groups: u64, equal: u64, cast: &str) -> Self {
        Self {
            groups,
            equal,
            cast: cast.to_owned(),
            quantizer: Quantizer::Mlx,
            method: Method::Mlx,
            fixed: true,
            outputs: None,
            changed: 0,
            changed_rows: Vec::new(),
            first_different: None,
            error: 0.0,
            over_twin: 1.0,
            row_over_twin: 1.0,
            row_over_twin_at: 0,
            group_error: 0.0,
            group_error_at: (0, 0),
            largest_error: 0.0,
            largest_error_at: (0, 0),
            coherence: None,
            direction: None,
        }
    }
}

/// The twins of a whole model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TwinTotals {
    /// Groups of all quantized tensors.
    pub groups: u64,
    /// Of them, those that are what MLX makes of the original.
    pub equal: u64,
    /// Of them, those that are not what the tensor's quantizer makes of the original.
    pub changed: u64,
}

impl TwinTotals {
    /// In one line; none where there are no groups.
    pub fn sentence(&self) -> Option<String> {
        let changed = match self.changed {
            0 => String::new(),
            n => format!("; {} were changed", thousands(n)),
        };
        (self.groups > 0).then(|| {
            format!(
                "{} of {} groups are what MLX makes of this original{changed}",
                thousands(self.equal),
                thousands(self.groups)
            )
        })
    }

    /// Sums over tensors.
    pub fn of<'a>(rows: impl Iterator<Item = &'a TwinRow>) -> Self {
        rows.fold(Self::default(), |sum, row| Self {
            groups: sum.groups + row.groups,
            equal: sum.equal + row.equal,
            changed: sum.changed + row.changed,
        })
    }
}

/// `12,345`.
fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}
