//! Every metric at one tap of one arm: fed a row at a time, merged across shards, read as measurements.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use super::gathered::Gathered;
use super::worst::compare_badness;
use super::{
    Formula, METRICS, Measurement, Metric, MetricsError, Mode, Scale, TokenSums, cosine_distance, relative_l2,
};
use crate::hidden_states::{Arm, RowId, Tap};
use crate::metrics::ExactSum;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct State {
    tap: Tap,
    arm: Arm,
    mode: Mode,
    /// Width of the states, once known.
    hidden: Option<usize>,
    tokens: u64,
    scale: Option<Scale>,
    reference: ExactSum,
    difference: ExactSum,
    /// In the order of [`METRICS`], each under its id.
    gathered: Vec<(String, Gathered)>,
}

/// What a row looked like: for lists of worst rows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RowSeen {
    /// Vectors of the row.
    pub tokens: usize,
    /// The largest relative L2 of its tokens (NaN is largest); `None` for a row without tokens.
    pub relative_l2: Option<f64>,
    /// The token where that was; `None` at sentence level.
    pub token: Option<u32>,
    /// The largest cosine distance of its tokens: at sentence level, the sentence's.
    pub cosine_distance: Option<f64>,
}

/// Accumulates every metric of [`METRICS`] at one tap of one arm. Memory does not grow with rows.
///
/// Serialises to the same bytes whatever the order of rows and merges.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct TapAccumulator(State);

impl TapAccumulator {
    /// Nothing measured yet.
    ///
    /// `scale` holds the reference side's standard deviation of each dimension at this tap (see
    /// [`super::ScaleAccumulator`]); without a usable one, metrics that need it are not measured.
    pub fn new(tap: Tap, arm: Arm, mode: Mode, scale: Option<Arc<[f64]>>) -> Self {
        Self(State {
            tap,
            arm,
            mode,
            hidden: None,
            tokens: 0,
            scale: scale.and_then(Scale::new),
            reference: ExactSum::new(),
            difference: ExactSum::new(),
            gathered: METRICS.iter().map(|m| (m.id.to_owned(), Gathered::of(m))).collect(),
        })
    }

    /// The tap it measures.
    pub fn tap(&self) -> Tap {
        self.0.tap
    }

    /// The arm it measures.
    pub fn arm(&self) -> Arm {
        self.0.arm
    }

    /// Vectors measured so far.
    pub fn tokens(&self) -> u64 {
        self.0.tokens
    }

    /// Adds one row: both sides `[tokens, hidden]`. On an error nothing was added.
    pub fn add_row(
        &mut self,
        row: RowId,
        reference: &[f32],
        candidate: &[f32],
        hidden: usize,
    ) -> Result<RowSeen, MetricsError> {
        self.check(row, reference, candidate, hidden)?;
        let state = &mut self.0;
        state.hidden = Some(hidden);
        let mut seen = RowSeen::default();
        state.add_whole(reference, candidate, hidden);
        for (i, (r, c)) in reference.chunks_exact(hidden).zip(candidate.chunks_exact(hidden)).enumerate() {
            let token = if state.tap.is_sentence_level() { None } else { u32::try_from(i).ok() };
            let sums = TokenSums::of(r, c, state.scale.as_ref());
            state.add(row, token, &sums, r, c);
            seen.add(token, &sums);
        }
        Ok(seen)
    }

    fn check(&self, row: RowId, reference: &[f32], candidate: &[f32], hidden: usize) -> Result<(), MetricsError> {
        let State { tap, arm, .. } = self.0;
        let (found, values) = (hidden, reference.len());
        if values != candidate.len() {
            return Err(MetricsError::Length { tap, arm, row, reference: values, candidate: candidate.len() });
        }
        if hidden == 0 || !values.is_multiple_of(hidden) {
            return Err(MetricsError::Ragged { tap, arm, row, values, hidden });
        }
        let scale = self.0.scale.as_ref().map(Scale::dimensions);
        if let Some(expected) = self.0.hidden.or(scale).filter(|&expected| expected != hidden) {
            return Err(MetricsError::Width { tap, arm, expected, found });
        }
        if tap.is_sentence_level() && values != hidden {
            return Err(MetricsError::NotOneVector { tap, arm, row, found: values / hidden });
        }
        Ok(())
    }

