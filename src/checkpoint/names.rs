//! Names: what model classes put before the encoder's own names, and the names other programs give the same tensors.

use std::collections::BTreeMap;

/// Names that a program other than transformers gives to an architecture's tensors.
struct Dialect {
    /// Part of a name that no other dialect has.
    marker: &'static str,
    /// Parts of names, and what transformers calls them; the first that is found is replaced, of each group one.
    renames: &'static [&'static [(&'static str, &'static str)]],
}

/// To read another program's names, add a row.
const DIALECTS: &[Dialect] = &[
    // mlx-examples `bert/model.py`, MLXEmbedders of mlx-swift-lm
    Dialect {
        marker: ".attention.query_proj.",
        renames: &[
            &[("encoder.layers.", "encoder.layer.")],
            &[
                (".attention.query_proj.", ".attention.self.query."),
                (".attention.key_proj.", ".attention.self.key."),
                (".attention.value_proj.", ".attention.self.value."),
                (".attention.out_proj.", ".attention.output.dense."),
                (".ln1.", ".attention.output.LayerNorm."),
                (".linear1.", ".intermediate.dense."),
                (".linear2.", ".output.dense."),
                (".ln2.", ".output.LayerNorm."),
                ("embeddings.norm.", "embeddings.LayerNorm."),
            ],
            &[("pooler.dense.", "pooler.dense."), ("pooler.", "pooler.dense.")],
        ],
    },
];

/// Old names of LayerNorm's parameters (TensorFlow's).
const OLD: &[(&str, &str)] = &[("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")];

/// What stands before the first part of a name that tells a table of embeddings: `bert.` of
/// `bert.embeddings.word_embeddings.weight`, `model.` of `model.embed_tokens.weight`. Every encoder has such a table.
fn prefix(name: &str) -> Option<&str> {
    if name.starts_with("embed") {
        return Some("");
    }
    name.match_indices(".embed").next().map(|(dot, _)| &name[..=dot])
}

/// Maps stored names to the encoder's own as transformers has them (`embeddings.…`, `encoder.layer.N.…`), prefixes of
/// model classes (`bert.`, `model.`, `0.auto_model.`) taken off.
///
/// # Errors
/// A line that names two tensors which would get the same name.
pub fn canonical<'a>(names: impl Iterator<Item = &'a String> + Clone) -> Result<BTreeMap<String, String>, String> {
    let prefix = names.clone().filter_map(|n| prefix(n)).min_by_key(|p| p.len()).unwrap_or("");
    let dialect = DIALECTS.iter().find(|d| names.clone().any(|n| n.contains(d.marker)));
    let mut out: BTreeMap<String, String> = BTreeMap::new();
    let mut taken: BTreeMap<String, String> = BTreeMap::new();
    for stored in names {
        let mut name = stored.strip_prefix(prefix).unwrap_or(stored).to_owned();
        for group in dialect.iter().flat_map(|d| d.renames) {
            if let Some((from, to)) = group.iter().find(|(from, _)| name.contains(from)) {
                name = name.replacen(from, to, 1);
            }
        }
        if let Some((head, new)) = OLD.iter().find_map(|(old, new)| Some((name.strip_suffix(old)?, new))) {
            name = format!("{head}{new}");
        }
        if let Some(other) = taken.insert(name.clone(), stored.clone()) {
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

/// True for a table that rows are looked up in, by the name of its module.
pub fn is_table(name: &str) -> bool {
    let module = name.strip_suffix(".weight").and_then(|m| m.rsplit('.').next());
    module.is_some_and(|m| m.ends_with("embeddings") || ["embed_tokens", "relative_attention_bias"].contains(&m))
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
        let wrapped = ["0.auto_model.embeddings.a", "0.auto_model.encoder.layer.0.a"];
        assert!(map(&wrapped).unwrap().contains(&"encoder.layer.0.a".to_owned()));
        assert!(map(&["embeddings.LayerNorm.gamma", "embeddings.LayerNorm.weight"]).is_err());
        let albert = ["albert.embeddings.word_embeddings.weight", "albert.encoder.embedding_hidden_mapping_in.bias"];
        assert_eq!(map(&albert).unwrap()[0], "embeddings.word_embeddings.weight");
        let decoder = ["model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"];
        assert_eq!(map(&decoder).unwrap(), ["lm_head.weight", "embed_tokens.weight", "norm.weight"]);
    }

    #[test]
    fn dialects_become_the_names_of_transformers() {
        let map = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|s| (*s).to_owned()).collect();
            let map = canonical(names.iter()).unwrap();
            names.iter().map(|n| map[n].clone()).collect::<Vec<_>>()
        };
        let swift = [
            "encoder_model.embeddings.norm.weight",
            "encoder_model.encoder.layers.3.attention.query_proj.scales",
            "encoder_model.encoder.layers.3.ln1.bias",
            "encoder_model.encoder.layers.3.linear2.weight",
            "encoder_model.pooler.weight",
        ];
        let expected = [
            "embeddings.LayerNorm.weight",
            "encoder.layer.3.attention.self.query.scales",
            "encoder.layer.3.attention.output.LayerNorm.bias",
            "encoder.layer.3.output.dense.weight",
            "pooler.dense.weight",
        ];
        assert_eq!(map(&swift), expected);
        // names that are none of a dialect's are left alone, whatever parts they share with it
        let modern = ["embeddings.norm.weight", "layers.1.attn.Wo.weight"];
        assert_eq!(map(&modern), modern);
    }

    #[test]
    fn layers_are_told_by_their_number() {
        assert_eq!(super::layer_of("encoder.layer.11.output.dense.bias"), Some(11));
        assert_eq!(super::layer_of("layers.3.attn.Wqkv.weight"), Some(3));
        assert_eq!(super::layer_of("embeddings.1.bias"), None);
        assert_eq!(super::layer_of("layer"), None);
    }
}
