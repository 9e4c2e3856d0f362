//! Every output of the reference's graph is explained: a hidden state is the claimed one, a vector per row is the
//! pooling that the files state, on every row the reference runs on. What users of the ONNX file get is what is compared.

mod pooled;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::likeness::apart;
use super::swept_row::shown_row;
use crate::Error;
use crate::figures::number;
use crate::finding::{Code, Finding, Severity, codes};
use crate::hidden_states::{HiddenStates, OutputValues, RowId, Tap, TapStates};
use crate::report::OutputSection;
use crate::runtimes::native::SentenceHead;
use crate::runtimes::onnx::{Carries, DeclaredOutput};
use crate::sides::Sides;
use crate::tokens::TokenBatch;
use pooled::Pooler;

/// Most that an output may be from what explains it, relative L2 per token, or per row for vectors: they are the same
/// values, or the same sums in another order. Measured for vectors: at most 1.3e-7 (mean with Normalize, three exports);
/// cls in place of mean is 0.1. Hidden states and poolers are held to the same number, which is not measured for them yet.
pub(crate) const EXPLAINED: f64 = 1e-5;
/// The same for an output that is stored as float16, whose rounding is at most 4.9e-4 per value.
const EXPLAINED_HALF: f64 = 1e-3;
/// Names by which users and loaders take the last hidden state.
const LAST: &[&str] = &["last_hidden_state", "token_embeddings"];
/// Names by which users and loaders take the sentence vector.
const SENTENCE: &[&str] = &["sentence_embedding", "sentence_embeddings", "text_embeds"];
const CODE: &Code = &codes::REFERENCE_OUTPUT;
const SENTENCE_CODE: &Code = &codes::REFERENCE_SENTENCE_OUTPUT;

/// What an output may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Is {
    Tap(Tap),
    /// BERT's pooler: tanh of a Dense on the first token.
    Pooler,
}

/// What is known beforehand, to hold outputs against.
pub(crate) struct Explaining {
    declared: Vec<DeclaredOutput>,
    /// The reference's modules; all dimensions are kept.
    head: SentenceHead,
    pooler: Option<Pooler>,
    /// The reference's layers.
    layers: usize,
}

impl Explaining {
    /// From what the files say.
    pub(crate) fn new(sides: &Sides) -> Self {
        // A module behind the cut needs it.
        let head = sides.reference_head.untruncated().unwrap_or_else(|_| sides.reference_head.clone());
        let pooler = Pooler::of(&sides.original, sides.facts.hidden);
        let layers = sides.facts.control_config.num_hidden_layers;
        Self { declared: sides.facts.outputs.clone(), head, pooler, layers }
    }
}

/// The largest distance from one explanation, and where.
#[derive(Clone, Copy, Debug)]
struct Worst {
    distance: f64,
    row: RowId,
    token: usize,
}

/// The row that is furthest from what it should be, kept to say what it is instead.
struct Evidence {
    worst: Worst,
    output: Arc<TapStates>,
    states: HiddenStates,
}

/// One output over all rows.
#[derive(Default)]
struct OutputSeen {
    per_token: bool,
    rows: u64,
    /// Rows that are not what they should be.
    unexplained: u64,
    worst: BTreeMap<Is, Worst>,
    unlike: Option<(RowId, String)>,
    evidence: Option<Evidence>,
}

/// Padding that is not finite, at one place.
#[derive(Clone, Copy)]
struct Broken {
    row: RowId,
    rows: u64,
    values: u64,
}

/// What the reference returned besides its taps, over all rows.
#[derive(Default)]
pub(crate) struct Outputs {
    seen: BTreeMap<Arc<str>, OutputSeen>,
    padding: BTreeMap<Arc<str>, Broken>,
}

