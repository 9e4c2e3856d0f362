//! The built-in probe sentences: ordinary English, and the edges where encoders and exports have
//! been caught out (lengths around multiples of 32, one token, nothing but unknown tokens, other
//! scripts, control characters). They accompany every run, and are the corpus when none is given.

/// Ordinary and odd sentences, one per line.
const SENTENCES: &str = include_str!("probes.txt");

/// Word counts generated around the block sizes of common kernels and around usual length limits.
const LENGTHS: &[usize] = &[
    1, 2, 3, 15, 16, 17, 29, 30, 31, 32, 33, 61, 62, 63, 64, 65, 125, 126, 127, 128, 129, 200, 253, 254, 255, 256, 257,
    509, 510, 511, 512, 513,
];

/// Common words, each a single token in most English vocabularies, so that a probe of `n` words has
/// close to `n` tokens.
const WORDS: &[&str] = &[
    "time", "people", "water", "house", "music", "river", "small", "night", "school", "paper", "white", "city", "work",
    "story", "light", "game", "world", "table", "green", "road", "team", "food", "name", "book",
];

/// Every probe, in order.
pub fn probes() -> Vec<String> {
    let mut all: Vec<String> = SENTENCES.lines().filter(|l| !l.is_empty()).map(str::to_owned).collect();
    all.extend(LENGTHS.iter().map(|&n| {
        let words: Vec<&str> = (0..n).map(|i| WORDS[(i * 7 + n * 3 + i / 24) % WORDS.len()]).collect();
        words.join(" ")
    }));
    // What a text file cannot hold on one line, or what an editor would spoil.
    all.extend(
        [
            "tabs\tand\u{a0}no-break\u{2003}spaces",
            "line\u{2028}separators and a bell\u{7} and an escape \u{1b}[31m",
            "zero\u{200b}width\u{200d}joiners and a soft\u{ad}hyphen",
            "right-to-left \u{202e}override\u{202c} in the middle",
            "e\u{301} composed and \u{e9} precomposed",
            "\u{1f469}\u{200d}\u{1f52c} \u{1f1eb}\u{1f1f7} \u{1f44d}\u{1f3fd}",
            "\u{e000}\u{e001}\u{e002}",
            "a",
            ".",
            "the the the the the the the the the the the the the the the the the the the the the the the the the the",
        ]
        .map(str::to_owned),
    );
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enough_different_probes_for_a_verdict() {
        let all = probes();
        let unique: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(unique.len(), all.len());
        assert!(all.len() >= 128, "{}", all.len());
        assert!(all.iter().all(|p| !p.trim().is_empty()));
    }
}
