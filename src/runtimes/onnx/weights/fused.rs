//! The linear layers inside fused attention operators: Microsoft's `Attention` with its packed weight,
//! `MultiHeadAttention`, and ONNX's own `Attention` (opset 23).
//!
//! Semantics: onnxruntime/docs/ContribOperators.md, onnx/docs/Operators.md.

use super::constants::Array;
use super::linear::{Linear, above, linear};
use crate::runtimes::onnx::graph::regions::is_projection;
use crate::runtimes::onnx::graph::{Graph, NodeId, TensorId};

/// Query, key, value and output of the block around the fused node `k`.
pub(crate) fn fused(g: &Graph, k: NodeId, nodes: &[NodeId], carries: &[bool]) -> Result<[Linear; 4], String> {
    let projections: Vec<NodeId> = nodes.iter().copied().filter(|&n| n != k && is_projection(g, n)).collect();
    let packed = g.op(k) == "Attention" && g.node(k).domain == "com.microsoft";
    match g.op(k) {
        "Attention" if packed => {
            let &[output] = projections.as_slice() else {
                return Err(format!("{} products stand beside the packed attention, not 1", projections.len()));
            };
            let [query, key, value] = unpack(g, k)?;
            Ok([query, key, value, linear(g, output)?])
        }
        "Attention" | "MultiHeadAttention" => {
            let operand = |i: usize, what: &str| {
                let found = g.input(k, i).and_then(|t| above(g, t, carries, |n| is_projection(g, n)));
                found.ok_or_else(|| format!("no single product makes the {what} of node `{}`", g.node(k).name))
            };
            let three = [operand(0, "queries")?, operand(1, "keys")?, operand(2, "values")?];
            let mut rest = projections.iter().copied().filter(|n| !three.contains(n));
            let (Some(output), None, 4) = (rest.next(), rest.next(), projections.len()) else {
                return Err(format!("the attention block has {} products, not 4 separate ones", projections.len()));
            };
            let [query, key, value] = three;
            let mut all = [linear(g, query)?, linear(g, key)?, linear(g, value)?, linear(g, output)?];
            if g.op(k) == "MultiHeadAttention"
                && let Some(bias) = g.input(k, 3)
            {
                let width: usize = all[..3].iter().map(|l| l.weight.shape[0]).sum();
                let values = vector(g, bias, width)?;
                let mut from = 0;
                for l in &mut all[..3] {
                    if l.bias_from.is_some() {
                        return Err(format!("node `{}` adds a second bias", g.node(k).name));
                    }
                    let to = from + l.weight.shape[0];
                    l.bias.values.copy_from_slice(&values[from..to]);
                    from = to;
                }
            }
            Ok(all)
        }
        op => Err(format!("attention is fused into {op} node `{}`", g.node(k).name)),
    }
}

/// The packed weight `[input, query | key | value]` and bias, apart.
fn unpack(g: &Graph, k: NodeId) -> Result<[Linear; 3], String> {
    let node = || format!("Attention node `{}`", g.node(k).name);
    let set = |name: &str| g.attribute(k, name).is_some_and(|a| a.i != 0);
    if set("unidirectional") || set("do_rotary") || g.input(k, 4).is_some() {
        return Err(format!("{} is causal, rotary or has a past", node()));
    }
    let weight_from = g.input(k, 1).ok_or_else(|| format!("{} has no weight", node()))?;
    let array = g.floats(weight_from).ok_or_else(|| format!("the weight of {} is no float32 constant", node()))?;
    let stored = array.transposed().filter(|a| a.shape[0].is_multiple_of(3) && a.shape[0] > 0);
    let stored = stored.ok_or_else(|| format!("the weight of {} is not three matrices in one", node()))?;
    let (out, width) = (stored.shape[0] / 3, stored.shape[1]);
    let even =
        |a: &crate::runtimes::onnx::file::proto::AttributeProto| a.ints.iter().all(|&n| usize::try_from(n) == Ok(out));
    if !g.attribute(k, "qkv_hidden_sizes").is_none_or(even) {
        return Err(format!("{} packs matrices of different widths", node()));
    }
    let heads = g.attribute(k, "num_heads").and_then(|a| usize::try_from(a.i).ok()).filter(|&h| h > 0);
    let heads = heads.ok_or_else(|| format!("{} does not say its number of heads", node()))?;
    // 0 and none mean the usual 1 / sqrt(head size).
    let usual = (heads as f32 / out as f32).sqrt();
    let scale = g.attribute(k, "scale").map_or(0.0, |a| a.f);
    let known = scale == 0.0 || (scale - usual).abs() <= 1e-6 * usual;
    if !known {
        return Err(format!("{} scales its scores in an unusual way", node()));
    }
    let bias = match g.input(k, 2) {
        Some(t) => vector(g, t, 3 * out)?,
        None => vec![0.0; 3 * out],
    };
    Ok([0, 1, 2].map(|p| Linear {
        weight: Array { shape: vec![out, width], values: stored.values[p * out * width..][..out * width].to_vec() },
        weight_from,
        bias: Array { shape: vec![out], values: bias[p * out..][..out].to_vec() },
        bias_from: None,
    }))
}

fn vector(g: &Graph, t: TensorId, len: usize) -> Result<Vec<f32>, String> {
    let found = g.floats(t).map(|a| a.values).filter(|v| v.len() == len);
    found.ok_or_else(|| format!("`{}` is no float32 constant of {len} values", g.name(t)))
}
