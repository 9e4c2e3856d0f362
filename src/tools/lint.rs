//! Everything about a model folder that can be wrong and seen without running the model: no inference, no
//! ONNX Runtime, no second side. The parts are those a check opens; a part that fails does not hide the others.

use std::path::{Path, PathBuf};

use crate::Error;
use crate::align::{Agreement, Preflight};
use crate::checkpoint::{ModelConfig, ModelFolder, SentenceModules, WeightSet, max_sequence_length};
use crate::fault::Fault;
use crate::finding::{Code, Finding, Severity, codes};
use crate::quantization::Dequantization;
use crate::runtimes::native::ops::activation_function;
use crate::runtimes::onnx::{audit, exactness, facts};
use crate::sides::beside;
use crate::sides::door::{Checkpoint, Export, taps};
use crate::sides::heads::unused_dense;
use crate::sides::reference::{ONNX_PLACES, Reference};
use crate::sides::tokenizers::tokenizer_limit;
use crate::tokens::WordTokenizer;
use serde::{Deserialize, Serialize};

/// Files by which a folder is a model's, rather than a part of one (`1_Pooling`, `onnx`).
const ROOT_FILES: &[&str] = &["tokenizer.json", "modules.json"];

/// What was found in a folder or file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Lint {
    /// As the user named it.
    pub path: String,
    /// What is there and in order, in a few words each.
    pub facts: Vec<String>,
    /// What is not.
    pub findings: Vec<Finding>,
}

impl Lint {
    /// What the gravest finding comes to: 4 for a model that is broken, 3 for one that a check would refuse to judge, else 0.
    pub fn exit_code(&self) -> u8 {
        match self.findings.iter().map(|f| f.severity).collect::<Vec<_>>() {
            s if s.contains(&Severity::Failure) => Fault::BadInput.exit_code(),
            s if s.contains(&Severity::Refusal) => Fault::Incomparable.exit_code(),
            _ => 0,
        }
    }

    /// A part's value; what is wrong with the input is a finding, anything else stops the run.
    fn part<T>(&mut self, code: &Code, result: Result<T, impl Into<Error>>) -> Result<Option<T>, Error> {
        let error: Error = match result {
            Ok(value) => return Ok(Some(value)),
            Err(e) => e.into(),
        };
        let severity = match error.fault() {
            Fault::Incomparable => Severity::Refusal,
            // A limit that leaves no room is the model's own here: nobody passed any.
            Fault::BadInput | Fault::Usage => Severity::Failure,
            Fault::Environment | Fault::Internal => return Err(error),
        };
        self.findings.push(Finding::new(severity, code, error.to_string()));
        Ok(None)
    }

    fn found(&mut self, severity: Severity, code: &Code, message: String) {
        self.findings.push(Finding::new(severity, code, message));
    }
}

/// The model a path belongs to: a folder itself; for a file the model folder it lies in, if any, else an ONNX file alone.
pub fn model_of(path: &Path) -> Option<PathBuf> {
    if !path.is_file() {
        // What is not there at all is told by whoever opens it.
        return Some(path.to_owned());
    }
    let here = path.parent().map(|p| if p.as_os_str().is_empty() { Path::new(".") } else { p })?;
    let above = here.parent().map(|p| if p.as_os_str().is_empty() { Path::new(".") } else { p });
    let folders = || [Some(here), above].into_iter().flatten();
    let root = folders().find(|dir| ROOT_FILES.iter().any(|name| dir.join(name).is_file()));
    let weights = || folders().find(|dir| ModelFolder::open(dir).is_ok_and(|folder| holds_weights(&folder)));
    if let Some(dir) = root {
        return Some(dir.to_owned());
    }
    if path.extension().is_some_and(|e| e == "onnx") {
        return Some(path.to_owned());
    }
    weights().map(Path::to_owned)
}

