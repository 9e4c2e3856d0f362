//! The original's own files, where it lies in a folder of its own (`--original`): a checkpoint is its tensors and what
//! its files say of them. Where these say another model than the reference and the candidate are, neither was made from
//! it, and equal tensors prove nothing.

use super::config_keys;
use super::configs;
use super::request::CheckRequest;
use super::silence::Said;
use super::tokenizers::tokenizers;
use crate::Error;
use crate::checkpoint::{ModelConfig, ModelFolder, SentenceModules, Stage};
use crate::finding::{Finding, Severity, codes};
use crate::report::escape;
use crate::runtimes::native::ops::activation_function;

/// Characters of a value out of a file that a message shows.
const SHOWN: usize = 80;

/// The two sides as they are computed: what the original must say, too.
pub(crate) struct Computed<'a> {
    /// The reference's configuration.
    pub(crate) config: &'a ModelConfig,
    /// What the reference does with a sentence.
    pub(crate) said: &'a Said,
    /// Its tokenizer is held against the original's.
    pub(crate) candidate: &'a ModelFolder,
    /// Tokens per row at most.
    pub(crate) max_length: usize,
}

/// A refusal for everything in which the original is another model.
pub(crate) fn findings(
    request: &CheckRequest,
    original: Option<&ModelFolder>,
    computed: &Computed<'_>,
) -> Result<Vec<Finding>, Error> {
    let Some(folder) = original else { return Ok(Vec::new()) };
    let mut said = configuration(folder, computed.config)?;
    said.extend(sentences(request, folder, computed.said)?);
    said.extend(tokenizer(folder, computed)?);
    let refusal = |what: String| {
        let message = format!(
            "the original {}: {what}; neither side was made from it: give the checkpoint that both come from, or correct its files",
            folder.shown()
        );
        Finding::new(Severity::Refusal, &codes::ORIGINAL_OTHER, message)
    };
    let mut out: Vec<Finding> = said.into_iter().map(refusal).collect();
    out.extend(uncompared(request, folder, computed.said)?);
    Ok(out)
}

/// What of the original was not compared, because it or the reference does not state it.
fn uncompared(request: &CheckRequest, folder: &ModelFolder, said: &Said) -> Result<Option<Finding>, Error> {
    let files = folder.sentence_files()?;
    let tokenizer = folder.exists("tokenizer.json")? && folder.exists("tokenizer_config.json")?;
    let length =
        request.max_length.is_some() || (files.max_seq_length.is_some() && said.files.max_seq_length.is_some());
    let compared = [
        ("configuration", folder.exists("config.json")?),
        ("tokenizer", tokenizer),
        ("pooling", files.modules.is_some()),
        ("modules behind the pooling", files.stages.is_some() && said.files.stages.is_some()),
        ("length limit", length),
    ];
    let open: Vec<&str> = compared.iter().filter(|(_, done)| !done).map(|(what, _)| *what).collect();
    let message = format!(
        "the original {}: its tensors were compared, its {} not, since it or the reference does not state that",
        folder.shown(),
        open.join(", ")
    );
    Ok((!open.is_empty()).then(|| Finding::new(Severity::Warning, &codes::ORIGINAL_UNCOMPARED, message)))
}

fn configuration(folder: &ModelFolder, computed: &ModelConfig) -> Result<Vec<String>, Error> {
    let Some(bytes) = folder.read("config.json")? else { return Ok(Vec::new()) };
    let own = configs::parse(&bytes, &format!("{}/config.json", folder.shown()))?;
    // Rows of tables are compared as tensors; they may be padded.
    let facts = |c: &ModelConfig| {
        let kind = c.model_type.replace('_', "-");
        let act = activation_function(&c.hidden_act).map_or_else(|| c.hidden_act.clone(), str::to_owned);
        [
            ("model_type", kind),
            ("num_hidden_layers", c.num_hidden_layers.to_string()),
            ("hidden_size", c.hidden_size.to_string()),
            ("num_attention_heads", c.num_attention_heads.to_string()),
            ("intermediate_size", c.intermediate_size.to_string()),
            ("hidden_act", act),
            ("layer_norm_eps", format!("{:e}", c.layer_norm_eps)),
        ]
    };
    let pairs = facts(&own).into_iter().zip(facts(computed)).filter(|(a, b)| a != b);
    let mut out: Vec<String> = pairs
        .map(|((name, a), (_, b))| {
            let (a, b) = (escape::plain(&a, SHOWN), escape::plain(&b, SHOWN));
            format!("its config.json says {name} {a}, both sides are computed with {b}")
        })
        .collect();
    let keys = config_keys::findings(Some(&own), computed)?;
    out.extend(keys.iter().filter(|f| f.severity >= Severity::Failure).map(of_original));
    Ok(out)
}

fn sentences(request: &CheckRequest, folder: &ModelFolder, said: &Said) -> Result<Vec<String>, Error> {
    let files = folder.sentence_files()?;
    let mut out = Vec::new();
    let mut differ = |what: &str, own: String, other: String| {
        if own != other {
            let (own, other) = (escape::plain(&own, SHOWN), escape::plain(&other, SHOWN));
            out.push(format!("its files say {what} {own}, the reference has {other}"));
        }
    };
    if let (Some(own), Some(other), None) = (&files.modules, &said.pooling, request.pooling) {
        differ("pooling", own.pooling_name(), SentenceModules::name_of(other));
    }
    // Where the reference states no modules, what its program does in silence is told elsewhere.
    if let (Some(own), Some(other)) = (&files.stages, &said.files.stages) {
        differ("Dense modules", SentenceModules::weighted(own), SentenceModules::weighted(other));
        let normalizes = |stages: &[Stage]| stages.contains(&Stage::Normalize).to_string();
        differ("normalization", normalizes(own), normalizes(other));
    }
    if let (Some(own), Some(other), None) = (files.max_seq_length, said.files.max_seq_length, request.max_length) {
        differ("a length limit of", own.to_string(), other.to_string());
    }
    if let (Some(own), None, None) = (folder.prompts()?, &request.prompt, &request.prompt_name) {
        differ("prompt", format!("{:?}", own.default_text()), format!("{:?}", said.prompt));
    }
    Ok(out)
}

fn tokenizer(folder: &ModelFolder, computed: &Computed<'_>) -> Result<Vec<String>, Error> {
    // Half a tokenizer is none: weights alone are an original, too.
    if !folder.exists("tokenizer.json")? || !folder.exists("tokenizer_config.json")? {
        return Ok(Vec::new());
    }
    let compared = tokenizers(Some(folder), folder.shown(), computed.candidate, computed.max_length)?;
    let grave = compared.findings.iter().filter(|f| f.severity >= Severity::Failure);
    Ok(grave.map(of_original).collect())
}

/// A finding on the reference, told of the original in its place.
fn of_original(finding: &Finding) -> String {
    finding.message.replace("the reference", "the original")
}
