//! Typed access to the keys of a configuration: each error names the file, the key, and what was expected.

use serde_json::Value;

use super::config_error::ConfigError;

/// Typed access to one file's keys.
pub(super) struct Reader<'a> {
    pub(super) file: &'a str,
    pub(super) raw: &'a Value,
}

impl Reader<'_> {
    pub(super) fn missing(&self, field: &'static str) -> ConfigError {
        ConfigError::Missing { file: self.file.to_owned(), field }
    }

    pub(super) fn wrong(&self, field: &str, found: &Value, expected: impl Into<String>) -> ConfigError {
        let (file, field) = (self.file.to_owned(), field.to_owned());
        ConfigError::Value { file, field, found: shown(found), expected: expected.into() }
    }

    /// The value under the first of `names` that is stated and not null; all that are stated must agree.
    pub(super) fn one(&self, names: &[&'static str]) -> Result<Option<(&'static str, &Value)>, ConfigError> {
        let mut stated = names.iter().filter_map(|n| self.raw.get(n).filter(|v| !v.is_null()).map(|v| (*n, v)));
        let Some((field, value)) = stated.next() else { return Ok(None) };
        match stated.find(|(_, v)| *v != value) {
            None => Ok(Some((field, value))),
            Some((other, v)) => Err(ConfigError::Contradiction {
                file: self.file.to_owned(),
                field,
                found: shown(value),
                other,
                other_found: shown(v),
            }),
        }
    }

    pub(super) fn whole(
        &self,
        names: &[&'static str],
        least: usize,
        most: usize,
    ) -> Result<Option<usize>, ConfigError> {
        let Some((field, value)) = self.one(names)? else { return Ok(None) };
        match value.as_u64().and_then(|n| usize::try_from(n).ok()) {
            Some(n) if (least..=most).contains(&n) => Ok(Some(n)),
            _ => Err(self.wrong(field, value, format!("a whole number from {least} to {most}"))),
        }
    }

    pub(super) fn required(&self, names: &[&'static str], most: usize) -> Result<usize, ConfigError> {
        let first = names.first().copied().unwrap_or_default();
        self.whole(names, 1, most)?.ok_or_else(|| self.missing(first))
    }

    pub(super) fn epsilon(&self, names: &[&'static str]) -> Result<Option<f64>, ConfigError> {
        let Some((field, value)) = self.one(names)? else { return Ok(None) };
        match value.as_f64() {
            Some(eps) if eps > 0.0 && eps < 1.0 => Ok(Some(eps)),
            _ => Err(self.wrong(field, value, "a number above 0 and below 1")),
        }
    }

    pub(super) fn text(&self, names: &[&'static str]) -> Result<Option<String>, ConfigError> {
        let Some((field, value)) = self.one(names)? else { return Ok(None) };
        match value.as_str() {
            Some(s) => Ok(Some(s.to_owned())),
            None => Err(self.wrong(field, value, "a string")),
        }
    }

    pub(super) fn texts(&self, name: &'static str) -> Result<Vec<String>, ConfigError> {
        let Some((field, value)) = self.one(&[name])? else { return Ok(Vec::new()) };
        let list = value.as_array().and_then(|a| a.iter().map(|v| v.as_str().map(str::to_owned)).collect());
        list.ok_or_else(|| self.wrong(field, value, "a list of strings"))
    }
}

/// A value for a message: one line, at most 40 characters.
pub(super) fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(40) {
        None => text,
        Some((cut, _)) => format!("{}…", &text[..cut]),
    }
}
