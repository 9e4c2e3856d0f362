//! Flags of `parallax check` about the sweeps of the reference.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct SweepArguments {
    /// Sweep the reference over every row length and many batch sizes, not only a seeded few; takes minutes
    #[arg(long, help_heading = "Judging")]
    pub(crate) thorough: bool,
    /// Do not use remembered sweeps: clean sweeps of the same files are remembered in $XDG_CACHE_HOME/parallax/sweeps
    /// (~/.cache/parallax/sweeps)
    #[arg(long, help_heading = "Judging")]
    pub(crate) no_cache: bool,
}

impl SweepArguments {
    /// Where clean sweeps are remembered; none without a cache or a home.
    pub(crate) fn cache(&self) -> Option<PathBuf> {
        let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
        let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
        (!self.no_cache).then(|| base.join("parallax/sweeps"))
    }
}
