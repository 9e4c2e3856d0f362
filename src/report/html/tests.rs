use super::*;
use crate::report::sample;
use sha2::{Digest, Sha256};

fn rendered(report: &Report) -> String {
    String::from_utf8(render(report).unwrap()).unwrap()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for piece in bytes.chunks(3) {
        let bits = piece.iter().enumerate().fold(0u32, |bits, (i, b)| bits | u32::from(*b) << (16 - 8 * i));
        for i in 0..4 {
            let digit = char::from(DIGITS[(bits >> (18 - 6 * i) & 63) as usize]);
            out.push(if i <= piece.len() { digit } else { '=' });
        }
    }
    out
}

#[test]
fn the_policy_of_the_page_lets_its_own_script_run() {
    assert_eq!(base64(b"M"), "TQ==");
    assert_eq!(SCRIPT_HASH, format!("sha256-{}", base64(&Sha256::digest(SCRIPT))));
}

#[test]
fn every_verdict_has_its_page_in_the_promised_order() {
    for (report, word, class) in [
        (sample::passing(), "PASS", "v-pass"),
        (sample::failing(), "FAIL", "v-fail"),
        (sample::inconclusive(), "INCONCLUSIVE", "v-inconclusive"),
        (sample::broken(), "INCONCLUSIVE", "v-inconclusive"),
    ] {
        let page = rendered(&report);
        assert!(
            page.contains(&format!("</svg>{word}</h1>")) && page.contains(&format!("class=\"verdict {class}\"")),
            "{word}"
        );
        let places: Vec<usize> = [
            "id=\"verdict\"",
            "id=\"why\"",
            "id=\"layers\"",
            "id=\"cross-match\"",
            "id=\"rows\"",
            "id=\"sentences\"",
            "id=\"gates\"",
            "id=\"evidence\"",
            "id=\"provenance\"",
        ]
        .iter()
        .map(|id| page.find(id).unwrap_or_else(|| panic!("{word} lacks {id}")))
        .collect();
        assert!(places.is_sorted(), "{places:?}");
        for reason in &report.reasons {
            assert!(page.contains(&html! { (text(&reason.message)) }.0), "{}", reason.message);
        }
        assert!(page.contains("id=\"layer-1\""), "a layer can be linked to");
    }
}

#[test]
fn nothing_is_loaded_and_nothing_needs_style_attributes() {
    let page = rendered(&sample::failing());
    for loaded in ["src=", "url(", "@import", " style=", "http-equiv=\"refresh"] {
        assert!(!page.contains(loaded), "{loaded}");
    }
    let addresses: Vec<&str> = page.match_indices("http").map(|(i, _)| &page[i..i + 30]).collect();
    assert!(
        addresses.iter().all(|a| a.starts_with("http://www.w3.org/2000/svg") || a.starts_with("http-equiv")),
        "{addresses:?}"
    );
}

/// What others wrote stays text, wherever in the report it stands.
#[test]
fn hostile_text_is_text() {
    let hostile = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"' onload='x\u{202e}\0::error::x";
    let json = String::from_utf8(sample::failing().to_json().unwrap()).unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&json).unwrap();
    fn poison(value: &mut serde_json::Value, key: &str, hostile: &str) {
        // Words the format itself defines stay, or it would be no report.
        const FIXED: &[&str] = &[
            "tap",
            "arm",
            "mode",
            "stat",
            "direction",
            "outcome",
            "verdict",
            "severity",
            "set",
            "metric",
            "on",
            "code",
            "faithful",
            "fit",
            "question",
            "method",
            "reference_taps",
            "candidate_taps",
        ];
        match value {
            serde_json::Value::String(s) if !FIXED.contains(&key) && !["nan", "inf", "-inf"].contains(&s.as_str()) => {
                *s = hostile.to_owned()
            }
            serde_json::Value::Array(all) => all.iter_mut().for_each(|v| poison(v, key, hostile)),
            serde_json::Value::Object(all) => all.iter_mut().for_each(|(k, v)| poison(v, &k.clone(), hostile)),
            _ => {}
        }
    }
    poison(&mut value, "", hostile);
    let report: Report = serde_json::from_value(value).unwrap();
    let (clean, page) = (rendered(&sample::failing()), rendered(&report));
    assert!(page.matches("&lt;script&gt;").count() > 10, "it is shown");
    for tag in ["<script", "</script", "<img", "onerror=alert(1)>", "\u{202e}", "\0"] {
        assert_eq!(page.matches(tag).count(), clean.matches(tag).count(), "{tag}");
    }
    assert_eq!(page.matches('<').count(), clean.matches('<').count(), "no tag more, none less");
}

/// Twenty-four layers, every metric of every arm, hundreds of tensors, twenty rows of 512 tokens.
#[test]
fn a_large_report_stays_small() {
    use crate::hidden_states::{Arm, Tap};
    let mut report = sample::failing();
    let (row, measured, gate) = (report.worst_rows[0].clone(), report.measurements[0].clone(), report.gates[0].clone());
    let token = crate::report::TokenSection { text: "tokenization".into(), relative_l2: 0.012_345_678_901 };
    report.worst_rows =
        vec![crate::report::WorstRowSection { text: "ü".repeat(200), tokens: vec![token; 512], ..row }; 20];
    let mut measurements = Vec::new();
    report.gates.clear();
    let taps: Vec<Tap> = [Tap::Embeddings].into_iter().chain((0..24).map(Tap::Layer)).chain([Tap::Final]).collect();
    for tap in &taps {
        for arm in [Arm::Engine, Arm::Quantization, Arm::Total] {
            for metric in crate::metrics::METRICS {
                measurements.push(crate::metrics::Measurement {
                    tap: *tap,
                    arm,
                    metric: metric.id.into(),
                    ..measured.clone()
                });
            }
            for _ in 0..6 {
                let quantity = gate.quantity.at(crate::policy::Place::Tap(*tap));
                let quantity = crate::policy::Quantity { arm: Some(arm), ..quantity };
                report.gates.push(crate::policy::GateResult { quantity, ..gate.clone() });
            }
        }
    }
    report.alignment.cross_match = crate::align::CrossMatchReport {
        reference_taps: taps.clone(),
        candidate_taps: taps.clone(),
        relative_l2: vec![vec![0.123_456_789_012_345_6; taps.len()]; taps.len()],
        ..Default::default()
    };
    let tensor = crate::weights::TensorRow {
        tensor: "encoder.layer.11.attention.self.query.weight".into(),
        shape: vec![1024, 1024],
        dtype: "F16".into(),
        mode: Some("affine".into()),
        bits: Some(8),
        group_size: Some(64),
        bytes: 1 << 20,
        float32_bytes: 1 << 22,
        mse: 1.234_567_890_123e-9,
        rmse: 3.5e-5,
        relative_error: 0.005_432_109_876,
        max_abs: 0.001_234_567_89,
        max_abs_index: vec![1, 2],
        sqnr_db: 45.123_456_789,
        cosine: 0.999_98,
        group_shift: Some(0.412_345_678_9),
        group_shift_at: Some((1, 2)),
        twin: None,
    };
    report.weights.tensors = vec![tensor; 400];
    let page = rendered(&report);
    assert!(page.len() < 2 << 20, "{} bytes", page.len());
    assert!(page.len() > 500_000, "everything is in it");
}
