//! Lines of Markdown, and text of others in them.

use super::escape::markdown;

/// Characters of one piece of text that others wrote.
const TEXT: usize = 300;

/// Text that others wrote, cut and harmless.
pub(super) fn text(raw: &str) -> String {
    markdown(&cut(raw))
}

fn cut(raw: &str) -> String {
    let mut chars = raw.chars();
    let mut kept: String = chars.by_ref().take(TEXT).collect();
    if chars.next().is_some() {
        kept.push('…');
    }
    kept
}

pub(super) fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}
