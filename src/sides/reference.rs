//! What a `REF` argument points at: an `.onnx` file or a model folder, and the files beside it.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::configs;
use crate::Error;
use crate::checkpoint::{ModelConfig, ModelFolder};

/// Where a folder keeps its ONNX file, in order of preference (Hugging Face and Optimum layouts).
pub(crate) const ONNX_PLACES: &[&str] = &["model.onnx", "onnx/model.onnx"];

/// Bytes compared at a time.
const CHUNK: usize = 1 << 20;

/// A resolved reference.
#[derive(Debug)]
pub struct Reference {
    /// The ONNX file.
    pub onnx: PathBuf,
    /// The folder with tokenizer.json and config.json, when there is one.
    pub folder: Option<ModelFolder>,
}

impl Reference {
    /// Finds the ONNX file of `path` and the model folder it belongs to.
    ///
    /// # Errors
    /// [`Error::BadInput`] naming what is missing and where it was looked for.
    pub fn resolve(path: &Path) -> Result<Self, Error> {
        let shown = path.display();
        let meta = std::fs::metadata(path).map_err(|e| Error::BadInput(format!("reference {shown}: {e}")))?;
        if meta.is_dir() {
            let folder = ModelFolder::open(path)?;
            let mut there = Vec::new();
            for place in ONNX_PLACES {
                let same = |other: &&str| same_bytes(&path.join(other), &path.join(place)).unwrap_or(false);
                if folder.exists(place)? && !there.iter().any(same) {
                    there.push(*place);
                }
            }
            return match there.as_slice() {
                [] => {
                    let places = ONNX_PLACES.join(" nor ");
                    Err(Error::BadInput(format!("reference {shown}: holds neither {places}")))
                }
                [place] => Ok(Self { onnx: path.join(place), folder: Some(folder) }),
                several => Err(Error::Incomparable(format!(
                    "reference {shown}: holds {}, and loaders differ in which they take; name the file, or take one out",
                    several.join(" and ")
                ))),
            };
        }
        if !meta.is_file() {
            return Err(Error::BadInput(format!("reference {shown}: is neither a file nor a folder")));
        }
        Ok(Self { onnx: path.to_owned(), folder: Self::folder_of(path)? })
    }

    /// The folder an ONNX file belongs to: the one it lies in, or the one above an `onnx` folder.
    fn folder_of(onnx: &Path) -> Result<Option<ModelFolder>, Error> {
        let parent = onnx.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let above = match parent.file_name() {
            Some(name) if name == "onnx" => parent.parent().filter(|p| !p.as_os_str().is_empty()),
            _ => None,
        };
        for dir in [Some(parent), above].into_iter().flatten() {
            let folder = ModelFolder::open(dir)?;
            if folder.exists("tokenizer.json")? || folder.exists("config.json")? {
                return Ok(Some(folder));
            }
        }
        Ok(None)
    }

    /// config.json beside the ONNX file, if there is one.
    pub(crate) fn config(&self) -> Result<Option<ModelConfig>, Error> {
        let Some(folder) = &self.folder else { return Ok(None) };
        let Some(bytes) = folder.read("config.json")? else { return Ok(None) };
        Ok(Some(configs::parse(&bytes, &format!("{}/config.json", folder.shown()))?))
    }
}

/// True where two files hold the same, or are one.
fn same_bytes(a: &Path, b: &Path) -> std::io::Result<bool> {
    if std::fs::canonicalize(a)? == std::fs::canonicalize(b)? {
        return Ok(true);
    }
    let (mut a, mut b) = (std::fs::File::open(a)?, std::fs::File::open(b)?);
    if a.metadata()?.len() != b.metadata()?.len() {
        return Ok(false);
    }
    let (mut ours, mut theirs) = (vec![0; CHUNK], vec![0; CHUNK]);
    loop {
        let read = a.read(&mut ours)?;
        b.read_exact(&mut theirs[..read])?;
        if read == 0 || ours[..read] != theirs[..read] {
            return Ok(read == 0);
        }
    }
}
