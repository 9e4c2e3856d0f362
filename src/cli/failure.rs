//! One line of error and the exit code that goes with it.

use std::io;
use std::process::ExitCode;

use parallax::fault::Fault;

use super::console::tell;

/// What ends a run before a verdict.
pub(crate) struct Failure {
    fault: Fault,
    message: String,
}

impl Failure {
    /// A failure of the given class.
    pub(crate) fn new(fault: Fault, message: impl Into<String>) -> Self {
        Self { fault, message: message.into() }
    }

    /// Standard output could not be written.
    pub(crate) fn output(e: io::Error) -> Self {
        Self::new(Fault::Environment, format!("cannot write to standard output: {e}"))
    }

    /// Says it on stderr, on one line, and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        let line: String = self.message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        tell(format_args!("parallax: {}: {line}", self.fault));
        ExitCode::from(self.fault.exit_code())
    }
}

impl From<parallax::Error> for Failure {
    fn from(e: parallax::Error) -> Self {
        Self::new(e.fault(), e.to_string())
    }
}
