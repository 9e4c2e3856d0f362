//! The corpus, block by block: hidden states live for one batch, what stays are accumulators.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::explain;
use crate::Error;
use crate::align::SentenceSample;
use crate::corpus::{Corpus, CorpusOptions, CorpusRow, SourceRecord, probes::probes};
use crate::hidden_states::{Arm, HiddenStates, RowId, RowSet, Tap};
use crate::metrics::{Histogram, Measurement, Measurements, RowSeen, TokenSums, WorstRow, WorstRows};
use crate::observe::{Event, Observer};
use crate::proof::coverage::Coverage;
use crate::proof::device::Device;
use crate::proof::on_corpus;
use crate::proof::on_corpus::OnCorpus;
use crate::proof::outputs::{Explaining, Outputs};
use crate::proof::probe::Probed;
use crate::report::RecordingSection;
use crate::rows::measure::{Accumulators, SideStates, add_sentences, batches, encode_on, isolated_layers};
use crate::rows::workers::Workers;
use crate::runtimes::recorded::Recording;
use crate::sides::request::CheckRequest;
use crate::sides::tokenizers::OtherIds;
use crate::sides::{Encoders, Sides};
use crate::tokens::{BLOCK_ROWS, DistinctRows, TokenBatch, TokenRow, is_degenerate};

/// Upper ends of the length buckets in the report, in tokens.
pub(super) const LENGTH_BUCKETS: &[usize] = &[8, 16, 32, 64, 128, 256, 512];

/// Of the first block, one batch in this many is also run layer by layer: some 50 rows, enough for the mean
/// of a layer's own error to settle, little enough to cost next to nothing.
const ISOLATED_EVERY: usize = 5;

/// Blocks whose batches are shared out together: little enough to hold in memory (texts and token ids), enough for
/// the workers not to wait for each other often.
const BLOCKS_AT_ONCE: usize = 4;

/// Text of a row that is among the worst, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct RowText {
    pub(super) text: String,
    pub(super) place: String,
    pub(super) ids: Vec<u32>,
}

/// What the corpus showed.
pub(super) struct Streamed {
    pub(super) arms: Accumulators,
    /// Each layer fed with the control's (quantization) or the reference's (engine) own input.
    pub(super) isolated: Accumulators,
    pub(super) worst: WorstRows,
    pub(super) texts: BTreeMap<RowId, RowText>,
    /// Relative L2 of every token of the rows that are among the worst, where they are so.
    pub(super) token_errors: BTreeMap<RowId, Vec<f64>>,
    /// Cosine distances of the sentence vectors.
    pub(super) distances: Histogram,
    pub(super) sample: SentenceSample,
    /// The candidate beside an honest conversion.
    pub(super) honest: on_corpus::Farthest,
    /// What the rows at hand say, as hashes of their words.
    said: BTreeMap<RowId, u64>,
    pub(super) sources: Vec<SourceRecord>,
    pub(super) built_in: bool,
    pub(super) rows: u64,
    pub(super) control_rows: u64,
    pub(super) tokens: u64,
    pub(super) unique_texts: u64,
    /// What of it is evidence.
    pub(super) distinct: DistinctRows,
    pub(super) empty_lines: u64,
    pub(super) invalid_utf8: u64,
    pub(super) truncated: u64,
    pub(super) degenerate: u64,
    pub(super) unknown_tokens: u64,
    pub(super) lengths: Vec<u64>,
    pub(super) coverage: Coverage,
    /// The other runtime's states, where they were recorded.
    pub(super) device: Option<Device>,
    /// Rows to which the two tokenizers give different ids, and the first of them.
    pub(super) other_ids: OtherIds,
    /// What the reference returned besides its taps.
    pub(super) outputs: Outputs,
    /// The first rows, for trials of other weights.
    pub(super) kept: Vec<(RowId, TokenRow)>,
}

/// Rows from files, or the built-in probes when there are none.
enum Rows {
    Files(Box<Corpus>),
    BuiltIn(std::vec::IntoIter<CorpusRow>, u64),
}

