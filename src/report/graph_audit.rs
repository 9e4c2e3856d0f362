//! What reading the reference's graph, node by node and weight by weight, came to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The audit of the reference's graph.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct GraphAuditSection {
    /// Nodes that a graph output depends on.
    pub nodes: usize,
    /// How many of them belong to which block: `embedding`, `positions`, `mask`, `attention`, `feed-forward`, `norm and
    /// residual`, `head`, and `shapes` and `constants`.
    pub blocks: BTreeMap<String, usize>,
    /// Nodes that belong to no known block, each with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unaudited: Vec<String>,
    /// The graph's weights, element by element: none where there is no checkpoint to compare them with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<GraphWeightsSection>,
}

/// The graph's float constants, held against the original checkpoint's tensors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct GraphWeightsSection {
    /// Float constants of more than one element that an output depends on.
    pub constants: usize,
    /// Those that are a tensor of the checkpoint, or several or a part of one, element by element.
    pub equal: usize,
    /// Those that follow from no weight: rotary frequencies and tables, masks, zeros and ones.
    pub derived: usize,
    /// Those that resemble no tensor and need not: behind the final state, or of few elements.
    #[serde(default)]
    pub others: usize,
    /// What differs, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub different: Vec<String>,
    /// Tensors that differ between graph and original, and which of the three is not like the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub odd: Vec<OddTensor>,
}

/// A tensor of which graph, original and candidate are not all alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct OddTensor {
    /// The original's name of it.
    pub tensor: String,
    /// Elements that differ between graph and original.
    pub differing: usize,
    /// Elements compared.
    pub elements: usize,
    /// Which one is not like the others.
    pub odd: OddOne,
}

/// Which of graph, original and candidate is not like the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OddOne {
    /// The graph: it holds what the candidate's weights are after rounding.
    MadeFromCandidate,
    /// The original: graph and candidate belong together.
    Original,
    /// The graph: original and candidate belong together.
    Graph,
    /// No two belong together, or the candidate has no such tensor.
    Unknown,
}

impl GraphWeightsSection {
    /// `73 of 73 constants of the graph are the checkpoint's, element by element`.
    pub fn sentence(&self) -> String {
        let weights = self.constants.saturating_sub(self.derived).saturating_sub(self.others);
        let mut text =
            format!("{} of {weights} constants of the graph are the checkpoint's, element by element", self.equal);
        for (n, what) in [
            (self.derived, "follow from no weight (rotary frequencies, masks, zeros and ones)"),
            (self.others, "are no encoder's weights"),
        ] {
            if n > 0 {
                text.push_str(&format!("; {n} more {what}"));
            }
        }
        text
    }
}
