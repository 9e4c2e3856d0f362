//! The sentence vectors a graph computes itself, where it has an output for them.

use super::error::OnnxError;
use super::graph::Graph;
use super::inputs::{fill, plan};
use super::library::Runtime;
use super::model::OnnxModel;
use super::session::{SessionOptions, build, run, selected};
use super::taps::TapMap;
use crate::tokens::TokenBatch;

/// Names of such outputs: sentence-transformers' and Optimum's, and Hugging Face's for towers with a head.
const NAMES: &[&str] = &["sentence_embedding", "sentence_embeddings", "text_embeds"];

/// What the graph made of one batch.
#[derive(Clone, Debug, PartialEq)]
pub struct SentenceOutput {
    /// The output's name.
    pub name: String,
    /// One vector per row.
    pub rows: Vec<Vec<f32>>,
}

/// Runs the file as it is on one batch and takes its own sentence vectors; none where it has no such output. An output
/// that is not `[rows, width]` has no rows.
///
/// # Errors
/// A graph that does not run.
pub fn sentence_output(
    runtime: &Runtime,
    model: &OnnxModel,
    map: &TapMap,
    options: SessionOptions,
    batch: &TokenBatch,
) -> Result<Option<SentenceOutput>, OnnxError> {
    let refused = |message| OnnxError::Runtime { file: model.name().to_owned(), message };
    let g = Graph::new(model)?;
    let Some(output) = g.outputs().iter().find(|o| NAMES.contains(&o.name.as_str())) else { return Ok(None) };
    let name = output.name.clone();
    let inputs = fill(&plan(&g, map)?, batch, batch.longest().max(1)).map_err(refused)?;
    let mut session = build(runtime, model, model.untouched(), options).map_err(refused)?;
    let wanted = selected(std::iter::once(name.as_str())).map_err(refused)?;
    let outputs = run(&mut session, inputs, &wanted, std::slice::from_ref(&name)).map_err(refused)?;
    let Some(output) = outputs.first() else { return Err(refused(format!("output `{name}` was not returned"))) };
    let values: &[f32] = output.as_ref();
    let width = match *output.shape() {
        [rows, width] if rows == batch.rows() as i64 => usize::try_from(width).unwrap_or(0),
        _ => 0,
    };
    let rows = if width == 0 { Vec::new() } else { values.chunks(width).map(<[f32]>::to_vec).collect() };
    Ok(Some(SentenceOutput { name, rows }))
}