impl Rows {
    fn open(options: &CorpusOptions) -> Result<Self, Error> {
        if !options.files.is_empty() {
            return Ok(Self::Files(Box::new(Corpus::open(options.clone())?)));
        }
        let limit = options.limit.unwrap_or(u64::MAX) as usize;
        let rows: Vec<CorpusRow> = (0u64..)
            .zip(probes())
            .take(limit)
            .map(|(index, text)| CorpusRow { index, source: 0, line: index + 1, text })
            .collect();
        let count = rows.len() as u64;
        Ok(Self::BuiltIn(rows.into_iter(), count))
    }

    fn next(&mut self, most: usize) -> Result<Vec<CorpusRow>, Error> {
        let mut rows = Vec::with_capacity(most);
        while rows.len() < most {
            let next = match self {
                Self::Files(corpus) => corpus.next_row()?,
                Self::BuiltIn(rows, _) => rows.next(),
            };
            match next {
                Some(row) => rows.push(row),
                None => break,
            }
        }
        Ok(rows)
    }
}

/// One batch, and what is done with it.
struct Job {
    batch: TokenBatch,
    control: bool,
    alone: bool,
}

impl Job {
    /// In token passes through an encoder.
    fn cost(&self) -> usize {
        self.batch.rows() * self.batch.longest() * (2 + usize::from(self.control) + 2 * usize::from(self.alone))
    }
}

/// What each layer adds by itself: arm, the layers' outputs in a whole pass, and those of the layers alone.
fn isolate(
    on: Encoders<'_>,
    reference: &HiddenStates,
    control: &HiddenStates,
) -> Result<Vec<(Arm, HiddenStates, HiddenStates)>, Error> {
    let quantization = isolated_layers(on.candidate, control)?.map(|(base, alone)| (Arm::Quantization, base, alone));
    let engine = isolated_layers(on.control, reference)?.map(|(base, alone)| (Arm::Engine, base, alone));
    Ok([quantization, engine].into_iter().flatten().collect())
}

/// The batch in the recording's type, where one of its rows is among those that are run in it.
fn predicted_on(on: Encoders<'_>, batch: &TokenBatch, sample: &BTreeSet<u64>) -> Result<Option<HiddenStates>, Error> {
    let picked = (0..batch.rows()).any(|r| sample.contains(&batch.row_id(r).row));
    let mut states = on.predicted.filter(|_| picked).map(|encoder| encoder.encode(batch)).transpose()?;
    if let Some(states) = &mut states {
        add_sentences(on.candidate_head, states)?;
    }
    Ok(states)
}

/// Relative L2 of each token of row `r` at the last tap, candidate against reference.
fn token_errors(seen: &SideStates, r: usize) -> Vec<f64> {
    let (Some(ours), Some(theirs)) = (seen.reference.get(Tap::Final), seen.candidate.get(Tap::Final)) else {
        return Vec::new();
    };
    let width = ours.hidden().max(1);
    let pairs = ours.row(r).chunks_exact(width).zip(theirs.row(r).chunks_exact(width));
    pairs.map(|(ours, theirs)| TokenSums::of(ours, theirs, None).relative_l2()).collect()
}

