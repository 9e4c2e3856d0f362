//! Words and numbers that several formats share.

use std::collections::BTreeMap;

use super::Report;
use super::escape::plain;
use crate::figures::number;
use crate::finding::codes;
use crate::hidden_states::{Arm, Tap};
use crate::metrics::{Measurement, Mode};
use crate::policy::{Direction, GateResult, Outcome, Place, Quantity, Question, Stat};
use crate::verdict::{Answer, Answers, Reason};
use crate::weights;

/// The metric of the per-tap table.
pub(super) const HEADLINE: &str = "relative_l2";
/// Where sentence vectors are judged.
pub(super) const SENTENCE: Place = Place::Tap(Tap::Sentence);

/// Taps that hold measurements, in the order of the forward pass.
pub(super) fn taps(report: &Report) -> Vec<Tap> {
    report.measurements.taps()
}

/// The accumulated measurement of a metric there.
pub(super) fn measurement<'a>(report: &'a Report, tap: Tap, arm: Arm, metric: &str) -> Option<&'a Measurement> {
    report.measurements.of(tap, arm, Mode::Accumulated, metric)
}

/// A layer whose error is more than this many times the one before is where to look first.
const JUMP: f64 = 4.0;

/// Where the candidate's error (99th percentile of the headline metric) first grows out of proportion.
pub(super) struct Jump {
    pub(super) from: Tap,
    pub(super) to: Tap,
    pub(super) before: f64,
    pub(super) after: f64,
}

/// The first jump between neighbouring layers; NaN after a number is one too.
pub(super) fn first_jump(report: &Report) -> Option<Jump> {
    let p99 = |tap| measurement(report, tap, Arm::Quantization, HEADLINE).and_then(|m| m.p99);
    let stages = taps(report).into_iter().filter(|t| matches!(t, Tap::Embeddings | Tap::Layer(_)));
    let curve: Vec<(Tap, f64)> = stages.filter_map(|tap| Some((tap, p99(tap)?))).collect();
    let jumps = |pair: &&[(Tap, f64)]| {
        let ((from, before), (_, after)) = (pair[0], pair[1]);
        // Embeddings are often left unquantized; what follows them is then no jump but a beginning.
        let exact_start = from == Tap::Embeddings && before == 0.0;
        let in_proportion = after <= JUMP * before;
        !before.is_nan() && !exact_start && !in_proportion
    };
    curve.windows(2).find(jumps).map(|pair| Jump {
        from: pair[0].0,
        to: pair[1].0,
        before: pair[0].1,
        after: pair[1].1,
    })
}

impl Jump {
    /// One sentence.
    pub(super) fn sentence(&self) -> String {
        let (before, after) = crate::figures::apart(self.before, self.after);
        format!("the error jumps at {}: {before} at {} becomes {after}", self.to, self.from)
    }
}

/// `10 of 10 planted faults seen, 7 by this policy's own limits, the smallest moves states by 3e-4`; none when none were
/// planted.
pub(super) fn planted(report: &Report) -> Option<String> {
    let section = &report.alignment.canaries;
    let tried: Vec<_> = section.canaries.iter().filter(|c| c.not_planted.is_none()).collect();
    let seen = tried.iter().filter(|c| c.seen_by.is_some()).count();
    let limits = tried.iter().filter(|c| c.limits.is_some()).count();
    // A policy without limits on states leaves them to the proofs.
    let of_states =
        |g: &GateResult| matches!(g.quantity.arm, Some(Arm::Quantization | Arm::Total)) && !g.is_non_finite();
    let own = if limits < seen && report.gates.iter().any(of_states) {
        format!(", {limits} by this policy's own limits")
    } else {
        String::new()
    };
    let smallest = tried.iter().find(|c| Some(&c.id) == section.smallest.as_ref()).and_then(|c| c.effect);
    let smallest = smallest.map_or_else(String::new, |e| format!(", the smallest moves states by {}", number(e)));
    (!tried.is_empty()).then(|| format!("{seen} of {} planted faults seen{own}{smallest}", tried.len()))
}

/// One line per planted fault.
pub(super) fn canaries(report: &Report) -> Vec<String> {
    let said = |c: &super::CanarySection| match (&c.seen_by, &c.not_planted) {
        (_, Some(why)) => format!("not planted, {why}"),
        (Some(by), _) => match c.stated.as_ref().filter(|proof| *proof != by) {
            Some(proof) => format!("moves states by {}, seen by {by}; {proof}", value(c.effect)),
            None => format!("moves states by {}, seen by {by}", value(c.effect)),
        },
        (None, None) => format!("moves states by {}, SEEN BY NOTHING", value(c.effect)),
    };
    let line = |c: &super::CanarySection| format!("  planted {}: {}", plain(&c.fault, 200), plain(&said(c), 300));
    report.alignment.canaries.canaries.iter().map(line).collect()
}

