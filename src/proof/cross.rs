//! Is each tap of the candidate its own partner? Against the reference's taps; and where a coarse format leaves them so
//! far off that they look like others, against the same taps of the twin, which errs as an honest conversion must.
//!
//! The chain of proof is then: the control is the reference (the engine arm), the twin is the control on other weights,
//! tap for tap by construction, and the candidate's taps are the twin's.

use super::over_twin::Twin;
use super::probe::Probed;
use crate::Error;
use crate::align::CrossMatch;
use crate::finding::{Finding, Severity, codes};
use crate::hidden_states::HiddenStates;
use crate::policy::LARGEST_ENGINE;
use crate::sides::Sides;

/// What the cross-match proves wrong or cannot prove.
pub(crate) fn findings(sides: &Sides, probed: &Probed, twin: &Twin) -> Result<Vec<Finding>, Error> {
    let found = probed.cross_match.findings();
    let (unlike, mut others): (Vec<Finding>, Vec<Finding>) =
        found.into_iter().partition(|f| f.is(&codes::ALIGNMENT_CROSS_MATCH));
    let Some(first) = unlike.first() else { return Ok(others) };
    // The first link of the chain: where the control is not the reference, the taps of the reference are in question.
    let worst = probed.engine.finish().into_iter().filter(|m| m.metric == "relative_l2" && !m.tap.is_sentence_level());
    let worst: Vec<f64> = worst.map(|m| m.max.unwrap_or(f64::NAN)).collect();
    // Nothing measured is no sound control, and NaN is within no limit.
    if worst.is_empty() || !worst.iter().all(|max| *max <= LARGEST_ENGINE) {
        others.extend(unlike);
        return Ok(others);
    }
    let twins: Vec<HiddenStates> = probed.judged.iter().map(|job| twin.run(&job.batch)).collect::<Result<_, _>>()?;
    let pairs = twins.iter().zip(probed.judged.iter().map(|job| &job.candidate));
    if !beside(sides, pairs)?.is_empty() {
        others.extend(unlike);
        return Ok(others);
    }
    let message = format!(
        "{}; an honest conversion to this format is as far off, and beside it every tap of the candidate is its own",
        first.message
    );
    others.push(Finding::new(Severity::Warning, &codes::ALIGNMENT_BY_TWIN, message));
    Ok(others)
}

/// What the cross-match of states with the twin's says; nothing where every tap is its own.
pub(crate) fn beside<'a>(
    sides: &Sides,
    pairs: impl IntoIterator<Item = (&'a HiddenStates, &'a HiddenStates)>,
) -> Result<Vec<Finding>, Error> {
    let taps = sides.candidate.taps();
    let mut matched = CrossMatch::new(taps, taps, &sides.facts.same_point);
    for (twin, candidate) in pairs {
        matched.add(twin, candidate)?;
    }
    Ok(matched.finish().findings())
}
