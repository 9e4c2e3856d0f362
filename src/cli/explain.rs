//! `parallax explain`: what a finding's code means and what to do.

use clap::Args;
use parallax::fault::Fault;
use parallax::finding::{Code, codes};
use parallax::report::escape;
use parallax::spelling::nearest;

use super::failure::Failure;
use super::product;

/// Characters of a code that a message shows.
const SHOWN: usize = 200;

#[derive(Debug, Args)]
pub(crate) struct ExplainArguments {
    /// A code as reports print it, such as weights.changed_groups [default: list them all]
    #[arg(value_name = "CODE")]
    pub(crate) code: Option<String>,
}

pub(super) fn run(a: &ExplainArguments) -> Result<u8, Failure> {
    let text = match &a.code {
        None => codes::all().map(|row| format!("{:<34} {}\n", row.code, row.means)).collect(),
        Some(code) => explained(code, codes::find(code).ok_or_else(|| unknown(code))?),
    };
    product(&text)?;
    Ok(0)
}

fn explained(code: &str, row: &Code) -> String {
    let severity = row.severity;
    let mut text = format!("{}\n  {}\n  What to do: {}\n", escape::plain(code, SHOWN), row.means, row.todo);
    text.push_str(&format!("  Severity: {severity} at most, which {}.\n", severity.effect()));
    if let Some(word) = row.caveat {
        text.push_str(&format!("  A PASS shows it in the verdict, after \"{word}\".\n"));
    }
    text
}

fn unknown(code: &str) -> Failure {
    let near = nearest(code, codes::all().map(|row| row.code));
    let hint = near.map_or_else(|| "`parallax explain` lists all codes".to_owned(), |n| format!("did you mean `{n}`?"));
    Failure::new(Fault::Usage, format!("no code `{}`; {hint}", escape::plain(code, SHOWN)))
}
