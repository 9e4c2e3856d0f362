//! Finding and loading the ONNX Runtime shared library. It is never linked and never fetched.

use std::cmp::Reverse;
use std::env;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;
use sha2::{Digest, Sha256};

use crate::fault::Fault;

/// Where the library lies inside a Python environment's `lib/python3.*/site-packages`.
const IN_SITE_PACKAGES: &str = "onnxruntime/capi";
/// What a Python calls the folder of its packages; Debian's own Python has another name for it.
const SITE_PACKAGES: &[&str] = &["site-packages", "dist-packages"];
/// Where `scripts/setup` puts it, below the user's cache folder.
const IN_CACHE: &str = "parallax/runtime/onnxruntime/capi";
/// What names the library, before its version.
const PREFIX: &str = "libonnxruntime";

/// Why there is no usable ONNX Runtime.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuntimeError {
    /// Nothing was given and nothing was found.
    #[error(
        "no ONNX Runtime library found ({looked} places searched): run `scripts/setup` or `pip install -U onnxruntime`"
    )]
    NotFound {
        /// Number of places.
        looked: usize,
    },
    /// A place was named and holds no library.
    #[error(
        "{given} `{path}` holds no {PREFIX} library: correct it, run `scripts/setup` or `pip install -U onnxruntime`"
    )]
    Wrong {
        /// What named it: `--ort-lib` or an environment variable.
        given: &'static str,
        /// The place.
        path: String,
    },
    /// There is a file, but it does not load.
    #[error("`{path}` is not a usable ONNX Runtime ({reason}): run `scripts/setup` or `pip install -U onnxruntime`")]
    Unloadable {
        /// The file.
        path: String,
        /// The loader's words, on one line.
        reason: String,
    },
    /// One process holds one library.
    #[error("ONNX Runtime is already loaded from `{loaded}`, `{asked}` cannot be loaded too: pass one --ort-lib")]
    AlreadyLoaded {
        /// The one in use.
        loaded: String,
        /// The other.
        asked: String,
    },
}

impl RuntimeError {
    /// The class of the error.
    pub fn fault(&self) -> Fault {
        Fault::Environment
    }
}

/// Finds the library. In order: `explicit` (a file or a folder), `ORT_DYLIB_PATH`, the Python
/// environment the program was installed into, `VIRTUAL_ENV`, `CONDA_PREFIX`, the user's cache folder.
/// A place named by `explicit` or `ORT_DYLIB_PATH` that is wrong is an error. The current folder is
/// never searched.
pub fn locate(explicit: Option<&Path>) -> Result<PathBuf, RuntimeError> {
    if let Some(path) = explicit {
        return named("--ort-lib", path);
    }
    if let Some(path) = env::var_os("ORT_DYLIB_PATH").filter(|v| !v.is_empty()) {
        return named("ORT_DYLIB_PATH", Path::new(&path));
    }
    let places = places();
    let found = places.iter().find_map(|p| newest_in(p));
    found.ok_or(RuntimeError::NotFound { looked: places.len() })
}

/// A named place must be right.
fn named(given: &'static str, path: &Path) -> Result<PathBuf, RuntimeError> {
    let wrong = || RuntimeError::Wrong { given, path: path.display().to_string() };
    // A bare file name would be searched for on the loader's path and next to the program.
    let path = path.canonicalize().map_err(|_| wrong())?;
    if path.is_dir() {
        let below = [path.clone(), path.join(IN_SITE_PACKAGES), path.join("capi"), path.join("lib")];
        return below.iter().find_map(|p| newest_in(p)).ok_or_else(wrong);
    }
    if path.is_file() { Ok(path) } else { Err(wrong()) }
}

fn places() -> Vec<PathBuf> {
    let var = |name| env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from).filter(|p| p.is_absolute());
    // A link to the program (as `pipx` and `uv tool` make them) lies in no environment; what it leads to does.
    let exe = env::current_exe().and_then(|exe| exe.canonicalize());
    let installed = exe.ok().and_then(|exe| Some(exe.parent()?.parent()?.to_path_buf()));
    let roots = [installed, var("VIRTUAL_ENV"), var("CONDA_PREFIX")];
    let mut places: Vec<PathBuf> = roots.into_iter().flatten().flat_map(|root| in_python(&root)).collect();
    let cache = var("XDG_CACHE_HOME").or_else(|| Some(var("HOME")?.join(".cache")));
    places.extend(cache.map(|c| c.join(IN_CACHE)));
    places
}

/// `lib/python3.*/site-packages/onnxruntime/capi` below a Python environment, newest Python first.
fn in_python(root: &Path) -> Vec<PathBuf> {
    let entries = ["lib", "lib64"].into_iter().filter_map(|lib| std::fs::read_dir(root.join(lib)).ok()).flatten();
    let mut found: Vec<(Vec<u64>, PathBuf)> = entries
        .flatten()
        .filter_map(|e| Some((numbers(e.file_name().to_str()?.strip_prefix("python")?), e.path())))
        .collect();
    found.sort_by_key(|(v, _)| Reverse(v.clone()));
    let packages = |python: &PathBuf| SITE_PACKAGES.iter().map(|s| python.join(s).join(IN_SITE_PACKAGES)).collect();
    found.iter().flat_map(|(_, python)| -> Vec<PathBuf> { packages(python) }).collect()
}

