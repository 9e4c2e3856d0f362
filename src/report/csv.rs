//! CSV (RFC 4180) for spreadsheets and data frames: every measurement, or the worst rows. Numbers keep all their digits.

use serde::Serialize;

use super::escape::plain;
use super::{Report, ReportError};

/// Characters of one text; a cell of a spreadsheet holds 32,767.
const TEXT: usize = 30_000;

/// What a spreadsheet takes for a formula at the start of a cell (OWASP, "CSV injection").
const FORMULA: [char; 4] = ['=', '+', '-', '@'];

const MEASURED: &[&str] = &[
    "tap",
    "arm",
    "mode",
    "metric",
    "count",
    "mean",
    "p50",
    "p90",
    "p99",
    "p999",
    "min",
    "max",
    "worst_row",
    "worst_token",
];
const WORST: &[&str] = &["place", "tap", "arm", "metric", "value", "token", "token_text", "text"];

/// In the order of [`MEASURED`].
#[derive(Serialize)]
struct Measured<'a> {
    tap: String,
    arm: String,
    mode: String,
    metric: &'a str,
    count: u64,
    mean: Option<f64>,
    p50: Option<f64>,
    p90: Option<f64>,
    p99: Option<f64>,
    p999: Option<f64>,
    min: Option<f64>,
    max: Option<f64>,
    worst_row: Option<String>,
    worst_token: Option<u32>,
}

/// In the order of [`WORST`].
#[derive(Serialize)]
struct Worst<'a> {
    place: String,
    tap: String,
    arm: String,
    metric: &'a str,
    value: f64,
    token: Option<u32>,
    token_text: Option<String>,
    text: String,
}

/// One line per tap, arm, mode and metric.
pub(super) fn measurements(report: &Report) -> Result<Vec<u8>, ReportError> {
    written(
        MEASURED,
        report.measurements.iter().map(|m| Measured {
            tap: m.tap.to_string(),
            arm: m.arm.to_string(),
            mode: format!("{:?}", m.mode).to_lowercase(),
            metric: &m.metric,
            count: m.count,
            mean: m.mean,
            p50: m.p50,
            p90: m.p90,
            p99: m.p99,
            p999: m.p999,
            min: m.min,
            max: m.max,
            worst_row: m.worst.as_ref().map(|w| w.row.to_string()),
            worst_token: m.worst.as_ref().and_then(|w| w.token),
        }),
    )
}

/// One line per row that is among the worst, the worst first.
pub(super) fn worst_rows(report: &Report) -> Result<Vec<u8>, ReportError> {
    written(
        WORST,
        report.worst_rows.iter().map(|w| Worst {
            place: cell(&w.place),
            tap: w.tap.to_string(),
            arm: w.arm.to_string(),
            metric: &w.metric,
            value: w.value,
            token: w.token,
            token_text: w.token_text.as_deref().map(cell),
            text: cell(&w.text),
        }),
    )
}

/// Text that others wrote, as text.
fn cell(text: &str) -> String {
    let text = plain(text, TEXT);
    if text.starts_with(FORMULA) { format!("'{text}") } else { text }
}

/// A header, also where there are no rows; the writer refuses a line of another length.
fn written(header: &[&str], rows: impl Iterator<Item = impl Serialize>) -> Result<Vec<u8>, ReportError> {
    let failed = |e: ::csv::Error| ReportError::Render { format: "csv", message: e.to_string() };
    let mut out = ::csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    out.write_record(header).map_err(failed)?;
    for row in rows {
        out.serialize(row).map_err(failed)?;
    }
    out.into_inner().map_err(|e| ReportError::Render { format: "csv", message: e.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn lines(csv: Vec<u8>) -> Vec<::csv::StringRecord> {
        ::csv::ReaderBuilder::new().has_headers(false).from_reader(&csv[..]).records().map(Result::unwrap).collect()
    }

    #[test]
    fn every_measurement_is_a_line_and_reads_back_to_the_bit() {
        let report = sample::failing();
        let lines = lines(measurements(&report).unwrap());
        assert_eq!(lines.len(), report.measurements.len() + 1);
        assert_eq!(&lines[0][8], "p99");
        for (line, m) in lines[1..].iter().zip(&report.measurements) {
            assert_eq!((&line[0], &line[3]), (m.tap.to_string().as_str(), m.metric.as_str()));
            assert_eq!(line[8].parse::<f64>().ok().map(f64::to_bits), m.p99.map(f64::to_bits));
        }
    }

    #[test]
    fn texts_are_quoted_and_are_no_formulas() {
        let mut report = sample::failing();
        report.worst_rows[0].text = "=HYPERLINK(\"http://x\"), \"two\"\nlines\u{1b}[31m".to_owned();
        report.worst_rows[0].place = "@a,b.txt:1".to_owned();
        let lines = lines(worst_rows(&report).unwrap());
        assert_eq!(lines.len(), report.worst_rows.len() + 1);
        assert_eq!(&lines[1][0], "'@a,b.txt:1");
        assert!(lines[1][7].starts_with("'=HYPERLINK(\"http://x\"), \"two\"\\nlines\\u{1b}"), "{:?}", lines[1]);
        assert_eq!(lines[1][4].parse::<f64>().unwrap(), report.worst_rows[0].value);
    }

    #[test]
    fn a_report_without_rows_has_a_header_all_the_same() {
        let mut report = sample::failing();
        report.worst_rows.clear();
        assert_eq!(worst_rows(&report).unwrap(), b"place,tap,arm,metric,value,token,token_text,text\n");
    }
}
