//! Both sides' tokenizers: a row is compared only when both give it the same ids.

use std::fmt;

use super::{TokenRow, TokenizerError, WordTokenizer};

/// The reference's and the candidate's tokenizer.
pub struct TokenizerPair {
    /// The reference's; its ids are what both encoders are fed.
    pub reference: WordTokenizer,
    /// The candidate's; none where its file is the reference's byte for byte, so that rows are tokenized once.
    other: Option<WordTokenizer>,
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
    /// Two tokenizers; `None` for a candidate whose file is the reference's byte for byte.
    pub fn new(reference: WordTokenizer, candidate: Option<WordTokenizer>) -> Self {
        Self { reference, other: candidate }
    }

    /// The candidate's tokenizer.
    pub fn candidate(&self) -> &WordTokenizer {
        self.other.as_ref().unwrap_or(&self.reference)
    }

    /// True where both sides have the same file.
    pub fn identical(&self) -> bool {
        self.other.is_none()
    }

    /// One more than the highest id that either side makes, where two vocabularies of these sizes differ and both hold
    /// all such ids.
    pub fn unreached(&self, sizes: [usize; 2]) -> Option<usize> {
        if sizes[0] == sizes[1] {
            return None;
        }
        let reach = self.reference.reach().max(self.candidate().reach());
        sizes.iter().all(|size| reach <= *size).then_some(reach)
    }

    /// Both cut long rows at their beginning.
    ///
    /// # Errors
    /// Never, once the limits themselves were accepted.
    pub fn cutting_left(self) -> Result<Self, TokenizerError> {
        let other = self.other.map(WordTokenizer::cutting_left).transpose()?;
        Ok(Self { reference: self.reference.cutting_left()?, other })
    }

    /// The reference's row, and where the candidate's parts from it.
    pub fn encode(&self, text: &str) -> Result<(TokenRow, Option<Disagreement>), TokenizerError> {
        let reference = self.reference.encode(text)?;
        let Some(other) = &self.other else { return Ok((reference, None)) };
        let candidate = other.encode(text)?;
        if reference.ids == candidate.ids && reference.type_ids == candidate.type_ids {
            return Ok((reference, None));
        }
        let shorter = reference.ids.len().min(candidate.ids.len());
        let position = (0..shorter)
            .find(|&i| reference.ids[i] != candidate.ids[i] || reference.type_ids[i] != candidate.type_ids[i])
            .unwrap_or(shorter);
        let disagreement = Disagreement {
            position,
            reference: shown(&self.reference, &reference, position),
            candidate: shown(other, &candidate, position),
            reference_tokens: reference.ids.len(),
            candidate_tokens: candidate.ids.len(),
        };
        Ok((reference, Some(disagreement)))
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
        let same = TokenizerPair::new(make(&["a", "b"]), Some(make(&["a", "b"])));
        let (row, none) = same.encode("a b").unwrap();
        assert_eq!((row.ids, none), (vec![2, 4, 5, 3], None));
        let swapped = TokenizerPair::new(make(&["a", "b"]), Some(make(&["b", "a"])));
        let said = swapped.encode("a b").unwrap().1.unwrap();
        assert_eq!(said.position, 1);
        assert!(said.to_string().contains("4 (`a`)") && said.to_string().contains("5 (`a`)"), "{said}");
    }

    #[test]
    fn one_file_is_tokenized_once_and_never_disagrees() {
        let make = |words: &[&str]| WordTokenizer::parse(&tiny(words), "t", 16).unwrap();
        let one = TokenizerPair::new(make(&["a"]), None);
        assert!(one.identical() && std::ptr::eq(one.candidate(), &raw const one.reference));
        assert_eq!(one.encode("a").unwrap().0.ids, [2, 4, 3]);
    }
}
