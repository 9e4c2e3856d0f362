//! What each side does with a sentence. Where its files say nothing, its runtime's own default holds, never what the
//! other side says.

use super::request::CheckRequest;
use crate::Error;
use crate::checkpoint::{
    DenseActivation, DenseModule, ModelConfig, ModelFolder, PoolingMode, Prompts, SentenceFiles, SentenceModules,
    Stage, WeightSet, usable_positions,
};
use crate::finding::{Finding, Severity, codes};
use crate::runtimes::known::KnownRuntime;

/// One side before anything is compared.
pub(crate) struct Silent<'a> {
    /// For people: its folder, or "the reference".
    pub(crate) shown: String,
    pub(crate) folder: Option<&'a ModelFolder>,
    pub(crate) config: &'a ModelConfig,
    pub(crate) runtime: &'static KnownRuntime,
    /// The limit that its tokenizer_config.json states.
    pub(crate) tokenizer: Option<usize>,
    /// Where MLX keeps the weights of Dense modules.
    pub(crate) weights: Option<&'a WeightSet>,
}

/// What one side does with a sentence, by its files and, where they are silent, by its runtime.
pub(crate) struct Said {
    pub(crate) shown: String,
    pub(crate) runtime: &'static KnownRuntime,
    /// As its files say it.
    pub(crate) files: SentenceFiles,
    pub(crate) prompts: Option<Prompts>,
    /// None where nothing says which.
    pub(crate) pooling: Option<Vec<PoolingMode>>,
    /// What its runtime gives where no pooling is known.
    unpooled: String,
    pub(crate) stages: Vec<Stage>,
    pub(crate) prompt: String,
    pub(crate) length: usize,
}

impl Silent<'_> {
    /// Reads the side's files and fills in what its runtime does; `prompt_name` asks for one of its prompts.
    pub(crate) fn said(self, prompt_name: Option<&str>) -> Result<Said, Error> {
        let files = self.folder.map(ModelFolder::sentence_files).transpose()?.unwrap_or_default();
        let prompts = self.folder.map(ModelFolder::prompts).transpose()?.flatten();
        let computes = self.runtime.computes(self.config);
        let own = computes.and_then(|c| c.silent.pooling(self.config)).map(|mode| vec![mode]);
        let pooling = files.modules.as_ref().map(|m| m.pooling.clone()).or(own);
        let unpooled = match computes {
            Some(c) => format!("{} pools nothing there, it gives {}", self.runtime.label(), c.silent.unpooled()),
            None => format!("{} does not compute `{}` models", self.runtime.label(), self.config.model_type),
        };
        let dense = computes.is_some_and(|c| c.dense);
        let stages = files.stages.clone().unwrap_or_else(|| {
            let dense = self.weights.filter(|_| dense).map(dense_modules).unwrap_or_default();
            dense.into_iter().chain(self.runtime.normalizes.then_some(Stage::Normalize)).collect()
        });
        let positions = usable_positions(self.config);
        let length = files.max_seq_length.or(self.tokenizer.map(|n| n.min(positions)));
        Ok(Said {
            length: length.unwrap_or_else(|| self.runtime.longest(positions, None)),
            prompt: named(prompt_name, prompts.as_ref())?,
            shown: self.shown,
            runtime: self.runtime,
            files,
            prompts,
            pooling,
            unpooled,
            stages,
        })
    }
}

/// Dense modules as MLX keeps and applies them: `dense.0.weight`, `dense.1.weight`, …
fn dense_modules(weights: &WeightSet) -> Vec<Stage> {
    let module = |i: usize| match *weights.tensors().get(&format!("dense.{i}.weight"))?.shape {
        [outputs, inputs] => Some(Stage::Dense(DenseModule {
            path: format!("{}_Dense", i + 2),
            inputs,
            outputs,
            bias: false,
            activation: DenseActivation::Identity,
        })),
        _ => None,
    };
    (0..).map_while(module).collect()
}

/// The prompt of a side: the one asked for by name, else its default; empty where its files state none.
fn named(prompt_name: Option<&str>, stated: Option<&Prompts>) -> Result<String, Error> {
    let Some(prompts) = stated else { return Ok(String::new()) };
    let Some(name) = prompt_name else { return Ok(prompts.default_text().to_owned()) };
    prompts.by_name.get(name).cloned().ok_or_else(|| {
        let known: Vec<String> = prompts.by_name.keys().map(|k| k.escape_default().take(40).collect()).collect();
        let name: String = name.escape_default().take(40).collect();
        Error::Usage(format!("--prompt-name {name}: no such prompt; there are {}", known.join(", ")))
    })
}

