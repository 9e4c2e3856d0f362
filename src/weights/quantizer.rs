//! Which quantizer made a tensor, and which of its groups that quantizer cannot have made.

use super::reproduce::Rules;
use super::scale_law::Laws;
use super::twin_groups::Group;
use super::twin_row::{Method, Quantizer, TwinRow};

/// Share of a tensor's groups that are MLX's from which on the tensor is MLX's, and the others were changed. Other
/// quantizers agree with MLX's in a group by chance. Measured: plain minimum and maximum in 1.5 %, alternating scales
/// in 8 %, error-compensating ones in none.
const BY_CHANCE: f64 = 0.1;

/// Share of groups from which on codes are MLX's with other scales.
const SAME_CODES: f64 = 0.9;

/// Share of groups from which on a rule of rounding holds. Measured: all of an honest tensor's; GPTQ at 8 bits, which
/// keeps to neither, 60 and 80 %.
const MOST: f64 = 0.98;

/// Share of a stricter rule's groups from which on a tensor that keeps a looser one in all groups was changed in the
/// others, unless the whole model was made by the looser rule.
const STRICT: f64 = 0.9;

/// The rule that is left to chance: another one holds in none of its groups, but for accidents.
const CHANCE: usize = 3;

/// Share of the model's groups that a rule must have made to be the model's.
const MODELS: f64 = 0.25;

/// Share of the layers' matrices that must keep no rule for an error-compensating quantizer to have made them: it goes
/// through all layers, and one matrix among others that were rounded was changed. Measured: GPTQ leaves all of them so,
/// the other quantizers none.
const COMPENSATED: f64 = 0.25;

/// Rows named of those with changed groups.
const NAMED_ROWS: usize = 8;

/// A quantizer, what it leaves in a group, and the share of a tensor's groups that shows it.
type Rule = (Quantizer, fn(&Group) -> bool, f64);

/// Rules from the strictest to the loosest.
const RULES: [Rule; 4] = [
    (Quantizer::Mlx, |g| g.equal, BY_CHANCE),
    (Quantizer::RetrainedScales, |g| g.same_codes, SAME_CODES),
    (Quantizer::Nearest, |g| g.nearest, MOST),
    (Quantizer::Stochastic, |g| g.within_step, MOST),
];

/// In how many of a tensor's groups each rule holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Evidence {
    /// Groups whose weights are not all the same: those are stored alike by every quantizer.
    telling: u64,
    /// Of them, how many keep each rule.
    kept: [u64; RULES.len()],
    /// Of all groups, how many break it, and the first rows they are in.
    broken: [(u64, Vec<usize>); RULES.len()],
    /// Channels were scaled, by factors known as well as they can be estimated: that no group is the twin's proves
    /// nothing.
    folded: bool,
    /// By which laws its scales are laid.
    laws: Laws,
}

impl Evidence {
    pub(super) fn of(groups: &[Group], per_row: usize, folded: bool) -> Self {
        let mut out = Self { folded, ..Self::default() };
        for (i, group) in groups.iter().enumerate() {
            out.telling += u64::from(!group.constant);
            if !group.constant {
                out.laws.add(&group.laid);
            }
            for (rule, (_, holds, _)) in RULES.iter().enumerate() {
                if holds(group) {
                    out.kept[rule] += u64::from(!group.constant);
                    continue;
                }
                let (count, rows) = &mut out.broken[rule];
                *count += 1;
                let row = i / per_row.max(1);
                if rows.last() != Some(&row) && rows.len() < NAMED_ROWS {
                    rows.push(row);
                }
            }
        }
        out
    }

    /// Where it was not chance that rounded, no group keeps that rule.
    pub(super) fn left_to_chance(mut self, fair: bool) -> Self {
        if !fair {
            (self.kept[CHANCE], self.broken[CHANCE]) = (0, (self.telling, Vec::new()));
        }
        self
    }

    /// All groups are the twin's.
    pub(super) fn equal(groups: u64) -> Self {
        Self { telling: groups, kept: [groups; RULES.len()], ..Self::default() }
    }

    fn share(&self, rule: usize) -> f64 {
        if self.telling > 0 { self.kept[rule] as f64 / self.telling as f64 } else { 1.0 }
    }

    fn holds(&self, rule: usize) -> bool {
        self.broken[rule].0 == 0
    }

    /// Fills in who made the tensor by its rule. That its channels were scaled is known already.
    fn name(&self, row: &mut TwinRow) {
        if row.method != Method::Awq {
            row.method = self.laws.method(row.quantizer);
        }
        row.fixed = self.laws.is_fixed(row.quantizer, row.method);
    }

    /// The first rule that may be this tensor's.
    fn first(&self) -> usize {
        if self.folded { 2 } else { 0 }
    }

