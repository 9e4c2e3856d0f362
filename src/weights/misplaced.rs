//! Matrices of the candidate that are the original's, and not in their place: told as what happened to the layers.

use std::collections::BTreeMap;

use crate::checkpoint::layer_of;
use crate::finding::{Finding, Severity, codes};

/// A matrix that is another one of the original.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Misplaced {
    /// Its name in the candidate.
    pub(super) name: String,
    /// Whose it is in the original.
    pub(super) other: String,
    pub(super) transposed: bool,
    /// Centred correlation with that one.
    pub(super) correlation: f64,
    /// With the original's of its own name.
    pub(super) own: f64,
}

impl Misplaced {
    /// Its layer and the one it belongs to, where it has the same place within both.
    fn layers(&self) -> Option<(usize, usize)> {
        let (own, other) = (layer_of(&self.name)?, layer_of(&self.other)?);
        let there = self.name.replacen(&format!(".{own}."), &format!(".{other}."), 1);
        (own != other && !self.transposed && there == self.other).then_some((own, other))
    }

    fn alone(&self) -> String {
        let Self { name, other, correlation, own, .. } = self;
        let turned = if self.transposed { "the transpose of " } else { "" };
        format!(
            "the candidate's `{name}` is the original's {turned}`{other}` (correlation {correlation:.2}, with its own twin {own:.2})"
        )
    }
}

/// One finding for each thing that happened: layers that changed places, then two matrices that did, then single ones.
/// `matrices` is how many a layer has.
pub(super) fn findings(all: &[Misplaced], matrices: &dyn Fn(usize) -> usize) -> Vec<Finding> {
    let mut layers: BTreeMap<(usize, usize), Vec<&Misplaced>> = BTreeMap::new();
    for one in all {
        if let Some(pair) = one.layers() {
            layers.entry(pair).or_default().push(one);
        }
    }
    layers.retain(|(own, _), found| found.len() == matrices(*own));
    let mut said = Vec::new();
    let whole: BTreeMap<usize, usize> = layers.keys().copied().collect();
    let swapped = |(a, b): &(usize, usize)| whole.get(b) == Some(a);
    for ((a, b), found) in &layers {
        if swapped(&(*a, *b)) {
            if a < b {
                let both: Vec<&Misplaced> = found.iter().chain(&layers[&(*b, *a)]).copied().collect();
                said.push(format!("layers {a} and {b} of the candidate are swapped ({})", told(&both)));
            }
        } else {
            said.push(format!("layer {a} of the candidate is layer {b} of the original ({})", told(found)));
        }
    }
    let rest: Vec<&Misplaced> =
        all.iter().filter(|one| one.layers().is_none_or(|pair| !layers.contains_key(&pair))).collect();
    for one in &rest {
        let back = rest
            .iter()
            .find(|other| other.name == one.other && other.other == one.name && !other.transposed && !one.transposed);
        match back {
            Some(back) if one.name < back.name => said.push(format!(
                "`{}` and `{}` of the candidate are swapped ({})",
                one.name,
                one.other,
                told(&[*one, *back])
            )),
            Some(_) => {}
            None => said.push(one.alone()),
        }
    }
    said.into_iter().map(|message| Finding::new(Severity::Failure, &codes::WEIGHTS_MISPLACED, message)).collect()
}

fn told(found: &[&Misplaced]) -> String {
    let least = found.iter().map(|one| one.correlation).fold(f64::INFINITY, f64::min);
    let own = found.iter().map(|one| one.own).fold(f64::NEG_INFINITY, f64::max);
    format!(
        "{} matrices, correlation with that place at least {least:.2}, with their own at most {own:.2}",
        found.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, other: &str) -> Misplaced {
        Misplaced { name: name.into(), other: other.into(), transposed: false, correlation: 0.99, own: 0.01 }
    }

    fn said(all: &[Misplaced]) -> Vec<String> {
        findings(all, &|_| 2).into_iter().map(|f| f.message).collect()
    }

    fn layer(own: usize, other: usize) -> Vec<Misplaced> {
        ["query", "output"].map(|m| one(&format!("layer.{own}.{m}"), &format!("layer.{other}.{m}"))).into()
    }

    #[test]
    fn two_layers_that_changed_places_are_one_sentence() {
        let swapped = [layer(2, 3), layer(3, 2)].concat();
        assert_eq!(
            said(&swapped),
            [
                "layers 2 and 3 of the candidate are swapped (4 matrices, correlation with that place at least 0.99, with their own at \
              most 0.01)"
            ]
        );
        let turned = [layer(0, 1), layer(1, 2), layer(2, 0)].concat();
        let turned = said(&turned);
        assert_eq!(turned.len(), 3, "{turned:?}");
        assert!(turned[2].starts_with("layer 2 of the candidate is layer 0 of the original (2 matrices"), "{turned:?}");
    }

    #[test]
    fn part_of_a_layer_is_told_matrix_by_matrix() {
        let mut part = layer(2, 3);
        part.pop();
        assert_eq!(said(&part).len(), 1);
        assert!(said(&part)[0].starts_with("the candidate's `layer.2.query` is the original's `layer.3.query`"));
        let within = [one("layer.2.query", "layer.2.key"), one("layer.2.key", "layer.2.query")];
        assert_eq!(said(&within).len(), 1);
        assert!(said(&within)[0].starts_with("`layer.2.key` and `layer.2.query` of the candidate are swapped"));
        let turned = Misplaced { transposed: true, ..one("layer.0.query", "layer.0.query") };
        assert!(said(&[turned])[0].contains("the original's the transpose of `layer.0.query`"));
    }
}
