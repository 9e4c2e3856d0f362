use super::*;

fn config(model_type: &str, architecture: &str) -> ModelConfig {
    let json = serde_json::json!({"model_type": model_type, "architectures": [architecture], "hidden_size": 4,
        "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 4, "vocab_size": 4,
        "max_position_embeddings": 4, "sliding_window": 2});
    ModelConfig::parse(json.to_string().as_bytes(), "config.json").unwrap()
}

#[test]
fn a_name_is_its_newest_version_and_an_unknown_one_lists_the_known() {
    for name in ["mlx-embeddings", "mlx-vlm", "mlx-swift", REFERENCE] {
        assert_eq!(RUNTIMES.iter().filter(|r| r.name == name && r.newest).count(), 1, "{name}");
    }
    assert_eq!(KnownRuntime::find("mlx-embeddings").unwrap().version, "0.1.0");
    assert_eq!(KnownRuntime::find("mlx-embeddings@main").unwrap().version, "main");
    for unknown in ["mlx", "mlx-embeddings@9", "@", "x\ny"] {
        let message = KnownRuntime::find(unknown).unwrap_err().to_string();
        assert!(message.contains("mlx-embeddings@0.1.0, mlx-embeddings@main, mlx-vlm@"), "{message}");
        assert!(!message.contains('\n'));
    }
}

#[test]
fn the_default_depends_on_program_version_and_architecture() {
    let bert = config("bert", "BertModel");
    let of = |name: &str| KnownRuntime::find(name).unwrap();
    assert_eq!(of("mlx-embeddings").pools_always(&bert), Some(PoolingMode::Mean));
    assert_eq!(of("mlx-embeddings@main").pools_always(&bert), None, "it reads the file");
    assert_eq!(of("mlx-swift").computes(&bert).unwrap().silent.pooling(&bert), None);
    let qwen = config("qwen3", "Qwen3ForCausalLM");
    assert_eq!(of("mlx-embeddings").pools_always(&qwen), Some(PoolingMode::LastToken));
    let silent = |c: &ModelConfig| of(REFERENCE).computes(c).unwrap().silent.pooling(c);
    assert_eq!((silent(&qwen), silent(&bert)), (Some(PoolingMode::LastToken), Some(PoolingMode::Mean)));
    assert!(of("mlx-embeddings").computes(&config("albert", "AlbertModel")).is_none());
    assert_eq!(of("mlx-embeddings").deviations(&config("gemma3_text", "Gemma3TextModel"), false).len(), 2);
}

#[test]
fn lengths_end_at_the_positions() {
    let of = |name: &str, positions, stated| KnownRuntime::find(name).unwrap().longest(positions, stated);
    assert_eq!(of("mlx-embeddings", 8192, Some(8192)), 512);
    assert_eq!(of("mlx-embeddings", 256, None), 256);
    assert_eq!(KnownRuntime::find("mlx-embeddings").unwrap().takes(256), 512, "past the positions");
    assert_eq!(KnownRuntime::find("mlx-swift").unwrap().takes(256), 256);
    assert_eq!(of("mlx-vlm", 32_768, Some(32_768)), 8192);
    assert_eq!(of(REFERENCE, 512, Some(128)), 128);
    assert_eq!(of("mlx-swift", 512, Some(128)), 512);
}

#[test]
fn modules_are_what_the_program_makes_of_them() {
    let gemma = config("gemma3_text", "Gemma3TextModel");
    let bert = config("bert", "BertModel");
    let dense = |bias, activation| {
        Stage::Dense(DenseModule { path: "2_Dense".to_owned(), inputs: 4, outputs: 8, bias, activation })
    };
    let of = |name: &str, config: &ModelConfig, stated: &[Stage]| {
        KnownRuntime::find(name).unwrap().stages_always(config, stated)
    };
    let tanh = [dense(true, DenseActivation::Tanh), Stage::Normalize];
    let plain = [dense(false, DenseActivation::Identity), Stage::Normalize];
    assert_eq!(of("mlx-embeddings", &gemma, &tanh).unwrap(), plain, "no bias, no activation");
    assert_eq!(of("mlx-embeddings", &gemma, &plain).unwrap(), plain);
    assert_eq!(of("mlx-embeddings", &bert, &[]).unwrap(), [Stage::Normalize], "always at unit length");
    assert_eq!(of("mlx-embeddings", &bert, &tanh).unwrap(), tanh, "for callers to apply");
    assert_eq!(of("mlx-swift", &bert, &[]).unwrap(), [], "callers choose");
    assert_eq!(of(REFERENCE, &bert, &[]), None, "it reads the files");
    assert_eq!(of("mlx-embeddings", &config("albert", "AlbertModel"), &[]), None);
}

#[test]
fn masks_that_are_none_are_told_by_how_the_candidate_is_stored() {
    let told = |kind: &str, stored: Stored<'_>| -> usize {
        let row = KnownRuntime::find("mlx-embeddings").unwrap().computes(&config(kind, "Model")).unwrap();
        row.padded_nan.iter().filter(|nan| (nan.when)(stored)).count()
    };
    let plain = Stored { dtype: "BF16", packed: false, left: false };
    for kind in ["bert", "xlm_roberta", "modernbert", "gemma3_text", "qwen3"] {
        assert_eq!(told(kind, plain), 0, "{kind}");
    }
    assert_eq!(told("modernbert", Stored { dtype: "F16", ..plain }), 1);
    assert_eq!(told("modernbert", Stored { packed: true, ..plain }), 1);
    assert_eq!(told("gemma3_text", Stored { packed: true, ..plain }), 1);
    assert_eq!(told("qwen3", Stored { left: true, ..plain }), 1);
    assert_eq!(told("bert", Stored { dtype: "F16", packed: true, left: true }), 0);
}
