//! The section that says where the error starts, what grows it, and what would help.

use serde::{Deserialize, Serialize};

use crate::figures::number as shown;
use crate::hidden_states::Tap;
use crate::json_float;

/// Where the candidate's error comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Explanation {
    /// Each layer's error as it arrives and by itself.
    pub layers: Vec<LayerErrors>,
    /// The first tap whose error grows more than the other layers' would make it.
    pub first: Option<Tap>,
    /// The layer (or the embeddings) that causes most of it; with `--explain`, the one of the nearest proven defect.
    pub cause: Option<Tap>,
    /// Defects that the findings prove, the nearest cause first: what is wrong before any precision is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proven: Vec<ProvenCause>,
    /// Sentence error with one stage restored to float32, largest gain first; with `--explain`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageEffect>,
    /// The finer taps of the layer in `cause`, by itself; with `--explain`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inside: Vec<InnerError>,
    /// The tensors of that layer, biases and norms included, each taken from the candidate alone: those proven to be
    /// wrong first, then the worst first; with `--explain`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tensors: Vec<TensorEffect>,
    /// What would help, most first, each measured by doing it; with `--explain`. Empty where a defect is proven: more
    /// bits would not cure it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub advice: Vec<Advice>,
}

/// A defect that a finding proves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ProvenCause {
    /// The code of the finding that proves it.
    pub code: String,
    /// What is wrong: a tensor and its side, a key and its file; empty where the finding names neither.
    pub subject: String,
    /// The sentence that proves it.
    pub message: String,
    /// Tensors of the candidate that are wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tensors: Vec<String>,
    /// What the run did to undo it, in words, and the mean sentence error before and after; with `--explain`, where it
    /// can be undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undone: Option<Undone>,
}

/// A defect undone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Undone {
    /// How: `the original's values in the candidate's format`.
    pub with: String,
    /// Mean cosine distance of the sentence vectors as the candidate is.
    #[serde(with = "json_float")]
    #[schemars(with = "json_float::Written")]
    pub before: f64,
    /// With the defect undone.
    #[serde(with = "json_float")]
    #[schemars(with = "json_float::Written")]
    pub after: f64,
}

/// One tap's mean relative L2 of the quantization arm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LayerErrors {
    /// The tap: `embeddings`, `layer.0`, …
    pub tap: Tap,
    /// As it arrives.
    #[serde(with = "json_float::optional")]
    #[schemars(with = "Option<json_float::Written>")]
    pub accumulated: Option<f64>,
    /// The layer fed with the control's own input.
    #[serde(with = "json_float::optional")]
    #[schemars(with = "Option<json_float::Written>")]
    pub isolated: Option<f64>,
    /// What arrives, with what a typical layer adds.
    #[serde(with = "json_float::optional")]
    #[schemars(with = "Option<json_float::Written>")]
    pub expected: Option<f64>,
}

/// The sentence error when one stage of the candidate has its float32 weights back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct StageEffect {
    /// The stage.
    pub tap: Tap,
    /// Mean cosine distance of the sentence vectors as the candidate is.
    #[serde(with = "json_float")]
    #[schemars(with = "json_float::Written")]
    pub before: f64,
    /// With the stage restored.
    #[serde(with = "json_float")]
    #[schemars(with = "json_float::Written")]
    pub after: f64,
}

/// A finer tap's own error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct InnerError {
    /// `layer.3.attention`, `layer.3.ffn`, `layer.3`.
    pub tap: Tap,
    /// Mean relative L2 with the layer fed with the control's own input.
    #[serde(with = "json_float")]
    #[schemars(with = "json_float::Written")]
    pub isolated: f64,
}

/// One tensor's share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TensorEffect {
    /// The tensor.
    pub tensor: String,
    /// Its bits; none when it is not quantized.
    pub bits: Option<u32>,
    /// Mean relative L2 of its layer's output when nothing else is the candidate's.
    #[serde(with = "json_float")]
    #[schemars(with = "json_float::Written")]
    pub alone: f64,
    /// True where a finding proves that it is not the original's.
    #[serde(default)]
    pub wrong: bool,
}

/// More bits for some tensors, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Advice {
    /// The tensors.
    pub tensors: Vec<String>,
    /// Their bits then; 32 means unquantized.
    pub bits: u32,
    /// Mean cosine distance of the sentence vectors before.
    #[serde(with = "json_float")]
    #[schemars(with = "json_float::Written")]
    pub before: f64,
    /// And after.
    #[serde(with = "json_float")]
    #[schemars(with = "json_float::Written")]
    pub after: f64,
    /// Bytes the candidate grows by.
    pub extra_bytes: u64,
}

