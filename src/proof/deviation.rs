//! What the candidate's runtime would compute otherwise than the candidate's files say, and how much that comes to on this
//! model: a verdict on the configuration's mathematics says nothing of a device that computes something else.

use crate::Error;
use crate::checkpoint::{PoolingMode, Stage};
use crate::figures::number;
use crate::finding::{Code, Finding, Severity, codes};
use crate::hidden_states::{Arm, HiddenStates, Tap, TapStates};
use crate::rows::measure::{Accumulators, Scales, add_sentences};
use crate::rows::sample::Sample;
use crate::runtimes::Encoder;
use crate::runtimes::native::ops::Compute;
use crate::runtimes::native::{NativeEncoder, SentenceHead};
use crate::sides::Sides;
use crate::sides::request::CheckRequest;
use crate::tokens::TokenBatch;

const CODE: &Code = &codes::CANDIDATE_MLX_DEVIATES;
/// States that differ by no more are the same ones: the limit of the engines' own difference (relative L2).
const SAME: f64 = 1e-5;

/// The largest sum of squares that float16 holds.
const F16_SQUARES: f64 = 65_504.0;

/// States that are no numbers once the candidate is computed in float16, the type of its own scales, and vectors whose
/// length it does not hold: what a program gives that computes in it.
pub(crate) fn overflow(sides: &Sides, request: &CheckRequest, sample: &Sample) -> Result<Option<Finding>, Error> {
    let facts = &sides.facts;
    // Where the compute arm was asked for, it says so itself.
    if facts.quantization.dtype != "F16" || request.compute != Compute::F32 || !facts.narrow {
        return Ok(None);
    }
    let failure = |message| Ok(Some(Finding::new(Severity::Failure, &codes::COMPUTE_NON_FINITE, message)));
    let runs_on = &facts.runs_on;
    let encoder = NativeEncoder::build(&facts.candidate_config, &sides.candidate_weights, "the candidate")?;
    let encoder = encoder.computing_in(Compute::F16);
    for batch in [&sample.batch, &sample.longest] {
        let mut states = encoder.encode(batch)?;
        let broken = |s: &TapStates| (0..s.rows()).any(|r| s.row(r).iter().any(|x| !x.is_finite()));
        if let Some((tap, _)) = states.iter().find(|(_, s)| broken(s)) {
            return failure(format!(
                "the candidate's scales are float16 and {runs_on} computes in their type: there its states are no longer \
                 numbers from {tap} on, an activation is beyond 65,504; convert to bfloat16"
            ));
        }
        add_sentences(&facts.stated_head, &mut states)?;
        let pooled = states.get(Tap::Pooled).into_iter().flat_map(|s| (0..s.rows()).map(|r| square(s.row(r))));
        let longest = pooled.fold(0.0, f64::max);
        if longest > F16_SQUARES && facts.stated_head.modules().pooling != [PoolingMode::Mean] {
            return failure(format!(
                "the candidate's scales are float16 and {runs_on} scales vectors to unit length in their type: a vector of \
                 length {} has a square beyond 65,504 and becomes zero; convert to bfloat16",
                number(longest.sqrt())
            ));
        }
    }
    Ok(None)
}

