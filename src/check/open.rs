//! Opens both sides of a request.

use std::sync::Arc;

use serde_json::Value;

use super::CheckRequest;
use super::config_keys;
use super::configs;
use super::deviation::Emulated;
use super::heads::{self, Heads};
use super::inputs::{inputs, same_file};
use super::preflight;
use super::reference::{Reference, original_weights};
use super::sides::{GraphSentences, ObserverCheck, Sides, SidesFacts, Variation};
use super::silence::Silent;
use super::taps::{reference_taps, witnessed};
use super::task_heads;
use super::tokenizers::{tokenizer_limit, tokenizers};
use crate::Error;
use crate::checkpoint::{ModelConfig, ModelFolder, StageWeights, usable_positions};
use crate::finding::{Finding, Severity};
use crate::hidden_states::Tap;
use crate::observe::{Event, Observer};
use crate::policy::Precision;
use crate::quantization::{Effective, load_candidate, load_stages};
use crate::report::RuntimeRecord;
use crate::runtimes::Encoder;
use crate::runtimes::known::{self, KnownRuntime};
use crate::runtimes::native::ops::{Compute, activation_function};
use crate::runtimes::native::{NativeEncoder, SentenceHead};
use crate::runtimes::onnx::{
    Graph, OnnxEncoder, OnnxModel, Optimization, Runtime, SessionOptions, Stated, TapEntry, TapHints, TapMap,
    exactness, facts, locate, observer_effect, sentence_output,
};
use crate::runtimes::recorded::Recording;

