//! Flags that overrule the models' own files: the files are compared first, and what is overruled stands in the verdict.

use super::request::CheckRequest;
use super::silence::Said;
use crate::checkpoint::SentenceModules;
use crate::finding::{Code, Finding, Severity, codes};

/// The finding's code; `report::words` prints it in the verdict.
const CODE: &Code = &codes::FLAG_OVERRULES;

/// Fewest dimensions that `--dim` may keep. Of 8 dimensions unrelated sentences differ by a cosine of 0.35 (1/√8) at
/// random, of one they agree always; published matryoshka models keep 32 and more.
pub(crate) const LEAST_DIMENSIONS: usize = 8;

/// One warning per flag (`width`: the dimensions that files cut vectors to) that says something else than the files of one side, or where these contradict each other.
pub(crate) fn findings(request: &CheckRequest, sides: &[Said; 2], width: Option<usize>) -> Vec<Finding> {
    let [reference, candidate] = sides;
    let mut out = Vec::new();
    let mut told = |flag: String, value: &str, ours: String, theirs: String, same: [bool; 2]| {
        if same != [true, true] {
            let contradict = if ours == theirs { String::new() } else { ", which contradict each other".to_owned() };
            let message = format!(
                "{flag} overrules what the models say{contradict}: the reference {ours}, the candidate {theirs}; the verdict \
                 is on {value}"
            );
            out.push(Finding::new(Severity::Warning, CODE, message));
        }
    };
    if let Some(mode) = request.pooling {
        let same = [reference, candidate].map(|s| s.pooling.as_deref() == Some(&[mode]));
        told(
            format!("--pooling {mode}"),
            &SentenceModules::name_of(&[mode]),
            reference.pooling_told(),
            candidate.pooling_told(),
            same,
        );
    }
    if let Some(prompt) = &request.prompt {
        let same = [reference, candidate].map(|s| s.prompt == *prompt);
        let shown = format!("{:?}", prompt.chars().take(40).collect::<String>());
        told(format!("--prompt {shown}"), &shown, reference.prompt_told(), candidate.prompt_told(), same);
    } else if let Some(name) = &request.prompt_name {
        let name: String = name.escape_default().take(40).collect();
        let same = [reference, candidate].map(|s| s.prompts.is_some());
        let shown = if reference.prompts.is_some() { reference.prompt_told() } else { candidate.prompt_told() };
        told(format!("--prompt-name {name}"), &shown, reference.prompt_told(), candidate.prompt_told(), same);
    }
    if let Some(dim) = request.dim {
        let stated = width.map_or_else(|| "every dimension".to_owned(), |n| format!("{n} dimensions"));
        told(
            format!("--dim {dim}"),
            &format!("the first {dim} dimensions, for callers who cut vectors there"),
            stated.clone(),
            stated,
            [width == Some(dim); 2],
        );
    }
    if let Some(length) = request.max_length {
        let same = [reference, candidate].map(|s| s.length == length);
        let tokens = |n: usize| format!("{n} tokens");
        told(
            format!("--max-length {length}"),
            &tokens(length),
            tokens(reference.length),
            tokens(candidate.length),
            same,
        );
    }
    out
}
