//! Planted faults: each must come out as anything but a PASS, with the right exit code, and with the right
//! layer, tensor or fact named. `scripts/fault-table` prints the table.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should stop")]

mod common;
mod seeded;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use seeded::models::{EVERYWHERE, Model};
use seeded::{Fault, Outcome, Plant};

/// Runs side by side; each has one thread of its own.
const AT_ONCE: usize = 2;

/// Models a fault is planted in at most, unless `PARALLAX_FAULT_WIDE` asks for all it names. A mechanism's faults (`G…`)
/// are many, and their mechanism is the same on every model.
fn narrow(fault: &Fault) -> usize {
    match fault.hazard.starts_with('G') {
        _ if fault.exit == 0 => usize::MAX,
        true => 1,
        false => 3,
    }
}

/// Runs every fault on each of its models and prints the table.
fn run(faults: &[&Fault]) -> Vec<(usize, Model, Outcome)> {
    let only = std::env::var("PARALLAX_FAULT").ok();
    let chosen = |f: &Fault| only.as_ref().is_none_or(|id| f.id.contains(id.as_str()) || f.hazard == id.as_str());
    let wide = std::env::var_os("PARALLAX_FAULT_WIDE").is_some();
    let models = |fault: &Fault| -> Vec<Model> {
        let named = fault.on.iter().copied();
        let all: Vec<Model> = match wide {
            true => named.clone().chain(named.filter_map(Model::real)).collect(),
            false => named.take(narrow(fault)).collect(),
        };
        EVERYWHERE.iter().copied().filter(|m| all.contains(m) && m.exists()).collect()
    };
    let jobs: Vec<(usize, Model)> = (0..faults.len())
        .filter(|&i| chosen(faults[i]))
        .flat_map(|i| models(faults[i]).into_iter().map(move |m| (i, m)))
        .collect();
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(&(i, model)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = faults[i].run(model);
                    let mut done = done.lock().unwrap();
                    done.push((i, model, outcome));
                    if wide {
                        eprintln!("{} of {}: {} on {}", done.len(), jobs.len(), faults[i].id, model.name());
                    }
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(i, model, _)| (*i, EVERYWHERE.iter().position(|m| m == model)));
    done
}

/// Prints each row and what a row lacks; none may lack anything.
fn assert_all(faults: &[&Fault]) {
    let mut wrong = Vec::new();
    for (i, model, outcome) in run(faults) {
        let fault = faults[i];
        // A new line first: the harness has left the test's name on this one.
        println!("\n{}", fault.row(model, &outcome));
        let lacks = match fault.on.contains(&model) {
            true => fault.lacks(&outcome),
            // The real model is told of by other numbers and layers; what it must not do is pass.
            false => fault.lacks_on_others(&outcome),
        };
        if !lacks.is_empty() || std::env::var_os("PARALLAX_FAULT_LINES").is_some() {
            let lines = outcome.lines.join("\n      ");
            let text = format!("{} on {}: {}\n      {lines}", fault.id, model.name(), lacks.join("; "));
            println!("{text}");
            if !lacks.is_empty() {
                wrong.push(text);
            }
        }
    }
    assert!(wrong.is_empty(), "{} of the faults came out wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Without these the rows below would prove nothing.
const CLEAN: Fault =
    Fault { id: "none", hazard: "-", what: "nothing", plant: Plant::Nothing, on: EVERYWHERE, exit: 0, says: &[] };

#[test]
fn without_a_fault_every_model_passes() {
    assert_all(&[&CLEAN]);
}

#[test]
fn every_fault_is_refused_by_name() {
    let faults: Vec<&Fault> = seeded::tables().collect();
    assert!(faults.len() >= 40, "{} faults", faults.len());
    let mut ids: Vec<&str> = faults.iter().map(|f| f.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), faults.len(), "two faults share an id");
    assert!(faults.iter().all(|f| f.exit != 0 && !f.on.is_empty() && !f.says.is_empty()));
    assert_all(&faults);
}

#[test]
fn every_way_has_five_faults_of_its_own() {
    for (way, what) in seeded::WAYS {
        let planted = seeded::tables().filter(|f| f.hazard == *way).count();
        assert!(planted >= 5, "{way}, {what}: {planted}");
    }
    let known = |f: &&Fault| !f.hazard.starts_with('G') || seeded::WAYS.iter().any(|(way, _)| *way == f.hazard);
    assert!(seeded::tables().all(|f| known(&f)));
}

#[test]
fn the_same_tokenizer_written_otherwise_passes() {
    assert_all(&seeded::tokenizer_honest::HONEST.iter().collect::<Vec<_>>());
}

#[test]
fn explain_names_the_defect_first_and_advises_no_bits() {
    let mut wrong = Vec::new();
    for case in seeded::explained::CASES {
        let report = case.report();
        let (told, story) = (&report.explanation, report.explanation.story());
        println!("\n{}\n  {}", case.what, story.join("\n  "));
        let mut lacks: Vec<String> =
            case.first.iter().filter(|w| !story[0].contains(**w)).map(|w| format!("`{w}`")).collect();
        if told.tensors.first().map(|t| t.tensor.as_str()) != case.tensor {
            lacks.push(format!("{:?} in place of {:?}", told.tensors.first(), case.tensor));
        }
        if !told.advice.is_empty() || report.exit_code == 0 {
            lacks.push(format!("exit {}, {:?}", report.exit_code, told.advice));
        }
        if !lacks.is_empty() {
            wrong.push(format!("{}: {}\n  {}", case.what, lacks.join(", "), story.join("\n  ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Hazards that are no defect of a model or a corpus: the file and the test that meets each.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    ("F18", "tests/it/every_run_proves_itself.rs", "a_reference_that_differs_from_itself_is_no_reference"),
    ("F20", "tests/it/every_run_proves_itself.rs", "a_matrix_left_unquantized_is_said"),
    ("F27", "tests/it/recordings.rs", "what_mlx_itself_computes_passes_and_with_two_rows_swapped_does_not"),
    ("F35", "src/report/consistent.rs", "a_pass_that_its_own_contents_deny_is_refused"),
];

#[test]
fn every_hazard_of_the_catalogue_is_planted_or_has_a_test_of_its_own() {
    for n in 1..=35 {
        let hazard = format!("F{n}");
        let planted = seeded::tables().any(|f| f.hazard == hazard);
        let elsewhere = ELSEWHERE.iter().find(|(h, ..)| *h == hazard);
        let (_, file, test) = match elsewhere {
            Some(found) => found,
            None => {
                assert!(planted, "{hazard}");
                continue;
            }
        };
        let source = std::fs::read_to_string(common::repository(file)).unwrap();
        assert!(source.contains(&format!("fn {test}()")), "{hazard}: {file} has no test {test}");
    }
}

/// Rows of [`seeded::gaps::GAPS`] are not asserted; `PARALLAX_FAULT_GAPS` runs and prints them.
#[test]
fn the_gaps_are_told_apart() {
    let gaps: Vec<&Fault> = seeded::gaps::GAPS.iter().collect();
    let known: Vec<&str> = seeded::tables().map(|f| f.id).collect();
    assert!(gaps.iter().all(|g| !known.contains(&g.id)), "a gap that is in the table is none");
    if std::env::var_os("PARALLAX_FAULT_GAPS").is_some() {
        for (i, model, outcome) in run(&gaps) {
            println!("\n{}", gaps[i].row(model, &outcome));
            println!("{} on {}: {}", gaps[i].id, model.name(), gaps[i].lacks(&outcome).join("; "));
        }
    }
}
