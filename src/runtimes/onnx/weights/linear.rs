//! Reading linear layers, norms and the walk between them off a graph.

use super::constants::Array;
use crate::runtimes::onnx::graph::operators::{BIASED, LAYOUT};
use crate::runtimes::onnx::graph::{Graph, NodeId, TensorId};

/// Longest walk between two products of one attention block.
const MAX_WALK: usize = 64;

/// A linear layer as stored by PyTorch.
#[derive(Clone, Debug)]
pub(crate) struct Linear {
    /// `[out, in]`.
    pub(crate) weight: Array,
    /// The constant it was read from.
    pub(crate) weight_from: TensorId,
    /// `[out]`; exporters drop a bias of zeros, and where nothing is added it is zeros.
    pub(crate) bias: Array,
    /// The constant the bias was read from, if there is one.
    pub(crate) bias_from: Option<TensorId>,
}

/// Reads the product at node `k`, with the bias added behind it.
pub(crate) fn linear(g: &Graph, k: NodeId) -> Result<Linear, String> {
    let node = || format!("{} node `{}`", g.op(k), g.node(k).name);
    let constant = g.input(k, 1).filter(|&t| g.is_constant(t));
    let weight_from = constant.ok_or_else(|| format!("the right operand of {} is no constant", node()))?;
    let flag = |name: &str| g.attribute(k, name).is_some_and(|a| a.i != 0);
    let factor = |name: &str| g.attribute(k, name).is_none_or(|a| a.f == 1.0);
    let stored = match g.op(k) {
        "MatMul" => false,
        "FusedMatMul" if factor("alpha") && !["transA", "transBatchA", "transBatchB"].iter().any(|n| flag(n)) => {
            flag("transB")
        }
        "Gemm" if factor("alpha") && factor("beta") && !flag("transA") => flag("transB"),
        _ => return Err(format!("{} is no plain product", node())),
    };
    let array = g.floats(weight_from).ok_or_else(|| format!("the weight of {} is no float32 constant", node()))?;
    let weight = if stored && array.shape.len() == 2 { Some(array) } else { array.transposed() };
    let weight = weight.ok_or_else(|| format!("the weight of {} is no matrix", node()))?;
    let behind = || {
        let t = g.output(k, 0)?;
        let &[next] = g.consumers(t) else { return None };
        if g.op(next) == "Add" {
            return g.reads(next).find(|&t| g.is_constant(t));
        }
        // Activations and residual sums may have swallowed the addition.
        let i = BIASED.iter().find(|(op, _)| *op == g.op(next))?.1;
        let value = (0..i.min(2)).any(|operand| g.input(next, operand) == Some(t));
        g.input(next, i).filter(|&bias| value && g.is_constant(bias))
    };
    let out = weight.shape[0];
    let bias_from = g.input(k, 2).or_else(behind);
    let bias = match bias_from {
        Some(t) => g.floats(t).ok_or_else(|| format!("the bias of {} is no float32 constant", node()))?.values,
        None if g.output(k, 0).is_some_and(|t| added_later(g, t)) => {
            return Err(format!("a constant is added some way behind {}", node()));
        }
        None => vec![0.0; out],
    };
    if bias.len() != out {
        return Err(format!("the bias of {} has {} values for {out} outputs", node(), bias.len()));
    }
    let bias = Array { shape: vec![out], values: bias };
    Ok(Linear { weight, weight_from, bias, bias_from })
}

/// True when a constant is added to `t` directly or behind layout operators: a bias in an unknown place.
fn added_later(g: &Graph, t: TensorId) -> bool {
    let mut open = vec![t];
    for _ in 0..MAX_WALK {
        let Some(t) = open.pop() else { return false };
        for &k in g.consumers(t) {
            if ["Add", "Sub", "Sum"].contains(&g.op(k)) && g.reads(k).any(|i| g.is_constant(i)) {
                return true;
            }
            if LAYOUT.contains(&g.op(k)) {
                open.extend(g.output(k, 0));
            }
        }
    }
    true
}

/// Scale and shift of the norm that makes tensor `t`, fused (`LayerNormalization`) or decomposed
/// (`Add(Mul(.., scale), shift)`).
pub(crate) fn norm(g: &Graph, t: TensorId) -> Option<[(Array, TensorId); 2]> {
    let read = |t: TensorId| {
        let a = g.floats(t)?;
        Some((Array { shape: vec![a.values.len()], values: a.values }, t))
    };
    let mut k = g.producer(t)?;
    while ["Cast", "Identity"].contains(&g.op(k)) {
        k = g.producer(g.input(k, 0)?)?;
    }
    let constant = |k: NodeId| g.reads(k).find(|&t| g.is_constant(t));
    match g.op(k) {
        "LayerNormalization" => Some([read(g.input(k, 1)?)?, read(g.input(k, 2)?)?]),
        "EmbedLayerNormalization" => Some([read(g.input(k, 5)?)?, read(g.input(k, 6)?)?]),
        "SkipLayerNormalization" => Some([read(g.input(k, 2)?)?, read(g.input(k, 3)?)?]),
        "Add" => {
            let shift = constant(k)?;
            let scaled = g.producer(g.reads(k).find(|&t| t != shift)?).filter(|&m| g.op(m) == "Mul")?;
            Some([read(constant(scaled)?)?, read(shift)?])
        }
        _ => None,
    }
}

/// Walks up from `t` along the one operand that carries hidden values, until `stop` holds.
pub(crate) fn above(g: &Graph, t: TensorId, carries: &[bool], stop: impl Fn(NodeId) -> bool) -> Option<NodeId> {
    let mut t = t;
    for _ in 0..MAX_WALK {
        let k = g.producer(t)?;
        if stop(k) {
            return Some(k);
        }
        let mut operands = g.reads(k).filter(|&i| carries[i]);
        t = operands.next()?;
        // Two operands with hidden values are a product or a sum: not a scale, a mask or a layout.
        let passes = LAYOUT.contains(&g.op(k)) || ["Add", "Sub", "Mul", "Div", "Where"].contains(&g.op(k));
        if !passes || operands.any(|o| o != t) {
            return None;
        }
    }
    None
}

/// The initializer a constant comes from, through layout operators.
pub(crate) fn origin<'m>(g: &Graph<'m>, t: TensorId) -> Option<&'m str> {
    let mut t = t;
    for _ in 0..MAX_WALK {
        if g.stored(t).is_some() {
            return Some(g.name(t));
        }
        t = g.input(g.producer(t)?, 0)?;
    }
    None
}
