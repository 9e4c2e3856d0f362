//! What encoders are put together from: embeddings, attention with its projections, feed-forward blocks.
//!
//! The files of the architectures say which, in which order, and with which norms between.

mod attention;
pub(super) mod decoder;
mod embeddings;
mod feed_forward;
mod post_norm;
mod pre_norm;
mod rope;

pub(super) use attention::{AttentionMemory, HeadNorms, SelfAttention};
pub(super) use embeddings::{LearnedEmbeddings, Positions};
pub(super) use feed_forward::{FeedForward, FeedForwardMemory};
pub(super) use post_norm::{LayerNames, PostNorm, PostNormLayer};
pub(super) use pre_norm::{Norm, PreNorm, PreNormLayer};
pub(super) use rope::theta;
