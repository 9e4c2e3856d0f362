//! What a graph returns besides its taps: its own outputs, and what stands behind the real tokens of padded rows.

use std::sync::Arc;

use super::TapStates;

/// One graph output of one batch, as it was returned.
#[derive(Clone, Debug)]
pub enum OutputValues {
    /// `[rows, tokens, width]`, padding left out.
    PerToken(Arc<TapStates>),
    /// `[rows, width]`, as rows of one token.
    PerRow(Arc<TapStates>),
    /// Another shape than the declared one: the shape, in words.
    Unlike(String),
}

/// One graph output of one batch.
#[derive(Clone, Debug)]
pub struct GraphOutput {
    /// The output's name in the graph.
    pub name: Arc<str>,
    /// Its values.
    pub values: OutputValues,
}

/// Padded positions of one row that hold NaN or infinities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenPadding {
    /// The tap, and the graph output where it is one: `final`, output `last_hidden_state`.
    pub place: Arc<str>,
    /// The row's number in its batch.
    pub row: usize,
    /// Values that are not finite.
    pub values: u64,
}

/// What came with the taps of one batch.
#[derive(Clone, Debug, Default)]
pub struct Returned {
    /// Outputs that are no tap.
    pub outputs: Vec<GraphOutput>,
    /// Padding that is not finite; empty where there is none.
    pub padding: Vec<BrokenPadding>,
}
