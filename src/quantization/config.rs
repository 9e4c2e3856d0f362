//! The `quantization` object of config.json: defaults and per-layer overrides.
//!
//! Source: ml-explore/mlx `mlx/nn/layers/quantized.py`, mlx-lm `utils.py`: overrides live inside the
//! same object, keyed by module path; what an override leaves out comes from its *mode's* defaults, not
//! from the global values.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{MODES, QuantizationMode};

/// Mode, bits and group size of one module.
#[derive(Clone, Copy)]
pub struct ModuleSetting {
    /// The mode.
    pub mode: &'static QuantizationMode,
    /// Bits per code.
    pub bits: u32,
    /// Codes per scale.
    pub group_size: usize,
}

impl std::fmt::Debug for ModuleSetting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} bits, group {}", self.mode.name, self.bits, self.group_size)
    }
}

/// What config.json says about quantization.
#[derive(Clone, Debug, Default)]
pub struct QuantizationConfig {
    /// For every module without an override; none when the model is not quantized.
    pub default: Option<ModuleSetting>,
    /// By module path; `None` is `false`: not quantized.
    pub overrides: BTreeMap<String, Option<ModuleSetting>>,
}

impl QuantizationConfig {
    /// Reads it from config.json.
    ///
    /// # Errors
    /// One line that says what is wrong, naming the module where there is one.
    pub fn parse(config: &Value) -> Result<Self, String> {
        let own = config.get("quantization").filter(|v| !v.is_null());
        let copy = config.get("quantization_config").filter(|v| !v.is_null());
        let object = match (own, copy) {
            (None, None) => return Ok(Self::default()),
            (Some(own), Some(copy)) if copy.get("group_size").is_some() && own != copy => {
                return Err("is stated twice, and `quantization` and `quantization_config` differ".to_owned());
            }
            (Some(own), _) => own,
            (None, Some(copy)) => {
                if let Some(method) = copy.get("quant_method") {
                    return Err(format!(
                        "uses method {method}, which is not MLX's; convert the model with mlx-embeddings"
                    ));
                }
                copy
            }
        };
        let object = object.as_object().ok_or("is not a JSON object")?;
        let default = setting("the default", object, None)?;
        let mut overrides = BTreeMap::new();
        for (module, value) in object.iter().filter(|(k, _)| !matches!(k.as_str(), "group_size" | "bits" | "mode")) {
            let setting = match value {
                Value::Bool(false) => None,
                Value::Bool(true) => Some(default),
                Value::Object(o) => Some(setting(&format!("of `{module}`"), o, Some(()))?),
                // Plain entries such as "quant_method": "mlx" are remarks, not modules.
                _ => continue,
            };
            overrides.insert(module.clone(), setting);
        }
        Ok(Self { default: Some(default), overrides })
    }

    /// What is declared for a module.
    pub fn of(&self, module: &str) -> Option<ModuleSetting> {
        self.overrides.get(module).copied().unwrap_or(self.default)
    }
}

/// One setting; an override fills what it leaves out from its mode, the global object must be complete.
fn setting(subject: &str, object: &Map<String, Value>, is_override: Option<()>) -> Result<ModuleSetting, String> {
    let name = match object.get("mode") {
        None => "affine",
        Some(Value::String(name)) => name,
        Some(other) => return Err(format!("{subject}: mode {other} is not a name")),
    };
    let mode = MODES.iter().find(|m| m.name == name).ok_or_else(|| {
        let known: Vec<_> = MODES.iter().map(|m| m.name).collect();
        format!("{subject}: mode `{name}` is not supported; parallax reads {}", known.join(", "))
    })?;
    let number = |key: &str, default: u64| match object.get(key) {
        Some(v) => v.as_u64().ok_or_else(|| format!("{subject}: {key} {v} is not a number")),
        None if is_override.is_some() => Ok(default),
        None => Err(format!("{subject}: {key} is missing")),
    };
    let bits = number("bits", u64::from(mode.default_bits))?;
    let group_size = number("group_size", mode.default_group_size as u64)?;
    let allowed = |list: String| format!("the mode `{name}` has {list}");
    let bits = mode
        .bits
        .iter()
        .copied()
        .find(|b| u64::from(*b) == bits)
        .ok_or_else(|| format!("{subject}: {bits} bits; {}", allowed(format!("{:?}", mode.bits))))?;
    let group_size =
        mode.group_sizes.iter().copied().find(|g| *g as u64 == group_size).ok_or_else(|| {
            format!("{subject}: group size {group_size}; {}", allowed(format!("{:?}", mode.group_sizes)))
        })?;
    Ok(ModuleSetting { mode, bits, group_size })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn overrides_take_their_modes_defaults_not_the_global_values() {
        let config = json!({"quantization": {"group_size": 32, "bits": 8, "a.b": {"bits": 4}, "c": false, "d": true}});
        let q = QuantizationConfig::parse(&config).unwrap();
        let show = |m: &str| q.of(m).map(|s| (s.bits, s.group_size));
        assert_eq!(show("x"), Some((8, 32)));
        assert_eq!(show("a.b"), Some((4, 64)));
        assert_eq!(show("c"), None);
        assert_eq!(show("d"), Some((8, 32)));
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for (config, word) in [
            (json!({"quantization": {"group_size": 64, "bits": 7}}), "7 bits"),
            (json!({"quantization": {"group_size": 16, "bits": 4}}), "group size 16"),
            (json!({"quantization": {"group_size": 64, "bits": 4, "mode": "nf4"}}), "nf4"),
            (json!({"quantization": {"bits": 4}}), "group_size is missing"),
            (json!({"quantization": {"group_size": 64, "bits": -4}}), "not a number"),
            (json!({"quantization": 4}), "not a JSON object"),
            (
                json!({"quantization": {"group_size": 64, "bits": 4}, "quantization_config": {"group_size": 32, "bits": 4}}),
                "twice",
            ),
            (json!({"quantization_config": {"quant_method": "awq"}}), "awq"),
        ] {
            let said = QuantizationConfig::parse(&config).unwrap_err();
            assert!(said.contains(word), "{said}");
        }
        assert!(QuantizationConfig::parse(&json!({})).unwrap().default.is_none());
    }
}
