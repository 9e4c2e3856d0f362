//! `parallax record`: one side's hidden states over a corpus, to a file that [`Recording`] reads.
//!
//! [`Recording`]: crate::runtimes::recorded::Recording

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, tensor::TensorView};

use crate::Error;
use crate::checkpoint::{ModelConfig, PoolingMode, SentenceModules, Stage, WeightSet, usable_positions};
use crate::corpus::{Corpus, CorpusOptions};
use crate::hidden_states::{RowId, RowSet, Tap};
use crate::observe::{Event, Observer};
use crate::quantization::{Dequantization, QuantizationError};
use crate::report::ReportError;
use crate::rows::measure::{add_sentences, batches};
use crate::runtimes::Encoder;
use crate::runtimes::known::{self, KnownRuntime};
use crate::runtimes::native::{NativeEncoder, SentenceHead};
use crate::runtimes::onnx::{Graph, Runtime, SessionOptions, locate};
use crate::runtimes::recorded::{
    COMPUTE_KEY, DEVICE_KEY, FORMAT, FORMAT_KEY, LARGEST, OWN_PRODUCER, PRODUCER_KEY, TAP_PREFIX, VERSION_KEY,
    WEIGHTS_KEY,
};
use crate::sides::door::{Checkpoint, Export, taps};
use crate::sides::overruled::LEAST_DIMENSIONS;
use crate::sides::request::BATCH_TOKENS;
use crate::sides::session::ReferenceSession;
use crate::sides::silence::Silent;
use crate::sides::tokenizers::tokenizer_limit;
use crate::tokens::{BLOCK_ROWS, WordTokenizer};

/// Whose states.
#[derive(Clone, Debug)]
pub enum RecordSide {
    /// ONNX Runtime on a reference.
    Reference(PathBuf),
    /// Our encoder on a candidate.
    Candidate(PathBuf),
}

/// One recording to make.
#[derive(Clone, Debug)]
pub struct RecordRequest {
    /// Whose states.
    pub side: RecordSide,
    /// Over which rows.
    pub corpus: CorpusOptions,
    /// To which file.
    pub save: PathBuf,
    /// Text before every sentence.
    pub prompt: Option<String>,
    /// Name of the prompt of the model's files that is put before every sentence; its default one where absent.
    pub prompt_name: Option<String>,
    /// Pooling, overriding the model's files.
    pub pooling: Option<PoolingMode>,
    /// Dimensions of the sentence vectors that are kept.
    pub dim: Option<usize>,
    /// The program that runs a candidate, `NAME` or `NAME@VERSION`: what it does where the files say nothing.
    pub runtime: String,
    /// Tokens per row at most.
    pub max_length: Option<usize>,
    /// Padded tokens per batch.
    pub batch_tokens: usize,
    /// Threads.
    pub threads: usize,
    /// How a candidate's quantized weight is dequantized.
    pub weights: Dequantization,
    /// The ONNX Runtime library.
    pub ort_lib: Option<PathBuf>,
}

