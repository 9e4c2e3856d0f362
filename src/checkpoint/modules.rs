//! What follows the encoder, as sentence-transformers writes it down: pooling, Normalize, length limit.
//!
//! Source: UKPLab/sentence-transformers `models/Pooling.py` and its successor
//! `sentence_transformer/modules/pooling.py`; both families of module names and both spellings of the
//! pooling configuration are read.

use serde_json::Value;

use super::{CheckpointError, ModelConfig};

/// How token states become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PoolingMode {
    /// The first token's state.
    Cls,
    /// The largest value of each dimension.
    Max,
    /// The mean.
    Mean,
    /// The sum over the square root of the token count.
    MeanSqrtLen,
    /// The mean weighted by position, from 1.
    WeightedMean,
    /// The last token's state.
    LastToken,
}

/// Modes in the order in which sentence-transformers concatenates them, with the two spellings.
const SPELLINGS: &[(PoolingMode, &str, &str)] = &[
    (PoolingMode::Cls, "cls", "pooling_mode_cls_token"),
    (PoolingMode::Max, "max", "pooling_mode_max_tokens"),
    (PoolingMode::Mean, "mean", "pooling_mode_mean_tokens"),
    (PoolingMode::MeanSqrtLen, "mean_sqrt_len_tokens", "pooling_mode_mean_sqrt_len_tokens"),
    (PoolingMode::WeightedMean, "weightedmean", "pooling_mode_weightedmean_tokens"),
    (PoolingMode::LastToken, "lasttoken", "pooling_mode_lasttoken"),
];

impl PoolingMode {
    /// Its name in a pooling configuration.
    pub fn name(self) -> &'static str {
        SPELLINGS.iter().find(|(m, ..)| *m == self).map_or("", |(_, name, _)| name)
    }
}

/// What follows the encoder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentenceModules {
    /// Modes, concatenated in this order.
    pub pooling: Vec<PoolingMode>,
    /// L2 normalisation at the end.
    pub normalize: bool,
    /// Tokens per row at most, where stated.
    pub max_seq_length: Option<usize>,
    /// The file that states the pooling.
    pub stated_in: String,
}

impl SentenceModules {
    /// Pooling as one word: `mean`, `cls+max`.
    pub fn pooling_name(&self) -> String {
        self.pooling.iter().map(|m| m.name()).collect::<Vec<_>>().join("+")
    }

    /// Reads a folder's files through `read`; none when nothing there states a pooling.
    ///
    /// # Errors
    /// A module parallax does not run is an error that names it: leaving one out would compare
    /// something else than what users get.
    pub fn read(
        folder: &str,
        read: impl Fn(&str) -> Result<Option<Vec<u8>>, CheckpointError>,
    ) -> Result<Option<Self>, CheckpointError> {
        let json = |name: &str| -> Result<Option<Value>, CheckpointError> {
            let Some(bytes) = read(name)? else { return Ok(None) };
            serde_json::from_slice(&bytes).map(Some).map_err(|e| CheckpointError::Malformed {
                file: format!("{folder}/{name}"),
                reason: format!("is not JSON: {e}"),
            })
        };
        let max_seq_length = json("sentence_bert_config.json")?
            .and_then(|v| v.get("max_seq_length").and_then(Value::as_u64))
            .and_then(|n| usize::try_from(n).ok());
        let Some(modules) = json("modules.json")? else {
            let config = json("config.json")?;
            let Some(pooling) = config.as_ref().and_then(|c| c.get("pooling_config")) else { return Ok(None) };
            let stated_in = "config.json".to_owned();
            let pooling = modes(pooling, &format!("{folder}/{stated_in}"))?;
            return Ok(Some(Self { pooling, normalize: true, max_seq_length, stated_in }));
        };
        let file = format!("{folder}/modules.json");
        let malformed = |reason: &str| CheckpointError::Malformed { file: file.clone(), reason: reason.to_owned() };
        let (mut pooling, mut normalize) = (None, false);
        for (i, module) in modules.as_array().ok_or_else(|| malformed("is not a list"))?.iter().enumerate() {
            let kind =
                module.get("type").and_then(Value::as_str).ok_or_else(|| malformed("has a module without a type"))?;
            let path = module.get("path").and_then(Value::as_str).unwrap_or("");
            match (kind.rsplit('.').next().unwrap_or(kind), i, &pooling) {
                ("Transformer", 0, _) => {}
                ("Pooling", _, None) if !normalize => {
                    let stated_in = format!("{path}/config.json");
                    let config = json(&stated_in)?.ok_or_else(|| CheckpointError::Absent {
                        folder: folder.to_owned(),
                        name: stated_in.clone(),
                    })?;
                    pooling = Some((modes(&config, &format!("{folder}/{stated_in}"))?, stated_in));
                }
                ("Normalize", _, Some(_)) => normalize = true,
                (other, ..) => {
                    let reason = format!(
                        "module {i} (`{other}`) is not supported there; Transformer, Pooling and Normalize are, in this order"
                    );
                    return Err(CheckpointError::Unsupported { file, reason });
                }
            }
        }
        Ok(pooling.map(|(pooling, stated_in)| Self { pooling, normalize, max_seq_length, stated_in }))
    }
}

