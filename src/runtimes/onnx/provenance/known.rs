//! A checkpoint's tensors as they are looked for in a graph, and what an exporter may have made of one.

use std::borrow::Cow;

use super::leaves::Leaf;
use crate::checkpoint::Weight;

/// What a folded factor or summand may cost: the factor's own rounding and that of one operation. Nothing in the
/// exports at hand is scaled; Gemma's norms plus one are exact.
const FOLDED: f32 = 3.0 * f32::EPSILON;
/// Parts of the names of tensors that a score's scale may be folded into.
const SCORES: &[&str] = &["query", "key", "q_lin", "k_lin", "q_proj", "k_proj", "qkv", ".attn.q", ".attn.k"];

/// What the architecture allows beside plain copies.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Forms {
    /// Bases of its rotary positions; empty without rotation.
    pub bases: Vec<f64>,
    /// Widths a head may have: the root of one over it, or that root's root, may be folded into queries and keys.
    pub heads: Vec<usize>,
    /// Its norms are stored less one (Gemma).
    pub norms_less_one: bool,
}

/// How a constant reads as rows of outputs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct View {
    pub(super) outputs: usize,
    pub(super) inputs: usize,
    pub(super) transposed: bool,
}

/// Side of the blocks in which a matrix is turned: two of them fit the first-level cache.
const BLOCK: usize = 32;

impl View {
    pub(super) fn at(self, o: usize, i: usize) -> usize {
        if self.transposed { i * self.outputs + o } else { o * self.inputs + i }
    }

    /// Rows `from .. from + rows` one after the other.
    pub(super) fn rows<'l>(self, leaf: &'l Leaf<'_>, from: usize, rows: usize) -> Cow<'l, [f32]> {
        if !self.transposed {
            let all = leaf.values.get(from * self.inputs..(from + rows) * self.inputs);
            return Cow::Borrowed(all.unwrap_or_default());
        }
        let mut out = vec![f32::NAN; rows * self.inputs];
        for first in (0..rows).step_by(BLOCK) {
            for i0 in (0..self.inputs).step_by(BLOCK) {
                for r in first..rows.min(first + BLOCK) {
                    let row = out.get_mut(r * self.inputs..(r + 1) * self.inputs).unwrap_or_default();
                    for (i, slot) in row.iter_mut().enumerate().skip(i0).take(BLOCK) {
                        *slot = leaf.values.get(self.at(from + r, i)).copied().unwrap_or(f32::NAN);
                    }
                }
            }
        }
        Cow::Owned(out)
    }
}

/// What the graph may have done to a weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fold {
    None,
    PlusOne,
    Times(f32),
}

impl Fold {
    pub(super) fn of(self, w: f32) -> f32 {
        match self {
            Self::None => w,
            Self::PlusOne => 1.0 + w,
            Self::Times(by) => w * by,
        }
    }
}

/// A tensor of the checkpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct CheckpointTensor<'w> {
    pub(super) name: &'w str,
    pub(super) weight: &'w Weight,
    pub(super) outputs: usize,
    pub(super) inputs: usize,
    rounded: fn(f32) -> f32,
}

impl<'w> CheckpointTensor<'w> {
    pub(super) fn new(name: &'w str, weight: &'w Weight) -> Option<Self> {
        let inputs = if weight.shape.len() > 1 { *weight.shape.last()? } else { 1 };
        let outputs = weight.len().checked_div(inputs)?;
        // A checkpoint may be stored in half of what the graph was exported from.
        let rounded: fn(f32) -> f32 = match weight.storage.dtype.as_str() {
            "F16" => |v| half::f16::from_f32(v).to_f32(),
            "BF16" => |v| half::bf16::from_f32(v).to_f32(),
            _ => |v| v,
        };
        (outputs > 0).then_some(Self { name, weight, outputs, inputs, rounded })
    }

    pub(super) fn get(&self, row: usize, i: usize) -> f32 {
        self.weight.get(row * self.inputs + i).unwrap_or(f32::NAN)
    }

    /// True when `name` is this tensor's, whatever a wrapper put before it.
    pub(super) fn is_called(&self, name: &str) -> bool {
        name.strip_suffix(self.name).is_some_and(|before| before.is_empty() || before.ends_with(['.', '/']))
    }

    /// True when the graph's value is the checkpoint's.
    pub(super) fn same(&self, leaf: &Leaf<'_>, fold: Fold, w: f32, g: f32) -> bool {
        match fold {
            Fold::None => g == w || g == (leaf.rounded)(w) || (self.rounded)(g) == w,
            _ => (g - fold.of(w)).abs() <= FOLDED * fold.of(w).abs(),
        }
    }

    /// The folds that this tensor may have gone through, given some of its values and what they became.
    pub(super) fn folds(&self, forms: &Forms, pairs: &[(f32, f32)]) -> Vec<Fold> {
        let mut all = vec![Fold::None];
        if forms.norms_less_one && self.inputs == 1 {
            all.push(Fold::PlusOne);
        }
        if SCORES.iter().any(|part| self.name.contains(part)) {
            let ratio = pairs.iter().filter(|(w, _)| *w != 0.0).map(|&(w, g)| g / w).find(|r| r.is_finite());
            all.extend(ratio.and_then(|r| scale(r, &forms.heads)).map(Fold::Times));
        }
        all
    }
}

/// The scale of scores that a factor is, up to rounding.
fn scale(factor: f32, heads: &[usize]) -> Option<f32> {
    let roots = heads.iter().flat_map(|&d| [-0.5, -0.25].map(|e| (d as f64).powf(e) as f32));
    roots.into_iter().find(|root| (factor - root).abs() <= 8.0 * f32::EPSILON * root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_scale_of_a_head_may_be_folded_in() {
        for (factor, heads) in [(0.125f32, 64), (0.353_553_4, 64), (0.176_776_7, 32)] {
            assert!(scale(factor, &[heads]).is_some(), "{factor}");
        }
        for factor in [1.0f32, 0.5, 0.126, -0.125, 0.0, f32::NAN] {
            assert_eq!(scale(factor, &[64]), None, "{factor}");
        }
    }

    #[test]
    fn a_view_turned_is_the_matrix_the_other_way_round() {
        let (rows, columns) = (70, 45);
        let values: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
        let leaf = Leaf {
            tensor: 0,
            name: "c",
            shape: vec![rows, columns],
            values: values.into(),
            rounded: |v| v,
            inside: true,
        };
        let view = View { outputs: columns, inputs: rows, transposed: true };
        let turned = view.rows(&leaf, 3, 40);
        assert_eq!(turned.len(), 40 * rows);
        for (k, v) in turned.iter().enumerate() {
            assert_eq!(*v, ((k % rows) * columns + 3 + k / rows) as f32);
        }
    }
}
