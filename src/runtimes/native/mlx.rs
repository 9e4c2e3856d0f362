//! Where MLX's own encoders compute something else than the configuration says; the table of runtimes says whose.
//!
//! A candidate is computed as its configuration says; with `--emulate mlx` as these rows say. Each is the same change to
//! the configuration that makes our encoder compute what MLX's does.

use serde_json::Value;

use super::blocks::theta;
use super::{gemma3, modernbert, nomic_bert, qwen3};
use crate::checkpoint::ModelConfig;

/// One departure.
#[derive(Clone, Copy)]
pub struct Deviation {
    /// What is computed, and in place of what.
    pub what: &'static str,
    /// Whether it makes a difference under this configuration.
    pub applies: fn(&ModelConfig) -> bool,
    /// Makes the configuration say what MLX computes.
    pub change: fn(&mut ModelConfig),
    /// What in config.json would make it compute what is meant; none where nothing does.
    pub cure: Option<&'static str>,
}

impl std::fmt::Debug for Deviation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.what)
    }
}

fn exact_gelu(config: &ModelConfig) -> bool {
    ["gelu", "gelu_python"].contains(&config.hidden_act.as_str())
}

/// `models/bert.py` and `models/xlm_roberta.py` call `nn.gelu` whatever `hidden_act` says.
const ALWAYS_ERF: Deviation = Deviation {
    what: "erf-GELU whatever hidden_act says",
    applies: |config| !exact_gelu(config),
    change: |config| "gelu".clone_into(&mut config.hidden_act),
    cure: None,
};

/// `models/modernbert.py` builds `nn.GELU(approx="precise")`, which is the tanh approximation.
const ALWAYS_TANH: Deviation = Deviation {
    what: "tanh-GELU in place of the configuration's activation",
    applies: |config| config.hidden_act != "gelu_pytorch_tanh" && config.hidden_act != "gelu_new",
    change: |config| "gelu_pytorch_tanh".clone_into(&mut config.hidden_act),
    cure: None,
};

/// A window that reaches over any row.
const EVERYTHING: usize = 1 << 20;

/// `models/gemma3_text.py` lets every token see every other one in all layers.
const NO_WINDOW: Deviation = Deviation {
    what: "no sliding window in any layer",
    applies: |config| {
        let window = config.whole("sliding_window", EVERYTHING).ok().flatten();
        window.is_some_and(|window| window < 2 * config.max_position_embeddings)
    },
    change: |config| config.state("sliding_window", EVERYTHING),
    cure: None,
};

/// MLXEmbedders' `Gemma3.swift` masks as a decoder's: `createAttentionMask` without a mask of its own is causal.
const SEES_BACK_ONLY: Deviation = Deviation {
    what: "every token seeing only itself and those before it",
    applies: |config| config.flag("use_bidirectional_attention").ok().flatten().unwrap_or(false),
    change: |config| config.state("use_bidirectional_attention", false),
    cure: None,
};

/// `models/gemma3_text.py` masks padding and nothing else (run: 0.41 mean cosine distance on a causal model).
const SEES_ALL: Deviation = Deviation {
    what: "every token seeing every other one, not only those before it",
    applies: |config| !config.flag("use_bidirectional_attention").ok().flatten().unwrap_or(false),
    change: |config| config.state("use_bidirectional_attention", true),
    cure: None,
};

/// `models/gemma3_text.py` casts the square root of the width to the type of the word table, which is uint32 once that is
/// packed (run: 9.80 becomes 9).
const WHOLE_SCALE: Deviation = Deviation {
    what: "word embeddings multiplied by a whole number, the square root of hidden_size cut off",
    applies: |config| (config.hidden_size as f64).sqrt().fract() != 0.0,
    change: |config| config.embedding_scale = Some((config.hidden_size as f64).sqrt().floor()),
    cure: None,
};

/// `models/qwen3.py` and `Qwen3.swift` call SiLU.
const ALWAYS_SILU: Deviation = Deviation {
    what: "SiLU whatever hidden_act says",
    applies: |config| config.hidden_act != "silu",
    change: |config| "silu".clone_into(&mut config.hidden_act),
    cure: None,
};

/// A rotation's base as MLX reads it, at the top of config.json alone: `rope_parameters`, where transformers 5 states it,
/// is none of the fields of its classes. The kind of layer, the key, what MLX takes where it is missing, and what
/// transformers takes.
type Base = (Option<&'static str>, &'static str, f64, f64);

