//! From files to float32 weights: which modules are quantized, how, and does it add up?

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use safetensors::Dtype;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Dequantization, Floats, Halves, ModuleSetting, Packed, QuantizationConfig, QuantizationError, Scales};
use crate::checkpoint::{
    CheckpointError, ModelFolder, PackedBytes, RawTensor, RawTensors, STALE_SHARD, Storage, Weight, WeightSet, names,
};
use crate::finding::{Finding, Severity, codes};

/// Quantization as found, not only as declared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QuantizationSummary {
    /// Declared for modules without an override.
    pub mode: Option<String>,
    /// Declared bits.
    pub bits: Option<u32>,
    /// Declared group size.
    pub group_size: Option<u32>,
    /// Type of scales, or of plain tensors where nothing is quantized.
    pub dtype: String,
    /// Modules found at each number of bits.
    pub modules_by_bits: BTreeMap<u32, usize>,
    /// Matrices found unquantized.
    pub plain_matrices: Vec<String>,
}

impl std::fmt::Display for QuantizationSummary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.bits, self.group_size) {
            // What the file holds, whatever is declared.
            (Some(_), Some(group)) if self.modules_by_bits.len() > 1 => {
                let widths: Vec<String> =
                    self.modules_by_bits.iter().map(|(bits, n)| format!("{bits} bits × {n}")).collect();
                write!(f, "{}, group {group}, {}", widths.join(" and "), self.dtype)
            }
            (Some(bits), Some(group)) => write!(f, "{bits} bits, group {group}, {}", self.dtype),
            _ => f.write_str(&self.dtype),
        }
    }
}

/// A checkpoint in float32.
#[derive(Debug)]
pub struct Loaded {
    /// The weights.
    pub weights: WeightSet,
    /// How they were stored.
    pub summary: QuantizationSummary,
    /// What was noticed.
    pub findings: Vec<Finding>,
}

/// Reads an MLX checkpoint: a module is quantized exactly when it has scales.
///
/// # Errors
/// A declaration and a file that contradict each other, a tensor missing or left over, a value that is
/// no number: each names the tensor.
pub fn load_candidate(
    folder: &ModelFolder,
    config: &Value,
    effective: Dequantization,
) -> Result<Loaded, QuantizationError> {
    let raw = RawTensors::open(folder)?;
    let declared = QuantizationConfig::parse(config)
        .map_err(|reason| QuantizationError::Config { file: format!("{}/config.json", folder.shown()), reason })?;
    load(&raw, &declared, effective)
}

/// Reads a float checkpoint, such as the original; quantized tensors are refused.
///
/// # Errors
/// As [`load_candidate`].
pub fn load_float(folder: &ModelFolder) -> Result<Loaded, QuantizationError> {
    load(&RawTensors::open(folder)?, &QuantizationConfig::default(), Dequantization::default())
}

/// Reads one tensor file of a folder, in which nothing or only some modules may be quantized.
pub(super) fn load_file(
    folder: &ModelFolder,
    name: &str,
    declared: &QuantizationConfig,
    effective: Dequantization,
) -> Result<WeightSet, QuantizationError> {
    let raw = RawTensors::open_file(folder, name)?;
    // Overrides are of the encoder's modules; a file that holds no scales declares nothing.
    let default = declared.default.filter(|_| raw.tensors().keys().any(|n| n.ends_with(".scales")));
    let declared = QuantizationConfig { default, ..QuantizationConfig::default() };
    Ok(load(&raw, &declared, effective)?.weights)
}

