//! TOML text to a [`Policy`], refusing what could pass without looking.

use std::io::Read;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use super::before::LARGEST_REGRESSION;
use super::metrics::{Bound, GateMetric};
use super::parse_words::{Diagnostic, arm_of, hinted, known, place, stat_named};
use super::{EMBEDDED, Evidence, Gate, Place, Policy, PolicyError, Quantity, Stat, parse_waiver};
use crate::hidden_states::Arm;
use crate::metrics::DROP;
use crate::spelling::nearest;

/// No policy a person writes comes near this.
const LARGEST: u64 = 1 << 20;

/// Fewest rows and tokens that a policy may ask for. Of n rows without a fault, fewer than 3/n of all rows have it, at
/// 95 % ("rule of three", Hanley & Lippman-Hand 1983): 30 rows tell a fault in every tenth row. Ten tokens a row.
const LEAST_ROWS: u64 = 30;
const LEAST_TOKENS: u64 = 300;

/// The loosest limit on the engine arm, relative: a control that may differ from the reference by more is no instrument.
/// Two float32 engines differ by at most 3.1e-6 on the shipped model and on MiniLM.
const LOOSEST_ENGINE: f64 = 0.01;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    schema: Spanned<i64>,
    evidence: Option<Spanned<Evidence>>,
    #[serde(default)]
    gate: Vec<Spanned<Entry>>,
    #[serde(default)]
    waiver: Vec<Spanned<parse_waiver::Entry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    on: Spanned<String>,
    arm: Option<Spanned<String>>,
    metric: Spanned<String>,
    stat: Option<Spanned<String>>,
    max: Option<Spanned<f64>>,
    min: Option<Spanned<f64>>,
    max_regression: Option<Spanned<f64>>,
    max_drop: Option<Spanned<f64>>,
    #[serde(default)]
    if_given: bool,
    why: Option<String>,
}

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
    let invalid = |Diagnostic(span, message): Diagnostic| {
        let (line, column) = position(text, span.start);
        PolicyError::Invalid { name: one_line(name), line, column, message: one_line(&message) }
    };
    let file: File = toml::from_str(text).map_err(|e| {
        invalid(Diagnostic(e.span().unwrap_or(0..0), with_suggestion(&e.message().trim_end().replace('\n', ", "))))
    })?;
    if *file.schema.get_ref() != 1 {
        let message = format!("schema {} is not known here; this version reads schema 1", file.schema.get_ref());
        return Err(invalid(Diagnostic(file.schema.span(), message)));
    }
    if file.gate.is_empty() {
        return Err(invalid(Diagnostic(0..0, "no [[gate]]: a policy without gates passes everything".to_owned())));
    }
    let evidence = file.evidence.map(evidence).transpose().map_err(invalid)?.unwrap_or_default();
    let gates: Vec<Gate> = file.gate.into_iter().map(gate).collect::<Result<_, _>>().map_err(invalid)?;
    let waivers = file.waiver.into_iter().map(|w| parse_waiver::waiver(w, &gates)).collect::<Result<_, _>>();
    Ok(Policy {
        schema: 1,
        name: name.to_owned(),
        evidence,
        gates,
        waivers: waivers.map_err(invalid)?,
        source: text.to_owned(),
        before: None,
    })
}

/// An amount that could show something.
fn evidence(stated: Spanned<Evidence>) -> Result<Evidence, Diagnostic> {
    let (span, found) = (stated.span(), stated.into_inner());
    let floors = [("min_rows", found.min_rows, LEAST_ROWS), ("min_tokens", found.min_tokens, LEAST_TOKENS)];
    match floors.iter().find(|(_, asked, least)| asked < least) {
        None => Ok(found),
        Some((key, asked, least)) => {
            let why = "fewer show too little: a fault in one row of ten would be missed in more than one run of twenty";
            Err(Diagnostic(span, format!("{key} = {asked} is below {least}; {why}")))
        }
    }
}

fn gate(entry: Spanned<Entry>) -> Result<Gate, Diagnostic> {
    let whole = entry.span();
    let mut entry = entry.into_inner();
    let place = place(&entry.on)?;
    drop_of_a_score(&place, &mut entry, &whole)?;
    let Entry { arm, metric, stat, max, min, max_regression, if_given, why, .. } = entry;
    let arm = arm_of(&place, arm, &whole, "gate")?;
    let known = known(&place, &metric)?;
    let stat = stat_named(known, &stat.ok_or_else(|| Diagnostic(whole.clone(), "missing field `stat`".to_owned()))?)?;
    if if_given && place != Place::Task {
        let message = format!("`if_given` is for labels: what a gate on `{place}` looks at is always there");
        return Err(Diagnostic(whole, message));
    }
    if max_regression.is_none() || max.is_some() || min.is_some() {
        limit(known, stat, whole, max.as_ref(), min.as_ref())?;
    }
    if let (Some(Arm::Engine), Some(max)) = (arm, &max) {
        instrument(known, max)?;
    }
    let stated = max.is_some() || min.is_some();
    if let Some(most) = &max_regression {
        regression(known, stat, arm, stated, most)?;
    }
    let [max, min, max_regression] = [max, min, max_regression].map(|limit| limit.map(Spanned::into_inner));
    let quantity = Quantity { on: place, arm, metric: metric.into_inner(), stat };
    Ok(Gate { quantity, max, min, max_regression, if_given, why })
}

