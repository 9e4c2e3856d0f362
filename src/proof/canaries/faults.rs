//! The faults that are planted, one row each.
//!
//! All are planted in a copy of the candidate. A fault that does not exist in a model (heads to permute where there is
//! one) says so.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::checkpoint::{ModelConfig, PoolingMode, SentenceModules, Weight, layer_of};

/// Weights by name, about to be changed.
pub(crate) type Tensors = BTreeMap<String, Arc<Weight>>;

/// What was done and where, or why it cannot be done in this model.
pub(crate) type Planted = Result<String, &'static str>;

/// Where a fault is planted.
pub(crate) enum Plant {
    /// In the weights.
    Weights(fn(&ModelConfig, &mut Tensors) -> Planted),
    /// In the configuration.
    Config(fn(&mut ModelConfig) -> Planted),
    /// In the pooling.
    Pooling(fn(&mut SentenceModules) -> Planted),
    /// In which states are reported at which tap.
    Taps,
    /// In what a row's tokens may see.
    Padding,
    /// In the candidate's stored codes: judged by the gates on weights.
    Codes,
}

/// One fault.
pub(crate) struct Fault {
    pub(crate) id: &'static str,
    pub(crate) plant: Plant,
}

/// Every fault. To plant another, add a row.
pub(crate) const FAULTS: &[Fault] = &[
    Fault { id: "swapped_layers", plant: Plant::Weights(swapped_layers) },
    Fault { id: "permuted_heads", plant: Plant::Weights(permuted_heads) },
    Fault { id: "zeroed_bias", plant: Plant::Weights(zeroed_bias) },
    Fault { id: "position_offset", plant: Plant::Weights(position_offset) },
    Fault { id: "other_activation", plant: Plant::Config(other_activation) },
    Fault { id: "other_epsilon", plant: Plant::Config(other_epsilon) },
    Fault { id: "wrong_pooling", plant: Plant::Pooling(wrong_pooling) },
    Fault { id: "off_by_one_tap", plant: Plant::Taps },
    Fault { id: "unmasked_padding", plant: Plant::Padding },
    Fault { id: "code_in_one_group", plant: Plant::Codes },
];

/// The layer in the middle: neither end of the model is special to it.
fn middle(config: &ModelConfig) -> usize {
    config.num_hidden_layers / 2
}

fn of_layer(name: &str, k: usize) -> bool {
    layer_of(name) == Some(k)
}

/// The name of a tensor of layer `k` with the number of another layer.
fn renumbered(name: &str, from: usize, to: usize) -> String {
    let mut parts: Vec<String> = name.split('.').map(str::to_owned).collect();
    for i in 1..parts.len() {
        if parts[i - 1].starts_with("layer") && parts[i] == from.to_string() {
            parts[i] = to.to_string();
            break;
        }
    }
    parts.join(".")
}

fn swapped_layers(config: &ModelConfig, tensors: &mut Tensors) -> Planted {
    let (b, Some(a)) = (middle(config), middle(config).checked_sub(1)) else {
        return Err("the model has one layer");
    };
    let names: Vec<String> = tensors.keys().filter(|n| of_layer(n, a)).cloned().collect();
    for name in &names {
        let twin = renumbered(name, a, b);
        if let (Some(x), Some(y)) = (tensors.get(name).cloned(), tensors.get(&twin).cloned()) {
            tensors.insert(name.clone(), y);
            tensors.insert(twin, x);
        }
    }
    if names.is_empty() { Err("no tensor names tell the layers") } else { Ok(format!("layers {a} and {b} swapped")) }
}

/// Rows `a` and `b` (of `size` values each) of a tensor, changed places.
fn swap_blocks(weight: &Weight, size: usize, a: usize, b: usize) -> Weight {
    weight.changed(|values| (0..size).for_each(|i| values.swap(a * size + i, b * size + i)))
}

/// The first tensor of layer `k` whose name ends in one of `ends`.
fn find(tensors: &Tensors, k: usize, ends: &[&str]) -> Option<String> {
    tensors.keys().find(|n| of_layer(n, k) && ends.iter().any(|e| n.ends_with(e))).cloned()
}

