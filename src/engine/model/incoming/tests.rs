use super::*;

const A: &str = r#"{"name":"a","enabled":true,"x":"é\u00e9 ]},\\","strategies":[]}"#;
const B: &str = r#"{"name":"b", "strategies":[{"name":"default","segments":[7]}]}"#;
const SEVEN: &str = r#"{"id": 7,"constraints":[]}"#;

/// What comes of `json` in pieces of this size.
fn pieces(
    json: &[u8],
    size: usize,
    previous: &Features,
) -> Result<(Features, Vec<Warning>), String> {
    let mut incoming = Incoming::new(Told::Definitions, previous, || {});
    let read = json.chunks(size).try_for_each(|piece| incoming.push(piece));
    read.and_then(|()| incoming.finish()).map_err(|err| err.to_string())
}

fn payload() -> String {
    format!(
        "\n{{ \"version\" : 2,\"features\":[{A} , {B},7,{{}}\t],\"segments\":[{SEVEN},{{}}], \
         \"query\":{{\"a\":[1,\"]\"]}},\"meta\":{{\"revisionId\":3}} }} \r\n"
    )
}

#[test]
fn a_payload_reads_alike_however_it_is_cut() {
    let json = payload();
    let whole = Features::parse(json.as_bytes()).unwrap();
    assert_eq!((whole.0.len(), whole.0.revision(), whole.1.len()), (2, Some(3), 4));
    for size in 1..=json.len() {
        let read = pieces(json.as_bytes(), size, &Features::default()).unwrap();
        assert_eq!(format!("{read:?}"), format!("{whole:?}"), "{size}");
    }
}

#[test]
fn what_was_known_is_shared_and_what_is_new_is_not() {
    let (before, _) = Features::parse(payload().as_bytes()).unwrap();
    let json = payload().replace("\"name\":\"b\"", "\"name\":\"c\"");
    for size in [1, 10, json.len()] {
        let (after, _) = pieces(json.as_bytes(), size, &before).unwrap();
        assert_eq!(after.features.keys().map(|name| &**name).collect::<Vec<_>>(), ["a", "c"]);
        assert!(Arc::ptr_eq(&before.features["a"], &after.features["a"]), "{size}");
        assert!(Arc::ptr_eq(&before.segments[&7], &after.segments[&7]), "{size}");
    }
}

#[test]
fn features_without_texts_are_not_taken_for_those_with_them() {
    let json = payload();
    let nothing = Features::default();
    let (answers, _) = Features::parse_as(Told::Answers, json.as_bytes(), &nothing, || {}).unwrap();
    let (read, _) = pieces(json.as_bytes(), 7, &answers).unwrap();
    assert_eq!(&*read.features["a"].raw, A);
}

#[test]
fn what_is_no_payload_is_refused_however_it_is_cut() {
    let refused: &[&[u8]] = &[
        b"",
        b" ",
        b"{",
        b"{}",
        b"[]",
        b"7",
        b"{\"features\":[]",
        b"{\"features\":[]}x",
        b"{\"features\":[]}{",
        b"{\"features\":[],}",
        b"{\"features\":[,]}",
        b"{\"features\":[1,]}",
        b"{\"features\":[1 2]}",
        b"{\"features\":{}}",
        b"{\"features\":null}",
        b"{\"features\":7}",
        b"{\"features\":[],\"features\":[]}",
        b"{\"features\":[],\"segments\":{}}",
        b"{\"features\":[],\"segments\":[],\"segments\":[]}",
        b"{\"features\":[],\"meta\":}",
        b"{\"features\":[],\"meta\":{},\"meta\":{}}",
        b"{features:[]}",
        b"{\"features\" []}",
        b"{\"features\":[] \"segments\":[]}",
        b"{\"features\":[{\"name\":\"a\"]}",
        b"{\"features\":[{\"name\":\"a\",}]}",
        b"{\"features\":[tru]}",
        b"{\"features\":[]]}",
        b"{\"features\":[\"\xff\"]}",
        b"{\"a\xff\":1,\"features\":[]}",
        b"{\"features\":[\xff]}",
        b"{\"features\":[],\"x\":nul}",
        b"{\"features\":[],\"x\"}",
        b"{,\"features\":[]}",
        b"{\"features\":[]:1}",
        b":{\"features\":[]}",
        b"{\"features\":[\"\\ud8zz\"]}",
    ];
    for json in refused {
        for size in 1..=json.len().max(1) {
            let read = pieces(json, size, &Features::default());
            assert!(read.is_err(), "{} {size}", String::from_utf8_lossy(json));
        }
    }
}

#[test]
fn what_may_be_missing_may_be_null() {
    let json = br#"{"segments":null,"meta":null,"features":[]}"#;
    for size in 1..=json.len() {
        let (read, warnings) = pieces(json, size, &Features::default()).unwrap();
        assert_eq!((read.len(), read.revision(), warnings), (0, None, Vec::new()));
    }
}

#[test]
fn a_value_that_comes_byte_by_byte_is_looked_at_once() {
    // Fails by its time alone: what takes the square of its length takes minutes for as much as this.
    let json = format!(r#"{{"features":[],"x":["{}"]}}"#, "y".repeat(2_000_000));
    assert_eq!(pieces(json.as_bytes(), 1, &Features::default()).unwrap().0.len(), 0);
}
