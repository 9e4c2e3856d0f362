//! Every kind of scales, made by its algorithm, is named; what keeps none is not.

use super::twin_tests::{GROUP, Line, ROWS, alone, between, fitted, made, most, original, range, report, stored};
use super::{Method, Outputs, judge_outputs, makers, other_quantizers};
use crate::checkpoint::Weight;

const BITS: [u32; 2] = [8, 4];

/// The nearest codes of a scale and bias.
fn nearest(weights: &[f32], bits: u32, scale: f32, bias: f32) -> Line {
    let code = |w: &f32| ((w - bias) / scale).round().clamp(0.0, most(bits)) as u8;
    (weights.iter().map(code).collect(), scale, bias)
}

/// Zero on the code in the middle, as formats with signed codes have it.
fn signed(weights: &[f32], bits: u32) -> Line {
    let middle = (1u32 << (bits - 1)) as f32;
    let (low, high) = range(weights);
    let scale = low.abs().max(high.abs()) / (middle - 1.0);
    nearest(weights, bits, scale, -middle * scale)
}

fn symmetric(weights: &[f32], bits: u32) -> Line {
    let (low, high) = range(weights);
    let top = low.abs().max(high.abs());
    nearest(weights, bits, 2.0 * top / most(bits), -top)
}

/// Badri and Shaji: the zero point by half-quadratic splitting, the scale that of the range.
fn half_quadratic(weights: &[f32], bits: u32) -> Line {
    let (codes, scale, mut bias) = between(weights, bits, 1.0, f32::round);
    let (mut codes, mut beta) = (codes, 10.0f32);
    for _ in 0..20 {
        let shrunk = |(w, q): (&f32, &u8)| {
            let error = w - (f32::from(*q) * scale + bias);
            let size = error.abs().max(1e-8);
            let kept = error.signum() * (size - size.powf(-0.3) / beta).max(0.0);
            w - kept - f32::from(*q) * scale
        };
        bias = weights.iter().zip(&codes).map(shrunk).sum::<f32>() / weights.len() as f32;
        codes = nearest(weights, bits, scale, bias).0;
        beta *= 1.01;
    }
    (codes, scale, bias)
}

/// Codes and least squares in turn.
fn alternating(weights: &[f32], bits: u32) -> Line {
    let mut line = between(weights, bits, 1.0, f32::round);
    for _ in 0..30 {
        line = fitted(weights, line.0);
        line = nearest(weights, bits, line.1, line.2);
    }
    line
}

fn method(original: &Weight, candidate: Weight) -> Method {
    alone(original, candidate).0.tensors[0].twin.as_ref().unwrap().method
}

#[test]
fn scales_are_named_by_their_law() {
    type Kind = (Method, fn(&[f32], u32) -> Line);
    const KINDS: &[Kind] = &[
        (Method::MinMax, |w, bits| between(w, bits, 1.0, f32::round)),
        (Method::Clipped, |w, bits| between(w, bits, if bits == 8 { 0.98 } else { 0.9 }, f32::round)),
        (Method::Symmetric, symmetric),
        (Method::Symmetric, signed),
        (Method::HalfQuadratic, half_quadratic),
        (Method::Fitted, alternating),
    ];
    for seed in [21, 22] {
        let original = original(seed, ROWS);
        for bits in BITS {
            for (i, (expected, line)) in KINDS.iter().enumerate() {
                let named = method(&original, stored(&original, bits, |w| line(w, bits)));
                assert_eq!(named, *expected, "kind {i}, {bits} bits, seed {seed}");
            }
            assert_eq!(method(&original, made(&original, bits, "mlx")), Method::Mlx, "{bits}");
            assert_eq!(method(&original, made(&original, bits, "dwq")), Method::Fitted, "MLX's codes, {bits}");
            assert_eq!(method(&original, made(&original, bits, "stochastic")), Method::Stochastic, "{bits}");
        }
    }
}

/// The nearest codes, but those less than `share` of a step from a tie, which go the other way.
fn near_ties(weights: &[f32], bits: u32, share: f32) -> Line {
    let (mut codes, scale, bias) = between(weights, bits, 1.0, f32::round);
    for (code, w) in codes.iter_mut().zip(weights) {
        let exact = (w - bias) / scale;
        if (exact - exact.floor() - 0.5).abs() < share {
            *code = (2.0 * exact.floor() + 1.0 - f32::from(*code)) as u8;
        }
    }
    (codes, scale, bias)
}

