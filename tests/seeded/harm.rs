//! What a planted fault does to a search, measured without the check: the sentence vectors that users of each side
//! would get from its files alone, and how many rows find another nearest neighbour.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use parallax::checkpoint::{ModelConfig, ModelFolder, PoolingMode, SentenceModules, Stage};
use parallax::hidden_states::{GraphOutput, OutputValues, RowId, RowSet, Tap};
use parallax::quantization::{Dequantization, load_candidate, load_float, load_stages};
use parallax::runtimes::Encoder;
use parallax::runtimes::native::{NativeEncoder, SentenceHead};
use parallax::runtimes::onnx::{
    Graph, OnnxEncoder, OnnxModel, Runtime, SessionOptions, TapEntry, TapHints, TapMap, find_taps, locate,
};
use parallax::tokens::{TokenBatch, WordTokenizer, plan_batches};

use super::models::Model;

type Any = Box<dyn std::error::Error>;
/// One vector per row.
type Vectors = Vec<Vec<f32>>;

/// Padded tokens per batch.
const BATCH: usize = 512;
/// Tokens per row at most where no file says.
const LENGTH: usize = 128;
/// What exports call their sentence vectors.
const SENTENCES: &[&str] = &["sentence_embedding", "sentence_embeddings", "text_embeds"];
/// Two neighbours this near to each other are equally near: float32 noise between two runs.
const TIE: f64 = 1e-6;

/// Measuring it takes both models once more: only for the table.
pub(crate) fn is_asked_for() -> bool {
    std::env::var_os("PARALLAX_FAULT_HARM").is_some()
}

/// The side in which nothing was planted: its vectors are the model's own, and measured once.
#[derive(Clone, Copy)]
pub(crate) enum Untouched {
    Reference(Model),
    Candidate(Model),
    Neither,
}

/// The vectors of an untouched side.
static KEPT: Mutex<BTreeMap<String, Vectors>> = Mutex::new(BTreeMap::new());

/// `vectors`, or those kept of the same side of the same model.
fn once(side: Option<String>, vectors: impl FnOnce() -> Result<Vectors, Any>) -> Result<Vectors, Any> {
    let Some(side) = side else { return vectors() };
    if let Some(kept) = KEPT.lock().unwrap().get(&side) {
        return Ok(kept.clone());
    }
    let vectors = vectors()?;
    KEPT.lock().unwrap().insert(side, vectors.clone());
    Ok(vectors)
}

/// `23 of 130 neighbours`, or why it could not be measured.
pub(crate) fn of(onnx: &Path, candidate: &Path, corpus: &str, untouched: Untouched) -> String {
    let [ours, theirs] = match untouched {
        Untouched::Reference(model) => [Some(format!("reference {}", model.name())), None],
        Untouched::Candidate(model) => [None, Some(format!("candidate {}", model.name()))],
        Untouched::Neither => [None, None],
    };
    let both = || -> Result<(usize, usize), Any> {
        let texts: Vec<&str> = corpus.lines().filter(|l| !l.trim().is_empty()).collect();
        let ours = once(ours, || reference_vectors(onnx, &texts))?;
        let theirs = once(theirs, || candidate_vectors(candidate, &texts))?;
        Ok((changed(&ours, &theirs), texts.len()))
    };
    match both() {
        Ok((changed, rows)) => format!("{changed} of {rows} neighbours"),
        Err(_) => "does not run".to_owned(),
    }
}

/// Rows whose nearest neighbour among the candidate's vectors is not as near among the reference's.
fn changed(ours: &Vectors, theirs: &Vectors) -> usize {
    let cosine = |v: &Vectors, i: usize, j: usize| {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
        dot(&v[i], &v[j]) / (dot(&v[i], &v[i]) * dot(&v[j], &v[j])).sqrt()
    };
    let nearest = |v: &Vectors, i: usize| {
        (0..v.len()).filter(|j| *j != i).max_by(|a, b| cosine(v, i, *a).total_cmp(&cosine(v, i, *b)))
    };
    let kept = |i: usize| match (nearest(ours, i), nearest(theirs, i)) {
        (Some(a), Some(b)) => cosine(ours, i, a) - cosine(ours, i, b) <= TIE && !cosine(theirs, i, b).is_nan(),
        _ => false,
    };
    (0..ours.len()).filter(|i| !kept(*i)).count()
}

