//! Scaled dot-product attention (Vaswani et al. 2017) over rows laid end to end.

use rayon::prelude::*;

use super::{Matrix, PackedMatrix, ProductError, softmax};

/// Queries whose scores are held at once: bounds a task's memory to 128 · keys floats, however long the row.
const QUERIES_AT_ONCE: usize = 128;

/// softmax(q·kᵀ/√d)·v per row and head, every token of a row seeing every token of it and no other.
///
/// `query`, `key` and `value` are `[tokens, hidden]`, head `h` owning columns `h·d..(h+1)·d` with
/// d = hidden/heads; row `r` owns tokens `offsets[r]..offsets[r+1]`. The result is `[tokens, hidden]`.
/// Rows and heads are shared out over the ambient pool.
pub fn attention(
    query: &[f32],
    key: &[f32],
    value: &[f32],
    offsets: &[usize],
    heads: usize,
) -> Result<Vec<f32>, ProductError> {
    let tokens = offsets.last().copied().unwrap_or(0);
    if tokens == 0 {
        return Ok(Vec::new());
    }
    let hidden = query.len() / tokens;
    let width = hidden / heads.max(1);
    let fits = [query, key, value].iter().all(|m| m.len() == tokens * hidden) && width > 0 && width * heads == hidden;
    if !fits || !offsets.is_sorted() || offsets.first() != Some(&0) {
        return Err(ProductError(format!(
            "{} queries, {} keys, {} values do not fit {tokens} tokens and {heads} heads",
            query.len(),
            key.len(),
            value.len()
        )));
    }

    // Heads are computed into [row][head][tokens of the row, d], so that each task owns one slice …
    let mut by_head = vec![0.0; tokens * hidden];
    let mut tasks = Vec::new();
    let mut rest = by_head.as_mut_slice();
    for row in offsets.windows(2).map(|w| w[0]..w[1]) {
        for h in 0..heads {
            let (out, tail) = rest.split_at_mut(row.len() * width);
            rest = tail;
            if !row.is_empty() {
                tasks.push((row.clone(), h, out));
            }
        }
    }
    tasks.into_par_iter().try_for_each(|(row, h, out)| {
        let head = |values| head_of(values, row.start * hidden + h * width, row.len(), width, hidden);
        one_head(head(query), head(key), head(value), out)
    })?;

    // … and are then laid side by side: [tokens, heads · d].
    let mut context = vec![0.0; tokens * hidden];
    for row in offsets.windows(2).map(|w| w[0]..w[1]) {
        let span = row.start * hidden..row.end * hidden;
        let (from, to) = (&by_head[span.clone()], &mut context[span]);
        for (t, token) in to.chunks_exact_mut(hidden).enumerate() {
            for (h, part) in token.chunks_exact_mut(width).enumerate() {
                let start = (h * row.len() + t) * width;
                part.copy_from_slice(&from[start..start + width]);
            }
        }
    }
    Ok(context)
}

/// One head's `[tokens, width]` columns inside `[all tokens, hidden]`.
fn head_of(values: &[f32], start: usize, tokens: usize, width: usize, hidden: usize) -> Matrix<'_> {
    Matrix { values: &values[start..], shape: [tokens, width], strides: [hidden, 1] }
}

/// Attention of one head; all three inputs and `out` are `[n, d]`.
fn one_head(query: Matrix<'_>, key: Matrix<'_>, value: Matrix<'_>, out: &mut [f32]) -> Result<(), ProductError> {
    let [n, width] = query.shape;
    let scale = (1.0 / (width as f64).sqrt()) as f32;
    let key = PackedMatrix::new(key.transposed())?; // [d, n]
    let value = PackedMatrix::new(value)?; // [n, d]
    let mut scores = vec![0.0; QUERIES_AT_ONCE.min(n) * n];
    for (tile, out) in out.chunks_mut(QUERIES_AT_ONCE * width).enumerate() {
        let queries = out.len() / width;
        let first = &query.values[tile * QUERIES_AT_ONCE * query.strides[0]..];
        let query = Matrix { values: first, shape: [queries, width], strides: query.strides };
        let scores = &mut scores[..queries * n]; // [queries, n]
        key.multiply(query, scale, None, scores)?;
        scores.chunks_exact_mut(n).for_each(softmax);
        value.multiply(Matrix::dense(scores, queries, n), 1.0, None, out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::noise;
    use super::*;

    /// Measured 6.6e-8 at most against f64, values in [-1, 1].
    const MAX_ABSOLUTE: f64 = 3e-7;

    fn exact(q: &[f32], k: &[f32], v: &[f32], offsets: &[usize], heads: usize, hidden: usize) -> Vec<f64> {
        let d = hidden / heads;
        let mut out = vec![0.0; q.len()];
        for row in offsets.windows(2).map(|w| w[0]..w[1]) {
            for (h, i) in (0..heads).flat_map(|h| row.clone().map(move |i| (h, i))) {
                let at = |m: &[f32], t: usize, c: usize| f64::from(m[t * hidden + h * d + c]);
                let score = |j| (0..d).map(|c| at(q, i, c) * at(k, j, c)).sum::<f64>() / (d as f64).sqrt();
                let powers: Vec<f64> = row.clone().map(|j| f64::exp(score(j))).collect();
                let total: f64 = powers.iter().sum();
                for c in 0..d {
                    out[i * hidden + h * d + c] = row.clone().zip(&powers).map(|(j, p)| p / total * at(v, j, c)).sum();
                }
            }
        }
        out
    }

    #[test]
    fn it_matches_the_definition_on_ragged_rows_and_across_query_tiles() {
        let (hidden, heads) = (24, 3);
        let offsets = [0, 1, 1, 8, 8 + 300];
        let n = offsets[4] * hidden;
        let (q, k, v) = (noise(n, 1), noise(n, 2), noise(n, 3));
        let found = attention(&q, &k, &v, &offsets, heads).unwrap();
        let expected = exact(&q, &k, &v, &offsets, heads, hidden);
        let worst = found.iter().zip(&expected).map(|(f, e)| (f64::from(*f) - e).abs()).fold(0.0, f64::max);
        assert!(worst <= MAX_ABSOLUTE && worst > 0.0, "{worst:e}");
        // a row of one token sees only itself, exactly
        assert_eq!(found[..hidden], v[..hidden]);
    }

    #[test]
    fn nothing_in_nothing_out_and_wrong_sizes_are_errors() {
        assert!(attention(&[], &[], &[], &[0], 2).unwrap().is_empty());
        assert!(attention(&[], &[], &[], &[0, 0, 0], 2).unwrap().is_empty());
        for (n, offsets, heads) in [(4, [0, 2], 2), (8, [0, 2], 3), (8, [0, 2], 0), (8, [0, 3], 2), (8, [1, 2], 2)] {
            assert!(attention(&[0.0; 8], &[0.0; 8], &vec![0.0; n], &offsets, heads).is_err(), "{offsets:?} {heads}");
        }
        assert!(attention(&[0.0; 8], &[0.0; 8], &[0.0; 8], &[0, 3, 1, 2], 2).is_err());
    }
}
