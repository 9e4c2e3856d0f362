//! A matrix of numbers in JSON, with words for what JSON has no number for.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::metrics::number;

#[derive(Serialize, Deserialize)]
struct Number(#[serde(with = "number")] f64);

/// Writes a matrix.
pub(super) fn serialize<S: Serializer>(rows: &[Vec<f64>], s: S) -> Result<S::Ok, S::Error> {
    s.collect_seq(rows.iter().map(|row| row.iter().map(|v| Number(*v)).collect::<Vec<_>>()))
}

/// Reads it back.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<Vec<f64>>, D::Error> {
    let rows = Vec::<Vec<Number>>::deserialize(d)?;
    Ok(rows.into_iter().map(|row| row.into_iter().map(|n| n.0).collect()).collect())
}
