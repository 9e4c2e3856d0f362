//! Scaled dot-product attention (Vaswani et al. 2017) over rows laid end to end.

use std::ops::Range;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Number of query heads.
    pub count: usize,
    /// Number of key and value heads, which divides `count`: consecutive query heads share one (Ainslie et al. 2023).
    pub shared: usize,
    /// Columns of one head.
    pub width: usize,
}

impl Heads {
    /// Every query head with a key and a value head of its own.
    pub const fn own(count: usize, width: usize) -> Self {
        Self { count, shared: count, width }
    }

    /// Columns of queries, keys and values together.
    pub const fn columns(self) -> usize {
        (self.count + 2 * self.shared) * self.width
    }

    /// Columns of the result.
    pub const fn context(self) -> usize {
        self.count * self.width
    }
}

/// Which keys of its row a query sees: so many tokens back and so many ahead of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Tokens before it.
    pub back: usize,
    /// Tokens after it.
    pub ahead: usize,
}

impl Reach {
    /// All of them.
    pub const ALL: Self = Self { back: usize::MAX, ahead: usize::MAX };
    /// Itself and those before it.
    pub const CAUSAL: Self = Self { back: usize::MAX, ahead: 0 };

    /// Those at most so many tokens away.
    pub const fn within(distance: usize) -> Self {
        Self { back: distance, ahead: distance }
    }

    /// Keys that any of these queries sees, in a row of `n` tokens.
    fn keys(self, queries: &Range<usize>, n: usize) -> Range<usize> {
        queries.start.saturating_sub(self.back)..queries.end.saturating_add(self.ahead).min(n)
    }
}

/// A number per head and distance that is added to the scores (Raffel et al. 2020).
#[derive(Clone, Debug)]
pub struct RelativeBias {
    /// `[heads, 2 · farthest + 1]`, from `farthest` tokens back to as many ahead.
    pub by_distance: Vec<f32>,
    /// Beyond it, all distances are alike.
    pub farthest: usize,
}

impl RelativeBias {
    /// What is added where head `h`'s query `i` meets key `j`.
    fn get(&self, h: usize, i: usize, j: usize) -> f32 {
        let place = (self.farthest + j.min(i.saturating_add(self.farthest))).saturating_sub(i);
        self.by_distance[h * (2 * self.farthest + 1) + place]
    }
}

/// How scores come about.
#[derive(Clone, Copy, Debug)]
pub struct Scoring<'a> {
    /// Factor of q·kᵀ, above zero.
    pub scale: f32,
    /// Keys that are seen at all.
    pub reach: Reach,
    /// Added after scaling.
    pub bias: Option<&'a RelativeBias>,
}

impl Scoring<'_> {
    /// 1/√d for heads of width d, and everything seen (Vaswani et al. 2017).
    pub fn plain(width: usize) -> Self {
        Self { scale: (1.0 / (width as f64).sqrt()) as f32, reach: Reach::ALL, bias: None }
    }
}

/// softmax(scale·q·kᵀ + bias)·v per row and head, a token seeing what `scoring` lets it see of its own row and
/// nothing of any other.
///
/// `projected` is `[tokens, (heads + 2 · shared) · d]`: queries, keys and values side by side, head `h` owning columns
/// `h·d..(h+1)·d` of each; row `r` owns tokens `offsets[r]..offsets[r+1]`. `context` is `[tokens, heads · d]`.
///
/// # Errors
/// Sizes that do not fit.
pub fn attention(
    projected: &[f32],
    offsets: &[usize],
    heads: Heads,
    scoring: Scoring<'_>,
    scratch: &mut AttentionScratch,
    context: &mut [f32],
) -> Result<(), ProductError> {
    let tokens = offsets.last().copied().unwrap_or(0);
    let (columns, hidden) = (heads.columns(), heads.context());
    let divides = hidden > 0 && heads.shared > 0 && heads.count.is_multiple_of(heads.shared);
    let fits = divides && projected.len() == tokens * columns && context.len() == tokens * hidden;
    if !fits || !offsets.is_sorted() || offsets.first().is_some_and(|first| *first != 0) {
        return Err(ProductError(format!(
            "{} projected values and {} of context do not fit {tokens} tokens and {heads:?}",
            projected.len(),
            context.len()
        )));
    }
    if let Some(bias) = scoring.bias.filter(|b| b.by_distance.len() != heads.count * (2 * b.farthest + 1)) {
        return Err(ProductError(format!("{} values of bias do not fit {heads:?}", bias.by_distance.len())));
    }
    for row in offsets.windows(2).map(|w| w[0]..w[1]).filter(|row| !row.is_empty()) {
        let projected = &projected[row.start * columns..row.end * columns];
        let context = &mut context[row.start * hidden..row.end * hidden];
        for h in 0..heads.count {
            one_head(projected, heads, scoring, h, scratch, context)?;
        }
    }
    Ok(())
}

