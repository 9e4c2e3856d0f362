//! Everything measured, in the form the policy judges and the report shows.

use super::stream::Streamed;
use crate::Error;
use crate::align::{CrossMatchReport, Neighbours};
use crate::metrics::Measurements;
use crate::proof::coverage::{self, Coverage};
use crate::proof::outputs::{Explaining, Outputs};
use crate::proof::probe::Probed;
use crate::proof::sweep::Swept;
use crate::report::{
    CanariesSection, CoverageSection, FloorSection, LabelsSection, OutputSection, RecordingSection, TwinSection,
    UnlikeSection,
};
use crate::rows::measure::Scales;
use crate::rows::sample::Sample;
use crate::runtimes::onnx::ObserverEffect;
use crate::weights::WeightsReport;

/// What probes and corpus showed together.
pub(super) struct Measured {
    pub(super) measurements: Measurements,
    pub(super) cross_match: CrossMatchReport,
    pub(super) observer: Option<ObserverEffect>,
    pub(super) neighbours: Neighbours,
    pub(super) probes: (u64, u64),
    pub(super) corpus: Streamed,
    pub(super) floor: Vec<FloorSection>,
    pub(super) sample: Option<Sample>,
    pub(super) scales: Scales,
    /// What the reference returned besides its taps, on probes and corpus.
    pub(super) outputs: Outputs,
    pub(super) explaining: Explaining,
    /// Every output that the graph declares, once it is explained.
    pub(super) declared: Vec<OutputSection>,
    pub(super) weights: WeightsReport,
    /// The candidate beside an honest conversion.
    pub(super) twin: TwinSection,
    pub(super) swept: Swept,
    /// What unlike things would measure, and what planted faults do: what the limits are worth.
    pub(super) unlike: UnlikeSection,
    pub(super) canaries: CanariesSection,
    /// What both sides score on labels.
    pub(super) labels: Option<LabelsSection>,
    probe_coverage: Coverage,
}

/// Joins them; the probes' engine arm and the sample's are one.
pub(super) fn gather(
    mut probed: Probed,
    mut streamed: Streamed,
    weights: WeightsReport,
    twin: TwinSection,
    swept: Swept,
) -> Result<Measured, Error> {
    streamed.arms.absorb(probed.engine)?;
    probed.outputs.absorb(std::mem::take(&mut streamed.outputs));
    let neighbours = streamed.sample.finish();
    Ok(Measured {
        measurements: [streamed.arms.finish(), streamed.isolated.finish(), streamed.recorded()].concat().into(),
        cross_match: probed.cross_match,
        observer: probed.observer,
        neighbours,
        probes: (probed.rows, probed.tokens),
        corpus: streamed,
        floor: probed.floor,
        sample: probed.sample,
        scales: probed.scales,
        outputs: probed.outputs,
        explaining: probed.explaining,
        declared: Vec::new(),
        weights,
        twin,
        swept,
        unlike: UnlikeSection::default(),
        canaries: CanariesSection::default(),
        labels: None,
        probe_coverage: probed.coverage,
    })
}

impl Measured {
    /// The recording behind the device arm.
    pub(super) fn recording(&self) -> Option<RecordingSection> {
        self.corpus.recording(&self.measurements)
    }

    /// The kinds of rows and batches that were run.
    pub(super) fn coverage(&self, max_length: usize) -> Vec<CoverageSection> {
        coverage::sections(&self.corpus.coverage, &self.probe_coverage, max_length)
    }
}
