//! One wrong scale among thousands: sums over a matrix hardly change, `group_shift` says which group it is.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod common;

use common::fixture;
use common::plant::Copy;
use parallax::check::compare_weights;
use parallax::quantization::Effective;
use parallax::weights::TensorRow;

const MODULE: &str = "encoder.layer.1.intermediate.dense";

/// Quantized matrices of a candidate against the float16 weights it was made of.
fn rows(candidate: &Copy) -> Vec<TensorRow> {
    let original = fixture("mlx/tiny/bert-f16");
    let compared = compare_weights(&original, candidate.path(), Effective::Dequantized).unwrap();
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
