//! Where the weights of a graph come from: every float constant that an output depends on is a tensor of the checkpoint,
//! element by element, or follows from no weight; and every tensor the encoder needs is among them.
//!
//! The audit by correlation ([`audit`](super::weights::audit)) says which matrix belongs to which layer and sees through any
//! rounding. This sees a single element, in every row of every table, and sees through nothing.

mod compare;
mod derived;
mod find;
mod known;
mod leaves;
mod reworked;

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

pub use compare::{Difference, Odd};
pub use known::Forms;

use compare::compared;
use derived::{Derived, derived};
use find::{Plan, find, repeated};
use known::CheckpointTensor;
use leaves::{Leaf, leaves, live};
use reworked::reworked;

use super::graph::Graph;
use super::taps::TapMap;
use crate::checkpoint::{Weight, WeightSet, is_table};
use crate::hidden_states::Tap;

/// Elements from which a constant must be a weight or follow from something known; fewer are the parameters of
/// operators (pads, bounds, scales).
const LEAST: usize = 64;

/// Tensors a graph is held against.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// The original's.
    pub original: &'a WeightSet,
    /// Those of the modules behind the pooling, by name.
    pub modules: &'a BTreeMap<String, &'a Weight>,
    /// The candidate's, to tell which of three is the odd one.
    pub candidate: Option<&'a WeightSet>,
    /// The original's tensors that the encoder computes with.
    pub needed: &'a BTreeSet<String>,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Provenance {
    /// Float constants of more than one element that an output depends on.
    pub constants: usize,
    /// Those that are the checkpoint's, element by element.
    pub equal: usize,
    /// Those that follow from no weight.
    pub derived: usize,
    /// Those behind the final state that resemble nothing: a head's. What it makes of the states is compared where
    /// outputs are.
    pub heads: usize,
    /// Elements that differ.
    pub different: Vec<Difference>,
    /// Rotary frequencies that are not the configuration's, in words.
    pub turned: Vec<String>,
    /// Constants that resemble nothing, with their shapes.
    pub unknown: Vec<(String, Vec<usize>)>,
    /// The same with few elements.
    pub small: Vec<(String, Vec<usize>)>,
    /// Nodes that compute other weights of these: operator and name.
    pub reworked: Vec<(String, String)>,
    /// Tensors that the encoder needs and that no constant is.
    pub missing: Vec<String>,
}

/// What one constant is.
enum What {
    Weights(Plan, Vec<Difference>),
    Derived(Derived),
    Nothing,
}

/// Holds every float constant against the original.
pub fn provenance(g: &Graph, map: &TapMap, sources: Sources<'_>, forms: &Forms) -> Provenance {
    let end = map.tensor(Tap::Final).and_then(|t| g.find(t));
    let live = live(g);
    let all = leaves(g, &live, end);
    let of_encoder = sources.original.tensors().iter().map(|(name, weight)| (name, &**weight));
    let of_modules = sources.modules.iter().map(|(name, weight)| (name, *weight));
    let known: Vec<CheckpointTensor<'_>> =
        of_encoder.chain(of_modules).filter_map(|(name, weight)| CheckpointTensor::new(name, weight)).collect();
    let found: Vec<What> = all.par_iter().map(|leaf| what(leaf, &known, forms, sources.candidate)).collect();

    let mut out = Provenance { constants: all.len(), ..Provenance::default() };
    // Rows of each tensor that some constant is, right or wrong.
    let mut covered: BTreeMap<usize, BTreeSet<(usize, usize)>> = BTreeMap::new();
    let plain = |found: &What| !matches!(found, What::Derived(_));
    let weights: Vec<_> = all.iter().zip(&found).filter(|(_, f)| plain(f)).map(|(leaf, _)| leaf.tensor).collect();
    out.reworked = reworked(g, &live, &weights, forms.norms_less_one);
    for (leaf, found) in all.iter().zip(found) {
        let named = || (leaf.name.to_owned(), leaf.shape.clone());
        match found {
            What::Weights(plan, different) => {
                for piece in &plan.pieces {
                    covered.entry(piece.known).or_default().insert((piece.first, piece.rows));
                }
                out.equal += usize::from(different.is_empty());
                out.different.extend(different);
            }
            What::Derived(Derived::OtherBase(base)) => out.turned.push(format!(
                "`{}` holds rotary frequencies of base {base:.0}, config.json says {}",
                leaf.name.escape_debug(),
                stated(forms)
            )),
            What::Derived(Derived::Bent(base, i)) => out.turned.push(format!(
                "`{}` holds rotary frequencies of base {base:.0} that are wrong from element {i} on",
                leaf.name.escape_debug()
            )),
            What::Derived(_) => out.derived += 1,
            What::Nothing if !leaf.inside => out.heads += 1,
            What::Nothing if leaf.values.len() < LEAST => out.small.push(named()),
            What::Nothing => out.unknown.push(named()),
        }
    }
    out.missing = missing(&known, &covered, sources.needed);
    out
}

