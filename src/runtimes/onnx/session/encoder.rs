//! The reference encoder: ONNX Runtime over the file's own bytes with its taps as outputs.

use std::sync::Arc;

use rayon::prelude::*;

use super::expose::expose;
use super::inputs::{Filled, Inputs, plan};
use super::library::Runtime;
use super::outlets::{DeclaredOutput, Outlets, declared};
use super::{Idle, Output, SessionOptions, Sessions, build, run, selected};
use crate::hidden_states::{
    BrokenPadding, GraphOutput, HiddenStates, LayoutError, OutputValues, Returned, Tap, TapStates,
};
use crate::runtimes::onnx::error::OnnxError;
use crate::runtimes::onnx::file::model::OnnxModel;
use crate::runtimes::onnx::graph::Graph;
use crate::runtimes::onnx::taps::TapMap;
use crate::runtimes::onnx::taps::facts::facts;
use crate::runtimes::onnx::taps::splice::only;
use crate::runtimes::{Encoder, RunError};
use crate::tokens::TokenBatch;

/// An ONNX export under ONNX Runtime, reporting every tap of its map and every output of its graph.
pub struct OnnxEncoder {
    description: String,
    file: String,
    sessions: Sessions,
    /// ONNX Runtime may point into these, so they outlive the session.
    _data: Vec<Arc<[u8]>>,
    inputs: Inputs,
    outlets: Outlets,
    /// What each of the outlets is called in messages.
    places: Vec<Arc<str>>,
    hidden: usize,
    vocab: usize,
    positions: Option<usize>,
}

impl std::fmt::Debug for OnnxEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OnnxEncoder[{}, {} taps]", self.description, self.outlets.taps.len())
    }
}

impl OnnxEncoder {
    /// Opens a session whose outputs are the taps of `map`, middles included, and the graph's own outputs.
    pub fn open(
        runtime: &Runtime,
        model: &OnnxModel,
        map: &TapMap,
        options: SessionOptions,
    ) -> Result<Self, OnnxError> {
        let g = Graph::new(model)?;
        let outlets = Outlets::of(map.entries.iter().chain(&map.middles));
        let bytes = expose(&g, outlets.tensors.iter().map(String::as_str));
        Self::opened(runtime, &g, map, options, (&bytes, outlets, true))
    }

    /// Opens a session that computes the `embeddings` tap and nothing behind it: the rest of the graph is left out,
    /// because ONNX Runtime runs every node it is given, asked for or not.
    pub fn open_embeddings(
        runtime: &Runtime,
        model: &OnnxModel,
        map: &TapMap,
        options: SessionOptions,
    ) -> Result<Self, OnnxError> {
        let g = Graph::new(model)?;
        let outlets = Outlets::of(map.entries.iter().filter(|e| e.tap == Tap::Embeddings));
        let bytes = outlets.tensors.first().and_then(|name| only(&g, name)).ok_or_else(|| OnnxError::Runtime {
            file: model.name().to_owned(),
            message: "the embeddings cannot be cut out of the graph".to_owned(),
        })?;
        Self::opened(runtime, &g, map, options, (&bytes, outlets, false))
    }

    fn opened(
        runtime: &Runtime,
        g: &Graph,
        map: &TapMap,
        options: SessionOptions,
        (bytes, mut outlets, declare): (&[u8], Outlets, bool),
    ) -> Result<Self, OnnxError> {
        let model = g.model();
        let file = model.name().to_owned();
        let refused = |message| OnnxError::Runtime { file: file.clone(), message };
        let inputs = plan(g, map)?;
        let told = facts(g, map);
        let open = |_| build(runtime, model, bytes, options);
        let sessions: Vec<_> =
            (0..options.sessions.max(1)).into_par_iter().map(open).collect::<Result<_, _>>().map_err(refused)?;
        let mut hidden = told.hidden;
        if let Some(session) = sessions.first() {
            outlets.check(session, &file)?;
            hidden = outlets.hidden.unwrap_or(hidden);
            if declare {
                outlets.declare(session, declared(g), hidden);
            }
        }
        let wanted = || selected(outlets.tensors.iter().map(String::as_str));
        let idle = sessions.into_iter().map(|session| Ok(Idle { session, wanted: wanted()? }));
        let idle = idle.collect::<Result<Vec<_>, String>>().map_err(refused)?;
        let positions = [told.positions, inputs.tokens()].into_iter().flatten().min();
        Ok(Self {
            description: format!("ONNX Runtime {}", runtime.version()),
            sessions: Sessions::new(idle),
            _data: model.data_files().iter().map(|f| Arc::clone(f.bytes())).collect(),
            inputs,
            places: (0..outlets.tensors.len()).map(|i| place(&outlets, i)).collect(),
            outlets,
            hidden,
            vocab: map.vocab,
            positions,
            file,
        })
    }

