//! The one way into a model: the steps from its files to what is run and compared. A check takes all of them, `record`,
//! `inspect`, `lint` and `weights` those they need; each step says by itself what is wrong with its part.

use std::path::Path;

use serde_json::Value;

use super::configs;
use super::reference::Reference;
use crate::Error;
use crate::checkpoint::{ModelConfig, ModelFolder, SentenceModules, WeightSet};
use crate::quantization::{Dequantization, Loaded, load_candidate, load_stages};
use crate::runtimes::native::{NativeEncoder, SentenceHead};
use crate::runtimes::onnx::{Graph, OnnxModel, TapError, TapHints, TapMap, find_taps, recover};

/// An exported model: the ONNX file and what lies beside it.
#[derive(Debug)]
pub(crate) struct Export {
    pub(crate) reference: Reference,
    pub(crate) model: OnnxModel,
}

impl Export {
    /// The ONNX file that a path means, read.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        Self::read(Reference::resolve(path)?)
    }

    /// The file of a path that is resolved.
    pub(crate) fn read(reference: Reference) -> Result<Self, Error> {
        let model = OnnxModel::read(&reference.onnx)?;
        Ok(Self { reference, model })
    }

    /// Its graph, indexed.
    pub(crate) fn graph(&self) -> Result<Graph<'_>, Error> {
        Ok(Graph::new(&self.model)?)
    }

    /// The weights read back from the graph, under their Hugging Face names.
    pub(crate) fn weights(&self) -> Result<WeightSet, Error> {
        let graph = self.graph()?;
        let taps = taps(&graph, None)?;
        Ok(recover(&graph, &taps)?)
    }
}

/// What a configuration says of the graph beside it.
pub(crate) fn hints(config: Option<&ModelConfig>) -> TapHints {
    TapHints { layers: config.map(|c| c.num_hidden_layers), vocab: config.map(|c| c.vocab_size) }
}

/// The layer boundaries of a graph, searched for; those of the configuration beside it, where there is one.
pub(crate) fn taps(graph: &Graph<'_>, config: Option<&ModelConfig>) -> Result<TapMap, TapError> {
    find_taps(graph, hints(config))
}

/// A folder with a checkpoint.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    pub(crate) folder: ModelFolder,
}

impl Checkpoint {
    /// The folder, opened; nothing of it is read yet.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self { folder: ModelFolder::open(path)? })
    }

    fn config_name(&self) -> String {
        format!("{}/config.json", self.folder.shown())
    }

    /// config.json, as far as an encoder is built from it.
    pub(crate) fn config(&self) -> Result<ModelConfig, Error> {
        configs::parse(&self.folder.require("config.json")?, &self.config_name())
    }

    /// config.json as it is: what the tensors are does not hang on whether an encoder is known for it.
    pub(crate) fn raw_config(&self) -> Result<Value, Error> {
        serde_json::from_slice(&self.folder.require("config.json")?)
            .map_err(|e| Error::BadInput(format!("{}: is not JSON: {e}", self.config_name())))
    }

    /// Every tensor, dequantized.
    pub(crate) fn weights(&self, config: &Value, effective: Dequantization) -> Result<Loaded, Error> {
        Ok(load_candidate(&self.folder, config, effective)?)
    }

    /// The encoder that the configuration describes, on those weights.
    pub(crate) fn encoder(&self, config: &ModelConfig, weights: &WeightSet) -> Result<NativeEncoder, Error> {
        Ok(NativeEncoder::build(config, weights, self.folder.shown())?)
    }

    /// What follows the encoder, with the weights of its own modules.
    pub(crate) fn head(
        &self,
        modules: &SentenceModules,
        config: &ModelConfig,
        weights: &WeightSet,
        effective: Dequantization,
    ) -> Result<SentenceHead, Error> {
        let stages = load_stages(&self.folder, modules, weights, config.raw(), effective)?;
        SentenceHead::with_weights(modules, config.hidden_size, &stages)
            .map_err(|e| Error::BadInput(format!("{}: {e}", self.folder.shown())))
    }
}
