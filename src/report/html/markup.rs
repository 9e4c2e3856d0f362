//! Small pieces of HTML. Whatever others wrote goes through [`html`].

use crate::figures::number;
pub(super) use crate::report::escape::html;

/// Characters of one piece of text that others wrote.
const TEXT: usize = 400;

/// Text that others wrote, cut and harmless.
pub(super) fn text(raw: &str) -> String {
    match raw.char_indices().nth(TEXT) {
        Some((end, _)) => format!("{}…", html(&raw[..end])),
        None => html(raw),
    }
}

/// A number's cell: what a person reads, the whole number for sorting, and where it stands in report.json.
pub(super) fn cell(path: &str, value: Option<f64>) -> String {
    format!("<td class=\"n\" data-path=\"{}\" data-v=\"{}\">{}</td>", html(path), exact(value), shown(value))
}

/// The same inside a line of text.
pub(super) fn inline(path: &str, value: Option<f64>) -> String {
    format!("<span data-path=\"{}\" data-v=\"{}\">{}</span>", html(path), exact(value), shown(value))
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

/// A column's head.
pub(super) struct Column {
    name: &'static str,
    numeric: bool,
}

/// A column of words.
pub(super) const fn words(name: &'static str) -> Column {
    Column { name, numeric: false }
}

/// A column of numbers.
pub(super) const fn numbers(name: &'static str) -> Column {
    Column { name, numeric: true }
}

/// A table of rows that are markup already (`<tr>…</tr>`), in a box that scrolls on its own; nothing without rows.
pub(super) fn table(caption: &str, class: &str, columns: &[Column], rows: &str) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let heads: String = columns
        .iter()
        .map(|c| format!("<th scope=\"col\"{}>{}</th>", if c.numeric { " class=\"n\"" } else { "" }, html(c.name)))
        .collect();
    let caption = html(caption);
    format!(
        "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{caption}\"><table class=\"{class}\"><caption>{caption}</caption>\
         <thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody></table></div>\n"
    )
}

/// A section with its heading and one line that says what it shows; nothing without content.
pub(super) fn section(id: &str, heading: &str, about: &str, content: &str) -> String {
    if content.is_empty() {
        return String::new();
    }
    let about = if about.is_empty() { String::new() } else { format!("<p class=\"about\">{}</p>\n", html(about)) };
    format!(
        "<section id=\"{id}\" aria-labelledby=\"{id}-h\"><h2 id=\"{id}-h\">{}</h2>\n{about}{content}</section>\n",
        html(heading)
    )
}

/// Something to be opened by who wants it.
pub(super) fn details(summary: &str, content: &str) -> String {
    if content.is_empty() {
        String::new()
    } else {
        format!("<details><summary>{}</summary>\n{content}</details>\n", html(summary))
    }
}

/// A list of sentences that others wrote; nothing without one.
pub(super) fn list(class: &str, items: impl IntoIterator<Item = String>) -> String {
    let items: String = items.into_iter().map(|item| format!("<li>{}</li>\n", text(&item))).collect();
    if items.is_empty() { items } else { format!("<ul class=\"{class}\">\n{items}</ul>\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_every_digit_beside_the_three_that_are_shown() {
        assert_eq!(
            cell("/a/0", Some(0.012_345_678)),
            "<td class=\"n\" data-path=\"/a/0\" data-v=\"1.2345678e-2\">0.0123</td>"
        );
        assert_eq!(inline("/a", None), "<span data-path=\"/a\" data-v=\"\">–</span>");
        assert!(cell("/a", Some(f64::NAN)).contains("data-v=\"nan\">NaN<"));
        assert!(cell("/a", Some(f64::NEG_INFINITY)).contains("data-v=\"-inf\">-infinity<"));
    }

    #[test]
    fn nothing_is_made_of_nothing() {
        assert_eq!(
            table("x", "", &[words("a")], "") + &section("a", "b", "c", "") + &details("a", "") + &list("", []),
            ""
        );
        assert!(text(&"<é".repeat(300)).ends_with("…") && !text("<b>").contains('<'));
    }
}
