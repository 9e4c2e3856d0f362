//! Faults planted by hand into a copy of a shipped model.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::repository;

/// A stored tensor: type, shape, bytes.
pub type Stored = (Dtype, Vec<usize>, Vec<u8>);

/// A copy of a model folder in a temporary place.
pub struct Copy {
    dir: tempfile::TempDir,
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

impl Copy {
    /// Of a folder below `models/`.
    pub fn of(model: &str) -> Self {
        Self::of_path(&repository("models").join(model))
    }

    /// Of any folder.
    pub fn of_path(folder: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(folder, dir.path());
        Self { dir }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Rewrites the tensors; the index goes, since it may no longer be true.
    pub fn tensors(self, change: impl FnOnce(&mut BTreeMap<String, Stored>)) -> Self {
        let file = self.file("model.safetensors");
        let mut tensors = stored(&file);
        change(&mut tensors);
        write_stored(&file, &tensors);
        let _ = fs::remove_file(self.file("model.safetensors.index.json"));
        self
    }

    /// Rewrites a JSON file.
    pub fn json(self, name: &str, change: impl FnOnce(&mut serde_json::Value)) -> Self {
        let file = self.file(name);
        let mut value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        change(&mut value);
        fs::write(&file, value.to_string()).unwrap();
        self
    }

    /// Adds a Dense module behind the pooling: its files and its entry.
    pub fn with_dense(self, inputs: usize, outputs: usize) -> Self {
        fs::create_dir_all(self.file("2_Dense")).unwrap();
        let config = serde_json::json!({"in_features": inputs, "out_features": outputs, "bias": true,
            "activation_function": "torch.nn.modules.activation.Tanh"});
        fs::write(self.file("2_Dense/config.json"), config.to_string()).unwrap();
        // Near enough to a diagonal that it amplifies no error.
        let value = |i: usize| (i * 37 % 101) as f32 / 4000.0 + if i / inputs == i % inputs { 0.5 } else { 0.0 };
        let values = |n: usize| (0..n).flat_map(|i| value(i).to_le_bytes()).collect::<Vec<u8>>();
        let tensors: BTreeMap<String, Stored> = BTreeMap::from([
            ("linear.weight".to_owned(), (Dtype::F32, vec![outputs, inputs], values(outputs * inputs))),
            ("linear.bias".to_owned(), (Dtype::F32, vec![outputs], values(outputs))),
        ]);
        write_stored(&self.file("2_Dense/model.safetensors"), &tensors);
        self.json("modules.json", |list| {
            let dense = serde_json::json!({"idx": 2, "name": "dense", "path": "2_Dense",
                "type": "sentence_transformers.models.Dense"});
            list.as_array_mut().unwrap().insert(2, dense);
        })
    }

    /// Rewrites a file's bytes.
    pub fn bytes(self, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        let file = self.file(name);
        let mut bytes = fs::read(&file).unwrap();
        change(&mut bytes);
        fs::write(&file, bytes).unwrap();
        self
    }
}

/// Swaps everything below two module paths.
pub fn swap(tensors: &mut BTreeMap<String, Stored>, a: &str, b: &str) {
    let below: Vec<String> = tensors.keys().filter(|n| n.starts_with(&format!("{a}."))).cloned().collect();
    assert!(!below.is_empty(), "{a}");
    for name in below {
        let twin = name.replacen(a, b, 1);
        let (x, y) = (tensors.remove(&name).unwrap(), tensors.remove(&twin).unwrap());
        tensors.insert(name, y);
        tensors.insert(twin, x);
    }
}

/// Every tensor of a safetensors file.
pub fn stored(file: &Path) -> BTreeMap<String, Stored> {
    let bytes = fs::read(file).unwrap();
    let read = SafeTensors::deserialize(&bytes).unwrap();
    read.tensors().into_iter().map(|(n, v)| (n, (v.dtype(), v.shape().to_vec(), v.data().to_vec()))).collect()
}

/// Writes a safetensors file.
pub fn write_stored(file: &Path, tensors: &BTreeMap<String, Stored>) {
    let views: BTreeMap<&str, TensorView<'_>> =
        tensors.iter().map(|(n, (d, s, b))| (n.as_str(), TensorView::new(*d, s.clone(), b).unwrap())).collect();
    fs::write(file, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// Stored float32 values.
pub fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|c| f32::from_le_bytes(*c)).collect()
}
