//! The words that gates and waivers share: places, arms, metrics, statistics.

use std::ops::Range;

use toml::Spanned;

use super::metrics::GateMetric;
use super::{Place, Stat};
use crate::hidden_states::Arm;
use crate::spelling::nearest;

/// What is wrong with a piece of the text.
pub(super) struct Diagnostic(pub(super) Range<usize>, pub(super) String);

/// What an `on` means.
pub(super) fn place(on: &Spanned<String>) -> Result<Place, Diagnostic> {
    Place::parse(on.get_ref()).ok_or_else(|| {
        let names = ["*", "layer.*", "embeddings", "final", "pooled", "sentence", "weights", "neighbours", "task"];
        let message = format!(
            "`on = {:?}` is no place; places are a tap, `layer.*`, `*`, weights, neighbours, task",
            on.get_ref()
        );
        Diagnostic(on.span(), hinted(message, on.get_ref(), names))
    })
}

/// The arm that a place needs, or does not take.
pub(super) fn arm_of(
    place: &Place,
    arm: Option<Spanned<String>>,
    whole: &Range<usize>,
    what: &str,
) -> Result<Option<Arm>, Diagnostic> {
    match (place.has_arms(), arm) {
        (true, Some(arm)) => Ok(Some(arm_named(&arm)?)),
        (true, None) => {
            let message = format!("a {what} on `{place}` needs `arm` (one of {})", arms());
            Err(Diagnostic(whole.clone(), message))
        }
        (false, Some(arm)) => {
            let message =
                format!("a {what} on `{place}` takes no `arm`: the candidate is compared with the original only");
            Err(Diagnostic(arm.span(), message))
        }
        (false, None) => Ok(None),
    }
}

/// The arms a gate may name, in words.
fn arms() -> String {
    Arm::ALL.iter().map(|arm| arm.name()).collect::<Vec<_>>().join(", ")
}

fn arm_named(arm: &Spanned<String>) -> Result<Arm, Diagnostic> {
    Arm::ALL.iter().copied().find(|a| a.name() == arm.get_ref()).ok_or_else(|| {
        let message = format!("`arm = {:?}` is unknown; arms are {}", arm.get_ref(), arms());
        Diagnostic(arm.span(), hinted(message, arm.get_ref(), Arm::ALL.iter().map(|arm| arm.name())))
    })
}

pub(super) fn known(place: &Place, metric: &Spanned<String>) -> Result<&'static GateMetric, Diagnostic> {
    place.metrics().iter().find(|k| k.id == metric.get_ref()).ok_or_else(|| {
        let ids: Vec<&str> = place.metrics().iter().map(|k| k.id).collect();
        let message =
            format!("`metric = {:?}` does not exist on `{place}`; it has {}", metric.get_ref(), ids.join(", "));
        Diagnostic(metric.span(), hinted(message, metric.get_ref(), ids.iter().copied()))
    })
}

pub(super) fn stat_named(known: &GateMetric, stat: &Spanned<String>) -> Result<Stat, Diagnostic> {
    known.stats.iter().find(|s| s.name() == stat.get_ref()).copied().ok_or_else(|| {
        let names: Vec<&str> = known.stats.iter().map(|s| s.name()).collect();
        let message =
            format!("`stat = {:?}` does not exist for {}; it has {}", stat.get_ref(), known.id, names.join(", "));
        Diagnostic(stat.span(), hinted(message, stat.get_ref(), names.iter().copied()))
    })
}

pub(super) fn hinted<'a>(message: String, word: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    match nearest(word, names) {
        Some(name) => format!("{message}; did you mean `{name}`?"),
        None => message,
    }
}
