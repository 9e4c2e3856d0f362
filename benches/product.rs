//! The matrix product at encoder shapes, beside a library's with its right side packed too. In floating-point
//! operations per second: criterion's "elements" are multiplications and additions.

#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use parallax::panels::Panels;
use parallax::runtimes::native::ops::{Rows, RowsMut, multiply};
use rten_gemm::{GemmExecutor, GemmInputA, GemmInputB, GemmOptions};
use rten_tensor::NdTensorView;

/// Tokens, outputs, inputs: MiniLM's layers for a short sentence and for a chunk, BERT-base's for a chunk.
const SHAPES: &[[usize; 3]] = &[
    [16, 1536, 384],
    [16, 384, 1536],
    [256, 1152, 384],
    [256, 1536, 384],
    [256, 384, 1536],
    [256, 384, 384],
    [256, 3072, 768],
    [256, 768, 3072],
    [256, 768, 768],
];

fn noise(n: usize) -> Vec<f32> {
    (0..n as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 24) as f32 - 0.5).collect()
}

fn products(c: &mut Criterion) {
    let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    for &[tokens, outputs, inputs] in SHAPES {
        let (left, right) = (noise(tokens * inputs), noise(outputs * inputs));
        let mut out = vec![0.0; tokens * outputs];
        let mut group = c.benchmark_group(format!("product {tokens}x{outputs}x{inputs}"));
        group.throughput(Throughput::Elements(2 * (tokens * outputs * inputs) as u64));
        let own = [Panels::of_rows(&right, inputs)];
        group.bench_function("own", |b| {
            b.iter(|| {
                let to = RowsMut::dense(&mut out, outputs).unwrap();
                multiply(Rows::dense(black_box(&left), inputs).unwrap(), &own, None, to).unwrap();
            });
        });
        let library = GemmExecutor::new();
        let view = NdTensorView::from_data_with_strides([inputs, outputs], right.as_slice(), [1, inputs]).unwrap();
        let packed = library.prepack_b(view);
        group.bench_function("rten-gemm", |b| {
            alone.install(|| {
                b.iter(|| {
                    let left = NdTensorView::from_data([tokens, inputs], black_box(left.as_slice()));
                    let (a, b) = (GemmInputA::Unpacked(left), GemmInputB::Packed(&packed));
                    library.gemm(&mut out, a, b, GemmOptions::default()).unwrap();
                });
            });
        });
    }
}

criterion_group!(benches, products);
criterion_main!(benches);
