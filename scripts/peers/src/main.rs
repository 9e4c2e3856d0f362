//! One contestant of scripts/bench_peers: loads a model once, then runs the cases that are asked for on stdin, one a
//! line, and answers each with the seconds it took.
//!
//! peers WHO MODEL_FOLDER CASES.json THREADS

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use parallax::checkpoint::{ModelConfig, ModelFolder};
use parallax::hidden_states::{RowId, RowSet};
use parallax::quantization::{Effective, load_candidate};
use parallax::runtimes::Encoder;
use parallax::runtimes::native::NativeEncoder;
use parallax::runtimes::onnx::{Graph, OnnxEncoder, OnnxModel, Runtime, SessionOptions, TapHints, find_taps, locate};
use parallax::tokens::TokenBatch;
use rayon::prelude::*;

/// Rows of token ids.
type Batch = Vec<Vec<u32>>;

/// Runs a batch, and throws the result away.
type Run = Box<dyn Fn(&Batch) -> Result<()> + Sync + Send>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [who, folder, cases, threads] = &arguments[..] else { bail!("peers WHO MODEL_FOLDER CASES.json THREADS") };
    let threads: usize = threads.parse()?;
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    let cases: BTreeMap<String, Vec<Batch>> = serde_json::from_slice(&std::fs::read(cases)?)?;
    let folder = Path::new(folder);
    if who == "peak" {
        return peak(threads);
    }
    let started = Instant::now();
    let run: Run = match who.as_str() {
        "own" => own(folder)?,
        "ort" => ort(folder, threads)?,
        "rten" => rten(folder)?,
        "tract" => tract(folder)?,
        "candle" => candle(folder)?,
        _ => bail!("unknown contestant {who}"),
    };
    let mut out = std::io::stdout().lock();
    writeln!(out, "loaded {:.6}", started.elapsed().as_secs_f64())?;
    out.flush()?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let batches = cases.get(line.trim()).with_context(|| format!("no case {line}"))?;
        let started = Instant::now();
        if batches.len() == 1 {
            run(&batches[0])?;
        } else if who == "candle" || who == "rten" {
            // Threads of their own within a batch.
            batches.iter().try_for_each(&run)?;
        } else {
            batches.par_iter().with_max_len(1).try_for_each(&run)?;
        }
        writeln!(out, "{:.6}", started.elapsed().as_secs_f64())?;
        out.flush()?;
    }
    Ok(())
}

/// Multiply-adds that wait for nothing, on every thread: what the cores can do at most. Answers in seconds per 10⁹
/// floating-point operations of one thread.
struct Peak;

impl rten_simd::SimdOp for Peak {
    type Output = f64;

    #[inline(always)]
    fn eval<I: rten_simd::Isa>(self, isa: I) -> f64 {
        use rten_simd::ops::{BitOps, NumOps};
        const STEPS: usize = 4_000_000;
        const SUMS: usize = 12; // with the two factors they fit the 16 registers of AVX2
        let ops = isa.f32();
        let (x, y) = (ops.splat(std::hint::black_box(0.999_999)), ops.splat(std::hint::black_box(1e-6)));
        let mut sums = [ops.zero(); SUMS];
        let started = Instant::now();
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = ops.mul_add(x, *sum, y);
            }
        }
        let seconds = started.elapsed().as_secs_f64();
        std::hint::black_box(sums.map(|s| ops.sum(s)));
        seconds * 1e9 / (STEPS * SUMS * ops.len() * 2) as f64
    }
}

fn peak(threads: usize) -> Result<()> {
    use rten_simd::SimdOp;
    println!("loaded 0");
    for line in std::io::stdin().lock().lines() {
        line?;
        let each: Vec<f64> = (0..threads).into_par_iter().with_max_len(1).map(|_| Peak.dispatch()).collect();
        println!("{:.9}", each.iter().sum::<f64>() / each.len() as f64);
        std::io::stdout().flush()?;
    }
    Ok(())
}

fn rows(batch: &Batch) -> TokenBatch {
    let mut rows = TokenBatch::new();
    for (r, ids) in batch.iter().enumerate() {
        rows.push(RowId { set: RowSet::Corpus, row: r as u64 }, ids, &vec![0; ids.len()]);
    }
    rows
}

/// Right-padded ids, mask and types: `[rows, longest]`.
fn padded(batch: &Batch) -> ([usize; 2], [Vec<i64>; 3]) {
    let longest = batch.iter().map(Vec::len).max().unwrap_or(0);
    let fill = |f: &dyn Fn(&[u32], usize) -> i64| {
        batch.iter().flat_map(|row| (0..longest).map(|t| f(row, t)).collect::<Vec<_>>()).collect()
    };
    let ids = fill(&|row, t| row.get(t).map_or(0, |id| i64::from(*id)));
    let mask = fill(&|row, t| i64::from(t < row.len()));
    ([batch.len(), longest], [ids, mask, vec![0; batch.len() * longest]])
}

