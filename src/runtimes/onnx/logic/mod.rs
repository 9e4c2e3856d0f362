//! The logic of a graph: every node between the inputs and the outputs belongs to a known block of an encoder.
//!
//! Weights can be compared with the checkpoint's and hidden states with the control's, and a graph can still treat one
//! word, one length or one batch size differently: no finite number of rows shows that it does not. So each operator
//! is read. Every tensor is one of a few things (token ids, positions, mask, shape, hidden values at some step of a
//! known formula, see `value.rs`), and each operator is allowed between few of them: ids reach the word table and
//! nothing else, lengths shape tensors, conditions make masks. What is left treats all words, positions and batches
//! alike, and is wrong for every row if it is wrong at all; the rows show that.

mod fixed;
mod fused;
mod hidden;
mod index;
mod mask;
mod operands;
mod padding;
mod shapes;
mod size;
mod value;
mod verdict;
mod walk;

pub use verdict::{Logic, Unaudited};

use value::{Kind, Value};
use walk::{Answer, Refused, Walk, conditional, takes_mask, unknown};

use super::graph::{Graph, NodeId, TensorId};
use super::taps::TapMap;
use crate::hidden_states::Tap;

/// Reads every node that a graph output depends on. `padding` is the padding's id by the configuration, where there
/// is one.
pub fn logic(g: &Graph, map: &TapMap, padding: Option<i64>) -> Logic {
    let mut w = Walk {
        g,
        values: vec![None; g.tensors()],
        after: after(g, map),
        has_mask: takes_mask(g),
        words: words(g, map),
        stated: padding,
        padding: None,
    };
    for input in g.inputs() {
        if let Some(t) = g.find(&input.name) {
            w.values[t] = Some(w.input(input, &map.ids_input, t));
        }
    }
    for t in 0..g.tensors() {
        if let Some(stored) = g.stored(t) {
            w.values[t] = Some(w.stored(stored, t));
        }
    }
    let live = live(g);
    let mut refused: Vec<(NodeId, Refused)> = Vec::new();
    let mut read = 0;
    for k in (0..g.len()).filter(|&k| live[k]) {
        read += 1;
        let answer = node(&mut w, k);
        if let Err(why) = &answer {
            refused.push((k, why.clone()));
        }
        let kind = answer.ok();
        for o in 0..g.node(k).output.len() {
            let Some(t) = g.output(k, o) else { continue };
            w.values[t] = Some(match &kind {
                Some(first) => output(&w, k, o, t, first),
                None => Value::new(Kind::Unknown, None, t),
            });
        }
    }
    verdict::verdict(&w, map, &live, read, refused)
}

/// The table of the token lookup the taps were found from.
fn words(g: &Graph, map: &TapMap) -> Option<TensorId> {
    let k = g.producer(g.find(&map.words)?)?;
    g.input(k, if g.op(k) == "EmbedLayerNormalization" { 2 } else { 0 })
}

/// Tensors that depend on the final state, itself included.
fn after(g: &Graph, map: &TapMap) -> Vec<bool> {
    let mut after = vec![false; g.tensors()];
    if let Some(end) = map.tensor(Tap::Final).and_then(|t| g.find(t)) {
        after[end] = true;
        for k in 0..g.len() {
            if g.reads(k).any(|t| after[t]) {
                g.makes(k).for_each(|t| after[t] = true);
            }
        }
    }
    after
}

/// Nodes some graph output depends on, by value or by shape.
fn live(g: &Graph) -> Vec<bool> {
    let mut live = vec![false; g.len()];
    let mut open: Vec<TensorId> = g.outputs().iter().filter_map(|o| g.find(&o.name)).collect();
    while let Some(t) = open.pop() {
        if let Some(k) = g.producer(t).filter(|&k| !std::mem::replace(&mut live[k], true)) {
            open.extend(g.reads(k));
        }
    }
    live
}

/// UINT8, INT8, UINT16, INT16 (onnx.proto, `TensorProto.DataType`).
const NARROW: [i64; 4] = [2, 3, 4, 5];

fn kind_of(w: &Walk, t: TensorId) -> Option<Kind> {
    w.values.get(t)?.as_ref().map(|v| v.kind)
}

