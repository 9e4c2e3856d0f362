//! Everything that can stop a run before a verdict, gathered from the rooms.

use crate::fault::Fault;

/// What stopped a run. Each variant's own words name the subject and, where there is one, the fix.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant is its room's error, documented there")]
pub enum Error {
    #[error(transparent)]
    Corpus(#[from] crate::corpus::CorpusError),
    #[error(transparent)]
    Label(#[from] crate::labels::LabelError),
    #[error(transparent)]
    Tokenizer(#[from] crate::tokens::TokenizerError),
    #[error(transparent)]
    Checkpoint(#[from] crate::checkpoint::CheckpointError),
    #[error(transparent)]
    Config(#[from] crate::checkpoint::ConfigError),
    #[error(transparent)]
    Pooling(#[from] crate::runtimes::native::PoolingError),
    #[error(transparent)]
    Quantization(#[from] crate::quantization::QuantizationError),
    #[error(transparent)]
    Weights(#[from] crate::weights::WeightsError),
    #[error(transparent)]
    Native(#[from] crate::runtimes::native::NativeError),
    #[error(transparent)]
    Onnx(#[from] crate::runtimes::onnx::OnnxError),
    #[error(transparent)]
    Taps(#[from] crate::runtimes::onnx::TapError),
    #[error(transparent)]
    Stated(#[from] crate::runtimes::onnx::StatedError),
    #[error(transparent)]
    Runtime(#[from] crate::runtimes::onnx::RuntimeError),
    #[error(transparent)]
    Run(#[from] crate::runtimes::RunError),
    #[error(transparent)]
    Recording(#[from] crate::runtimes::recorded::RecordingError),
    #[error(transparent)]
    Align(#[from] crate::align::AlignError),
    #[error(transparent)]
    Metrics(#[from] crate::metrics::MetricsError),
    #[error(transparent)]
    Layout(#[from] crate::hidden_states::LayoutError),
    #[error(transparent)]
    Policy(#[from] crate::policy::PolicyError),
    #[error(transparent)]
    Report(#[from] crate::report::ReportError),
    /// The two sides are not proven comparable.
    #[error("{0}")]
    Incomparable(String),
    /// Flags that cannot be met.
    #[error("{0}")]
    Usage(String),
    /// An input that cannot be used.
    #[error("{0}")]
    BadInput(String),
    /// A machine that does not give what a run needs.
    #[error("{0}")]
    Environment(String),
}

impl Error {
    /// The class of the error: the exit code.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Corpus(e) => e.fault(),
            Self::Label(e) => e.fault(),
            Self::Tokenizer(e) => e.fault(),
            Self::Checkpoint(e) => e.fault(),
            Self::Config(e) => e.fault(),
            Self::Pooling(e) => e.fault(),
            Self::Quantization(e) => e.fault(),
            Self::Weights(e) => e.fault(),
            Self::Native(e) => e.fault(),
            Self::Onnx(e) => e.fault(),
            Self::Taps(e) => e.fault(),
            Self::Stated(e) => e.fault(),
            Self::Runtime(e) => e.fault(),
            Self::Run(_) | Self::BadInput(_) => Fault::BadInput,
            Self::Recording(e) => e.fault(),
            Self::Align(e) => e.fault(),
            Self::Metrics(e) => e.fault(),
            Self::Layout(_) => Fault::Internal,
            Self::Policy(e) => e.fault(),
            Self::Report(e) => e.fault(),
            Self::Usage(_) => Fault::Usage,
            Self::Environment(_) => Fault::Environment,
            Self::Incomparable(_) => Fault::Incomparable,
        }
    }
}
