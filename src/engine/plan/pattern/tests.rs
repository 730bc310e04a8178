//! One test for each construct of the dialect.
//!
//! One file because they share `assert_rows` and `assert_refused`, and what one accepts another
//! refuses.

use proptest::prelude::*;

use super::*;

/// Whether the pattern is found in the text; `None` when it is no pattern.
fn finds(pattern: &str, text: &str) -> Option<bool> {
    compile(pattern, false).ok().map(|regex| regex.is_match(text))
}

#[track_caller]
fn assert_rows(rows: &[(&str, &str, bool)]) {
    for (pattern, text, expected) in rows {
        assert_eq!(finds(pattern, text), Some(*expected), "`{pattern}` in `{text}`");
    }
}

#[track_caller]
fn assert_refused(patterns: &[&str]) {
    for pattern in patterns {
        assert!(compile(pattern, false).is_err(), "`{pattern}`");
        assert!(compile(pattern, true).is_err(), "`{pattern}` without case");
    }
}

#[test]
fn the_search_is_unanchored_and_anchors_hold_the_text() {
    assert_rows(&[
        ("", "", true),
        ("", "anything", true),
        ("b", "abc", true),
        ("^b", "abc", false),
        ("b$", "abc", false),
        ("^abc$", "abc", true),
        ("^abc$", "abc\n", false),
        (r"\Aab\z", "ab", true),
        (r"a\z", "a\n", false),
        ("(?m)^b$", "a\nb\nc", true),
        ("^b$", "a\nb\nc", false),
        (r"^[a-z0-9._%+-]+@[a-z0-9.-]+\.[a-z]{2,}$", "user.name@example.com", true),
        (r"^[a-z0-9._%+-]+@[a-z0-9.-]+\.[a-z]{2,}$", "user.name@example", false),
        (r"^(?:10|192\.168)(?:\.\d{1,3}){2,3}$", "10.1.2.3", true),
        ("^(a|b)*c+?d??$", "ababcc", true),
        ("a{2,3}", "baab", true),
        ("^a{2}$", "aaa", false),
        ("^a{2,}$", "aaa", true),
        ("^a{0}$", "", true),
    ]);
}

#[test]
fn the_dot_is_any_character_but_a_line_feed() {
    assert_rows(&[
        ("^.$", "😊", true),
        ("^.$", "é", true),
        ("^.$", "\r", true),
        ("^.$", "\n", false),
        ("(?s)^.$", "\n", true),
        ("(?s:.)(?-s:.)", "\n\n", false),
    ]);
}

#[test]
fn perl_classes_are_ascii() {
    assert_rows(&[
        (r"^\d$", "7", true),
        (r"^\d$", "٣", false),
        (r"^\D$", "٣", true),
        (r"^\w$", "_", true),
        (r"^\w$", "é", false),
        (r"^\W$", "é", true),
        (r"^\s$", "\t", true),
        (r"^\s$", "\u{b}", false),
        (r"^\s$", "\u{a0}", false),
        (r"^\S$", "\u{a0}", true),
        (r"^[\d\-x]$", "-", true),
        (r"^[^\D]$", "٣", false),
        (r"^[\w\s]$", "é", false),
        (r"^[[:^space:]\s]$", "\u{b}", false),
    ]);
}

#[test]
fn word_boundaries_are_ascii() {
    assert_rows(&[
        (r"\bfoo\b", "a foo b", true),
        (r"\bfoo\b", "afoo", false),
        (r"\bfoo\b", "éfoo", true),
        (r"\bé\b", "é", false),
        (r"\bé\b", "aéa", true),
        (r"\B", "é", true),
        (r"\B", "a", false),
        (r"\B", "aéb", false),
        (r"a\Bb", "ab", true),
    ]);
}

#[test]
fn quoted_runs_are_literal() {
    assert_rows(&[
        (r"^\Qa.b*\E$", "a.b*", true),
        (r"\Qa.b\E", "axb", false),
        (r"\Q[(", "x[(", true),
        (r"^\Qab\E+$", "abbb", true),
        (r"^a\Q\E*$", "aaa", true),
        (r"^a*\Q\E*$", "aaa", true),
        (r"\Q\d\E", r"\d", true),
    ]);
}

