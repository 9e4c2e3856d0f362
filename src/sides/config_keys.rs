//! config.json against config.json: every key that the architecture reads, and every key that nobody reads but that
//! changes numbers.
//!
//! A key that one side leaves out has transformers' default there; another way to state the same thing (`layer_types`
//! for `global_attn_every_n_layers`) is the same thing.

use serde_json::Value;

use crate::Error;
use crate::checkpoint::ModelConfig;
use crate::finding::{Finding, Severity, codes};
use crate::runtimes::native::{Architecture, Key, NativeError, same_value};

/// Whether a value does nothing.
type Neutral = fn(&Value) -> bool;

/// Keys that no encoder here reads and that change numbers where they are stated: what they do, and the values under
/// which they do nothing.
const CHANGES: &[(&str, &str, Neutral)] = &[
    ("quantize_activations", "activations are quantized too, so that weights alone do not say what is computed", off),
    ("configuration_files", "transformers loads one of these files in place of config.json", own_name),
    ("transformers_weights", "transformers loads the weights of that file", |v| *v == "model.safetensors"),
    ("is_causal", "queries see only the tokens before them", off),
    ("attn_logit_softcapping", "scores are capped", off),
    ("attention_logit_softcapping", "scores are capped", off),
    ("scale_attn_by_inverse_layer_idx", "scores are scaled by the layer's number", off),
    ("scale_attn_weights", "scores are not scaled", |v| *v == true),
    ("use_rms_norm", "norms are of another kind", off),
    ("embedding_multiplier", "embeddings are scaled", one),
    ("embedding_scale", "embeddings are scaled", one),
    ("scale_emb", "embeddings are scaled", one),
    ("scale_embedding", "embeddings are scaled", off),
    ("residual_multiplier", "residuals are scaled", one),
    ("attention_multiplier", "scores are scaled", one),
    ("scale_depth", "residuals are scaled", one),
    ("rotary_value", "values are turned", off),
    ("pruned_heads", "heads are left out", empty),
    ("alibi", "scores have a bias by distance", off),
    ("use_alibi", "scores have a bias by distance", off),
    ("moe_every_n_layers", "feed-forward blocks are mixtures of experts", off),
    ("num_experts", "feed-forward blocks are mixtures of experts", off),
    ("num_local_experts", "feed-forward blocks are mixtures of experts", off),
];

/// A list of nothing but the file itself.
fn own_name(v: &Value) -> bool {
    v.as_array().is_some_and(|files| files.iter().all(|f| f.as_str() == Some("config.json")))
}

fn off(v: &Value) -> bool {
    *v == false || v.as_f64() == Some(0.0)
}

fn one(v: &Value) -> bool {
    v.as_f64() == Some(1.0)
}

fn empty(v: &Value) -> bool {
    v.as_object().is_some_and(serde_json::Map::is_empty) || v.as_array().is_some_and(Vec::is_empty)
}

/// Keys that change no hidden state: transformers' bookkeeping, training, generation, task heads, caches, and what MLX's
/// converters write. Collected from the configuration classes of the supported architectures (transformers 4.57 and
/// 5.23) and from the configurations of published checkpoints of them.
const HARMLESS: &[&str] = &[
    // bookkeeping
    "auto_map",
    "base_model",
    "dtype",
    "export_model_type",
    "finetuning_task",
    "language",
    "license",
    "model_name",
    "name_or_path",
    "sentence_transformers",
    "tags",
    "tokenizer_class",
    "torch_dtype",
    "transformers.js_config",
    "transformers_version",
    "unsloth_fixed",
    "unsloth_version",
    // conversion and quantization, read elsewhere
    "pooling_config",
    "quantization",
    "quantization_config",
    // training
    "attention_dropout",
    "attention_probs_dropout_prob",
    "attn_pdrop",
    "dropout",
    "embd_pdrop",
    "embedding_dropout",
    "gradient_checkpointing",
    "hidden_dropout_prob",
    "initializer_cutoff_factor",
    "initializer_range",
    "layerdrop",
    "mlp_dropout",
    "resid_pdrop",
    "sinusoidal_pos_embds",
    "sparse_pred_ignore_index",
    "sparse_prediction",
    // task heads
    "add_pooling_layer",
    "classifier_activation",
    "classifier_bias",
    "classifier_dropout",
    "classifier_dropout_prob",
    "decoder_bias",
    "emb_pooler",
    "final_logit_softcapping",
    "id2label",
    "label2id",
    "num_labels",
    "pooler_fc_size",
    "pooler_num_attention_heads",
    "pooler_num_fc_layers",
    "pooler_size_per_head",
    "pooler_type",
    "problem_type",
    "qa_dropout",
    "seq_classif_dropout",
    "summary_activation",
    "summary_first_dropout",
    "summary_last_dropout",
    "summary_proj_to_labels",
    "summary_type",
    "summary_use_proj",
    "task_specific_params",
    "tie_word_embeddings",
    // outputs, caches and kernels: the same numbers another way
    "attn_implementation",
    "chunk_size_feed_forward",
    "cross_attention_hidden_size",
    "dense_seq_output",
    "deterministic_flash_attn",
    "fused_bias_fc",
    "fused_dropout_add_ln",
    "is_encoder_decoder",
    "last_layer_subset",
    "max_trained_positions",
    "output_attentions",
    "output_hidden_states",
    "output_past",
    "pad_vocab_size_multiple",
    "pretraining_tp",
    // Of sentence vectors: compared with the keys of config_sentence_transformers.json.
    "truncate_dim",
    "reference_compile",
    "reorder_and_upcast_attn",
    "repad_logits_with_grad",
    "return_dict",
    "tf_legacy_loss",
    "torchscript",
    "use_bfloat16",
    "use_cache",
    "use_flash_attn",
    "use_xentropy",
    // tokens, of the tokenizer's own files; and generation
    "bad_words_ids",
    "begin_suppress_tokens",
    "bos_token_id",
    "cls_token_id",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "eos_token_id",
    "exponential_decay_length_penalty",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "length_penalty",
    "mask_token_id",
    "max_length",
    "min_length",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_return_sequences",
    "output_scores",
    "prefix",
    "remove_invalid_values",
    "repetition_penalty",
    "return_dict_in_generate",
    "sep_token_id",
    "suppress_tokens",
    "temperature",
    "top_k",
    "top_p",
    "typical_p",
    "unk_token_id",
];

