//! From gates and findings to one word, an exit code and the reasons for both.
//!
//! ```text
//! NaN or infinity in the candidate ─▶ fail, whatever else is wrong
//! not proven comparable ─▶ inconclusive
//! candidate and original contradict each other ─▶ fail, however little was compared
//! not measured, too little evidence ─▶ inconclusive
//! a limit exceeded ─▶ fail
//! none of these ─▶ pass
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::figures::{apart, number};
use crate::finding::{Code, Finding, Ground, Severity, codes};
use crate::hidden_states::{Arm, Tap};
use crate::policy::{Direction, Evidence, GateResult, Outcome, Policy, Quantity, Question};

mod answers;
pub(crate) mod causes;

pub use answers::{Answer, Answers};
use causes::Kind;

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every gate was measured and met.
    Pass,
    /// The comparison is valid and a gate was exceeded.
    Fail,
    /// Not proven comparable, or too little evidence.
    Inconclusive,
}

/// The program that runs the candidate computes its encoder with another setting than its files say.
const RUNS_OTHERWISE: &Code = &codes::RUNTIME_CONFIG;

/// Margins below this are plain from the two numbers beside them.
const WORTH_SAYING: f64 = 1.05;

impl Verdict {
    /// The process exit code.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Fail => 1,
            Self::Inconclusive => 3,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Inconclusive => "INCONCLUSIVE",
        })
    }
}

/// Why the verdict is what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Reason {
    /// Stable: `gate.exceeded`, `gate.not_measured`, `gate.engine`, `gate.non_finite`, `evidence.rows`,
    /// `evidence.tokens`, `evidence.vocabulary`, `policy.no_gates`, or the code of a finding.
    pub code: String,
    /// One line for people.
    pub message: String,
    /// Which of the two questions it answers.
    #[serde(default)]
    pub question: Question,
    /// True for a contradiction or a limit exceeded, false for what is missing.
    #[serde(default)]
    pub proven: bool,
    /// True for what follows from a nearer cause among the reasons: states that are off where weights are not in their
    /// place, neighbours that are lost where the pooling is another.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub follows: bool,
}

/// How much was compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Amount {
    /// Rows that say different things (see [`DistinctRows`](crate::tokens::DistinctRows)).
    pub rows: u64,
    /// Tokens of these rows, each row counted once.
    pub tokens: u64,
    /// Different token ids.
    pub vocabulary: u64,
}

/// What there is too little of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Short {
    /// `rows`, `tokens`, `vocabulary`.
    pub code: &'static str,
    /// The same in words.
    pub what: &'static str,
    /// So many were compared.
    pub seen: u64,
    /// So many are asked for.
    pub least: u64,
}

impl Amount {
    /// Everything there is too little of; nothing at all is always too little.
    pub fn short_of(&self, asked: &Evidence) -> Vec<Short> {
        [
            ("rows", "different rows", self.rows, asked.min_rows),
            ("tokens", "tokens", self.tokens, asked.min_tokens),
            ("vocabulary", "different tokens", self.vocabulary, asked.min_vocabulary),
        ]
        .into_iter()
        .map(|(code, what, seen, least)| Short { code, what, seen, least: least.max(1) })
        .filter(|short| short.seen < short.least)
        .collect()
    }
}

/// A verdict with its reasons, worst first; a pass has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// The answer.
    pub verdict: Verdict,
    /// Its exit code.
    pub exit_code: u8,
    /// The two answers behind it.
    pub answers: Answers,
    /// Everything that spoke against a pass.
    pub reasons: Vec<Reason>,
}

