//! Labels: every text of them runs once through both sides, and both are scored by what people said.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::Error;
use crate::finding::Finding;
use crate::hidden_states::{RowId, RowSet, Tap};
use crate::labels::{LabelledText, Labels, Pairs, Retrieval};
use crate::metrics::ranking::{Ranking, first};
use crate::metrics::{fused, of_pairs, of_search};
use crate::report::{LabelsSection, LostQuery, MovedPair, escape};
use crate::rows::measure::{add_sentences, batches, reference_states};
use crate::rows::workers::Workers;
use crate::sides::tokenizers::OtherIds;
use crate::sides::{CheckRequest, Sides};
use crate::tokens::{BLOCK_ROWS, TokenRow};

/// Rows listed of those that moved or lost most.
const LISTED: usize = 10;
/// Characters of a text in a report.
const EXCERPT: usize = 160;
/// Texts that are tokenized and run at once.
const AT_ONCE: usize = 4 * BLOCK_ROWS;

/// Names under which sentence-transformers looks for what stands before a query and before a document
/// (`encode_query`, `encode_document`).
const QUERY: &[&str] = &["query"];
const DOCUMENT: &[&str] = &["document", "passage", "corpus"];

/// Scores both sides; nothing where no labels were given.
pub(super) fn measure(
    sides: &Sides,
    request: &CheckRequest,
    workers: &Workers,
    labels: &Labels,
) -> Result<(Option<LabelsSection>, Option<Finding>), Error> {
    let mut out = LabelsSection { sources: labels.sources().cloned().collect(), ..LabelsSection::default() };
    if out.sources.is_empty() {
        return Ok((None, None));
    }
    let mut texts = Texts::default();
    let pairs = labels.pairs.as_ref().map(|pairs| {
        let place = |line: u64| format!("{}:{line}", pairs.source.file);
        let both = |pair: &crate::labels::LabelledPair| {
            pair.texts.each_ref().map(|text| texts.add(&sides.facts.prompted(text), || place(pair.line)))
        };
        (pairs, pairs.rows.iter().map(both).collect::<Vec<_>>())
    });
    let search = labels.retrieval.as_ref().map(|search| {
        out.query_prompt = own_prompt(sides, request, QUERY)?;
        out.document_prompt = own_prompt(sides, request, DOCUMENT)?;
        let mut add = |text: &LabelledText, prompt: &Option<String>, file: usize| {
            let place = || format!("{}: {:?}", search.sources[file].file, text.id);
            match prompt {
                Some(prompt) => texts.add(&format!("{prompt}{}", text.text), place),
                None => texts.add(&sides.facts.prompted(&text.text), place),
            }
        };
        let queries: Vec<usize> = search.queries.iter().map(|q| add(&q.query, &out.query_prompt, 0)).collect();
        let documents: Vec<usize> = search.documents.iter().map(|d| add(d, &out.document_prompt, 1)).collect();
        Ok::<_, Error>((search, queries, documents))
    });
    let search = search.transpose()?;
    let vectors = texts.run(sides, request, workers)?;
    out.truncated = texts.truncated;
    if let Some((pairs, at)) = pairs {
        score_pairs(pairs, &at, &vectors, &mut out);
    }
    if let Some((search, queries, documents)) = search {
        score_search(search, [&queries, &documents], &vectors, &mut out);
    }
    Ok((Some(out), texts.other_ids.finding(texts.all.len() as u64)))
}

/// The prompt of one of those names that the model's files state, where nobody asked for another one.
fn own_prompt(sides: &Sides, request: &CheckRequest, names: &[&str]) -> Result<Option<String>, Error> {
    if request.prompt.is_some() || request.prompt_name.is_some() {
        return Ok(None);
    }
    let known = &sides.facts.prompts;
    let own = names.iter().find_map(|name| known.get(*name)).filter(|own| sides.facts.prompt.as_ref() != Some(own));
    match own {
        Some(own) if !sides.facts.modules.include_prompt => Err(Error::Incomparable(format!(
            "the model leaves its prompt out of its pooling, and before a {} it has another one, {:?}: labels of a search \
             are not scored on such a model; give --prompt or --prompt-name to run all texts with one prompt",
            names[0],
            escape::plain(own, EXCERPT)
        ))),
        own => Ok(own.cloned()),
    }
}

/// Texts to be run, each once.
#[derive(Default)]
struct Texts {
    all: Vec<(String, String)>,
    index: BTreeMap<String, usize>,
    truncated: u64,
    other_ids: OtherIds,
}

/// A sentence vector, and its length.
#[derive(Clone, Default)]
struct Vector {
    values: Box<[f32]>,
    norm: f64,
}

impl Vector {
    /// NaN where one of them is zero or no number.
    fn cosine(&self, other: &Self) -> f64 {
        fused::dot(&self.values, &other.values) / (self.norm * other.norm)
    }
}

/// Of the reference, of the candidate.
type Both = [Vector; 2];

impl Texts {
    /// The number of a text; `place` says where it stands.
    fn add(&mut self, text: &str, place: impl FnOnce() -> String) -> usize {
        if let Some(at) = self.index.get(text) {
            return *at;
        }
        self.index.insert(text.to_owned(), self.all.len());
        self.all.push((text.to_owned(), place()));
        self.all.len() - 1
    }

