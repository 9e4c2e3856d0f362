//! JUnit XML: one test case per gate, so that a CI server shows which limit broke and since when.
//!
//! Names hold nothing that varies between runs; numbers are in the message, and again in the body,
//! because servers show one or the other.

use std::collections::BTreeMap;

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use super::escape::plain;
use super::words::gate_name;
use super::{Report, ReportError};
use crate::figures::{apart, number};
use crate::finding::{Finding, Severity};
use crate::hidden_states::Arm;
use crate::policy::{Direction, GateResult, Outcome};
use crate::verdict::Verdict;

/// Characters of one message.
const MESSAGE: usize = 2000;

/// Renders the report.
pub(super) fn render(report: &Report) -> Result<Vec<u8>, ReportError> {
    let mut suite = TestSuite::new("parallax");
    let mut names = Names::default();
    provenance(report, &mut suite);
    suite.add_test_case(case("parallax", "verdict", verdict(report)));
    for gate in &report.gates {
        let classname = format!(
            "parallax.{}",
            gate.quantity.arm.map_or_else(|| gate.quantity.on.to_string(), |arm| arm.to_string())
        );
        let name = names.unique(&classname, plain(&gate_name(gate), 400));
        suite.add_test_case(case(&classname, &name, gate_status(gate)));
    }
    for finding in &report.findings {
        let name = names.unique("parallax.findings", plain(&finding.code, 200));
        suite.add_test_case(finding_case(&name, finding));
    }
    let mut xml = quick_junit::Report::new("parallax");
    xml.add_test_suite(suite);
    let mut bytes = Vec::new();
    xml.serialize(&mut bytes).map_err(|e| ReportError::Render { format: "junit", message: e.to_string() })?;
    Ok(bytes)
}

/// What decides the result, as the suite's properties.
fn provenance(report: &Report, suite: &mut TestSuite) {
    let p = &report.provenance;
    let mut add = |name: &str, value: &str| {
        suite.add_property((plain(name, 200), plain(value, MESSAGE)));
    };
    add("version", &report.tool.version);
    add("policy", &format!("{} sha256 {}", p.policy.name, p.policy.sha256));
    for input in &p.inputs {
        add(&input.role, &format!("{} sha256 {}", input.file, input.sha256));
    }
}

/// JUnit has no warnings: what changes no verdict is a passing case that says it in its output.
fn finding_case(name: &str, finding: &Finding) -> TestCase {
    let kind = match finding.severity {
        Severity::Refusal => NonSuccessKind::Error,
        Severity::Failure => NonSuccessKind::Failure,
        Severity::Note | Severity::Warning => {
            let mut case = case("parallax.findings", name, TestCaseStatus::success());
            case.set_system_out(format!("{:?}: {}", finding.severity, plain(&finding.message, MESSAGE)));
            return case;
        }
    };
    case("parallax.findings", name, not_ok(kind, "finding", &finding.message))
}

/// Servers fold cases of one name into one; a policy may state a limit twice.
#[derive(Default)]
struct Names(BTreeMap<String, usize>);

impl Names {
    fn unique(&mut self, classname: &str, name: String) -> String {
        let seen = self.0.entry(format!("{classname} {name}")).or_insert(0);
        *seen += 1;
        if *seen == 1 { name } else { format!("{name} ({seen})") }
    }
}

fn case(classname: &str, name: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(name, status);
    case.set_classname(classname);
    case
}

fn not_ok(kind: NonSuccessKind, ty: &str, message: &str) -> TestCaseStatus {
    let message = plain(message, MESSAGE);
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(ty).set_message(message.as_str()).set_description(message.as_str());
    status
}

fn verdict(report: &Report) -> TestCaseStatus {
    let kind = match report.verdict {
        Verdict::Pass => return TestCaseStatus::success(),
        Verdict::Fail => NonSuccessKind::Failure,
        Verdict::Inconclusive => NonSuccessKind::Error,
    };
    let reasons: Vec<&str> = report.reasons.iter().filter(|r| !r.follows).map(|r| r.message.as_str()).collect();
    not_ok(kind, "verdict", &format!("{}: {}", report.verdict, reasons.join("; ")))
}

