//! The tokenizers of both sides, cut at the same length.

use super::reference::Reference;
use crate::Error;
use crate::checkpoint::{CheckpointError, ModelFolder, stated_model_max_length};
use crate::tokens::{TokenizerPair, WordTokenizer};

/// The length limit tokenizer_config.json states.
pub(super) fn tokenizer_limit(folder: &ModelFolder) -> Result<Option<usize>, CheckpointError> {
    let Some(bytes) = folder.read("tokenizer_config.json")? else { return Ok(None) };
    let config = serde_json::from_slice(&bytes).map_err(|e| CheckpointError::Malformed {
        file: format!("{}/tokenizer_config.json", folder.shown()),
        reason: format!("is not JSON: {e}"),
    })?;
    Ok(stated_model_max_length(&config))
}

/// Both tokenizers; without tokenizer.json on either side nothing shows that both get the same ids.
pub(super) fn tokenizers(
    reference: &Reference,
    candidate: &ModelFolder,
    max_length: usize,
) -> Result<TokenizerPair, Error> {
    let missing = |whose: &str| {
        Error::Incomparable(format!(
            "{whose} has no tokenizer.json, so the two sides cannot be shown to get the same ids; put the model's tokenizer.json there"
        ))
    };
    let shown = reference.onnx.display().to_string();
    let ours = match &reference.folder {
        Some(folder) => folder.read("tokenizer.json")?.ok_or_else(|| missing(folder.shown()))?,
        None => return Err(missing(&format!("the folder of {shown}"))),
    };
    let theirs = candidate.read("tokenizer.json")?.ok_or_else(|| missing(candidate.shown()))?;
    Ok(TokenizerPair {
        reference: WordTokenizer::parse(&ours, "the reference's tokenizer.json", max_length)?,
        candidate: WordTokenizer::parse(&theirs, "the candidate's tokenizer.json", max_length)?,
    })
}
