//! Plain text: one row per line.

/// The line itself.
pub(super) fn text(line: &str, _field: Option<&str>) -> Result<String, String> {
    Ok(line.to_owned())
}