/// One head of one row. Scores are computed as `[keys, queries]`, see [`softmax`].
fn one_head(
    projected: &[f32],
    heads: Heads,
    scoring: Scoring<'_>,
    h: usize,
    scratch: &mut AttentionScratch,
    context: &mut [f32],
) -> Result<(), ProductError> {
    let AttentionScratch { queries, values, scores } = scratch;
    let (width, hidden, columns) = (heads.width, heads.context(), heads.columns());
    let n = context.len() / hidden;
    let shared = h / (heads.count / heads.shared);
    let (query, key, value) = (h, heads.count + shared, heads.count + heads.shared + shared);
    let part = |head: usize, tokens: &Range<usize>| {
        Rows::strided(&projected[tokens.start * columns + head * width..], tokens.len(), width, columns)
    };
    let mut packed = 0..0;
    for first in (0..n).step_by(QUERIES_AT_ONCE) {
        let asking = first..n.min(first + QUERIES_AT_ONCE);
        let seen = scoring.reach.keys(&asking, n);
        if packed != seen {
            repack(values, part(value, &seen)?); // [keys, d]
            packed = seen.clone();
        }
        repack_transposed(queries, part(query, &asking)?); // [d, queries]
        // Whole vectors of queries; what lies in the columns too many stays there.
        let stride = asking.len().next_multiple_of(PANEL);
        scores.resize(seen.len() * stride, 0.0);
        let out = RowsMut::strided(scores, seen.len(), asking.len(), stride)?;
        multiply(part(key, &seen)?, &[&*queries], None, out)?; // [keys, queries]
        let mut scale = scoring.scale;
        if let Some(bias) = scoring.bias {
            for (j, scores) in seen.clone().zip(scores.chunks_exact_mut(stride)) {
                asking.clone().zip(scores).for_each(|(i, score)| *score = *score * scale + bias.get(h, i, j));
            }
            scale = 1.0;
        }
        if scoring.reach != Reach::ALL {
            hide(scores, stride, &asking, &seen, scoring.reach);
        }
        softmax(scores, stride, scale);
        let out = RowsMut::strided(&mut context[first * hidden + h * width..], asking.len(), width, hidden)?;
        multiply_transposed(Transposed(Rows::strided(scores, seen.len(), asking.len(), stride)?), values, out)?; // [queries, d]
    }
    Ok(())
}

