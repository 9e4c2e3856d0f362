//! What kind of thing went wrong: the one question an exit code answers.

use std::fmt;

/// The class of an error that stopped a run. Thresholds missed are not faults; they are verdicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Bad flags or a bad policy file (exit 2).
    Usage,
    /// The two sides are not proven comparable, or there is too little evidence (exit 3).
    Incomparable,
    /// A malformed, unsafe or contradictory model, tokenizer or corpus (exit 4).
    BadInput,
    /// No usable ONNX Runtime, a full disk, an unwritable output (exit 5).
    Environment,
    /// A bug in parallax (exit 70).
    Internal,
}

impl Fault {
    /// The process exit code of this class.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Usage => 2,
            Self::Incomparable => 3,
            Self::BadInput => 4,
            Self::Environment => 5,
            Self::Internal => 70,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Usage => "usage",
            Self::Incomparable => "inconclusive",
            Self::BadInput => "bad input",
            Self::Environment => "environment",
            Self::Internal => "internal error",
        })
    }
}