/// Judges a finished run. `gates` is the outcome of [`Policy::evaluate_all`].
pub fn judge(policy: &Policy, gates: &[GateResult], findings: &[Finding], amount: &Amount) -> Judgement {
    let mut failed: Vec<&GateResult> = gates.iter().filter(|g| g.outcome == Outcome::Fail).collect();
    failed.sort_by(|a, b| b.margin.unwrap_or(f64::INFINITY).total_cmp(&a.margin.unwrap_or(f64::INFINITY)));
    let is_broken =
        |g: &GateResult| g.is_non_finite() && matches!(g.quantity.arm, Some(Arm::Quantization | Arm::Total));
    let (broken, others): (Vec<_>, Vec<_>) = failed.into_iter().partition(|g| is_broken(g));
    let (engine, exceeded): (Vec<_>, Vec<_>) = others.into_iter().partition(|g| g.quantity.arm == Some(Arm::Engine));
    let unmeasured: Vec<_> = gates.iter().filter(|g| g.outcome == Outcome::NotMeasured).collect();

    // A tap that is most like another's says that the taps are not the same points, or that the candidate computes
    // something else there: where tensors or settings of its encoder are proven to be wrong, it is no doubt.
    // Not where what they are held against is itself wrong.
    let proven = |of: &dyn Fn(&str) -> bool| findings.iter().any(|f| f.severity == Severity::Failure && of(&f.code));
    let wrong_encoder = proven(&moves_states) && !proven(&|code| causes::kind(code) == Some(Kind::Reference));
    let is_explained = |f: &Finding| wrong_encoder && f.is(&codes::ALIGNMENT_CROSS_MATCH);
    let refusals = || findings.iter().filter(|f| f.severity == Severity::Refusal);
    let is_missing = |f: &Finding| ground(&f.code) == Ground::Missing;
    let mut doubts: Vec<Reason> = refusals().filter(|f| !is_explained(f) && !is_missing(f)).map(reason_of).collect();
    doubts.extend(grouped(&codes::GATE_ENGINE, &engine, false));
    let mut missing: Vec<Reason> = refusals().filter(|f| is_missing(f)).map(reason_of).collect();
    missing.extend(grouped(&codes::GATE_NOT_MEASURED, &unmeasured, false));
    missing.extend(too_little(policy, gates, amount));
    let certain = grouped(&codes::GATE_NON_FINITE, &broken, true);
    let mut failures: Vec<Reason> =
        findings.iter().filter(|f| f.severity == Severity::Failure).map(reason_of).collect();
    failures.extend(refusals().filter(|f| is_explained(f)).map(|f| Reason { proven: true, ..reason_of(f) }));
    failures.extend(grouped(&codes::GATE_EXCEEDED, &exceeded, true));
    failures.sort_by_key(|r| ground(&r.code));
    let contradicted = failures.iter().any(|r| r.question == Question::Faithful);

    let verdict = match () {
        () if !certain.is_empty() => Verdict::Fail,
        () if !doubts.is_empty() => Verdict::Inconclusive,
        () if contradicted => Verdict::Fail,
        () if !missing.is_empty() => Verdict::Inconclusive,
        () if !failures.is_empty() => Verdict::Fail,
        () => Verdict::Pass,
    };
    let reasons = match verdict {
        // What is missing would not change the verdict.
        Verdict::Fail => certain.into_iter().chain(failures).chain(doubts).chain(missing).collect(),
        _ => certain.into_iter().chain(doubts).chain(missing).chain(failures).collect(),
    };
    let reasons = with_consequences(reasons);
    let answers = Answers::of(gates, &reasons);
    Judgement { verdict, exit_code: verdict.exit_code(), answers, reasons }
}

/// What findings and reasons of a code rest on.
fn ground(code: &str) -> Ground {
    codes::find(code).map_or(Ground::Files, |row| row.ground)
}

/// True for a contradiction that the states follow from: tensors, or settings of the encoder.
fn moves_states(code: &str) -> bool {
    match causes::kind(code) {
        Some(Kind::Configuration) => true,
        Some(Kind::Weights) => ground(code) != Ground::States,
        _ => RUNS_OTHERWISE.covers(code),
    }
}

/// The same of sentence vectors, which what follows the encoder moves too.
fn moves_vectors(code: &str) -> bool {
    moves_states(code) || causes::kind(code) == Some(Kind::Modules) || ground(code) == Ground::States
}

/// Marks what follows from a nearer cause: of tensors out of place, the other tensors that differ; of what moves states,
/// states that are off; of what moves vectors, limits that are exceeded.
fn with_consequences(mut reasons: Vec<Reason>) -> Vec<Reason> {
    let proven = |of: &dyn Fn(&str) -> bool| reasons.iter().any(|r| r.proven && of(&r.code));
    let places = proven(&|code| ground(code) == Ground::Places);
    let (states, vectors) = (proven(&moves_states), proven(&moves_vectors));
    for reason in reasons.iter_mut().filter(|r| r.proven) {
        reason.follows = match ground(&reason.code) {
            Ground::Weights => places,
            Ground::States => states,
            Ground::Limits => vectors,
            Ground::Files | Ground::Places | Ground::Missing => false,
        };
    }
    reasons
}

fn reason_of(finding: &Finding) -> Reason {
    let code = finding.code.clone();
    // Too poor a corpus and an excuse that has ended leave open what the format costs; everything else, whether the
    // candidate is what it claims.
    let fit = code.starts_with("corpus.") || ground(&code) == Ground::Limits;
    let question = if fit { Question::Fit } else { Question::Faithful };
    let proven = finding.severity == Severity::Failure;
    Reason { code, message: finding.message.clone(), question, proven, follows: false }
}

