//! A file of labels, whole and bounded.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::LabelError;
use crate::checkpoint::sha256_hex;
use crate::corpus::SourceRecord;

/// No set of labels comes near this: BEIR's largest corpus within memory, MS MARCO, is three times as large, and is
/// searched by an index, not by every pair.
const LARGEST: u64 = 1 << 30;

/// The text of a file, and what stands for it in a report (`rows` is left to the caller).
pub(super) fn read(path: &Path) -> Result<(String, SourceRecord), LabelError> {
    let io = |source| LabelError::Io { file: path.to_owned(), source };
    let refused = |reason: String| LabelError::File { file: path.to_owned(), reason };
    let meta = std::fs::metadata(path).map_err(io)?;
    if !meta.is_file() {
        return Err(refused("is not a regular file".to_owned()));
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(io)?.take(LARGEST + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > LARGEST {
        return Err(refused(format!("is larger than {LARGEST} bytes; give a sample of it")));
    }
    let record = SourceRecord {
        file: path.display().to_string(),
        sha256: sha256_hex(&bytes),
        rows: 0,
        bytes: bytes.len() as u64,
    };
    let text = String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        let line = 1 + e.as_bytes()[..at].iter().filter(|b| **b == b'\n').count() as u64;
        LabelError::Line { file: path.to_owned(), line, reason: "is not UTF-8".to_owned() }
    })?;
    let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
    Ok((text, record))
}
