use actix_web::http::header::HeaderMap;
use proptest::prelude::*;

use super::*;

const OUTCOME: u128 = 0xabc;
const OPAQUE: &str = "\"00000000000000000000000000000abc\"";
const MARKED: &str = "\"00000000000000000000000000000abc-1f-00000000000000c7\"";
const MARK: Mark = Mark { revision: 0x1f, context: 0xc7, basis: None };

fn spelled(text: Text) -> String {
    String::from_utf8(text.as_bytes().to_vec()).unwrap()
}

fn headers(lines: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(IF_NONE_MATCH, HeaderValue::from_str(line).unwrap());
    }
    headers
}

fn held(mark: Option<Mark>, lines: &[&str]) -> Held {
    Tag::new(OUTCOME, mark).held_by((&headers(lines)).into())
}

/// The text of a tag for another answer.
fn other(revision: u64, context: u64) -> String {
    let tag = Tag::new(1, Some(Mark { revision, context, basis: None }));
    spelled(tag.into_text(Surface::Edge))
}

#[test]
fn a_tag_is_recognised_by_its_outcome_weak_strong_listed_and_starred() {
    for mark in [None, Some(MARK)] {
        for (line, expected) in [
            (OPAQUE.to_owned(), Held::This),
            (MARKED.to_owned(), Held::This),
            (OPAQUE.replace("abc", "abc-0-ffffffffffffffff"), Held::This),
            (format!("W/{OPAQUE}"), Held::This),
            (format!("W/{MARKED}"), Held::This),
            (format!("\"other\", W/{OPAQUE}"), Held::This),
            (format!("W/\"a,b\",{OPAQUE} , \"z\""), Held::This),
            (format!("{}, {MARKED}", other(0x20, 0xc7)), Held::This),
            (" * ".to_owned(), Held::This),
            ("\"other\"".to_owned(), Held::Other),
            ("\"*\"".to_owned(), Held::Other),
            (OPAQUE.trim_matches('"').to_owned(), Held::Other),
            (OPAQUE.trim_end_matches('"').to_owned(), Held::Other),
            (OPAQUE.to_uppercase(), Held::Other),
            (String::new(), Held::Other),
        ] {
            assert_eq!(held(mark, &[&line]), expected, "{line}");
        }
    }
}

#[test]
fn several_header_lines_are_one_list() {
    assert_eq!(held(None, &["\"x\"", OPAQUE]), Held::This);
    assert_eq!(held(None, &[]), Held::Other);
}

#[test]
fn a_newer_answer_to_the_same_question_is_recognised() {
    let newer = |revision| Held::Newer(Tag::new(1, Some(Mark { revision, ..MARK })), revision);
    let rows: [(&[&str], Held); 8] = [
        (&[&other(0x20, 0xc7)], newer(0x20)),
        (&[&format!("W/{}", other(u64::MAX, 0xc7))], newer(u64::MAX)),
        (&[&format!("{}, {}", other(0x20, 0xc7), other(0x99, 0xc7))], newer(0x99)),
        (&[&other(0x99, 0xc7), &other(0x20, 0xc7)], newer(0x99)),
        (&[&other(0x1f, 0xc7)], Held::Other),
        (&[&other(0x1e, 0xc7)], Held::Other),
        (&[&other(0x20, 0xc8)], Held::Other),
        (&["\"00000000000000000000000000000001\""], Held::Other),
    ];
    for (lines, expected) in rows {
        assert_eq!(held(Some(MARK), lines), expected, "{lines:?}");
        assert_eq!(held(None, lines), Held::Other, "{lines:?}: we know no revision");
    }
}

#[test]
fn an_answer_that_rests_on_the_same_is_recognised_whatever_it_says() {
    let text = |outcome, basis| {
        let tag = Tag::new(outcome, Some(Mark { basis, ..MARK }));
        spelled(tag.into_text(Surface::Proxy))
    };
    let long = format!("{}{}", "0".repeat(LONGEST), text(1, Some(7)).trim_start_matches("W/\""));
    let rows: [(String, Option<u128>); 10] = [
        (text(1, Some(7)), Some(1)),
        (text(1, Some(7)).replace("W/", ""), Some(1)),
        (format!("{} ,", text(1, Some(7)).replace("W/", "")), Some(1)),
        (format!("{}, {}", text(1, Some(8)), text(2, Some(7))), Some(2)),
        (text(1, Some(8)), None),
        (text(1, None), None),
        (text(1, Some(7)).replace("W/\"", "W/\"%"), None),
        (format!("\"{long}"), None),
        (OPAQUE.to_owned(), None),
        ("*".to_owned(), None),
    ];
    for (line, expected) in rows {
        for surface in [Surface::Proxy, Surface::Edge] {
            let held = Tag::resting_on(7, (&headers(&[&line])).into(), surface);
            let expected = expected.map(|outcome| text(outcome, Some(7)));
            let expected = expected.map(|text| match surface {
                Surface::Proxy => text,
                Surface::Edge => text.trim_start_matches("W/").to_owned(),
            });
            assert_eq!(held.map(spelled), expected, "{line}");
        }
    }
}