#[test]
fn octal_and_hexadecimal_escapes_are_characters() {
    assert_rows(&[
        (r"^\101$", "A", true),
        (r"^\1012$", "A2", true),
        (r"^\0$", "\0", true),
        (r"^\07$", "\u{7}", true),
        (r"^\12$", "\n", true),
        (r"^\400$", "Ā", true),
        (r"^[\101-\103]$", "B", true),
        (r"^\x41\x{1F60A}$", "A😊", true),
        (r"^[\x41-\x{5A}]$", "K", true),
        (r"^\a\f\n\r\t\v$", "\u{7}\u{c}\n\r\t\u{b}", true),
        (r"\x{D800}|a", "a", true),
        (r"\x{D800}", "a", false),
        (r"^[\x{D800}-\x{E000}]$", "\u{e000}", true),
        (r"^[^\x{D800}]$", "a", true),
    ]);
}

#[test]
fn escaped_punctuation_stands_for_itself() {
    for c in (' '..='~').filter(|c| c.is_ascii_punctuation() || *c == ' ') {
        let text = c.to_string();
        assert_eq!(finds(&format!(r"^[\{c}]$"), &text), Some(true), "{c}");
        // `\<` and `\>` too: for RE2 they are brackets, not the ends of a word.
        assert_eq!(finds(&format!(r"^\{c}$"), &text), Some(true), "{c}");
    }
}

