//! Rows through every encoder: batches, what is accumulated of them, a small sample, threads.

pub(crate) mod measure;
pub(crate) mod sample;
pub(crate) mod workers;
