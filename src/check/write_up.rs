//! The report of a run, filled in.

use std::time::{SystemTime, UNIX_EPOCH};

use super::evidence::Measured;
use super::limits::Decided;
use super::stream::{LENGTH_BUCKETS, RowText};
use super::worth::Proof;
use crate::checkpoint::sha256_hex;
use crate::hidden_states::{Arm, Tap};
use crate::metrics::{Mode, find};
use crate::policy::{Date, Policy};
use crate::proof::sweep::Swept;
use crate::quantization::QuantizationSummary;
use crate::report::{
    AlignedTap, AlignmentSection, CorpusSection, CrossMatchSection, DistanceBucket, Explanation, LengthBucket,
    ObserverSection, OutputSection, PolicyRecord, PreflightRow, Provenance, Report, RunRecord, SCHEMA, SentenceSection,
    SourceSection, TokenSection, Tool, TwinSection, WorstRowSection, escape,
};
use crate::sides::Sides;
use crate::sides::processor::cpu_features;
use crate::sides::request::CheckRequest;
use crate::sides::taps::ReferenceTap;
use crate::weights::WeightsReport;

/// Characters of a sentence shown in a report.
const EXCERPT: usize = 200;
/// Characters of a token shown in a report.
const TOKEN: usize = 40;

/// What the verdict rests on.
pub(super) struct Judged<'a> {
    pub(super) policy: &'a Policy,
    pub(super) decided: Decided,
    pub(super) weights: WeightsReport,
    pub(super) proof: Proof,
    pub(super) outputs: Vec<OutputSection>,
    pub(super) swept: Swept,
    pub(super) twin: TwinSection,
    pub(super) explanation: Explanation,
    pub(super) started: SystemTime,
}

