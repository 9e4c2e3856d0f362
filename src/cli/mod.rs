//! The binary's own: arguments, terminal, exit codes. Everything else is the library's.

mod arguments;
mod check;
mod check_arguments;
mod console;
mod explain;
mod failure;
mod inspect;
mod lint;
mod policy;
mod progress;
mod recheck;
mod record;
mod render;
mod shell;
mod sweeps;
mod telemetry;
mod values;
mod weights;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};
use console::tell;
use failure::Failure;

/// Parses, runs, reports: the exit code is the contract's.
pub(crate) fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(e) => {
            // Help and version go to stdout and are no failure; clap knows.
            let code = if e.use_stderr() { 2 } else { 0 };
            let _ = e.print();
            return ExitCode::from(code);
        }
    };
    match std::panic::catch_unwind(|| run(&arguments)) {
        Ok(Ok(code)) => ExitCode::from(code),
        Ok(Err(failure)) => failure.report(),
        Err(_) => {
            tell("parallax: internal error; this is a bug in parallax, and no verdict was reached");
            ExitCode::from(70)
        }
    }
}

fn run(arguments: &Arguments) -> Result<u8, Failure> {
    if matches!(arguments.command, Command::Check(_) | Command::Record(_)) {
        telemetry::disable();
    }
    match &arguments.command {
        Command::Check(a) => check::run(a),
        Command::Weights(a) => weights::run(a),
        Command::Inspect(a) => inspect::run(a),
        Command::Record(a) => record::run(a),
        Command::Render(a) => render::run(a),
        Command::Schema => render::schema(),
        Command::Recheck(a) => recheck::run(a),
        Command::Policy(a) => policy::run(a),
        Command::Lint(a) => lint::run(a),
        Command::Explain(a) => explain::run(a),
        Command::Completions { shell } => shell::completions(*shell),
        Command::Man(a) => shell::man(a),
    }
}

/// Writes the product to stdout; a reader that went away (`| head`) is no error.
fn product(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(Failure::output(e)),
        _ => Ok(()),
    }
}

/// Colour on stdout: a terminal, and nobody said no.
fn color() -> bool {
    use std::io::IsTerminal;
    std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()) && io::stdout().is_terminal()
}

/// Sets the number of threads of the whole process; as many as cores unless told.
fn threads(told: Option<usize>) -> usize {
    let threads = told.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    // Fails only when a pool exists already, which then serves.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    threads
}
