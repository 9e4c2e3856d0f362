//! Do the errors of a matrix point one way? Rounding leaves noise: each weight errs on its own account. Who chooses which
//! weights to round up and which down, so that some sentences lose their meaning, stays within a step everywhere and in
//! every mean; but the errors then add up along one direction, and the largest singular value of their matrix tells.

use crate::metrics::fused;

/// Steps of the power iteration. White noise has many nearly equal singular values, of which it finds a mean of the
/// largest; one that stands out is found in a few steps. Both matrices are treated alike, so that the ratio is fair.
const STEPS: usize = 24;

/// Rows and columns from which on a matrix has enough directions for one to stand out.
const LEAST: usize = 16;

/// The largest singular value of the candidate's errors over their root mean square, and that over the same of the
/// twin's errors: 1 where both are noise. All are row by row, `cols` wide. None where one of them does not err, or is too small to tell.
pub(super) fn coherence(original: &[f32], candidate: &[f32], twin: &[f32], cols: usize) -> Option<f64> {
    let errors = |of: &[f32]| -> Vec<f32> { of.iter().zip(original).map(|(a, b)| a - b).collect() };
    let (own, honest) = (standing_out(&errors(candidate), cols)?, standing_out(&errors(twin), cols)?);
    Some(own / honest)
}

/// The largest singular value over the root mean square.
fn standing_out(errors: &[f32], cols: usize) -> Option<f64> {
    let squares: f64 = errors.iter().map(|e| f64::from(*e).powi(2)).sum();
    if cols < LEAST || errors.len() < LEAST * cols || squares == 0.0 || !squares.is_finite() {
        return None;
    }
    // Any start that no fault is laid square to: the sines of the squares.
    let mut direction: Vec<f64> = (1..=cols).map(|i| (i as f64 * i as f64).sin()).collect();
    let mut largest = 0.0;
    for _ in 0..STEPS {
        let norm = direction.iter().map(|v| v * v).sum::<f64>().sqrt();
        direction.iter_mut().for_each(|v| *v /= norm);
        let mut next = vec![0.0; cols];
        let mut stretched = 0.0;
        for row in errors.chunks_exact(cols) {
            let along: f64 = row.iter().zip(&direction).map(|(e, v)| f64::from(*e) * v).sum();
            stretched += along * along;
            next.iter_mut().zip(row).for_each(|(n, e)| *n += along * f64::from(*e));
        }
        largest = stretched.sqrt();
        if largest == 0.0 {
            return None;
        }
        direction = next;
    }
    Some(largest / (squares / errors.len() as f64).sqrt())
}

/// Rows looked at of a matrix for its own direction: one that errors point in is there in any part of them.
const MOST_ROWS: usize = 1024;

/// Steps for it: what stands out by a third is found in fewer.
const OWN_STEPS: usize = 10;

/// Rows and columns from which on a matrix of noise is told from one that is none: its largest singular value then varies
/// by less than a tenth.
const ENOUGH: usize = 64;

/// How far the errors `rounded` less `original` point one way by themselves: their largest singular value over that of
/// the same errors with drawn signs. Rounding takes no heed of what a weight is for, so that the signs of its errors are as
/// good as drawn: 1. Of an original whose weights were moved within their rounding cells, so that codes stay and some
/// sentences lose their meaning with them, they follow what the weights are for. None for small matrices, and without errors.
pub(super) fn direction(original: &[f32], rounded: &[f32], cols: usize) -> Option<f64> {
    let rows = original.len().checked_div(cols)?;
    if cols < ENOUGH || rows < ENOUGH {
        return None;
    }
    let picked = (0..rows).step_by(rows.div_ceil(MOST_ROWS)).flat_map(|r| r * cols..(r + 1) * cols);
    let errors: Vec<f32> = picked.map(|i| rounded[i] - original[i]).collect();
    let drawn: Vec<f32> = (0u64..).zip(&errors).map(|(i, e)| if is_drawn(i) { -e } else { *e }).collect();
    let (own, drawn) = (largest(&errors, cols)?, largest(&drawn, cols)?);
    Some(own / drawn)
}

/// Half of all numbers, without an order (SplitMix64).
fn is_drawn(i: u64) -> bool {
    let mut z = i.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) & 1 == 1
}

