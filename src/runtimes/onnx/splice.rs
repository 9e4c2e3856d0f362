//! The one edit of a node: a fused residual sum that a graph computes and does not give out.
//!
//! `SkipLayerNormalization` has an optional fourth output, the bare sum. Where a pre-norm model's last layer
//! ends in such a node, that output is the layer's state and is not wired. Output names are a repeated
//! field, and a repeated field grows when more of it is appended to the message; so the file stays as it
//! is but for a few bytes behind that node, and the lengths of the messages around it.

/// Name given to output `index` of the node whose first output is `first`.
pub(super) fn name(first: &str, index: usize) -> String {
    format!("{first}:output_{index}")
}

/// Field numbers of `onnx.proto`: ModelProto.graph, GraphProto.node, NodeProto.output.
const GRAPH: u64 = 7;
const NODE: u64 = 1;
const OUTPUT: u64 = 2;
/// Bytes follow.
const LENGTH_DELIMITED: u64 = 2;

/// Wires output `index` of the node whose first output is `first`; none when there is no such node, or it
/// has that many outputs already.
pub(super) fn wire_output(model: &[u8], first: &str, index: usize) -> Option<Vec<u8>> {
    rewritten(model, GRAPH, &|graph| {
        rewritten(graph, NODE, &|node| {
            let outputs: Vec<&[u8]> =
                fields(node)?.into_iter().filter(|f| f.number == OUTPUT).map(|f| f.body).collect();
            if outputs.first().is_none_or(|o| *o != first.as_bytes()) || outputs.len() > index {
                return None;
            }
            let mut edited = node.to_vec();
            for missing in outputs.len()..=index {
                let name = if missing == index { name(first, index) } else { String::new() };
                put(&mut edited, OUTPUT, name.as_bytes());
            }
            Some(edited)
        })
    })
}

/// A field of a message: where it lies, and its body where it has a length.
struct Field<'a> {
    number: u64,
    whole: &'a [u8],
    body: &'a [u8],
}

/// The message with the first field of this number changed that `edit` wants to change.
fn rewritten(message: &[u8], number: u64, edit: &dyn Fn(&[u8]) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    let mut out: Option<Vec<u8>> = None;
    let mut at = 0;
    for field in fields(message)? {
        let edited = if out.is_none() && field.number == number { edit(field.body) } else { None };
        if let Some(edited) = edited {
            let mut bytes = Vec::with_capacity(message.len() + 64);
            bytes.extend_from_slice(&message[..at]);
            put(&mut bytes, number, &edited);
            out = Some(bytes);
        } else if let Some(out) = &mut out {
            out.extend_from_slice(field.whole);
        }
        at += field.whole.len();
    }
    out
}

/// Every field of a message; none when it is cut short or holds groups.
fn fields(message: &[u8]) -> Option<Vec<Field<'_>>> {
    let mut all = Vec::new();
    let mut at = 0;
    while at < message.len() {
        let start = at;
        let key = varint(message, &mut at)?;
        let mut body: &[u8] = &[];
        match key & 7 {
            0 => _ = varint(message, &mut at)?,
            1 => at = at.checked_add(8)?,
            5 => at = at.checked_add(4)?,
            LENGTH_DELIMITED => {
                let len = usize::try_from(varint(message, &mut at)?).ok()?;
                let end = at.checked_add(len)?;
                body = message.get(at..end)?;
                at = end;
            }
            _ => return None,
        }
        all.push(Field { number: key >> 3, whole: message.get(start..at)?, body });
    }
    Some(all)
}

fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn put(out: &mut Vec<u8>, number: u64, body: &[u8]) {
    let mut push = |mut v: u64| {
        while v >= 0x80 {
            out.push((v as u8 & 0x7f) | 0x80);
            v >>= 7;
        }
        out.push(v as u8);
    };
    push(number << 3 | LENGTH_DELIMITED);
    push(body.len() as u64);
    out.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtimes::onnx::proto::{GraphProto, ModelProto, NodeProto};
    use prost::Message;

    fn model() -> ModelProto {
        let node = |op: &str, output: &[&str]| NodeProto {
            op_type: op.to_owned(),
            output: output.iter().map(|s| (*s).to_owned()).collect(),
            ..NodeProto::default()
        };
        let graph = GraphProto {
            name: "g".repeat(200),
            node: vec![node("Add", &["a"]), node("SkipLayerNormalization", &["n"]), node("Add", &["z"])],
            ..GraphProto::default()
        };
        ModelProto { graph: Some(graph), producer_name: "p".to_owned(), ..ModelProto::default() }
    }

    #[test]
    fn one_node_gets_one_output_and_nothing_else_changes() {
        let before = model();
        let bytes = before.encode_to_vec();
        let after = ModelProto::decode(&*wire_output(&bytes, "n", 3).unwrap()).unwrap();
        let mut wanted = before;
        wanted.graph.as_mut().unwrap().node[1].output = ["n", "", "", "n:output_3"].map(str::to_owned).to_vec();
        assert_eq!(after, wanted);
    }

    #[test]
    fn what_is_not_there_is_not_edited() {
        let bytes = model().encode_to_vec();
        assert_eq!(wire_output(&bytes, "other", 3), None);
        assert_eq!(wire_output(&bytes, "n", 0), None, "it has that output");
        for cut in 1..bytes.len() {
            let _ = wire_output(&bytes[..cut], "n", 3);
        }
    }
}
