//! `parallax inspect`.

use parallax::tools::{Inspection, inspect};

use super::arguments::{Format, InspectArguments};
use super::failure::Failure;
use super::product;

pub(super) fn run(a: &InspectArguments) -> Result<u8, Failure> {
    let inspection = inspect(&a.path)?;
    let text = match a.format {
        Format::Text => text(&inspection),
        Format::Json => {
            let json = serde_json::to_string_pretty(&inspection);
            json.map_err(|e| Failure::new(parallax::fault::Fault::Internal, e.to_string()))? + "\n"
        }
    };
    product(&text)?;
    Ok(inspection.exit_code())
}

fn text(i: &Inspection) -> String {
    let mut out = String::new();
    for (key, value) in &i.facts {
        out.push_str(&format!("{key:<22} {value}\n"));
    }
    if !i.taps.is_empty() {
        let width = i.taps.iter().map(|t| t.tensor.len()).max().unwrap_or(0);
        out.push_str("\ntaps\n");
        for t in &i.taps {
            out.push_str(&format!("  {:<18} {:<width$}  {}; {}\n", t.tap, t.tensor, t.node, t.evidence));
            if !t.weights.is_empty() {
                out.push_str(&format!("  {:<18} its matrices: {}\n", "", t.weights.join(", ")));
            }
        }
    }
    if !i.tensors.is_empty() {
        let width = i.tensors.iter().map(|t| t.name.len()).max().unwrap_or(0);
        out.push_str("\ntensors\n");
        for t in &i.tensors {
            out.push_str(&format!("  {:<width$}  {:<14} {}\n", t.name, t.shape, t.stored));
        }
    }
    for f in &i.findings {
        out.push_str(&format!("\n{}: {}\n", f.code, f.message));
    }
    out
}