/// What was waived or overruled on the command line, and what a device computes otherwise, in words: it must stand in the
/// verdict itself.
pub(super) fn caveats(report: &Report) -> impl Iterator<Item = String> + '_ {
    let noticed = report.findings.iter().filter(|f| f.severity <= crate::finding::Severity::Warning);
    noticed.filter_map(|f| {
        let word = codes::find(&f.code)?.caveat?;
        Some(format!("{word}: {}", f.message))
    })
}

/// What to do about the first reason, and the command that tells more; none without a reason.
pub(super) fn next_step(report: &Report) -> Option<(&'static str, String)> {
    let reason = report.reasons.first()?;
    let row = codes::find(&reason.code)?;
    // Of a family the code's own end is a setting out of a file.
    let code = if row.family().is_some() { plain(&reason.code, 80) } else { row.code.to_owned() };
    Some((row.todo, format!("parallax explain {code}")))
}

/// What follows from a nearer cause, in a few words: `4 gate.exceeded, 2 twin.states`.
pub(super) fn consequences<'a>(reasons: impl IntoIterator<Item = &'a Reason>) -> String {
    let mut counted: BTreeMap<String, usize> = BTreeMap::new();
    for reason in reasons {
        *counted.entry(plain(&reason.code, 80)).or_default() += 1;
    }
    counted.iter().map(|(code, n)| format!("{n} {code}")).collect::<Vec<_>>().join(", ")
}

/// One of the two answers, in a line; and the reason it was taken from, by its place.
pub(super) struct AnswerLine {
    pub(super) line: String,
    pub(super) reason: Option<usize>,
}

/// Both answers: yes with what proves it, or the first reason for another answer.
pub(super) fn answers(report: &Report) -> [AnswerLine; 2] {
    let of = |question, name: &str, answer: Answer, yes: String| {
        let here = |r: &Reason| r.question == question;
        // What was found tells the cause, a limit exceeded only that there is one.
        let found = |r: &Reason| here(r) && !r.code.starts_with("gate.");
        let first = |of: &dyn Fn(&Reason) -> bool| report.reasons.iter().position(of);
        let reason = match answer {
            // A contradiction, and of those the nearest cause.
            Answer::No => first(&|r| r.proven && !r.follows && found(r))
                .or_else(|| first(&|r| r.proven && found(r)))
                .or_else(|| first(&|r| r.proven && here(r))),
            Answer::Unproven => first(&found).or_else(|| first(&here)),
            Answer::Yes | Answer::NotAsked => None,
        };
        let because = reason.and_then(|i| report.reasons.get(i)).map_or(yes, |r| r.message.clone());
        let because = if because.is_empty() { because } else { format!(": {because}") };
        AnswerLine { line: format!("{name} {answer}{because}"), reason }
    };
    let Answers { faithful, fit } = report.answers;
    let exact = || "every tensor is the original's, as its type holds it".to_owned();
    let proof = if faithful == Answer::Yes { twin(report).unwrap_or_else(exact) } else { String::new() };
    [
        of(Question::Faithful, "faithful", faithful, proof),
        of(
            Question::Fit,
            "fit",
            fit,
            if fit == Answer::Yes { cost(report).unwrap_or_default() } else { String::new() },
        ),
    ]
}

/// A limit on what users get of sentence vectors; its metric says where it looks.
fn is_of_sentences(gate: &GateResult) -> bool {
    matches!(gate.quantity.on, Place::Neighbours | Place::Task)
}

/// What the format costs: each limit of the policy on it, with what was measured.
fn cost(report: &Report) -> Option<String> {
    let at = |g: &GateResult| {
        let side = if g.direction == Direction::Max { "at most" } else { "at least" };
        let place = if is_of_sentences(g) { String::new() } else { format!("{} ", g.quantity.on) };
        let name = plain(&g.quantity.metric, 60).replace('_', " ");
        Some(format!("{place}{name} {} ({side} {})", number(g.observed?), number(g.limit)))
    };
    let asked = report.gates.iter().filter(|g| is_of_sentences(g));
    let all: Vec<String> = asked.filter_map(at).collect();
    let others = report.gates.iter().filter(|g| g.quantity.question() == Question::Fit && !g.is_non_finite()).count();
    match (all.is_empty(), others) {
        (true, 0) => None,
        (true, n) => Some(format!("{n} limits on what the format costs, all of them met")),
        _ => Some(all.join(", ")),
    }
}

