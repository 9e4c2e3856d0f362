//! The JSON Schema of report.json, made of the types that write it.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::{Report, SCHEMA};

/// JSON Schema (draft 2020-12) of a report as this version writes it: every key it always writes is required, keys of
/// later versions are allowed.
pub fn schema() -> Value {
    let generated = SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<Report>();
    let mut schema = Value::from(generated);
    if let Some(own) = schema.as_object_mut() {
        own.insert("title".to_owned(), Value::from("parallax report"));
    }
    // The version is not any number.
    if let Some(version) = schema.pointer_mut("/properties/schema") {
        *version = serde_json::json!({ "const": SCHEMA, "description": "Format version." });
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn it_accepts_reports_and_nothing_else() {
        let validator = jsonschema::draft202012::new(&schema()).unwrap();
        let whole = |report: &Report| -> Value { serde_json::from_slice(&report.to_json().unwrap()).unwrap() };
        for report in [sample::passing(), sample::failing(), sample::inconclusive(), sample::broken()] {
            validator.validate(&whole(&report)).unwrap();
        }
        let good = whole(&sample::failing());
        for (place, wrong) in [
            ("/schema", serde_json::json!(2)),
            ("/verdict", serde_json::json!("maybe")),
            ("/gates/0/observed", serde_json::json!("many")),
            ("/measurements/0/tap", serde_json::json!("layer.x")),
            ("/measurements/0/p99", serde_json::json!([1])),
            ("/alignment/cross_match/relative_l2/0/0", serde_json::json!(null)),
            ("/provenance/run", serde_json::json!(null)),
            ("/weights/totals/mse", serde_json::json!("infinite")),
        ] {
            let mut bad = good.clone();
            *bad.pointer_mut(place).unwrap_or_else(|| panic!("no {place}")) = wrong;
            assert!(!validator.is_valid(&bad), "{place}");
        }
        for key in good.as_object().unwrap().keys() {
            let mut bad = good.clone();
            bad.as_object_mut().unwrap().remove(key);
            assert!(!validator.is_valid(&bad), "without {key}");
        }
        assert!(schema().pointer("/$defs/GateResult/properties/margin/description").is_some(), "it explains itself");
    }
}