    /// Adds what another accumulator of the same tap, arm, mode, width and scale has gathered, exactly.
    pub fn merge(&mut self, other: &Self) -> Result<(), MetricsError> {
        let (mine, theirs) = (&mut self.0, &other.0);
        let what = if (mine.tap, mine.arm, mine.mode) != (theirs.tap, theirs.arm, theirs.mode) {
            Some("tap, arm or mode")
        } else if mine.hidden.zip(theirs.hidden).is_some_and(|(a, b)| a != b) {
            Some("the width of their states")
        } else if mine.scale != theirs.scale {
            Some("the standard deviations they divide by")
        } else {
            None
        };
        if let Some(what) = what {
            return Err(MetricsError::Unmergeable { expected: mine.describe(), found: theirs.describe(), what });
        }
        mine.hidden = mine.hidden.or(theirs.hidden);
        mine.tokens = mine.tokens.saturating_add(theirs.tokens);
        mine.reference.merge(&theirs.reference);
        mine.difference.merge(&theirs.difference);
        for ((metric, (_, mine)), (_, theirs)) in METRICS.iter().zip(&mut mine.gathered).zip(&theirs.gathered) {
            match (mine, theirs) {
                (Gathered::PerToken(a), Gathered::PerToken(b)) => a.merge(b, metric.better),
                (Gathered::Count(a), Gathered::Count(b)) => a.merge(b),
                (Gathered::Rows(a), Gathered::Rows(b)) => a.merge(b),
                _ => {}
            }
        }
        Ok(())
    }

    /// One measurement per metric, in the order of [`METRICS`].
    ///
    /// Without tokens a measurement has count 0 and no statistic: nothing measured is never 0.
    pub fn finish(&self) -> Vec<Measurement> {
        METRICS
            .iter()
            .zip(&self.0.gathered)
            .filter(|(metric, _)| !metric.needs_scale || self.0.scale.is_some())
            .filter(|(metric, _)| metric.is_measured_at(self.0.tap))
            .map(|(metric, (_, gathered))| self.0.measurement(metric, gathered))
            .collect()
    }
}

impl State {
    fn add_whole(&mut self, reference: &[f32], candidate: &[f32], hidden: usize) {
        for (metric, (_, gathered)) in METRICS.iter().zip(&mut self.gathered) {
            if let (Formula::Rows(of, _), Gathered::Rows(rows)) = (metric.formula, gathered)
                && let Some(sums) = of(reference, candidate, hidden)
            {
                rows.add(sums);
            }
        }
    }

    fn add(&mut self, row: RowId, token: Option<u32>, sums: &TokenSums, r: &[f32], c: &[f32]) {
        self.tokens = self.tokens.saturating_add(1);
        self.reference.add(sums.reference);
        self.difference.add(sums.difference);
        for (metric, (_, gathered)) in METRICS.iter().zip(&mut self.gathered) {
            match (metric.formula, gathered) {
                (Formula::Token(of), Gathered::PerToken(values)) if !metric.needs_scale || self.scale.is_some() => {
                    let element = || if metric.elementwise { sums.place_of_max_abs(r, c) } else { None };
                    values.add(metric.better, of(sums), row, token, element);
                }
                (Formula::Count(of), Gathered::Count(total)) => total.add(of(sums), row, token),
                _ => {}
            }
        }
    }

    fn describe(&self) -> String {
        let hidden = self.hidden.map_or_else(|| "unknown".to_owned(), |h| h.to_string());
        format!("{} arm, tap `{}`, {:?}, width {hidden}", self.arm, self.tap, self.mode)
    }

