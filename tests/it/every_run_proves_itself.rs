//! What a run shows about itself: that its gates see planted faults, stand well above the reference's own
//! noise and below what unlike things measure, and that it has seen the rows errors hide in.

use crate::common;

use common::encoders::{change, nobody, poison_padded};
use common::repository;
use common::shipped::judged as run;
use parallax::finding::Severity;
use parallax::hidden_states::{Arm, Tap};
use parallax::metrics::Mode;
use parallax::report::Report;
use parallax::report::terminal::verdict_text;
use parallax::runtimes::Encoder;
use parallax::sides::{CheckRequest, Variation};
use parallax::verdict::Verdict;

fn request(candidate: &str) -> CheckRequest {
    common::shipped::request(candidate, 120)
}

fn finding<'a>(report: &'a Report, code: &str) -> &'a parallax::finding::Finding {
    report.findings.iter().find(|f| f.code == code).unwrap_or_else(|| panic!("{code}: {:?}", report.findings))
}

#[test]
fn every_fault_is_seen_and_every_gate_has_its_baselines() {
    let report = run(&request("parallax-mini-mlx-8bit"), |_| ());
    assert_eq!(report.verdict, Verdict::Pass, "{:?}", report.reasons);
    let canaries = &report.alignment.canaries;
    assert!(canaries.planted && canaries.canaries.len() >= 10);
    for canary in &canaries.canaries {
        assert!(canary.seen_by.is_some() && canary.not_planted.is_none(), "{canary:?}");
        assert!(canary.effect.unwrap() > 1e-5, "{canary:?}");
    }
    assert!(canaries.smallest.is_some());
    let judged = report.gates.iter().filter(|g| g.quantity.metric == "relative_l2");
    for gate in judged {
        let null = gate.null_baseline.unwrap_or_else(|| panic!("{gate:?}"));
        assert!(null.wrong_layer.unwrap() > 10.0 * gate.observed.unwrap(), "{gate:?}");
        assert!(null.mismatched_sentence.unwrap() > 1.0, "{gate:?}");
    }
    let floors = &report.alignment.floor;
    assert!(floors.len() >= 3 * report.alignment.taps.len(), "three variations at every tap");
    assert!(floors.iter().all(|f| f.max.unwrap() <= 2e-6), "{floors:?}");
    assert!(report.corpus.coverage.iter().all(|c| c.corpus + c.probes > 0), "{:?}", report.corpus.coverage);
    let text = verdict_text(&report, false, true);
    assert!(text.contains("10 of 10 planted faults seen") && text.contains("wrong layer"), "{text}");
}

#[test]
fn layers_are_also_measured_alone_and_add_up() {
    let report = run(&request("parallax-mini-mlx-4bit"), |_| ());
    let mean = |tap, arm, mode| {
        let is = |m: &&parallax::metrics::Measurement| {
            m.tap == tap && m.arm == arm && m.mode == mode && m.metric == "relative_l2"
        };
        report.measurements.iter().find(is).unwrap().mean.unwrap()
    };
    for k in 0..4 {
        let alone = mean(Tap::Layer(k), Arm::Quantization, Mode::Isolated);
        assert!(alone > 0.0 && alone < mean(Tap::Layer(k), Arm::Quantization, Mode::Accumulated), "layer.{k}: {alone}");
        assert!(mean(Tap::Layer(k), Arm::Engine, Mode::Isolated) < 1e-6);
    }
    assert_eq!(report.explanation.layers.len(), 5);
}

#[test]
fn without_canaries_the_verdict_says_so() {
    let report = run(&request("parallax-mini-mlx-8bit").with(|r| r.canaries = false), |_| ());
    assert_eq!(report.verdict, Verdict::Pass);
    assert!(!report.alignment.canaries.planted);
    assert_eq!(finding(&report, "canary.none").severity, Severity::Warning);
    assert!(verdict_text(&report, false, false).contains("waived: no faults were planted (--no-canaries)"));
}

