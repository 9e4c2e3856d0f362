//! What a run tells while it works. No I/O here: the binary decides what to show.

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// A phase began ("reading the reference", "comparing weights", …).
    Phase(&'a str),
    /// Rows finished so far, and how many there will be where that is known.
    Rows {
        /// Rows compared so far.
        done: u64,
        /// Rows in all, when the corpus could be counted.
        total: Option<u64>,
    },
    /// Something a person should read while the run goes on.
    Note(&'a str),
}

/// Hears a run's events.
pub trait Observer {
    /// Called in order, from the thread that runs the check.
    fn event(&mut self, event: Event<'_>);
}

/// Hears nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&mut self, _: Event<'_>) {}
}
