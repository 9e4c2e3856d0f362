//! Reports: one JSON document is the truth, every other format is a pure function of it.
//!
//! ```text
//! a finished run ──▶ Report ──▶ report.json ──▶ Report ──▶ any format again, without running anything
//!                      └─▶ RENDERERS: json, html, markdown, junit, text, github, csv, model-explorer └─▶ terminal::verdict_text
//! ```
//!
//! To add a format: one file with its function, one row in [`RENDERERS`].

mod chart;
mod consistent;
mod csv;
mod error;
pub mod escape;
mod explanation;
mod gates;
mod github;
mod graph_audit;
mod html;
mod junit;
mod labels;
mod markdown;
mod markdown_proof;
mod markdown_text;
mod node_data;
mod proof;
mod regression;
#[cfg(test)]
mod sample;
mod schema;
mod seal;
mod sections;
pub mod terminal;
mod tokenizers;
mod words;
mod write;

use serde::{Deserialize, Serialize};

pub use error::ReportError;
pub use explanation::{Advice, Explanation, InnerError, LayerErrors, ProvenCause, StageEffect, TensorEffect, Undone};
pub use graph_audit::{GraphAuditSection, GraphWeightsSection, OddOne, OddTensor};
pub use labels::{LabelsSection, LostQuery, MovedPair};
pub use proof::{
    CanariesSection, CanarySection, CoverageSection, FloorSection, MovedCodes, OutputSection, RecordingSection,
    SweepSection, TwinBatch, TwinSection, TwinTap, TwinWords, UnlikeSection,
};
pub use regression::{Movement, RegressionSection};
pub use schema::schema;
pub use sections::{
    AlignedTap, AlignmentSection, CorpusSection, DistanceBucket, InputRecord, LengthBucket, PolicyRecord, Provenance,
    RunRecord, RuntimeRecord, SentenceSection, TokenSection, Tool, WorstRowSection,
};
pub use tokenizers::{LoaderKeyRow, TokenizerDifference, TokenizersSection};
pub use write::OutputDir;

use crate::finding::Finding;
use crate::metrics::{LabelScore, Measurements};
use crate::policy::{GateResult, Measured, Terms};
use crate::verdict::{Answers, Reason, Verdict};
use crate::weights::WeightsReport;

/// The format version this crate writes and reads.
pub const SCHEMA: u64 = 1;

/// No report comes near this; what is larger is not read.
const LARGEST: usize = 512 << 20;

/// One way to show a report.
#[derive(Clone, Copy, Debug)]
pub struct Renderer {
    /// Its name on the command line.
    pub id: &'static str,
    /// The file it is written to in a report's folder; none where it is written only when asked for.
    pub file_name: Option<&'static str>,
    /// Does it.
    pub render: fn(&Report) -> Result<Vec<u8>, ReportError>,
}

/// Every format.
pub const RENDERERS: &[Renderer] = &[
    Renderer { id: "json", file_name: Some("report.json"), render: Report::to_json },
    Renderer { id: "markdown", file_name: Some("report.md"), render: markdown::render },
    Renderer { id: "html", file_name: Some("report.html"), render: html::render },
    Renderer { id: "junit", file_name: Some("junit.xml"), render: junit::render },
    Renderer {
        id: "text",
        file_name: None,
        render: |report| Ok(terminal::verdict_text(report, false, false).into_bytes()),
    },
    Renderer { id: "github", file_name: None, render: github::render },
    Renderer { id: "csv", file_name: None, render: csv::measurements },
    Renderer { id: "csv-worst-rows", file_name: None, render: csv::worst_rows },
    Renderer { id: "model-explorer", file_name: None, render: node_data::render },
];

/// The format called `id`.
pub fn renderer(id: &str) -> Option<&'static Renderer> {
    RENDERERS.iter().find(|r| r.id == id)
}

/// The ids of [`RENDERERS`].
pub fn renderer_names() -> impl Iterator<Item = &'static str> {
    RENDERERS.iter().map(|r| r.id)
}

/// One run, whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Report {
    /// Format version; 1.
    pub schema: u64,
    /// The program.
    pub tool: Tool,
    /// The answer.
    pub verdict: Verdict,
    /// Its exit code.
    pub exit_code: u8,
    /// The two answers behind it.
    #[serde(flatten)]
    pub answers: Answers,
    /// Why, worst first.
    pub reasons: Vec<Reason>,
    /// What was noticed.
    pub findings: Vec<Finding>,
    /// Every limit and how it came out.
    pub gates: Vec<GateResult>,
    /// What decides the result.
    pub provenance: Provenance,
    /// What was said to both sides.
    pub corpus: CorpusSection,
    /// Why the two sides are comparable.
    pub alignment: AlignmentSection,
    /// The stored weights.
    pub weights: WeightsReport,
    /// Every metric at every tap of every arm.
    pub measurements: Measurements,
    /// The sentence vectors.
    pub sentence: SentenceSection,
    /// What both sides score on labels, where some were given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<LabelsSection>,
    /// The rows with the largest errors.
    pub worst_rows: Vec<WorstRowSection>,
    /// Against an earlier run, where one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regression: Option<RegressionSection>,
    /// Where the error starts, what grows it, what would help.
    #[serde(default)]
    pub explanation: Explanation,
}

