//! A sum of f64 that is exact, so that it knows no order.
//!
//! A fixed-point number wide enough for every finite f64: limb `i` holds a multiple of 2^(32·i − 1074)
//! (Kulisch's long accumulator; the i64 limbs with room for delayed carries are Neal's "small
//! superaccumulator", arXiv 1505.05571). Adding is three integer additions; it rounds once, when read.

use serde::{Deserialize, Serialize};

/// 2,098 bits for every finite f64, 64 more for the carries of 2^64 additions.
const LIMBS: usize = 68;
const LIMB_BITS: usize = 32;
const LIMB_MASK: i64 = 0xffff_ffff;
/// Each addition puts less than 2^32 into a limb, so this many leave an i64 far from overflow.
const MAX_PENDING: u32 = 1 << 30;

/// An exact, order-independent, mergeable sum of f64. NaN and infinities are counted beside it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(into = "Saved", try_from = "Saved")]
pub struct ExactSum {
    limbs: [i64; LIMBS],
    pending: u32,
    nan: u64,
    positive_infinity: u64,
    negative_infinity: u64,
}

impl Default for ExactSum {
    fn default() -> Self {
        Self { limbs: [0; LIMBS], pending: 0, nan: 0, positive_infinity: 0, negative_infinity: 0 }
    }
}

impl ExactSum {
    /// The empty sum, 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one number.
    pub fn add(&mut self, x: f64) {
        if !x.is_finite() {
            let lane = if x.is_nan() {
                &mut self.nan
            } else if x.is_sign_negative() {
                &mut self.negative_infinity
            } else {
                &mut self.positive_infinity
            };
            *lane = lane.saturating_add(1);
            return;
        }
        if x == 0.0 {
            return;
        }
        if self.pending >= MAX_PENDING {
            self.carry();
        }
        self.pending += 1;
        let bits = x.to_bits();
        let exponent = ((bits >> 52) & 0x7ff) as usize;
        let fraction = bits & ((1 << 52) - 1);
        // A subnormal has exponent field 0, the scale of field 1, and no hidden bit.
        let (mantissa, shift) = if exponent == 0 { (fraction, 0) } else { (fraction + (1 << 52), exponent - 1) };
        let (limb, offset) = (shift / LIMB_BITS, shift % LIMB_BITS);
        let wide = u128::from(mantissa) << offset;
        let pieces = [wide as u32, (wide >> 32) as u32, (wide >> 64) as u32].map(i64::from);
        let limbs = &mut self.limbs[limb..limb + 3];
        if x.is_sign_negative() {
            limbs[0] -= pieces[0];
            limbs[1] -= pieces[1];
            limbs[2] -= pieces[2];
        } else {
            limbs[0] += pieces[0];
            limbs[1] += pieces[1];
            limbs[2] += pieces[2];
        }
    }

    /// Adds another sum, exactly.
    pub fn merge(&mut self, other: &Self) {
        let mut other = other.clone();
        other.carry();
        self.carry();
        for (mine, theirs) in self.limbs.iter_mut().zip(&other.limbs) {
            *mine = mine.wrapping_add(*theirs);
        }
        self.pending = 1;
        self.nan = self.nan.saturating_add(other.nan);
        self.positive_infinity = self.positive_infinity.saturating_add(other.positive_infinity);
        self.negative_infinity = self.negative_infinity.saturating_add(other.negative_infinity);
    }

    /// The sum, rounded once to the nearest f64 (ties to even).
    ///
    /// NaN when a NaN or both infinities were added; beyond the largest f64 an infinity.
    pub fn value(&self) -> f64 {
        match (self.nan, self.positive_infinity, self.negative_infinity) {
            (0, 0, 0) => {}
            (0, _, 0) => return f64::INFINITY,
            (0, 0, _) => return f64::NEG_INFINITY,
            _ => return f64::NAN,
        }
        let (negative, limbs) = self.magnitude();
        let value = rounded(&limbs);
        if negative { -value } else { value }
    }

    /// Moves what exceeds 32 bits up a limb; all limbs but the last are then in 0..2^32, which makes
    /// the representation of a number unique.
    fn carry(&mut self) {
        let mut carry = 0i64;
        for limb in &mut self.limbs[..LIMBS - 1] {
            let sum = limb.wrapping_add(carry);
            carry = sum >> LIMB_BITS;
            *limb = sum & LIMB_MASK;
        }
        self.limbs[LIMBS - 1] = self.limbs[LIMBS - 1].wrapping_add(carry);
        self.pending = 0;
    }

