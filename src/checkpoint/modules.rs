//! Sentence-transformers folders: how tokens become one vector, and how long a text may be.
//!
//! Ported semantics: `modules.json` and `1_Pooling/config.json` of sentence-transformers (both name
//! families, legacy booleans and the newer `pooling_mode`), and the `pooling_config` that
//! mlx-embeddings writes into `config.json`. A module this file does not know is an error: a skipped
//! module gives plausible vectors of the wrong meaning.

use serde_json::{Map, Value};

use super::modules_error::{ModulesError, malformed};
use super::pooling_config::{Pooling, PoolingMode, flag, object, whole};
use super::stages::Stage;

/// What a module of `modules.json` means to us, by the last part of its type.
#[derive(Clone, Copy, PartialEq)]
enum Module {
    Transformer,
    Pooling,
    Normalize,
    Dense,
    LayerNorm,
}

/// Both name families (`sentence_transformers.models.X` and `sentence_transformers.….modules.x.X`)
/// start and end alike.
const MODULE_PREFIX: &str = "sentence_transformers.";
const MODULES: &[(&str, Module)] = &[
    ("Transformer", Module::Transformer),
    ("Pooling", Module::Pooling),
    ("Normalize", Module::Normalize),
    ("Dense", Module::Dense),
    ("LayerNorm", Module::LayerNorm),
];

/// Names sentence-transformers probes for the transformer module's own settings. The first one that says anything
/// wins in version 6 (`Transformer.load_config`), the first one that is there in older ones.
const TRANSFORMER_FILES: &[&str] = &[
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];

/// How a model folder turns token vectors into sentence vectors.
#[derive(Clone, Debug, PartialEq)]
pub struct SentenceModules {
    /// Poolings whose results are concatenated, in this order. Never empty.
    pub pooling: Vec<PoolingMode>,
    /// Width of a token vector as the pooling file states it.
    pub dimension: Option<usize>,
    /// False when the prompt's tokens are left out of the pooling (INSTRUCTOR).
    pub include_prompt: bool,
    /// What follows the pooling, in this order.
    pub stages: Vec<Stage>,
    /// Longest row in tokens, special tokens included, where the folder states it.
    pub max_seq_length: Option<usize>,
    /// True when texts are lower-cased before they are tokenized.
    pub do_lower_case: bool,
    /// The file that states the pooling; none when the caller chose it.
    pub stated_in: Option<String>,
}

impl SentenceModules {
    /// One pooling chosen by the caller, nothing else.
    pub fn of(pooling: PoolingMode) -> Self {
        Self {
            pooling: vec![pooling],
            dimension: None,
            include_prompt: true,
            stages: Vec::new(),
            max_seq_length: None,
            do_lower_case: false,
            stated_in: None,
        }
    }

    /// Whether an L2 normalization is among the stages.
    pub fn normalize(&self) -> bool {
        self.stages.contains(&Stage::Normalize)
    }

    /// The stages that have weights, in words; `none` without.
    pub fn weighted_stages(&self) -> String {
        Self::weighted(&self.stages)
    }

    /// Those of `stages` that have weights, in words; `none` without.
    pub fn weighted(stages: &[Stage]) -> String {
        let weighted: Vec<_> = stages.iter().filter(|s| s.path().is_some()).map(Stage::to_string).collect();
        if weighted.is_empty() { "none".to_owned() } else { weighted.join("; ") }
    }

    /// Poolings as one word: `mean`, `cls+max`.
    pub fn pooling_name(&self) -> String {
        Self::name_of(&self.pooling)
    }

    /// Poolings as one word.
    pub fn name_of(modes: &[PoolingMode]) -> String {
        modes.iter().map(PoolingMode::to_string).collect::<Vec<_>>().join("+")
    }

    /// Reads a model folder through `read`, which gives a file's bytes by its name within the folder
    /// (forward slashes), or none where there is no such file.
    ///
    /// None when nothing states a pooling: a plain encoder, or an MLX folder whose converter left
    /// `1_Pooling/` behind. The pooling is stated by the Pooling module's file and by `pooling_config`
    /// in `config.json`; if both are there they must agree.
    pub fn read<E: From<ModulesError>>(read: impl Fn(&str) -> Result<Option<Vec<u8>>, E>) -> Result<Option<Self>, E> {
        Ok(SentenceFiles::read(read)?.modules)
    }
}

/// What a model folder's files say of sentences, each part by itself: one may be stated where another is not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SentenceFiles {
    /// Everything, where a pooling is stated.
    pub modules: Option<SentenceModules>,
    /// What `modules.json` lists behind the pooling; none without that file, or where a module's own file is missing
    /// and no pooling is stated.
    pub stages: Option<Vec<Stage>>,
    /// Longest row in tokens, special tokens included.
    pub max_seq_length: Option<usize>,
}

