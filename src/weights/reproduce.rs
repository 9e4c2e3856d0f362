//! Whether one rule makes a whole tensor, code for code: where groups differ in their rule, or codes near a tie in their
//! side, somebody chose.

use super::stored::Stored;

/// How far the precision that a code was computed in may move it, over the size of the numbers it came of: float32's
/// rounding, a few times over: 0.0005 of a step at 8 bits. Plain and symmetric candidates of the real MiniLM at 8 and 4 bits
/// keep to it in every group.
const COMPUTED: f64 = 1.0 / 1_048_576.0;

/// What codes were chosen by: the scale and bias as they are stored, as they were before they were rounded, or the stored
/// scale with its own bias.
const CHOSEN_BY: usize = 3;

/// Whose sign scales have.
const SIGNS: [fn(&Span) -> f64; 4] = [|_| 1.0, |_| -1.0, |s| s.largest.signum(), |s| -s.largest.signum()];

/// Rules of plain ranges: of the weights as they are, and as the file's type has them.
const PLAIN: u64 = 0b11;

/// How far a stored scale or bias may be from its rule: one rounding to the stored type, and float32's on the way to it.
const ROUNDED: f64 = 1.01;
const ON_THE_WAY: f64 = 4.0 / 16_777_216.0;

/// How far a stored scale or bias may be from least squares, in roundings: the weights' own cancel. Measured: with 2
/// roundings 8-bit HQQ is its own least squares in 91 % of groups, with 1.05 in 63 %.
const FIT_ROUNDINGS: f64 = 1.1;

/// Least relative error of least squares: it is a sum, and may have been summed in float32.
const FIT_PRECISION: f64 = 1.0 / 262_144.0;

/// Which rules make what was looked at, one bit each; nothing looked at is made by none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rules {
    ranges: [u64; CHOSEN_BY],
    /// Scale and bias are the least squares of the codes.
    pub(super) fitted: bool,
}

impl Rules {
    /// Those that make both.
    pub(super) fn and(self, other: Self) -> Self {
        let mut ranges = self.ranges;
        ranges.iter_mut().zip(other.ranges).for_each(|(own, other)| *own &= other);
        Self { ranges, fitted: self.fitted && other.fitted }
    }

    /// No rule makes them all.
    pub(super) fn none(self) -> bool {
        !self.plain() && !self.symmetric() && !self.fitted
    }

    /// One rule of plain ranges makes them all.
    pub(super) fn plain(self) -> bool {
        self.ranges.iter().any(|rules| rules & PLAIN != 0)
    }

    /// One rule of symmetric ranges makes them all: one number of steps, one zero, one sign.
    pub(super) fn symmetric(self) -> bool {
        self.ranges.iter().any(|rules| rules & !PLAIN != 0)
    }
}

/// A group's extremes.
struct Span {
    low: f64,
    high: f64,
    /// The weight of the largest size.
    largest: f64,
}

/// The rules that give the stored codes, scale and bias.
pub(super) fn rules(group: &Stored<'_>) -> Rules {
    let mut out = Rules { fitted: group.is_fitted(), ..Rules::default() };
    let cast: Vec<f32> = group.weights.iter().map(|w| group.float.round(*w)).collect();
    for (as_type, weights) in [(0, group.weights), (1, cast.as_slice())] {
        let span = span(weights);
        let mut bit = as_type;
        let mut rule = |scale: f64, bias: &dyn Fn(f64) -> f64| {
            let of_a_rule =
                group.is_rounded(group.bias, bias(group.scale)) || group.is_rounded(group.bias, bias(scale));
            if of_a_rule && group.is_rounded(group.scale, scale) {
                let lines = [(group.scale, group.bias), (scale, bias(scale)), (group.scale, bias(group.scale))];
                for (rules, (scale, bias)) in out.ranges.iter_mut().zip(lines) {
                    *rules |= u64::from(group.is_nearest(weights, scale, bias)) << bit;
                }
            }
            bit += 2;
        };
        rule((span.high - span.low) / group.most, &|_| span.low);
        let middle = group.most / 2.0;
        for sign in SIGNS {
            for steps in [middle, middle - 0.5, middle + 0.5] {
                for zero in [middle, middle + 0.5] {
                    let scale = if steps > 0.0 { sign(&span) * span.largest.abs() / steps } else { f64::NAN };
                    rule(scale, &|scale| -zero * scale);
                }
            }
        }
    }
    out
}

fn span(weights: &[f32]) -> Span {
    let mut span = Span { low: f64::INFINITY, high: f64::NEG_INFINITY, largest: 0.0 };
    for w in weights.iter().map(|w| f64::from(*w)) {
        (span.low, span.high) = (span.low.min(w), span.high.max(w));
        if w.abs() > span.largest.abs() {
            span.largest = w;
        }
    }
    span
}

impl Stored<'_> {
    fn is_rounded(&self, stored: f64, rule: f64) -> bool {
        (stored - rule).abs() <= (ROUNDED * self.unit() + ON_THE_WAY) * rule.abs() + self.smallest()
    }

    /// Every code is the nearest on that line; on either side of a tie only as far as computing may move it.
    fn is_nearest(&self, weights: &[f32], scale: f64, bias: f64) -> bool {
        self.codes.iter().zip(weights).all(|(code, w)| {
            let (code, w) = (f64::from(*code), f64::from(*w));
            let exact = (w - bias) / scale;
            let slack = COMPUTED * (w.abs() + bias.abs()) / scale.abs();
            let beyond = (code == 0.0 && exact <= 0.0) || (code == self.most && exact >= self.most);
            beyond || (exact - code).abs() <= 0.5 + slack
        })
    }

    fn is_fitted(&self) -> bool {
        let n = self.weights.len() as f64;
        let pairs = || self.codes.iter().zip(self.weights).map(|(q, w)| (f64::from(*q), f64::from(*w)));
        let (q, w) = pairs().fold((0.0, 0.0), |sum, (q, w)| (sum.0 + q / n, sum.1 + w / n));
        let (both, own) = pairs()
            .fold((0.0, 0.0), |sum, (code, weight)| (sum.0 + (code - q) * weight, sum.1 + (code - q) * (code - q)));
        let scale = both / own;
        let near = |stored: f64, law: f64| {
            let unit = self.unit().max(FIT_PRECISION);
            (stored - law).abs() <= FIT_ROUNDINGS * (unit * law.abs() + self.smallest())
        };
        // Codes that are all the same have no scale: NaN is not near.
        near(self.scale, scale) && near(self.bias, w - scale * q)
    }
}
