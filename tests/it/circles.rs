//! No two files need each other, directly or round about: what both need lies in a third.
//!
//! Read off the text: `use` declarations and paths from `crate`, `super`, `self` or a child module, followed through
//! `pub use`. A file and the file of the module it lies in are parts of one module, so what a file takes from above itself
//! closes no circle. Unit tests do not count.

use std::collections::{BTreeMap, BTreeSet};

use crate::architecture::{ONNX_ROOMS, rust_files};
use crate::common::repository;

type Module = Vec<String>;

/// A module's text without comments, strings and unit tests, and the names it brings in.
struct File {
    text: String,
    brought: BTreeMap<String, Module>,
}

fn modules() -> BTreeMap<Module, File> {
    let src = repository("src");
    let mut paths = Vec::new();
    rust_files(&src, &mut paths);
    let mut out = BTreeMap::new();
    for path in paths {
        let relative = path.strip_prefix(&src).unwrap().with_extension("");
        let mut module: Module = relative.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
        let last = module.last().unwrap().clone();
        if last.ends_with("_tests") || last == "main" {
            continue;
        }
        if last == "mod" || last == "lib" {
            module.pop();
        }
        let text = stripped(&std::fs::read_to_string(&path).unwrap());
        let brought = uses(&text).into_iter().map(|path| (path[path.len() - 1].clone(), path)).collect();
        out.insert(module, File { text, brought });
    }
    out
}

/// Without comments, strings and what stands behind `#[cfg(test)]`.
fn stripped(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap();
    let lines = text.lines().map(|line| line.split("//").next().unwrap());
    let mut out = String::new();
    for line in lines {
        // Every second piece between quotes is a string's.
        out.extend(line.replace("\\\"", "").split('"').step_by(2));
        out.push('\n');
    }
    out
}

/// Every path of every `use`, its trees taken apart.
fn uses(text: &str) -> Vec<Module> {
    let mut out = Vec::new();
    for part in text.split("use ").skip(1) {
        let declaration: String = part.split(';').next().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        if declaration.chars().all(|c| c.is_alphanumeric() || "_:{}, *".contains(c)) {
            expand(&declaration, &[], &mut out);
        }
    }
    out
}

fn expand(tree: &str, before: &[String], out: &mut Vec<Module>) {
    let tree = tree.trim();
    let path = |text: &str| text.split("::").filter(|p| !p.is_empty()).map(|p| p.trim().to_owned()).collect::<Vec<_>>();
    let Some(open) = tree.find('{') else {
        let mut whole = [before, &path(tree.split(" as ").next().unwrap())].concat();
        // `use a::{self}` brings in `a`.
        whole.pop_if(|last| last == "self");
        out.extend((!whole.is_empty()).then_some(whole));
        return;
    };
    let before = [before, &path(&tree[..open])].concat();
    let (mut depth, mut from) = (0, open + 1);
    for (i, c) in tree.char_indices().skip(open) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if (c == ',' && depth == 1) || (c == '}' && depth == 0) {
            expand(&tree[from..i], &before, out);
            from = i + 1;
        }
    }
}

