use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::*;

fn fixtures(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(below)
}

fn json_of(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("config.json")).unwrap()).unwrap()
}

fn parsed(value: &Value) -> ModelConfig {
    ModelConfig::parse(value.to_string().as_bytes(), "config.json").unwrap()
}

/// Every pair of fixtures: the reference's configuration and the one beside its MLX conversion.
fn pairs() -> Vec<(PathBuf, PathBuf)> {
    let mut out = Vec::new();
    for below in ["families", "zoo"] {
        for entry in std::fs::read_dir(fixtures(below)).unwrap() {
            let candidate = entry.unwrap().path();
            let name = candidate.file_name().unwrap().to_str().unwrap().to_owned();
            if let Some((model, _)) = name.split_once("-mlx-") {
                out.push((candidate.with_file_name(model), candidate));
            }
        }
    }
    assert!(out.len() >= 14, "{}", out.len());
    out
}

/// What speaks against a comparison, or the error that stops it.
fn against(reference: &Value, candidate: &Value) -> Result<Vec<String>, String> {
    let found = findings(Some(&parsed(reference)), &parsed(candidate)).map_err(|e| e.to_string())?;
    Ok(found
        .into_iter()
        .filter(|f| f.severity >= Severity::Failure)
        .map(|f| format!("{}: {}", f.code, f.message))
        .collect())
}

#[test]
fn honest_conversions_differ_in_nothing() {
    for (reference, candidate) in pairs() {
        let found = against(&json_of(&reference), &json_of(&candidate));
        assert_eq!(found, Ok(Vec::new()), "{}", candidate.display());
    }
}

/// The same settings as older and newer versions of transformers write them, and with defaults left out.
#[test]
fn another_way_to_say_the_same_is_the_same() {
    let new = json_of(&fixtures("zoo/tiny-modernbert"));
    let mut old = new.clone();
    for key in ["layer_types", "rope_parameters", "norm_bias", "attention_bias", "mlp_bias", "sep_token_id"] {
        old.as_object_mut().unwrap().shift_remove(key);
    }
    old["global_rope_theta"] = json!(160000);
    old["local_rope_theta"] = json!(10000.0);
    old["reference_compile"] = json!(true);
    old["torch_dtype"] = json!("float16");
    assert_eq!(against(&new, &old), Ok(Vec::new()));
    assert_eq!(against(&old, &new), Ok(Vec::new()));
    let gemma = json_of(&fixtures("families/tiny-gemma3"));
    let mut older = gemma.clone();
    older.as_object_mut().unwrap().shift_remove("rope_parameters");
    (older["rope_theta"], older["rope_local_base_freq"]) = (json!(1e6), json!(1e4));
    assert_eq!(against(&gemma, &older), Ok(Vec::new()));
}

/// Another value under `name` than the file says or means.
fn changed(config: &Value, name: &str, means: &Value) -> Value {
    let stated = config.get(name).filter(|v| !v.is_null());
    match (name, stated.unwrap_or(means)) {
        ("rope_parameters", _) => json!({"rope_type": "default", "rope_theta": 150000.0}),
        ("rope_scaling", _) => json!({"type": "linear", "factor": 2.0}),
        ("partial_rotary_factor", _) => json!(0.5),
        ("position_embedding_type", _) => json!("relative_key"),
        ("layer_types", Value::Array(all)) => {
            let mut all = all.clone();
            all[0] = json!(if all[0] == "full_attention" { "sliding_attention" } else { "full_attention" });
            Value::from(all)
        }
        (_, Value::Bool(flag)) => json!(!flag),
        (_, Value::Number(n)) if n.is_u64() => json!(n.as_u64().unwrap() * 2 + 1),
        (_, Value::Number(n)) => json!(n.as_f64().unwrap() * 1.1),
        (_, Value::Array(_)) => json!(4),
        _ => json!(7.0),
    }
}

/// Whatever an architecture declares, changed on either side, is a failure that names the key, or an error that does.
#[test]
fn every_declared_key_of_every_architecture_is_seen_when_it_changes_on_one_side() {
    let mut changes = 0;
    for (reference, _) in pairs() {
        let config = json_of(&reference);
        let architecture = Architecture::of(&parsed(&config), "test").unwrap();
        for key in architecture.keys() {
            let means = key.value(&parsed(&config)).unwrap();
            for name in key.names {
                let mut other = config.clone();
                other[*name] = changed(&config, name, &means);
                for (ours, theirs) in [(&config, &other), (&other, &config)] {
                    let said = match against(ours, theirs) {
                        Ok(found) => found.join("\n"),
                        Err(e) => e,
                    };
                    let names = key.names.iter().any(|n| said.contains(n)) || said.contains("rope_");
                    // What a pattern says is nothing where the layers are listed, unless both sides state it.
                    let unread = *name == "sliding_window_pattern" && config.get("layer_types").is_some();
                    assert!(names || unread, "{}: {name} = {}: {said:?}", reference.display(), other[*name]);
                    changes += 1;
                }
            }
        }
    }
    assert!(changes > 150, "{changes}");
}

#[test]
fn keys_that_change_numbers_are_refused_wherever_they_stand_and_unknown_ones_where_they_differ() {
    let bert = json_of(&fixtures("zoo/tiny-bert"));
    let said = |change: &dyn Fn(&mut Value)| {
        let mut other = bert.clone();
        change(&mut other);
        against(&bert, &other).unwrap().join("\n")
    };
    let quantized = said(&|c| c["quantization"] = json!({"bits": 8, "group_size": 64, "quantize_activations": true}));
    assert!(quantized.contains("`quantization.quantize_activations` is true"), "{quantized}");
    let quantized = said(&|c| c["quantization"] = json!({"encoder.layer.0": {"quantize_activations": true}}));
    assert!(quantized.contains("config.quantize_activations"), "{quantized}");
    for (key, value) in
        [("attention_logit_softcapping", json!(50.0)), ("pruned_heads", json!({"0": [1]})), ("scale_emb", json!(12))]
    {
        let told = said(&|c| c[key] = value.clone());
        assert!(told.starts_with(&format!("config.{key}: ")), "{told}");
        let mut both = bert.clone();
        both[key] = value;
        assert_eq!(against(&both, &both).unwrap().len(), 2, "{key} on both sides is not computed either");
    }
    for harmless in [json!(null), json!(false), json!(0)] {
        assert_eq!(said(&|c| c["quantize_activations"] = harmless.clone()), "");
    }
    let told = said(&|c| c["attention_flavour\n"] = json!("spicy"));
    assert!(
        told.contains("config.unknown_key") && told.contains(r"attention_flavour\n") && told.contains("spicy"),
        "{told}"
    );
    let mut both = bert.clone();
    both["attention_flavour"] = json!("spicy");
    assert_eq!(against(&both, &both), Ok(Vec::new()), "the control shows what it does to the reference");
}
