//! Which facts of the two sides are compared before any inference.

use super::heads::SentencePair;
use super::request::CheckRequest;
use super::silence::Said;
use crate::align::Preflight;
use crate::checkpoint::{ModelConfig, SentenceModules};
use crate::runtimes::native::ops::activation_function;
use crate::runtimes::onnx::ReferenceFacts;
use crate::tokens::TokenizerPair;

/// Compares what both sides state.
pub(crate) fn compare(
    graph: &ReferenceFacts,
    reference: Option<&ModelConfig>,
    candidate: &ModelConfig,
    heads: &SentencePair,
    tokenizers: &TokenizerPair,
    request: &CheckRequest,
) -> Preflight {
    let mut p = Preflight::new();
    let function = |name: &str| activation_function(name).map(str::to_owned);
    p.fact("layers", Some(graph.layers), Some(candidate.num_hidden_layers));
    p.fact("hidden_size", Some(graph.hidden), Some(candidate.hidden_size));
    // Rows that no id reaches are no difference (tables are padded to multiples of 64 for speed).
    match tokenizers.unreached([graph.vocab, candidate.vocab_size]) {
        Some(words) => p.agreed("vocabulary", graph.vocab, candidate.vocab_size, format!("{words} in use")),
        None => p.fact("vocabulary", Some(graph.vocab), Some(candidate.vocab_size)),
    }
    p.fact("heads", reference.map(|c| c.num_attention_heads).or(graph.heads), Some(candidate.num_attention_heads));
    p.fact("activation", graph.activation.map(str::to_owned), function(&candidate.hidden_act));
    p.close("layer_norm_eps", graph.layer_norm_eps, Some(candidate.layer_norm_eps));
    if let Some(config) = reference {
        p.fact("model_type", Some(config.model_type.clone()), Some(candidate.model_type.clone()));
        p.fact(
            "max_position_embeddings",
            Some(config.max_position_embeddings),
            Some(candidate.max_position_embeddings),
        );
        p.fact("activation_in_config", function(&config.hidden_act), function(&candidate.hidden_act));
        p.close("layer_norm_eps_in_config", Some(config.layer_norm_eps), Some(candidate.layer_norm_eps));
    }
    let [ours, theirs] = &heads.said;
    let pooling = |s: &Said| s.files.modules.as_ref().map(SentenceModules::pooling_name);
    if request.pooling.is_none() {
        p.fact("pooling", pooling(ours), pooling(theirs));
    }
    let dense = |s: &Said| s.files.stages.as_deref().map(SentenceModules::weighted);
    p.fact("dense", dense(ours), dense(theirs));
    let normalize = |s: &Said| s.files.stages.is_some().then(|| s.normalize());
    p.fact("normalize", normalize(ours), normalize(theirs));
    let include = |s: &Said| s.files.modules.as_ref().map(|m| m.include_prompt);
    p.fact("include_prompt", include(ours), include(theirs));
    if request.prompt.is_none() {
        // As Rust would write them: a space too many is seen, and nothing of a file is printed raw.
        let shown = |s: &Said| s.prompts.as_ref().map(|_| format!("{:?}", s.prompt));
        p.fact("prompt", shown(ours), shown(theirs));
    }
    if request.max_length.is_none() {
        p.fact("max_seq_length", ours.files.max_seq_length, theirs.files.max_seq_length);
    }
    p
}