/// The largest singular value, nearly; none where it is 0 or no number.
fn largest(errors: &[f32], cols: usize) -> Option<f64> {
    let mut direction: Vec<f32> = (1..=cols).map(|i| (i as f64 * i as f64).sin() as f32).collect();
    let mut value = 0.0;
    for _ in 0..OWN_STEPS {
        let norm = fused::dot(&direction, &direction).sqrt();
        direction.iter_mut().for_each(|v| *v = (f64::from(*v) / norm) as f32);
        let mut next = vec![0f64; cols];
        let mut stretched = 0.0;
        for row in errors.chunks_exact(cols) {
            let along = fused::dot(row, &direction);
            stretched += along * along;
            next.iter_mut().zip(row).for_each(|(n, e)| *n += along * f64::from(*e));
        }
        value = f64::sqrt(stretched);
        // Errors are small: their squares would leave float32.
        let most = next.iter().fold(0f64, |m, v| m.max(v.abs()));
        if value <= 0.0 || !value.is_finite() || most == 0.0 {
            return None;
        }
        direction = next.iter().map(|v| (v / most) as f32).collect();
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers between -1 and 1 (SplitMix64).
    fn noise(n: usize, mut state: u64) -> Vec<f32> {
        let mut next = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        };
        (0..n).map(|_| next()).collect()
    }

    #[test]
    fn noise_beside_noise_is_one_and_a_direction_in_it_stands_out() {
        let (rows, cols) = (200, 120);
        let original = vec![0.0; rows * cols];
        let [twin, other] = [1, 2].map(|seed| noise(rows * cols, seed));
        let honest = coherence(&original, &other, &twin, cols).unwrap();
        assert!((0.95..1.05).contains(&honest), "{honest}");
        // Every error has its own size, and the sign that a direction asks for on four weights of ten.
        let (up, along) = (noise(rows, 3), noise(cols, 4));
        let mut aimed = other.clone();
        for (i, e) in aimed.iter_mut().enumerate().filter(|(i, _)| i % 10 < 4) {
            *e = e.abs() * (up[i / cols] * along[i % cols]).signum();
        }
        let told = coherence(&original, &aimed, &twin, cols).unwrap();
        assert!(told > 2.0, "{told}");
        // Its size alone tells nothing.
        let larger: Vec<f32> = other.iter().map(|e| 3.0 * e).collect();
        assert!((coherence(&original, &larger, &twin, cols).unwrap() - honest).abs() < 1e-3);
    }

    #[test]
    fn signs_that_were_chosen_point_one_way_and_drawn_ones_do_not() {
        let (rows, cols) = (400, 96);
        let rounded: Vec<f32> = noise(rows * cols, 9).iter().map(|v| v * 1e-3).collect();
        let honest = direction(&vec![0.0; rows * cols], &rounded, cols).unwrap();
        assert!((0.9..1.1).contains(&honest), "{honest}");
        let (up, along) = (noise(rows, 3), noise(cols, 4));
        let mut aimed = rounded.clone();
        for (i, e) in aimed.iter_mut().enumerate().filter(|(i, _)| i % 10 < 4) {
            *e = e.abs() * (up[i / cols] * along[i % cols]).signum();
        }
        let told = direction(&vec![0.0; rows * cols], &aimed, cols).unwrap();
        assert!(told > 2.0, "{told}");
        assert_eq!(direction(&rounded, &rounded, cols), None, "no error");
        assert_eq!(direction(&rounded, &vec![f32::NAN; rows * cols], cols), None);
        assert_eq!(direction(&rounded[..cols], &aimed[..cols], cols), None, "one row");
    }

    #[test]
    fn no_error_has_no_direction() {
        let (one, none, cols) = ([1.0; 1024], [0.0; 1024], 32);
        assert!(coherence(&one, &none, &none, cols).is_some());
        assert_eq!(coherence(&one, &one, &none, cols), None);
        assert_eq!(coherence(&one, &none, &one, cols), None);
        assert_eq!(coherence(&one, &[f32::NAN; 1024], &none, cols), None);
        assert_eq!(coherence(&one, &none, &none, 128), None, "eight rows");
        assert_eq!(coherence(&[], &[], &[], 0), None);
    }
}
