//! The built-in probes, before the corpus: is the tapped reference the untouched one, are the taps the
//! same points of the computation on both sides, and how wide does each dimension spread there?

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::coverage::Coverage;
use super::floor;
use super::outputs::{Explaining, Outputs};
use super::over_twin::JudgedBatch;
use crate::Error;
use crate::align::{CrossMatch, CrossMatchReport};
use crate::corpus::probes::probes;
use crate::figures::number;
use crate::finding::{Finding, Severity, codes};
use crate::hidden_states::{Arm, HiddenStates, RowId, RowSet, Tap};
use crate::metrics::{Measurement, ScaleAccumulator};
use crate::report::FloorSection;
use crate::rows::measure::{Accumulators, Scales, SideStates, batches, beside, reference_states};
use crate::rows::sample::Sample;
use crate::rows::workers::Workers;
use crate::runtimes::onnx::ObserverEffect;
use crate::sides::request::CheckRequest;
use crate::sides::{Encoders, Sides};
use crate::tokens::{TokenBatch, TokenRow};

/// Most of the final states' difference that exposing taps may cause, as a share of the untouched
/// output's norm. Measured: 0 (bit-identical) on MiniLM and the shipped model at every optimization
/// level; 3e-6 when 160 tensors are exposed and fusions break. Ten times that is another computation.
pub(crate) const OBSERVER_LIMIT: f64 = 3e-5;

/// What the probes showed.
pub(crate) struct Probed {
    /// Per tap, each dimension's standard deviation on the reference side.
    pub(crate) scales: Scales,
    /// Engine arm over the probes; the stream adds the sample's rows to it.
    pub(crate) engine: Accumulators,
    /// Every reference tap against every candidate tap.
    pub(crate) cross_match: CrossMatchReport,
    /// The untouched reference against the tapped one.
    pub(crate) observer: Option<ObserverEffect>,
    /// Probes on which the two tokenizers part.
    pub(crate) disagreements: Vec<String>,
    /// True where a difference of the two files explains them.
    explained: bool,
    /// Probes run, and their tokens.
    pub(crate) rows: u64,
    pub(crate) tokens: u64,
    /// What kinds of rows and batches the candidate was judged on.
    pub(crate) coverage: Coverage,
    /// The candidate on the probes: not judged by limits meant for a corpus, but never to be NaN.
    pub(crate) total: Accumulators,
    /// Batches of every kind that coverage asks for, for the candidate to be held against its twin.
    pub(crate) judged: Vec<JudgedBatch>,
    /// A few of them, for the proofs that take many passes.
    pub(crate) sample: Option<Sample>,
    /// Rows that are not what they are alone.
    dependent: Option<Finding>,
    /// The reference against itself.
    pub(crate) floor: Vec<FloorSection>,
    /// What the reference returned besides its taps.
    pub(crate) outputs: Outputs,
    /// What that is held against.
    pub(crate) explaining: Explaining,
}

