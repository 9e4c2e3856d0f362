//! The flags of `parallax check`, in the groups that `--help` shows.

use std::path::PathBuf;

use clap::Args;

use super::values::{
    Compute, ControlRows, EffectiveWeights, Emulate, OnInvalidUtf8, PolicyName, Pooling, VerdictFormat, positive,
};

const MODELS: &str = "Models";
const CORPUS: &str = "Corpus";
const JUDGING: &str = "Judging";
const OUTPUT: &str = "Output";
const RUNNING: &str = "Running";

const EXAMPLES: &str = "\
Examples:
  # Is the 8-bit conversion still the model that it was made from?
  parallax check --reference models/parallax-mini \\
      --candidate models/parallax-mini-mlx-8bit --corpus models/corpus.txt

  # In a pipeline: a report folder, your own limits, sentences from another program
  zcat corpus.txt.gz | parallax check --reference model.onnx --candidate mlx/ \\
      --corpus - --policy gates.toml --out report/

REF is an .onnx file or a model folder in the Hugging Face layout (model.onnx or
onnx/model.onnx, tokenizer.json, config.json, modules.json; a model.safetensors there is
the float32 original).";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CheckArguments {
    /// The float32 reference: an .onnx file or a model folder
    #[arg(long, value_name = "REF", help_heading = MODELS)]
    pub(crate) reference: PathBuf,
    /// The MLX model to check: a folder with config.json and safetensors
    #[arg(long, value_name = "DIR", help_heading = MODELS)]
    pub(crate) candidate: PathBuf,
    /// The float32 checkpoint that both were made from [default: model.safetensors beside the reference, else the weights in the ONNX file]
    #[arg(long, value_name = "REF", help_heading = MODELS)]
    pub(crate) original: Option<PathBuf>,
    /// The program that runs the candidate, NAME or NAME@VERSION: decides what the candidate's files leave open
    #[arg(long, value_name = "NAME", default_value = parallax::runtimes::known::CANDIDATE, help_heading = MODELS)]
    pub(crate) runtime: String,
    /// Reproduce that program's known deviations from the configuration, instead of only measuring them
    #[arg(long, value_enum, value_name = "WHOM", help_heading = MODELS)]
    pub(crate) emulate: Option<Emulate>,
    /// How to dequantize: as `mx.dequantize` or as `mx.quantized_matmul` does
    #[arg(long, value_enum, value_name = "HOW", default_value_t = EffectiveWeights::Dequantized, help_heading = MODELS)]
    pub(crate) weights: EffectiveWeights,
    /// Predict the error that activations in half precision add, as one more arm
    #[arg(long, value_enum, default_value_t = Compute::F32, help_heading = MODELS)]
    pub(crate) compute: Compute,
    /// Hidden states that another runtime recorded from the candidate's weights (scripts/record_mlx.py), as one more arm
    #[arg(long, value_name = "FILE", help_heading = MODELS)]
    pub(crate) recording: Option<PathBuf>,
    /// State the reference's taps instead of finding them: JSON, {"embeddings": "tensor", "layer.0": "tensor", …, "final": "tensor"}
    #[arg(long, value_name = "FILE", help_heading = MODELS)]
    pub(crate) taps: Option<PathBuf>,
    /// Pooling of both models
    #[arg(long, value_enum, default_value_t = Pooling::Auto, help_heading = MODELS)]
    pub(crate) pooling: Pooling,
    /// Keep so many dimensions of the sentence vectors (matryoshka)
    #[arg(long, value_name = "N", value_parser = positive, help_heading = MODELS)]
    pub(crate) dim: Option<usize>,

    /// Sentences, one per line (.txt) or one JSON object per line (.jsonl); `-` is stdin; can be given several times [default: the built-in sentences]
    #[arg(long, value_name = "FILE", help_heading = CORPUS)]
    pub(crate) corpus: Vec<PathBuf>,
    /// JSON field that holds the text [default: text, sentence, content, query or passage]
    #[arg(long, value_name = "NAME", help_heading = CORPUS)]
    pub(crate) field: Option<String>,
    /// Pairs of sentences with a score (.tsv, .csv, .jsonl: sentence1, sentence2, score): how much of their correlation is lost
    #[arg(long, value_name = "FILE", help_heading = CORPUS)]
    pub(crate) pairs: Option<PathBuf>,
    /// Queries of a search (.jsonl: _id, text): how much of the search is lost
    #[arg(long, value_name = "FILE", requires_all = ["docs", "qrels"], help_heading = CORPUS)]
    pub(crate) queries: Option<PathBuf>,
    /// What is searched (.jsonl: _id, title, text)
    #[arg(long, value_name = "FILE", requires = "queries", help_heading = CORPUS)]
    pub(crate) docs: Option<PathBuf>,
    /// Which document answers which query: query, document, grade
    #[arg(long, value_name = "FILE", requires = "queries", help_heading = CORPUS)]
    pub(crate) qrels: Option<PathBuf>,
    /// Stop after this many rows
    #[arg(long, value_name = "N", help_heading = CORPUS)]
    pub(crate) limit: Option<u64>,
    /// Text to put before every sentence, for both models [default: the models' own default prompt]
    #[arg(long, value_name = "TEXT", conflicts_with = "prompt_name", help_heading = CORPUS)]
    pub(crate) prompt: Option<String>,
    /// Prompt of config_sentence_transformers.json to put before every sentence
    #[arg(long, value_name = "NAME", help_heading = CORPUS)]
    pub(crate) prompt_name: Option<String>,
    /// Most tokens per row, special tokens included [default: as the model's files say]
    #[arg(long, value_name = "N", help_heading = CORPUS)]
    pub(crate) max_length: Option<usize>,
    /// What to do with rows that are not UTF-8
    #[arg(long, value_enum, value_name = "HOW", default_value_t = OnInvalidUtf8::Error, help_heading = CORPUS)]
    pub(crate) invalid_utf8: OnInvalidUtf8,
    /// Longest line accepted, in bytes
    #[arg(long, value_name = "N", default_value_t = parallax::corpus::MAX_LINE_BYTES, hide_short_help = true, help_heading = CORPUS)]
    pub(crate) max_line_bytes: usize,

    /// Limits: a built-in name (`parallax policy list`) or a TOML file [default: standard]
    #[arg(long, value_name = "NAME|FILE", value_parser = PolicyName, hide_possible_values = true, help_heading = JUDGING)]
    pub(crate) policy: Option<String>,
    /// An earlier report.json of the same reference and corpus: shows what is better or worse, and sets `max_regression` limits
    #[arg(long, value_name = "OLD.json", help_heading = JUDGING)]
    pub(crate) baseline: Option<PathBuf>,
    /// Accept an earlier report of a candidate in another format (printed in the verdict)
    #[arg(long, requires = "baseline", help_heading = JUDGING)]
    pub(crate) baseline_other_format: bool,
    /// Rows that the control (the built-in encoder on the float32 weights) also runs on
    #[arg(long, value_enum, default_value_t = ControlRows::Sample, help_heading = JUDGING)]
    pub(crate) control: ControlRows,
    #[command(flatten)]
    pub(crate) sweeps: super::sweeps::SweepArguments,
    /// Accept a reference that is not exact float32 (printed in the verdict)
    #[arg(long, help_heading = JUDGING)]
    pub(crate) allow_inexact_reference: bool,
    /// Accept a graph with nodes that belong to no known block of an encoder (printed in the verdict)
    #[arg(long, help_heading = JUDGING)]
    pub(crate) allow_unaudited: bool,
    /// Do not test the gates with planted faults (printed in the verdict)
    #[arg(long, help_heading = JUDGING)]
    pub(crate) no_canaries: bool,

    /// Write report.json, report.html, report.md and junit.xml into this folder
    #[arg(long, value_name = "DIR", help_heading = OUTPUT)]
    pub(crate) out: Option<PathBuf>,
    /// Write the error at each tap as node data for Model Explorer, which shows it on the ONNX graph
    #[arg(long, value_name = "FILE", help_heading = OUTPUT)]
    pub(crate) node_data: Option<PathBuf>,
    /// What to print on stdout
    #[arg(long, value_enum, default_value_t = VerdictFormat::Text, help_heading = OUTPUT)]
    pub(crate) format: VerdictFormat,
    /// Find the layers and tensors responsible for the error and measure what more bits would gain; print every finding
    #[arg(long, help_heading = OUTPUT)]
    pub(crate) explain: bool,
    /// Say less on stderr
    #[arg(short, long, help_heading = OUTPUT)]
    pub(crate) quiet: bool,

    /// Padded tokens per batch
    #[arg(long, value_name = "N", default_value_t = parallax::sides::BATCH_TOKENS, value_parser = positive, hide_short_help = true, help_heading = RUNNING)]
    pub(crate) batch_tokens: usize,
    /// Threads [default: as many as the machine has cores]
    #[arg(long, value_name = "N", value_parser = positive, help_heading = RUNNING)]
    pub(crate) threads: Option<usize>,
    /// The ONNX Runtime library [default: ORT_DYLIB_PATH, the environment parallax is installed in, VIRTUAL_ENV, CONDA_PREFIX, then where scripts/setup puts it]
    #[arg(long, value_name = "PATH", help_heading = RUNNING)]
    pub(crate) ort_lib: Option<PathBuf>,
}
