//! The candidate's error over the twin's: the twin is what an honest conversion of the original to the candidate's own
//! format would be, so an error like the twin's needs no limit that was measured on some other model or corpus.

use crate::Error;
use crate::figures::number;
use crate::finding::{Finding, Severity, codes};
use crate::hidden_states::{Arm, HiddenStates, Tap};
use crate::report::{TwinBatch, TwinSection, TwinTap};
use crate::rows::measure::{Accumulators, Scales, add_sentences};
use crate::rows::workers::Workers;
use crate::runtimes::Encoder;
use crate::runtimes::native::{NativeEncoder, SentenceHead};
use crate::sides::Sides;
use crate::tokens::TokenBatch;
use crate::weights::{self, WeightsReport};

/// Most that the candidate's mean error in one batch may be over the twin's. Measured on the shipped model at 8 and 4
/// bits and the real MiniLM, every quantizer of `scripts/quantizers`: 2.01 at most (DWQ at 4 bits); MLX's own 1.
const MOST: f64 = 2.5;

/// The limit at a tap: a cosine distance grows with the square of the error.
fn most(tap: Tap) -> f64 {
    if tap.is_sentence_level() { MOST * MOST } else { MOST }
}

/// Errors below these are float32's own noise, relative L2 and cosine distance: two summation orders differ by as much
/// (at most 1.7e-6 on MiniLM, 3.1e-6 on the shipped model). Neither side's error counts as less.
pub(crate) const NOISE: f64 = 1e-5;
const SENTENCE_NOISE: f64 = 1e-9;

/// The original in the candidate's own format, ready to run.
pub(crate) struct Twin {
    encoder: NativeEncoder,
    head: SentenceHead,
}

impl Twin {
    /// With the reference's configuration and modules: what the candidate claims to be.
    pub(crate) fn build(sides: &Sides, report: &WeightsReport) -> Result<Self, Error> {
        let weights = weights::twin_of(&sides.original, &sides.candidate_weights, report).map_err(weight_error)?;
        let encoder = NativeEncoder::build(&sides.facts.control_config, &weights, "the twin")?;
        Ok(Self { encoder, head: sides.reference_head.clone() })
    }

    /// Its states, sentence vectors included.
    pub(crate) fn run(&self, batch: &TokenBatch) -> Result<HiddenStates, Error> {
        self.run_behind(batch, &self.head)
    }

    /// The same with other modules behind the encoder.
    pub(crate) fn run_behind(&self, batch: &TokenBatch, head: &SentenceHead) -> Result<HiddenStates, Error> {
        let mut states = self.encoder.encode(batch)?;
        add_sentences(head, &mut states)?;
        Ok(states)
    }
}

/// One batch that was run on every side.
pub(crate) struct JudgedBatch {
    pub(crate) batch: TokenBatch,
    pub(crate) control: HiddenStates,
    pub(crate) candidate: HiddenStates,
}

/// The candidate beside the twin on batches of every kind that coverage asks for, in their order.
pub(crate) fn measure(twin: &Twin, workers: &Workers, judged: &[JudgedBatch]) -> Result<TwinSection, Error> {
    let one = |job: &JudgedBatch| compare(&job.batch, &job.control, &job.candidate, &twin.run(&job.batch)?);
    Ok(TwinSection { batches: workers.map(judged, one)?, words: None })
}

/// Both against the control, on one batch.
pub(crate) fn compare(
    batch: &TokenBatch,
    control: &HiddenStates,
    candidate: &HiddenStates,
    twin: &HiddenStates,
) -> Result<TwinBatch, Error> {
    let errors = |states: &HiddenStates| -> Result<Vec<(Tap, f64)>, Error> {
        let mut accumulators = Accumulators::new(Scales::new());
        accumulators.add(Arm::Quantization, batch, control, states, |_, _, _| ())?;
        let all = accumulators.finish();
        let of = |tap: Tap| if tap.is_sentence_level() { "cosine_distance" } else { "relative_l2" };
        let told = all.iter().filter(|m| m.metric == of(m.tap));
        // Nothing measured is not a small error.
        Ok(told.map(|m| (m.tap, m.mean.unwrap_or(f64::NAN))).collect())
    };
    let twins = errors(twin)?;
    let tap = |(tap, candidate): (Tap, f64)| {
        let twin = twins.iter().find(|(t, _)| *t == tap).map_or(f64::NAN, |(_, error)| *error);
        let noise = if tap.is_sentence_level() { SENTENCE_NOISE } else { NOISE };
        TwinTap { tap, candidate, twin, over_twin: at_least(candidate, noise) / at_least(twin, noise) }
    };
    Ok(TwinBatch {
        rows: batch.rows() as u64,
        longest: batch.longest() as u64,
        taps: errors(candidate)?.into_iter().map(tap).collect(),
    })
}