impl SentenceFiles {
    /// Reads a model folder as [`SentenceModules::read`] does.
    pub fn read<E: From<ModulesError>>(read: impl Fn(&str) -> Result<Option<Vec<u8>>, E>) -> Result<Self, E> {
        let (layout, listed) = match object_or_list(&read, "modules.json")? {
            Some(value) => (Layout::parse(&value)?, true),
            None => (Layout::default(), false),
        };
        let pooling = pooling(&read, &layout)?;
        let mut stages = Some(Vec::new()).filter(|_| listed);
        for (module, path) in &layout.behind {
            let file = join(path, "config.json");
            let parse: fn(&str, &Value, &str) -> Result<Stage, ModulesError> = match module {
                Module::Dense => Stage::dense,
                Module::LayerNorm => Stage::layer_norm,
                _ => {
                    if let Some(value) = object_or_list(&read, &file)? {
                        plain_normalize(&value, &file)?;
                    }
                    stages.iter_mut().for_each(|s| s.push(Stage::Normalize));
                    continue;
                }
            };
            match object_or_list(&read, &file)? {
                Some(value) => {
                    let stage = parse(path, &value, &file)?;
                    stages.iter_mut().for_each(|s| s.push(stage.clone()));
                }
                // MLX's converter copies modules.json and none of the folders it names.
                None if pooling.is_none() => stages = None,
                None => return Err(E::from(malformed(&file, "is missing, but modules.json lists the module"))),
            }
        }
        let (mut max_seq_length, mut do_lower_case) = (None, false);
        if let Some((file, map)) = transformer_file(&read)? {
            max_seq_length = whole(&map, "max_seq_length", &file)?;
            do_lower_case = flag(&map, "do_lower_case", &file)?.unwrap_or(false);
        }
        let modules = pooling.map(|pooling| SentenceModules {
            pooling: pooling.modes,
            dimension: pooling.dimension,
            include_prompt: pooling.include_prompt,
            stages: stages.clone().unwrap_or_default(),
            max_seq_length,
            do_lower_case,
            stated_in: Some(pooling.file),
        });
        Ok(Self { modules, stages, max_seq_length })
    }
}

/// Normalize of the sentence vector in place, the only one that is computed; sentence-transformers 6 writes that down.
fn plain_normalize(value: &Value, file: &str) -> Result<(), ModulesError> {
    const NAMES: &[&str] = &["module_input_name", "module_output_name"];
    let plain = |(key, value): (&String, &Value)| NAMES.contains(&key.as_str()) && value == "sentence_embedding";
    match value.as_object() {
        Some(map) if map.iter().all(plain) => Ok(()),
        _ => Err(malformed(file, "a Normalize module can only take the sentence embedding and give it back")),
    }
}

/// The pooling that the folder states, wherever it does.
fn pooling<E: From<ModulesError>>(
    read: &impl Fn(&str) -> Result<Option<Vec<u8>>, E>,
    layout: &Layout,
) -> Result<Option<Pooling>, E> {
    let stated = match object_or_list(read, &layout.pooling_file)? {
        Some(value) => Some(Pooling::parse(&value, &layout.pooling_file)?),
        None => None,
    };
    let embedded = match object_or_list(read, "config.json")? {
        Some(value) => match value.get("pooling_config") {
            Some(inner) => Some(Pooling::parse(inner, "config.json: pooling_config")?),
            None => None,
        },
        None => None,
    };
    let pooling = match (stated, embedded) {
        (Some(a), Some(b)) if a.modes != b.modes => {
            return Err(E::from(ModulesError::Contradiction {
                found: a.names(),
                file: a.file,
                other_found: b.names(),
                other: b.file,
            }));
        }
        (Some(a), _) => Some(a),
        (None, b) => b,
    };
    match &pooling {
        Some(p) if !p.include_prompt && p.modes.contains(&PoolingMode::WeightedMean) => {
            Err(E::from(malformed(&p.file, "weightedmean without the prompt's tokens is not supported")))
        }
        _ => Ok(pooling),
    }
}

/// A file, and what it says.
pub(super) type Settings = (String, Map<String, Value>);

/// The transformer module's own settings (`sentence_bert_config.json` or an older name), none where there are none.
pub(super) fn sentence_config<E: From<ModulesError>>(
    read: impl Fn(&str) -> Result<Option<Vec<u8>>, E>,
) -> Result<Option<Settings>, E> {
    // A list that names another folder is refused whoever asks.
    object_or_list(&read, "modules.json")?.map(|value| Layout::parse(&value)).transpose()?;
    transformer_file(&read)
}