/// The largest error at a tap over that of MLX's own conversion; none where it was not measured.
pub(super) fn over_twin(report: &Report, tap: Tap) -> Option<f64> {
    let taps = report.alignment.twin.batches.iter().flat_map(|b| &b.taps);
    taps.filter(|t| t.tap == tap).map(|t| t.over_twin).max_by(f64::total_cmp)
}

/// What the wrong layer and another sentence would measure there.
pub(super) fn unlike(report: &Report, tap: Tap) -> [Option<f64>; 2] {
    let unlike = &report.alignment.unlike;
    let metric = if tap.is_sentence_level() { "cosine_distance" } else { HEADLINE };
    [&unlike.wrong_layer, &unlike.mismatched_sentence]
        .map(|all| all.of(tap, Arm::Total, Mode::Accumulated, metric)?.p99)
}

/// The device arm in one line: whose states, how far from the candidate at worst; none without a recording.
pub(super) fn device(report: &Report) -> Option<String> {
    let compared = report.findings.iter().find(|f| f.is(&codes::RECORDING_COMPARED))?;
    let mut line = format!("device: {}", compared.message);
    let p99 = |tap: &Tap| measurement(report, *tap, Arm::Device, HEADLINE).and_then(|m| m.p99);
    let tokens = taps(report).into_iter().filter(|t| !t.is_sentence_level());
    // `total_cmp` ranks NaN above every number; of equals the earliest tap is named.
    let worst = tokens.filter_map(|t| Some((t, p99(&t)?))).collect::<Vec<_>>();
    let worst = worst.into_iter().rev().max_by(|a, b| a.1.total_cmp(&b.1));
    if let Some((tap, seen)) = worst {
        line.push_str(&format!("; {HEADLINE} p99 at most {} ({tap})", number(seen)));
    }
    Some(line)
}

/// The compute arm in one line: how far half precision moves the candidate's own states; none where none was asked for.
pub(super) fn compute(report: &Report) -> Option<String> {
    let compute = report.provenance.options.get("compute")?;
    let p99 = |tap: &Tap| measurement(report, *tap, Arm::Compute, HEADLINE).and_then(|m| m.p99);
    let worst = taps(report).into_iter().filter(|t| !t.is_sentence_level()).filter_map(|t| Some((t, p99(&t)?)));
    let (tap, seen) = worst.collect::<Vec<_>>().into_iter().rev().max_by(|a, b| a.1.total_cmp(&b.1))?;
    let sentence = measurement(report, Tap::Sentence, Arm::Compute, "cosine_distance").and_then(|m| m.max);
    let sentence = sentence.map_or_else(String::new, |s| format!(", sentence cosine distance at most {}", number(s)));
    Some(format!(
        "activations in {compute} would move the candidate's states by {HEADLINE} p99 {} ({tap}){sentence}",
        number(seen)
    ))
}

/// How much was compared, and what of it is evidence where rows repeat each other.
pub(super) fn amount(report: &Report) -> String {
    let (corpus, distinct) = (&report.corpus, report.corpus.amount());
    let mut text = format!("{} rows, {} tokens", count(corpus.rows), count(corpus.tokens));
    if distinct.rows < corpus.rows {
        let (rows, tokens) = (count(distinct.rows), count(distinct.tokens));
        text.push_str(&format!(" (of which {rows} rows, {tokens} tokens are not said before)"));
    }
    text
}

/// `354,408 of 354,408 groups are what MLX makes of this original`, and which quantizers made the others; none where
/// nothing is quantized.
pub(super) fn twin(report: &Report) -> Option<String> {
    let sentence = report.weights.totals.twin.sentence()?;
    let others = weights::makers(&report.weights).map_or_else(String::new, |makers| format!("; {makers}"));
    Some(sentence + &others)
}

/// `12,345`.
pub(super) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// A number of a report, or a dash where nothing was measured.
pub(super) fn value(v: Option<f64>) -> String {
    v.map_or_else(|| "-".to_owned(), crate::figures::number)
}

/// How all gates on a tap came out: the worst of them; none without gates.
pub(super) fn worst_outcome(report: &Report, tap: Tap) -> Option<Outcome> {
    let here = report.gates.iter().filter(|g| g.quantity.tap() == Some(tap));
    here.map(|g| g.outcome).max_by_key(|o| o.gravity())
}

/// The limit on the candidate's 99th percentile of a metric there, and where it stands in the list.
pub(super) fn limit<'a>(report: &'a Report, tap: Tap, metric: &str) -> Option<(usize, &'a GateResult)> {
    let is = |g: &GateResult| g.quantity.is_at(tap, Arm::Quantization) && g.quantity.is_of(metric, Stat::P99);
    report.gates.iter().enumerate().find(|(_, g)| is(g))
}

