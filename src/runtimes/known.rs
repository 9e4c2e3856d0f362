//! The table of runtimes: what programs that compute text encoders do where a model's folder says nothing, which files
//! they read at all, and where they depart from the configuration.
//!
//! Read in each program's source at the version named; mlx-embeddings 0.1.0 was run as well. A new version is a new row.

use super::native::{Deviation, mlx};
use super::padding::{F16_WINDOW, LEFT_PADDING, PACKED_MASK};
pub use super::padding::{PaddedNan, Stored};
use crate::checkpoint::{DenseActivation, DenseModule, ModelConfig, PoolingMode, Stage};

/// One program at one version.
#[derive(Debug)]
pub struct KnownRuntime {
    /// Name of the package.
    pub name: &'static str,
    /// Version, or the branch that is not released.
    pub version: &'static str,
    /// Chosen where only the name is given.
    pub newest: bool,
    /// The architectures it computes.
    pub models: &'static [Computes],
    /// Whether it scales every sentence vector to unit length; none where files or callers say.
    pub normalizes: bool,
    /// It reads `modules.json`: the modules behind the pooling.
    pub reads_modules: bool,
    /// It reads `config_sentence_transformers.json`: prompts, the width of vectors.
    pub reads_prompts_and_width: bool,
    /// It reads `sentence_bert_config.json`: the longest row.
    pub reads_length: bool,
    /// The tensor files of the folder that it reads.
    pub tensor_files: TensorFiles,
    /// It takes the folder's path for a pattern (`glob(model_path / "**/model*.safetensors")`).
    pub globs: bool,
    /// Its own limit on a row.
    pub limit: LengthLimit,
}

/// How one program computes some architectures.
#[derive(Debug)]
pub struct Computes {
    /// Values of `model_type`, with hyphens; none for all of them.
    model_types: &'static [&'static str],
    /// What becomes of a row where the folder states no pooling.
    pub silent: Silent,
    /// It obeys `1_Pooling/config.json`.
    pub reads_pooling: bool,
    /// It applies `dense.0`, `dense.1`, … of the weights behind the pooling, without bias and activation.
    pub dense: bool,
    /// It computes in the type of the scales, and scales vectors to unit length in it. mlx-embeddings widens BERT's and
    /// XLM-R's states to float32 by their mask, and clips Gemma's (run: numbers where torch's float16 has none).
    pub narrow: bool,
    /// When rows that are padded come out as something else, and why.
    pub padded_nan: &'static [PaddedNan],
    deviations: &'static [Deviation],
    /// Further ones where the table of words is quantized.
    packed: &'static [Deviation],
}

/// What a program gives for a sentence whose folder states no pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silent {
    /// It pools.
    Pools(PoolingMode),
    /// It pools causal language models by their last token, and all others by their mean.
    ByHead,
    /// It pools as config.json's `classifier_pooling` says, `mean` where it says nothing; a masked language model not at
    /// all (mlx-embeddings, `models/modernbert.py`; run: 0 difference from CLS, and from the mean, 0.35 from the other).
    ByClassifier,
    /// It pools nothing and gives this.
    Gives(&'static str),
}

/// The tensor files that a program loads, by name alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TensorFiles {
    /// `model*.safetensors`, or those that an index names; of other names none.
    Models,
    /// Every one in the folder, unless there is an index, and every one in a folder right below it.
    Shallow,
    /// Every one below the folder.
    All,
}

impl TensorFiles {
    /// Whether it loads a file of this path within a folder that has an index, or none.
    pub fn load(self, path: &str, indexed: bool) -> bool {
        match (self, path.matches('/').count()) {
            (Self::Models, _) => false,
            (Self::Shallow, 0) => !indexed,
            (Self::Shallow, depth) => depth == 1,
            (Self::All, _) => true,
        }
    }
}

/// Tokens per row, special tokens included, where nothing else limits them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LengthLimit {
    /// So many.
    Fixed(usize),
    /// What tokenizer_config.json says, up to so many.
    Tokenizer(usize),
    /// As many as the model has positions.
    Positions,
}

/// The runtime a reference is used with where its folder says nothing.
pub const REFERENCE: &str = "sentence-transformers";
/// The runtime a candidate is used with unless told otherwise.
pub const CANDIDATE: &str = "mlx-embeddings";

const MEAN: Silent = Silent::Pools(PoolingMode::Mean);
const LAST: Silent = Silent::Pools(PoolingMode::LastToken);
const POOLER: Silent = Silent::Gives("the pooler's output, or every token's state");

const fn computes(model_types: &'static [&'static str], silent: Silent, deviations: &'static [Deviation]) -> Computes {
    Computes {
        model_types,
        silent,
        reads_pooling: false,
        dense: false,
        narrow: false,
        padded_nan: &[],
        deviations,
        packed: &[],
    }
}

const fn reading(row: Computes) -> Computes {
    Computes { reads_pooling: true, ..row }
}

const fn padding_is_nan(padded_nan: &'static [PaddedNan], row: Computes) -> Computes {
    Computes { padded_nan, ..row }
}