fn load(
    raw: &RawTensors,
    declared: &QuantizationConfig,
    effective: Dequantization,
) -> Result<Loaded, QuantizationError> {
    let canonical = names::canonical(raw.tensors().keys())
        .map_err(|reason| CheckpointError::Malformed { file: raw.shown().to_owned(), reason })?;
    let modules: BTreeSet<&str> = raw.tensors().keys().filter_map(|n| n.strip_suffix(".scales")).collect();
    let declared = &as_stored(raw, declared);
    check_overrides(raw, declared, &modules)?;
    let mut out: BTreeMap<String, Weight> = BTreeMap::new();
    let mut summary = QuantizationSummary {
        mode: declared.default.map(|d| d.mode.name.to_owned()),
        bits: declared.default.map(|d| d.bits),
        group_size: declared.default.map(|d| d.group_size as u32),
        ..QuantizationSummary::default()
    };
    let mut types: BTreeMap<String, usize> = BTreeMap::new();
    let read = |(stored, tensor): (&String, &RawTensor)| {
        let name = canonical.get(stored).cloned().unwrap_or_else(|| stored.clone());
        let (module, part) = stored.rsplit_once('.').unwrap_or(("", stored));
        if names::is_buffer(&name) || (modules.contains(module) && matches!(part, "scales" | "biases")) {
            return Ok(None);
        }
        let weight = if part == "weight" && modules.contains(module) {
            let setting = declared.of(module).ok_or_else(|| undeclared(raw, module))?;
            quantized(raw, (stored, &name), tensor, module, setting, effective)?
        } else {
            plain(raw, (stored, &name), tensor)?
        };
        Ok(Some((name, weight)))
    };
    // All of them first: the error told is the first tensor's, whichever came first.
    let tensors: Vec<Result<_, QuantizationError>> = raw.tensors().par_iter().map(read).collect();
    // Rows that no group divides cannot be quantized.
    let group = summary.group_size.unwrap_or(1).max(1) as usize;
    let fits = |columns: usize| columns.is_multiple_of(group);
    for tensor in tensors {
        let Some((name, weight)) = tensor? else { continue };
        if let Some(bits) = weight.storage.bits {
            *summary.modules_by_bits.entry(bits).or_default() += 1;
        }
        if weight.storage.mode.is_none() && weight.shape.len() == 2 && fits(weight.shape[1]) {
            summary.plain_matrices.push(name.clone());
        }
        *types.entry(weight.storage.dtype.clone()).or_default() += weight.len();
        out.insert(name, weight);
    }
    for module in &modules {
        if !raw.tensors().contains_key(&format!("{module}.weight")) {
            return Err(raw.refuse(&format!("{module}.scales"), "has no packed weight beside it").into());
        }
    }
    summary.dtype = types.into_iter().max_by_key(|(_, n)| *n).map_or_else(String::new, |(t, _)| t);
    let mut findings = raw.findings().to_vec();
    // MLX's loaders take every file of the name, whatever the index says: what is compared here would not
    // be what runs there.
    findings.iter_mut().filter(|f| f.is(STALE_SHARD)).for_each(|f| f.severity = Severity::Refusal);
    if summary.mode.is_some() && !summary.plain_matrices.is_empty() {
        let message = format!(
            "{} of the candidate's matrices are not quantized although {} bits are declared, the first is `{}`",
            summary.plain_matrices.len(),
            summary.bits.unwrap_or(0),
            summary.plain_matrices[0]
        );
        findings.push(Finding::new(Severity::Warning, &codes::QUANTIZATION_PLAIN_MATRIX, message));
    }
    if summary.modules_by_bits.len() > 1 {
        let found: Vec<String> = summary.modules_by_bits.iter().map(|(b, n)| format!("{n} at {b} bits")).collect();
        let message = format!("modules of different precision: {}", found.join(", "));
        findings.push(Finding::new(Severity::Warning, &codes::QUANTIZATION_MIXED_BITS, message));
    }
    let weights = WeightSet::new(raw.shown(), out)?;
    Ok(Loaded { weights, summary, findings })
}

/// Overrides by the names that the file has: MLX looks them up by its modules' paths, which begin with `model.` where a
/// class puts that before the names of its file.
fn as_stored(raw: &RawTensors, declared: &QuantizationConfig) -> QuantizationConfig {
    let there = |module: &str| raw.tensors().contains_key(&format!("{module}.weight"));
    let stored = |module: &String| match module.strip_prefix("model.") {
        // Where both names are declared, none is guessed: the one that is not in the file is refused.
        Some(bare) if !there(module) && there(bare) && !declared.overrides.contains_key(bare) => bare.to_owned(),
        _ => module.clone(),
    };
    let overrides = declared.overrides.iter().map(|(module, setting)| (stored(module), *setting));
    QuantizationConfig { overrides: overrides.collect(), ..declared.clone() }
}

/// An override for a module that is not there, or is not quantized, is a declaration that lies.
fn check_overrides(
    raw: &RawTensors,
    declared: &QuantizationConfig,
    modules: &BTreeSet<&str>,
) -> Result<(), QuantizationError> {
    let config = |reason: String| QuantizationError::Config { file: format!("{}/config.json", raw.shown()), reason };
    for (module, setting) in &declared.overrides {
        match (setting, modules.contains(module.as_str())) {
            (Some(s), false) => {
                return Err(config(format!("declares `{module}` as {s:?}, but it has no scales in the file")));
            }
            (None, true) => {
                return Err(config(format!("declares `{module}` as not quantized, but it has scales in the file")));
            }
            _ => {}
        }
    }
    if declared.default.is_some() && modules.is_empty() && !declared.overrides.values().any(Option::is_some) {
        return Err(config("is declared, but no tensor in the file has scales".to_owned()));
    }
    Ok(())
}

fn undeclared(raw: &RawTensors, module: &str) -> QuantizationError {
    raw.refuse(&format!("{module}.scales"), "is there, but config.json declares no quantization").into()
}

/// A tensor stored as plain floats.
fn plain(raw: &RawTensors, (stored, name): (&str, &str), tensor: &RawTensor) -> Result<Weight, QuantizationError> {
    if tensor.dtype == Dtype::U32 {
        return Err(raw.refuse(stored, "holds packed codes but has no scales beside it").into());
    }
    let values = raw.floats(stored, tensor)?;
    let storage = Storage {
        dtype: format!("{:?}", tensor.dtype),
        mode: None,
        bits: None,
        group_size: None,
        bytes: raw.bytes(tensor).len() as u64,
        file: tensor.file.clone(),
    };
    Ok(Weight::new(name, tensor.shape.clone(), values, storage))
}