/// Token ids of every text as this folder's own tokenizer gives them, with its own prompt, in batches.
fn batches(folder: &ModelFolder, texts: &[&str]) -> Result<Vec<TokenBatch>, Any> {
    let limit = folder.sentence_modules()?.and_then(|m| m.max_seq_length).unwrap_or(LENGTH);
    let tokenizer = WordTokenizer::parse(&folder.require("tokenizer.json")?, "tokenizer.json", limit)?;
    let prompt = folder.prompts()?.map_or(String::new(), |p| p.default_text().to_owned());
    let rows = texts.iter().map(|t| tokenizer.encode(&format!("{prompt}{t}"))).collect::<Result<Vec<_>, _>>()?;
    let lengths: Vec<usize> = rows.iter().map(|row| row.ids.len()).collect();
    let batch = |pick: &Vec<usize>| {
        let mut batch = TokenBatch::new();
        for &i in pick {
            batch.push(RowId { set: RowSet::Corpus, row: i as u64 }, &rows[i].ids, &rows[i].type_ids);
        }
        batch
    };
    Ok(plan_batches(&lengths, BATCH).iter().map(batch).collect())
}

fn modules(folder: &ModelFolder) -> Result<SentenceModules, Any> {
    let silent = || SentenceModules { stages: vec![Stage::Normalize], ..SentenceModules::of(PoolingMode::Mean) };
    Ok(folder.sentence_modules()?.unwrap_or_else(silent))
}

/// The sentence vectors of every batch, in the order of the texts.
fn collect(encoder: &dyn Encoder, head: &SentenceHead, batches: &[TokenBatch], rows: usize) -> Result<Vectors, Any> {
    let mut out = vec![Vec::new(); rows];
    for batch in batches {
        let states = encoder.encode(batch)?;
        let (_, sentences) = head.apply(states.get(Tap::Final).ok_or("no last states")?)?;
        (0..batch.rows()).for_each(|r| out[batch.row_id(r).row as usize] = sentences.row(r).to_vec());
    }
    Ok(out)
}

/// What the graph's own outputs give: its sentence vectors, else its hidden states pooled as the files say.
fn reference_vectors(onnx: &Path, texts: &[&str]) -> Result<Vectors, Any> {
    let runtime = Runtime::load(&locate(None)?)?;
    let (file, folder) = match onnx.is_dir() {
        true => (onnx.join("onnx/model.onnx"), onnx.to_owned()),
        false => (onnx.to_owned(), onnx.parent().ok_or("no folder")?.to_owned()),
    };
    let folder = ModelFolder::open(&folder)?;
    let model = OnnxModel::read(&file)?;
    let graph = Graph::new(&model)?;
    let map = find_taps(&graph, TapHints::default())?;
    let batches = batches(&folder, texts)?;
    let options = SessionOptions::default();
    let mut out = vec![Vec::new(); texts.len()];
    let whole = OnnxEncoder::open(&runtime, &model, &map, options)?;
    for batch in &batches {
        let states = whole.encode(batch)?;
        let sentences = |o: &&GraphOutput| SENTENCES.contains(&&*o.name);
        let Some(own) = states.returned().outputs.iter().find(sentences) else { break };
        let OutputValues::PerRow(own) = &own.values else { break };
        (0..batch.rows()).for_each(|r| out[batch.row_id(r).row as usize] = own.row(r).to_vec());
    }
    if out.iter().all(|row| !row.is_empty()) {
        return Ok(out);
    }
    let states = graph.outputs().first().ok_or("no output")?.name.clone();
    let own = TapEntry { tap: Tap::Final, tensor: states, evidence: String::new(), node: String::new() };
    let map = TapMap { entries: vec![own], middles: Vec::new(), ..map };
    let encoder = OnnxEncoder::open(&runtime, &model, &map, options)?;
    let config = ModelConfig::parse(&folder.require("config.json")?, "config.json")?;
    let modules = modules(&folder)?;
    let original = load_float(&folder)?;
    let stages =
        load_stages(&folder, &modules, &original.weights, &serde_json::Value::Null, Dequantization::default())?;
    let head = SentenceHead::with_weights(&modules, config.hidden_size, &stages)?;
    collect(&encoder, &head, &batches, texts.len())
}

/// What the candidate's own files give.
fn candidate_vectors(folder: &Path, texts: &[&str]) -> Result<Vectors, Any> {
    let folder = ModelFolder::open(folder)?;
    let config = ModelConfig::parse(&folder.require("config.json")?, "config.json")?;
    let loaded = load_candidate(&folder, config.raw(), Dequantization::default())?;
    let modules = modules(&folder)?;
    let stages = load_stages(&folder, &modules, &loaded.weights, config.raw(), Dequantization::default())?;
    let head = SentenceHead::with_weights(&modules, config.hidden_size, &stages)?;
    let encoder = Arc::new(NativeEncoder::build(&config, &loaded.weights, "the candidate")?);
    collect(&*encoder, &head, &batches(&folder, texts)?, texts.len())
}