    /// Every output that the untouched graph declares, in the graph's order.
    pub fn declared(&self) -> &[DeclaredOutput] {
        &self.outlets.declared
    }

    fn failed(&self, message: String) -> RunError {
        RunError::Failed { encoder: self.description.clone(), message: format!("{}: {message}", self.file) }
    }

    fn check(&self, batch: &TokenBatch) -> Result<(), RunError> {
        let encoder = || self.description.clone();
        if let Some(&id) = batch.all_ids().iter().find(|&&id| id as usize >= self.vocab) {
            return Err(RunError::TokenId { encoder: encoder(), id, vocab: self.vocab });
        }
        match self.positions {
            Some(limit) if batch.longest() > limit => {
                Err(RunError::TooLong { encoder: encoder(), tokens: batch.longest(), limit })
            }
            _ => Ok(()),
        }
    }

    /// One piece of a batch, as many rows as the graph takes.
    fn piece(&self, batch: &TokenBatch) -> Result<(Vec<Arc<TapStates>>, Returned), RunError> {
        let Filled { values, rows, seq } = self.inputs.fill(batch).map_err(|m| self.failed(m))?;
        let outputs = self
            .sessions
            .with(|idle| run(&mut idle.session, values, &idle.wanted, &self.outlets.tensors))
            .map_err(|m| self.failed(format!("on a batch of {rows} rows of {seq} tokens: {m}")))?;
        let real = batch.rows();
        // Rows that only fill up a fixed batch size are as long as the last one.
        let lengths: Vec<usize> = (0..rows).map(|r| batch.len(r.min(real.saturating_sub(1)))).collect();
        let (mut taps, mut returned) = (Vec::new(), Returned::default());
        for (i, (name, output)) in self.outlets.tensors.iter().zip(outputs).enumerate() {
            let shape: Vec<Option<usize>> = output.shape().iter().map(|&d| usize::try_from(d).ok()).collect();
            let per_token = shape == [Some(rows), Some(seq), Some(self.hidden)];
            if per_token {
                returned.padding.extend(self.broken_padding(i, &output, &lengths[..real], seq));
            }
            let states = |s: Result<TapStates, LayoutError>| match s {
                Ok(states) => Ok(Arc::new(states.first(real))),
                Err(e) => Err(self.failed(e.to_string())),
            };
            if i < self.outlets.tapped {
                if !per_token {
                    let expected = [rows, seq, self.hidden];
                    let message = format!("tensor `{name}`: shape {expected:?} expected, found {:?}", output.shape());
                    return Err(self.failed(message));
                }
                taps.push(states(TapStates::padded(self.hidden, seq, &lengths, Box::new(output)))?);
                continue;
            }
            let values = match *shape.as_slice() {
                _ if per_token => {
                    OutputValues::PerToken(states(TapStates::padded(self.hidden, seq, &lengths, Box::new(output)))?)
                }
                [Some(found), Some(width)] if found == rows && width > 0 => {
                    let one_each: Vec<usize> = (0..=rows).collect();
                    OutputValues::PerRow(states(TapStates::ragged_in(width, &one_each, Box::new(output)))?)
                }
                _ => OutputValues::Unlike(format!("{:?} on a batch of {rows} rows of {seq} tokens", output.shape())),
            };
            returned.outputs.push(GraphOutput { name: Arc::clone(&self.places[i]), values });
        }
        Ok((taps, returned))
    }

    /// Values behind the real tokens that are NaN or infinite, row by row.
    fn broken_padding(&self, i: usize, output: &Output, lengths: &[usize], seq: usize) -> Vec<BrokenPadding> {
        let values: &[f32] = output.as_ref();
        let broken = |(r, &n): (usize, &usize)| {
            let padding = values.get((r * seq + n) * self.hidden..(r + 1) * seq * self.hidden).unwrap_or_default();
            let count = padding.iter().filter(|v| !v.is_finite()).count() as u64;
            (count > 0).then(|| BrokenPadding { place: Arc::clone(&self.places[i]), row: r, values: count })
        };
        lengths.iter().enumerate().filter_map(broken).collect()
    }
}