fn too_little(policy: &Policy, gates: &[GateResult], amount: &Amount) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let mut reason = |code: &str, message: String| {
        reasons.push(Reason { code: code.to_owned(), message, question: Question::Fit, proven: false, follows: false });
    };
    if policy.gates.is_empty() || gates.is_empty() {
        reason("policy.no_gates", format!("policy {} judged nothing: no gate was evaluated", policy.name));
    }
    for short in amount.short_of(&policy.evidence) {
        let Short { code, what, seen, least } = short;
        let name = &policy.name;
        reason(&format!("evidence.{code}"), format!("{seen} {what} compared, policy {name} asks for at least {least}"));
    }
    reasons
}

/// One reason per gate, with the taps it speaks of; `results` are worst first and stay so.
fn grouped(code: &Code, results: &[&GateResult], proven: bool) -> Vec<Reason> {
    let mut groups: Vec<Vec<&GateResult>> = Vec::new();
    for &result in results {
        match groups.iter_mut().find(|g| same_gate(g[0], result)) {
            Some(group) => group.push(result),
            None => groups.push(vec![result]),
        }
    }
    let reason = |g: &Vec<&GateResult>| Reason {
        code: code.code.to_owned(),
        message: message(g[0], g),
        question: g[0].quantity.question(),
        proven,
        follows: false,
    };
    groups.iter().map(reason).collect()
}

fn same_gate(a: &GateResult, b: &GateResult) -> bool {
    // A device is held to another limit at each tap, for one reason.
    let limit = |g: &GateResult| if g.quantity.arm == Some(Arm::Device) { 0 } else { g.limit.to_bits() };
    let key = |g: &GateResult| (g.direction, limit(g));
    key(a) == key(b) && a.quantity.same_elsewhere(&b.quantity) && a.why == b.why
}

/// The tap of a group that a forward pass meets first: what is wrong there is wrong in all that follow.
fn first_tap(group: &[&GateResult]) -> Option<Tap> {
    group.iter().filter_map(|g| g.quantity.tap()).min()
}

fn message(worst: &GateResult, group: &[&GateResult]) -> String {
    let Quantity { on, arm, metric, stat } = &worst.quantity;
    let mut text = on.to_string();
    match group.len().saturating_sub(1) {
        0 => {}
        1 => text.push_str(" … and 1 more tap"),
        n => text.push_str(&format!(" … and {n} more taps")),
    }
    if let Some(first) = first_tap(group).filter(|first| worst.quantity.tap() != Some(*first)) {
        text.push_str(&format!(", first at {first}"));
    }
    text.push_str(&format!("{}: {metric} {stat} ", worst.quantity.shown_arm()));
    if worst.lacks_baseline() {
        text.push_str("is held against an earlier run, and none was given (--baseline report.json)");
        return text;
    }
    let Some(observed) = worst.observed else {
        text.push_str(&format!("was not measured (limit {})", number(worst.limit)));
        return text;
    };
    let (observed, limit) = apart(observed, worst.limit);
    let relation = match worst.direction {
        _ if worst.observed.is_some_and(f64::is_nan) => "is not within",
        Direction::Max => ">",
        Direction::Min => "<",
    };
    text.push_str(&format!("{observed} {relation} {limit}"));
    if let Some(margin) = worst.margin.filter(|m| m.is_finite() && *m >= WORTH_SAYING) {
        text.push_str(&match worst.direction {
            Direction::Max => format!(" ({margin:.1} times the limit)"),
            Direction::Min => format!(" (the limit is {margin:.1} times that)"),
        });
    }
    // No limit on NaN and infinity would be a sensible one, and loosening the floor would cure nothing.
    let engine = *arm == Some(Arm::Engine);
    if let Some(limit) = worst.would_pass_at.filter(|_| !worst.is_non_finite() && !engine) {
        text.push_str(&format!(", would pass at {}", number(limit)));
    }
    if let Some(set) = &worst.regression
        && let Some(before) = set.before
    {
        let most = number(100.0 * set.max_regression);
        text.push_str(&format!(", {} in the earlier run and at most {most} per cent worse allowed", number(before)));
    }
    if let Some(tensor) = &worst.tensor {
        text.push_str(&format!(", in {tensor}"));
    }
    if let Some(place) = &worst.worst {
        text.push_str(&format!(", worst at {}", place.row));
        if let Some(token) = place.token {
            text.push_str(&format!(" token {token}"));
        }
    }
    if engine {
        text.push_str("; the control does not reproduce the reference, so the candidate is not judged");
    }
    text
}

#[cfg(test)]
mod tests;
