//! Annotations for GitHub's runner: `::error title=…::…`, on the run's page before anyone opens a log.
//!
//! A step shows ten errors and ten warnings and drops the rest without a word (actions/toolkit issue 734), so ten lines
//! are written at most, and the last says how many there would be more. Escaping as in actions/toolkit `command.ts`.

use super::escape::plain;
use super::{Report, ReportError};
use crate::finding::Severity;
use crate::verdict::Verdict;

/// Annotations of one step that are shown.
const MOST: usize = 10;
/// Characters of one message.
const MESSAGE: usize = 500;

/// Renders the report.
pub(super) fn render(report: &Report) -> Result<Vec<u8>, ReportError> {
    let title = format!("parallax: {}", report.verdict);
    let mut lines: Vec<String> = Vec::new();
    if report.verdict == Verdict::Pass {
        let message = format!("{} matches {}", report.alignment.candidate, report.alignment.reference);
        lines.push(annotation("notice", &title, &message));
    }
    lines.extend(report.reasons.iter().filter(|r| !r.follows).map(|r| annotation("error", &title, &r.message)));
    let warnings = report.findings.iter().filter(|f| f.severity == Severity::Warning);
    lines.extend(warnings.map(|f| annotation("warning", &format!("parallax: {}", f.code), &f.message)));
    if lines.len() > MOST {
        let more = format!("… and {} more, all in report.json", lines.len() - (MOST - 1));
        let level = if report.verdict == Verdict::Pass { "warning" } else { "error" };
        lines.truncate(MOST - 1);
        lines.push(annotation(level, &title, &more));
    }
    Ok((lines.join("\n") + "\n").into_bytes())
}

fn annotation(level: &str, title: &str, message: &str) -> String {
    let title = data(&plain(title, 200)).replace(':', "%3A").replace(',', "%2C");
    format!("::{level} title={title}::{}", data(&plain(message, MESSAGE)))
}

/// What the runner reads as text. `%` first, or what is put in its place would be escaped again.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Finding;
    use crate::report::sample;

    fn rendered(report: &Report) -> Vec<String> {
        String::from_utf8(render(report).unwrap()).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_pass_is_a_notice_and_every_reason_an_error() {
        let lines = rendered(&sample::passing());
        assert!(lines.len() == 1 && lines[0].starts_with("::notice title=parallax%3A PASS::"), "{lines:?}");
        let report = sample::failing();
        let lines = rendered(&report);
        assert_eq!(lines.len(), report.reasons.len());
        assert!(lines.iter().all(|l| l.starts_with("::error title=parallax%3A FAIL::")), "{lines:?}");
        assert!(rendered(&sample::inconclusive())[0].starts_with("::error title=parallax%3A INCONCLUSIVE::"));
    }

    #[test]
    fn ten_at_most_and_the_last_counts_the_rest() {
        let mut report = sample::failing();
        report.reasons = vec![report.reasons[0].clone(); 25];
        let lines = rendered(&report);
        assert_eq!(lines.len(), 10);
        assert!(lines[9].contains("and 16 more"), "{}", lines[9]);
    }

    #[test]
    fn hostile_text_is_one_line_of_one_command() {
        let mut report = sample::failing();
        let hostile = "100% bad\n::set-output name=x::y\r::add-mask::z\u{202e}\0##[error]";
        report.reasons[0].message = hostile.into();
        report.findings.push(Finding {
            code: "a,b:c\n::d".to_owned(),
            severity: Severity::Warning,
            message: hostile.to_owned(),
        });
        let lines = rendered(&report);
        assert!(
            lines.iter().all(|l| l.starts_with("::error title=") || l.starts_with("::warning title=")),
            "{lines:?}"
        );
        assert!(lines[0].contains("100%25 bad") && !lines[0].contains(['\0', '\u{202e}']), "{}", lines[0]);
        assert!(lines.last().unwrap().starts_with("::warning title=parallax%3A a%2Cb%3Ac"), "{lines:?}");
    }
}
