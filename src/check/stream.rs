//! The corpus, block by block: hidden states live for one batch, what stays are accumulators.

use std::collections::BTreeMap;

use super::CheckRequest;
use super::coverage::Coverage;
use super::device::Device;
use super::explain;
use super::measure::{Accumulators, Seen, batches, encode_batch, isolated_layers};
use super::probe::Probed;
use super::sides::Sides;
use crate::Error;
use crate::align::SentenceSample;
use crate::corpus::{Corpus, CorpusOptions, CorpusRow, SourceRecord, probes::probes};
use crate::finding::{Finding, Severity};
use crate::hidden_states::{Arm, HiddenStates, RowId, RowSet, Tap};
use crate::metrics::{Measurement, RowSeen, WorstRow, WorstRows};
use crate::observe::{Event, Observer};
use crate::policy::Policy;
use crate::tokens::{BLOCK_ROWS, TokenBatch, TokenRow};

/// Upper ends of the length buckets in the report, in tokens.
pub(super) const LENGTH_BUCKETS: &[usize] = &[8, 16, 32, 64, 128, 256, 512];

/// Of the first block, one batch in this many is also run layer by layer: some 50 rows, enough for the mean
/// of a layer's own error to settle, little enough to cost next to nothing.
const ISOLATED_EVERY: usize = 5;