/// Opens both sides of a request.
///
/// # Errors
/// Whatever makes one of them unusable; differences between the two are findings, not errors.
pub fn open_sides(request: &CheckRequest, observer: &mut dyn Observer) -> Result<Sides, Error> {
    let program = KnownRuntime::find(&request.runtime).map_err(|e| Error::Usage(format!("--runtime: {e}")))?;
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

    observer.event(Event::Phase("reading the candidate"));
    let folder = ModelFolder::open(&request.candidate)?;
    let config = configs::parse(&folder.require("config.json")?, &format!("{}/config.json", folder.shown()))?;
    config_keys::refuse(&config)?;
    let candidate = load_candidate(&folder, config.raw(), request.weights)?;
    let original = original_weights(request.original.as_deref(), &reference, &graph, &taps)?;

    let control_config = reference_config.as_ref().unwrap_or(&config);
    let float = format!("float32 weights of {}", original.source);
    task_heads::refuse("the reference's", control_config, &original.weights)?;
    task_heads::refuse("the candidate's", &config, &candidate.weights)?;
    let control = NativeEncoder::build(control_config, &original.weights, &float)?;
    let recording = request.recording.as_deref().map(Recording::open).transpose()?;
    let heads = Heads::read(
        request,
        [
            Silent {
                shown: "the reference".to_owned(),
                folder: reference.folder.as_ref(),
                config: control_config,
                runtime: KnownRuntime::find(known::REFERENCE).map_err(|e| Error::Usage(e.to_string()))?,
                tokenizer: reference.folder.as_ref().map(tokenizer_limit).transpose()?.flatten(),
                weights: None,
            },
            Silent {
                shown: folder.shown().to_owned(),
                folder: Some(&folder),
                config: &config,
                runtime: program,
                tokenizer: tokenizer_limit(&folder)?,
                weights: Some(&candidate.weights),
            },
        ],
    )?;
    let emulated = Emulated::new(request, &config, &heads.candidate, program);
    let encoder = NativeEncoder::build(&emulated.config, &candidate.weights, folder.shown())?;
    // The weights are shared: a second encoder costs next to nothing.
    let half = match request.compute {
        Compute::F32 => None,
        _ => {
            let twin = NativeEncoder::build(&emulated.config, &candidate.weights, folder.shown())?;
            Some(Box::new(twin.computing_in(request.compute)) as Box<dyn Encoder>)
        }
    };
    let max_length = longest(request, &heads, [control_config, &config])?;
    let tokenizers = tokenizers(&reference, &folder, max_length)?;
    let skipped = heads.skipped(&tokenizers)?;
    // The modules' own folders are read beside each encoder.
    let ours = match &reference.folder {
        Some(own) => load_stages(own, &heads.reference, &original.weights, &Value::Null, Effective::default())?,
        None => StageWeights::new(),
    };
    let reference_head = SentenceHead::with_weights(&heads.reference, control_config.hidden_size, &ours)
        .map_err(|e| Error::BadInput(format!("the reference: {e}")))?;
    let theirs = load_stages(&folder, &heads.candidate, &candidate.weights, config.raw(), request.weights)?;
    let stated_head = SentenceHead::with_weights(&heads.candidate, config.hidden_size, &theirs)
        .map_err(|e| Error::BadInput(format!("{}: {e}", folder.shown())))?;
    let (reference_head, stated_head) = (reference_head.skipping(skipped[0]), stated_head.skipping(skipped[1]));
    same_width(&reference_head, &stated_head)?;
    let told = facts(&graph, &taps);
    findings.extend(config_keys::findings(reference_config.as_ref(), &config)?);
    findings.extend(task_heads::findings(
        [reference_config.as_ref(), Some(&config)],
        &heads,
        [&original.weights, &candidate.weights],
    )?);
    let preflight = preflight::compare(&told, reference_config.as_ref(), &config, &heads, &tokenizers, request);

    let (reference_taps, contradictions) = witnessed(&graph, &taps, &original, &candidate.weights);
    findings.extend(inexact(&graph, &taps, request, [reference_config.as_ref(), Some(&config)]));
    findings.extend(contradictions);
    findings.extend(candidate.findings);
    findings.extend(original.findings);
    findings.extend(heads.findings.iter().cloned());
    findings.extend(heads::unused_dense(&folder, &heads.candidate, &candidate.weights));
    findings.extend(preflight.findings());
    findings.extend(same_file(&reference, &model, &folder));
    findings.extend(recording.as_ref().and_then(|r| r.of_other_weights(&folder.weight_files())));

    // The middles of the layers have told whose weights are whose; comparing them too would double the outputs.
    taps.middles.clear();
    let options = SessionOptions { sessions: request.threads, ..SessionOptions::default() };
    let session = OnnxEncoder::open(&runtime, &model, &taps, options)?;
    let precision = candidate.summary.to_string();
    let facts = SidesFacts {
        findings,
        precision: Precision {
            // As declared: a model with some layers at fewer bits is not let off with their limits.
            bits: candidate.summary.bits,
            mode: candidate.summary.mode.clone(),
            dtype: candidate.summary.dtype.clone(),
        },
        quantization: candidate.summary,
        same_point: same_points(&taps),
        graph: model.proto().graph.as_ref().map_or_else(String::new, |graph| graph.name.clone()),
        taps: reference_taps,
        preflight: preflight.checks().to_vec(),
        inputs: inputs(&reference, &model, original.folder.as_ref(), &folder),
        runtime: runtime_record(&runtime, options),
        max_length,
        modules: heads.reference.clone(),
        hidden: config.hidden_size,
        recording: recording.as_ref().map(|r| r.compute().name().to_owned()),
        control_config: control_config.clone(),
        candidate_config: emulated.config.clone(),
        stated_config: config.clone(),
        prompt: heads.prompt.clone(),
        stated_head: stated_head.clone(),
        runs_on: program.label(),
        deviations: emulated.deviations.clone(),
        mlx_pooling: emulated.pooling,
        reference: model.name().to_owned(),
        candidate: format!("{} ({precision})", folder.shown()),
    };
    drop(graph);
    let opened = Arc::new((runtime, model, taps));
    let variations = variations(&opened, options);
    let again = Arc::clone(&opened);
    let observer_check: ObserverCheck =
        Box::new(move |batch| Ok(observer_effect(&opened.0, &opened.1, &opened.2, options, batch)?));
    let opened = Arc::clone(&again);
    let graph_sentences: GraphSentences =
        Box::new(move |batch| Ok(sentence_output(&opened.0, &opened.1, &opened.2, options, batch)?));
    Ok(Sides {
        reference: Box::new(session),
        control: Box::new(control),
        candidate: Box::new(encoder),
        half,
        tokenizers,
        reference_head,
        candidate_head: emulated.head(request, &stated_head)?,
        original: original.weights,
        candidate_weights: candidate.weights,
        observer: Some(observer_check),
        graph_sentences: Some(graph_sentences),
        variations,
        recording,
        facts,
    })
}

