//! The layer numbers, audited by weights: whatever matrix is used inside block `k` of the graph must be a
//! matrix of the checkpoint's layer `k`.
//!
//! Matched by centred correlation, not by bits: it survives transposition, fusion of query, key and value
//! into one matrix, scaling and quantization.

use super::graph::{Graph, NodeId, TensorId};
use super::operators::ATTENTION;
use super::regions::is_projection;
use super::taps::TapMap;
use crate::checkpoint::{Weight, WeightSet, layer_of};
use crate::finding::{Finding, Severity};

/// Correlation from which two matrices are the same. Measured on MiniLM's MLX weights against its graph: own
/// matrix at least 0.924 even at 2 bits; two different ones at most 0.14 over all elements.
const SAME: f64 = 0.5;
/// What the best match must be ahead of the best one in another layer.
const MARGIN: f64 = 0.3;
/// Elements compared per pair: 0.08 is four standard deviations of the correlation of unrelated matrices.
const SAMPLED: usize = 2048;

/// A matrix of the graph and whose it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Audited {
    /// The block of the graph it is used in.
    pub layer: usize,
    /// The node that uses it.
    pub node: String,
    /// The checkpoint's tensor it resembles most; none when it resembles none.
    pub tensor: Option<String>,
    /// How much.
    pub correlation: f64,
    /// How much it resembles the best tensor of any other layer.
    pub runner_up: f64,
}

/// The audit of one graph against one checkpoint.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Audit {
    /// Every matrix looked at.
    pub matrices: Vec<Audited>,
    /// Layers of the graph.
    pub layers: usize,
    /// Layers of the checkpoint; 1 for weights shared by all, which tell no layer from another.
    pub checkpoint_layers: usize,
}

/// Matches every constant matrix used inside a block.
pub fn audit(g: &Graph, map: &TapMap, weights: &WeightSet) -> Audit {
    let known: Vec<(&String, usize, &Weight)> = weights
        .tensors()
        .iter()
        .filter(|(_, w)| w.shape.len() == 2)
        .filter_map(|(name, w)| Some((name, layer_of(name)?, &**w)))
        .collect();
    let mut numbers: Vec<usize> = known.iter().map(|k| k.1).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let mut out = Audit { matrices: Vec::new(), layers: map.layers, checkpoint_layers: numbers.len() };
    for (layer, block) in map.blocks.iter().enumerate() {
        for &k in block.attention.iter().chain(&block.ffn) {
            if !is_projection(g, k) && !ATTENTION.contains(&g.op(k)) {
                continue;
            }
            for t in g.reads(k).filter(|&t| is_matrix(g, t)) {
                if let Some(matrix) = g.floats(t) {
                    let node = label(g, k);
                    out.matrices.extend(matches(&matrix.shape, &matrix.values, &known).into_iter().map(|found| {
                        let (tensor, correlation, runner_up) = found;
                        Audited { layer, node: node.clone(), tensor, correlation, runner_up }
                    }));
                }
            }
        }
    }
    out
}

fn is_matrix(g: &Graph, t: TensorId) -> bool {
    g.is_constant(t) && g.constant_shape(t).is_some_and(|s| s.len() == 2 && s.iter().all(|&d| d > 1))
}

fn label(g: &Graph, k: NodeId) -> String {
    let node = g.node(k);
    let name = if node.name.is_empty() { node.output.first().cloned().unwrap_or_default() } else { node.name.clone() };
    format!("{} `{name}`", g.op(k))
}

/// A match: the tensor, its correlation, the best correlation in another layer.
type Match = (Option<String>, f64, f64);

/// The best tensor for each block of a graph's matrix: one, or three where query, key and value are fused.
fn matches(shape: &[usize], values: &[f32], known: &[(&String, usize, &Weight)]) -> Vec<Match> {
    let &[rows, columns] = shape else { return Vec::new() };
    let blocks = if columns == 3 * rows { 3 } else { 1 };
    (0..blocks).map(|b| best(rows, columns, b * (columns / blocks), columns / blocks, values, known)).collect()
}

