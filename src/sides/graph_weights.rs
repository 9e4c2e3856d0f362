//! The reference's graph, weight by weight: what it holds against the checkpoint and the candidate.

use std::collections::{BTreeMap, BTreeSet};

use super::request::CheckRequest;
use crate::checkpoint::{ModelConfig, StageWeights, Weight, WeightSet};
use crate::finding::{Code, Finding, Severity, codes};
use crate::report::{GraphWeightsSection, OddOne, OddTensor};
use crate::runtimes::native::{Architecture, NativeEncoder};
use crate::runtimes::onnx::{Difference, Forms, Graph, Odd, Provenance, Sources, TapMap, provenance};

/// The code of everything found here.
pub(crate) const CODE: &Code = &codes::GRAPH_WEIGHTS;
/// Differences told one by one; more are counted.
const NAMED: usize = 5;
/// Differences listed in the report.
const LISTED: usize = 100;

/// What the comparison rests on.
pub(crate) struct Compared<'a> {
    /// The original's weights, whole.
    pub(crate) original: &'a WeightSet,
    /// The modules' behind the pooling.
    pub(crate) modules: &'a StageWeights,
    /// The candidate's, whole.
    pub(crate) candidate: Option<&'a WeightSet>,
    /// What the encoder has taken of the original's.
    pub(crate) needed: BTreeSet<String>,
    /// The reference's configuration.
    pub(crate) config: &'a ModelConfig,
    /// The graph is no float32 one: it may hold its weights in other forms.
    pub(crate) inexact: bool,
}

/// What is allowed.
#[derive(Clone, Copy)]
pub(crate) struct Allowed {
    /// A constant that nobody knows is a warning (`--allow-unaudited`).
    pub(crate) unaudited: bool,
    /// So is everything, in a graph that is not exact (`--allow-inexact-reference`).
    pub(crate) inexact: bool,
}

impl From<&CheckRequest> for Allowed {
    fn from(request: &CheckRequest) -> Self {
        Self { unaudited: request.allow_unaudited, inexact: request.allow_inexact_reference }
    }
}

/// Compares, and says what came of it. `row_name` says what a row of a table stands for.
pub(crate) fn compared(
    graph: &Graph<'_>,
    taps: &TapMap,
    by: &Compared<'_>,
    allowed: Allowed,
    row_name: &dyn Fn(&str, usize) -> Option<String>,
) -> (GraphWeightsSection, Vec<Finding>) {
    let modules: BTreeMap<String, &Weight> = by
        .modules
        .iter()
        .map(|((path, part), weight)| {
            (if path.is_empty() { part.clone() } else { format!("{path}.{part}") }, &**weight)
        })
        .collect();
    // The pooler feeds no tap, and exports without it are whole. Other forms than float are not looked for.
    let needed = by.needed.iter().filter(|name| !by.inexact && !name.starts_with("pooler")).cloned().collect();
    let sources = Sources { original: by.original, modules: &modules, candidate: by.candidate, needed: &needed };
    let found = provenance(graph, taps, sources, &forms(by.config));
    let (file, source) = (graph.model().name(), by.original.source_name());
    let told = Told { file, source, row_name };
    let mut findings = told.findings(&found, allowed.unaudited || allowed.inexact);
    if by.inexact && allowed.inexact {
        findings.iter_mut().for_each(|f| f.severity = f.severity.min(Severity::Warning));
    }
    (told.section(&found), findings)
}

/// There is nothing to compare with.
pub(crate) fn void(graph: &Graph<'_>) -> Finding {
    let message = format!(
        "{}: its weights were compared with no checkpoint, because there is none: the control was built from an ONNX file; give \
         the checkpoint the file was exported from with --original",
        graph.model().name()
    );
    Finding::new(Severity::Note, CODE, message)
}

/// Compares for `parallax inspect`, where there is no candidate.
pub(crate) fn inspected(
    graph: &Graph<'_>,
    taps: &TapMap,
    original: &WeightSet,
    config: &ModelConfig,
    inexact: bool,
) -> (GraphWeightsSection, Vec<Finding>) {
    // What the encoder takes is needed; where none can be built, `inspect` says why in its own place.
    let built = NativeEncoder::build(config, original, original.source_name());
    let needed = built.map(|_| original.used()).unwrap_or_default();
    let by = Compared { original, modules: &StageWeights::new(), candidate: None, needed, config, inexact };
    compared(graph, taps, &by, Allowed { unaudited: false, inexact: false }, &|_, _| None)
}

/// The forms that the configuration's architecture allows weights in a graph.
fn forms(config: &ModelConfig) -> Forms {
    let architecture = Architecture::of(config, config.file()).ok();
    let rotary = |name: &str| name.contains("rope") || name.contains("rotary");
    let keys = architecture.into_iter().flat_map(Architecture::keys).filter(|key| rotary(key.name()));
    // Of the numbers among them (bases, fractions, scales), only bases are above one.
    let mut bases: Vec<f64> = keys.filter_map(|key| key.value(config).ok()?.as_f64()).filter(|v| *v > 1.0).collect();
    bases.dedup();
    let stated = config.raw().get("head_dim").and_then(serde_json::Value::as_u64).and_then(|d| usize::try_from(d).ok());
    let heads = config.hidden_size.checked_div(config.num_attention_heads).into_iter().chain(stated).collect();
    Forms { bases, heads, norms_less_one: config.model_type.starts_with("gemma") }
}

/// Puts into words.
struct Told<'a> {
    file: &'a str,
    source: &'a str,
    row_name: &'a dyn Fn(&str, usize) -> Option<String>,
}