    /// The strictest rule without an exception, and whether a stricter one holds nearly everywhere.
    fn whole(&self) -> Option<(usize, bool)> {
        let rule = (self.first()..RULES.len()).find(|rule| self.holds(*rule))?;
        let most = if rule == CHANCE { BY_CHANCE } else { STRICT };
        Some((rule, (self.first()..rule).any(|stricter| self.share(stricter) >= most)))
    }

    /// The rule that made the tensor; `models` are those that made the whole model.
    fn rule(&self, models: &[usize]) -> Option<usize> {
        match self.whole() {
            Some((rule, false)) => Some(rule),
            Some((rule, true)) if models.contains(&rule) => Some(rule),
            _ => (self.first()..RULES.len()).find(|rule| self.share(*rule) >= RULES[*rule].2),
        }
    }
}

/// More of its groups are the twin's than another quantizer agrees with by chance.
pub(super) fn is_mlx(row: &TwinRow) -> bool {
    row.equal as f64 >= BY_CHANCE * row.groups as f64
}

/// Fills in who made each tensor of a model, and what was changed in it.
pub(super) fn decide<'a>(tensors: impl Iterator<Item = (&'a mut TwinRow, &'a Evidence)>) {
    let mut tensors: Vec<_> = tensors.collect();
    let all: u64 = tensors.iter().map(|(row, _)| row.groups).sum();
    let made = |rule: usize| -> u64 {
        let of = tensors.iter().filter(|(_, evidence)| evidence.whole() == Some((rule, false)));
        of.map(|(row, _)| row.groups).sum()
    };
    let models: Vec<usize> = (0..RULES.len()).filter(|rule| made(*rule) as f64 >= MODELS * all as f64).collect();
    for (row, evidence) in &mut tensors {
        let rule = evidence.rule(&models);
        row.quantizer = rule.map_or(Quantizer::Unknown, |rule| RULES[rule].0);
        evidence.name(row);
        (row.changed, row.changed_rows) = rule.map_or_else(Default::default, |rule| evidence.broken[rule].clone());
    }
    one_rule_for_all(&mut tensors);
}

/// Where each tensor keeps a rule of its own and none is kept by all, somebody may have chosen among them.
fn one_rule_for_all(tensors: &mut [(&mut TwinRow, &Evidence)]) {
    let fixed = tensors.iter().filter(|(row, _)| row.is_others() && row.fixed);
    let common = fixed.filter_map(|(_, evidence)| evidence.laws.rules()).reduce(Rules::and);
    if common.is_some_and(Rules::none) {
        tensors.iter_mut().filter(|(row, _)| row.is_others()).for_each(|(row, _)| row.fixed = false);
    }
}

/// Holds the few matrices of the layers that keep no rule to the rule of the others.
pub(super) fn hold_few<'a>(layers: impl Iterator<Item = (&'a mut TwinRow, &'a Evidence)>) {
    let mut layers: Vec<_> = layers.collect();
    let (few, many): (Vec<_>, Vec<_>) = layers.iter_mut().partition(|(row, _)| row.quantizer == Quantizer::Unknown);
    let all = few.len() + many.len();
    if few.len() as f64 >= COMPENSATED * all as f64 {
        return;
    }
    let made = |rule: &usize| many.iter().filter(|(row, _)| row.quantizer == RULES[*rule].0).count();
    let Some(rule) = (0..RULES.len()).max_by_key(made) else { return };
    for (row, evidence) in few {
        row.quantizer = RULES[rule].0;
        evidence.name(row);
        (row.changed, row.changed_rows) = evidence.broken[rule].clone();
    }
}

/// Fills in how far off a tensor is.
pub(super) fn errors(out: &mut TwinRow, groups: &[Group], per_row: usize, group_size: usize) {
    let per_row = per_row.max(1);
    let ratio = |groups: &[Group]| {
        let (own, twin) = groups.iter().fold((0.0, 0.0), |(a, b), g| (a + g.squares, b + g.twin_squares));
        if own == twin { 1.0 } else { (own / twin).sqrt() }
    };
    out.over_twin = ratio(groups);
    out.row_over_twin = 0.0;
    for (r, row) in groups.chunks(per_row).enumerate() {
        let over = ratio(row);
        if over > out.row_over_twin || over.is_nan() {
            (out.row_over_twin, out.row_over_twin_at) = (over, r);
        }
    }
    for (i, g) in groups.iter().enumerate() {
        if g.error > out.group_error || g.error.is_nan() {
            (out.group_error, out.group_error_at) = (g.error, (i / per_row, i % per_row));
        }
        if g.largest.0 > out.largest_error || g.largest.0.is_nan() {
            let column = i % per_row * group_size + g.largest.1;
            (out.largest_error, out.largest_error_at) = (g.largest.0, (i / per_row, column));
        }
    }
}
