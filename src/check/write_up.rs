//! The report of a run, filled in.

use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};

use super::evidence::Measured;
use super::stream::{LENGTH_BUCKETS, RowText};
use crate::hidden_states::{Arm, Tap};
use crate::metrics::Mode;
use crate::proof::sweep::Swept;
use crate::quantization::QuantizationSummary;
use crate::report::{
    AlignedTap, AlignmentSection, CorpusSection, DistanceBucket, Explanation, LengthBucket, PolicyRecord, Provenance,
    Report, RunRecord, SCHEMA, SentenceSection, TokenSection, Tool, WorstRowSection, escape,
};
use crate::sides::Sides;
use crate::sides::processor::cpu_features;
use crate::sides::request::CheckRequest;
use crate::verdict::{Answers, Verdict};

/// Characters of a sentence shown in a report.
const EXCERPT: usize = 200;
/// Characters of a token shown in a report.
const TOKEN: usize = 40;

/// Puts everything that was measured in its place; what the limits make of it is decided on the report.
pub(super) fn report(sides: &Sides, request: &CheckRequest, measured: &Measured, started: SystemTime) -> Report {
    Report {
        schema: SCHEMA,
        tool: Tool { name: "parallax".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
        verdict: Verdict::Inconclusive,
        exit_code: Verdict::Inconclusive.exit_code(),
        answers: Answers::default(),
        reasons: Vec::new(),
        findings: Vec::new(),
        gates: Vec::new(),
        provenance: provenance(sides, request, &measured.swept, started),
        corpus: corpus(sides, measured),
        alignment: alignment(sides, measured),
        weights: measured.weights.clone(),
        measurements: measured.measurements.clone(),
        sentence: sentence(sides, measured),
        labels: measured.labels.clone(),
        worst_rows: worst_rows(sides, measured),
        regression: None,
        explanation: Explanation::default(),
    }
}

fn provenance(sides: &Sides, request: &CheckRequest, swept: &Swept, started: SystemTime) -> Provenance {
    let run = RunRecord { started: rfc3339(started), seconds: 0.0, sweeps_cached: swept.cached.clone(), sealed: None };
    Provenance {
        inputs: sides.facts.inputs.clone(),
        runtime: sides.facts.runtime.clone(),
        candidate_format: format(&sides.facts.quantization),
        cpu_features: cpu_features(),
        threads: request.threads,
        seed: 0,
        policy: PolicyRecord::default(),
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

fn corpus(sides: &Sides, measured: &Measured) -> CorpusSection {
    let c = &measured.corpus;
    let ends = LENGTH_BUCKETS.iter().map(|n| Some(*n as u64)).chain([None]);
    CorpusSection {
        sources: c.sources.clone(),
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

fn alignment(sides: &Sides, measured: &Measured) -> AlignmentSection {
    let engine =
        |tap: Tap| measured.measurements.of(tap, Arm::Engine, Mode::Accumulated, "relative_l2").and_then(|m| m.p99);
    let aligned = |t: &AlignedTap| AlignedTap { engine_relative_l2: engine(t.tap), ..t.clone() };
    AlignmentSection {
        graph: Some(sides.facts.graph.clone()).filter(|name| !name.is_empty()),
        taps: sides.facts.taps.iter().map(aligned).collect(),
        cross_match: measured.cross_match.clone(),
        observer_effect: measured.observer.clone(),
        graph_audit: Some(sides.facts.graph_audit.clone()).filter(|audit| audit.nodes > 0),
        outputs: measured.declared.clone(),
        sweeps: Some(measured.swept.section.clone()),
        floor: measured.floor.clone(),
        canaries: measured.canaries.clone(),
        twin: measured.twin.clone(),
        unlike: measured.unlike.clone(),
        recording: measured.recording(),
        preflight: sides.facts.preflight.clone(),
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
        neighbours: Some(measured.neighbours.stats),
        flips: measured.neighbours.nearest_flips.clone(),
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
    DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn dates_are_dates() {
        let at = |s| rfc3339(UNIX_EPOCH + Duration::from_secs(s));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_767_225_599), "2025-12-31T23:59:59Z");
    }
}
