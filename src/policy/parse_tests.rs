use super::*;
use crate::fault::Fault;
use crate::policy::Place;
use crate::policy::Question;

const GATE: &str = "on = \"layer.*\"\narm = \"quantization\"\nmetric = \"relative_l2\"\nstat = \"p99\"\nmax = 0.05\n";

fn refusal(text: &str) -> String {
    let error = parse(text, "p.toml").unwrap_err();
    assert_eq!(error.fault(), Fault::Usage);
    let message = error.to_string();
    assert!(!message.contains('\n'), "{message}");
    message
}

fn with(from: &str, to: &str) -> String {
    format!("schema = 1\n[[gate]]\n{}", GATE.replace(from, to))
}

fn neighbours(limit: &str) -> String {
    format!("schema = 1\n[[gate]]\non = \"neighbours\"\nmetric = \"top10_overlap\"\nstat = \"mean\"\n{limit}\n")
}

#[test]
fn embedded_policies_parse_and_every_limit_says_why() {
    for (name, _) in EMBEDDED {
        let policy = Policy::load(name).unwrap();
        assert_eq!((policy.name.as_str(), policy.schema), (*name, 1));
        for gate in &policy.gates {
            assert!(gate.why.as_deref().is_some_and(|w| w.len() > 20), "{name}: {gate:?}");
        }
        assert!(policy.gates.iter().any(|g| g.quantity.on.to_string() == "*" && g.quantity.arm == Some(Arm::Engine)));
        // What a format costs is asked in units that hold for any model: of searches, never of one model's states.
        let fit: Vec<&Gate> = policy.gates.iter().filter(|g| g.quantity.question() == Question::Fit).collect();
        assert!(fit.iter().all(|g| matches!(g.quantity.on, Place::Neighbours | Place::Task)), "{name}");
        assert!(
            fit.iter().all(|g| g.if_given == (g.quantity.on == Place::Task)),
            "{name}: labels are not always given"
        );
        assert_eq!(fit.is_empty(), *name == "faithful");
    }
    let limits = |name: &str| -> Vec<f64> {
        Policy::load(name)
            .unwrap()
            .gates
            .iter()
            .filter(|g| g.quantity.on == Place::Neighbours)
            .map(|g| g.limit().1)
            .collect()
    };
    for (tight, loose) in [("strict", "standard"), ("standard", "lenient")] {
        for (i, (a, b)) in limits(tight).into_iter().zip(limits(loose)).enumerate() {
            let shares = Policy::load(tight).unwrap().gates[2 + i].min.is_some();
            assert!(if shares { a > b } else { a < b }, "{tight} and {loose}: {a} and {b}");
        }
    }
}

#[test]
fn a_written_gate_is_read_as_written() {
    let policy = parse(&with("", ""), "p.toml").unwrap();
    assert_eq!(policy.evidence, Evidence::default());
    let expected = Gate {
        quantity: Quantity {
            on: Place::Glob("layer.*".into()),
            arm: Some(Arm::Quantization),
            metric: "relative_l2".into(),
            stat: Stat::P99,
        },
        max: Some(0.05),
        min: None,
        max_regression: None,
        if_given: false,
        why: None,
    };
    assert_eq!(policy.gates, [expected]);
    let text = format!("schema = 1\nevidence = {{ min_rows = 50 }}\n[[gate]]\n{GATE}");
    assert_eq!(parse(&text, "p").unwrap().evidence, Evidence { min_rows: 50, ..Evidence::default() });
    let integer = parse(&with("max = 0.05", "max = 1"), "p").unwrap();
    assert_eq!(integer.gates[0].max, Some(1.0));
}