#[test]
fn a_policy_whose_own_limits_see_no_fault_is_called_blind_in_the_verdict() {
    let dir = tempfile::tempdir().unwrap();
    let policy = dir.path().join("blind.toml");
    let gate = |on: &str, arm: &str, max: f64| {
        format!("[[gate]]\non = \"{on}\"\narm = \"{arm}\"\nmetric = \"relative_l2\"\nstat = \"p99\"\nmax = {max}\n")
    };
    std::fs::write(&policy, format!("schema = 1\n{}{}", gate("*", "engine", 0.01), gate("final", "total", 0.9)))
        .unwrap();
    let request = request("parallax-mini-mlx-8bit").with(|r| r.policy = Some(policy.display().to_string()));
    let report = run(&request, |_| ());
    // The proofs hold whatever a policy says: the candidate is what MLX makes of this original.
    assert_eq!(report.verdict, Verdict::Pass, "{:?}", report.reasons);
    let blind = finding(&report, "canary.blind");
    assert_eq!(blind.severity, Severity::Warning);
    for fault in ["set to zero", "tanh-GELU", "cls pooling"] {
        assert!(blind.message.contains(fault), "{fault}: {}", blind.message);
    }
    let zeroed = report.alignment.canaries.canaries.iter().find(|c| c.id == "zeroed_bias").unwrap();
    assert!(zeroed.limits.is_none() && zeroed.seen_by.as_ref().is_some_and(|by| by.starts_with("weights: ")));
    assert!(verdict_text(&report, false, false).contains("blind: this policy's own limits are blind to"));
    assert_eq!(finding(&report, "policy.blind_gate").severity, Severity::Warning);
}

#[test]
fn a_policy_without_engine_gates_is_held_to_the_engine_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let policy = dir.path().join("mine.toml");
    let text = "schema = 1\n[[gate]]\non = \"sentence\"\narm = \"total\"\nmetric = \"cosine_distance\"\nstat = \"p99\"\nmax = 0.01\n[[gate]]\non = \"weights\"\nmetric = \"group_shift\"\nstat = \"max\"\nmax = 1.0\n";
    std::fs::write(&policy, text).unwrap();
    let request = request("parallax-mini-mlx-8bit").with(|r| r.policy = Some(policy.display().to_string()));
    assert_eq!(run(&request, |_| ()).verdict, Verdict::Pass);
    let report = run(&request, |sides| noisy(&mut sides.control, 1e-3));
    assert_eq!(report.verdict, Verdict::Inconclusive);
    assert!(report.reasons.iter().any(|r| r.code == "gate.engine"), "{:?}", report.reasons);
}

/// Adds to every state, in turns up and down, this share of it.
fn noisy(side: &mut Box<dyn Encoder>, share: f32) {
    let sign = |i: usize| if i.is_multiple_of(2) { 1.0 } else { -1.0 };
    let add = move |values: &mut Vec<f32>| values.iter_mut().enumerate().for_each(|(i, v)| *v *= 1.0 + share * sign(i));
    change(side, move |_, _, open| open.values_mut().for_each(add));
}

#[test]
fn a_reference_that_differs_from_itself_is_no_reference() {
    let report = run(&request("parallax-mini-mlx-8bit"), |sides| {
        let variation = sides.variations.iter_mut().find(|v| v.name.contains("optimizations")).unwrap();
        let Variation { name, open } =
            std::mem::replace(variation, Variation { name: String::new(), open: Box::new(|| Ok(nobody())) });
        let noisy = move || {
            let mut encoder = open()?;
            noisy(&mut encoder, 1e-5);
            Ok(encoder)
        };
        *variation = Variation { name, open: Box::new(noisy) };
    });
    assert_eq!(report.verdict, Verdict::Inconclusive);
    let floor = finding(&report, "alignment.floor");
    assert!(
        floor.message.contains("graph optimizations off") && floor.message.contains("a quarter"),
        "{}",
        floor.message
    );
}

