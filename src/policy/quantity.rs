//! What a gate limits, a waiver excuses and a report shows: one number of one comparison at one place.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Place, Stat};
use crate::hidden_states::{Arm, Tap};

/// One number. Written flat: `on`, `arm`, `metric`, `stat`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Quantity {
    /// The tap, `weights`, `neighbours` or `task`; a pattern where it stands for all taps that match.
    #[schemars(with = "String")]
    pub on: Place,
    /// The comparison; none for weights, neighbours and tasks, which have only one.
    pub arm: Option<Arm>,
    /// Id of the metric.
    pub metric: String,
    /// The statistic.
    pub stat: Stat,
}

/// The two questions of a run.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Is the candidate what its format makes of this original, and run as its files say?
    #[default]
    Faithful,
    /// Is what the format costs acceptable?
    Fit,
}

/// Metrics of weights that tell who made them, whatever the format costs.
const OF_THE_MAKER: &[&str] = &["changed_groups", "group_error", "twin_equal", "over_twin", "row_over_twin"];

impl Quantity {
    /// Which of the two questions a limit on it asks: of states, sentences and neighbours, what the format costs; of the
    /// engine, of another runtime and of who made the weights, whether the candidate is what it claims to be.
    pub fn question(&self) -> Question {
        match (&self.on, self.arm) {
            (Place::Weights, _) if OF_THE_MAKER.contains(&self.metric.as_str()) => Question::Faithful,
            (_, Some(Arm::Engine | Arm::Device)) => Question::Faithful,
            _ => Question::Fit,
        }
    }

    /// The one tap it speaks of.
    pub fn tap(&self) -> Option<Tap> {
        match self.on {
            Place::Tap(tap) => Some(tap),
            _ => None,
        }
    }

    /// True at that tap of that arm.
    pub fn is_at(&self, tap: Tap, arm: Arm) -> bool {
        self.on == Place::Tap(tap) && self.arm == Some(arm)
    }

    /// True for that metric's statistic, wherever it is.
    pub fn is_of(&self, metric: &str, stat: Stat) -> bool {
        self.metric == metric && self.stat == stat
    }

    /// The same number at another place.
    pub fn at(&self, on: Place) -> Self {
        Self { on, ..self.clone() }
    }

    /// The same number, whatever the place.
    pub fn same_elsewhere(&self, other: &Self) -> bool {
        (self.arm, &self.metric, self.stat) == (other.arm, &other.metric, other.stat)
    }

    /// The same number at the same place, or at one of those that this pattern matches.
    pub fn covers(&self, other: &Self) -> bool {
        self.same_elsewhere(other) && (self.on == other.on || other.tap().is_some_and(|tap| self.on.matches(tap)))
    }

    /// The arm in brackets after a space; nothing where there is only one.
    pub fn shown_arm(&self) -> String {
        self.arm.map_or_else(String::new, |arm| format!(" ({arm})"))
    }
}

/// `layer.3 (quantization) relative_l2 p99`.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}{} {} {}", self.on, self.shown_arm(), self.metric, self.stat))
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let on = String::deserialize(deserializer)?;
        let unknown = || {
            let shown: String = on.chars().take(60).flat_map(char::escape_debug).collect();
            serde::de::Error::custom(format!("`{shown}` is no tap, pattern, `weights`, `neighbours` or `task`"))
        };
        Self::parse(&on).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantity(on: &str) -> Quantity {
        Quantity {
            on: Place::parse(on).unwrap(),
            arm: Some(Arm::Quantization),
            metric: "relative_l2".to_owned(),
            stat: Stat::P99,
        }
    }

    #[test]
    fn a_pattern_covers_its_taps_and_a_tap_itself() {
        let layer = quantity("layer.3");
        assert!(quantity("layer.*").covers(&layer) && quantity("*").covers(&layer) && layer.covers(&layer));
        assert!(!quantity("layer.2").covers(&layer) && !quantity("*").covers(&quantity("sentence")));
        assert!(!layer.covers(&quantity("layer.*")) && quantity("layer.*").covers(&quantity("layer.*")));
        assert!(!quantity("*").covers(&Quantity { arm: Some(Arm::Total), ..layer.clone() }));
        assert!(!quantity("*").covers(&Quantity { stat: Stat::Max, ..layer }));
    }

    #[test]
    fn it_is_written_flat_and_read_again() {
        let told = serde_json::to_string(&quantity("layer.*.ffn")).unwrap();
        assert_eq!(told, r#"{"on":"layer.*.ffn","arm":"quantization","metric":"relative_l2","stat":"p99"}"#);
        assert_eq!(serde_json::from_str::<Quantity>(&told).unwrap(), quantity("layer.*.ffn"));
        assert_eq!(quantity("final").to_string(), "final (quantization) relative_l2 p99");
        let wrong = told.replace("layer.*.ffn", "somewhere\\u001b");
        let said = serde_json::from_str::<Quantity>(&wrong).unwrap_err().to_string();
        assert!(said.contains("`somewhere\\u{1b}` is no tap"), "{said}");
    }
}
