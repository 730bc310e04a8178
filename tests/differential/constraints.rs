//! Rows of sections 4 and 9 about constraints.

use serde_json::{Value, json};

use super::small::{assert_both, assert_ours, constraint, flag, ours, strategy, theirs};
use crate::support::{context::TestContext, ours::Ours};

fn with(field: &str, value: &str) -> TestContext {
    TestContext::new().property(field, value)
}

fn values(values: &[&str]) -> Value {
    json!({ "values": values })
}

fn value(value: &str) -> Value {
    json!({ "value": value })
}

#[test]
fn d2_bad_strategy_turns_only_itself_off() {
    let bad = |constraint: Value| json!({ "name": "default", "constraints": [constraint] });
    let numeric = json!({ "contextName": "x", "operator": "NUM_GT", "value": "abc" });
    let unknown = json!({ "contextName": "x", "operator": "FUTURE", "values": ["a"] });
    let segment = json!({ "name": "default", "segments": [99] });
    for bad in [bad(numeric), bad(unknown), segment] {
        let payload = flag(json!([bad.clone(), { "name": "default" }]));
        assert_both(&payload, &TestContext::new(), true, false);
        let warnings = Ours::new(&payload).warnings;
        assert_eq!(warnings.len(), 1, "{bad}: {warnings:?}");
        assert_eq!(warnings[0].feature.as_deref(), Some("f"), "a warning names its flag");
        assert!(!ours(&flag(json!([bad])), &with("x", "1")));
    }
}

#[test]
fn d3_malformed_definitions_are_never_satisfied() {
    let malformed = [
        ("NUM_EQ", value("abc")),
        ("NUM_GT", json!({})),
        ("NUM_LT", value("")),
        ("DATE_AFTER", value("yesterday")),
        ("DATE_BEFORE", json!({})),
        ("SEMVER_EQ", value("nope")),
        ("SEMVER_GT", value("01.2.3")),
        ("SEMVER_LTE", json!({ "values": ["1.2.3"] })),
        ("FUTURE", values(&["a"])),
        ("in", values(&["a"])),
        ("REGEX", json!({})),
    ];
    for (operator, operand) in malformed {
        for context in [TestContext::new(), with("x", "a"), with("x", "1.2.3"), with("x", "")] {
            assert_ours(("x", operator, operand.clone()), &context, false, false);
        }
    }
}

#[test]
fn d5_texts_are_data() {
    let texts = [
        "a\"b",
        "a\\",
        "\\\"",
        "1.2.3",
        "5",
        "true",
        "2022-01-30T13:00:00Z",
        "] or true",
        "50%",
        "user_id",
        "a'b",
        "\u{7f}",
        "{}",
        "a,b",
    ];
    for text in texts {
        let other = with("x", "other");
        for operator in ["IN", "STR_STARTS_WITH", "STR_ENDS_WITH", "STR_CONTAINS"] {
            let payload = constraint("x", operator, values(&[text, "unused"]));
            assert!(ours(&payload, &with("x", text)), "{operator} `{text}`");
            assert!(!ours(&payload, &other), "{operator} `{text}`");
        }
        let not = constraint("x", "NOT_IN", values(&[text]));
        assert!(!ours(&not, &with("x", text)) && ours(&not, &other), "NOT_IN `{text}`");

        let named = constraint(text, "IN", values(&["v"]));
        assert!(ours(&named, &with(text, "v")), "a field called `{text}`");
        let grouped = json!({ "rollout": "100", "stickiness": "userId", "groupId": text });
        assert!(ours(&strategy("flexibleRollout", grouped), &TestContext::user("1")), "`{text}`");
    }
    // Texts that look like numbers are compared as texts.
    assert!(!ours(&constraint("x", "IN", values(&["5"])), &with("x", "5.0")));
    assert!(!ours(&constraint("x", "NUM_EQ", value("5 or true")), &with("x", "5")));
    assert!(ours(&constraint("x", "REGEX", value("\"\\\\$")), &with("x", "a\"\\")));
}

