//! Scaled dot-product attention over ragged rows (Vaswani et al. 2017, §3.2): each row attends to
//! itself alone, so there is no mask and no padding.

use ndarray::{ArrayView2, ArrayViewMut2, s};
use rayon::prelude::*;

use super::softmax;

/// `queries`, `keys`, `values` and the result are `[tokens, hidden]`; row `r` owns tokens
/// `offsets[r]..offsets[r+1]`; `heads` divides `hidden`.
pub fn attention(
    queries: ArrayView2<'_, f32>,
    keys: ArrayView2<'_, f32>,
    values: ArrayView2<'_, f32>,
    offsets: &[usize],
    heads: usize,
) -> Vec<f32> {
    let hidden = queries.ncols();
    let mut out = vec![0.0f32; queries.len()];
    let mut rows: Vec<(std::ops::Range<usize>, &mut [f32])> = Vec::with_capacity(offsets.len());
    let mut rest = &mut out[..];
    for w in offsets.windows(2) {
        let (row, tail) = std::mem::take(&mut rest).split_at_mut((w[1] - w[0]) * hidden);
        rows.push((w[0]..w[1], row));
        rest = tail;
    }
    rows.into_par_iter().for_each(|(tokens, row)| {
        let Ok(mut context) = ArrayViewMut2::from_shape((tokens.len(), hidden), row) else { return };
        let width = hidden / heads;
        let scale = 1.0 / (width as f32).sqrt();
        for head in 0..heads {
            let columns = head * width..(head + 1) * width;
            let part = |x: ArrayView2<'_, f32>| x.slice_move(s![tokens.clone(), columns.clone()]).to_owned();
            let (q, k, v) = (part(queries) * scale, part(keys), part(values)); // [row tokens, width]
            let mut scores = q.dot(&k.t()); // [row tokens, row tokens]
            for mut scores_of_token in scores.rows_mut() {
                if let Some(slice) = scores_of_token.as_slice_mut() {
                    softmax(slice);
                }
            }
            context.slice_mut(s![.., columns.clone()]).assign(&scores.dot(&v));
        }
    });
    out
}
