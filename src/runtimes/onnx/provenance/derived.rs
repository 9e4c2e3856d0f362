//! Constants that follow from no weight: rotary frequencies and tables, masks, and one value repeated.

use super::leaves::Leaf;

/// How far a rotary frequency may be from the power of its base, as a share of it: exporters compute it in float32, and
/// the exponent's rounding (6e-8) counts as often as the base has natural logarithms: 8e-7 for a base of 1,000,000.
const FREQUENCY: f64 = 2e-6;
/// How far the entry of a rotary table may be from its cosine or sine, and beside that two rounding steps of the angle:
/// one float32 step of a number below 1, and the function's own error.
const WAVE: f64 = 2e-7;
/// Values from which a mask's fill is told: exporters write -10,000, -65,504 (float16's least), float32's least or -∞.
const FILL: f32 = -1e4;
/// Most positions of a rotary table that are compared; no encoder here takes more.
const MAX_POSITIONS: usize = 1 << 20;

/// What a constant is that is no weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Derived {
    /// One value: zero, one, or what a mask is filled with.
    Uniform,
    /// Two values, from every token to every token: nothing, and what a mask is filled with.
    Mask,
    /// 1, base^(−1/n), base^(−2/n), ... of a base that the configuration states.
    Frequencies,
    /// Cosines or sines of positions times such frequencies.
    Waves,
    /// Frequencies of another base.
    OtherBase(f64),
    /// Frequencies of a stated base but for the element at this place.
    Bent(f64, usize),
}

/// What a constant is, if it is no weight. `bases` are what the configuration says.
pub(super) fn derived(leaf: &Leaf, bases: &[f64]) -> Option<Derived> {
    let values = &leaf.values;
    let first = *values.first()?;
    let plain = |v: f32| v == 0.0 || v == 1.0;
    if values.iter().all(|v| *v == first) && (plain(first) || first <= FILL) {
        return Some(Derived::Uniform);
    }
    let square = matches!(*leaf.shape.as_slice(), [a, b] if a == b);
    if square && (values.iter().all(|v| *v == 0.0 || *v <= FILL) || values.iter().all(|v| plain(*v))) {
        return Some(Derived::Mask);
    }
    if bases.is_empty() {
        return None;
    }
    match *leaf.shape.as_slice() {
        [_] if frequencies_like(values) => Some(frequencies(values, bases)),
        [positions, width] if positions <= MAX_POSITIONS => {
            bases.iter().any(|&base| waves(values, positions, width, base)).then_some(Derived::Waves)
        }
        _ => None,
    }
}

/// From one downwards, and never to zero.
fn frequencies_like(values: &[f32]) -> bool {
    values.first() == Some(&1.0) && values.iter().all(|v| *v > 0.0) && values.iter().skip(1).all(|v| *v < 1.0)
}

fn frequencies(values: &[f32], bases: &[f64]) -> Derived {
    let n = values.len() as f64;
    let off = |base: f64| {
        let wrong = move |&(i, v): &(usize, &f32)| {
            let expected = base.powf(-(i as f64) / n);
            // NaN is wrong.
            let right = (f64::from(*v) - expected).abs() <= FREQUENCY * expected;
            !right
        };
        let mut all = values.iter().enumerate().filter(wrong).map(|(i, _)| i);
        let first = all.next();
        (first.map_or(0, |_| 1 + all.count()), first.unwrap_or(0), base)
    };
    let best = bases.iter().map(|&base| off(base)).min_by_key(|(wrong, ..)| *wrong);
    match best {
        Some((0, ..)) => Derived::Frequencies,
        // Most of them are of that base.
        Some((wrong, first, base)) if 2 * wrong < values.len() && values.len() > 2 => Derived::Bent(base, first),
        _ => {
            // The last one tells the base most exactly.
            let last = f64::from(values.last().copied().unwrap_or(f32::NAN));
            Derived::OtherBase(last.powf(-n / (n - 1.0)))
        }
    }
}

/// True for cosines, or sines, of every position times every frequency, the frequencies standing there once or twice.
fn waves(values: &[f32], positions: usize, width: usize, base: f64) -> bool {
    let table = |pairs: usize, wave: fn(f64) -> f64| {
        let each = |i: usize| f64::from(base.powf(-((i % pairs) as f64) / pairs as f64) as f32);
        let frequencies: Vec<f64> = (0..width).map(each).collect();
        values.chunks_exact(width).enumerate().all(|(p, row)| {
            row.iter().zip(&frequencies).all(|(v, f)| {
                let angle = p as f64 * f;
                (f64::from(*v) - wave(angle)).abs() <= WAVE + angle * 2.0 * f64::from(f32::EPSILON)
            })
        })
    };
    let halves = [width, width / 2].into_iter().filter(|pairs| *pairs > 0);
    positions > 0 && width > 0 && halves.into_iter().any(|pairs| table(pairs, f64::cos) || table(pairs, f64::sin))
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn leaf(shape: &[usize], values: Vec<f32>) -> Leaf<'static> {
        Leaf { tensor: 0, name: "c", shape: shape.to_vec(), values: Cow::Owned(values), rounded: |v| v, inside: true }
    }

    #[test]
    fn frequencies_are_held_to_the_stated_base() {
        let inverse = |base: f32| (0..8).map(move |i| 1.0 / base.powf(i as f32 / 8.0)).collect::<Vec<f32>>();
        let of = |values: Vec<f32>, bases: &[f64]| derived(&leaf(&[8], values), bases);
        assert_eq!(of(inverse(160_000.0), &[10_000.0, 160_000.0]), Some(Derived::Frequencies));
        let Some(Derived::OtherBase(base)) = of(inverse(150_000.0), &[160_000.0]) else { panic!() };
        assert!((base - 150_000.0).abs() < 1.0, "{base}");
        let mut bent = inverse(10_000.0);
        bent[5] *= 1.001;
        assert_eq!(of(bent, &[10_000.0]), Some(Derived::Bent(10_000.0, 5)));
        assert_eq!(of(inverse(10_000.0), &[]), None, "an architecture without rotation has none");
    }

    #[test]
    fn tables_are_held_to_it_too_and_masks_are_two_values() {
        let inverse = |base: f32| (0..8).map(move |i| 1.0 / base.powf(i as f32 / 8.0)).collect::<Vec<f32>>();
        let table = |wave: fn(f32) -> f32| -> Vec<f32> {
            let row = |p| inverse(10_000.0).repeat(2).into_iter().map(move |f| wave(p as f32 * f));
            (0..64).flat_map(row).collect()
        };
        let mut cosines = table(f32::cos);
        assert_eq!(derived(&leaf(&[64, 16], cosines.clone()), &[10_000.0]), Some(Derived::Waves));
        assert_eq!(derived(&leaf(&[64, 16], table(f32::sin)), &[10_000.0]), Some(Derived::Waves));
        assert_eq!(derived(&leaf(&[64, 16], cosines.clone()), &[10_100.0]), None);
        cosines[63 * 16] += 0.01;
        assert_eq!(derived(&leaf(&[64, 16], cosines), &[10_000.0]), None);
        assert_eq!(derived(&leaf(&[3], vec![0.0; 3]), &[]), Some(Derived::Uniform));
        assert_eq!(derived(&leaf(&[3], vec![0.05; 3]), &[]), None);
        assert_eq!(derived(&leaf(&[2, 2], vec![0.0, f32::NEG_INFINITY, 0.0, 0.0]), &[]), Some(Derived::Mask));
        assert_eq!(derived(&leaf(&[2], vec![0.0, f32::NAN]), &[]), None);
    }
}
