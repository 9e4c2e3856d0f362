//! The float32 weights that a candidate was made from, and that the control runs on.

use std::path::Path;

use super::beside;
use super::door::{Checkpoint, Export};
use super::reference::Reference;
use crate::Error;
use crate::checkpoint::{ModelFolder, WeightSet};
use crate::finding::{Finding, Severity, codes};
use crate::quantization::load_float;
use crate::runtimes::onnx::{Graph, TapMap, recover};

/// The float32 weights the control runs on.
pub(crate) struct Original {
    pub(crate) weights: WeightSet,
    pub(crate) source: String,
    pub(crate) folder: Option<ModelFolder>,
    /// Read back from a graph: in the order in which the search for taps found the layers, so no proof of it.
    pub(crate) from_graph: bool,
    pub(crate) findings: Vec<Finding>,
}

/// The float32 weights: the checkpoint named, else the one beside the reference, else the graph's own.
pub(crate) fn original_weights(
    named: Option<&Path>,
    reference: &Reference,
    graph: &Graph<'_>,
    taps: &TapMap,
) -> Result<Original, Error> {
    let from_folder = |folder: &ModelFolder| -> Result<Original, Error> {
        let loaded = load_float(folder)?;
        let mut findings = loaded.findings;
        findings.extend(beside::findings(folder)?);
        if loaded.summary.dtype != "F32" {
            let message =
                format!("the original {} is stored as {}, not as float32", folder.shown(), loaded.summary.dtype);
            findings.push(Finding::new(Severity::Warning, &codes::ORIGINAL_NOT_FLOAT32, message));
        }
        Ok(Original {
            weights: loaded.weights,
            source: folder.shown().to_owned(),
            folder: None,
            from_graph: false,
            findings,
        })
    };
    if let Some(path) = named {
        if path.is_file() {
            let export = Export::read(Reference { onnx: path.to_owned(), folder: None })?;
            let (weights, source) = (export.weights()?, path.display().to_string());
            return Ok(Original { weights, source, folder: None, from_graph: true, findings: Vec::new() });
        }
        let folder = Checkpoint::open(path)?.folder;
        let mut original = from_folder(&folder)?;
        original.folder = Some(folder);
        return Ok(original);
    }
    if let Some(folder) = &reference.folder
        && beside::holds_original(folder)?
    {
        return from_folder(folder);
    }
    let source = format!("the weights in {}", reference.onnx.display());
    let unread = reference.folder.as_ref().map(beside::unread_weights).transpose()?.flatten();
    let findings = unread.into_iter().collect();
    Ok(Original { weights: recover(graph, taps)?, source, folder: None, from_graph: true, findings })
}
