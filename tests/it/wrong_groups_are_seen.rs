//! One wrong scale among thousands: sums over a matrix hardly change, `group_shift` says which group it is.

use crate::common;

use common::fixture;
use common::plant::Copy;
use parallax::quantization::Dequantization;
use parallax::tools::compare_weights;
use parallax::weights::TensorRow;

const MODULE: &str = "encoder.layer.1.intermediate.dense";

/// Quantized matrices of a candidate against the float16 weights it was made of.
fn rows(candidate: &Copy) -> Vec<TensorRow> {
    let original = fixture("mlx/tiny/bert-f16");
    let compared = compare_weights(&original, candidate.path(), Dequantization::Dequantized).unwrap();
    compared.report.tensors.into_iter().filter(|row| row.mode.is_some()).collect()
}

#[test]
fn one_wrong_scale_is_beyond_all_rounding() {
    for format in ["mxfp4", "8bit-g64", "4bit-g32"] {
        let honest = || Copy::of_path(&fixture(&format!("mlx/tiny/bert-{format}")));
        let largest = rows(&honest()).iter().map(|row| row.group_shift.unwrap()).fold(0.0, f64::max);
        assert!(largest > 0.1 && largest <= 1.0, "{format}: MLX's own codes move a group by {largest}");
        let group = 5;
        let wrong = honest().tensors(|tensors| {
            let scales = &mut tensors.get_mut(&format!("{MODULE}.scales")).unwrap().2;
            match format {
                // A power of two in a byte, or the exponent of a float16.
                "mxfp4" => scales[group] += 1,
                _ => scales[2 * group + 1] += 4,
            }
        });
        let seen = rows(&wrong);
        let row = seen.iter().find(|row| row.tensor == format!("{MODULE}.weight")).unwrap();
        let groups = row.shape[1] / row.group_size.unwrap() as usize;
        assert!(row.group_shift.unwrap() > 1.5, "{format}: {:?}", row.group_shift);
        assert_eq!(row.group_shift_at, Some((group / groups, group % groups)), "{format}");
        let others = seen.iter().filter(|other| other.tensor != row.tensor);
        assert!(others.fold(0.0, |most, row| row.group_shift.unwrap().max(most)) <= 1.0, "{format}");
    }
}

/// Codes, scales and zero points against what MLX makes of the original: the fixtures' own all are that.
#[test]
fn every_group_of_an_honest_conversion_is_its_twins_and_one_wrong_scale_is_one_group() {
    // Of float16 weights; the fixtures in other types were made of others.
    for format in ["mxfp4", "8bit-g64", "4bit-g32"] {
        let original = fixture("mlx/tiny/bert-f16");
        let compared =
            |copy: &Copy| compare_weights(&original, copy.path(), Dequantization::Dequantized).unwrap().report;
        let honest = compared(&Copy::of_path(&fixture(&format!("mlx/tiny/bert-{format}"))));
        let twin = &honest.totals.twin;
        assert!(twin.groups > 100 && twin.equal == twin.groups && twin.changed == 0, "{format}: {twin:?}");
        let wrong = compared(&Copy::of_path(&fixture(&format!("mlx/tiny/bert-{format}"))).tensors(|tensors| {
            let scales = &mut tensors.get_mut(&format!("{MODULE}.scales")).unwrap().2;
            // The last bit of a byte, or of a float16.
            scales[if format == "mxfp4" { 5 } else { 10 }] ^= 1;
        }));
        assert_eq!((wrong.totals.twin.equal, wrong.totals.twin.changed), (twin.groups - 1, 1), "{format}");
    }
}

/// A module behind the pooling is compared like every other tensor.
#[test]
fn a_dense_module_that_is_not_the_originals_is_no_pass() {
    use parallax::check::check;
    use parallax::corpus::CorpusOptions;
    use parallax::sides::CheckRequest;
    use parallax::verdict::Verdict;
    let (inputs, outputs) = (128, 128);
    let reference = Copy::of("parallax-mini").with_dense(inputs, outputs);
    let run = |candidate: &Copy| {
        let corpus = common::repository("models/corpus.txt");
        let corpus = CorpusOptions { files: vec![corpus], limit: Some(120), ..CorpusOptions::default() };
        let request = CheckRequest::new(reference.path(), candidate.path()).with(|r| {
            r.corpus = corpus;
            r.threads = 1;
            r.canaries = false;
        });
        check(&request, &mut parallax::observe::Silent).unwrap()
    };
    let honest = run(&Copy::of("parallax-mini-mlx-8bit").with_dense(inputs, outputs));
    assert!(honest.weights.tensors.iter().any(|row| row.tensor == "2_Dense.weight" && row.max_abs == 0.0));
    let about = honest.findings.iter().filter(|f| f.message.contains("2_Dense"));
    assert!(about.clone().all(|f| f.code == "preflight.same_file"), "{:?}", honest.findings);
    let noisy =
        Copy::of("parallax-mini-mlx-8bit").with_dense(inputs, outputs).bytes("2_Dense/model.safetensors", |b| {
            let last = b.len() - 8;
            b[last] ^= 1;
        });
    let report = run(&noisy);
    let said = report.reasons.iter().any(|r| r.code == "weights.changed_unquantized" && r.message.contains("2_Dense"));
    assert!(said && report.verdict != Verdict::Pass, "{:?}", report.reasons);
}
