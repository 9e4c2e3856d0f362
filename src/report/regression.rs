//! The section that holds a run against an earlier one.

use serde::{Deserialize, Serialize};

use super::PolicyRecord;
use super::words::value;
use crate::figures::apart;
use crate::figures::number as shown;
use crate::json_float;
use crate::policy::{Quantity, Trend};

/// This run against an earlier one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RegressionSection {
    /// The earlier candidate, in words.
    pub candidate: String,
    /// The limits it was judged by.
    pub policy: PolicyRecord,
    /// When it ran.
    pub started: String,
    /// Numbers that are nearer to perfect now.
    pub better: usize,
    /// Those that did not move.
    pub same: usize,
    /// Those that are further from it.
    pub worse: usize,
    /// Those that one of the two runs did not measure.
    pub not_measured: usize,
    /// Every number that a gate looks at.
    pub movements: Vec<Movement>,
}

/// How one number moved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Movement {
    /// Which one.
    #[serde(flatten)]
    pub quantity: Quantity,
    /// In the earlier run.
    #[serde(with = "json_float::optional")]
    #[schemars(with = "Option<json_float::Written>")]
    pub before: Option<f64>,
    /// Now.
    #[serde(with = "json_float::optional")]
    #[schemars(with = "Option<json_float::Written>")]
    pub now: Option<f64>,
    /// Change of the loss relative to the earlier one: 0.1 is 10 per cent worse.
    #[serde(with = "json_float::optional")]
    #[schemars(with = "Option<json_float::Written>")]
    pub change: Option<f64>,
    /// What that amounts to.
    pub trend: Trend,
}

impl Movement {
    /// `+12 %`, `-3 %`; a dash where nothing was measured.
    pub(super) fn percent(&self) -> String {
        match self.change {
            Some(c) if c.is_finite() => format!("{}{} %", if c > 0.0 { "+" } else { "" }, shown(100.0 * c)),
            Some(_) => "beyond".to_owned(),
            None => "-".to_owned(),
        }
    }

    /// Then and now, with as many digits as it takes to tell them apart; a dash where nothing was measured.
    pub(super) fn values(&self) -> (String, String) {
        match (self.before, self.now) {
            (Some(then), Some(now)) => apart(then, now),
            (then, now) => (value(then), value(now)),
        }
    }

    /// The place in words.
    pub(super) fn place(&self) -> String {
        self.quantity.to_string()
    }
}

impl RegressionSection {
    /// Indices of what moved, the farthest first, what is worse before what is better.
    pub(super) fn moved(&self) -> Vec<usize> {
        let mut order: Vec<usize> =
            (0..self.movements.len()).filter(|i| self.movements[*i].trend != Trend::Same).collect();
        let rank = |m: &Movement| match m.trend {
            Trend::Worse => 0,
            Trend::NotMeasured => 1,
            Trend::Better => 2,
            Trend::Same => 3,
        };
        order.sort_by(|a, b| {
            let (a, b) = (&self.movements[*a], &self.movements[*b]);
            let far = |m: &Movement| m.change.map_or(0.0, f64::abs);
            rank(a).cmp(&rank(b)).then(far(b).total_cmp(&far(a))).then_with(|| a.place().cmp(&b.place()))
        });
        order
    }

    /// One sentence.
    pub(super) fn sentence(&self) -> String {
        let mut text = format!(
            "against the earlier run of {}: {} better, {} same, {} worse",
            self.candidate, self.better, self.same, self.worse
        );
        if self.not_measured > 0 {
            text.push_str(&format!(", {} not measured in both", self.not_measured));
        }
        // What should be 1 moves from almost nothing to little by many times: not the first thing to tell.
        let moved = self.moved();
        let worse = || moved.iter().map(|i| &self.movements[*i]).filter(|m| m.trend == Trend::Worse);
        if let Some(m) = worse().find(|m| m.quantity.metric != "norm_ratio").or_else(|| worse().next()) {
            let (then, now) = m.values();
            text.push_str(&format!("; farthest {}: {then} becomes {now} ({})", m.place(), m.percent()));
        }
        text
    }
}