/// The same, where the modules have been read.
fn transformer_file<E: From<ModulesError>>(
    read: &impl Fn(&str) -> Result<Option<Vec<u8>>, E>,
) -> Result<Option<Settings>, E> {
    let mut empty: Option<String> = None;
    for name in TRANSFORMER_FILES {
        let file = (*name).to_owned();
        let Some(value) = object_or_list(read, &file)? else { continue };
        let stated = object(&value, &file)?;
        match (&empty, stated.is_empty()) {
            (None, false) => return Ok(Some((file, stated.clone()))),
            (None, true) => empty = Some(file),
            (Some(first), false) => {
                let message = format!(
                    "is empty, and {file} is not: sentence-transformers 6 obeys the second, older versions the first; keep one of them"
                );
                return Err(malformed(first, message).into());
            }
            (Some(_), true) => {}
        }
    }
    Ok(empty.map(|file| (file, Map::new())))
}

/// What `modules.json` says about the order of things.
struct Layout {
    pooling_file: String,
    /// What follows the pooling, and its folder.
    behind: Vec<(Module, String)>,
}

impl Default for Layout {
    fn default() -> Self {
        Self { pooling_file: "1_Pooling/config.json".to_owned(), behind: Vec::new() }
    }
}

impl Layout {
    fn parse(value: &Value) -> Result<Self, ModulesError> {
        let file = "modules.json";
        let list = value.as_array().ok_or_else(|| malformed(file, "a list of modules expected"))?;
        let mut layout = Self::default();
        let (mut seen, mut transformer, mut names) = (Vec::new(), "", Vec::new());
        for (index, entry) in list.iter().enumerate() {
            let text = |key: &str| entry.get(key).and_then(Value::as_str);
            let kind = text("type").ok_or_else(|| malformed(file, format!("module {index} has no `type`")))?;
            let class = kind.strip_prefix(MODULE_PREFIX).and_then(|rest| rest.rsplit('.').next());
            let module = MODULES.iter().find(|(name, _)| Some(*name) == class).map(|(_, m)| *m);
            // sentence-transformers keeps modules by name: the later one would take the earlier one's place.
            let name = entry.get("name").filter(|name| !name.is_null()).map(Value::to_string);
            if name.as_ref().is_some_and(|name| names.contains(name)) {
                return Err(malformed(file, format!("module {index} has the `name` of another")));
            }
            names.extend(name);
            let path = text("path").unwrap_or_default().trim_end_matches('/');
            if !is_inside(path) {
                return Err(malformed(file, format!("module {index} points outside the model folder")));
            }
            match module {
                None => {
                    return Err(ModulesError::Unsupported { index, kind: kind.escape_default().take(120).collect() });
                }
                Some(Module::Transformer) => transformer = path,
                Some(Module::Pooling) => layout.pooling_file = join(path, "config.json"),
                Some(other) => layout.behind.push((other, path.to_owned())),
            }
            seen.extend(module);
        }
        // One transformer, one pooling, then whatever works on one vector.
        let ordered = seen.len() >= 2
            && seen[0] == Module::Transformer
            && seen[1] == Module::Pooling
            && !seen[2..].iter().any(|m| [Module::Transformer, Module::Pooling].contains(m));
        if !ordered {
            return Err(malformed(file, "expected a Transformer, then a Pooling, then Dense, LayerNorm or Normalize"));
        }
        match transformer {
            "" => Ok(layout),
            path => Err(ModulesError::Elsewhere { path: path.escape_default().take(120).collect() }),
        }
    }
}

/// Reads a JSON file of the folder, if it is there.
fn object_or_list<E: From<ModulesError>>(
    read: &impl Fn(&str) -> Result<Option<Vec<u8>>, E>,
    file: &str,
) -> Result<Option<Value>, E> {
    let Some(bytes) = read(file)? else { return Ok(None) };
    match serde_json::from_slice(&bytes) {
        Ok(value) => Ok(Some(value)),
        Err(e) => Err(E::from(malformed(file, format!("not JSON: {e}")))),
    }
}

fn join(folder: &str, file: &str) -> String {
    if folder.is_empty() { file.to_owned() } else { format!("{folder}/{file}") }
}

/// True for a relative path that stays below its folder on every operating system.
fn is_inside(path: &str) -> bool {
    path.is_empty()
        || (!path.contains(['\\', ':', '\0'])
            && path.split('/').all(|part| !part.is_empty() && part != "." && part != ".."))
}
