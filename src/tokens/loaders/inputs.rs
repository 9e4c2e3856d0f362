//! What a loader hands to the model beside the ids: the mask, the token types, and on which side rows are padded.
//!
//! Both sides may say the same and still not be what is compared here: rows padded at the right, with a mask, and with the
//! token types that tokenizer.json gives.

use serde_json::Value;

use super::keys::padding_side;
use super::side::LoaderSide;
use crate::finding::{Code, Finding, Severity, codes};

/// What a tokenizer returns beside ids.
pub(super) const MODEL_INPUTS: &str = "model_input_names";

/// Model types whose rows come out the same wherever they are padded: their positions are relative, or counted from the
/// padding (`create_position_ids_from_input_ids`). All others count from the beginning of the padded row.
const PADDED_ANYWHERE: &[&str] = &[
    "roberta",
    "xlm-roberta",
    "camembert",
    "mpnet",
    "data2vec-text",
    "modernbert",
    "nomic-bert",
    "eurobert",
    "qwen3",
    "gemma3-text",
];

/// Whether padding at the left gives a row other positions.
pub fn counts_from_the_start(model_type: Option<&str>) -> bool {
    !model_type.is_some_and(|kind| PADDED_ANYWHERE.contains(&kind.replace('_', "-").as_str()))
}

/// Whether the side states what its tokenizer returns, and that `name` is among it.
fn returns(side: &LoaderSide<'_>, name: &str) -> Option<bool> {
    let names = side.config(MODEL_INPUTS)?.as_array().filter(|names| !names.is_empty())?;
    Some(names.iter().any(|v| v == name))
}

/// What both sides' loaders do not hand over, or hand over otherwise than they are compared; where the sides differ in it,
/// that is told by the keys.
pub(super) fn findings(reference: &LoaderSide<'_>, candidate: &LoaderSide<'_>) -> Vec<Finding> {
    let mut out = Vec::new();
    let mut refuse = |code: &Code, message: String| out.push(Finding::new(Severity::Refusal, code, message));
    let sides = [reference, candidate];
    if sides.iter().all(|side| returns(side, "attention_mask") == Some(false)) {
        let message = format!(
            "both tokenizer_config.json state `{MODEL_INPUTS}` without attention_mask: loaders give the models no mask, so that \
             padded rows attend to their padding, and the rows compared here have one; put it in"
        );
        refuse(&codes::TOKENIZER_NO_MASK, message);
    }
    // A row of a single token has the types of any row.
    let typed =
        |side: &&LoaderSide<'_>| side.tokenizer.encode("a").is_ok_and(|row| row.type_ids.iter().any(|id| *id != 0));
    let unsaid = |side: &LoaderSide<'_>| returns(side, "token_type_ids") != Some(true);
    if sides.iter().all(typed) && sides.iter().any(|side| unsaid(side)) {
        let whose = if unsaid(reference) { "the reference" } else { "the candidate" };
        let message = format!(
            "tokenizer.json of both sides gives a single text token types other than 0, and nothing shows that the loader of \
             {whose} hands them to the model; state `{MODEL_INPUTS}` with token_type_ids in tokenizer_config.json"
        );
        refuse(&codes::TOKENIZER_TOKEN_TYPES, message);
    }
    let pads_left = |side: &LoaderSide<'_>| {
        let kind = side.files.model_config.as_ref().and_then(|c| c.get("model_type")).and_then(Value::as_str);
        padding_side(side).value.as_deref() == Some("\"left\"") && counts_from_the_start(kind)
    };
    if sides.iter().all(|side| pads_left(side)) {
        refuse(&codes::TOKENIZER_PADDING_SIDE, left("the tokenizer of both sides"));
    }
    out
}

/// What padding at the left does to a model that counts from the start.
pub fn left(whose: &str) -> String {
    format!(
        "{whose} pads rows at the left, which gives every padded row other positions in this architecture; the rows compared \
         here are padded at the right: state `padding_side` right"
    )
}