impl Said {
    /// Its pooling in words, with who says so.
    pub(crate) fn pooling_told(&self) -> String {
        match (&self.pooling, &self.files.modules) {
            (Some(_), Some(stated)) => stated.pooling_name(),
            (Some(modes), None) => format!("{} ({}'s default)", SentenceModules::name_of(modes), self.runtime.label()),
            (None, _) => "none".to_owned(),
        }
    }

    /// Its prompt in words.
    pub(crate) fn prompt_told(&self) -> String {
        if self.prompt.is_empty() { "none".to_owned() } else { format!("{:?}", self.prompt) }
    }

    pub(crate) fn normalize(&self) -> bool {
        self.stages.contains(&Stage::Normalize)
    }

    /// "{folder} states no pooling, and mlx-embeddings 0.1.0 pools mean there"
    fn silence(&self, what: &str, does: &str) -> String {
        format!("{} states no {what}, and {} {does} there", self.shown, self.runtime.label())
    }
}

/// What follows from silence: one finding per difference that no flag settles, and one where the default is the other
/// side's value.
pub(crate) fn findings(request: &CheckRequest, sides: &[Said; 2]) -> Vec<Finding> {
    let mut out = Vec::new();
    if request.pooling.is_none() {
        out.extend(pooling(sides));
    }
    out.extend(stages(sides));
    out.extend(normalization(sides));
    if request.prompt.is_none() {
        out.extend(prompt(request, sides));
    }
    if request.max_length.is_none() {
        out.extend(length(sides));
    }
    out
}

/// The sides whose files leave something out, and the other one of each.
fn silent(sides: &[Said; 2], stated: impl Fn(&Said) -> bool) -> Vec<(&Said, &Said)> {
    let [reference, candidate] = sides;
    [(reference, candidate), (candidate, reference)].into_iter().filter(|(side, _)| !stated(side)).collect()
}

fn pooling(sides: &[Said; 2]) -> Option<Finding> {
    let quiet = silent(sides, |s| s.files.modules.is_some());
    let (side, other) = *quiet.first()?;
    if let Some((side, _)) = quiet.iter().find(|(side, _)| side.pooling.is_none()) {
        let message = format!(
            "{} states no pooling, and {}: its sentence vectors cannot be compared; add 1_Pooling/config.json, or choose \
             the program that runs it with --runtime",
            side.shown, side.unpooled
        );
        return Some(Finding::new(Severity::Refusal, &codes::RUNTIME_POOLING, message));
    }
    let name = |s: &Said| s.pooling.as_deref().map_or_else(String::new, SentenceModules::name_of);
    let (own, others) = (name(side), name(other));
    if own == others {
        let said = match quiet.len() {
            1 => format!("{}, as the files of {} say", side.silence("pooling", &format!("pools {own}")), other.shown),
            _ => format!(
                "neither side states a pooling; {} and {} both pool {own} there (--pooling says otherwise)",
                side.runtime.label(),
                other.runtime.label()
            ),
        };
        return Some(Finding::new(Severity::Warning, &codes::PREFLIGHT_POOLING_UNSTATED, said));
    }
    let message = format!(
        "{}; {} pools {others}. Sentences are other vectors: add 1_Pooling/config.json to {} and use a runtime that \
         reads it (--runtime says which one you use), or say --pooling if callers choose it",
        side.silence("pooling", &format!("pools {own}")),
        other.shown,
        side.shown
    );
    Some(Finding::new(Severity::Failure, &codes::RUNTIME_POOLING, message))
}

/// Modules with weights that one side applies and the other, silent one does not.
fn stages(sides: &[Said; 2]) -> Option<Finding> {
    let (side, other) = *silent(sides, |s| s.files.stages.is_some()).first()?;
    let told = |s: &Said| SentenceModules::weighted(&s.stages);
    (told(side) != told(other)).then(|| {
        let message = format!(
            "{} states no modules behind the pooling, and {} applies {} there; {} applies {}: add modules.json and the \
             folders it names",
            side.shown,
            side.runtime.label(),
            told(side),
            other.shown,
            told(other)
        );
        Finding::new(Severity::Failure, &codes::RUNTIME_MODULES, message)
    })
}

