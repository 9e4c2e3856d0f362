//! The one pass over a token's two vectors that every formula lives on.

use super::scale::Scale;
use crate::vectors::widest;

/// Independent partial sums. Fixed, so that a token's sums have the same bits on every machine: four
/// f64 are two SSE2 registers or one AVX2 register, and six such sums fit the sixteen SSE2 registers.
const LANES: usize = 4;

/// What is known about one token: sums over its dimensions, in f64.
///
/// With a NaN or an infinity on either side every sum is NaN and only `non_finite` counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenSums {
    /// Width of the vectors.
    pub dimensions: usize,
    /// Σr².
    pub reference: f64,
    /// Σc².
    pub candidate: f64,
    /// Σ(c−r)².
    pub difference: f64,
    /// max |c−r|.
    pub max_abs: f64,
    /// ‖r/‖r‖ − c/‖c‖‖²; NaN when either vector is zero.
    pub unit_difference: f64,
    /// Σ((c−r)/σ)²; NaN without a scale.
    pub standardized_difference: f64,
    /// Σ(r/σ)²; NaN without a scale.
    pub standardized_reference: f64,
    /// Values that are NaN or infinite, on both sides together.
    pub non_finite: u64,
}

impl TokenSums {
    /// One token: both vectors `[hidden]`. They must be equally long and, with a scale, as long as
    /// that; what is longer is not read.
    pub fn of(reference: &[f32], candidate: &[f32], scale: Option<&Scale>) -> Self {
        widest(
            #[inline(always)]
            || Self::sums(reference, candidate, scale),
        )
    }

    #[inline(always)]
    fn sums(reference: &[f32], candidate: &[f32], scale: Option<&Scale>) -> Self {
        let mut n = reference.len().min(candidate.len());
        if let Some(scale) = scale {
            n = n.min(scale.weights().len());
        }
        let (r, c) = (&reference[..n], &candidate[..n]);
        let mut sums = match scale {
            Some(scale) => first_pass::<true>(r, c, &scale.weights()[..n]),
            None => first_pass::<false>(r, c, &[]),
        };
        // f32 squares cannot overflow an f64, so a sum is finite exactly when every value is.
        if sums.reference.is_finite() && sums.candidate.is_finite() {
            sums.unit_difference = unit_difference(r, c, &sums);
            return sums;
        }
        let non_finite = r.iter().chain(c).filter(|x| !x.is_finite()).count() as u64;
        Self {
            dimensions: n,
            reference: f64::NAN,
            candidate: f64::NAN,
            difference: f64::NAN,
            max_abs: f64::NAN,
            unit_difference: f64::NAN,
            standardized_difference: f64::NAN,
            standardized_reference: f64::NAN,
            non_finite,
        }
    }

    /// The first dimension where |c−r| is `max_abs`, and the reference there.
    pub(crate) fn place_of_max_abs(&self, reference: &[f32], candidate: &[f32]) -> Option<(u32, f64)> {
        let at =
            reference.iter().zip(candidate).position(|(&r, &c)| (f64::from(c) - f64::from(r)).abs() == self.max_abs);
        at.and_then(|i| Some((u32::try_from(i).ok()?, f64::from(reference[i]))))
    }
}

#[derive(Clone, Copy, Default)]
struct Lanes {
    rr: [f64; LANES],
    cc: [f64; LANES],
    dd: [f64; LANES],
    max: [f64; LANES],
    wdd: [f64; LANES],
    wrr: [f64; LANES],
}

impl Lanes {
    #[inline(always)]
    fn add<const SCALED: bool>(&mut self, lane: usize, r: f32, c: f32, weight: f64) {
        let (r, c) = (f64::from(r), f64::from(c));
        let d = c - r;
        let (rr, dd, abs) = (r * r, d * d, d.abs());
        self.rr[lane] += rr;
        self.cc[lane] += c * c;
        self.dd[lane] += dd;
        // A comparison, not f64::max: the latter's reduction next to others has crashed the compiler.
        self.max[lane] = if abs > self.max[lane] { abs } else { self.max[lane] };
        if SCALED {
            self.wdd[lane] += dd * weight;
            self.wrr[lane] += rr * weight;
        }
    }
}