const QWEN3_BASES: &[Base] = &[(None, "rope_theta", 1_000_000.0, qwen3::DEFAULT_THETA)];
const NOMIC_BASES: &[Base] = &[(None, "rotary_emb_base", 1000.0, nomic_bert::DEFAULT_THETA)];
const MODERNBERT_BASES: &[Base] = &[
    (Some("full_attention"), "global_rope_theta", 160_000.0, modernbert::DEFAULT_THETAS.0),
    (Some("sliding_attention"), "local_rope_theta", 10_000.0, modernbert::DEFAULT_THETAS.1),
];
const GEMMA3_BASES: &[Base] = &[
    (Some("full_attention"), "rope_theta", 1_000_000.0, gemma3::DEFAULT_THETAS.0),
    (Some("sliding_attention"), "rope_local_base_freq", 10_000.0, gemma3::DEFAULT_THETAS.1),
];

/// The number under a key at the top of config.json; this one where there is none.
fn top(config: &ModelConfig, key: &str, default: f64) -> f64 {
    config.raw().get(key).and_then(Value::as_f64).unwrap_or(default)
}

fn turns_otherwise(config: &ModelConfig, bases: &[Base]) -> bool {
    bases.iter().any(|(kind, key, mlxs, ours)| {
        theta(config, config.file(), *kind, key, *ours).is_ok_and(|meant| meant != top(config, key, *mlxs))
    })
}

fn turn_as_mlx(config: &mut ModelConfig, bases: &[Base]) {
    for (_, key, mlxs, _) in bases {
        config.state(key, top(config, key, *mlxs));
    }
    config.state("rope_parameters", Value::Null);
}

/// `models/qwen3.py`, `ModelArgs`; `Qwen3Configuration` in Swift.
const QWEN3_ROTATION: Deviation = Deviation {
    what: "the rope_theta at the top of config.json, else 1000000",
    applies: |config| turns_otherwise(config, QWEN3_BASES),
    change: |config| turn_as_mlx(config, QWEN3_BASES),
    cure: Some("state rope_theta there too, as transformers 4 did"),
};

/// `NomicBertConfiguration` in Swift.
const NOMIC_ROTATION: Deviation = Deviation {
    what: "the rotary_emb_base of config.json, else 1000",
    applies: |config| turns_otherwise(config, NOMIC_BASES),
    change: |config| turn_as_mlx(config, NOMIC_BASES),
    cure: Some("state rotary_emb_base there"),
};

/// `models/modernbert.py`, `ModelArgs`.
const MODERNBERT_ROTATION: Deviation = Deviation {
    what: "the global_rope_theta and local_rope_theta at the top of config.json, else 160000 and 10000",
    applies: |config| turns_otherwise(config, MODERNBERT_BASES),
    change: |config| turn_as_mlx(config, MODERNBERT_BASES),
    cure: Some("state both there too, as transformers 4 did"),
};

/// mlx-lm's `gemma3_text.py`, `ModelArgs`, which mlx-embeddings builds on; `Gemma3Configuration` in Swift.
const GEMMA3_ROTATION: Deviation = Deviation {
    what: "the rope_theta and rope_local_base_freq at the top of config.json, else 1000000 and 10000",
    applies: |config| turns_otherwise(config, GEMMA3_BASES),
    change: |config| turn_as_mlx(config, GEMMA3_BASES),
    cure: Some("state both there too, as transformers 4 did"),
};

/// One layer in so many, as MLX reads it.
fn period(config: &ModelConfig, key: &str, default: usize) -> usize {
    let stated = config.raw().get(key).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
    stated.unwrap_or(default).max(1)
}

/// `models/modernbert.py` knows no `layer_types`.
const MODERNBERT_LAYERS: Deviation = Deviation {
    what: "one layer in global_attn_every_n_layers, else in 3, seeing every token, whatever layer_types says",
    applies: |config| {
        let every = period(config, "global_attn_every_n_layers", 3);
        let mlxs: Vec<bool> = (0..config.num_hidden_layers).map(|k| k.is_multiple_of(every)).collect();
        modernbert::global(config, config.file()).is_ok_and(|meant| meant != mlxs)
    },
    change: |config| {
        let every = period(config, "global_attn_every_n_layers", 3);
        config.state("global_attn_every_n_layers", every);
        config.state("layer_types", Value::Null);
    },
    cure: Some("state global_attn_every_n_layers, if the layers have such a period"),
};