/// `a`, `a and b`, `a, b and c`.
fn listed(names: &[String]) -> String {
    match names {
        [rest @ .., last] if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

/// Lines of a kind in the story.
const TOLD: usize = 3;
/// A defect whose correction takes less than this share of the error away is not what the error comes from. Chosen: the
/// same share as advice must bring.
const SHARE: f64 = 0.01;

impl ProvenCause {
    /// What is wrong, what proves it, and what came of undoing it.
    fn sentence(&self) -> String {
        let undone = self.undone.as_ref().map_or_else(String::new, |undone| {
            format!(
                "; with {} the mean sentence error would be {} in place of {} (measured)",
                undone.with,
                shown(undone.after),
                shown(undone.before)
            )
        });
        // Where the error stays what it was, this is wrong and is not what most of it comes from.
        let (what, rest) = match &self.undone {
            Some(undone) if undone.after > (1.0 - SHARE) * undone.before => {
                ("a defect is proven", "; most of the error comes from elsewhere")
            }
            _ => ("the cause is proven", ""),
        };
        format!("{what} ({}): {}{undone}{rest}", self.code, self.message)
    }
}

impl Explanation {
    /// True where there is anything to tell.
    pub fn is_told(&self) -> bool {
        !self.layers.is_empty() || !self.proven.is_empty()
    }

    /// Where it starts and what grows it, in one sentence; none when nothing grows out of proportion.
    pub fn sentence(&self) -> Option<String> {
        let first = self.first?;
        let at = self.layers.iter().find(|l| l.tap == first)?;
        let proven = self.proven.iter().find(|p| !p.subject.is_empty());
        let cause = match self.cause {
            _ if proven.is_some() => format!("proven to be wrong: {}", proven.map_or("", |p| p.subject.as_str())),
            Some(cause) if cause == first => "its own weights make most of it".to_owned(),
            Some(cause) => format!("{cause} causes most of it"),
            None => "no single layer causes it".to_owned(),
        };
        Some(format!(
            "the error first grows more than expected at {first}: {} ({} expected), {cause}",
            at.accumulated.map_or_else(|| "-".to_owned(), shown),
            at.expected.map_or_else(|| "-".to_owned(), shown),
        ))
    }

    /// The whole story, a line each.
    pub fn story(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.proven.iter().take(TOLD).map(ProvenCause::sentence).collect();
        if let Some(more) = self.proven.len().checked_sub(TOLD).filter(|n| *n > 0) {
            lines.push(format!("{more} more defects are proven; the reasons name them"));
        }
        if !self.layers.is_empty() || lines.is_empty() {
            lines.push(self.sentence().unwrap_or_else(|| "the error grows evenly from layer to layer".to_owned()));
        }
        for stage in self.stages.iter().take(TOLD) {
            lines.push(format!(
                "with {} in float32 the mean sentence error would be {} in place of {}",
                stage.tap,
                shown(stage.after),
                shown(stage.before)
            ));
        }
        if !self.inside.is_empty() {
            let parts: Vec<String> = self.inside.iter().map(|i| format!("{} {}", i.tap, shown(i.isolated))).collect();
            lines.push(format!("by itself it makes: {}", parts.join(", ")));
        }
        for tensor in self.tensors.iter().take(TOLD) {
            let bits = tensor.bits.map_or_else(|| "unquantized".to_owned(), |b| format!("{b} bits"));
            let wrong = if tensor.wrong { ", not the original's values" } else { "" };
            lines.push(format!("{} ({bits}{wrong}) alone makes {} there", tensor.tensor, shown(tensor.alone)));
        }
        if !self.proven.is_empty() {
            lines
                .push("more bits would not cure this: correct what is proven to be wrong, then check again".to_owned());
        }
        for advice in &self.advice {
            let what = if advice.bits == 32 { "unquantized".to_owned() } else { format!("at {} bits", advice.bits) };
            lines.push(format!(
                "{} {what} would bring the mean sentence error from {} to {} for {} more bytes (measured)",
                listed(&advice.tensors),
                shown(advice.before),
                shown(advice.after),
                super::words::count(advice.extra_bytes)
            ));
        }
        lines
    }
}
