//! Rows from files, streamed: one line in memory at a time.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{CorpusError, CorpusOptions, Format, InvalidUtf8, UniqueCounter, format_of};

/// One row of the corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorpusRow {
    /// Its number over all files, from 0, counting rows only.
    pub index: u64,
    /// Which file, as an index into [`CorpusOptions::files`].
    pub source: usize,
    /// Line within the file, from 1.
    pub line: u64,
    /// The text.
    pub text: String,
}

/// What was met on the way.
#[derive(Clone, Debug, Default)]
pub struct CorpusCounts {
    /// Rows handed out.
    pub rows: u64,
    /// Lines without text.
    pub empty_lines: u64,
    /// Rows whose bytes were not UTF-8 (skipped or repaired, as told).
    pub invalid_utf8: u64,
    /// Different rows.
    pub unique: UniqueCounter,
}

/// A file that has been read to its end (or to the row limit).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SourceRecord {
    /// As the user named it.
    pub file: String,
    /// SHA-256 of the bytes read, lower-case hexadecimal.
    pub sha256: String,
    /// Rows taken from it.
    pub rows: u64,
    /// Bytes read.
    pub bytes: u64,
}

/// A reader that hashes what passes through.
struct Hashed<R> {
    inner: R,
    hasher: Sha256,
    bytes: u64,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.hasher.update(&buf[..n]);
        self.bytes += n as u64;
        Ok(n)
    }
}

struct OpenSource {
    reader: BufReader<Hashed<Box<dyn Read>>>,
    format: &'static Format,
    line: u64,
    rows: u64,
}

/// The corpus as an iterator of rows, with its counts beside it.
pub struct Corpus {
    options: CorpusOptions,
    next_source: usize,
    open: Option<OpenSource>,
    counts: CorpusCounts,
    finished: Vec<SourceRecord>,
}

impl Corpus {
    /// Checks that every file is there and of a known kind before the first row is read.
    pub fn open(options: CorpusOptions) -> Result<Self, CorpusError> {
        for file in &options.files {
            format_of(file, options.field.as_deref())?;
            if file.as_os_str() != "-" {
                let meta = std::fs::metadata(file).map_err(|source| CorpusError::Io { file: file.clone(), source })?;
                if !meta.is_file() {
                    return Err(CorpusError::NotAFile { file: file.clone() });
                }
            }
        }
        Ok(Self { options, next_source: 0, open: None, counts: CorpusCounts::default(), finished: Vec::new() })
    }

    /// What was met so far.
    pub fn counts(&self) -> &CorpusCounts {
        &self.counts
    }

    /// Files read so far.
    pub fn sources(&self) -> &[SourceRecord] {
        &self.finished
    }

    /// The next row, or none at the end.
    pub fn next_row(&mut self) -> Result<Option<CorpusRow>, CorpusError> {
        loop {
            if self.options.limit.is_some_and(|n| self.counts.rows >= n) {
                self.close();
                return Ok(None);
            }
            if self.open.is_none() && !self.open_next()? {
                return Ok(None);
            }
            let source = self.next_source - 1;
            let Some((line, bytes)) = self.read_line(source)? else {
                self.close();
                continue;
            };
            let Some(text) = self.decode(source, line, bytes)? else { continue };
            if text.trim().is_empty() {
                self.counts.empty_lines += 1;
                continue;
            }
            let index = self.counts.rows;
            self.counts.rows += 1;
            self.counts.unique.see(&text);
            if let Some(open) = &mut self.open {
                open.rows += 1;
            }
            return Ok(Some(CorpusRow { index, source, line, text }));
        }
    }

    fn file(&self, source: usize) -> PathBuf {
        self.options.files[source].clone()
    }

    fn open_next(&mut self) -> Result<bool, CorpusError> {
        let Some(file) = self.options.files.get(self.next_source).cloned() else { return Ok(false) };
        let format = format_of(&file, self.options.field.as_deref())?;
        let inner: Box<dyn Read> = if file.as_os_str() == "-" {
            Box::new(io::stdin())
        } else {
            Box::new(File::open(&file).map_err(|source| CorpusError::Io { file, source })?)
        };
        let reader = BufReader::new(Hashed { inner, hasher: Sha256::new(), bytes: 0 });
        self.open = Some(OpenSource { reader, format, line: 0, rows: 0 });
        self.next_source += 1;
        Ok(true)
    }

    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            let file = self.file(self.next_source - 1).display().to_string();
            let hashed = open.reader.into_inner();
            let sha256 = format!("{:x}", HexDigest(hashed.hasher.finalize().as_slice()));
            self.finished.push(SourceRecord { file, rows: open.rows, sha256, bytes: hashed.bytes });
        }
    }

    /// One line without its ending, never more than the limit in memory.
    fn read_line(&mut self, source: usize) -> Result<Option<(u64, Vec<u8>)>, CorpusError> {
        let limit = self.options.max_line_bytes;
        let Some(open) = &mut self.open else { return Ok(None) };
        let mut bytes = Vec::new();
        // Two more than the limit: room for a line ending.
        let read = (&mut open.reader).take(limit as u64 + 2).read_until(b'\n', &mut bytes);
        let n = match read {
            Ok(n) => n,
            Err(e) => return Err(CorpusError::Io { file: self.file(source), source: e }),
        };
        if n == 0 {
            return Ok(None);
        }
        open.line += 1;
        let line = open.line;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        }
        if bytes.len() > limit {
            return Err(CorpusError::LineTooLong { file: self.file(source), line, limit });
        }
        if line == 1 && bytes.starts_with(b"\xef\xbb\xbf") {
            bytes.drain(..3);
        }
        Ok(Some((line, bytes)))
    }

    /// The row's text, or none when the row is left out.
    fn decode(&mut self, source: usize, line: u64, bytes: Vec<u8>) -> Result<Option<String>, CorpusError> {
        let line_text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(e) => match self.options.invalid_utf8 {
                InvalidUtf8::Refuse => {
                    let byte = e.utf8_error().valid_up_to();
                    return Err(CorpusError::Utf8 { file: self.file(source), line, byte });
                }
                InvalidUtf8::Skip => {
                    self.counts.invalid_utf8 += 1;
                    return Ok(None);
                }
                InvalidUtf8::Replace => {
                    self.counts.invalid_utf8 += 1;
                    String::from_utf8_lossy(e.as_bytes()).into_owned()
                }
            },
        };
        let Some(open) = &self.open else { return Ok(None) };
        (open.format.text)(&line_text, self.options.field.as_deref()).map(Some).map_err(|reason| CorpusError::Line {
            file: self.file(source),
            line,
            reason,
        })
    }
}