fn permuted_heads(config: &ModelConfig, tensors: &mut Tensors) -> Planted {
    if config.num_attention_heads < 2 {
        return Err("the model has one attention head");
    }
    let k = middle(config);
    let own = find(tensors, k, &["query.weight", "q_proj.weight", "q_lin.weight", "attn.q.weight"]);
    // Queries, keys and values in one matrix: the queries are its first third.
    let (parts, weight) = match own {
        Some(name) => (1, Some(name)),
        None => (3, find(tensors, k, &["Wqkv.weight"])),
    };
    let Some(name) = weight else { return Err("the middle layer has no query matrix of its own") };
    let bias = name.replace(".weight", ".bias");
    for name in [name, bias] {
        if let Some(old) = tensors.get(&name).cloned() {
            let block = old.len() / parts / config.num_attention_heads;
            tensors.insert(name, Arc::new(swap_blocks(&old, block, 0, 1)));
        }
    }
    Ok(format!("query heads 0 and 1 of layer {k} swapped"))
}

fn zeroed_bias(config: &ModelConfig, tensors: &mut Tensors) -> Planted {
    let k = middle(config);
    let is_bias =
        |n: &&String, w: &Weight| n.ends_with(".bias") && !n.contains("Norm") && w.rows().iter().any(|v| *v != 0.0);
    // A key's bias moves all scores of a query alike and so changes nothing: not that one.
    let found = tensors.iter().filter(|(n, _)| of_layer(n, k) && ["key", "k_", ".k."].iter().all(|k| !n.contains(k)));
    let found = found.filter(|(n, w)| is_bias(n, w)).map(|(n, _)| n.clone()).next();
    let Some(name) = found else { return Err("no bias but zeros in the middle layer") };
    if let Some(old) = tensors.get(&name).cloned() {
        tensors.insert(name.clone(), Arc::new(old.changed(|values| values.fill(0.0))));
    }
    Ok(format!("{name} set to zero"))
}

fn position_offset(config: &ModelConfig, tensors: &mut Tensors) -> Planted {
    let name = tensors.keys().find(|n| n.contains("position_embeddings")).cloned();
    let Some((name, old)) = name.and_then(|n| Some((n.clone(), tensors.get(&n)?.clone()))) else {
        return Err("the model has no position table");
    };
    let changed = old.changed(|values| values.rotate_left(config.hidden_size.min(old.len())));
    tensors.insert(name, Arc::new(changed));
    Ok("positions counted from 1".to_owned())
}

fn other_activation(config: &mut ModelConfig) -> Planted {
    let (from, to) = if config.hidden_act == "gelu" { ("erf", "gelu_new") } else { ("the model's own", "gelu") };
    let planted =
        format!("{} in place of {from} ({})", if to == "gelu" { "erf-GELU" } else { "tanh-GELU" }, config.hidden_act);
    config.hidden_act = to.to_owned();
    Ok(planted)
}

/// The two epsilons models are mistaken with.
const EPSILONS: (f64, f64) = (1e-12, 1e-5);

fn other_epsilon(config: &mut ModelConfig) -> Planted {
    let (old, new) = (config.layer_norm_eps, if config.layer_norm_eps < 1e-8 { EPSILONS.1 } else { EPSILONS.0 });
    config.layer_norm_eps = new;
    Ok(format!("LayerNorm epsilon {new:e} in place of {old:e}"))
}

fn wrong_pooling(modules: &mut SentenceModules) -> Planted {
    let new = if modules.pooling == [PoolingMode::Cls] { PoolingMode::Mean } else { PoolingMode::Cls };
    let planted = format!("{new} pooling in place of {}", modules.pooling_name());
    modules.pooling = vec![new];
    modules.dimension = None;
    Ok(planted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_layer_has_another_number() {
        assert_eq!(renumbered("encoder.layer.1.a.1", 1, 0), "encoder.layer.0.a.1");
        assert_eq!(renumbered("layers.3.attn.Wqkv.weight", 3, 12), "layers.12.attn.Wqkv.weight");
    }

    #[test]
    fn every_fault_has_a_name_of_its_own() {
        let mut ids: Vec<&str> = FAULTS.iter().map(|f| f.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), FAULTS.len());
    }
}