/// What the first output of a node is.
fn node(w: &mut Walk, k: NodeId) -> Answer<Value> {
    let g = w.g;
    let op = g.op(k);
    let same = g.makes(k).next().unwrap_or(0);
    let kept = |w: &Walk| match op {
        "Identity" | "Cast" | "CastLike" | "Dropout" => w.at(k, 0).map_or(same, |v| v.same),
        _ => same,
    };
    if op == "Constant" {
        return Ok(fixed::constant(w, k, same));
    }
    if let Some(t) = g.reads(k).find(|&t| g.producer(t).is_none() && kind_of(w, t) == Some(Kind::Unknown)) {
        return unknown(format!("it reads the graph input `{}`, which is not known", g.name(t).escape_debug()));
    }
    if w.all(k).any(|v| v.kind == Kind::Unknown) {
        return Ok(Value::new(Kind::Unknown, None, same));
    }
    // Whole numbers are ids, positions, indices or sizes: in a narrower type they wrap around in long or large batches.
    if op == "Cast" && NARROW.contains(&w.int(k, "to", 0)) && !w.all(k).all(|v| v.kind == Kind::Constant) {
        return conditional("whole numbers are cast to a type of 16 bits or fewer, in which they wrap around");
    }
    if op == "Shape" || op == "Size" {
        let data = fixed::shape_of(w, k)?;
        let shape = if op == "Size" { Vec::new() } else { vec![size::Size::known(data.len() as i64)] };
        return Ok(Value { data: Some(data), ..Value::new(Kind::Sizes, Some(shape), same) });
    }
    if op.starts_with("Random") || op == "Bernoulli" || op == "Multinomial" {
        return conditional("it draws random numbers");
    }
    if w.g.reads(k).count() == 0 || w.all(k).all(Value::is_fixed) {
        let shape = shapes::shape(w, k, 0);
        let value = fixed::fixed(w, k, shape, same)?;
        return match value.kind == Kind::Sizes && value.data.is_none() && value.uniform.is_none() {
            true => conditional("a number is made of the input's lengths that is no product of them"),
            false => Ok(value),
        };
    }
    let has = |w: &Walk, wanted: fn(Kind) -> bool| w.all(k).any(|v| wanted(v.kind));
    let kind = if op == "EmbedLayerNormalization" {
        Kind::Hidden(fused::embeddings(w, k)?)
    } else if has(w, |kind| kind == Kind::ShapeOnly) {
        return unknown("positions are compared for their shape, and used for more");
    } else if has(w, |kind| kind == Kind::Ids) {
        index::tokens(w, k, Kind::Ids)?
    } else if op == "IsNaN" {
        match w.given(k, 0)? {
            v if v.form() == Some(value::Form::Probabilities) => Kind::NotANumber(v.same),
            _ => return conditional("it asks which values are no numbers, not behind a softmax"),
        }
    } else if has(w, |kind| matches!(kind, Kind::Hidden(_) | Kind::NotANumber(_))) {
        Kind::Hidden(hidden::hidden(w, k)?)
    } else if has(w, |kind| kind == Kind::Types) {
        index::tokens(w, k, Kind::Types)?
    } else if has(w, |kind| kind == Kind::Lengths) {
        mask::lengths(w, k)?
    } else if has(w, |kind| kind == Kind::Padding) {
        padding::padding(w, k)?
    } else if has(w, |kind| kind == Kind::Mask) {
        mask::mask(w, k)?
    } else if has(w, |kind| matches!(kind, Kind::Index(_))) {
        index::index(w, k)?
    } else if let Some(Kind::Table(table)) = w.all(k).map(|v| v.kind).find(|kind| matches!(kind, Kind::Table(_))) {
        mask::table(w, k, table)?
    } else {
        return unknown("it is not known in an encoder");
    };
    let shape = match kind {
        Kind::ShapeOnly => w.at(k, 0).zip(w.at(k, 1)).and_then(|(a, b)| fixed::together(a, b)),
        _ => shapes::shape(w, k, 0),
    };
    if shape.is_none() && matches!(op, "Reshape" | "Expand" | "Slice" | "Gather" | "Squeeze" | "Unsqueeze") {
        return unknown("the shape it makes is not known");
    }
    let mut value = Value::new(kind, shape, kept(w));
    if kind == Kind::Constant {
        // A table of one number, or a comparison that every position passes.
        value.uniform = w.at(k, 0).filter(|v| v.is_fixed()).and_then(|v| v.uniform);
        value.uniform = value.uniform.or(Some(f64::from(u8::from(op == "GreaterOrEqual"))));
    }
    Ok(value)
}

/// What output `o` of a node is, given its first.
fn output(w: &Walk, k: NodeId, o: usize, t: TensorId, first: &Value) -> Value {
    if o == 0 {
        return first.clone();
    }
    let kind = match (w.g.op(k), first.kind) {
        // The lengths of the rows, and the sum before the norm.
        ("EmbedLayerNormalization", Kind::Hidden(_)) if o == 1 => Kind::Lengths,
        _ => first.kind,
    };
    Value::new(kind, shapes::shape(w, k, o), t)
}
