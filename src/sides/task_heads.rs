//! Heads of tasks: a classifier or a score behind the encoder is not computed here, and is never dropped in silence.
//!
//! Which use of a checkpoint is meant: a model that predicts words (`ForMaskedLM`, `ForCausalLM`, pretraining) is used as
//! an encoder by dropping its head, as sentence-transformers and mlx-embeddings do, and a note says so. A classifier's
//! weights are what the checkpoint is for wherever `architectures` names the classifier, and wherever nothing says that
//! sentences are pooled instead: a refusal.

use super::heads::SentencePair;
use crate::Error;
use crate::checkpoint::{ModelConfig, WeightSet};
use crate::finding::{Finding, Severity, codes};
use crate::runtimes::native::{Architecture, NativeError};

/// How tensors of heads begin that map states to classes or scores, in transformers' names. The heads that pretraining
/// leaves (`cls.seq_relationship`, `sop_classifier`) are none: every published BERT and ALBERT has one.
const CLASSIFIERS: &[&str] = &["classifier.", "score.", "qa_outputs.", "pre_classifier."];

/// Ends of class names whose output is not the encoder's states but a class or a score.
const TASKS: &[&str] = &[
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForQuestionAnswering",
    "ForMultipleChoice",
    "ForNextSentencePrediction",
    "ForSentenceOrderPrediction",
];

/// Names of tensors shown of a head.
const SHOWN: usize = 3;

/// What both sides hold besides the encoder: the reference with the original's weights, the candidate with its own.
pub(crate) fn findings(
    configs: [Option<&ModelConfig>; 2],
    heads: &SentencePair,
    weights: [&WeightSet; 2],
) -> Result<Vec<Finding>, NativeError> {
    let [reference, candidate] = configs;
    let pooled = heads.said.iter().any(|s| s.files.modules.is_some());
    let mut out = Vec::new();
    for (side, (config, weights)) in ["the reference's", "the candidate's"].into_iter().zip(configs.iter().zip(weights))
    {
        // Without a configuration of its own, the reference is built as the candidate is.
        let Some(config) = config.or(reference).or(candidate) else { continue };
        out.extend(of_side(side, config, pooled, weights)?);
    }
    Ok(out)
}

/// Stops where a side holds a classifier that its architecture has no place for: an encoder could not be built, and the
/// reason is not a tensor too many.
pub(crate) fn refuse(side: &str, config: &ModelConfig, weights: &WeightSet) -> Result<(), Error> {
    let Ok(architecture) = Architecture::of(config, config.file()) else { return Ok(()) };
    let stray = |name: &&String| CLASSIFIERS.iter().any(|c| name.starts_with(c)) && !(architecture.ignorable)(name);
    let stray: Vec<&String> = weights.tensors().keys().filter(stray).collect();
    match stray.is_empty() {
        true => Ok(()),
        false => Err(Error::Incomparable(not_computed(side, named(config), &stray))),
    }
}

/// The class with a task that `architectures` names.
fn named(config: &ModelConfig) -> Option<&String> {
    config.architectures.iter().find(|a| TASKS.iter().any(|task| a.ends_with(task)))
}

fn not_computed(side: &str, class: Option<&String>, tensors: &[&String]) -> String {
    let class = class.map_or_else(String::new, |n| format!(" of a {}", n.escape_debug().take(60).collect::<String>()));
    format!(
        "{side} weights hold a head{class} ({}), whose output parallax does not compute: only the encoder could be compared \
         (heads.not_computed). If the encoder is what you use, state its pooling (1_Pooling/config.json) and export it \
         without the head",
        list(tensors)
    )
}

fn list(names: &[&String]) -> String {
    let shown: Vec<String> = names.iter().take(SHOWN).map(|n| format!("`{}`", n.escape_debug())).collect();
    let more = names.len().saturating_sub(SHOWN);
    shown.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
}

fn of_side(
    side: &str,
    config: &ModelConfig,
    pooled: bool,
    weights: &WeightSet,
) -> Result<Option<Finding>, NativeError> {
    let architecture = Architecture::of(config, config.file())?;
    let dropped = |name: &&String| (architecture.ignorable)(name) && !name.ends_with("position_ids") && !dense(name);
    let dropped: Vec<&String> = weights.tensors().keys().filter(dropped).collect();
    let classifier: Vec<&String> =
        dropped.iter().copied().filter(|n| CLASSIFIERS.iter().any(|c| n.starts_with(c))).collect();
    let named = named(config);
    // `head.` of ModernBERT belongs to words and classes alike: the class name decides.
    let task = if named.is_some() && classifier.is_empty() { &dropped } else { &classifier };
    if !task.is_empty() && (named.is_some() || !pooled) {
        let message = not_computed(side, named, task);
        return Ok(Some(Finding::new(Severity::Refusal, &codes::HEADS_NOT_COMPUTED, message)));
    }
    Ok((!dropped.is_empty()).then(|| {
        let message = format!(
            "{side} weights hold a head that no sentence depends on and that is not compared: {}",
            list(&dropped)
        );
        Finding::new(Severity::Note, &codes::HEADS_IGNORED, message)
    }))
}

/// Dense modules that MLX keeps beside the encoder are computed, as modules.
fn dense(name: &str) -> bool {
    name.strip_prefix("dense.").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}
