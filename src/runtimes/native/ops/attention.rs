//! Scaled dot-product attention (Vaswani et al. 2017) over rows laid end to end.

use super::{
    ProductError, Rows, RowsMut, Transposed, multiply, multiply_transposed, repack, repack_transposed, softmax,
};
use crate::panels::{PANEL, Panels};

/// Queries whose scores are held at once: bounds the memory to 128 · keys floats, however long the row.
const QUERIES_AT_ONCE: usize = 128;

/// Memory that attention works in, kept from call to call.
#[derive(Debug, Default)]
pub struct AttentionScratch {
    queries: Panels,
    values: Panels,
    scores: Vec<f32>,
}

/// How the columns of queries, keys and values lie in one `[tokens, stride]` matrix.
#[derive(Clone, Copy, Debug)]
pub struct Heads {
    /// Number of heads.
    pub count: usize,
    /// Columns of one head.
    pub width: usize,
}

/// softmax(q·kᵀ/√d)·v per row and head, every token of a row seeing every token of it and no other.
///
/// `projected` is `[tokens, 3 · heads · d]`: queries, keys and values side by side, head `h` owning columns
/// `h·d..(h+1)·d` of each; row `r` owns tokens `offsets[r]..offsets[r+1]`. `context` is `[tokens, heads · d]`.
///
/// # Errors
/// Sizes that do not fit.
pub fn attention(
    projected: &[f32],
    offsets: &[usize],
    heads: Heads,
    scratch: &mut AttentionScratch,
    context: &mut [f32],
) -> Result<(), ProductError> {
    let tokens = offsets.last().copied().unwrap_or(0);
    let hidden = heads.count * heads.width;
    let fits = hidden > 0 && projected.len() == tokens * 3 * hidden && context.len() == tokens * hidden;
    if !fits || !offsets.is_sorted() || offsets.first().is_some_and(|first| *first != 0) {
        return Err(ProductError(format!(
            "{} projected values and {} of context do not fit {tokens} tokens and {heads:?}",
            projected.len(),
            context.len()
        )));
    }
    for row in offsets.windows(2).map(|w| w[0]..w[1]).filter(|row| !row.is_empty()) {
        let projected = &projected[row.start * 3 * hidden..row.end * 3 * hidden];
        let context = &mut context[row.start * hidden..row.end * hidden];
        for h in 0..heads.count {
            one_head(projected, heads, h, scratch, context)?;
        }
    }
    Ok(())
}

/// One head of one row. Scores are computed as `[keys, queries]`, see [`softmax`].
fn one_head(
    projected: &[f32],
    heads: Heads,
    h: usize,
    scratch: &mut AttentionScratch,
    context: &mut [f32],
) -> Result<(), ProductError> {
    let AttentionScratch { queries, values, scores } = scratch;
    let (width, hidden) = (heads.width, heads.count * heads.width);
    let n = context.len() / hidden;
    let scale = (1.0 / (width as f64).sqrt()) as f32;
    let part = |which: usize, first: usize, rows: usize| {
        Rows::strided(&projected[first * 3 * hidden + which * hidden + h * width..], rows, width, 3 * hidden)
    };
    let keys = part(1, 0, n)?;
    repack(values, part(2, 0, n)?); // [n, d]
    for first in (0..n).step_by(QUERIES_AT_ONCE) {
        let count = QUERIES_AT_ONCE.min(n - first);
        repack_transposed(queries, part(0, first, count)?); // [d, queries]
        // Whole vectors of queries; what lies in the columns too many stays there.
        let stride = count.next_multiple_of(PANEL);
        scores.resize(n * stride, 0.0);
        multiply(keys, &[&*queries], None, RowsMut::strided(scores, n, count, stride)?)?; // [n, queries]
        softmax(scores, stride, scale);
        let out = RowsMut::strided(&mut context[first * hidden + h * width..], count, width, hidden)?;
        multiply_transposed(Transposed(Rows::strided(scores, n, count, stride)?), values, out)?; // [queries, d]
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
        let projected = side_by_side([&q, &k, &v], hidden);
        let mut found = vec![f32::NAN; n];
        let mut scratch = AttentionScratch::default();
        let heads_of = Heads { count: heads, width: hidden / heads };
        attention(&projected, &offsets, heads_of, &mut scratch, &mut found).unwrap();
        let expected = exact(&q, &k, &v, &offsets, heads, hidden);
        let worst = found.iter().zip(&expected).map(|(f, e)| (f64::from(*f) - e).abs()).fold(0.0, f64::max);
        assert!(worst <= MAX_ABSOLUTE && worst > 0.0, "{worst:e}");
        // a row of one token sees only itself, exactly
        assert_eq!(found[..hidden], v[..hidden]);
        // a row is what it is alone, whatever the scratch was used for
        for row in offsets.windows(2).map(|w| w[0]..w[1]) {
            let mut alone = vec![f32::NAN; row.len() * hidden];
            let own = &projected[row.start * 3 * hidden..row.end * 3 * hidden];
            attention(own, &[0, row.len()], heads_of, &mut scratch, &mut alone).unwrap();
            assert_eq!(alone, found[row.start * hidden..row.end * hidden]);
        }
    }

    fn side_by_side(parts: [&[f32]; 3], hidden: usize) -> Vec<f32> {
        let tokens = 0..parts[0].len() / hidden;
        tokens.flat_map(|t| parts.map(|p| &p[t * hidden..(t + 1) * hidden]).concat()).collect()
    }

    #[test]
    fn nothing_in_nothing_out_and_wrong_sizes_are_errors() {
        let mut scratch = AttentionScratch::default();
        let two = Heads { count: 2, width: 2 };
        attention(&[], &[0], two, &mut scratch, &mut []).unwrap();
        attention(&[], &[0, 0, 0], two, &mut scratch, &mut []).unwrap();
        let mut run = |n: usize, offsets: &[usize], count, width| {
            attention(&vec![0.0; n], offsets, Heads { count, width }, &mut scratch, &mut [0.0; 8])
        };
        run(24, &[0, 2], 2, 2).unwrap();
        for (n, offsets, count, width) in
            [(12, [0, 2], 2, 2), (24, [0, 2], 3, 1), (24, [0, 2], 0, 4), (24, [0, 3], 2, 2), (24, [1, 2], 2, 2)]
        {
            assert!(run(n, &offsets, count, width).is_err(), "{n} {offsets:?} {count}");
        }
        assert!(run(24, &[0, 3, 1, 2], 2, 2).is_err());
    }
}