#[test]
fn braces_that_count_nothing_are_literal() {
    assert_rows(&[
        ("^{$", "{", true),
        ("^}$", "}", true),
        ("^a{$", "a{", true),
        ("^a{b}$", "a{b}", true),
        ("^a{,2}$", "a{,2}", true),
        ("^a{,2}$", "aa", false),
        ("^a{1,2,3}$", "a{1,2,3}", true),
        ("^a{01}$", "a{01}", true),
        ("^a{ 1}$", "a{ 1}", true),
        ("^a{+1}$", "a{{1}", true),
        (r#"^{"user":"\w+"}$"#, r#"{"user":"bob"}"#, true),
        ("^a{$|{2", "{2", true),
        (r"a\b{start}", "a{start}", true),
    ]);
}

#[test]
fn brackets_and_set_operators_in_a_class_are_literal() {
    assert_rows(&[
        ("^[[a]$", "[", true),
        ("^[[a]$", "a", true),
        ("^[[a]]$", "a]", true),
        ("^[]a]$", "]", true),
        ("^[^]a]$", "b", true),
        ("^[^]a]$", "]", false),
        ("^[a&&b]$", "&", true),
        ("^[a&&b]$", "a", true),
        ("^[a~~b]$", "~", true),
        ("^[a||b]$", "|", true),
        ("^[a-]$", "-", true),
        ("^[-a]$", "-", true),
        ("^[--a]$", "A", true),
        ("^[#-&]$", "%", true),
        ("^[:alpha:]$", "p", true),
        ("^[:alpha:]$", "b", false),
        ("^[[:alpha]$", ":", true),
        ("^[.*+?^$(){}]+$", "(*)", true),
    ]);
}

#[test]
fn posix_and_unicode_classes_are_understood() {
    assert_rows(&[
        ("^[[:alpha:]]$", "k", true),
        ("^[[:alpha:]]$", "é", false),
        ("^[[:^alpha:]]$", "é", true),
        ("^[[:word:][:^digit:]]$", "5", true),
        (r"^\pN$", "٣", true),
        (r"^\PN$", "٣", false),
        (r"^\p{Lu}$", "É", true),
        (r"^\p{Greek}+$", "αβγ", true),
        (r"^\p{^Greek}$", "α", false),
        (r"^\P{^Greek}$", "α", true),
        (r"^[\p{Greek}x]$", "x", true),
        (r"^[^\pL]$", "é", false),
        (r"^\p{Old_Italic}$", "𐌀", true),
        (r"^\p{Any}$", "\n", true),
        (r"^\pC$", "\u{ad}", true),
        (r"^\pC$", "\u{378}", false),
        (r"^\p{Thai}$", "ก", true),
        (r"\p{Cs}", "a", false),
        (r"^\P{Cs}$", "a", true),
    ]);
}

#[test]
fn groups_and_flags_are_scoped() {
    assert_rows(&[
        ("(?P<n>a)(?<m1>b)(?P<1>c)", "abc", true),
        ("^(?i)k$", "\u{212a}", true),
        ("^(?i)ß$", "ẞ", true),
        ("(?i)STRASSE", "straße", false),
        (r"^(?i)\w$", "ſ", true),
        (r"^(?i)[^\w]$", "ſ", false),
        ("^(?i:a)b$", "AB", false),
        ("^((?i)a)b$", "AB", false),
        ("(?i)a(?-i)b", "Ab", true),
        ("(?i)a(?-i)b", "AB", false),
        ("a(?i)b|c", "C", true),
        ("a(?i)b|c", "A", false),
        ("^(?U)a+$", "aaa", true),
        ("^(?ii)A$", "a", true),
        ("^(?)a(?:)$", "a", true),
        ("(?i-i)A", "a", false),
        ("^(?is-m:a.)$", "A\n", true),
        ("^a(?i)*$", "aaa", true),
        ("^a*(?i)*$", "aaa", true),
        ("^(?:)*$", "", true),
        ("()|a", "", true),
    ]);
}

#[test]
fn the_case_is_ignored_on_demand() {
    let ignoring = |pattern, text| compile(pattern, true).unwrap().is_match(text);
    assert!(ignoring("^FOO[a-c]$", "fooB"));
    assert!(ignoring("ΣΟΣ", "σος"));
    assert!(ignoring(r"^\QÉ\E\x41$", "éa"));
    assert!(!ignoring("(?-i)FOO", "foo"));
    assert!(!ignoring("STRASSE", "straße"));
    assert_eq!(finds("FOO", "foo"), Some(false));
}

#[test]
fn what_only_other_dialects_read_is_refused() {
    assert_refused(&[
        "(?x)a b",
        "(?x: a )",
        "(?u)a",
        "(?-u)a",
        "(?R)",
        "(?a)",
        r"\u0041",
        r"\u{41}",
        r"\U00000041",
        "a**",
        "a++",
        "a+*",
        "a?+",
        "a*??",
        "a{2}{3}",
        "a{2}*",
        "*",
        "+a",
        "?",
        "{2}",
        "a|*",
        "(*)",
        "(?i)*",
        r"\Z",
        r"\G",
        r"\C",
        r"\X",
        r"\R",
        r"\h",
        r"\K",
        r"\e",
        r"\cA",
        r"\N",
        r"\E",
        r"\i",
        r"\é",
        r"\",
        r"a\",
        r"\8",
        r"\9",
        r"[\b]",
        r"[\Qa\E]",
        r"[\z]",
        r"[\8]",
        r"[a-\d]",
        "[c-a]",
        "[a--]",
        "[a--b]",
        "[]",
        "[",
        "[^]",
        "[a",
        r"[\",
        "[[:alpha:",
        "[[:foo:]]",
        "[[:Alpha:]]",
        "(",
        ")",
        "(a",
        "a)",
        "(?",
        "(?i",
        "(?:",
        "(?-)",
        "(?--i)",
        "(?i-)",
        "(?#x)",
        "(?P=n)",
        "(?P>n)",
        "(?P<>a)",
        "(?P<n>a)(?P<n>b)",
        "(?<a b>c)",
        "(?<é>c)",
        "(?P<n",
        r"\p",
        r"\p{",
        r"\p{}",
        r"\pé",
        r"\p{Letter}",
        r"\p{greek}",
        r"\p{Grek}",
        r"\p{sc=Greek}",
        r"\p{Script=Greek}",
        r"\p{Nope}",
        r"\p{Emoji}",
        r"\p{Alphabetic}",
        r"\p{L&}",
        r"\x",
        r"\x4",
        r"\xé",
        r"\x{}",
        r"\x{110000}",
        r"\x{+41}",
        r"\x{99999999999}",
        r"[\x]",
    ]);
}

#[test]
fn look_around_and_back_references_are_refused() {
    assert_refused(&[
        "(?=a)",
        "(?!a)",
        "(?<=a)b",
        "(?<!a)b",
        "^(?!.*admin).*$",
        "(?>a)",
        r"(a)\1",
        r"\1",
        r"(?P<n>a)\k<n>",
        "(?P<n>a)(?P=n)",
    ]);
}

#[test]
fn repetitions_are_bounded_and_so_are_their_products() {
    assert_rows(&[
        ("^a{1000}$", "a", false),
        ("(?:(?:x{2}){20}){25}", "x", false),
        ("(?:a{1000}|b{1000}){1}", "a", false),
        ("(?:a{500})(?:b{500}c{500}){2}", "a", false),
        ("^(?:a{1000})*$", "", true),
        ("^(?:a{1000}){0}$", "", true),
    ]);
    assert_refused(&[
        "a{1001}",
        "a{1001,}",
        "a{1,1001}",
        "a{2,1}",
        "a{1000000000000}",
        "(?:a{100}){100}",
        "(?:(?:x{2}){20}){26}",
        "((a{2}b){501})",
        "(?:a{501}|b){2,}",
        "(?:(?:a{1000})*){2}",
    ]);
}

#[test]
fn what_grows_too_large_is_refused() {
    assert!(matches!(compile(r"\pL{1000}", false), Err(PatternError::TooLarge)));
    let deep = format!("{}a{}", "(".repeat(5000), ")".repeat(5000));
    assert!(matches!(compile(&deep, false), Err(PatternError::Unsupported(_))));
    let stacked = format!("a{}", "*(?i)".repeat(5000));
    assert!(compile(&stacked, false).is_err());
}

#[test]
fn an_error_says_what_and_where() {
    let message = |pattern| compile(pattern, false).unwrap_err().to_string();
    assert_eq!(message("ab(?=c)"), "the pattern is not RE2: bad group or flag before byte 5");
    assert_eq!(message("a**"), "the pattern is not RE2: repetition of a repetition before byte 3");
    assert_eq!(message(r"\pL{1000}"), "the pattern compiles to more than 10485760 bytes");
}

#[test]
fn matching_takes_linear_time() {
    let text = "a".repeat(50_000);
    assert_eq!(finds("^(a+)+$", &format!("{text}!")), Some(false));
}

proptest! {
    #[test]
    fn literal_text_is_found_when_quoted_or_escaped(text in "\\PC{0,12}") {
        prop_assume!(!text.contains(r"\E") && !text.ends_with('\\'));
        let quoted = format!(r"^\Q{text}\E$");
        prop_assert_eq!(finds(&quoted, &text), Some(true));
        prop_assert_eq!(finds(&format!("^{}$", regex::escape(&text)), &text), Some(true));
    }

    #[test]
    fn no_pattern_ends_the_process(
        pattern in "[\\\\()\\[\\]{}a-c0-9^$.|?*+:<>=!PpQEdxim-]{0,16}|\\PC{0,16}"
    ) {
        let _ = compile(&pattern, true);
    }

    /// What is accepted is always written in a form that the `regex` crate takes.
    #[test]
    fn whatever_is_translated_can_be_built(
        pattern in "(\\\\[dDwWsSbBAzQnE.]|\\[[a-c^&~\\-\\[]{1,4}\\]|[()|*+?.^$a-c{}0-2,]|\\(\\?[ims:)-]{1,3}){0,10}"
    ) {
        if let Err(PatternError::Unsupported(err)) = compile(&pattern, false) {
            prop_assert!(false, "`{}`: {}", pattern, err);
        }
    }
}
