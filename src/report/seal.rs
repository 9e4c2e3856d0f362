//! A report carries the hash of its own contents: what was edited, cut or swapped since it was written is no report.
//!
//! It proves no origin, since whoever changes a report on purpose can seal it again; signing is the pipeline's.

use super::{Report, ReportError, escape};
use crate::checkpoint::sha256_hex;
use crate::verdict::Verdict;

/// Characters of a seal that are shown.
const SHOWN: usize = 80;

fn pretty(report: &Report) -> Result<Vec<u8>, ReportError> {
    let mut bytes = serde_json::to_vec_pretty(report)
        .map_err(|e| ReportError::Render { format: "json", message: e.to_string() })?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The hash of everything but the seal, which a report has in its file alone.
fn seal(report: &Report) -> Result<String, ReportError> {
    let mut bare = report.clone();
    bare.provenance.run.sealed = None;
    Ok(sha256_hex(&pretty(&bare)?))
}

/// The report as it is written.
pub(super) fn sealed(report: &Report) -> Result<Vec<u8>, ReportError> {
    let mut whole = report.clone();
    whole.provenance.run.sealed = Some(seal(report)?);
    pretty(&whole)
}

/// Refuses what is not what was written; a report without a seal, of a version before there was one, is no PASS.
pub(super) fn check(report: &Report, stated: Option<&str>) -> Result<(), ReportError> {
    let what = match stated {
        None if report.verdict == Verdict::Pass => {
            "it says PASS and has no seal (provenance.run.sealed), so nobody can see that it is whole; run the check again"
                .to_owned()
        }
        None => return Ok(()),
        Some(stated) => {
            let own = seal(report)?;
            if own == stated {
                return Ok(());
            }
            format!(
                "it was changed after it was written: its contents have the hash {own}, its seal says {}",
                escape::plain(stated, SHOWN)
            )
        }
    };
    Err(ReportError::Unreasonable { what })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::{Finding, Severity, codes};
    use crate::report::sample;

    fn said(text: &str) -> String {
        Report::from_json(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn what_was_edited_is_refused_and_what_was_only_laid_out_anew_is_not() {
        for report in [sample::passing(), sample::failing(), sample::inconclusive(), sample::broken()] {
            let text = String::from_utf8(report.to_json().unwrap()).unwrap();
            let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(Report::from_json(value.to_string().as_bytes()).unwrap(), report, "without line breaks");
            value["provenance"]["threads"] = 63.into();
            let told = said(&value.to_string());
            assert!(told.contains("changed after it was written"), "{told}");
        }
    }

    #[test]
    fn a_finding_taken_out_is_refused() {
        let mut report = sample::passing();
        report.findings.push(Finding::new(Severity::Warning, &codes::FLAG_OVERRULES, "--pooling mean"));
        let mut value: serde_json::Value = serde_json::from_slice(&report.to_json().unwrap()).unwrap();
        value["findings"].as_array_mut().unwrap().pop().unwrap();
        let told = said(&value.to_string());
        assert!(told.contains("changed after it was written"), "{told}");
    }

    #[test]
    fn a_pass_without_a_seal_is_refused_and_a_failure_without_one_is_read() {
        for (report, is_read) in [(sample::passing(), false), (sample::failing(), true)] {
            let bare = String::from_utf8(pretty(&report).unwrap()).unwrap();
            assert_eq!(Report::from_json(bare.as_bytes()).is_ok(), is_read);
        }
        assert!(said(std::str::from_utf8(&pretty(&sample::passing()).unwrap()).unwrap()).contains("has no seal"));
    }
}
