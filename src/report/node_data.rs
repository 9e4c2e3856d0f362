//! Node data for Model Explorer: the error at each tap, shown on the ONNX graph itself.
//!
//! Format: google-ai-edge/model-explorer `node_data_builder.py` (`ModelNodeData`): per graph, values by node id or by
//! output tensor. Its ONNX adapter names nodes as the file does.

use serde_json::{Map, Value, json};

use super::words::{HEADLINE, measurement};
use super::{Report, ReportError};
use crate::hidden_states::Arm;

/// Colours from the least error to the largest.
const GRADIENT: [(f64, &str); 3] = [(0.0, "#e8f1f8"), (0.5, "#f5c76a"), (1.0, "#c0392b")];

/// Renders the report.
pub(super) fn render(report: &Report) -> Result<Vec<u8>, ReportError> {
    let alignment = &report.alignment;
    let mut results = Map::new();
    for tap in &alignment.taps {
        let seen =
            [Arm::Quantization, Arm::Total].iter().find_map(|arm| measurement(report, tap.tap, *arm, HEADLINE)?.p99);
        // JSON has no other numbers, and this format no words for them.
        if let Some(value) = seen.filter(|v| v.is_finite()) {
            let key = tap.node.as_ref().filter(|name| !name.is_empty()).unwrap_or(&tap.reference_tensor);
            results.insert(key.clone(), json!({ "value": value }));
        }
    }
    if results.is_empty() {
        let message = "the report holds no error at any tap of the graph".to_owned();
        return Err(ReportError::Render { format: "model-explorer", message });
    }
    let gradient: Vec<Value> =
        GRADIENT.iter().map(|(stop, colour)| json!({ "stop": stop, "bgColor": colour })).collect();
    let graph = alignment.graph.clone().unwrap_or_else(|| "main_graph".to_owned());
    let name = format!("parallax: {HEADLINE} p99, quantization");
    let data = json!({ graph: { "name": name, "results": results, "gradient": gradient } });
    let mut bytes = serde_json::to_vec_pretty(&data)
        .map_err(|e| ReportError::Render { format: "model-explorer", message: e.to_string() })?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn every_tap_has_its_value_under_its_node() {
        let mut report = sample::passing();
        report.alignment.taps[0].node = Some("/encoder/Add".into());
        let data: Value = serde_json::from_slice(&render(&report).unwrap()).unwrap();
        let results = &data["main_graph"]["results"];
        assert_eq!(results["/encoder/Add"]["value"], 0.01);
        assert_eq!(results["/encoder/layer.1"]["value"], 0.02, "a node without a name goes by its tensor");
        assert_eq!(data["main_graph"]["gradient"].as_array().unwrap().len(), 3);
        report.alignment.graph = Some("torch-jit-export".into());
        report.measurements.change(|m| m.p99 = Some(f64::NAN));
        assert!(render(&report).is_err(), "nothing to show is not shown as nothing wrong");
    }
}
