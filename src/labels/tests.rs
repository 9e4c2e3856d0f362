//! Files as public data sets have them, and what is wrong with others.

use std::collections::BTreeMap;

use super::*;

fn written(dir: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn pairs(name: &str, text: &str) -> Result<Pairs, LabelError> {
    let dir = tempfile::tempdir().unwrap();
    Pairs::read(&written(&dir, name, text))
}

fn table(header: &str, row: impl Fn(usize) -> String) -> String {
    std::iter::once(header.to_owned()).chain((0..LEAST_PAIRS).map(row)).map(|l| l + "\n").collect()
}

#[test]
fn pairs_come_in_three_layouts() {
    // GLUE's STS-B: quotes are what they are.
    let glue = pairs(
        "dev.tsv",
        &table("index\tgenre\tsentence1\tsentence2\tscore", |i| format!("{i}\tnews\tA \"dog\tA cat, {i}\t{}", i % 6)),
    )
    .unwrap();
    assert_eq!((glue.rows.len(), glue.source.rows), (LEAST_PAIRS, LEAST_PAIRS as u64));
    assert_eq!(glue.rows[7].texts, ["A \"dog".to_owned(), "A cat, 7".to_owned()]);
    assert_eq!((glue.rows[7].score, glue.rows[7].line), (1.0, 9));
    let quoted = pairs("a.csv", &table("Sentence1,Sentence2,Score", |i| format!("\"one, two\",three,{i}.5"))).unwrap();
    assert_eq!((quoted.rows[3].texts[0].as_str(), quoted.rows[3].score), ("one, two", 3.5));
    let lines = (0..LEAST_PAIRS).map(|i| format!("{{\"sentence1\":\"a\",\"sentence2\":\"b\",\"label\":{i}}}\n"));
    let json = pairs("a.jsonl", &lines.collect::<String>()).unwrap();
    assert_eq!((json.rows[2].score, json.rows[2].line), (2.0, 3));
}

#[test]
fn pairs_that_show_nothing_are_refused_by_their_line() {
    let header = "sentence1\tsentence2\tscore";
    let said = |name: &str, text: &str| pairs(name, text).unwrap_err().to_string();
    assert!(said("a.tsv", &table(header, |_| "a\tb\t3".to_owned())).contains("every score is 3"));
    assert!(said("a.tsv", &format!("{header}\na\tb\t3\n")).contains("has 1 pairs"));
    assert!(
        said("a.tsv", &table(header, |_| "a\tb\tnan".to_owned())).contains("a.tsv:2: the score \"nan\" is no number")
    );
    assert!(said("a.tsv", &table(header, |_| "a\t \t1".to_owned())).contains(":2: has an empty sentence"));
    assert!(said("a.tsv", &table(header, |_| "a\tb".to_owned())).contains("a.tsv:2"));
    let none = said("a.tsv", &table("one\ttwo\tthree", |i| format!("a\tb\t{i}")));
    assert!(none.contains("names no column sentence1") && none.contains("one, two, three"), "{none}");
    assert!(said("a.txt", "a\n").contains("reads .tsv, .csv and .jsonl"));
    assert!(said("a.jsonl", "{\"sentence1\":\"a\"}\n").contains("a.jsonl:1: has no field sentence2"));
    assert!(said("a.jsonl", "[\n").contains("not JSON"));
    let dir = tempfile::tempdir().unwrap();
    assert!(Pairs::read(dir.path()).unwrap_err().to_string().contains("not a regular file"));
    assert!(Pairs::read(&dir.path().join("no.tsv")).unwrap_err().to_string().contains("No such file"));
    let path = dir.path().join("latin.tsv");
    std::fs::write(&path, b"sentence1\tsentence2\tscore\na\tb\xff\t1\n").unwrap();
    assert!(Pairs::read(&path).unwrap_err().to_string().contains("latin.tsv:2: is not UTF-8"));
}

/// Queries `q0`…, documents `d0`…, of which `d0` answers each.
fn search(queries: usize, judgements: &str) -> Result<Retrieval, LabelError> {
    let dir = tempfile::tempdir().unwrap();
    let lines = |prefix: &str, n: usize| -> String {
        (0..n).map(|i| format!("{{\"_id\":\"{prefix}{i}\",\"title\":\"T\",\"text\":\"{prefix} {i}\"}}\n")).collect()
    };
    Retrieval::read(&RetrievalFiles {
        queries: written(&dir, "queries.jsonl", &(lines("q", queries) + "{\"_id\":\"d1\",\"text\":\"both\"}\n")),
        documents: written(&dir, "corpus.jsonl", &lines("d", 5)),
        judgements: written(&dir, "test.tsv", judgements),
    })
}

#[test]
fn a_search_is_beirs_three_files() {
    let judged: String = (0..LEAST_QUERIES).map(|i| format!("q{i}\td0\t2\nq{i}\td3\t0\n")).collect();
    let header = "query-id\tcorpus-id\tscore\n";
    let found = search(LEAST_QUERIES + 1, &format!("{header}{judged}d1\td1\t1\nd1\td2\t1\n")).unwrap();
    assert_eq!((found.queries.len(), found.unanswered, found.documents.len()), (LEAST_QUERIES + 1, 1, 5));
    assert_eq!(found.queries[4].relevant, BTreeMap::from([(0, 2.0)]), "a grade of 0 is no answer");
    assert_eq!(found.documents[2].text, "T d 2");
    let both = found.queries.last().unwrap();
    assert_eq!((both.itself, both.relevant.clone()), (Some(1), BTreeMap::from([(2, 1.0)])));
    let trec: String = (0..LEAST_QUERIES).map(|i| format!("q{i} 0 d4 1\n")).collect();
    assert_eq!(search(LEAST_QUERIES, &trec).unwrap().queries[0].relevant, BTreeMap::from([(4, 1.0)]));
}

#[test]
fn judgements_of_what_is_not_there_are_refused() {
    let said = |judgements: &str| search(LEAST_QUERIES, judgements).unwrap_err().to_string();
    assert!(said("q0\td0\t1\n").contains("judges 1 of the queries"));
    assert!(said("q0\td9\t1\n").contains("test.tsv:1: names a document \"d9\" that is not"));
    assert!(said("x\td0\t1\n").contains("test.tsv:1: judges a query \"x\" that is not"));
    assert!(said("q0\td0\t1\nq1\td0\tyes\n").contains("test.tsv:2: the grade \"yes\" is no number"));
    assert!(said("q0\td0\n").contains("neither three columns"));
    let dir = tempfile::tempdir().unwrap();
    let twice = written(&dir, "q.jsonl", "{\"_id\":\"a\",\"text\":\"b\"}\n{\"_id\":\"a\",\"text\":\"c\"}\n");
    let files = RetrievalFiles { queries: twice.clone(), documents: twice.clone(), judgements: twice };
    assert!(Retrieval::read(&files).unwrap_err().to_string().contains("q.jsonl:2: has the id \"a\" of line 1"));
}