#[test]
fn what_is_nearly_a_mark_is_none_of_ours() {
    let outcome = "0".repeat(32);
    let context = "0".repeat(16);
    for opaque in [
        String::new(),
        outcome[1..].to_owned(),
        format!("{outcome}0"),
        format!("{outcome}-"),
        format!("{outcome}-1"),
        format!("{outcome}--{context}"),
        format!("{outcome}-1-"),
        format!("{outcome}-1-{context}0"),
        format!("{outcome}-1-{}", &context[1..]),
        format!("{outcome}-{context}0-{context}"),
        format!("{outcome}-+1-{context}"),
        format!("{outcome}-1-{context}-"),
        format!("{outcome}-A-{context}"),
        format!("{outcome}-1-{context}{context}"),
        format!("{outcome}-1-{context}-{}", &context[1..]),
        format!("{outcome}-1-{context}-{context}0"),
        format!("{outcome}-1-{context}-{context}-"),
    ] {
        assert_eq!(Tag::parse(opaque.as_bytes()), None, "{opaque}");
    }
}

#[test]
fn the_tag_is_weak_on_the_proxys_surface_and_strong_on_edges() {
    let rested = MARKED.replace("c7\"", "c7-00000000000000ba\"");
    let resting = Mark { basis: Some(0xba), ..MARK };
    for (mark, text) in [(None, OPAQUE), (Some(MARK), MARKED), (Some(resting), &rested)] {
        let header = |surface| spelled(Tag::new(OUTCOME, mark).into_text(surface));
        assert_eq!(header(Surface::Proxy), format!("W/{text}"));
        assert_eq!(header(Surface::Edge), text);
    }
}

proptest! {
    #[test]
    fn a_tag_reads_as_it_is_written(
        outcome in any::<u128>(),
        mark in any::<Option<(u64, u64, Option<u64>)>>(),
        shift in 0_u32..64,
    ) {
        let mark = mark.map(|(it, context, basis)| Mark { revision: it >> shift, context, basis });
        let tag = Tag::new(outcome, mark);
        for surface in [Surface::Proxy, Surface::Edge] {
            let header = HeaderValue::try_from(tag.into_text(surface)).unwrap();
            let opaque = Opaques(header.as_bytes()).next().unwrap();
            prop_assert_eq!(Tag::parse(opaque), Some(tag));
            prop_assert!(header.len() <= LONGEST);
        }
    }

    #[test]
    fn no_bytes_of_a_caller_end_a_request(
        bytes in proptest::collection::vec(
            prop_oneof![Just(b'"'), Just(b'-'), Just(b','), Just(b'0'), any::<u8>()], 0..200),
        cut in 0_usize..80,
    ) {
        let near = [&OPAQUE.as_bytes()[..cut.min(OPAQUE.len())], &bytes].concat();
        for value in [&bytes, &near] {
            let Ok(value) = HeaderValue::from_bytes(value) else { continue };
            let mut headers = HeaderMap::new();
            headers.append(IF_NONE_MATCH, value);
            for mark in [None, Some(MARK)] {
                let _ = Tag::new(OUTCOME, mark).held_by((&headers).into());
                let _ = Tag::resting_on(0, (&headers).into(), Surface::Edge);
            }
        }
    }
}

#[test]
fn only_the_directive_no_cache_forbids_a_304() {
    for (value, expected) in [
        ("no-cache", true),
        ("max-age=0, no-cache", true),
        ("max-age=0", false),
        ("no-cache-please", false),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(value));
        assert_eq!(forbids_not_modified((&headers).into()), expected, "{value}");
    }
}

proptest::proptest! {
    #[test]
    fn digits_are_those_of_the_standard_library(word in 0..=u64::MAX) {
        proptest::prop_assert_eq!(digits_of(word).to_vec(), format!("{word:016x}").into_bytes());
    }
}
