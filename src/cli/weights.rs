//! `parallax weights`.

use parallax::tools::compare_weights;
use parallax::weights::{TensorRow, WeightsReport};

use super::arguments::{Format, WeightsArguments};
use super::console::tell;
use super::failure::Failure;
use super::{product, threads};

/// Matrices shown unless all are asked for.
const SHOWN: usize = 10;

pub(super) fn run(a: &WeightsArguments) -> Result<u8, Failure> {
    threads(None);
    let compared = compare_weights(&a.original, &a.candidate, a.weights.into())?;
    let text = match a.format {
        Format::Text => table(&compared.report, a.all),
        Format::Json => {
            let json = serde_json::to_string_pretty(&compared.report);
            json.map_err(|e| Failure::new(parallax::fault::Fault::Internal, e.to_string()))? + "\n"
        }
    };
    product(&text)?;
    for finding in &compared.findings {
        tell(format_args!("{}: {}", finding.code, finding.message));
    }
    Ok(compared.exit_code)
}

fn table(report: &WeightsReport, all: bool) -> String {
    let t = &report.totals;
    let mut rows: Vec<&TensorRow> = report.tensors.iter().filter(|r| all || r.shape.len() == 2).collect();
    if !all {
        rows.sort_by(|a, b| b.relative_error.total_cmp(&a.relative_error));
    }
    let matrices = rows.len();
    rows.truncate(if all { usize::MAX } else { SHOWN });
    let width = rows.iter().map(|r| r.tensor.len()).max().unwrap_or(6).max(6);
    let mut out = format!(
        "{:<width$}  {:>11}  {:>13}  {:>10}  {:>9}  {:>9}  {:>8}\n",
        "tensor", "shape", "stored", "MSE", "relative", "max abs", "SQNR dB"
    );
    for r in &rows {
        let shape = r.shape.iter().map(usize::to_string).collect::<Vec<_>>().join("×");
        let stored = match (&r.mode, r.bits, r.group_size) {
            (Some(_), Some(bits), Some(group)) => format!("{bits} bit g{group} {}", r.dtype),
            _ => r.dtype.clone(),
        };
        out.push_str(&format!(
            "{:<width$}  {shape:>11}  {stored:>13}  {:>10.3e}  {:>9.3e}  {:>9.3e}  {:>8.2}\n",
            r.tensor, r.mse, r.relative_error, r.max_abs, r.sqnr_db
        ));
    }
    if !all && matrices > SHOWN {
        out.push_str(&format!("… and {} more matrices (--all shows every tensor)\n", matrices - SHOWN));
    }
    out.push_str(&format!(
        "\n{} tensors, {} quantized matrices; over all matrices: MSE {:.4e}, relative error {:.4} %, max abs {:.6} in {}\n{:.2} bits per weight, {} bytes instead of {}\n",
        t.tensors,
        t.quantized,
        t.mse,
        100.0 * t.relative_error,
        t.max_abs,
        t.max_abs_tensor.as_deref().unwrap_or("none"),
        t.bits_per_weight,
        t.bytes,
        t.float32_bytes
    ));
    if let Some(twin) = t.twin.sentence() {
        out.push_str(&format!("{twin}\n"));
    }
    out
}
