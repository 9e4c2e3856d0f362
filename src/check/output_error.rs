//! Matrices that no rule of rounding explains, judged by what they do: a quantizer that compensates errors (GPTQ) moves
//! weights farther than rounding would, so that the layer's output is moved less.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::sample::Sample;
use super::sides::{Sides, feeds_nothing};
use crate::Error;
use crate::checkpoint::{Weight, layer_of};
use crate::finding::{Finding, Severity};
use crate::hidden_states::{HiddenStates, Tap};
use crate::runtimes::Encoder;
use crate::runtimes::native::NativeEncoder;
use crate::verdict::number;
use crate::weights::{WeightsReport, twin, unexplained};

/// Most that such a matrix may move its layer's output, over what MLX's own rounding of it would. Measured on the shipped
/// model at 8 and 4 bits: GPTQ by the paper 1.00 at most, mlx-lm's 1.17; a fault in such a matrix 1.5 at least.
const OVER_TWIN: f64 = 1.3;

/// A failure for each of these matrices that moves the output too far, and for tables, which have no output to trade
/// errors in.
pub(super) fn findings(sides: &Sides, sample: &Sample, weights: &WeightsReport) -> Result<Vec<Finding>, Error> {
    let mut out = Vec::new();
    for name in unexplained(weights) {
        if feeds_nothing(name) {
            continue;
        }
        let (Some(original), Some(own)) =
            (sides.original.tensors().get(name), sides.candidate_weights.tensors().get(name))
        else {
            out.push(failure(format!("the candidate's `{name}` was made by no quantizer that is known")));
            continue;
        };
        let (Some(layer), Some(twin)) = (layer_of(name), twin(original, own)) else {
            out.push(failure(format!("the candidate's `{name}` was made by no quantizer that is known")));
            continue;
        };
        let tap = Tap::Layer(layer);
        let moved = moved(sides, sample, tap, name, Arc::clone(own))?;
        let honest = moved_by_twin(sides, sample, tap, name, twin)?;
        // Written so that NaN is too far.
        let kept = moved <= OVER_TWIN * honest;
        if !kept {
            out.push(failure(format!(
                "the candidate's `{name}` was made by no quantizer that is known: it moves the output of {tap} by {}, and \
                 MLX's own rounding of it by {} (limit {OVER_TWIN} times that)",
                number(moved),
                number(honest)
            )));
        }
    }
    Ok(out)
}

fn failure(message: String) -> Finding {
    Finding::new(Severity::Failure, "weights.unexplained", message)
}

fn moved_by_twin(sides: &Sides, sample: &Sample, tap: Tap, name: &str, twin: Weight) -> Result<f64, Error> {
    moved(sides, sample, tap, name, Arc::new(twin))
}

/// How far the control's states at a tap move when one of its matrices is replaced: relative L2 over all tokens.
fn moved(sides: &Sides, sample: &Sample, tap: Tap, name: &str, weight: Arc<Weight>) -> Result<f64, Error> {
    let Some(control) = &sample.seen.control else { return Ok(f64::NAN) };
    let change = |tensors: &mut BTreeMap<String, Arc<Weight>>| drop(tensors.insert(name.to_owned(), weight));
    let weights = sides.original.changed(change).map_err(|e| Error::Quantization(e.into()))?;
    let encoder = NativeEncoder::build(&sides.facts.control_config, &weights, "the control with one other matrix")?;
    Ok(relative_l2(control, &encoder.encode(&sample.batch)?, tap))
}

fn relative_l2(base: &HiddenStates, other: &HiddenStates, tap: Tap) -> f64 {
    let (Some(base), Some(other)) = (base.get(tap), other.get(tap)) else { return f64::NAN };
    let (mut moved, mut size) = (0.0f64, 0.0f64);
    for r in 0..base.rows() {
        for (a, b) in base.row(r).iter().zip(other.row(r)) {
            let (a, b) = (f64::from(*a), f64::from(*b));
            moved += (b - a) * (b - a);
            size += a * a;
        }
    }
    (moved / size).sqrt()
}
