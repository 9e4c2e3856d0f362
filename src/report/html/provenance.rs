//! What decides the result.

use super::markup::{section, table, text, words};
use crate::report::Report;
use crate::report::words::count;

pub(super) fn provenance(report: &Report) -> String {
    let p = &report.provenance;
    let inputs: String = p
        .inputs
        .iter()
        .map(|i| (i.role.as_str(), i.file.as_str(), i.sha256.as_str(), i.bytes))
        .chain(report.corpus.sources.iter().map(|s| ("corpus", s.file.as_str(), s.sha256.as_str(), s.bytes)))
        .map(|(role, file, sha256, bytes)| {
            format!(
                "<tr><th scope=\"row\">{}</th><td><code>{}</code></td><td>{}</td><td><code>{}</code></td></tr>\n",
                text(role),
                text(file),
                count(bytes),
                text(sha256)
            )
        })
        .collect();
    let inputs =
        table("Files that were read", "", &[words("role"), words("file"), words("bytes"), words("sha256")], &inputs);
    let mut facts = vec![
        ("program".to_owned(), format!("{} {}", report.tool.name, report.tool.version)),
        ("policy".to_owned(), format!("{}, sha256 {}", p.policy.name, p.policy.sha256)),
        (
            "ONNX Runtime".to_owned(),
            format!("{}, {}, {}", p.runtime.onnxruntime_version, p.runtime.execution_provider, p.runtime.optimization),
        ),
        ("its library".to_owned(), format!("{}, sha256 {}", p.runtime.library, p.runtime.sha256)),
        ("processor".to_owned(), p.cpu_features.join(", ")),
        ("threads".to_owned(), p.threads.to_string()),
        ("seed".to_owned(), p.seed.to_string()),
    ];
    facts.extend(p.options.iter().map(|(name, value)| (format!("option {name}"), value.clone())));
    facts.push(("started".to_owned(), p.run.started.clone()));
    let rows: String = facts
        .iter()
        .map(|(name, value)| format!("<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n", text(name), text(value)))
        .collect();
    let content = inputs + &table("What else decides the result", "", &[words("what"), words("value")], &rows);
    section("provenance", "Provenance", "The same inputs, program and options give the same report.", &content)
}