impl Outputs {
    /// Holds one batch's outputs against its taps.
    pub(crate) fn add(&mut self, to: &Explaining, batch: &TokenBatch, states: &HiddenStates) -> Result<(), Error> {
        let returned = states.returned();
        for broken in &returned.padding {
            let row = batch.row_id(broken.row);
            let slot = self.padding.entry(Arc::clone(&broken.place)).or_insert(Broken { row, rows: 0, values: 0 });
            *slot = Broken { row: slot.row.min(row), rows: slot.rows + 1, values: slot.values + broken.values };
        }
        for output in &returned.outputs {
            let seen = self.seen.entry(Arc::clone(&output.name)).or_default();
            let limit = limit(&to.declared, &output.name);
            match &output.values {
                OutputValues::Unlike(shape) => {
                    seen.rows += batch.rows() as u64;
                    seen.unexplained += batch.rows() as u64;
                    let row = batch.row_id(0);
                    if seen.unlike.as_ref().is_none_or(|(first, _)| row < *first) {
                        seen.unlike = Some((row, shape.clone()));
                    }
                }
                OutputValues::PerToken(values) => {
                    seen.per_token = true;
                    let all: Vec<(Is, Arc<TapStates>)> = states
                        .iter()
                        .filter(|(tap, s)| !tap.is_sentence_level() && s.hidden() == values.hidden())
                        .map(|(tap, s)| (Is::Tap(tap), Arc::clone(s)))
                        .collect();
                    seen.hold(batch, values, &all, &[Is::Tap(Tap::Final)], limit, states)?;
                }
                OutputValues::PerRow(values) => {
                    let Some(last) = states.get(Tap::Final) else { continue };
                    let (pooled, sentence) = to.head.apply(last)?;
                    let mut all = vec![(Is::Tap(Tap::Sentence), sentence), (Is::Tap(Tap::Pooled), pooled)];
                    if let Some(pooler) = &to.pooler {
                        all.push((Is::Pooler, pooler.apply(last)?));
                    }
                    all.retain(|(_, s)| s.hidden() == values.hidden());
                    let expected = [Is::Tap(Tap::Sentence), Is::Pooler];
                    seen.hold(batch, values, &all, &expected, limit, states)?;
                }
            }
        }
        Ok(())
    }

    /// Whether nothing that is not finite stood behind real tokens.
    pub(crate) fn padding_is_finite(&self) -> bool {
        self.padding.is_empty()
    }

    /// Whether every row of every output is what it should be.
    pub(crate) fn all_explained(&self, to: &Explaining) -> bool {
        let mut read = to.declared.iter().filter(|o| matches!(o.carries, Carries::Values { .. }));
        read.all(|o| {
            self.seen.get(o.name.as_str()).is_some_and(|s| s.rows > 0 && s.unexplained == 0 && s.unlike.is_none())
        })
    }

    /// Adds what another set of rows has shown.
    pub(crate) fn absorb(&mut self, other: Self) {
        for (place, broken) in other.padding {
            let slot = self.padding.entry(place).or_insert(Broken { rows: 0, values: 0, ..broken });
            let row = slot.row.min(broken.row);
            *slot = Broken { row, rows: slot.rows + broken.rows, values: slot.values + broken.values };
        }
        for (name, other) in other.seen {
            match self.seen.get_mut(&name) {
                Some(mine) => mine.absorb(other),
                None => drop(self.seen.insert(name, other)),
            }
        }
    }
}

fn limit(declared: &[DeclaredOutput], name: &str) -> f64 {
    let half = |o: &DeclaredOutput| o.name == name && o.carries == Carries::Values { half: true };
    if declared.iter().any(half) { EXPLAINED_HALF } else { EXPLAINED }
}

impl OutputSeen {
    /// Measures every row against every explanation. `expected` are those that a row is asked for.
    fn hold(
        &mut self,
        batch: &TokenBatch,
        values: &Arc<TapStates>,
        all: &[(Is, Arc<TapStates>)],
        expected: &[Is],
        limit: f64,
        states: &HiddenStates,
    ) -> Result<(), Error> {
        for r in 0..batch.rows() {
            self.rows += 1;
            let mut least = Worst { distance: f64::INFINITY, row: batch.row_id(r), token: 0 };
            for (is, explanation) in all {
                let (distance, token) = apart(values.row(r), explanation.row(r), values.hidden());
                let found = Worst { distance, row: batch.row_id(r), token };
                let slot = self.worst.entry(*is).or_insert(found);
                if worse(&found, slot) {
                    *slot = found;
                }
                if expected.contains(is) && distance < least.distance {
                    least = found;
                }
            }
            // Written so that NaN is unexplained.
            if least.distance <= limit {
                continue;
            }
            self.unexplained += 1;
            if self.evidence.as_ref().is_none_or(|e| worse(&least, &e.worst)) {
                let (output, states) = (one_row(values, r)?, row_of(states, r)?);
                self.evidence = Some(Evidence { worst: least, output, states });
            }
        }
        Ok(())
    }