/// Compares every row of the corpus.
pub(super) fn run(
    sides: &Sides,
    request: &CheckRequest,
    workers: &Workers,
    probed: &Probed,
    (beside, recording): (&OnCorpus<'_>, Option<Recording>),
    observer: &mut dyn Observer,
) -> Result<Streamed, Error> {
    let mut rows = Rows::open(&request.corpus)?;
    let total = request.corpus.expected_rows();
    let mut out = Streamed::new(probed);
    out.device = recording.map(|r| Device::new(r, probed.scales.clone()));
    if let Rows::BuiltIn(..) = rows {
        out.built_in = true;
        observer.event(Event::Note("no --corpus given: the built-in probe sentences are the corpus"));
    }
    loop {
        let round = rows.next(BLOCKS_AT_ONCE * BLOCK_ROWS)?;
        if round.is_empty() {
            break;
        }
        out.round(sides, request, workers, &round, (&probed.explaining, beside))?;
        observer.event(Event::Rows { done: out.rows, total });
    }
    match rows {
        Rows::Files(corpus) => {
            let counts = corpus.counts();
            out.unique_texts = counts.unique.count();
            out.empty_lines = counts.empty_lines;
            out.invalid_utf8 = counts.invalid_utf8;
            out.sources = corpus.sources().to_vec();
        }
        Rows::BuiltIn(_, count) => out.unique_texts = count,
    }
    Ok(out)
}

impl Streamed {
    fn new(probed: &Probed) -> Self {
        Self {
            arms: Accumulators::new(probed.scales.clone()),
            isolated: Accumulators::isolated(probed.scales.clone()),
            worst: WorstRows::default(),
            texts: BTreeMap::new(),
            token_errors: BTreeMap::new(),
            distances: Histogram::new(),
            sample: SentenceSample::default(),
            honest: on_corpus::Farthest::default(),
            said: BTreeMap::new(),
            sources: Vec::new(),
            built_in: false,
            rows: 0,
            control_rows: 0,
            tokens: 0,
            unique_texts: 0,
            distinct: DistinctRows::default(),
            empty_lines: 0,
            invalid_utf8: 0,
            truncated: 0,
            degenerate: 0,
            unknown_tokens: 0,
            lengths: vec![0; LENGTH_BUCKETS.len() + 1],
            coverage: Coverage::default(),
            device: None,
            other_ids: OtherIds::default(),
            outputs: Outputs::default(),
            kept: Vec::new(),
        }
    }

    /// Some blocks: tokenized on both sides, batched each by itself, run and measured by all workers.
    fn round(
        &mut self,
        sides: &Sides,
        request: &CheckRequest,
        workers: &Workers,
        rows: &[CorpusRow],
        (explaining, beside): (&Explaining, &OnCorpus<'_>),
    ) -> Result<(), Error> {
        let (tokenizers, facts) = (&sides.tokenizers, &sides.facts);
        let words = |row: &TokenRow| tokenizers.reference.words(row);
        let tokenize = |row: &CorpusRow| {
            let (tokens, parts) = tokenizers.encode(&facts.prompted(&row.text))?;
            Ok::<_, Error>((words(&tokens), tokens, parts))
        };
        let tokenized: Vec<_> = rows.par_iter().map(tokenize).collect();
        let mut all = Vec::with_capacity(rows.len());
        self.said.clear();
        for (row, tokens) in rows.iter().zip(tokenized) {
            let place = request.corpus.place(row);
            let (words, tokens, parts) = tokens?;
            self.other_ids.add(facts.tokenizers.explained(), &place, parts)?;
            let id = RowId { set: RowSet::Corpus, row: row.index };
            self.count(&tokens);
            self.said.insert(id, self.distinct.see(&tokens, &words));
            if let Some(device) = &mut self.device {
                device.offer(id, &tokens, &words);
            }
            if self.kept.len() < explain::ROWS {
                self.kept.push((id, tokens.clone()));
            }
            all.push((id, tokens));
        }
        let mut jobs = Vec::new();
        for block in all.chunks(BLOCK_ROWS) {
            let (with, without): (Vec<_>, Vec<_>) =
                block.iter().cloned().partition(|(id, _)| request.control.contains(*id));
            self.control_rows += with.len() as u64;
            let first = block.iter().all(|(id, _)| id.row < BLOCK_ROWS as u64);
            for (i, batch) in batches(&with, request.batch_tokens).into_iter().enumerate() {
                // Batches come sorted by length: one in a few has them all.
                jobs.push(Job { batch, control: true, alone: first && i.is_multiple_of(ISOLATED_EVERY) });
            }
            let rest = batches(&without, request.batch_tokens);
            jobs.extend(rest.into_iter().map(|batch| Job { batch, control: false, alone: false }));
        }
        // The longest first, so that no worker is left with one at the end.
        jobs.sort_by_key(|job| std::cmp::Reverse(job.cost()));
        let sample = self.device.as_ref().map(Device::sample).unwrap_or_default();
        let (encoders, out) = (sides.encoders(), Mutex::new(&mut *self));
        workers.each(&jobs, |job| {
            let seen = encode_on(encoders, &job.batch, job.control)?;
            let isolated = match (&seen.control, job.alone) {
                (Some(control), true) => isolate(encoders, &seen.reference, control)?,
                _ => Vec::new(),
            };
            let predicted = predicted_on(encoders, &job.batch, &sample)?;
            let control = seen.control.as_ref();
            let honest = control.map(|control| beside.see(&job.batch, control, &seen.candidate)).transpose()?;
            let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
            out.coverage.batch(&job.batch);
            honest.into_iter().for_each(|honest| out.honest.absorb(honest));
            out.outputs.add(explaining, &job.batch, &seen.reference)?;
            out.measure(&job.batch, &seen)?;
            for (arm, base, alone) in isolated {
                out.isolated.add(arm, &job.batch, &base, &alone, |_, _, _| ())?;
            }
            match &mut out.device {
                Some(device) => device.batch(&job.batch, &seen.candidate, predicted.as_ref(), encoders.candidate_head),
                None => Ok(()),
            }
        })?;
        self.keep_texts(request, rows, &all);
        Ok(())
    }

    fn count(&mut self, row: &TokenRow) {
        self.rows += 1;
        self.tokens += row.ids.len() as u64;
        self.truncated += u64::from(row.truncated);
        self.coverage.truncated(u64::from(row.truncated));
        self.unknown_tokens += row.unknown as u64;
        self.degenerate += u64::from(is_degenerate(row));
        let bucket = LENGTH_BUCKETS.iter().position(|&end| row.ids.len() <= end).unwrap_or(LENGTH_BUCKETS.len());
        self.lengths[bucket] += 1;
    }

    fn measure(&mut self, batch: &TokenBatch, seen: &SideStates) -> Result<(), Error> {
        let mut last = vec![RowSeen::default(); batch.rows()];
        let mut sentence = vec![None; batch.rows()];
        self.arms.add(Arm::Total, batch, &seen.reference, &seen.candidate, |tap, r, row| match tap {
            Tap::Final => last[r] = row,
            Tap::Sentence => sentence[r] = row.cosine_distance,
            _ => {}
        })?;
        if let Some(control) = &seen.control {
            self.arms.add(Arm::Engine, batch, &seen.reference, control, |_, _, _| ())?;
            self.arms.add(Arm::Quantization, batch, control, &seen.candidate, |_, _, _| ())?;
        }
        if let Some(half) = &seen.half {
            self.arms.add(Arm::Compute, batch, &seen.candidate, half, |_, _, _| ())?;
        }
        for (r, (row, distance)) in last.iter().zip(sentence).enumerate() {
            if let Some(relative_l2) = row.relative_l2 {
                let (row_id, token) = (batch.row_id(r), row.token);
                self.worst.insert(WorstRow {
                    row: row_id,
                    tap: Tap::Final,
                    arm: Arm::Total,
                    relative_l2,
                    token,
                    sentence_cosine_distance: distance,
                });
                if self.worst.rows().iter().any(|w| w.row == row_id) {
                    self.token_errors.insert(row_id, token_errors(seen, r));
                }
            }
            if let Some(distance) = distance {
                self.distances.add(distance);
            }
        }
        if let (Some(ours), Some(theirs)) = (seen.reference.get(Tap::Sentence), seen.candidate.get(Tap::Sentence)) {
            for r in 0..batch.rows() {
                let row = batch.row_id(r);
                self.sample.offer_said(row, self.said.get(&row).copied(), ours.row(r), theirs.row(r))?;
            }
        }
        Ok(())
    }

    /// Keeps the texts of rows that are among the worst, and forgets those that no longer are.
    fn keep_texts(&mut self, request: &CheckRequest, rows: &[CorpusRow], tokens: &[(RowId, TokenRow)]) {
        let worst: BTreeSet<RowId> = self.worst.rows().iter().map(|w| w.row).collect();
        self.texts.retain(|id, _| worst.contains(id));
        self.token_errors.retain(|id, _| worst.contains(id));
        for (source, (id, row)) in rows.iter().zip(tokens).filter(|(_, (id, _))| worst.contains(id)) {
            let (text, place) = (source.text.clone(), request.corpus.place(source));
            self.texts.insert(*id, RowText { text, place, ids: row.ids.clone() });
        }
    }

    /// The device arm's numbers.
    pub(super) fn recorded(&self) -> Vec<Measurement> {
        self.device.as_ref().map_or_else(Vec::new, |d| d.arms.finish())
    }

    /// The recording behind them.
    pub(super) fn recording(&self, measured: &Measurements) -> Option<RecordingSection> {
        self.device.as_ref().map(|device| device.section(measured))
    }
}
