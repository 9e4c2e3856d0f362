//! Which files a run read, and that the two sides are not the same ones.

use std::path::Path;

use super::reference::Reference;
use crate::Error;
use crate::checkpoint::{INDEX, InputFile, ModelFolder, STALE_SHARD};
use crate::finding::{Finding, Severity, codes};
use crate::report::{InputRecord, escape};
use crate::runtimes::known::{KnownRuntime, TensorFiles};
use crate::runtimes::onnx::{DataFile, OnnxModel};

/// A candidate made of the reference's own files compares a model with itself.
pub(crate) fn same_file(reference: &Reference, model: &OnnxModel, candidate: &ModelFolder) -> Option<Finding> {
    let theirs = reference.folder.iter().flat_map(ModelFolder::inputs);
    let known: Vec<String> = theirs.map(|i| i.sha256).chain([model.sha256().to_owned()]).collect();
    let shared =
        candidate.inputs().into_iter().filter(|i| i.name.ends_with(".safetensors") && known.contains(&i.sha256));
    // The gravest first: a file of the encoder's own.
    let shared = shared.min_by_key(|i| i.name.contains('/'))?;
    let file = format!("{}/{}", candidate.shown(), shared.name);
    // A converter may leave the modules behind the pooling as they are; the encoder's own file is another matter.
    let (severity, so) = match shared.name.contains('/') {
        true => (Severity::Warning, "this module is no conversion"),
        false => (Severity::Refusal, "nothing would be compared"),
    };
    let message = format!("{file} is byte for byte a file of the reference: {so}");
    Some(Finding::new(severity, &codes::PREFLIGHT_SAME_FILE, message))
}

/// Tensor files of the candidate that were not compared and that its program would load.
pub(crate) fn stray(program: &KnownRuntime, candidate: &ModelFolder) -> Result<Option<Finding>, Error> {
    let indexed = candidate.exists(INDEX)?;
    let mut unread = candidate.unread_tensor_files()?;
    match program.tensor_files {
        TensorFiles::Models => {
            let loaded = candidate.globbed_tensor_files()?;
            unread.retain(|file| loaded.contains(file));
        }
        by_place => unread.retain(|file| by_place.load(file, indexed)),
    }
    let told = |first: &String| {
        let more = if unread.len() > 1 { format!(" and {} more", unread.len() - 1) } else { String::new() };
        let message = format!(
            "{}/{}{more} was not read, and {} loads it: take it out",
            candidate.shown(),
            escape::plain(first, 200),
            program.label()
        );
        Finding::new(Severity::Refusal, STALE_SHARD, message)
    };
    Ok(unread.first().map(told))
}

/// A tensor file that was compared and that its program, which goes by names, does not load.
pub(crate) fn misnamed(program: &KnownRuntime, candidate: &ModelFolder) -> Result<Option<Finding>, Error> {
    if program.tensor_files != TensorFiles::Models {
        return Ok(None);
    }
    let loaded = candidate.globbed_tensor_files()?;
    // Beside no other file an archive is what mlx-examples' own programs read.
    let tensors = |name: &str| name.ends_with(".safetensors") || (name.ends_with(".npz") && !loaded.is_empty());
    // Of a file in a folder it puts the folder's name before every tensor's.
    let index = candidate.json_object(INDEX)?;
    let shards = index.as_ref().and_then(|index| index.get("weight_map")?.as_object());
    let moved = |name: &String| name.contains('/') && shards.is_some_and(|all| all.values().any(|v| v == name));
    let own = |name: &String| tensors(name) && (!loaded.contains(name) || moved(name));
    let Some(file) = candidate.inputs().into_iter().map(|input| input.name).find(own) else { return Ok(None) };
    let message = format!(
        "{}/{} was compared, and {} loads model*.safetensors, in a folder under other names, whatever an index says: it \
         runs other weights or none; put the file into the model's folder itself, under such a name",
        candidate.shown(),
        escape::plain(&file, 200),
        program.label()
    );
    Ok(Some(Finding::new(Severity::Refusal, &codes::CANDIDATE_TENSOR_FILE, message)))
}