#[test]
fn d18_dates_of_other_fields_are_those_fields() {
    let payload = constraint("since", "DATE_AFTER", value("2022-01-30T13:00:00Z"));
    let early = with("since", "2022-01-30T12:00:00Z").top("currentTime", "2023-01-01T00:00:00Z");
    let late = with("since", "2022-01-30T14:00:00Z").top("currentTime", "2020-01-01T00:00:00Z");
    assert_both(&payload, &early, false, false);
    assert_both(&payload, &late, true, true);
    let operand = ("since", "DATE_AFTER", value("2022-01-30T13:00:00Z"));
    assert_ours(operand.clone(), &TestContext::new(), false, true);
    assert_ours(operand, &with("since", "yesterday"), false, true);
}

#[test]
fn d19_date_definitions_take_every_form_of_a_date() {
    let forms = [
        "2022-01-30",
        "2022-01-30T00:00:00.000000Z",
        "2022-01-30T00:00:00",
        "2022-01-30 00:00:00Z",
        "2022-01-30T01:00:00+0100",
    ];
    for form in forms {
        let payload = constraint("currentTime", "DATE_AFTER", value(form));
        let at = |time: &str| TestContext::new().top("currentTime", time);
        assert_both(&payload, &at("2022-01-30T00:00:01Z"), true, false);
        assert!(!ours(&payload, &at("2022-01-30T00:00:00Z")), "{form}: equal is not after");
    }
}

/// Section 4.4: `None` is no number.
#[test]
fn d22_numbers_are_plain_decimals() {
    let texts = [
        ("12", Some("12.0")),
        ("12.0", Some("12")),
        ("-5", Some("-5.0")),
        ("+3", Some("3")),
        ("1e3", Some("1000")),
        ("5.", Some("5")),
        (".5", Some("0.5")),
        (" 12 ", Some("12")),
        ("", None),
        ("0x10", None),
        ("0b1", None),
        ("Infinity", None),
        ("inf", None),
        ("nan", None),
        ("1_000", None),
        ("1,000", None),
        ("1.2.2", None),
        ("12 apples", None),
    ];
    for (text, number) in texts {
        match number {
            Some(number) => {
                assert_ours(("x", "NUM_EQ", value(text)), &with("x", number), true, false);
                assert_ours(("x", "NUM_EQ", value(number)), &with("x", text), true, false);
            }
            None => {
                assert_ours(("x", "NUM_GTE", value(text)), &with("x", "16"), false, false);
                assert_ours(("x", "NUM_GTE", value("0")), &with("x", text), false, true);
            }
        }
    }
    // What Yggdrasil says where it differs.
    assert!(!theirs(&constraint("x", "NUM_EQ", value(".5")), &with("x", "0.5")));
    assert!(!theirs(&constraint("x", "NUM_EQ", value("12")), &with("x", " 12 ")));
    assert!(theirs(&constraint("x", "NUM_GT", value("0")), &with("x", "inf")));
    assert!(theirs(&constraint("x", "NUM_EQ", value("1.2.2")), &with("x", "1.2.2")));
}

#[test]
fn d23_numbers_are_equal_exactly() {
    let payload = constraint("x", "NUM_EQ", value("0.3"));
    assert_both(&payload, &with("x", "0.30000000000000004"), false, true);
    assert_both(&payload, &with("x", "0.30"), true, true);
    // Beyond 2^53 both sides round.
    let payload = constraint("x", "NUM_EQ", value("9007199254740992"));
    assert_both(&payload, &with("x", "9007199254740993"), true, true);
    let payload = constraint("x", "NUM_EQ", value("-0"));
    assert_both(&payload, &with("x", "0"), true, true);
}

#[test]
fn d24_versions_are_strict() {
    for definition in ["v2.0.0", "1.2", "01.2.3", "nope", "2.0.0-", "1.2.3.4", "2.0.0-01"] {
        let operand = ("x", "SEMVER_EQ", value(definition));
        assert_ours(operand.clone(), &with("x", "2.0.0"), false, false);
        assert_ours(operand, &with("x", definition), false, false);
    }
    for context in ["v2.0.0", " 2.0.0", "2.0", "02.0.0", "2.0.0-"] {
        assert_ours(("x", "SEMVER_EQ", value("2.0.0")), &with("x", context), false, true);
    }
    // Yggdrasil reads two parts as a number.
    assert!(theirs(&constraint("x", "SEMVER_GT", value("1.2")), &with("x", "1.3")));
}