fn gate_status(gate: &GateResult) -> TestCaseStatus {
    match (gate.outcome, gate.observed) {
        (Outcome::Pass, _) => TestCaseStatus::success(),
        (Outcome::Waived, _) => {
            let reason =
                gate.waiver.as_ref().map_or_else(String::new, |w| format!("until {}: {}", w.expires, w.reason));
            let mut status = TestCaseStatus::skipped();
            status.set_message(plain(&format!("exceeded, and waived {reason}"), MESSAGE));
            status
        }
        (Outcome::NotMeasured, _) | (Outcome::Fail, None) => {
            not_ok(NonSuccessKind::Error, "not_measured", &format!("not measured, limit {}", number(gate.limit)))
        }
        (Outcome::Fail, Some(observed)) => {
            let (seen, limit) = apart(observed, gate.limit);
            let sides = if gate.direction == Direction::Max { "at most" } else { "at least" };
            let mut message = format!("observed {seen}, limit {sides} {limit}");
            if let Some(pass) =
                gate.would_pass_at.filter(|_| !gate.is_non_finite() && gate.quantity.arm != Some(Arm::Engine))
            {
                message.push_str(&format!(", would pass at {}", number(pass)));
            }
            if let Some(worst) = &gate.worst {
                message.push_str(&format!(", worst at {}", worst.row));
            }
            if let Some(tensor) = &gate.tensor {
                message.push_str(&format!(", in {tensor}"));
            }
            // The engine arm measures the instrument: when it is off, nothing is known of the candidate.
            match gate.quantity.arm {
                Some(Arm::Engine) => not_ok(NonSuccessKind::Error, "engine", &message),
                _ => not_ok(NonSuccessKind::Failure, "exceeded", &message),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn rendered(report: &Report) -> String {
        String::from_utf8(render(report).unwrap()).unwrap()
    }

    #[test]
    fn literal_xml_for_each_verdict() {
        sample::golden("xml", rendered);
    }

    #[test]
    fn parses_back_with_one_case_per_gate_under_unique_names() {
        let mut report = sample::failing();
        report.gates.extend(report.gates.clone());
        let parsed = quick_junit::Report::deserialize_from_str(&rendered(&report)).unwrap();
        let cases = &parsed.test_suites[0].test_cases;
        assert_eq!(cases.len(), 1 + report.gates.len());
        let mut names: Vec<_> = cases.iter().map(|c| (c.classname.clone(), c.name.to_string())).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), cases.len());
    }

    #[test]
    fn warnings_pass_and_say_so_and_a_broken_instrument_is_an_error() {
        let mut report = sample::broken();
        for (severity, code) in [(Severity::Warning, "a.b"), (Severity::Note, "c.d"), (Severity::Note, "c.d")] {
            report.findings.push(Finding {
                code: code.to_owned(),
                severity,
                message: "##[error]said <once>".to_owned(),
            });
        }
        let parsed = quick_junit::Report::deserialize_from_str(&rendered(&report)).unwrap();
        let cases = &parsed.test_suites[0].test_cases;
        let said: Vec<_> =
            cases.iter().filter_map(|c| Some((c.name.as_str(), c.system_out.as_ref()?.as_str()))).collect();
        assert_eq!(
            said,
            [
                ("a.b", "Warning: #\\#[error]said <once>"),
                ("c.d", "Note: #\\#[error]said <once>"),
                ("c.d (2)", "Note: #\\#[error]said <once>")
            ]
        );
        let kinds: Vec<_> = cases
            .iter()
            .filter_map(|c| match &c.status {
                TestCaseStatus::NonSuccess { kind, .. } => Some((c.classname.as_ref()?.as_str(), *kind)),
                _ => None,
            })
            .collect();
        assert_eq!(
            kinds,
            [
                ("parallax", NonSuccessKind::Error),
                ("parallax.engine", NonSuccessKind::Error),
                ("parallax.quantization", NonSuccessKind::Failure),
                ("parallax.quantization", NonSuccessKind::Failure)
            ]
        );
    }

    #[test]
    fn hostile_text_stays_text() {
        let mut report = sample::inconclusive();
        report.findings[0].message = "</error>]]><x>\u{1b}[31m\u{0}\u{202e}&amp;".into();
        report.gates[0].quantity.metric = "<a b='\"'>\u{2028}".into();
        report.gates[0].quantity.arm = None;
        let xml = rendered(&report);
        assert!(
            !xml.contains("<x>") && !xml.contains('\u{1b}') && !xml.contains('\u{202e}') && !xml.contains('\u{2028}')
        );
        quick_junit::Report::deserialize_from_str(&xml).unwrap();
    }
}
