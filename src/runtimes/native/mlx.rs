//! Where MLX's own encoders compute something else than the configuration says; the table of runtimes says whose.
//!
//! A candidate is computed as its configuration says; with `--emulate mlx` as these rows say. Each is the same change to
//! the configuration that makes our encoder compute what MLX's does.

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
pub const ALWAYS_ERF: Deviation = Deviation {
    what: "erf-GELU whatever hidden_act says",
    applies: |config| !exact_gelu(config),
    change: |config| "gelu".clone_into(&mut config.hidden_act),
};

/// `models/modernbert.py` builds `nn.GELU(approx="precise")`, which is the tanh approximation.
pub const ALWAYS_TANH: Deviation = Deviation {
    what: "tanh-GELU in place of the configuration's activation",
    applies: |config| config.hidden_act != "gelu_pytorch_tanh" && config.hidden_act != "gelu_new",
    change: |config| "gelu_pytorch_tanh".clone_into(&mut config.hidden_act),
};

/// A window that reaches over any row.
const EVERYTHING: usize = 1 << 20;

/// `models/gemma3_text.py` lets every token see every other one in all layers.
pub const NO_WINDOW: Deviation = Deviation {
    what: "no sliding window in any layer",
    applies: |config| {
        let window = config.whole("sliding_window", EVERYTHING).ok().flatten();
        window.is_some_and(|window| window < 2 * config.max_position_embeddings)
    },
    change: |config| config.state("sliding_window", EVERYTHING),
};

/// MLXEmbedders' `Gemma3.swift` masks as a decoder's: `createAttentionMask` without a mask of its own is causal.
pub const SEES_BACK_ONLY: Deviation = Deviation {
    what: "every token seeing only itself and those before it",
    applies: |config| config.flag("use_bidirectional_attention").ok().flatten().unwrap_or(false),
    change: |config| config.state("use_bidirectional_attention", false),
};