impl Told<'_> {
    fn section(&self, found: &Provenance) -> GraphWeightsSection {
        let differing = found.different.iter().map(|d| self.difference(d)).chain(found.turned.iter().cloned());
        let missing = found.missing.iter().map(|name| format!("`{}` is nowhere in the graph", name.escape_debug()));
        let unknown = found.unknown.iter().map(|(name, shape)| unknown(name, shape));
        let computed = |(op, node): &(String, String)| format!("{} `{}`", op.escape_debug(), node.escape_debug());
        let unknown = found.reworked.iter().map(computed).chain(unknown);
        GraphWeightsSection {
            constants: found.constants,
            equal: found.equal,
            derived: found.derived,
            others: found.heads + found.small.len(),
            different: differing.chain(missing).chain(unknown).take(LISTED).collect(),
            odd: found.different.iter().take(LISTED).map(odd_tensor).collect(),
        }
    }

    fn findings(&self, found: &Provenance, allowed: bool) -> Vec<Finding> {
        let file = self.file;
        let mut out = Vec::new();
        let mut say = |severity, message: String| out.push(Finding::new(severity, CODE, message));
        for d in found.different.iter().take(NAMED) {
            say(Severity::Failure, format!("{file}: {}; {}", self.difference(d), advice(d.odd)));
        }
        if let Some(more) = found.different.len().checked_sub(NAMED).filter(|n| *n > 0) {
            say(
                Severity::Failure,
                format!("{file}: {more} more constants of the graph are not those of {}", self.source),
            );
        }
        for turned in &found.turned {
            say(Severity::Failure, format!("{file}: {turned}; export the model with the base its config.json states"));
        }
        if let Some(first) = found.missing.first() {
            let (n, first, source) = (found.missing.len(), first.escape_debug(), self.source);
            let message = format!(
                "{file}: {n} tensors of {source} that the encoder needs are nowhere in the graph, the first is `{first}`; \
                 export the ONNX file from this checkpoint, or give the one it was exported from with --original"
            );
            say(Severity::Failure, message);
        }
        if let Some((op, node)) = found.reworked.first() {
            let (n, severity) = (found.reworked.len(), if allowed { Severity::Warning } else { Severity::Refusal });
            let (op, node) = (op.escape_debug(), node.escape_debug());
            let message = format!(
                "{file}: {n} nodes compute other weights of the graph's before these are used, the first is {op} `{node}`: what \
                 comes of it is no tensor of {}; export the model without it, or pass --allow-unaudited",
                self.source
            );
            say(severity, message);
        }
        if let Some((name, shape)) = found.unknown.first() {
            let (n, severity) = (found.unknown.len(), if allowed { Severity::Warning } else { Severity::Refusal });
            let message = format!(
                "{file}: {n} constants of the graph resemble no tensor of {} and follow from none that is known, the first: \
                 {}; export the model without optimizations that fold weights, or pass --allow-unaudited",
                self.source,
                unknown(name, shape)
            );
            say(severity, message);
        }
        if let Some((name, shape)) = found.small.first() {
            let (n, first) = (found.small.len(), unknown(name, shape));
            let message =
                format!("{file}: {n} constants of few elements are no tensor of {}, the first: {first}", self.source);
            say(Severity::Note, message);
        }
        out
    }

    fn difference(&self, d: &Difference) -> String {
        let (constant, tensor) = (d.constant.escape_debug(), d.tensor.escape_debug());
        let row = (self.row_name)(&d.tensor, d.row).map_or_else(String::new, |name| match name.starts_with('"') {
            true => format!(" (token id {}, {name})", d.row),
            false => format!(" ({name})"),
        });
        let place = match d.list {
            true => format!("element {}", d.row),
            false => format!("row {}{row}, column {}", d.row, d.column),
        };
        let rows = if d.list { String::new() } else { format!(" in {} rows", d.rows) };
        format!(
            "`{constant}` is not `{tensor}` of {}: {} of {} elements differ{rows}, the first at {place}: {} in the graph, {} in \
             the checkpoint",
            self.source, d.differing, d.elements, d.graph, d.original
        )
    }
}

fn unknown(name: &str, shape: &[usize]) -> String {
    let shape: Vec<String> = shape.iter().map(usize::to_string).collect();
    format!("`{}` ({})", name.escape_debug(), shape.join(" × "))
}

fn odd_tensor(d: &Difference) -> OddTensor {
    let odd = match d.odd {
        Odd::MadeFromCandidate => OddOne::MadeFromCandidate,
        Odd::Original => OddOne::Original,
        Odd::Graph => OddOne::Graph,
        Odd::Unknown => OddOne::Unknown,
    };
    OddTensor { tensor: d.tensor.clone(), differing: d.differing, elements: d.elements, odd }
}

/// Who is the odd one, and what to do.
fn advice(odd: Odd) -> &'static str {
    match odd {
        Odd::MadeFromCandidate => {
            "its values are the candidate's after rounding: the ONNX file was made from the candidate, and comparing them \
             proves nothing; export it from the original"
        }
        Odd::Original => {
            "graph and candidate agree within rounding: the original is not the checkpoint this graph and the candidate were \
             made from; give that one with --original"
        }
        Odd::Graph => {
            "the candidate agrees with the checkpoint: the graph is the odd one; export the ONNX file again from this checkpoint"
        }
        Odd::Unknown => {
            "export the ONNX file from this checkpoint, or give the one it was exported from with --original"
        }
    }
}
