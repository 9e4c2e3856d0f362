//! Looks into an ONNX file or a model folder without comparing anything; and weights without inference.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::checkpoint::{Weight, WeightSet};
use crate::fault::Fault;
use crate::finding::{Code, Finding, Severity, codes};
use crate::hidden_states::Tap;
use crate::quantization::{Dequantization, load_float};
use crate::runtimes::native::ops::activation_function;
use crate::runtimes::onnx::{audit, exactness, facts, logic};
use crate::sides::door::{Checkpoint, Export, taps};
use crate::sides::graph_weights;
use crate::sides::reference::Reference;
use crate::verdict::Verdict;
use crate::weights::{self, WeightsReport};

/// A model that no encoder here computes.
const UNSUPPORTED: &Code = &codes::INSPECT_UNSUPPORTED;

/// What is in a file or folder.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Inspection {
    /// Facts by name, in a fixed order.
    pub facts: Vec<(String, String)>,
    /// Taps, for ONNX files.
    pub taps: Vec<InspectedTap>,
    /// Tensors, for checkpoints.
    pub tensors: Vec<InspectedTensor>,
    /// What was noticed.
    pub findings: Vec<Finding>,
}

/// One tap of an ONNX file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InspectedTap {
    /// The tap.
    pub tap: Tap,
    /// The tensor.
    pub tensor: String,
    /// Why it is that tap.
    pub evidence: String,
    /// The node that makes it.
    #[serde(default)]
    pub node: String,
    /// Weights of the checkpoint beside the file that the layer's matrices were recognised as.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weights: Vec<String>,
}

/// One tensor of a checkpoint.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InspectedTensor {
    /// Its name.
    pub name: String,
    /// Its logical shape.
    pub shape: String,
    /// How it is stored.
    pub stored: String,
}

/// Looks into `path`: an ONNX file, a folder with one, or a checkpoint folder.
///
/// # Errors
/// Files that cannot be understood.
pub fn inspect(path: &Path) -> Result<Inspection, Error> {
    let mut out = Inspection::default();
    let is_dir = path.is_dir();
    let has_onnx = !is_dir || Reference::resolve(path).is_ok();
    if has_onnx {
        out.onnx(&Export::open(path)?)?;
    }
    if is_dir {
        let checkpoint = Checkpoint::open(path)?;
        if !has_onnx || checkpoint.folder.exists("model.safetensors")? {
            out.checkpoint(&checkpoint)?;
        }
    }
    Ok(out)
}

impl Inspection {
    /// 3 for a model that no check could compare, else 0: what is shown is what was asked for.
    pub fn exit_code(&self) -> u8 {
        let unsupported = self.findings.iter().any(|f| f.is(UNSUPPORTED));
        if unsupported { Fault::Incomparable.exit_code() } else { 0 }
    }

    fn fact(&mut self, name: &str, value: impl ToString) {
        self.facts.push((name.to_owned(), value.to_string()));
    }