    fn measurement(&self, metric: &Metric, gathered: &Gathered) -> Measurement {
        let mut m = Measurement {
            tap: self.tap,
            arm: self.arm,
            mode: self.mode,
            metric: metric.id.to_owned(),
            count: self.tokens,
            mean: None,
            p50: None,
            p90: None,
            p99: None,
            p999: None,
            min: None,
            max: None,
            worst: None,
        };
        if self.tokens == 0 {
            return m;
        }
        match (metric.formula, gathered) {
            (Formula::Whole(of), _) => m.mean = Some(of(self.reference.value(), self.difference.value())),
            (_, Gathered::Count(total)) => {
                m.mean = Some(total.total() as f64);
                m.max = m.mean;
                m.worst = total.worst();
            }
            (_, Gathered::PerToken(values)) => {
                let histogram = values.histogram();
                m.mean = values.mean();
                [m.p50, m.p90, m.p99, m.p999] = [500, 900, 990, 999].map(|p| histogram.quantile(p));
                (m.min, m.max) = (histogram.min(), histogram.max());
                m.worst = values.worst();
            }
            (Formula::Rows(_, value), Gathered::Rows(rows)) => {
                m.count = rows.rows;
                m.mean = (rows.rows > 0).then(|| value(rows.sums.each_ref().map(ExactSum::value)));
            }
            (_, Gathered::WholeTap | Gathered::Rows(_)) => {}
        }
        m
    }
}

impl RowSeen {
    fn add(&mut self, token: Option<u32>, sums: &TokenSums) {
        let worse = |new: f64, old: Option<f64>| old.is_none_or(|old| compare_badness(new, old).is_gt());
        self.tokens += 1;
        let (relative, cosine) = (relative_l2::of(sums), cosine_distance::of(sums));
        if worse(relative, self.relative_l2) {
            (self.relative_l2, self.token) = (Some(relative), token);
        }
        if worse(cosine, self.cosine_distance) {
            self.cosine_distance = Some(cosine);
        }
    }
}

impl<'de> Deserialize<'de> for TapAccumulator {
    /// Refuses states gathered under another METRICS table: their numbers would land under wrong names.
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let state = State::deserialize(d)?;
        let same = state.gathered.len() == METRICS.len()
            && METRICS.iter().zip(&state.gathered).all(|(m, (id, gathered))| {
                m.id == id && std::mem::discriminant(&Gathered::of(m)) == std::mem::discriminant(gathered)
            });
        if !same {
            return Err(serde::de::Error::custom("a saved summary holds other metrics than this version measures"));
        }
        Ok(Self(state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hidden_states::RowSet;

    #[test]
    fn vectors_are_counted_and_what_cannot_be_merged_is_described() {
        let mut one = TapAccumulator::new(Tap::Layer(0), Arm::Engine, Mode::Accumulated, None);
        one.add_row(RowId { set: RowSet::Corpus, row: 0 }, &[1.0; 6], &[1.0; 6], 2).unwrap();
        assert_eq!(one.tokens(), 3);
        let other = TapAccumulator::new(Tap::Final, Arm::Total, Mode::Isolated, None);
        let error = one.merge(&other).unwrap_err().to_string();
        for words in
            ["engine arm, tap `layer.0`, Accumulated, width 2", "total arm, tap `final`, Isolated, width unknown"]
        {
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn without_a_scale_nothing_is_gathered_for_what_needs_one() {
        let mut tap = TapAccumulator::new(Tap::Layer(0), Arm::Engine, Mode::Accumulated, None);
        let gathered = |tap: &TapAccumulator| {
            let entries = tap.0.gathered.iter().zip(METRICS).filter(|(_, metric)| metric.needs_scale);
            serde_json::to_string(&entries.map(|(entry, _)| entry).collect::<Vec<_>>()).unwrap()
        };
        let empty = gathered(&tap);
        assert_ne!(empty, "[]");
        tap.add_row(RowId { set: RowSet::Corpus, row: 0 }, &[1.0, 2.0], &[1.0, 3.0], 2).unwrap();
        assert_eq!(gathered(&tap), empty);
    }
}
