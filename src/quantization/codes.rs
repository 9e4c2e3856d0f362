//! What a quantizer makes of a row, and the row as a file holds it: one byte a code, so that the two can be compared.

use half::{bf16, f16};

use super::{Floats, Packed, QuantizationMode, Scales};
use crate::checkpoint::{Bytes, PackedBytes, Weight};

/// The type that weights are cast to before they are quantized, and that scales and biases are stored in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FloatType {
    /// IEEE single.
    F32,
    /// IEEE half.
    F16,
    /// bfloat16.
    BF16,
}

impl FloatType {
    /// All of them, in the order in which they are tried where a file does not say which it was.
    pub const ALL: [Self; 3] = [Self::F16, Self::BF16, Self::F32];

    /// By the name safetensors gives it.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|float| float.name() == name)
    }

    /// Its name in safetensors.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
        }
    }

    /// The nearest value of the type; ties to even.
    pub fn round(self, value: f32) -> f32 {
        match self {
            Self::F32 => value,
            Self::F16 => f16::from_f32(value).to_f32(),
            Self::BF16 => bf16::from_f32(value).to_f32(),
        }
    }

    /// Largest relative error of rounding to it: 2^-p for p significant bits.
    pub fn unit_roundoff(self) -> f64 {
        match self {
            Self::F32 => 1.0 / 16_777_216.0,
            Self::F16 => 1.0 / 2048.0,
            Self::BF16 => 1.0 / 256.0,
        }
    }
}

/// Which of MLX's two programs quantizes. They part in ties, in groups without a positive weight, and in the precision
/// they compute small floats in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `mlx/backend/cpu/quantized.cpp`; where that has none, the operations of `fp_quantize` in `mlx/ops.cpp`.
    Cpu,
    /// `mlx/backend/metal/kernels/quantized.h` and `fp_quantized.h`, on an Apple GPU.
    Metal,
}

/// What a row is to become.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Bits per code.
    pub bits: u32,
    /// Codes per scale.
    pub group_size: usize,
    /// Type of the weights and, in the affine mode, of scales and biases.
    pub float: FloatType,
    /// Whose arithmetic.
    pub program: Program,
}

/// A row in codes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Codes {
    /// One byte a weight, whatever the width.
    pub codes: Vec<u8>,
    /// One per group: what the file holds, widened to float32; empty where scales are bytes.
    pub scales: Vec<f32>,
    /// One per group, likewise.
    pub biases: Vec<f32>,
    /// One per group, where scales are bytes.
    pub bytes: Vec<u8>,
}

impl Codes {
    /// Reads row `row` out of a file. False where it does not hold such a row.
    pub fn read(&mut self, packed: &Packed<'_>, row: usize) -> bool {
        let width = packed.cols * packed.bits as usize / 8;
        let groups = packed.cols.checked_div(packed.group_size).unwrap_or(0);
        let Some(stream) = packed.codes.get(row * width..(row + 1) * width) else { return false };
        self.codes.resize(packed.cols, 0);
        unpack(packed.bits, stream, &mut self.codes);
        let range = row * groups..(row + 1) * groups;
        self.scales.clear();
        self.biases.clear();
        self.bytes.clear();
        match packed.scales {
            Scales::Affine { scales, biases } => {
                self.scales.extend(range.clone().map(|g| scales.get(g)));
                self.biases.extend(range.clone().map(|g| biases.get(g)));
                range.end <= scales.len() && range.end <= biases.len()
            }
            Scales::Bytes(bytes) => {
                self.bytes.extend_from_slice(bytes.get(range).unwrap_or(&[]));
                self.bytes.len() == groups
            }
        }
    }

    /// Writes the codes as a file holds them: little-endian, least significant bit first.
    pub fn pack(&self, bits: u32) -> Vec<u8> {
        let mut stream = vec![0u8; (self.codes.len() * bits as usize).div_ceil(8)];
        for (i, code) in self.codes.iter().enumerate() {
            let (byte, shift) = (i * bits as usize / 8, i * bits as usize % 8);
            let word = u16::from(*code) << shift;
            for (k, part) in word.to_le_bytes().into_iter().enumerate() {
                if let Some(place) = stream.get_mut(byte + k).filter(|_| part != 0) {
                    *place |= part;
                }
            }
        }
        stream
    }
}

