//! skeleton; the essay comes with the pipeline
pub mod checkpoint;
pub mod fault;
pub mod finding;
pub mod hidden_states;
pub mod metrics;
pub mod observe;
pub mod policy;
pub mod report;
pub mod runtimes;
pub mod tokens;
pub mod verdict;
pub mod weights;