#[test]
fn versions_are_ordered_by_precedence() {
    let rising = [
        "1.9.9",
        "2.0.0-alpha",
        "2.0.0-alpha.1",
        "2.0.0-alpha.3",
        "2.0.0-alpha.11",
        "2.0.0-alpha.beta",
        "2.0.0-beta",
        "2.0.0-rc",
        "2.0.0",
        "2.0.1",
        "18446744073709551615.0.0",
    ];
    for (low, definition) in rising.iter().enumerate() {
        for (high, version) in rising.iter().enumerate() {
            let payload = constraint("x", "SEMVER_GT", value(definition));
            assert_both(&payload, &with("x", version), high > low, high > low);
            let payload = constraint("x", "SEMVER_LTE", value(definition));
            assert_both(&payload, &with("x", version), high <= low, high <= low);
        }
    }
}

/// Section 4.7.
#[test]
fn d25_patterns_are_re2() {
    let cases = [
        (r"^\d$", "٣", false),
        (r"^\d$", "3", true),
        (r"^\w+$", "é", false),
        (r"\s", "\u{a0}", false),
        (r"\bx", "éx", true),
        (r"^\Qa.b\E$", "a.b", true),
        (r"^\Qa.b\E$", "axb", false),
        (r"^\101$", "A", true),
        (r"a{", "a{", true),
        (r"^{$", "{", true),
        (r"^a{b}$", "a{b}", true),
        (r"^a{,2}$", "a{,2}", true),
        (r"^[[a]+$", "[a", true),
        (r"^[a&&b]+$", "a&b", true),
        (r"^(?i)ångström$", "ÅNGSTRÖM", true),
        (r"^\p{Greek}+$", "οδος", true),
        (r"^(?P<n>a)(?<m>b)$", "ab", true),
        (r"(?s)^a.b$", "a\nb", true),
        (r"^a.b$", "a\nb", false),
        (r"(?m)^b$", "a\nb", true),
        (r"^[[:alpha:]]+$", "abc", true),
        (r"a\z", "ba", true),
        (r"b", "abc", true),
    ];
    for (pattern, text, expected) in cases {
        assert_ours(("x", "REGEX", value(pattern)), &with("x", text), expected, !expected);
    }
    let refused = [
        r"(?x)a", r"(?u)a", r"(?-u)a", r"\u0041", r"a**", r"a++", r"\<a", r"a{1001}", r"(?=a)",
        r"(?!b)a", r"(?<=a)a", r"(a)\1", r"[a", r"(a", r"*a", r"[a--z]",
    ];
    for pattern in refused {
        assert_ours(("x", "REGEX", value(pattern)), &with("x", "aa A"), false, true);
    }
    // A missing pattern matches everything for Yggdrasil; its classes are Unicode's.
    assert!(theirs(&constraint("x", "REGEX", json!({})), &with("x", "a")));
    assert!(theirs(&constraint("x", "REGEX", value(r"^\d$")), &with("x", "٣")));
}

#[test]
fn d26_list_items_are_exact_and_never_empty() {
    assert_both(&constraint("x", "IN", values(&[" a "])), &with("x", "a"), false, false);
    assert_both(&constraint("x", "IN", values(&[" a "])), &with("x", " a "), true, true);
    assert_both(&constraint("x", "IN", values(&["", "b"])), &with("x", ""), false, true);
    assert_both(&constraint("x", "NOT_IN", values(&["", "b"])), &with("x", ""), true, false);
    for operator in ["STR_CONTAINS", "STR_STARTS_WITH", "STR_ENDS_WITH"] {
        assert_both(&constraint("x", operator, values(&[""])), &with("x", "a"), false, true);
        let operand = json!({ "values": ["", "B"], "caseInsensitive": true });
        assert_both(&constraint("x", operator, operand), &with("x", "a"), false, true);
    }
}

