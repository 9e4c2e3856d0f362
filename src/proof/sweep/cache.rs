//! What was swept before need not be swept again: clean sweeps are remembered by everything they depend on.
//!
//! A file here says "these inputs were swept and nothing was found", so whoever can write it can keep a sweep from
//! running. That is no new power: it lies in the user's own cache folder, and who can write there as that user can also
//! replace this program, ONNX Runtime or the model. Pipelines that restore caches written by untrusted branches should
//! give `--no-cache`, as they should not run binaries from such a cache. Everything else a file says is only shown.

use std::fmt::Write;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::LIMIT;
use super::frame::Frame;
use crate::checkpoint::sha256_hex;
use crate::report::SweepSection;
use crate::sides::Sides;
use crate::sides::request::CheckRequest;

/// Raised whenever the sweeps change what they run, so that older files say nothing any more.
const REVISION: u32 = 1;
/// No file comes near this; what is larger is damaged or foreign.
const LARGEST: u64 = 1 << 20;

/// One remembered sweep.
#[derive(Serialize, Deserialize)]
struct Entry {
    /// The file's own name, so that a file that was moved or cut is not taken for another's.
    key: String,
    swept: SweepSection,
}

/// Where sweeps of these inputs are remembered.
pub(crate) struct Cache {
    folder: Option<PathBuf>,
    ids: String,
    shapes: String,
    seed: u64,
}

impl Cache {
    /// The keys and the seed of this run. Both cover the reference's files, the original's, the program, ONNX Runtime and
    /// the machine; the seed and the key of the shapes also cover the candidate's files, so that whoever makes a graph does
    /// not know which lengths will be swept.
    pub(crate) fn new(sides: &Sides, request: &CheckRequest, frame: &Frame) -> Self {
        let facts = &sides.facts;
        let mut told = format!("parallax {} sweeps {REVISION} limit {LIMIT:e}\n", env!("CARGO_PKG_VERSION"));
        let mut say = |text: std::fmt::Arguments<'_>| _ = writeln!(told, "{text}");
        say(format_args!("{} {}", facts.runtime.onnxruntime_version, facts.runtime.sha256));
        say(format_args!("{} {:?}", facts.runtime.optimization, crate::sides::processor::cpu_features()));
        say(format_args!("{:?} {} {}", facts.control_config, facts.vocab, facts.max_length));
        say(format_args!("{frame:?} {:?} {:?}", facts.outputs, sides.reference_head.modules()));
        for tap in &facts.taps {
            say(format_args!("{} {}", tap.tap, tap.reference_tensor));
        }
        let of_reference = |role: &str| ["reference", "original"].contains(&role);
        for input in facts.inputs.iter().filter(|i| of_reference(&i.role)) {
            say(format_args!("{} {}", input.role, input.sha256));
        }
        let ids = sha256_hex(format!("{told}ids {}", request.thorough).as_bytes());
        for input in facts.inputs.iter().filter(|i| !of_reference(&i.role)) {
            _ = writeln!(told, "{} {}", input.role, input.sha256);
        }
        let shapes = sha256_hex(format!("{told}shapes {}", request.thorough).as_bytes());
        let seed = shapes.get(..16).and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or_default();
        // An original that is read back from a file of its own is not among the inputs: nothing is remembered of it.
        let covered = request.original.as_deref().is_none_or(Path::is_dir);
        Self { folder: request.cache.clone().filter(|_| covered), ids, shapes, seed }
    }

    /// What rows and lengths are drawn with.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    pub(crate) fn ids(&self) -> Option<SweepSection> {
        self.read(&self.ids).filter(|s| s.ids > 0)
    }

    pub(crate) fn shapes(&self) -> Option<SweepSection> {
        self.read(&self.shapes).filter(|s| s.rows > 0)
    }

    pub(crate) fn keep_ids(&self, swept: &SweepSection) {
        self.write(&self.ids, swept);
    }

    pub(crate) fn keep_shapes(&self, swept: &SweepSection) {
        self.write(&self.shapes, swept);
    }

    /// None for whatever is not whole and not of this key.
    fn read(&self, key: &str) -> Option<SweepSection> {
        let path = self.folder.as_ref()?.join(format!("{key}.json"));
        // Opening a device or a pipe can wait or do something.
        if !path.metadata().ok()?.is_file() {
            return None;
        }
        let mut bytes = Vec::new();
        std::fs::File::open(path).ok()?.take(LARGEST).read_to_end(&mut bytes).ok()?;
        let entry: Entry = serde_json::from_slice(&bytes).ok()?;
        (entry.key == key).then_some(entry.swept)
    }

    /// Written beside its place, then renamed, so that a reader sees all of it or nothing. A folder that cannot be written
    /// costs the next run its sweeps, nothing else.
    fn write(&self, key: &str, swept: &SweepSection) {
        let Some(folder) = &self.folder else { return };
        let entry = Entry { key: key.to_owned(), swept: swept.clone() };
        let Ok(text) = serde_json::to_vec(&entry) else { return };
        let keep = || -> std::io::Result<()> {
            std::fs::create_dir_all(folder)?;
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            std::io::Write::write_all(&mut file, &text)?;
            file.persist(folder.join(format!("{key}.json"))).map_err(|e| e.error)?;
            Ok(())
        };
        // Not an error: see above.
        let _ = keep();
    }
}
