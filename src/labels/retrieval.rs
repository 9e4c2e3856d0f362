//! Queries, documents, and which document answers which query: BEIR's three files.

use std::collections::BTreeMap;
use std::path::Path;

use super::table::{Column, rows};
use super::{LabelError, LabelledText, RetrievalFiles, file};
use crate::corpus::SourceRecord;

/// Fewest judged queries that a mean says anything of.
pub const LEAST_QUERIES: usize = 30;

const ID: Column = &["_id", "id", "query_id", "query-id", "doc_id", "corpus-id"];
const TITLE: Column = &["title"];
const TEXT: Column = &["text", "query", "passage", "content"];

/// One query with what answers it.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// The query.
    pub query: LabelledText,
    /// Grades above 0, by the document's place in [`Retrieval::documents`].
    pub relevant: BTreeMap<usize, f64>,
    /// The document that has the query's own id, which is not looked for (as BEIR does).
    pub itself: Option<usize>,
}

/// A search with judged documents.
#[derive(Clone, Debug)]
pub struct Retrieval {
    /// The three files: queries, documents, judgements.
    pub sources: Vec<SourceRecord>,
    /// Queries that something answers.
    pub queries: Vec<Query>,
    /// All that is searched.
    pub documents: Vec<LabelledText>,
    /// Queries that nothing answers; they are left out.
    pub unanswered: u64,
}

impl Retrieval {
    pub(super) fn read(files: &RetrievalFiles) -> Result<Self, LabelError> {
        let (queries, from_queries) = texts(&files.queries)?;
        let (documents, from_documents) = texts(&files.documents)?;
        let places: BTreeMap<&str, usize> = documents.iter().enumerate().map(|(i, d)| (d.id.as_str(), i)).collect();
        let (grades, from_grades) = grades(&files.judgements, &queries, &places)?;
        let all = queries.len();
        let judged = |query: LabelledText| {
            let relevant = grades.get(&query.id)?.clone();
            let itself = places.get(query.id.as_str()).copied();
            // A document that is not looked for answers nothing.
            let relevant: BTreeMap<usize, f64> = relevant.into_iter().filter(|(d, _)| Some(*d) != itself).collect();
            (!relevant.is_empty()).then_some(Query { query, relevant, itself })
        };
        let queries: Vec<Query> = queries.into_iter().filter_map(judged).collect();
        if queries.len() < LEAST_QUERIES {
            let reason =
                format!("judges {} of the queries; a mean over queries needs at least {LEAST_QUERIES}", queries.len());
            return Err(LabelError::File { file: files.judgements.clone(), reason });
        }
        let unanswered = (all - queries.len()) as u64;
        Ok(Self { sources: vec![from_queries, from_documents, from_grades], queries, documents, unanswered })
    }
}

/// Texts with their ids, each of which is there once.
fn texts(path: &Path) -> Result<(Vec<LabelledText>, SourceRecord), LabelError> {
    let (text, mut source) = file::read(path)?;
    let error = |line, reason: String| LabelError::Line { file: path.to_owned(), line, reason };
    let mut out: Vec<LabelledText> = Vec::new();
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    for (line, row) in rows(path, &text, &[ID, TITLE, TEXT], &[false, true, false])? {
        let [id, title, text]: [String; 3] =
            row.try_into().map_err(|_| error(line, "has not three columns".to_owned()))?;
        if let Some(before) = seen.insert(id.clone(), line) {
            return Err(error(line, format!("has the id {} of line {before}", shown(&id))));
        }
        // As BEIR and sentence-transformers join them.
        let text = format!("{title} {text}").trim().to_owned();
        out.push(LabelledText { id, text });
    }
    source.rows = out.len() as u64;
    Ok((out, source))
}

/// Grades above 0 by query, each by the document's place.
type Grades = BTreeMap<String, BTreeMap<usize, f64>>;

fn grades(
    path: &Path,
    queries: &[LabelledText],
    documents: &BTreeMap<&str, usize>,
) -> Result<(Grades, SourceRecord), LabelError> {
    let (text, mut source) = file::read(path)?;
    let error = |line, reason: String| LabelError::Line { file: path.to_owned(), line, reason };
    let known: std::collections::BTreeSet<&str> = queries.iter().map(|q| q.id.as_str()).collect();
    let mut out = Grades::new();
    for (line, words) in (1u64..).zip(text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>())) {
        let (query, document, grade) = match words.as_slice() {
            [] => continue,
            [query, document, grade] | [query, _, document, grade] => (*query, *document, *grade),
            _ => {
                return Err(error(
                    line,
                    "has neither three columns (query, document, grade) nor TREC's four".to_owned(),
                ));
            }
        };
        let Some(value) = grade.parse().ok().filter(|g: &f64| g.is_finite()) else {
            // The header, as BEIR writes it.
            if line == 1 {
                continue;
            }
            return Err(error(line, format!("the grade {} is no number", shown(grade))));
        };
        if !known.contains(query) {
            return Err(error(line, format!("judges a query {} that is not among the queries", shown(query))));
        }
        let Some(place) = documents.get(document) else {
            return Err(error(line, format!("names a document {} that is not among the documents", shown(document))));
        };
        source.rows += 1;
        if value > 0.0 {
            out.entry(query.to_owned()).or_default().insert(*place, value);
        }
    }
    Ok((out, source))
}

fn shown(id: &str) -> String {
    format!("\"{}\"", id.escape_debug().take(40).collect::<String>())
}
