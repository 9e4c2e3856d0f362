//! The pages: what they list is what the tables of the crate hold, and their links lead somewhere.

use crate::common;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use common::repository;
use parallax::finding::{Code, codes};
use parallax::hidden_states::Arm;
use parallax::quantization::MODES;
use parallax::runtimes::native::ARCHITECTURES;

fn parallax(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_parallax")).args(arguments).output().unwrap()
}

fn read(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap()
}

/// Every page at the top and in docs/.
fn pages() -> Vec<PathBuf> {
    let folders = ["", "docs"];
    let all = folders.iter().flat_map(|f| fs::read_dir(repository(f)).unwrap()).map(|e| e.unwrap().path());
    let pages: Vec<PathBuf> = all.filter(|p| p.extension().is_some_and(|e| e == "md")).collect();
    assert!(pages.len() >= 12, "{pages:?}");
    pages
}

/// The anchor of a heading, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-');
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// Targets of `[text](target)` that are no addresses.
fn links(text: &str) -> Vec<String> {
    let of = |rest: &str| rest.split(')').next().unwrap_or_default().to_owned();
    text.split("](").skip(1).map(of).filter(|l| !l.contains("://")).collect()
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut checked = 0;
    for page in pages() {
        for link in links(&fs::read_to_string(&page).unwrap()) {
            let (file, heading) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            assert!(target.exists(), "{}: {link}", page.display());
            if !heading.is_empty() {
                let text = fs::read_to_string(&target).unwrap();
                let headings: Vec<String> =
                    text.lines().filter(|l| l.starts_with('#')).map(|l| anchor(l.trim_start_matches('#'))).collect();
                assert!(headings.iter().any(|h| h == heading), "{}: {link}: {headings:?}", page.display());
            }
            checked += 1;
        }
    }
    assert!(checked > 20, "{checked}");
}

#[test]
fn the_readme_is_short_and_leads_to_every_page() {
    let readme = read("README.md");
    assert!(readme.lines().count() <= 150, "{}", readme.lines().count());
    for page in fs::read_dir(repository("docs")).unwrap() {
        let name = format!("docs/{}", page.unwrap().file_name().to_str().unwrap());
        assert!(links(&readme).contains(&name), "{name}");
    }
}

#[test]
fn troubleshooting_explains_every_code_and_no_other() {
    let page = read("docs/troubleshooting.md");
    let row = |c: &Code| format!("| `{}` | {} | {} | {} |", c.code, c.severity, c.means, c.todo);
    let wanted: BTreeSet<String> = codes::all().map(row).collect();
    let found: BTreeSet<String> =
        page.lines().filter(|l| l.starts_with("| `") && l.contains('.')).map(str::to_owned).collect();
    let missing: Vec<_> = wanted.difference(&found).collect();
    let foreign: Vec<_> = found.difference(&wanted).collect();
    assert!(missing.is_empty() && foreign.is_empty(), "missing: {missing:#?}\nforeign: {foreign:#?}");
}

#[test]
fn explain_prints_what_a_code_means_and_the_nearest_one_for_a_slip() {
    for row in codes::all() {
        let code = row.code.replace('*', "rope_theta");
        let done = parallax(&["explain", &code]);
        let text = String::from_utf8(done.stdout).unwrap();
        assert_eq!(done.status.code(), Some(0), "{code}");
        assert!(text.starts_with(&code) && text.contains(row.means) && text.contains(row.todo), "{text}");
    }
    let all = String::from_utf8(parallax(&["explain"]).stdout).unwrap();
    assert_eq!(all.lines().count(), codes::all().count());
    for (slip, hint) in [("weights.changed_group", "did you mean `weights.changed_groups`?"), ("x", "lists all codes")]
    {
        let done = parallax(&["explain", slip]);
        let said = String::from_utf8(done.stderr).unwrap();
        assert_eq!((done.status.code(), said.lines().count()), (Some(2), 1), "{said}");
        assert!(said.contains(hint), "{said}");
    }
}

#[test]
fn the_pages_list_what_the_tables_hold() {
    let formats = read("docs/formats.md");
    for name in ARCHITECTURES.iter().flat_map(|a| a.model_types) {
        assert!(formats.contains(&format!("`{name}`")), "{name}");
    }
    for mode in MODES {
        assert!(formats.contains(mode.name), "{}", mode.name);
    }
    let policies = read("docs/policies.md");
    for arm in Arm::ALL {
        assert!(policies.contains(arm.name()), "{arm}");
    }
    // The exit codes stand in three places, and are the same.
    let table = |text: &str| -> Vec<String> {
        let rows = text.lines().filter(|l| l.starts_with("| ") && l.as_bytes().get(2).is_some_and(u8::is_ascii_digit));
        rows.map(str::to_owned).collect()
    };
    let readme = table(&read("README.md"));
    assert_eq!(readme, table(&read("docs/pipelines.md")));
    let help = String::from_utf8(parallax(&["--help"]).stdout).unwrap();
    let words = |s: &str| s.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ");
    for row in readme {
        let line = words(&row.trim_matches('|').replace('|', " "));
        assert!(words(&help).contains(&line), "{line}");
    }
}