impl RecordRequest {
    /// A request with defaults for everything but the side and the file; it still needs a corpus.
    pub fn new(side: RecordSide, save: impl Into<PathBuf>) -> Self {
        Self {
            side,
            corpus: CorpusOptions::default(),
            save: save.into(),
            prompt: None,
            prompt_name: None,
            pooling: None,
            dim: None,
            runtime: known::CANDIDATE.to_owned(),
            max_length: None,
            batch_tokens: BATCH_TOKENS,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            weights: Dequantization::default(),
            ort_lib: None,
        }
    }
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordSummary {
    /// Rows.
    pub rows: usize,
    /// Their tokens.
    pub tokens: usize,
    /// Taps per token, and sentence vectors.
    pub taps: usize,
    /// Bytes of the file.
    pub bytes: u64,
}

/// One side, opened.
struct Side {
    encoder: Box<dyn Encoder>,
    head: SentenceHead,
    tokenizer: WordTokenizer,
    hidden: usize,
    /// Put before every sentence.
    prompt: String,
    /// sha256 of its weight files.
    weights: Vec<String>,
}

/// Runs one side over a corpus and saves every tap.
///
/// # Errors
/// As a check, and a recording beyond [`LARGEST`] bytes.
pub fn record(request: &RecordRequest, observer: &mut dyn Observer) -> Result<RecordSummary, Error> {
    // Before any work: a place that cannot be written to must not cost a run.
    let save = &request.save;
    let folder = save.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = tempfile::NamedTempFile::new_in(folder).map_err(|e| unwritable(save, &e))?;
    let side = open(request)?;
    let mut corpus = Corpus::open(request.corpus.clone())?;
    let total = request.corpus.expected_rows();
    let (mut ids, mut offsets): (Vec<u32>, Vec<usize>) = (Vec::new(), vec![0]);
    let mut taps: BTreeMap<Tap, (usize, Vec<f32>)> = BTreeMap::new();
    let per_token = 4 * side.hidden * side.encoder.taps().len();
    loop {
        let mut rows = Vec::new();
        while rows.len() < BLOCK_ROWS
            && let Some(row) = corpus.next_row()?
        {
            let text = format!("{}{}", side.prompt, row.text);
            rows.push((RowId { set: RowSet::Corpus, row: row.index }, side.tokenizer.encode(&text)?));
        }
        if rows.is_empty() {
            break;
        }
        let more: usize = rows.iter().map(|(_, r)| r.ids.len()).sum();
        if ((ids.len() + more) * per_token) as u64 > LARGEST {
            return Err(Error::Usage(format!(
                "the recording would be larger than {LARGEST} bytes; --limit {} keeps it below",
                offsets.len() - 1
            )));
        }
        let first = rows[0].0.row;
        let base = offsets.len() - 1;
        for (_, row) in &rows {
            ids.extend_from_slice(&row.ids);
            offsets.push(ids.len());
        }
        for batch in batches(&rows, request.batch_tokens) {
            let mut states = side.encoder.encode(&batch)?;
            add_sentences(&side.head, &mut states)?;
            for (tap, all) in states.iter() {
                let (width, values) = taps.entry(tap).or_insert_with(|| (all.hidden(), Vec::new()));
                let length = if tap.is_sentence_level() { offsets.len() - 1 } else { ids.len() };
                values.resize(length * *width, 0.0);
                for r in 0..batch.rows() {
                    let i = base + usize::try_from(batch.row_id(r).row - first).unwrap_or(0);
                    let start = if tap.is_sentence_level() { i } else { offsets[i] } * *width;
                    values[start..start + all.row(r).len()].copy_from_slice(all.row(r));
                }
            }
        }
        observer.event(Event::Rows { done: (offsets.len() - 1) as u64, total });
    }
    if ids.is_empty() {
        return Err(Error::Incomparable("the corpus has no rows: there is nothing to record".to_owned()));
    }
    write(file, save, &side, &ids, &offsets, &taps)
}

/// One side's encoder, its folder and configuration, and its weights where they are of a candidate.
struct Encoding {
    checkpoint: Checkpoint,
    config: ModelConfig,
    encoder: Box<dyn Encoder>,
    /// sha256 of its weight files.
    files: Vec<String>,
    /// The candidate's; none of a reference.
    weights: Option<WeightSet>,
}

fn open(request: &RecordRequest) -> Result<Side, Error> {
    if let Some(dim) = request.dim.filter(|dim| *dim < LEAST_DIMENSIONS) {
        let text = format!("--dim {dim}: at least {LEAST_DIMENSIONS} dimensions, fewer tell no sentences apart");
        return Err(Error::Usage(text));
    }
    let (program, opened) = match &request.side {
        RecordSide::Candidate(path) => (request.runtime.as_str(), candidate(request, path)?),
        RecordSide::Reference(path) => (known::REFERENCE, reference(request, path)?),
    };
    let program = KnownRuntime::find(program).map_err(|e| Error::Usage(format!("--runtime: {e}")))?;
    let Encoding { checkpoint, config, encoder, files, weights } = opened;
    let folder = &checkpoint.folder;
    let shown = folder.shown().to_owned();
    // As in a check: where the files are silent, the program's own default holds.
    let silent = Silent {
        shown: shown.clone(),
        folder: Some(folder),
        config: &config,
        runtime: program,
        tokenizer: tokenizer_limit(folder)?,
        weights: weights.as_ref(),
    };
    let said = silent.said(request.prompt_name.as_deref())?;
    if let (Some(name), None) = (&request.prompt_name, &said.prompts) {
        let name: String = name.escape_default().take(40).collect();
        return Err(Error::Usage(format!("--prompt-name {name}: the model's files state no prompts")));
    }
    let modules =
        modules(request, said.files.modules.clone(), said.pooling.clone(), &said.stages).ok_or_else(|| {
            Error::BadInput(format!("{shown}: states no pooling (modules.json, 1_Pooling/config.json); give --pooling"))
        })?;
    let none = WeightSet::new("no tensors", BTreeMap::new()).map_err(QuantizationError::from)?;
    let head = checkpoint.head(&modules, &config, weights.as_ref().unwrap_or(&none), request.weights)?;
    let usable = usable_positions(&config);
    if let Some(told) = request.max_length.filter(|told| *told > usable) {
        let text = format!("--max-length {told} is more than the {usable} positions that a row can use; lower it");
        return Err(Error::Usage(text));
    }
    let max_length = request.max_length.unwrap_or(said.length.min(usable));
    let name = format!("{shown}/tokenizer.json");
    let tokenizer = WordTokenizer::parse(&folder.require("tokenizer.json")?, &name, max_length)?;
    let prompt = request.prompt.clone().unwrap_or(said.prompt);
    let skipped = match modules.include_prompt || prompt.is_empty() {
        true => 0,
        false => tokenizer.encode(&prompt)?.ids.len().saturating_sub(1),
    };
    let head = head.skipping(skipped);
    Ok(Side { prompt, encoder, head, tokenizer, hidden: config.hidden_size, weights: files })
}

/// What follows the encoder: as its files say, as its program does in their silence, as the request overrules both.
fn modules(
    request: &RecordRequest,
    stated: Option<SentenceModules>,
    pooling: Option<Vec<PoolingMode>>,
    stages: &[Stage],
) -> Option<SentenceModules> {
    let pooling = request.pooling.map(|mode| vec![mode]).or(pooling)?;
    let stated = stated.unwrap_or_else(|| SentenceModules::of(PoolingMode::Mean));
    let stages = stages.iter().cloned().chain(request.dim.map(Stage::Truncate)).collect();
    Some(SentenceModules { pooling, stages, ..stated })
}

fn candidate(request: &RecordRequest, path: &Path) -> Result<Encoding, Error> {
    let checkpoint = Checkpoint::open(path)?;
    let config = checkpoint.config()?;
    let loaded = checkpoint.weights(config.raw(), request.weights)?;
    let label = format!("{} ({})", checkpoint.folder.shown(), loaded.summary);
    let encoder = NativeEncoder::build(&config, &loaded.weights, &label)?;
    let files = checkpoint.folder.weight_files();
    Ok(Encoding { checkpoint, config, encoder: Box::new(encoder), files, weights: Some(loaded.weights) })
}

fn reference(request: &RecordRequest, path: &Path) -> Result<Encoding, Error> {
    let runtime = Runtime::load(&locate(request.ort_lib.as_deref())?)?;
    let Export { reference, model } = Export::open(path)?;
    let folder = reference.folder.ok_or_else(|| {
        Error::BadInput(format!("{}: no tokenizer.json and config.json lie beside it", path.display()))
    })?;
    let checkpoint = Checkpoint { folder };
    let config = checkpoint.config()?;
    let mut map = taps(&Graph::new(&model)?, Some(&config))?;
    map.middles.clear();
    let options = SessionOptions { threads: request.threads, ..SessionOptions::default() };
    let data = model.data_files().iter().map(|f| f.sha256().to_owned());
    let files = std::iter::once(model.sha256().to_owned()).chain(data).collect();
    let encoder = Box::new(ReferenceSession::new(runtime, model, map, options).encoder()?);
    Ok(Encoding { checkpoint, config, encoder, files, weights: None })
}

fn unwritable(path: &Path, e: &std::io::Error) -> Error {
    Error::Report(ReportError::Write { path: path.to_owned(), message: e.to_string() })
}

/// Writes the file beside its place, then moves it there.
fn write(
    mut file: tempfile::NamedTempFile,
    path: &Path,
    side: &Side,
    ids: &[u32],
    offsets: &[usize],
    taps: &BTreeMap<Tap, (usize, Vec<f32>)>,
) -> Result<RecordSummary, Error> {
    let failed = |message: String| Error::Report(ReportError::Render { format: "recording", message });
    let io = |e: std::io::Error| unwritable(path, &e);
    let id_bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
    let offset_bytes: Vec<u8> = offsets.iter().flat_map(|o| (*o as i64).to_le_bytes()).collect();
    let state_bytes: Vec<(String, Vec<usize>, Vec<u8>)> = taps
        .iter()
        .map(|(tap, (width, values))| {
            let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            (format!("{TAP_PREFIX}{tap}"), vec![values.len() / width, *width], bytes)
        })
        .collect();
    let view = |dtype, shape, bytes| TensorView::new(dtype, shape, bytes).map_err(|e| failed(e.to_string()));
    let mut tensors = vec![
        ("input_ids".to_owned(), view(Dtype::U32, vec![ids.len()], &id_bytes)?),
        ("row_offsets".to_owned(), view(Dtype::I64, vec![offsets.len()], &offset_bytes)?),
    ];
    for (name, shape, bytes) in &state_bytes {
        tensors.push((name.clone(), view(Dtype::F32, shape.clone(), bytes)?));
    }
    let (device, weights) = (side.encoder.describe(), side.weights.join(" "));
    let said = [
        (FORMAT_KEY, FORMAT),
        (PRODUCER_KEY, OWN_PRODUCER),
        (VERSION_KEY, env!("CARGO_PKG_VERSION")),
        (DEVICE_KEY, &device),
        (COMPUTE_KEY, "float32"),
        (WEIGHTS_KEY, &weights),
    ];
    let metadata: HashMap<String, String> = said.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let bytes = safetensors::serialize(tensors, Some(metadata)).map_err(|e| failed(e.to_string()))?;
    file.write_all(&bytes).map_err(io)?;
    file.persist(path).map_err(|e| io(e.error))?;
    let summary =
        RecordSummary { rows: offsets.len() - 1, tokens: ids.len(), taps: taps.len(), bytes: bytes.len() as u64 };
    Ok(summary)
}
