//! A matrix as the product that multiplies with it wants it: the one float32 copy of a weight that is kept.

use rayon::prelude::*;

/// Columns of a panel: one cache line, which is one vector of AVX-512, two of AVX2, four of NEON. No wider, so that
/// what a tile of any of them reads lies together: with more, AVX2 uses every fourth line and finds them crowded in a
/// quarter of its first-level cache (measured 10 to 20 % slower).
pub const PANEL: usize = 16;

/// One inner element of a panel. Aligned, because a vector that lies across two cache lines is read twice.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(crate) struct Line(pub(crate) [f32; PANEL]);

impl Line {
    const ZERO: Self = Self([0.0; PANEL]);
}

/// A right side `[inner, columns]`: panels of 16 columns one after the other, each `[inner, 16]`; the last is filled up
/// with zeros. Of a Linear's weight `[outputs, inputs]`, an output is a column.
#[derive(Clone, Default)]
pub struct Panels {
    lines: Vec<Line>,
    inner: usize,
    columns: usize,
}

impl Panels {
    /// `column(c, values)` writes column `c`, `[inner]`; columns are asked for by many threads, in any order. What it
    /// keeps from column to column begins as `T::default()`.
    pub fn from_columns<T: Default>(
        columns: usize,
        inner: usize,
        column: impl Fn(&mut T, usize, &mut [f32]) + Sync,
    ) -> Self {
        let mut panels = Self::default();
        panels.reshape(inner, columns);
        let memory = || (T::default(), vec![0.0; inner]);
        panels.lines.par_chunks_mut(inner.max(1)).enumerate().for_each_init(memory, |(kept, values), (p, lines)| {
            for lane in 0..PANEL.min(columns - p * PANEL) {
                column(kept, p * PANEL + lane, values);
                set_lane(lines, lane, values);
            }
        });
        panels
    }

    /// Of columns one after the other, as a Linear's `[outputs, inputs]` is stored.
    pub fn of_rows(rows: &[f32], inner: usize) -> Self {
        let columns = rows.len().checked_div(inner).unwrap_or(0);
        Self::from_columns(columns, inner, |(): &mut (), c, values| {
            values.copy_from_slice(&rows[c * inner..(c + 1) * inner]);
        })
    }

    /// Room for `[inner, columns]`; what lies behind the last column is zero.
    pub(crate) fn reshape(&mut self, inner: usize, columns: usize) {
        if !columns.is_multiple_of(PANEL) {
            self.lines.clear();
        }
        self.lines.resize(columns.div_ceil(PANEL) * inner, Line::ZERO);
        (self.inner, self.columns) = (inner, columns);
    }

    /// Writes column `c`.
    pub(crate) fn set_column(&mut self, c: usize, values: &[f32]) {
        let first = c / PANEL * self.inner;
        set_lane(&mut self.lines[first..first + self.inner], c % PANEL, values);
    }

    /// Writes inner element `k` of all columns.
    pub(crate) fn set_inner(&mut self, k: usize, values: &[f32]) {
        for (p, from) in values.chunks(PANEL).enumerate() {
            let line = &mut self.lines[p * self.inner + k].0;
            match from.first_chunk() {
                // Of a length known to the compiler: no call for so little.
                Some(whole) => *line = *whole,
                None => line[..from.len()].copy_from_slice(from),
            }
        }
    }

    /// All panels, end to end.
    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Length of a column.
    pub fn inner(&self) -> usize {
        self.inner
    }

    /// Element `k` of column `c`; none beyond either end.
    pub fn get(&self, c: usize, k: usize) -> Option<f32> {
        (c < self.columns && k < self.inner).then(|| self.lines[c / PANEL * self.inner + k].0[c % PANEL])
    }

    /// The columns one after the other again.
    pub fn to_rows(&self) -> Vec<f32> {
        let mut rows = vec![0.0; self.columns * self.inner];
        for (c, row) in rows.chunks_exact_mut(self.inner.max(1)).enumerate() {
            let lines = &self.lines[c / PANEL * self.inner..][..self.inner];
            row.iter_mut().zip(lines).for_each(|(value, line)| *value = line.0[c % PANEL]);
        }
        rows
    }

    /// Whether every value is a number.
    pub(crate) fn is_finite(&self) -> bool {
        self.lines.iter().all(|line| !line.0.iter().fold(false, |bad, v| bad | !v.is_finite()))
    }
}

impl AsRef<Panels> for Panels {
    fn as_ref(&self) -> &Panels {
        self
    }
}

impl std::fmt::Debug for Panels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Panels[{}, {}]", self.inner, self.columns)
    }
}

fn set_lane(lines: &mut [Line], lane: usize, values: &[f32]) {
    lines.iter_mut().zip(values).for_each(|(line, value)| line.0[lane] = *value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        for (columns, inner) in [(1, 1), (16, 3), (17, 5), (40, 96), (0, 4), (4, 0)] {
            let rows: Vec<f32> = (0..columns * inner).map(|i| i as f32 - 7.5).collect();
            let panels = Panels::of_rows(&rows, inner);
            assert_eq!(panels.to_rows(), rows, "{columns} {inner}");
            assert!(panels.is_finite());
            for (c, k) in (0..columns).flat_map(|c| (0..inner).map(move |k| (c, k))) {
                assert_eq!(panels.get(c, k), Some(rows[c * inner + k]));
            }
            let columns = panels.columns();
            assert_eq!((panels.get(columns, 0), panels.get(0, inner)), (None, None));
        }
    }

    #[test]
    fn a_value_that_is_no_number_is_seen_and_nothing_is_left_of_what_was_there() {
        let mut panels = Panels::of_rows(&[f32::NAN; 40], 2);
        assert!(!panels.is_finite());
        panels.reshape(2, 3);
        for c in 0..3 {
            panels.set_column(c, &[c as f32, 9.0]);
        }
        assert!(panels.is_finite());
        assert_eq!(panels.to_rows(), [0.0, 9.0, 1.0, 9.0, 2.0, 9.0]);
        panels.set_inner(1, &[5.0, 6.0, 7.0]);
        assert_eq!(panels.to_rows(), [0.0, 5.0, 1.0, 6.0, 2.0, 7.0]);
    }
}
