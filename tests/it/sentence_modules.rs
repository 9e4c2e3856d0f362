//! A model folder's pooling, normalization and length are read as sentence-transformers reads them.

use std::collections::BTreeMap;

use parallax::checkpoint::PoolingMode::{self, *};
use parallax::checkpoint::{
    DenseActivation, DenseModule, ModelConfig, ModulesError, SentenceModules, Stage, max_sequence_length,
    stated_model_max_length,
};
use parallax::fault::Fault;
use serde_json::{Value, json};

type Folder = BTreeMap<&'static str, Value>;

fn read(folder: &Folder) -> Result<Option<SentenceModules>, ModulesError> {
    SentenceModules::read(|file| Ok(folder.get(file).map(|v| v.to_string().into_bytes())))
}

fn pooling(config: Value) -> Result<Vec<PoolingMode>, ModulesError> {
    Ok(read(&Folder::from([("1_Pooling/config.json", config)]))?.unwrap().pooling)
}

fn modules(types: &[&str]) -> Value {
    let paths = ["", "1_Pooling", "2_Normalize", "3_Extra"];
    types.iter().zip(paths).enumerate().map(|(i, (t, p))| json!({"idx": i, "name": i, "path": p, "type": t})).collect()
}

const OLD: [&str; 3] = [
    "sentence_transformers.models.Transformer",
    "sentence_transformers.models.Pooling",
    "sentence_transformers.models.Normalize",
];
const NEW: [&str; 3] = [
    "sentence_transformers.base.modules.transformer.Transformer",
    "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
    "sentence_transformers.sentence_transformer.modules.normalize.Normalize",
];

#[test]
fn both_name_families_are_read() {
    for types in [OLD, NEW] {
        let folder = Folder::from([
            ("modules.json", modules(&types)),
            ("1_Pooling/config.json", json!({"word_embedding_dimension": 384, "pooling_mode_cls_token": true})),
            ("sentence_bert_config.json", json!({"max_seq_length": 256, "do_lower_case": true})),
        ]);
        let found = read(&folder).unwrap().unwrap();
        let expected = SentenceModules {
            pooling: vec![Cls],
            dimension: Some(384),
            include_prompt: true,
            stages: vec![Stage::Normalize],
            max_seq_length: Some(256),
            do_lower_case: true,
            stated_in: Some("1_Pooling/config.json".into()),
        };
        assert_eq!(found, expected);
        let mut folder = folder;
        folder.insert("modules.json", modules(&types[..2]));
        assert!(!read(&folder).unwrap().unwrap().normalize());
    }
}

#[test]
fn legacy_booleans_concatenate_in_forward_order_and_new_names_as_listed() {
    let all = json!({
        "pooling_mode_lasttoken": true, "pooling_mode_weightedmean_tokens": true,
        "pooling_mode_mean_sqrt_len_tokens": true, "pooling_mode_mean_tokens": true,
        "pooling_mode_max_tokens": true, "pooling_mode_cls_token": true
    });
    assert_eq!(pooling(all).unwrap(), [Cls, Max, Mean, MeanSqrtLen, WeightedMean, LastToken]);
    assert_eq!(pooling(json!({"pooling_mode_mean_tokens": false, "pooling_mode_max_tokens": true})).unwrap(), [Max]);
    assert_eq!(pooling(json!({})).unwrap(), [Mean], "none set means mean");
    assert_eq!(pooling(json!({"pooling_mode": "cls", "pooling_mode_mean_tokens": true})).unwrap(), [Cls]);
    assert_eq!(pooling(json!({"pooling_mode": ["mean", "cls"]})).unwrap(), [Mean, Cls]);
    assert_eq!(pooling(json!({"pooling_mode": "lasttoken"})).unwrap(), [LastToken]);
}

#[test]
fn poolings_that_do_not_exist_are_errors() {
    let bad = [
        json!({"pooling_mode": "median"}),
        json!({"pooling_mode": ["mean", 3]}),
        json!({"pooling_mode": 3}),
        json!({"pooling_mode": vec!["mean"; 7]}),
        json!({"pooling_mode_mean_tokens": "yes"}),
        json!({"pooling_mode_median_tokens": true}),
        json!({"word_embedding_dimension": -1}),
        json!([]),
    ];
    for config in bad {
        let e = pooling(config.clone()).expect_err(&config.to_string());
        assert_eq!(e.fault(), Fault::BadInput, "{e}");
        assert!(e.to_string().starts_with("1_Pooling/config.json: ") && !e.to_string().contains('\n'), "{e}");
    }
}

#[test]
fn a_module_we_do_not_compute_is_named_and_never_skipped() {
    for stray in ["sentence_transformers.models.CNN", "my_code.Pooling", "Transformer", "x\ny"] {
        let folder =
            Folder::from([("modules.json", modules(&[OLD[0], OLD[1], stray])), ("1_Pooling/config.json", json!({}))]);
        let e = read(&folder).unwrap_err();
        assert_eq!(e.fault(), Fault::Incomparable);
        let message = e.to_string();
        assert!(message.contains("module 2") && !message.contains('\n'), "{message}");
        assert!(message.contains(&stray.escape_default().to_string()), "{message}");
    }
}

