//! Dequantization: bytes of float32 written per second, for every number of bits and every type of scales.

#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use parallax::quantization::{Floats, MODES, Packed};

/// The feed-forward matrix of MiniLM.
const ROWS: usize = 1536;
const COLUMNS: usize = 384;
const GROUP: usize = 64;

fn dequantization(c: &mut Criterion) {
    for mode in MODES {
        let mut group = c.benchmark_group(format!("dequantize/{}", mode.name));
        group.throughput(Throughput::Bytes((ROWS * COLUMNS * size_of::<f32>()) as u64));
        for &bits in mode.bits {
            let codes: Vec<u8> = (0..ROWS * COLUMNS * bits as usize / 8).map(|i| (i * 131 % 251) as u8).collect();
            let halves: Vec<u8> = (0..ROWS * COLUMNS / GROUP).flat_map(|_| 0x2800u16.to_le_bytes()).collect();
            let singles: Vec<u8> = (0..ROWS * COLUMNS / GROUP).flat_map(|_| 0.03f32.to_le_bytes()).collect();
            let types =
                [("f32", Floats::F32(&singles)), ("f16", Floats::F16(&halves)), ("bf16", Floats::BF16(&halves))];
            for (name, scales) in types {
                let packed = Packed {
                    rows: ROWS,
                    cols: COLUMNS,
                    bits,
                    group_size: GROUP,
                    codes: &codes,
                    scales,
                    biases: scales,
                };
                let mut out = vec![0.0; ROWS * COLUMNS];
                let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
                group.bench_function(BenchmarkId::new(format!("{bits} bits"), name), |b| {
                    b.iter(|| pool.install(|| mode.dequantize(black_box(&packed), &mut out)));
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, dequantization);
criterion_main!(benches);
