//! parallax checks that an MLX-quantized text encoder still matches its float32 ONNX original.
//!
//! ```no_run
//! # fn main() -> Result<(), parallax::Error> {
//! let request = parallax::CheckRequest::new("reference", "candidate").corpus(["sentences.txt"]);
//! let report = parallax::check(&request, &mut parallax::Silent)?;
//! println!("{}", report.verdict);
//! # Ok(())
//! # }
//! ```
//!
//! What stands on this page is meant for others: [`check()`] and [`CheckRequest`], [`Report`] and its [`Verdict`],
//! [`Policy`] and [`recheck`], [`check_encoder`] with [`Encoder`] for an encoder of your own, [`Observer`] for progress.
//! Everything else lies behind [`internals`] and can change with any version. `examples/` has three programs.
//!
//! # How it works
//!
//! *Parallax* is the shift you see when one object is looked at from two places. This crate looks at one
//! text encoder from two runtimes and measures the shift, layer by layer; then it says PASS or FAIL, and
//! PASS only with proof.
//!
//! # The question
//!
//! A team exports an encoder twice: to ONNX (float32, for servers) and to MLX (quantized, for Apple
//! devices). Does the quantized one still mean the same, and if not, where does it part company, and why?
//!
//! Three runs answer it. The **reference** is the ONNX file, run by ONNX Runtime. The **candidate** is the
//! MLX checkpoint, dequantized, run by our own encoder. The **control** is our encoder on the float32
//! weights. Their differences come apart cleanly:
//!
//! ```text
//!             engine                quantization
//! reference ◀────────▶ control ◀──────────────────▶ candidate
//!      ◀────────────────────── total ──────────────────▶
//! ```
//!
//! The engine arm measures our encoder and the export. It must be float32 noise at every tap, otherwise
//! the instrument is not to be trusted and the verdict is *inconclusive*. The quantization arm is what
//! the user wants to know.
//!
//! # The arrow
//!
//! Data flows one way, and [`check`](mod@check) is that arrow in code:
//!
//! ```text
//! corpus ─▶ tokens ─▶ runtimes (reference · control · candidate) ─▶ align ─▶ metrics ─▶ verdict ─▶ report
//! ```
//!
//! # The rooms, top to bottom
//!
//! A room uses only the rooms above it (`tests/it/architecture.rs` holds the house to that).
//!
//! | room | what happens there |
//! |---|---|
//! | `vectors` | plain loops on the machine's widest vectors |
//! | [`memory`] | large pieces of memory on huge pages |
//! | [`panels`] | a weight as the matrix product wants it |
//! | [`hidden_states`] | the vocabulary: taps, arms, rows, ragged states; depends on nothing |
//! | [`fault`], [`figures`], [`json_float`], [`spelling`], [`finding`], [`observe`] | classes of errors, numbers for people and in JSON, nearest names, things noticed and their codes, progress |
//! | [`corpus`] | texts in |
//! | [`tokens`] | ids, and batches inside fixed blocks |
//! | [`checkpoint`] | safetensors on disk, configuration, strict access |
//! | [`labels`] | what people said of pairs and of search results |
//! | [`quantization`] | MLX's packed formats to float32, to the bit |
//! | [`runtimes`] | trait [`Encoder`]: ONNX Runtime with its taps exposed, our own encoder |
//! | [`metrics`] | one pass over a pair of states; summaries that merge exactly |
//! | [`align`] | proof that the same things are compared |
//! | [`weights`] | weight-level error, no inference |
//! | [`policy`] | limits, each with the measurement it rests on |
//! | [`verdict`] | PASS, FAIL or INCONCLUSIVE, and why |
//! | [`report`] | one struct, every format a pure function of it |
//! | [`sides`] | both models opened, compared as files, ready to run |
//! | `rows` | batches through every encoder, and what is accumulated of them |
//! | `proof` | why it is the same thing that is compared, and what its judges are worth: one file each |
//! | [`check`](mod@check) | the pipeline |
//! | [`tools`] | `lint`, `inspect`, `record`, `weights`: other commands through the same door |
//!
//! # How to extend
//!
//! Two traits, [`Encoder`] and [`Observer`]; everything else is a
//! `const` table: [`FORMATS`](corpus::FORMATS) of corpora, [`MODES`](quantization::MODES) of quantization,
//! [`ARCHITECTURES`](runtimes::native::ARCHITECTURES), [`METRICS`](metrics::METRICS),
//! [`EMBEDDED`](policy::EMBEDDED) policies, [`RENDERERS`](report::RENDERERS). Adding one is a file and a row.
//!
//! The library prints nothing, never exits, and knows no command line.

#[doc(hidden)]
pub mod align;
#[doc(hidden)]
pub mod check;
#[doc(hidden)]
pub mod checkpoint;
#[doc(hidden)]
pub mod corpus;
mod error;
#[doc(hidden)]
pub mod fault;
#[doc(hidden)]
pub mod figures;
#[doc(hidden)]
pub mod finding;
#[doc(hidden)]
pub mod hidden_states;
#[doc(hidden)]
pub mod json_float;
#[doc(hidden)]
pub mod labels;
#[doc(hidden)]
pub mod memory;
#[doc(hidden)]
pub mod metrics;
#[doc(hidden)]
pub mod observe;
#[doc(hidden)]
pub mod panels;
#[doc(hidden)]
pub mod policy;
mod proof;
#[doc(hidden)]
pub mod quantization;
#[doc(hidden)]
pub mod report;
mod rows;
#[doc(hidden)]
pub mod runtimes;
#[doc(hidden)]
pub mod sides;
#[doc(hidden)]
pub mod spelling;
#[doc(hidden)]
pub mod tokens;
#[doc(hidden)]
pub mod tools;
mod vectors;
#[doc(hidden)]
pub mod verdict;
#[doc(hidden)]
pub mod weights;

pub use crate::sides::request::CheckRequest;
pub use check::{check, check_encoder, recheck};
pub use corpus::CorpusOptions;
pub use error::Error;
pub use fault::Fault;
pub use finding::{Finding, Severity};
pub use hidden_states::{HiddenStates, Tap, TapStates};
pub use observe::{Event, Observer, Silent};
pub use policy::{Date, Policy};
pub use report::Report;
pub use runtimes::{Encoder, RunError};
pub use tokens::TokenBatch;
pub use verdict::Verdict;

/// The rooms of the house, for this crate's own tests and benchmarks. Nothing here is stable.
pub mod internals {
    #[doc(no_inline)]
    pub use crate::{
        align, check, checkpoint, corpus, fault, figures, finding, hidden_states, labels, memory, metrics, observe,
        panels, policy, quantization, report, runtimes, sides, spelling, tokens, tools, verdict, weights,
    };
}