    fn onnx(&mut self, export: &Export) -> Result<(), Error> {
        let (reference, model, graph) = (&export.reference, &export.model, export.graph()?);
        let taps = taps(&graph, None)?;
        let known = facts(&graph, &taps);
        self.fact("onnx", model.name());
        self.fact("sha256", model.sha256());
        self.fact("exporter", model.producer());
        self.fact("opset", model.opset());
        self.fact("layers", known.layers);
        self.fact("hidden size", known.hidden);
        self.fact("vocabulary", known.vocab);
        self.fact("activation", known.activation.unwrap_or("unknown"));
        self.fact("layer norm eps", known.layer_norm_eps.map_or("unknown".to_owned(), |e| format!("{e:e}")));
        let config = reference.config()?;
        let padding = config.as_ref().and_then(|c| c.pad_token_id).map(i64::from);
        let read = logic(&graph, &taps, padding);
        self.fact("graph", &read);
        self.findings.extend(read.findings(false));
        let original = match &reference.folder {
            Some(folder) if folder.exists("model.safetensors")? => Some(load_float(folder)?.weights),
            _ => None,
        };
        let audited = original.as_ref().map(|original| audit(&graph, &taps, original));
        let tap = |e: &crate::runtimes::onnx::TapEntry| {
            let layers = audited.iter().flat_map(|a| &a.layers).filter(|l| e.tap == Tap::Layer(l.layer));
            let matched = layers.flat_map(|l| &l.matrices);
            InspectedTap {
                tap: e.tap,
                tensor: e.tensor.clone(),
                evidence: e.evidence.clone(),
                node: e.node.clone(),
                weights: matched
                    .filter_map(|m| Some(format!("{} ({:.3})", m.weight.as_ref()?, m.correlation)))
                    .collect(),
            }
        };
        self.taps = taps.entries.iter().chain(&taps.middles).map(tap).collect();
        self.taps.sort_by_key(|t| t.tap);
        // Without a configuration beside it, a graph's own activation may be the model's: a check asks the candidate's.
        let stated = config.as_ref().and_then(|c| activation_function(&c.hidden_act));
        let assumed = known.activation.filter(|_| config.is_none());
        let inexact = exactness(&graph, &taps, stated.or(assumed));
        if inexact.len() < exactness(&graph, &taps, stated).len() {
            let message = format!(
                "{}: its activation is the tanh approximation of GELU, which is exact for a model whose config.json says \
                 gelu_new or gelu_pytorch_tanh; there is none beside it",
                model.name()
            );
            self.findings.push(Finding::new(Severity::Note, &codes::REFERENCE_ACTIVATION_UNSTATED, message));
        }
        if let (Some(original), Some(config)) = (&original, &config) {
            let (section, found) = graph_weights::inspected(&graph, &taps, original, config, !inexact.is_empty());
            self.fact("graph's weights", section.sentence());
            self.findings.extend(found);
        }
        self.findings.extend(inexact);
        self.findings.extend(audited.iter().flat_map(|a| a.findings()));
        Ok(())
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), Error> {
        let folder = &checkpoint.folder;
        let loaded = checkpoint.weights(&checkpoint.raw_config()?, Dequantization::default())?;
        self.fact("checkpoint", folder.shown());
        // Whatever can be shown is shown, whether or not an encoder exists for it.
        let built = checkpoint.config().and_then(|config| {
            self.fact("model type", &config.model_type);
            checkpoint.encoder(&config, &loaded.weights)
        });
        match built {
            Ok(e) => self.fact("encoder", format!("{} layers of width {}", e.layers(), e.hidden())),
            Err(e) => {
                self.fact("encoder", format!("none: {e}"));
                if e.fault() == Fault::Incomparable {
                    self.findings.push(Finding::new(Severity::Refusal, UNSUPPORTED, e.to_string()));
                }
            }
        }
        if let (Some(mode), Some(bits), Some(group)) =
            (&loaded.summary.mode, loaded.summary.bits, loaded.summary.group_size)
        {
            self.fact("quantization", format!("{mode}, {bits} bits, group {group}"));
        }
        for (bits, modules) in &loaded.summary.modules_by_bits {
            self.fact(&format!("modules at {bits} bits"), modules);
        }
        self.fact("stored as", &loaded.summary.dtype);
        if let Some(m) = folder.sentence_modules()? {
            self.fact(
                "pooling",
                format!(
                    "{}{} (by {})",
                    m.pooling_name(),
                    if m.normalize() { ", normalized" } else { "" },
                    m.stated_in.as_deref().unwrap_or("nobody")
                ),
            );
        }
        self.tensors = loaded.weights.tensors().iter().map(|(name, w)| tensor(name, w)).collect();
        self.findings.extend(loaded.findings);
        Ok(())
    }
}

fn tensor(name: &str, weight: &Weight) -> InspectedTensor {
    let s = &weight.storage;
    let stored = match (s.mode, s.bits, s.group_size) {
        (Some(mode), Some(bits), Some(group)) => format!("{mode} {bits} bits, group {group}, scales {}", s.dtype),
        _ => s.dtype.clone(),
    };
    InspectedTensor {
        name: name.to_owned(),
        shape: weight.shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" × "),
        stored,
    }
}

/// The outcome of `parallax weights`.
#[derive(Clone, Debug)]
pub struct ComparedWeights {
    /// The numbers.
    pub report: WeightsReport,
    /// What was noticed.
    pub findings: Vec<Finding>,
    /// 0, or what the gravest finding means.
    pub exit_code: u8,
}

/// Compares weights alone: the float32 ones of a folder or an ONNX file with a candidate's.
///
/// # Errors
/// Files that cannot be read, or that hold other models.
pub fn compare_weights(original: &Path, candidate: &Path, effective: Dequantization) -> Result<ComparedWeights, Error> {
    let ours = float_weights(original)?;
    let checkpoint = Checkpoint::open(candidate)?;
    let config = checkpoint.raw_config()?;
    let theirs = checkpoint.weights(&config, effective)?;
    let mut report = weights::compare(&ours, &theirs.weights)?;
    let heads = config["num_attention_heads"].as_u64().and_then(|n| usize::try_from(n).ok());
    report.equivalents = weights::equivalents(&ours, &theirs.weights, &report, heads);
    let mut findings = theirs.findings;
    findings.extend(weights::findings(&ours, &theirs.weights, &report, &|_, _| None));
    findings.extend(weights::other_quantizers(&report, false));
    if let Some(weights::Beyond { tensor: first, said, .. }) = weights::beyond_rounding(&report).first() {
        let message = format!(
            "the candidate's `{first}` {said}; only its outputs can tell whether that was to compensate errors (GPTQ, AWQ): run \
             `parallax check`"
        );
        findings.push(Finding::new(Severity::Refusal, &codes::WEIGHTS_UNEXPLAINED, message));
    }
    let gravest = findings.iter().map(|f| f.severity).max();
    let verdict = match gravest {
        Some(Severity::Refusal) => Verdict::Inconclusive,
        Some(Severity::Failure) => Verdict::Fail,
        _ => Verdict::Pass,
    };
    Ok(ComparedWeights { report, findings, exit_code: verdict.exit_code() })
}

fn float_weights(path: &Path) -> Result<WeightSet, Error> {
    if path.is_dir() {
        let Checkpoint { folder } = Checkpoint::open(path)?;
        if folder.exists("model.safetensors")? || folder.exists("model.safetensors.index.json")? {
            return Ok(load_float(&folder)?.weights);
        }
    }
    Export::open(path)?.weights()
}
