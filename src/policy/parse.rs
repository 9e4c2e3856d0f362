//! TOML text to a [`Policy`], refusing what could pass without looking.

use std::io::Read;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use super::metrics::{Bound, Known, nearest};
use super::{EMBEDDED, Evidence, Gate, Place, Policy, PolicyError, Stat};
use crate::hidden_states::Arm;

/// No policy a person writes comes near this.
const LARGEST: u64 = 1 << 20;

const ARMS: &[(&str, Arm)] = &[
    ("engine", Arm::Engine),
    ("quantization", Arm::Quantization),
    ("total", Arm::Total),
    ("device", Arm::Device),
    ("compute", Arm::Compute),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    schema: Spanned<i64>,
    #[serde(default)]
    evidence: Evidence,
    #[serde(default)]
    gate: Vec<Spanned<Entry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    on: Spanned<String>,
    arm: Option<Spanned<String>>,
    metric: Spanned<String>,
    stat: Spanned<String>,
    max: Option<Spanned<f64>>,
    min: Option<Spanned<f64>>,
    why: Option<String>,
}

/// What is wrong with a piece of the text.
struct Complaint(Range<usize>, String);

/// Text of the policy file at `path`.
pub(super) fn read(path: &str) -> Result<String, PolicyError> {
    let unreadable = |e: std::io::Error| {
        let known: Vec<&str> = EMBEDDED.iter().map(|(name, _)| *name).collect();
        let hint = nearest(path, known.iter().copied()).map_or(String::new(), |n| format!("; did you mean `{n}`?"));
        PolicyError::Unreadable { name: one_line(path), known: known.join(", "), cause: format!("{e}{hint}") }
    };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST {
        return Err(PolicyError::TooLarge { name: one_line(path), limit: LARGEST });
    }
    String::from_utf8(bytes).map_err(|e| unreadable(std::io::Error::other(e.utf8_error())))
}

/// The policy in `text`.
pub(super) fn parse(text: &str, name: &str) -> Result<Policy, PolicyError> {
    let invalid = |Complaint(span, message): Complaint| {
        let (line, column) = position(text, span.start);
        PolicyError::Invalid { name: one_line(name), line, column, message: one_line(&message) }
    };
    let file: File = toml::from_str(text).map_err(|e| {
        invalid(Complaint(e.span().unwrap_or(0..0), with_suggestion(&e.message().trim_end().replace('\n', ", "))))
    })?;
    if *file.schema.get_ref() != 1 {
        let message = format!("schema {} is not known here; this version reads schema 1", file.schema.get_ref());
        return Err(invalid(Complaint(file.schema.span(), message)));
    }
    if file.gate.is_empty() {
        return Err(invalid(Complaint(0..0, "no [[gate]]: a policy without gates passes everything".to_owned())));
    }
    let gates = file.gate.into_iter().map(gate).collect::<Result<_, _>>().map_err(invalid)?;
    Ok(Policy { schema: 1, name: name.to_owned(), evidence: file.evidence, gates, source: text.to_owned() })
}

fn gate(entry: Spanned<Entry>) -> Result<Gate, Complaint> {
    let whole = entry.span();
    let Entry { on, arm, metric, stat, max, min, why } = entry.into_inner();
    let place = Place::parse(on.get_ref()).ok_or_else(|| {
        let names = ["*", "layer.*", "embeddings", "final", "pooled", "sentence", "weights", "neighbours"];
        let message =
            format!("`on = {:?}` is no place; places are a tap, `layer.*`, `*`, weights, neighbours", on.get_ref());
        Complaint(on.span(), hinted(message, on.get_ref(), names))
    })?;
    let arm = match (place.has_arms(), arm) {
        (true, Some(arm)) => Some(arm_named(&arm)?),
        (true, None) => {
            let message = format!("a gate on `{place}` needs `arm` (engine, quantization, total or device)");
            return Err(Complaint(whole, message));
        }
        (false, Some(arm)) => {
            let message =
                format!("a gate on `{place}` takes no `arm`: the candidate is compared with the original only");
            return Err(Complaint(arm.span(), message));
        }
        (false, None) => None,
    };
    let known = known(&place, &metric)?;
    let stat = stat_named(known, &stat)?;
    limit(known, stat, whole, max.as_ref(), min.as_ref())?;
    let (max, min) = (max.map(Spanned::into_inner), min.map(Spanned::into_inner));
    Ok(Gate { on: place, arm, metric: metric.into_inner(), stat, max, min, why })
}

