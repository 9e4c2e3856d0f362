//! `parallax check`.

use parallax::check::{self, Earlier};
use parallax::corpus::{CorpusOptions, InvalidUtf8};
use parallax::labels::{LabelFiles, RetrievalFiles};
use parallax::observe::{Event, Observer};
use parallax::policy::Date;
use parallax::report::terminal::verdict_text;
use parallax::report::{OutputDir, Report};
use parallax::sides::{CheckRequest, ControlRows};

use super::arguments::{self, OnInvalidUtf8, VerdictFormat};
use super::check_arguments::CheckArguments;
use super::failure::Failure;
use super::progress::Progress;
use super::render::{place, rendered, saved, write_format};
use super::{color, product, threads};

pub(super) fn run(a: &CheckArguments) -> Result<u8, Failure> {
    let threads = threads(a.threads);
    let request = request(a, threads);
    // Before any work: an output that cannot be written must not cost a run.
    let out = a.out.as_deref().map(OutputDir::probe).transpose().map_err(parallax::Error::from)?;
    a.node_data.as_deref().map(place).transpose()?;
    // The earlier run may lie where this one goes, and a file that is no report is told before any work.
    let earlier = a.baseline.as_deref().map(saved).transpose();
    // Nor may an earlier run's pass stand there if this one does not come to its end.
    if let Some(out) = &out {
        out.retract().map_err(parallax::Error::from)?;
    }
    let earlier = earlier?;
    let mut progress = Progress::new(a.quiet);
    let mut report = check::check(&request, &mut progress)?;
    if let Some(earlier) = &earlier {
        let policy = check::policy_of(&report, Some(&report.provenance.policy.name))
            .map_err(|e| Failure::new(e.fault(), e.to_string()))?;
        let earlier = Earlier { report: earlier, other_format: a.baseline_other_format };
        report = check::recheck(&report, &policy, Date::today(), Some(earlier));
    }
    if let Some(file) = &a.node_data {
        write_format(&report, "model-explorer", file)?;
    }
    if let Some(out) = &out {
        let files = out.write_all(&report).map_err(parallax::Error::from)?;
        let names: Vec<String> = files.iter().map(|f| f.display().to_string()).collect();
        progress.event(Event::Note(&format!("wrote {}", names.join(", "))));
    }
    drop(progress);
    product(&shown(&report, a.format, a.explain)?)?;
    Ok(report.exit_code)
}

/// The product on stdout.
pub(super) fn shown(report: &Report, format: VerdictFormat, explain: bool) -> Result<String, Failure> {
    match format {
        VerdictFormat::Text => Ok(verdict_text(report, color(), explain)),
        VerdictFormat::Github => Ok(verdict_text(report, color(), explain) + &rendered(report, "github")?),
        VerdictFormat::Json => {
            Ok(String::from_utf8_lossy(&report.to_json().map_err(parallax::Error::from)?).into_owned())
        }
    }
}

fn labels(a: &CheckArguments) -> LabelFiles {
    let files = a.queries.as_ref().zip(a.docs.as_ref()).zip(a.qrels.as_ref());
    let retrieval = files.map(|((queries, documents), judgements)| RetrievalFiles {
        queries: queries.clone(),
        documents: documents.clone(),
        judgements: judgements.clone(),
    });
    LabelFiles { pairs: a.pairs.clone(), retrieval }
}

fn request(a: &CheckArguments, threads: usize) -> CheckRequest {
    CheckRequest::new(&a.reference, &a.candidate).with(|r| {
        r.original = a.original.clone();
        r.corpus = CorpusOptions {
            files: a.corpus.clone(),
            field: a.field.clone(),
            invalid_utf8: match a.invalid_utf8 {
                OnInvalidUtf8::Error => InvalidUtf8::Refuse,
                OnInvalidUtf8::Skip => InvalidUtf8::Skip,
                OnInvalidUtf8::Replace => InvalidUtf8::Replace,
            },
            max_line_bytes: a.max_line_bytes,
            limit: a.limit,
        };
        r.labels = labels(a);
        r.policy = a.policy.clone();
        r.control = match a.control {
            arguments::ControlRows::Sample => ControlRows::Sample,
            arguments::ControlRows::All => ControlRows::All,
        };
        r.pooling = a.pooling.mode();
        r.prompt = a.prompt.clone();
        r.prompt_name = a.prompt_name.clone();
        r.dim = a.dim;
        r.max_length = a.max_length;
        r.batch_tokens = a.batch_tokens;
        r.threads = threads;
        r.ort_lib = a.ort_lib.clone();
        r.allow_inexact_reference = a.allow_inexact_reference;
        r.allow_unaudited = a.allow_unaudited;
        r.recording = a.recording.clone();
        r.taps = a.taps.clone();
        r.canaries = !a.no_canaries;
        r.weights = a.weights.into();
        r.compute = a.compute.into();
        r.runtime = a.runtime.clone();
        r.emulate_mlx = a.emulate.is_some();
        r.explain = a.explain;
        r.thorough = a.sweeps.thorough;
        r.cache = a.sweeps.cache();
    })
}
