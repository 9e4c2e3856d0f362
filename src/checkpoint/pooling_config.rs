//! One statement of a pooling: `1_Pooling/config.json` in both generations, or mlx's `pooling_config`.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

use super::modules_error::{ModulesError, malformed};

/// `(mode, its name, its legacy boolean)` in forward order, the order legacy modes are concatenated in.
const POOLING_MODES: &[(PoolingMode, &str, &str)] = &[
    (PoolingMode::Cls, "cls", "pooling_mode_cls_token"),
    (PoolingMode::Max, "max", "pooling_mode_max_tokens"),
    (PoolingMode::Mean, "mean", "pooling_mode_mean_tokens"),
    (PoolingMode::MeanSqrtLen, "mean_sqrt_len_tokens", "pooling_mode_mean_sqrt_len_tokens"),
    (PoolingMode::WeightedMean, "weightedmean", "pooling_mode_weightedmean_tokens"),
    (PoolingMode::LastToken, "lasttoken", "pooling_mode_lasttoken"),
];

/// More concatenated modes than there are modes is no pooling anybody trained.
const MAX_POOLING_MODES: usize = 6;
/// How a row's token vectors become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PoolingMode {
    /// The first token.
    Cls,
    /// The largest value of each dimension.
    Max,
    /// The mean.
    Mean,
    /// The sum over the square root of the number of tokens.
    MeanSqrtLen,
    /// The mean with weights 1, 2, 3, … (Muennighoff 2022, SGPT).
    WeightedMean,
    /// The last token.
    LastToken,
}

impl fmt::Display for PoolingMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(POOLING_MODES.iter().find(|(m, _, _)| m == self).map_or("", |(_, name, _)| name))
    }
}

/// A pooling name that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown pooling `{0}`; poolings are cls, max, mean, mean_sqrt_len_tokens, weightedmean, lasttoken")]
pub struct UnknownPooling(pub String);

impl FromStr for PoolingMode {
    type Err = UnknownPooling;

    fn from_str(s: &str) -> Result<Self, UnknownPooling> {
        let known = POOLING_MODES.iter().find(|(_, name, _)| s.eq_ignore_ascii_case(name));
        known.map(|(mode, _, _)| *mode).ok_or_else(|| UnknownPooling(s.chars().take(40).collect()))
    }
}

/// One statement of a pooling.
pub(super) struct Pooling {
    pub(super) modes: Vec<PoolingMode>,
    pub(super) dimension: Option<usize>,
    pub(super) include_prompt: bool,
    pub(super) file: String,
}

impl Pooling {
    /// `pooling_mode` (a name, or a list concatenated as listed) wins over the legacy booleans
    /// (concatenated in forward order); none of them set means mean. As sentence-transformers does.
    pub(super) fn parse(value: &Value, file: &str) -> Result<Self, ModulesError> {
        let map = object(value, file)?;
        let mode = |v: &Value| -> Result<PoolingMode, ModulesError> {
            let name = v.as_str().ok_or_else(|| malformed(file, "`pooling_mode` must be a name or a list of names"))?;
            name.parse().map_err(|e: UnknownPooling| malformed(file, e.to_string().escape_debug().to_string()))
        };
        let mut modes = match map.get("pooling_mode") {
            Some(Value::Array(list)) if list.len() > MAX_POOLING_MODES => {
                return Err(malformed(
                    file,
                    format!("{} pooling modes, at most {MAX_POOLING_MODES} exist", list.len()),
                ));
            }
            Some(Value::Array(list)) => list.iter().map(mode).collect::<Result<_, _>>()?,
            Some(Value::Null) | None => {
                let mut on = Vec::new();
                for (mode, _, key) in POOLING_MODES {
                    if flag(map, key, file)?.unwrap_or(false) {
                        on.push(*mode);
                    }
                }
                on
            }
            Some(one) => vec![mode(one)?],
        };
        if let Some(key) =
            map.keys().find(|k| k.starts_with("pooling_mode_") && !POOLING_MODES.iter().any(|(_, _, known)| known == k))
        {
            let key: String = key.escape_default().take(60).collect();
            return Err(malformed(file, format!("unknown pooling `{key}`")));
        }
        if modes.is_empty() {
            modes.push(PoolingMode::Mean);
        }
        let dimension = match whole(map, "embedding_dimension", file)? {
            Some(n) => Some(n),
            None => whole(map, "word_embedding_dimension", file)?,
        };
        let include_prompt = flag(map, "include_prompt", file)?.unwrap_or(true);
        Ok(Self { modes, dimension, include_prompt, file: file.to_owned() })
    }

    pub(super) fn names(&self) -> String {
        self.modes.iter().map(PoolingMode::to_string).collect::<Vec<_>>().join("+")
    }
}

pub(super) fn object<'a>(value: &'a Value, file: &str) -> Result<&'a Map<String, Value>, ModulesError> {
    value.as_object().ok_or_else(|| malformed(file, "a JSON object expected"))
}

pub(super) fn flag(map: &Map<String, Value>, key: &str, file: &str) -> Result<Option<bool>, ModulesError> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(b)) => Ok(Some(*b)),
        Some(_) => Err(malformed(file, format!("`{key}` must be true or false"))),
    }
}

pub(super) fn whole(map: &Map<String, Value>, key: &str, file: &str) -> Result<Option<usize>, ModulesError> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(v) => match v.as_u64().and_then(|n| usize::try_from(n).ok()) {
            Some(n) if (1..1 << 32).contains(&n) => Ok(Some(n)),
            _ => Err(malformed(file, format!("`{key}` must be a positive whole number"))),
        },
    }
}
