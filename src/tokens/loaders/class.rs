//! Tokenizer classes of transformers, and what each takes from `tokenizer_config.json`.

/// One class, or several that behave alike.
#[derive(Debug, PartialEq, Eq)]
pub struct Class {
    /// Names, without `Fast`; the first is the one shown.
    pub names: &'static [&'static str],
    /// Default of `do_lower_case`; none for a class that does not obey the key.
    pub lower_case: Option<bool>,
    /// Default of `keep_accents`; none for a class that does not obey the key.
    pub keep_accents: Option<bool>,
    /// Default of `add_prefix_space`; none for a class that does not obey the key.
    pub prefix_space: Option<bool>,
    /// Side that is padded where no file says so.
    pub padding_side: &'static str,
    /// Special tokens where no file names them.
    pub tokens: &'static [(&'static str, &'static str)],
    /// True for classes that build BERT's normalizer, pre-tokenizer and template whatever tokenizer.json says.
    pub builds_bert: bool,
}

const BERT_TOKENS: &[(&str, &str)] = &[
    ("unk_token", "[UNK]"),
    ("sep_token", "[SEP]"),
    ("pad_token", "[PAD]"),
    ("cls_token", "[CLS]"),
    ("mask_token", "[MASK]"),
];
const ROBERTA_TOKENS: &[(&str, &str)] = &[
    ("bos_token", "<s>"),
    ("eos_token", "</s>"),
    ("sep_token", "</s>"),
    ("cls_token", "<s>"),
    ("unk_token", "<unk>"),
    ("pad_token", "<pad>"),
    ("mask_token", "<mask>"),
];
const MPNET_TOKENS: &[(&str, &str)] = &[
    ("bos_token", "<s>"),
    ("eos_token", "</s>"),
    ("sep_token", "</s>"),
    ("cls_token", "<s>"),
    ("unk_token", "[UNK]"),
    ("pad_token", "<pad>"),
    ("mask_token", "<mask>"),
];
const ALBERT_TOKENS: &[(&str, &str)] = &[
    ("bos_token", "[CLS]"),
    ("eos_token", "[SEP]"),
    ("sep_token", "[SEP]"),
    ("cls_token", "[CLS]"),
    ("unk_token", "<unk>"),
    ("pad_token", "<pad>"),
    ("mask_token", "[MASK]"),
];
const QWEN_TOKENS: &[(&str, &str)] =
    &[("unk_token", "<|endoftext|>"), ("eos_token", "<|endoftext|>"), ("pad_token", "<|endoftext|>")];
const GEMMA_TOKENS: &[(&str, &str)] = &[
    ("unk_token", "<unk>"),
    ("bos_token", "<bos>"),
    ("eos_token", "<eos>"),
    ("pad_token", "<pad>"),
    ("mask_token", "<mask>"),
];

/// Takes everything from tokenizer.json.
const GENERIC: Class = Class {
    names: &["TokenizersBackend", "PreTrainedTokenizer", "PythonBackend"],
    lower_case: None,
    keep_accents: None,
    prefix_space: None,
    padding_side: "right",
    tokens: &[],
    builds_bert: false,
};
const BERT: Class = Class {
    names: &["BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer", "MobileBertTokenizer", "ConvBertTokenizer"],
    lower_case: Some(true),
    tokens: BERT_TOKENS,
    builds_bert: true,
    ..GENERIC
};
const ROBERTA: Class =
    Class { names: &["RobertaTokenizer"], prefix_space: Some(false), tokens: ROBERTA_TOKENS, ..GENERIC };

/// The classes that encoders use, the one that takes everything from tokenizer.json first.
pub const CLASSES: &[Class] = &[
    GENERIC,
    BERT,
    Class { names: &["MPNetTokenizer"], tokens: MPNET_TOKENS, ..BERT },
    ROBERTA,
    Class { names: &["XLMRobertaTokenizer"], prefix_space: Some(true), ..ROBERTA },
    Class { names: &["CamembertTokenizer"], prefix_space: Some(true), ..ROBERTA },
    Class {
        names: &["AlbertTokenizer"],
        lower_case: Some(true),
        keep_accents: Some(false),
        prefix_space: Some(true),
        tokens: ALBERT_TOKENS,
        ..GENERIC
    },
    Class { names: &["Qwen2Tokenizer"], prefix_space: Some(false), tokens: QWEN_TOKENS, ..GENERIC },
    Class { names: &["GemmaTokenizer"], padding_side: "left", tokens: GEMMA_TOKENS, ..GENERIC },
];

/// The class transformers registers for a model type (`TOKENIZER_MAPPING_NAMES`).
const REGISTERED: &[(&str, &str)] = &[
    ("albert", "AlbertTokenizer"),
    ("bert", "BertTokenizer"),
    ("camembert", "CamembertTokenizer"),
    ("data2vec-text", "RobertaTokenizer"),
    ("deberta-v2", "DebertaV2Tokenizer"),
    ("distilbert", "BertTokenizer"),
    ("electra", "BertTokenizer"),
    ("gemma3", "GemmaTokenizer"),
    ("gemma3_text", "GemmaTokenizer"),
    ("modernbert", "TokenizersBackend"),
    ("mpnet", "MPNetTokenizer"),
    ("nomic_bert", "BertTokenizer"),
    ("qwen2", "Qwen2Tokenizer"),
    ("qwen3", "Qwen2Tokenizer"),
    ("roberta", "RobertaTokenizer"),
    ("xlm-roberta", "XLMRobertaTokenizer"),
];

/// Model types whose own `tokenizer_class` transformers does not believe (`MODELS_WITH_INCORRECT_HUB_TOKENIZER_CLASS`).
const NOT_BELIEVED: &[&str] = &["modernbert", "qwen2"];

/// The class a loader ends at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    /// Its name, without `Fast`.
    pub(super) name: String,
    /// Its row; none for a class that is not in the table.
    pub(super) class: Option<&'static Class>,
}

fn row(name: &str) -> Option<&'static Class> {
    CLASSES.iter().find(|class| class.names.contains(&name))
}

/// As `AutoTokenizer.from_pretrained` chooses: `tokenizer_class` of tokenizer_config.json, then of config.json, then by
/// `model_type`; a generic class where nothing is known.
pub(super) fn choose(stated: Option<&str>, model_type: Option<&str>) -> Chosen {
    let bare = |name: &str| name.strip_suffix("Fast").unwrap_or(name).to_owned();
    let registered = model_type.and_then(|t| REGISTERED.iter().find(|(name, _)| *name == t)).map(|(_, class)| *class);
    let generic = |name: &str| row(name).is_some_and(|class| std::ptr::eq(class, &raw const CLASSES[0]));
    let name = match (stated.map(bare), registered) {
        (None, None) => GENERIC.names[0].to_owned(),
        (None, Some(registered)) => registered.to_owned(),
        (Some(stated), None) => stated,
        (Some(_), Some(registered)) if generic(registered) => registered.to_owned(),
        (Some(_), Some(registered)) if model_type.is_some_and(|t| NOT_BELIEVED.contains(&t)) => registered.to_owned(),
        (Some(stated), Some(_)) => stated,
    };
    let class = row(&name);
    Chosen { name: class.map_or(name, |class| class.names[0].to_owned()), class }
}
