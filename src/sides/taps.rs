//! Where the reference's taps are, and whose layers they are.

use std::io::Read;

use super::original_weights::Original;
use super::request::CheckRequest;
use crate::Error;
use crate::checkpoint::WeightSet;
use crate::finding::Finding;
use crate::hidden_states::Tap;
use crate::report::AlignedTap;
use crate::runtimes::onnx::{Graph, Stated, TapError, TapHints, TapMap, audit, exactness, find_taps, stated_taps};

/// The reference's taps: found, or as the request states them.
pub(crate) fn reference_taps(request: &CheckRequest, graph: &Graph<'_>, hints: TapHints) -> Result<Stated, Error> {
    let Some(path) = &request.taps else {
        let found = find_taps(graph, hints);
        // Why the search failed may be that this is no float32 graph at all.
        let why = |e: TapError| match exactness(graph, &TapMap::default(), None).into_iter().next() {
            Some(inexact) => Error::Incomparable(format!("{} ({e})", inexact.message)),
            None => e.into(),
        };
        return Ok(Stated { map: found.map_err(why)?, findings: Vec::new() });
    };
    let shown = path.display().to_string();
    let open = std::fs::File::open(path).map_err(|e| Error::BadInput(format!("{shown}: {e}")))?;
    let mut json = Vec::new();
    let most = crate::runtimes::onnx::taps::stated::MAX_BYTES as u64 + 1;
    open.take(most).read_to_end(&mut json).map_err(|e| Error::BadInput(format!("{shown}: {e}")))?;
    Ok(stated_taps(graph, &shown, &json, hints)?)
}

/// The taps with the weights' word on their layer numbers, and what speaks against it. Weights read back from
/// the graph itself are in the order in which its layers were found: then the candidate's are asked, which
/// centred correlation knows through any quantization.
pub(crate) fn witnessed(
    graph: &Graph<'_>,
    taps: &TapMap,
    original: &Original,
    candidate: &WeightSet,
) -> (Vec<AlignedTap>, Vec<Finding>) {
    let witness = if original.from_graph { candidate } else { &original.weights };
    let audit = audit(graph, taps, witness);
    let said = |tap: Tap| match tap {
        Tap::Layer(k) => audit.layers.iter().find(|l| l.layer == k).map(|l| l.to_string()),
        _ => None,
    };
    let node = |tensor: &str| {
        let name = &graph.node(graph.producer(graph.find(tensor)?)?).name;
        (!name.is_empty()).then(|| name.clone())
    };
    let tap = |e: &crate::runtimes::onnx::TapEntry| AlignedTap {
        tap: e.tap,
        reference_tensor: e.tensor.clone(),
        node: node(&e.tensor),
        evidence: e.evidence.clone(),
        matrices: said(e.tap).map(|said| format!("{said} of {}", audit.weights)),
        engine_relative_l2: None,
    };
    (taps.entries.iter().map(tap).collect(), audit.findings())
}
