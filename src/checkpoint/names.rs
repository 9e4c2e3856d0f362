//! Names: the prefixes that model classes put before the encoder's own names, and the old names of
//! LayerNorm's parameters.

use std::collections::BTreeMap;

/// Prefixes of model classes, taken off when every encoder tensor carries the same one.
const PREFIXES: &[&str] = &["bert.", "roberta.", "model.", "0.auto_model.", "encoder_model."];

/// First parts of an encoder's own names.
const ROOTS: &[&str] = &["embeddings.", "encoder."];

/// Maps stored names to encoder names (`embeddings.…`, `encoder.layer.N.…`, `pooler.…`).
///
/// # Errors
/// A line that names two tensors which would get the same name.
pub fn canonical<'a>(names: impl Iterator<Item = &'a String> + Clone) -> Result<BTreeMap<String, String>, String> {
    let rooted = |name: &str| ROOTS.iter().any(|root| name.starts_with(root));
    let prefix = if names.clone().any(|n| rooted(n)) {
        ""
    } else {
        PREFIXES.iter().copied().find(|p| names.clone().any(|n| n.strip_prefix(p).is_some_and(rooted))).unwrap_or("")
    };
    let mut out: BTreeMap<String, String> = BTreeMap::new();
    for stored in names {
        let name = stored.strip_prefix(prefix).unwrap_or(stored);
        let name = match name.strip_suffix("LayerNorm.gamma") {
            Some(head) => format!("{head}LayerNorm.weight"),
            None => match name.strip_suffix("LayerNorm.beta") {
                Some(head) => format!("{head}LayerNorm.bias"),
                None => name.to_owned(),
            },
        };
        if let Some((other, _)) = out.iter().find(|(_, n)| **n == name) {
            return Err(format!("tensors `{other}` and `{stored}` are both `{name}`"));
        }
        out.insert(stored.clone(), name);
    }
    Ok(out)
}

/// A buffer that older checkpoints carry and no encoder reads.
pub fn is_buffer(name: &str) -> bool {
    name.ends_with("position_ids") || name.ends_with("token_type_ids")
}

/// The layer a tensor belongs to: the number behind the first `layer`, `layers` or the like in its name,
/// whatever stands before it.
pub fn layer_of(name: &str) -> Option<usize> {
    let pairs = name.split('.').zip(name.split('.').skip(1));
    pairs.filter(|(word, _)| word.starts_with("layer")).find_map(|(_, number)| number.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_prefix_is_taken_off_and_collisions_are_named() {
        let map = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|s| (*s).to_owned()).collect();
            canonical(names.iter()).map(|m| m.into_values().collect::<Vec<_>>())
        };
        assert_eq!(map(&["bert.embeddings.a", "bert.encoder.layer.0.LayerNorm.gamma", "cls.x"]).unwrap().len(), 3);
        assert!(map(&["bert.embeddings.a", "cls.x"]).unwrap().contains(&"embeddings.a".to_owned()));
        assert!(map(&["0.auto_model.encoder.layer.0.a"]).unwrap().contains(&"encoder.layer.0.a".to_owned()));
        assert!(map(&["embeddings.LayerNorm.gamma", "embeddings.LayerNorm.weight"]).is_err());
    }

    #[test]
    fn layers_are_told_by_their_number() {
        assert_eq!(super::layer_of("encoder.layer.11.output.dense.bias"), Some(11));
        assert_eq!(super::layer_of("layers.3.attn.Wqkv.weight"), Some(3));
        assert_eq!(super::layer_of("embeddings.1.bias"), None);
        assert_eq!(super::layer_of("layer"), None);
    }
}
