//! What follows each encoder and what is put before each sentence.

use std::sync::Arc;

use super::overruled::{self, LEAST_DIMENSIONS};
use super::request::CheckRequest;
use super::sentence_keys;
use super::silence::{self, Said, Silent};
use crate::Error;
use crate::checkpoint::{ModelFolder, PoolingMode, SentenceModules, Stage, StageWeights, Weight, WeightSet};
use crate::finding::{Finding, Severity, codes};
use crate::tokens::TokenizerPair;

/// What both sides say, and what is done.
pub(crate) struct SentencePair {
    pub(crate) reference: SentenceModules,
    pub(crate) candidate: SentenceModules,
    /// By their files and their runtimes, before any flag.
    pub(crate) said: [Said; 2],
    /// What is put before every sentence.
    pub(crate) prompt: Option<String>,
    pub(crate) findings: Vec<Finding>,
}

impl SentencePair {
    /// As the files say, or as the request overrides them; a side that states nothing does what its runtime does.
    pub(crate) fn read(request: &CheckRequest, sides: [Silent<'_>; 2]) -> Result<Self, Error> {
        if let Some(dim) = request.dim.filter(|dim| *dim < LEAST_DIMENSIONS) {
            let text = format!("--dim {dim}: at least {LEAST_DIMENSIONS} dimensions, fewer tell no sentences apart");
            return Err(Error::Usage(text));
        }
        let [reference, candidate] = sides;
        let narrow = match candidate.folder {
            Some(folder) => sentence_keys::truncated(reference.folder, folder)?,
            None => None,
        };
        let (config, name) = (candidate.config, request.prompt_name.as_deref());
        let said = [reference.said(name)?, candidate.said(name)?];
        let [ours, theirs] = &said;
        if let (Some(name), None, None) = (&request.prompt_name, &ours.prompts, &theirs.prompts) {
            let name: String = name.escape_default().take(40).collect();
            return Err(Error::Usage(format!("--prompt-name {name}: neither model's files state any prompts")));
        }
        let mut findings = silence::findings(request, &said);
        findings.extend(overruled::findings(request, &said, narrow));
        findings.extend(silence::unread(theirs, config, narrow.filter(|_| request.dim.is_none())));
        // Where nothing says how a side pools, a refusal stands, and the other's pooling gives the numbers beside it.
        let unknown = || vec![PoolingMode::Mean];
        let modules = |side: &Said, other: &Said| {
            let pooling = side.pooling.clone().or_else(|| other.pooling.clone()).unwrap_or_else(unknown);
            let stated = side.files.modules.clone().unwrap_or_else(|| SentenceModules::of(PoolingMode::Mean));
            let mut modules = SentenceModules { pooling, stages: side.stages.clone(), ..stated };
            if ours.files.stages.is_none() && other.normalize() && !side.normalize() {
                modules.stages.push(Stage::Normalize);
            }
            if let Some(mode) = request.pooling {
                modules.pooling = vec![mode];
                modules.stated_in = Some("--pooling".to_owned());
            } else if side.files.modules.is_none() {
                modules.stated_in = side.pooling.as_ref().map(|_| format!("{}'s default", side.runtime.label()));
            }
            modules.stages.extend(request.dim.or(narrow).map(Stage::Truncate));
            modules
        };
        let (reference, candidate) = (modules(ours, theirs), modules(theirs, ours));
        let stated = |s: &Said| s.prompts.as_ref().map(|_| s.prompt.clone());
        let prompt = request.prompt.clone().or_else(|| stated(ours)).or_else(|| stated(theirs));
        let prompt = prompt.filter(|p| !p.is_empty());
        Ok(Self { reference, candidate, said, prompt, findings })
    }

    /// Tokens per row at most: what both sides take.
    pub(crate) fn longest(&self) -> usize {
        self.said.iter().map(|s| s.length).min().unwrap_or_default()
    }

    /// Tokens at the beginning of every row that each side leaves out of its pooling: the prompt's own, with what
    /// stands before it (sentence-transformers, `_get_prompt_length`).
    pub(crate) fn skipped(&self, tokenizers: &TokenizerPair) -> Result<[usize; 2], Error> {
        let Some(prompt) = &self.prompt else { return Ok([0, 0]) };
        let mut skipped = [0, 0];
        let sides = [(&self.reference, &tokenizers.reference), (&self.candidate, tokenizers.candidate())];
        for (skipped, (modules, tokenizer)) in skipped.iter_mut().zip(sides) {
            if !modules.include_prompt {
                // Without the special token that closes a row.
                *skipped = tokenizer.encode(prompt)?.ids.len().saturating_sub(1);
            }
        }
        Ok(skipped)
    }
}

/// A weight of a module behind the pooling: its name, the original's, the candidate's.
pub(crate) type StagePair = (String, Arc<Weight>, Arc<Weight>);

/// The weights of the modules behind the pooling, those of the two sides that are the same one together, and the names
/// of the candidate's that have no original. Modules are told by their order: each side names their folders as it likes.
pub(crate) fn paired(
    heads: &SentencePair,
    ours: &StageWeights,
    theirs: &StageWeights,
) -> (Vec<StagePair>, Vec<String>) {
    let paths = |modules: &SentenceModules| -> Vec<String> {
        modules.stages.iter().filter_map(|stage| stage.path().map(str::to_owned)).collect()
    };
    let own = paths(&heads.reference);
    let (mut pairs, mut unpaired) = (Vec::new(), Vec::new());
    for (i, other) in paths(&heads.candidate).into_iter().enumerate() {
        for ((_, part), weight) in theirs.iter().filter(|((path, _), _)| *path == other) {
            let original = own.get(i).and_then(|own| Some((own, ours.get(&(own.clone(), part.clone()))?)));
            match original {
                Some((own, original)) => {
                    let name = if own.is_empty() { part.clone() } else { format!("{own}.{part}") };
                    pairs.push((name, Arc::clone(original), Arc::clone(weight)));
                }
                None => unpaired.push(format!("{other}.{part}")),
            }
        }
    }
    (pairs, unpaired)
}

/// Weights of Dense modules that the candidate holds and no file of it mentions: MLX would apply them.
pub(crate) fn unused_dense(folder: &ModelFolder, modules: &SentenceModules, weights: &WeightSet) -> Option<Finding> {
    let dense = modules.stages.iter().filter(|stage| matches!(stage, Stage::Dense(_))).count();
    let held = (0..).take_while(|i| weights.tensors().contains_key(&format!("dense.{i}.weight"))).count();
    (held > dense).then(|| {
        let message = format!(
            "{} holds the weights of {held} Dense modules (`dense.{dense}.weight` …), but the modules that are applied have {dense}: \
             its modules.json is missing or incomplete",
            folder.shown()
        );
        Finding::new(Severity::Refusal, &codes::PREFLIGHT_DENSE_UNUSED, message)
    })
}
