//! What gates may ask for: each metric with the statistics it has and the direction it is bounded in.

use super::Stat;
use crate::metrics::{Better, Kind, Limits, Loss, METRICS, Metric};

/// Which limits make sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Smaller is better: only `max`.
    Above,
    /// Larger is better: only `min`.
    Below,
    /// 1 is perfect: either.
    Either,
}

/// One metric as gates see it.
#[derive(Clone, Copy, Debug)]
pub struct GateMetric {
    /// Its name.
    pub id: &'static str,
    /// The limits that make sense.
    pub bound: Bound,
    /// The statistics it has.
    pub stats: &'static [Stat],
    /// How far from perfect a value is, and which limits would say nothing.
    pub limits: Limits,
}

impl GateMetric {
    /// An error.
    const fn error(id: &'static str, stats: &'static [Stat]) -> Self {
        Self { id, bound: Bound::Above, stats, limits: Limits::new(Loss::Error) }
    }

    /// A share or a correlation.
    const fn share(id: &'static str, stats: &'static [Stat], noise: f64) -> Self {
        Self { id, bound: Bound::Below, stats, limits: Limits::share().noise(noise) }
    }

    /// What is lost of a score between 0 and 1.
    const fn lost(id: &'static str) -> Self {
        Self::error(id, ONLY_MEAN).limits(Limits::new(Loss::Error).noise(SAME).max_up_to(0.5))
    }

    const fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// A metric of states: its row in [`METRICS`] says it all.
    const fn of(metric: &Metric) -> Self {
        let bound = match metric.better {
            Better::Lower | Better::Zero => Bound::Above,
            Better::Higher => Bound::Below,
            Better::NearOne => Bound::Either,
        };
        let stats = match metric.kind {
            Kind::PerToken => PER_TOKEN,
            Kind::WholeTap => ONLY_MEAN,
            Kind::Count => ONLY_MAX,
        };
        Self { id: metric.id, bound, stats, limits: metric.limits }
    }

    /// An upper limit past this passes anything.
    pub(super) fn loosest(&self, stat: Stat) -> Option<f64> {
        if stat == Stat::Max { self.limits.loosest_largest } else { self.limits.loosest_max }
    }
}

const PER_TOKEN: &[Stat] = &[Stat::Mean, Stat::P50, Stat::P90, Stat::P99, Stat::P999, Stat::Min, Stat::Max];
const TENSORS: &[Stat] = &[Stat::Max, Stat::Mean, Stat::Min, Stat::Total];
const ONLY_MEAN: &[Stat] = &[Stat::Mean];
const ONLY_MAX: &[Stat] = &[Stat::Max];

/// Metrics of hidden states and sentence vectors: those of [`METRICS`], in its order.
pub const TAP_METRICS: &[GateMetric] = &of_states();

const fn of_states() -> [GateMetric; METRICS.len()] {
    let mut out = [GateMetric::of(&METRICS[0]); METRICS.len()];
    let mut i = 1;
    while i < METRICS.len() {
        out[i] = GateMetric::of(&METRICS[i]);
        i += 1;
    }
    out
}

/// Correlations that agree to this are equal.
const SAME: f64 = 1e-6;
/// Neighbours that are equally near change places: one in a thousand.
const TIES: f64 = 1e-3;

/// Metrics of stored weights. `total` is over all elements of all matrices.
pub const WEIGHT_METRICS: &[GateMetric] = &[
    GateMetric::error("mse", TENSORS),
    GateMetric::error("rmse", TENSORS),
    GateMetric::error("relative_error", TENSORS).limits(Limits::new(Loss::Error).max_up_to(1.0)),
    GateMetric::error("max_abs", TENSORS),
    GateMetric {
        id: "sqnr_db",
        bound: Bound::Below,
        stats: TENSORS,
        limits: Limits::new(Loss::Decibels).noise(2e-5).min_above(0.0),
    },
    GateMetric::error("group_shift", ONLY_MAX),
    GateMetric::share("twin_equal", &[Stat::Min, Stat::Total], SAME),
    GateMetric::error("changed_groups", ONLY_MAX),
    GateMetric::error("over_twin", ONLY_MAX),
    GateMetric::error("row_over_twin", ONLY_MAX),
    GateMetric::error("group_error", ONLY_MAX),
    GateMetric::error("largest_error", ONLY_MAX),
];

/// Metrics of neighbour search: shares and correlations, of which 1 is the most and 0 is chance or worse, and errors in
/// units of the reference's own similarities.
pub const NEIGHBOUR_METRICS: &[GateMetric] = &[
    GateMetric::share("top1_agreement", ONLY_MEAN, TIES),
    GateMetric::share("top10_overlap", ONLY_MEAN, TIES),
    GateMetric::share("spearman", ONLY_MEAN, SAME),
    GateMetric::share("pearson", ONLY_MEAN, SAME),
    // A change as large as the spread leaves nothing of a search, and an own vector as far as another row's is no vector.
    GateMetric::error("similarity_shift", ONLY_MEAN).limits(Limits::new(Loss::Error).noise(SAME).max_up_to(1.0)),
    GateMetric::error("relative_distance", &[Stat::P99]).limits(Limits::new(Loss::Error).noise(SAME).max_up_to(1.0)),
];

/// What a candidate loses of a score on labels, reference minus candidate: below 0 it is better. Half of a score is a
/// model that does not know the task.
pub const TASK_METRICS: &[GateMetric] = &[
    GateMetric::lost("spearman_drop"),
    GateMetric::lost("pearson_drop"),
    GateMetric::lost("ndcg_at_10_drop"),
    GateMetric::lost("recall_at_10_drop"),
    GateMetric::lost("mrr_at_10_drop"),
];

/// What is known of limits on the metric of that name, wherever it is measured; none for a name that nothing has.
pub(super) fn limits_of(metric: &str) -> Option<&'static Limits> {
    let all = [TAP_METRICS, WEIGHT_METRICS, NEIGHBOUR_METRICS, TASK_METRICS].into_iter().flatten();
    all.into_iter().find(|known| known.id == metric).map(|known| &known.limits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{DROP, PAIR_SCORES, SEARCH_SCORES};

    #[test]
    fn one_name_has_one_loss_and_one_noise_wherever_it_is_measured() {
        for known in [WEIGHT_METRICS, NEIGHBOUR_METRICS, TASK_METRICS].into_iter().flatten() {
            let of_name = limits_of(known.id).unwrap();
            assert_eq!((of_name.loss, of_name.noise), (known.limits.loss, known.limits.noise), "{}", known.id);
            assert_eq!(known.bound == Bound::Above, of_name.loss == Loss::Error, "{}", known.id);
        }
        assert!(limits_of("rmsle").is_none());
    }

    #[test]
    fn every_score_of_labels_has_a_metric_of_its_own() {
        let scores = PAIR_SCORES.iter().map(|(name, _)| *name).chain(SEARCH_SCORES.iter().map(|(name, _)| *name));
        let names: Vec<String> = scores.map(|name| format!("{name}{DROP}")).collect();
        assert_eq!(names, TASK_METRICS.iter().map(|known| known.id).collect::<Vec<_>>());
    }

    #[test]
    fn what_improves_upwards_loses_downwards() {
        for known in TAP_METRICS {
            let (low, high) = (known.limits.loss.of(0.25), known.limits.loss.of(0.75));
            match known.bound {
                Bound::Above => assert!(low < high, "{}", known.id),
                Bound::Below | Bound::Either => assert!(low > high, "{}", known.id),
            }
        }
    }
}
