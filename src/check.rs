//! The pipeline: corpus → tokens → three runs → aligned rows → metrics → verdict → report.
//!
//! [`check`] opens both models; [`compare`] runs whatever [`Sides`] it is given, so that a test can put
//! a faulty encoder in the place of a good one and see that the verdict is not a pass.

mod causes;
mod evidence;
mod explain;
mod growth;
mod labelled;
mod limits;
mod noticed;
mod recheck;
mod regression;
mod stream;
mod worth;
mod write_up;

pub use recheck::{RecheckError, contradiction, policy_of, recheck};
pub use regression::Earlier;

use std::time::SystemTime;

use crate::Error;
use crate::corpus::Corpus;
use crate::labels::Labels;
use crate::observe::{Event, Observer};
use crate::policy::Date;
use crate::proof::{
    canaries, coverage, cross, deviation, distinct, half_precision, on_corpus, output_error, outputs, over_twin, probe,
    sweep,
};
use crate::report::Report;
use crate::rows::workers::Workers;
use crate::runtimes::Encoder;
use crate::sides::{CheckRequest, Sides, open_sides};
use crate::weights;

/// Runs the whole gate: opens both models, compares them, judges.
///
/// # Errors
/// Whatever stops a run before a verdict; [`Error::fault`] says which exit code that is. A threshold
/// missed, a NaN, a tap that does not match are no errors: they are in the report.
pub fn check(request: &CheckRequest, observer: &mut dyn Observer) -> Result<Report, Error> {
    let mut sides = open(request, observer)?;
    compare(&mut sides, request, observer)
}

/// Both sides; what can be known without them, first: a policy or a corpus that is not there must not cost a run.
fn open(request: &CheckRequest, observer: &mut dyn Observer) -> Result<Sides, Error> {
    request.limits()?;
    Corpus::open(request.corpus.clone())?;
    Labels::read(&request.labels)?;
    open_sides(request, observer)
}

/// The same gate on an encoder of the caller's own: `candidate` gets the built-in encoder on the candidate's weights,
/// and gives the one that is judged in its place, which may or may not be built on it. It must report the same taps.
/// Weights, files and tokenizers are the folder's, as in [`check`].
///
/// # Errors
/// As [`check`].
pub fn check_encoder(
    request: &CheckRequest,
    observer: &mut dyn Observer,
    candidate: impl FnOnce(Box<dyn Encoder>) -> Box<dyn Encoder>,
) -> Result<Report, Error> {
    let mut sides = open(request, observer)?;
    sides.candidate = candidate(sides.candidate);
    sides.foreign = true;
    compare(&mut sides, request, observer)
}

/// Compares two opened sides and judges.
///
/// # Errors
/// As [`check`].
pub fn compare(sides: &mut Sides, request: &CheckRequest, observer: &mut dyn Observer) -> Result<Report, Error> {
    let started = SystemTime::now();
    let policy = request.limits()?;
    let labels = Labels::read(&request.labels)?;
    let workers = Workers::new()?;

    observer.event(Event::Phase("comparing weights"));
    let (original, candidate) = sides.compared_weights()?;
    let mut weights = weights::compare(&original, &candidate)?;
    let heads = Some(sides.facts.control_config.num_attention_heads);
    weights.equivalents = weights::equivalents(&original, &candidate, &weights, heads);
    let mut findings = sides.facts.findings.clone();
    findings.extend(weights::findings(&original, &candidate, &weights, &|tensor, row| sides.row_name(tensor, row)));
    findings.extend(sides.without_original(&weights));

    observer.event(Event::Phase("proving alignment on the built-in probes"));
    let mut probed = probe::run(sides, request, &workers)?;
    findings.extend(probed.findings());

    observer.event(Event::Phase("sweeping the reference over its vocabulary, lengths and batch sizes"));
    let mut swept = sweep::run(sides, request, &workers, &probed.explaining)?;
    findings.append(&mut swept.findings);
    probed.outputs.absorb(std::mem::take(&mut swept.outputs));
    observer.event(Event::Phase("comparing the candidate with an honest conversion"));
    let twin = over_twin::Twin::build(sides, &weights)?;
    let mut beside_twin = over_twin::measure(&twin, &workers, &probed.judged)?;
    findings.extend(over_twin::findings(&beside_twin));
    findings.extend(cross::findings(sides, &probed, &twin)?);
    let (words, lost) = sweep::words::over_twin(sides, &workers, &weights, &twin)?;
    beside_twin.words = words;
    findings.extend(lost);
    let (unexplained, told) = output_error::judge(sides, &probed.judged, &weights)?;
    findings.extend(unexplained);
    weights::judge_outputs(&mut weights, &told);
    findings.extend(weights::other_quantizers(&weights, true));
    findings.extend(weights::free_choices(&weights));

    observer.event(Event::Phase("comparing hidden states"));
    let recording = sides.recording.take();
    let beside = on_corpus::OnCorpus::new(sides, request, &twin, &weights);
    let streamed = stream::run(sides, request, &workers, &probed, (&beside, recording), observer)?;
    findings.extend(streamed.findings());
    findings.extend(noticed::cut_elsewhere(&sides.facts, &streamed));

    let mut measured = evidence::gather(probed, streamed, weights, beside_twin, swept)?;
    findings.extend(coverage::findings(&measured.coverage(sides.facts.max_length)));
    findings.extend(distinct::findings(&measured.measurements, &measured.weights));
    findings.extend(half_precision::findings(&measured.measurements));

    if labels.sources().next().is_some() {
        observer.event(Event::Phase("scoring both sides on the labels"));
    }
    let (scored, told) = labelled::measure(sides, request, &workers, &labels)?;
    measured.labels = scored;
    findings.extend(told);

    let (said, declared) = outputs::explain(&measured.outputs, &measured.explaining, sides)?;
    measured.declared = declared;
    findings.extend(said);

    observer.event(Event::Phase("testing the gates with planted faults"));
    if let Some(sample) = &measured.sample {
        findings.extend(deviation::findings(sides, request, sample, &measured.scales)?);
        findings.extend(deviation::overflow(sides, request, sample)?);
    }
    worth::measure(sides, &workers, request.canaries, &mut measured, &twin)?;
    let mut report = write_up::report(sides, request, &measured, started);
    let policy = policy.in_force(&report.terms());
    limits::decide(&policy, &mut report, findings, Date::of(started));
    if let Some(sample) = &measured.sample {
        canaries::measure_codes(sides, sample, &measured.scales, &mut report.alignment.canaries)?;
    }
    let mut explanation = growth::explain(&report.measurements);
    causes::name(&mut explanation, &report.findings, &report.weights, sides.facts.graph_audit.weights.as_ref());
    if request.explain {
        observer.event(Event::Phase("measuring what more bits would gain"));
        let advise = !causes::is_defect(&report.findings);
        explain::measure(sides, request, &measured.corpus.kept, &measured.scales, advise, &mut explanation)?;
    }
    report.explanation = explanation;
    report.provenance.run.seconds = started.elapsed().map_or(0.0, |d| d.as_secs_f64());
    Ok(report)
}
