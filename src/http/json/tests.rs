use super::*;
use crate::http::recorder::Recorder;

fn proxy(body: &str) -> (Vec<String>, Result<Vec<String>, Unreadable>) {
    let mut entries = Recorder::default();
    let result = read_proxy(body.as_bytes(), &mut entries);
    (entries.written, result)
}

fn edge(body: &str) -> (Vec<String>, Result<(), Unreadable>) {
    let mut entries = Recorder::default();
    let result = read_edge(body.as_bytes(), &mut entries);
    (entries.written, result)
}

#[test]
fn the_proxys_context_is_coerced_to_texts() {
    for (context, expected) in [
        (r"{}", &[][..]),
        (r#"{"userId":"7","foo":"x"}"#, &["top userId=7", "top foo=x"]),
        (r#"{"userId":7,"appName":true}"#, &["top userId=7", "top appName=true"]),
        (r#"{"userId":"","sessionId":null}"#, &[]),
        (r#"{"userId":0}"#, &["top userId=0"]),
        (r#"{"a":1.0,"b":1.5,"c":-0.0,"d":-3}"#, &["top a=1", "top b=1.5", "top c=0", "top d=-3"]),
        (
            r#"{"a":1e21,"b":1e-7,"c":1e20}"#,
            &["top a=1e+21", "top b=1e-7", "top c=100000000000000000000"],
        ),
        (r#"{"a":18446744073709551615}"#, &["top a=18446744073709551615"]),
        (r#"{"a":null,"b":{"c":1},"d":[1]}"#, &[]),
        (r#"{"unwanted":{"deep":[1,{"e":2}]},"a":false}"#, &["top a=false"]),
        (
            r#"{"properties":{"a":"b","n":24,"t":true,"e":"","z":null}}"#,
            &["property a=b", "property n=24", "property t=true", "property e="],
        ),
        (
            r#"{"properties":{"appName":"","currentTime":"soon","userId":7}}"#,
            &["property userId=7"],
        ),
        (r#"{"currentTime":1643547600000}"#, &["time 1643547600000"]),
        (r#"{"currentTime":0,"a":1}"#, &["top a=1"]),
        (r#"{"currentTime":"2022-01-30","b":1}"#, &["top currentTime=2022-01-30", "top b=1"]),
        (r#"{"currentTime":[]}"#, &[]),
        (r#"{"user\u0049d":"a\"b\u00e9"}"#, &["top userId=a\"bé"]),
        (r#"{"properties":{"a\/b":"\n"}}"#, &["property a/b=\n"]),
    ] {
        let (written, result) = proxy(&format!(r#"{{"context":{context},"other":[{{}}]}}"#));
        assert_eq!(written, expected, "{context}");
        assert_eq!(result.unwrap(), [""; 0], "{context}");
    }
}

#[test]
fn the_proxy_reads_toggles_in_their_order() {
    for (body, expected) in [
        ("", &[][..]),
        ("  \n", &[]),
        ("{}", &[]),
        ("\u{feff}{\"toggles\":[\"a\"]}", &["a"]),
        (r#"{"toggles":["b","a","b"]}"#, &["b", "a", "b"]),
        (r#"{"toggles":[1,true,null,"\u00e9"],"context":{}}"#, &["1", "true", "", "é"]),
    ] {
        assert_eq!(proxy(body).1.unwrap(), expected, "{body}");
    }
}

#[test]
fn of_a_key_given_twice_the_last_value_counts() {
    for (body, written, names) in [
        (r#"{"context":{"a":1},"context":{"b":2}}"#, &["top b=2"][..], &[][..]),
        (r#"{"context":5,"context":{"b":2}}"#, &["top b=2"], &[]),
        (r#"{"toggles":5,"toggles":["a"]}"#, &[], &["a"]),
        (r#"{"toggles":["a"],"toggles":["b"]}"#, &[], &["b"]),
    ] {
        let (entries, result) = proxy(body);
        assert_eq!(entries, written, "{body}");
        assert_eq!(result.unwrap(), names, "{body}");
    }
    let last_is_wrong = proxy(r#"{"context":{"a":1},"context":null}"#).1;
    assert!(matches!(last_is_wrong, Err(Unreadable::Shape(Invalid::Context))), "{last_is_wrong:?}");
    for (body, written) in [
        (r#"{"context":{"a":1},"context":{"b":2}}"#, "top b=2"),
        (r#"{"context":{"a":1},"context":null,"b":2}"#, "top b=2"),
        (r#"{"context":null,"context":{"b":2}}"#, "top b=2"),
    ] {
        let (entries, result) = edge(body);
        assert!(result.is_ok(), "{body}: {result:?}");
        assert_eq!(entries, [written], "{body}");
    }
}

#[test]
fn more_names_than_the_limit_are_refused() {
    let body = |names: usize, last: &str| {
        format!(r#"{{"toggles":[{}{last}]}}"#, r#""a","#.repeat(names - 1))
    };
    assert_eq!(proxy(&body(NAMES, "null")).1.unwrap().len(), NAMES);
    let result = proxy(&body(NAMES + 1, "null")).1;
    assert!(matches!(result, Err(Unreadable::TooManyNames { limit: NAMES })), "{result:?}");
    let result = proxy(&body(NAMES + 3, "{}")).1;
    let expected = Invalid::Toggle(NAMES + 2);
    assert!(matches!(result, Err(Unreadable::Shape(found)) if found == expected));
    let again = body(NAMES + 1, "null").replacen('}', r#","toggles":["b"]}"#, 1);
    assert_eq!(proxy(&again).1.unwrap(), ["b"]);
}

#[test]
fn a_body_nobody_reads_has_to_be_an_object_or_a_list_too() {
    for body in ["", " ", "{}", "[1]", "\u{feff}{}", "{\"toggles\":5}"] {
        assert!(check(body.as_bytes()).is_ok(), "{body}");
    }
    for body in ["5", "null", "\"x\"", "true"] {
        assert!(matches!(check(body.as_bytes()), Err(Unreadable::NoObject)), "{body}");
    }
    for body in ["{", "[1,]", "{}x"] {
        assert!(matches!(check(body.as_bytes()), Err(Unreadable::Syntax(_))), "{body}");
    }
}

#[test]
fn the_longest_numbers_keep_every_digit() {
    for (number, expected) in [
        (-1.234_567_890_123_456_7e-6, "-0.0000012345678901234567"),
        (-1.797_693_134_862_315_7e308, "-1.7976931348623157e+308"),
        (-2.225_073_858_507_201_4e-308, "-2.2250738585072014e-308"),
        (5e-324, "5e-324"),
        (-999_999_999_999_999_900_000.0, "-999999999999999900000"),
    ] {
        assert_eq!(shortest(number).as_str(), expected);
    }
    assert_eq!(Digits::of(format_args!("{}", i64::MIN)).as_str(), "-9223372036854775808");
}

#[test]
fn the_proxys_schema_forbids_wrong_types() {
    use Invalid::{Body, Context, ContextField, Property, Toggle, Toggles};
    for (body, expected) in [
        ("[]", Body),
        (r#"[{"toggles":5}]"#, Body),
        (r#"{"context":null}"#, Context),
        (r#"{"context":"s"}"#, Context),
        (r#"{"context":[]}"#, Context),
        (r#"{"context":5}"#, Context),
        (r#"{"context":1.5}"#, Context),
        (r#"{"context":-5}"#, Context),
        (r#"{"context":true}"#, Context),
        (r#"{"context":{"userId":[]}}"#, ContextField(Field::UserId)),
        (r#"{"context":{"environment":{}}}"#, ContextField(Field::Environment)),
        (r#"{"context":{"properties":null}}"#, ContextField(Field::Properties)),
        (r#"{"context":{"properties":["x"]}}"#, ContextField(Field::Properties)),
        (r#"{"context":{"properties":{"unwanted":{}}}}"#, Property("unwanted".into())),
        (r#"{"toggles":null}"#, Toggles),
        (r#"{"toggles":"a"}"#, Toggles),
        (r#"{"toggles":{"a":1}}"#, Toggles),
        (r#"{"toggles":["a",[],{}]}"#, Toggle(1)),
        (r#"{"toggles":5,"context":{"userId":[]}}"#, ContextField(Field::UserId)),
        (r#"{"context":{"properties":5,"userId":[],"appName":[]}}"#, ContextField(Field::AppName)),
    ] {
        match proxy(body).1 {
            Err(Unreadable::Shape(found)) => assert_eq!(found, expected, "{body}"),
            other => panic!("{body}: {other:?}"),
        }
    }
}

#[test]
fn bad_json_wins_over_a_broken_schema() {
    for body in
        ["{", "{bad", r#"{"toggles":5,}"#, r#"{"context":null}x"#, "[1,", "{\"a\":\"\u{1}\"}"]
    {
        assert!(matches!(proxy(body).1, Err(Unreadable::Syntax(_))), "{body}");
    }
    for body in ["5", "\"x\"", "null", "x"] {
        assert!(matches!(proxy(body).1, Err(Unreadable::NoObject)), "{body}");
    }
    let mut entries = Recorder::default();
    let body = b"{\"context\":{\"userId\":\"\xff\"}}";
    assert!(matches!(read_proxy(body, &mut entries), Err(Unreadable::Syntax(_))));
}

#[test]
fn edge_takes_a_context_flat_and_wrapped() {
    for (body, expected) in [
        ("{}", &[][..]),
        (r#"{"userId":"7","foo":"x"}"#, &["top userId=7", "top foo=x"]),
        (r#"{"context":{"userId":"7"}}"#, &["top userId=7"]),
        (r#"{"userId":"out","context":{"foo":"in"},"bar":1}"#, &["top foo=in"]),
        (r#"{"userId":"7","context":null}"#, &["top userId=7"]),
        (r#"{"properties":{"context":"x"}}"#, &["property context=x"]),
        (r#"{"userId":"","foo":2.0}"#, &["top userId=", "top foo=2"]),
        (r#"{"userId":{"a":1},"foo":[1],"bar":null}"#, &[]),
        (r#"{"properties":null,"foo":true}"#, &["top foo=true"]),
        (r#"{"properties":{"a":{},"b":3,"unwanted":{}}}"#, &["property b=3"]),
        (r#"{"currentTime":0}"#, &["time 0"]),
    ] {
        let (written, result) = edge(body);
        assert!(result.is_ok(), "{body}: {result:?}");
        assert_eq!(written, expected, "{body}");
    }
}

#[test]
fn edge_tells_bad_json_from_a_wrong_shape() {
    for body in ["", " ", "{", r#"{"context":{}"#, "{}x"] {
        assert!(matches!(edge(body).1, Err(Unreadable::Syntax(_))), "{body}");
    }
    for body in [
        "[]",
        "5",
        "null",
        "\"x\"",
        r#"{"context":"s"}"#,
        r#"{"context":[]}"#,
        r#"{"properties":5}"#,
    ] {
        assert!(matches!(edge(body).1, Err(Unreadable::Shape(_))), "{body}");
    }
}

proptest::proptest! {
    #[test]
    fn no_body_is_too_odd_to_be_read(body in proptest::collection::vec(proptest::num::u8::ANY, 0..64)) {
        let _ = read_proxy(&body, &mut Recorder::default());
        let _ = read_edge(&body, &mut Recorder::default());
        let _ = check(&body);
    }
}
