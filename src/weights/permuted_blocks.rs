//! Between which matrices of which architecture units can change places, and how they are bound to each other.

/// A module, and the part of its rows that is meant: a fused matrix holds others before and behind.
pub(super) type Rows = (&'static str, (usize, usize));

/// Matrices between which units can change places.
pub(super) struct Block {
    /// Those whose rows are the units: all of a feed-forward block's, or queries, keys and values.
    pub(super) rows: &'static [Rows],
    /// The one whose columns are.
    pub(super) columns: &'static str,
    /// How units are bound to each other.
    pub(super) units: Units,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Units {
    /// Each for itself; what stands between the two matrices is not linear, so that none can be scaled.
    Neurons,
    /// Within heads; positions are added before, so that dimensions of a head are alike.
    Heads,
    /// Within heads whose queries and keys are turned by position: each dimension has its own place.
    TurnedHeads,
}

const WHOLE: (usize, usize) = (0, 1);

/// To know another architecture, add its rows. Heads that something else tells apart (relative positions, norms of queries
/// and keys, several queries to a key) are left out: moving them changes what is computed.
pub(super) const BLOCKS: &[Block] = &[
    Block { rows: &[("intermediate.dense", WHOLE)], columns: "output.dense", units: Units::Neurons },
    Block { rows: &[("ffn.lin1", WHOLE)], columns: "ffn.lin2", units: Units::Neurons },
    Block { rows: &[("ffn", WHOLE)], columns: "ffn_output", units: Units::Neurons },
    Block { rows: &[("mlp.Wi", (0, 2)), ("mlp.Wi", (1, 2))], columns: "mlp.Wo", units: Units::Neurons },
    Block { rows: &[("mlp.fc11", WHOLE), ("mlp.fc12", WHOLE)], columns: "mlp.fc2", units: Units::Neurons },
    Block {
        rows: &[("mlp.gate_proj", WHOLE), ("mlp.up_proj", WHOLE)],
        columns: "mlp.down_proj",
        units: Units::Neurons,
    },
    Block {
        rows: &[("attention.self.query", WHOLE), ("attention.self.key", WHOLE), ("attention.self.value", WHOLE)],
        columns: "attention.output.dense",
        units: Units::Heads,
    },
    Block {
        rows: &[("attention.q_lin", WHOLE), ("attention.k_lin", WHOLE), ("attention.v_lin", WHOLE)],
        columns: "attention.out_lin",
        units: Units::Heads,
    },
    Block {
        rows: &[("attention.query", WHOLE), ("attention.key", WHOLE), ("attention.value", WHOLE)],
        columns: "attention.dense",
        units: Units::Heads,
    },
    Block {
        rows: &[("attn.Wqkv", (0, 3)), ("attn.Wqkv", (1, 3)), ("attn.Wqkv", (2, 3))],
        columns: "attn.Wo",
        units: Units::TurnedHeads,
    },
    Block {
        rows: &[("attn.Wqkv", (0, 3)), ("attn.Wqkv", (1, 3)), ("attn.Wqkv", (2, 3))],
        columns: "attn.out_proj",
        units: Units::TurnedHeads,
    },
];
