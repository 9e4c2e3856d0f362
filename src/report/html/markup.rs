//! Small pieces of HTML. maud escapes every text in them; what others wrote goes through [`text`] or [`whole`] as well.

use maud::{Markup, html};

use crate::figures::number;
use crate::report::escape::plain;

/// Text that others wrote, of visible characters only, and not too much of it.
pub(super) fn text(raw: &str) -> String {
    plain(raw, 400)
}

/// The same, all of it.
pub(super) fn whole(raw: &str) -> String {
    plain(raw, usize::MAX)
}

/// A number's cell: what a person reads, the whole number for sorting, and where it stands in report.json.
pub(super) fn cell(path: &str, value: Option<f64>) -> Markup {
    html! { td.n data-path=(path) data-v=(exact(value)) { (shown(value)) } }
}

/// The same inside a line of text.
pub(super) fn inline(path: &str, value: Option<f64>) -> Markup {
    html! { span data-path=(path) data-v=(exact(value)) { (shown(value)) } }
}

/// The whole number, as report.json writes it; nothing where nothing was measured.
fn exact(value: Option<f64>) -> String {
    match value {
        None => String::new(),
        Some(v) if v.is_nan() => "nan".to_owned(),
        Some(v) if v.is_infinite() => if v < 0.0 { "-inf" } else { "inf" }.to_owned(),
        Some(v) => format!("{v:e}"),
    }
}

fn shown(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), number)
}

/// The head of a column of words.
pub(super) fn words(name: &str) -> Markup {
    html! { th scope="col" { (name) } }
}

/// The head of a column of numbers.
pub(super) fn numbers(name: &str) -> Markup {
    html! { th.n scope="col" { (name) } }
}

/// A table in a box that scrolls on its own; nothing without rows.
pub(super) fn table(caption: &str, class: &str, heads: Markup, rows: Markup) -> Markup {
    html! {
        @if !rows.0.is_empty() {
            div.scroll role="region" tabindex="0" aria-label=(caption) {
                table class=(class) { caption { (caption) } thead { tr { (heads) } } tbody { (rows) } }
            }
        }
    }
}

/// A section with its heading and one line that says what it shows; nothing without content.
pub(super) fn section(id: &str, heading: &str, about: &str, content: Markup) -> Markup {
    html! {
        @if !content.0.is_empty() {
            section id=(id) aria-labelledby={ (id) "-h" } {
                h2 id={ (id) "-h" } { (heading) }
                @if !about.is_empty() { p.about { (whole(about)) } }
                (content)
            }
        }
    }
}

/// Something to be opened by who wants it.
pub(super) fn details(summary: &str, content: Markup) -> Markup {
    html! { @if !content.0.is_empty() { details { summary { (summary) } (content) } } }
}

/// A list of sentences that others wrote; nothing without one.
pub(super) fn list(class: &str, items: impl IntoIterator<Item = String>) -> Markup {
    let items = html! { @for item in items { li { (text(&item)) } } };
    html! { @if !items.0.is_empty() { ul class=(class) { (items) } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_every_digit_beside_the_three_that_are_shown() {
        assert_eq!(
            cell("/a/0", Some(0.012_345_678)).0,
            "<td class=\"n\" data-path=\"/a/0\" data-v=\"1.2345678e-2\">0.0123</td>"
        );
        assert_eq!(inline("/a", None).0, "<span data-path=\"/a\" data-v=\"\">–</span>");
        assert!(cell("/a", Some(f64::NAN)).0.contains("data-v=\"nan\">NaN<"));
        assert!(cell("/a", Some(f64::NEG_INFINITY)).0.contains("data-v=\"-inf\">-infinity<"));
    }

    #[test]
    fn nothing_is_made_of_nothing() {
        let nothing = [
            table("x", "", words("a"), html! {}),
            section("a", "b", "c", html! {}),
            details("a", html! {}),
            list("", []),
        ];
        assert!(nothing.iter().all(|made| made.0.is_empty()));
    }

    #[test]
    fn what_others_wrote_is_cut_cleaned_and_escaped_once() {
        assert!(text(&"<é".repeat(300)).ends_with("é…"));
        assert_eq!(list("a", ["<b> &\u{202e}".to_owned()]).0, "<ul class=\"a\"><li>&lt;b&gt; &amp;\\u{202e}</li></ul>");
    }
}