/// Runs all three encoders over the probes.
pub(crate) fn run(sides: &Sides, request: &CheckRequest, workers: &Workers) -> Result<Probed, Error> {
    let mut rows = Vec::new();
    let mut disagreements = Vec::new();
    for (i, text) in probes().iter().enumerate() {
        let (row, parts) = sides.tokenizers.encode(&sides.facts.prompted(text))?;
        let known = parts.is_none() || sides.facts.tokenizers.explained();
        disagreements.extend(parts.map(|parts| format!("probe {i}: {parts}")));
        if known {
            // Of tokenizers that are known to differ, both sides are fed the reference's ids: the rest is compared all the same.
            rows.push((RowId { set: RowSet::Probes, row: i as u64 }, row));
        }
    }
    let mut batches = batches(&rows, request.batch_tokens);
    batches.extend(shapes(&rows));
    let observer = sides.observer_effect(&observed(&batches))?;
    let explaining = Explaining::new(sides);

    // The longest first, so that no worker is left with one at the end.
    batches.sort_by_key(|batch| std::cmp::Reverse(batch.rows() * batch.longest()));
    let encoders = sides.encoders();
    let (scales, kept) = spread(encoders, workers, &batches)?;
    let gathered = Mutex::new(Gathered {
        engine: Accumulators::new(scales.clone()),
        total: Accumulators::new(scales.clone()),
        outputs: Outputs::default(),
        cross: CrossMatch::new(sides.reference.taps(), sides.candidate.taps(), &sides.facts.same_point),
    });
    let judged = Mutex::new(Vec::new());
    let jobs: Vec<_> = batches.iter().zip(kept.into_iter().map(Mutex::new)).collect();
    workers.each(&jobs, |(batch, kept)| {
        let reference = match kept.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(kept) => kept,
            None => reference_states(encoders, batch)?,
        };
        let seen = beside(encoders, batch, reference, true)?;
        if let Some(control) = seen.control.as_ref().filter(|_| is_shaped(batch, &rows)) {
            let (control, candidate) = (control.clone(), seen.candidate.clone());
            let job = JudgedBatch { batch: (*batch).clone(), control, candidate };
            judged.lock().unwrap_or_else(PoisonError::into_inner).push(job);
        }
        gathered.lock().unwrap_or_else(PoisonError::into_inner).add(batch, &seen, &explaining)
    })?;
    let Gathered { engine, total, cross, outputs } = gathered.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut judged: Vec<JudgedBatch> = judged.into_inner().unwrap_or_else(PoisonError::into_inner);
    // Workers finish in any order.
    judged.sort_by_key(|job| job.batch.row_id(0));
    let mut coverage = Coverage::default();
    judged.iter().for_each(|job| coverage.batch(&job.batch));
    // One of them is a row that was cut, where any was.
    coverage.truncated(u64::from(rows.iter().any(|(_, row)| row.truncated)));
    let sample = Sample::take(sides, &rows)?;
    let dependent = sample.as_ref().map_or_else(|| Ok(None), |s| floor::batch_dependence(sides, s))?;
    let floor = sample.as_ref().map_or_else(|| Ok(Vec::new()), |s| floor::measure(sides, workers, s, &scales))?;
    Ok(Probed {
        scales,
        engine,
        cross_match: cross.finish(),
        observer,
        disagreements,
        explained: sides.facts.tokenizers.explained(),
        rows: batches.iter().map(|b| b.rows() as u64).sum(),
        tokens: batches.iter().map(|b| b.tokens() as u64).sum(),
        coverage,
        total,
        judged,
        sample,
        dependent,
        floor,
        outputs,
        explaining,
    })
}

/// Batches on which the untouched graph runs beside the tapped one: the largest, the longest row, a row alone, and one
/// with exactly one padded row, as far as there are such.
fn observed(batches: &[TokenBatch]) -> Vec<TokenBatch> {
    let padded = |b: &TokenBatch| (0..b.rows()).filter(|&r| b.len(r) < b.longest()).count();
    let kinds = [
        batches.iter().max_by_key(|b| b.rows()),
        batches.iter().max_by_key(|b| b.longest()),
        batches.iter().find(|b| b.rows() == 1),
        batches.iter().find(|b| padded(b) == 1),
    ];
    let mut chosen: Vec<TokenBatch> = Vec::new();
    for batch in kinds.into_iter().flatten() {
        if chosen.iter().all(|known| known.all_ids() != batch.all_ids()) {
            chosen.push(batch.clone());
        }
    }
    chosen
}

/// Lengths that kernels have been caught out at; each is made by cutting a longer probe.
const LENGTHS: &[&[usize]] = &[&[31], &[32, 33, 12], &[63, 64, 65], &[128, 9, 40], &[129, 160]];

/// Batches of exactly these shapes, as far as the probes are long enough, and a row that was cut.
fn shapes(rows: &[(RowId, TokenRow)]) -> Vec<TokenBatch> {
    let mut next = 0;
    let mut batches = Vec::new();
    for lengths in LENGTHS {
        let mut batch = TokenBatch::new();
        for &n in *lengths {
            let longer = rows.iter().filter(|(_, row)| row.ids.len() >= n).min_by_key(|(id, row)| (row.ids.len(), *id));
            if let Some((_, row)) = longer {
                let (ids, types) = (cut(&row.ids, n), cut(&row.type_ids, n));
                batch.push(RowId { set: RowSet::Probes, row: rows.len() as u64 + next }, &ids, &types);
                next += 1;
            }
        }
        if !batch.is_empty() {
            batches.push(batch);
        }
    }
    if let Some((_, row)) = rows.iter().filter(|(_, row)| row.truncated).min_by_key(|(id, _)| *id) {
        let mut batch = TokenBatch::new();
        batch.push(RowId { set: RowSet::Probes, row: rows.len() as u64 + next }, &row.ids, &row.type_ids);
        batches.push(batch);
    }
    batches
}

/// True for the batches of [`shapes`]: their rows are numbered behind the probes'.
fn is_shaped(batch: &TokenBatch, rows: &[(RowId, TokenRow)]) -> bool {
    !batch.is_empty() && batch.row_id(0).row >= rows.len() as u64
}

