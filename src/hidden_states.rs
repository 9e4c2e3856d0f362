//! The shared vocabulary: taps, arms, rows, and the hidden states seen at a tap. Depends on nothing.
//!
//! Hidden states are *ragged*: a batch is some rows, each row some tokens, and nothing else. ONNX
//! Runtime's padded `[rows, seq, hidden]` fits the same view, because a row's real tokens lie side by
//! side in it: the padding behind them is simply never looked at.

mod arm;
mod returned;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use arm::Arm;
pub use returned::{BrokenPadding, GraphOutput, OutputValues, Returned};

/// A named observation point of a text encoder (`hidden_states[0]` is `embeddings`, `hidden_states[i+1]` is `layer.i`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tap {
    /// Output of the embedding block.
    Embeddings,
    /// Output of layer `i`, counted from 0.
    Layer(usize),
    /// Inside layer `i`: after attention and its residual (and norm, for post-norm models).
    Attention(usize),
    /// Inside layer `i`: the feed-forward block's output before its residual.
    Ffn(usize),
    /// `last_hidden_state`.
    Final,
    /// The pooled sentence vector, one per row.
    Pooled,
    /// The sentence vector after Dense and Normalize modules, one per row.
    Sentence,
}

impl Tap {
    /// `(stage, layer, step)`: the order in which a forward pass meets the taps.
    const fn depth(self) -> (u8, usize, u8) {
        match self {
            Self::Embeddings => (0, 0, 0),
            Self::Attention(i) => (1, i, 0),
            Self::Ffn(i) => (1, i, 1),
            Self::Layer(i) => (1, i, 2),
            Self::Final => (2, 0, 0),
            Self::Pooled => (3, 0, 0),
            Self::Sentence => (4, 0, 0),
        }
    }

    /// True for taps that hold one vector per row instead of one per token.
    pub const fn is_sentence_level(self) -> bool {
        matches!(self, Self::Pooled | Self::Sentence)
    }
}

impl Ord for Tap {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.depth().cmp(&other.depth())
    }
}

impl PartialOrd for Tap {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embeddings => f.pad("embeddings"),
            Self::Layer(i) => f.pad(&format!("layer.{i}")),
            Self::Attention(i) => f.pad(&format!("layer.{i}.attention")),
            Self::Ffn(i) => f.pad(&format!("layer.{i}.ffn")),
            Self::Final => f.pad("final"),
            Self::Pooled => f.pad("pooled"),
            Self::Sentence => f.pad("sentence"),
        }
    }
}

/// A tap name that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown tap `{0}`; taps are embeddings, layer.N, layer.N.attention, layer.N.ffn, final, pooled, sentence")]
pub struct UnknownTap(pub String);

impl FromStr for Tap {
    type Err = UnknownTap;

    fn from_str(s: &str) -> Result<Self, UnknownTap> {
        let unknown = || UnknownTap(s.to_owned());
        Ok(match s {
            "embeddings" => Self::Embeddings,
            "final" => Self::Final,
            "pooled" => Self::Pooled,
            "sentence" => Self::Sentence,
            _ => {
                let rest = s.strip_prefix("layer.").ok_or_else(unknown)?;
                let (number, kind) = rest.split_once('.').map_or((rest, None), |(n, k)| (n, Some(k)));
                let i: usize = number.parse().map_err(|_| unknown())?;
                if i.to_string() != number {
                    return Err(unknown());
                }
                match kind {
                    None => Self::Layer(i),
                    Some("attention") => Self::Attention(i),
                    Some("ffn") => Self::Ffn(i),
                    Some(_) => return Err(unknown()),
                }
            }
        })
    }
}

impl schemars::JsonSchema for Tap {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Tap".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let names = r"^(embeddings|layer\.[0-9]+(\.(attention|ffn))?|final|pooled|sentence)$";
        schemars::json_schema!({ "description": "A named observation point.", "type": "string", "pattern": names })
    }
}

impl Serialize for Tap {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Tap {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Where a row comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RowSet {
    /// The user's corpus (or the built-in probes when they *are* the corpus).
    Corpus,
    /// The built-in probe sentences that accompany every run.
    Probes,
}

/// A row's identity: stable across batching, sharding and threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RowId {
    /// Which set the row belongs to.
    pub set: RowSet,
    /// Its number within the set, from 0.
    pub row: u64,
}

impl fmt::Display for RowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.set {
            RowSet::Corpus => write!(f, "row {}", self.row),
            RowSet::Probes => write!(f, "probe {}", self.row),
        }
    }
}

/// A buffer and a layout that do not fit each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("hidden states of {expected} values expected ({what}), found {found}")]
pub struct LayoutError {
    /// The layout that was claimed.
    pub what: String,
    /// Values the layout needs.
    pub expected: usize,
    /// Values the buffer holds.
    pub found: usize,
}

/// Where a row's tokens lie in a buffer, in tokens.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    len: usize,
}

/// The states of one tap for the rows of one batch.
pub struct TapStates {
    hidden: usize,
    spans: Vec<Span>,
    values: Box<dyn AsRef<[f32]> + Send + Sync>,
}

impl TapStates {
    /// Rows laid end to end: `values` is `[tokens, hidden]`, row `r` owns tokens `offsets[r]..offsets[r+1]`.
    pub fn ragged(hidden: usize, offsets: &[usize], values: Vec<f32>) -> Result<Self, LayoutError> {
        Self::ragged_in(hidden, offsets, Box::new(values))
    }

    /// As [`TapStates::ragged`], in memory that is somebody else's.
    pub fn ragged_in(
        hidden: usize,
        offsets: &[usize],
        values: Box<dyn AsRef<[f32]> + Send + Sync>,
    ) -> Result<Self, LayoutError> {
        let tokens = offsets.last().copied().unwrap_or(0);
        let spans = offsets.windows(2).map(|w| Span { start: w[0], len: w[1].saturating_sub(w[0]) }).collect();
        Self::checked(hidden, tokens, spans, values, || format!("[{tokens} tokens, {hidden}]"))
    }

