//! `parallax recheck`.

use parallax::check::{Earlier, policy_of, recheck};
use parallax::policy::Date;
use parallax::report::OutputDir;

use super::arguments::RecheckArguments;
use super::check::shown;
use super::failure::Failure;
use super::product;
use super::render::saved;

pub(super) fn run(a: &RecheckArguments) -> Result<u8, Failure> {
    let report = saved(&a.report)?;
    let policy = policy_of(&report, a.policy.as_deref()).map_err(|e| Failure::new(e.fault(), e.to_string()))?;
    let earlier = a.baseline.as_deref().map(saved).transpose()?;
    let other_format = a.baseline_other_format;
    let earlier = earlier.as_ref().map(|report| Earlier { report, other_format });
    let report = recheck(&report, &policy, Date::today(), earlier);
    if let Some(folder) = &a.out {
        OutputDir::probe(folder).and_then(|out| out.write_all(&report)).map_err(parallax::Error::from)?;
    }
    product(&shown(&report, a.format, a.explain)?)?;
    Ok(report.exit_code)
}
