//! Whether one rule makes a whole tensor, code for code: where groups differ in their rule, or codes near a tie in their
//! side, somebody chose.

use super::scale_law::Stored;

/// How far the precision that a code was computed in may move it, over the size of the numbers it came of: float32's
/// rounding, a few times over. It is 0.0005 of a step at 8 bits.
const COMPUTED: f64 = 1.0 / 1_048_576.0;

/// What codes were chosen by: the scale and bias as they are stored, as they were before they were rounded, or the stored
/// scale with its own bias.
const CHOSEN_BY: usize = 3;

/// Whose sign scales have.
const SIGNS: [fn(&Span) -> f64; 4] = [|_| 1.0, |_| -1.0, |s| s.largest.signum(), |s| -s.largest.signum()];

/// Rules of plain ranges: of the weights as they are, and as the file's type has them.
const PLAIN: u64 = 0b11;

/// Which rules make all groups looked at, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rules([u64; CHOSEN_BY]);

/// Before any group was looked at.
impl Default for Rules {
    fn default() -> Self {
        Self([u64::MAX; CHOSEN_BY])
    }
}

impl Rules {
    pub(super) fn and(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(own, other)| *own &= other);
    }

    /// One rule of plain ranges makes them all.
    pub(super) fn plain(self) -> bool {
        self.0.iter().any(|rules| rules & PLAIN != 0)
    }

    /// One rule of symmetric ranges makes them all: one number of steps, one zero, one sign.
    pub(super) fn symmetric(self) -> bool {
        self.0.iter().any(|rules| rules & !PLAIN != 0)
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
    let mut out = Rules([0; CHOSEN_BY]);
    let cast: Vec<f32> = group.weights.iter().map(|w| group.float.round(*w)).collect();
    for (as_type, weights) in [(0, group.weights), (1, cast.as_slice())] {
        let span = span(weights);
        let mut bit = as_type;
        let mut rule = |scale: f64, bias: &dyn Fn(f64) -> f64| {
            if group.near(group.scale, scale) && group.near(group.bias, bias(group.scale)) {
                let lines = [(group.scale, group.bias), (scale, bias(scale)), (group.scale, bias(group.scale))];
                for (rules, (scale, bias)) in out.0.iter_mut().zip(lines) {
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
}