#[test]
fn modules_behind_the_pooling_are_read_in_their_order() {
    let list = json!([
        {"type": OLD[0], "path": ""}, {"type": OLD[1], "path": "1_Pooling"},
        {"type": "sentence_transformers.models.Dense", "path": "2_Dense"}, {"type": OLD[2], "path": "3_Normalize"},
        {"type": "sentence_transformers.base.modules.dense.Dense", "path": "4_Dense"},
        {"type": "sentence_transformers.models.LayerNorm", "path": "5_LayerNorm"}
    ]);
    let folder = Folder::from([
        ("modules.json", list),
        ("1_Pooling/config.json", json!({})),
        (
            "2_Dense/config.json",
            json!({"in_features": 4, "out_features": 8, "bias": false,
            "activation_function": "torch.nn.modules.linear.Identity"}),
        ),
        ("4_Dense/config.json", json!({"in_features": 8, "out_features": 3})),
        ("5_LayerNorm/config.json", json!({"dimension": 3})),
    ]);
    let found = read(&folder).unwrap().unwrap();
    let dense = |path: &str, inputs, outputs, bias, activation| {
        Stage::Dense(DenseModule { path: path.into(), inputs, outputs, bias, activation })
    };
    let expected = [
        dense("2_Dense", 4, 8, false, DenseActivation::Identity),
        Stage::Normalize,
        dense("4_Dense", 8, 3, true, DenseActivation::Tanh),
        Stage::LayerNorm { path: "5_LayerNorm".into(), dimension: 3 },
    ];
    assert_eq!(found.stages, expected);
    assert_eq!(found.weighted_stages(), "Dense 4 to 8 without bias, Identity; Dense 8 to 3, Tanh; LayerNorm 3");
    for (file, value) in [
        ("2_Dense/config.json", json!({"in_features": 4})),
        ("2_Dense/config.json", json!({"in_features": 4, "out_features": 0})),
        ("2_Dense/config.json", json!({"in_features": 4, "out_features": 4, "activation_function": "my.Swish"})),
        ("2_Dense/config.json", json!({"in_features": 4, "out_features": 4, "module_input_name": "token_embeddings"})),
        ("5_LayerNorm/config.json", json!({})),
        ("5_LayerNorm/config.json", json!([])),
    ] {
        let mut folder = folder.clone();
        folder.insert(file, value);
        let e = read(&folder).unwrap_err();
        assert!(e.to_string().starts_with(file) && e.fault() == Fault::BadInput, "{e}");
    }
    let mut without = folder.clone();
    without.remove("2_Dense/config.json");
    assert!(read(&without).unwrap_err().to_string().contains("2_Dense/config.json: is missing"));
}

#[test]
fn an_order_that_means_something_else_is_an_error() {
    for types in [&[OLD[1], OLD[0]][..], &[OLD[0], OLD[2], OLD[1]], &[OLD[0], OLD[1], OLD[1]], &[OLD[0]], &[]] {
        let folder = Folder::from([("modules.json", modules(types)), ("1_Pooling/config.json", json!({}))]);
        assert!(matches!(read(&folder), Err(ModulesError::Malformed { .. })), "{types:?}");
    }
    // sentence-transformers keeps modules by name, and loads the encoder from the folder that is named.
    let with = |change: fn(&mut Value)| {
        let mut list = modules(&OLD);
        change(&mut list);
        read(&Folder::from([("modules.json", list), ("1_Pooling/config.json", json!({}))])).unwrap_err()
    };
    let twice = with(|list| list[2]["name"] = list[1]["name"].clone());
    assert!(twice.fault() == Fault::BadInput && twice.to_string().contains("`name` of another"), "{twice}");
    let elsewhere = with(|list| list[0]["path"] = "0_Transformer".into());
    assert!(
        elsewhere.fault() == Fault::Incomparable && elsewhere.to_string().contains("0_Transformer/"),
        "{elsewhere}"
    );
}

#[test]
fn nothing_is_read_from_outside_the_folder() {
    for path in ["../other", "/etc", "a/../../b", "C:\\x", "a//b", ".", "a\u{0}"] {
        let list = json!([{"type": OLD[0], "path": ""}, {"type": OLD[1], "path": path}]);
        let found: Result<_, ModulesError> = SentenceModules::read(|file| match file {
            "modules.json" => Ok(Some(list.to_string().into_bytes())),
            other => panic!("{other:?} was asked for"),
        });
        assert!(found.unwrap_err().to_string().contains("outside the model folder"), "{path}");
    }
}

