//! Tokens: from text to ids, and ragged batches of them in a deterministic order. Two tokenizers are compared as data
//! ([`structure`]), with the keys of other files that loaders obey ([`loaders`]), and on every row ([`TokenizerPair`]).

mod batch;
mod distinct;
pub mod loaders;
mod pair;
mod plan;
pub mod structure;
mod tokenizer;

pub use batch::TokenBatch;
pub use distinct::{DistinctRows, is_degenerate};
pub use pair::{Disagreement, TokenizerPair};
pub use plan::{BLOCK_ROWS, plan_batches};
pub use tokenizer::{TokenRow, TokenizerError, TokenizerFacts, WordTokenizer};
