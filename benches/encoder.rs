//! The native encoder at MiniLM's size (6 layers, width 384, inner 1536), on noise weights.

#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use parallax::checkpoint::{ModelConfig, Storage, Weight, WeightSet};
use parallax::hidden_states::{RowId, RowSet};
use parallax::panels::Panels;
use parallax::runtimes::Encoder;
use parallax::runtimes::native::ops::{
    AttentionScratch, Heads, LayerNorm, PackedLinear, Scoring, attention, gelu, softmax,
};
use parallax::runtimes::native::{Architecture, NativeEncoder};
use parallax::tokens::TokenBatch;

const CONFIG: &str = r#"{"model_type": "bert", "hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12,
    "intermediate_size": 1536, "vocab_size": 1000, "max_position_embeddings": 512, "type_vocab_size": 2}"#;
const HIDDEN: usize = 384;
const INNER: usize = 1536;
/// Rows × tokens: one short sentence, a small batch, a full one.
const BATCHES: &[(usize, usize)] = &[(1, 16), (8, 64), (32, 128)];

/// Values without structure in [-0.05, 0.05], like trained weights.
fn noise(n: usize) -> Vec<f32> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * 0.05
    };
    (0..n).map(|_| next()).collect()
}

fn encoder() -> NativeEncoder {
    let config = ModelConfig::parse(CONFIG.as_bytes(), "config.json").unwrap();
    let parameters = (Architecture::of(&config, "noise").unwrap().parameters)(&config);
    let storage =
        Storage { dtype: "F32".into(), mode: None, bits: None, group_size: None, bytes: 0, file: "noise".into() };
    let weight = |name: &str, shape: Vec<usize>| {
        let values = noise(shape.iter().product());
        Weight::new(name, shape, values, storage.clone())
    };
    let tensors: BTreeMap<_, _> = parameters.into_iter().map(|p| (p.name.clone(), weight(&p.name, p.shape))).collect();
    NativeEncoder::build(&config, &WeightSet::new("noise", tensors).unwrap(), "noise").unwrap()
}

fn batch(rows: usize, tokens: usize) -> TokenBatch {
    let mut batch = TokenBatch::new();
    for row in 0..rows {
        let ids: Vec<u32> = (0..tokens).map(|t| ((row * 31 + t * 7) % 1000) as u32).collect();
        batch.push(RowId { set: RowSet::Corpus, row: row as u64 }, &ids, &vec![0; tokens]);
    }
    batch
}

/// On one thread, so that figures compare across machines.
fn alone<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(f)
}

fn forward(c: &mut Criterion) {
    let mut group = c.benchmark_group("forward");
    let encoder = encoder();
    for (rows, tokens) in BATCHES {
        let batch = batch(*rows, *tokens);
        group.throughput(Throughput::Elements(batch.tokens() as u64));
        group.bench_function(BenchmarkId::from_parameter(format!("{rows}x{tokens}")), |b| {
            alone(|| b.iter(|| encoder.encode(black_box(&batch)).unwrap()));
        });
    }
}

fn ops(c: &mut Criterion) {
    let mut group = c.benchmark_group("ops");
    const TOKENS: usize = 256;
    let inner = noise(TOKENS * INNER);
    let hidden = noise(TOKENS * HIDDEN);
    let mut out = inner.clone();
    group.bench_function("gelu 256x1536", |b| {
        b.iter(|| {
            out.copy_from_slice(&inner);
            gelu(black_box(&mut out));
        });
    });
    group.bench_function("softmax 1536 keys of 256 queries", |b| {
        b.iter(|| {
            out.copy_from_slice(&inner);
            softmax(black_box(&mut out), TOKENS, 0.2);
        });
    });
    let norm = LayerNorm::new(noise(HIDDEN), noise(HIDDEN), 1e-12);
    let mut states = hidden.clone();
    group.bench_function("layer norm 256x384", |b| {
        b.iter(|| {
            states.copy_from_slice(&hidden);
            norm.apply(black_box(&mut states));
        });
    });
    let heads = Heads::own(12, 32);
    let projected = noise(TOKENS * 3 * HIDDEN);
    let mut scratch = AttentionScratch::default();
    for rows in [1, 8] {
        let offsets: Vec<usize> = (0..=rows).map(|r| r * TOKENS / rows).collect();
        group.bench_function(format!("attention {rows}x{}", TOKENS / rows), |b| {
            b.iter(|| {
                attention(black_box(&projected), &offsets, heads, Scoring::plain(32), &mut scratch, &mut states)
                    .unwrap()
            });
        });
    }
    let linear =
        PackedLinear::new(vec![(Arc::new(Panels::of_rows(&noise(INNER * HIDDEN), HIDDEN)), &noise(INNER))]).unwrap();
    group.bench_function("linear 256x384 to 1536", |b| {
        b.iter(|| linear.apply(black_box(&hidden), &mut out).unwrap());
    });
}

criterion_group!(benches, forward, ops);
criterion_main!(benches);
