//! What loaders make of the files beside `tokenizer.json`: which tokenizer class, and which keys it obeys.
//!
//! `tokenizer.json` alone is not what a user's tokenizer does. transformers picks a class by `tokenizer_class` and
//! `model_type`, and many of its classes build the normalizer and the template anew from `tokenizer_config.json`.
//! mlx-embeddings, mlx-lm and sentence-transformers all load through transformers' `AutoTokenizer`; swift-transformers
//! reads the same keys itself. The rules here are those of transformers 5.23 (`tokenization_utils_base.py`,
//! `tokenization_utils_tokenizers.py`, `models/auto/tokenization_auto.py`, `models/*/tokenization_*.py`).

mod added;
mod class;
mod compare;
mod inputs;
mod keys;
mod side;

pub use class::{CLASSES, Class};
pub use compare::{KeyRow, Loaded, compare};
pub use inputs::{counts_from_the_start, left};
pub use keys::{Effect, KEYS, LoaderKey};
pub use side::{LoaderFiles, LoaderSide, Resolved, Source};

#[cfg(test)]
mod tests;
