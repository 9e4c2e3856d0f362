//! The section on the two tokenizers, compared as data.

use serde::{Deserialize, Serialize};

/// How the two tokenizers compare.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TokenizersSection {
    /// `identical`: one file, byte for byte, and rows are tokenized once. `equal`: written differently, the same tokenizer.
    /// `different`: some text can get other ids. Empty in reports from before tokenizers were compared as data.
    pub outcome: String,
    /// What differs, what can change ids first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<TokenizerDifference>,
    /// Keys of other files that loaders obey.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<LoaderKeyRow>,
}

impl TokenizersSection {
    /// True where the files are known to differ, so that rows with other ids are no surprise.
    pub fn explained(&self) -> bool {
        self.outcome == "different"
    }
}

/// One part in which the two tokenizer.json differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TokenizerDifference {
    /// `vocabulary`, `merges`, `scores`, `model`, `added_tokens`, `normalizer`, `pre_tokenizer`, `post_processor`,
    /// `truncation`, `padding`, `decoder`.
    pub part: String,
    /// False for what no encoder sees.
    pub changes_ids: bool,
    /// What each side says.
    pub message: String,
    /// A text that gets other ids because of it, with the first that differs; none where no text tried does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example: Option<String>,
}

/// One key of a file beside tokenizer.json.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LoaderKeyRow {
    /// The file it stands in.
    pub file: String,
    /// The key.
    pub key: String,
    /// The value the reference's loader ends at: stated, a default, or tokenizer.json's own.
    pub reference: String,
    /// The value the candidate's loader ends at.
    pub candidate: String,
    /// Loaders that obey the key.
    pub obeyed_by: String,
    /// False where the two sides end at different values.
    pub same: bool,
}