#[test]
fn a_folder_that_states_no_pooling_gives_none() {
    assert_eq!(read(&Folder::new()).unwrap(), None);
    assert_eq!(read(&Folder::from([("config.json", json!({"model_type": "bert"}))])).unwrap(), None);
    // what mlx-embeddings 0.1.0 leaves behind: modules.json without 1_Pooling/
    assert_eq!(read(&Folder::from([("modules.json", modules(&OLD))])).unwrap(), None);
}

#[test]
fn mlx_states_its_pooling_in_config_json_and_must_not_contradict_the_module() {
    let config = json!({"model_type": "xlm-roberta", "pooling_config": {"pooling_mode": "cls"}});
    let mut folder = Folder::from([("config.json", config)]);
    let found = read(&folder).unwrap().unwrap();
    assert_eq!((found.pooling.clone(), found.normalize()), (vec![Cls], false));
    assert_eq!(found.stated_in.as_deref(), Some("config.json: pooling_config"));
    folder.insert("1_Pooling/config.json", json!({"pooling_mode_cls_token": true}));
    assert_eq!(read(&folder).unwrap().unwrap().stated_in.as_deref(), Some("1_Pooling/config.json"));
    folder.insert("1_Pooling/config.json", json!({"pooling_mode_mean_tokens": true}));
    let e = read(&folder).unwrap_err();
    assert!(e.to_string().contains("`mean`") && e.to_string().contains("`cls`"), "{e}");
    assert_eq!(e.fault(), Fault::BadInput);
}

#[test]
fn truncated_files_are_errors_and_the_readers_own_errors_come_through() {
    let text = modules(&OLD).to_string();
    for cut in 0..text.len() {
        let found: Result<_, ModulesError> =
            SentenceModules::read(|file| Ok((file == "modules.json").then(|| text.as_bytes()[..cut].to_vec())));
        assert!(found.is_err(), "cut at {cut}");
    }
    #[derive(Debug)]
    enum Mine {
        Disk,
        Modules,
    }
    impl From<ModulesError> for Mine {
        fn from(_: ModulesError) -> Self {
            Self::Modules
        }
    }
    assert!(matches!(SentenceModules::read(|_| Err(Mine::Disk)), Err(Mine::Disk)));
    assert!(matches!(SentenceModules::read(|_| Ok::<_, Mine>(Some(vec![b'{']))), Err(Mine::Modules)));
}

#[test]
fn row_length_follows_the_precedence_and_the_position_offset() {
    let config = |model_type: &str, positions: usize| {
        let raw = json!({
            "model_type": model_type, "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1,
            "intermediate_size": 4, "vocab_size": 9, "max_position_embeddings": positions, "pad_token_id": 1
        });
        ModelConfig::parse(raw.to_string().as_bytes(), "config.json").unwrap()
    };
    let bert = config("bert", 512);
    let stated = SentenceModules { max_seq_length: Some(256), ..SentenceModules::of(Mean) };
    let silent = SentenceModules::of(Mean);
    assert_eq!(max_sequence_length(Some(64), Some(&stated), &bert, Some(128)), 64);
    assert_eq!(max_sequence_length(None, Some(&stated), &bert, Some(128)), 256);
    assert_eq!(max_sequence_length(None, Some(&silent), &bert, Some(128)), 128);
    assert_eq!(max_sequence_length(None, None, &bert, Some(8192)), 512);
    assert_eq!(max_sequence_length(None, None, &bert, None), 512);
    for family in ["roberta", "xlm-roberta", "xlm_roberta", "camembert", "data2vec-text"] {
        assert_eq!(max_sequence_length(None, None, &config(family, 514), None), 512);
    }
    assert_eq!(max_sequence_length(None, None, &config("roberta", 1), None), 0);
    assert_eq!(stated_model_max_length(&json!({"model_max_length": 512})), Some(512));
    assert_eq!(stated_model_max_length(&json!({"model_max_length": 1e30})), None);
    assert_eq!(stated_model_max_length(&json!({"model_max_length": "512"})), None);
    assert_eq!(stated_model_max_length(&json!({})), None);
}

#[test]
fn an_empty_settings_file_before_another_one_is_obeyed_by_nobody() {
    let mut folder = Folder::from([
        ("modules.json", modules(&OLD)),
        ("1_Pooling/config.json", json!({"pooling_mode_mean_tokens": true})),
        ("sentence_bert_config.json", json!({})),
    ]);
    assert_eq!(read(&folder).unwrap().unwrap().max_seq_length, None);
    folder.insert("sentence_roberta_config.json", json!({"max_seq_length": 8}));
    let e = read(&folder).unwrap_err().to_string();
    assert!(e.contains("sentence_bert_config.json") && e.contains("sentence_roberta_config.json"), "{e}");
    folder.insert("sentence_bert_config.json", json!({"max_seq_length": 256}));
    assert_eq!(read(&folder).unwrap().unwrap().max_seq_length, Some(256));
}
