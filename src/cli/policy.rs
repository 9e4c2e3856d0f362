//! `parallax policy`.

use parallax::fault::Fault;
use parallax::policy::{EMBEDDED, MARGINS, Policy, suggest};
use parallax::report::escape;

use super::arguments::PolicyCommand;
use super::failure::Failure;
use super::product;
use super::render::saved;

pub(super) fn run(command: &PolicyCommand) -> Result<u8, Failure> {
    let text = match command {
        PolicyCommand::List => {
            let mut text = String::new();
            for (name, _) in EMBEDDED {
                let policy = Policy::load(name).map_err(parallax::Error::from)?;
                let promise = policy.source.lines().next().unwrap_or_default().trim_start_matches("# ");
                text.push_str(&format!("{name:<10} {promise}\n"));
            }
            text
        }
        PolicyCommand::Show { name } => Policy::load(name).map_err(parallax::Error::from)?.source,
        PolicyCommand::Suggest { report, margin } => {
            let saved = saved(report)?;
            let rows = saved.corpus.rows;
            let measured_on = format!("{}, {rows} sentences", escape::plain(&saved.alignment.candidate, 200));
            let fault = if MARGINS.contains(margin) { Fault::BadInput } else { Fault::Usage };
            suggest(&saved.gates, *margin, &measured_on)
                .map_err(|why| Failure::new(fault, format!("{}: {why}", report.display())))?
        }
        PolicyCommand::Validate { file } => {
            let policy = Policy::load(&file.to_string_lossy()).map_err(parallax::Error::from)?;
            format!(
                "{}: {} gates, at least {} different rows, {} tokens and {} different tokens\n",
                policy.name,
                policy.gates.len(),
                policy.evidence.min_rows,
                policy.evidence.min_tokens,
                policy.evidence.min_vocabulary
            )
        }
    };
    product(&text)?;
    Ok(0)
}