fn stated(forms: &Forms) -> String {
    let bases: Vec<String> = forms.bases.iter().map(ToString::to_string).collect();
    bases.join(" and ")
}

fn what(leaf: &Leaf<'_>, known: &[CheckpointTensor<'_>], forms: &Forms, candidate: Option<&WeightSet>) -> What {
    let weights = |leaf: &Leaf<'_>| {
        let plan = find(leaf, known, forms)?;
        let differences = plan.pieces.iter().filter_map(|piece| {
            let tensor = known.get(piece.known)?;
            let other = candidate.and_then(|c| c.tensors().get(tensor.name)).map(|w| &**w);
            compared(leaf, plan.view, piece, tensor, other)
        });
        let differences: Vec<Difference> = differences.collect();
        Some((plan, differences))
    };
    let called = known.iter().any(|tensor| tensor.is_called(leaf.name));
    match weights(leaf) {
        Some((plan, differences)) if differences.is_empty() => What::Weights(plan, differences),
        // What is called a weight is none that follows from something else.
        Some((plan, differences)) if called => What::Weights(plan, differences),
        nearly => {
            if let Some(derived) = derived(leaf, &forms.bases) {
                return What::Derived(derived);
            }
            let once =
                || repeated(leaf).and_then(|row| weights(&row)).filter(|(_, differences)| differences.is_empty());
            match once().or(nearly) {
                Some((plan, differences)) => What::Weights(plan, differences),
                None => What::Nothing,
            }
        }
    }
}

/// Tensors that the encoder needs and the graph does not hold whole. A table may be held in part: positions beyond the
/// export's length, words beyond the vocabulary. One value repeated may be left out (a bias of zeros).
fn missing(
    known: &[CheckpointTensor<'_>],
    covered: &BTreeMap<usize, BTreeSet<(usize, usize)>>,
    needed: &BTreeSet<String>,
) -> Vec<String> {
    let is_whole = |k: usize, tensor: &CheckpointTensor<'_>| {
        let pieces = covered.get(&k);
        let rows: usize = pieces.into_iter().flatten().map(|(_, rows)| rows).sum();
        rows >= tensor.outputs || (rows > 0 && is_table(tensor.name))
    };
    let uniform = |tensor: &CheckpointTensor<'_>| {
        let first = tensor.weight.get(0);
        tensor.weight.rows().iter().all(|v| Some(*v) == first)
    };
    let equal = |a: &CheckpointTensor<'_>, b: &CheckpointTensor<'_>| {
        a.weight.shape == b.weight.shape && a.weight.rows() == b.weight.rows()
    };
    let lacking = known.iter().enumerate().filter(|(k, tensor)| needed.contains(tensor.name) && !is_whole(*k, tensor));
    let lacking = lacking.filter(|(_, tensor)| !uniform(tensor));
    // Equal tensors are stored once.
    let lacking = lacking.filter(|(k, tensor)| {
        !known.iter().enumerate().any(|(other, twin)| other != *k && is_whole(other, twin) && equal(tensor, twin))
    });
    lacking.map(|(_, tensor)| tensor.name.to_owned()).collect()
}
