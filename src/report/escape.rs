//! Text that others wrote (corpus rows, tensor names, file names), made safe to show.
//!
//! A sentence may hold terminal escapes, bidirectional controls that reorder what a person reads,
//! `::error::` lines that a CI runner obeys, Markdown and HTML. None of it reaches a reader raw.

/// Characters that act instead of being seen.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// True when `rest`, which follows two hashes, makes them a runner's command: `##[group]` (GitHub, which
/// looks for it anywhere in a line: actions/runner, `ActionCommand.cs`), `##vso[task]`, `##teamcity[x]`.
fn is_command(rest: &str) -> bool {
    rest.trim_start_matches(|c: char| c.is_ascii_alphabetic()).starts_with('[')
}

/// One line of visible characters, at most `max_chars` of the original (an ellipsis says when there
/// was more). Controls become `\n`, `\t`, `\u{1b}`; a leading `::`, and `##[` anywhere, are broken up,
/// because CI runners read them as commands.
pub fn plain(text: &str, max_chars: usize) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    for c in chars.by_ref().take(max_chars) {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_hidden(c) => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => out.push(c),
        }
    }
    if chars.next().is_some() {
        out.push('…');
    }
    let leading = out.trim_start();
    let start = out.len() - leading.len();
    if leading.starts_with("::") {
        out.insert(start, '\\');
    }
    without_commands(out)
}

fn without_commands(text: String) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find("##") {
        let (before, after) = (&rest[..at + 1], &rest[at + 1..]);
        safe.push_str(before);
        if is_command(&after[1..]) {
            safe.push('\\');
        }
        rest = after;
    }
    safe.push_str(rest);
    safe
}

/// Text for a line of Markdown, a table cell included: nothing in it formats, links, mentions or is HTML.
pub fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in plain(text, usize::MAX).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '|' => out.push_str("&#124;"),
            // GitHub makes mentions and references of the finished page, where an entity is a plain
            // character again: only something invisible behind it stops that.
            '@' => out.push_str("&#64;&#8203;"),
            '#' => out.push_str("&#35;&#8203;"),
            ':' => out.push_str("&#58;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '(' | ')' | '!' | '~' | '$' | '{' | '}' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

/// Text for an element or a quoted attribute of an HTML (or SVG) document: one visible line, nothing of it markup.
pub fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in plain(text, usize::MAX).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hostile_text_is_shown_not_obeyed() {
        for (text, shown) in [
            ("\u{1b}[31mred\u{7}", "\\u{1b}[31mred\\u{7}"),
            ("a\nb\r\tc", "a\\nb\\r\\tc"),
            ("abc\u{202e}fed\u{2066}x\u{200f}\u{61c}\u{2028}", "abc\\u{202e}fed\\u{2066}x\\u{200f}\\u{61c}\\u{2028}"),
            ("::error::x", "\\::error::x"),
            ("  ::set-output", "  \\::set-output"),
            ("##[command]", "#\\#[command]"),
            ("a ##[error]b ##vso[task.complete]", "a #\\#[error]b #\\#vso[task.complete]"),
            ("###[x] ####teamcity[y]", "##\\#[x] ###\\#teamcity[y]"),
            ("## heading, #1 ##", "## heading, #1 ##"),
            ("plain, ünïcode 漢字", "plain, ünïcode 漢字"),
        ] {
            assert_eq!(plain(text, 100), shown);
        }
        assert_eq!(plain("abcdef", 3), "abc…");
        assert_eq!(plain("abc", 3), "abc");
    }

    #[test]
    fn markdown_and_html_lose_their_meaning() {
        assert_eq!(markdown("<script>|`x`"), "&lt;script&gt;&#124;\\`x\\`");
        assert_eq!(html("<b a='\"'>&\n"), "&lt;b a=&#39;&quot;&#39;&gt;&amp;\\n");
        assert_eq!(markdown("[a](http://b) @you #1"), "\\[a\\]\\(http&#58;//b\\) &#64;&#8203;you &#35;&#8203;1");
    }

    proptest! {
        #[test]
        fn output_is_one_visible_line(text in any::<String>()) {
            for shown in [plain(&text, 50), markdown(&text)] {
                prop_assert!(!shown.chars().any(is_hidden));
                prop_assert!(!shown.trim_start().starts_with("::") && !shown.contains("##["));
            }
            prop_assert!(!markdown(&text).contains(['<', '>', '|']));
            prop_assert!(!html(&text).contains(['<', '>', '"', '\'']) && !html(&text).chars().any(is_hidden));
        }
    }
}
