//! One search for layer boundaries, and why it finds none.

use crate::fault::Fault;
use crate::runtimes::onnx::graph::cut::{Trunk, Vertex};
use crate::runtimes::onnx::graph::operators::skip_sum;
use crate::runtimes::onnx::graph::{Graph, TensorId};

/// Why no layer boundaries were found. Nothing is guessed: comparing wrong states proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TapError {
    /// The graph is not understood.
    #[error("{file}: layer boundaries not found: {reason}")]
    NotUnderstood {
        /// The file.
        file: String,
        /// What did not fit.
        reason: String,
    },
    /// Another number of layers than configured.
    #[error(
        "{file}: the graph shows {found} layers in a form that is known, the configuration says {expected}; where it has the others, state its taps with --taps"
    )]
    Layers {
        /// The file.
        file: String,
        /// Blocks found.
        found: usize,
        /// Layers configured.
        expected: usize,
    },
}

impl TapError {
    /// The class of the error.
    pub fn fault(&self) -> Fault {
        Fault::Incomparable
    }
}

/// One search towards one sink.
pub(crate) struct Search<'a, 'm> {
    pub(crate) g: &'a Graph<'m>,
    pub(crate) trunk: Trunk,
}

impl Search<'_, '_> {
    pub(crate) fn refuse(&self, reason: impl Into<String>) -> TapError {
        refusal(self.g, reason)
    }

    /// The tensor that carries the residual stream at a cut vertex.
    pub(crate) fn tensor_at(&self, p: usize) -> Result<TensorId, TapError> {
        let k = match self.trunk.order[p] {
            Vertex::Tensor(t) => return Ok(t),
            Vertex::Node(k) => k,
        };
        let live: Vec<TensorId> = self.trunk.live_outputs(self.g, k).collect();
        let sum = skip_sum(self.g.op(k)).and_then(|i| self.g.output(k, i));
        match (live.as_slice(), sum) {
            (&[one], _) => Ok(one),
            (_, Some(sum)) => Ok(sum),
            _ => Err(self.refuse(format!("the residual stream forks inside node `{}`", self.g.node(k).name))),
        }
    }
}

pub(crate) fn refusal(g: &Graph, reason: impl Into<String>) -> TapError {
    TapError::NotUnderstood { file: g.model().name().to_owned(), reason: reason.into() }
}