#[test]
fn one_rule_makes_a_whole_tensor_or_somebody_chose() {
    let original = original(26, ROWS);
    for bits in BITS {
        let fixed = |line: &mut dyn FnMut(&[f32]) -> Line| {
            let (report, ..) = alone(&original, stored(&original, bits, line));
            let twin = report.tensors[0].twin.clone().unwrap();
            assert!(matches!(twin.method, Method::MinMax | Method::Symmetric), "{:?}", twin.method);
            assert_eq!(twin.fixed, super::free_choices(&report).is_none());
            twin.fixed
        };
        assert!(fixed(&mut |w| between(w, bits, 1.0, f32::round)));
        assert!(fixed(&mut |w| symmetric(w, bits)) && fixed(&mut |w| signed(w, bits)));
        assert!(!fixed(&mut |w| near_ties(w, bits, 0.01)), "codes on the other side of a tie, {bits}");
        let mut group = 0;
        let mut mixed = |w: &[f32]| {
            group += 1;
            if group == 40 { signed(w, bits) } else { symmetric(w, bits) }
        };
        assert!(!fixed(&mut mixed), "one group with another number of steps, {bits}");
    }
}

#[test]
fn rules_that_change_from_matrix_to_matrix_were_chosen() {
    let (one, other) = (original(27, ROWS), original(28, ROWS));
    for bits in BITS {
        let plain = |of: &Weight| stored(of, bits, |w| between(w, bits, 1.0, f32::round));
        let free = |first: Weight, second: Weight| {
            let names = ["embeddings.a_embeddings.weight", "embeddings.b_embeddings.weight"].map(str::to_owned);
            let originals = names.clone().into_iter().zip([one.clone(), other.clone()]).collect();
            let (report, ..) = report(originals, names.into_iter().zip([first, second]).collect());
            assert!(report.tensors.iter().all(|row| row.twin.as_ref().unwrap().is_others()));
            super::free_choices(&report)
        };
        assert!(free(plain(&one), plain(&other)).is_none(), "{bits}");
        let mixed = free(plain(&one), stored(&other, bits, |w| symmetric(w, bits))).unwrap();
        assert!(mixed.message.contains("2 matrices"), "{}", mixed.message);
    }
}

#[test]
fn trained_scales_of_mlx_codes_are_told_from_fitted_ones() {
    let original = original(23, ROWS);
    for bits in BITS {
        let fitted = made(&original, bits, "dwq");
        let (_, packed) = crate::quantization::packed(&fitted).unwrap();
        let (mut codes, mut lines) = (crate::quantization::Codes::default(), Vec::new());
        for r in 0..ROWS {
            assert!(codes.read(&packed, r));
            for (g, own) in codes.codes.chunks(GROUP).enumerate() {
                let step = if (r + g) % 2 == 0 { 0.3 } else { -0.3 } * codes.scales[g];
                lines.push((own.to_vec(), codes.scales[g], codes.biases[g] + step));
            }
        }
        let mut lines = lines.into_iter();
        assert_eq!(method(&original, stored(&original, bits, |_| lines.next().unwrap())), Method::Dwq, "{bits}");
    }
}

#[test]
fn what_is_no_number_has_no_law() {
    let original = original(24, ROWS);
    for (scale, bias) in [(0.0, 0.0), (f32::INFINITY, 0.0), (1e-30, f32::MAX)] {
        let odd = stored(&original, 4, |w| (vec![3; w.len()], scale, bias));
        // Values that are no numbers are refused before; the laws themselves must not stumble.
        if odd.rows().iter().all(|v| v.is_finite()) {
            assert_eq!(method(&original, odd), Method::Unknown, "{scale} {bias}");
        }
    }
}

#[test]
fn outputs_name_what_keeps_no_rule() {
    let original = original(25, ROWS);
    let (mut report, ..) = alone(&original, made(&original, 8, "noise"));
    let tensor = report.tensors[0].tensor.clone();
    let said = |report: &_, run| other_quantizers(report, run).unwrap().message;
    assert!(said(&report, false).contains("only a run over sentences"), "{}", said(&report, false));
    assert!(!said(&report, true).contains("only a run"), "{}", said(&report, true));
    let mut told = Outputs { tensor, over_independent: 1.01, passed: true };
    for (ratio, passed, expected) in [
        (1.01, true, Method::Unknown),
        (f64::NAN, true, Method::Unknown),
        (0.5, false, Method::Unknown),
        (0.5, true, Method::Gptq),
    ] {
        (told.over_independent, told.passed) = (ratio, passed);
        judge_outputs(&mut report, std::slice::from_ref(&told));
        assert_eq!(report.tensors[0].twin.as_ref().unwrap().method, expected, "{ratio} {passed}");
    }
    assert_eq!(makers(&report).unwrap(), "1 matrix by GPTQ (error-compensating rounding)");
}
