//! Both sides, as they are once opened: three encoders, two tokenizers, two sets of weights, and what they say about
//! themselves.

pub(crate) mod beside;
pub(crate) mod config_keys;
pub(crate) mod configs;
pub(crate) mod door;
pub(crate) mod emulated;
pub(crate) mod graph_logic;
pub(crate) mod graph_weights;
pub(crate) mod heads;
pub(crate) mod inputs;
pub(crate) mod open;
pub(crate) mod original;
pub(crate) mod original_weights;
pub(crate) mod overruled;
pub(crate) mod padded;
pub(crate) mod preflight;
pub(crate) mod processor;
pub(crate) mod reference;
pub(crate) mod request;
pub(crate) mod sentence_keys;
pub(crate) mod session;
pub(crate) mod silence;
pub(crate) mod taps;
pub(crate) mod task_heads;
pub(crate) mod tokenizers;
pub(crate) mod widths;

pub use open::open_sides;
pub use reference::Reference;
pub use request::{BATCH_TOKENS, CONTROL_EVERY, CONTROL_FIRST, CheckRequest, ControlRows};

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::Error;
use crate::align::PreflightCheck;
use crate::checkpoint::{ModelConfig, PoolingMode, SentenceModules, Stage, Weight, WeightSet};
use crate::finding::{Finding, Severity, codes};
use crate::hidden_states::Tap;
use crate::quantization::QuantizationSummary;
use crate::report::{AlignedTap, GraphAuditSection, InputRecord, RuntimeRecord, TokenizersSection, escape};
use crate::runtimes::Encoder;
use crate::runtimes::native::{Deviation, SentenceHead};
use crate::runtimes::onnx::{DeclaredOutput, ObserverEffect};
use crate::runtimes::recorded::Recording;
use crate::tokens::{TokenBatch, TokenizerPair};
use crate::weights::WeightsReport;
use heads::StagePair;
use session::ReferenceSession;

/// Characters of a token in a message.
const TOKEN: usize = 40;

/// The same reference run another way: its name, and how to open it.
pub struct Variation {
    /// `one row at a time`, `2 threads`, `graph optimizations off`.
    pub name: String,
    /// Opens it; it is closed again as soon as it has run.
    pub open: Box<dyn Fn() -> Result<Box<dyn Encoder>, Error> + Send + Sync>,
}

impl std::fmt::Debug for Variation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Variation[{}]", self.name)
    }
}

/// Two models, ready to run.
pub struct Sides {
    /// ONNX Runtime on the reference.
    pub reference: Box<dyn Encoder>,
    /// Our encoder on the float32 weights.
    pub control: Box<dyn Encoder>,
    /// Our encoder on the candidate's weights.
    pub candidate: Box<dyn Encoder>,
    /// The candidate is computed by a caller's encoder, in whatever precision that has.
    pub foreign: bool,
    /// The candidate as a device would compute it in half precision, where that is asked for.
    pub half: Option<Box<dyn Encoder>>,
    /// Both tokenizers.
    pub tokenizers: TokenizerPair,
    /// Pooling of the reference (and the control).
    pub reference_head: SentenceHead,
    /// Pooling of the candidate.
    pub candidate_head: SentenceHead,
    /// The float32 weights.
    pub original: WeightSet,
    /// The candidate's, dequantized.
    pub candidate_weights: WeightSet,
    /// The weights of the modules behind the pooling that both sides have, under one name: the original's, the
    /// candidate's.
    pub stage_weights: Vec<(String, Arc<Weight>, Arc<Weight>)>,
    /// Weights of the candidate's modules behind the pooling that the original's modules do not have.
    pub unpaired_stages: Vec<String>,
    /// What the reference was opened from, to open it in other ways; none for an encoder that is no ONNX file's.
    pub session: Option<Arc<ReferenceSession>>,
    /// The same reference run other ways, to see how far it is from itself.
    pub variations: Vec<Variation>,
    /// The candidate in the type that the recording was computed in, where that is not float32.
    pub predicted: Option<Box<dyn Encoder>>,
    /// What another runtime recorded on the candidate's weights.
    pub recording: Option<Recording>,
    /// What they say about themselves.
    pub facts: SidesFacts,
}

/// What the two sides say about themselves.
#[derive(Clone, Debug)]
pub struct SidesFacts {
    /// What was noticed while opening them.
    pub findings: Vec<Finding>,
    /// The candidate's quantization as found.
    pub quantization: QuantizationSummary,
    /// Taps that are the same point of the computation.
    pub same_point: Vec<(Tap, Tap)>,
    /// Name of the reference's graph.
    pub graph: String,
    /// The reference's graph, node by node.
    pub graph_audit: GraphAuditSection,
    /// Every output that the untouched graph declares.
    pub outputs: Vec<DeclaredOutput>,
    /// Token ids that both the reference and the control know.
    pub vocab: usize,
    /// Where the reference's taps are.
    pub taps: Vec<AlignedTap>,
    /// Facts compared.
    pub preflight: Vec<PreflightCheck>,
    /// The two tokenizers, compared as data.
    pub tokenizers: TokenizersSection,
    /// Every file read.
    pub inputs: Vec<InputRecord>,
    /// The ONNX Runtime that runs the reference.
    pub runtime: RuntimeRecord,
    /// Tokens per row at most.
    pub max_length: usize,
    /// What follows both encoders.
    pub modules: SentenceModules,
    /// What is put before every sentence.
    pub prompt: Option<String>,
    /// Every prompt that the reference's files state, by its name.
    pub prompts: BTreeMap<String, String>,
    /// Width of a hidden state.
    pub hidden: usize,
    /// What the control is built from.
    pub control_config: ModelConfig,
    /// What the candidate is built from.
    pub candidate_config: ModelConfig,
    /// What the candidate's file says, where that is not followed.
    pub stated_config: ModelConfig,
    /// What follows the candidate, as its files say.
    pub stated_head: SentenceHead,
    /// The runtime the candidate is used with: `mlx-embeddings 0.1.0`.
    pub runs_on: String,
    /// Tokens per row that this program takes unless its caller says otherwise, where that is not [`Self::max_length`].
    pub runs_to: Option<usize>,
    /// Where that runtime departs from that file.
    pub deviations: Vec<Deviation>,
    /// That runtime's pooling, where it is another one than the candidate's.
    pub mlx_pooling: Option<PoolingMode>,
    /// The modules that runtime applies behind the pooling, where they are others than the candidate's.
    pub mlx_stages: Option<Vec<Stage>>,
    /// That runtime computes this model in the type of its scales.
    pub narrow: bool,
    /// That runtime pools a prompt which the candidate's files leave out of the pooling.
    pub mlx_pools_prompt: bool,
    /// The reference, for people: its file.
    pub reference: String,
    /// The candidate, for people: its folder and precision.
    pub candidate: String,
}

