//! What the candidate's runtime would compute otherwise than the candidate's files say, and how much that comes to on this
//! model: a verdict on the configuration's mathematics says nothing of a device that computes something else.

use super::CheckRequest;
use super::measure::{Accumulators, Scales, add_sentences};
use super::sample::Sample;
use super::sides::Sides;
use crate::Error;
use crate::checkpoint::{ModelConfig, PoolingMode, SentenceModules};
use crate::figures::number;
use crate::finding::{Code, Finding, Severity, codes};
use crate::hidden_states::{Arm, HiddenStates, Tap};
use crate::runtimes::Encoder;
use crate::runtimes::known::KnownRuntime;
use crate::runtimes::native::{Deviation, NativeEncoder, SentenceHead};
use crate::tokens::TokenBatch;

const CODE: &Code = &codes::CANDIDATE_MLX_DEVIATES;
/// States that differ by no more are the same ones: the limit of the engines' own difference (relative L2).
const SAME: f64 = 1e-5;

/// The candidate's configuration and modules as they are computed, and where MLX departs from what the files say.
pub(super) struct Emulated {
    pub(super) config: ModelConfig,
    pub(super) deviations: Vec<Deviation>,
    pub(super) pooling: Option<PoolingMode>,
}

impl Emulated {
    /// As the request wants it. A pooling that the request itself chooses is nobody's deviation.
    pub(super) fn new(
        request: &CheckRequest,
        config: &ModelConfig,
        modules: &SentenceModules,
        runtime: &KnownRuntime,
    ) -> Self {
        let deviations = runtime.deviations(config);
        let pooling = runtime.pools_always(config).filter(|p| request.pooling.is_none() && modules.pooling != [*p]);
        let mut config = config.clone();
        if request.emulate_mlx {
            deviations.iter().for_each(|deviation| (deviation.change)(&mut config));
        }
        Self { config, deviations, pooling }
    }

    /// The candidate's head as the request wants it.
    pub(super) fn head(&self, request: &CheckRequest, stated: &SentenceHead) -> Result<SentenceHead, Error> {
        match self.pooling.filter(|_| request.emulate_mlx) {
            Some(mode) => Ok(stated.with_pooling(vec![mode])?),
            None => Ok(stated.clone()),
        }
    }
}

/// Rows that the candidate's runtime makes no numbers of, in float16.
pub(super) fn f16_window(runtime: &KnownRuntime, config: &ModelConfig, dtype: &str) -> Option<Finding> {
    let masked = runtime.computes(config).is_some_and(|m| m.f16_window) && dtype == "F16";
    let message = format!(
        "{} masks this model's window by a number that is -infinity in float16: rows padded by more than half a window come \
         out as NaN; convert to bfloat16, or give it rows of one length at a time",
        runtime.label()
    );
    masked.then(|| Finding::new(Severity::Warning, &codes::CANDIDATE_F16_WINDOW, message))
}

/// One finding per deviation, with its size.
pub(super) fn findings(
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
    Ok(out)
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
