//! Dequantization: bytes of float32 written per second, for every number of bits and every type of scales.

#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use parallax::quantization::{Dequantization, Floats, MODES, Packed, Scales};

/// The feed-forward matrix of MiniLM.
const ROWS: usize = 1536;
const COLUMNS: usize = 384;

fn dequantization(c: &mut Criterion) {
    for mode in MODES {
        let mut group = c.benchmark_group(format!("dequantize/{}", mode.name));
        group.throughput(Throughput::Bytes((ROWS * COLUMNS * size_of::<f32>()) as u64));
        let group_size = mode.default_group_size;
        let scales = ROWS * COLUMNS / group_size;
        let bytes: Vec<u8> = (0..scales).map(|i| 112 + (i % 16) as u8).collect();
        let halves: Vec<u8> = (0..scales).flat_map(|_| 0x2800u16.to_le_bytes()).collect();
        let singles: Vec<u8> = (0..scales).flat_map(|_| 0.03f32.to_le_bytes()).collect();
        let affine = |scales| Scales::Affine { scales, biases: scales };
        let types = match mode.floats.is_none() {
            true => vec![
                ("f32", affine(Floats::F32(&singles))),
                ("f16", affine(Floats::F16(&halves))),
                ("bf16", affine(Floats::BF16(&halves))),
            ],
            false => vec![("u8", Scales::Bytes(&bytes))],
        };
        for &bits in mode.bits {
            let codes: Vec<u8> = (0..ROWS * COLUMNS * bits as usize / 8).map(|i| (i * 131 % 251) as u8).collect();
            for (name, scales) in &types {
                let (rows, cols, scales, effective) = (ROWS, COLUMNS, *scales, Dequantization::Dequantized);
                let packed = Packed { rows, cols, bits, group_size, codes: &codes, scales, effective };
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
