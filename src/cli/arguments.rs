//! The command line: every flag is a field here.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub(crate) use super::values::{
    ControlRows, EffectiveWeights, Format, OnInvalidUtf8, PolicyName, Pooling, VerdictFormat, positive,
};

const EXIT_CODES: &str = "\
Exit codes:
  0  pass: faithful and fit
  1  fail: the two sides contradict each other, or a limit is exceeded
  2  usage: bad flags or policy file
  3  inconclusive: not proven comparable, or too little evidence
  4  bad input: one side's files, or the corpus, are malformed, unsafe or contradict themselves
  5  environment: no usable ONNX Runtime, disk full, unwritable output
 70  internal error (a bug in parallax)";

/// Checks that an MLX-quantized text encoder still matches its float32 ONNX original, layer by layer.
#[derive(Debug, Parser)]
#[command(name = "parallax", version, about, after_help = EXIT_CODES, max_term_width = 110, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Compare two models: weights, every hidden state and sentence vectors; say PASS, FAIL or INCONCLUSIVE
    Check(Box<super::check_arguments::CheckArguments>),
    /// Compare weights only, without running a model
    Weights(WeightsArguments),
    /// Show what is in an ONNX file or model folder: taps and why they are there, quantization of each tensor
    Inspect(InspectArguments),
    /// Save the hidden states of one model over a corpus
    Record(RecordArguments),
    /// Write another format of a saved report.json
    Render(RenderArguments),
    /// Print the JSON Schema of report.json
    Schema,
    /// Judge a saved report.json by other limits, without running a model
    Recheck(RecheckArguments),
    /// List, show, suggest or validate policies (lists of limits)
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Check that model folders are complete and consistent, without running a model
    Lint(super::lint::LintArguments),
    /// Explain the code of a finding: what it means and what to do
    Explain(super::explain::ExplainArguments),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man(ManArguments),
}

#[derive(Debug, Args)]
pub(crate) struct WeightsArguments {
    /// The float32 weights: a model folder with model.safetensors, or an .onnx file
    #[arg(long, value_name = "REF")]
    pub(crate) original: PathBuf,
    /// The MLX model to check: a folder with config.json and safetensors
    #[arg(long, value_name = "DIR")]
    pub(crate) candidate: PathBuf,
    /// What to print on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// How to dequantize: as `mx.dequantize` or as `mx.quantized_matmul` does
    #[arg(long, value_enum, value_name = "HOW", default_value_t = EffectiveWeights::Dequantized)]
    pub(crate) weights: EffectiveWeights,
    /// Every tensor, not only the ten worst
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArguments {
    /// An .onnx file, or a model folder
    pub(crate) path: PathBuf,
    /// What to print on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("side").required(true).args(["reference", "candidate"])))]
pub(crate) struct RecordArguments {
    /// Record ONNX Runtime on this reference: an .onnx file or a model folder
    #[arg(long, value_name = "REF")]
    pub(crate) reference: Option<PathBuf>,
    /// Record the built-in encoder on this MLX folder
    #[arg(long, value_name = "DIR")]
    pub(crate) candidate: Option<PathBuf>,
    /// Sentences, as for `parallax check`
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) corpus: Vec<PathBuf>,
    /// Where to write the states (safetensors)
    #[arg(long, value_name = "FILE")]
    pub(crate) save: PathBuf,
    /// Stop after this many rows
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// Text to put before every sentence [default: the model's own default prompt]
    #[arg(long, value_name = "TEXT", conflicts_with = "prompt_name")]
    pub(crate) prompt: Option<String>,
    /// Prompt of config_sentence_transformers.json to put before every sentence
    #[arg(long, value_name = "NAME")]
    pub(crate) prompt_name: Option<String>,
    /// Pooling of the sentence vectors
    #[arg(long, value_enum, default_value_t = Pooling::Auto)]
    pub(crate) pooling: Pooling,
    /// Keep so many dimensions of the sentence vectors (matryoshka)
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) dim: Option<usize>,
    /// The program that runs the candidate, NAME or NAME@VERSION: decides what the candidate's files leave open
    #[arg(long, value_name = "NAME", default_value = parallax::runtimes::known::CANDIDATE)]
    pub(crate) runtime: String,
    /// Most tokens per row, special tokens included [default: as the model's files say]
    #[arg(long, value_name = "N")]
    pub(crate) max_length: Option<usize>,
    /// Padded tokens per batch
    #[arg(long, value_name = "N", default_value_t = parallax::sides::BATCH_TOKENS, value_parser = positive, hide_short_help = true)]
    pub(crate) batch_tokens: usize,
    /// Threads [default: as many as the machine has cores]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) threads: Option<usize>,
    /// How to dequantize: as `mx.dequantize` or as `mx.quantized_matmul` does
    #[arg(long, value_enum, value_name = "HOW", default_value_t = EffectiveWeights::Dequantized)]
    pub(crate) weights: EffectiveWeights,
    /// The ONNX Runtime library [default: as for `parallax check`]
    #[arg(long, value_name = "PATH")]
    pub(crate) ort_lib: Option<PathBuf>,
    /// Say less on stderr
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RenderArguments {
    /// A report.json written by `parallax check --out`
    pub(crate) report: PathBuf,
    /// The format to write
    #[arg(long, value_parser = parallax::report::renderer_names().collect::<Vec<_>>(), default_value = "markdown")]
    pub(crate) to: String,
    /// Where to write it [default: stdout]
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct RecheckArguments {
    /// A report.json written by `parallax check --out`
    pub(crate) report: PathBuf,
    /// Limits: a built-in name (`parallax policy list`) or a TOML file [default: the built-in policy that the report names]
    #[arg(long, value_name = "NAME|FILE", value_parser = PolicyName, hide_possible_values = true)]
    pub(crate) policy: Option<String>,
    /// An earlier report.json of the same reference and corpus: shows what is better or worse, and sets `max_regression` limits
    #[arg(long, value_name = "OLD.json")]
    pub(crate) baseline: Option<PathBuf>,
    /// Accept an earlier report of a candidate in another format (printed in the verdict)
    #[arg(long, requires = "baseline")]
    pub(crate) baseline_other_format: bool,
    /// Write report.json, report.html, report.md and junit.xml into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// What to print on stdout
    #[arg(long, value_enum, default_value_t = VerdictFormat::Text)]
    pub(crate) format: VerdictFormat,
    /// Show every tap, every reason, every finding, and what each exceeded limit rests on
    #[arg(long)]
    pub(crate) explain: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// The built-in policies
    List,
    /// Print one as TOML, to start your own from
    Show {
        /// Its name
        #[arg(value_parser = PolicyName)]
        name: String,
    },
    /// Print a policy made of what a report measured, each limit with where it comes from
    Suggest {
        /// A report.json written by `parallax check --out`
        report: PathBuf,
        /// How many times the measured loss each limit allows
        #[arg(long, value_name = "N", default_value_t = 2.0)]
        margin: f64,
    },
    /// Check a policy file
    Validate {
        /// The file
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ManArguments {
    /// Write the pages of every subcommand into this folder instead
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}
