//! Planted faults: each must come out as anything but a PASS, with the right exit code, and with the right
//! layer, tensor or fact named. Each fault on each model is a test of its own; `scripts/fault-table` prints the table.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should stop")]

mod common;
mod seeded;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Mutex;

use libtest_mimic::{Arguments, Failed, Trial};
use seeded::models::{EVERYWHERE, Model};
use seeded::{Fault, Outcome, Plant};

/// Set to print the table, and nothing but faults is run.
const TABLE: &str = "PARALLAX_FAULT_TABLE";

/// What was printed of each fault, with its place in the table.
static ROWS: Mutex<Vec<(usize, usize, String)>> = Mutex::new(Vec::new());

/// Without these the rows below would prove nothing. Whether what a format costs is acceptable is no fault.
const CLEAN: Fault = Fault {
    id: "none",
    hazard: "-",
    what: "nothing",
    plant: Plant::Request(|r| r.policy = Some("faithful".to_owned())),
    on: EVERYWHERE,
    exit: 0,
    says: &[],
};

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some()
}

fn main() -> ExitCode {
    let faults: &'static [&'static Fault] = seeded::tables().collect::<Vec<_>>().leak();
    let mut trials = Vec::new();
    if is_set("PARALLAX_FAULT_GAPS") {
        trials.extend(seeded::gaps::GAPS.iter().enumerate().flat_map(|(i, gap)| on_models(i, gap, true)));
    } else {
        trials.extend(faults.iter().enumerate().flat_map(|(i, fault)| on_models(i, fault, false)));
    }
    if !is_set(TABLE) {
        trials.extend(on_models(usize::MAX, &CLEAN, false));
        trials.extend(seeded::outputs::HONEST.iter().flat_map(|f| on_models(usize::MAX, f, false)));
        trials.extend(seeded::tokenizer_honest::HONEST.iter().flat_map(|f| on_models(usize::MAX, f, false)));
        trials.extend(
            seeded::explained::CASES
                .iter()
                .map(|case| Trial::test(format!("explain names the defect first: {}", case.what), || explained(case))),
        );
        trials.push(test("the tables are whole", || the_tables_are_whole(faults)));
        trials.push(test("every way has five faults of its own", every_way_has_five_faults_of_its_own));
        trials.push(test("every hazard is planted or has a test of its own", every_hazard_is_met));
    }
    let done = libtest_mimic::run(&Arguments::from_args(), trials);
    let mut rows = std::mem::take(&mut *ROWS.lock().unwrap());
    rows.sort();
    rows.iter().for_each(|(.., row)| println!("{row}"));
    done.exit_code()
}

fn test(name: &str, run: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, || {
        run();
        Ok(())
    })
}

/// Models a fault is planted in at most, unless `PARALLAX_FAULT_WIDE` asks for all it names. A mechanism's faults (`G…`)
/// are many, and their mechanism is the same on every model.
fn narrow(fault: &Fault) -> usize {
    match fault.hazard.starts_with('G') {
        _ if fault.exit == 0 => usize::MAX,
        true => 1,
        false => 3,
    }
}

/// One test for each model that the fault is planted in; none that `PARALLAX_FAULT` (part of an id, or a hazard) leaves out.
fn on_models(place: usize, fault: &'static Fault, gap: bool) -> Vec<Trial> {
    let only = std::env::var("PARALLAX_FAULT").ok();
    if only.is_some_and(|id| !fault.id.contains(id.as_str()) && fault.hazard != id.as_str()) {
        return Vec::new();
    }
    let named = fault.on.iter().copied();
    let all: Vec<Model> = match is_set("PARALLAX_FAULT_WIDE") {
        true => named.clone().chain(named.filter_map(Model::real)).collect(),
        false => named.take(narrow(fault)).collect(),
    };
    let models = EVERYWHERE.iter().copied().enumerate().filter(|(_, m)| all.contains(m) && m.exists());
    let trial = |(at, model): (usize, Model)| {
        let name = format!("{} {} on {}", fault.hazard, fault.id, model.name());
        Trial::test(name, move || planted((place, at), fault, model, gap))
    };
    models.map(trial).collect()
}

/// Plants one fault in one model. A gap is told, and not asserted.
fn planted((place, at): (usize, usize), fault: &Fault, model: Model, gap: bool) -> Result<(), Failed> {
    let outcome = fault.run(model);
    let lacks = match fault.on.contains(&model) {
        true => fault.lacks(&outcome),
        // The real model is told of by other numbers and layers; what it must not do is pass.
        false => fault.lacks_on_others(&outcome),
    };
    let told = said(fault, model, &outcome, &lacks);
    if is_set(TABLE) {
        let mut row = fault.row(model, &outcome);
        if !lacks.is_empty() || is_set("PARALLAX_FAULT_LINES") {
            row.push_str(&format!("\n{told}"));
        }
        ROWS.lock().unwrap().push((place, at, row));
    }
    if lacks.is_empty() || gap { Ok(()) } else { Err(told.into()) }
}

fn said(fault: &Fault, model: Model, outcome: &Outcome, lacks: &[String]) -> String {
    let lines = outcome.lines.join("\n      ");
    format!("{} on {}: {}\n      {lines}", fault.id, model.name(), lacks.join("; "))
}

fn the_tables_are_whole(faults: &[&Fault]) {
    assert!(faults.len() >= 40, "{} faults", faults.len());
    let ids: BTreeSet<&str> = faults.iter().map(|f| f.id).collect();
    assert_eq!(ids.len(), faults.len(), "two faults share an id");
    assert!(faults.iter().all(|f| f.exit != 0 && !f.on.is_empty() && !f.says.is_empty()));
    assert!(seeded::gaps::GAPS.iter().all(|g| !ids.contains(&g.id)), "a gap that is in the table is none");
}

fn every_way_has_five_faults_of_its_own() {
    for (way, what) in seeded::WAYS {
        let planted = seeded::tables().filter(|f| f.hazard == *way).count();
        assert!(planted >= 5, "{way}, {what}: {planted}");
    }
    let known = |f: &&Fault| !f.hazard.starts_with('G') || seeded::WAYS.iter().any(|(way, _)| *way == f.hazard);
    assert!(seeded::tables().all(|f| known(&f)));
}

fn explained(case: &'static seeded::explained::Case) -> Result<(), Failed> {
    let report = case.report();
    let (told, story) = (&report.explanation, report.explanation.story());
    let mut lacks: Vec<String> =
        case.first.iter().filter(|w| !story[0].contains(**w)).map(|w| format!("`{w}`")).collect();
    if told.tensors.first().map(|t| t.tensor.as_str()) != case.tensor {
        lacks.push(format!("{:?} in place of {:?}", told.tensors.first(), case.tensor));
    }
    if !told.advice.is_empty() || report.exit_code == 0 {
        lacks.push(format!("exit {}, {:?}", report.exit_code, told.advice));
    }
    if lacks.is_empty() { Ok(()) } else { Err(format!("{}\n  {}", lacks.join(", "), story.join("\n  ")).into()) }
}

/// Hazards that are no defect of a model or a corpus: the file and the test that meets each.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    ("F18", "tests/it/every_run_proves_itself.rs", "a_reference_that_differs_from_itself_is_no_reference"),
    ("F20", "tests/it/every_run_proves_itself.rs", "a_matrix_left_unquantized_is_said"),
    ("F27", "tests/it/recordings.rs", "what_mlx_itself_computes_passes_and_with_two_rows_swapped_does_not"),
    ("F35", "src/report/consistent.rs", "a_pass_that_its_own_contents_deny_is_refused"),
];

fn every_hazard_is_met() {
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