/// The same for people: none where nothing is exceeded and the policy has no limit on the candidate there. That the
/// engine's is met, and that every value is a number, says nothing of how far the candidate is.
pub(super) fn outcome(report: &Report, tap: Tap) -> Option<Outcome> {
    let of_candidate = |g: &GateResult| g.quantity.arm != Some(Arm::Engine) && !g.is_non_finite();
    let limited = report.gates.iter().any(|g| g.quantity.tap() == Some(tap) && of_candidate(g));
    worst_outcome(report, tap).filter(|worst| limited || *worst != Outcome::Pass)
}

/// How much of its limit a gate uses up, above 1 exactly when the limit is broken; none where nothing was measured. What
/// should be 1 is measured from there: a norm ratio of 0.99 is not at 99 per cent of a limit of 1.1.
pub(super) fn used(gate: &GateResult) -> Option<f64> {
    match (gate.quantity.metric.as_str(), gate.observed) {
        ("norm_ratio", Some(seen)) if gate.outcome == Outcome::Pass => {
            let used = (seen - 1.0) / (gate.limit - 1.0);
            Some(if used.is_finite() { used.clamp(0.0, 1.0) } else { 0.0 })
        }
        _ => gate.margin,
    }
}

/// A gate's name: unique within a policy, the same from run to run.
pub(super) fn gate_name(gate: &GateResult) -> String {
    let side = if gate.direction == Direction::Min { " (lower limit)" } else { "" };
    let Quantity { on, metric, stat, .. } = &gate.quantity;
    format!("{on} {metric} {stat}{side}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tap_without_a_limit_on_the_candidate_is_not_ok_and_a_broken_engine_shows() {
        let mut report = crate::report::sample::passing();
        let tap = report.gates.iter().find_map(|g| g.quantity.tap()).unwrap();
        assert_eq!(outcome(&report, tap), Some(Outcome::Pass));
        report.gates.iter_mut().for_each(|g| g.quantity.arm = Some(Arm::Engine));
        assert_eq!(outcome(&report, tap), None);
        report.gates.iter_mut().for_each(|g| g.outcome = Outcome::Fail);
        assert_eq!(outcome(&report, tap), Some(Outcome::Fail));
    }
    use crate::report::sample;

    fn jump(curve: &[f64]) -> Option<String> {
        let mut report = sample::failing();
        let template = report.measurements.iter().find(|m| m.arm == Arm::Quantization).unwrap().clone();
        report.measurements = (0..)
            .zip(curve)
            .map(|(i, &v)| {
                let tap = if i == 0 { Tap::Embeddings } else { Tap::Layer(i - 1) };
                Measurement { tap, p99: Some(v), ..template.clone() }
            })
            .collect();
        first_jump(&report).map(|j| j.sentence())
    }

    #[test]
    fn what_should_be_one_is_measured_from_there() {
        let mut gate = sample::passing().gates[0].clone();
        (gate.quantity.metric, gate.limit, gate.observed, gate.margin) =
            ("norm_ratio".into(), 1.1, Some(1.01), Some(1.01 / 1.1));
        assert!((used(&gate).unwrap() - 0.1).abs() < 1e-9);
        (gate.limit, gate.direction) = (0.9, Direction::Min);
        assert_eq!(used(&gate), Some(0.0), "on the other side of 1");
        (gate.outcome, gate.margin) = (Outcome::Fail, Some(1.2));
        assert_eq!(used(&gate), Some(1.2));
    }

    #[test]
    fn the_first_layer_out_of_proportion_is_named() {
        assert_eq!(jump(&[]), None);
        assert_eq!(jump(&[0.01, 0.04, 0.16, 0.2]), None, "four times is still in proportion");
        assert_eq!(jump(&[0.01, 0.02, 0.2, 0.9]).unwrap(), "the error jumps at layer.1: 0.02 at layer.0 becomes 0.2");
        assert_eq!(
            jump(&[0.01, f64::NAN, f64::NAN]).unwrap(),
            "the error jumps at layer.0: 0.01 at embeddings becomes NaN"
        );
        assert_eq!(jump(&[0.0, 0.01, 0.01]), None, "unquantized embeddings");
        assert_eq!(jump(&[0.0, 0.0, 0.01]).unwrap(), "the error jumps at layer.1: 0 at layer.0 becomes 0.01");
        assert_eq!(jump(&[0.0, 0.0, 0.0]), None);
    }
}