/// Columns `start..start + width` of a `[rows, columns]` matrix against every tensor, both ways round.
fn best(
    rows: usize,
    columns: usize,
    start: usize,
    width: usize,
    values: &[f32],
    known: &[(&String, usize, &Weight)],
) -> Match {
    let mut scored: Vec<(f64, &String, usize)> = Vec::new();
    for (name, layer, weight) in known {
        let shape = weight.shape.as_slice();
        let direct = (shape == [rows, width]).then(|| {
            correlation(rows * width, |i| values[i / width * columns + start + i % width], |i| weight.values[i])
        });
        let turned = (shape == [width, rows]).then(|| {
            let of = |i: usize| weight.values[i % width * rows + i / width];
            correlation(rows * width, |i| values[i / width * columns + start + i % width], of)
        });
        if let Some(r) = direct.into_iter().chain(turned).max_by(f64::total_cmp) {
            scored.push((r, name, *layer));
        }
    }
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    match scored.first() {
        Some(&(r, name, layer)) if r >= SAME => {
            let other = scored.iter().find(|s| s.2 != layer).map_or(0.0, |s| s.0);
            (Some(name.clone()), r, other)
        }
        first => (None, first.map_or(0.0, |s| s.0), 0.0),
    }
}

/// Centred cosine over elements spread evenly; 0 when undefined.
fn correlation(n: usize, a: impl Fn(usize) -> f32, b: impl Fn(usize) -> f32) -> f64 {
    // An odd step, so that the sample does not fall on the same columns again and again.
    let step = (n / SAMPLED).max(1) | 1;
    let (mut count, mut sa, mut sb, mut saa, mut sbb, mut sab) = (0.0f64, 0.0f64, 0.0f64, 0.0f64, 0.0f64, 0.0f64);
    for i in (0..n).step_by(step) {
        let (x, y) = (f64::from(a(i)), f64::from(b(i)));
        count += 1.0;
        sa += x;
        sb += y;
        saa += x * x;
        sbb += y * y;
        sab += x * y;
    }
    let spread = ((saa - sa * sa / count) * (sbb - sb * sb / count)).sqrt();
    if spread > 0.0 { (sab - sa * sb / count) / spread } else { 0.0 }
}

impl Audit {
    /// The matrices of block `k` that were recognised, for people.
    pub fn recognised(&self, k: usize) -> impl Iterator<Item = &Audited> {
        self.matrices.iter().filter(move |m| m.layer == k && m.tensor.is_some())
    }

    /// Blocks whose matrices belong to another layer, or to none.
    pub fn findings(&self) -> Vec<Finding> {
        let refusal = |message: String| Finding::new(Severity::Refusal, "alignment.layer_numbers", message);
        let mut out = Vec::new();
        // Weights shared by all layers tell no layer from another.
        let tells = self.checkpoint_layers == self.layers;
        for k in 0..self.layers {
            let all: Vec<&Audited> = self.matrices.iter().filter(|m| m.layer == k).collect();
            if all.is_empty() {
                continue;
            }
            let strange = all.iter().find_map(|m| {
                let tensor = m.tensor.as_ref()?;
                let unclear = m.correlation - m.runner_up < MARGIN;
                (tells && (layer_of(tensor) != Some(k) || unclear)).then(|| (m, tensor, unclear))
            });
            if let Some((m, tensor, unclear)) = strange {
                let what = if unclear { "cannot be told from another layer's" } else { "is another layer's" };
                out.push(refusal(format!(
                    "block {k} of the reference uses {tensor} in {} (correlation {:.2}, next layer {:.2}): it {what}",
                    m.node, m.correlation, m.runner_up
                )));
            } else if all.iter().all(|m| m.tensor.is_none()) {
                out.push(refusal(format!(
                    "none of the {} matrices in block {k} of the reference resembles any of the float32 weights (first: {}, correlation {:.2})",
                    all.len(),
                    all[0].node,
                    all[0].correlation
                )));
            }
        }
        out
    }
}
