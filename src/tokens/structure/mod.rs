//! Two `tokenizer.json` compared as data: every part that can change an id, in a normal form.
//!
//! A comparison by example sees only the words the examples hold. Here the vocabulary, the merges, the scores, the added
//! tokens and every processing step are compared whole. What the `tokenizers` library makes of a file is what is
//! compared, so that the order of keys, white space and values spelled out or left to their defaults make no difference.
//! The decoder turns ids back into text and cannot change an encoder's input: a difference there is a note.

mod parts;
mod template;
mod words;

use serde_json::Value;

pub use parts::{AddedEntry, TokenizerParts};
pub use template::{Piece, Template};
pub use words::TokenizerWords;

use super::{TokenizerError, WordTokenizer};

/// Differing entries that a message names.
pub(super) const NAMED: usize = 3;
/// Characters of a value out of a file that a message shows.
const SHOWN: usize = 80;

/// One way in which two tokenizer files differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The part: `vocabulary`, `merges`, `normalizer`, `post_processor`, …
    pub part: &'static str,
    /// False for what no encoder sees: the decoder, the template for pairs, a limit that loaders override.
    pub changes_ids: bool,
    /// What each side says.
    pub message: String,
    /// Texts that the two sides are likely to encode differently because of it.
    pub texts: Vec<String>,
}

impl Difference {
    fn of(part: &'static str, message: String) -> Self {
        Self { part, changes_ids: true, message, texts: Vec::new() }
    }

    fn note(part: &'static str, message: String) -> Self {
        Self { changes_ids: false, ..Self::of(part, message) }
    }

    fn with(self, texts: impl IntoIterator<Item = String>) -> Self {
        Self { texts: texts.into_iter().collect(), ..self }
    }
}

/// One file, whole.
pub struct TokenizerData {
    /// The processing steps and added tokens.
    pub parts: TokenizerParts,
    /// The model.
    pub words: TokenizerWords,
}

impl TokenizerData {
    /// Of a file's bytes and what the library made of them.
    ///
    /// # Errors
    /// Bytes that are not the JSON of a tokenizer.
    pub fn read(bytes: &[u8], tokenizer: &WordTokenizer) -> Result<Self, TokenizerError> {
        Ok(Self { parts: tokenizer.parts(), words: TokenizerWords::read(bytes, tokenizer.name())? })
    }

    /// Everything in which two files differ; what can change ids comes first.
    pub fn differences(&self, candidate: &Self) -> Vec<Difference> {
        let mut all = self.words.differences(&candidate.words);
        all.extend(self.parts.differences(&candidate.parts));
        all.sort_by_key(|d| !d.changes_ids);
        all
    }
}

/// A text out of a file, cut and escaped.
pub(in crate::tokens) fn quoted(text: &str) -> String {
    let cut: String = text.chars().take(SHOWN).collect();
    format!("`{}`", cut.escape_debug())
}

/// A JSON value, cut and escaped.
pub(in crate::tokens) fn shown(value: &Value) -> String {
    let text = value.to_string();
    let cut: String = text.chars().take(SHOWN).collect();
    let end = if cut.len() < text.len() { "…" } else { "" };
    // JSON escapes control characters itself, but not those that turn text around.
    format!("{}{end}", cut.chars().map(|c| if c.is_control() || is_invisible(c) { '?' } else { c }).collect::<String>())
}

/// Marks that reorder or hide what stands around them.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests;
