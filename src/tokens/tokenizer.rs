//! One side's tokenizer: `tokenizer.json` by the `tokenizers` library, with the truncation and the
//! padding that the file may carry taken off and our own length limit put in their place.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::Value;
use tokenizers::models::ModelWrapper;
use tokenizers::{AddedToken, Tokenizer, TruncationDirection, TruncationParams};

use super::structure::TokenizerParts;
use crate::fault::Fault;

/// Tokenizer files larger than this are refused (the largest in use, of multilingual models, have about 35 MB).
const MAX_FILE_BYTES: usize = 256 << 20;

/// What can be wrong with a tokenizer.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// The file is none.
    #[error("{file}: is not a tokenizer: {reason}")]
    Malformed {
        /// Whose file.
        file: String,
        /// The library's words, on one line.
        reason: String,
    },
    /// The text could not be encoded.
    #[error("{file}: cannot encode a row: {reason}")]
    Encode {
        /// Whose file.
        file: String,
        /// The library's words, on one line.
        reason: String,
    },
    /// A length limit that leaves no room for text.
    #[error("a length limit of {limit} tokens leaves no room beside {special} special tokens")]
    NoRoom {
        /// The limit.
        limit: usize,
        /// Special tokens the post-processor adds.
        special: usize,
    },
}

impl TokenizerError {
    /// Bad input, but for a length limit nobody can meet.
    pub fn fault(&self) -> Fault {
        match self {
            Self::NoRoom { .. } => Fault::Usage,
            _ => Fault::BadInput,
        }
    }
}

/// One row as the encoder sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenRow {
    /// Token ids, special tokens included.
    pub ids: Vec<u32>,
    /// Token type ids, as many.
    pub type_ids: Vec<u32>,
    /// True when the text was cut to the length limit.
    pub truncated: bool,
    /// Tokens that are the unknown token.
    pub unknown: usize,
    /// Tokens that are not special.
    pub content: usize,
}

/// What a tokenizer file says about itself.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenizerFacts {
    /// Vocabulary with added tokens.
    pub vocab_size: usize,
    /// Length limit written into the file, which parallax does not follow.
    pub baked_truncation: Option<usize>,
    /// True when the file pads by itself, which parallax does not follow.
    pub baked_padding: bool,
    /// Special tokens put around one sentence.
    pub special_tokens: usize,
    /// Share of merges left out at random (BPE dropout), where the file states one: ids then differ from run to run.
    pub dropout: Option<f32>,
}

/// A tokenizer with our own length limit.
pub struct WordTokenizer {
    name: String,
    inner: Tokenizer,
    facts: TokenizerFacts,
    unknown_id: Option<u32>,
    /// Truncation and padding as the file has them.
    stated: [Option<Value>; 2],
}

impl WordTokenizer {
    /// Reads `tokenizer.json`; `name` is whose, for messages. Rows will have at most `max_length` tokens.
    pub fn parse(bytes: &[u8], name: &str, max_length: usize) -> Result<Self, TokenizerError> {
        let malformed = |reason: String| TokenizerError::Malformed { file: name.to_owned(), reason: one_line(&reason) };
        if bytes.len() > MAX_FILE_BYTES {
            return Err(malformed(format!("{} bytes are more than {MAX_FILE_BYTES}", bytes.len())));
        }
        // The library is known to panic on hostile files (an out-of-range merge, an added token without content).
        let parsed = catch_unwind(AssertUnwindSafe(|| Tokenizer::from_bytes(bytes)))
            .map_err(|_| malformed("the tokenizers library cannot read it".to_owned()))?;
        let mut inner = parsed.map_err(|e| malformed(e.to_string()))?;
        let facts = TokenizerFacts {
            vocab_size: inner.get_vocab_size(true),
            baked_truncation: inner.get_truncation().map(|t| t.max_length),
            baked_padding: inner.get_padding().is_some(),
            special_tokens: special_tokens(&inner),
            dropout: match inner.get_model() {
                ModelWrapper::BPE(bpe) => bpe.dropout.filter(|share| *share > 0.0),
                _ => None,
            },
        };
        let stated = [
            inner.get_truncation().and_then(|t| serde_json::to_value(t).ok()),
            inner.get_padding().and_then(|p| serde_json::to_value(p).ok()),
        ];
        if max_length <= facts.special_tokens {
            return Err(TokenizerError::NoRoom { limit: max_length, special: facts.special_tokens });
        }
        inner.with_padding(None);
        let limit = TruncationParams { max_length, ..TruncationParams::default() };
        inner.with_truncation(Some(limit)).map_err(|e| malformed(e.to_string()))?;
        let unknown_id = ["[UNK]", "<unk>"].iter().find_map(|t| inner.token_to_id(t));
        Ok(Self { name: name.to_owned(), inner, facts, unknown_id, stated })
    }

