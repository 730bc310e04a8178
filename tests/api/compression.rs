//! Compressed answers, over the wire.

use actix_web::http::Method;
use serde_json::Value;

use crate::server::{FRONTEND, Reply, TestServer, features};

/// A server whose lists are long enough to be compressed.
fn server() -> TestServer {
    let names: Vec<String> = (0..40).map(|number| format!("flag-number-{number}")).collect();
    let flags: Vec<_> = names.iter().map(|name| (name.as_str(), "userId", "7")).collect();
    TestServer::with_features(&features(&flags))
}

async fn asked(server: &TestServer, path: &str, accepted: Option<&str>) -> Reply {
    let ask = server.get(&format!("{path}?userId=7")).token(FRONTEND);
    match accepted {
        Some(codings) => ask.header("accept-encoding", codings).send_bytes().await,
        None => ask.send_bytes().await,
    }
}

fn unzipped(bytes: &[u8]) -> Value {
    serde_json::from_reader(flate2::read::GzDecoder::new(bytes)).unwrap()
}

#[actix_web::test]
async fn a_long_answer_is_sent_as_the_caller_accepts_it() {
    let server = server();
    for path in ["/proxy", "/proxy/all", "/api/frontend", "/api/frontend/all"] {
        let plain = asked(&server, path, None).await;
        assert_eq!(plain.header("content-encoding"), None);
        let length: usize = plain.header("content-length").unwrap().parse().unwrap();
        for (accepted, expected) in [
            ("gzip", Some("gzip")),
            ("gzip, deflate, br, zstd", Some("zstd")),
            ("br", Some("br")),
            ("deflate", Some("deflate")),
            ("identity, gzip;q=0", None),
        ] {
            let reply = asked(&server, path, Some(accepted)).await;
            assert_eq!(reply.status, 200);
            assert_eq!(reply.header("content-encoding"), expected, "{path} {accepted}");
            assert!(reply.header("vary").unwrap().contains("Accept-Encoding"));
            // One answer, whatever it is sent in.
            assert_eq!(reply.header("etag"), plain.header("etag"));
            if expected.is_some() {
                assert!(reply.bytes.len() < length / 4, "{} of {length}", reply.bytes.len());
            }
            if expected == Some("gzip") {
                let json: Value = serde_json::from_slice(&plain.bytes).unwrap();
                assert_eq!(unzipped(&reply.bytes), json);
            }
        }
    }
}

#[actix_web::test]
async fn a_short_answer_a_refusal_and_a_head_are_sent_plain() {
    let server = server();
    for ask in [
        server.get("/proxy").token(FRONTEND),
        server.get("/proxy?userId=7").token("nobody"),
        server.ask(Method::HEAD, "/api/frontend?userId=7").token(FRONTEND),
    ] {
        let reply = ask.header("accept-encoding", "gzip").send_bytes().await;
        assert_eq!(reply.header("content-encoding"), None, "{reply:?}");
    }
}

#[actix_web::test]
async fn a_tag_from_a_compressed_answer_is_recognised() {
    let server = server();
    let reply = asked(&server, "/proxy", Some("gzip")).await;
    let tag = reply.header("etag").unwrap().to_owned();
    let ask = server.get("/proxy?userId=7").token(FRONTEND).header("if-none-match", &tag);
    let reply = ask.header("accept-encoding", "gzip").send_bytes().await;
    assert_eq!((reply.status.as_u16(), reply.bytes.len()), (304, 0));
    assert_eq!(reply.header("content-encoding"), None);
}
