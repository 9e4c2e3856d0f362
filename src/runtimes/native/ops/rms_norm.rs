//! Root mean square normalization (Zhang & Sennrich 2019).

use std::ops::Range;

use super::layer_norm::squares;
use crate::vectors::widest;

/// γ·x/√(mean(x²) + ε) over the last dimension.
#[derive(Clone, Debug)]
pub struct RmsNorm {
    weight: Vec<f32>,
    eps: f64,
}

impl RmsNorm {
    /// γ of the width that is normalized.
    pub fn new(weight: Vec<f32>, eps: f64) -> Self {
        Self { weight, eps }
    }

    /// Every row of `states` (`[tokens, hidden]`), in place.
    pub fn apply(&self, states: &mut [f32]) {
        self.apply_columns(states, self.weight.len(), 0..self.weight.len());
    }

    /// Of every row of `states` (`[tokens, stride]`) these columns, in parts of γ's width, each for itself.
    pub fn apply_columns(&self, states: &mut [f32], stride: usize, columns: Range<usize>) {
        let width = self.weight.len().max(1);
        widest(
            #[inline(always)]
            || {
                for row in states.chunks_exact_mut(stride.max(1)) {
                    for part in row[columns.clone()].chunks_exact_mut(width) {
                        let scale = 1.0 / (squares(part) / part.len() as f64 + self.eps).sqrt();
                        let scale = scale as f32;
                        part.iter_mut().zip(&self.weight).for_each(|(x, w)| *x = *x * scale * w);
                    }
                }
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::noise;
    use super::*;

    /// Relative, measured 1.2e-7 at most.
    const MAX_ERROR: f64 = 4e-7;

    #[test]
    fn it_is_the_definition_for_every_width() {
        let mut worst = 0.0_f64;
        for width in [1, 3, 64, 100, 384] {
            let (weight, states) = (noise(width, 1), noise(4 * width, 2));
            let mut found = states.clone();
            RmsNorm::new(weight.clone(), 1e-6).apply(&mut found);
            for (row, found) in states.chunks(width).zip(found.chunks(width)) {
                let mean = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / width as f64;
                for ((x, w), f) in row.iter().zip(&weight).zip(found) {
                    let exact = f64::from(*x) / (mean + 1e-6).sqrt() * f64::from(*w);
                    worst = worst.max((f64::from(*f) - exact).abs() / exact.abs());
                }
            }
        }
        assert!(worst <= MAX_ERROR && worst > 0.0, "{worst:e}");
    }

    #[test]
    fn heads_are_normalized_each_for_itself_and_the_rest_is_left_alone() {
        let norm = RmsNorm::new(vec![1.0, 2.0], 0.0);
        let mut states = [8.0, 3.0, 3.0, -5.0, 5.0, 7.0, 8.0, f32::NAN, 1.0, 1.0, 1.0, 9.0];
        norm.apply_columns(&mut states, 6, 1..5);
        assert_eq!(states[..7], [8.0, 1.0, 2.0, -1.0, 2.0, 7.0, 8.0]);
        assert!(states[7].is_nan() && states[8].is_nan(), "a NaN spoils its own part");
        assert_eq!(states[9..], [1.0, 2.0, 9.0], "the last row, too");
    }

    #[test]
    fn squares_beyond_float32_are_not_lost() {
        let mut row = [3e25, -3e25];
        RmsNorm::new(vec![1.0; 2], 1e-6).apply(&mut row);
        assert_eq!(row, [1.0, -1.0]);
    }
}
