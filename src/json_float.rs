//! Numbers in reports. JSON has no NaN and no infinity, and a silent `null` would read as "not
//! measured": they are written as the words `"nan"`, `"inf"`, `"-inf"` and read back as numbers.

use serde::{Deserialize, Deserializer, Serializer};

/// Serialises one number.
pub fn serialize<S: Serializer>(value: &f64, s: S) -> Result<S::Ok, S::Error> {
    if value.is_finite() {
        s.serialize_f64(*value)
    } else if value.is_nan() {
        s.serialize_str("nan")
    } else {
        s.serialize_str(if value.is_sign_negative() { "-inf" } else { "inf" })
    }
}

/// A number as it is written.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Written {
    Number(f64),
    Word(String),
}

impl schemars::JsonSchema for Written {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Number".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A number; JSON has no words for those that are none.",
            "anyOf": [{ "type": "number" }, { "enum": ["nan", "inf", "-inf"] }],
        })
    }
}

impl Written {
    fn value<E: serde::de::Error>(self) -> Result<f64, E> {
        match self {
            Self::Number(n) => Ok(n),
            Self::Word(w) => match w.as_str() {
                "nan" => Ok(f64::NAN),
                "inf" => Ok(f64::INFINITY),
                "-inf" => Ok(f64::NEG_INFINITY),
                other => Err(E::custom(format!("`{other}` is not a number"))),
            },
        }
    }
}

/// Reads one number back.
pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
    Written::deserialize(d)?.value()
}

/// The same for numbers that may be absent (`null`: not measured).
pub mod optional {
    use super::{Deserialize, Deserializer, Serializer, Written};

    /// Serialises a number or `null`.
    pub fn serialize<S: Serializer>(value: &Option<f64>, s: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(v) => super::serialize(v, s),
            None => s.serialize_none(),
        }
    }

    /// Reads a number or `null` back.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<f64>, D::Error> {
        Option::<Written>::deserialize(d)?.map(Written::value).transpose()
    }
}

/// The same for matrices.
pub mod matrix {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(transparent)]
    struct Cell(#[serde(with = "super")] f64);

    /// Serialises rows of numbers.
    pub fn serialize<S: Serializer>(rows: &[Vec<f64>], s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(rows.iter().map(|row| row.iter().map(|&x| Cell(x)).collect::<Vec<_>>()))
    }

    /// Reads rows of numbers back.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<Vec<f64>>, D::Error> {
        let rows = Vec::<Vec<Cell>>::deserialize(d)?;
        Ok(rows.into_iter().map(|row| row.into_iter().map(|cell| cell.0).collect()).collect())
    }
}

#[cfg(test)]
mod tests {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Number(#[serde(with = "super")] f64);

    #[test]
    fn what_json_has_no_number_for_is_a_word_and_comes_back() {
        for (value, text) in
            [(1.5, "1.5"), (f64::INFINITY, "\"inf\""), (f64::NEG_INFINITY, "\"-inf\""), (f64::NAN, "\"nan\"")]
        {
            assert_eq!(serde_json::to_string(&Number(value)).unwrap(), text);
            let back: Number = serde_json::from_str(text).unwrap();
            assert!(back.0 == value || (back.0.is_nan() && value.is_nan()), "{text}");
        }
        assert!(serde_json::from_str::<Number>("\"infinity\"").is_err());
    }
}
