//! The layer numbers of a tap map, held against the checkpoint's weights.
//!
//! The search for taps knows no weights; this knows nothing else. Every constant matrix used inside block
//! `k` is correlated with every layer's matrices of the checkpoint, and must land in layer `k`. Centred
//! correlation, not equality: it is blind to scale and sees through transposition, packed query, key and
//! value matrices, and quantization on either side.

use super::resemblance::{Layered, Matrix, best};
use crate::checkpoint::WeightSet;
use crate::finding::{Code, Finding, Severity, codes};
use crate::runtimes::onnx::file::proto::{TensorProto, dtype};
use crate::runtimes::onnx::graph::operators::{ATTENTION, PROJECTION};
use crate::runtimes::onnx::graph::{Graph, TensorId};
use crate::runtimes::onnx::taps::TapMap;

/// The code of everything found here.
const CODE: &Code = &codes::ALIGNMENT_LAYER_NUMBERS;
/// Correlation from which two matrices are the same one. Measured on MiniLM, 8 rows sampled per matrix:
/// own matrix at least 0.995 with MLX 4-bit weights (0.909 with 2-bit weights against an int8 graph), two
/// different ones at most 0.23.
const SAME: f64 = 0.5;
/// By how much the own layer must lead every other, or another the own. The measured lead is 0.68 at worst.
const MARGIN: f64 = 0.3;
/// Longest chain of operators between a constant and the product that uses it.
const MAX_CHAIN: usize = 8;
/// Matrices narrower than this are no weights of an encoder.
const MIN_WIDTH: usize = 8;

/// What the weights say about one matrix of the graph, or one block of a packed one.
#[derive(Clone, Debug, PartialEq)]
pub struct Matched {
    /// The constant in the graph.
    pub tensor: String,
    /// The checkpoint's tensor that resembles it most.
    pub weight: Option<String>,
    /// Its layer in the checkpoint.
    pub layer: Option<usize>,
    /// Their centred correlation.
    pub correlation: f64,
    /// The best correlation within the layer the tap map says.
    pub own: f64,
    /// The best correlation with any other layer.
    pub runner_up: f64,
}

/// What a matrix proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    Own,
    Other,
    Alike,
    Nothing,
}

/// The matrices of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerAudit {
    /// The layer by the tap map.
    pub layer: usize,
    /// Its matrices in the order of the forward pass.
    pub matrices: Vec<Matched>,
}

/// What the weights say about all layers.
#[derive(Clone, Debug, PartialEq)]
pub struct Audit {
    /// The graph's file.
    pub file: String,
    /// Where the weights came from.
    pub weights: String,
    /// One per layer of the map; empty when the map does not know its blocks.
    pub layers: Vec<LayerAudit>,
    /// True when the checkpoint keeps one layer's weights for all (ALBERT): membership is all they prove.
    pub shared: bool,
}

/// Holds every block's matrices against the checkpoint's.
pub fn audit(g: &Graph, map: &TapMap, weights: &WeightSet) -> Audit {
    let known = Layered::new(weights);
    let shared = known.layers() == 1 && map.layers > 1;
    let audited = map.blocks.iter().enumerate().map(|(layer, block)| {
        let mut seen: Vec<TensorId> = Vec::new();
        let mut matrices = Vec::new();
        for &k in block.attention.iter().chain(&block.ffn) {
            if !PROJECTION.contains(&g.op(k)) && !ATTENTION.contains(&g.op(k)) {
                continue;
            }
            for t in g.reads(k).filter_map(|t| root(g, t)) {
                if !seen.contains(&t)
                    && let Some([rows, columns]) = wide(g, t)
                {
                    seen.push(t);
                    let values =
                        values(g, t).filter(|v| Some(v.len()) == rows.checked_mul(columns)).unwrap_or_default();
                    let own = if shared { 0 } else { layer };
                    let pieces = best(&Matrix { rows, columns, values: &values }, own, &known);
                    let tensor = g.name(t).to_owned();
                    matrices.extend(pieces.into_iter().map(|p| Matched {
                        tensor: tensor.clone(),
                        weight: p.name,
                        layer: p.layer,
                        correlation: p.correlation,
                        own: p.own,
                        runner_up: p.runner_up,
                    }));
                }
            }
        }
        LayerAudit { layer, matrices }
    });
    let layers = audited.collect();
    let file = g.model().name().to_owned();
    Audit { file, weights: weights.source_name().to_owned(), layers, shared }
}

impl Matched {
    fn proves(&self) -> Proof {
        if self.own >= SAME && self.own - self.runner_up >= MARGIN {
            Proof::Own
        } else if self.correlation >= SAME && self.correlation - self.own >= MARGIN {
            Proof::Other
        } else if self.correlation >= SAME {
            Proof::Alike
        } else {
            Proof::Nothing
        }
    }
}

impl std::fmt::Display for LayerAudit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let own = || self.matrices.iter().filter(|m| m.proves() == Proof::Own);
        let least = own().map(|m| m.own).fold(1.0, f64::min);
        write!(f, "{} of {} matrices are layer {}", own().count(), self.matrices.len(), self.layer)?;
        if own().count() > 0 { write!(f, " (correlation at least {least:.3})") } else { Ok(()) }
    }
}