    fn absorb(&mut self, other: Self) {
        self.per_token |= other.per_token;
        self.rows += other.rows;
        self.unexplained += other.unexplained;
        for (is, found) in other.worst {
            let slot = self.worst.entry(is).or_insert(found);
            if worse(&found, slot) {
                *slot = found;
            }
        }
        self.unlike = match (self.unlike.take(), other.unlike) {
            (Some(a), Some(b)) => Some(if b.0 < a.0 { b } else { a }),
            (a, b) => a.or(b),
        };
        self.evidence = match (self.evidence.take(), other.evidence) {
            (Some(a), Some(b)) => Some(if worse(&b.worst, &a.worst) { b } else { a }),
            (a, b) => a.or(b),
        };
    }

    /// True where every row is explained by this.
    fn is(&self, is: Is, limit: f64) -> bool {
        self.unlike.is_none() && self.rows > 0 && self.worst.get(&is).is_some_and(|w| w.distance <= limit)
    }
}

/// Further away; of two as far, the row that comes first, so that the order of batches does not matter.
fn worse(a: &Worst, b: &Worst) -> bool {
    a.distance > b.distance || (a.distance == b.distance && (a.row, a.token) < (b.row, b.token))
}

/// One row by itself.
fn one_row(states: &TapStates, r: usize) -> Result<Arc<TapStates>, Error> {
    Ok(Arc::new(TapStates::ragged(states.hidden(), &[0, states.tokens(r)], states.row(r).to_vec())?))
}

/// One row of every tap.
fn row_of(states: &HiddenStates, r: usize) -> Result<HiddenStates, Error> {
    let mut one = HiddenStates::new();
    for (tap, all) in states.iter().filter(|(tap, _)| !tap.is_sentence_level()) {
        one.insert(tap, one_row(all, r)?);
    }
    Ok(one)
}

/// What there is to say of every output, and what the report lists.
pub(crate) fn explain(
    outputs: &Outputs,
    to: &Explaining,
    sides: &Sides,
) -> Result<(Vec<Finding>, Vec<OutputSection>), Error> {
    let (mut findings, mut sections) = (Vec::new(), Vec::new());
    let (mut first, mut compared) = (true, false);
    for declared in &to.declared {
        let name = declared.name.as_str();
        let seen = outputs.seen.get(name);
        let per_token = match &declared.carries {
            Carries::Tap(_) => true,
            Carries::Values { .. } => seen.is_some_and(|s| s.per_token),
            Carries::Other(_) | Carries::Input(_) => false,
        };
        let last = per_token && (first || LAST.contains(&name));
        first &= !per_token;
        let (is, finding) = words::explained(declared, seen, last, to, sides)?;
        findings.extend(finding);
        compared |= is.0 == "final" || matches!(is.1, Some(Is::Tap(Tap::Final | Tap::Sentence)));
        if is.1 == Some(Is::Pooler) && sections.is_empty() && to.declared.len() > 1 {
            findings.push(words::pooler_first(name));
        }
        let distance = seen.and_then(|s| s.worst.get(&is.1?)).map(|w| w.distance);
        sections.push(OutputSection { name: name.to_owned(), is: is.0, rows: seen.map(|s| s.rows), distance });
    }
    if !compared && findings.iter().all(|f| f.severity < Severity::Refusal) {
        findings.push(words::none_compared(&sections));
    }
    for (place, broken) in &outputs.padding {
        let message = format!(
            "the reference's padding at {place} is not finite: {} NaN or infinite values behind the real tokens of {} rows, first of {}; a pooling that multiplies by the mask, (h * mask).sum(), gives NaN for such rows",
            broken.values,
            broken.rows,
            shown_row(broken.row)
        );
        findings.push(Finding::new(Severity::Failure, &codes::REFERENCE_PADDING_NOT_FINITE, message));
    }
    Ok((findings, sections))
}

/// How far an output is from what explains it, and where, in words.
fn far(worst: &Worst) -> String {
    format!("{} apart at {}", number(worst.distance), shown_row(worst.row))
}
