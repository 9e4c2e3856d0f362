//! Tokens: from text to ids, and ragged batches of them.

mod batch;
pub use batch::TokenBatch;
