//! Entity tags and 304s.

use actix_web::http::Method;
use serde_json::json;

use crate::server::{FRONTEND, TestServer, features};

#[actix_web::test]
async fn who_holds_the_answer_gets_a_304() {
    let server = TestServer::with_features(&features(&[("user", "userId", "7")]));
    for path in ["/proxy", "/proxy/all", "/api/frontend", "/api/frontend/all"] {
        let first = server.get(path).token(FRONTEND).send().await;
        let tag = first.header("etag").unwrap();
        let strong = tag.trim_start_matches("W/");
        for held in [tag, strong, "*", &format!("\"x\", W/{strong}")] {
            for method in [Method::GET, Method::HEAD] {
                let ask = server.ask(method, path).token(FRONTEND).header("if-none-match", held);
                let reply = ask.send().await;
                assert_eq!(reply.status, 304, "{path} {held}");
                assert_eq!(reply.body, "");
                assert_eq!(reply.header("etag"), Some(tag));
                assert_eq!(reply.header("content-type"), None);
            }
        }
        let ask = server.get(path).token(FRONTEND).header("if-none-match", "\"other\"");
        assert_eq!(ask.send().await.body, first.body);
    }
}

#[actix_web::test]
async fn another_outcome_and_another_surface_have_other_tags() {
    let server = TestServer::with_features(&features(&[("user", "userId", "7")]));
    let mut tags = std::collections::HashSet::new();
    for path in ["/proxy", "/proxy?userId=7", "/proxy/all", "/api/frontend", "/api/frontend/all"] {
        let reply = server.get(path).token(FRONTEND).send().await;
        let tag = reply.header("etag").unwrap().trim_start_matches("W/").to_owned();
        assert!(tags.insert(tag), "{path}");
    }
    let same = server.get("/proxy?userId=8").token(FRONTEND).send().await;
    assert!(tags.contains(same.header("etag").unwrap().trim_start_matches("W/")));
}

#[actix_web::test]
async fn a_change_of_flags_changes_the_tag() {
    let mut server = TestServer::with_features(&features(&[]));
    let first = server.get("/proxy").token(FRONTEND).send().await;
    server.publish(&features(&[("env", "environment", "default")]));
    let tag = first.header("etag").unwrap();
    let reply = server.get("/proxy").token(FRONTEND).header("if-none-match", tag).send().await;
    assert_eq!(reply.toggles(), ["env", "on"]);
}

#[actix_web::test]
async fn no_cache_wins_over_the_tag_on_the_proxys_surface() {
    let server = TestServer::with_features(&features(&[]));
    for (path, directive, status) in [
        ("/proxy", "no-cache", 200),
        ("/proxy", "max-age=0", 304),
        ("/api/frontend", "no-cache", 304),
    ] {
        let first = server.get(path).token(FRONTEND).send().await;
        let tag = first.header("etag").unwrap();
        let ask = server.get(path).token(FRONTEND).header("if-none-match", tag);
        let reply = ask.header("cache-control", directive).send().await;
        assert_eq!(reply.status, status, "{path} {directive}");
    }
}

#[actix_web::test]
async fn a_post_is_never_a_304_on_the_proxys_surface_and_may_be_on_edges() {
    let server = TestServer::with_features(&features(&[]));
    for (path, status) in [("/proxy", 200), ("/api/frontend", 304)] {
        let first = server.post(path, &json!({})).token(FRONTEND).send().await;
        let tag = first.header("etag").unwrap();
        let ask = server.post(path, &json!({})).token(FRONTEND).header("if-none-match", tag);
        assert_eq!(ask.send().await.status, status, "{path}");
    }
}
