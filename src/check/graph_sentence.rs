//! The reference's own sentence vectors, where its graph has an output for them: which pooling are they, and is it the
//! one its files state?

use super::measure::add_sentences;
use super::sample::Sample;
use super::sides::Sides;
use crate::Error;
use crate::checkpoint::{PoolingMode, SentenceModules, Stage};
use crate::finding::{Finding, Severity};
use crate::hidden_states::{HiddenStates, Tap};
use crate::runtimes::native::SentenceHead;
use crate::runtimes::onnx::SentenceOutput;
use crate::verdict::number;

/// Most that the graph's vectors may be from a pooling of its own final states that explains them, relative L2 per row:
/// they are the same sums in another order. Measured at most 1.3e-7 (mean with Normalize, three exports); cls in place of
/// mean is 0.1 (tests/sentence_head.rs).
const EXPLAINED: f64 = 1e-5;
const CODE: &str = "reference.sentence_output";
const MODES: [PoolingMode; 6] = [
    PoolingMode::Mean,
    PoolingMode::Cls,
    PoolingMode::LastToken,
    PoolingMode::Max,
    PoolingMode::MeanSqrtLen,
    PoolingMode::WeightedMean,
];

/// What the graph's output turned out to be.
pub(super) fn finding(sides: &Sides, sample: &Sample) -> Result<Option<Finding>, Error> {
    let Some(output) = sides.graph_sentences.as_ref().map(|run| run(&sample.batch)).transpose()?.flatten() else {
        return Ok(None);
    };
    let stated = sides.reference_head.modules();
    let states = &sample.seen.reference;
    let own = distance(&sides.reference_head, states, &output)?;
    if own <= EXPLAINED {
        let message = format!(
            "the graph's own `{}` is what the files say, {}: at most {} apart",
            output.name,
            words(stated),
            number(own)
        );
        return Ok(Some(Finding::new(Severity::Note, CODE, message)));
    }
    let mut best: Option<(f64, SentenceModules)> = None;
    for mode in MODES {
        for stages in [stated.stages.clone(), vec![], vec![Stage::Normalize]] {
            // What has weights is only known as the files have it.
            let weighted = stages.iter().any(|stage| stage.path().is_some());
            let modules = SentenceModules { stages, ..SentenceModules::of(mode) };
            let head = match weighted {
                true => sides.reference_head.with_pooling(vec![mode])?,
                false => SentenceHead::new(&modules, sides.facts.hidden)?,
            };
            let found = distance(&head, states, &output)?;
            if best.as_ref().is_none_or(|(least, _)| found < *least) {
                best = Some((found, modules));
            }
        }
    }
    let (name, says) = (&output.name, words(stated));
    let message = match best {
        Some((least, modules)) if least <= EXPLAINED => {
            format!(
                "the graph's own `{name}` is {}, the files say {says}: sentences are not what users of the graph get",
                words(&modules)
            )
        }
        Some((least, modules)) => format!(
            "the graph's own `{name}` is not what the files say ({says}), nor any other pooling of its last states (nearest {}, {} apart)",
            words(&modules),
            number(least)
        ),
        None => format!("the graph's own `{name}` has another width than any pooling of its last states ({says})"),
    };
    Ok(Some(Finding::new(Severity::Refusal, CODE, message)))
}

fn words(modules: &SentenceModules) -> String {
    let stages: String = modules.stages.iter().map(|stage| format!(", then {stage}")).collect();
    format!("{} pooling{stages}", modules.pooling_name())
}

/// The largest relative L2 over the rows; infinite for another width or another number of rows, and NaN is no distance.
fn distance(head: &SentenceHead, states: &HiddenStates, output: &SentenceOutput) -> Result<f64, Error> {
    let mut with = HiddenStates::new();
    if let Some(last) = states.get(Tap::Final) {
        with.insert(Tap::Final, std::sync::Arc::clone(last));
    }
    add_sentences(head, &mut with)?;
    let Some(found) = with.get(Tap::Sentence).filter(|s| s.rows() == output.rows.len() && s.rows() > 0) else {
        return Ok(f64::INFINITY);
    };
    let mut worst = 0.0_f64;
    for (r, theirs) in output.rows.iter().enumerate() {
        let ours = found.row(r);
        if ours.len() != theirs.len() {
            return Ok(f64::INFINITY);
        }
        let squares = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
        let apart = squares(&mut ours.iter().zip(theirs).map(|(a, b)| f64::from(*a) - f64::from(*b)));
        let relative = apart / squares(&mut theirs.iter().map(|b| f64::from(*b)));
        worst = if relative.is_nan() { f64::INFINITY } else { worst.max(relative) };
    }
    Ok(worst)
}