fn holds_weights(folder: &ModelFolder) -> bool {
    let is_weights = |name: &String| {
        let tensors = [".safetensors", ".safetensors.index.json"].iter().any(|end| name.ends_with(end));
        (name.starts_with("model") && tensors) || name == "weights.npz"
    };
    folder.names().is_ok_and(|names| names.iter().any(is_weights))
}

/// Looks at a model folder or an ONNX file.
///
/// # Errors
/// Only what is not the model's fault; everything that is, is a finding.
pub fn lint(path: &Path) -> Result<Lint, Error> {
    let mut out = Lint { path: path.display().to_string(), ..Lint::default() };
    if path.is_file() {
        if let Some(reference) = out.part(&codes::LINT_FOLDER, Reference::resolve(path))? {
            let config = out.part(&codes::LINT_CONFIG, reference.config())?.flatten();
            out.graph(reference, config.as_ref(), None)?;
        }
        return Ok(out);
    }
    let Some(checkpoint) = out.part(&codes::LINT_FOLDER, Checkpoint::open(path))? else { return Ok(out) };
    out.folder(path, &checkpoint)?;
    Ok(out)
}

impl Lint {
    fn folder(&mut self, path: &Path, checkpoint: &Checkpoint) -> Result<(), Error> {
        let folder = &checkpoint.folder;
        self.links(folder)?;
        let config = self.part(&codes::LINT_CONFIG, checkpoint.config())?;
        let mut onnx = None;
        for place in ONNX_PLACES {
            let there = self.part(&codes::LINT_FOLDER, folder.exists(place))?;
            onnx = onnx.or(there.filter(|there| *there).map(|_| path.join(place)));
        }
        // A folder with neither is told what it lacks by the reader of checkpoints.
        let weights = match onnx.is_none() || holds_weights(folder) {
            true => self.checkpoint(checkpoint, config.as_ref())?,
            false => None,
        };
        let modules = self.part(&codes::LINT_MODULES, folder.sentence_modules())?.flatten();
        if let Some(m) = &modules {
            self.facts.push(format!("{} pooling", m.pooling_name()));
        }
        self.part(&codes::LINT_PROMPTS, folder.prompts())?;
        if let (Some(config), Some(weights), Some(modules)) = (&config, &weights, &modules) {
            self.part(&codes::LINT_MODULES, checkpoint.head(modules, config, weights, Dequantization::default()))?;
            self.findings.extend(unused_dense(folder, modules, weights));
        }
        self.tokenizer(folder, config.as_ref(), modules.as_ref())?;
        if let Some(onnx) = onnx {
            let beside = self.part(&codes::LINT_FOLDER, beside::all(folder))?;
            self.findings.extend(beside.unwrap_or_default());
            self.graph(Reference { onnx, folder: None }, config.as_ref(), weights.as_ref())?;
        }
        Ok(())
    }

    /// Links that lead out of the folder: the model is not what is shipped with it.
    fn links(&mut self, folder: &ModelFolder) -> Result<(), Error> {
        for name in self.part(&codes::LINT_FOLDER, folder.names())?.unwrap_or_default() {
            let link = folder.root().join(&name).symlink_metadata().is_ok_and(|m| m.is_symlink());
            if link && let Err(e) = folder.locate(&name) {
                self.found(Severity::Warning, &codes::LINT_LINK, e.to_string());
            }
        }
        Ok(())
    }

    /// Every tensor read, dequantized, finite, used once and of the shape the architecture wants.
    fn checkpoint(
        &mut self,
        checkpoint: &Checkpoint,
        config: Option<&ModelConfig>,
    ) -> Result<Option<WeightSet>, Error> {
        // What the tensors are does not hang on the rest of the configuration, which has been told what it lacks.
        let Ok(raw) = checkpoint.raw_config() else { return Ok(None) };
        let loaded = checkpoint.weights(&raw, Dequantization::default());
        let Some(loaded) = self.part(&codes::LINT_TENSORS, loaded)? else { return Ok(None) };
        self.facts.push(loaded.summary.to_string());
        self.findings.extend(loaded.findings);
        if let Some(config) = config {
            let built = checkpoint.encoder(config, &loaded.weights);
            if let Some(encoder) = self.part(&codes::LINT_ENCODER, built)? {
                let (layers, hidden) = (encoder.layers(), encoder.hidden());
                self.facts.push(format!("{} of {layers} layers, width {hidden}", config.model_type));
            }
        }
        Ok(Some(loaded.weights))
    }

