//! The command line: every flag is a field here.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub(crate) use super::values::{
    Compute, ControlRows, EffectiveWeights, Emulate, Format, OnInvalidUtf8, Pooling, VerdictFormat,
};

const EXIT_CODES: &str = "\
Exit codes:
  0  pass: every gate was measured and met
  1  fail: the comparison is valid and a gate was exceeded
  2  usage: bad flags or policy file
  3  inconclusive: not proven comparable, or too little evidence
  4  bad input: malformed, unsafe or contradictory model, tokenizer or corpus
  5  environment: no usable ONNX Runtime, disk full, unwritable output
 70  internal error (a bug in parallax)";

const CHECK_EXAMPLES: &str = "\
Examples:
  # is the 8-bit conversion still the model it was made from?
  parallax check --reference models/parallax-mini \\
      --candidate models/parallax-mini-mlx-8bit --corpus models/corpus.txt

  # in a pipeline: a report folder, your own limits, sentences from another program
  zcat corpus.txt.gz | parallax check --reference model.onnx --candidate mlx/ \\
      --corpus - --policy gates.toml --out report/

REF is an .onnx file or a model folder in the Hugging Face layout (model.onnx or
onnx/model.onnx, tokenizer.json, config.json, modules.json; a model.safetensors there is
the float32 original).";

/// Proves that an MLX-quantized text encoder still says what its float32 ONNX reference says.
#[derive(Debug, Parser)]
#[command(name = "parallax", version, about, after_help = EXIT_CODES, max_term_width = 110, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The gate: compare weights, every hidden state and sentence vectors; say PASS, FAIL or INCONCLUSIVE
    Check(Box<CheckArguments>),
    /// Weight level only, no inference: each float32 matrix against its dequantized twin
    Weights(WeightsArguments),
    /// Show what is in an ONNX file or model folder: taps and their evidence, quantization per tensor
    Inspect(InspectArguments),
    /// Save one side's hidden states over a corpus, to be compared elsewhere or later (check --recording)
    Record(RecordArguments),
    /// Write another format from a saved report.json, without running anything
    Render(RenderArguments),
    /// Print the JSON Schema of report.json
    Schema,
    /// Judge a saved report.json by other limits, without running anything
    Recheck(RecheckArguments),
    /// List, show or validate policies (the limits a verdict rests on)
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Structure only, nothing is run: whether model folders hold whole models that a check can open
    Lint(super::lint::LintArguments),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man(super::shell::ManArguments),
}

