//! States another runtime recorded: compared on the same ids or not at all.

use crate::common;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use common::plant::{Copy, Stored};
use common::{fixture, repository};
use parallax::Error;
use parallax::check::check;
use parallax::corpus::CorpusOptions;
use parallax::fault::Fault;
use parallax::hidden_states::Arm;
use parallax::observe::Silent;
use parallax::policy::{Outcome, Stat};
use parallax::report::Report;
use parallax::sides::CheckRequest;
use parallax::tools::{RecordRequest, RecordSide, record};
use parallax::verdict::Verdict;
use safetensors::{SafeTensors, tensor::TensorView};

/// Rows of the recordings' corpus.
const ROWS: u64 = 104;

/// Made by scripts/record_mlx.py on the shipped model: MLX's own states, no code of ours.
const MLX: &str = "tests/fixtures/recordings/parallax-mini-8bit-mlx.safetensors";

fn corpus() -> CorpusOptions {
    CorpusOptions { files: vec![fixture("recordings/corpus.txt")], ..CorpusOptions::default() }
}

/// Records the candidate in `folder` over the corpus.
fn recorded(folder: &Path, save: &Path) {
    let request = RecordRequest {
        corpus: corpus(),
        threads: 2,
        ..RecordRequest::new(RecordSide::Candidate(folder.to_owned()), save)
    };
    let summary = record(&request, &mut Silent).unwrap();
    assert_eq!((summary.rows as u64, summary.taps), (ROWS, 8), "four layers, embeddings, final, pooled, sentence");
    assert_eq!(summary.bytes, std::fs::metadata(save).unwrap().len());
}

fn judged(recording: &Path) -> Result<Report, Error> {
    let request = CheckRequest::new(repository("models/parallax-mini"), repository("models/parallax-mini-mlx-8bit"))
        .with(|r| {
            r.corpus = corpus();
            r.recording = Some(recording.to_owned());
            r.canaries = false;
        });
    check(&request, &mut Silent)
}

/// Rewrites the tensors of a recording; its metadata stays.
fn rewrite(from: &Path, to: &Path, change: impl FnOnce(&mut BTreeMap<String, Stored>)) {
    restate(from, to, |tensors, _| change(tensors));
}

/// Rewrites a recording.
fn restate(from: &Path, to: &Path, change: impl FnOnce(&mut BTreeMap<String, Stored>, &mut HashMap<String, String>)) {
    let bytes = std::fs::read(from).unwrap();
    let read = SafeTensors::deserialize(&bytes).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let mut metadata: HashMap<String, String> = header.metadata().clone().unwrap();
    let mut tensors: BTreeMap<String, Stored> =
        read.tensors().into_iter().map(|(n, v)| (n, (v.dtype(), v.shape().to_vec(), v.data().to_vec()))).collect();
    change(&mut tensors, &mut metadata);
    let views: BTreeMap<&str, TensorView<'_>> =
        tensors.iter().map(|(n, (d, s, b))| (n.as_str(), TensorView::new(*d, s.clone(), b).unwrap())).collect();
    std::fs::write(to, safetensors::serialize(views, Some(metadata)).unwrap()).unwrap();
}

/// Two different rows of one length, and where their tokens lie.
fn pair(tensors: &BTreeMap<String, Stored>) -> [std::ops::Range<usize>; 2] {
    let offsets: Vec<usize> =
        tensors["row_offsets"].2.as_chunks::<8>().0.iter().map(|c| i64::from_le_bytes(*c) as usize).collect();
    let spans: Vec<std::ops::Range<usize>> = offsets.windows(2).map(|w| w[0]..w[1]).collect();
    for (i, a) in spans.iter().enumerate() {
        if let Some(b) = spans[i + 1..].iter().find(|b| b.len() == a.len()) {
            return [a.clone(), b.clone()];
        }
    }
    panic!("no two rows of one length");
}

/// Swaps two spans of tokens in a tensor of `width` bytes per token.
fn swap(bytes: &mut [u8], [a, b]: &[std::ops::Range<usize>; 2], width: usize) {
    for i in 0..a.len() * width {
        bytes.swap(a.start * width + i, b.start * width + i);
    }
}

