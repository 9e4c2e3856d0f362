//! How far two rows are apart, and whether one is a simple change of the other.

use std::collections::HashMap;

use crate::figures;

/// Changes are told where they explain the values to this relative L2.
const TOLD: f64 = 1e-5;

/// The relative L2 of every token of two `[tokens, width]` rows of the same length.
pub(crate) fn per_token<'a>(found: &'a [f32], expected: &'a [f32], width: usize) -> impl Iterator<Item = f64> + 'a {
    let tokens = found.chunks(width.max(1)).zip(expected.chunks(width.max(1)));
    tokens.map(|(a, b)| relative(a.iter().copied(), b))
}

/// The largest relative L2 over the tokens of two `[tokens, width]` rows, and the token; infinite where it is no number
/// or the rows differ in length.
pub(crate) fn apart(found: &[f32], expected: &[f32], width: usize) -> (f64, usize) {
    if found.len() != expected.len() || width == 0 || found.is_empty() {
        return (f64::INFINITY, 0);
    }
    let mut worst = (0.0, 0);
    for (t, distance) in per_token(found, expected, width).enumerate() {
        if distance > worst.0 {
            worst = (distance, t);
        }
    }
    worst
}

/// `|a - b| / |b|`: 0 where both are zeros, infinite where it is no number.
fn relative(a: impl Iterator<Item = f32>, b: &[f32]) -> f64 {
    let (mut wrong, mut norm) = (0f64, 0f64);
    for (a, b) in a.zip(b) {
        let (a, b) = (f64::from(a), f64::from(*b));
        wrong += (a - b) * (a - b);
        norm += b * b;
    }
    let distance = if wrong == 0.0 { 0.0 } else { (wrong / norm).sqrt() };
    if distance.is_nan() { f64::INFINITY } else { distance }
}

/// In words, what simple change makes `found` of `expected`, both `[tokens, width]`.
pub(crate) fn change(found: &[f32], expected: &[f32], width: usize) -> Option<String> {
    if found.len() != expected.len() || width == 0 || found.is_empty() {
        return None;
    }
    if found.iter().all(|v| *v == 0.0) {
        return Some("it holds only zeros".to_owned());
    }
    if let Some(bad) = found.iter().find(|v| !v.is_finite()) {
        return Some(format!("it holds {bad}"));
    }
    if let Some(factor) = factor(found, expected) {
        return Some(match (factor + 1.0).abs() <= TOLD {
            true => "it is that state negated".to_owned(),
            false => format!("it is that state multiplied by {}", figures::apart(factor, 1.0).0),
        });
    }
    let (rows, others) = (|| found.chunks(width), || expected.chunks(width));
    let all = |same: &dyn Fn(&[f32], &[f32]) -> f64| rows().zip(others()).all(|(a, b)| same(a, b) <= TOLD);
    if all(&|a, b| relative(a.iter().rev().copied(), b)) {
        return Some("it is that state with its dimensions in reverse order".to_owned());
    }
    if rows().rev().zip(others()).all(|(a, b)| relative(a.iter().copied(), b) <= TOLD) {
        return Some("it is that state with its tokens in reverse order".to_owned());
    }
    if let Some(moved) = permuted(found, expected, width) {
        return Some(format!("it is that state with {moved} of its {width} dimensions in other places"));
    }
    if rows().len() > 1 {
        if rows().skip(1).zip(others()).all(|(a, b)| relative(a.iter().copied(), b) <= TOLD) {
            return Some("it is that state, each token one place later".to_owned());
        }
        if all(&|a, b| factor(a, b).map_or(f64::INFINITY, |_| 0.0)) {
            return Some("it is that state with each token scaled by a different factor".to_owned());
        }
        let first: Vec<f32> = found.iter().zip(expected).take(width).map(|(a, b)| a - b).collect();
        if all(&|a, b| relative(a.iter().zip(&first).map(|(a, d)| a - d), b)) {
            return Some("it is that state with one vector added to every token".to_owned());
        }
    }
    let same = rows().zip(others()).filter(|(a, b)| relative(a.iter().copied(), b) <= TOLD).count();
    match (same, rows().len()) {
        (0, _) => None,
        (same, tokens) => Some(format!("{same} of the row's {tokens} tokens are as they should be")),
    }
}