/// Paths in the text outside of `use` that begin with a word by which a module can be meant.
fn inline(text: &str) -> Vec<Module> {
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let mut declared = false;
    let code: String = text
        .lines()
        .filter(|line| {
            let begins = line.trim_start();
            declared |= begins.starts_with("use ") || (begins.starts_with("pub") && begins.contains(" use "));
            let skipped = declared;
            declared &= !line.contains(';');
            !skipped
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    let paths = code.split(|c| !word(c)).filter(|p| p.contains("::") && p.starts_with(|c: char| c.is_lowercase()));
    paths.map(|p| p.split("::").filter(|p| !p.is_empty()).map(str::to_owned).collect()).collect()
}

/// The file that a path seen from `at` leads to.
fn leads_to(all: &BTreeMap<Module, File>, at: &Module, path: &[String], left: usize) -> Option<Module> {
    let mut base = at.clone();
    let mut rest = path;
    match path.first()?.as_str() {
        "crate" => (base, rest) = (Vec::new(), &path[1..]),
        "self" => rest = &path[1..],
        "super" => {
            while rest.first().is_some_and(|p| p == "super") {
                base.pop();
                rest = &rest[1..];
            }
        }
        first => {
            let child = [at.as_slice(), &[first.to_owned()]].concat();
            if !all.contains_key(&child) {
                let brought = all[at].brought.get(first).filter(|b| b.first().is_some_and(|f| f != first))?;
                return leads_to(all, at, &[brought.as_slice(), &path[1..]].concat(), left.checked_sub(1)?);
            }
        }
    }
    let whole = [base.as_slice(), rest].concat();
    let known = (0..=whole.len()).rev().find(|n| all.contains_key(&whole[..*n]))?;
    let (file, rest) = (whole[..known].to_vec(), &whole[known..]);
    match rest.first().and_then(|name| all[&file].brought.get(name)) {
        Some(again) if left > 0 => {
            leads_to(all, &file, &[again.as_slice(), &rest[1..]].concat(), left - 1).or(Some(file))
        }
        _ => Some(file),
    }
}

fn needs(all: &BTreeMap<Module, File>) -> BTreeMap<&Module, BTreeSet<Module>> {
    all.iter()
        .map(|(at, file)| {
            let paths = uses(&file.text).into_iter().chain(inline(&file.text));
            let found = paths.filter_map(|path| leads_to(all, at, &path, 8)).filter(|to| !at.starts_with(to));
            (at, found.collect())
        })
        .collect()
}

/// A circle through `at`, if there is one.
fn circle(needs: &BTreeMap<&Module, BTreeSet<Module>>, at: &Module) -> Option<Vec<String>> {
    let mut open: Vec<Vec<&Module>> = vec![vec![at]];
    let mut seen = BTreeSet::new();
    while let Some(way) = open.pop() {
        for next in &needs[way[way.len() - 1]] {
            if next == at {
                return Some(way.iter().chain([&at]).map(|m| m.join("::")).collect());
            }
            if seen.insert(next) {
                open.push([way.as_slice(), &[next]].concat());
            }
        }
    }
    None
}

#[test]
fn no_two_files_need_each_other() {
    let all = modules();
    let needs = needs(&all);
    let edges: usize = needs.values().map(BTreeSet::len).sum();
    assert!(all.len() > 300 && edges > 1000, "{} files, {edges} needs: the text is not read", all.len());
    let check = |from: &str, to: &str| {
        let path = |s: &str| s.split("::").map(str::to_owned).collect::<Module>();
        assert!(needs[&path(from)].contains(&path(to)), "{from} needs {to}, which is not seen");
    };
    check("runtimes::onnx::taps", "runtimes::onnx::taps::last");
    check("proof::probe", "sides");
    check("check::limits", "verdict");
    let circles: Vec<String> = all.keys().filter_map(|at| circle(&needs, at)).map(|way| way.join(" → ")).collect();
    assert!(circles.is_empty(), "{circles:#?}");
}

#[test]
fn the_rooms_of_onnx_stand_in_their_order() {
    let all = modules();
    let room = |m: &Module| {
        let place = m.get(2).filter(|_| m.starts_with(&["runtimes".to_owned(), "onnx".to_owned()]))?;
        Some(ONNX_ROOMS.iter().position(|r| r == place).unwrap_or_else(|| panic!("{place} is no room")))
    };
    let mut checked = 0;
    for (at, needs) in needs(&all) {
        let Some(own) = room(at) else { continue };
        for to in needs.iter() {
            assert!(
                room(to).is_none_or(|other| other <= own),
                "{} needs {}, which is below it",
                at.join("::"),
                to.join("::")
            );
            checked += 1;
        }
    }
    assert!(checked > 100, "{checked}");
}
