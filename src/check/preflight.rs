//! Which facts of the two sides are compared before any inference.

use super::CheckRequest;
use crate::Error;
use crate::align::Preflight;
use crate::checkpoint::{ModelConfig, ModelFolder, PoolingMode, SentenceModules};
use crate::finding::{Finding, Severity};
use crate::runtimes::native::ops::activation_function;
use crate::runtimes::onnx::ReferenceFacts;
use crate::tokens::{TokenizerPair, WordTokenizer};

/// What follows each encoder, and what had to be assumed.
pub(super) struct Heads {
    pub(super) reference: SentenceModules,
    pub(super) candidate: SentenceModules,
    stated: (Option<SentenceModules>, Option<SentenceModules>),
    pub(super) findings: Vec<Finding>,
}

impl Heads {
    /// As the files say, or as the request overrides them. A side that states nothing takes what the
    /// other states, and a finding says so.
    pub(super) fn read(
        request: &CheckRequest,
        reference: Option<&ModelFolder>,
        candidate: &ModelFolder,
    ) -> Result<Self, Error> {
        let stated =
            (reference.map(ModelFolder::sentence_modules).transpose()?.flatten(), candidate.sentence_modules()?);
        let mut findings = Vec::new();
        let mut warn =
            |message: String| findings.push(Finding::new(Severity::Warning, "preflight.pooling_unstated", message));
        let assumed = || SentenceModules { normalize: true, ..SentenceModules::of(PoolingMode::Mean) };
        let (mut ours, mut theirs) = match &stated {
            (Some(r), Some(c)) => (r.clone(), c.clone()),
            (Some(r), None) => {
                warn(format!(
                    "{} states no pooling; the reference's ({}) is used on both sides",
                    candidate.shown(),
                    r.pooling_name()
                ));
                (r.clone(), r.clone())
            }
            (None, Some(c)) => {
                warn(format!(
                    "the reference states no pooling; the candidate's ({}) is used on both sides",
                    c.pooling_name()
                ));
                (c.clone(), c.clone())
            }
            (None, None) => {
                if request.pooling.is_none() {
                    warn(
                        "neither side states a pooling; mean and Normalize are assumed (--pooling says otherwise)"
                            .to_owned(),
                    );
                }
                (assumed(), assumed())
            }
        };
        if let Some(mode) = request.pooling {
            for side in [&mut ours, &mut theirs] {
                side.pooling = vec![mode];
                side.stated_in = Some("--pooling".to_owned());
            }
        }
        Ok(Self { reference: ours, candidate: theirs, stated, findings })
    }
}

/// Compares what both sides state.
pub(super) fn compare(
    graph: &ReferenceFacts,
    reference: Option<&ModelConfig>,
    candidate: &ModelConfig,
    heads: &Heads,
    tokenizers: &TokenizerPair,
    request: &CheckRequest,
) -> Preflight {
    let mut p = Preflight::new();
    let function = |name: &str| activation_function(name).map(str::to_owned);
    p.fact("layers", Some(graph.layers), Some(candidate.num_hidden_layers));
    p.fact("hidden_size", Some(graph.hidden), Some(candidate.hidden_size));
    p.fact("vocabulary", Some(graph.vocab), Some(candidate.vocab_size));
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
    // Both sides are cut at the same length here, but a limit of the file's own cuts rows wherever it is used.
    let cut = |t: &WordTokenizer| {
        Some(t.facts().baked_truncation.map_or_else(|| "none".to_owned(), |n| format!("{n} tokens")))
    };
    p.fact("tokenizer_truncation", cut(&tokenizers.reference), cut(&tokenizers.candidate));
    let (ours, theirs) = (&heads.stated.0, &heads.stated.1);
    if request.pooling.is_none() {
        p.fact(
            "pooling",
            ours.as_ref().map(SentenceModules::pooling_name),
            theirs.as_ref().map(SentenceModules::pooling_name),
        );
    }
    p.fact("normalize", ours.as_ref().map(|m| m.normalize), theirs.as_ref().map(|m| m.normalize));
    if request.max_length.is_none() {
        let limit = |m: &Option<SentenceModules>| m.as_ref().and_then(|m| m.max_seq_length);
        p.fact("max_seq_length", limit(ours), limit(theirs));
    }
    p
}
