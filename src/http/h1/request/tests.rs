use actix_codec::Decoder as _;
use actix_http::h1::{Codec, Message};
use actix_web::{dev::RequestHead, web::BytesMut};
use proptest::{prelude::*, test_runner::TestRunner};

use super::*;

const LIMITS: Limits = Limits { request: 2_000, body: 1_000 };

/// What was read, in words: `odd`, `partial`, or a request.
fn read(text: &str) -> String {
    match Parsed::read(text.as_bytes(), LIMITS, &mut Room::new()) {
        Parsed::Odd => "odd".to_owned(),
        Parsed::Partial => "partial".to_owned(),
        Parsed::Whole(head, body, length) => {
            let body = String::from_utf8_lossy(body);
            format!("{} {} {} [{body}] {length}", head.method, head.path, head.query)
        }
    }
}

#[test]
fn plain_requests_are_taken_and_nothing_else() {
    let long = "x".repeat(2_000);
    for (text, expected) in [
        ("GET /a HTTP/1.1\r\nhost: h\r\n\r\n", "GET /a  [] 28"),
        ("GET /a?b=%20+c[d]&e HTTP/1.1\r\nHost:h\r\n\r\n", "GET /a b=%20+c[d]&e [] 40"),
        ("\r\nGET / HTTP/1.1\r\nhost: h\r\n\r\nGET", "GET /  [] 29"),
        (
            "OPTIONS /a?b?c HTTP/1.1\r\nhost: h\r\nConnection: Keep-Alive\r\n\r\n",
            "OPTIONS /a b?c [] 60",
        ),
        ("POST / HTTP/1.1\r\nhost: h\r\nContent-Length: 2\r\n\r\n{}GET", "POST /  [{}] 49"),
        ("GET / HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n", "GET /  [] 46"),
        ("", "partial"),
        ("GET / HTTP/1.1\r\nhost", "partial"),
        ("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\n{}", "partial"),
        ("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1001\r\n\r\n{}", "odd"),
        ("HEAD / HTTP/1.1\r\nhost: h\r\n\r\n", "odd"),
        ("PUT / HTTP/1.1\r\nhost: h\r\n\r\n", "odd"),
        ("get / HTTP/1.1\r\nhost: h\r\n\r\n", "odd"),
        ("GET / HTTP/1.1\r\n\r\n", "odd"),
        ("GET / HTTP/1.1\r\nhost: h\r\nhost: h\r\n\r\n", "odd"),
        ("GET / HTTP/1.0\r\nhost: h\r\n\r\n", "odd"),
        ("GET / HTTP/2.0\r\nhost: h\r\n\r\n", "odd"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "odd"),
        ("GET http://h/ HTTP/1.1\r\nhost: h\r\n\r\n", "odd"),
        ("OPTIONS * HTTP/1.1\r\nhost: h\r\n\r\n", "odd"),
        ("GET /a#b HTTP/1.1\r\nhost: h\r\n\r\n", "odd"),
        ("GET /\u{e9} HTTP/1.1\r\nhost: h\r\n\r\n", "odd"),
        ("GET /{} HTTP/1.1\r\nhost: h\r\n\r\n", "odd"),
        ("GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n", "odd"),
        ("GET / HTTP/1.1\r\nhost: h\r\nconnection: x, y\r\n\r\n", "odd"),
        ("GET / HTTP/1.1\r\nhost: h\r\nUpgrade: h2c\r\n\r\n", "odd"),
        ("POST / HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\n\r\n", "odd"),
        ("POST / HTTP/1.1\r\nhost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "odd"),
        ("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\n{}", "odd"),
        ("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: +2\r\n\r\n{}", "odd"),
        ("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 2, 2\r\n\r\n{}", "odd"),
        ("POST / HTTP/1.1\r\nhost: h\r\ncontent-length:\r\n\r\n{}", "odd"),
        ("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 00000002\r\n\r\n{}", "odd"),
        ("GET / HTTP/1.1\r\nhost: h\r\na b: c\r\n\r\n", "odd"),
        ("GET / HTTP/1.1\r\nhost: h\r\na: b\r\n c\r\n\r\n", "odd"),
        ("nonsense\r\n\r\n", "odd"),
        (&format!("GET /{long}"), "odd"),
        (&format!("GET / HTTP/1.1\r\nhost: h\r\n{}\r\n", "a: b\r\n".repeat(LINES)), "odd"),
    ] {
        assert_eq!(read(text), expected, "{text:?}");
    }
}

/// What actix-http makes of `bytes`: a head, a body, and how many bytes are left.
fn actix(bytes: &[u8]) -> Option<(RequestHead, Vec<u8>, usize)> {
    let (mut codec, mut left) = (Codec::default(), BytesMut::from(bytes));
    let Ok(Some(Message::Item(request))) = codec.decode(&mut left) else { return None };
    let goes_on = codec.keep_alive() && !codec.upgrade();
    assert!(goes_on && !request.head().expect(), "the connection does not go on as it was");
    let mut head = RequestHead::default();
    head.method = request.method().clone();
    head.uri = request.uri().clone();
    head.version = request.version();
    head.headers = request.head().headers.clone();
    let mut body = Vec::new();
    if matches!(codec.message_type(), actix_http::h1::MessageType::Payload) {
        loop {
            match codec.decode(&mut left) {
                Ok(Some(Message::Chunk(Some(chunk)))) => body.extend_from_slice(&chunk),
                Ok(Some(Message::Chunk(None))) => break,
                _ => return None,
            }
        }
    }
    Some((head, body, left.len()))
}

/// Requests of all sorts, and what is nearly one.
fn anything() -> impl Strategy<Value = Vec<u8>> {
    let method = prop_oneof![
        4 => Just("GET"),
        2 => Just("POST"),
        1 => Just("OPTIONS"),
        1 => Just("HEAD"),
        1 => Just("G\tT"),
    ];
    let target = prop_oneof![
        4 => "/[a-z]{0,4}(\\?[a-z=&%+\\[\\]0-9]{0,20})?",
        1 => "/?[ -~]{0,10}",
        1 => "/[\u{80}-\u{ff}#?]{0,3}",
    ];
    let version = prop_oneof![8 => Just("HTTP/1.1"), 1 => Just("HTTP/1.0"), 1 => Just("HTTP/1.2")];
    let name = prop_oneof![
        Just("content-length".to_owned()),
        Just("Content-Length".to_owned()),
        Just("connection".to_owned()),
        Just("transfer-encoding".to_owned()),
        Just("upgrade".to_owned()),
        Just("expect".to_owned()),
        Just("Host".to_owned()),
        "[a-zA-Z-]{1,12}",
        "[ -~]{0,4}",
    ];
    let value = prop_oneof![
        3 => "[0-9]{0,3}", 1 => "[ +,0-9]{0,4}", 1 => Just("keep-alive".to_owned()), 1 => Just("close".to_owned()),
        1 => Just("chunked".to_owned()), 2 => "[\t -~\u{80}-\u{ff}]{0,12}", 1 => "[\u{0}-\u{20}]{0,2}",
    ];
    let space = prop_oneof![4 => Just(" "), 1 => Just(""), 1 => Just("\t "), 1 => Just("\r\n ")];
    let line = (name, space.clone(), value, space)
        .prop_map(|(name, before, value, behind)| format!("{name}:{before}{value}{behind}\r\n"));
    let lines = proptest::collection::vec(line, 0..5);
    let host = prop_oneof![8 => Just("host: h\r\n"), 1 => Just("")];
    let body = proptest::collection::vec(any::<u8>(), 0..40);
    (method, target, version, host, lines, body).prop_map(
        |(method, target, version, host, lines, body)| {
            let head = format!("{method} {target} {version}\r\n{}{}\r\n", host, lines.concat());
            [head.as_bytes(), &body].concat()
        },
    )
}

// In a runtime, as actix-http's codec keeps the time.
#[actix_rt::test]
async fn whatever_is_taken_is_what_actix_http_would_read() {
    let taken = std::cell::Cell::new(0);
    let cases = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) };
    let result = TestRunner::new(cases).run(&anything(), |bytes| {
        let mut room = Room::new();
        let Parsed::Whole(head, body, length) = Parsed::read(&bytes, LIMITS, &mut room) else {
            return Ok(());
        };
        taken.set(taken.get() + 1);
        let Some((theirs, their_body, left)) = actix(&bytes) else {
            return Err(TestCaseError::fail("it is no request"));
        };
        prop_assert_eq!(length, bytes.len() - left);
        prop_assert_eq!(body, &their_body[..]);
        let their_names: Vec<_> = theirs.headers.keys().cloned().collect();
        prop_assert_eq!(head.headers.len(), theirs.headers.len());
        let theirs = Head::from(&theirs);
        prop_assert_eq!((head.method, head.path), (theirs.method, theirs.path));
        prop_assert_eq!((head.query, head.version), (theirs.query, theirs.version));
        for name in their_names {
            let ours: Vec<_> = head.headers.all(&name).collect();
            prop_assert_eq!(ours, theirs.headers.all(&name).collect::<Vec<_>>());
        }
        Ok(())
    });
    assert_eq!(result, Ok(()));
    assert!(taken.get() > 100, "{taken:?} were taken");
}

proptest! {
    #[test]
    fn what_is_cut_off_is_waited_for(bytes in anything(), cut in any::<proptest::sample::Index>()) {
        if let Parsed::Whole(_, _, length) = Parsed::read(&bytes, LIMITS, &mut Room::new()) {
            let part = &bytes[..cut.index(length)];
            let waits = matches!(Parsed::read(part, LIMITS, &mut Room::new()), Parsed::Partial);
            prop_assert!(waits);
        }
    }
}
