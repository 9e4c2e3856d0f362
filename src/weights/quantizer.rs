//! Which quantizer made a tensor, and which of its groups that quantizer cannot have made.

use super::twin::note_changed;
use super::twin_groups::Group;
use super::twin_row::{Quantizer, TwinRow};

/// Share of a tensor's groups that a quantizer must explain to have made it; the others were changed afterwards. An
/// honest tensor is explained whole.
const MOST: f64 = 0.5;

/// Share of groups that are MLX's from which on the tensor is MLX's: other quantizers agree with it in a group by
/// chance. Measured: plain minimum and maximum in 1 % of groups, all others in fewer.
const BY_CHANCE: f64 = 0.1;

/// Fills in who made the tensor, what was changed, and how far off it is.
pub(super) fn judge(out: &mut TwinRow, groups: &[Group], per_row: usize, group_size: usize) {
    let per_row = per_row.max(1);
    errors(out, groups, per_row, group_size);
    let telling = || groups.iter().filter(|g| !g.constant);
    let n = telling().count() as f64;
    let share = |is: fn(&Group) -> bool| if n > 0.0 { telling().filter(|g| is(g)).count() as f64 / n } else { 0.0 };
    type Is = fn(&Group) -> bool;
    let kinds: [(Quantizer, Is, f64); 4] = [
        (Quantizer::Mlx, |g| g.equal, MOST),
        (Quantizer::RetrainedScales, |g| g.same_codes, MOST),
        (Quantizer::Nearest, |g| g.nearest, MOST),
        (Quantizer::Stochastic, |g| g.within_step, MOST),
    ];
    let found = kinds.into_iter().find(|(_, is, most)| n == 0.0 || share(*is) >= *most);
    // None of them, and yet MLX's own in places: MLX's, with the greater part changed.
    let found = found.or_else(|| kinds.into_iter().take(1).find(|(_, is, _)| share(*is) >= BY_CHANCE));
    let Some((quantizer, is, _)) = found else {
        out.quantizer = Quantizer::Unknown;
        return;
    };
    out.quantizer = quantizer;
    let changed = groups.iter().enumerate().filter(|(_, g)| !is(g));
    note_changed(out, changed.map(|(i, _)| i / per_row));
}

fn errors(out: &mut TwinRow, groups: &[Group], per_row: usize, group_size: usize) {
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
