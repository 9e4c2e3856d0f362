//! The section that says where the error starts, what grows it, and what would help.

use serde::{Deserialize, Serialize};

use crate::hidden_states::Tap;
use crate::metrics::number;
use crate::verdict::number as shown;

/// Where the candidate's error comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Explanation {
    /// Each layer's error as it arrives and by itself.
    pub layers: Vec<LayerErrors>,
    /// The first tap whose error grows more than the other layers' would make it.
    pub first: Option<Tap>,
    /// The layer (or the embeddings) that causes most of it.
    pub cause: Option<Tap>,
    /// Sentence error with one stage restored to float32, largest gain first; with `--explain`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageEffect>,
    /// The finer taps of the layer that causes most, by itself; with `--explain`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inside: Vec<InnerError>,
    /// The tensors of that layer, each quantized alone, worst first; with `--explain`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tensors: Vec<TensorEffect>,
    /// What would help, most first, each measured by doing it; with `--explain`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub advice: Vec<Advice>,
}

/// One tap's mean relative L2 of the quantization arm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LayerErrors {
    /// The tap: `embeddings`, `layer.0`, …
    pub tap: Tap,
    /// As it arrives.
    #[serde(with = "number::optional")]
    #[schemars(with = "Option<number::Written>")]
    pub accumulated: Option<f64>,
    /// The layer fed with the control's own input.
    #[serde(with = "number::optional")]
    #[schemars(with = "Option<number::Written>")]
    pub isolated: Option<f64>,
    /// What arrives, with what a typical layer adds.
    #[serde(with = "number::optional")]
    #[schemars(with = "Option<number::Written>")]
    pub expected: Option<f64>,
}

/// The sentence error when one stage of the candidate has its float32 weights back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct StageEffect {
    /// The stage.
    pub tap: Tap,
    /// Mean cosine distance of the sentence vectors as the candidate is.
    #[serde(with = "number")]
    #[schemars(with = "number::Written")]
    pub before: f64,
    /// With the stage restored.
    #[serde(with = "number")]
    #[schemars(with = "number::Written")]
    pub after: f64,
}

/// A finer tap's own error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct InnerError {
    /// `layer.3.attention`, `layer.3.ffn`, `layer.3`.
    pub tap: Tap,
    /// Mean relative L2 with the layer fed with the control's own input.
    #[serde(with = "number")]
    #[schemars(with = "number::Written")]
    pub isolated: f64,
}

/// One tensor's share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TensorEffect {
    /// The tensor.
    pub tensor: String,
    /// Its bits; none when it is not quantized.
    pub bits: Option<u32>,
    /// Mean relative L2 of its layer's output when nothing else is quantized.
    #[serde(with = "number")]
    #[schemars(with = "number::Written")]
    pub alone: f64,
}

/// More bits for some tensors, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Advice {
    /// The tensors.
    pub tensors: Vec<String>,
    /// Their bits then; 32 means unquantized.
    pub bits: u32,
    /// Mean cosine distance of the sentence vectors before.
    #[serde(with = "number")]
    #[schemars(with = "number::Written")]
    pub before: f64,
    /// And after.
    #[serde(with = "number")]
    #[schemars(with = "number::Written")]
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

impl Explanation {
    /// Where it starts and what grows it, in one sentence; none when nothing grows out of proportion.
    pub fn sentence(&self) -> Option<String> {
        let first = self.first?;
        let at = self.layers.iter().find(|l| l.tap == first)?;
        let cause = match self.cause {
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
        let mut lines = Vec::new();
        lines.push(self.sentence().unwrap_or_else(|| "the error grows evenly from layer to layer".to_owned()));
        for stage in self.stages.iter().take(3) {
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
        for tensor in self.tensors.iter().take(3) {
            let bits = tensor.bits.map_or_else(|| "unquantized".to_owned(), |b| format!("{b} bits"));
            lines.push(format!("{} ({bits}) alone makes {} there", tensor.tensor, shown(tensor.alone)));
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
