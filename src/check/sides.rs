//! Both sides, opened: three encoders, two tokenizers, two sets of weights, and what they say about
//! themselves.

use std::io::Read;
use std::rc::Rc;

use super::floor::Variation;
use super::preflight::{self, Heads};
use super::reference::{Reference, original_weights};
use super::{CheckRequest, ControlRows};
use crate::Error;
use crate::align::PreflightCheck;
use crate::checkpoint::{
    CheckpointError, ModelConfig, ModelFolder, SentenceModules, WeightSet, max_sequence_length, stated_model_max_length,
};
use crate::finding::{Finding, Severity};
use crate::hidden_states::Tap;
use crate::observe::{Event, Observer};
use crate::policy::Precision;
use crate::quantization::{QuantizationSummary, load_candidate};
use crate::report::{InputRecord, RuntimeRecord};
use crate::runtimes::Encoder;
use crate::runtimes::native::{NativeEncoder, SentenceHead};
use crate::runtimes::onnx::{
    DataFile, Graph, ObserverEffect, OnnxEncoder, OnnxModel, Optimization, Runtime, SessionOptions, Stated, TapError,
    TapHints, TapMap, audit, exactness, facts, find_taps, locate, observer_effect, stated_taps,
};
use crate::runtimes::recorded::Recording;
use crate::tokens::{TokenBatch, TokenizerPair, WordTokenizer};

/// Compares the untouched reference with the tapped one on one batch.
pub type ObserverCheck = Box<dyn FnMut(&TokenBatch) -> Result<ObserverEffect, Error>>;

/// Two models, ready to run.
pub struct Sides {
    /// ONNX Runtime on the reference.
    pub reference: Box<dyn Encoder>,
    /// Our encoder on the float32 weights.
    pub control: Box<dyn Encoder>,
    /// Our encoder on the candidate's weights.
    pub candidate: Box<dyn Encoder>,
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
    /// Tells whether exposing the taps changes the reference; none for encoders that need no exposing.
    pub observer: Option<ObserverCheck>,
    /// The same reference run other ways, to see how far it is from itself.
    pub variations: Vec<Variation>,
    /// What another runtime recorded on the candidate's weights.
    pub recording: Option<Recording>,
    /// What they say about themselves.
    pub facts: SidesFacts,
}

/// One aligned tap of the reference.
#[derive(Clone, Debug)]
pub struct ReferenceTap {
    /// The tap.
    pub tap: Tap,
    /// The tensor it is in the graph.
    pub tensor: String,
    /// Why it is that tap.
    pub evidence: String,
}

/// What the two sides say about themselves.
#[derive(Clone, Debug)]
pub struct SidesFacts {
    /// What was noticed while opening them.
    pub findings: Vec<Finding>,
    /// The candidate's declared precision.
    pub precision: Precision,
    /// The candidate's quantization as found.
    pub quantization: QuantizationSummary,
    /// Taps that are the same point of the computation.
    pub same_point: Vec<(Tap, Tap)>,
    /// Where the reference's taps are.
    pub taps: Vec<ReferenceTap>,
    /// Facts compared.
    pub preflight: Vec<PreflightCheck>,
    /// Every file read.
    pub inputs: Vec<InputRecord>,
    /// The ONNX Runtime that runs the reference.
    pub runtime: RuntimeRecord,
    /// Tokens per row at most.
    pub max_length: usize,
    /// What follows both encoders.
    pub modules: SentenceModules,
    /// Width of a hidden state.
    pub hidden: usize,
    /// What the recording was computed in, if there is one.
    pub recording: Option<String>,
    /// What the control is built from.
    pub control_config: ModelConfig,
    /// What the candidate is built from.
    pub candidate_config: ModelConfig,
    /// The reference, for people: its file.
    pub reference: String,
    /// The candidate, for people: its folder and precision.
    pub candidate: String,
}

impl Sides {
    /// Runs [`Sides::observer`] if there is one.
    pub(super) fn observer_effect(&mut self, batch: &TokenBatch) -> Result<Option<ObserverEffect>, Error> {
        self.observer.as_mut().map(|check| check(batch)).transpose()
    }
}