#[test]
fn d27_addresses_of_a_context_are_bare() {
    for address in ["10.1.1.1/24", "10.1.1.1 ", "010.1.1.1", "10.0.0", "", "garbage"] {
        let operand = ("remoteAddress", "IN_CIDR", values(&["0.0.0.0/0", "::/0"]));
        let context = TestContext::new().top("remoteAddress", address);
        assert_ours(operand, &context, false, true);
    }
    let zoned = TestContext::new().top("remoteAddress", "fe80::1%eth0");
    assert_ours(("remoteAddress", "IN_CIDR", values(&["fe80::/10"])), &zoned, false, true);
}

/// Section 4.8.
#[test]
fn networks_are_read_tolerantly() {
    let cases = [
        ("10.0.0.1", "10.0.0.1", true, true),
        ("10.0.0.7/8", "10.200.0.1", true, true),
        ("10.0.0.0/255.0.0.0", "10.200.0.1", true, true),
        ("10.0.0.0/33", "10.0.0.0", false, false),
        (" 10.0.0.0/8 ", "10.0.0.1", true, false),
        ("2001:db8::/129", "2001:db8::", false, false),
        ("10.0.0.0/8", "::ffff:10.0.0.1", false, false),
        ("::/0", "10.0.0.1", false, false),
        ("::/0", "::1", true, true),
        ("0.0.0.0/0", "255.255.255.255", true, true),
    ];
    for (network, address, our, their) in cases {
        let payload = constraint("ip", "IN_CIDR", values(&["garbage", network]));
        assert_both(&payload, &with("ip", address), our, their);
    }
}

#[test]
fn d29_case_is_folded_by_unicodes_lower_case() {
    let cases = [
        ("STR_CONTAINS", "ÅLESUND", "i Ålesund", true),
        ("STR_CONTAINS", "straße", "STRASSE", false),
        ("STR_ENDS_WITH", "οδος", "Η ΟΔΟΣ", true),
        ("STR_STARTS_WITH", "İ", "i\u{307}stanbul", true),
        ("STR_STARTS_WITH", "I", "ıstanbul", false),
        ("STR_CONTAINS", "AbC", "xaBcx", true),
    ];
    for (operator, listed, text, expected) in cases {
        let operand = json!({ "values": [listed], "caseInsensitive": true });
        assert_both(&constraint("x", operator, operand), &with("x", text), expected, expected);
        let operand = json!({ "values": [listed] });
        assert_both(&constraint("x", operator, operand), &with("x", text), false, false);
    }
    // IN and NOT_IN never fold.
    let operand = json!({ "values": ["A"], "caseInsensitive": true });
    assert_both(&constraint("x", "IN", operand.clone()), &with("x", "a"), false, false);
    assert_both(&constraint("x", "NOT_IN", operand), &with("x", "a"), true, true);
    let operand = json!({ "value": "^É$", "caseInsensitive": true });
    assert_both(&constraint("x", "REGEX", operand), &with("x", "é"), true, true);
}

#[test]
fn d30_now_counts_in_milliseconds() {
    let now_millis = 1_643_547_600_001; // 2022-01-30T13:00:00.001Z
    let is_on = |operator: &str, date: &str| {
        let mut ours = Ours::new(&constraint("currentTime", operator, value(date)));
        ours.now_millis = now_millis;
        ours.is_on("f", &TestContext::new())
    };
    assert!(is_on("DATE_AFTER", "2022-01-30T13:00:00.000Z"));
    assert!(!is_on("DATE_AFTER", "2022-01-30T13:00:00.001Z"));
    assert!(!is_on("DATE_BEFORE", "2022-01-30T13:00:00.001Z"));
    assert!(is_on("DATE_BEFORE", "2022-01-30T13:00:00.002Z"));
}