/// A little-endian bit stream, least significant bit first: 8 codes are `bits` bytes.
fn unpack(bits: u32, stream: &[u8], out: &mut [u8]) {
    match bits {
        1 => eights::<1>(stream, out),
        2 => eights::<2>(stream, out),
        3 => eights::<3>(stream, out),
        4 => {
            for (byte, codes) in stream.iter().zip(out.as_chunks_mut::<2>().0) {
                *codes = [byte & 15, byte >> 4];
            }
        }
        5 => eights::<5>(stream, out),
        6 => eights::<6>(stream, out),
        _ => out.iter_mut().zip(stream).for_each(|(code, byte)| *code = *byte),
    }
}

#[inline(always)]
fn eights<const BITS: usize>(stream: &[u8], out: &mut [u8]) {
    for (bytes, codes) in stream.as_chunks::<BITS>().0.iter().zip(out.as_chunks_mut::<8>().0) {
        let mut word = [0; 8];
        word[..BITS].copy_from_slice(bytes);
        let word = u64::from_le_bytes(word);
        for (i, code) in codes.iter_mut().enumerate() {
            *code = ((word >> (i * BITS)) & ((1 << BITS) - 1)) as u8;
        }
    }
}

/// A weight's own codes, scales and biases as its file holds them; none for plain weights and for weights that were
/// changed after they were read.
pub fn packed(weight: &Weight) -> Option<(&'static QuantizationMode, Packed<'_>)> {
    let (storage, stored) = (&weight.storage, weight.packed()?);
    let mode = super::mode(storage.mode?)?;
    let (bits, group_size) = (storage.bits?, usize::try_from(storage.group_size?).ok()?);
    let &[rows, cols] = weight.shape.as_slice() else { return None };
    let floats = |bytes, name: &str| Some(Floats::of(FloatType::named(name)?, bytes));
    let scales = match (mode.floats, stored.biases()) {
        (None, Some((biases, dtype))) => {
            Scales::Affine { scales: floats(stored.scales(), &storage.dtype)?, biases: floats(biases, dtype)? }
        }
        (Some(_), _) => Scales::Bytes(stored.scales()),
        (None, None) => return None,
    };
    let effective = super::Dequantization::Dequantized;
    Some((mode, Packed { rows, cols, bits, group_size, codes: stored.codes(), scales, effective }))
}

/// The bytes of a matrix with one group moved by so many codes: up the affine scale (the bias takes it), away from zero
/// among floats. None where the matrix has no bytes or no such group.
pub fn moved(weight: &Weight, group: usize, by: u32) -> Option<PackedBytes> {
    let (mode, packed) = packed(weight)?;
    let stored = weight.packed()?;
    let mut codes = stored.codes().to_vec();
    let mut biases = stored.biases().map(|(bytes, dtype)| (bytes.to_vec(), dtype.to_owned()));
    match (packed.scales, &mut biases) {
        (Scales::Affine { scales, biases: values }, Some((bytes, dtype))) => {
            let float = FloatType::named(dtype)?;
            let bias = values.get(group) + by as f32 * scales.get(group);
            let width = if float == FloatType::F32 { 4 } else { 2 };
            let place = bytes.get_mut(group * width..(group + 1) * width)?;
            match float {
                FloatType::F32 => place.copy_from_slice(&bias.to_le_bytes()),
                FloatType::F16 => place.copy_from_slice(&f16::from_f32(bias).to_le_bytes()),
                FloatType::BF16 => place.copy_from_slice(&bf16::from_f32(bias).to_le_bytes()),
            }
        }
        _ => {
            mode.floats?;
            let by = u8::try_from(by).unwrap_or(u8::MAX);
            let bytes = packed.group_size * packed.bits as usize / 8;
            for byte in codes.get_mut(group * bytes..(group + 1) * bytes)? {
                let up = |code: u8, most: u8| (code & !most) | (code & most).saturating_add(by).min(most);
                *byte = match packed.bits {
                    4 => up(*byte & 15, 7) | up(*byte >> 4, 7) << 4,
                    _ => (*byte & 0x80) | (*byte & 0x7f).saturating_add(by).min(0x7e),
                };
            }
        }
    }
    let scales = Bytes::of(stored.scales().to_vec());
    Some(PackedBytes::new(Bytes::of(codes), scales, biases.map(|(bytes, dtype)| (Bytes::of(bytes), dtype))))
}
