//! Softmax over the keys, for many queries side by side.

use rten_simd::ops::{BitOps, NumOps};
use rten_simd::{Isa, SimdOp};

use super::exp_up_to_88;

/// Keys whose powers are added up in float32 before the sum goes on: the rounding of a long row's total grows with
/// this number and the number of such sums, not with their product.
const KEYS_AT_ONCE: usize = 16;
/// Vectors side by side that go through together: whole cache lines, and what is kept of each stays near.
const VECTORS: usize = 16;

/// e^(scale·(x − max)) / Σ e^(scale·(x − max)) down each column, in place, for scale > 0; a NaN or +∞ anywhere makes
/// its whole column NaN.
///
/// `scores` is `[keys, queries]`: with the queries side by side every step is vector work and nothing is summed
/// across a vector. It is fastest where the queries fill whole vectors. Values behind the last whole row are left alone.
pub fn softmax(scores: &mut [f32], queries: usize, scale: f32) {
    if queries > 0 {
        Softmax { scores, queries, scale }.dispatch();
    }
}

struct Softmax<'a> {
    scores: &'a mut [f32],
    queries: usize,
    scale: f32,
}

impl SimdOp for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let lanes = isa.f32().len();
        let mut at = 0;
        while at + lanes <= self.queries {
            let vectors = ((self.queries - at) / lanes).min(VECTORS);
            columns(isa, self.scores, self.queries, at, vectors, self.scale);
            at += vectors * lanes;
        }
        if at < self.queries {
            // The last few queries, with columns of zeros beside them.
            let keys = self.scores.len() / self.queries;
            let rest = at..self.queries;
            let mut wide = vec![0.0; keys * lanes];
            let rows = self.scores.chunks_exact(self.queries);
            wide.chunks_exact_mut(lanes).zip(rows).for_each(|(w, r)| w[..rest.len()].copy_from_slice(&r[rest.clone()]));
            columns(isa, &mut wide, lanes, 0, 1, self.scale);
            let rows = self.scores.chunks_exact_mut(self.queries);
            wide.chunks_exact(lanes).zip(rows).for_each(|(w, r)| r[rest.clone()].copy_from_slice(&w[..rest.len()]));
        }
    }
}

/// Some vectors of columns, from column `at` on, row by row: memory is read in the order in which it lies.
#[inline(always)]
fn columns<I: Isa>(isa: I, scores: &mut [f32], stride: usize, at: usize, vectors: usize, scale: f32) {
    let ops = isa.f32();
    let lanes = ops.len();
    let (vectors, width) = (vectors.min(VECTORS), vectors.min(VECTORS) * lanes);
    let mut max = [ops.splat(f32::NEG_INFINITY); VECTORS];
    for row in scores.chunks_exact(stride) {
        for (max, x) in max.iter_mut().zip(row[at..at + width].chunks_exact(lanes)) {
            // A NaN may be lost here; its own power brings it back.
            *max = ops.max(*max, ops.load(x));
        }
    }
    let scale = ops.splat(scale);
    let mut total = [ops.zero(); VECTORS];
    for block in scores.chunks_mut(stride * KEYS_AT_ONCE) {
        let mut sum = [ops.zero(); VECTORS];
        for row in block.chunks_exact_mut(stride) {
            let vectors = row[at..at + width].chunks_exact_mut(lanes).zip(&max).zip(&mut sum);
            for ((x, max), sum) in vectors {
                // ∞ − ∞ is NaN, which is what a column with +∞ deserves.
                let power = exp_up_to_88(isa, ops.mul(ops.sub(ops.load(x), *max), scale));
                ops.store(power, x);
                *sum = ops.add(*sum, power);
            }
        }
        for (total, sum) in total.iter_mut().zip(&sum).take(vectors) {
            *total = ops.add(*total, *sum);
        }
    }
    for total in total.iter_mut().take(vectors) {
        *total = rten_simd::ops::FloatOps::div(ops, ops.one(), *total);
    }
    for row in scores.chunks_exact_mut(stride) {
        for (x, inverse) in row[at..at + width].chunks_exact_mut(lanes).zip(&total) {
            ops.store(ops.mul(ops.load(x), *inverse), x);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::noise;
    use super::*;

    /// Measured 2.9e-7 relative at most over columns of 1 to 1,000 keys.
    const MAX_RELATIVE: f64 = 6e-7;

    #[test]
    fn it_matches_f64_and_sums_to_one() {
        let mut worst = 0.0_f64;
        for (keys, queries) in [(1, 1), (2, 3), (7, 16), (8, 17), (9, 33), (64, 5), (1000, 2)] {
            for (spread, scale) in [(0.1, 1.0), (5.0, 0.125), (40.0, 1.0)] {
                let scores: Vec<f32> = noise(keys * queries, keys as u64).iter().map(|x| x * spread).collect();
                let mut found = scores.clone();
                softmax(&mut found, queries, scale);
                for q in 0..queries {
                    let column = |m: &[f32]| m.iter().skip(q).step_by(queries).copied().collect::<Vec<f32>>();
                    // scale·(x − max) is rounded to float32 on both sides: that rounding belongs to the scores
                    let (x, found) = (column(&scores), column(&found));
                    let max = x.iter().fold(f32::MIN, |m, x| m.max(*x));
                    let powers: Vec<f64> = x.iter().map(|x| f64::from((x - max) * scale).exp()).collect();
                    let total: f64 = powers.iter().sum();
                    for (power, f) in powers.iter().zip(&found) {
                        worst = worst.max((f64::from(*f) - power / total).abs() / (power / total));
                    }
                    let sum: f64 = found.iter().map(|x| f64::from(*x)).sum();
                    assert!((sum - 1.0).abs() < 1e-6, "{sum}");
                }
            }
        }
        assert!(worst <= MAX_RELATIVE && worst > 6e-8, "{worst:e}");
    }

    #[test]
    fn a_query_is_what_it_is_alone() {
        let (keys, queries) = (37, 21);
        let scores = noise(keys * queries, 9);
        let mut all = scores.clone();
        softmax(&mut all, queries, 0.3);
        for q in 0..queries {
            let mut one: Vec<f32> = scores.iter().skip(q).step_by(queries).copied().collect();
            softmax(&mut one, 1, 0.3);
            assert_eq!(one, all.iter().skip(q).step_by(queries).copied().collect::<Vec<f32>>(), "{q}");
        }
    }

    #[test]
    fn extremes_and_non_finite_scores() {
        let mut column = [0.0, -1e30, 1e30];
        softmax(&mut column, 1, 1.0);
        assert_eq!(column, [0.0, 0.0, 1.0]);
        let mut one = [f32::MIN];
        softmax(&mut one, 1, 1.0);
        assert_eq!(one, [1.0]);
        for bad in [f32::NAN, f32::INFINITY] {
            let mut columns = [0.0, 5.0, bad, 5.0, 1.0, 5.0];
            softmax(&mut columns, 2, 1.0);
            assert!(columns.iter().step_by(2).all(|x| x.is_nan()), "{bad}: {columns:?}");
            assert!(columns.iter().skip(1).step_by(2).all(|x| (x - 1.0 / 3.0).abs() < 1e-6), "{columns:?}");
        }
        softmax(&mut [], 1, 1.0);
        softmax(&mut [1.0], 0, 1.0);
    }
}
