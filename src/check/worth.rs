//! What the gates are worth, as far as it is measured: what unlike things would give, and what faults planted on
//! purpose do. What the limits make of it is said in [`limits`](super::limits).

use super::evidence::Measured;
use crate::Error;
use crate::proof::over_twin::Twin;
use crate::proof::{canaries, null_baselines};
use crate::report::{CanariesSection, UnlikeSection};
use crate::rows::workers::Workers;
use crate::sides::Sides;

/// What was measured.
#[derive(Default)]
pub(crate) struct Proof {
    pub(crate) unlike: UnlikeSection,
    pub(crate) canaries: CanariesSection,
}

/// Measures unlike things, and plants the faults if they are to be `planted`.
pub(crate) fn of(
    sides: &Sides,
    workers: &Workers,
    planted: bool,
    measured: &Measured,
    twin: &Twin,
) -> Result<Proof, Error> {
    // Without a sample the probes have said so already, and refused.
    let Some(sample) = &measured.sample else { return Ok(Proof::default()) };
    let unlike = null_baselines::measure(sides, sample, &measured.scales)?;
    let canaries = match planted {
        true => canaries::plant(sides, workers, sample, &measured.scales, &twin.run(&sample.batch)?)?,
        false => CanariesSection::default(),
    };
    Ok(Proof { unlike, canaries })
}