fn arm_named(arm: &Spanned<String>) -> Result<Arm, Complaint> {
    ARMS.iter().find(|(name, _)| name == arm.get_ref()).map(|(_, arm)| *arm).ok_or_else(|| {
        let message = format!("`arm = {:?}` is unknown; arms are engine, quantization, total, device", arm.get_ref());
        Complaint(arm.span(), hinted(message, arm.get_ref(), ARMS.iter().map(|(name, _)| *name)))
    })
}

fn known(place: &Place, metric: &Spanned<String>) -> Result<&'static Known, Complaint> {
    place.metrics().iter().find(|k| k.id == metric.get_ref()).ok_or_else(|| {
        let ids: Vec<&str> = place.metrics().iter().map(|k| k.id).collect();
        let message =
            format!("`metric = {:?}` does not exist on `{place}`; it has {}", metric.get_ref(), ids.join(", "));
        Complaint(metric.span(), hinted(message, metric.get_ref(), ids.iter().copied()))
    })
}

fn stat_named(known: &Known, stat: &Spanned<String>) -> Result<Stat, Complaint> {
    known.stats.iter().find(|s| s.name() == stat.get_ref()).copied().ok_or_else(|| {
        let names: Vec<&str> = known.stats.iter().map(|s| s.name()).collect();
        let message =
            format!("`stat = {:?}` does not exist for {}; it has {}", stat.get_ref(), known.id, names.join(", "));
        Complaint(stat.span(), hinted(message, stat.get_ref(), names.iter().copied()))
    })
}

fn limit(
    known: &Known,
    stat: Stat,
    whole: Range<usize>,
    max: Option<&Spanned<f64>>,
    min: Option<&Spanned<f64>>,
) -> Result<(), Complaint> {
    let id = known.id;
    let (limit, side) = match (max, min) {
        (Some(limit), None) => (limit, Bound::Above),
        (None, Some(limit)) => (limit, Bound::Below),
        (None, None) => {
            return Err(Complaint(whole, "a gate needs `max` or `min`: without a limit it passes everything".into()));
        }
        (Some(_), Some(_)) => {
            return Err(Complaint(whole, "a gate takes `max` or `min`, not both: write two gates".into()));
        }
    };
    let value = *limit.get_ref();
    let complain = |message: String| Err(Complaint(limit.span(), message));
    if !value.is_finite() {
        return complain(format!("a limit must be finite, found {value}"));
    }
    match (known.bound, side) {
        (Bound::Above, Bound::Below) => {
            return complain(format!("smaller is better for {id}: it needs `max`, not `min`"));
        }
        (Bound::Below, Bound::Above) => {
            return complain(format!("larger is better for {id}: it needs `min`, not `max`"));
        }
        _ => {}
    }
    sense(known, stat, side, value).map_or(Ok(()), complain)
}

/// Why a limit in the right direction still could not judge: everything keeps it, or nothing does.
fn sense(known: &Known, stat: Stat, side: Bound, value: f64) -> Option<String> {
    let id = known.id;
    match side {
        Bound::Below => {
            if stat == Stat::Max {
                return Some(format!("`min` on the largest {id} says nothing of the rest: use `stat = \"min\"`"));
            }
            if let Some(loosest) = known.loosest_min.filter(|loosest| value <= *loosest) {
                return Some(format!("`min = {value}` for {id} passes anything; it must be above {loosest}"));
            }
            let highest = known.highest.filter(|highest| value > *highest)?;
            Some(format!("`min = {value}` for {id} can never be met: its largest value is {highest}, not per cent"))
        }
        _ => {
            if stat == Stat::Min {
                return Some(format!("`max` on the smallest {id} says nothing of the rest: use `stat = \"max\"`"));
            }
            if let Some(loosest) = known.loosest_max.filter(|loosest| value > *loosest) {
                return Some(format!("`max = {value}` for {id} passes anything; it must be at most {loosest}"));
            }
            (value < 0.0).then(|| format!("`max = {value}` for {id} can never be met: it is never negative"))
        }
    }
}

fn hinted<'a>(message: String, word: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    match nearest(word, names) {
        Some(name) => format!("{message}; did you mean `{name}`?"),
        None => message,
    }
}

/// The reader's own message names what it expected; a near miss is pointed at.
fn with_suggestion(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    match (message.starts_with("unknown field"), quoted.next()) {
        (true, Some(word)) => hinted(message.to_owned(), word, quoted),
        _ => message.to_owned(),
    }
}

/// Words of the file, in a message, without what a terminal would obey.
fn one_line(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_debug().collect() } else { vec![c] }).collect()
}

/// Line and column, from 1, of a byte offset.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
    (line, column)
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
