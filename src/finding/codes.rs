//! Every code that a finding or a reason of a verdict can have: `parallax explain CODE` prints a row.

mod alignment;
mod files;
mod judging;
mod lint;
mod tokens;
mod weights;

pub use alignment::*;
pub use files::*;
pub use judging::*;
pub use lint::*;
pub use tokens::*;
pub use weights::*;

use super::Code;

const TABLES: [&[Code]; 6] =
    [alignment::TABLE, weights::TABLE, files::TABLE, tokens::TABLE, judging::TABLE, lint::TABLE];

/// All of them, by subject.
pub fn all() -> impl Iterator<Item = &'static Code> {
    TABLES.into_iter().flatten()
}

/// The row of a code: its own, or its family's.
pub fn find(code: &str) -> Option<&'static Code> {
    all().find(|row| row.code == code).or_else(|| all().find(|row| row.covers(code)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_unique_dotted_and_explained_in_a_line() {
        let mut seen = BTreeSet::new();
        for row in all() {
            assert!(seen.insert(row.code), "{} stands twice", row.code);
            let (subject, name) = row.code.split_once('.').unwrap();
            let plain = |s: &str| s.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
            assert!(plain(subject) && (name == "*" || plain(name)), "{}", row.code);
            for line in [row.means, row.todo] {
                assert!(line.ends_with('.') && line.len() >= 8 && !line.contains('\n'), "{}: {line}", row.code);
            }
        }
        assert!(seen.len() > 100, "{}", seen.len());
    }

    #[test]
    fn a_family_answers_for_what_has_no_row_of_its_own() {
        assert_eq!(find("config.rope_theta"), Some(&CONFIG_KEY));
        assert_eq!(find("config.compared"), Some(&CONFIG_COMPARED));
        assert_eq!(find("config"), None);
        assert_eq!(find("confi.x"), None);
    }
}
