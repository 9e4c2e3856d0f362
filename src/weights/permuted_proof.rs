//! One block of one layer: the permutation or rescaling that its rows tell, and the proof that every tensor has it.

use std::collections::BTreeMap;

use super::compare::{alone, same_but_for_storage};
use super::permuted_blocks::{Block, Rows, Units};
use super::permuted_factors::{Factors, by_heads, factors, keeps_places};
use super::permuted_rows::{Moved, Part, by_columns, by_rows, moved, with_columns, with_rows};
use super::twin::twin;
use super::twin_findings::is_beyond;
use super::{Equivalent, Quantizer};
use crate::checkpoint::{Weight, WeightSet};
use crate::quantization::FloatType;

/// Natural logarithm that the two factors of a scaled pair may be from cancelling each other, mean over a head. Measured at 8
/// and 4 bits on heads of 16 by 64, the least there are, with factors of 0.05 to 3: at most 1e-3. Keys divided by 1.3 % more
/// than queries are multiplied with: 1.3e-2.
const CANCELS: f64 = 2e-3;

/// Share that one element of a scaled bias, or of a scaled matrix that is not quantized, may be off: its factor is an estimate
/// from rounded weights. Measured there: 9e-4 where heads are scaled, 4.3e-3 where each row is, at 4 bits.
const BIAS: f64 = 5e-3;

/// A block of one layer.
pub(super) struct There<'a> {
    pub(super) block: &'static Block,
    pub(super) prefix: &'a str,
    pub(super) original: &'a WeightSet,
    pub(super) candidate: &'a WeightSet,
}

