//! What a proven defect is in, by the code of its finding: the nearest cause first.

/// What a defect is in, which says how it can be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The graph or the original: what the candidate is held against is itself wrong.
    Reference,
    /// config.json.
    Configuration,
    /// The modules behind the encoder.
    Modules,
    /// Tensors of the candidate.
    Weights,
}

/// Codes of findings that prove a defect of what is computed, the nearest cause first; one that ends in a point stands for
/// all that begin so. Defects of tokenizers, prompts and length limits are none of these: both sides are fed the same
/// ids, so they move no number of the comparison.
pub(crate) const CAUSES: &[(&str, Kind)] = &[
    ("graph.weights", Kind::Reference),
    ("reference.inexact", Kind::Reference),
    ("weights.made_from_candidate", Kind::Reference),
    ("config.", Kind::Configuration),
    ("preflight.model_type", Kind::Configuration),
    ("preflight.layers", Kind::Configuration),
    ("preflight.heads", Kind::Configuration),
    ("preflight.max_position_embeddings", Kind::Configuration),
    ("preflight.activation", Kind::Configuration),
    ("preflight.activation_in_config", Kind::Configuration),
    ("preflight.layer_norm_eps", Kind::Configuration),
    ("preflight.layer_norm_eps_in_config", Kind::Configuration),
    ("preflight.pooling", Kind::Modules),
    ("preflight.dense", Kind::Modules),
    ("preflight.normalize", Kind::Modules),
    ("runtime.pooling", Kind::Modules),
    ("runtime.modules", Kind::Modules),
    ("runtime.normalize", Kind::Modules),
    ("weights.misplaced", Kind::Weights),
    ("weights.changed_unquantized", Kind::Weights),
    ("weights.unrelated", Kind::Weights),
    ("weights.changed_groups", Kind::Weights),
    ("weights.beyond_rounding", Kind::Weights),
    ("weights.unexplained", Kind::Weights),
    ("weights.permuted", Kind::Weights),
];

/// Place in the table, and kind.
pub(crate) fn row(code: &str) -> Option<(usize, Kind)> {
    let is = |known: &str| code == known || (known.ends_with('.') && code.starts_with(known));
    CAUSES.iter().position(|(known, _)| is(known)).map(|at| (at, CAUSES[at].1))
}

/// What a finding of that code proves to be wrong; none of what is no cause.
pub(crate) fn kind(code: &str) -> Option<Kind> {
    row(code).map(|(_, kind)| kind)
}
