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
mod layers;
mod markup;
mod provenance;
mod regression;
mod sentences;
mod verdict;
mod weights;

use super::{Report, ReportError};
use markup::html;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// SHA-256 of the script, so that a browser runs it and nothing else: a test keeps it true.
const SCRIPT_HASH: &str = "sha256-85tiB9VRyRB5PUlC4y3tzjZpwVpHUEUYkUR6HPfVncA=";

/// One section: its id, its name in the list at the top, and what writes it; empty where there is nothing to show.
struct Section {
    id: &'static str,
    name: &'static str,
    render: fn(&Report) -> String,
}

const SECTIONS: &[Section] = &[
    Section { id: "why", name: "Why", render: verdict::why },
    Section { id: "release", name: "Last release", render: regression::regression },
    Section { id: "layers", name: "Layers", render: layers::layers },
    Section { id: "cross-match", name: "Cross-match", render: layers::cross_match },
    Section { id: "rows", name: "Worst sentences", render: sentences::rows },
    Section { id: "sentences", name: "Sentence level", render: sentences::sentences },
    Section { id: "weights", name: "Weights", render: weights::weights },
    Section { id: "gates", name: "Gates", render: gates::gates },
    Section { id: "evidence", name: "Evidence", render: evidence::evidence },
    Section { id: "provenance", name: "Provenance", render: provenance::provenance },
];

/// Renders the report.
pub(super) fn render(report: &Report) -> Result<Vec<u8>, ReportError> {
    let sections: Vec<(&Section, String)> =
        SECTIONS.iter().map(|s| (s, (s.render)(report))).filter(|(_, content)| !content.is_empty()).collect();
    let links: String = sections.iter().map(|(s, _)| format!("<a href=\"#{}\">{}</a>\n", s.id, s.name)).collect();
    let body: String = sections.iter().map(|(_, content)| content.as_str()).collect();
    let title = format!("{}: {}", report.verdict, markup::text(&report.alignment.candidate));
    let out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src '{SCRIPT_HASH}'; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n<meta name=\"generator\" content=\"{} {}\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<a class=\"skip\" href=\"#main\">Skip to the report</a>\n\
         {}<nav aria-label=\"Sections\">\n{links}</nav>\n<main id=\"main\">\n{body}</main>\n\
         <footer><p>{} {}. Everything here is in report.json, from which this page can be rendered again.</p></footer>\n\
         <script>{SCRIPT}</script>\n</body>\n</html>\n",
        html(&report.tool.name),
        html(&report.tool.version),
        verdict::head(report),
        html(&report.tool.name),
        html(&report.tool.version),
    );
    Ok(out.into_bytes())
}

#[cfg(test)]
mod tests;
