//! A model folder, read safely: no name in a model's own files leads out of it, and everything read is
//! hashed for the report.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};

use super::modules;
use super::modules_error::malformed;
use super::npz::NPZ;
use super::{CheckpointError, ModulesError, Prompts, SentenceFiles, SentenceModules, prompts};
use crate::memory::Memory;

/// Largest file read whole that is not a tensor file.
const MAX_TEXT_BYTES: u64 = 256 << 20;
/// Folders below a model's that are looked into, at most: a link may lead to a whole disk.
const MAX_FOLDERS: usize = 10_000;

/// One file that a run read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputFile {
    /// Name within its folder.
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
    /// sha256 in hexadecimal.
    pub sha256: String,
}

/// A model folder.
#[derive(Debug)]
pub struct ModelFolder {
    shown: String,
    root: PathBuf,
    inputs: RefCell<Vec<InputFile>>,
}

/// Either side of the reader of modules: the folder's own errors pass through.
enum Reading {
    Folder(CheckpointError),
    Modules(ModulesError),
}

impl From<ModulesError> for Reading {
    fn from(e: ModulesError) -> Self {
        Self::Modules(e)
    }
}

impl ModelFolder {
    /// Opens a folder; it need not hold anything yet.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let shown = path.display().to_string();
        let io = |e: std::io::Error| CheckpointError::Io { path: shown.clone(), reason: e.to_string() };
        let root = fs::canonicalize(path).map_err(io)?;
        if !root.is_dir() {
            return Err(CheckpointError::Io { path: shown, reason: "is not a folder".to_owned() });
        }
        Ok(Self { shown, root, inputs: RefCell::default() })
    }

    /// As the user named it.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The canonical path.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Every file read so far.
    pub fn inputs(&self) -> Vec<InputFile> {
        self.inputs.borrow().clone()
    }

    /// sha256 of the encoder's own tensor files read so far: those of modules behind it lie in folders of their own.
    pub fn weight_files(&self) -> Vec<String> {
        let inputs = self.inputs.borrow();
        let own = |i: &&InputFile| (i.name.ends_with(".safetensors") && !i.name.contains('/')) || i.name == NPZ;
        inputs.iter().filter(own).map(|i| i.sha256.clone()).collect()
    }

    /// The canonical path of a file of this folder, none if it is not there.
    ///
    /// The target of a link must lie in the folder, or, as in the Hugging Face cache
    /// (`snapshots/REV/file -> ../../blobs/HASH`), in the blob store of the same repository.
    pub fn locate(&self, name: &str) -> Result<Option<PathBuf>, CheckpointError> {
        let refuse = |reason: &str| CheckpointError::Unsafe {
            folder: self.shown.clone(),
            name: name.to_owned(),
            reason: reason.to_owned(),
        };
        let relative = Path::new(name);
        if name.is_empty()
            || name.contains(['\0', '\\'])
            || !relative.components().all(|c| matches!(c, Component::Normal(_)))
        {
            return Err(refuse("it is not a plain name inside the folder"));
        }
        let joined = self.root.join(relative);
        if fs::symlink_metadata(&joined).is_err() {
            return Ok(None);
        }
        let target = fs::canonicalize(&joined).map_err(|e| refuse(&format!("its target cannot be read ({e})")))?;
        if !target.starts_with(&self.root) && !self.blobs().is_some_and(|blobs| target.starts_with(blobs)) {
            return Err(refuse("it leads out of the folder; copy the files there (cp -rL)"));
        }
        let meta = fs::metadata(&target).map_err(|e| refuse(&e.to_string()))?;
        if !meta.is_file() {
            return Err(refuse("it is not a regular file"));
        }
        Ok(Some(target))
    }

    fn blobs(&self) -> Option<PathBuf> {
        let snapshots = self.root.parent()?;
        (snapshots.file_name()? == "snapshots").then(|| snapshots.parent().map(|repo| repo.join("blobs"))).flatten()
    }

    /// True when the file is there.
    pub fn exists(&self, name: &str) -> Result<bool, CheckpointError> {
        Ok(self.locate(name)?.is_some())
    }

    /// A small file's bytes, none if it is not there.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, CheckpointError> {
        Ok(self.read_up_to(name, MAX_TEXT_BYTES)?.map(Memory::into_vec))
    }

    /// A small file's bytes.
    pub fn require(&self, name: &str) -> Result<Vec<u8>, CheckpointError> {
        self.read(name)?.ok_or_else(|| CheckpointError::Absent { folder: self.shown.clone(), name: name.to_owned() })
    }

    /// A file's bytes up to a size, none if it is not there.
    pub(super) fn read_up_to(&self, name: &str, limit: u64) -> Result<Option<Memory<u8>>, CheckpointError> {
        let Some(path) = self.locate(name)? else { return Ok(None) };
        let file_name = format!("{}/{name}", self.shown);
        let io = |e: std::io::Error| CheckpointError::Io { path: file_name.clone(), reason: e.to_string() };
        let mut file = fs::File::open(&path).map_err(io)?;
        let size = file.metadata().map_err(io)?.len();
        if size > limit {
            let reason = format!("has {size} bytes, more than the {limit} such a file may have");
            return Err(CheckpointError::Malformed { file: file_name, reason });
        }
        let mut bytes = Memory::zeroed(usize::try_from(size).unwrap_or(usize::MAX)).map_err(io)?;
        // A file that grows or shrinks under our hands is caught, not followed.
        let whole = match file.read_exact(&mut bytes) {
            Ok(()) => file.read(&mut [0]).map_err(io)? == 0,
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => false,
            Err(e) => return Err(io(e)),
        };
        if !whole {
            let reason = "changed while it was read".to_owned();
            return Err(CheckpointError::Malformed { file: file_name, reason });
        }
        let mut inputs = self.inputs.borrow_mut();
        if !inputs.iter().any(|i| i.name == name) {
            inputs.push(InputFile { name: name.to_owned(), bytes: size, sha256: sha256_hex(&bytes) });
        }
        Ok(Some(bytes))
    }

    /// What follows the encoder, where the folder states it.
    pub fn sentence_modules(&self) -> Result<Option<SentenceModules>, CheckpointError> {
        SentenceModules::read(|name| self.read(name).map_err(Reading::Folder)).map_err(|e| self.told(e))
    }

    /// A small file's JSON object, none if the file is not there.
    pub fn json_object(
        &self,
        name: &str,
    ) -> Result<Option<serde_json::Map<String, serde_json::Value>>, CheckpointError> {
        let Some(bytes) = self.read(name)? else { return Ok(None) };
        let malformed = |reason| CheckpointError::Malformed { file: format!("{}/{name}", self.shown), reason };
        match serde_json::from_slice(&bytes) {
            Ok(serde_json::Value::Object(map)) => Ok(Some(map)),
            Ok(_) => Err(malformed("is not a JSON object".to_owned())),
            Err(e) => Err(malformed(format!("is not JSON: {e}"))),
        }
    }

    /// The transformer module's own settings (`sentence_bert_config.json` or an older name): the file, and what it says.
    pub(crate) fn sentence_config(&self) -> Result<Option<modules::Settings>, CheckpointError> {
        modules::sentence_config(|name| self.read(name).map_err(Reading::Folder)).map_err(|e| self.told(e))
    }

    /// What the folder's files say of sentences, part by part.
    pub fn sentence_files(&self) -> Result<SentenceFiles, CheckpointError> {
        SentenceFiles::read(|name| self.read(name).map_err(Reading::Folder)).map_err(|e| self.told(e))
    }

    /// What is put before a sentence, where the folder states it.
    pub fn prompts(&self) -> Result<Option<Prompts>, CheckpointError> {
        let Some(bytes) = self.read(prompts::FILE)? else { return Ok(None) };
        let parsed = serde_json::from_slice(&bytes)
            .map_err(|e| malformed(prompts::FILE, format!("not JSON: {e}")))
            .and_then(|value| Prompts::parse(&value));
        parsed.map(Some).map_err(|e| self.told(e.into()))
    }

    fn told(&self, e: Reading) -> CheckpointError {
        match e {
            Reading::Folder(e) => e,
            Reading::Modules(source) => CheckpointError::Modules { folder: self.shown.clone(), source },
        }
    }

    /// Names directly in the folder, sorted.
    pub fn names(&self) -> Result<Vec<String>, CheckpointError> {
        let io = |e: std::io::Error| CheckpointError::Io { path: self.shown.clone(), reason: e.to_string() };
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(io)? {
            if let Ok(name) = entry.map_err(io)?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Tensor files in the folder and below it, of any name, that nothing has read so far.
    ///
    /// # Errors
    /// As the listing of any folder.
    pub fn unread_tensor_files(&self) -> Result<Vec<String>, CheckpointError> {
        let mut found = self.names_below(|name| name.ends_with(".safetensors"), true)?;
        let inputs = self.inputs.borrow();
        found.retain(|file| inputs.iter().all(|read| read.name != *file));
        Ok(found)
    }

    /// The tensor files that mlx-embeddings loads, by name alone (`glob("**/model*.safetensors")`, and where that finds
    /// nothing `glob("weight*.safetensors")`), sorted.
    ///
    /// # Errors
    /// As the listing of any folder.
    pub fn globbed_tensor_files(&self) -> Result<Vec<String>, CheckpointError> {
        let models = self.names_below(|name| name.starts_with("model") && name.ends_with(".safetensors"), false)?;
        if !models.is_empty() {
            return Ok(models);
        }
        let mut older = self.names()?;
        older.retain(|name| name.starts_with("weight") && name.ends_with(".safetensors"));
        Ok(older)
    }

    /// Files in the folder and in every folder below it whose own name is `wanted`, as paths within the folder, sorted.
    /// Links to folders are followed, as `glob("**")` follows them, each folder once; hidden ones only if asked for.
    ///
    /// # Errors
    /// A folder that cannot be listed, or more than [`MAX_FOLDERS`] of them.
    pub(super) fn names_below(&self, wanted: fn(&str) -> bool, hidden: bool) -> Result<Vec<String>, CheckpointError> {
        let failed = |reason: String| CheckpointError::Io { path: self.shown.clone(), reason };
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        let mut left = vec![String::new()];
        while let Some(folder) = left.pop() {
            let path = self.root.join(&folder);
            // What we may not look into, no loader of the same user reads.
            let Ok(real) = fs::canonicalize(&path) else { continue };
            if !seen.insert(real) {
                continue;
            }
            if seen.len() > MAX_FOLDERS {
                return Err(failed(format!("holds more than {MAX_FOLDERS} folders")));
            }
            let entries = match fs::read_dir(&path) {
                Err(_) if !folder.is_empty() => continue,
                entries => entries.map_err(|e| failed(e.to_string()))?,
            };
            for entry in entries {
                let entry = entry.map_err(|e| failed(e.to_string()))?;
                let Ok(name) = entry.file_name().into_string() else { continue };
                let inside = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
                if entry.path().is_dir() {
                    left.extend((hidden || !name.starts_with('.')).then_some(inside));
                } else if wanted(&name) {
                    found.push(inside);
                }
            }
        }
        found.sort();
        Ok(found)
    }
}

/// sha256 in lower-case hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn nothing_leads_out_of_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let model = dir.path().join("model");
        fs::create_dir_all(model.join("sub")).unwrap();
        fs::write(dir.path().join("secret.json"), "{}").unwrap();
        fs::write(model.join("sub/a.json"), "{}").unwrap();
        symlink("../secret.json", model.join("out.json")).unwrap();
        symlink("sub/a.json", model.join("in.json")).unwrap();
        symlink("loop.json", model.join("loop.json")).unwrap();
        symlink("nowhere", model.join("dangling.json")).unwrap();
        let folder = ModelFolder::open(&model).unwrap();
        assert_eq!(folder.require("in.json").unwrap(), b"{}");
        assert_eq!(folder.require("sub/a.json").unwrap(), b"{}");
        assert_eq!(folder.read("none.json").unwrap(), None);
        let long = "a/".repeat(5000);
        for name in [
            "out.json",
            "../secret.json",
            "sub/../../secret.json",
            "/etc/passwd",
            "",
            "a\0b",
            "..",
            "sub",
            "loop.json",
            "dangling.json",
            "a\\b",
        ] {
            assert!(folder.read(name).is_err(), "{name}");
        }
        let _ = folder.read(&long);
        assert_eq!(folder.inputs().len(), 2);
    }

    #[test]
    fn a_hugging_face_snapshot_reads_its_own_blobs_only() {
        let dir = tempfile::tempdir().unwrap();
        let repo = dir.path().join("models--a--b");
        let snapshot = repo.join("snapshots/rev");
        fs::create_dir_all(&snapshot).unwrap();
        fs::create_dir_all(repo.join("blobs")).unwrap();
        fs::write(repo.join("blobs/h"), "{}").unwrap();
        fs::write(dir.path().join("other"), "{}").unwrap();
        symlink("../../blobs/h", snapshot.join("config.json")).unwrap();
        symlink("../../../other", snapshot.join("other.json")).unwrap();
        let folder = ModelFolder::open(&snapshot).unwrap();
        assert!(folder.exists("config.json").unwrap());
        assert!(folder.exists("other.json").is_err());
    }

    #[test]
    fn names_are_found_below_and_through_links_once_but_not_in_hidden_folders() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(outside.path().join("model.y"), "").unwrap();
        symlink(outside.path(), dir.path().join("linked")).unwrap();
        for folder in ["a/b/c/d", ".hidden"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        for file in ["model.x", "other.x", "a/model.x", "a/b/c/model.x", "a/b/c/d/model.x", ".hidden/model.x"] {
            fs::write(dir.path().join(file), "").unwrap();
        }
        symlink(dir.path(), dir.path().join("a/round")).unwrap();
        let folder = ModelFolder::open(dir.path()).unwrap();
        let found = folder.names_below(|n| n.starts_with("model"), false).unwrap();
        assert_eq!(found, ["a/b/c/d/model.x", "a/b/c/model.x", "a/model.x", "linked/model.y", "model.x"]);
    }
}