/// The first `n - 1` values and the last one, which ends a row.
fn cut(values: &[u32], n: usize) -> Vec<u32> {
    let end = n.saturating_sub(1).min(values.len());
    values[..end].iter().chain(values.last()).copied().take(n).collect()
}

/// What the batches add to.
struct Gathered {
    engine: Accumulators,
    total: Accumulators,
    cross: CrossMatch,
    outputs: Outputs,
}

impl Gathered {
    fn add(&mut self, batch: &TokenBatch, seen: &SideStates, explaining: &Explaining) -> Result<(), Error> {
        self.outputs.add(explaining, batch, &seen.reference)?;
        if let Some(control) = &seen.control {
            self.engine.add(Arm::Engine, batch, &seen.reference, control, |_, _, _| ())?;
        }
        self.total.add(Arm::Total, batch, &seen.reference, &seen.candidate, |_, _, _| ())?;
        Ok(self.cross.add(&seen.reference, &seen.candidate)?)
    }
}

/// Values of the reference's states kept between the two passes over the probes: 64 MiB.
const KEPT_VALUES: usize = 1 << 24;

/// How far each dimension of the reference spreads at each tap: what standardised errors are measured in.
/// Also the reference's states of those batches for which there is room, so that it need not run twice on them.
fn spread(
    on: Encoders<'_>,
    workers: &Workers,
    batches: &[TokenBatch],
) -> Result<(Scales, Vec<Option<HiddenStates>>), Error> {
    let spread: Mutex<BTreeMap<Tap, ScaleAccumulator>> = Mutex::default();
    let room = AtomicUsize::new(KEPT_VALUES);
    let kept = workers.map(batches, |batch| {
        let states = reference_states(on, batch)?;
        let mut spread = spread.lock().unwrap_or_else(PoisonError::into_inner);
        for (tap, tap_states) in states.iter() {
            let scale = spread.entry(tap).or_insert_with(|| ScaleAccumulator::new(tap_states.hidden()));
            for r in 0..tap_states.rows() {
                scale.add_row(tap_states.row(r))?;
            }
        }
        drop(spread);
        let values: usize = states.iter().map(|(_, s)| (0..s.rows()).map(|r| s.row(r).len()).sum::<usize>()).sum();
        let fits = room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(values)).is_ok();
        Ok(fits.then_some(states))
    })?;
    let spread = spread.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok((spread.into_iter().filter_map(|(tap, s)| Some((tap, s.finish()?))).collect(), kept))
}

impl Probed {
    /// NaN, infinities and zero vectors of the candidate on the probes.
    fn broken(&self) -> Option<Finding> {
        let all = self.total.finish();
        let counted = |m: &&Measurement| ["non_finite", "zero_vectors"].contains(&m.metric.as_str());
        // Written so that NaN is broken.
        let broken = all.iter().filter(counted).find(|m| m.max != Some(0.0))?;
        let place = broken.worst.map_or_else(String::new, |w| format!(", first at {}", w.row));
        let message = format!(
            "on the built-in probes `{}` has {} {}{place}",
            broken.tap,
            broken.max.map_or_else(|| "uncounted".to_owned(), number),
            broken.metric
        );
        Some(Finding::new(Severity::Failure, &codes::PROBES_BROKEN_STATES, message))
    }

    /// What a person should know of it.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let mut out = Vec::new();
        out.extend(self.broken());
        out.extend(self.dependent.clone());
        if self.sample.is_none() {
            let message = "the tokenizer makes no two built-in probes of 5 to 34 tokens: the noise floor, the null baselines and the canaries could not be measured";
            out.push(Finding::new(Severity::Refusal, &codes::ALIGNMENT_NO_SAMPLE, message));
        }
        if let Some(first) = self.disagreements.first() {
            let message = format!(
                "the two tokenizers give different ids on {} of the built-in probes; {first}",
                self.disagreements.len()
            );
            let severity = if self.explained { Severity::Failure } else { Severity::Refusal };
            out.push(Finding::new(severity, &codes::PREFLIGHT_TOKEN_IDS, message));
        }
        // Written so that NaN is a refusal.
        let unchanged = |e: &ObserverEffect| e.relative_l2 <= OBSERVER_LIMIT;
        if let Some(effect) = self.observer.as_ref().filter(|e| !unchanged(e)) {
            let message = format!(
                "exposing the taps changes the reference's own output by {:.1e} (limit {OBSERVER_LIMIT:.0e}; {}); the tapped graph is not the graph users run",
                effect.relative_l2, effect.output
            );
            out.push(Finding::new(Severity::Refusal, &codes::ALIGNMENT_OBSERVER_EFFECT, message));
        }
        out
    }
}