/// `max` would drop a NaN.
fn at_least(value: f64, least: f64) -> f64 {
    if value < least { least } else { value }
}

/// The tap that is farthest over the twin, where one is over the limit, in words.
pub(crate) fn exceeded(batch: &TwinBatch) -> Option<String> {
    // NaN is over any limit.
    let within = |t: &TwinTap| t.over_twin <= most(t.tap);
    let over = batch.taps.iter().filter(|t| !within(t));
    let worst = over.max_by(|a, b| a.over_twin.total_cmp(&b.over_twin))?;
    let metric = if worst.tap.is_sentence_level() { "cosine distance" } else { "relative L2" };
    Some(format!(
        "{}: mean {metric} {}, where MLX's own conversion of the original to the same format has {} (limit {} times that)",
        worst.tap,
        number(worst.candidate),
        number(worst.twin),
        number(most(worst.tap)),
    ))
}

/// Batches on which the candidate is farther off than an honest conversion.
pub(crate) fn findings(section: &TwinSection) -> Vec<Finding> {
    let mut over = section.batches.iter().filter_map(|b| Some((b, exceeded(b)?)));
    let Some((batch, first)) = over.next() else { return Vec::new() };
    let more = over.count();
    let more = if more > 0 { format!("; so do {more} other batches") } else { String::new() };
    let message = format!(
        "the candidate errs more than its format does, in a batch of {} rows of up to {} tokens: {first}{more}",
        batch.rows, batch.longest
    );
    vec![Finding::new(Severity::Failure, &codes::TWIN_STATES, message)]
}

fn weight_error(e: crate::checkpoint::WeightError) -> Error {
    Error::Quantization(e.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(over: &[(f64, f64)]) -> TwinBatch {
        let tap = |(k, &(candidate, twin)): (usize, &(f64, f64))| TwinTap {
            tap: Tap::Layer(k),
            candidate,
            twin,
            over_twin: at_least(candidate, NOISE) / at_least(twin, NOISE),
        };
        TwinBatch { rows: 2, longest: 32, taps: over.iter().enumerate().map(tap).collect() }
    }

    #[test]
    fn an_error_like_the_twins_is_honest_and_any_other_is_named() {
        assert_eq!(exceeded(&batch(&[(0.02, 0.02), (0.03, 0.02)])), None);
        assert_eq!(exceeded(&batch(&[(1e-7, 0.0), (0.0, 0.0)])), None, "noise over nothing");
        let said = exceeded(&batch(&[(0.02, 0.02), (0.2, 0.02), (0.05, 0.02)])).unwrap();
        assert!(said.starts_with("layer.1: mean relative L2 0.2, where MLX's own conversion"), "{said}");
        for broken in [(f64::NAN, 0.02), (0.02, f64::NAN), (f64::INFINITY, 0.02)] {
            assert!(exceeded(&batch(&[broken])).is_some(), "{broken:?}");
        }
        let section = TwinSection {
            batches: vec![batch(&[(0.1, 0.1)]), batch(&[(0.9, 0.1)]), batch(&[(0.8, 0.1)])],
            words: None,
        };
        let found = findings(&section);
        assert_eq!((found.len(), found[0].severity), (1, Severity::Failure));
        assert!(found[0].message.contains("layer.0") && found[0].message.contains("1 other"), "{}", found[0].message);
        assert!(findings(&TwinSection { batches: vec![batch(&[(0.1, 0.1)])], words: None }).is_empty());
    }
}
