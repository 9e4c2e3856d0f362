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
    // Some heads are turned in part only.
    let fraction = |all: &Value, name: &str| match all.get(name).filter(|v| !v.is_null()) {
        Some(part) if part.as_f64() != Some(1.0) => Err(refuse(name, part, "1.0 (whole heads are turned)")),
        _ => Ok(()),
    };
    if let Some(part) = config.stated("partial_rotary_factor")? {
        fraction(&serde_json::json!({"partial_rotary_factor": part}), "partial_rotary_factor")?;
    }
    if let Some(scaling) = config.stated("rope_scaling")? {
        let kind = scaling.get("rope_type").or(scaling.get("type")).and_then(Value::as_str);
        if kind != Some("default") {
            return Err(refuse("rope_scaling", scaling, "none (a rotation that is not scaled)"));
        }
    }
    let older_theta = config.positive(older)?;
    let Some(all) = config.stated("rope_parameters")? else { return Ok(older_theta.unwrap_or(default)) };
    let own = kind.and_then(|kind| all.get(kind)).unwrap_or(all);
    fraction(own, "partial_rotary_factor")?;
    match own.get("rope_type").and_then(Value::as_str) {
        None | Some("default") => {}
        Some(_) => return Err(refuse("rope_parameters", own, "a rope_type of `default`")),
    }
    match own.get("rope_theta").map(|v| (v, v.as_f64())) {
        None => Ok(older_theta.unwrap_or(default)),
        Some((_, Some(theta))) if theta > 0.0 && theta.is_finite() => match older_theta {
            // Transformers 5 reads the one, transformers 4 and MLX the other.
            Some(other) if other != theta => Err(refuse(
                older,
                &other.into(),
                &format!("the {theta} that `rope_parameters` says; remove the wrong one of the two"),
            )),
            _ => Ok(theta),
        },
        Some((found, _)) => Err(refuse("rope_parameters.rope_theta", found, "a number above 0")),
    }
}
