//! The ways a candidate can be computed: which of its weights' two values, whose deviations, in what precision.

use crate::common;

use std::path::Path;

use common::plant::Copy;
use common::{fixture, repository};
use parallax::check::check;
use parallax::corpus::CorpusOptions;
use parallax::hidden_states::{Arm, Tap};
use parallax::observe::Silent;
use parallax::policy::Policy;
use parallax::quantization::Dequantization;
use parallax::report::Report;
use parallax::runtimes::native::ops::Compute;
use parallax::sides::CheckRequest;
use parallax::tools::compare_weights;
use parallax::verdict::Verdict;

fn checked(reference: &Path, candidate: &Path, corpus: &Path, change: impl FnOnce(&mut CheckRequest)) -> Report {
    let corpus = CorpusOptions { files: vec![corpus.to_owned()], limit: Some(150), ..CorpusOptions::default() };
    let mut request = CheckRequest::new(reference, candidate).with(|r| {
        r.corpus = corpus;
        r.threads = 2;
    });
    change(&mut request);
    check(&request, &mut Silent).unwrap()
}

fn shipped(change: impl FnOnce(&mut CheckRequest)) -> Report {
    let models = repository("models");
    checked(&models.join("parallax-mini"), &models.join("parallax-mini-mlx-8bit"), &models.join("corpus.txt"), change)
}

fn p99(report: &Report, tap: Tap, arm: Arm) -> Option<f64> {
    report.measurements.iter().find(|m| m.tap == tap && m.arm == arm && m.metric == "relative_l2").and_then(|m| m.p99)
}

#[test]
fn half_precision_is_an_arm_of_its_own_and_judged_only_where_a_policy_says_so() {
    let plain = shipped(|_| ());
    assert_eq!(p99(&plain, Tap::Final, Arm::Compute), None);
    let half = shipped(|r| r.compute = Compute::F16);
    assert_eq!(half.verdict, Verdict::Pass);
    let moved = p99(&half, Tap::Final, Arm::Compute).unwrap();
    assert!(moved > 1e-4 && moved < 1e-2, "{moved:e}");
    // The other arms are what they were.
    for arm in [Arm::Engine, Arm::Quantization, Arm::Total] {
        assert_eq!(p99(&plain, Tap::Final, arm), p99(&half, Tap::Final, arm));
    }
    let coarse = shipped(|r| r.compute = Compute::BF16);
    assert!(p99(&coarse, Tap::Final, Arm::Compute).unwrap() > 3.0 * moved);

    let gate = "[[gate]]\non = \"final\"\narm = \"compute\"\nmetric = \"relative_l2\"\nstat = \"p99\"\n";
    let dir = tempfile::tempdir().unwrap();
    let policy = |max: f64| {
        let file = dir.path().join(format!("{max}.toml"));
        let own = format!("{}\n{gate}max = {max:e}\n", Policy::load("standard").unwrap().source);
        std::fs::write(&file, own).unwrap();
        Some(file.display().to_string())
    };
    let judged = |max: f64, compute| {
        shipped(|r| {
            r.policy = policy(max);
            r.compute = compute;
        })
        .verdict
    };
    assert_eq!(judged(2.0 * moved, Compute::F16), Verdict::Pass);
    assert_eq!(judged(0.5 * moved, Compute::F16), Verdict::Fail);
    assert_eq!(judged(2.0 * moved, Compute::F32), Verdict::Inconclusive, "a gate that measures nothing");
}

