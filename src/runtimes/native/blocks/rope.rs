//! What configurations say about rotary position embeddings.

use serde_json::Value;

use super::super::NativeError;
use crate::checkpoint::ModelConfig;

/// The base θ of the rotation: `rope_parameters` in both its forms (one object, or one per kind of layer), else
/// `older`, the key of configurations before it, else `default`. Rotations that are scaled are refused.
///
/// Source: transformers `modeling_rope_utils.py`, `standardize_rope_params` and the configuration classes.
pub(in crate::runtimes::native) fn theta(
    config: &ModelConfig,
    label: &str,
    kind: Option<&str>,
    older: &'static str,
    default: f64,
) -> Result<f64, NativeError> {
    let refuse = |field: &str, found: &Value, expected: &str| NativeError::Unsupported {
        label: label.to_owned(),
        field: field.to_owned(),
        found: found.to_string().chars().take(60).collect(),
        expected: expected.to_owned(),
    };
    let stated = |name: &str| config.raw().get(name).filter(|v| !v.is_null());
    if let Some(scaling) = stated("rope_scaling") {
        let kind = scaling.get("rope_type").or(scaling.get("type")).and_then(Value::as_str);
        if kind != Some("default") {
            return Err(refuse("rope_scaling", scaling, "none (a rotation that is not scaled)"));
        }
    }
    let Some(all) = stated("rope_parameters") else {
        return Ok(config.positive(older)?.unwrap_or(default));
    };
    let own = kind.and_then(|kind| all.get(kind)).unwrap_or(all);
    match own.get("rope_type").and_then(Value::as_str) {
        None | Some("default") => {}
        Some(_) => return Err(refuse("rope_parameters", own, "a rope_type of `default`")),
    }
    match own.get("rope_theta").map(|v| (v, v.as_f64())) {
        None => Ok(config.positive(older)?.unwrap_or(default)),
        Some((_, Some(theta))) if theta > 0.0 && theta.is_finite() => Ok(theta),
        Some((found, _)) => Err(refuse("rope_parameters.rope_theta", found, "a number above 0")),
    }
}
