//! Words for people, on stderr. Nobody reading them is no reason to stop: a verdict does not hang on whether stderr is open.

use std::fmt::Display;
use std::io::Write;

/// One line on stderr, or nothing where it cannot be written.
pub(crate) fn tell(line: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
