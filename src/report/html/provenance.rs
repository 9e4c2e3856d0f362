//! What decides the result.

use maud::{Markup, html};

use super::markup::{section, table, text, words};
use crate::report::Report;
use crate::report::words::count;

pub(super) fn provenance(report: &Report) -> Markup {
    let p = &report.provenance;
    let inputs = p.inputs.iter().map(|i| (i.role.as_str(), &i.file, &i.sha256, i.bytes));
    let inputs = inputs.chain(report.corpus.sources.iter().map(|s| ("corpus", &s.file, &s.sha256, s.bytes)));
    let inputs = html! {
        @for (role, file, sha256, bytes) in inputs {
            tr {
                th scope="row" { (text(role)) }
                td { code { (text(file)) } }
                td { (count(bytes)) }
                td { code { (text(sha256)) } }
            }
        }
    };
    let runtime = &p.runtime;
    let mut facts = vec![
        ("program".to_owned(), format!("{} {}", report.tool.name, report.tool.version)),
        ("policy".to_owned(), format!("{}, sha256 {}", p.policy.name, p.policy.sha256)),
        (
            "ONNX Runtime".to_owned(),
            format!("{}, {}, {}", runtime.onnxruntime_version, runtime.execution_provider, runtime.optimization),
        ),
        ("its library".to_owned(), format!("{}, sha256 {}", runtime.library, runtime.sha256)),
        ("processor".to_owned(), p.cpu_features.join(", ")),
        ("threads".to_owned(), p.threads.to_string()),
        ("seed".to_owned(), p.seed.to_string()),
    ];
    facts.extend(p.options.iter().map(|(name, value)| (format!("option {name}"), value.clone())));
    facts.push(("started".to_owned(), p.run.started.clone()));
    let content = html! {
        @let heads = html! { (words("role")) (words("file")) (words("bytes")) (words("sha256")) };
        (table("Files that were read", "", heads, inputs))
        @let rows = html! {
            @for (name, value) in &facts { tr { th scope="row" { (text(name)) } td { (text(value)) } } }
        };
        (table("What else decides the result", "", html! { (words("what")) (words("value")) }, rows))
    };
    section("provenance", "Provenance", "The same inputs, program and options give the same report.", content)
}
