//! The nearest known name, for error messages.

/// Longer words are not compared: a hostile file may hold a name of megabytes, and nothing known is that long.
const LONGEST: usize = 64;

/// The name nearest to `word` by Levenshtein distance in characters, where a third of the name or less is wrong.
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > LONGEST {
        return None;
    }
    let scored = names.into_iter().map(|name| (strsim::levenshtein(word, name), name));
    let (cost, name) = scored.min_by_key(|(cost, _)| *cost)?;
    (cost <= name.len().max(3) / 3).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["relative_l2", "max_abs", "mse", "cosine_distance", "sqnr_db"];

    #[test]
    fn slips_find_their_name_and_strangers_do_not() {
        let ids = || KNOWN.iter().copied();
        assert_eq!(nearest("relativ_l2", ids()), Some("relative_l2"));
        assert_eq!(nearest("cosine", ["max", "cosine_distance"]), None);
        assert_eq!(nearest("q99", ["p90", "p99"]), Some("p99"));
        assert_eq!(nearest("banana", ids()), None);
        assert_eq!(nearest(&"x".repeat(1 << 20), ids()), None);
    }

    #[test]
    fn characters_are_counted_and_words_end_at_64() {
        assert_eq!(nearest("größe", ["grösse"]), Some("grösse"));
        let (name, slip) = ("a".repeat(64), format!("{}b", "a".repeat(63)));
        assert_eq!(nearest(&slip, [name.as_str()]), Some(name.as_str()));
        let (name, slip) = ("a".repeat(65), format!("{}b", "a".repeat(64)));
        assert_eq!(nearest(&slip, [name.as_str()]), None);
    }
}