/// Keys that only some architectures read: another one's configuration class writes them all the same.
const HARMLESS_UNLESS_READ: &[&str] = &[
    "classifier_pooling",
    "directionality",
    "max_window_layers",
    "pad_token_id",
    "position_embedding_type",
    "sliding_window",
    "type_vocab_size",
];

/// Everything about keys that speaks against a comparison of the two.
pub(crate) fn findings(reference: Option<&ModelConfig>, candidate: &ModelConfig) -> Result<Vec<Finding>, NativeError> {
    let mut out = Vec::new();
    for config in reference.into_iter().chain([candidate]) {
        out.extend(changing(config)?);
    }
    // Configurations of two architectures share no keys: the model types are compared first.
    let architecture = Architecture::of(candidate, candidate.file())?;
    let Some(reference) =
        reference.filter(|r| Architecture::of(r, r.file()).is_ok_and(|a| std::ptr::eq(a, architecture)))
    else {
        return Ok(out);
    };
    let mut equal = 0;
    for key in architecture.keys() {
        match difference(key, reference, candidate)? {
            Some(finding) => out.push(finding),
            None => equal += 1,
        }
    }
    out.extend(unknown(architecture, reference, candidate));
    if out.is_empty() && equal > 0 {
        let message =
            format!("the two config.json agree in all {equal} settings that only `{}` has", candidate.model_type);
        out.push(Finding::new(Severity::Note, &codes::CONFIG_COMPARED, message));
    }
    Ok(out)
}

/// What differs in one setting: what is computed with, or else a key that another program reads for it.
fn difference(key: &Key, reference: &ModelConfig, candidate: &ModelConfig) -> Result<Option<Finding>, NativeError> {
    let (ours, theirs) = (key.value(reference)?, key.value(candidate)?);
    let (name, ours, theirs) = match same_value(&ours, &theirs) {
        false => (key.name(), told(key, reference, &ours), told(key, candidate, &theirs)),
        true => {
            let plain = |v: &&Value| !v.is_object();
            let both = key.stated(reference).filter(|(_, v)| plain(v)).find_map(|(name, ours)| {
                let (_, theirs) = key.stated(candidate).find(|(other, v)| *other == name && plain(v))?;
                (!same_value(ours, theirs)).then(|| (name, shown(ours), shown(theirs)))
            });
            let Some(both) = both else { return Ok(None) };
            both
        }
    };
    let message = format!(
        "config.json: {name}: the reference says {ours}, the candidate says {theirs}; it decides {}. Correct {} or convert again",
        key.decides,
        candidate.file()
    );
    Ok(Some(Finding::of(Severity::Failure, &codes::CONFIG_KEY, name, message)))
}

/// A value, and whether the file says it.
fn told(key: &Key, config: &ModelConfig, value: &Value) -> String {
    match key.stated(config).next() {
        Some(_) => shown(value),
        None => format!("nothing, which means {}", shown(value)),
    }
}

/// A value for a message: one line, at most 60 characters.
fn shown(value: &Value) -> String {
    let text: String = value.to_string().escape_debug().to_string().replace("\\\"", "\"");
    match text.char_indices().nth(60) {
        None => text,
        Some((cut, _)) => format!("{}…", &text[..cut]),
    }
}

