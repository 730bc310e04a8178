//! Numbers as constraints and strategy parameters spell them (sections 3.3 and 4.4).

/// Reads a decimal number: optional sign, digits with or without a point, optional exponent.
///
/// Outer white space is dropped. Returns `None` for anything else: empty text, hexadecimal,
/// separators, `inf` and `nan` in any spelling. Numbers too large for `f64` are infinite, as in
/// every other engine; the result is never NaN.
pub(crate) fn parse(text: &str) -> Option<f64> {
    let text = text.trim();
    // The standard grammar is ours plus the words `inf`, `infinity` and `nan`.
    let decimal =
        text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    if decimal { text.parse().ok() } else { None }
}

/// Reads a rollout percentage, rounded down and held to 0…100.
///
/// Returns `None` when the text is no number or is negative: such a rollout reaches nobody.
pub(crate) fn percentage(text: &str) -> Option<u8> {
    let value = parse(text).filter(|value| *value >= 0.0)?;
    // `as` saturates, so infinity and every other excess end at 100.
    Some((value as u8).min(100))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decimal_texts_are_numbers() {
        let rows = [
            ("12", 12.0),
            ("12.0", 12.0),
            ("-5", -5.0),
            ("+3", 3.0),
            ("1e3", 1000.0),
            ("1E-2", 0.01),
            ("5.", 5.0),
            (".5", 0.5),
            (" 12 ", 12.0),
            ("\t12\n", 12.0),
            ("007", 7.0),
            ("9007199254740993", 9_007_199_254_740_992.0),
            ("1e999", f64::INFINITY),
        ];
        for (text, expected) in rows {
            assert_eq!(parse(text), Some(expected), "`{text}`");
        }
    }

    #[test]
    fn other_texts_are_no_numbers() {
        let rows = [
            "",
            " ",
            "0x10",
            "0b1",
            "Infinity",
            "-Infinity",
            "inf",
            "+inf",
            "nan",
            "NaN",
            "1_000",
            "1,000",
            "1.2.2",
            "1 2",
            "abc",
            "12px",
            "e3",
            ".",
            "-",
            "+",
            "--1",
            "+-1",
            "1e",
            "1e+",
            "1-2",
            "١٢",
            "½",
            "true",
            "'1'",
            "\0",
        ];
        for text in rows {
            assert_eq!(parse(text), None, "`{text}`");
        }
    }

    #[test]
    fn close_numbers_stay_different() {
        assert_ne!(parse("0.3"), parse("0.30000000000000004"));
    }

    #[test]
    fn percentages_are_rounded_down_and_held_to_a_hundred() {
        let rows = [
            ("0", Some(0)),
            ("1", Some(1)),
            ("100", Some(100)),
            ("050", Some(50)),
            ("+50", Some(50)),
            (" 50 ", Some(50)),
            ("33.5", Some(33)),
            ("99.999", Some(99)),
            ("100.0", Some(100)),
            ("1e2", Some(100)),
            ("0.5", Some(0)),
            ("101", Some(100)),
            ("1000", Some(100)),
            ("1e999", Some(100)),
            ("-0", Some(0)),
            ("-1", None),
            ("-0.5", None),
            ("abc", None),
            ("", None),
            ("NaN", None),
            ("50%", None),
        ];
        for (text, expected) in rows {
            assert_eq!(percentage(text), expected, "`{text}`");
        }
    }

    proptest! {
        #[test]
        fn every_printed_finite_number_reads_back(value in -1e300f64..1e300) {
            prop_assert_eq!(parse(&format!("{value}")), Some(value));
            prop_assert_eq!(parse(&format!(" {value:e} ")), Some(value));
        }

        #[test]
        fn no_text_is_nan(text in "[0-9eE+. -]{0,8}|\\PC{0,8}") {
            prop_assert!(!parse(&text).is_some_and(f64::is_nan));
        }
    }
}