/// Section 2.5: the moment 2022-01-30T13:00:00Z in every form, then what is no date.
#[test]
fn d30_current_time_takes_every_form_of_a_date() {
    let same = [
        "2022-01-30T13:00:00Z",
        "2022-01-30T13:00:00.000000000Z",
        "2022-01-30t13:00:00z",
        "2022-01-30 13:00:00Z",
        "2022-01-30T15:00:00+02:00",
        "2022-01-30T15:00:00+0200",
        "2022-01-30T13:00:00 UTC",
        "2022-01-30T13:00:00",
    ];
    let at = |time: &str| TestContext::new().top("currentTime", time);
    let after = |date: &str| ("currentTime", "DATE_AFTER", value(date));
    for time in same {
        assert_ours(after("2022-01-30T12:59:59.999Z"), &at(time), true, false);
        assert_ours(after("2022-01-30T13:00:00Z"), &at(time), false, true);
    }
    assert_ours(after("2022-01-29T23:59:59.999Z"), &at("2022-01-30"), true, false);
    assert_ours(after("2022-01-30T00:00:00Z"), &at("2022-01-30"), false, true);
    assert_ours(after("2022-01-30T13:00:00Z"), &at("2022-01-30T13:00:00.000000001Z"), true, false);
    for garbage in ["yesterday", "", "1643547600000", "2022-02-30", "2022-01-30T25:00:00Z"] {
        assert_ours(after("2000-01-01T00:00:00Z"), &at(garbage), false, true);
    }
    let number = TestContext { time_millis: Some(1_643_547_600_001), ..TestContext::new() };
    assert_ours(after("2022-01-30T13:00:00Z"), &number, true, false);
    assert_ours(after("2022-01-30T13:00:00.001Z"), &number, false, true);
}

#[test]
fn d31_build_metadata_is_ignored() {
    for (definition, version) in
        [("2.0.0+7", "2.0.0+9"), ("2.0.0", "2.0.0+build"), ("1.0.0-a+b", "1.0.0-a")]
    {
        let payload = constraint("x", "SEMVER_EQ", value(definition));
        assert_both(&payload, &with("x", version), true, true);
    }
}

/// Section 4.3.
#[test]
fn empty_lists_are_lists() {
    let present = with("x", "a");
    for operand in [json!({ "values": [] }), json!({ "values": null }), json!({})] {
        assert_ours(("x", "IN", operand.clone()), &present, false, true);
        assert_ours(("x", "NOT_IN", operand.clone()), &present, true, false);
        for operator in ["STR_STARTS_WITH", "STR_ENDS_WITH", "STR_CONTAINS", "IN_CIDR"] {
            assert_ours(("x", operator, operand.clone()), &present, false, true);
        }
    }
    let inverted = json!({ "values": [], "inverted": true });
    assert!(!theirs(&constraint("x", "STR_CONTAINS", inverted), &present));
}

/// Section 4.2.
#[test]
fn missing_values_are_decided_before_inversion() {
    let missing = TestContext::new();
    let cases = [
        ("IN", values(&["a"]), false),
        ("NOT_IN", values(&["a"]), true),
        ("STR_CONTAINS", values(&["a"]), false),
        ("REGEX", value("a"), false),
        ("NUM_LT", value("1"), false),
        ("SEMVER_LT", value("1.0.0"), false),
        ("IN_CIDR", values(&["0.0.0.0/0"]), false),
        ("DATE_AFTER", value("2000-01-01T00:00:00Z"), false),
    ];
    for (operator, operand, plain) in cases {
        assert_ours(("x", operator, operand), &missing, plain, !plain);
    }
}

/// Section 2.2.
#[test]
fn empty_values_are_present_for_constraints() {
    let empty = with("x", "");
    assert_ours(("x", "NOT_IN", values(&["a"])), &empty, true, false);
    assert_ours(("x", "IN", values(&["a"])), &empty, false, true);
    assert_ours(("x", "NUM_LTE", value("0")), &empty, false, true);
    assert_ours(("x", "REGEX", value("^$")), &empty, true, false);
}

/// Section 4.3: an operator looks at its own operand only.
#[test]
fn the_other_operand_is_ignored() {
    let operand = json!({ "values": ["a"], "value": "5" });
    assert_both(&constraint("x", "NUM_EQ", operand.clone()), &with("x", "5"), true, true);
    assert_both(&constraint("x", "IN", operand), &with("x", "5"), false, false);
}
