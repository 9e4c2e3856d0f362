//! What the gates are worth, as far as it is measured: what unlike things would give, and what faults planted on
//! purpose do. What the limits make of it is said in [`limits`](super::limits).

use super::evidence::Measured;
use super::over_twin::Twin;
use super::sides::Sides;
use super::workers::Workers;
use super::{baselines, canaries};
use crate::Error;
use crate::report::{CanariesSection, UnlikeSection};

/// What was measured.
#[derive(Default)]
pub(super) struct Proof {
    pub(super) unlike: UnlikeSection,
    pub(super) canaries: CanariesSection,
}

/// Measures unlike things, and plants the faults if they are to be `planted`.
pub(super) fn of(
    sides: &Sides,
    workers: &Workers,
    planted: bool,
    measured: &Measured,
    twin: &Twin,
) -> Result<Proof, Error> {
    // Without a sample the probes have said so already, and refused.
    let Some(sample) = &measured.sample else { return Ok(Proof::default()) };
    let unlike = baselines::measure(sides, sample, &measured.scales)?;
    let canaries = match planted {
        true => canaries::plant(sides, workers, sample, &measured.scales, &twin.run(&sample.batch)?)?,
        false => CanariesSection::default(),
    };
    Ok(Proof { unlike, canaries })
}
