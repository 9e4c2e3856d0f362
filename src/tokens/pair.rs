//! Both sides' tokenizers: a row is compared only when both give it the same ids.

use std::fmt;

use super::{TokenRow, TokenizerError, WordTokenizer};

/// The reference's and the candidate's tokenizer.
pub struct TokenizerPair {
    /// The reference's; its ids are what both encoders are fed.
    pub reference: WordTokenizer,
    /// The candidate's.
    pub candidate: WordTokenizer,
}

/// Where two tokenizations of the same row part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disagreement {
    /// First position at which they differ.
    pub position: usize,
    /// The reference's token there, escaped.
    pub reference: String,
    /// The candidate's token there, escaped.
    pub candidate: String,
    /// Tokens of the reference's row.
    pub reference_tokens: usize,
    /// Tokens of the candidate's row.
    pub candidate_tokens: usize,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "at token {} the reference's tokenizer says {} and the candidate's {} ({} and {} tokens in all)",
            self.position, self.reference, self.candidate, self.reference_tokens, self.candidate_tokens
        )
    }
}

impl TokenizerPair {
    /// The row, or where the two sides part.
    pub fn encode(&self, text: &str) -> Result<Result<TokenRow, Disagreement>, TokenizerError> {
        let reference = self.reference.encode(text)?;
        let candidate = self.candidate.encode(text)?;
        if reference.ids == candidate.ids && reference.type_ids == candidate.type_ids {
            return Ok(Ok(reference));
        }
        let shorter = reference.ids.len().min(candidate.ids.len());
        let position = (0..shorter)
            .find(|&i| reference.ids[i] != candidate.ids[i] || reference.type_ids[i] != candidate.type_ids[i])
            .unwrap_or(shorter);
        Ok(Err(Disagreement {
            position,
            reference: shown(&self.reference, &reference, position),
            candidate: shown(&self.candidate, &candidate, position),
            reference_tokens: reference.ids.len(),
            candidate_tokens: candidate.ids.len(),
        }))
    }
}

fn shown(tokenizer: &WordTokenizer, row: &TokenRow, position: usize) -> String {
    match row.ids.get(position) {
        None => "nothing".to_owned(),
        Some(&id) => {
            let token = tokenizer.token(id).unwrap_or_default();
            format!("{id} (`{}`)", token.escape_debug())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tokenizer::tests::tiny;
    use super::*;

    #[test]
    fn equal_tokenizers_agree_and_different_ones_are_named() {
        let make = |words: &[&str]| WordTokenizer::parse(&tiny(words), "t", 16).unwrap();
        let same = TokenizerPair { reference: make(&["a", "b"]), candidate: make(&["a", "b"]) };
        assert_eq!(same.encode("a b").unwrap().unwrap().ids, [2, 4, 5, 3]);
        let swapped = TokenizerPair { reference: make(&["a", "b"]), candidate: make(&["b", "a"]) };
        let said = swapped.encode("a b").unwrap().unwrap_err();
        assert_eq!(said.position, 1);
        assert!(said.to_string().contains("4 (`a`)") && said.to_string().contains("5 (`a`)"), "{said}");
    }
}