/// A packed matrix with its scales and biases.
fn quantized(
    raw: &RawTensors,
    (stored, name): (&str, &str),
    tensor: &RawTensor,
    module: &str,
    setting: ModuleSetting,
    effective: Dequantization,
) -> Result<Weight, QuantizationError> {
    let part = |suffix: &str| {
        let full = format!("{module}.{suffix}");
        match raw.tensors().get(&full) {
            Some(t) => Ok((full, t)),
            None => Err(raw.refuse(stored, format!("is quantized ({}) but `{full}` is missing", setting.mode.name))),
        }
    };
    let (scales_name, scales) = part("scales")?;
    let biases = setting.mode.floats.is_none().then(|| part("biases")).transpose()?;
    if biases.is_none() && raw.tensors().contains_key(&format!("{module}.biases")) {
        return Err(raw
            .refuse(&format!("{module}.biases"), format!("is there, but {} has none", setting.mode.name))
            .into());
    }
    let (&[rows, words], &[scale_rows, groups]) = (tensor.shape.as_slice(), scales.shape.as_slice()) else {
        return Err(raw
            .refuse(stored, format!("and its scales must be matrices, found {:?} and {:?}", tensor.shape, scales.shape))
            .into());
    };
    if tensor.dtype != Dtype::U32 {
        return Err(raw
            .refuse(stored, format!("has scales but is stored as {:?} instead of U32 codes", tensor.dtype))
            .into());
    }
    let other = biases.as_ref().filter(|(_, biases)| biases.shape != scales.shape);
    if other.is_some() || scale_rows != rows {
        let biases = other.map_or_else(String::new, |(_, b)| format!(" and biases {:?}", b.shape));
        let reason = format!("has {rows} rows, scales {:?}{biases}; they do not belong together", scales.shape);
        return Err(raw.refuse(stored, reason).into());
    }
    let bits = setting.bits as usize;
    let by_codes = words.checked_mul(32).filter(|n| n % bits == 0).map(|n| n / bits);
    let by_scales = groups.checked_mul(setting.group_size);
    let (Some(cols), true) = (by_codes, by_codes == by_scales) else {
        let reason = format!(
            "is declared as {setting:?}, but {words} words of codes and {groups} scales per row do not fit that{}",
            what_would_fit(words, groups)
        );
        return Err(raw.refuse(stored, reason).into());
    };
    let found = match &biases {
        Some((biases_name, biases)) => {
            raw.floats(&scales_name, scales)?;
            raw.floats(biases_name, biases)?;
            Scales::Affine { scales: floats(raw, scales), biases: floats(raw, biases) }
        }
        None if scales.dtype == Dtype::U8 => Scales::Bytes(raw.bytes(scales)),
        None => {
            let reason = format!("is stored as {:?}, but the scales of {} are U8", scales.dtype, setting.mode.name);
            return Err(raw.refuse(&scales_name, reason).into());
        }
    };
    let packed = Packed {
        rows,
        cols,
        bits: setting.bits,
        group_size: setting.group_size,
        codes: raw.bytes(tensor),
        scales: found,
        // A layer that looks its weights up gets them dequantized, whatever the others compute with.
        effective: if names::is_table(name) { Dequantization::Dequantized } else { effective },
    };
    let storage = Storage {
        dtype: format!("{:?}", scales.dtype),
        mode: Some(setting.mode.name),
        bits: Some(setting.bits),
        group_size: Some(setting.group_size as u32),
        bytes: [Some(tensor), Some(scales), biases.as_ref().map(|(_, b)| *b)]
            .into_iter()
            .flatten()
            .map(|t| raw.bytes(t).len() as u64)
            .sum(),
        file: tensor.file.clone(),
    };
    // The codes are there (the header was checked against the file), so this is at most 16 times the file.
    let row = |halves: &mut Halves, r, values: &mut [f32]| (setting.mode.dequantize_row)(&packed, r, values, halves);
    let kept = biases.map(|(_, biases)| (raw.kept(biases), format!("{:?}", biases.dtype)));
    let bytes = PackedBytes::new(raw.kept(tensor), raw.kept(scales), kept);
    Ok(Weight::matrix(name, [rows, cols], storage, row).with_packed(bytes))
}

fn floats<'a>(raw: &'a RawTensors, tensor: &RawTensor) -> Floats<'a> {
    let bytes = raw.bytes(tensor);
    match tensor.dtype {
        Dtype::F16 => Floats::F16(bytes),
        Dtype::BF16 => Floats::BF16(bytes),
        _ => Floats::F32(bytes),
    }
}

/// Which declarations the shapes would allow, in words.
fn what_would_fit(words: usize, groups: usize) -> String {
    let fits: Vec<String> = super::MODES
        .iter()
        .flat_map(|m| m.bits.iter().flat_map(move |b| m.group_sizes.iter().map(move |g| (*b, *g))))
        .filter(|(b, g)| {
            (words * 32).is_multiple_of(*b as usize) && groups.checked_mul(*g) == Some(words * 32 / *b as usize)
        })
        .map(|(b, g)| format!("{b} bits with group {g}"))
        .collect();
    if fits.is_empty() { String::new() } else { format!("; they would fit {}", fits.join(" or ")) }
}
