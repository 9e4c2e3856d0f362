//! Policies: the limits a candidate is judged by, as TOML that a person can read, copy and edit.
//!
//! ```text
//! name, file or text ── parse ──▶ Policy ── evaluate(measured) ──▶ GateResult each
//! ```
//!
//! A policy that could pass without looking is refused when it is read: no gate, a gate without a
//! limit, a limit nothing can exceed, a metric nobody computes. A gate that matches nothing when it is
//! evaluated is *not measured*, which is never a pass.
//!
//! To add a built-in policy: one TOML file here, one row in [`EMBEDDED`]. To make a metric known to
//! gates: one row in [`metrics::TAP_METRICS`] or its neighbours.

mod before;
mod date;
mod device;
mod engine;
mod error;
mod evaluate;
mod gate;
pub mod loss;
pub mod metrics;
mod parse;
mod parse_waiver;
mod parse_words;
mod place;
mod quantity;
mod result;
mod round;
mod stat;
mod suggest;
mod waiver;

pub use before::{Before, LARGEST_REGRESSION, SAME, Trend, change};
pub use date::Date;
pub use device::{DeviceTerms, PredictedTap, Terms};
pub use engine::LARGEST_ENGINE;
pub use error::PolicyError;
pub use evaluate::Measured;
pub use gate::{Direction, Evidence, Gate, MIN_VOCABULARY};
pub use place::Place;
pub use quantity::{Quantity, Question};
pub use result::{GateResult, NullBaseline, Outcome, RegressionLimit, WaiverRecord};
pub use round::outward;
pub use stat::Stat;
pub use suggest::{MARGINS, suggest};
pub use waiver::{Waiver, may_be_waived};

/// The built-in policies, from the strictest: name and TOML text. They know no format and no model: whether a candidate
/// is what its format makes of the original is proven, and the levels say what a format may cost.
pub const EMBEDDED: &[(&str, &str)] = &[
    ("strict", include_str!("strict.toml")),
    ("standard", include_str!("standard.toml")),
    ("lenient", include_str!("lenient.toml")),
    ("faithful", include_str!("faithful.toml")),
];

/// What judges where nothing else is asked for.
pub const DEFAULT: &str = "standard";

/// The limits one run is judged by.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Format version of the file; 1.
    pub schema: u32,
    /// Name of an embedded policy, or the path it was read from.
    pub name: String,
    /// How much must have been looked at for a verdict to mean anything.
    pub evidence: Evidence,
    /// The limits, in the file's order; at least one.
    pub gates: Vec<Gate>,
    /// Limits that may be exceeded for now.
    pub waivers: Vec<Waiver>,
    /// The TOML text, so that a report can carry its digest.
    pub source: String,
    /// An earlier run that `max_regression` gates are held against.
    pub before: Option<std::sync::Arc<Before>>,
}

impl Policy {
    /// The embedded policy of that name, else the policy in the file at that path.
    pub fn load(name_or_path: &str) -> Result<Self, PolicyError> {
        if let Some((name, text)) = EMBEDDED.iter().find(|(name, _)| *name == name_or_path) {
            return Self::parse(text, name);
        }
        Self::parse(&parse::read(name_or_path)?, name_or_path)
    }

    /// Reads TOML text and refuses what could not judge anything. `name` is for messages and reports.
    pub fn parse(text: &str, name: &str) -> Result<Self, PolicyError> {
        parse::parse(text, name)
    }
}