/// mlx-lm's `gemma3_text.py` and `Gemma3Configuration` read `sliding_window_pattern`; transformers writes `layer_types`
/// and `_sliding_window_pattern`.
const GEMMA3_LAYERS: Deviation = Deviation {
    what: "one layer in sliding_window_pattern, else in 6, turned and seeing as a global one, whatever layer_types says",
    applies: |config| {
        let every = period(config, "sliding_window_pattern", 6);
        let mlxs = (1..=config.num_hidden_layers).map(|k| k.is_multiple_of(every));
        gemma3::reaches(config, config.file()).is_ok_and(|meant| !meant.iter().map(|(global, _)| *global).eq(mlxs))
    },
    change: |config| {
        let every = period(config, "sliding_window_pattern", 6);
        config.state("sliding_window_pattern", every);
        config.state("_sliding_window_pattern", Value::Null);
        config.state("layer_types", Value::Null);
    },
    cure: Some("state sliding_window_pattern, if the layers have such a period"),
};

/// The norms' epsilon as MLX reads it: from one key, and its own default.
macro_rules! epsilon {
    ($key:literal, $default:literal) => {
        Deviation {
            what: concat!("the epsilon of ", $key, " in config.json, else ", $default),
            applies: |config| config.layer_norm_eps != top(config, $key, $default),
            change: |config| config.layer_norm_eps = top(config, $key, $default),
            cure: Some(concat!("state ", $key)),
        }
    };
}

/// `ModelArgs` of `models/bert.py`; `BertConfiguration` in Swift.
const BERT_EPSILON: Deviation = epsilon!("layer_norm_eps", 1e-12);
/// `ModelArgs` of `models/xlm_roberta.py`, where transformers' default is 1e-12.
const XLMR_EPSILON: Deviation = epsilon!("layer_norm_eps", 1e-5);
/// `ModelArgs` of `models/modernbert.py`.
const MODERNBERT_EPSILON: Deviation = epsilon!("norm_eps", 1e-5);
/// `NomicBertConfiguration` in Swift.
const NOMIC_EPSILON: Deviation = epsilon!("layer_norm_epsilon", 1e-12);
/// `ModelArgs` of `models/qwen3.py` and of mlx-lm's `gemma3_text.py`, and their likes in Swift.
const RMS_EPSILON: Deviation = epsilon!("rms_norm_eps", 1e-6);

