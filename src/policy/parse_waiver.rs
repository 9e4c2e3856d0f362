//! `[[waiver]]` entries of a policy.

use serde::Deserialize;
use toml::Spanned;

use super::parse_words::{Diagnostic, arm_of, known, place, stat_named};
use super::{Date, Gate, Quantity, Waiver};
use crate::hidden_states::Arm;

/// Shorter than this is no reason.
const SHORTEST_REASON: usize = 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    on: Spanned<String>,
    arm: Option<Spanned<String>>,
    metric: Spanned<String>,
    stat: Spanned<String>,
    reason: Spanned<String>,
    expires: Spanned<String>,
}

/// The waiver, if it may be one of a policy with these gates.
pub(super) fn waiver(entry: Spanned<Entry>, gates: &[Gate]) -> Result<Waiver, Diagnostic> {
    let whole = entry.span();
    let Entry { on, arm, metric, stat, reason, expires } = entry.into_inner();
    let place = place(&on)?;
    let arm = arm_of(&place, arm, &whole, "waiver")?;
    if arm == Some(Arm::Engine) {
        let message = "the engine arm cannot be waived: a control that does not reproduce the reference shows nothing";
        return Err(Diagnostic(whole, message.into()));
    }
    let known = known(&place, &metric)?;
    if known.id == "non_finite" {
        let message = "non_finite cannot be waived: a NaN or an infinity is never acceptable";
        return Err(Diagnostic(metric.span(), message.into()));
    }
    let stat = stat_named(known, &stat)?;
    if reason.get_ref().trim().chars().count() < SHORTEST_REASON {
        let message =
            format!("`reason` says nothing: a waiver needs a reason of at least {SHORTEST_REASON} characters");
        return Err(Diagnostic(reason.span(), message));
    }
    let day = Date::parse(expires.get_ref()).ok_or_else(|| {
        let message = format!("`expires = {:?}` is no day; write it as \"2027-01-31\"", expires.get_ref());
        Diagnostic(expires.span(), message)
    })?;
    let quantity = Quantity { on: place, arm, metric: known.id.to_owned(), stat };
    let speaks_of = |g: &Gate| g.quantity.same_elsewhere(&quantity) && g.quantity.on.meets(&quantity.on);
    if !gates.iter().any(speaks_of) {
        let message = format!("a waiver on {quantity} speaks of no gate of this policy");
        return Err(Diagnostic(whole, message));
    }
    Ok(Waiver { quantity, reason: reason.into_inner(), expires: day })
}
