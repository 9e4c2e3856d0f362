//! Editing a model at the level of its wire format: what is not edited is carried over byte for byte,
//! fields nobody here knows included (protobuf.dev/programming-guides/encoding).

use bytes::Bytes;

use super::wire::field;

/// `ModelProto.graph`.
const GRAPH: u64 = 7;

/// The message a field lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Model,
    Graph,
}

/// What becomes of one length-delimited field.
pub(crate) enum Edit {
    Keep,
    /// These payloads in its place; none removes it.
    Replace(Vec<Vec<u8>>),
}

/// The model with its fields edited, in their order. `bytes` must have passed [`super::wire::check`].
pub(crate) fn rewrite<E>(
    bytes: &Bytes,
    edit: &mut impl FnMut(Level, u64, Bytes) -> Result<Edit, E>,
) -> Result<Vec<u8>, E> {
    let mut out = Vec::with_capacity(bytes.len());
    message(bytes, Level::Model, edit, &mut out)?;
    Ok(out)
}

fn message<E>(
    bytes: &Bytes,
    level: Level,
    edit: &mut impl FnMut(Level, u64, Bytes) -> Result<Edit, E>,
    out: &mut Vec<u8>,
) -> Result<(), E> {
    let mut at = 0;
    while let Some(f) = field(bytes, at) {
        let whole = at..f.end;
        at = f.end;
        let Some(payload) = f.payload else {
            out.extend_from_slice(&bytes[whole]);
            continue;
        };
        let payload = bytes.slice(payload);
        if (level, f.number) == (Level::Model, GRAPH) {
            let mut inner = Vec::with_capacity(payload.len());
            message(&payload, Level::Graph, edit, &mut inner)?;
            put(f.number, &inner, out);
            continue;
        }
        match edit(level, f.number, payload)? {
            Edit::Keep => out.extend_from_slice(&bytes[whole]),
            Edit::Replace(payloads) => payloads.iter().for_each(|p| put(f.number, p, out)),
        }
    }
    Ok(())
}

/// Appends a length-delimited field.
pub(crate) fn put(number: u64, payload: &[u8], out: &mut Vec<u8>) {
    for mut v in [number << 3 | 2, payload.len() as u64] {
        while v >= 0x80 {
            out.push(v as u8 | 0x80);
            v >>= 7;
        }
        out.push(v as u8);
    }
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_edited_stays_as_it_is() {
        let mut graph = vec![0x08, 0x96, 0x01];
        put(1, b"node", &mut graph);
        put(99, &[7; 300], &mut graph);
        let mut model = vec![0x08, 0x09];
        put(GRAPH, &graph, &mut model);
        put(25, b"function", &mut model);
        model.extend([0x1d, 1, 2, 3, 4, 0x19, 1, 2, 3, 4, 5, 6, 7, 8]);
        let bytes = Bytes::from(model.clone());
        let keep = rewrite(&bytes, &mut |_, _, _| Ok::<_, ()>(Edit::Keep)).unwrap();
        assert_eq!(keep, model);
        let edited = rewrite(&bytes, &mut |level, number, payload| {
            Ok::<_, ()>(match (level, number) {
                (Level::Graph, 1) => Edit::Replace(vec![payload.to_vec(), b"two".to_vec()]),
                (Level::Model, 25) => Edit::Replace(Vec::new()),
                _ => Edit::Keep,
            })
        });
        let mut graph = vec![0x08, 0x96, 0x01];
        put(1, b"node", &mut graph);
        put(1, b"two", &mut graph);
        put(99, &[7; 300], &mut graph);
        let mut expected = vec![0x08, 0x09];
        put(GRAPH, &graph, &mut expected);
        expected.extend([0x1d, 1, 2, 3, 4, 0x19, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(edited.unwrap(), expected);
    }
}
