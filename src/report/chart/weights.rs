//! One matrix's error as a bar, with what rounding alone would make of normally distributed weights.

use super::at;
use crate::weights::TensorRow;

const WIDTH: f64 = 140.0;
const HEIGHT: f64 = 14.0;

/// Range of so many independent standard normal values, on average (Tippett, Biometrika 1925, by numerical integration).
const RANGES: [(u32, f64); 3] = [(32, 4.1393), (64, 4.6875), (128, 5.1892)];

/// Relative error that affine codes give to normally distributed weights: steps of range/(2^bits − 1), each weight wrong
/// by a step over √12. None for other formats.
pub(in crate::report) fn theory(row: &TensorRow) -> Option<f64> {
    let bits = row.bits.filter(|_| row.mode.as_deref() == Some("affine"))?;
    let range = RANGES.iter().find(|(size, _)| Some(*size) == row.group_size)?.1;
    Some(range / (12f64.sqrt() * (2f64.powi(i32::try_from(bits).ok()?) - 1.0)))
}

/// A bar as long as the error's share of `most`, a line where theory puts it.
pub(in crate::report) fn bar(row: &TensorRow, most: f64) -> String {
    let x = |v: f64| if most > 0.0 { (v / most).clamp(0.0, 1.0) * WIDTH } else { 0.0 };
    let length = if row.relative_error.is_finite() { x(row.relative_error) } else { WIDTH };
    let tick = theory(row).filter(|t| *t <= most).map_or_else(String::new, |t| {
        let x = at(x(t));
        format!("<line class=\"limit\" x1=\"{x}\" y1=\"0\" x2=\"{x}\" y2=\"{HEIGHT}\" stroke=\"#1c1e21\" stroke-width=\"2\"/>")
    });
    format!(
        "<svg width=\"{WIDTH}\" height=\"{HEIGHT}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" aria-hidden=\"true\" focusable=\"false\">\
         <rect class=\"s-quantization\" y=\"2\" width=\"{}\" height=\"10\" fill=\"#c04f00\"/>{tick}</svg>",
        at(length)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn theory_is_what_mlx_measures_on_normal_weights() {
        let row = |mode: &str, bits, group| TensorRow {
            tensor: "w".into(),
            shape: vec![1, group as usize],
            dtype: "F32".into(),
            mode: Some(mode.into()),
            bits: Some(bits),
            group_size: Some(group),
            bytes: 0,
            float32_bytes: 0,
            mse: 0.0,
            rmse: 0.0,
            relative_error: 0.05,
            max_abs: 0.0,
            max_abs_index: vec![],
            sqnr_db: 0.0,
            cosine: 1.0,
            group_shift: None,
            group_shift_at: None,
            twin: None,
        };
        // Measured with mlx on a normal 256×768 matrix in groups of 64: 0.0054, 0.022, 0.091.
        for (bits, measured) in [(8, 0.0054), (6, 0.022), (4, 0.091)] {
            let expected = theory(&row("affine", bits, 64)).unwrap();
            assert!((expected / measured - 1.0).abs() < 0.03, "{bits}: {expected}");
        }
        assert_eq!(theory(&row("mxfp4", 4, 32)), None);
        assert!(bar(&row("affine", 4, 64), 0.1).contains("width=\"70\""));
        assert!(bar(&row("affine", 4, 64), 0.0).contains("width=\"0\""));
    }
}
