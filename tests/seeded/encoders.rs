use super::Fault;

pub const FAULTS: &[Fault] = &[];