impl Report {
    /// Pretty JSON with a newline at its end, sealed; the same report gives the same bytes.
    pub fn to_json(&self) -> Result<Vec<u8>, ReportError> {
        seal::sealed(self)
    }

    /// What its gates look at.
    pub(crate) fn measured(&self) -> Measured<'_> {
        let neighbours = self.sentence.neighbours.as_ref();
        let scores = self.labels.as_ref().map_or(&[][..], |labels| labels.scores.as_slice());
        Measured { measurements: &self.measurements, weights: &self.weights, neighbours, scores }
    }

    /// What there is to be judged.
    pub(crate) fn terms(&self) -> Terms<'_> {
        Terms {
            device: self.alignment.recording.as_ref().map(RecordingSection::terms),
            quantized: self.weights.is_quantized(),
            scored: self.measured().scores.iter().map(LabelScore::metric).collect(),
        }
    }

    /// Reads a report back; refuses another schema, sizes no run produces, and a report that contradicts
    /// itself (a PASS that its own gates deny) or is not what was written.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ReportError> {
        #[derive(Deserialize)]
        struct Head {
            schema: u64,
        }
        if bytes.len() > LARGEST {
            return Err(ReportError::Unreasonable { what: format!("{} bytes, more than {LARGEST}", bytes.len()) });
        }
        let malformed = |e: serde_json::Error| ReportError::Malformed { message: escape::plain(&e.to_string(), 300) };
        let Head { schema } = serde_json::from_slice(bytes).map_err(malformed)?;
        if schema != SCHEMA {
            return Err(ReportError::Schema { found: schema });
        }
        let mut report: Self = serde_json::from_slice(bytes).map_err(malformed)?;
        let seal = report.provenance.run.sealed.take();
        consistent::check(&report)?;
        seal::check(&report, seal.as_deref())?;
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Fault;

    #[test]
    fn json_round_trips_to_the_byte() {
        for report in [sample::passing(), sample::failing(), sample::inconclusive(), sample::broken()] {
            let json = report.to_json().unwrap();
            let back = Report::from_json(&json).unwrap();
            assert_eq!(back, report);
            assert_eq!(back.to_json().unwrap(), json);
            assert_eq!(json.last(), Some(&b'\n'));
        }
    }

    #[test]
    fn the_top_level_keys_are_the_promised_ones() {
        let value: serde_json::Value = serde_json::from_slice(&sample::failing().to_json().unwrap()).unwrap();
        let keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        let promised = "schema tool verdict exit_code faithful fit reasons findings gates provenance corpus alignment weights \
                        measurements sentence worst_rows explanation";
        assert_eq!(keys, promised.split_whitespace().collect::<Vec<_>>());
        assert_eq!(value["verdict"], "fail");
        assert_eq!(value["alignment"]["cross_match"]["relative_l2"][0][1], "inf");
    }

    #[test]
    fn what_is_no_report_is_refused() {
        let json = String::from_utf8(sample::passing().to_json().unwrap()).unwrap();
        let refusal = |text: &str| Report::from_json(text.as_bytes()).unwrap_err();
        assert!(matches!(refusal(""), ReportError::Malformed { .. }));
        assert!(matches!(refusal("{}"), ReportError::Malformed { .. }));
        assert!(matches!(refusal("{\"schema\": 1}"), ReportError::Malformed { .. }));
        assert!(matches!(refusal(&json.replace("\"schema\": 1", "\"schema\": 2")), ReportError::Schema { found: 2 }));
        assert!(matches!(
            refusal(&json.replace("\"exit_code\": 0", "\"exit_code\": 1")),
            ReportError::Unreasonable { .. }
        ));
        let ragged = json.replace("\"reference_taps\": [", "\"reference_taps\": [\"layer.7\",");
        assert!(matches!(refusal(&ragged), ReportError::Unreasonable { .. }));
        let no_tap = json.replace("\"reference_taps\": [", "\"reference_taps\": [\"<b>\",");
        assert!(matches!(refusal(&no_tap), ReportError::Malformed { .. }));
        for error in [refusal("[[[["), refusal("{\"schema\": 9}"), refusal(&ragged)] {
            assert_eq!(error.fault(), Fault::BadInput);
            assert!(!error.to_string().contains('\n'));
        }
        for cut in [1, json.len() / 3, json.len() - 3] {
            assert!(Report::from_json(&json.as_bytes()[..cut]).is_err());
        }
    }
}
