//! Against f64, on every instruction set of this machine.

use rten_simd::isa::GenericIsa;
use rten_simd::{Isa, SimdOp};

use super::super::testing::noise;
use super::multiply::Multiply;
use super::*;
use crate::panels::Panels;

/// Error over Σ|a·b|, the scale rounding works on. Measured 2.2e-7; without fused
/// multiply-adds 1.5e-7, on other values.
const MAX_ERROR: f64 = 5e-7;

/// The sum of products and the sum of their magnitudes, row by row.
fn exact(left: &[f32], right: &[f32], rows: usize, inner: usize, columns: usize) -> Vec<(f64, f64)> {
    let product = |r: usize, c: usize, k: usize| f64::from(left[r * inner + k]) * f64::from(right[c * inner + k]);
    let sums = |r, c| (0..inner).map(|k| product(r, c, k)).fold((0.0, 0.0), |(s, m), p| (s + p, m + p.abs()));
    (0..rows * columns).map(|i| sums(i / columns, i % columns)).collect()
}

fn product(left: &[f32], right: &Panels, bias: Option<&Bias>) -> Vec<f32> {
    let rows = left.len() / right.inner();
    let mut out = vec![f32::NAN; rows * right.columns()];
    let to = RowsMut::dense(&mut out, right.columns()).unwrap();
    multiply(Rows::dense(left, right.inner()).unwrap(), &[right], bias, to).unwrap();
    out
}

const SIZES: &[(usize, usize, usize)] = &[
    (1, 1, 1),
    (1, 64, 33),
    (2, 5, 16),
    (3, 7, 17),
    (7, 3, 5),
    (12, 64, 32),
    (13, 256, 64),
    (25, 257, 31),
    (70, 600, 97),
    (200, 1600, 33),
    (50, 400, 500),
];

#[test]
fn it_multiplies_for_awkward_sizes_and_every_row_is_what_it_is_alone() {
    let mut worst = 0.0_f64;
    for &(rows, inner, columns) in SIZES {
        let (left, right) = (noise(rows * inner, 1), noise(inner * columns, 2));
        let packed = Panels::of_rows(&right, inner);
        let out = product(&left, &packed, None);
        for (f, (sum, magnitude)) in out.iter().zip(exact(&left, &right, rows, inner, columns)) {
            worst = worst.max((f64::from(*f) - sum).abs() / magnitude);
        }
        for r in 0..rows {
            let alone = product(&left[r * inner..(r + 1) * inner], &packed, None);
            assert_eq!(alone, out[r * columns..(r + 1) * columns], "row {r} of {rows}×{inner}×{columns}");
        }
    }
    assert!(worst <= MAX_ERROR && worst > 0.0, "{worst:e}");
}

fn on<I: Isa>(isa: I, right: &Panels, left: Rows<'_>, out: &mut [f32]) {
    let out = RowsMut::dense(out, right.columns()).unwrap();
    Multiply { rights: &[right], left, bias: None, out, memory: &mut Vec::new() }.eval(isa);
}

/// Machines with fused multiply-adds agree to the bit; the portable twin rounds twice per step.
#[test]
fn every_instruction_set_gives_the_same_product() {
    let mut worst = 0.0_f64;
    for &(rows, inner, columns) in SIZES {
        let (left, right) = (noise(rows * inner, 3), noise(inner * columns, 4));
        let packed = Panels::of_rows(&right, inner);
        let out = product(&left, &packed, None);
        let mut portable = vec![f32::NAN; out.len()];
        let left = Rows::dense(&left, inner).unwrap();
        on(GenericIsa::new(), &packed, left, &mut portable);
        for (f, (sum, magnitude)) in portable.iter().zip(exact(left.values, &right, rows, inner, columns)) {
            worst = worst.max((f64::from(*f) - sum).abs() / magnitude);
        }
        #[cfg(target_arch = "x86_64")]
        if let (Some(isa), Some(_)) = (rten_simd::isa::Avx2Isa::new(), rten_simd::isa::Avx512Isa::new()) {
            let mut narrow = vec![f32::NAN; out.len()];
            on(isa, &packed, left, &mut narrow);
            assert_eq!(narrow, out, "{rows}×{inner}×{columns}");
        }
    }
    assert!(worst <= MAX_ERROR && worst > 0.0, "{worst:e}");
}

/// However the two sides lay in memory: the same bits, over one block of the inner dimension and over many.
#[test]
fn sides_that_lie_by_columns_give_the_same_product() {
    let turned = |values: &[f32], columns: usize| -> Vec<f32> {
        (0..values.len())
            .map(|i| values[i % (values.len() / columns) * columns + i / (values.len() / columns)])
            .collect()
    };
    let mut scratch = Panels::default();
    for &(rows, inner, columns) in SIZES {
        let (left, right) = (noise(rows * inner, 5), noise(inner * columns, 6));
        let wanted = product(&left, &Panels::of_rows(&right, inner), None);
        let (left, right) = (turned(&left, inner), turned(&right, inner));
        repack(&mut scratch, Rows::dense(&right, columns).unwrap());
        let mut out = vec![f32::NAN; wanted.len()];
        let to = RowsMut::dense(&mut out, columns).unwrap();
        multiply_transposed(Transposed(Rows::dense(&left, rows).unwrap()), &scratch, to).unwrap();
        assert_eq!(out, wanted, "{rows}×{inner}×{columns}");
    }
}