#[derive(Debug, Args)]
#[command(after_help = CHECK_EXAMPLES)]
pub(crate) struct CheckArguments {
    /// The float32 reference: an .onnx file or a model folder
    #[arg(long, value_name = "REF")]
    pub(crate) reference: PathBuf,
    /// The MLX checkpoint under test: a folder with config.json and safetensors
    #[arg(long, value_name = "DIR")]
    pub(crate) candidate: PathBuf,
    /// Sentences, one per line (.txt) or one JSON object per line (.jsonl); `-` is stdin; may be given several times.
    /// Without it the built-in probe sentences are the corpus
    #[arg(long, value_name = "FILE")]
    pub(crate) corpus: Vec<PathBuf>,
    /// The float32 checkpoint both exports came from [default: model.safetensors beside the reference, else the ONNX file's own weights]
    #[arg(long, value_name = "REF")]
    pub(crate) original: Option<PathBuf>,
    /// Limits: a built-in name (see `parallax policy list`) or a TOML file [default: by the candidate's bits]
    #[arg(long, value_name = "NAME|FILE")]
    pub(crate) policy: Option<String>,
    /// An earlier report.json of the same reference and corpus: says what became better or worse, and sets `max_regression` limits
    #[arg(long, value_name = "OLD.json")]
    pub(crate) baseline: Option<PathBuf>,
    /// Let the earlier run's candidate be stored in another format (bits, group, mode, type; printed in the verdict)
    #[arg(long, requires = "baseline")]
    pub(crate) baseline_other_format: bool,
    /// Write report.json, report.html, report.md and junit.xml into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Write the error at each tap as node data for Model Explorer, which shows it on the ONNX graph
    #[arg(long, value_name = "FILE")]
    pub(crate) node_data: Option<PathBuf>,
    /// What to print on stdout
    #[arg(long, value_enum, default_value_t = VerdictFormat::Text)]
    pub(crate) format: VerdictFormat,
    /// Rows the control (our encoder on float32 weights) also runs on
    #[arg(long, value_enum, default_value_t = ControlRows::Sample)]
    pub(crate) control: ControlRows,
    /// Pooling on both sides
    #[arg(long, value_enum, default_value_t = Pooling::Auto)]
    pub(crate) pooling: Pooling,
    /// Text put before every sentence, on both sides [default: the models' own default prompt]
    #[arg(long, value_name = "TEXT", conflicts_with = "prompt_name")]
    pub(crate) prompt: Option<String>,
    /// Prompt of config_sentence_transformers.json that is put before every sentence
    #[arg(long, value_name = "NAME")]
    pub(crate) prompt_name: Option<String>,
    /// Keep so many dimensions of the sentence vectors (matryoshka)
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) dim: Option<usize>,
    /// Tokens per row at most, special tokens included [default: as the model's files say]
    #[arg(long, value_name = "N")]
    pub(crate) max_length: Option<usize>,
    /// JSON field that holds the text [default: text, sentence, content, query or passage]
    #[arg(long, value_name = "NAME")]
    pub(crate) field: Option<String>,
    /// Stop after this many rows
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// Rows that are not UTF-8
    #[arg(long, value_enum, value_name = "HOW", default_value_t = OnInvalidUtf8::Error)]
    pub(crate) invalid_utf8: OnInvalidUtf8,
    /// Longest line accepted, in bytes
    #[arg(long, value_name = "N", default_value_t = parallax::corpus::MAX_LINE_BYTES, hide_short_help = true)]
    pub(crate) max_line_bytes: usize,
    /// Padded tokens per batch
    #[arg(long, value_name = "N", default_value_t = parallax::check::BATCH_TOKENS, value_parser = positive, hide_short_help = true)]
    pub(crate) batch_tokens: usize,
    /// Threads [default: as many as the machine has cores]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) threads: Option<usize>,
    /// The ONNX Runtime library [default: ORT_DYLIB_PATH, the environment parallax is installed in, VIRTUAL_ENV, CONDA_PREFIX, then where scripts/setup puts it]
    #[arg(long, value_name = "PATH")]
    pub(crate) ort_lib: Option<PathBuf>,
    /// Judge against a reference that is not exact float32 (printed in the verdict)
    #[arg(long)]
    pub(crate) allow_inexact_reference: bool,
    /// Judge against a graph with nodes that belong to no known block of an encoder (printed in the verdict)
    #[arg(long)]
    pub(crate) allow_unaudited: bool,
    /// Hidden states another runtime recorded on the candidate's weights (scripts/record_mlx.py, parallax record): one more arm
    #[arg(long, value_name = "FILE")]
    pub(crate) recording: Option<PathBuf>,
    /// State the reference's taps instead of finding them: JSON, {"embeddings": "tensor", "layer.0": "tensor", …, "final": "tensor"}
    #[arg(long, value_name = "FILE")]
    pub(crate) taps: Option<PathBuf>,
    /// Which of its two values a quantized weight of the candidate gets
    #[arg(long, value_enum, value_name = "HOW", default_value_t = EffectiveWeights::Dequantized)]
    pub(crate) weights: EffectiveWeights,
    /// What a device would hold its activations in: half precision adds an arm that predicts the error it adds
    #[arg(long, value_enum, default_value_t = Compute::F32)]
    pub(crate) compute: Compute,
    /// The program that runs the candidate, NAME or NAME@VERSION: what it does where the candidate's files say nothing
    #[arg(long, value_name = "NAME", default_value = parallax::runtimes::known::CANDIDATE)]
    pub(crate) runtime: String,
    /// Compute the candidate as --runtime does where it departs from the configuration; without it the configuration is
    /// followed, and what the departure amounts to is measured and said
    #[arg(long, value_enum, value_name = "WHOM")]
    pub(crate) emulate: Option<Emulate>,
    /// Plant no faults to see that the gates see them (printed in the verdict)
    #[arg(long)]
    pub(crate) no_canaries: bool,
    #[command(flatten)]
    pub(crate) sweeps: super::sweeps::SweepArguments,
    /// Show every tap, every reason, every finding, and what each exceeded limit rests on
    #[arg(long)]
    pub(crate) explain: bool,
    /// Say less on stderr
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct WeightsArguments {
    /// The float32 weights: a model folder with model.safetensors, or an .onnx file
    #[arg(long, value_name = "REF")]
    pub(crate) original: PathBuf,
    /// The MLX checkpoint under test
    #[arg(long, value_name = "DIR")]
    pub(crate) candidate: PathBuf,
    /// What to print on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// Which of its two values a quantized weight gets
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
    /// Record our encoder on this MLX checkpoint
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
    /// Text put before every sentence [default: the model's own default prompt]
    #[arg(long, value_name = "TEXT")]
    pub(crate) prompt: Option<String>,
    /// Tokens per row at most, special tokens included [default: as the model's files say]
    #[arg(long, value_name = "N")]
    pub(crate) max_length: Option<usize>,
    /// Padded tokens per batch
    #[arg(long, value_name = "N", default_value_t = parallax::check::BATCH_TOKENS, value_parser = positive, hide_short_help = true)]
    pub(crate) batch_tokens: usize,
    /// Threads [default: as many as the machine has cores]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) threads: Option<usize>,
    /// Which of its two values a quantized weight of the candidate gets
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
    /// Limits: a built-in name (see `parallax policy list`) or a TOML file [default: the built-in policy the report names]
    #[arg(long, value_name = "NAME|FILE")]
    pub(crate) policy: Option<String>,
    /// An earlier report.json of the same reference and corpus: says what became better or worse, and sets `max_regression` limits
    #[arg(long, value_name = "OLD.json")]
    pub(crate) baseline: Option<PathBuf>,
    /// Let the earlier run's candidate be stored in another format (bits, group, mode, type; printed in the verdict)
    #[arg(long, requires = "baseline")]
    pub(crate) baseline_other_format: bool,
    /// Write report.json, report.md and junit.xml into this folder
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

impl From<EffectiveWeights> for parallax::quantization::Effective {
    fn from(weights: EffectiveWeights) -> Self {
        match weights {
            EffectiveWeights::Dequantized => Self::Dequantized,
            EffectiveWeights::Matmul => Self::Matmul,
        }
    }
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(n) if n <= 1 << 24 => Ok(n),
        Ok(_) => Err("is too large".to_owned()),
        Err(_) => Err("is not a number".to_owned()),
    }
}