/// Line endings of a regular file; none for anything else.
pub(super) fn count_lines(file: &std::path::Path) -> Option<u64> {
    if file.as_os_str() == "-" {
        return None;
    }
    let mut reader = BufReader::with_capacity(1 << 16, File::open(file).ok()?);
    let mut count = 0;
    loop {
        let buffer = reader.fill_buf().ok()?;
        if buffer.is_empty() {
            return Some(count);
        }
        count += buffer.iter().filter(|b| **b == b'\n').count() as u64;
        let n = buffer.len();
        reader.consume(n);
    }
}

/// Writes bytes as lower-case hexadecimal.
struct HexDigest<'a>(&'a [u8]);

impl std::fmt::LowerHex for HexDigest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn corpus(name: &str, bytes: &[u8], tune: impl FnOnce(&mut CorpusOptions)) -> (tempfile::TempDir, Corpus) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(name);
        File::create(&file).unwrap().write_all(bytes).unwrap();
        let mut options = CorpusOptions { files: vec![file], ..CorpusOptions::default() };
        tune(&mut options);
        let corpus = Corpus::open(options).unwrap();
        (dir, corpus)
    }

    fn all(corpus: &mut Corpus) -> Result<Vec<String>, CorpusError> {
        let mut out = Vec::new();
        while let Some(row) = corpus.next_row()? {
            assert_eq!(row.index as usize, out.len());
            out.push(row.text);
        }
        Ok(out)
    }

    #[test]
    fn bom_crlf_empty_lines_and_a_missing_last_newline() {
        let (_dir, mut c) = corpus("a.txt", b"\xef\xbb\xbfone\r\n\r\n  \ntwo\nthree", |_| {});
        assert_eq!(all(&mut c).unwrap(), ["one", "two", "three"]);
        assert_eq!((c.counts().rows, c.counts().empty_lines), (3, 2));
        assert_eq!(c.sources()[0].bytes, 22);
        assert_eq!(c.sources()[0].rows, 3);
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused_or_counted() {
        let bytes = b"ok\nb\xffd\nend\n";
        let (_d, mut c) = corpus("a.txt", bytes, |_| {});
        let message = all(&mut c).unwrap_err().to_string();
        assert!(message.contains(":2: is not UTF-8 (byte 1"), "{message}");
        let (_d, mut c) = corpus("a.txt", bytes, |o| o.invalid_utf8 = InvalidUtf8::Skip);
        assert_eq!(all(&mut c).unwrap(), ["ok", "end"]);
        assert_eq!(c.counts().invalid_utf8, 1);
        let (_d, mut c) = corpus("a.txt", bytes, |o| o.invalid_utf8 = InvalidUtf8::Replace);
        assert_eq!(all(&mut c).unwrap(), ["ok", "b\u{fffd}d", "end"]);
        assert_eq!(c.counts().invalid_utf8, 1);
    }

    #[test]
    fn a_line_over_the_limit_is_named_and_never_held() {
        let (_d, mut c) = corpus("a.txt", b"1234\n12345\n", |o| o.max_line_bytes = 4);
        assert!(all(&mut c).unwrap_err().to_string().contains(":2: line is longer than 4 bytes"));
        let (_d, mut c) = corpus("a.txt", b"1234\r\n1234", |o| o.max_line_bytes = 4);
        assert_eq!(all(&mut c).unwrap().len(), 2);
    }

    #[test]
    fn json_lines_limits_unknown_kinds_and_directories() {
        let (_d, mut c) =
            corpus("a.jsonl", b"{\"text\":\"a\"}\n{\"text\":\"\"}\n{\"text\":\"b\"}\n", |o| o.limit = Some(1));
        assert_eq!(all(&mut c).unwrap(), ["a"]);
        assert_eq!(c.sources().len(), 1);
        let (dir, mut c) = corpus("a.jsonl", b"{\"text\":\"a\"}\n{}\n", |_| {});
        assert!(all(&mut c).unwrap_err().to_string().contains("a.jsonl:2: has none of the fields"));
        let open = |p: PathBuf| Corpus::open(CorpusOptions { files: vec![p], ..CorpusOptions::default() });
        assert!(matches!(open(dir.path().join("a.docx")), Err(CorpusError::Format { .. })));
        assert!(matches!(open(dir.path().join("no.txt")), Err(CorpusError::Io { .. })));
        std::fs::create_dir(dir.path().join("d.txt")).unwrap();
        assert!(matches!(open(dir.path().join("d.txt")), Err(CorpusError::NotAFile { .. })));
    }
}
