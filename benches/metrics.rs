//! Metrics per token: the fused pass alone, and with summaries. One token is two vectors of f32.
#![allow(clippy::expect_used, missing_docs)] // the setup; the macros of criterion

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use parallax::hidden_states::{Arm, RowId, RowSet, Tap};
use parallax::metrics::{ExactSum, Mode, Scale, TapAccumulator, TokenSums};

const TOKENS: usize = 256;

fn states(hidden: usize, seed: u32) -> Vec<f32> {
    let mut x = seed;
    let next = |_| {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        x as f32 / u32::MAX as f32 - 0.5
    };
    (0..TOKENS * hidden).map(next).collect()
}

fn benches(criterion: &mut Criterion) {
    for hidden in [384, 1024] {
        let reference = states(hidden, 1);
        let candidate: Vec<f32> = reference.iter().zip(states(hidden, 2)).map(|(r, n)| r + 0.05 * n).collect();
        let std: Arc<[f64]> = vec![0.3; hidden].into();
        let scale = Scale::new(Arc::clone(&std)).expect("a usable scale");
        let mut group = criterion.benchmark_group(format!("metrics/{hidden}"));
        group.throughput(Throughput::Elements(TOKENS as u64));
        for (name, scale) in [("fused", None), ("fused with scale", Some(&scale))] {
            group.bench_function(name, |b| {
                b.iter(|| {
                    for (r, c) in reference.chunks_exact(hidden).zip(candidate.chunks_exact(hidden)) {
                        black_box(TokenSums::of(black_box(r), black_box(c), scale));
                    }
                });
            });
        }
        for (name, std) in [("summary", None), ("summary with scale", Some(std))] {
            let mut tap = TapAccumulator::new(Tap::Final, Arm::Total, Mode::Accumulated, std);
            let row = RowId { set: RowSet::Corpus, row: 0 };
            group.bench_function(name, |b| b.iter(|| tap.add_row(row, &reference, &candidate, hidden)));
        }
        group.finish();
    }
    let mut group = criterion.benchmark_group("exact sum");
    let values: Vec<f64> = states(1, 3).into_iter().map(f64::from).collect();
    group.throughput(Throughput::Elements(values.len() as u64));
    let mut sum = ExactSum::new();
    group.bench_function("add", |b| b.iter(|| values.iter().for_each(|v| sum.add(*v))));
    group.finish();
}

criterion_group!(metrics, benches);
criterion_main!(metrics);