/// Length is no direction: where the reference's files are silent, both sides are compared at unit length.
fn normalization(sides: &[Said; 2]) -> Option<Finding> {
    let quiet = silent(sides, |s| s.files.stages.is_some());
    let (side, other) = *quiet.first()?;
    let does = |s: &Said| if s.normalize() { "scales sentence vectors to unit length" } else { "does not normalize" };
    if side.normalize() == other.normalize() {
        return None;
    }
    let [reference, _] = sides;
    let unsaid = reference.files.stages.is_none();
    let told = side.silence("Normalize module", does(side));
    let (severity, then) = match unsaid {
        true => (Severity::Warning, "both are compared at unit length, which says nothing of dot products"),
        false => (Severity::Failure, "dot products differ; add modules.json to the silent side"),
    };
    let message = format!("{told}; {} {}: {then}", other.shown, does(other));
    Some(Finding::new(severity, &codes::RUNTIME_NORMALIZE, message))
}

fn prompt(request: &CheckRequest, sides: &[Said; 2]) -> Option<Finding> {
    let (side, other) = *silent(sides, |s| s.prompts.is_some()).first()?;
    // A prompt asked for by name is put there by the caller, on both sides.
    (side.prompt != other.prompt && request.prompt_name.is_none()).then(|| {
        let message = format!(
            "{}; {} puts {} before every sentence: add config_sentence_transformers.json to {} and have callers put its \
             prompt there, or say --prompt if they do",
            side.silence("prompt", "puts none"),
            other.shown,
            other.prompt_told(),
            side.shown
        );
        Finding::new(Severity::Failure, &codes::RUNTIME_PROMPT, message)
    })
}

fn length(sides: &[Said; 2]) -> Option<Finding> {
    let (side, other) = *silent(sides, |s| s.files.max_seq_length.is_some()).first()?;
    (side.length != other.length).then(|| {
        let message = format!(
            "{} states no max_seq_length and takes {} tokens per row ({}), {} takes {}: longer rows are other texts; add \
             sentence_bert_config.json to {}, or say --max-length if callers cut them",
            side.shown,
            side.length,
            side.runtime.label(),
            other.shown,
            other.length,
            side.shown
        );
        Finding::new(Severity::Failure, &codes::RUNTIME_MAX_LENGTH, message)
    })
}

/// What the candidate's files state and its runtime does not read.
pub(crate) fn unread(candidate: &Said, config: &ModelConfig, width: Option<usize>) -> Vec<Finding> {
    let (runtime, mut found) = (candidate.runtime, Vec::new());
    let (label, shown) = (runtime.label(), &candidate.shown);
    if runtime.computes(config).is_none() {
        let message = format!(
            "{label} has no model for `{}`: the verdict is for a program that computes {shown} as its files say (--runtime \
             names one that parallax knows)",
            config.model_type
        );
        found.push(Finding::new(Severity::Warning, &codes::RUNTIME_NO_MODEL, message));
        return found;
    }
    if let (Some(stated), false) = (candidate.files.max_seq_length, runtime.reads_length) {
        let (positions, own) = (usable_positions(config), runtime.takes(usable_positions(config)));
        if own != stated {
            let past =
                if own > positions { format!(", past the model's {positions} positions") } else { String::new() };
            let message = format!(
                "{label} does not read what {shown} states: max_seq_length {stated} (it takes {own} tokens unless its caller says otherwise{past})"
            );
            found.push(Finding::new(Severity::Note, &codes::RUNTIME_UNREAD, message));
        }
    }
    if !candidate.prompt.is_empty() && !runtime.reads_prompts_and_width {
        let pooled = candidate.files.modules.as_ref().is_none_or(|m| m.include_prompt);
        let without = if pooled { "" } else { " and leave its tokens out of the pooling" };
        let message = format!(
            "{label} does not read the prompt that {shown} states, {}: these are the vectors of callers who put it before every sentence themselves{without}",
            candidate.prompt_told()
        );
        found.push(Finding::new(Severity::Warning, &codes::RUNTIME_PROMPT_UNREAD, message));
    }
    let weighted = candidate.stages.iter().any(|stage| stage.path().is_some());
    let applied = runtime.reads_modules || runtime.computes(config).is_some_and(|c| c.dense);
    if weighted && !applied {
        let message = format!(
            "{label} does not apply the modules that {shown} states behind the pooling, {}: these are the vectors of callers who apply them themselves",
            SentenceModules::weighted(&candidate.stages)
        );
        found.push(Finding::new(Severity::Warning, &codes::RUNTIME_MODULES_UNREAD, message));
    }
    if let (Some(width), false) = (width, runtime.reads_prompts_and_width) {
        let message = format!(
            "{label} does not read what {shown} states: truncate_dim {width} (it gives all dimensions); these are the vectors of callers who cut them to {width} themselves"
        );
        found.push(Finding::new(Severity::Warning, &codes::RUNTIME_WIDTH_UNREAD, message));
    }
    found
}