#[test]
fn unknown_words_are_pointed_at() {
    assert_eq!(
        refusal(&with("max", "maxx")),
        "policy p.toml, line 7, column 1: unknown field `maxx`, expected one of `on`, `arm`, `metric`, `stat`, `max`, `min`, `max_regression`, `max_drop`, `if_given`, `why`; did you mean `max`?"
    );
    assert_eq!(
        refusal(&with("relative_l2", "relativ_l2")),
        "policy p.toml, line 5, column 10: `metric = \"relativ_l2\"` does not exist on `layer.*`; it has relative_l2, standardized_l2, cosine_distance, sqnr_db, cka, max_abs, mse, norm_ratio, non_finite, zero_vectors; did you mean `relative_l2`?"
    );
    assert!(refusal(&with("p99", "p95")).ends_with("did you mean `p90`?"));
    assert!(refusal(&with("layer.*", "layers.*")).ends_with("did you mean `layer.*`?"));
    assert!(refusal(&with("quantization", "quantisation")).ends_with("did you mean `quantization`?"));
    assert!(refusal("schema = 1\nevidense = {}\n").contains("did you mean `evidence`?"));
    for (key, least) in [("min_rows", 30), ("min_tokens", 300)] {
        for asked in [0, 1, least - 1] {
            let text = format!("schema = 1\n[evidence]\n{key} = {asked}\n[[gate]]\n{GATE}");
            let message = parse(&text, "p").unwrap_err().to_string();
            assert!(message.contains(&format!("{key} = {asked} is below {least}")), "{message}");
        }
        assert!(parse(&format!("schema = 1\n[evidence]\n{key} = {least}\n[[gate]]\n{GATE}"), "p").is_ok());
    }
    assert!(refusal("schema = 1\n[evidence]\nmin_row = 1\n").contains("did you mean `min_rows`?"));
    assert!(refusal("schema = 1\n[[gate]\n").contains("line 2, column"));
}

#[test]
fn hostile_files_are_one_harmless_line() {
    for text in [
        "schema = 1\n\"a\\nb\\u001b[2J\" = 1\n",
        "schema = \"\\u001b\"",
        "\u{1b}",
        "schema = 1\n[[gate]]\non = \"\\u001b*\"\n",
    ] {
        assert!(!refusal(text).contains('\u{1b}'), "{text:?}");
    }
    refusal(&"[".repeat(10_000));
    let line = Policy::load("no\n\u{1b}such").unwrap_err().to_string();
    assert!(!line.contains(['\n', '\u{1b}']));
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in ".{0,200}") {
        let _ = parse(&text, "p");
        let _ = parse(&with("layer.*", &text), "p");
    }
}

#[test]
fn policies_that_judge_nothing_are_refused() {
    for (text, expected) in [
        ("schema = 1\n".to_owned(), "no [[gate]]"),
        (String::new(), "missing field `schema`"),
        (with("", "").replace("schema = 1", "schema = 2"), "schema 2 is not known"),
        (with("max = 0.05\n", ""), "needs `max` or `min`"),
        (with("max = 0.05", "max = 0.05\nmin = 0.01"), "not both"),
        (with("max = 0.05", "max = inf"), "finite"),
        (with("max = 0.05", "max = nan"), "finite"),
        (with("max = 0.05", "min = 0.05"), "needs `max`, not `min`"),
        (with("max = 0.05", "max = 1.01"), "passes anything"),
        (with("p99", "max").replace("0.05", "1.91"), "passes anything"),
        (with("max = 0.05", "max = -1.0"), "never be met"),
        (with("relative_l2", "cosine_distance").replace("0.05", "0.51"), "passes anything"),
        (with("relative_l2", "sqnr_db").replace("max", "min"), "does not exist for sqnr_db; it has mean"),
        (with("relative_l2", "sqnr_db").replace("p99", "mean"), "needs `min`, not `max`"),
        (with("relative_l2", "non_finite"), "does not exist for non_finite; it has max"),
        (with("arm = \"quantization\"\n", ""), "needs `arm`"),
        (with("layer.*", "weights"), "takes no `arm`"),
        (with("p99", "total"), "does not exist for relative_l2"),
        (with("relative_l2", "standardized_l2").replace("0.05", "1.5"), "passes anything"),
        (with("relative_l2", "sqnr_db").replace("p99", "mean").replace("max = 0.05", "min = 0"), "passes anything"),
        (with("relative_l2", "norm_ratio").replace("max = 0.05", "min = 0"), "passes anything"),
        (with("relative_l2", "norm_ratio").replace("0.05", "-1"), "never be met"),
        (with("p99", "min"), "says nothing of the rest"),
        (with("relative_l2", "norm_ratio").replace("p99", "max").replace("max = 0.05", "min = 0.9"), "of the rest"),
        (neighbours("min = 0.0"), "passes anything"),
        (neighbours("min = 80"), "can never be met"),
        (with("arm = \"quantization\"\n", "").replace("layer.*", "neighbours"), "top1_agreement"),
    ] {
        let message = refusal(&text);
        assert!(message.contains(expected), "{expected:?} not in {message:?}");
    }
}

