//! What follows each encoder, what is put before each sentence, and what had to be assumed of either.

use std::sync::Arc;

use super::CheckRequest;
use crate::Error;
use crate::checkpoint::{ModelFolder, PoolingMode, Prompts, SentenceModules, Stage, StageWeights, Weight, WeightSet};
use crate::finding::{Finding, Severity};
use crate::tokens::TokenizerPair;

/// What both sides' files say, and what is done.
pub(super) struct Heads {
    pub(super) reference: SentenceModules,
    pub(super) candidate: SentenceModules,
    /// What each side's files say; none where they say nothing.
    pub(super) stated: (Option<SentenceModules>, Option<SentenceModules>),
    /// What each side puts before a sentence; none where its files say nothing.
    pub(super) prompts: (Option<String>, Option<String>),
    /// What is put before every sentence.
    pub(super) prompt: Option<String>,
    pub(super) findings: Vec<Finding>,
}

impl Heads {
    /// As the files say, or as the request overrides them. A side that states nothing takes what the
    /// other states, and a finding says so.
    pub(super) fn read(
        request: &CheckRequest,
        reference: Option<&ModelFolder>,
        candidate: &ModelFolder,
    ) -> Result<Self, Error> {
        let stated =
            (reference.map(ModelFolder::sentence_modules).transpose()?.flatten(), candidate.sentence_modules()?);
        let mut findings = Vec::new();
        let mut warn =
            |message: String| findings.push(Finding::new(Severity::Warning, "preflight.pooling_unstated", message));
        let assumed = || SentenceModules { stages: vec![Stage::Normalize], ..SentenceModules::of(PoolingMode::Mean) };
        let (mut ours, mut theirs) = match &stated {
            (Some(r), Some(c)) => (r.clone(), c.clone()),
            (Some(r), None) => {
                warn(format!(
                    "{} states no pooling; the reference's ({}) is used on both sides",
                    candidate.shown(),
                    r.pooling_name()
                ));
                (r.clone(), r.clone())
            }
            (None, Some(c)) => {
                warn(format!(
                    "the reference states no pooling; the candidate's ({}) is used on both sides",
                    c.pooling_name()
                ));
                (c.clone(), c.clone())
            }
            (None, None) => {
                if request.pooling.is_none() {
                    warn(
                        "neither side states a pooling; mean and Normalize are assumed (--pooling says otherwise)"
                            .to_owned(),
                    );
                }
                (assumed(), assumed())
            }
        };
        for side in [&mut ours, &mut theirs] {
            if let Some(mode) = request.pooling {
                side.pooling = vec![mode];
                side.stated_in = Some("--pooling".to_owned());
            }
            side.stages.extend(request.dim.map(Stage::Truncate));
        }
        let files = (reference.map(ModelFolder::prompts).transpose()?.flatten(), candidate.prompts()?);
        let prompts = (own(request, files.0.as_ref())?, own(request, files.1.as_ref())?);
        if let (Some(name), None, None) = (&request.prompt_name, &prompts.0, &prompts.1) {
            let name: String = name.escape_default().take(40).collect();
            return Err(Error::Usage(format!("--prompt-name {name}: neither model's files state any prompts")));
        }
        let prompt = request.prompt.clone().or_else(|| prompts.0.clone()).or_else(|| prompts.1.clone());
        let prompt = prompt.filter(|p| !p.is_empty());
        Ok(Self { reference: ours, candidate: theirs, stated, prompts, prompt, findings })
    }

    /// Tokens at the beginning of every row that each side leaves out of its pooling: the prompt's own, with what
    /// stands before it (sentence-transformers, `_get_prompt_length`).
    pub(super) fn skipped(&self, tokenizers: &TokenizerPair) -> Result<[usize; 2], Error> {
        let Some(prompt) = &self.prompt else { return Ok([0, 0]) };
        let mut skipped = [0, 0];
        let sides = [(&self.reference, &tokenizers.reference), (&self.candidate, &tokenizers.candidate)];
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
type StagePair = (String, Arc<Weight>, Arc<Weight>);

/// The weights of the modules behind the pooling, those of the two sides that are the same one together, and the names
/// of the candidate's that have no original. Modules are told by their order: each side names their folders as it likes.
pub(super) fn paired(heads: &Heads, ours: &StageWeights, theirs: &StageWeights) -> (Vec<StagePair>, Vec<String>) {
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
pub(super) fn unused_dense(folder: &ModelFolder, modules: &SentenceModules, weights: &WeightSet) -> Option<Finding> {
    let dense = modules.stages.iter().filter(|stage| matches!(stage, Stage::Dense(_))).count();
    let held = (0..).take_while(|i| weights.tensors().contains_key(&format!("dense.{i}.weight"))).count();
    (held > dense).then(|| {
        let message = format!(
            "{} holds the weights of {held} Dense modules (`dense.{dense}.weight` …), but the modules that are applied have {dense}: \
             its modules.json is missing or incomplete",
            folder.shown()
        );
        Finding::new(Severity::Refusal, "preflight.dense_unused", message)
    })
}

/// What one side's files put before a sentence.
fn own(request: &CheckRequest, stated: Option<&Prompts>) -> Result<Option<String>, Error> {
    let Some(prompts) = stated else { return Ok(None) };
    let Some(name) = &request.prompt_name else { return Ok(Some(prompts.default_text().to_owned())) };
    match prompts.by_name.get(name) {
        Some(text) => Ok(Some(text.clone())),
        None => {
            let known: Vec<String> = prompts.by_name.keys().map(|k| k.escape_default().take(40).collect()).collect();
            let name: String = name.escape_default().take(40).collect();
            Err(Error::Usage(format!("--prompt-name {name}: no such prompt; there are {}", known.join(", "))))
        }
    }
}