    fn tokenizer(
        &mut self,
        folder: &ModelFolder,
        config: Option<&ModelConfig>,
        modules: Option<&SentenceModules>,
    ) -> Result<(), Error> {
        let stated = self.part(&codes::LINT_TOKENIZER, tokenizer_limit(folder))?.flatten();
        let Some(bytes) = self.part(&codes::LINT_TOKENIZER, folder.read("tokenizer.json"))? else { return Ok(()) };
        let Some(bytes) = bytes else {
            let message = format!(
                "{}: has no tokenizer.json, so no check can show that it gets the ids of the other side",
                folder.shown()
            );
            self.found(Severity::Refusal, &codes::LINT_TOKENIZER, message);
            return Ok(());
        };
        let longest = config.map_or(usize::MAX, |c| max_sequence_length(None, modules, c, stated));
        let name = format!("{}/tokenizer.json", folder.shown());
        let parsed = WordTokenizer::parse(&bytes, &name, longest);
        let Some(tokenizer) = self.part(&codes::LINT_TOKENIZER, parsed)? else { return Ok(()) };
        let words = tokenizer.facts().vocab_size;
        self.facts.push(format!("tokenizer of {words} words"));
        if let Some(rows) = config.map(|c| c.vocab_size).filter(|rows| *rows < words) {
            let message = format!(
                "{name}: has {words} words, but config.json has rows for {rows}; the last ones have no embedding"
            );
            self.found(Severity::Warning, &codes::LINT_VOCABULARY, message);
        }
        Ok(())
    }

    /// The taps are found, the graph is float32 and exact, and it is the model that config.json and the checkpoint beside it say.
    fn graph(
        &mut self,
        reference: Reference,
        config: Option<&ModelConfig>,
        weights: Option<&WeightSet>,
    ) -> Result<(), Error> {
        let Some(export) = self.part(&codes::LINT_ONNX, Export::read(reference))? else { return Ok(()) };
        let Some(graph) = self.part(&codes::LINT_ONNX, export.graph())? else { return Ok(()) };
        let Some(taps) = self.part(&codes::LINT_TAPS, taps(&graph, config))? else { return Ok(()) };
        let told = facts(&graph, &taps);
        self.facts.push(format!("ONNX with {} taps", taps.entries.len()));
        self.findings.extend(exactness(&graph, &taps, config.and_then(|c| activation_function(&c.hidden_act))));
        if let Some(config) = config {
            let mut p = Preflight::new();
            p.fact("layers", Some(told.layers), Some(config.num_hidden_layers));
            p.fact("hidden_size", Some(told.hidden), Some(config.hidden_size));
            p.fact("vocabulary", Some(told.vocab), Some(config.vocab_size));
            p.fact("heads", told.heads, Some(config.num_attention_heads));
            p.close("layer_norm_eps", told.layer_norm_eps, Some(config.layer_norm_eps));
            for c in p.checks().iter().filter(|c| c.outcome == Agreement::Mismatch) {
                let (graph, stated) = (&c.reference, &c.candidate);
                let message =
                    format!("{}: {} is {graph} in the graph, {stated} in config.json", export.model.name(), c.check);
                self.found(Severity::Failure, &codes::LINT_CONTRADICTION, message);
            }
        }
        self.findings.extend(weights.iter().flat_map(|w| audit(&graph, &taps, w).findings()));
        Ok(())
    }
}
