//! Which matrix of a checkpoint is this one? Centred correlation over a sample, in either orientation, whole
//! or block by block.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::checkpoint::{Weight, WeightSet};

/// Outputs sampled per matrix: 8 told every MiniLM matrix from every other with 4-bit weights.
const OUTPUTS: usize = 8;
/// Inputs sampled per output.
const INPUTS: usize = 512;
/// By how much another way to read a matrix must match better than one with fewer blocks: the halves of a
/// quantized matrix match up to 0.0004 better than the whole, by chance; a wrong reading 0.68 worse.
const BETTER: f64 = 0.05;
/// Name parts that stand before a layer's number.
const LAYER: &[&str] = &["layer", "layers", "h", "block", "blocks", "albert_layer_groups"];

/// A matrix of the graph, orientation unknown; without values when its packing is not read.
pub(crate) struct Matrix<'a> {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) values: &'a [f32],
}

/// The checkpoint's matrices that belong to a layer.
pub(crate) struct Layered<'w> {
    matrices: Vec<(&'w str, usize, &'w Weight)>,
    /// Samples by matrix, first output and number of outputs: each is taken once, not once per comparison.
    samples: RefCell<BTreeMap<(usize, usize, usize), Sample>>,
}

/// Centred values; none when the block is not all there, or constant.
type Sample = Option<Rc<[f32]>>;

/// What resembles one block of a matrix most.
#[derive(Clone, Debug)]
pub(crate) struct Likeness {
    pub(crate) name: Option<String>,
    pub(crate) layer: Option<usize>,
    pub(crate) correlation: f64,
    /// Best within the layer asked about.
    pub(crate) own: f64,
    /// Best in any other.
    pub(crate) runner_up: f64,
}

impl<'w> Layered<'w> {
    pub(crate) fn new(weights: &'w WeightSet) -> Self {
        let matrix = |(name, w): (&'w String, &'w std::sync::Arc<Weight>)| {
            (w.shape.len() == 2).then(|| Some((name.as_str(), layer_of(name)?, &**w))).flatten()
        };
        Self { matrices: weights.tensors().iter().filter_map(matrix).collect(), samples: Default::default() }
    }

    /// Number of different layers.
    pub(crate) fn layers(&self) -> usize {
        self.matrices.iter().map(|&(_, k, _)| k).collect::<std::collections::BTreeSet<_>>().len()
    }

    fn sample(&self, m: usize, first: usize, outputs: usize) -> Sample {
        let mut samples = self.samples.borrow_mut();
        let slot = samples.entry((m, first, outputs)).or_insert_with(|| {
            let w = self.matrices[m].2;
            let inputs = w.shape[1];
            sample(outputs, inputs, |o, i| w.get((first + o) * inputs + i)).map(Into::into)
        });
        slot.clone()
    }
}

/// The layer number in a tensor's name.
fn layer_of(name: &str) -> Option<usize> {
    let parts: Vec<&str> = name.split('.').collect();
    parts.windows(2).find(|w| LAYER.contains(&w[0])).and_then(|w| w[1].parse().ok())
}

