//! What a run is made of, on the shipped model: tokenization, opening both sides, and the whole check.
//! Needs the ONNX Runtime that `scripts/setup` brings.

#![allow(clippy::unwrap_used, missing_docs)]

use std::path::{Path, PathBuf};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use parallax::check::check;
use parallax::checkpoint::{ModelConfig, ModelFolder};
use parallax::observe::Silent;
use parallax::quantization::{Dequantization, load_candidate};
use parallax::runtimes::native::NativeEncoder;
use parallax::sides::{CheckRequest, open_sides};
use parallax::tokens::WordTokenizer;

/// Sentences checked.
const ROWS: u64 = 500;

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models")
}

fn request() -> CheckRequest {
    let mut request = CheckRequest::new(models().join("parallax-mini"), models().join("parallax-mini-mlx-8bit"));
    request.corpus.files = vec![models().join("corpus.txt")];
    request.corpus.limit = Some(ROWS);
    request
}

fn tokenization(c: &mut Criterion) {
    let bytes = std::fs::read(models().join("parallax-mini/tokenizer.json")).unwrap();
    let tokenizer = WordTokenizer::parse(&bytes, "tokenizer.json", 128).unwrap();
    let corpus = std::fs::read_to_string(models().join("corpus.txt")).unwrap();
    let lines: Vec<&str> = corpus.lines().take(ROWS as usize).collect();
    let mut group = c.benchmark_group("tokenization");
    group.throughput(Throughput::Elements(ROWS));
    group.bench_function("sentences", |b| b.iter(|| lines.iter().for_each(|l| drop(tokenizer.encode(l).unwrap()))));
    group.finish();
}

fn opening(c: &mut Criterion) {
    let mut group = c.benchmark_group("open");
    group.bench_function("candidate: read, dequantized, packed", |b| {
        b.iter(|| {
            let folder = ModelFolder::open(&models().join("parallax-mini-mlx-8bit")).unwrap();
            let config = ModelConfig::parse(&folder.require("config.json").unwrap(), "config.json").unwrap();
            let loaded = load_candidate(&folder, config.raw(), Dequantization::default()).unwrap();
            NativeEncoder::build(&config, &loaded.weights, "candidate").unwrap()
        });
    });
    group.bench_function("both sides", |b| b.iter(|| open_sides(&request(), &mut Silent).unwrap()));
    group.finish();
}

fn end_to_end(c: &mut Criterion) {
    let mut group = c.benchmark_group("check");
    group.sample_size(10).throughput(Throughput::Elements(ROWS));
    group.bench_function("sentences", |b| b.iter(|| check(&request(), &mut Silent).unwrap()));
    group.finish();
}

criterion_group!(benches, tokenization, opening, end_to_end);
criterion_main!(benches);