#[test]
fn nan_on_a_probe_alone_fails() {
    let report = run(&request("parallax-mini-mlx-8bit"), |sides| poison_padded(&mut sides.candidate));
    assert_ne!(report.verdict, Verdict::Pass);
    let broken = finding(&report, "probes.broken_states");
    assert_eq!(broken.severity, Severity::Failure);
    assert!(broken.message.contains("embeddings") && broken.message.contains("probe"), "{}", broken.message);
}

#[test]
fn explain_names_the_tensors_and_measures_its_own_advice() {
    let report = run(&request("parallax-mini-mlx-4bit").with(|r| r.explain = true), |_| ());
    let told = &report.explanation;
    assert_eq!(told.stages.len(), 5, "embeddings and four layers");
    assert!(told.stages.is_sorted_by(|a, b| a.after <= b.after));
    assert_eq!(told.cause, Some(told.stages[0].tap));
    assert!(!told.tensors.is_empty() && told.tensors.is_sorted_by(|a, b| a.alone >= b.alone));
    let best = &told.advice[0];
    assert!(best.bits == 8 && best.after < best.before && best.extra_bytes > 0, "{best:?}");
    let all = told.advice.last().unwrap();
    assert!(all.tensors.len() > 1 && all.after < best.after, "together they bring more: {:?}", told.advice);
    let text = verdict_text(&report, false, true);
    assert!(text.contains("at 8 bits would bring the mean sentence error from"), "{text}");
}

#[test]
fn requantized_weights_are_what_mlx_makes_of_them() {
    use parallax::checkpoint::ModelFolder;
    use parallax::quantization::{Dequantization, load_candidate, load_float, requantized};
    let original = load_float(&ModelFolder::open(&repository("models/parallax-mini")).unwrap()).unwrap().weights;
    for (folder, bits) in [("parallax-mini-mlx-8bit", 8), ("parallax-mini-mlx-4bit", 4)] {
        let folder = ModelFolder::open(&repository("models").join(folder)).unwrap();
        let config = serde_json::from_slice(&folder.require("config.json").unwrap()).unwrap();
        let candidate = load_candidate(&folder, &config, Dequantization::default()).unwrap().weights;
        let (mut same, mut all) = (0usize, 0usize);
        for (name, mlx) in candidate.tensors().iter().filter(|(_, w)| w.storage.bits == Some(bits)) {
            let ours = requantized(&original.tensors()[name], bits, 64, &mlx.storage.dtype).unwrap();
            same += ours.rows().iter().zip(mlx.rows().iter()).filter(|(a, b)| a == b).count();
            all += mlx.len();
            assert_eq!(ours.storage.bytes, mlx.storage.bytes, "{name}");
        }
        println!("{bits} bits: {same} of {all} as MLX");
        assert!(all > 0 && same as f64 > 0.999 * all as f64, "{bits} bits: {same} of {all}");
    }
}

#[test]
fn a_matrix_left_unquantized_is_said() {
    use common::plant::{Copy, stored};
    let module = "encoder.layer.1.intermediate.dense";
    let plain = Copy::of("parallax-mini-mlx-8bit").tensors(|tensors| {
        let (_, shape, bytes) =
            stored(&repository("models/parallax-mini/model.safetensors"))[&format!("{module}.weight")].clone();
        let half = common::plant::floats(&bytes).iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect();
        tensors.insert(format!("{module}.weight"), (safetensors::Dtype::F16, shape, half));
        for part in ["scales", "biases"] {
            tensors.remove(&format!("{module}.{part}")).unwrap();
        }
    });
    let report = run(&request("parallax-mini-mlx-8bit").with(|r| r.candidate = plain.path().to_owned()), |_| ());
    assert_eq!(report.verdict, Verdict::Pass, "it is nearer to the original, not farther: {:?}", report.reasons);
    let said = finding(&report, "quantization.plain_matrix");
    assert_eq!(said.severity, parallax::finding::Severity::Warning);
    assert!(said.message.contains(module) && said.message.starts_with("1 of"), "{}", said.message);
}