/// A folder's name that its program takes for a pattern: it finds other folders by it, or none.
pub(crate) fn pattern(program: &KnownRuntime, candidate: &ModelFolder) -> Option<Finding> {
    let given = Path::new(candidate.shown()).file_name();
    let names = [given, candidate.root().file_name()].into_iter().flatten().map(|name| name.to_string_lossy());
    let name = names.into_iter().find(|name| name.contains(['*', '?', '[']))?;
    let message = format!(
        "{}: {} takes `{}` for a pattern and loads the files of other folders or none; rename the folder",
        candidate.shown(),
        program.label(),
        escape::plain(&name, 200)
    );
    program.globs.then(|| Finding::new(Severity::Refusal, &codes::CANDIDATE_PATTERN, message))
}

/// Every file read, with its hash.
pub(crate) fn inputs(
    reference: &Reference,
    model: &OnnxModel,
    original: Option<&ModelFolder>,
    candidate: &ModelFolder,
) -> Vec<InputRecord> {
    let onnx = InputRecord {
        role: "reference".to_owned(),
        file: model.name().to_owned(),
        sha256: model.sha256().to_owned(),
        bytes: model.size(),
    };
    let of = |role: &str, folder: &ModelFolder| -> Vec<InputRecord> {
        let record = |i: InputFile| InputRecord {
            role: role.to_owned(),
            file: format!("{}/{}", folder.shown(), i.name),
            sha256: i.sha256,
            bytes: i.bytes,
        };
        folder.inputs().into_iter().map(record).collect()
    };
    let data = |f: &DataFile| InputRecord {
        role: "reference".to_owned(),
        file: f.name().to_owned(),
        sha256: f.sha256().to_owned(),
        bytes: f.bytes().len() as u64,
    };
    let mut all = vec![onnx];
    all.extend(model.data_files().iter().map(data));
    all.extend(reference.folder.iter().flat_map(|f| of("reference", f)));
    all.extend(original.iter().flat_map(|f| of("original", f)));
    all.extend(of("candidate", candidate));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_a_pattern_is_refused_for_programs_that_take_it_for_one() {
        let home = tempfile::tempdir().unwrap();
        let of = |name: &str, program: &str| {
            std::fs::create_dir_all(home.path().join(name)).unwrap();
            let folder = ModelFolder::open(&home.path().join(name)).unwrap();
            pattern(KnownRuntime::find(program).unwrap(), &folder)
        };
        for name in ["mini[8]", "mini*", "what?"] {
            let found = of(name, "mlx-embeddings").unwrap();
            assert_eq!(found.severity, Severity::Refusal);
            assert!(found.message.contains(&format!("`{name}`")), "{}", found.message);
            assert!(of(name, "mlx-vlm").is_none(), "{name}");
        }
        assert!(of("mini-8bit", "mlx-embeddings").is_none());
        // The name that was given, where it leads to one that is none.
        std::os::unix::fs::symlink(home.path().join("mini-8bit"), home.path().join("mini[4]")).unwrap();
        assert!(of("mini[4]", "mlx-embeddings").is_some());
    }

    #[test]
    fn what_a_program_loads_by_name_is_what_must_be_compared() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| {
            let path = home.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, name).unwrap();
            ModelFolder::open(home.path()).unwrap()
        };
        let mlx = KnownRuntime::find("mlx-embeddings").unwrap();
        let told = |folder: &ModelFolder| {
            let found = [misnamed(mlx, folder).unwrap(), stray(mlx, folder).unwrap()];
            found.map(|found| found.map(|f| f.message))
        };
        let folder = at("weights.npz");
        folder.require("weights.npz").unwrap();
        assert_eq!(told(&folder), [None, None], "an archive alone");
        let folder = at("weight.safetensors");
        folder.require("weights.npz").unwrap();
        let [archive, other] = told(&folder);
        assert!(archive.unwrap().contains("weights.npz was compared"));
        assert!(other.unwrap().contains("weight.safetensors was not read"));
        let folder = at(".hidden/model.safetensors");
        folder.require(".hidden/model.safetensors").unwrap();
        assert!(told(&folder)[0].as_ref().unwrap().contains(".hidden/model.safetensors was compared"));
        let folder = at("model-1.safetensors");
        folder.require("model-1.safetensors").unwrap();
        assert_eq!(told(&folder), [None, None], "older names are not looked for beside newer ones");
        assert!(told(&at("model-2.safetensors"))[1].as_ref().unwrap().contains("model-1.safetensors and 1 more"));
    }
}
