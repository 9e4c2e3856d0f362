//! Opens both sides of a request.

use std::sync::Arc;

use serde_json::Value;

use super::config_keys;
use super::door::{Checkpoint, Export, hints};
use super::emulated::{Emulated, padded_nan};
use super::graph_weights;
use super::heads::{self, SentencePair};
use super::inputs::{inputs, misnamed, pattern, same_file, stray};
use super::original;
use super::original_weights::original_weights;
use super::padded::{Padded, padded};
use super::preflight;
use super::request::CheckRequest;
use super::sentence_keys;
use super::session::ReferenceSession;
use super::silence::Silent;
use super::taps::{reference_taps, witnessed};
use super::task_heads;
use super::tokenizers::{Tokenizers, tokenizer_limit, tokenizers};
use super::widths;
use super::{Sides, SidesFacts, row_name};
use crate::Error;
use crate::checkpoint::{ModelConfig, StageWeights, names, usable_positions};
use crate::finding::{Finding, Severity, codes};
use crate::hidden_states::Tap;
use crate::observe::{Event, Observer};
use crate::quantization::{Dequantization, load_stages};
use crate::report::LoaderKeyRow;
use crate::runtimes::Encoder;
use crate::runtimes::known::{self, KnownRuntime, Stored};
use crate::runtimes::native::ops::{Compute, activation_function};
use crate::runtimes::native::{NativeEncoder, PoolingError, SentenceHead};
use crate::runtimes::onnx::{
    Graph, Runtime, SessionOptions, Stated, TapEntry, TapMap, exactness, facts, fixed_tokens, locate,
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
    let Export { reference, model } = Export::open(&request.reference)?;
    let graph = Graph::new(&model)?;
    let reference_config = reference.config()?;
    let Stated { map: mut taps, mut findings } = reference_taps(request, &graph, hints(reference_config.as_ref()))?;

    observer.event(Event::Phase("reading the candidate"));
    let checkpoint = Checkpoint::open(&request.candidate)?;
    let stated = checkpoint.config()?;
    config_keys::refuse(&stated)?;
    let mut candidate = checkpoint.weights(stated.raw(), request.weights)?;
    let folder = &checkpoint.folder;
    let mut original = original_weights(request.original.as_deref(), &reference, &graph, &taps)?;
    let told = facts(&graph, &taps);
    let configs = [reference_config.as_ref().unwrap_or(&stated), &stated];
    let reference_side = Silent {
        shown: "the reference".to_owned(),
        folder: reference.folder.as_ref(),
        config: configs[0],
        runtime: KnownRuntime::find(known::REFERENCE).map_err(|e| Error::Usage(e.to_string()))?,
        tokenizer: reference.folder.as_ref().map(tokenizer_limit).transpose()?.flatten(),
        weights: None,
    };
    let candidate_side = Silent {
        shown: folder.shown().to_owned(),
        folder: Some(folder),
        config: &stated,
        runtime: program,
        tokenizer: tokenizer_limit(folder)?,
        weights: Some(&candidate.weights),
    };
    let heads = SentencePair::read(request, [reference_side, candidate_side])?;
    let usable = configs.map(usable_positions).into_iter().min().unwrap_or_default();
    let positions = Positions { usable, fixed: fixed_tokens(&graph) };
    let max_length = longest(request, &heads, configs, &positions)?;
    findings.extend(positions.finding(max_length));
    observer.event(Event::Phase("comparing tokenizers"));
    let Tokenizers { pair: tokenizers, section: tokenizers_compared, findings: of_tokenizers } =
        tokenizers(reference.folder.as_ref(), &reference.onnx.display().to_string(), folder, max_length)?;
    observer.event(Event::Phase("building the control and the candidate"));
    let padded = padded(told.vocab, configs, &tokenizers)?;
    let in_use = |config: &ModelConfig| padded.as_ref().map_or_else(|| config.clone(), |p| p.config(config));
    let (control_config, config) = (&in_use(configs[0]), in_use(&stated));
    // The graph's tables are compared whole.
    let whole = [&original.weights, &candidate.weights].map(|weights| weights.only(|_| true));
    if let Some(padded) = &padded {
        original.weights = padded.weights(&original.weights)?;
        candidate.weights = padded.weights(&candidate.weights)?;
    }

    let float = format!("float32 weights of {}", original.source);
    task_heads::refuse("the reference's", control_config, &original.weights)?;
    task_heads::refuse("the candidate's", &config, &candidate.weights)?;
    let control = NativeEncoder::build(control_config, &original.weights, &float)?;
    let mut recording = request.recording.as_deref().map(Recording::open).transpose()?;
    let packed = candidate.weights.tensors().iter().any(|(name, w)| names::is_table(name) && w.storage.mode.is_some());
    let emulated = Emulated::new(request, &config, &heads.candidate, program, packed);
    let encoder = checkpoint.encoder(&emulated.config, &candidate.weights)?;
    if let Some(recording) = &mut recording {
        recording.judge_only(encoder.taps());
    }
    // The weights are shared: another encoder costs next to nothing.
    let computing = |compute| -> Result<Option<Box<dyn Encoder>>, Error> {
        match compute {
            Compute::F32 => Ok(None),
            _ => {
                let twin = checkpoint.encoder(&emulated.config, &candidate.weights)?;
                Ok(Some(Box::new(twin.computing_in(compute))))
            }
        }
    };
    let half = computing(request.compute)?;
    let predicted = computing(recording.as_ref().map_or(Compute::F32, |r| r.compute().emulated()))?;
    let vocab = control.vocab().min(taps.vocab);
    let skipped = heads.skipped(&tokenizers)?;
    // The modules' own folders are read beside each encoder.
    let ours = match &reference.folder {
        Some(own) => load_stages(own, &heads.reference, &original.weights, &Value::Null, Dequantization::default())?,
        None => StageWeights::new(),
    };
    let reference_head = SentenceHead::with_weights(&heads.reference, control_config.hidden_size, &ours)
        .map_err(|e| no_head(request, "the reference", &e))?;
    let theirs = load_stages(folder, &heads.candidate, &candidate.weights, config.raw(), request.weights)?;
    let stated_head = SentenceHead::with_weights(&heads.candidate, config.hidden_size, &theirs)
        .map_err(|e| no_head(request, folder.shown(), &e))?;
    let (reference_head, stated_head) = (reference_head.skipping(skipped[0]), stated_head.skipping(skipped[1]));
    same_width(&reference_head, &stated_head)?;
    let (stage_weights, unpaired_stages) = heads::paired(&heads, &ours, &theirs);
    findings.extend(config_keys::findings(reference_config.as_ref(), &stated)?);
    findings.extend(task_heads::findings(
        [reference_config.as_ref(), Some(&stated)],
        &heads,
        [&original.weights, &candidate.weights],
    )?);
    let mut preflight = preflight::compare(&told, reference_config.as_ref(), &stated, &heads, &tokenizers, request);
    let of_sentences = sentence_keys::compare(reference.folder.as_ref(), folder, &mut preflight)?;

    observer.event(Event::Phase("auditing the reference's graph and its weights"));
    let (reference_taps, contradictions) = witnessed(&graph, &taps, &original, &candidate.weights);
    let (mut graph_audit, unaudited) =
        super::graph_logic::audited(&graph, &taps, request, [reference_config.as_ref(), Some(&config)]);
    findings.extend(unaudited);
    let inexact = inexact(&graph, &taps, request, [reference_config.as_ref(), Some(&config)]);
    if original.from_graph {
        findings.push(graph_weights::void(&graph));
    } else {
        let by = graph_weights::Compared {
            original: &whole[0],
            modules: &ours,
            candidate: Some(&whole[1]),
            needed: original.weights.used(),
            config: control_config,
            inexact: !inexact.is_empty(),
        };
        let named = |tensor: &str, row: usize| row_name(&tokenizers, tensor, row);
        let (section, of_weights) = graph_weights::compared(&graph, &taps, &by, request.into(), &named);
        graph_audit.weights = Some(section);
        findings.extend(of_weights);
    }
    findings.extend(inexact);
    findings.extend(contradictions);
    findings.extend(candidate.findings);
    findings.extend(original.findings);
    findings.extend(heads.findings.iter().cloned());
    findings.extend(heads::unused_dense(folder, &heads.candidate, &candidate.weights));
    findings.extend(preflight.findings());
    findings.extend(of_tokenizers);
    let computed = original::Computed { config: configs[0], said: &heads.said[0], candidate: folder, max_length };
    findings.extend(original::findings(request, original.folder.as_ref(), &computed)?);
    findings.extend(of_sentences);
    findings.extend(padded.iter().map(Padded::finding));
    findings.extend(same_file(&reference, &model, folder));
    findings.extend(stray(program, folder)?);
    findings.extend(pattern(program, folder));
    findings.extend(misnamed(program, folder)?);
    let left = |row: &LoaderKeyRow| row.key == "padding_side" && row.candidate == "\"left\"";
    let stored = Stored { dtype: &candidate.summary.dtype, packed, left: tokenizers_compared.keys.iter().any(left) };
    findings.extend(padded_nan(program, &stated, stored));
    findings.extend(recording.iter().flat_map(|r| r.findings(&folder.weight_files())));

    observer.event(Event::Phase("opening the reference in ONNX Runtime"));
    // The middles of the layers have told whose weights are whose; comparing them too would double the outputs.
    taps.middles.clear();
    let options = SessionOptions { sessions: request.threads, ..SessionOptions::default() };
    let same_point = same_points(&taps);
    drop(graph);
    let session = Arc::new(ReferenceSession::new(runtime, model, taps, options));
    let encoder_of_reference = session.encoder()?;
    let precision = candidate.summary.to_string();
    findings.extend(widths::finding(&candidate.weights, &candidate.summary));
    let facts = SidesFacts {
        findings,
        quantization: candidate.summary,
        same_point,
        outputs: encoder_of_reference.declared().to_vec(),
        vocab,
        graph: session.model().proto().graph.as_ref().map_or_else(String::new, |graph| graph.name.clone()),
        graph_audit,
        taps: reference_taps,
        preflight: preflight.checks().to_vec(),
        tokenizers: tokenizers_compared,
        inputs: inputs(&reference, session.model(), original.folder.as_ref(), folder),
        runtime: session.record(),
        max_length,
        modules: heads.reference.clone(),
        hidden: config.hidden_size,
        control_config: control_config.clone(),
        candidate_config: emulated.config.clone(),
        stated_config: config.clone(),
        prompt: heads.prompt.clone(),
        prompts: heads.said[0].prompts.as_ref().map(|p| p.by_name.clone()).unwrap_or_default(),
        stated_head: stated_head.clone(),
        runs_on: program.label(),
        runs_to: (!program.reads_length)
            .then(|| program.takes(usable_positions(&stated)))
            .filter(|own| *own != max_length),
        deviations: emulated.deviations.clone(),
        mlx_pooling: emulated.pooling,
        mlx_stages: emulated.stages.clone(),
        mlx_pools_prompt: emulated.pools_prompt,
        narrow: program.computes(&stated).is_some_and(|row| row.narrow),
        reference: session.model().name().to_owned(),
        candidate: format!("{} ({precision})", folder.shown()),
    };
    Ok(Sides {
        reference: Box::new(encoder_of_reference),
        control: Box::new(control),
        candidate: Box::new(encoder),
        foreign: false,
        half,
        predicted,
        tokenizers,
        reference_head,
        candidate_head: emulated.head(request, &stated_head)?,
        original: original.weights,
        candidate_weights: candidate.weights,
        stage_weights,
        unpaired_stages,
        variations: session.variations(),
        session: Some(session),
        recording,
        facts,
    })
}

