//! `parallax record`.

use parallax::corpus::CorpusOptions;
use parallax::fault::Fault;
use parallax::tools::{RecordRequest, RecordSide, record};

use super::arguments::RecordArguments;
use super::failure::Failure;
use super::progress::Progress;
use super::{product, threads};

pub(super) fn run(a: &RecordArguments) -> Result<u8, Failure> {
    let side = match (&a.reference, &a.candidate) {
        (Some(path), None) => RecordSide::Reference(path.clone()),
        (None, Some(path)) => RecordSide::Candidate(path.clone()),
        _ => return Err(Failure::new(Fault::Usage, "give either --reference or --candidate".to_owned())),
    };
    let request = RecordRequest {
        side,
        corpus: CorpusOptions { files: a.corpus.clone(), limit: a.limit, ..CorpusOptions::default() },
        save: a.save.clone(),
        prompt: a.prompt.clone(),
        prompt_name: a.prompt_name.clone(),
        pooling: a.pooling.mode(),
        dim: a.dim,
        runtime: a.runtime.clone(),
        max_length: a.max_length,
        batch_tokens: a.batch_tokens,
        threads: threads(a.threads),
        weights: a.weights.into(),
        ort_lib: a.ort_lib.clone(),
    };
    let mut progress = Progress::new(a.quiet);
    let summary = record(&request, &mut progress)?;
    drop(progress);
    let (rows, tokens, taps, bytes) = (summary.rows, summary.tokens, summary.taps, summary.bytes);
    product(&format!("{}: {rows} rows, {tokens} tokens, {taps} taps, {bytes} bytes\n", a.save.display()))?;
    Ok(0)
}
