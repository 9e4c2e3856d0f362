//! The report people open: one file, nothing loaded, legible without style and script, better with them.
//!
//! ```text
//! verdict → why → layer curve → cross-match → worst sentences → sentence level → weights → evidence → provenance
//! ```
//!
//! Every number stands with its place in report.json (`data-path`, a JSON pointer) and all its digits (`data-v`), so that
//! a browser test can hold the page against the file. To add a section: one file with its function, one row in [`SECTIONS`].

mod evidence;
mod gates;
mod labels;
mod layers;
mod markup;
mod provenance;
mod regression;
mod sentences;
mod verdict;
mod weights;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{Report, ReportError};
use markup::{text, whole};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// SHA-256 of the script, so that a browser runs it and nothing else: a test keeps it true.
const SCRIPT_HASH: &str = "sha256-85tiB9VRyRB5PUlC4y3tzjZpwVpHUEUYkUR6HPfVncA=";

/// One section: its id, its name in the list at the top, and what writes it; empty where there is nothing to show.
struct Section {
    id: &'static str,
    name: &'static str,
    render: fn(&Report) -> Markup,
}

const SECTIONS: &[Section] = &[
    Section { id: "why", name: "Why", render: verdict::why },
    Section { id: "release", name: "Last release", render: regression::regression },
    Section { id: "layers", name: "Layers", render: layers::layers },
    Section { id: "cross-match", name: "Cross-match", render: layers::cross_match },
    Section { id: "rows", name: "Worst sentences", render: sentences::rows },
    Section { id: "sentences", name: "Sentence level", render: sentences::sentences },
    Section { id: "labels", name: "Labels", render: labels::labels },
    Section { id: "weights", name: "Weights", render: weights::weights },
    Section { id: "gates", name: "Gates", render: gates::gates },
    Section { id: "evidence", name: "Evidence", render: evidence::evidence },
    Section { id: "provenance", name: "Provenance", render: provenance::provenance },
];

/// Renders the report.
pub(super) fn render(report: &Report) -> Result<Vec<u8>, ReportError> {
    let sections: Vec<(&Section, Markup)> =
        SECTIONS.iter().map(|s| (s, (s.render)(report))).filter(|(_, content)| !content.0.is_empty()).collect();
    let program = html! { (whole(&report.tool.name)) " " (whole(&report.tool.version)) };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content={
                    "default-src 'none'; style-src 'unsafe-inline'; script-src '" (SCRIPT_HASH) "'; "
                    "base-uri 'none'; form-action 'none'"
                };
                meta name="referrer" content="no-referrer";
                meta name="generator" content=(program);
                title { (report.verdict) ": " (text(&report.alignment.candidate)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#main" { "Skip to the report" }
                (verdict::head(report))
                nav aria-label="Sections" { @for (s, _) in &sections { a href={ "#" (s.id) } { (s.name) } " " } }
                main #main { @for (_, content) in &sections { (content) "\n" } }
                footer {
                    p { (program) ". Everything here is in report.json, from which this page can be rendered again." }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
        "\n"
    };
    Ok(page.into_string().into_bytes())
}

#[cfg(test)]
mod tests;
