//! One group of a tensor against the original and against its twin: what can have made it, and how far off it is.

use super::recipe::{Recipe, Scratch};
use super::scale_law::Laid;
use super::stored::Stored;
use crate::quantization::{Codes, FloatCodes, FloatType, QuantizationMode};

/// How far beyond the nearest code a weight may lie in a group that was rounded to nearest, in steps. Measured: 0 for
/// plain, fitted and clipped scales; a code that is one off lies 0.5 beyond on average.
const NEAREST_SLACK: f64 = 0.25;

/// The same where channels were scaled: the factors are estimated from rounded weights, and weights are up to 128 steps
/// from zero. Measured at 8 bits: 0.3 at most.
const FOLDED_SLACK: f64 = 0.5;

/// What is known of a group.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Group {
    /// Codes, scale and bias are the twin's.
    pub(super) equal: bool,
    /// The codes are the twin's.
    pub(super) same_codes: bool,
    /// Every code is the nearest one with the group's own scale and bias.
    pub(super) nearest: bool,
    /// Every code is one of the two around the weight, with the group's own scale and bias.
    pub(super) within_step: bool,
    /// The weights are all the same: any quantizer stores them alike.
    pub(super) constant: bool,
    /// How scale and bias are laid; nothing where they are no floats.
    pub(super) laid: Laid,
    /// Sum of the squares of half a step.
    pub(super) half_squares: f64,
    /// Sum of squared errors.
    pub(super) squares: f64,
    /// The twin's.
    pub(super) twin_squares: f64,
    /// Root mean square error in half steps of the twin.
    pub(super) error: f64,
    /// Largest error of a weight in half steps of the twin, and its place in the group.
    pub(super) largest: (f64, usize),
}

impl Group {
    /// From values alone: `unit` is the largest relative error of rounding to the stored type.
    pub(super) fn of_values(o: &[f32], c: &[f32], t: &[f32], unit: f64, bits: u32, mode: &QuantizationMode) -> Self {
        let (low, high) = o.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
        let (low, high) = (f64::from(low), f64::from(high));
        let most = low.abs().max(high.abs());
        let near = 4.0 * unit * most;
        let steps = 2f64.powi(bits as i32) - 1.0;
        let mut sums = Sums::default();
        let mut equal = true;
        for (i, ((o, c), t)) in o.iter().zip(c).zip(t).enumerate() {
            let (o, c, t) = (f64::from(*o), f64::from(*c), f64::from(*t));
            equal &= (c - t).abs() <= near;
            let half = match mode.floats {
                None => 0.5 * (high - low) / steps,
                Some(codes) => codes.rounding(o, codes.scale(most)),
            };
            sums.add(i, c - o, t - o, half);
        }
        let constant = low == high;
        sums.group(Self { equal, same_codes: equal, nearest: equal, within_step: equal, constant, ..Self::default() })
    }
}

/// Sums over a group.
#[derive(Default)]
struct Sums {
    squares: f64,
    twin: f64,
    half: f64,
    largest: (f64, usize),
}

impl Sums {
    fn add(&mut self, i: usize, error: f64, twin: f64, half: f64) {
        self.squares += error * error;
        self.twin += twin * twin;
        self.half += half * half;
        // An error where there is no step is beyond every limit.
        let size = if error == 0.0 { 0.0 } else { error.abs() / half };
        if size > self.largest.0 || size.is_nan() {
            self.largest = (size, i);
        }
    }

    fn group(self, known: Group) -> Group {
        let error = if self.squares == 0.0 { 0.0 } else { (self.squares / self.half).sqrt() };
        let (squares, twin_squares, half_squares) = (self.squares, self.twin, self.half);
        Group { squares, twin_squares, half_squares, error, largest: self.largest, ..known }
    }
}