#[test]
fn weights_and_neighbours_have_their_own_metrics() {
    let weights = "schema = 1\n[[gate]]\non = \"weights\"\nmetric = \"relative_error\"\nstat = \"total\"\nmax = 0.01\n";
    assert_eq!(parse(weights, "p").unwrap().gates[0].quantity.on, Place::Weights);
    for limit in [0.8, 1.0] {
        assert_eq!(parse(&neighbours(&format!("min = {limit}")), "p").unwrap().gates[0].min, Some(limit));
    }
}

#[test]
fn names_and_paths_that_are_neither_are_one_line() {
    let error = Policy::load("standart").unwrap_err();
    assert_eq!(error.fault(), Fault::Usage);
    let message = error.to_string();
    assert!(message.contains("did you mean `standard`?") && !message.contains('\n'), "{message}");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("big.toml");
    std::fs::write(&path, vec![b'#'; LARGEST as usize + 1]).unwrap();
    assert!(matches!(Policy::load(path.to_str().unwrap()), Err(PolicyError::TooLarge { .. })));
    std::fs::write(&path, vec![b'#'; LARGEST as usize]).unwrap();
    assert_eq!(read(path.to_str().unwrap()).unwrap().len() as u64, LARGEST);
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(matches!(Policy::load(path.to_str().unwrap()), Err(PolicyError::Unreadable { .. })));
}

#[test]
fn what_is_lost_on_labels_is_a_gate_of_its_own() {
    let of = |gate: &str| parse(&format!("schema = 1\n[[gate]]\n{gate}"), "p.toml");
    let lost = "on = \"task\"\nmetric = \"spearman\"\nmax_drop = 0.01\n";
    let gate = of(lost).unwrap().gates.remove(0);
    assert_eq!((gate.quantity.to_string().as_str(), gate.max), ("task spearman_drop mean", Some(0.01)));
    assert!(!gate.if_given && of(&format!("{lost}if_given = true\n")).unwrap().gates[0].if_given);
    let long = "on = \"task\"\nmetric = \"spearman_drop\"\nstat = \"mean\"\nmax = 0.01\n";
    assert_eq!(of(long).unwrap().gates[0], gate);
    let said = |gate: &str| of(gate).unwrap_err().to_string();
    assert!(said(&format!("{lost}max = 0.1\n")).contains("`max_drop` stands alone"));
    assert!(said(&lost.replace("0.01", "0.9")).contains("passes anything; it must be at most 0.5"));
    assert!(said(&lost.replace("0.01", "-0.1")).contains("can never be met"));
    assert!(said(&lost.replace("spearman", "kendall")).contains("does not exist on `task`"));
    assert!(said(&lost.replace("task", "weights")).contains("it needs `on = \"task\"`"));
    assert!(said(&long.replace("max", "max_regression")).contains("`max_drop` limits what is lost"));
    let always = GATE.replace("on =", "if_given = true\non =");
    assert!(said(&always).contains("`if_given` is for labels"));
}