/// Opens both sides of a request.
///
/// # Errors
/// Whatever makes one of them unusable; differences between the two are findings, not errors.
pub fn open_sides(request: &CheckRequest, observer: &mut dyn Observer) -> Result<Sides, Error> {
    observer.event(Event::Phase("reading the reference"));
    let runtime = Runtime::load(&locate(request.ort_lib.as_deref())?)?;
    let reference = Reference::resolve(&request.reference)?;
    let model = OnnxModel::read(&reference.onnx)?;
    let graph = Graph::new(&model)?;
    let reference_config = reference.config()?;
    let hints = TapHints {
        layers: reference_config.as_ref().map(|c| c.num_hidden_layers),
        vocab: reference_config.as_ref().map(|c| c.vocab_size),
    };
    let Stated { map: mut taps, mut findings } = reference_taps(request, &graph, hints)?;
    let reference_facts = facts(&graph, &taps);

    observer.event(Event::Phase("reading the candidate"));
    let folder = ModelFolder::open(&request.candidate)?;
    let config = ModelConfig::parse(&folder.require("config.json")?, &format!("{}/config.json", folder.shown()))?;
    let candidate = load_candidate(&folder, config.raw())?;
    let original = original_weights(request.original.as_deref(), &reference, &graph, &taps)?;

    let control_config = reference_config.as_ref().unwrap_or(&config);
    let control =
        NativeEncoder::build(control_config, &original.weights, &format!("float32 weights of {}", original.source))?;
    let encoder = NativeEncoder::build(&config, &candidate.weights, folder.shown())?;

    let recording = request.recording.as_deref().map(Recording::open).transpose()?;
    let heads = Heads::read(request, reference.folder.as_ref(), &folder)?;
    let positions = control_config.max_position_embeddings.min(config.max_position_embeddings);
    if let Some(told) = request.max_length.filter(|told| *told > positions) {
        return Err(Error::Usage(format!(
            "--max-length {told} is more than the {positions} positions these models have"
        )));
    }
    let limit = |folder: Option<&ModelFolder>, modules, config| -> Result<usize, Error> {
        let stated = folder.map(tokenizer_limit).transpose()?.flatten();
        Ok(max_sequence_length(request.max_length, Some(modules), config, stated))
    };
    let max_length = limit(reference.folder.as_ref(), &heads.reference, control_config)?.min(limit(
        Some(&folder),
        &heads.candidate,
        &config,
    )?);
    let tokenizers = tokenizers(&reference, &folder, max_length)?;
    let preflight =
        preflight::compare(&reference_facts, reference_config.as_ref(), &config, &heads, &tokenizers, request);

    findings.extend(audit(&graph, &taps, &original.weights).findings());
    let mut inexact = exactness(&graph, &taps);
    if request.allow_inexact_reference {
        inexact.iter_mut().for_each(|f| f.severity = f.severity.min(Severity::Warning));
    }
    findings.extend(inexact);
    findings.extend(candidate.findings);
    findings.extend(original.findings);
    findings.extend(heads.findings.iter().cloned());
    findings.extend(preflight.findings());
    findings.extend(same_file(&reference, &model, &folder));

    // The middles of the layers have told whose weights are whose; comparing them too would double the outputs.
    taps.middles.clear();
    let options = SessionOptions { threads: request.threads, ..SessionOptions::default() };
    let session = OnnxEncoder::open(&runtime, &model, &taps, options)?;
    let entries = &taps.entries;
    let precision = candidate.summary.to_string();
    let same_point = entries
        .iter()
        .flat_map(|a| {
            entries.iter().filter(move |b| a.tap < b.tap && a.tensor == b.tensor).map(move |b| (a.tap, b.tap))
        })
        .collect();
    let facts = SidesFacts {
        findings,
        precision: Precision {
            // As declared: a model with some layers at fewer bits is not let off with their limits.
            bits: candidate.summary.bits,
            mode: candidate.summary.mode.clone(),
            dtype: candidate.summary.dtype.clone(),
        },
        quantization: candidate.summary,
        same_point,
        taps: entries
            .iter()
            .map(|e| ReferenceTap { tap: e.tap, tensor: e.tensor.clone(), evidence: e.evidence.clone() })
            .collect(),
        preflight: preflight.checks().to_vec(),
        inputs: inputs(&reference, &model, original.folder.as_ref(), &folder),
        runtime: RuntimeRecord {
            onnxruntime_version: runtime.version().to_owned(),
            library: runtime.path().display().to_string(),
            sha256: runtime.sha256().to_owned(),
            execution_provider: "CPUExecutionProvider".to_owned(),
            optimization: format!("{:?}", options.optimization).to_lowercase(),
        },
        max_length,
        modules: heads.reference.clone(),
        hidden: config.hidden_size,
        recording: recording.as_ref().map(|r| r.compute().name().to_owned()),
        control_config: control_config.clone(),
        candidate_config: config.clone(),
        reference: model.name().to_owned(),
        candidate: format!("{} ({precision})", folder.shown()),
    };
    drop(graph);
    let opened = Rc::new((runtime, model, taps));
    let variations = variations(&opened, options);
    let observer_check: ObserverCheck =
        Box::new(move |batch| Ok(observer_effect(&opened.0, &opened.1, &opened.2, options, batch)?));
    Ok(Sides {
        reference: Box::new(session),
        control: Box::new(control),
        candidate: Box::new(encoder),
        tokenizers,
        reference_head: SentenceHead::new(&heads.reference, control_config.hidden_size)?,
        candidate_head: SentenceHead::new(&heads.candidate, config.hidden_size)?,
        original: original.weights,
        candidate_weights: candidate.weights,
        observer: Some(observer_check),
        variations,
        recording,
        facts,
    })
}

