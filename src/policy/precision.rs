//! Which embedded policy a candidate asks for by what it declares itself to be.

use super::PolicyError;

/// What a candidate's own files say about its precision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Precision {
    /// Bits per code of its quantized matrices (the fewest, when they are mixed); none when it is not quantized.
    pub bits: Option<u32>,
    /// Quantization mode (`affine`, `mxfp4`, …); none when it is not quantized.
    pub mode: Option<String>,
    /// Element type of its plain tensors: `F32`, `F16`, `BF16`.
    pub dtype: String,
}

impl Precision {
    /// Name of the embedded policy; an error when the user must state limits.
    pub fn policy_name(&self) -> Result<&'static str, PolicyError> {
        let unknown = |what: String| PolicyError::NoDefault { what };
        let Some(bits) = self.bits else {
            return match self.dtype.as_str() {
                "F32" => Ok("float32"),
                "F16" => Ok("float16"),
                "BF16" => Ok("bfloat16"),
                other => Err(unknown(format!("weights of type {other}"))),
            };
        };
        match self.mode.as_deref() {
            None | Some("affine") => match bits {
                8 => Ok("int8"),
                6 => Ok("int6"),
                5 => Ok("int5"),
                4 => Ok("int4"),
                other => Err(unknown(format!("{other}-bit weights"))),
            },
            Some(mode) => {
                let named = super::EMBEDDED.iter().find(|(name, _)| *name == mode);
                named.map(|(name, _)| *name).ok_or_else(|| unknown(format!("{bits}-bit weights of mode {mode}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;

    fn name(bits: Option<u32>, mode: Option<&str>, dtype: &str) -> Result<String, String> {
        let precision = Precision { bits, mode: mode.map(str::to_owned), dtype: dtype.to_owned() };
        Policy::for_precision(&precision).map(|p| p.name).map_err(|e| e.to_string())
    }

    #[test]
    fn declared_precision_picks_the_policy_and_nothing_else_is_guessed() {
        for (bits, dtype, expected) in [
            (None, "F32", "float32"),
            (None, "F16", "float16"),
            (None, "BF16", "bfloat16"),
            (Some(8), "BF16", "int8"),
            (Some(6), "F16", "int6"),
            (Some(5), "F16", "int5"),
            (Some(4), "F16", "int4"),
        ] {
            assert_eq!(name(bits, bits.map(|_| "affine"), dtype).unwrap(), expected);
        }
        assert_eq!(
            name(Some(3), Some("affine"), "F16").unwrap_err(),
            "no built-in limits exist for 3-bit weights: state yours with --policy FILE (`parallax policy show int4` prints one to start from)"
        );
        assert!(name(Some(2), None, "F16").is_err());
        for mode in crate::quantization::MODES.iter().filter(|mode| mode.floats.is_some()) {
            assert_eq!(name(Some(mode.default_bits), Some(mode.name), "U8").unwrap(), mode.name);
        }
        assert!(name(Some(4), Some("nf4"), "F16").unwrap_err().contains("nf4"));
        assert!(name(None, None, "I8").unwrap_err().contains("I8"));
    }
}
