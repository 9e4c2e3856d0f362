//! Is it chance that rounds up or down? Stochastic rounding goes up as often as the weight lies above the lower code, in
//! every column. Who rounds all rows toward one direction stays within a step everywhere, and moves every sentence.

use crate::quantization::Codes;

/// Standard deviations that a count may be from what is expected, of all rounding together and of the columns' squares.
/// Measured for stochastic rounding of the shipped model and MiniLM at 8 and 4 bits: 1.6 and 3.1; where the rows of rare
/// words were rounded toward one direction, one row in five: 60 to 430 by the squares.
const MOST: f64 = 8.0;

/// Variance from which on a count is told from its expectation.
const ENOUGH: f64 = 4.0;

/// Counts of rounding up, less what is expected, and their variance: by column, and of all.
#[derive(Debug, Default)]
pub(super) struct Chance {
    columns: Vec<(f64, f64)>,
}

impl Chance {
    /// Adds a row of weights with the codes, scales and biases that the file holds.
    /// `most` is the largest code.
    pub(super) fn add(&mut self, weights: &[f32], own: &Codes, group_size: usize, most: f64) {
        self.columns.resize(weights.len(), (0.0, 0.0));
        let lines = own.scales.iter().zip(&own.biases).map(|(s, b)| (f64::from(*s), f64::from(*b)));
        let groups = weights.chunks(group_size).zip(own.codes.chunks(group_size)).zip(lines);
        let mut columns = self.columns.iter_mut();
        for ((weights, codes), (scale, bias)) in groups {
            for ((weight, code), column) in weights.iter().zip(codes).zip(&mut columns) {
                let place = (f64::from(*weight) - bias) / scale;
                let (below, up) = (place.floor(), f64::from(*code) - place.floor());
                let part = place - below;
                // Beyond the codes nothing is left to chance; beyond a step it was none.
                if (up == 0.0 || up == 1.0) && part > 0.0 && (0.0..=most).contains(&place) {
                    *column = (column.0 + up - part, column.1 + part * (1.0 - part));
                }
            }
        }
    }

    /// True where chance may have rounded.
    pub(super) fn is_fair(&self) -> bool {
        let (off, variance) = self.columns.iter().fold((0.0, 0.0), |a, c| (a.0 + c.0, a.1 + c.1));
        let told: Vec<f64> = self.columns.iter().filter(|c| c.1 >= ENOUGH).map(|c| c.0 * c.0 / c.1).collect();
        // Squares of standard normal numbers: as many as columns, with twice that as their variance.
        let n = told.len() as f64;
        let squares = told.iter().sum::<f64>() - n;
        off.abs() <= MOST * variance.max(ENOUGH).sqrt() && squares <= MOST * (2.0 * n).sqrt()
    }
}
