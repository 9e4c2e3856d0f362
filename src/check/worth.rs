//! What the limits are worth, as far as it is measured: what unlike things would give, and what faults planted on
//! purpose do. What the limits make of it is said in [`limits`](super::limits).

use super::evidence::Measured;
use crate::Error;
use crate::proof::over_twin::Twin;
use crate::proof::{canaries, null_baselines};
use crate::rows::workers::Workers;
use crate::sides::Sides;

/// Measures unlike things, and plants the faults if they are to be `planted`.
pub(super) fn measure(
    sides: &Sides,
    workers: &Workers,
    planted: bool,
    measured: &mut Measured,
    twin: &Twin,
) -> Result<(), Error> {
    // Without a sample the probes have said so already, and refused.
    let Some(sample) = &measured.sample else { return Ok(()) };
    measured.unlike = null_baselines::measure(sides, sample, &measured.scales)?;
    if planted {
        measured.canaries = canaries::plant(sides, workers, sample, &measured.scales, &twin.run(&sample.batch)?)?;
    }
    Ok(())
}