/// Keys that nobody reads and that change numbers.
fn changing(config: &ModelConfig) -> Result<Vec<Finding>, NativeError> {
    let declared = |name: &str| {
        Architecture::of(config, config.file()).is_ok_and(|a| a.keys().any(|key| key.names.contains(&name)))
    };
    let mut out = Vec::new();
    for (name, does, neutral) in CHANGES.iter().filter(|(name, ..)| !declared(name)) {
        if let Some((place, value)) =
            stated_anywhere(config.raw(), name, 0).filter(|(_, v)| !v.is_null() && !neutral(v))
        {
            let message = format!(
                "{}: `{place}` is {}: {does}, which parallax does not compute; a verdict without it would be on another model",
                config.file(),
                shown(value)
            );
            out.push(Finding::of(Severity::Refusal, &codes::CONFIG_KEY, name, message));
        }
    }
    Ok(out)
}

/// Stops where the quantization settings themselves say what is not computed: no loader would know what to make of them.
pub(crate) fn refuse(config: &ModelConfig) -> Result<(), Error> {
    let within = |f: &Finding| f.message.contains(": `quantization");
    match changing(config)?.into_iter().find(within) {
        None => Ok(()),
        Some(finding) => Err(Error::Incomparable(format!("{} ({})", finding.message, finding.code))),
    }
}

/// Unknown keys that a message names.
const NAMED: usize = 5;

/// Objects within objects that are looked into: quantization settings by module.
const DEPTH: usize = 3;

/// A key at the top or within another one.
fn stated_anywhere<'a>(value: &'a Value, name: &str, depth: usize) -> Option<(String, &'a Value)> {
    let map = value.as_object().filter(|_| depth < DEPTH)?;
    if let Some(found) = map.get(name) {
        return Some((name.to_owned(), found));
    }
    let inner = |(key, value): (&String, &'a Value)| {
        let (place, found) = stated_anywhere(value, name, depth + 1)?;
        Some((format!("{}.{place}", key.escape_default().take(60).collect::<String>()), found))
    };
    map.iter().find_map(inner)
}

/// Keys that differ and that nothing here knows: whatever they do is done on one side only.
fn unknown(architecture: &Architecture, reference: &ModelConfig, candidate: &ModelConfig) -> Vec<Finding> {
    let known = |name: &str| {
        let read = architecture.keys().any(|key| key.names.contains(&name));
        let common = ModelConfig::COMMON.iter().any(|names| names.contains(&name));
        let changes = CHANGES.iter().any(|(change, ..)| *change == name);
        let harmless = HARMLESS.contains(&name) || HARMLESS_UNLESS_READ.contains(&name) || name.starts_with('_');
        read || common || changes || harmless
    };
    let of = |config: &ModelConfig| config.raw().as_object().cloned().unwrap_or_default();
    let (ours, theirs) = (of(reference), of(candidate));
    let mut names: Vec<&String> = ours.keys().chain(theirs.keys()).filter(|name| !known(name)).collect();
    names.sort_unstable();
    names.dedup();
    let value = |map: &serde_json::Map<String, Value>, name: &str| map.get(name).cloned().unwrap_or_default();
    let differs = |name: &&String| !same_value(&value(&ours, name), &value(&theirs, name));
    let told = |v: &Value| if v.is_null() { "nothing".to_owned() } else { shown(v) };
    let finding = |name: &String| {
        let message = format!(
            "config.json: `{}`: the reference says {}, the candidate says {}; parallax does not know what it changes. \
             State it alike on both sides, or remove it if nothing reads it",
            name.escape_debug().take(60).collect::<String>(),
            told(&value(&ours, name)),
            told(&value(&theirs, name))
        );
        Finding::new(Severity::Refusal, &codes::CONFIG_UNKNOWN_KEY, message)
    };
    let (other, alike): (Vec<&String>, Vec<&String>) = names.into_iter().partition(differs);
    let mut out: Vec<Finding> = other.into_iter().map(finding).collect();
    out.extend(alike_and_unknown(&alike));
    out
}

/// Keys that both sides state alike and that nothing here knows: agreement does not say that they change nothing.
fn alike_and_unknown(names: &[&String]) -> Option<Finding> {
    let shown: Vec<String> =
        names.iter().take(NAMED).map(|n| format!("`{}`", n.escape_debug().take(60).collect::<String>())).collect();
    let more = names.len().checked_sub(NAMED).filter(|n| *n > 0).map_or_else(String::new, |n| format!(" and {n} more"));
    let message = format!(
        "config.json: both sides state {}{more}, and parallax does not know what that changes in a program that reads it",
        shown.join(", ")
    );
    (!names.is_empty()).then(|| Finding::new(Severity::Warning, &codes::CONFIG_UNKNOWN_KEY, message))
}

#[cfg(test)]
#[path = "config_keys_tests.rs"]
mod tests;