/// The reference's taps: found, or as the request states them.
fn reference_taps(request: &CheckRequest, graph: &Graph<'_>, hints: TapHints) -> Result<Stated, Error> {
    let Some(path) = &request.taps else {
        let found = find_taps(graph, hints);
        // Why the search failed may be that this is no float32 graph at all.
        let why = |e: TapError| match exactness(graph, &TapMap::default()).into_iter().next() {
            Some(inexact) => Error::Incomparable(format!("{} ({e})", inexact.message)),
            None => e.into(),
        };
        return Ok(Stated { map: found.map_err(why)?, findings: Vec::new() });
    };
    let shown = path.display().to_string();
    let open = std::fs::File::open(path).map_err(|e| Error::BadInput(format!("{shown}: {e}")))?;
    let mut json = Vec::new();
    let most = crate::runtimes::onnx::stated::MAX_BYTES as u64 + 1;
    open.take(most).read_to_end(&mut json).map_err(|e| Error::BadInput(format!("{shown}: {e}")))?;
    Ok(stated_taps(graph, &shown, &json, hints)?)
}

/// The reference with another number of threads, and without graph optimizations.
fn variations(opened: &Rc<(Runtime, OnnxModel, TapMap)>, options: SessionOptions) -> Vec<Variation> {
    let threads = if options.threads == 1 { 2 } else { 1 };
    let ways = [
        (format!("{threads} in place of {} threads", options.threads), SessionOptions { threads, ..options }),
        ("graph optimizations off".to_owned(), SessionOptions { optimization: Optimization::Disabled, ..options }),
    ];
    let variation = |(name, options)| {
        let opened = Rc::clone(opened);
        let open =
            move || Ok(Box::new(OnnxEncoder::open(&opened.0, &opened.1, &opened.2, options)?) as Box<dyn Encoder>);
        Variation { name, open: Box::new(open) }
    };
    ways.into_iter().map(variation).collect()
}

/// The length limit tokenizer_config.json states.
pub(super) fn tokenizer_limit(folder: &ModelFolder) -> Result<Option<usize>, CheckpointError> {
    let Some(bytes) = folder.read("tokenizer_config.json")? else { return Ok(None) };
    let config = serde_json::from_slice(&bytes).map_err(|e| CheckpointError::Malformed {
        file: format!("{}/tokenizer_config.json", folder.shown()),
        reason: format!("is not JSON: {e}"),
    })?;
    Ok(stated_model_max_length(&config))
}

