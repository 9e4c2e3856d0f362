//! `parallax record`: one side's hidden states over a corpus, to a file that [`Recording`] reads.
//!
//! [`Recording`]: crate::runtimes::recorded::Recording

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, tensor::TensorView};

use super::configs;
use super::measure::{add_sentences, batches};
use super::reference::Reference;
use super::tokenizers::tokenizer_limit;
use crate::Error;
use crate::checkpoint::{ModelConfig, ModelFolder, SentenceModules, WeightSet, max_sequence_length};
use crate::corpus::{Corpus, CorpusOptions};
use crate::hidden_states::{RowId, RowSet, Tap};
use crate::observe::{Event, Observer};
use crate::quantization::{Effective, QuantizationError, load_candidate, load_stages};
use crate::report::ReportError;
use crate::runtimes::Encoder;
use crate::runtimes::native::{NativeEncoder, SentenceHead};
use crate::runtimes::onnx::{Graph, OnnxEncoder, OnnxModel, Runtime, SessionOptions, TapHints, find_taps, locate};
use crate::runtimes::recorded::{
    COMPUTE_KEY, DEVICE_KEY, FORMAT, FORMAT_KEY, LARGEST, OWN_PRODUCER, PRODUCER_KEY, TAP_PREFIX, VERSION_KEY,
    WEIGHTS_KEY,
};
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
    /// Tokens per row at most.
    pub max_length: Option<usize>,
    /// Padded tokens per batch.
    pub batch_tokens: usize,
    /// Threads.
    pub threads: usize,
    /// Which of its two values a candidate's quantized weight gets.
    pub weights: Effective,
    /// The ONNX Runtime library.
    pub ort_lib: Option<PathBuf>,
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

fn open(request: &RecordRequest) -> Result<Side, Error> {
    let parse = |folder: &ModelFolder| -> Result<ModelConfig, Error> {
        configs::parse(&folder.require("config.json")?, &format!("{}/config.json", folder.shown()))
    };
    let stages = |folder: &ModelFolder, main: &WeightSet, config: &ModelConfig, effective| {
        let modules = stated_modules(folder)?;
        let weights = load_stages(folder, &modules, main, config.raw(), effective)?;
        Ok::<_, Error>(SentenceHead::with_weights(&modules, config.hidden_size, &weights)?)
    };
    type Opened = (ModelFolder, ModelConfig, Box<dyn Encoder>, Vec<String>, SentenceHead);
    let (folder, config, encoder, weights, head): Opened = match &request.side {
        RecordSide::Candidate(path) => {
            let folder = ModelFolder::open(path)?;
            let config = parse(&folder)?;
            let loaded = load_candidate(&folder, config.raw(), request.weights)?;
            let label = format!("{} ({})", folder.shown(), loaded.summary);
            let encoder = NativeEncoder::build(&config, &loaded.weights, &label)?;
            let weights = folder.weight_files();
            let head = stages(&folder, &loaded.weights, &config, request.weights)?;
            (folder, config, Box::new(encoder), weights, head)
        }
        RecordSide::Reference(path) => {
            let runtime = Runtime::load(&locate(request.ort_lib.as_deref())?)?;
            let reference = Reference::resolve(path)?;
            let folder = reference.folder.ok_or_else(|| {
                Error::BadInput(format!("{}: no tokenizer.json and config.json lie beside it", path.display()))
            })?;
            let config = parse(&folder)?;
            let model = OnnxModel::read(&reference.onnx)?;
            let graph = Graph::new(&model)?;
            let hints = TapHints { layers: Some(config.num_hidden_layers), vocab: Some(config.vocab_size) };
            let mut map = find_taps(&graph, hints)?;
            map.middles.clear();
            let options = SessionOptions { threads: request.threads, ..SessionOptions::default() };
            let data = model.data_files().iter().map(|f| f.sha256().to_owned());
            let weights = std::iter::once(model.sha256().to_owned()).chain(data).collect();
            let none = WeightSet::new("no tensors", BTreeMap::new()).map_err(QuantizationError::from)?;
            let head = stages(&folder, &none, &config, Effective::default())?;
            (folder, config, Box::new(OnnxEncoder::open(&runtime, &model, &map, options)?), weights, head)
        }
    };
    let modules = stated_modules(&folder)?;
    let stated = tokenizer_limit(&folder)?;
    let max_length = max_sequence_length(request.max_length, Some(&modules), &config, stated);
    let name = format!("{}/tokenizer.json", folder.shown());
    let tokenizer = WordTokenizer::parse(&folder.require("tokenizer.json")?, &name, max_length)?;
    // As a check does: the model's own default prompt where none is named.
    let own = folder.prompts()?.map_or_else(String::new, |p| p.default_text().to_owned());
    let prompt = request.prompt.clone().unwrap_or(own);
    let skipped = match modules.include_prompt || prompt.is_empty() {
        true => 0,
        false => tokenizer.encode(&prompt)?.ids.len().saturating_sub(1),
    };
    let head = head.skipping(skipped);
    Ok(Side { prompt, encoder, head, tokenizer, hidden: config.hidden_size, weights })
}

fn stated_modules(folder: &ModelFolder) -> Result<SentenceModules, Error> {
    folder.sentence_modules()?.ok_or_else(|| {
        Error::BadInput(format!("{}: states no pooling (modules.json, 1_Pooling/config.json)", folder.shown()))
    })
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