/// The one factor between the two.
fn factor(found: &[f32], expected: &[f32]) -> Option<f64> {
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let factor = product(found, expected) / product(expected, expected);
    let wrong: f64 =
        found.iter().zip(expected).map(|(a, b)| (f64::from(*a) - factor * f64::from(*b)).powi(2)).sum::<f64>();
    (wrong.sqrt() <= TOLD * product(found, found).sqrt()).then_some(factor)
}

/// How many dimensions stand in other places, where all of them are the other's, bit for bit.
fn permuted(found: &[f32], expected: &[f32], width: usize) -> Option<usize> {
    let columns = |values: &[f32]| -> Vec<Vec<u32>> {
        (0..width).map(|d| values.iter().skip(d).step_by(width).map(|v| v.to_bits()).collect()).collect()
    };
    let (ours, theirs) = (columns(found), columns(expected));
    let mut places: HashMap<&[u32], usize> = HashMap::new();
    theirs.iter().enumerate().for_each(|(d, column)| _ = places.insert(column, d));
    let from: Option<Vec<usize>> = ours.iter().map(|column| places.get(column.as_slice()).copied()).collect();
    let mut sorted = from.clone()?;
    sorted.sort_unstable();
    sorted.dedup();
    (sorted.len() == width).then(|| from.iter().flatten().enumerate().filter(|(d, from)| d != *from).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_in_words_and_nothing_is_no_distance() {
        let expected: Vec<f32> = (0..12).map(|i| (i as f32 * 0.7).sin()).collect();
        let with = |f: &dyn Fn(usize) -> f32| -> Vec<f32> { (0..12).map(f).collect() };
        let said = |found: Vec<f32>| change(&found, &expected, 4).unwrap_or_default();
        assert!(said(with(&|_| 0.0)).contains("only zeros"));
        assert!(said(with(&|i| -expected[i])).contains("negated"));
        assert!(said(with(&|i| 0.5 * expected[i])).contains("multiplied by 0.5"));
        assert!(said(with(&|i| expected[i / 4 * 4 + 3 - i % 4])).contains("dimensions in reverse"));
        assert!(said(with(&|i| expected[(2 - i / 4) * 4 + i % 4])).contains("tokens in reverse"));
        assert!(said(with(&|i| expected[i / 4 * 4 + (i + 1) % 4])).contains("4 of its 4 dimensions"));
        assert!(said(with(&|i| expected[i] * (1 + i / 4) as f32)).contains("different factor"));
        assert!(said(with(&|i| expected[i] + (i % 4) as f32)).contains("one vector added"));
        assert!(said(with(&|i| if i < 8 { expected[i] } else { 9.0 })).contains("2 of the row's 3 tokens"));
        assert!(said(with(&|i| if i == 3 { f32::NAN } else { 1.0 })).contains("NaN"));
        assert_eq!(change(&with(&|i| i as f32), &expected, 4), None);

        assert_eq!(apart(&expected, &expected, 4), (0.0, 0));
        assert_eq!(apart(&[0.0; 4], &[0.0; 4], 4), (0.0, 0));
        for (a, b) in
            [(&[f32::NAN, 1.0][..], &[1.0, 1.0][..]), (&[1.0, 1.0], &[0.0, 0.0]), (&[1.0], &[1.0, 1.0]), (&[], &[])]
        {
            assert_eq!(apart(a, b, 2).0, f64::INFINITY, "{a:?} {b:?}");
        }
        let (distance, token) = apart(&[1.0, 1.0, 1.0, 2.0], &[1.0, 1.0, 1.0, 1.0], 2);
        assert!((distance - 0.5f64.sqrt()).abs() < 1e-9 && token == 1);
    }
}