fn tokenizers(reference: &Reference, candidate: &ModelFolder, max_length: usize) -> Result<TokenizerPair, Error> {
    let missing = |whose: &str| {
        Error::Incomparable(format!(
            "{whose} has no tokenizer.json, so the two sides cannot be shown to get the same ids; put the model's tokenizer.json there"
        ))
    };
    let shown = reference.onnx.display().to_string();
    let ours = match &reference.folder {
        Some(folder) => folder.read("tokenizer.json")?.ok_or_else(|| missing(folder.shown()))?,
        None => return Err(missing(&format!("the folder of {shown}"))),
    };
    let theirs = candidate.read("tokenizer.json")?.ok_or_else(|| missing(candidate.shown()))?;
    Ok(TokenizerPair {
        reference: WordTokenizer::parse(&ours, "the reference's tokenizer.json", max_length)?,
        candidate: WordTokenizer::parse(&theirs, "the candidate's tokenizer.json", max_length)?,
    })
}

/// A candidate made of the reference's own files compares a model with itself.
fn same_file(reference: &Reference, model: &OnnxModel, candidate: &ModelFolder) -> Option<Finding> {
    let theirs = reference.folder.iter().flat_map(ModelFolder::inputs);
    let known: Vec<String> = theirs.map(|i| i.sha256).chain([model.sha256().to_owned()]).collect();
    let shared =
        candidate.inputs().into_iter().find(|i| i.name.ends_with(".safetensors") && known.contains(&i.sha256))?;
    let message = format!(
        "{}/{} is byte for byte a file of the reference: nothing would be compared",
        candidate.shown(),
        shared.name
    );
    Some(Finding::new(Severity::Refusal, "preflight.same_file", message))
}

fn inputs(
    reference: &Reference,
    model: &OnnxModel,
    original: Option<&ModelFolder>,
    candidate: &ModelFolder,
) -> Vec<InputRecord> {
    let onnx = InputRecord {
        role: "reference".to_owned(),
        file: model.name().to_owned(),
        sha256: model.sha256().to_owned(),
        bytes: model.size(),
    };
    let of = |role: &str, folder: &ModelFolder| -> Vec<InputRecord> {
        let record = |i: crate::checkpoint::InputFile| InputRecord {
            role: role.to_owned(),
            file: format!("{}/{}", folder.shown(), i.name),
            sha256: i.sha256,
            bytes: i.bytes,
        };
        folder.inputs().into_iter().map(record).collect()
    };
    let data = |f: &DataFile| InputRecord {
        role: "reference".to_owned(),
        file: f.name().to_owned(),
        sha256: f.sha256().to_owned(),
        bytes: f.bytes().len() as u64,
    };
    let mut all = vec![onnx];
    all.extend(model.data_files().iter().map(data));
    all.extend(reference.folder.iter().flat_map(|f| of("reference", f)));
    all.extend(original.iter().flat_map(|f| of("original", f)));
    all.extend(of("candidate", candidate));
    all
}

impl Reference {
    /// config.json beside the ONNX file, if there is one.
    fn config(&self) -> Result<Option<ModelConfig>, CheckpointError> {
        let Some(folder) = &self.folder else { return Ok(None) };
        let Some(bytes) = folder.read("config.json")? else { return Ok(None) };
        Ok(Some(ModelConfig::parse(&bytes, &format!("{}/config.json", folder.shown()))?))
    }
}

impl CheckRequest {
    /// A sentence with the prompt before it.
    pub(super) fn prompted<'a>(&self, text: &'a str) -> std::borrow::Cow<'a, str> {
        match &self.prompt {
            Some(prompt) => format!("{prompt}{text}").into(),
            None => text.into(),
        }
    }

    /// Everything asked for that changes numbers, for the report.
    pub(super) fn options(&self) -> std::collections::BTreeMap<String, String> {
        let mut options = std::collections::BTreeMap::new();
        let mut set = |key: &str, value: Option<String>| value.map(|v| options.insert(key.to_owned(), v));
        set("control", Some(if self.control == ControlRows::All { "all" } else { "sample" }.to_owned()));
        set("batch_tokens", Some(self.batch_tokens.to_string()));
        set("pooling", self.pooling.map(|p| p.to_string()));
        set("max_length", self.max_length.map(|n| n.to_string()));
        set("limit", self.corpus.limit.map(|n| n.to_string()));
        set("recording", self.recording.as_ref().map(|p| p.display().to_string()));
        set("taps", self.taps.as_ref().map(|p| p.display().to_string()));
        set("canaries", (!self.canaries).then(|| "none".to_owned()));
        set("allow_inexact_reference", self.allow_inexact_reference.then(|| "true".to_owned()));
        options
    }
}
