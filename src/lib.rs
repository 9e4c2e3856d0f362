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
//! A room uses only the rooms above it (`tests/architecture.rs` holds the house to that).
//!
//! | room | what happens there |
//! |---|---|
//! | `vectors` | plain loops on the machine's widest vectors |
//! | [`memory`] | large pieces of memory on huge pages |
//! | [`panels`] | a weight as the matrix product wants it |
//! | [`hidden_states`] | the vocabulary: taps, arms, rows, ragged states; depends on nothing |
//! | [`fault`], [`figures`], [`finding`], [`observe`] | classes of errors, numbers for people, things noticed, progress |
//! | [`corpus`] | texts in |
//! | [`tokens`] | ids, and batches inside fixed blocks |
//! | [`checkpoint`] | safetensors on disk, configuration, strict access |
//! | [`quantization`] | MLX's packed formats to float32, to the bit |
//! | [`runtimes`] | trait [`Encoder`](runtimes::Encoder): ONNX Runtime with its taps exposed, our own encoder |
//! | [`metrics`] | one pass over a pair of states; summaries that merge exactly |
//! | [`align`] | proof that the same things are compared |
//! | [`weights`] | weight-level error, no inference |
//! | [`policy`] | limits, each with the measurement it rests on |
//! | [`verdict`] | PASS, FAIL or INCONCLUSIVE, and why |
//! | [`report`] | one struct, every format a pure function of it |
//! | [`check`](mod@check) | the pipeline |
//!
//! # How to extend
//!
//! Two traits, [`Encoder`](runtimes::Encoder) and [`Observer`](observe::Observer); everything else is a
//! `const` table: [`FORMATS`](corpus::FORMATS) of corpora, [`MODES`](quantization::MODES) of quantization,
//! [`ARCHITECTURES`](runtimes::native::ARCHITECTURES), [`METRICS`](metrics::METRICS),
//! [`EMBEDDED`](policy::EMBEDDED) policies, [`RENDERERS`](report::RENDERERS). Adding one is a file and a row.
//!
//! The library prints nothing, never exits, and knows no command line.

pub mod align;
pub mod check;
pub mod checkpoint;
pub mod corpus;
mod error;
pub mod fault;
pub mod figures;
pub mod finding;
pub mod hidden_states;
pub mod memory;
pub mod metrics;
pub mod observe;
pub mod panels;
pub mod policy;
pub mod quantization;
pub mod report;
pub mod runtimes;
pub mod tokens;
mod vectors;
pub mod verdict;
pub mod weights;

pub use error::Error;
