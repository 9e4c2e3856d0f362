//! Two matrices that are not the original's and compute the same, in words.

use serde::{Deserialize, Serialize};

use crate::finding::{Finding, Severity, codes};

/// Two matrices that compute together what the original's do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Equivalent {
    /// The two: units are rows of the first, and rows (queries and keys) or columns of the second.
    pub between: (String, String),
    /// Every tensor that it holds for, biases included.
    pub tensors: Vec<String>,
    /// What the rows are: `neurons`, `dimensions of heads`.
    pub units: String,
    /// How many of them stand elsewhere.
    pub moved: usize,
    /// Of how many.
    pub of: usize,
    /// True where the one is multiplied with what the other is divided by.
    pub rescaled: bool,
}

impl Equivalent {
    /// That nothing is lost, and what to do.
    pub(super) fn finding(&self) -> Finding {
        let (first, second) = (self.between.0.escape_debug(), self.between.1.escape_debug());
        let of = match first.to_string() == second.to_string() {
            true => format!("the rows of `{first}`"),
            false => format!("`{first}` and `{second}`"),
        };
        let order = format!("{} of {} {} stand in another order, in both alike", self.moved, self.of, self.units);
        let scaled = "what the one is multiplied with the other is divided by";
        let (up_to, how) = match (self.moved > 0, self.rescaled) {
            (true, true) => ("a permutation and a rescaling", format!("{order}, and {scaled}")),
            (true, false) => ("a permutation", order),
            (false, _) => ("a rescaling", scaled.to_owned()),
        };
        let message = format!(
            "the candidate's {of} are equivalent up to {up_to} to the original's: {how}. Nothing is lost, but weights are \
             compared place by place: convert the model again from this original, or give the checkpoint that the candidate \
             was made from with --original"
        );
        Finding::new(Severity::Failure, &codes::WEIGHTS_PERMUTED, message)
    }
}
