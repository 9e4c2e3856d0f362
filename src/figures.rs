//! Numbers as people read them.

/// A number for people: 3 significant digits, plain in the everyday range.
pub fn number(value: f64) -> String {
    digits(value, 3)
}

/// Two different numbers with as many digits as it takes to see that they differ.
pub fn apart(a: f64, b: f64) -> (String, String) {
    (3..=17).map(|n| (digits(a, n), digits(b, n))).find(|(x, y)| x != y).unwrap_or_else(|| (number(a), number(b)))
}

fn digits(value: f64, significant: usize) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value.is_sign_negative() { "-infinity" } else { "infinity" }.to_owned();
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    let scientific = format!("{value:.*e}", significant - 1);
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..6).contains(&exponent) {
        return format!("{}e{exponent}", trimmed(mantissa));
    }
    let places = usize::try_from(significant as i32 - 1 - exponent).unwrap_or(0);
    trimmed(&format!("{value:.places$}")).to_owned()
}

fn trimmed(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        for (value, text) in [
            (0.05, "0.05"),
            (2e-5, "2e-5"),
            (0.000_123_4, "0.000123"),
            (123.456, "123"),
            (99.96, "100"),
            (1_234_567.0, "1.23e6"),
            (-20.0, "-20"),
            (0.0, "0"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "infinity"),
        ] {
            assert_eq!(number(value), text);
        }
        let next = f64::from_bits(0.05f64.to_bits() + 1);
        let (a, b) = apart(next, 0.05);
        assert_ne!(a, b);
    }
}