/// Group `g` of a row whose original is `row`; `scratch` holds the twin's codes and the file's.
pub(super) fn group_facts(
    recipe: &Recipe,
    row: &[f32],
    g: usize,
    (equal, folded): (bool, bool),
    scratch: &Scratch,
) -> Group {
    let slack = if folded { FOLDED_SLACK } else { NEAREST_SLACK };
    let size = recipe.target.group_size;
    let range = g * size..(g + 1) * size;
    let empty: &[u8] = &[];
    let weights = row.get(range.clone()).unwrap_or(&[]);
    let own = scratch.own.codes.get(range.clone()).unwrap_or(empty);
    let twin = scratch.twin.codes.get(range).unwrap_or(empty);
    let known = Group {
        equal,
        same_codes: own == twin,
        nearest: true,
        within_step: true,
        constant: weights.windows(2).all(|w| w[0] == w[1]),
        ..Group::default()
    };
    let group = match recipe.mode.floats {
        None => affine(recipe, weights, [own, twin], (g, slack), scratch, known),
        Some(codes) => floats(codes, weights, [own, twin], (g, slack), scratch, known),
    };
    // What is the twin's may lie beyond the nearest code: its scale was rounded after the codes were chosen.
    match equal {
        true => Group { nearest: true, within_step: true, same_codes: true, ..group },
        false => group,
    }
}

fn affine(
    recipe: &Recipe,
    weights: &[f32],
    codes: [&[u8]; 2],
    (g, slack): (usize, f64),
    scratch: &Scratch,
    mut known: Group,
) -> Group {
    let line = |codes: &Codes| {
        let of = |values: &[f32]| values.get(g).copied().map_or(f64::NAN, f64::from);
        (of(&codes.scales), of(&codes.biases))
    };
    let ((scale, bias), (twin_scale, twin_bias)) = (line(&scratch.own), line(&scratch.twin));
    let unit = recipe.target.float.unit_roundoff();
    let most = 2f64.powi(recipe.target.bits as i32) - 1.0;
    known.laid = Stored { weights, codes: codes[0], scale, bias, most, float: recipe.target.float }.laid();
    let mut sums = Sums::default();
    for (i, ((w, own), twin)) in weights.iter().zip(codes[0]).zip(codes[1]).enumerate() {
        let (w, own, twin) = (f64::from(*w), f64::from(*own), f64::from(*twin));
        let (c, t) = (own * scale + bias, twin * twin_scale + twin_bias);
        sums.add(i, c - w, t - w, 0.5 * twin_scale.abs());
        // Codes are chosen by weights cast to the type, and by a scale and bias that were rounded to it afterwards.
        let rounding = unit * (w.abs() + (own * scale).abs() + bias.abs());
        let beyond = (own == 0.0 && (w - c) * scale <= 0.0) || (own == most && (w - c) * scale >= 0.0);
        let off = (w - c).abs() - rounding;
        // Written so that NaN is neither.
        known.nearest &= beyond || off <= (0.5 + slack) * scale.abs();
        known.within_step &= beyond || off <= scale.abs();
    }
    sums.group(known)
}

fn floats(
    formats: &FloatCodes,
    weights: &[f32],
    codes: [&[u8]; 2],
    (g, slack): (usize, f64),
    scratch: &Scratch,
    mut known: Group,
) -> Group {
    let bytes = [&scratch.own, &scratch.twin].map(|c| c.bytes.get(g).copied().unwrap_or(0));
    let [scale, twin_scale] = bytes.map(|byte| formats.scale_of(byte));
    // The weights may have been cast to any type.
    let unit = FloatType::BF16.unit_roundoff();
    let mut sums = Sums::default();
    for (i, ((w, own), twin)) in weights.iter().zip(codes[0]).zip(codes[1]).enumerate() {
        let w = f64::from(*w);
        let (c, t) = (formats.value(*own, bytes[0]), formats.value(*twin, bytes[1]));
        sums.add(i, c - w, t - w, formats.rounding(w, twin_scale));
        let off = (w - c).abs() - unit * w.abs();
        let half = formats.rounding(w, scale);
        known.nearest &= off <= (1.0 + 2.0 * slack) * half;
        known.within_step &= off <= 2.0 * half;
    }
    sums.group(known)
}
