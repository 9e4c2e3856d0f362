//! What the program does besides a check, on sides that are opened the same way.

mod inspect;
mod lint;
mod record;

pub use inspect::{ComparedWeights, InspectedTap, InspectedTensor, Inspection, compare_weights, inspect};
pub use lint::{Lint, lint, model_of};
pub use record::{RecordRequest, RecordSide, RecordSummary, record};
