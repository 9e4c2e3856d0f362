//! `parallax lint`: planted faults are named, one line each, with the code a pipeline acts on; whole models are not blamed.

use crate::common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::plant::Copy;
use common::{fixture, repository};
use serde_json::json;

const EIGHT: &str = "parallax-mini-mlx-8bit";

struct Outcome {
    code: i32,
    stdout: String,
    stderr: String,
}

/// Nothing in the environment: no ONNX Runtime to be found.
fn lint(arguments: &[&Path]) -> Outcome {
    let mut command = Command::new(env!("CARGO_BIN_EXE_parallax"));
    let output = command.env_clear().current_dir(repository("")).arg("lint").args(arguments).output().unwrap();
    let text = |b: Vec<u8>| String::from_utf8(b).unwrap();
    Outcome { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// The code, and a line with all of `words` in it.
#[track_caller]
fn assert_told(folder: &Path, code: i32, words: &[&str]) {
    let o = lint(&[folder]);
    assert_eq!(o.code, code, "{}{}", o.stdout, o.stderr);
    let told = o.stdout.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(told, "{words:?}: {}", o.stdout);
    let start = folder.display().to_string();
    assert!(o.stdout.lines().all(|line| line.starts_with(&start)), "{}", o.stdout);
}

#[test]
fn whole_models_are_ok_and_stand_on_one_line() {
    let mut folders = vec![repository("models/parallax-mini"), repository("models/parallax-mini-mlx-4bit")];
    folders.push(repository("models").join(EIGHT));
    for entry in fs::read_dir(fixture("zoo")).unwrap() {
        folders.push(entry.unwrap().path());
    }
    assert!(folders.len() >= 8);
    let o = lint(&folders.iter().map(|f| f.as_path()).collect::<Vec<_>>());
    assert_eq!((o.code, o.stderr.as_str()), (0, ""), "{}", o.stdout);
    assert_eq!(o.stdout.lines().filter(|line| line.contains(": ok (")).count(), folders.len(), "{}", o.stdout);
    assert!(o.stdout.contains("ONNX with 6 taps") && o.stdout.contains("8 bits, group 64"), "{}", o.stdout);
}

/// MLX looks an override up by its module's path, which its class may begin with `model.`.
#[test]
fn an_override_by_the_path_that_mlx_knows_is_that_of_the_file() {
    let named = |name: &str| {
        Copy::of(EIGHT).json("config.json", |c| c["quantization"][name] = json!({"group_size": 64, "bits": 8}))
    };
    for name in ["embeddings.word_embeddings", "model.embeddings.word_embeddings"] {
        let copy = named(name);
        let o = lint(&[copy.path()]);
        assert_eq!(o.code, 0, "{}", o.stdout);
    }
    assert_told(named("model.embeddings.words").path(), 4, &["declares `model.embeddings.words`", "no scales"]);
    let both = named("embeddings.word_embeddings").json("config.json", |c| {
        c["quantization"]["model.embeddings.word_embeddings"] = json!({"group_size": 64, "bits": 4});
    });
    assert_told(both.path(), 4, &["declares `model.embeddings.word_embeddings`", "no scales"]);
}

#[test]
fn faults_of_a_checkpoint_are_named() {
    let told = |copy: Copy, words: &[&str]| assert_told(copy.path(), 4, words);
    let eight = || Copy::of(EIGHT);
    told(
        eight().tensors(|t| t.retain(|n, _| !n.starts_with("encoder.layer.3."))),
        &["encoder.layer.3.", "missing", "lint.encoder"],
    );
    let extra = |t: &mut std::collections::BTreeMap<_, _>| {
        let bias: &common::plant::Stored = &t["encoder.layer.0.output.dense.bias"];
        t.insert("encoder.layer.9.output.dense.bias".to_owned(), bias.clone());
    };
    told(eight().tensors(extra), &["encoder.layer.9.output.dense.bias", "used by nothing", "lint.encoder"]);
    let scale = "encoder.layer.0.intermediate.dense.scales";
    told(
        eight().tensors(|t| t.get_mut(scale).unwrap().2[4..6].copy_from_slice(&[0, 0x7e])),
        &[scale, "NaN", "lint.tensors"],
    );
    told(eight().bytes("model.safetensors", |b| b.truncate(1000)), &["model.safetensors", "lint.tensors"]);
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n".to_vec();
    told(eight().bytes("model.safetensors", |b| *b = pointer), &["git lfs pull", "lint.tensors"]);
    told(
        eight().json("config.json", |c| c["quantization"]["bits"] = 4.into()),
        &["8 bits with group 64", "lint.tensors"],
    );
    let wide = json!({"bits": 4, "group_size": 128});
    told(eight().json("config.json", |c| c["quantization"] = wide), &["shape", "lint.encoder"]);
    told(eight().json("config.json", |c| c["hidden_size"] = 0.into()), &["hidden_size", "lint.config"]);
    told(eight().bytes("config.json", |b| b.truncate(40)), &["config.json", "JSON", "lint.config"]);
    told(eight().json("1_Pooling/config.json", |c| c["pooling_mode"] = "sum".into()), &["sum", "lint.modules"]);
    told(eight().bytes("tokenizer.json", |b| b.truncate(4000)), &["tokenizer.json", "lint.tokenizer"]);
    told(eight().bytes("tokenizer_config.json", |b| b.push(b'}')), &["tokenizer_config.json", "lint.tokenizer"]);
    let prompts = eight();
    fs::write(prompts.file("config_sentence_transformers.json"), r#"{"prompts": 3}"#).unwrap();
    told(prompts, &["config_sentence_transformers.json", "lint.prompts"]);
    told(eight().with_dense(64, 64), &["lint.modules"]);
}

#[test]
fn what_a_check_would_refuse_to_judge_is_told_as_that() {
    let stale = Copy::of(EIGHT);
    fs::copy(stale.file("model.safetensors"), stale.file("model-00001-of-00002.safetensors")).unwrap();
    assert_told(stale.path(), 3, &["model-00001-of-00002.safetensors", "checkpoint.stale_shard"]);
    let silent = Copy::of(EIGHT);
    fs::remove_file(silent.file("tokenizer.json")).unwrap();
    assert_told(silent.path(), 3, &["has no tokenizer.json", "lint.tokenizer"]);
    let other = Copy::of(EIGHT).json("config.json", |c| c["model_type"] = "t5".into());
    assert_told(other.path(), 3, &["`t5`", "nearest", "supported: bert", "lint."]);
    let sized = serde_json::json!({"model_type": "t5", "d_model": 8, "num_layers": 2, "vocab_size": 9,
        "quantization": {"group_size": 64, "bits": 8}});
    assert_told(
        Copy::of(EIGHT).json("config.json", |c| *c = sized).path(),
        3,
        &["`t5`", "supported: bert", "lint.config"],
    );
    let unknown = Copy::of(EIGHT).json("modules.json", |m| m[1]["type"] = "sentence_transformers.models.CNN".into());
    assert_told(unknown.path(), 3, &["CNN", "lint.modules"]);
    let reference = || Copy::of("parallax-mini");
    let renamed = reference();
    fs::rename(renamed.file("model.safetensors"), renamed.file("pytorch_model.bin")).unwrap();
    assert_told(renamed.path(), 3, &["original.unread", "pytorch_model.bin", "--original"]);
    let elsewhere = reference().json("modules.json", |m| m[0]["path"] = "0_Transformer".into());
    assert_told(elsewhere.path(), 3, &["lint.modules", "0_Transformer"]);
    let adapter = reference();
    fs::write(adapter.file("adapter_config.json"), "{}").unwrap();
    assert_told(adapter.path(), 3, &["original.adapter"]);
}

/// A folder of the zoo with one of its graphs in the place a reference is looked for.
fn graph(name: &str) -> Copy {
    let copy = Copy::of_path(&fixture("zoo/tiny-bert"));
    fs::rename(copy.file(name), copy.file("model.onnx")).unwrap();
    copy
}

#[test]
fn faults_of_a_graph_are_named() {
    assert_eq!(lint(&[graph("ts13.onnx").path()]).code, 0);
    for (name, word) in [
        ("int8_qdq.onnx", "layer boundaries not found"),
        ("fp16.onnx", "float16 weights"),
        ("tanh_gelu.onnx", "FastGelu"),
    ] {
        let o = lint(&[graph(name).path()]);
        assert_eq!(o.code, 3, "{name}: {}", o.stdout);
        assert!(o.stdout.contains(word) && o.stdout.contains("refusal"), "{name}: {}", o.stdout);
    }
    let copy = graph("ts13.onnx").bytes("model.onnx", |b| b.truncate(3000));
    assert_told(copy.path(), 4, &["model.onnx", "lint.onnx"]);
    let copy = graph("ts13.onnx").json("config.json", |c| c["layer_norm_eps"] = json!(1e-5));
    assert_told(copy.path(), 4, &["layer_norm_eps", "in the graph", "lint.contradiction"]);
    // The checkpoint of another model beside the graph.
    let copy = graph("ts13.onnx").tensors(|t| {
        common::plant::swap(t, "encoder.layer.0.attention.self.query", "encoder.layer.1.attention.self.query")
    });
    assert_told(copy.path(), 3, &["layer 0 of the graph", "refusal"]);
}

#[test]
fn one_fault_does_not_hide_another() {
    let copy = Copy::of(EIGHT)
        .tensors(|t| t.retain(|n, _| n != "encoder.layer.2.output.dense.bias"))
        .bytes("tokenizer.json", |b| b.truncate(4000))
        .json("1_Pooling/config.json", |c| c["pooling_mode"] = "sum".into());
    let o = lint(&[copy.path()]);
    assert_eq!(o.code, 4);
    for code in ["lint.encoder", "lint.tokenizer", "lint.modules"] {
        assert_eq!(o.stdout.matches(&format!("[{code}]")).count(), 1, "{code}: {}", o.stdout);
    }
}

#[test]
fn warnings_alone_do_not_fail() {
    let copy = Copy::of(EIGHT);
    std::os::unix::fs::symlink("/etc/hostname", copy.file("notes")).unwrap();
    assert_told(copy.path(), 0, &["warning", "notes", "leads out of the folder", "lint.link"]);
    assert_told(Copy::of(EIGHT).json("config.json", |c| c["unrelated"] = 1.into()).path(), 0, &["ok"]);
}

#[test]
fn files_stand_for_their_model() {
    let model = repository("models/parallax-mini");
    let files =
        ["config.json", "1_Pooling/config.json", "onnx/model.onnx", "model.safetensors", ""].map(|f| model.join(f));
    let o = lint(&files.iter().map(|f| f.as_path()).collect::<Vec<_>>());
    assert_eq!((o.code, o.stdout.lines().count()), (0, 1), "{}{}", o.stdout, o.stderr);
    let o = lint(&[&repository("Cargo.toml"), &repository("models").join(EIGHT)]);
    assert_eq!((o.code, o.stdout.lines().count()), (0, 1), "{}", o.stdout);
    assert!(o.stderr.contains("Cargo.toml: passed over"), "{}", o.stderr);
    // An ONNX file without a folder of its own is looked at alone.
    let dir = tempfile::tempdir().unwrap();
    let alone = dir.path().join("encoder.onnx");
    fs::copy(fixture("zoo/tiny-bert/ts13.onnx"), &alone).unwrap();
    assert_told(&alone, 0, &["ok", "ONNX with 5 taps"]);
}

#[test]
fn codes_of_what_is_no_model() {
    assert_eq!(lint(&[]).code, 2);
    assert_told(Path::new("/nowhere"), 4, &["No such file", "lint.folder"]);
    let empty = tempfile::tempdir().unwrap();
    assert_told(empty.path(), 4, &["has no config.json"]);
    // One broken model among good ones.
    let o = lint(&[&repository("models").join(EIGHT), empty.path()]);
    assert!(o.code == 4 && o.stdout.lines().next().unwrap().contains(": ok ("), "{}", o.stdout);
}

#[test]
fn names_of_strangers_are_shown_not_obeyed() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("a\n::error::b\u{1b}[31m");
    fs::create_dir(&folder).unwrap();
    let o = lint(&[&folder]);
    assert_eq!(o.code, 4);
    assert!(!o.stdout.contains('\u{1b}') && o.stdout.lines().all(|line| !line.starts_with("::")), "{:?}", o.stdout);
    let copy = Copy::of(EIGHT).json("config.json", |c| c["model_type"] = "x\n::error::y".into());
    let o = lint(&[copy.path()]);
    assert!(o.code == 3 && o.stdout.lines().all(|line| !line.starts_with("::")), "{:?}", o.stdout);
}

#[test]
fn json_holds_the_same() {
    let copy = Copy::of(EIGHT).bytes("tokenizer.json", |b| b.truncate(4000));
    let o = lint(&[Path::new("--format"), Path::new("json"), copy.path()]);
    let told: serde_json::Value = serde_json::from_str(&o.stdout).unwrap();
    assert_eq!(o.code, 4);
    assert_eq!(told[0]["findings"][0]["code"], "lint.tokenizer");
    assert_eq!(told[0]["findings"][0]["severity"], "failure");
    assert!(told[0]["facts"].as_array().unwrap().len() >= 3);
}
