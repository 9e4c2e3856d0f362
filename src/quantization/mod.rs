//! Quantization: MLX's packed formats to float32 and back, bit for bit as MLX itself does it.
//!
//! A new mode is one file and one row in [`MODES`].

mod affine;
mod codes;
mod config;
mod load;
mod microscaling;
mod quantize_affine;
mod quantize_floats;
mod requantize;
mod stages;

use rayon::prelude::*;

use crate::checkpoint::{CheckpointError, WeightError};
use crate::fault::Fault;

pub use affine::Halves;
pub use codes::{Codes, FloatType, Program, Target, moved, packed};
pub use config::{ModuleSetting, QuantizationConfig};
pub use load::{Loaded, QuantizationSummary, load_candidate, load_float};
pub use microscaling::FloatCodes;
pub use requantize::{quantized_as, requantized};
pub use stages::load_stages;

/// One matrix as stored. All slices are row-major; `packed` holds each row as one little-endian bit stream.
#[derive(Clone, Copy, Debug)]
pub struct Packed<'a> {
    /// Rows.
    pub rows: usize,
    /// Logical columns.
    pub cols: usize,
    /// Bits per code.
    pub bits: u32,
    /// Codes per scale; groups never cross rows.
    pub group_size: usize,
    /// `rows × cols × bits / 8` bytes.
    pub codes: &'a [u8],
    /// What the codes are multiplied with.
    pub scales: Scales<'a>,
    /// How a quantized weight is dequantized.
    pub effective: Dequantization,
}

/// Scales as stored, `[rows, cols / group_size]`.
#[derive(Clone, Copy, Debug)]
pub enum Scales<'a> {
    /// Of the affine mode.
    Affine {
        /// Factors of the codes.
        scales: Floats<'a>,
        /// What is added then; the same shape.
        biases: Floats<'a>,
    },
    /// One byte each: of the floating-point modes.
    Bytes(&'a [u8]),
}

/// MLX's layers do not all see the same weight in the same file: what `mx.dequantize` gives is rounded to a type, but
/// `mx.quantized_matmul` on float32 states computes with scales in float32 and rounds nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dequantization {
    /// As `mx.dequantize` gives it: rounded to the type of the scales, bfloat16 where they are bytes.
    #[default]
    Dequantized,
    /// As `mx.quantized_matmul` on float32 states sees it: every step in float32.
    Matmul,
}

impl Dequantization {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dequantized => "dequantized",
            Self::Matmul => "matmul",
        }
    }
}

/// Little-endian floats of one of the stored types, at any address.
#[derive(Clone, Copy, Debug)]
pub enum Floats<'a> {
    /// IEEE single.
    F32(&'a [u8]),
    /// IEEE half.
    F16(&'a [u8]),
    /// bfloat16.
    BF16(&'a [u8]),
}

impl<'a> Floats<'a> {
    /// Bytes of that type.
    pub fn of(float: FloatType, bytes: &'a [u8]) -> Self {
        match float {
            FloatType::F32 => Self::F32(bytes),
            FloatType::F16 => Self::F16(bytes),
            FloatType::BF16 => Self::BF16(bytes),
        }
    }

    /// Which type it is.
    pub fn float(&self) -> FloatType {
        match self {
            Self::F32(_) => FloatType::F32,
            Self::F16(_) => FloatType::F16,
            Self::BF16(_) => FloatType::BF16,
        }
    }

    /// Element `i` as float32, exactly; 0 beyond the end.
    pub fn get(&self, i: usize) -> f32 {
        match self {
            Self::F32(b) => b.as_chunks().0.get(i).map_or(0.0, |c| f32::from_le_bytes(*c)),
            Self::F16(b) => b.as_chunks().0.get(i).map_or(0.0, |c| half::f16::from_le_bytes(*c).to_f32()),
            Self::BF16(b) => b.as_chunks().0.get(i).map_or(0.0, |c| half::bf16::from_le_bytes(*c).to_f32()),
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(b) => b.len() / 4,
            Self::F16(b) | Self::BF16(b) => b.len() / 2,
        }
    }

    /// True without elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One of MLX's modes.
pub struct QuantizationMode {
    /// Its name in config.json.
    pub name: &'static str,
    /// Bits it knows.
    pub bits: &'static [u32],
    /// Group sizes it knows.
    pub group_sizes: &'static [usize],
    /// Bits where a per-layer override states none.
    pub default_bits: u32,
    /// Group size where a per-layer override states none.
    pub default_group_size: usize,
    /// What its codes stand for; none where they are the steps of an affine scale, with floats for scales and biases.
    pub floats: Option<&'static FloatCodes>,
    /// Writes a row: `cols` float32 values.
    pub dequantize_row: fn(&Packed<'_>, usize, &mut [f32], &mut Halves),
    /// MLX's own quantizer: the codes, scales and biases of a row that has the target's type already.
    pub quantize_row: fn(&Target, &[f32], &mut Codes),
}

impl QuantizationMode {
    /// Writes `rows × cols` float32 values.
    pub fn dequantize(&self, packed: &Packed<'_>, out: &mut [f32]) {
        let rows = out.par_chunks_mut(packed.cols.max(1)).enumerate();
        rows.for_each_init(Halves::default, |halves, (r, row)| (self.dequantize_row)(packed, r, row, halves));
    }
}

/// The mode of that name.
pub fn mode(name: &str) -> Option<&'static QuantizationMode> {
    MODES.iter().find(|mode| mode.name == name)
}

/// Every mode parallax reads: all that MLX 0.32.4 has.
pub const MODES: &[QuantizationMode] = &[
    QuantizationMode {
        name: "affine",
        bits: &[1, 2, 3, 4, 5, 6, 8],
        group_sizes: &[32, 64, 128],
        default_bits: 4,
        default_group_size: 64,
        floats: None,
        dequantize_row: affine::dequantize_row,
        quantize_row: quantize_affine::quantize_row,
    },
    QuantizationMode {
        name: "mxfp4",
        bits: &[4],
        group_sizes: &[32],
        default_bits: 4,
        default_group_size: 32,
        floats: Some(&microscaling::MXFP4),
        dequantize_row: microscaling::mxfp4,
        quantize_row: quantize_floats::mxfp4,
    },
    QuantizationMode {
        name: "mxfp8",
        bits: &[8],
        group_sizes: &[32],
        default_bits: 8,
        default_group_size: 32,
        floats: Some(&microscaling::MXFP8),
        dequantize_row: microscaling::mxfp8,
        quantize_row: quantize_floats::mxfp8,
    },
    QuantizationMode {
        name: "nvfp4",
        bits: &[4],
        group_sizes: &[16],
        default_bits: 4,
        default_group_size: 16,
        floats: Some(&microscaling::NVFP4),
        dequantize_row: microscaling::nvfp4,
        quantize_row: quantize_floats::nvfp4,
    },
];

/// What can be wrong with a quantized checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum QuantizationError {
    /// The files themselves.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The weights they hold.
    #[error(transparent)]
    Weight(#[from] WeightError),
    /// What config.json says about quantization.
    #[error("{file}: quantization {reason}")]
    Config {
        /// The file.
        file: String,
        /// Why, naming the module where there is one.
        reason: String,
    },
}

impl QuantizationError {
    /// Always bad input, but for modules that cannot be run.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Checkpoint(e) => e.fault(),
            _ => Fault::BadInput,
        }
    }
}
