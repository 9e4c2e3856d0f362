//! `--original FOLDER`: its tensors are compared, and what its files say of them, too.

use crate::common;

use std::fs;

use common::plant::Copy;
use common::repository;
use parallax::check::check;
use parallax::observe::Silent;
use parallax::report::Report;
use parallax::sides::CheckRequest;
use parallax::verdict::Verdict;
use serde_json::json;

/// The shipped 8-bit model against its graph alone, with `original` as the checkpoint.
fn checked(original: &Copy) -> Report {
    let reference = Copy::of("parallax-mini");
    fs::remove_file(reference.file("model.safetensors")).unwrap();
    let request = CheckRequest::new(reference.path(), repository("models/parallax-mini-mlx-8bit"))
        .corpus([repository("models/corpus.txt")])
        .limit(120)
        .original(original.path())
        .with(|r| r.canaries = false);
    check(&request, &mut Silent).unwrap()
}

fn said(report: &Report) -> String {
    let refusals = report.reasons.iter().filter(|r| r.code == "original.other");
    refusals.map(|r| r.message.clone()).collect::<Vec<_>>().join("\n")
}

#[test]
fn an_original_of_its_own_folder_passes_whole_or_with_nothing_but_its_tensors() {
    let whole = checked(&Copy::of("parallax-mini"));
    assert_eq!(whole.verdict, Verdict::Pass, "{:?}", whole.reasons);
    let bare = Copy::of("parallax-mini");
    for entry in fs::read_dir(bare.path()).unwrap() {
        let path = entry.unwrap().path();
        match path.file_name().unwrap().to_str().unwrap() {
            "model.safetensors" => {}
            _ if path.is_dir() => fs::remove_dir_all(path).unwrap(),
            _ => fs::remove_file(path).unwrap(),
        }
    }
    let report = checked(&bare);
    assert_eq!(report.verdict, Verdict::Pass);
    let open: Vec<&str> =
        report.findings.iter().filter(|f| f.code == "original.uncompared").map(|f| f.message.as_str()).collect();
    let wanted = "its configuration, tokenizer, pooling, modules behind the pooling, length limit not";
    assert!(open.len() == 1 && open[0].contains(wanted), "{open:?}");
    assert!(whole.findings.iter().all(|f| f.code != "original.uncompared"), "{:?}", whole.findings);
}

#[test]
fn an_original_whose_files_say_another_model_is_none() {
    let config =
        |key: &'static str, value: serde_json::Value| Copy::of("parallax-mini").json("config.json", |c| c[key] = value);
    let cases = [
        (config("layer_norm_eps", json!(0.5)), "layer_norm_eps 5e-1"),
        (config("num_attention_heads", json!(8)), "num_attention_heads 8"),
        (config("hidden_act", json!("relu")), "hidden_act relu"),
        (config("position_embedding_type", json!("relative_key")), "position_embedding_type"),
        (config("transformers_weights", json!("enc/other.safetensors")), "transformers_weights"),
        (config("model_type", json!("electra")), "model_type electra"),
        (Copy::of("parallax-mini").json("sentence_bert_config.json", |c| c["max_seq_length"] = json!(8)), "limit of 8"),
        (
            Copy::of("parallax-mini").json("1_Pooling/config.json", |c| {
                c["pooling_mode_mean_tokens"] = json!(false);
                c["pooling_mode_cls_token"] = json!(true);
            }),
            "pooling cls",
        ),
        (
            Copy::of("parallax-mini").json("tokenizer_config.json", |c| c["do_lower_case"] = json!(false)),
            "do_lower_case",
        ),
    ];
    for (original, names) in cases {
        let report = checked(&original);
        assert_eq!((report.verdict, report.exit_code), (Verdict::Inconclusive, 3), "{names}");
        assert!(said(&report).contains(names), "{names}: {}", said(&report));
    }
    let prompted = Copy::of("parallax-mini");
    let prompts = json!({"prompts": {"query": "time "}, "default_prompt_name": "query"});
    fs::write(prompted.file("config_sentence_transformers.json"), prompts.to_string()).unwrap();
    assert!(said(&checked(&prompted)).contains("prompt \"time \""));
}

/// What both sides state alike is not known to be harmless; what is known to change numbers is refused.
#[test]
fn keys_that_agree_and_that_nothing_here_computes_are_not_passed_in_silence() {
    let run = |key: &'static str, value: serde_json::Value| {
        let with = |model: &str| Copy::of(model).json("config.json", |c| c[key] = value.clone());
        let (ours, theirs) = (with("parallax-mini"), with("parallax-mini-mlx-8bit"));
        let request =
            CheckRequest::new(ours.path(), theirs.path()).corpus([repository("models/corpus.txt")]).limit(120);
        check(&request.with(|r| r.canaries = false), &mut Silent).unwrap()
    };
    let causal = run("is_causal", json!(true));
    assert_eq!(causal.verdict, Verdict::Inconclusive);
    assert!(causal.reasons.iter().any(|r| r.code == "config.is_causal"), "{:?}", causal.reasons);
    assert_eq!(run("is_causal", json!(false)).verdict, Verdict::Pass);
    let strange = run("attention_flavour", json!("spicy"));
    assert_eq!(strange.verdict, Verdict::Pass, "{:?}", strange.reasons);
    let text = parallax::report::terminal::verdict_text(&strange, false, false);
    assert!(text.contains("not known: config.json: both sides state `attention_flavour`"), "{text}");
}

/// transformers takes one of these files by its own version.
#[test]
fn a_configuration_that_loaders_take_from_another_file_is_refused() {
    let named = |model: &str, files: serde_json::Value| {
        Copy::of(model).json("config.json", |c| c["configuration_files"] = files)
    };
    let run = |files: serde_json::Value| {
        let (ours, theirs) = (named("parallax-mini", files.clone()), named("parallax-mini-mlx-8bit", files));
        let request =
            CheckRequest::new(ours.path(), theirs.path()).corpus([repository("models/corpus.txt")]).limit(120);
        check(&request.with(|r| r.canaries = false), &mut Silent).unwrap()
    };
    let report = run(json!(["config.4.0.0.json"]));
    assert_eq!(report.verdict, Verdict::Inconclusive);
    assert!(report.reasons.iter().any(|r| r.code == "config.configuration_files"), "{:?}", report.reasons);
    assert_eq!(run(json!(["config.json"])).verdict, Verdict::Pass);
}
