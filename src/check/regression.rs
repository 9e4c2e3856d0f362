//! This run against an earlier one: is it the same question, and how did the answers move?

use crate::finding::{Code, Finding, Severity, codes};
use crate::hidden_states::Arm;
use crate::policy::{Before, Place, Quantity, Stat, Trend, change};
use crate::report::{Movement, RegressionSection, Report, escape};
use crate::verdict::Verdict;

/// The code of the finding that says why two runs cannot be compared.
const CODE: &Code = &codes::BASELINE_NOT_COMPARABLE;

/// The code of the finding that says that two formats are compared, as asked.
const OTHER_FORMAT: &Code = &codes::BASELINE_OTHER_FORMAT;

/// An earlier run.
#[derive(Clone, Copy, Debug)]
pub struct Earlier<'a> {
    /// Its report.
    pub report: &'a Report,
    /// True where its candidate may be stored in another format.
    pub other_format: bool,
}

/// What an earlier report measured, as limits are held against it.
pub(super) fn before(earlier: &Report) -> Before {
    Before {
        measurements: earlier.measurements.clone(),
        weights: earlier.weights.clone(),
        neighbours: earlier.sentence.neighbours,
    }
}

/// Everything that must be the same for numbers of two candidates to be comparable: reference, corpus, and how both were read.
pub(super) fn comparable(now: &Report, Earlier { report: earlier, other_format }: Earlier<'_>) -> Vec<Finding> {
    let mut found: Vec<Finding> = format(now, earlier, other_format).into_iter().collect();
    for (what, ours, theirs) in facts(now).into_iter().zip(facts(earlier)).map(|((what, a), (_, b))| (what, a, b)) {
        if ours != theirs {
            let message = format!(
                "the earlier run had another {what} ({theirs}, now {ours}): its numbers answer another question"
            );
            found.push(Finding::new(Severity::Refusal, CODE, message));
        }
    }
    let useless = match earlier.verdict {
        _ if earlier.measurements.is_empty() => Some("the earlier run measured nothing"),
        Verdict::Inconclusive => {
            Some("the earlier run was inconclusive itself: its numbers prove nothing to hold others against")
        }
        _ => None,
    };
    found.extend(useless.map(|why| Finding::new(Severity::Refusal, CODE, why.to_owned())));
    found
}

/// Weights at other widths answer another question: what 8 bits lose beside what 4 bits lost is no regression.
fn format(now: &Report, earlier: &Report, allowed: bool) -> Option<Finding> {
    let (ours, theirs) = (&now.provenance.candidate_format, &earlier.provenance.candidate_format);
    if theirs.is_empty() || ours.is_empty() {
        let message = "one of the two reports does not say in which format its candidate's weights are stored: run that check again";
        return Some(Finding::new(Severity::Refusal, CODE, message.to_owned()));
    }
    if ours == theirs {
        return None;
    }
    let (ours, theirs) = (escape::plain(ours, 200), escape::plain(theirs, 200));
    let said = format!("the earlier run's candidate is stored in another format ({theirs}; now {ours})");
    Some(match allowed {
        true => Finding::new(Severity::Warning, OTHER_FORMAT, said),
        false => {
            let message = format!(
                "{said}: its numbers bound nothing here; give one of the same format, or --baseline-other-format"
            );
            Finding::new(Severity::Refusal, CODE, message)
        }
    })
}

/// Facts by their names, in words.
fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let corpus = &report.corpus;
    let options = &report.provenance.options;
    let option = |name: &str| options.get(name).cloned().unwrap_or_else(|| "-".to_owned());
    let short = |sha256: &str| sha256.chars().take(12).collect::<String>();
    let inputs = report.provenance.inputs.iter();
    // Every file of the reference's side: its graph, external data, tokenizer and modules all decide its answers.
    let mut reference: Vec<String> = inputs.filter(|i| i.role != "candidate").map(|i| short(&i.sha256)).collect();
    reference.sort_unstable();
    reference.dedup();
    let sources: Vec<String> = corpus.sources.iter().map(|s| short(&s.sha256)).collect();
    vec![
        ("reference", reference.join(" ")),
        ("corpus", sources.join(" ")),
        ("number of rows", corpus.rows.to_string()),
        ("number of tokens", corpus.tokens.to_string()),
        ("number of rows the control ran", corpus.control_rows.to_string()),
        ("length limit", corpus.max_length.to_string()),
        ("prompt", corpus.prompt.clone().unwrap_or_else(|| "-".to_owned())),
        ("pooling", report.sentence.pooling.clone()),
        ("width of sentence vectors", report.sentence.dimension.to_string()),
        ("way weights are taken", option("weights")),
        ("emulation", option("emulate")),
    ]
}

/// What is told of every run, limited or not: how far states, sentences and weights are off.
fn headlines(report: &Report) -> Vec<Quantity> {
    let of = |on, arm, metric: &str, stat| Quantity { on, arm, metric: metric.to_owned(), stat };
    let states = ["relative_l2", "standardized_l2"].map(|metric| (Arm::Quantization, metric));
    let mut out = Vec::new();
    for tap in report.measurements.taps() {
        let told: &[(Arm, &str)] = if tap.is_sentence_level() { &[(Arm::Total, "cosine_distance")] } else { &states };
        for (arm, metric) in told {
            out.extend([Stat::P99, Stat::Max].map(|stat| of(Place::Tap(tap), Some(*arm), metric, stat)));
        }
    }
    out.push(of(Place::Weights, None, "relative_error", Stat::Total));
    out
}

/// How every number moved that a gate looks at, in the order of the gates, and then what is told of every run; each once.
pub(super) fn section(now: &Report, earlier: &Report) -> RegressionSection {
    let before = before(earlier);
    let mut movements: Vec<Movement> = Vec::new();
    let headlines = headlines(now);
    for quantity in now.gates.iter().map(|gate| &gate.quantity).chain(&headlines) {
        if movements.iter().any(|m| m.quantity == *quantity) {
            continue;
        }
        let was = before.observed(quantity);
        // A gate whose limit lacks an earlier value holds no value of its own.
        let limited = now.gates.iter().find(|g| g.observed.is_some() && g.quantity == *quantity);
        let is = limited.and_then(|g| g.observed).or_else(|| now.measured().observed(quantity));
        let (relative, trend) = change(&quantity.metric, was, is);
        movements.push(Movement { quantity: quantity.clone(), before: was, now: is, change: relative, trend });
    }
    let count = |trend| movements.iter().filter(|m| m.trend == trend).count();
    RegressionSection {
        candidate: earlier.alignment.candidate.clone(),
        policy: earlier.provenance.policy.clone(),
        started: earlier.provenance.run.started.clone(),
        better: count(Trend::Better),
        same: count(Trend::Same),
        worse: count(Trend::Worse),
        not_measured: count(Trend::NotMeasured),
        movements,
    }
}
