//! A check of the shipped model, with something planted between opening and comparing.

use parallax::check::compare;
use parallax::corpus::CorpusOptions;
use parallax::observe::Silent;
use parallax::report::Report;
use parallax::sides::{CheckRequest, Sides, open_sides};

use super::repository;

/// The shipped original against `candidate`, a folder of `models`, over the first `rows` sentences of its corpus.
pub(crate) fn request(candidate: &str, rows: u64) -> CheckRequest {
    let corpus =
        CorpusOptions { files: vec![repository("models/corpus.txt")], limit: Some(rows), ..CorpusOptions::default() };
    CheckRequest::new(repository("models/parallax-mini"), repository("models").join(candidate))
        .with(|r| r.corpus = corpus)
}

/// Opens both sides, plants, compares.
pub(crate) fn judged(request: &CheckRequest, plant: impl FnOnce(&mut Sides)) -> Report {
    let mut sides = open_sides(request, &mut Silent).unwrap();
    plant(&mut sides);
    compare(&mut sides, request, &mut Silent).unwrap()
}
