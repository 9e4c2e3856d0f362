//! What the findings prove to be wrong, told as the cause before any precision is: a wrong tensor, a setting that
//! differs, an original that is not the one of graph and candidate.

use std::collections::BTreeSet;

use crate::checkpoint::layer_of;
use crate::finding::{Finding, Severity, codes};
use crate::hidden_states::Tap;
use crate::report::{Explanation, GraphWeightsSection, OddOne, OddTensor, ProvenCause};
use crate::sides::graph_weights;
use crate::verdict::causes::{self, Kind, row};
use crate::weights::WeightsReport;

/// Findings that prove an error beyond the format's own, though not where it comes from.
const SYMPTOMS: &[&str] = &["twin.states", "probes.broken_states", "compute.non_finite"];

/// What a proven cause is in.
pub(super) fn kind(cause: &ProvenCause) -> Option<Kind> {
    causes::kind(&cause.code)
}

/// The stage a tensor belongs to.
pub(super) fn stage_of(tensor: &str) -> Option<Tap> {
    layer_of(tensor).map(Tap::Layer).or_else(|| tensor.starts_with("embeddings").then_some(Tap::Embeddings))
}

/// True where bits are not what is wrong, whether or not it is known what is.
pub(super) fn is_defect(findings: &[Finding]) -> bool {
    let symptom = |f: &Finding| SYMPTOMS.contains(&f.code.as_str()) || row(&f.code).is_some();
    findings.iter().any(|f| f.severity >= Severity::Failure && symptom(f))
}

/// Puts what is proven before what was measured.
pub(super) fn name(
    explanation: &mut Explanation,
    findings: &[Finding],
    weights: &WeightsReport,
    graph: Option<&GraphWeightsSection>,
) {
    explanation.proven = proven(findings, weights, graph);
    settle(explanation);
}

/// The stage that causes most is the one of the nearest proven cause; none where that is in no stage.
pub(super) fn settle(explanation: &mut Explanation) {
    let Some(nearest) = explanation.proven.first() else { return };
    explanation.cause = nearest.tensors.first().and_then(|tensor| stage_of(tensor));
}

fn proven(findings: &[Finding], weights: &WeightsReport, graph: Option<&GraphWeightsSection>) -> Vec<ProvenCause> {
    let all = graph.map_or(&[][..], |section| &section.odd);
    let odd: Vec<&OddTensor> = all.iter().filter(|t| t.odd == OddOne::Original).collect();
    let mut out: Vec<(usize, ProvenCause)> =
        odd_original(&odd, &weights.original).map(|c| (0, c)).into_iter().collect();
    for finding in findings.iter().filter(|f| f.severity >= Severity::Failure) {
        let Some((rank, kind)) = row(&finding.code) else { continue };
        // The original is told already, in words that begin with it.
        if finding.is(graph_weights::CODE) && odd.iter().any(|t| finding.message.contains(&quoted(&t.tensor))) {
            continue;
        }
        let mut tensors = if kind == Kind::Weights { named(finding, weights) } else { Vec::new() };
        let before = tensors.len();
        // What differs from a wrong original proves nothing against the candidate.
        tensors.retain(|tensor| odd.iter().all(|t| t.tensor != *tensor));
        if before > 0 && tensors.is_empty() {
            continue;
        }
        let (code, message) = (finding.code.clone(), finding.message.clone());
        // Nothing is lost, so nothing can be restored.
        if finding.is(&codes::WEIGHTS_PERMUTED) {
            tensors.clear();
        }
        let subject = subject(&code, &tensors);
        out.push((rank, ProvenCause { code, subject, message, tensors, undone: None }));
    }
    out.sort_by_key(|(rank, _)| *rank);
    let mut causes: Vec<ProvenCause> = out.into_iter().map(|(_, cause)| cause).collect();
    // Against the graph and against config.json: one and the same setting.
    let known: Vec<String> = causes.iter().map(|cause| format!("{}_in_config", cause.code)).collect();
    causes.retain(|cause| !known.contains(&cause.code));
    causes
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.escape_debug())
}

/// The tensors that a finding on weights speaks of.
fn named(finding: &Finding, weights: &WeightsReport) -> Vec<String> {
    if finding.is(&codes::WEIGHTS_CHANGED_UNQUANTIZED) {
        return weights.changed_unquantized.clone();
    }
    let rows = weights.tensors.iter().map(|row| &row.tensor);
    if finding.is(&codes::WEIGHTS_MISPLACED) && finding.message.starts_with("layer") {
        // `layers 2 and 3 of the candidate are swapped`: all their tensors.
        let told = finding.message.split(" of the candidate").next().unwrap_or_default();
        let layers: Vec<usize> = told.split(' ').filter_map(|word| word.parse().ok()).collect();
        return rows.filter(|name| layer_of(name).is_some_and(|n| layers.contains(&n))).cloned().collect();
    }
    // The first that a message names is what it is about.
    let mut found: Vec<(usize, &String)> =
        rows.filter_map(|name| Some((finding.message.find(&format!("`{name}`"))?, name))).collect();
    found.sort_unstable();
    found.first().map(|(_, name)| (*name).clone()).into_iter().collect()
}

