//! What both sides score on labels.

use serde::{Deserialize, Serialize};

use super::words::count;
use crate::corpus::SourceRecord;
use crate::figures::number;
use crate::json_float;
use crate::metrics::LabelScore;

/// Scores on labels, and the rows that lost most.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LabelsSection {
    /// The files.
    pub sources: Vec<SourceRecord>,
    /// Pairs of sentences with a score.
    pub pairs: u64,
    /// Queries that something answers.
    pub queries: u64,
    /// Queries that nothing answers; they are left out.
    pub unanswered: u64,
    /// Documents searched.
    pub documents: u64,
    /// Texts longer than the model takes.
    pub truncated: u64,
    /// What stands before every query, where that is not the corpus' prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_prompt: Option<String>,
    /// What stands before every document, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document_prompt: Option<String>,
    /// Every score.
    pub scores: Vec<LabelScore>,
    /// Pairs whose similarity moved farthest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moved_pairs: Vec<MovedPair>,
    /// Queries that lost most of their nDCG.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost_queries: Vec<LostQuery>,
}

/// A pair whose similarity moved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct MovedPair {
    /// Its line in the file, from 1.
    pub line: u64,
    /// Both texts, escaped and cut.
    pub texts: [String; 2],
    /// Its label.
    #[serde(with = "json_float")]
    #[schemars(with = "json_float::Written")]
    pub label: f64,
    /// Cosine similarity of the reference.
    #[serde(with = "json_float")]
    #[schemars(with = "json_float::Written")]
    pub reference: f64,
    /// Of the candidate.
    #[serde(with = "json_float")]
    #[schemars(with = "json_float::Written")]
    pub candidate: f64,
}

/// A query whose list got worse.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LostQuery {
    /// Its id.
    pub id: String,
    /// Its text, escaped and cut.
    pub text: String,
    /// nDCG@10 of the reference.
    #[serde(with = "json_float")]
    #[schemars(with = "json_float::Written")]
    pub reference: f64,
    /// Of the candidate.
    #[serde(with = "json_float")]
    #[schemars(with = "json_float::Written")]
    pub candidate: f64,
}

impl LabelsSection {
    /// `30 pairs`, `50 queries over 500 documents`.
    pub(super) fn amount(&self) -> String {
        let pairs = (self.pairs > 0).then(|| format!("{} pairs", count(self.pairs)));
        let (queries, documents) = (count(self.queries), count(self.documents));
        let search = (self.queries > 0).then(|| format!("{queries} queries over {documents} documents"));
        pairs.into_iter().chain(search).collect::<Vec<_>>().join(", ")
    }

    /// One sentence for each score.
    pub(super) fn sentences(&self) -> Vec<String> {
        let told = |score: &LabelScore| {
            let name = score.score.replace('_', " ");
            let interval = match (score.low, score.high) {
                (Some(low), Some(high)) => format!(", 95 % between {} and {}", number(low), number(high)),
                _ => String::new(),
            };
            match (score.reference, score.candidate, score.drop) {
                (Some(ours), Some(theirs), Some(drop)) => format!(
                    "{name} {} of the reference, {} of the candidate (lost {}{interval})",
                    number(ours),
                    number(theirs),
                    number(drop)
                ),
                (Some(ours), Some(theirs), None) => format!(
                    "{name} {} of the reference, {} of the candidate: the reference itself does not agree with these labels, \
                     so that nothing can be said of what is lost",
                    number(ours),
                    number(theirs)
                ),
                _ => format!("{name} was not measured: labels or similarities do not vary"),
            }
        };
        self.scores.iter().map(told).collect()
    }

    /// What contradicts itself in it.
    pub(super) fn contradiction(&self) -> Option<String> {
        let own = |s: &LabelScore| LabelScore::lost(s.reference, s.candidate);
        let same = |a: Option<f64>, b: Option<f64>| a.map(f64::to_bits) == b.map(f64::to_bits);
        let nan = |v: Option<f64>| v.is_some_and(f64::is_nan);
        let derived = |s: &&LabelScore| same(own(s), s.drop) || (nan(own(s)) && nan(s.drop));
        let wrong = self.scores.iter().find(|s| !derived(s))?;
        Some(format!("the drop of {:?} on labels is not the difference of its two scores", wrong.score))
    }
}
