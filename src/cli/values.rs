//! The values that flags take.

use std::ffi::OsStr;

use clap::ValueEnum;
use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use parallax::checkpoint::PoolingMode;
use parallax::policy::EMBEDDED;

/// A policy: any text, for it can be a file; completions offer the built-in names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PolicyName;

impl TypedValueParser for PolicyName {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(EMBEDDED.iter().map(|(name, _)| PossibleValue::new(*name))))
    }
}

/// How the product on stdout looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// The report (or table) as JSON
    Json,
}

/// How the verdict on stdout looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum VerdictFormat {
    /// For people
    Text,
    /// The report as JSON
    Json,
    /// For people, and then as annotations of GitHub's runner
    Github,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnInvalidUtf8 {
    /// Stop and name the line
    Error,
    /// Leave the row out and count it
    Skip,
    /// Put U+FFFD in place of the bad bytes and count the row
    Replace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ControlRows {
    /// At least 256 rows, one row in 32 beyond, and every probe
    Sample,
    /// Every row
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pooling {
    /// As the models' own files say
    Auto,
    Mean,
    Cls,
    Max,
    MeanSqrtLen,
    WeightedMean,
    LastToken,
}

impl Pooling {
    /// None for what the models' own files say.
    pub(crate) fn mode(self) -> Option<PoolingMode> {
        match self {
            Self::Auto => None,
            Self::Mean => Some(PoolingMode::Mean),
            Self::Cls => Some(PoolingMode::Cls),
            Self::Max => Some(PoolingMode::Max),
            Self::MeanSqrtLen => Some(PoolingMode::MeanSqrtLen),
            Self::WeightedMean => Some(PoolingMode::WeightedMean),
            Self::LastToken => Some(PoolingMode::LastToken),
        }
    }
}

/// How a quantized weight is dequantized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EffectiveWeights {
    /// As mx.dequantize gives it, rounded to the type of the scales
    Dequantized,
    /// As mx.quantized_matmul sees it on float32 states, every step in float32
    Matmul,
}

/// What a device holds its activations in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Compute {
    F32,
    F16,
    Bf16,
}

impl From<Compute> for parallax::runtimes::native::ops::Compute {
    fn from(compute: Compute) -> Self {
        match compute {
            Compute::F32 => Self::F32,
            Compute::F16 => Self::F16,
            Compute::Bf16 => Self::BF16,
        }
    }
}

/// Whose deviations from the configuration the candidate's encoder repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Emulate {
    /// The program that --runtime names
    Mlx,
}

impl From<EffectiveWeights> for parallax::quantization::Dequantization {
    fn from(weights: EffectiveWeights) -> Self {
        match weights {
            EffectiveWeights::Dequantized => Self::Dequantized,
            EffectiveWeights::Matmul => Self::Matmul,
        }
    }
}

pub(crate) fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(n) if n <= 1 << 24 => Ok(n),
        Ok(_) => Err("is too large".to_owned()),
        Err(_) => Err("is not a number".to_owned()),
    }
}