    /// The same, cutting long rows at their beginning (`truncation_side` `left`).
    ///
    /// # Errors
    /// Never, once the limit itself was accepted.
    pub fn cutting_left(mut self) -> Result<Self, TokenizerError> {
        let limit = self.inner.get_truncation().cloned().unwrap_or_default();
        let left = TruncationParams { direction: TruncationDirection::Left, ..limit };
        let failed = |e: tokenizers::Error| TokenizerError::Malformed {
            file: self.name.clone(),
            reason: one_line(&e.to_string()),
        };
        self.inner.with_truncation(Some(left)).map_err(failed)?;
        Ok(self)
    }

    /// Whose it is, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The steps around the model and the added tokens, in normal form.
    pub fn parts(&self) -> TokenizerParts {
        let [truncation, padding] = self.stated.clone();
        TokenizerParts::of(&self.inner, truncation, padding)
    }

    /// One more than the highest id that this tokenizer can make.
    pub fn reach(&self) -> usize {
        let vocabulary = self.inner.get_vocab(true).into_values();
        let around = self.parts().template.around().map(|(before, after)| [before, after].concat());
        vocabulary.chain(around.unwrap_or_default()).max().map_or(0, |id| id as usize + 1)
    }

    /// The id of a token.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// With these of its words as special tokens, which no step of it takes apart. Words it does not have are left out.
    ///
    /// # Errors
    /// Words that the library cannot take.
    pub fn knowing(mut self, special: &[String]) -> Result<Self, TokenizerError> {
        let listed: Vec<String> = self.inner.get_added_tokens_decoder().into_values().map(|t| t.content).collect();
        let new = special.iter().filter(|t| !t.is_empty() && !listed.contains(t));
        let new = new.filter(|t| self.inner.token_to_id(t).is_some()).map(|t| AddedToken::from(t.clone(), true));
        let new: Vec<AddedToken> = new.collect();
        let malformed = |reason| TokenizerError::Malformed { file: self.name.clone(), reason };
        self.inner.add_special_tokens(new).map_err(|e| malformed(one_line(&e.to_string())))?;
        Ok(self)
    }

    /// What the file says about itself.
    pub fn facts(&self) -> &TokenizerFacts {
        &self.facts
    }

    /// Encodes one row, special tokens included.
    pub fn encode(&self, text: &str) -> Result<TokenRow, TokenizerError> {
        let failed = |reason: String| TokenizerError::Encode { file: self.name.clone(), reason: one_line(&reason) };
        let encoding = catch_unwind(AssertUnwindSafe(|| self.inner.encode(text, true)))
            .map_err(|_| failed("the tokenizers library failed on it".to_owned()))?
            .map_err(|e| failed(e.to_string()))?;
        let ids = encoding.get_ids().to_vec();
        let unknown = self.unknown_id.map_or(0, |u| ids.iter().filter(|&&id| id == u).count());
        let content = encoding.get_special_tokens_mask().iter().filter(|&&m| m == 0).count();
        Ok(TokenRow {
            type_ids: encoding.get_type_ids().to_vec(),
            truncated: !encoding.get_overflowing().is_empty(),
            unknown,
            content,
            ids,
        })
    }