    /// The sentence vectors of all of them.
    fn run(&mut self, sides: &Sides, request: &CheckRequest, workers: &Workers) -> Result<Vec<Both>, Error> {
        let made: Mutex<Vec<Both>> = Mutex::new(vec![Both::default(); self.all.len()]);
        for start in (0..self.all.len()).step_by(AT_ONCE) {
            let texts = &self.all[start..self.all.len().min(start + AT_ONCE)];
            let tokenized: Vec<_> = texts.par_iter().map(|(text, _)| sides.tokenizers.encode(text)).collect();
            let mut rows: Vec<(RowId, TokenRow)> = Vec::with_capacity(texts.len());
            for (i, (tokens, (_, place))) in tokenized.into_iter().zip(texts).enumerate() {
                let (tokens, parts) = tokens?;
                self.other_ids.add(sides.facts.tokenizers.explained(), place, parts)?;
                self.truncated += u64::from(tokens.truncated);
                rows.push((RowId { set: RowSet::Corpus, row: (start + i) as u64 }, tokens));
            }
            let on = sides.encoders();
            workers.each(&batches(&rows, request.batch_tokens), |batch| {
                let reference = reference_states(on, batch)?;
                let mut candidate = on.candidate.encode(batch)?;
                add_sentences(on.candidate_head, &mut candidate)?;
                let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
                for (side, states) in [reference, candidate].iter().enumerate() {
                    let Some(sentences) = states.get(Tap::Sentence) else { continue };
                    for r in 0..batch.rows() {
                        let values: Box<[f32]> = sentences.row(r).into();
                        let norm = fused::dot(&values, &values).sqrt();
                        made[batch.row_id(r).row as usize][side] = Vector { values, norm };
                    }
                }
                Ok(())
            })?;
        }
        Ok(made.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

fn score_pairs(pairs: &Pairs, at: &[[usize; 2]], vectors: &[Both], out: &mut LabelsSection) {
    let labels: Vec<f64> = pairs.rows.iter().map(|pair| pair.score).collect();
    let cosines =
        |side: usize| -> Vec<f64> { at.iter().map(|[a, b]| vectors[*a][side].cosine(&vectors[*b][side])).collect() };
    let (reference, candidate) = (cosines(0), cosines(1));
    out.pairs = labels.len() as u64;
    out.scores.extend(of_pairs(&labels, &reference, &candidate));
    let moved = |i: &usize| (reference[*i] - candidate[*i]).abs();
    let mut order: Vec<usize> = (0..labels.len()).collect();
    // NaN first.
    order.sort_by(|a, b| moved(b).total_cmp(&moved(a)));
    out.moved_pairs = order
        .iter()
        .filter(|i| moved(i) != 0.0)
        .take(LISTED)
        .map(|&i| MovedPair {
            line: pairs.rows[i].line,
            texts: pairs.rows[i].texts.each_ref().map(|text| escape::plain(text, EXCERPT)),
            label: labels[i],
            reference: reference[i],
            candidate: candidate[i],
        })
        .collect();
}

/// What a query's list is worth on both sides; none where a vector is zero or no number.
fn ranked(search: &Retrieval, query: usize, at: &Both, documents: &[&Both]) -> Option<[Ranking; 2]> {
    let judged = &search.queries[query];
    let relevant: Vec<f64> = judged.relevant.values().copied().collect();
    let side = |side: usize| {
        let scores: Vec<f64> = documents.iter().map(|document| at[side].cosine(&document[side])).collect();
        if scores.iter().any(|s| !s.is_finite()) {
            return None;
        }
        let found = first(&scores, |document| judged.itself == Some(document));
        let grades: Vec<f64> = found.iter().map(|d| judged.relevant.get(d).copied().unwrap_or(0.0)).collect();
        Ranking::of(&grades, &relevant)
    };
    Some([side(0)?, side(1)?])
}

fn score_search(search: &Retrieval, [queries, documents]: [&[usize]; 2], vectors: &[Both], out: &mut LabelsSection) {
    let documents: Vec<&Both> = documents.iter().map(|at| &vectors[*at]).collect();
    let numbers: Vec<usize> = (0..queries.len()).collect();
    let rankings: Vec<Option<[Ranking; 2]>> =
        numbers.par_iter().map(|&i| ranked(search, i, &vectors[queries[i]], &documents)).collect();
    (out.queries, out.documents, out.unanswered) = (queries.len() as u64, documents.len() as u64, search.unanswered);
    out.scores.extend(of_search(&rankings));
    let lost = |i: &usize| rankings[*i].map_or(f64::NAN, |[ours, theirs]| ours.ndcg - theirs.ndcg);
    let mut order: Vec<usize> = numbers.into_iter().filter(|i| !matches!(lost(i), l if l <= 0.0)).collect();
    order.sort_by(|a, b| lost(b).total_cmp(&lost(a)));
    let told = |i: usize| {
        let query = &search.queries[i].query;
        let [reference, candidate] = rankings[i].map_or([f64::NAN; 2], |sides| sides.map(|side| side.ndcg));
        LostQuery {
            id: escape::plain(&query.id, EXCERPT),
            text: escape::plain(&query.text, EXCERPT),
            reference,
            candidate,
        }
    };
    out.lost_queries = order.into_iter().take(LISTED).map(told).collect();
}
