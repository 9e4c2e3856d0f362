//! Every case that real MLX packed and dequantized comes back to the bit.

use crate::common;

use common::fixture;
use half::{bf16, f16};
use parallax::quantization::{Codes, Dequantization, FloatType, Floats, MODES, Packed, Program, Scales, Target};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

/// Cases in the manifest: 7 widths × 3 groups × 3 types of affine, and 7 of random words × 3 types; 3 floating-point
/// modes × 3 types of source, and one of random words each.
const CASES: usize = 63 + 21 + 9 + 3;
/// Of them, those whose codes MLX's own quantizer made.
const QUANTIZED: usize = 63 + 9;

fn floats<'a>(view: &TensorView<'a>) -> Floats<'a> {
    match view.dtype() {
        Dtype::F32 => Floats::F32(view.data()),
        Dtype::F16 => Floats::F16(view.data()),
        Dtype::BF16 => Floats::BF16(view.data()),
        other => panic!("{other:?}"),
    }
}

/// Elements that differ; NaN matches any NaN, the sign of zero counts.
fn differences(file: &str, case: &serde_json::Value, flip: bool) -> usize {
    let bytes = std::fs::read(fixture("mlx/golden").join(file)).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let (codes, scales) = (tensors.tensor("weight").unwrap(), tensors.tensor("scales").unwrap());
    let number = |key: &str| case[key].as_u64().unwrap() as usize;
    let mut words = codes.data().to_vec();
    if flip {
        // One in every row: those of zeros and of subnormals may not show it.
        let row = words.len() / number("rows");
        words.iter_mut().step_by(row).for_each(|byte| *byte ^= 1);
    }
    let mode = MODES.iter().find(|m| m.name == case["mode"]).unwrap();
    let packed = Packed {
        rows: number("rows"),
        cols: number("cols"),
        bits: number("bits") as u32,
        group_size: number("group_size"),
        codes: &words,
        scales: match mode.floats.is_none() {
            true => Scales::Affine { scales: floats(&scales), biases: floats(&tensors.tensor("biases").unwrap()) },
            false => Scales::Bytes(scales.data()),
        },
        effective: Dequantization::Dequantized,
    };
    let mut out = vec![0.0f32; packed.rows * packed.cols];
    assert!(mode.bits.contains(&packed.bits) && mode.group_sizes.contains(&packed.group_size));
    mode.dequantize(&packed, &mut out);
    let view = tensors.tensor("expected").unwrap();
    assert_eq!(view.shape(), [packed.rows, packed.cols]);
    let expected: Vec<f32> = match view.dtype() {
        Dtype::F32 => view.data().as_chunks().0.iter().map(|c| f32::from_le_bytes(*c)).collect(),
        Dtype::F16 => view.data().as_chunks().0.iter().map(|c| f16::from_le_bytes(*c).to_f32()).collect(),
        Dtype::BF16 => view.data().as_chunks().0.iter().map(|c| bf16::from_le_bytes(*c).to_f32()).collect(),
        other => panic!("{other:?}"),
    };
    assert_eq!(expected.len(), out.len());
    out.iter().zip(&expected).filter(|(a, b)| a.to_bits() != b.to_bits() && !(a.is_nan() && b.is_nan())).count()
}

#[test]
fn every_case_is_bit_exact() {
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(fixture("mlx/golden/manifest.json")).unwrap()).unwrap();
    let cases = manifest["cases"].as_array().unwrap();
    assert_eq!(cases.len(), CASES);
    let mut seen = 0;
    for case in cases {
        let file = case["file"].as_str().unwrap();
        assert_eq!(differences(file, case, false), 0, "{file}");
        // In the random cases scale and bias lie many orders apart, and a flipped bit can drown.
        if !case["origin"].as_str().unwrap().starts_with("random words") {
            assert!(differences(file, case, true) > 0, "{file}: a flipped bit goes unseen");
            seen += 1;
        }
    }
    assert_eq!(seen, QUANTIZED);
}

/// Codes, scales and biases of every case that MLX's own quantizer made, from the weights it was given.
#[test]
fn every_quantized_case_is_made_to_the_bit() {
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(fixture("mlx/golden/manifest.json")).unwrap()).unwrap();
    let source = common::Recording::open(&fixture("mlx/golden/source.safetensors"));
    let mut seen = 0;
    for case in manifest["cases"].as_array().unwrap() {
        let origin = case["origin"].as_str().unwrap();
        let Some(name) = origin.strip_prefix("mx.quantize(").and_then(|o| o.strip_suffix(')')) else { continue };
        let file = case["file"].as_str().unwrap();
        let bytes = std::fs::read(fixture("mlx/golden").join(file)).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let (shape, weights) = source.tensor(name);
        let mode = MODES.iter().find(|m| m.name == case["mode"]).unwrap();
        let float = FloatType::named(&name.trim_start_matches("source_").to_uppercase()).unwrap();
        let (bits, group_size) = (case["bits"].as_u64().unwrap() as u32, case["group_size"].as_u64().unwrap() as usize);
        let target = Target { bits, group_size, float, program: Program::Cpu };
        let scales = tensors.tensor("scales").unwrap();
        let packed = Packed {
            rows: shape[0],
            cols: shape[1],
            bits,
            group_size,
            codes: tensors.tensor("weight").unwrap().data(),
            scales: match mode.floats.is_none() {
                true => Scales::Affine { scales: floats(&scales), biases: floats(&tensors.tensor("biases").unwrap()) },
                false => Scales::Bytes(scales.data()),
            },
            effective: Dequantization::Dequantized,
        };
        let (mut made, mut stored) = (Codes::default(), Codes::default());
        for (r, row) in weights.chunks(shape[1]).enumerate() {
            (mode.quantize_row)(&target, row, &mut made);
            assert!(stored.read(&packed, r));
            assert_eq!(made, stored, "{file}, row {r}: {:?}", &row[..8]);
            let width = shape[1] * bits as usize / 8;
            assert_eq!(made.pack(bits), packed.codes[r * width..][..width], "{file}, row {r}");
        }
        seen += 1;
    }
    assert_eq!(seen, QUANTIZED);
}
