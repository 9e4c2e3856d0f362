//! Everything measured, in the form the policy judges and the report shows.

use super::stream::Streamed;
use crate::Error;
use crate::align::{CrossMatchReport, Neighbours};
use crate::metrics::Measurement;
use crate::policy::NeighbourStats;
use crate::proof::coverage;
use crate::proof::coverage::Coverage;
use crate::proof::outputs::{Explaining, Outputs};
use crate::proof::probe::Probed;
use crate::report::{CoverageSection, FloorSection, RecordingSection};
use crate::rows::measure::Scales;
use crate::rows::sample::Sample;
use crate::runtimes::onnx::ObserverEffect;
use crate::verdict::Amount;

/// What probes and corpus showed together.
pub(super) struct Measured {
    pub(super) measurements: Vec<Measurement>,
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
    probe_coverage: Coverage,
}

/// Joins the two; the probes' engine arm and the sample's are one.
pub(super) fn gather(mut probed: Probed, mut streamed: Streamed) -> Result<Measured, Error> {
    streamed.arms.absorb(probed.engine)?;
    probed.outputs.absorb(std::mem::take(&mut streamed.outputs));
    let neighbours = streamed.sample.finish();
    Ok(Measured {
        measurements: [streamed.arms.finish(), streamed.isolated.finish(), streamed.recorded()].concat(),
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
        probe_coverage: probed.coverage,
    })
}

impl Measured {
    /// How much was compared; a row told twice is no more evidence than once.
    pub(super) fn amount(&self) -> Amount {
        let distinct = &self.corpus.distinct;
        Amount { rows: distinct.rows(), tokens: distinct.tokens(), vocabulary: distinct.vocabulary() }
    }

    /// The recording behind the device arm.
    pub(super) fn recording(&self) -> Option<RecordingSection> {
        self.corpus.recording(&self.measurements)
    }

    /// The kinds of rows and batches that were run.
    pub(super) fn coverage(&self, max_length: usize) -> Vec<CoverageSection> {
        coverage::sections(&self.corpus.coverage, &self.probe_coverage, max_length)
    }

    /// What gates on neighbours look at.
    pub(super) fn neighbour_stats(&self) -> NeighbourStats {
        let n = &self.neighbours;
        NeighbourStats {
            rows: n.rows,
            top1_agreement: n.top1_agreement,
            top10_overlap: n.top10_overlap,
            spearman: n.spearman,
            pearson: n.pearson,
            similarity_shift: n.similarity_shift,
            relative_distance: n.relative_distance,
        }
    }
}
