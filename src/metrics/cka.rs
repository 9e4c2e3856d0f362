//! `cka`: linear centred kernel alignment, how alike the two sides arrange the tokens of a row among each other. 1 is the
//! same arrangement up to rotation and scale, 0 is none in common: it tells a layer that is turned or rescaled as a
//! whole (1) from one whose tokens have moved.
//!
//! Kornblith et al. 2019 (arXiv:1905.00414) over minibatches as in Nguyen et al. 2021 (arXiv:2010.15327, equations 3
//! and 4). A minibatch is a row, so that sums merge in any order, and HSIC is the unbiased estimator: the inner product of
//! U-centred Gram matrices (Székely and Rizzo 2014, arXiv:1310.2926), which keeps the result within -1 and 1.

use super::fused::dot;

/// HSIC is defined from this many tokens on.
const FEWEST: usize = 4;
/// More tokens of a row are left out, evenly: the work grows with their square. 16 are 120 products of two states a side;
/// counted, not timed.
const MOST: usize = 16;

/// Σ⟨A, B⟩, Σ⟨A, A⟩ and Σ⟨B, B⟩ of the U-centred Gram matrices of a row's two sides, `[tokens, hidden]` each.
pub(super) fn of_row(reference: &[f32], candidate: &[f32], hidden: usize) -> Option<[f64; 3]> {
    let tokens = reference.len() / hidden.max(1);
    let n = tokens.min(MOST);
    if n < FEWEST {
        return None;
    }
    let picked: Vec<usize> = (0..n).map(|i| i * tokens / n).collect();
    let (a, b) = (centred(reference, hidden, &picked), centred(candidate, hidden, &picked));
    let pairs = (n * (n - 3)) as f64;
    let inner = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>() / pairs;
    Some([inner(&a, &b), inner(&a, &a), inner(&b, &b)])
}

/// HSIC of both sides over the geometric mean of HSIC of each with itself.
pub(super) fn of([both, reference, candidate]: [f64; 3]) -> f64 {
    both / (reference.sqrt() * candidate.sqrt())
}

/// The Gram matrix of the picked tokens, U-centred, `[n, n]`: without its diagonal, rows and columns sum to 0.
fn centred(states: &[f32], hidden: usize, picked: &[usize]) -> Vec<f64> {
    let n = picked.len();
    let token = |i: usize| &states[picked[i] * hidden..][..hidden];
    let mut gram = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..i {
            let similar = dot(token(i), token(j));
            (gram[i * n + j], gram[j * n + i]) = (similar, similar);
        }
    }
    let rows: Vec<f64> = gram.chunks_exact(n).map(|row| row.iter().sum()).collect();
    let all: f64 = rows.iter().sum::<f64>() / ((n - 1) * (n - 2)) as f64;
    for i in 0..n {
        for j in 0..n {
            let shift = (rows[i] + rows[j]) / (n - 2) as f64 - all;
            gram[i * n + j] = if i == j { 0.0 } else { gram[i * n + j] - shift };
        }
    }
    gram
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers between -1 and 1 that know nothing of each other.
    fn noise(n: usize, mut seed: u64) -> Vec<f32> {
        let next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 40) as f32 / 8_388_608.0 - 1.0
        };
        std::iter::repeat_with(next).take(n).collect()
    }

    fn cka(reference: &[f32], candidate: &[f32], hidden: usize) -> f64 {
        of(of_row(reference, candidate, hidden).unwrap())
    }

    #[test]
    fn hsic_is_the_unbiased_estimator() {
        // Song et al. 2012, equation 5, on Gram matrices without their diagonals.
        let (n, hidden) = (7, 5);
        let (r, c) = (noise(n * hidden, 1), noise(n * hidden, 2));
        let gram = |x: &[f32]| {
            let k = |i: usize, j: usize| dot(&x[i * hidden..][..hidden], &x[j * hidden..][..hidden]);
            (0..n * n).map(|at| if at / n == at % n { 0.0 } else { k(at / n, at % n) }).collect::<Vec<f64>>()
        };
        let (k, l) = (gram(&r), gram(&c));
        let trace: f64 = k.iter().zip(&l).map(|(a, b)| a * b).sum();
        let sums = |m: &[f64]| m.chunks_exact(n).map(|row| row.iter().sum()).collect::<Vec<f64>>();
        let (ks, ls) = (sums(&k), sums(&l));
        let between: f64 = ks.iter().zip(&ls).map(|(a, b)| a * b).sum();
        let (n, all) = (n as f64, ks.iter().sum::<f64>() * ls.iter().sum::<f64>());
        let expected = (trace + all / ((n - 1.0) * (n - 2.0)) - 2.0 * between / (n - 2.0)) / (n * (n - 3.0));
        assert!((of_row(&r, &c, hidden).unwrap()[0] - expected).abs() < 1e-12 * expected.abs().max(1.0));
    }

    #[test]
    fn rotation_and_scale_change_nothing_and_strangers_have_nothing_in_common() {
        let (tokens, hidden) = (12, 64);
        let states = noise(tokens * hidden, 3);
        assert!((cka(&states, &states, hidden) - 1.0).abs() < 1e-12);
        let turned: Vec<f32> =
            states.chunks_exact(hidden).flat_map(|t| t.iter().rev().map(|x| -3.0 * x).collect::<Vec<_>>()).collect();
        assert!((cka(&states, &turned, hidden) - 1.0).abs() < 1e-12);
        // The mean over 200 strangers: a biased estimator would not come near 0 with 12 tokens of 64 dimensions.
        let mean = (0..200).map(|s| cka(&states, &noise(tokens * hidden, 100 + s), hidden)).sum::<f64>() / 200.0;
        assert!(mean.abs() < 0.05, "{mean}");
        // Two tokens that changed places are seen, though every token's own error is small elsewhere.
        let mut moved = states.clone();
        moved[..hidden].copy_from_slice(&states[hidden..2 * hidden]);
        moved[hidden..2 * hidden].copy_from_slice(&states[..hidden]);
        assert!(cka(&states, &moved, hidden) < 0.9);
    }

    #[test]
    fn short_rows_say_nothing_and_long_ones_are_thinned_evenly() {
        let hidden = 8;
        assert!(of_row(&noise(3 * hidden, 1), &noise(3 * hidden, 2), hidden).is_none());
        let long = noise(1000 * hidden, 1);
        let picked: Vec<f32> = (0..MOST).flat_map(|i| long[i * 1000 / MOST * hidden..][..hidden].to_vec()).collect();
        assert_eq!(of_row(&long, &long, hidden), of_row(&picked, &picked, hidden));
    }

    #[test]
    fn what_is_no_number_or_has_no_arrangement_is_no_number() {
        let hidden = 8;
        let good = noise(6 * hidden, 1);
        let mut bad = good.clone();
        bad[9] = f32::NAN;
        assert!(cka(&good, &bad, hidden).is_nan());
        assert!(cka(&good, &vec![0.0; 6 * hidden], hidden).is_nan());
    }
}
