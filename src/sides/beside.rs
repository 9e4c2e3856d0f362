//! Files beside the original's weights by which loaders make another model of them.

use serde_json::{Map, Value};

use crate::Error;
use crate::checkpoint::{INDEX, ModelFolder};
use crate::finding::{Code, Finding, Severity, codes};
use crate::report::escape;

/// Characters of a value in a message.
const SHOWN: usize = 80;

/// One file, and what loaders do with it.
struct Beside {
    file: &'static str,
    code: &'static Code,
    /// What of its content matters; none where it changes nothing.
    says: fn(&Map<String, Value>) -> Option<String>,
    /// What loaders make of it, and what helps.
    so: &'static str,
}

fn stated(map: &Map<String, Value>, key: &str) -> Option<String> {
    map.get(key).filter(|v| !v.is_null()).map(|v| format!("`{key}` is {}", escape::plain(&v.to_string(), SHOWN)))
}

/// transformers: `PreTrainedModel.from_pretrained` (`find_adapter_config_file`, `quantization_config`);
/// sentence-transformers 5: `model_type` chooses the class.
const BESIDE: &[Beside] = &[
    Beside {
        file: "adapter_config.json",
        code: &codes::ORIGINAL_ADAPTER,
        says: |map| Some(stated(map, "peft_type").unwrap_or_else(|| "an adapter".to_owned())),
        so: "transformers loads that adapter over the weights, and they are compared without it: merge it and export again, or take the file out",
    },
    Beside {
        file: "config.json",
        code: &codes::ORIGINAL_QUANTIZED,
        says: |map| stated(map, "quantization_config"),
        so: "transformers quantizes the weights as it loads them, and they are compared as float32: take the key out",
    },
    Beside {
        file: "config_sentence_transformers.json",
        code: &codes::ORIGINAL_MODEL_TYPE,
        says: |map| stated(map, "model_type").filter(|_| map["model_type"] != "SentenceTransformer"),
        so: "sentence-transformers builds a model that gives no dense sentence vectors, and those are compared",
    },
];

/// Whether the folder holds the weights that a reference's original is read from.
pub(crate) fn holds_original(folder: &ModelFolder) -> Result<bool, Error> {
    Ok(folder.exists("model.safetensors")? || folder.exists(INDEX)?)
}

/// What makes another model of the original's weights.
pub(crate) fn findings(folder: &ModelFolder) -> Result<Vec<Finding>, Error> {
    let mut out = Vec::new();
    for row in BESIDE {
        let Some(says) = folder.json_object(row.file)?.as_ref().and_then(row.says) else { continue };
        let message = format!("{}/{}: {says}; {}", folder.shown(), row.file, row.so);
        out.push(Finding::new(Severity::Refusal, row.code, message));
    }
    Ok(out)
}

/// How weights are called that transformers loads; a folder of any of them is no folder without a checkpoint.
const WEIGHTS: &[(&str, &str)] = &[
    ("pytorch_model", ".bin"),
    ("pytorch_model", ".bin.index.json"),
    ("model", ".safetensors"),
    ("tf_model", ".h5"),
    ("flax_model", ".msgpack"),
    ("weights", ".npz"),
];

/// Weights in the reference's folder of which none was read, so that the graph was compared with itself.
pub(crate) fn unread_weights(folder: &ModelFolder) -> Result<Option<Finding>, Error> {
    let is_weights = |name: &String| WEIGHTS.iter().any(|(start, end)| name.starts_with(start) && name.ends_with(end));
    let found: Vec<String> = folder.names()?.into_iter().filter(is_weights).collect();
    Ok(found.first().map(|first| {
        let more = if found.len() > 1 { format!(" and {} more", found.len() - 1) } else { String::new() };
        let message = format!(
            "{}/{}{more} was not read: loaders make the model of it, and nothing shows that the graph has these weights; \
             write it as model.safetensors (`save_pretrained` does), or give the checkpoint with --original",
            folder.shown(),
            escape::plain(first, 200)
        );
        Finding::new(Severity::Refusal, &codes::ORIGINAL_UNREAD, message)
    }))
}

/// What there is to say of a reference's folder.
pub(crate) fn all(folder: &ModelFolder) -> Result<Vec<Finding>, Error> {
    match holds_original(folder)? {
        true => findings(folder),
        false => Ok(unread_weights(folder)?.into_iter().collect()),
    }
}
