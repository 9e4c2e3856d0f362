//! Is each tap of the candidate its own partner? Against the reference's taps; and where a coarse format leaves them so
//! far off that they look like others, against the same taps of the twin, which errs as an honest conversion must.
//!
//! The chain of proof is then: the control is the reference (the engine arm), the twin is the control on other weights,
//! tap for tap by construction, and the candidate's taps are the twin's.

use super::over_twin::Twin;
use super::probe::Probed;
use super::sides::Sides;
use crate::Error;
use crate::align::CrossMatch;
use crate::finding::{Finding, Severity, codes};

/// What the cross-match proves wrong or cannot prove.
pub(super) fn findings(sides: &Sides, probed: &Probed, twin: &Twin) -> Result<Vec<Finding>, Error> {
    let found = probed.cross_match.findings();
    let (unlike, mut others): (Vec<Finding>, Vec<Finding>) =
        found.into_iter().partition(|f| f.is(&codes::ALIGNMENT_CROSS_MATCH));
    let Some(first) = unlike.first() else { return Ok(others) };
    let taps = sides.candidate.taps();
    let mut beside = CrossMatch::new(taps, taps, &sides.facts.same_point);
    for job in &probed.judged {
        beside.add(&twin.run(&job.batch)?, &job.candidate)?;
    }
    if !beside.finish().findings().is_empty() {
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