/// Puts everything in its place.
pub(super) fn report(sides: &Sides, request: &CheckRequest, judged: Judged<'_>, measured: &Measured) -> Report {
    let Decided { gates, findings, judgement } = judged.decided;
    Report {
        schema: SCHEMA,
        tool: Tool { name: "parallax".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
        verdict: judgement.verdict,
        exit_code: judgement.exit_code,
        answers: judgement.answers,
        reasons: judgement.reasons,
        findings,
        gates,
        provenance: provenance(sides, request, judged.policy, &judged.swept, judged.started),
        corpus: corpus(sides, measured),
        alignment: alignment(sides, judged.proof, judged.twin, judged.outputs, judged.swept, measured),
        weights: judged.weights,
        measurements: measured.measurements.clone(),
        sentence: sentence(sides, measured),
        worst_rows: worst_rows(sides, measured),
        regression: None,
        explanation: judged.explanation,
    }
}

fn provenance(
    sides: &Sides,
    request: &CheckRequest,
    policy: &Policy,
    swept: &Swept,
    started: SystemTime,
) -> Provenance {
    let run = RunRecord {
        started: rfc3339(started),
        seconds: started.elapsed().map_or(0.0, |d| d.as_secs_f64()),
        sweeps_cached: swept.cached.clone(),
        sealed: None,
    };
    Provenance {
        inputs: sides.facts.inputs.clone(),
        runtime: sides.facts.runtime.clone(),
        candidate_format: format(&sides.facts.quantization),
        cpu_features: cpu_features(),
        threads: request.threads,
        seed: 0,
        policy: policy_record(policy),
        options: request.options(),
        run,
    }
}

/// How the weights are stored, as declared and as found.
fn format(stored: &QuantizationSummary) -> String {
    let mode = stored.mode.as_ref().filter(|_| stored.bits.is_some()).map_or_else(String::new, |m| format!("{m}, "));
    let widths: Vec<String> = stored.modules_by_bits.keys().map(u32::to_string).collect();
    let found = if widths.is_empty() { String::new() } else { format!(", found at {} bits", widths.join(" and ")) };
    format!("{mode}{stored}{found}")
}

/// The policy as the report names it.
pub(super) fn policy_record(policy: &Policy) -> PolicyRecord {
    PolicyRecord {
        name: policy.name.clone(),
        sha256: sha256_hex(policy.source.as_bytes()),
        text: policy.source.clone(),
    }
}

fn corpus(sides: &Sides, measured: &Measured) -> CorpusSection {
    let c = &measured.corpus;
    let source = |s: &crate::corpus::SourceRecord| SourceSection {
        file: s.file.display().to_string(),
        sha256: s.sha256.clone(),
        rows: s.rows,
        bytes: s.bytes,
    };
    let ends = LENGTH_BUCKETS.iter().map(|n| Some(*n as u64)).chain([None]);
    CorpusSection {
        sources: c.sources.iter().map(source).collect(),
        built_in: c.built_in,
        rows: c.rows,
        control_rows: c.control_rows,
        tokens: c.tokens,
        unique_rows: c.distinct.rows(),
        unique_tokens: c.distinct.tokens(),
        vocabulary: c.distinct.vocabulary(),
        unique_texts: c.unique_texts,
        empty_lines: c.empty_lines,
        invalid_utf8: c.invalid_utf8,
        truncated_rows: c.truncated,
        degenerate_rows: c.degenerate,
        unknown_tokens: c.unknown_tokens,
        lengths: ends.zip(&c.lengths).map(|(up_to, rows)| LengthBucket { up_to, rows: *rows }).collect(),
        max_length: sides.facts.max_length,
        prompt: sides.facts.prompt.clone(),
        probes: measured.probes.0,
        probe_tokens: measured.probes.1,
        coverage: measured.coverage(sides.facts.max_length),
    }
}

fn alignment(
    sides: &Sides,
    proof: Proof,
    twin: TwinSection,
    outputs: Vec<OutputSection>,
    swept: Swept,
    measured: &Measured,
) -> AlignmentSection {
    let engine =
        |tap: Tap| find(&measured.measurements, tap, Arm::Engine, Mode::Accumulated, "relative_l2").and_then(|m| m.p99);
    let aligned = |t: &ReferenceTap| AlignedTap {
        tap: t.tap,
        reference_tensor: t.tensor.clone(),
        node: t.node.clone(),
        evidence: t.evidence.clone(),
        matrices: t.matrices.clone(),
        engine_relative_l2: engine(t.tap),
    };
    let names = |taps: &[Tap]| taps.iter().map(Tap::to_string).collect();
    let matrix = &measured.cross_match;
    AlignmentSection {
        graph: Some(sides.facts.graph.clone()).filter(|name| !name.is_empty()),
        taps: sides.facts.taps.iter().map(aligned).collect(),
        cross_match: CrossMatchSection {
            reference_taps: names(&matrix.reference_taps),
            candidate_taps: names(&matrix.candidate_taps),
            relative_l2: matrix.relative_l2.clone(),
        },
        observer_effect: measured.observer.as_ref().map(|o| ObserverSection {
            relative_l2: o.relative_l2,
            max_abs: o.max_abs,
            bit_identical: o.bit_identical,
            values: o.values,
        }),
        graph_audit: Some(sides.facts.graph_audit.clone()).filter(|audit| audit.nodes > 0),
        outputs,
        sweeps: Some(swept.section),
        floor: measured.floor.clone(),
        canaries: proof.canaries,
        twin,
        unlike: proof.unlike,
        recording: measured.recording(),
        preflight: sides
            .facts
            .preflight
            .iter()
            .map(|c| PreflightRow {
                check: c.check.clone(),
                reference: c.reference.clone(),
                candidate: c.candidate.clone(),
                outcome: c.outcome.name().to_owned(),
            })
            .collect(),
        tokenizers: sides.facts.tokenizers.clone(),
        control: sides.control.describe(),
        reference: format!("{} in {}", sides.facts.reference, sides.reference.describe()),
        candidate: sides.facts.candidate.clone(),
    }
}

fn sentence(sides: &Sides, measured: &Measured) -> SentenceSection {
    let modules = &sides.facts.modules;
    SentenceSection {
        pooling: modules.pooling_name(),
        normalize: modules.normalize(),
        stated_in: modules.stated_in.clone().unwrap_or_else(|| "assumed".to_owned()),
        dimension: sides.reference_head.width(),
        distances: measured
            .corpus
            .distances
            .steps()
            .into_iter()
            .map(|(up_to, rows)| DistanceBucket { up_to, rows })
            .collect(),
        neighbours: Some(measured.neighbour_stats()),
        flips: measured.neighbours.nearest_flips.iter().filter_map(|f| serde_json::to_value(f).ok()).collect(),
    }
}

fn worst_rows(sides: &Sides, measured: &Measured) -> Vec<WorstRowSection> {
    let c = &measured.corpus;
    c.worst
        .rows()
        .iter()
        .map(|w| {
            let known = c.texts.get(&w.row);
            let id = w.token.and_then(|t| known?.ids.get(t as usize).copied());
            WorstRowSection {
                row: w.row,
                place: known.map_or_else(String::new, |t| t.place.clone()),
                text: known.map_or_else(String::new, |t| escape::plain(&t.text, EXCERPT)),
                tap: w.tap,
                arm: w.arm,
                metric: "relative_l2".to_owned(),
                value: w.relative_l2,
                token: w.token,
                tokens: tokens(sides, known, c.token_errors.get(&w.row)),
                token_text: id.and_then(|id| sides.tokenizers.reference.token(id)).map(|t| escape::plain(&t, EXCERPT)),
            }
        })
        .collect()
}

/// Every token of a row that is known, with its error.
fn tokens(sides: &Sides, row: Option<&RowText>, errors: Option<&Vec<f64>>) -> Vec<TokenSection> {
    let (ids, errors) = (row.map_or(&[][..], |row| &row.ids), errors.map_or(&[][..], Vec::as_slice));
    let text = |id| sides.tokenizers.reference.token(id).map_or_else(|| format!("#{id}"), |t| escape::plain(&t, TOKEN));
    ids.iter().zip(errors).map(|(id, error)| TokenSection { text: text(*id), relative_l2: *error }).collect()
}

/// `2026-11-23T08:00:00Z`.
fn rfc3339(time: SystemTime) -> String {
    let of_day = time.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()) % 86_400;
    let (h, m, s) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{}T{h:02}:{m:02}:{s:02}Z", Date::of(time))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates_are_dates() {
        let at = |s| rfc3339(UNIX_EPOCH + Duration::from_secs(s));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_767_225_599), "2025-12-31T23:59:59Z");
    }
}