/// Tokens per row at most: what both sides take, or what the request says if both can.
fn longest(request: &CheckRequest, heads: &Heads, configs: [&ModelConfig; 2]) -> Result<usize, Error> {
    let positions = configs.map(usable_positions).into_iter().min().unwrap_or_default();
    match request.max_length {
        None => Ok(heads.longest()),
        Some(told) if told <= positions => Ok(told),
        Some(told) => {
            let text = format!("--max-length {told} is more than the {positions} positions these models have");
            Err(Error::Usage(text))
        }
    }
}

/// Sentence vectors of different widths cannot be compared at all.
fn same_width(reference: &SentenceHead, candidate: &SentenceHead) -> Result<(), Error> {
    let (ours, theirs) = (reference.width(), candidate.width());
    let chain = |head: &SentenceHead| {
        let stages = head.modules().stages.iter().map(|stage| format!(", then {stage}"));
        format!("{} pooling{}", head.modules().pooling_name(), stages.collect::<String>())
    };
    match ours == theirs {
        true => Ok(()),
        false => Err(Error::Incomparable(format!(
            "the reference's sentence vectors have {ours} dimensions ({}), the candidate's {theirs} ({}); one side's files leave a module out",
            chain(reference),
            chain(candidate)
        ))),
    }
}

/// What makes the reference no float32 reference; warnings when the request allows it.
fn inexact(
    graph: &Graph<'_>,
    taps: &TapMap,
    request: &CheckRequest,
    configs: [Option<&ModelConfig>; 2],
) -> Vec<Finding> {
    // An activation that only one of them states is no excuse for the graph.
    let stated: Vec<_> = configs.into_iter().flatten().map(|c| activation_function(&c.hidden_act)).collect();
    let agreed = stated.first().copied().flatten().filter(|first| stated.iter().all(|s| *s == Some(*first)));
    let mut inexact = exactness(graph, taps, agreed);
    if request.allow_inexact_reference {
        inexact.iter_mut().for_each(|f| f.severity = f.severity.min(Severity::Warning));
    }
    inexact
}

/// Pairs of taps that are one tensor of the graph.
fn same_points(taps: &TapMap) -> Vec<(Tap, Tap)> {
    let pairs = |a: &TapEntry| {
        let (tap, tensor) = (a.tap, a.tensor.clone());
        taps.entries.iter().filter(move |b| tap < b.tap && tensor == b.tensor).map(move |b| (tap, b.tap))
    };
    taps.entries.iter().flat_map(pairs).collect()
}

fn runtime_record(runtime: &Runtime, options: SessionOptions) -> RuntimeRecord {
    RuntimeRecord {
        onnxruntime_version: runtime.version().to_owned(),
        library: runtime.path().display().to_string(),
        sha256: runtime.sha256().to_owned(),
        execution_provider: "CPUExecutionProvider".to_owned(),
        optimization: format!("{:?}", options.optimization).to_lowercase(),
    }
}

/// The reference with more threads within an operator, and without graph optimizations.
fn variations(opened: &Arc<(Runtime, OnnxModel, TapMap)>, options: SessionOptions) -> Vec<Variation> {
    let options = SessionOptions { sessions: 1, ..options };
    let ways = [
        ("2 threads in place of 1".to_owned(), SessionOptions { threads: 2, ..options }),
        ("graph optimizations off".to_owned(), SessionOptions { optimization: Optimization::Disabled, ..options }),
    ];
    let variation = |(name, options)| {
        let opened = Arc::clone(opened);
        let open =
            move || Ok(Box::new(OnnxEncoder::open(&opened.0, &opened.1, &opened.2, options)?) as Box<dyn Encoder>);
        Variation { name, open: Box::new(open) }
    };
    ways.into_iter().map(variation).collect()
}