/// Share of rows without content, or of unknown tokens only, above which a corpus proves nothing.
const DEGENERATE_LIMIT: f64 = 0.01;

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
    pub(super) sample: SentenceSample,
    pub(super) sources: Vec<SourceRecord>,
    pub(super) built_in: bool,
    pub(super) rows: u64,
    pub(super) control_rows: u64,
    pub(super) tokens: u64,
    pub(super) unique_rows: u64,
    pub(super) empty_lines: u64,
    pub(super) invalid_utf8: u64,
    pub(super) truncated: u64,
    pub(super) degenerate: u64,
    pub(super) unknown_tokens: u64,
    pub(super) lengths: Vec<u64>,
    pub(super) coverage: Coverage,
    /// The other runtime's states, where they were recorded.
    pub(super) device: Option<Device>,
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

    fn block(&mut self) -> Result<Vec<CorpusRow>, Error> {
        let mut rows = Vec::with_capacity(BLOCK_ROWS);
        while rows.len() < BLOCK_ROWS {
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

/// Compares every row of the corpus.
pub(super) fn run(
    sides: &mut Sides,
    request: &CheckRequest,
    probed: &Probed,
    observer: &mut dyn Observer,
) -> Result<Streamed, Error> {
    let mut rows = Rows::open(&request.corpus)?;
    let total = request.corpus.expected_rows();
    let mut out = Streamed::new(probed);
    out.device = sides.recording.take().map(|r| Device::new(r, probed.scales.clone()));
    if let Rows::BuiltIn(..) = rows {
        out.built_in = true;
        observer.event(Event::Note("no --corpus given: the built-in probe sentences are the corpus"));
    }
    loop {
        let block = rows.block()?;
        if block.is_empty() {
            break;
        }
        out.block(sides, request, &block)?;
        observer.event(Event::Rows { done: out.rows, total });
    }
    match rows {
        Rows::Files(corpus) => {
            let counts = corpus.counts();
            out.unique_rows = counts.unique.count();
            out.empty_lines = counts.empty_lines;
            out.invalid_utf8 = counts.invalid_utf8;
            out.sources = corpus.sources().to_vec();
        }
        Rows::BuiltIn(_, count) => out.unique_rows = count,
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
            sample: SentenceSample::default(),
            sources: Vec::new(),
            built_in: false,
            rows: 0,
            control_rows: 0,
            tokens: 0,
            unique_rows: 0,
            empty_lines: 0,
            invalid_utf8: 0,
            truncated: 0,
            degenerate: 0,
            unknown_tokens: 0,
            lengths: vec![0; LENGTH_BUCKETS.len() + 1],
            coverage: Coverage::default(),
            device: None,
            kept: Vec::new(),
        }
    }

    /// One block: tokenize on both sides, batch, run, measure.
    fn block(&mut self, sides: &mut Sides, request: &CheckRequest, block: &[CorpusRow]) -> Result<(), Error> {
        let (mut with_control, mut without) = (Vec::new(), Vec::new());
        let mut by_id: BTreeMap<RowId, &CorpusRow> = BTreeMap::new();
        for row in block {
            let place = request.corpus.place(row);
            let tokens = sides.tokenizers.encode(&request.prompted(&row.text))?.map_err(|where_| {
                Error::Incomparable(format!("{place}: {where_}; both sides must be fed the same ids"))
            })?;
            let id = RowId { set: RowSet::Corpus, row: row.index };
            self.count(&tokens);
            by_id.insert(id, row);
            if self.kept.len() < explain::ROWS {
                self.kept.push((id, tokens.clone()));
            }
            if request.control.contains(id) { with_control.push((id, tokens)) } else { without.push((id, tokens)) }
        }
        self.control_rows += with_control.len() as u64;
        for (rows, control) in [(&with_control, true), (&without, false)] {
            for (i, batch) in batches(rows, request.batch_tokens).into_iter().enumerate() {
                self.coverage.batch(&batch);
                let seen = encode_batch(sides, &batch, control)?;
                self.measure(&batch, &seen)?;
                if let Some(device) = &mut self.device {
                    device.batch(&batch, &seen.candidate, &sides.candidate_head)?;
                }
                // Batches come sorted by length: one in a few has them all.
                let alone = self.rows <= BLOCK_ROWS as u64 && i.is_multiple_of(ISOLATED_EVERY);
                if let (Some(control), true) = (&seen.control, alone) {
                    self.isolate(sides, &batch, &seen.reference, control)?;
                }
            }
        }
        self.keep_texts(request, &by_id, with_control.iter().chain(&without));
        Ok(())
    }

    fn count(&mut self, row: &TokenRow) {
        self.rows += 1;
        self.tokens += row.ids.len() as u64;
        self.truncated += u64::from(row.truncated);
        self.coverage.truncated(u64::from(row.truncated));
        self.unknown_tokens += row.unknown as u64;
        self.degenerate += u64::from(row.content == 0 || row.unknown == row.content);
        let bucket = LENGTH_BUCKETS.iter().position(|&end| row.ids.len() <= end).unwrap_or(LENGTH_BUCKETS.len());
        self.lengths[bucket] += 1;
    }

    fn measure(&mut self, batch: &TokenBatch, seen: &Seen) -> Result<(), Error> {
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
            }
        }
        if let (Some(ours), Some(theirs)) = (seen.reference.get(Tap::Sentence), seen.candidate.get(Tap::Sentence)) {
            for r in 0..batch.rows() {
                self.sample.offer(batch.row_id(r), ours.row(r), theirs.row(r))?;
            }
        }
        Ok(())
    }

    /// What each layer adds by itself.
    fn isolate(
        &mut self,
        sides: &mut Sides,
        batch: &TokenBatch,
        reference: &HiddenStates,
        control: &HiddenStates,
    ) -> Result<(), Error> {
        if let Some((base, alone)) = isolated_layers(&mut *sides.candidate, control)? {
            self.isolated.add(Arm::Quantization, batch, &base, &alone, |_, _, _| ())?;
        }
        if let Some((base, alone)) = isolated_layers(&mut *sides.control, reference)? {
            self.isolated.add(Arm::Engine, batch, &base, &alone, |_, _, _| ())?;
        }
        Ok(())
    }

    /// Keeps the texts of rows that are among the worst, and forgets those that no longer are.
    fn keep_texts<'a>(
        &mut self,
        request: &CheckRequest,
        block: &BTreeMap<RowId, &CorpusRow>,
        tokens: impl Iterator<Item = &'a (RowId, TokenRow)>,
    ) {
        let worst: std::collections::BTreeSet<RowId> = self.worst.rows().iter().map(|w| w.row).collect();
        self.texts.retain(|id, _| worst.contains(id));
        for (id, row) in tokens.filter(|(id, _)| worst.contains(id)) {
            if let Some(source) = block.get(id) {
                let (text, place) = (source.text.clone(), request.corpus.place(source));
                self.texts.insert(*id, RowText { text, place, ids: row.ids.clone() });
            }
        }
    }

    /// The device arm's numbers.
    pub(super) fn recorded(&self) -> Vec<Measurement> {
        self.device.as_ref().map_or_else(Vec::new, |d| d.arms.finish())
    }

    /// What a person should know of the corpus.
    pub(super) fn findings(&self, policy: &Policy) -> Vec<Finding> {
        let mut out = self.device.as_ref().map_or_else(Vec::new, |d| d.findings(policy));
        let mut say = |severity, code: &str, message: String| out.push(Finding::new(severity, code, message));
        if self.built_in {
            say(
                Severity::Note,
                "corpus.built_in",
                "no corpus was given: the built-in probe sentences were compared".into(),
            );
        }
        if self.empty_lines > 0 {
            say(Severity::Note, "corpus.empty_lines", format!("{} lines without text were left out", self.empty_lines));
        }
        if self.invalid_utf8 > 0 {
            say(Severity::Warning, "corpus.invalid_utf8", format!("{} rows were not UTF-8", self.invalid_utf8));
        }
        if self.truncated > 0 {
            say(
                Severity::Note,
                "corpus.truncated",
                format!("{} of {} rows were cut to the length limit", self.truncated, self.rows),
            );
        }
        if self.unique_rows < self.rows {
            say(
                Severity::Note,
                "corpus.duplicates",
                format!("about {} of {} rows are different", self.unique_rows, self.rows),
            );
        }
        if self.rows > 0 && self.degenerate as f64 > DEGENERATE_LIMIT * self.rows as f64 && !self.built_in {
            let message = format!(
                "{} of {} rows have no content but unknown tokens; a corpus in another language than the model's proves nothing",
                self.degenerate, self.rows
            );
            say(Severity::Refusal, "corpus.degenerate_rows", message);
        }
        out
    }
}