const fn narrow(row: Computes) -> Computes {
    Computes { narrow: true, ..row }
}

const fn packed(packed: &'static [Deviation], row: Computes) -> Computes {
    Computes { packed, ..row }
}

const fn with_dense(row: Computes) -> Computes {
    Computes { dense: true, ..row }
}

/// Every program that is known.
pub const RUNTIMES: &[KnownRuntime] = &[
    // `generate` in utils.py: max_length 512; each model's `__call__`; `convert` copies the folder's *.json. ModernBERT's
    // window is a mask of -1e9, -infinity in float16 (run: 116 of 150 rows NaN in batches of 16, none one by one).
    KnownRuntime {
        name: CANDIDATE,
        version: "0.1.0",
        newest: true,
        models: &[
            computes(&["bert"], MEAN, mlx::BERT),
            computes(&["xlm-roberta"], MEAN, mlx::XLMR),
            narrow(padding_is_nan(F16_WINDOW, computes(&["modernbert"], Silent::ByClassifier, mlx::MODERNBERT))),
            with_dense(packed(
                mlx::GEMMA3_PACKED,
                padding_is_nan(PACKED_MASK, computes(&["gemma3-text"], MEAN, mlx::GEMMA3)),
            )),
            narrow(padding_is_nan(LEFT_PADDING, computes(&["qwen3"], LAST, mlx::QWEN3))),
        ],
        normalizes: true,
        reads_modules: false,
        reads_prompts_and_width: false,
        reads_length: false,
        tensor_files: TensorFiles::Models,
        globs: true,
        limit: LengthLimit::Fixed(512),
    },
    // Commit 9b28270 (#63), unreleased: `pool_by_config` for BERT and XLM-R.
    KnownRuntime {
        name: CANDIDATE,
        version: "main",
        newest: false,
        models: &[
            reading(computes(&["bert"], MEAN, mlx::BERT)),
            reading(computes(&["xlm-roberta"], MEAN, mlx::XLMR)),
            narrow(padding_is_nan(F16_WINDOW, computes(&["modernbert"], Silent::ByClassifier, mlx::MODERNBERT))),
            with_dense(packed(
                mlx::GEMMA3_PACKED,
                padding_is_nan(PACKED_MASK, computes(&["gemma3-text"], MEAN, mlx::GEMMA3)),
            )),
            narrow(padding_is_nan(LEFT_PADDING, computes(&["qwen3"], LAST, mlx::QWEN3))),
        ],
        normalizes: true,
        reads_modules: false,
        reads_prompts_and_width: false,
        reads_length: false,
        tensor_files: TensorFiles::Models,
        globs: true,
        limit: LengthLimit::Fixed(512),
    },
    // `models/pooling.py`; `server/embeddings.py`: min(model_max_length, 8192); `encoder_loader.py`: which files.
    KnownRuntime {
        name: "mlx-vlm",
        version: "0.7.10",
        newest: true,
        models: &[
            reading(computes(&["bert"], MEAN, mlx::BERT)),
            reading(computes(&["xlm-roberta"], MEAN, mlx::XLMR)),
            reading(computes(&["modernbert"], MEAN, mlx::MODERNBERT)),
            with_dense(reading(computes(&["gemma3-text"], MEAN, mlx::GEMMA3))),
            reading(computes(&["qwen3"], LAST, mlx::QWEN3)),
        ],
        normalizes: true,
        reads_modules: false,
        reads_prompts_and_width: false,
        reads_length: false,
        tensor_files: TensorFiles::Shallow,
        globs: false,
        limit: LengthLimit::Tokenizer(8192),
    },
    // mlx-swift-lm, Libraries/MLXEmbedders: `loadPooling`, `createAttentionMask`; callers normalize or do not.
    // `loadWeights` in MLXLMCommons/Load.swift walks the folder for the extension.
    KnownRuntime {
        name: "mlx-swift",
        version: "3.31.4",
        newest: true,
        models: &[
            reading(computes(&["bert", "roberta", "xlm-roberta", "distilbert"], POOLER, mlx::BERT)),
            reading(computes(&["nomic-bert"], POOLER, mlx::NOMIC)),
            with_dense(reading(computes(&["gemma3-text"], MEAN, mlx::GEMMA3_SWIFT))),
            reading(computes(&["qwen3"], LAST, mlx::QWEN3)),
        ],
        normalizes: false,
        reads_modules: false,
        reads_prompts_and_width: false,
        reads_length: false,
        tensor_files: TensorFiles::All,
        globs: false,
        limit: LengthLimit::Positions,
    },
    // `SentenceTransformer._load_auto_model`, `Transformer.__init__`.
    KnownRuntime {
        name: REFERENCE,
        version: "6.2.0",
        newest: true,
        models: &[reading(computes(&[], Silent::ByHead, &[]))],
        normalizes: false,
        reads_modules: true,
        reads_prompts_and_width: true,
        reads_length: true,
        tensor_files: TensorFiles::Models,
        globs: false,
        limit: LengthLimit::Tokenizer(usize::MAX),
    },
];

