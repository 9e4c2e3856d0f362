//! Alignment: proof that what is compared is the same point of the same computation.
//!
//! * [`check_rows`]: both sides speak of the same taps, rows, tokens and widths (before any number).
//! * [`CrossMatch`]: every reference tap against every candidate tap; each must resemble its own
//!   partner more than any other (after the numbers: a wrong pairing shows itself).
//! * [`SentenceSample`]: do sentence vectors still have the same neighbours?

mod cross_match;
mod cross_report;
mod error;
mod neighbour_stats;
mod neighbours;
mod preflight;
mod rows;
mod sample;

pub use cross_match::CrossMatch;
pub use cross_report::CrossMatchReport;
pub use error::{AlignError, Side};
pub use neighbour_stats::NeighbourStats;
pub use neighbours::{Flip, NEIGHBOUR_TIE, Neighbours};
pub use preflight::{Agreement, Preflight, PreflightCheck};
pub use rows::check_rows;
pub use sample::{SAMPLE_ROWS, SentenceSample};