impl Audit {
    /// True when every layer's matrices lead to that layer of the checkpoint and to no other.
    pub fn confirmed(&self) -> bool {
        let own = |m: &Matched| m.proves() == Proof::Own;
        !self.layers.is_empty() && self.layers.iter().all(|l| !l.matrices.is_empty() && l.matrices.iter().all(own))
    }

    /// A contradiction, or a layer that resembles nothing, is a refusal; less than full proof is said.
    pub fn findings(&self) -> Vec<Finding> {
        let (file, weights) = (&self.file, &self.weights);
        let mut out = Vec::new();
        let mut say = |severity, text: String| out.push(Finding::new(severity, CODE, text));
        if self.layers.is_empty() {
            let text = "the nodes of the layers are unknown, so no weight proves the layer numbers";
            say(Severity::Warning, format!("{file}: {text}"));
        }
        for l in &self.layers {
            let k = l.layer;
            let with = |p: Proof| l.matrices.iter().filter(move |m| m.proves() == p);
            if let Some(m) = with(Proof::Other).next() {
                let (weight, found) = (m.weight.as_deref().unwrap_or(""), m.layer.unwrap_or(0));
                let (r, own, n) = (m.correlation, m.own, with(Proof::Other).count());
                say(
                    Severity::Refusal,
                    format!(
                        "{file}: `{}` is used in layer {k} of the graph, and is layer {found} of {weights}: `{weight}` \
                         (correlation {r:.2}, with layer {k} {own:.2}; {n} of {} matrices of the layer): give the \
                         checkpoint this graph was exported from",
                        m.tensor,
                        l.matrices.len()
                    ),
                );
            }
            let unmatched = with(Proof::Nothing).count();
            if l.matrices.is_empty() {
                let text = format!("no weight matrix is seen in layer {k} of the graph, so none proves its number");
                say(Severity::Warning, format!("{file}: {text}"));
            } else if unmatched == l.matrices.len() {
                let all = l.matrices.len();
                let text = format!("none of the {all} matrices in layer {k} of the graph resembles one of {weights}");
                say(Severity::Refusal, format!("{file}: {text}: give the checkpoint this graph was exported from"));
            } else if let Some(m) = with(Proof::Nothing).next() {
                let more = if unmatched > 1 { format!(" and {} more", unmatched - 1) } else { String::new() };
                let text = format!("`{}`{more} in layer {k} of the graph resembles no matrix of {weights}", m.tensor);
                say(Severity::Note, format!("{file}: {text} (best correlation {:.2})", m.correlation));
            }
            if let Some(m) = with(Proof::Alike).next() {
                let text = format!("`{}` in layer {k} of the graph fits several layers of {weights}", m.tensor);
                say(Severity::Note, format!("{file}: {text}: it proves no layer number"));
            }
        }
        if self.shared {
            let text = format!("{weights} has one layer's weights for all: they prove membership, not layer numbers");
            say(Severity::Note, format!("{file}: {text}"));
        }
        out
    }
}

/// The stored tensor or Constant a matrix comes from, behind layout and dequantization.
fn root(g: &Graph, t: TensorId) -> Option<TensorId> {
    let mut t = t;
    for _ in 0..MAX_CHAIN {
        if !g.is_constant(t) {
            return None;
        }
        match g.producer(t) {
            None => return Some(t),
            Some(k) if g.op(k) == "Constant" => return Some(t),
            Some(k) => t = g.input(k, 0)?,
        }
    }
    None
}

fn tensor<'m>(g: &Graph<'m>, t: TensorId) -> Option<&'m TensorProto> {
    g.stored(t).or_else(|| g.node(g.producer(t)?).attribute.iter().find_map(|a| a.t.as_ref()))
}

/// Rows and columns, when it is a matrix worth looking at.
fn wide(g: &Graph, t: TensorId) -> Option<[usize; 2]> {
    match *tensor(g, t)?.dims.as_slice() {
        [rows, columns] => Some([usize::try_from(rows).ok()?, usize::try_from(columns).ok()?]),
        _ => None,
    }
    .filter(|s| s.iter().all(|&d| d >= MIN_WIDTH))
}

/// The values, or 8-bit codes: a scale and a zero point change no centred correlation. None for a packing
/// that is not read here; the matrix then counts as one that resembles nothing.
fn values(g: &Graph, t: TensorId) -> Option<Vec<f32>> {
    if let Some(array) = g.floats(t) {
        return Some(array.values);
    }
    let stored = tensor(g, t)?;
    let pairs = || stored.raw_data.as_chunks().0.iter().map(|b| u16::from_le_bytes(*b));
    Some(match stored.data_type {
        2 => stored.raw_data.iter().map(|&b| f32::from(b)).collect(),
        3 => stored.raw_data.iter().map(|&b| f32::from(b.cast_signed())).collect(),
        dtype::BFLOAT16 => pairs().map(|h| half::bf16::from_bits(h).to_f32()).collect(),
        dtype::FLOAT16 => pairs().map(|h| half::f16::from_bits(h).to_f32()).collect(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_none_proves_nothing() {
        let m = Matched {
            tensor: String::new(),
            weight: None,
            layer: None,
            correlation: f64::NAN,
            own: f64::NAN,
            runner_up: 0.0,
        };
        assert_eq!(m.proves(), Proof::Nothing);
        let audit = Audit { file: String::new(), weights: String::new(), layers: Vec::new(), shared: false };
        assert!(!audit.confirmed());
        assert_eq!(audit.findings().len(), 1);
    }
}