/// The modes of one pooling configuration; none set is `mean`, as in sentence-transformers.
fn modes(config: &Value, file: &str) -> Result<Vec<PoolingMode>, CheckpointError> {
    let unsupported = |what: String| CheckpointError::Unsupported { file: file.to_owned(), reason: what };
    let mut found = Vec::new();
    match config.get("pooling_mode") {
        Some(Value::String(name)) => {
            found.push(mode_named(name).ok_or_else(|| unsupported(format!("pooling mode `{name}` is not supported")))?)
        }
        Some(Value::Array(names)) => {
            for name in names {
                let name = name.as_str().unwrap_or("?");
                found.push(
                    mode_named(name).ok_or_else(|| unsupported(format!("pooling mode `{name}` is not supported")))?,
                );
            }
        }
        _ => {
            for (key, value) in config.as_object().into_iter().flatten().filter(|(k, _)| k.starts_with("pooling_mode_"))
            {
                match (SPELLINGS.iter().find(|(.., legacy)| legacy == key), value.as_bool()) {
                    (Some((mode, ..)), Some(true)) => found.push(*mode),
                    (_, Some(false)) => {}
                    _ => return Err(unsupported(format!("{key} = {value} is not supported"))),
                }
            }
        }
    }
    if config.get("include_prompt") == Some(&Value::Bool(false)) {
        return Err(unsupported("include_prompt = false is not supported yet".to_owned()));
    }
    found.sort_unstable();
    found.dedup();
    Ok(if found.is_empty() { vec![PoolingMode::Mean] } else { found })
}

fn mode_named(name: &str) -> Option<PoolingMode> {
    let name = if name == "mean_sqrt_len" { "mean_sqrt_len_tokens" } else { name };
    SPELLINGS.iter().find(|(_, n, _)| *n == name).map(|(m, ..)| *m)
}

/// Tokens per row: as told, else as sentence-transformers states it, else what the positions allow.
pub fn max_sequence_length(told: Option<usize>, modules: Option<&SentenceModules>, config: &ModelConfig) -> usize {
    told.or_else(|| modules.and_then(|m| m.max_seq_length)).unwrap_or(usize::MAX).min(config.max_position_embeddings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, &str)]) -> Result<Option<SentenceModules>, CheckpointError> {
        let files: std::collections::BTreeMap<String, Vec<u8>> =
            files.iter().map(|(n, t)| ((*n).to_owned(), t.as_bytes().to_vec())).collect();
        SentenceModules::read("m", |name| Ok(files.get(name).cloned()))
    }

    #[test]
    fn both_families_of_names_and_both_spellings() {
        let old = r#"[{"idx":0,"path":"","type":"sentence_transformers.models.Transformer"},{"idx":1,"path":"1_Pooling","type":"sentence_transformers.models.Pooling"},{"idx":2,"path":"2_Normalize","type":"sentence_transformers.models.Normalize"}]"#;
        let new = r#"[{"path":"","type":"sentence_transformers.base.modules.transformer.Transformer"},{"path":"1_Pooling","type":"sentence_transformers.sentence_transformer.modules.pooling.Pooling"}]"#;
        let m = read(&[
            ("modules.json", old),
            ("1_Pooling/config.json", r#"{"pooling_mode_cls_token":true,"pooling_mode_mean_tokens":true}"#),
            ("sentence_bert_config.json", r#"{"max_seq_length":128}"#),
        ])
        .unwrap()
        .unwrap();
        assert_eq!((m.pooling_name().as_str(), m.normalize, m.max_seq_length), ("cls+mean", true, Some(128)));
        let m = read(&[("modules.json", new), ("1_Pooling/config.json", r#"{"pooling_mode":"lasttoken"}"#)])
            .unwrap()
            .unwrap();
        assert_eq!((m.pooling_name().as_str(), m.normalize), ("lasttoken", false));
        assert_eq!(read(&[]).unwrap(), None);
        let m = read(&[("config.json", r#"{"pooling_config":{"pooling_mode":"cls"}}"#)]).unwrap().unwrap();
        assert_eq!(m.pooling, [PoolingMode::Cls]);
    }

    #[test]
    fn a_module_or_mode_that_cannot_be_run_is_never_left_out() {
        let dense = r#"[{"path":"","type":"x.Transformer"},{"path":"1_Pooling","type":"x.Pooling"},{"path":"2_Dense","type":"x.Dense"}]"#;
        let plain = r#"[{"path":"","type":"x.Transformer"},{"path":"1_Pooling","type":"x.Pooling"}]"#;
        for (modules, pooling) in [
            (dense, "{}"),
            (plain, r#"{"pooling_mode":"attention"}"#),
            (plain, r#"{"pooling_mode_magic":true}"#),
            (plain, r#"{"include_prompt":false}"#),
        ] {
            let e = read(&[("modules.json", modules), ("1_Pooling/config.json", pooling)]).unwrap_err();
            assert!(matches!(e, CheckpointError::Unsupported { .. }), "{e}");
        }
        assert!(read(&[("modules.json", plain)]).is_err());
        assert!(read(&[("modules.json", "{}")]).is_err());
        assert!(read(&[("modules.json", "[")]).is_err());
    }
}
