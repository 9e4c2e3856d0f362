//! Rows with named columns: tab- or comma-separated with a header, or JSON lines.

use std::path::Path;

use serde_json::Value;

use super::LabelError;

/// A column, under any of the names that public data sets give it, in small letters.
pub(super) type Column = &'static [&'static str];

/// One row: its line, from 1, and the text of each column asked for.
pub(super) type Row = (u64, Vec<String>);

/// Most rows: a row of a few bytes takes many times as much memory.
pub(super) const MOST: usize = 1_000_000;

/// How a file is split into rows.
enum Kind {
    /// By this byte; quotes mean something.
    Separated(u8, bool),
    Json,
}

fn kind(path: &Path) -> Result<Kind, LabelError> {
    let name = path.to_string_lossy().to_lowercase();
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        // STS-B and its kin hold quotes as they are.
        Some("tsv") => Ok(Kind::Separated(b'\t', false)),
        Some("csv") => Ok(Kind::Separated(b',', true)),
        Some("jsonl" | "ndjson") => Ok(Kind::Json),
        _ => Err(LabelError::File {
            file: path.to_owned(),
            reason: "unknown kind of file; parallax reads .tsv, .csv and .jsonl".to_owned(),
        }),
    }
}

/// The columns asked for of every row that is not empty. A column that is `optional` is empty where it is missing.
pub(super) fn rows(path: &Path, text: &str, columns: &[Column], optional: &[bool]) -> Result<Vec<Row>, LabelError> {
    let error = |line: u64, reason: String| LabelError::Line { file: path.to_owned(), line, reason };
    match kind(path)? {
        Kind::Json => {
            let lines = (1u64..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
            let row = |(at, line): (u64, &str)| {
                json(line, columns, optional).map(|row| (at, row)).map_err(|reason| error(at, reason))
            };
            let all: Vec<Row> = lines.take(MOST + 1).map(row).collect::<Result<_, _>>()?;
            few(path, all)
        }
        Kind::Separated(by, quoting) => {
            let mut reader = csv::ReaderBuilder::new().delimiter(by).quoting(quoting).from_reader(text.as_bytes());
            let malformed = |e: csv::Error| {
                let line = e.position().map_or(1, csv::Position::line);
                error(line, one_line(&e.to_string()))
            };
            let header: Vec<String> =
                reader.headers().map_err(malformed)?.iter().map(|h| h.trim().to_lowercase()).collect();
            let find =
                |(names, optional): (&Column, &bool)| match header.iter().position(|h| names.contains(&h.as_str())) {
                    None if !optional => Err(error(1, lacking(names, &header))),
                    at => Ok(at),
                };
            let at: Vec<Option<usize>> = columns.iter().zip(optional).map(find).collect::<Result<_, _>>()?;
            let mut out = Vec::new();
            for record in reader.records().take(MOST + 1) {
                let record = record.map_err(malformed)?;
                let line = record.position().map_or(0, csv::Position::line);
                let field = |at: &Option<usize>| at.and_then(|at| record.get(at)).unwrap_or_default().to_owned();
                out.push((line, at.iter().map(field).collect()));
            }
            few(path, out)
        }
    }
}

fn few(path: &Path, rows: Vec<Row>) -> Result<Vec<Row>, LabelError> {
    if rows.len() <= MOST {
        return Ok(rows);
    }
    let reason = format!("has more than {MOST} rows; give a sample of them");
    Err(LabelError::File { file: path.to_owned(), reason })
}

fn lacking(names: &[&str], found: &[String]) -> String {
    let found: Vec<String> = found.iter().take(8).map(|f| f.escape_debug().take(40).collect()).collect();
    format!("the first line names no column {}; it names {}", names.join(" or "), found.join(", "))
}

fn json(line: &str, columns: &[Column], optional: &[bool]) -> Result<Vec<String>, String> {
    let value: Value = serde_json::from_str(line).map_err(|e| format!("is not JSON: {e}"))?;
    let Value::Object(object) = value else { return Err("is not a JSON object".to_owned()) };
    let field = |(names, optional): (&Column, &bool)| {
        let found = object.iter().find(|(key, _)| names.contains(&key.to_lowercase().as_str())).map(|(_, value)| value);
        match found {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(Value::Number(number)) => Ok(number.to_string()),
            None | Some(Value::Null) if *optional => Ok(String::new()),
            Some(_) => Err(format!("field {} is neither text nor a number", names.join(" or "))),
            None => Err(format!("has no field {}", names.join(" or "))),
        }
    };
    columns.iter().zip(optional).map(field).collect()
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}