/// What the program does behind the encoder whatever the files say.
#[test]
fn modules_and_prompts_that_the_program_does_not_obey_are_told() {
    let deviations = |change: fn(Copy) -> Copy| -> String {
        let (reference, candidate) = (change(Copy::of("parallax-mini")), change(Copy::of("parallax-mini-mlx-8bit")));
        let corpus = repository("models/corpus.txt");
        let report = checked(reference.path(), candidate.path(), &corpus, |r| r.canaries = false);
        let told = report.findings.iter().filter(|f| f.code == "candidate.mlx_deviates");
        told.map(|f| f.message.clone()).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(deviations(|folder| folder), "");
    let raw = deviations(|folder| {
        folder.json("modules.json", |m| {
            m.as_array_mut().unwrap().retain(|m| !m["type"].as_str().unwrap().contains("Normalize"))
        })
    });
    assert!(raw.contains("Normalize behind the pooling, where the files state no module"), "{raw}");
    let unpooled = deviations(|folder| {
        let folder = folder.json("1_Pooling/config.json", |p| p["include_prompt"] = false.into());
        let prompts = r#"{"prompts": {"query": "time and again: "}, "default_prompt_name": "query"}"#;
        std::fs::write(folder.file("config_sentence_transformers.json"), prompts).unwrap();
        folder
    });
    assert!(unpooled.contains("the prompt's tokens in the pooling"), "{unpooled}");
}

/// The program goes by names, whatever an index says.
#[test]
fn a_tensor_file_that_the_program_does_not_load_is_refused() {
    let candidate = Copy::of("parallax-mini-mlx-8bit");
    std::fs::rename(candidate.file("model.safetensors"), candidate.file("other.safetensors")).unwrap();
    let header = parallax_tensors(&candidate.file("other.safetensors"));
    let index: serde_json::Map<String, serde_json::Value> =
        header.into_iter().map(|name| (name, "other.safetensors".into())).collect();
    let index = serde_json::json!({"metadata": {}, "weight_map": index});
    std::fs::write(candidate.file("model.safetensors.index.json"), index.to_string()).unwrap();
    let models = repository("models");
    let report = |program: &str| {
        checked(&models.join("parallax-mini"), candidate.path(), &models.join("corpus.txt"), |r| {
            r.runtime = program.to_owned();
            r.canaries = false;
        })
    };
    let refused = report("mlx-embeddings");
    assert!(refused.reasons.iter().any(|r| r.code == "candidate.tensor_file"), "{:?}", refused.reasons);
    assert_eq!(report("mlx-vlm").verdict, Verdict::Pass);
}

/// Names of the tensors in a file.
fn parallax_tensors(file: &Path) -> Vec<String> {
    common::plant::stored(file).into_keys().collect()
}

/// The two values of a weight differ by the rounding to the scales' type, and by nothing else.
#[test]
fn the_weights_that_matmul_sees_are_others_and_as_near() {
    let models = repository("models");
    let compared = |effective| {
        compare_weights(&models.join("parallax-mini"), &models.join("parallax-mini-mlx-8bit"), effective)
            .unwrap()
            .report
    };
    let (rounded, exact) = (compared(Dequantization::Dequantized), compared(Dequantization::Matmul));
    let (a, b) = (rounded.totals.relative_error, exact.totals.relative_error);
    assert!(a != b && (a / b - 1.0).abs() < 0.01, "{a} {b}");
    let table = |report: &parallax::weights::WeightsReport| {
        report.tensors.iter().find(|t| t.tensor.contains("word_embeddings")).unwrap().mse
    };
    assert_eq!(table(&rounded), table(&exact), "a table's rows are dequantized either way");
    let report = shipped(|r| r.weights = Dequantization::Matmul);
    assert_eq!((report.verdict, report.provenance.options["weights"].as_str()), (Verdict::Pass, "matmul"));
    assert_eq!(shipped(|_| ()).provenance.options["weights"], "dequantized");
}

#[test]
fn what_mlx_computes_otherwise_is_said_with_its_size_and_computed_on_request() {
    let modern = fixture("zoo/tiny-modernbert");
    let run = |emulate| {
        checked(&modern.join("dyn18.onnx"), &fixture("zoo/tiny-modernbert-mlx-8bit"), &modern.join("corpus.txt"), |r| {
            r.emulate_mlx = emulate
        })
    };
    let said = |report: &Report, expected: usize| {
        let found: Vec<_> = report.findings.iter().filter(|f| f.code == "candidate.mlx_deviates").collect();
        assert_eq!(found.len(), expected, "{found:?}");
        found[0].message.clone()
    };
    let (own, mlxs) = (run(false), run(true));
    // Its scales are float16, in which mlx-embeddings' mask of the window is -infinity.
    assert!(own.findings.iter().any(|f| f.code == "candidate.padded_rows" && f.message.contains("NaN")));
    assert!(!shipped(|_| ()).findings.iter().any(|f| f.code == "candidate.padded_rows"));
    for (report, end) in [(&own, "--emulate mlx judges the other"), (&mlxs, "(--emulate mlx)")] {
        // Its activation; and it pools ModernBERT as `classifier_pooling` says, cls, where the files say mean.
        let message = said(report, 2);
        assert!(
            message.contains("tanh-GELU") && message.contains("relative L2") && message.ends_with(end),
            "{message}"
        );
    }
    let arms = |arm| (p99(&own, Tap::Final, arm).unwrap(), p99(&mlxs, Tap::Final, arm).unwrap());
    let ((engine, engine_mlx), (total, total_mlx)) = (arms(Arm::Engine), arms(Arm::Total));
    assert_eq!(engine, engine_mlx, "the control follows the configuration");
    assert_ne!(total, total_mlx);

    // Another pooling than MLX's own: the model's is followed, and the difference is told.
    let cls = |copy: Copy| {
        copy.json("1_Pooling/config.json", |c| {
            c["pooling_mode_cls_token"] = true.into();
            c["pooling_mode_mean_tokens"] = false.into();
        })
    };
    let bert = cls(Copy::of_path(&fixture("zoo/tiny-bert")));
    std::fs::rename(bert.file("dyn18.onnx"), bert.file("model.onnx")).unwrap();
    let candidate = cls(Copy::of_path(&fixture("zoo/tiny-bert-mlx-8bit")));
    let run = |emulate| {
        checked(bert.path(), candidate.path(), &fixture("zoo/tiny-bert/corpus.txt"), |r| r.emulate_mlx = emulate)
    };
    let own = run(false);
    assert!(said(&own, 1).contains("mean pooling in place of cls"), "{}", said(&own, 1));
    let mlxs = run(true);
    assert_eq!(mlxs.verdict, Verdict::Fail, "cls against mean");
    let layers = |report: &Report| p99(report, Tap::Final, Arm::Total);
    assert_eq!(layers(&own), layers(&mlxs));
}

/// The shapes fit two declarations; the layer's true width fits one.
#[test]
fn a_declaration_of_other_bits_is_told_with_the_right_one() {
    let lying = Copy::of("parallax-mini-mlx-8bit").json("config.json", |c| {
        c["quantization"] = serde_json::json!({"group_size": 128, "bits": 4});
    });
    let mut request = CheckRequest::new(repository("models/parallax-mini"), lying.path());
    request.threads = 1;
    let e = check(&request, &mut Silent).unwrap_err();
    assert_eq!(e.fault(), parallax::fault::Fault::BadInput);
    let said = "declares 4 bits in groups of 128, with 8 bits in groups of 64 it would be that";
    assert!(e.to_string().contains(said) && !e.to_string().contains('\n'), "{e}");
}

#[test]
fn an_architecture_that_is_none_is_told_with_the_nearest_and_what_parts_them() {
    let odd = Copy::of("parallax-mini-mlx-8bit").json("config.json", |c| c["model_type"] = "brt".into()).tensors(|t| {
        let pooler: Vec<String> = t.keys().filter(|n| n.contains("layer.0.output.dense")).cloned().collect();
        for name in pooler {
            let tensor = t.remove(&name).unwrap();
            t.insert(name.replace("output.dense", "output.linear"), tensor);
        }
    });
    let e = check(&CheckRequest::new(repository("models/parallax-mini"), odd.path()), &mut Silent).unwrap_err();
    assert_eq!(e.fault(), parallax::fault::Fault::Incomparable);
    for word in ["`brt` is not supported; nearest is `bert`", "not `encoder.layer.0.", "and besides `encoder.layer.0."]
    {
        assert!(e.to_string().contains(word), "{e}");
    }
    // What can be shown without an encoder is shown.
    let shown = parallax::tools::inspect(odd.path()).unwrap();
    assert!(shown.facts.iter().any(|(name, value)| name == "encoder" && value.contains("nearest is `bert`")));
    assert_eq!(shown.exit_code(), 3);
    assert!(shown.tensors.len() > 60 && shown.facts.iter().any(|(name, _)| name == "quantization"));
}

#[test]
fn a_tensor_file_of_any_name_matters_where_the_program_loads_them_all() {
    let copy = Copy::of_path(&repository("models/parallax-mini-mlx-8bit"));
    std::fs::create_dir(copy.file(".old")).unwrap();
    std::fs::copy(copy.file("model.safetensors"), copy.file(".old/backup.safetensors")).unwrap();
    let models = repository("models");
    let run = |runtime: &str| {
        checked(&models.join("parallax-mini"), copy.path(), &models.join("corpus.txt"), |r| {
            r.runtime = runtime.to_owned();
            r.pooling = Some("mean".parse().unwrap());
        })
    };
    assert_eq!(run("mlx-embeddings").verdict, Verdict::Pass);
    let swift = run("mlx-swift");
    assert_eq!(swift.verdict, Verdict::Inconclusive);
    let told = swift.reasons.iter().find(|r| r.code == "checkpoint.stale_shard").unwrap();
    assert!(told.message.contains(".old/backup.safetensors") && told.message.contains("mlx-swift"), "{told:?}");
}

/// Transformers 5 writes the rotation's base where MLX's Qwen3 does not look: its default is a hundred times as large.
#[test]
fn a_setting_where_the_runtime_does_not_look_fails_and_names_the_cure() {
    let reference = fixture("families/tiny-qwen3");
    let run = |candidate: &Copy, change: fn(&mut CheckRequest)| {
        checked(&reference.join("dyn18.onnx"), candidate.path(), &reference.join("corpus.txt"), change)
    };
    let codes = |r: &Report| r.reasons.iter().map(|reason| reason.code.clone()).collect::<Vec<_>>();
    let eight = || Copy::of_path(&fixture("families/tiny-qwen3-mlx-8bit"));
    let whole = run(&eight(), |_| ());
    assert_eq!((whole.verdict, codes(&whole)), (Verdict::Pass, vec![]));
    let newer = eight().json("config.json", |c| drop(c.as_object_mut().unwrap().remove("rope_theta")));
    let found = run(&newer, |_| ());
    assert_eq!((found.verdict, codes(&found)), (Verdict::Fail, vec!["runtime.config".to_owned()]));
    let message = &found.reasons[0].message;
    assert!(
        message.contains("rope_theta") && message.contains("1000000") && message.contains("state rope_theta"),
        "{message}"
    );
    // What it computes is another model, and numbers say so without the files.
    let emulated = run(&newer, |r| r.emulate_mlx = true);
    assert_eq!(emulated.verdict, Verdict::Fail);
    assert!(!codes(&emulated).contains(&"runtime.config".to_owned()));
    // A program that is told of elsewhere looks elsewhere.
    assert_eq!(run(&newer, |r| r.runtime = "sentence-transformers".to_owned()).verdict, Verdict::Pass);
}