/// A runtime that is not in the table.
#[derive(Debug, thiserror::Error)]
#[error("`{asked}` is no runtime that parallax knows; it knows {known}")]
pub struct UnknownRuntime {
    asked: String,
    known: String,
}

impl KnownRuntime {
    /// The row of `NAME` or `NAME@VERSION`.
    ///
    /// # Errors
    /// A name or version that is not in the table, with those that are.
    pub fn find(asked: &str) -> Result<&'static Self, UnknownRuntime> {
        let is = |r: &&Self| match asked.split_once('@') {
            Some((name, version)) => r.name == name && r.version == version,
            None => r.name == asked && r.newest,
        };
        RUNTIMES.iter().find(is).ok_or_else(|| UnknownRuntime {
            asked: asked.escape_default().take(60).collect(),
            known: RUNTIMES.iter().map(|r| format!("{}@{}", r.name, r.version)).collect::<Vec<_>>().join(", "),
        })
    }

    /// Its name and version: `mlx-embeddings 0.1.0`.
    pub fn label(&self) -> String {
        format!("{} {}", self.name, self.version)
    }

    /// How it computes this model; none where it cannot.
    pub fn computes(&self, config: &ModelConfig) -> Option<&'static Computes> {
        let wanted = config.model_type.replace('_', "-");
        self.models.iter().find(|m| m.model_types.is_empty() || m.model_types.contains(&wanted.as_str()))
    }

    /// Where it departs from what `config` says, for a model whose table of words is `packed` or is not.
    pub fn deviations(&self, config: &ModelConfig, packed: bool) -> Vec<Deviation> {
        let Some(row) = self.computes(config) else { return Vec::new() };
        let more = if packed { row.packed } else { &[] };
        row.deviations.iter().chain(more).filter(|deviation| (deviation.applies)(config)).copied().collect()
    }

    /// The modules behind the pooling that it applies whatever modules.json says; none where it reads that, or where
    /// nothing is known of the model.
    pub fn stages_always(&self, config: &ModelConfig, stated: &[Stage]) -> Option<Vec<Stage>> {
        let row = self.computes(config).filter(|_| !self.reads_modules)?;
        let plain = |stage: &Stage| match stage {
            Stage::Dense(dense) if row.dense => {
                let plain = DenseModule { bias: false, activation: DenseActivation::Identity, ..dense.clone() };
                Stage::Dense(plain)
            }
            // Modules that it does not read are for callers to apply, as the files say.
            _ => stage.clone(),
        };
        let mut own: Vec<Stage> = stated.iter().map(plain).collect();
        if self.normalizes && !own.contains(&Stage::Normalize) {
            own.push(Stage::Normalize);
        }
        Some(own)
    }

    /// The pooling it applies whatever the files say; none where it reads them, or does not pool.
    pub fn pools_always(&self, config: &ModelConfig) -> Option<PoolingMode> {
        self.computes(config).filter(|m| !m.reads_pooling).and_then(|m| m.silent.pooling(config))
    }

    /// Tokens of a row that it takes unless its caller says otherwise: more than there are positions, where it does not
    /// look (mlx-embeddings 0.1.0 on a model of 256 positions reads past their table; run: NaN).
    pub fn takes(&self, positions: usize) -> usize {
        match self.limit {
            LengthLimit::Fixed(n) => n,
            _ => self.longest(positions, None),
        }
    }

    /// Its limit on a row of a model with so many usable positions, whose tokenizer states `stated`.
    pub fn longest(&self, positions: usize, stated: Option<usize>) -> usize {
        match self.limit {
            LengthLimit::Fixed(n) => n,
            LengthLimit::Tokenizer(most) => stated.unwrap_or(usize::MAX).min(most),
            LengthLimit::Positions => usize::MAX,
        }
        .min(positions)
    }
}

impl Silent {
    /// What is given in place of a pooled vector, in words.
    pub fn unpooled(self) -> &'static str {
        match self {
            Self::Gives(what) => what,
            _ => "every token's state",
        }
    }

    /// The pooling of this model; none where nothing is pooled.
    pub fn pooling(self, config: &ModelConfig) -> Option<PoolingMode> {
        match self {
            Self::Pools(mode) => Some(mode),
            Self::Gives(_) => None,
            Self::ByClassifier if config.architectures == ["ModernBertForMaskedLM"] => None,
            Self::ByClassifier => match config.raw().get("classifier_pooling").and_then(serde_json::Value::as_str) {
                Some("cls") => Some(PoolingMode::Cls),
                None | Some("mean") => Some(PoolingMode::Mean),
                Some(_) => None,
            },
            Self::ByHead => {
                let causal = config.raw().get("is_causal").and_then(serde_json::Value::as_bool).unwrap_or(true);
                let decoder = config.architectures.first().is_some_and(|a| a.ends_with("ForCausalLM"));
                Some(if decoder && causal { PoolingMode::LastToken } else { PoolingMode::Mean })
            }
        }
    }
}

#[cfg(test)]
#[path = "known_tests.rs"]
mod tests;