/// One finding per deviation, with its size.
pub(crate) fn findings(
    sides: &Sides,
    request: &CheckRequest,
    sample: &Sample,
    scales: &Scales,
) -> Result<Vec<Finding>, Error> {
    let facts = &sides.facts;
    let mut out = Vec::new();
    let said = |what: &str, size: String, cure: Option<&str>| {
        let followed = match (request.emulate_mlx, cure) {
            (true, _) => "this verdict is on what it computes (--emulate mlx)".to_owned(),
            (false, Some(cure)) => format!("{cure}, or judge what it computes (--emulate mlx)"),
            (false, None) => "this verdict is on what the files say, --emulate mlx judges the other".to_owned(),
        };
        let message = format!("{} computes this model with {what}: {size}; {followed}", facts.runs_on);
        match cure {
            Some(_) if !request.emulate_mlx => Finding::new(Severity::Failure, &codes::RUNTIME_CONFIG, message),
            _ => Finding::new(Severity::Warning, CODE, message),
        }
    };
    let head = &facts.stated_head;
    for deviation in &facts.deviations {
        let mut config = facts.stated_config.clone();
        (deviation.change)(&mut config);
        let build = |config| NativeEncoder::build(config, &sides.candidate_weights, "the candidate");
        let (stated, other) = (build(&facts.stated_config)?, build(&config)?);
        // Some show in long rows only.
        let mut farthest = 0.0_f64;
        for batch in [&sample.batch, &sample.longest] {
            let (a, b) = (states(&stated, head, batch)?, states(&other, head, batch)?);
            farthest = farthest.max(distance(scales, batch, &a, &b, Tap::Final, "relative_l2")?);
        }
        let tokens = sample.longest.longest();
        let size = format!(
            "that moves its final states by {} (relative L2, at most, probes of up to {tokens} tokens)",
            number(farthest)
        );
        // What a file would cure is a fault of the file, where it is one at all.
        out.push(said(deviation.what, size, deviation.cure.filter(|_| farthest.is_nan() || farthest > SAME)));
    }
    if let Some(mode) = facts.mlx_pooling {
        let encoder = NativeEncoder::build(&facts.stated_config, &sides.candidate_weights, "the candidate")?;
        let other = head.with_pooling(vec![mode])?;
        let (a, b) = (states(&encoder, head, &sample.batch)?, states(&encoder, &other, &sample.batch)?);
        let farthest = match a.get(Tap::Sentence).map(|s| s.hidden()) == b.get(Tap::Sentence).map(|s| s.hidden()) {
            true => number(distance(scales, &sample.batch, &a, &b, Tap::Sentence, "cosine_distance")?),
            false => "vectors of another width".to_owned(),
        };
        let what = format!("{mode} pooling in place of {}", head.modules().pooling_name());
        out.push(said(
            &what,
            format!("that moves its sentence vectors by {farthest} (cosine distance, at most)"),
            None,
        ));
    }
    out.extend(behind(sides, sample, scales, &said)?);
    Ok(out)
}

/// What is done otherwise behind the encoder, prompt and modules, and how far that moves sentence vectors.
fn behind(
    sides: &Sides,
    sample: &Sample,
    scales: &Scales,
    said: &dyn Fn(&str, String, Option<&str>) -> Finding,
) -> Result<Vec<Finding>, Error> {
    let (facts, head) = (&sides.facts, &sides.facts.stated_head);
    let mut others: Vec<(String, SentenceHead)> = Vec::new();
    if let Some(stages) = &facts.mlx_stages {
        let told = |stages: &[Stage]| match stages {
            [] => "no module".to_owned(),
            all => all.iter().map(Stage::to_string).collect::<Vec<_>>().join(", then "),
        };
        let what =
            format!("{} behind the pooling, where the files state {}", told(stages), told(&head.modules().stages));
        others.push((what, head.with_stages(stages.clone())?));
    }
    if facts.mlx_pools_prompt && head.skipped() > 0 {
        let what = "the prompt's tokens in the pooling, which the files leave out of it".to_owned();
        others.push((what, head.clone().skipping(0)));
    }
    let mut out = Vec::new();
    for (what, other) in others {
        let size = if other.width() == head.width() {
            let encoder = NativeEncoder::build(&facts.stated_config, &sides.candidate_weights, "the candidate")?;
            let (a, b) = (states(&encoder, head, &sample.batch)?, states(&encoder, &other, &sample.batch)?);
            let of = |metric| distance(scales, &sample.batch, &a, &b, Tap::Sentence, metric);
            let (length, angle) = (of("relative_l2")?, of("cosine_distance")?);
            format!(
                "that moves its sentence vectors by {} of their length, {} in cosine distance, at most",
                number(length),
                number(angle)
            )
        } else {
            format!("that gives vectors of {} numbers in place of {}", other.width(), head.width())
        };
        out.push(said(&what, size, None));
    }
    Ok(out)
}

fn square(vector: &[f32]) -> f64 {
    vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum()
}

fn states(encoder: &NativeEncoder, head: &SentenceHead, batch: &TokenBatch) -> Result<HiddenStates, Error> {
    let mut states = encoder.encode(batch)?;
    add_sentences(head, &mut states)?;
    Ok(states)
}

/// The largest value of a metric at a tap; NaN where there is none.
fn distance(
    scales: &Scales,
    batch: &TokenBatch,
    a: &HiddenStates,
    b: &HiddenStates,
    tap: Tap,
    metric: &str,
) -> Result<f64, Error> {
    let mut accumulators = Accumulators::new(scales.clone());
    accumulators.add(Arm::Total, batch, a, b, |_, _, _| ())?;
    let all = accumulators.finish();
    Ok(all.iter().find(|m| m.tap == tap && m.metric == metric).and_then(|m| m.max).unwrap_or(f64::NAN))
}