/// The library of the highest version in a folder: `libonnxruntime.so*`, `libonnxruntime.*.dylib`.
fn newest_in(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let libraries = entries.filter_map(|e| {
        let name = e.file_name();
        let rest = name.to_str()?.strip_prefix(PREFIX)?;
        let is_library =
            rest == ".so" || rest.starts_with(".so.") || (rest.starts_with('.') && rest.ends_with(".dylib"));
        (is_library && e.path().is_file()).then(|| (numbers(rest), e.path()))
    });
    libraries.max().map(|(_, path)| path.canonicalize().unwrap_or(path))
}

/// The numbers of a version: `.so.1.32.0` is greater than `.so.1.9.0`.
fn numbers(version: &str) -> Vec<u64> {
    version.split('.').filter_map(|part| part.parse().ok()).collect()
}

/// A loaded ONNX Runtime. Cheap to clone; the library stays for the life of the process.
#[derive(Clone)]
pub struct Runtime {
    path: PathBuf,
    version: String,
    sha256: String,
    environment: Environment,
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Runtime[{} from {}]", self.version, self.path.display())
    }
}

static LOADED: Mutex<Option<Runtime>> = Mutex::new(None);

impl Runtime {
    /// Loads the library at `path`, once per process: the same path again is the same runtime, another
    /// path is an error.
    pub fn load(path: &Path) -> Result<Self, RuntimeError> {
        let unloadable =
            |reason: String| RuntimeError::Unloadable { path: path.display().to_string(), reason: one_line(&reason) };
        let path = path.canonicalize().map_err(|e| unloadable(e.to_string()))?;
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = &*loaded {
            if runtime.path == path {
                return Ok(runtime.clone());
            }
            let (loaded, asked) = (runtime.path.display().to_string(), path.display().to_string());
            return Err(RuntimeError::AlreadyLoaded { loaded, asked });
        }
        let bytes = std::fs::read(&path).map_err(|e| unloadable(e.to_string()))?;
        let sha256 = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        drop(bytes);
        let builder = ort::init_from(&path).map_err(|e| unloadable(e.to_string()))?;
        // Nothing is reported to anybody, and its log is not ours to print.
        let environment = builder.with_telemetry(false).build().map_err(|e| unloadable(e.to_string()))?;
        environment.set_log_level(LogLevel::Fatal);
        let version = version(&path, ort::info());
        let runtime = Self { path, version, sha256, environment };
        *loaded = Some(runtime.clone());
        Ok(runtime)
    }

    /// The library file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its version, `1.32.0`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// SHA-256 of the library file, lower-case hex.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// What sessions are built in.
    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }
}

/// The version in the file's name, else the release branch in the build information.
fn version(path: &Path, info: &str) -> String {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let digits = numbers(name);
    if digits.len() >= 3 {
        return digits.iter().map(u64::to_string).collect::<Vec<_>>().join(".");
    }
    let branch = info.split("git-branch=").nth(1).and_then(|b| b.split([',', ' ']).next()).filter(|b| !b.is_empty());
    branch.map_or_else(|| "of unknown version".to_owned(), |b| b.trim_start_matches("rel-").to_owned())
}

/// Words of a foreign error on one line.
pub(crate) fn words(e: impl std::fmt::Display) -> String {
    one_line(&e.to_string())
}

/// A foreign message on one line.
fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_python_s_packages_is_searched_newest_first() {
        let root = tempfile::tempdir().unwrap();
        for place in ["lib/python3.9/site-packages", "lib/python3.11/dist-packages", "lib64/python3.10/site-packages"] {
            std::fs::create_dir_all(root.path().join(place).join(IN_SITE_PACKAGES)).unwrap();
        }
        let found: Vec<PathBuf> = in_python(root.path()).into_iter().filter(|p| p.is_dir()).collect();
        let versions: Vec<bool> =
            found.iter().zip(["3.11", "3.10", "3.9"]).map(|(p, v)| p.to_str().unwrap().contains(v)).collect();
        assert_eq!(versions, [true; 3], "{found:?}");
    }

    #[test]
    fn versions_compare_by_number() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        for name in
            ["libonnxruntime.so.1.9.0", "libonnxruntime.so.1.32.0", "libonnxruntime_providers_shared.so", "other.so.9"]
        {
            std::fs::write(dir.join(name), b"").unwrap();
        }
        assert!(newest_in(dir).unwrap().ends_with("libonnxruntime.so.1.32.0"));
        assert!(newest_in(&dir.join("absent")).is_none());
        assert_eq!(version(Path::new("x/libonnxruntime.so.1.32.0"), ""), "1.32.0");
        assert_eq!(version(Path::new("x/libonnxruntime.so"), "ORT Build Info: git-branch=rel-1.19.0, x"), "1.19.0");
    }
}