fn own(folder: &Path) -> Result<Run> {
    let folder = ModelFolder::open(folder)?;
    let config = ModelConfig::parse(&folder.require("config.json")?, "config.json")?;
    let encoder = NativeEncoder::build(&config, &load_candidate(&folder, config.raw(), Effective::default())?.weights, "the model")?;
    Ok(Box::new(move |batch| Ok(drop(encoder.encode(&rows(batch))?))))
}

/// With every tap, as parallax runs it.
fn ort(folder: &Path, threads: usize) -> Result<Run> {
    let runtime = Runtime::load(&locate(None)?)?;
    let model = OnnxModel::read(&folder.join("onnx/model.onnx"))?;
    let graph = Graph::new(&model)?;
    let mut map = find_taps(&graph, TapHints::default())?;
    map.middles.clear();
    let options = SessionOptions { sessions: threads, ..SessionOptions::default() };
    let encoder = OnnxEncoder::open(&runtime, &model, &map, options)?;
    Ok(Box::new(move |batch| Ok(drop(encoder.encode(&rows(batch))?))))
}

fn rten(folder: &Path) -> Result<Run> {
    use rten_tensor::NdTensor;
    let mut options = rten::ModelOptions::with_all_ops();
    options.prepack_weights(true);
    let model = options.load_file(folder.join("onnx/model.onnx"))?;
    let inputs = ["input_ids", "attention_mask", "token_type_ids"];
    let inputs = inputs.map(|name| model.node_id(name).ok());
    let output = *model.output_ids().first().context("no outputs")?;
    Ok(Box::new(move |batch| {
        let (shape, tensors) = padded(batch);
        let mut values = Vec::new();
        for (id, tensor) in inputs.iter().zip(tensors) {
            if let Some(id) = id {
                let tensor: Vec<i32> = tensor.into_iter().map(|v| v as i32).collect();
                values.push((*id, NdTensor::from_data(shape, tensor).into()));
            }
        }
        drop(model.run(values, &[output], None)?);
        Ok(())
    }))
}

/// A plan for every shape: it does not follow this graph's shapes while they are symbols.
fn tract(folder: &Path) -> Result<Run> {
    use tract_onnx::prelude::*;
    let named = |e: TractError| anyhow!("{e}");
    let file = folder.join("onnx/plain.onnx");
    if std::fs::metadata(&file)?.len() > 200 << 20 {
        bail!("a plan per shape, with weights of its own, would fill the memory");
    }
    let model = tract_onnx::onnx().model_for_path(file).map_err(named)?;
    let plan = move |shape: [usize; 2]| {
        let mut model = model.clone();
        for input in 0..3 {
            model = model.with_input_fact(input, i64::fact(shape).into())?;
        }
        for output in model.output_outlets()?.to_vec() {
            model.set_outlet_fact(output, InferenceFact::default())?;
        }
        model.into_optimized()?.into_runnable()
    };
    plan([1, 16]).map_err(named)?;
    let plans = std::sync::Mutex::new(BTreeMap::new());
    Ok(Box::new(move |batch| {
        let (shape, tensors) = padded(batch);
        let known = plans.lock().map_err(|e| anyhow!("{e}"))?.get(&shape).cloned();
        let runnable = match known {
            Some(runnable) => runnable,
            None => {
                let new = plan(shape).map_err(named)?;
                plans.lock().map_err(|e| anyhow!("{e}"))?.insert(shape, new.clone());
                new
            }
        };
        let mut inputs = TVec::new();
        for tensor in tensors {
            inputs.push(Tensor::from_shape(&shape, &tensor).map_err(named)?.into_tvalue());
        }
        drop(runnable.run(inputs).map_err(named)?);
        Ok(())
    }))
}

fn candle(folder: &Path) -> Result<Run> {
    use candle_core::{DType, Device, Tensor};
    use candle_transformers::models::bert::{BertModel, Config};
    let config: Config = serde_json::from_slice(&std::fs::read(folder.join("config.json"))?)?;
    let bytes = std::fs::read(folder.join("model.safetensors"))?;
    let vars = candle_nn::VarBuilder::from_buffered_safetensors(bytes, DType::F32, &Device::Cpu)?;
    let model = BertModel::load(vars, &config)?;
    Ok(Box::new(move |batch| {
        let (shape, [ids, mask, types]) = padded(batch);
        let tensor = |values: Vec<i64>| Tensor::from_vec(values, (shape[0], shape[1]), &Device::Cpu);
        drop(model.forward(&tensor(ids)?, &tensor(types)?, Some(&tensor(mask)?))?);
        Ok(())
    }))
}