    /// What a row says: its ids as text again, letters and digits only, in lower case. Two rows that say the same differ in
    /// punctuation, spaces or case at most.
    pub fn words(&self, row: &TokenRow) -> String {
        let decoded = catch_unwind(AssertUnwindSafe(|| self.inner.decode(&row.ids, true)));
        // Ids the library cannot turn into text are their own words.
        let text = decoded.ok().and_then(Result::ok).unwrap_or_else(|| format!("{:?}", row.ids));
        text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    }

    /// The text of one token, for reports.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }
}

/// Tokens the post-processor puts around one sentence.
fn special_tokens(tokenizer: &Tokenizer) -> usize {
    use tokenizers::PostProcessor as _;
    tokenizer.get_post_processor().map_or(0, |p| p.added_tokens(false))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect()
}

#[cfg(test)]
pub(in crate::tokens) mod tests {
    use super::*;

    /// A word-level tokenizer with BERT's template, and truncation and padding baked in.
    pub(in crate::tokens) fn tiny(words: &[&str]) -> Vec<u8> {
        let mut vocab = serde_json::Map::new();
        for (i, w) in ["[PAD]", "[UNK]", "[CLS]", "[SEP]"].iter().chain(words).enumerate() {
            vocab.insert((*w).to_owned(), i.into());
        }
        serde_json::json!({
            "version": "1.0",
            "truncation": {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0},
            "padding": {"strategy": {"Fixed": 8}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"},
            "added_tokens": [],
            "normalizer": null,
            "pre_tokenizer": {"type": "Whitespace"},
            "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
            "decoder": null,
            "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]"}
        })
        .to_string()
        .into_bytes()
    }

    #[test]
    fn baked_truncation_and_padding_are_replaced_by_our_limit() {
        let t = WordTokenizer::parse(&tiny(&["a", "b"]), "test", 6).unwrap();
        assert_eq!(t.facts().baked_truncation, Some(4));
        assert!(t.facts().baked_padding);
        assert_eq!(t.facts().special_tokens, 2);
        let row = t.encode("a b a x").unwrap();
        assert_eq!(row.ids, [2, 4, 5, 4, 1, 3]);
        assert_eq!((row.truncated, row.unknown, row.content), (false, 1, 4));
        let row = t.encode("a b a b a").unwrap();
        assert_eq!(row.ids, [2, 4, 5, 4, 5, 3]);
        assert!(row.truncated);
        assert_eq!(t.encode("").unwrap().content, 0);
    }

    #[test]
    fn the_words_of_a_row_are_those_the_model_is_fed() {
        let t = WordTokenizer::parse(&tiny(&["Cat", "cat", "dog", "!", "..."]), "test", 5).unwrap();
        let words = |text: &str| t.words(&t.encode(text).unwrap()).replace("cls", "").replace("sep", "");
        assert_eq!(words("Cat !"), words("cat..."));
        assert_eq!(words("cat dog cat dog dog"), words("cat dog cat cat"), "cut to the same three tokens");
        assert!(words("cat dog") != words("dog cat") && !words("cat").is_empty());
        assert_eq!(words("! ..."), words("!"));
    }

    #[test]
    fn malformed_files_and_impossible_limits_are_errors() {
        for bytes in [&b""[..], b"{", b"[]", b"{\"model\":{\"type\":\"WordLevel\"}}", b"\xff\xff"] {
            assert!(matches!(WordTokenizer::parse(bytes, "t", 8), Err(TokenizerError::Malformed { .. })));
        }
        let good = tiny(&["a"]);
        for cut in (0..good.len() - 1).step_by(7) {
            assert!(WordTokenizer::parse(&good[..cut], "t", 8).is_err());
        }
        assert!(matches!(WordTokenizer::parse(&good, "t", 2), Err(TokenizerError::NoRoom { .. })));
    }
}
