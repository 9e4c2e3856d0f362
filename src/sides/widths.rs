//! What a candidate's weights are stored in, whatever config.json declares.

use std::collections::BTreeMap;

use crate::checkpoint::{WeightSet, names};
use crate::finding::{Finding, Severity, codes};
use crate::quantization::QuantizationSummary;

/// Share of the weights of one kind (tables, or matrices that states are multiplied with) that must be stored at a
/// width, or at fewer bits, for that width to be the candidate's. One coarse matrix among many does not make a coarse
/// model; layers left in float16 at both ends, or tables at 8 bits beside 4, leave it one.
const ENOUGH: f64 = 0.25;

/// A width: bits, and mode (empty where nothing is quantized).
type Width = (u32, &'static str);

/// The fewest bits that enough of the tables, or of the other matrices, are stored in; none where that is no quantization.
fn found(weights: &WeightSet) -> Option<u32> {
    let mut kinds: [BTreeMap<Width, usize>; 2] = Default::default();
    for (name, weight) in weights.tensors().iter().filter(|(_, w)| w.shape.len() == 2) {
        let storage = &weight.storage;
        let width = match (storage.bits, storage.mode) {
            (Some(bits), Some(mode)) => (bits, mode),
            _ => (if storage.dtype == "F32" { 32 } else { 16 }, ""),
        };
        *kinds[usize::from(names::is_table(name))].entry(width).or_default() += weight.len();
    }
    let enough = |kind: &BTreeMap<Width, usize>| {
        let all: usize = kind.values().sum();
        let mut sum = 0;
        // In the order of bits: the sum is of what is stored in so many or fewer.
        kind.iter().find_map(|(width, n)| {
            sum += n;
            (sum as f64 >= ENOUGH * all as f64).then_some(*width)
        })
    };
    let width = kinds.iter().filter_map(enough).min()?;
    (!width.1.is_empty()).then_some(width.0)
}

/// What is said where the weights are not what is declared.
pub(crate) fn finding(weights: &WeightSet, summary: &QuantizationSummary) -> Option<Finding> {
    let declared = summary.bits?;
    if summary.modules_by_bits.contains_key(&declared) && found(weights) == Some(declared) {
        return None;
    }
    let found: Vec<String> = summary.modules_by_bits.iter().map(|(bits, n)| format!("{n} at {bits} bits")).collect();
    let message = format!(
        "config.json declares {declared} bits, the file holds {} and {} matrices that are not quantized: each is judged by \
         its own width",
        found.join(", "),
        summary.plain_matrices.len()
    );
    Some(Finding::new(Severity::Warning, &codes::QUANTIZATION_DECLARED_BITS, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{Storage, Weight};

    fn model(tensors: &[(&str, usize, Option<u32>)]) -> Option<u32> {
        let weight = |(name, rows, bits): &(&str, usize, Option<u32>)| {
            let storage = Storage {
                dtype: "F16".into(),
                mode: bits.map(|_| "affine"),
                bits: *bits,
                group_size: bits.map(|_| 32),
                bytes: 0,
                file: String::new(),
            };
            ((*name).to_owned(), Weight::new(name, vec![*rows, 2], vec![0.0; 2 * rows], storage))
        };
        let set = WeightSet::new("test", tensors.iter().map(weight).collect()).unwrap();
        found(&set)
    }

    #[test]
    fn widths_are_those_of_the_weights() {
        let table = |bits| ("embeddings.word_embeddings.weight", 50, bits);
        assert_eq!(model(&[table(Some(8)), ("a.weight", 10, Some(4)), ("b.weight", 10, Some(4))]), Some(4));
        assert_eq!(model(&[table(Some(4)), ("a.weight", 10, None)]), Some(4), "only the table");
        assert_eq!(model(&[table(None), ("a.weight", 10, Some(4))]), Some(4), "only Linear");
        let mut one = vec![table(None), ("a.weight", 10, Some(4))];
        let names: Vec<String> = (0..27).map(|i| format!("b{i}.weight")).collect();
        one.extend(names.iter().map(|n| (n.as_str(), 10, None)));
        assert_eq!(model(&one), None, "one of 28");
        let eight: Vec<(&str, usize, Option<u32>)> = one.iter().map(|(n, r, b)| (*n, *r, b.or(Some(8)))).collect();
        assert_eq!(model(&eight), Some(8));
        let ends =
            [("a.weight", 10, None), ("b.weight", 10, Some(4)), ("c.weight", 10, Some(4)), ("d.weight", 10, None)];
        assert_eq!(model(&ends), Some(4), "both ends in float16");
    }
}
