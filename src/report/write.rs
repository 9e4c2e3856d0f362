//! Reports on disk: whole or not at all.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::{RENDERERS, Report, ReportError};

/// The file that holds the verdict, and whose presence says that all files are there.
const VERDICT_FILE: &str = "report.json";

/// A directory that was seen to be writable.
#[derive(Clone, Debug)]
pub struct OutputDir {
    path: PathBuf,
}

impl OutputDir {
    /// Creates the directory if it is missing and proves, before any work is done, that a file can be
    /// written there.
    pub fn probe(path: impl AsRef<Path>) -> Result<Self, ReportError> {
        let path = path.as_ref().to_path_buf();
        let refused = |e: std::io::Error| ReportError::Directory {
            path: path.clone(),
            message: e.to_string().replace('\n', " "),
        };
        std::fs::create_dir_all(&path).map_err(refused)?;
        let mut probe = tempfile::Builder::new().prefix(".parallax-").tempfile_in(&path).map_err(refused)?;
        probe.write_all(b"probe").and_then(|()| probe.flush()).map_err(refused)?;
        probe.close().map_err(refused)?;
        Ok(Self { path })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the files of an earlier run, the verdict first. A run that then dies leaves none, instead of some that a
    /// pipeline or a dashboard would read as its own.
    pub fn retract(&self) -> Result<(), ReportError> {
        let others = RENDERERS.iter().filter_map(|r| r.file_name).filter(|name| *name != VERDICT_FILE);
        for path in std::iter::once(VERDICT_FILE).chain(others).map(|name| self.path.join(name)) {
            match std::fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(ReportError::Write { path, message: e.to_string().replace('\n', " ") });
                }
                _ => (),
            }
        }
        Ok(())
    }

    /// Writes every format, each to a temporary file that is then renamed, and `report.json` last;
    /// earlier ones are removed first. So where it exists, the others belong to it. Returns the paths in
    /// the order of [`RENDERERS`].
    pub fn write_all(&self, report: &Report) -> Result<Vec<PathBuf>, ReportError> {
        // Everything is rendered before anything is replaced, so that a failure to render leaves the old files.
        let mut files = Vec::new();
        for renderer in RENDERERS {
            if let Some(name) = renderer.file_name {
                files.push((name, (renderer.render)(report)?));
            }
        }
        self.retract()?;
        let is_last = |name: &str| name == VERDICT_FILE;
        for (name, bytes) in files.iter().filter(|(n, _)| !is_last(n)).chain(files.iter().filter(|(n, _)| is_last(n))) {
            self.write(name, bytes)?;
        }
        Ok(files.iter().map(|(name, _)| self.path.join(name)).collect())
    }

    /// Writes one file whole.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, ReportError> {
        let path = self.path.join(name);
        let failed =
            |e: std::io::Error| ReportError::Write { path: path.clone(), message: e.to_string().replace('\n', " ") };
        let mut file = tempfile::Builder::new().prefix(".parallax-").tempfile_in(&self.path).map_err(failed)?;
        file.write_all(bytes).map_err(failed)?;
        open_to_readers(file.as_file()).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(&path).map_err(|e| failed(e.error))?;
        Ok(path)
    }
}

/// Temporary files are private; a report is for the CI job's other users too.
#[cfg(unix)]
fn open_to_readers(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn open_to_readers(_: &std::fs::File) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Fault;
    use crate::report::sample;

    #[test]
    fn a_path_below_a_file_is_refused_before_work_starts() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, b"x").unwrap();
        for path in [file.join("out"), file.join("o\nut\u{1b}[2J"), file.clone()] {
            let error = OutputDir::probe(&path).unwrap_err();
            assert_eq!(error.fault(), Fault::Environment);
            assert!(
                error.to_string().starts_with("output directory ") && !error.to_string().contains(['\n', '\u{1b}'])
            );
        }
    }

    #[test]
    fn every_format_is_written_and_nothing_else_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let out = OutputDir::probe(dir.path().join("a/b")).unwrap();
        assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0);
        for _ in 0..2 {
            let paths = out.write_all(&sample::failing()).unwrap();
            let expected = RENDERERS.iter().filter(|r| r.file_name.is_some()).count();
            assert_eq!(paths.len(), expected);
            assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), expected);
        }
        let json = std::fs::read(out.path().join("report.json")).unwrap();
        assert_eq!(Report::from_json(&json).unwrap(), sample::failing());
    }

    #[test]
    fn a_directory_in_the_way_is_an_environment_fault() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("report.md/x")).unwrap();
        std::fs::write(dir.path().join("report.json"), sample::passing().to_json().unwrap()).unwrap();
        let error = OutputDir::probe(dir.path()).unwrap().write_all(&sample::failing()).unwrap_err();
        assert_eq!(error.fault(), Fault::Environment);
        assert!(!dir.path().join("report.json").exists(), "the earlier run's PASS must not stand for this one");
        assert!(
            std::fs::read_dir(dir.path()).unwrap().all(|e| !e
                .unwrap()
                .file_name()
                .as_encoded_bytes()
                .starts_with(b"."))
        );
    }

    #[test]
    fn a_verdict_can_be_retracted_before_work_starts() {
        let dir = tempfile::tempdir().unwrap();
        let out = OutputDir::probe(dir.path()).unwrap();
        out.retract().unwrap();
        out.write_all(&sample::passing()).unwrap();
        out.retract().unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "no file of an earlier run stays");
        std::fs::create_dir(dir.path().join("report.json")).unwrap();
        assert_eq!(out.retract().unwrap_err().fault(), Fault::Environment);
    }
}