#[test]
fn a_recording_is_compared_on_its_own_ids_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let made = at("made.safetensors");
    recorded(&repository("models/parallax-mini-mlx-8bit"), &made);

    // Our own states are no other runtime's, whatever they are called.
    let report = judged(&made).unwrap();
    assert_eq!(report.verdict, Verdict::Inconclusive, "{:?}", report.reasons);
    let own = report.reasons.iter().filter(|r| r.code == "recording.not_another_runtime").count();
    assert_eq!(own, 2, "by its producer and by its numbers: {:?}", report.reasons);
    let device: Vec<_> = report.gates.iter().filter(|g| g.quantity.arm == Some(Arm::Device)).collect();
    assert!(device.len() >= 16 && device.iter().all(|g| g.observed == Some(0.0)), "our own states: {device:?}");

    let own = repository(MLX);
    let report = judged(&own).unwrap();
    assert_eq!(report.verdict, Verdict::Pass, "{:?}", report.reasons);

    // Whole rows in each other's place: the ids tell.
    rewrite(&own, &at("rows.safetensors"), |t| {
        let rows = pair(t);
        for (name, (_, shape, bytes)) in t.iter_mut().filter(|(n, _)| *n == "input_ids" || n.starts_with("tap/")) {
            if !name.ends_with("pooled") && !name.ends_with("sentence") {
                swap(bytes, &rows, 4 * shape.get(1).copied().unwrap_or(1));
            }
        }
    });
    let report = judged(&at("rows.safetensors")).unwrap();
    assert_eq!(report.verdict, Verdict::Inconclusive);
    let ids = report.reasons.iter().find(|r| r.code == "recording.ids").unwrap();
    assert!(ids.message.contains("was recorded on other ids: from token"), "{}", ids.message);

    // Their states alone: the numbers tell.
    rewrite(&own, &at("states.safetensors"), |t| {
        let rows = pair(t);
        for (_, (_, shape, bytes)) in t.iter_mut().filter(|(n, _)| n.starts_with("tap/l") || n.ends_with("final")) {
            swap(bytes, &rows, 4 * shape[1]);
        }
    });
    let report = judged(&at("states.safetensors")).unwrap();
    assert_eq!(report.verdict, Verdict::Fail, "{:?}", report.reasons);
    assert!(report.reasons[0].message.contains("(device)"), "{:?}", report.reasons);

    // One NaN.
    rewrite(&own, &at("nan.safetensors"), |t| {
        t.get_mut("tap/layer.2").unwrap().2[4096..4100].copy_from_slice(&f32::NAN.to_le_bytes());
    });
    let report = judged(&at("nan.safetensors")).unwrap();
    assert_eq!(report.verdict, Verdict::Fail);
    assert!(report.reasons.iter().any(|r| r.message.contains("layer.2")), "{:?}", report.reasons);

    // A tap left out, and one of another width: nothing to compare with.
    rewrite(&own, &at("tap.safetensors"), |t| drop(t.remove("tap/layer.1")));
    let error = judged(&at("tap.safetensors")).unwrap_err();
    assert_eq!((error.fault(), error.to_string().contains("layer.1")), (Fault::Incomparable, true), "{error}");

    // Of other weights: another model's states are no device's of this one.
    let four = at("four.safetensors");
    recorded(&repository("models/parallax-mini-mlx-4bit"), &four);
    let report = judged(&four).unwrap();
    assert_eq!(report.verdict, Verdict::Inconclusive);
    let other = report.reasons.iter().find(|r| r.code == "recording.weights").unwrap();
    assert!(other.message.contains("made from other weights than the candidate's"), "{}", other.message);

    // Few rows are no evidence.
    rewrite(&own, &at("few.safetensors"), |t| {
        let (_, shape, bytes) = t.get_mut("row_offsets").unwrap();
        let n = shape[0] - 1;
        let numbers: Vec<u8> = (0..n as i64).flat_map(|i| (i + 60).to_le_bytes()).collect();
        assert_eq!(bytes.len(), 8 * (n + 1));
        t.insert("row".to_owned(), (safetensors::Dtype::I64, vec![n], numbers));
    });
    let report = judged(&at("few.safetensors")).unwrap();
    assert_eq!(report.verdict, Verdict::Inconclusive, "rows under other numbers");
}

#[test]
fn another_gelu_on_the_device_fails() {
    let dir = tempfile::tempdir().unwrap();
    let tanh = Copy::of("parallax-mini-mlx-8bit").json("config.json", |c| c["hidden_act"] = "gelu_new".into());
    recorded(tanh.path(), &dir.path().join("own.safetensors"));
    // As a device with that GELU would have recorded it.
    restate(&dir.path().join("own.safetensors"), &dir.path().join("tanh.safetensors"), |_, said| {
        said.insert("producer".to_owned(), "another runtime".to_owned());
    });
    let report = judged(&dir.path().join("tanh.safetensors")).unwrap();
    assert_eq!(report.verdict, Verdict::Fail, "{:?}", report.reasons);
    let named = |r: &parallax::verdict::Reason| r.message.contains("first at layer.0 (device): relative_l2 p99");
    assert!(report.reasons.iter().any(named), "{:?}", report.reasons);
}

