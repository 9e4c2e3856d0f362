//! JSON lines: one object per line, the text in one of its fields.

use serde_json::Value;

/// Fields looked for, in this order, when none is named (the field names of Hugging Face and BEIR corpora).
pub const TEXT_FIELDS: &[&str] = &["text", "sentence", "content", "query", "passage"];

/// The text of one line; with a `title` beside `text`, as in BEIR, "title text".
pub(super) fn text(line: &str, field: Option<&str>) -> Result<String, String> {
    if line.trim().is_empty() {
        return Ok(String::new());
    }
    let value: Value = serde_json::from_str(line).map_err(|e| format!("is not JSON: {e}"))?;
    let Value::Object(object) = value else {
        return Err("is not a JSON object".to_owned());
    };
    let name = match field {
        Some(name) => name,
        None => TEXT_FIELDS
            .iter()
            .copied()
            .find(|f| object.contains_key(*f))
            .ok_or_else(|| format!("has none of the fields {}; name one with --field", TEXT_FIELDS.join(", ")))?,
    };
    let text = match object.get(name) {
        Some(Value::String(text)) => text,
        Some(_) => return Err(format!("field `{name}` is not a string")),
        None => return Err(format!("has no field `{name}`")),
    };
    match object.get("title") {
        Some(Value::String(title)) if field.is_none() && name == "text" && !title.is_empty() => {
            Ok(format!("{title} {text}"))
        }
        _ => Ok(text.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn fields_are_found_named_or_refused() {
        assert_eq!(text(r#"{"text":"a"}"#, None).unwrap(), "a");
        assert_eq!(text(r#"{"_id":"1","title":"T","text":"a"}"#, None).unwrap(), "T a");
        assert_eq!(text(r#"{"query":"q","x":"y"}"#, Some("x")).unwrap(), "y");
        assert_eq!(text("  ", None).unwrap(), "");
        assert!(text(r#"{"x":"y"}"#, None).unwrap_err().contains("--field"));
        assert!(text(r#"{"text":1}"#, None).unwrap_err().contains("not a string"));
        assert!(text(r#"["text"]"#, None).is_err());
        assert!(text(r#"{"text":"#, None).unwrap_err().contains("not JSON"));
        let deep = "[".repeat(100_000);
        assert!(text(&deep, None).is_err());
    }
}