    /// A right-padded `[rows, seq, hidden]` buffer, read in place: row `r` has `lengths[r]` real tokens.
    pub fn padded(
        hidden: usize,
        seq: usize,
        lengths: &[usize],
        values: Box<dyn AsRef<[f32]> + Send + Sync>,
    ) -> Result<Self, LayoutError> {
        let rows = lengths.len();
        let spans = lengths.iter().enumerate().map(|(r, &n)| Span { start: r * seq, len: n.min(seq) }).collect();
        Self::checked(hidden, rows.saturating_mul(seq), spans, values, || format!("[{rows} rows, {seq}, {hidden}]"))
    }

    fn checked(
        hidden: usize,
        tokens: usize,
        spans: Vec<Span>,
        values: Box<dyn AsRef<[f32]> + Send + Sync>,
        what: impl Fn() -> String,
    ) -> Result<Self, LayoutError> {
        let found = (*values).as_ref().len();
        match tokens.checked_mul(hidden) {
            Some(n) if n == found => Ok(Self { hidden, spans, values }),
            n => Err(LayoutError { what: what(), expected: n.unwrap_or(usize::MAX), found }),
        }
    }

    /// Only the first `rows` rows; the others are forgotten.
    pub fn first(mut self, rows: usize) -> Self {
        self.spans.truncate(rows);
        self
    }

    /// Width of one state.
    pub fn hidden(&self) -> usize {
        self.hidden
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.spans.len()
    }

    /// Number of real tokens of row `r`.
    pub fn tokens(&self, r: usize) -> usize {
        self.spans[r].len
    }

    /// Row `r`'s real tokens: `[tokens, hidden]`, contiguous.
    pub fn row(&self, r: usize) -> &[f32] {
        let Span { start, len } = self.spans[r];
        &(*self.values).as_ref()[start * self.hidden..(start + len) * self.hidden]
    }

    /// All rows as one `[tokens, hidden]` slice; none where padding or anything else lies between them.
    pub fn end_to_end(&self) -> Option<&[f32]> {
        let mut tokens = 0;
        for span in &self.spans {
            if span.start != tokens {
                return None;
            }
            tokens += span.len;
        }
        let values = (*self.values).as_ref();
        (tokens.checked_mul(self.hidden) == Some(values.len())).then_some(values)
    }
}

impl fmt::Debug for TapStates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TapStates[{} rows, hidden {}]", self.rows(), self.hidden)
    }
}

/// Every tap an encoder reported for one batch, in the order of the forward pass.
///
/// Two taps that are the same point of the computation (`final` and the last layer of a post-norm
/// model) share one buffer.
#[derive(Clone, Debug, Default)]
pub struct HiddenStates {
    taps: Vec<(Tap, Arc<TapStates>)>,
    returned: Arc<Returned>,
}

impl HiddenStates {
    /// No taps yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tap; a tap reported twice keeps the last states.
    pub fn insert(&mut self, tap: Tap, states: Arc<TapStates>) {
        match self.taps.iter_mut().find(|(t, _)| *t == tap) {
            Some(slot) => slot.1 = states,
            None => self.taps.push((tap, states)),
        }
    }

    /// The same states with what their graph returned besides them.
    pub fn with_returned(mut self, returned: Returned) -> Self {
        self.returned = Arc::new(returned);
        self
    }

    /// What the graph returned besides its taps; nothing for encoders that are no graph.
    pub fn returned(&self) -> &Returned {
        &self.returned
    }

    /// The states at `tap`.
    pub fn get(&self, tap: Tap) -> Option<&Arc<TapStates>> {
        self.taps.iter().find(|(t, _)| *t == tap).map(|(_, s)| s)
    }

    /// All taps in order.
    pub fn iter(&self) -> impl Iterator<Item = (Tap, &Arc<TapStates>)> {
        self.taps.iter().map(|(t, s)| (*t, s))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tap_names_round_trip_and_order_follows_the_forward_pass() {
        let taps = [
            "embeddings",
            "layer.0.attention",
            "layer.0.ffn",
            "layer.0",
            "layer.1",
            "layer.10",
            "final",
            "pooled",
            "sentence",
        ];
        let parsed: Vec<Tap> = taps.iter().map(|t| t.parse().unwrap()).collect();
        assert!(parsed.is_sorted());
        for (name, tap) in taps.iter().zip(&parsed) {
            assert_eq!(&tap.to_string(), name);
        }
        for bad in ["", "layer", "layer.", "layer.x", "layer.01", "layer.+1", "layer.1.mlp", "Final"] {
            assert!(bad.parse::<Tap>().is_err(), "{bad}");
        }
    }

    #[test]
    fn padded_and_ragged_show_the_same_rows() {
        let ragged = TapStates::ragged(2, &[0, 1, 3], vec![1., 2., 3., 4., 5., 6.]).unwrap();
        let padded = TapStates::padded(2, 2, &[1, 2], Box::new(vec![1., 2., 9., 9., 3., 4., 5., 6.])).unwrap();
        for r in 0..2 {
            assert_eq!(ragged.row(r), padded.row(r));
        }
        assert_eq!(ragged.end_to_end(), Some(&[1., 2., 3., 4., 5., 6.][..]));
        assert_eq!(padded.end_to_end(), None, "padding must never be handed out");
        assert!(TapStates::ragged(2, &[0, 1, 3], vec![0.; 5]).is_err());
        assert!(TapStates::padded(2, 2, &[1, 2], Box::new(vec![0.; 7])).is_err());
    }
}
