//! Is the reference exact? A float16, quantized or approximated graph proves nothing about a float32 one.

use super::TapMap;
use crate::finding::{Code, Finding, Severity, codes};
use crate::hidden_states::Tap;
use crate::runtimes::onnx::file::proto::{TensorProto, dtype};
use crate::runtimes::onnx::graph::{Graph, NodeId};

/// The finding's code.
const CODE: &Code = &codes::REFERENCE_INEXACT;
/// Beginnings of operator names that compute in integers or approximate.
const INEXACT: &[&str] = &[
    "QuantizeLinear",
    "DequantizeLinear",
    "DynamicQuantize",
    "MatMulInteger",
    "ConvInteger",
    "MatMulNBits",
    "MatMulBnb4",
    "MatMulFpQ4",
    "GatherBlockQuantized",
    "QLinear",
    "QAttention",
    "QGemm",
    "QEmbed",
    "QOrdered",
    "FastGelu",
    "GemmFastGelu",
    "QuickGelu",
];

/// Operators that are exact where the configuration states this activation itself.
const EXACT_FOR: &[(&str, &[&str])] = &[
    ("gelu_tanh", &["FastGelu", "GemmFastGelu", "Gelu", "Tanh"]),
    ("silu", &["QuickGelu"]),
    ("quick_gelu", &["QuickGelu"]),
];

/// One refusal per kind of inexactness, naming the first node or tensor and how many there are. `activation` is the
/// function that the model's configurations state: what approximates another one may compute that one.
pub fn exactness(g: &Graph, map: &TapMap, activation: Option<&str>) -> Vec<Finding> {
    let stated = EXACT_FOR.iter().find(|(name, _)| Some(*name) == activation).map_or(&[][..], |(_, ops)| ops);
    let mut kinds: Vec<(String, String, usize)> = Vec::new();
    let mut note = |kind: String, subject: String| match kinds.iter_mut().find(|(k, ..)| *k == kind) {
        Some(slot) => slot.2 += 1,
        None => kinds.push((kind, subject, 1)),
    };
    let initializers = g.model().proto().graph.iter().flat_map(|p| &p.initializer);
    for t in initializers.filter(|t| is_half(t)) {
        note(format!("{} weights", dtype::name(t.data_type)), format!("initializer `{}`", t.name));
    }
    for k in (0..g.len()).filter(|&k| !stated.contains(&g.op(k))) {
        let subject = || format!("node `{}`", label(g, k));
        if let Some(kind) = inexact(g, k) {
            note(kind, subject());
        }
    }
    // Above the final state a hyperbolic tangent can only be a GELU's; the pooler's comes behind.
    let above = map.tensor(Tap::Final).and_then(|t| g.find(t)).map(|t| g.ancestors(t)).unwrap_or_default();
    for k in (0..above.len()).filter(|&k| above[k] && g.op(k) == "Tanh" && !stated.contains(&"Tanh")) {
        note("the tanh approximation of GELU".to_owned(), format!("node `{}`", label(g, k)));
    }
    let message = |(kind, subject, n): &(String, String, usize)| {
        let more = if *n > 1 { format!(" and {} more", n - 1) } else { String::new() };
        let file = g.model().name();
        format!("{file}: {kind} ({subject}{more}): not an exact float32 reference; export the model in float32")
    };
    kinds.iter().map(|k| Finding::new(Severity::Refusal, CODE, message(k))).collect()
}

fn inexact(g: &Graph, k: NodeId) -> Option<String> {
    let op = g.op(k);
    if INEXACT.iter().any(|p| op.starts_with(p)) {
        return Some(format!("operator {op}"));
    }
    match op {
        "Gelu" if g.attribute(k, "approximate").is_some_and(|a| a.s.as_ref() == b"tanh") => {
            Some("the tanh approximation of GELU".to_owned())
        }
        "Cast" => {
            let to = g.attribute(k, "to").and_then(|a| i32::try_from(a.i).ok())?;
            half(to).then(|| format!("a cast to {}", dtype::name(to)))
        }
        _ => {
            let t = g.node(k).attribute.iter().filter_map(|a| a.t.as_ref()).find(|t| is_half(t))?;
            Some(format!("{} constants", dtype::name(t.data_type)))
        }
    }
}

/// A node's name, or its first output where it has none.
fn label<'m>(g: &Graph<'m>, k: NodeId) -> &'m str {
    let node = g.node(k);
    if node.name.is_empty() { node.output.first().map_or("", String::as_str) } else { &node.name }
}

fn is_half(t: &TensorProto) -> bool {
    half(t.data_type)
}

/// float16, bfloat16 and the 8-bit and 4-bit floats.
const fn half(t: i32) -> bool {
    matches!(t, dtype::FLOAT16 | dtype::BFLOAT16 | 17..=20 | 23)
}
