//! Weights of the modules behind the pooling: in a file of the module's own folder, or, as MLX keeps them, in the
//! encoder's file as `dense.0`, `dense.1`, ….

use std::sync::Arc;

use serde_json::Value;

use super::load::load_file;
use super::{Dequantization, QuantizationConfig, QuantizationError};
use crate::checkpoint::{ModelFolder, SentenceModules, Stage, StageWeights, WeightSet};

/// The file in a module's folder.
const FILE: &str = "model.safetensors";

/// The weights of every module of `modules` that has any and whose weights are found; who needs the others says so.
///
/// # Errors
/// Files that are malformed, and values that are no numbers.
pub fn load_stages(
    folder: &ModelFolder,
    modules: &SentenceModules,
    main: &WeightSet,
    config: &Value,
    effective: Dequantization,
) -> Result<StageWeights, QuantizationError> {
    let declared = QuantizationConfig::parse(config)
        .map_err(|reason| QuantizationError::Config { file: format!("{}/config.json", folder.shown()), reason })?;
    let mut out = StageWeights::new();
    let mut dense = 0;
    for stage in &modules.stages {
        let Some(path) = stage.path() else { continue };
        let file = if path.is_empty() { FILE.to_owned() } else { format!("{path}/{FILE}") };
        if !path.is_empty() && folder.exists(&file)? {
            let loaded = load_file(folder, &file, &declared, effective)?;
            for (name, weight) in loaded.tensors() {
                let last = name.rsplit('.').next().unwrap_or(name);
                out.insert((path.to_owned(), last.to_owned()), Arc::clone(weight));
            }
        } else if matches!(stage, Stage::Dense(_)) {
            for last in ["weight", "bias"] {
                if let Some(weight) = main.tensors().get(&format!("dense.{dense}.{last}")) {
                    out.insert((path.to_owned(), last.to_owned()), Arc::clone(weight));
                }
            }
        }
        dense += usize::from(matches!(stage, Stage::Dense(_)));
    }
    Ok(out)
}