#[test]
fn bias_parts_strides_and_a_right_side_as_it_is() {
    // [1 2; 3 4] and [5 6], stored as rows of outputs
    let parts = [Panels::of_rows(&[1.0, 2.0, 3.0, 4.0], 2), Panels::of_rows(&[5.0, 6.0], 2)];
    let bias = Bias::new(&[&[100.0, 200.0], &[300.0]]);
    let mut out = [f32::NAN; 3];
    let to = RowsMut::dense(&mut out, 3).unwrap();
    multiply(Rows::dense(&[10.0, 1.0], 2).unwrap(), &parts, Some(&bias), to).unwrap();
    assert_eq!(out, [112.0, 234.0, 356.0]);

    // a left side that lies by columns
    let mut out = [f32::NAN; 2];
    let left = Transposed(Rows::strided(&[10.0, 7.0, 1.0], 2, 1, 2).unwrap());
    multiply_transposed(left, &parts[0], RowsMut::dense(&mut out, 2).unwrap()).unwrap();
    assert_eq!(out, [12.0, 34.0]);

    let mut scratch = Panels::default();
    let wide = noise(40 * 50, 5);
    repack_transposed(&mut scratch, Rows::dense(&wide, 50).unwrap());
    repack(&mut scratch, Rows::strided(&[1.0, 2.0, 9.0, 3.0, 4.0], 2, 2, 3).unwrap());
    let mut out = [f32::NAN; 5];
    let to = RowsMut::strided(&mut out, 2, 2, 3).unwrap();
    let left = Rows::strided(&[1.0, 0.0, 7.0, 0.0, 1.0], 2, 2, 3).unwrap();
    multiply(left, &[scratch], None, to).unwrap();
    assert_eq!((&out[..2], &out[3..]), (&[1.0, 2.0][..], &[3.0, 4.0][..]));
    assert!(out[2].is_nan(), "between the rows nothing is written");
}

/// Parts of any width side by side are what they are alone.
#[test]
fn parts_side_by_side_are_what_they_are_alone() {
    let (rows, inner, widths) = (29, 500, [16, 5, 70, 1]);
    let left = noise(rows * inner, 7);
    let parts = widths.map(|columns| Panels::of_rows(&noise(columns * inner, columns as u64), inner));
    let columns = widths.iter().sum();
    let mut out = vec![f32::NAN; rows * columns];
    let to = RowsMut::dense(&mut out, columns).unwrap();
    multiply(Rows::dense(&left, inner).unwrap(), &parts, None, to).unwrap();
    let mut first = 0;
    for part in &parts {
        let alone = product(&left, part, None);
        for (row, alone) in out.chunks(columns).zip(alone.chunks(part.columns())) {
            assert_eq!(&row[first..first + alone.len()], alone);
        }
        first += part.columns();
    }
}

#[test]
fn sizes_that_do_not_fit_are_errors() {
    let right = [Panels::of_rows(&[0.0; 6], 2)]; // three columns
    let run = |left: &[f32], inner, right: &[Panels], bias: Option<&Bias>, out: usize, columns| {
        let mut out = vec![0.0; out];
        multiply(Rows::dense(left, inner).unwrap(), right, bias, RowsMut::dense(&mut out, columns).unwrap())
    };
    run(&[0.0; 2], 2, &right, None, 3, 3).unwrap();
    assert!(run(&[0.0; 2], 2, &right, None, 4, 4).is_err());
    assert!(run(&[0.0; 2], 2, &right, None, 6, 3).is_err());
    assert!(run(&[0.0; 3], 3, &right, None, 3, 3).is_err());
    assert!(run(&[0.0; 2], 2, &[], None, 3, 3).is_err());
    assert!(run(&[0.0; 2], 2, &right, Some(&Bias::new(&[&[0.0; 4]])), 3, 3).is_err());
    assert!(run(&[], 1, &[Panels::default()], None, 0, 1).is_err());
    let mut out = [0.0; 3];
    let left = Transposed(Rows::dense(&[0.0; 3], 1).unwrap());
    assert!(multiply_transposed(left, &right[0], RowsMut::dense(&mut out, 3).unwrap()).is_err());
    assert!(Rows::dense(&[0.0; 5], 2).is_err());
    assert!(Rows::strided(&[0.0; 5], 2, 3, 3).is_err());
    assert!(Rows::strided(&[0.0; 5], 2, 3, 2).is_err());
    assert!(Rows::strided(&[0.0; 5], usize::MAX, 1, 3).is_err());
}
