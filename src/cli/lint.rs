//! `parallax lint`.

use std::path::PathBuf;

use clap::Args;
use parallax::fault::Fault;
use parallax::report::escape::plain;
use parallax::tools::{Lint, lint, model_of};

use super::arguments::Format;
use super::console::tell;
use super::failure::Failure;
use super::{product, threads};

/// Longest line shown of one finding.
const SHOWN: usize = 1000;

const EXIT_CODES: &str = "\
Exit codes:
  0  nothing, or only warnings
  3  a check would refuse to judge this model
  4  the model is malformed, unsafe or contradicts itself";

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct LintArguments {
    /// Model folders (MLX, or Hugging Face with ONNX), or files in them: a file stands for the model it belongs to
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// What to print on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

pub(super) fn run(a: &LintArguments) -> Result<u8, Failure> {
    threads(None);
    let mut models: Vec<PathBuf> = Vec::new();
    let mut passed_over = Vec::new();
    for path in &a.paths {
        match model_of(path) {
            Some(model) => {
                // Several files of one model are one model, with or without a slash at its end.
                let model = model.components().collect();
                if !models.contains(&model) {
                    models.push(model);
                }
            }
            None => passed_over.push(path),
        }
    }
    for path in passed_over {
        tell(format_args!(
            "{}: passed over, since it lies in no model folder",
            plain(&path.display().to_string(), SHOWN)
        ));
    }
    let linted = models.iter().map(|model| lint(model)).collect::<Result<Vec<_>, _>>()?;
    let text = match a.format {
        Format::Text => linted.iter().map(lines).collect(),
        Format::Json => {
            let json = serde_json::to_string_pretty(&linted);
            json.map_err(|e| Failure::new(Fault::Internal, e.to_string()))? + "\n"
        }
    };
    product(&text)?;
    Ok(linted.iter().map(Lint::exit_code).max().unwrap_or(0))
}

/// One line for what is in order, one for each finding.
fn lines(lint: &Lint) -> String {
    let ok = if lint.exit_code() == 0 { "ok" } else { "not ok" };
    let facts = if lint.facts.is_empty() { String::new() } else { format!(" ({})", lint.facts.join("; ")) };
    let mut out = plain(&format!("{}: {ok}{facts}", lint.path), SHOWN) + "\n";
    for f in &lint.findings {
        let severity = f.severity;
        // The path stands before the message already.
        let own = f.message.strip_prefix(&lint.path).and_then(|m| m.strip_prefix([':', '/']));
        let message = own.map_or(f.message.as_str(), str::trim_start);
        out += &(plain(&format!("{}: {severity}: {message} [{}]", lint.path, f.code), SHOWN) + "\n");
    }
    out
}
