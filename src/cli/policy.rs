//! `parallax policy`.

use parallax::policy::{EMBEDDED, Policy};

use super::arguments::PolicyCommand;
use super::failure::Failure;
use super::product;

pub(super) fn run(command: &PolicyCommand) -> Result<u8, Failure> {
    let text = match command {
        PolicyCommand::List => {
            let mut text = String::new();
            for (name, _) in EMBEDDED {
                let policy = Policy::load(name).map_err(parallax::Error::from)?;
                text.push_str(&format!("{name:<10} {} gates\n", policy.gates.len()));
            }
            text
        }
        PolicyCommand::Show { name } => Policy::load(name).map_err(parallax::Error::from)?.source,
        PolicyCommand::Validate { file } => {
            let policy = Policy::load(&file.to_string_lossy()).map_err(parallax::Error::from)?;
            format!(
                "{}: {} gates, at least {} rows and {} tokens\n",
                policy.name,
                policy.gates.len(),
                policy.evidence.min_rows,
                policy.evidence.min_tokens
            )
        }
    };
    product(&text)?;
    Ok(0)
}