impl There<'_> {
    fn weight(&self, module: &str) -> String {
        format!("{}{module}.weight", self.prefix)
    }

    /// Names of all its tensors, in order.
    pub(super) fn tensors(&self) -> Vec<String> {
        let mut names: Vec<String> = self.block.rows.iter().map(|(module, _)| self.weight(module)).collect();
        names.push(self.weight(self.block.columns));
        let biases = self.block.rows.iter().map(|(module, _)| format!("{}{module}.bias", self.prefix));
        names.extend(biases.filter(|name| self.candidate.tensors().contains_key(name)));
        names.sort_unstable();
        names.dedup();
        names
    }

    fn own(&self, name: &str) -> Option<(&Weight, &Weight)> {
        let (o, c) = (self.original.tensors().get(name)?, self.candidate.tensors().get(name)?);
        (o.shape == c.shape).then_some((&**o, &**c))
    }

    /// The part of a row of the table.
    fn part(&self, rows: &Rows) -> Option<Part> {
        let all = *self.own(&self.weight(rows.0))?.0.shape.first()?;
        let (k, n) = rows.1;
        all.is_multiple_of(n).then(|| Part { first: all / n * k, rows: all / n })
    }

    /// What holds; none where nothing does. `wrong` tells that a tensor is proven not to be the original's, whatever made
    /// it: else factors of single rows are noise that an honest quantizer leaves.
    pub(super) fn equivalents(&self, heads: Option<usize>, wrong: bool) -> Option<Vec<Equivalent>> {
        let columns = *self.own(&self.weight(self.block.columns))?.0.shape.get(1)?;
        let parts: Vec<Part> = self.block.rows.iter().map(|rows| self.part(rows)).collect::<Option<_>>()?;
        if columns == 0 || parts.iter().any(|part| part.rows != columns) {
            return None;
        }
        let found = |at: usize| {
            let (module, _) = self.block.rows.get(at)?;
            let (o, c) = self.own(&self.weight(module))?;
            moved(o, c, *parts.get(at)?)
        };
        if self.block.units == Units::Neurons {
            return self.neurons(&parts, &found(0)?);
        }
        let &[of_queries, of_keys, of_values] = parts.as_slice() else { return None };
        let width = columns.checked_div(heads?).filter(|w| *w > 0 && columns.is_multiple_of(*w))?;
        let (queries, values) = (found(0)?, found(2)?);
        let turned = self.block.units == Units::TurnedHeads;
        if by_heads(&queries, width)? != by_heads(&values, width)? || (turned && !keeps_places(&queries, width)) {
            return None;
        }
        let [by_queries, by_keys] = [self.sums(0, of_queries, &queries)?, self.sums(1, of_keys, &queries)?];
        let (o, c) = self.own(&self.weight(self.block.columns))?;
        let [by_values, by_outputs] = [self.sums(2, of_values, &values)?, by_columns(o, c, &values)];
        // Dimensions that are turned by position are turned together with others: only whole heads can be scaled.
        let pools = |rows: bool| if rows { vec![columns, width, 1] } else { vec![columns, width] };
        let for_queries = factors(&queries.sign, &by_queries, &by_keys, &pools(wrong && !turned));
        let for_values = factors(&values.sign, &by_values, &by_outputs, &pools(wrong));
        let moved = [&queries, &values];
        for (query, value) in for_queries.iter().flat_map(|q| for_values.iter().map(move |v| (q, v))) {
            let told = self.heads_told(moved, [query, value]);
            if !told.is_empty() && self.is_scaled_so(&parts, width, moved, [query.clone(), value.clone()]) == Some(true)
            {
                return Some(told);
            }
        }
        None
    }

    /// True where every tensor is the twin of the original with heads moved and multiplied so.
    fn is_scaled_so(
        &self,
        parts: &[Part],
        width: usize,
        [queries, values]: [&Moved; 2],
        [mut query, mut value]: [Factors; 2],
    ) -> Option<bool> {
        let changed = |query: &Factors, value: &Factors| {
            let inverse = query.each.iter().map(|f| 1.0 / f).collect();
            let factors = [(queries, query.each.clone()), (queries, inverse), (values, value.each.clone())];
            let rows: Vec<_> = factors.into_iter().zip(parts).map(|((moved, f), part)| (moved, f, *part)).collect();
            self.changed(&rows, (values, &value.each))
        };
        if query.is_estimated() || value.is_estimated() {
            let [queries, keys, values, outputs] = self.left(&changed(&query, &value)?, parts)?;
            query.refine([&queries, &keys]);
            value.refine([&values, &outputs]);
        }
        let changed = changed(&query, &value)?;
        let &[(queries, _), (keys, _), (values, _)] = self.block.rows else { return None };
        let estimated = [(&query, [queries, keys]), (&value, [values, self.block.columns])];
        let estimated = estimated.into_iter().filter(|(factors, _)| factors.is_estimated());
        let estimated: Vec<&str> = estimated.flat_map(|(_, modules)| modules).collect();
        let [queries, keys, values, outputs] = self.left(&changed, parts)?;
        let cancels = cancel(&queries, &keys, width) && cancel(&values, &outputs, width);
        Some(cancels && self.holds(&changed, &estimated))
    }

    /// Neurons that stand in another order; none where they do not, or where not every matrix has them in it.
    fn neurons(&self, parts: &[Part], neurons: &Moved) -> Option<Vec<Equivalent>> {
        if neurons.count() == 0 || neurons.sign.iter().any(|s| *s < 0.0) {
            return None;
        }
        let ones = vec![1.0; neurons.from.len()];
        let rows: Vec<_> = parts.iter().map(|part| (neurons, ones.clone(), *part)).collect();
        let changed = self.changed(&rows, (neurons, &ones))?;
        let (first, _) = self.block.rows.first()?;
        let told = || vec![self.told((first, self.block.columns), "neurons", neurons, false)];
        self.holds(&changed, &[]).then(told)
    }

    /// One equivalence for queries and keys, one for values and outputs.
    fn heads_told(&self, moved: [&Moved; 2], factors: [&Factors; 2]) -> Vec<Equivalent> {
        let &[(queries, _), (keys, _), (values, _)] = self.block.rows else { return Vec::new() };
        let pairs = [(queries, keys), (values, self.block.columns)];
        let each = pairs.into_iter().zip(moved).zip(factors);
        let told = each.filter(|((_, moved), factors)| moved.count() > 0 || factors.rescales());
        told.map(|((pair, moved), factors)| self.told(pair, "dimensions of heads", moved, factors.rescales())).collect()
    }

    fn told(&self, pair: (&str, &str), units: &str, moved: &Moved, rescaled: bool) -> Equivalent {
        Equivalent {
            between: (self.weight(pair.0), self.weight(pair.1)),
            tensors: self.tensors(),
            units: units.to_owned(),
            moved: moved.count(),
            of: moved.from.len(),
            rescaled,
        }
    }

    /// The original's tensors moved and scaled: rows of the block's matrices and biases, columns of the last.
    fn changed(
        &self,
        rows: &[(&Moved, Vec<f64>, Part)],
        (moved, factors): (&Moved, &[f64]),
    ) -> Option<BTreeMap<String, Weight>> {
        let mut out: BTreeMap<String, Weight> = BTreeMap::new();
        for ((module, _), (moved, factors, part)) in self.block.rows.iter().zip(rows) {
            for (name, is_bias) in [(self.weight(module), false), (format!("{}{module}.bias", self.prefix), true)] {
                if is_bias
                    && !self.candidate.tensors().contains_key(&name)
                    && !self.original.tensors().contains_key(&name)
                {
                    continue;
                }
                let before = match out.get(&name) {
                    Some(before) => before,
                    None => self.own(&name)?.0,
                };
                let width = if is_bias { 1 } else { before.shape.get(1).copied()? };
                out.insert(name, with_rows(before, width, *part, moved, factors));
            }
        }
        let last = self.weight(self.block.columns);
        let changed = with_columns(self.own(&last)?.0, moved, factors);
        out.insert(last, changed);
        Some(out)
    }

    /// Products and squares of each row of one of the block's matrices.
    fn sums(&self, at: usize, part: Part, moved: &Moved) -> Option<Vec<(f64, f64)>> {
        let (module, _) = self.block.rows.get(at)?;
        let (o, c) = self.own(&self.weight(module))?;
        Some(by_rows(o, c, part, moved))
    }

    /// True where every tensor is what is made of the changed original; factors of modules in `scaled` are estimates.
    fn holds(&self, changed: &BTreeMap<String, Weight>, scaled: &[&str]) -> bool {
        let is_scaled = |name: &str| {
            let module = name.strip_prefix(self.prefix).and_then(|n| n.rsplit_once('.')).map(|(module, _)| module);
            module.is_some_and(|module| scaled.contains(&module))
        };
        !changed.is_empty()
            && changed.iter().all(|(name, o)| {
                let Some(c) = self.candidate.tensors().get(name).filter(|c| c.shape == o.shape) else { return false };
                let scaled = is_scaled(name);
                let row = alone(name, o, c, scaled);
                match &row.twin {
                    Some(twin) => twin.changed == 0 && twin.quantizer != Quantizer::Unknown && !is_beyond(&row),
                    None if c.storage.mode.is_some() => false,
                    None => same_but_for_storage(o, c) || (scaled && near(o, c)),
                }
            })
    }

    /// What is left of the factors of queries, keys, values and outputs: logarithms per unit, beside twins of the changed
    /// original, whose codes were rounded as the candidate's.
    fn left(&self, changed: &BTreeMap<String, Weight>, parts: &[Part]) -> Option<[Vec<f64>; 4]> {
        let home = |n: usize| Moved { from: (0..n).collect(), sign: vec![1.0; n] };
        let left = |module: &str, part: Option<Part>| -> Option<Vec<f64>> {
            let name = self.weight(module);
            let (o, c) = (changed.get(&name)?, self.candidate.tensors().get(&name)?);
            let honest = twin(o, c);
            let o = honest.as_ref().unwrap_or(o);
            let sums = match part {
                Some(part) => by_rows(o, c, part, &home(part.rows)),
                None => by_columns(o, c, &home(*o.shape.get(1)?)),
            };
            // Units of zeros have no factor.
            Some(sums.iter().map(|(both, own)| if *own == 0.0 { 0.0 } else { (both / own).ln() }).collect())
        };
        let rows = |at: usize| left(self.block.rows.get(at)?.0, parts.get(at).copied());
        Some([rows(0)?, rows(1)?, rows(2)?, left(self.block.columns, None)?])
    }
}

/// True where what is left on both sides cancels in every head.
fn cancel(ours: &[f64], theirs: &[f64], width: usize) -> bool {
    let sums: Vec<f64> = ours.iter().zip(theirs).map(|(a, b)| a + b).collect();
    // Written so that NaN does not cancel.
    sums.chunks(width).all(|head| (head.iter().sum::<f64>() / head.len() as f64).abs() <= CANCELS)
}

/// The same but for the stored type's rounding and an estimated factor's: the candidate's value lies between what two factors
/// a little apart round to.
fn near(original: &Weight, candidate: &Weight) -> bool {
    let stored = FloatType::named(&candidate.storage.dtype).unwrap_or(FloatType::F32);
    let rounded = |w: f32, factor: f64| f64::from(stored.round((f64::from(w) * factor) as f32));
    let close = |(o, c): (&f32, &f32)| {
        let (a, b) = (rounded(*o, 1.0 - BIAS), rounded(*o, 1.0 + BIAS));
        // Written so that NaN is not near.
        a.min(b) <= f64::from(*c) && f64::from(*c) <= a.max(b)
    };
    let (o, c) = (original.rows(), candidate.rows());
    o.len() == c.len() && o.iter().zip(c.iter()).all(close)
}