    /// Sign, and the absolute value with limbs of 32 bits.
    fn magnitude(&self) -> (bool, [u32; LIMBS]) {
        let mut sum = self.clone();
        sum.carry();
        let negative = sum.limbs[LIMBS - 1] < 0;
        if negative {
            for limb in &mut sum.limbs {
                *limb = limb.wrapping_neg();
            }
            sum.carry();
        }
        // Only the last limb can exceed 32 bits, and then the value is far beyond the largest f64.
        (negative, sum.limbs.map(|l| u32::try_from(l).unwrap_or(u32::MAX)))
    }
}

/// Nearest f64 (ties to even) of Σ limb·2^(32·i − 1074).
fn rounded(limbs: &[u32; LIMBS]) -> f64 {
    let Some(high) = limbs.iter().rposition(|&l| l != 0) else { return 0.0 };
    let top = high * LIMB_BITS + (31 - limbs[high].leading_zeros() as usize);
    if top < 53 {
        // Below 2^53 units of 2^-1074 the integer *is* the bit pattern, subnormal or not.
        return f64::from_bits((u64::from(limbs[1]) << 32) + u64::from(limbs[0]));
    }
    let limb = |below: usize| high.checked_sub(below).map_or(0, |i| u128::from(limbs[i]));
    let window = (limb(0) << 64) + (limb(1) << 32) + limb(2);
    let sticky = high >= 3 && limbs[..high - 2].iter().any(|&l| l != 0);
    let drop = 64 + (31 - limbs[high].leading_zeros() as usize) - 52;
    let mantissa = (window >> drop) as u64;
    let (rest, half) = (window & ((1 << drop) - 1), 1u128 << (drop - 1));
    let up = rest > half || (rest == half && (sticky || mantissa & 1 == 1));
    // The hidden bit adds one to the exponent field; so does a mantissa that rounds up to 2^53.
    let bits = (((top - 52) as u64) << 52) + mantissa + u64::from(up);
    if bits >= f64::INFINITY.to_bits() { f64::INFINITY } else { f64::from_bits(bits) }
}

impl PartialEq for ExactSum {
    fn eq(&self, other: &Self) -> bool {
        Saved::from(self.clone()) == Saved::from(other.clone())
    }
}

impl Eq for ExactSum {}

/// The unique written form: sign, and the non-zero run of limbs of the absolute value.
#[derive(PartialEq, Serialize, Deserialize)]
struct Saved {
    negative: bool,
    start: usize,
    limbs: Vec<u32>,
    nan: u64,
    positive_infinity: u64,
    negative_infinity: u64,
}

impl From<ExactSum> for Saved {
    fn from(sum: ExactSum) -> Self {
        let (negative, limbs) = sum.magnitude();
        let start = limbs.iter().position(|&l| l != 0).unwrap_or(0);
        let end = limbs.iter().rposition(|&l| l != 0).map_or(start, |i| i + 1);
        Self {
            negative,
            start,
            limbs: limbs[start..end].to_vec(),
            nan: sum.nan,
            positive_infinity: sum.positive_infinity,
            negative_infinity: sum.negative_infinity,
        }
    }
}

impl TryFrom<Saved> for ExactSum {
    type Error = String;

    fn try_from(saved: Saved) -> Result<Self, String> {
        let mut sum = Self {
            nan: saved.nan,
            positive_infinity: saved.positive_infinity,
            negative_infinity: saved.negative_infinity,
            ..Self::default()
        };
        let end = saved.start.checked_add(saved.limbs.len()).filter(|&end| end <= LIMBS);
        let end = end.ok_or_else(|| format!("an exact sum has {LIMBS} limbs, found more"))?;
        for (limb, saved_limb) in sum.limbs[saved.start..end].iter_mut().zip(&saved.limbs) {
            let value = i64::from(*saved_limb);
            *limb = if saved.negative { -value } else { value };
        }
        sum.carry();
        Ok(sum)
    }
}

#[cfg(test)]
#[path = "sum_tests.rs"]
mod tests;
