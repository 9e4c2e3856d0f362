//! The proof that what is compared is the same thing, and that what judges it would see a fault: one file for each proof,
//! with what it measures and the findings it comes to.

pub(crate) mod alike;
pub(crate) mod canaries;
pub(crate) mod coverage;
pub(crate) mod cross;
pub(crate) mod deviation;
pub(crate) mod device;
pub(crate) mod distinct;
pub(crate) mod floor;
pub(crate) mod half_precision;
pub(crate) mod likeness;
pub(crate) mod null_baselines;
pub(crate) mod on_corpus;
pub(crate) mod output_error;
pub(crate) mod outputs;
pub(crate) mod over_twin;
pub(crate) mod probe;
pub(crate) mod sweep;
pub(crate) mod swept_row;
