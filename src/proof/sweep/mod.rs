//! Sweeps of the reference against the control, so that nothing depends on which sentences a corpus happens to hold: every
//! vocabulary id through the embeddings, and rows of seeded ids in seeded lengths and batch sizes, alone and padded, at
//! every tap and output. `--thorough` runs all lengths and many batch sizes.

mod cache;
mod frame;
mod ids;
mod plan;
mod shapes;
pub(crate) mod words;

use std::sync::{Mutex, PoisonError};

use super::outputs::{Explaining, Outputs};
use super::swept_row::FIRST;
use crate::Error;
use crate::finding::{Code, Finding, Severity};
use crate::policy::LARGEST_ENGINE;
use crate::report::SweepSection;
use crate::rows::workers::Workers;
use crate::sides::Sides;
use crate::sides::request::CheckRequest;
use cache::Cache;
use frame::{Frame, Random};

/// The most that a token's state of the reference may be from the control's, relative L2, at any tap: the largest limit
/// of the engine arm (`policy/engine.rs`). What honest exports reach on rows of random ids is not measured yet:
/// `tests/it/sweeps.rs` asks for a tenth of it on the shipped model.
const LIMIT: f64 = LARGEST_ENGINE;

/// What the sweeps found.
#[derive(Default)]
pub(crate) struct Swept {
    pub(crate) findings: Vec<Finding>,
    pub(crate) section: SweepSection,
    /// Parts that an earlier run had swept: `ids`, `shapes`.
    pub(crate) cached: Vec<String>,
    /// What the reference returned besides its taps, on the swept rows.
    pub(crate) outputs: Outputs,
}

/// Sweeps, or remembers that it did.
pub(crate) fn run(
    sides: &Sides,
    request: &CheckRequest,
    workers: &Workers,
    explaining: &Explaining,
) -> Result<Swept, Error> {
    let frame = Frame::of(&sides.tokenizers.reference);
    let cache = Cache::new(sides, request, &frame);
    let mut swept =
        Swept { section: SweepSection { thorough: request.thorough, ..SweepSection::default() }, ..Swept::default() };
    let mut wrong_ids = Vec::new();
    match cache.ids() {
        Some(known) => {
            swept.section.ids = known.ids;
            swept.section.id_passes = known.id_passes;
            swept.section.ids_relative_l2 = known.ids_relative_l2;
            swept.cached.push("ids".to_owned());
        }
        None => {
            let found = ids::sweep(sides, workers, &frame, cache.seed(), request.thorough)?;
            swept.section.ids = found.swept;
            swept.section.id_passes = found.passes;
            swept.section.ids_relative_l2 = Some(found.largest);
            match found.finding(sides) {
                Some(finding) => swept.findings.push(finding),
                None => cache.keep_ids(&swept.section),
            }
            wrong_ids = found.wrong_ids();
        }
    }
    if let Some(known) = cache.shapes() {
        let ids = swept.section;
        swept.section =
            SweepSection { ids: ids.ids, id_passes: ids.id_passes, ids_relative_l2: ids.ids_relative_l2, ..known };
        swept.cached.push("shapes".to_owned());
        return Ok(swept);
    }
    let outputs = Mutex::new(Outputs::default());
    let plan = plan::batches(sides.facts.max_length, cache.seed(), request.thorough);
    let mut random = Random::new(cache.seed() ^ 1);
    let batches: Vec<_> = (0u64..)
        .zip(&plan)
        .map(|(i, lengths)| frame.batch(sides, lengths, &wrong_ids, &mut random, FIRST + (i << 16)))
        .collect();
    let found = shapes::sweep(sides, workers, &batches, explaining, &outputs)?;
    let outputs = outputs.into_inner().unwrap_or_else(PoisonError::into_inner);
    shapes::describe(&mut swept.section, &batches, found.largest);
    let findings = found.findings();
    match findings.is_empty() && outputs.padding_is_finite() && outputs.all_explained(explaining) {
        true => cache.keep_shapes(&swept.section),
        // What is wrong is said with the outputs of all other rows. What is right is not counted there: a run that
        // remembers its sweeps must report the same numbers.
        false => swept.outputs = outputs,
    }
    swept.findings.extend(findings);
    Ok(swept)
}

fn refused(code: &Code, message: String) -> Finding {
    Finding::new(Severity::Refusal, code, message)
}