impl SidesFacts {
    /// A sentence with the prompt before it.
    pub(crate) fn prompted<'a>(&self, text: &'a str) -> std::borrow::Cow<'a, str> {
        match &self.prompt {
            Some(prompt) => format!("{prompt}{text}").into(),
            None => text.into(),
        }
    }
}

/// A pooler behind the encoder is checked and feeds no tap: MLX's encoders drop it.
pub(crate) fn feeds_nothing(tensor: &str) -> bool {
    tensor.starts_with("pooler.")
}

/// What threads need of [`Sides`].
#[derive(Clone, Copy)]
pub(crate) struct Encoders<'a> {
    pub(crate) reference: &'a dyn Encoder,
    pub(crate) control: &'a dyn Encoder,
    pub(crate) candidate: &'a dyn Encoder,
    pub(crate) half: Option<&'a dyn Encoder>,
    pub(crate) predicted: Option<&'a dyn Encoder>,
    pub(crate) reference_head: &'a SentenceHead,
    pub(crate) candidate_head: &'a SentenceHead,
}

impl Sides {
    /// The encoders, to be shared by threads.
    pub(crate) fn encoders(&self) -> Encoders<'_> {
        Encoders {
            reference: &*self.reference,
            control: &*self.control,
            candidate: &*self.candidate,
            half: self.half.as_deref(),
            predicted: self.predicted.as_deref(),
            reference_head: &self.reference_head,
            candidate_head: &self.candidate_head,
        }
    }

    /// All weights of both sides that are to be compared: the encoders' and those of the modules behind them.
    pub(crate) fn compared_weights(&self) -> Result<(WeightSet, WeightSet), Error> {
        let with = |set: &WeightSet, of: fn(&StagePair) -> &Arc<Weight>| {
            let added = self.stage_weights.iter().map(|pair| (pair.0.clone(), Arc::clone(of(pair))));
            // Where MLX keeps them in the encoder's file, they are there under another name.
            let known = |weight: &Arc<Weight>| self.stage_weights.iter().any(|pair| Arc::ptr_eq(of(pair), weight));
            let change = |tensors: &mut BTreeMap<String, Arc<Weight>>| {
                tensors.retain(|_, weight| !known(weight));
                tensors.extend(added);
            };
            set.changed(change).map_err(|e| Error::Quantization(e.into()))
        };
        Ok((with(&self.original, |pair| &pair.1)?, with(&self.candidate_weights, |pair| &pair.2)?))
    }

    /// Weights that the candidate computes with and that nothing was held against.
    pub(crate) fn without_original(&self, report: &WeightsReport) -> Option<Finding> {
        let used = self.candidate_weights.used();
        let stages = self.unpaired_stages.iter();
        let computed = |name: &&String| used.contains(*name) && !feeds_nothing(name);
        let lacking: Vec<&String> = report.without_original.iter().filter(computed).chain(stages).collect();
        let first = lacking.first()?;
        let message = format!(
            "the candidate computes with {} weights that have no original to be held against, the first is `{first}`; give \
             the whole float32 checkpoint with --original",
            lacking.len()
        );
        Some(Finding::new(Severity::Refusal, &codes::WEIGHTS_NO_ORIGINAL, message))
    }

    /// What a row of a table stands for: a token, or a position.
    pub(crate) fn row_name(&self, tensor: &str, row: usize) -> Option<String> {
        row_name(&self.tokenizers, tensor, row)
    }

    /// What exposing the taps changes of the reference; none for an encoder whose taps need no exposing.
    pub(crate) fn observer_effect(&self, batches: &[TokenBatch]) -> Result<Option<ObserverEffect>, Error> {
        Ok(self.session.as_ref().map(|session| session.effect_of_taps(batches)).transpose()?.flatten())
    }
}

/// What a row of a table stands for: a token, or a position.
pub(crate) fn row_name(tokenizers: &TokenizerPair, tensor: &str, row: usize) -> Option<String> {
    if tensor.contains("position") {
        return Some(format!("position {row}"));
    }
    if !["word_embeddings", "embed_tokens", "tok_embeddings", "token_embedding"].iter().any(|w| tensor.contains(w)) {
        return None;
    }
    let token = tokenizers.candidate().token(u32::try_from(row).ok()?)?;
    Some(format!("\"{}\"", escape::plain(&token, TOKEN)))
}
