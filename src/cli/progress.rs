//! The conversation on stderr: a bar on a terminal, a line per 10 % elsewhere.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use parallax::observe::{Event, Observer};

use super::console::tell;

/// Without a known end, a line at most this often.
const QUIET_INTERVAL: Duration = Duration::from_secs(30);

/// Shows events on stderr.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    quiet: bool,
    tenths: u64,
    last: Instant,
}

impl Progress {
    /// A bar on a terminal, lines elsewhere, nothing when quiet.
    pub(crate) fn new(quiet: bool) -> Self {
        let bar = (!quiet && io::stderr().is_terminal()).then(ProgressBar::new_spinner);
        if let Some(bar) = &bar {
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        Self { bar, quiet, tenths: 0, last: Instant::now() }
    }

    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => tell(line),
        }
    }

    fn rows(&mut self, done: u64, total: Option<u64>) {
        if let Some(bar) = &self.bar {
            if let Some(total) = total.filter(|_| bar.length().is_none() || bar.length() != total) {
                bar.set_length(total);
                if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} rows, {per_sec}, {eta} left") {
                    bar.set_style(style);
                }
            }
            bar.set_position(done);
            return;
        }
        match total {
            Some(total) if total > 0 => {
                let tenths = done * 10 / total;
                if tenths > self.tenths {
                    self.tenths = tenths;
                    tell(format_args!("  {done} of {total} rows"));
                }
            }
            _ if self.last.elapsed() >= QUIET_INTERVAL => {
                self.last = Instant::now();
                tell(format_args!("  {done} rows"));
            }
            _ => {}
        }
    }
}

impl Observer for Progress {
    fn event(&mut self, event: Event<'_>) {
        if self.quiet {
            return;
        }
        match event {
            Event::Phase(name) => match &self.bar {
                Some(bar) => bar.set_message(name.to_owned()),
                None => tell(name),
            },
            Event::Rows { done, total } => self.rows(done, total),
            Event::Note(text) => self.say(text),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
