//! Tokens: from text to ids, and ragged batches of them in a deterministic order.

mod batch;
mod distinct;
mod pair;
mod plan;
mod tokenizer;

pub use batch::TokenBatch;
pub use distinct::{DistinctRows, is_degenerate};
pub use pair::{Disagreement, TokenizerPair};
pub use plan::{BLOCK_ROWS, plan_batches};
pub use tokenizer::{TokenRow, TokenizerError, TokenizerFacts, WordTokenizer};