#[inline(always)]
fn first_pass<const SCALED: bool>(r: &[f32], c: &[f32], weights: &[f64]) -> TokenSums {
    let (r_chunks, r_rest) = r.as_chunks::<LANES>();
    let (c_chunks, c_rest) = c.as_chunks::<LANES>();
    let (w_chunks, w_rest) = weights.as_chunks::<LANES>();
    let mut lanes = Lanes::default();
    if SCALED {
        for ((r, c), w) in r_chunks.iter().zip(c_chunks).zip(w_chunks) {
            for lane in 0..LANES {
                lanes.add::<SCALED>(lane, r[lane], c[lane], w[lane]);
            }
        }
    } else {
        for (r, c) in r_chunks.iter().zip(c_chunks) {
            for lane in 0..LANES {
                lanes.add::<SCALED>(lane, r[lane], c[lane], 0.0);
            }
        }
    }
    for (lane, (&r, &c)) in r_rest.iter().zip(c_rest).enumerate() {
        lanes.add::<SCALED>(lane, r, c, w_rest.get(lane).copied().unwrap_or(0.0));
    }
    let standardized = |sum: [f64; LANES]| if SCALED { total(sum) } else { f64::NAN };
    let mut max_abs = 0.0;
    for m in lanes.max {
        if m > max_abs {
            max_abs = m;
        }
    }
    TokenSums {
        dimensions: r.len(),
        reference: total(lanes.rr),
        candidate: total(lanes.cc),
        difference: total(lanes.dd),
        max_abs,
        unit_difference: f64::NAN,
        standardized_difference: standardized(lanes.wdd),
        standardized_reference: standardized(lanes.wrr),
        non_finite: 0,
    }
}

/// ‖r/‖r‖ − c/‖c‖‖². A pass of its own because it needs both norms; the vectors are in the cache.
#[inline(always)]
fn unit_difference(r: &[f32], c: &[f32], sums: &TokenSums) -> f64 {
    if sums.reference == 0.0 || sums.candidate == 0.0 {
        return f64::NAN;
    }
    if sums.difference == 0.0 {
        return 0.0;
    }
    let (inverse_r, inverse_c) = (1.0 / sums.reference.sqrt(), 1.0 / sums.candidate.sqrt());
    let square = |r: f32, c: f32| {
        let u = f64::from(r) * inverse_r - f64::from(c) * inverse_c;
        u * u
    };
    let (r_chunks, r_rest) = r.as_chunks::<LANES>();
    let (c_chunks, c_rest) = c.as_chunks::<LANES>();
    let mut sum = [0.0; LANES];
    for (r, c) in r_chunks.iter().zip(c_chunks) {
        for lane in 0..LANES {
            sum[lane] += square(r[lane], c[lane]);
        }
    }
    for (lane, (&r, &c)) in r_rest.iter().zip(c_rest).enumerate() {
        sum[lane] += square(r, c);
    }
    total(sum)
}

/// Σ(c−r)² alone: what a cross-match needs of each pair of taps.
pub(crate) fn difference(r: &[f32], c: &[f32]) -> f64 {
    widest(
        #[inline(always)]
        || square_of_difference(r, c),
    )
}

#[inline(always)]
fn square_of_difference(r: &[f32], c: &[f32]) -> f64 {
    let square = |r: f32, c: f32| {
        let d = f64::from(c) - f64::from(r);
        d * d
    };
    let (r_chunks, r_rest) = r.as_chunks::<LANES>();
    let (c_chunks, c_rest) = c.as_chunks::<LANES>();
    let mut sum = [0.0; LANES];
    for (r, c) in r_chunks.iter().zip(c_chunks) {
        for lane in 0..LANES {
            sum[lane] += square(r[lane], c[lane]);
        }
    }
    for (lane, (&r, &c)) in r_rest.iter().zip(c_rest).enumerate() {
        sum[lane] += square(r, c);
    }
    total(sum)
}

/// Σa·b: similarities and energies.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f64 {
    widest(
        #[inline(always)]
        || sum_of_products(a, b),
    )
}

#[inline(always)]
fn sum_of_products(a: &[f32], b: &[f32]) -> f64 {
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    let mut sum = [0.0; LANES];
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..LANES {
            sum[lane] += f64::from(a[lane]) * f64::from(b[lane]);
        }
    }
    for (lane, (&a, &b)) in a_rest.iter().zip(b_rest).enumerate() {
        sum[lane] += f64::from(a) * f64::from(b);
    }
    total(sum)
}

#[inline(always)]
fn total(sum: [f64; LANES]) -> f64 {
    (sum[0] + sum[1]) + (sum[2] + sum[3])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_summed_to_its_end() {
        let (r, c) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], [2.0, 2.0, 3.0, 4.0, 7.0, 6.0, 4.0]);
        let by_hand = [1.0, 1.0, 1.0, 1.0, 5.0, 5.0, 14.0];
        for n in 1..=7 {
            assert_eq!(difference(&r[..n], &c[..n]), by_hand[n - 1], "{n}");
            assert_eq!(TokenSums::of(&r[..n], &c[..n], None).difference, by_hand[n - 1], "{n}");
        }
        assert_eq!(dot(&r, &c), 130.0);
    }

    #[test]
    fn one_value_that_is_none_on_either_side_leaves_no_sum() {
        let good = [1.0, 2.0, 3.0];
        for bad in [f32::NAN, f32::INFINITY] {
            let other = [1.0, bad, 3.0];
            for sums in [TokenSums::of(&good, &other, None), TokenSums::of(&other, &good, None)] {
                assert!(sums.reference.is_nan() && sums.candidate.is_nan() && sums.difference.is_nan());
                assert_eq!((sums.non_finite, sums.dimensions), (1, 3));
            }
        }
    }
}