fn subject(code: &str, tensors: &[String]) -> String {
    let layers: BTreeSet<Option<usize>> = tensors.iter().map(|name| layer_of(name)).collect();
    if let ("weights.misplaced", [Some(a), Some(b)]) = (code, layers.iter().copied().collect::<Vec<_>>().as_slice()) {
        return format!("layers {a} and {b} of the candidate");
    }
    match (tensors, code.split_once('.')) {
        ([first], _) => format!("{} of the candidate", quoted(first)),
        ([first, rest @ ..], _) => format!("{} and {} more tensors of the candidate", quoted(first), rest.len()),
        (_, Some(("config", key))) => format!("{} in config.json", quoted(key)),
        (_, Some(("preflight", fact))) => quoted(fact),
        (_, Some(("graph" | "reference", _))) => "the reference's graph".to_owned(),
        _ => String::new(),
    }
}

/// The graph and the candidate agree on these tensors, and the original does not.
fn odd_original(odd: &[&OddTensor], source: &str) -> Option<ProvenCause> {
    let first = odd.first()?;
    let name = quoted(&first.tensor);
    let more = match odd.len() - 1 {
        0 => String::new(),
        n => format!("; so are {n} more tensors"),
    };
    let message = format!(
        "{name} of the original ({source}) is the odd one of three: graph and candidate agree within rounding, and {} of {} \
         elements of the original are others{more}; give the checkpoint that graph and candidate were made from with \
         --original",
        first.differing, first.elements
    );
    let subject = format!("{name} of the original");
    Some(ProvenCause { code: graph_weights::CODE.code.to_owned(), subject, message, ..ProvenCause::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BIAS: &str = "encoder.layer.3.output.dense.bias";

    fn told(findings: &[Finding], weights: &WeightsReport, graph: Option<&GraphWeightsSection>) -> Explanation {
        let mut explanation = Explanation { cause: Some(Tap::Layer(0)), ..Explanation::default() };
        name(&mut explanation, findings, weights, graph);
        explanation
    }

    fn changed() -> (Finding, WeightsReport) {
        let message = format!("`{BIAS}`: not quantized, and yet not the original's values");
        let weights = WeightsReport { changed_unquantized: vec![BIAS.to_owned()], ..WeightsReport::default() };
        (Finding::new(Severity::Failure, &codes::WEIGHTS_CHANGED_UNQUANTIZED, message), weights)
    }

    #[test]
    fn a_wrong_tensor_and_a_wrong_setting_are_named_before_anything_measured() {
        let (bias, weights) = changed();
        let config =
            Finding::of(Severity::Failure, &codes::CONFIG_KEY, "pad_token_id", "config.json: pad_token_id: 1 and 0");
        let one = told(std::slice::from_ref(&bias), &weights, None);
        assert!(one.story()[0].contains(BIAS), "{:?}", one.story());
        assert_eq!(one.cause, Some(Tap::Layer(3)));
        let both = told(&[bias, config], &weights, None);
        assert_eq!(both.proven[0].subject, "`pad_token_id` in config.json");
        assert_eq!((both.proven[1].tensors[0].as_str(), both.cause), (BIAS, None));
        assert!(both.story().last().is_some_and(|last| last.contains("more bits would not cure")));
    }

    #[test]
    fn notes_warnings_and_what_moves_no_number_prove_nothing() {
        let finding =
            |severity, code: &str| Finding { code: code.to_owned(), severity, message: "`x` is not `y`".to_owned() };
        let harmless = [
            finding(Severity::Warning, "config.x"),
            finding(Severity::Note, "graph.weights"),
            finding(Severity::Failure, "tokenizer.token_ids"),
            finding(Severity::Refusal, "coverage.missing"),
            finding(Severity::Refusal, "alignment.engine_layer"),
        ];
        let explanation = told(&harmless, &WeightsReport::default(), None);
        assert_eq!((explanation.proven.len(), explanation.cause), (0, Some(Tap::Layer(0))));
        assert!(!is_defect(&harmless));
        assert!(is_defect(&[finding(Severity::Failure, "twin.states")]));
    }

    #[test]
    fn every_cause_and_symptom_is_a_code() {
        for code in causes::CAUSES.iter().map(|(code, _)| *code).chain(SYMPTOMS.iter().copied()) {
            assert!(codes::find(code).is_some(), "{code}");
        }
    }

    #[test]
    fn a_wrong_original_clears_the_candidate_of_the_same_tensor() {
        let (bias, mut weights) = changed();
        weights.changed_unquantized.push("encoder.layer.1.output.dense.bias".to_owned());
        let odd = |tensor: &str, odd| OddTensor { tensor: tensor.to_owned(), differing: 1, elements: 128, odd };
        let graph = GraphWeightsSection { odd: vec![odd(BIAS, OddOne::Original)], ..GraphWeightsSection::default() };
        let of_graph = Finding::new(Severity::Failure, graph_weights::CODE, format!("`c` is not `{BIAS}` of x"));
        let findings = [bias, of_graph];
        let explanation = told(&findings, &weights, Some(&graph));
        assert_eq!(explanation.proven.len(), 2, "{explanation:?}");
        assert!(explanation.story()[0].contains(&format!("`{BIAS}` of the original")), "{:?}", explanation.story());
        assert_eq!(explanation.proven[1].tensors, ["encoder.layer.1.output.dense.bias"]);
        let graph = GraphWeightsSection { odd: vec![odd(BIAS, OddOne::Graph)], ..GraphWeightsSection::default() };
        let explanation = told(&findings, &weights, Some(&graph));
        assert_eq!(explanation.proven[0].subject, "the reference's graph");
        assert_eq!(explanation.proven[1].tensors.len(), 2, "the candidate's tensor is still wrong");
    }
}
