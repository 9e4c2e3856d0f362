//! Where a gate looks: a tap, a glob over taps, the weights, the neighbours, the labels.

use std::fmt;

use super::metrics::{GateMetric, NEIGHBOUR_METRICS, TAP_METRICS, TASK_METRICS, WEIGHT_METRICS};
use crate::hidden_states::Tap;

/// What a gate's `on` means.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// One tap.
    Tap(Tap),
    /// Every tap the pattern matches. `*` alone is every tap with one vector per token; inside a
    /// pattern `*` stands for a layer's number, so `layer.*` is every layer and `layer.*.attention`
    /// every attention block.
    Glob(String),
    /// The stored weights.
    Weights,
    /// Neighbour search over the sentence vectors.
    Neighbours,
    /// Scores on labels.
    Task,
}

impl Place {
    /// Reads an `on`; none when it is neither a tap, a usable pattern nor a section's name.
    pub fn parse(on: &str) -> Option<Self> {
        match on {
            "*" => Some(Self::Glob("*".to_owned())),
            "weights" => Some(Self::Weights),
            "neighbours" => Some(Self::Neighbours),
            "task" => Some(Self::Task),
            // A pattern that no tap's name can match is a slip, and is known to be one without a model.
            _ if on.contains('*') => {
                let (before, after) = on.split_once('*')?;
                format!("{before}0{after}")
                    .parse::<Tap>()
                    .ok()
                    .filter(|_| before == "layer.")
                    .map(|_| Self::Glob(on.to_owned()))
            }
            _ => on.parse().ok().map(Self::Tap),
        }
    }

    /// True when the gate looks at `tap`.
    pub fn matches(&self, tap: Tap) -> bool {
        match self {
            Self::Tap(t) => *t == tap,
            Self::Glob(pattern) if pattern == "*" => !tap.is_sentence_level(),
            Self::Glob(pattern) => pattern.split_once('*').is_some_and(|(before, after)| {
                let name = tap.to_string();
                let number = name.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
                number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
            }),
            Self::Weights | Self::Neighbours | Self::Task => false,
        }
    }

    /// True when some tap may be meant by both, or both are the same section.
    pub fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (a, Self::Tap(tap)) if a.matches(*tap) => true,
            (Self::Tap(tap), b) if b.matches(*tap) => true,
            // `*` is every tap with a vector per token, so it meets every other pattern.
            (Self::Glob(a), Self::Glob(b)) => a == b || a == "*" || b == "*",
            (a, b) => a == b,
        }
    }

    /// The metrics that exist there.
    pub fn metrics(&self) -> &'static [GateMetric] {
        match self {
            Self::Tap(_) | Self::Glob(_) => TAP_METRICS,
            Self::Weights => WEIGHT_METRICS,
            Self::Neighbours => NEIGHBOUR_METRICS,
            Self::Task => TASK_METRICS,
        }
    }

    /// True for taps and patterns: the places where a gate must say which arm it means.
    pub fn has_arms(&self) -> bool {
        matches!(self, Self::Tap(_) | Self::Glob(_))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tap(tap) => fmt::Display::fmt(tap, f),
            Self::Glob(pattern) => f.pad(pattern),
            Self::Weights => f.pad("weights"),
            Self::Neighbours => f.pad("neighbours"),
            Self::Task => f.pad("task"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_what_they_say() {
        let matched = |on: &str| -> Vec<String> {
            let place = Place::parse(on).unwrap();
            let taps = [
                "embeddings",
                "layer.0.attention",
                "layer.0",
                "layer.11",
                "layer.11.ffn",
                "final",
                "pooled",
                "sentence",
            ];
            taps.iter().filter(|t| place.matches(t.parse().unwrap())).map(|t| (*t).to_owned()).collect()
        };
        assert_eq!(matched("layer.*"), ["layer.0", "layer.11"]);
        assert_eq!(matched("layer.*.ffn"), ["layer.11.ffn"]);
        assert_eq!(matched("layer.0"), ["layer.0"]);
    }

    #[test]
    fn the_star_is_every_token_level_tap() {
        let place = Place::parse("*").unwrap();
        assert!(place.matches(Tap::Embeddings) && place.matches(Tap::Ffn(3)) && place.matches(Tap::Final));
        assert!(!place.matches(Tap::Sentence) && !place.matches(Tap::Pooled));
        assert!(Place::parse("layer.*.attention").unwrap().matches(Tap::Attention(2)));
        assert!(!Place::parse("layer.*.attention").unwrap().matches(Tap::Layer(2)));
        assert_eq!(Place::parse("sentence"), Some(Place::Tap(Tap::Sentence)));
        assert!(!Place::Weights.matches(Tap::Final));
    }

    #[test]
    fn patterns_that_can_match_nothing_are_no_places() {
        for on in
            ["", "layers.*", "layer.*.*", "**", "lay*", "*.final", "weight", "layer.01", "layer.*.mlp", "layer.1*"]
        {
            assert_eq!(Place::parse(on), None, "{on}");
        }
    }
}