#[test]
fn damaged_recordings_are_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("own.safetensors");
    recorded(&repository("models/parallax-mini-mlx-8bit"), &own);
    let whole = std::fs::read(&own).unwrap();
    let open = |bytes: &[u8]| {
        let path = dir.path().join("damaged.safetensors");
        std::fs::write(&path, bytes).unwrap();
        parallax::runtimes::recorded::Recording::open(&path)
    };
    for n in (0..40).chain((40..whole.len()).step_by(whole.len() / 40)) {
        let error = open(&whole[..n]).unwrap_err();
        assert_eq!(error.fault(), Fault::BadInput, "{n}: {error}");
        assert!(!error.to_string().contains('\n'));
    }
    let damaged = |change: &dyn Fn(&mut BTreeMap<String, Stored>)| {
        let path = dir.path().join("changed.safetensors");
        rewrite(&own, &path, |t| change(t));
        parallax::runtimes::recorded::Recording::open(&path).unwrap_err().to_string()
    };
    assert!(damaged(&|t| drop(t.remove("tap/final"))).contains("`tap/final` is missing"));
    assert!(damaged(&|t| drop(t.remove("input_ids"))).contains("`input_ids` is missing"));
    let cut = damaged(&|t| t.get_mut("row_offsets").unwrap().2[8..16].copy_from_slice(&i64::MAX.to_le_bytes()));
    assert!(cut.contains("row_offsets"), "{cut}");
    let shape = damaged(&|t| {
        let taps = t.get_mut("tap/layer.0").unwrap();
        taps.1 = vec![taps.1[0] / 2, taps.1[1] * 2];
    });
    assert!(shape.contains("`tap/layer.0` has shape"), "{shape}");
}

fn against_mlx(recording: &Path) -> Report {
    let files = vec![fixture("recordings/corpus.txt")];
    let request = CheckRequest::new(repository("models/parallax-mini"), repository("models/parallax-mini-mlx-8bit"))
        .with(|r| {
            r.corpus = CorpusOptions { files, ..CorpusOptions::default() };
            r.recording = Some(recording.to_owned());
        });
    check(&request, &mut Silent).unwrap()
}

#[test]
fn what_mlx_itself_computes_passes_and_with_two_rows_swapped_does_not() {
    let report = against_mlx(&repository(MLX));
    assert_eq!(report.verdict, Verdict::Pass, "{:?}", report.reasons);
    let device = |g: &&parallax::policy::GateResult| g.quantity.arm == Some(Arm::Device);
    let worst = report.gates.iter().filter(device).filter_map(|g| g.margin).fold(0.0, f64::max);
    assert!(worst > 0.0 && worst < 0.3, "two programs, not one: {worst}");
    assert!(report.findings.iter().any(|f| f.code == "recording.compared" && f.message.contains("mlx 0.")));

    let dir = tempfile::tempdir().unwrap();
    let swapped = dir.path().join("swapped.safetensors");
    rewrite(&repository(MLX), &swapped, |t| {
        let rows = pair(t);
        for (_, (_, shape, bytes)) in t.iter_mut().filter(|(n, _)| n.starts_with("tap/")) {
            swap(bytes, &rows, 4 * shape[1]);
        }
    });
    let report = against_mlx(&swapped);
    assert_eq!(report.verdict, Verdict::Fail, "{:?}", report.reasons);
    assert!(report.reasons.iter().all(|r| r.message.contains("(device)")), "{:?}", report.reasons);
}

/// The same model in half precision: twenty rows each, too few for a verdict, but every limit holds.
#[test]
fn what_mlx_computes_in_half_precision_is_within_what_is_predicted() {
    for compute in ["float16", "bfloat16"] {
        let report = against_mlx(&repository(&MLX.replace(".safe", &format!("-{compute}.safe"))));
        let said: Vec<&str> = report.reasons.iter().map(|r| r.code.as_str()).collect();
        assert_eq!(said, ["recording.rows", "recording.tokens"], "{:?}", report.reasons);
        let gates: Vec<_> = report.gates.iter().filter(|g| g.quantity.arm == Some(Arm::Device)).collect();
        assert!(gates.len() >= 16 && gates.iter().all(|g| g.outcome == Outcome::Pass), "{gates:?}");
        let p99 = |g: &&&parallax::policy::GateResult| g.quantity.is_of("relative_l2", Stat::P99);
        let most = gates.iter().filter(p99).filter_map(|g| g.margin).fold(0.0, f64::max);
        assert!(most > 0.02 && most < 0.8, "{compute}: {most}");
    }
}
