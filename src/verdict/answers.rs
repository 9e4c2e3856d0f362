//! The two questions behind the verdict, and how they are answered.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Reason;
use crate::policy::{GateResult, Question};

/// How one of the two questions is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Proven, or within every limit.
    Yes,
    /// Contradicted, or beyond a limit.
    No,
    /// Something needed for an answer is missing, or the instrument is not sound.
    #[default]
    Unproven,
    /// The policy has no limit on it.
    NotAsked,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Unproven => "not proven",
            Self::NotAsked => "not asked",
        })
    }
}

/// Both answers. A pass has no other than yes, but where nobody asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Answers {
    /// Is the candidate what its format makes of this original, and run as its files say?
    pub faithful: Answer,
    /// Is what the format costs within the policy's limits?
    pub fit: Answer,
}

impl Answers {
    /// From the reasons for a verdict: a contradiction says no, and what is missing leaves a question open.
    pub(super) fn of(gates: &[GateResult], reasons: &[Reason]) -> Self {
        let asked = gates.iter().any(|g| g.quantity.question() == Question::Fit && !g.is_non_finite());
        let of = |question| {
            let here: Vec<&Reason> = reasons.iter().filter(|r| r.question == question).collect();
            match here.iter().any(|r| r.proven) {
                true => Answer::No,
                false if here.is_empty() => Answer::Yes,
                false => Answer::Unproven,
            }
        };
        let open = |answer: Answer| if answer == Answer::Yes { Answer::Unproven } else { answer };
        // Nothing looked at is nothing proven.
        let faithful = if gates.is_empty() { Answer::Unproven } else { of(Question::Faithful) };
        let (faithful, fit) = match of(Question::Fit) {
            fit if asked || fit == Answer::No => (faithful, fit),
            Answer::Yes => (faithful, Answer::NotAsked),
            // Too little was looked at for the one question that was asked.
            _ => (open(faithful), Answer::NotAsked),
        };
        Self { faithful, fit }
    }
}
