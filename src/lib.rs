//! skeleton; the essay comes with the pipeline
pub mod fault;
pub mod finding;
pub mod hidden_states;
pub mod observe;
pub mod runtimes;
pub mod tokens;
