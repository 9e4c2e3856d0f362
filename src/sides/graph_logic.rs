//! The reference's graph, read node by node before anything runs.

use super::request::CheckRequest;
use crate::checkpoint::ModelConfig;
use crate::finding::Finding;
use crate::report::GraphAuditSection;
use crate::runtimes::onnx::{Graph, Logic, TapMap, logic};

/// Audits the graph's logic. The padding's id is the reference's, where its configuration states one, else the
/// candidate's.
pub(crate) fn audited(
    graph: &Graph<'_>,
    taps: &TapMap,
    request: &CheckRequest,
    configs: [Option<&ModelConfig>; 2],
) -> (GraphAuditSection, Vec<Finding>) {
    let padding = configs.into_iter().flatten().find_map(|c| c.pad_token_id);
    let audit = logic(graph, taps, padding.map(i64::from));
    // Who takes an inexact graph takes its operators.
    let findings = audit.findings(request.allow_unaudited || request.allow_inexact_reference);
    (section(&audit), findings)
}

fn section(audit: &Logic) -> GraphAuditSection {
    GraphAuditSection {
        nodes: audit.nodes,
        blocks: audit.blocks.iter().map(|(&name, &count)| (name.to_owned(), count)).collect(),
        unaudited: audit.unaudited.iter().map(ToString::to_string).collect(),
        weights: None,
    }
}
