//! What the candidate's runtime would compute otherwise than the candidate's files say, and how much that comes to on this
//! model: a verdict on the configuration's mathematics says nothing of a device that computes something else.

use super::CheckRequest;
use super::measure::{Accumulators, Scales, add_sentences};
use super::sample::Sample;
use super::sides::Sides;
use crate::Error;
use crate::checkpoint::{ModelConfig, PoolingMode, SentenceModules};
use crate::figures::number;
use crate::finding::{Finding, Severity};
use crate::hidden_states::{Arm, HiddenStates, Tap};
use crate::runtimes::Encoder;
use crate::runtimes::known::KnownRuntime;
use crate::runtimes::native::{Deviation, NativeEncoder, SentenceHead};
use crate::tokens::TokenBatch;

const CODE: &str = "candidate.mlx_deviates";

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

/// One finding per deviation, with its size.
pub(super) fn findings(
    sides: &Sides,
    request: &CheckRequest,
    sample: &Sample,
    scales: &Scales,
) -> Result<Vec<Finding>, Error> {
    let facts = &sides.facts;
    let mut out = Vec::new();
    let said = |what: &str, size: String| {
        let followed = match request.emulate_mlx {
            true => "this verdict is on what it computes (--emulate mlx)",
            false => "this verdict is on what the files say, --emulate mlx judges the other",
        };
        let message = format!("{} computes this model with {what}: {size}; {followed}", facts.runs_on);
        Finding::new(Severity::Warning, CODE, message)
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
        out.push(said(deviation.what, size));
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
        out.push(said(&what, format!("that moves its sentence vectors by {farthest} (cosine distance, at most)")));
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