/// `metric = "spearman"`, `max_drop = 0.01` is the metric `spearman_drop`, `stat = "mean"`, `max = 0.01`.
fn drop_of_a_score(place: &Place, entry: &mut Entry, whole: &Range<usize>) -> Result<(), Diagnostic> {
    let Some(most) = entry.max_drop.take() else { return Ok(()) };
    let complain = |message: &str| Err(Diagnostic(most.span(), message.to_owned()));
    if *place != Place::Task {
        return complain("`max_drop` is of a score on labels: it needs `on = \"task\"`");
    }
    if entry.max.is_some() || entry.min.is_some() || entry.stat.is_some() {
        return complain("`max_drop` stands alone: it says the limit and the statistic");
    }
    let span = entry.metric.span();
    if !entry.metric.get_ref().ends_with(DROP) {
        entry.metric = Spanned::new(span, format!("{}{DROP}", entry.metric.get_ref()));
    }
    entry.stat = Some(Spanned::new(whole.clone(), Stat::Mean.name().to_owned()));
    entry.max = Some(most);
    Ok(())
}

/// A limit that an earlier run is to set.
fn regression(
    known: &GateMetric,
    stat: Stat,
    arm: Option<Arm>,
    stated: bool,
    most: &Spanned<f64>,
) -> Result<(), Diagnostic> {
    let (id, value) = (known.id, *most.get_ref());
    if id.ends_with(DROP) {
        let message = "labels are held against the reference of the same run: `max_drop` limits what is lost";
        return Err(Diagnostic(most.span(), message.to_owned()));
    }
    let complain = |message: String| Err(Diagnostic(most.span(), message));
    if !value.is_finite() {
        return complain(format!("`max_regression` must be finite, found {value}"));
    }
    if value < 0.0 {
        return complain(format!(
            "`max_regression = {value}` asks for an improvement; 0 allows no loss, 0.10 allows 10 %"
        ));
    }
    if value > LARGEST_REGRESSION {
        let message = format!(
            "`max_regression = {value}` passes anything: {LARGEST_REGRESSION} is twice the error, 10 % is 0.10"
        );
        return complain(message);
    }
    if arm == Some(Arm::Engine) {
        return complain("the engine arm has fixed limits: it measures the instrument, not a release".into());
    }
    if ["non_finite", "zero_vectors"].contains(&id) {
        return complain(format!("{id} is a count that must be 0: it needs `max`"));
    }
    if known.bound == Bound::Either && !stated {
        return complain(format!("either side of 1 may be worse for {id}: say which with `max` or `min` beside it"));
    }
    let unjudged = match known.bound {
        Bound::Below => stat == Stat::Max,
        Bound::Above => stat == Stat::Min,
        Bound::Either => false,
    };
    if unjudged {
        return complain(format!("`max_regression` on the best {id} says nothing of the rest: use another `stat`"));
    }
    Ok(())
}

/// A limit on the engine arm that the control can be an instrument under.
fn instrument(known: &GateMetric, max: &Spanned<f64>) -> Result<(), Diagnostic> {
    let value = *max.get_ref();
    if !known.limits.relative || value <= LOOSEST_ENGINE {
        return Ok(());
    }
    let message = format!(
        "`max = {value}` on the engine arm: a control that may differ from the reference by more than {LOOSEST_ENGINE} shows \
         nothing"
    );
    Err(Diagnostic(max.span(), message))
}

fn limit(
    known: &GateMetric,
    stat: Stat,
    whole: Range<usize>,
    max: Option<&Spanned<f64>>,
    min: Option<&Spanned<f64>>,
) -> Result<(), Diagnostic> {
    let id = known.id;
    let (limit, side) = match (max, min) {
        (Some(limit), None) => (limit, Bound::Above),
        (None, Some(limit)) => (limit, Bound::Below),
        (None, None) => {
            return Err(Diagnostic(
                whole,
                "a gate needs `max` or `min` (or `max_regression`): without a limit it passes everything".into(),
            ));
        }
        (Some(_), Some(_)) => {
            return Err(Diagnostic(whole, "a gate takes `max` or `min`, not both: write two gates".into()));
        }
    };
    let value = *limit.get_ref();
    let complain = |message: String| Err(Diagnostic(limit.span(), message));
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
fn sense(known: &GateMetric, stat: Stat, side: Bound, value: f64) -> Option<String> {
    let id = known.id;
    match side {
        Bound::Below => {
            if stat == Stat::Max {
                return Some(format!("`min` on the largest {id} says nothing of the rest: use `stat = \"min\"`"));
            }
            if let Some(loosest) = known.limits.loosest_min.filter(|loosest| value <= *loosest) {
                return Some(format!("`min = {value}` for {id} passes anything; it must be above {loosest}"));
            }
            let highest = known.limits.highest.filter(|highest| value > *highest)?;
            Some(format!("`min = {value}` for {id} can never be met: its largest value is {highest}, not per cent"))
        }
        _ => {
            if stat == Stat::Min {
                return Some(format!("`max` on the smallest {id} says nothing of the rest: use `stat = \"max\"`"));
            }
            if let Some(loosest) = known.loosest(stat).filter(|loosest| value > *loosest) {
                return Some(format!("`max = {value}` for {id} passes anything; it must be at most {loosest}"));
            }
            (value < 0.0).then(|| format!("`max = {value}` for {id} can never be met: it is never negative"))
        }
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
