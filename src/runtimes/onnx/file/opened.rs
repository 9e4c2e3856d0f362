//! Opening a file somebody else named: only a regular one, and without waiting for a pipe's other end.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind};
use std::path::Path;

/// Opens a regular file and says how long it is. The handle is judged too: the path may change.
pub(crate) fn regular(path: &Path, follow: bool) -> std::io::Result<(File, u64)> {
    let odd = || Error::new(ErrorKind::InvalidInput, "not a regular file");
    // Opening a device can do something.
    if !path.metadata()?.is_file() {
        return Err(odd());
    }
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(libc::O_NONBLOCK | if follow { 0 } else { libc::O_NOFOLLOW });
    }
    #[cfg(not(unix))]
    let _ = follow;
    let file = options.open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(odd());
    }
    Ok((file, meta.len()))
}