/// What each block of `matrix` resembles, read in the way in which its least matching block matches best, in
/// the fewest blocks.
/// Never empty.
pub(crate) fn best(matrix: &Matrix, own: usize, known: &Layered) -> Vec<Likeness> {
    let nothing = Likeness { name: None, layer: None, correlation: 0.0, own: 0.0, runner_up: 0.0 };
    let mut found = (f64::NEG_INFINITY, vec![nothing.clone()]);
    if matrix.values.is_empty() {
        return found.1;
    }
    for transposed in [true, false] {
        let (outputs, inputs) = if transposed { (matrix.columns, matrix.rows) } else { (matrix.rows, matrix.columns) };
        let mut widths: Vec<usize> =
            known.matrices.iter().filter(|m| m.2.shape[1] == inputs).map(|m| m.2.shape[0]).collect();
        // A block is as high as a checkpoint's matrix, or the whole, if that is a block of the checkpoint's.
        widths.retain_mut(|w| {
            *w = if *w > 0 && outputs.is_multiple_of(*w) { *w } else { outputs };
            *w > 0
        });
        widths.sort_unstable_by(|a, b| b.cmp(a));
        widths.dedup();
        for width in widths {
            let pieces: Vec<Likeness> = (0..outputs / width)
                .map(|p| {
                    let at = |o: usize, i: usize| {
                        let o = p * width + o;
                        let flat = if transposed { i * matrix.columns + o } else { o * matrix.columns + i };
                        matrix.values.get(flat).copied()
                    };
                    let Some(sampled) = sample(width, inputs, at) else { return nothing.clone() };
                    likeness(&sampled, width, inputs, own, known)
                })
                .collect();
            let least = pieces.iter().map(|p| p.correlation).fold(f64::INFINITY, f64::min);
            if least > found.0 + BETTER {
                found = (least, pieces);
            }
        }
    }
    found.1
}

fn likeness(sampled: &[f32], width: usize, inputs: usize, own: usize, known: &Layered) -> Likeness {
    let mut out = Likeness { name: None, layer: None, correlation: 0.0, own: 0.0, runner_up: 0.0 };
    for (m, &(name, layer, w)) in known.matrices.iter().enumerate() {
        if w.shape[1] != inputs || w.shape[0] < width || !w.shape[0].is_multiple_of(width) {
            continue;
        }
        for first in (0..w.shape[0]).step_by(width) {
            let Some(other) = known.sample(m, first, width) else { continue };
            let r: f64 = sampled.iter().zip(other.iter()).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
            if r > out.correlation {
                (out.correlation, out.name, out.layer) = (r, Some(name.to_owned()), Some(layer));
            }
            let slot = if layer == own { &mut out.own } else { &mut out.runner_up };
            *slot = slot.max(r);
        }
    }
    out
}

/// Evenly spread values, centred and of length 1; none when they are constant, missing or no numbers.
fn sample(outputs: usize, inputs: usize, at: impl Fn(usize, usize) -> Option<f32>) -> Option<Vec<f32>> {
    let spread = |n: usize, most: usize| (0..n.min(most)).map(move |j| j * n / n.min(most));
    let mut values = Vec::with_capacity(OUTPUTS * INPUTS);
    for o in spread(outputs, OUTPUTS) {
        for i in spread(inputs, INPUTS) {
            values.push(at(o, i)?);
        }
    }
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
    let length = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>().sqrt();
    (length.is_finite() && length > 0.0)
        .then(|| values.iter().map(|&v| ((f64::from(v) - mean) / length) as f32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layer_numbers_stand_behind_their_word() {
        for (name, layer) in [
            ("encoder.layer.11.output.dense.weight", Some(11)),
            ("0.auto_model.encoder.layer.3.output.dense.weight", Some(3)),
            ("transformer.layer.2.ffn.lin1.weight", Some(2)),
            ("layers.7.mlp.Wi.weight", Some(7)),
            ("encoder.albert_layer_groups.0.albert_layers.0.ffn.weight", Some(0)),
            ("embeddings.word_embeddings.weight", None),
            ("encoder.layer.x.weight", None),
        ] {
            assert_eq!(layer_of(name), layer, "{name}");
        }
    }

    #[test]
    fn constant_missing_and_infinite_values_have_no_sample() {
        assert!(sample(4, 4, |_, _| Some(1.0)).is_none());
        assert!(sample(4, 4, |_, i| (i < 3).then_some(i as f32)).is_none());
        assert!(sample(4, 4, |_, i| Some(if i == 3 { f32::INFINITY } else { 1.0 })).is_none());
        assert!(sample(0, 4, |_, _| Some(1.0)).is_none());
        assert!(sample(4, 4, |o, i| Some((o * i) as f32)).is_some());
    }
}