/// Scores of keys out of reach become −∞, whose power is 0. A query always sees itself, so something is left.
fn hide(scores: &mut [f32], stride: usize, asking: &Range<usize>, seen: &Range<usize>, reach: Reach) {
    for (j, scores) in seen.clone().zip(scores.chunks_exact_mut(stride)) {
        // Queries i with i − back ≤ j ≤ i + ahead.
        let from = j.saturating_sub(reach.ahead).clamp(asking.start, asking.end) - asking.start;
        let to = j.saturating_add(reach.back).saturating_add(1).clamp(asking.start, asking.end) - asking.start;
        scores[..from].fill(f32::NEG_INFINITY);
        scores[to.max(from)..asking.len()].fill(f32::NEG_INFINITY);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::noise;
    use super::*;

    /// Measured 1.5e-7 at most against f64 over all ways of scoring, values in [-1, 1].
    const MAX_ABSOLUTE: f64 = 3e-7;

    /// Everything in f64, from the definition.
    fn exact(projected: &[f32], offsets: &[usize], heads: Heads, scoring: Scoring<'_>) -> Vec<f64> {
        let (d, columns) = (heads.width, heads.columns());
        let mut out = vec![0.0; projected.len() / columns * heads.context()];
        for row in offsets.windows(2).map(|w| w[0]..w[1]) {
            for (h, i) in (0..heads.count).flat_map(|h| row.clone().map(move |i| (h, i))) {
                let at = |head: usize, t: usize, c: usize| f64::from(projected[t * columns + head * d + c]);
                let own = h * heads.shared / heads.count;
                let score = |j: usize| {
                    let product = (0..d).map(|c| at(h, i, c) * at(heads.count + own, j, c)).sum::<f64>();
                    let distance = (j as i64 - i as i64).clamp(-3, 3) + 3;
                    let bias = scoring.bias.map_or(0.0, |b| f64::from(b.by_distance[h * 7 + distance as usize]));
                    product * f64::from(scoring.scale) + bias
                };
                let seen: Vec<usize> = row
                    .clone()
                    .filter(|&j| j + scoring.reach.back.min(9999) >= i && j <= i + scoring.reach.ahead.min(9999))
                    .collect();
                let powers: Vec<f64> = seen.iter().map(|&j| f64::exp(score(j))).collect();
                let total: f64 = powers.iter().sum();
                for c in 0..d {
                    let value = |j: usize| at(heads.count + heads.shared + own, j, c);
                    out[i * heads.context() + h * d + c] =
                        seen.iter().zip(&powers).map(|(&j, p)| p / total * value(j)).sum();
                }
            }
        }
        out
    }

    #[test]
    fn it_matches_the_definition_on_ragged_rows_and_across_query_tiles() {
        let offsets = [0, 1, 1, 8, 8 + 300];
        let bias = RelativeBias { by_distance: noise(4 * 7, 9), farthest: 3 };
        let plain = Scoring::plain(8);
        let mut scratch = AttentionScratch::default();
        for (heads, scoring) in [
            (Heads::own(3, 8), plain),
            (Heads { count: 4, shared: 2, width: 8 }, plain),
            (Heads { count: 4, shared: 1, width: 8 }, Scoring { reach: Reach::CAUSAL, ..plain }),
            (Heads::own(4, 8), Scoring { bias: Some(&bias), ..plain }),
            (Heads::own(4, 8), Scoring { bias: Some(&bias), reach: Reach::within(5), scale: 0.7 }),
            (Heads::own(1, 8), Scoring { reach: Reach::within(0), ..plain }),
            (Heads::own(2, 8), Scoring { reach: Reach { back: 130, ahead: 2 }, ..plain }),
        ] {
            let (columns, hidden) = (heads.columns(), heads.context());
            let projected = noise(offsets[4] * columns, 1);
            let mut found = vec![f32::NAN; offsets[4] * hidden];
            attention(&projected, &offsets, heads, scoring, &mut scratch, &mut found).unwrap();
            let expected = exact(&projected, &offsets, heads, scoring);
            let worst = found.iter().zip(&expected).map(|(f, e)| (f64::from(*f) - e).abs()).fold(0.0, f64::max);
            let exactly = scoring.reach == Reach::within(0);
            assert!(worst <= MAX_ABSOLUTE && (worst > 0.0 || exactly), "{heads:?} {scoring:?}: {worst:e}");
            // a row of one token sees only itself, exactly
            let value = (heads.count + heads.shared) * heads.width;
            assert_eq!(found[..heads.width], projected[value..value + heads.width]);
            // a row is what it is alone, whatever the scratch was used for
            for row in offsets.windows(2).map(|w| w[0]..w[1]) {
                let mut alone = vec![f32::NAN; row.len() * hidden];
                let own = &projected[row.start * columns..row.end * columns];
                attention(own, &[0, row.len()], heads, scoring, &mut scratch, &mut alone).unwrap();
                assert_eq!(alone, found[row.start * hidden..row.end * hidden]);
            }
        }
    }

    /// What lies out of reach does not matter, whatever it is.
    #[test]
    fn what_is_out_of_reach_is_not_seen() {
        let heads = Heads::own(1, 4);
        let mut projected = noise(200 * heads.columns(), 3);
        let run = |projected: &[f32], reach| {
            let mut out = vec![0.0; 200 * 4];
            let scoring = Scoring { reach, ..Scoring::plain(4) };
            attention(projected, &[0, 200], heads, scoring, &mut AttentionScratch::default(), &mut out).unwrap();
            out
        };
        let (causal, near) = (run(&projected, Reach::CAUSAL), run(&projected, Reach::within(10)));
        for token in projected[150 * 12..].chunks_exact_mut(12) {
            token.fill(50.0);
        }
        let (causal_now, near_now) = (run(&projected, Reach::CAUSAL), run(&projected, Reach::within(10)));
        assert!(causal_now[..150 * 4] == causal[..150 * 4] && near_now[..140 * 4] == near[..140 * 4]);
        assert!(causal_now[150 * 4] != causal[150 * 4] && near_now[140 * 4] != near[140 * 4]);
    }

    #[test]
    fn nothing_in_nothing_out_and_wrong_sizes_are_errors() {
        let mut scratch = AttentionScratch::default();
        let (two, plain) = (Heads::own(2, 2), Scoring::plain(2));
        attention(&[], &[0], two, plain, &mut scratch, &mut []).unwrap();
        attention(&[], &[0, 0, 0], two, plain, &mut scratch, &mut []).unwrap();
        let mut run = |n: usize, offsets: &[usize], count, width| {
            attention(&vec![0.0; n], offsets, Heads::own(count, width), plain, &mut scratch, &mut [0.0; 8])
        };
        run(24, &[0, 2], 2, 2).unwrap();
        for (n, offsets, count, width) in
            [(12, [0, 2], 2, 2), (24, [0, 2], 3, 1), (24, [0, 2], 0, 4), (24, [0, 3], 2, 2), (24, [1, 2], 2, 2)]
        {
            assert!(run(n, &offsets, count, width).is_err(), "{n} {offsets:?} {count}");
        }
        assert!(run(24, &[0, 3, 1, 2], 2, 2).is_err());
        let odd = Heads { count: 3, shared: 2, width: 2 };
        assert!(attention(&[0.0; 14], &[0, 1], odd, plain, &mut scratch, &mut [0.0; 6]).is_err());
        let bias = RelativeBias { by_distance: vec![0.0; 5], farthest: 1 };
        let biased = Scoring { bias: Some(&bias), ..plain };
        assert!(attention(&[0.0; 12], &[0, 1], two, biased, &mut scratch, &mut [0.0; 4]).is_err());
    }
}