/// BERT in every program.
pub const BERT: &[Deviation] = &[ALWAYS_ERF, BERT_EPSILON];
/// XLM-RoBERTa in mlx-embeddings and what is built on it.
pub const XLMR: &[Deviation] = &[ALWAYS_ERF, XLMR_EPSILON];
/// ModernBERT in mlx-embeddings and what is built on it.
pub const MODERNBERT: &[Deviation] = &[ALWAYS_TANH, MODERNBERT_EPSILON, MODERNBERT_LAYERS, MODERNBERT_ROTATION];
/// Gemma 3 in mlx-embeddings and what is built on it.
pub const GEMMA3: &[Deviation] = &[ALWAYS_TANH, SEES_ALL, NO_WINDOW, GEMMA3_LAYERS, GEMMA3_ROTATION, RMS_EPSILON];
/// Gemma 3 in mlx-embeddings, where the word table is quantized.
pub const GEMMA3_PACKED: &[Deviation] = &[WHOLE_SCALE];
/// Gemma 3 in Swift.
pub const GEMMA3_SWIFT: &[Deviation] = &[ALWAYS_TANH, SEES_BACK_ONLY, GEMMA3_LAYERS, GEMMA3_ROTATION, RMS_EPSILON];
/// Qwen3 in every program.
pub const QWEN3: &[Deviation] = &[ALWAYS_SILU, QWEN3_ROTATION, RMS_EPSILON];
/// Nomic's BERT in Swift.
pub const NOMIC: &[Deviation] = &[NOMIC_ROTATION, NOMIC_EPSILON];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config(model_type: &str, more: &Value) -> ModelConfig {
        let mut all = json!({"model_type": model_type, "hidden_size": 8, "num_hidden_layers": 4, "num_attention_heads": 2,
            "intermediate_size": 8, "vocab_size": 9, "max_position_embeddings": 16});
        for (key, value) in more.as_object().unwrap() {
            all[key] = value.clone();
        }
        ModelConfig::parse(all.to_string().as_bytes(), "config.json").unwrap()
    }

    fn applying(config: &ModelConfig, all: &[Deviation]) -> Vec<&'static str> {
        all.iter().filter(|d| (d.applies)(config)).map(|d| d.what).collect()
    }

    /// What transformers 4 and what transformers 5 writes of one model; MLX reads the first.
    #[test]
    fn what_stands_where_mlx_does_not_read_it_is_a_departure_and_is_none_where_it_takes_the_same() {
        let per_kind = |full: f64, near: f64| json!({"full_attention": {"rope_theta": full}, "sliding_attention": {"rope_theta": near}});
        let cases: &[(&str, &[Deviation], Value, Value, &str)] = &[
            (
                "qwen3",
                QWEN3,
                json!({"rope_theta": 5e5}),
                json!({"rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}}),
                "rope_theta",
            ),
            (
                "modernbert",
                &MODERNBERT[1..],
                json!({"global_rope_theta": 160_000.0, "local_rope_theta": 160_000.0}),
                json!({"rope_parameters": per_kind(160_000.0, 160_000.0)}),
                "local_rope_theta",
            ),
            (
                "modernbert",
                &MODERNBERT[1..],
                json!({"global_attn_every_n_layers": 2}),
                json!({"layer_types": ["full_attention", "sliding_attention", "full_attention", "sliding_attention"]}),
                "global_attn_every_n_layers",
            ),
            (
                "gemma3_text",
                GEMMA3,
                json!({"rope_local_base_freq": 5e4, "sliding_window": 32, "use_bidirectional_attention": true}),
                json!({"rope_parameters": per_kind(1e6, 5e4), "sliding_window": 32, "use_bidirectional_attention": true}),
                "rope_local_base_freq",
            ),
            (
                "gemma3_text",
                GEMMA3,
                json!({"sliding_window_pattern": 2, "sliding_window": 32, "use_bidirectional_attention": true}),
                json!({"_sliding_window_pattern": 2, "sliding_window": 32, "use_bidirectional_attention": true}),
                "sliding_window_pattern",
            ),
            (
                "nomic_bert",
                NOMIC,
                json!({"rotary_emb_base": 1e4}),
                json!({"rope_parameters": {"rope_theta": 1e4}}),
                "rotary_emb_base",
            ),
            ("xlm-roberta", XLMR, json!({"layer_norm_eps": 1e-12}), json!({}), "layer_norm_eps"),
            ("bert", BERT, json!({"layer_norm_eps": 1e-5}), json!({"norm_eps": 1e-5}), "layer_norm_eps"),
        ];
        for (model_type, all, older, newer, key) in cases {
            assert_eq!(applying(&config(model_type, older), all), [""; 0], "{model_type}: {older}");
            let mut changed = config(model_type, newer);
            let found = applying(&changed, all);
            assert!(found.len() == 1 && found[0].contains(key), "{model_type}: {newer}: {found:?}");
            let departure = all.iter().find(|d| d.what == found[0]).unwrap();
            assert!(departure.cure.unwrap().contains(key) || departure.cure.unwrap().contains("both"));
            // What it computes is what the file then says.
            (departure.change)(&mut changed);
            assert_eq!(applying(&changed, all), [""; 0], "{model_type}: {newer}");
        }
        for (model_type, all) in
            [("qwen3", QWEN3), ("modernbert", &MODERNBERT[1..]), ("bert", BERT), ("nomic_bert", NOMIC)]
        {
            let silent = applying(&config(model_type, &json!({})), all);
            // Qwen3's classes differ in what they take where nothing is said.
            assert_eq!(silent.is_empty(), model_type != "qwen3", "{model_type}: {silent:?}");
        }
        assert_eq!(applying(&config("qwen3", &json!({"hidden_act": "gelu", "rope_theta": 1e4})), QWEN3).len(), 1);
    }

    #[test]
    fn gemma_is_computed_otherwise_where_it_is_causal_and_where_its_table_is_packed() {
        let causal = config("gemma3_text", &json!({"sliding_window": 32}));
        let mut both = config("gemma3_text", &json!({"sliding_window": 32, "use_bidirectional_attention": true}));
        assert_eq!(applying(&causal, GEMMA3), [SEES_ALL.what]);
        assert_eq!(applying(&both, GEMMA3), [""; 0]);
        // The square root of 8 is 2.83.
        assert_eq!(applying(&both, GEMMA3_PACKED), [WHOLE_SCALE.what]);
        (WHOLE_SCALE.change)(&mut both);
        assert_eq!(both.embedding_scale, Some(2.0));
    }
}
