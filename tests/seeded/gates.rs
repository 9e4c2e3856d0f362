//! Faults in the candidate that the policy's own gates do not see: one gate with a limit that lets everything by. The
//! proofs see them all the same.

use super::models::{EIGHT, Model, ONE};
use super::{Fault, Plant};
use crate::common::plant::{Stored, swap};
use half::f16;
use std::collections::BTreeMap;

/// A policy whose one gate nothing fails.
pub(crate) const LAX: &str = "schema = 1\n[evidence]\nmin_rows = 100\nmin_tokens = 1000\n[[gate]]\non = \"final\"\narm = \"total\"\nmetric = \"relative_l2\"\nstat = \"p50\"\nmax = 1.0\n";

type Tensors = BTreeMap<String, Stored>;

/// The candidate's vectors of a name's end, changed.
fn vectors(tensors: &mut Tensors, end: &str, change: impl Fn(usize, f32) -> f32) {
    let mut found = 0;
    for (_, (_, shape, bytes)) in tensors.iter_mut().filter(|(n, t)| n.ends_with(end) && t.1.len() == 1) {
        assert_eq!(bytes.len(), 2 * shape[0]);
        let halves = bytes.as_chunks::<2>().0.iter().map(|b| f16::from_le_bytes(*b).to_f32());
        *bytes = halves.enumerate().flat_map(|(i, v)| f16::from_f32(change(i, v)).to_le_bytes()).collect();
        found += 1;
    }
    assert!(found > 0);
}

const fn fault(
    id: &'static str,
    what: &'static str,
    plant: Plant,
    on: &'static [Model],
    says: &'static [&'static str],
) -> Fault {
    Fault { id, hazard: "G8", what, plant, on, exit: 1, says }
}

pub(crate) const FAULTS: &[Fault] = &[
    fault(
        "lax-words-scrambled",
        "one word in seven has the codes of the next one",
        Plant::Lax(|c| {
            c.tensors(|t| {
                let (_, shape, bytes) = t.iter_mut().find(|(n, _)| n.ends_with("word_embeddings.weight")).unwrap().1;
                let width = bytes.len() / shape[0];
                for r in (0..shape[0] - 1).step_by(7) {
                    bytes.copy_within((r + 1) * width..(r + 2) * width, r * width);
                }
            })
        }),
        EIGHT,
        &["the candidate's `embeddings.word_embeddings.weight`"],
    ),
    fault(
        "lax-bias-zeroed",
        "the biases of one layer's output are zero",
        Plant::Lax(|c| c.tensors(|t| vectors(t, "layer.1.output.dense.bias", |_, _| 0.0))),
        EIGHT,
        &["weights.changed_unquantized", "layer.1.output.dense.bias"],
    ),
    fault(
        "lax-norm-scaled",
        "one LayerNorm's scale is a hundredth too large",
        Plant::Lax(|c| c.tensors(|t| vectors(t, "layer.0.output.LayerNorm.weight", |_, v| 1.01 * v))),
        ONE,
        &["weights.changed_unquantized", "layer.0.output.LayerNorm.weight"],
    ),
    fault(
        "lax-layers-swapped",
        "layers 1 and 2 have each other's weights",
        Plant::Lax(|c| c.tensors(|t| swap(t, "encoder.layer.1", "encoder.layer.2"))),
        ONE,
        &["weights.misplaced: layers 1 and 2 of the candidate are swapped"],
    ),
    fault(
        "lax-epsilon",
        "the norms' epsilon is 1e-5 in place of 1e-12",
        Plant::Lax(|c| c.json("config.json", |c| c["layer_norm_eps"] = 1e-5.into())),
        ONE,
        &["layer_norm_eps: the reference says 1e-12"],
    ),
    fault(
        "lax-activation",
        "the feed-forward blocks compute tanh-GELU in place of the exact one",
        Plant::Lax(|c| c.json("config.json", |c| c["hidden_act"] = "gelu_new".into())),
        EIGHT,
        &["activation: the reference says gelu, the candidate says gelu_tanh"],
    ),
];