/// How long a row can be at all.
struct Positions {
    /// Rows of the position tables that a token can look up: the RoBERTa family's begin behind the padding id.
    usable: usize,
    /// Tokens of every row, where the export fixed them.
    fixed: Option<usize>,
}

impl Positions {
    /// An export of one length runs no longer rows, whatever the files allow.
    fn finding(&self, max_length: usize) -> Option<Finding> {
        let fixed = self.fixed.filter(|n| *n == max_length)?;
        let message = format!(
            "the export takes rows of exactly {fixed} tokens: shorter rows are padded to that, longer ones are cut on both sides"
        );
        Some(Finding::new(Severity::Note, &codes::REFERENCE_STATIC_SHAPE, message))
    }
}

/// Tokens per row at most: what both sides take, or what the request says if both can.
fn longest(
    request: &CheckRequest,
    heads: &SentencePair,
    configs: [&ModelConfig; 2],
    positions: &Positions,
) -> Result<usize, Error> {
    let usable = positions.usable;
    if let Some(told) = request.max_length.filter(|told| *told > usable) {
        let table = configs[0].max_position_embeddings.min(configs[1].max_position_embeddings);
        let behind = match table.saturating_sub(usable) {
            0 => String::new(),
            n => format!(" (of {table} rows of the position table the first {n} belong to padding)"),
        };
        let text =
            format!("--max-length {told} is more than the {usable} positions that a row can use{behind}; lower it");
        return Err(Error::Usage(text));
    }
    if let (Some(told), Some(fixed)) = (request.max_length, positions.fixed)
        && told > fixed
    {
        let text = format!("--max-length {told} is more than the {fixed} tokens that the export is fixed to; lower it");
        return Err(Error::Usage(text));
    }
    let most = usable.min(positions.fixed.unwrap_or(usize::MAX));
    Ok(request.max_length.unwrap_or_else(|| heads.longest().min(most)))
}

/// Modules that do not fit, or a flag that does not.
fn no_head(request: &CheckRequest, side: &str, e: &PoolingError) -> Error {
    match (request.dim, e) {
        (Some(dim), PoolingError::Truncate { found, .. }) => Error::Usage(format!(
            "--dim {dim}: the vectors of {side} have {found} dimensions; at most these can be kept"
        )),
        _ => Error::BadInput(format!("{side}: {e}")),
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