/// An outlet in words: an output by its name, a tap by its own and that of the output it is.
fn place(outlets: &Outlets, i: usize) -> Arc<str> {
    let name = &outlets.tensors[i];
    let taps: Vec<String> =
        outlets.taps.iter().zip(&outlets.carrier).filter(|(_, c)| **c == i).map(|(tap, _)| tap.to_string()).collect();
    let output = outlets.declared.iter().any(|o| o.name == *name);
    match (taps.last(), output) {
        (None, _) => name.as_str().into(),
        (Some(tap), true) => format!("{tap} (output {name})").into(),
        (Some(tap), false) => tap.as_str().into(),
    }
}

/// Rows of several pieces, end to end.
fn joined(parts: &[Arc<TapStates>]) -> Result<Arc<TapStates>, LayoutError> {
    let (mut offsets, mut values) = (vec![0], Vec::new());
    let mut tokens = 0;
    for part in parts {
        for r in 0..part.rows() {
            tokens += part.tokens(r);
            offsets.push(tokens);
            values.extend_from_slice(part.row(r));
        }
    }
    Ok(Arc::new(TapStates::ragged(parts.first().map_or(0, |p| p.hidden()), &offsets, values)?))
}

/// One output of several pieces; where they are not alike, it is nothing that can be compared.
fn joined_output(parts: &[&OutputValues]) -> Result<OutputValues, LayoutError> {
    let (mut per_token, mut per_row) = (Vec::new(), Vec::new());
    for part in parts {
        match part {
            OutputValues::PerToken(states) => per_token.push(Arc::clone(states)),
            OutputValues::PerRow(states) => per_row.push(Arc::clone(states)),
            OutputValues::Unlike(shape) => return Ok(OutputValues::Unlike(shape.clone())),
        }
    }
    let one_width = per_row.windows(2).all(|w| w[0].hidden() == w[1].hidden());
    Ok(match (per_token.is_empty(), per_row.is_empty()) {
        (false, true) => OutputValues::PerToken(joined(&per_token)?),
        (true, false) if one_width => OutputValues::PerRow(joined(&per_row)?),
        _ => OutputValues::Unlike("several shapes in one batch".to_owned()),
    })
}

impl Encoder for OnnxEncoder {
    fn describe(&self) -> String {
        self.description.clone()
    }

    fn taps(&self) -> &[Tap] {
        &self.outlets.taps
    }

    fn encode(&self, batch: &TokenBatch) -> Result<HiddenStates, RunError> {
        self.check(batch)?;
        let mut states = HiddenStates::new();
        let layout = |e: LayoutError| self.failed(e.to_string());
        if batch.is_empty() {
            let none = Arc::new(TapStates::ragged(self.hidden, &[0], Vec::new()).map_err(layout)?);
            self.outlets.taps.iter().for_each(|&tap| states.insert(tap, Arc::clone(&none)));
            return Ok(states);
        }
        let mut tensors: Vec<Vec<Arc<TapStates>>> = Vec::new();
        let mut returned: Vec<(usize, Returned)> = Vec::new();
        let mut first = 0;
        for piece in self.inputs.pieces(batch) {
            let (taps, besides) = self.piece(&piece)?;
            tensors.push(taps);
            returned.push((first, besides));
            first += piece.rows();
        }
        let of = |i: usize| -> Vec<Arc<TapStates>> { tensors.iter().filter_map(|t| t.get(i).cloned()).collect() };
        let mut shared = Vec::with_capacity(self.outlets.tapped);
        for i in 0..self.outlets.tapped {
            shared.push(match of(i).as_slice() {
                [only] => Arc::clone(only),
                parts => joined(parts).map_err(layout)?,
            });
        }
        for (&tap, &carrier) in self.outlets.taps.iter().zip(&self.outlets.carrier) {
            states.insert(tap, Arc::clone(&shared[carrier]));
        }
        let besides = match returned.len() {
            1 => returned.pop().map(|(_, besides)| besides).unwrap_or_default(),
            _ => whole(&returned).map_err(layout)?,
        };
        Ok(states.with_returned(besides))
    }
}

/// What several pieces returned, as if the batch had been one; each piece with the number of its first row.
fn whole(pieces: &[(usize, Returned)]) -> Result<Returned, LayoutError> {
    let mut all = Returned::default();
    for (first, piece) in pieces {
        all.padding.extend(piece.padding.iter().map(|p| BrokenPadding { row: first + p.row, ..p.clone() }));
    }
    for (i, output) in pieces.first().map_or(&[][..], |(_, p)| &p.outputs).iter().enumerate() {
        let parts: Vec<&OutputValues> =
            pieces.iter().filter_map(|(_, p)| p.outputs.get(i).map(|output| &output.values)).collect();
        all.outputs.push(GraphOutput { name: Arc::clone(&output.name), values: joined_output(&parts)? });
    }
    Ok(all)
}
