//! Vocabularies of different sizes: tables padded to a multiple of 64 on one side are compared in the rows that ids reach.

use std::sync::Arc;

use crate::Error;
use crate::checkpoint::{ModelConfig, WeightSet};
use crate::finding::{Finding, Severity, codes};
use crate::tokens::TokenizerPair;

/// Tensors with a row per word, by the end of their names.
const PER_WORD: &[&str] = &[
    "word_embeddings.weight",
    "tok_embeddings.weight",
    "embed_tokens.weight",
    "lm_head.weight",
    "lm_head.bias",
    "decoder.weight",
    "decoder.bias",
    "predictions.bias",
];

/// The rows both sides have, where one has more, and no id is beyond them.
pub(crate) struct Padded {
    rows: usize,
    finding: Finding,
}

/// Where the vocabularies of graph, original and candidate differ in size, and every id is within the smallest.
///
/// # Errors
/// An id beyond the smallest.
pub(crate) fn padded(
    graph: usize,
    configs: [&ModelConfig; 2],
    tokenizers: &TokenizerPair,
) -> Result<Option<Padded>, Error> {
    let sizes = [graph, configs[0].vocab_size, configs[1].vocab_size];
    let (least, most) = (sizes.into_iter().min().unwrap_or(0), sizes.into_iter().max().unwrap_or(0));
    if least == most {
        return Ok(None);
    }
    let Some(reach) = tokenizers.unreached([least, most]) else {
        return Err(Error::Incomparable(format!(
            "the vocabulary has {} rows in the ONNX graph, {} in the reference's configuration, {} in the candidate's, and the \
             tokenizers make ids beyond the smallest; rows of padding may differ, words may not",
            sizes[0], sizes[1], sizes[2]
        )));
    };
    let message = format!(
        "the vocabulary has {} rows in the ONNX graph, {} in the reference's configuration, {} in the candidate's; the tokenizers \
         make ids below {reach}, the rows from {least} on are not compared",
        sizes[0], sizes[1], sizes[2]
    );
    let finding = Finding::new(Severity::Note, &codes::PREFLIGHT_VOCABULARY_PADDED, message);
    Ok(Some(Padded { rows: least, finding }))
}

impl Padded {
    /// What a person should know of it.
    pub(crate) fn finding(&self) -> Finding {
        self.finding.clone()
    }

    /// The configuration with as many words as are compared.
    pub(crate) fn config(&self, config: &ModelConfig) -> ModelConfig {
        let mut config = config.clone();
        config.vocab_size = self.rows;
        config
    }

    /// The weights without the rows beyond.
    pub(crate) fn weights(&self, weights: &WeightSet) -> Result<WeightSet, Error> {
        let cut = weights.changed(|tensors| {
            for (name, weight) in tensors.iter_mut() {
                let more = weight.shape.first().is_some_and(|rows| *rows > self.rows);
                if more && PER_WORD.iter().any(|end| name.ends_with(end)) {
                    *weight = Arc::new(weight.first_rows(name, self.rows));
                }
            }
        });
        cut.map_err(|e| Error::BadInput(e.to_string()))
    }
}
