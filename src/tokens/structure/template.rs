//! What a post-processor puts around one text: one form for all its spellings.

use std::collections::BTreeMap;

use serde_json::Value;

use super::shown;

/// One piece of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Special tokens, and their type id.
    Tokens(Vec<u32>, u32),
    /// The text, and its type id.
    Text(u32),
}

/// A post-processor in normal form.
#[derive(Clone, Debug, PartialEq)]
pub enum Template {
    /// The pieces of a row of one text.
    Pieces {
        /// In order.
        single: Vec<Piece>,
        /// For a pair of texts, as the file has it: parallax encodes single texts.
        pair: Value,
    },
    /// Something without such a form, as it is written.
    Other(Value),
}

impl Template {
    /// Of the library's own JSON. `BertProcessing` and `RobertaProcessing` are the template `[CLS] text [SEP]`;
    /// `ByteLevel` moves offsets only; a sequence of one is that one.
    pub(super) fn of(processor: Value) -> Self {
        let pieces = |single| Self::Pieces { single, pair: Value::Null };
        let kind = processor.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        let other = || Self::Other(processor.clone());
        match kind.as_str() {
            _ if processor.is_null() => pieces(vec![Piece::Text(0)]),
            "ByteLevel" => pieces(vec![Piece::Text(0)]),
            "BertProcessing" | "RobertaProcessing" => {
                let id = |key: &str| processor.get(key)?.get(1)?.as_u64().and_then(|id| u32::try_from(id).ok());
                let (Some(cls), Some(sep)) = (id("cls"), id("sep")) else { return other() };
                pieces(vec![Piece::Tokens(vec![cls], 0), Piece::Text(0), Piece::Tokens(vec![sep], 0)])
            }
            "TemplateProcessing" => match single(&processor) {
                Some(single) => Self::Pieces { single, pair: processor.get("pair").cloned().unwrap_or_default() },
                None => other(),
            },
            "Sequence" => {
                let all = processor.get("processors").and_then(Value::as_array).cloned().unwrap_or_default();
                let mut left: Vec<Value> =
                    all.into_iter().filter(|p| p.get("type").and_then(Value::as_str) != Some("ByteLevel")).collect();
                match (left.len(), left.pop()) {
                    (0, _) | (_, None) => pieces(vec![Piece::Text(0)]),
                    (1, Some(one)) => Self::of(one),
                    _ => other(),
                }
            }
            _ => other(),
        }
    }

    /// The special tokens before and after the text, where it is one text with tokens around it.
    pub fn around(&self) -> Option<(Vec<u32>, Vec<u32>)> {
        let Self::Pieces { single, .. } = self else { return None };
        let text = single.iter().position(|p| matches!(p, Piece::Text(_)))?;
        let ids = |pieces: &[Piece]| {
            let of = |p: &Piece| match p {
                Piece::Tokens(ids, _) => ids.clone(),
                Piece::Text(_) => Vec::new(),
            };
            pieces.iter().flat_map(of).collect::<Vec<_>>()
        };
        let (before, after) = (single.get(..text)?, single.get(text + 1..)?);
        (!after.iter().any(|p| matches!(p, Piece::Text(_)))).then(|| (ids(before), ids(after)))
    }

    /// Whether rows of one text come out the same.
    pub(super) fn same_single(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Pieces { single: a, .. }, Self::Pieces { single: b, .. }) => a == b,
            (Self::Other(a), Self::Other(b)) => a == b,
            _ => false,
        }
    }

    /// For people: `[CLS] (2), the text, [SEP] (3)`.
    pub(super) fn describe(&self, token: &dyn Fn(u32) -> String) -> String {
        let Self::Pieces { single, .. } = self else {
            let Self::Other(value) = self else { return String::new() };
            return shown(value);
        };
        let of_type = |id: u32| if id == 0 { String::new() } else { format!(" of type {id}") };
        let piece = |p: &Piece| match p {
            Piece::Text(id) => format!("the text{}", of_type(*id)),
            Piece::Tokens(ids, id) => {
                let named: Vec<String> = ids.iter().map(|id| format!("{} ({id})", token(*id))).collect();
                format!("{}{}", named.join(" "), of_type(*id))
            }
        };
        single.iter().map(piece).collect::<Vec<_>>().join(", ")
    }
}

fn single(processor: &Value) -> Option<Vec<Piece>> {
    let whole = |v: &Value| v.as_u64().and_then(|n| u32::try_from(n).ok());
    let mut tokens = BTreeMap::new();
    for (name, token) in processor.get("special_tokens")?.as_object()? {
        let ids = token.get("ids")?.as_array()?.iter().map(whole).collect::<Option<Vec<_>>>()?;
        tokens.insert(name.as_str(), ids);
    }
    let piece = |p: &Value| {
        if let Some(text) = p.get("Sequence") {
            // `B` stands for a second text, which a single row does not have.
            let first = text.get("id").and_then(Value::as_str) == Some("A");
            return Some(Piece::Text(whole(text.get("type_id")?)?)).filter(|_| first);
        }
        let token = p.get("SpecialToken")?;
        let ids = tokens.get(token.get("id")?.as_str()?)?.clone();
        Some(Piece::Tokens(ids, whole(token.get("type_id")?)?))
    };
    processor.get("single")?.as_array()?.iter().map(piece).collect()
}
