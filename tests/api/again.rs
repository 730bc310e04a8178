//! The same question again: answered from what the caller's tag says it rests on.

use std::{net::SocketAddr, time::Duration};

use actix_web::http::Method;
use offleash::{
    Running,
    config::{Config, Source, TrustProxy},
};
use serde_json::{Value, json};

use crate::{
    server::config,
    sync::{FEATURES, KEY, keys},
    upstream::{Answer, ScriptedUpstream},
};

const LISTS: [&str; 3] = ["/proxy?userId=7", "/proxy/all?userId=7", "/api/frontend?userId=7"];

fn flags(revision: u64, strategy: &Value) -> Answer {
    let flag = json!({"name": "a", "enabled": true, "strategies": [strategy]});
    Answer::json(&json!({"version": 2, "features": [flag], "meta": {"revisionId": revision}}))
}

async fn start(upstream: &ScriptedUpstream) -> Running {
    let mut source = keys(&upstream.url());
    source.poll_every = Duration::from_millis(20);
    let mut config = Config { source: Source::Upstream(source), ..config() };
    config.surfaces.trust_proxy = TrustProxy::Everybody;
    let running = offleash::start(config).await.unwrap();
    for _ in 0..1000 {
        if get(running.addr(), "/proxy", "").await.0 == 200 {
            return running;
        }
        actix_web::rt::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not ready");
}

/// Asks as a client at `from` that holds `tag`. Returns the status and the tag that came.
async fn ask(at: SocketAddr, method: Method, path: &str, from: &str, tag: &str) -> (u16, String) {
    let client = awc::Client::default();
    let request = client.request(method, format!("http://{at}{path}"));
    let request = request.insert_header(("authorization", KEY));
    let request = request.insert_header(("x-forwarded-for", from));
    let response = request.insert_header(("if-none-match", tag)).send().await.unwrap();
    let tag = response.headers().get("etag").map(|tag| tag.to_str().unwrap().to_owned());
    (response.status().as_u16(), tag.unwrap_or_default())
}

async fn get(at: SocketAddr, path: &str, tag: &str) -> (u16, String) {
    ask(at, Method::GET, path, "10.0.0.1", tag).await
}

/// The tag of another answer that rests on the same: held by nobody who did not forge it, and so
/// what shows that nothing was evaluated.
fn forged(tag: &str) -> String {
    let (start, rest) = tag.split_once('"').unwrap();
    format!("{start}\"{}{}", "f".repeat(32), &rest[32..])
}

/// Whether the answer of this tag may be repeated without evaluating.
fn rests(tag: &str) -> bool {
    tag.matches('-').count() == 3
}

#[actix_web::test]
async fn who_asks_again_on_the_same_basis_is_told_so_without_an_evaluation() {
    let upstream = ScriptedUpstream::start();
    upstream.answer(FEATURES, flags(1, &json!({"name": "default"})));
    let running = start(&upstream).await;
    for path in LISTS {
        let (status, tag) = get(running.addr(), path, "").await;
        assert_eq!(status, 200);
        assert!(rests(&tag), "{tag}");
        assert_eq!(get(running.addr(), path, &tag).await, (304, tag.clone()));
        assert_eq!(get(running.addr(), path, &forged(&tag)).await, (304, forged(&tag)));
        let other = path.replace('7', "8");
        assert_eq!(get(running.addr(), &other, &forged(&tag)).await.0, 200, "another question");
        let no_cache = awc::Client::default().get(format!("http://{}{path}", running.addr()));
        let no_cache = no_cache.insert_header(("cache-control", "no-cache"));
        let no_cache = no_cache.insert_header(("authorization", KEY));
        let status = no_cache.insert_header(("if-none-match", forged(&tag))).send().await;
        let expected = if path.starts_with("/proxy") { 200 } else { 304 };
        assert_eq!(status.unwrap().status().as_u16(), expected);
    }
    running.stop().await;
}

#[actix_web::test]
async fn other_flags_are_another_basis_even_of_the_same_revision() {
    let upstream = ScriptedUpstream::start();
    upstream.answer(FEATURES, flags(1, &json!({"name": "default"})));
    let running = start(&upstream).await;
    let mut tags = Vec::new();
    for path in LISTS {
        tags.push((path, get(running.addr(), path, "").await.1));
    }
    let off = json!({"name": "userWithId", "parameters": {"userIds": "nobody"}});
    upstream.answer(FEATURES, flags(1, &off));
    for (path, tag) in tags {
        let mut status = 304;
        for _ in 0..500 {
            (status, _) = get(running.addr(), path, &forged(&tag)).await;
            if status == 200 {
                break;
            }
            actix_web::rt::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(status, 200, "{path}");
        assert_eq!(get(running.addr(), path, &tag).await.0, 200);
    }
    running.stop().await;
}

#[actix_web::test]
async fn what_chance_decides_is_decided_each_time() {
    let upstream = ScriptedUpstream::start();
    let rollout = |stickiness: &str| {
        json!({"name": "flexibleRollout",
            "parameters": {"rollout": "50", "stickiness": stickiness, "groupId": "g"}})
    };
    for (stickiness, query, expected) in [
        ("default", "?userId=7", true),
        ("default", "?sessionId=7", true),
        ("default", "", false),
        ("random", "?userId=7", false),
        ("sessionId", "?userId=7&sessionId=7", true),
    ] {
        upstream.answer(FEATURES, flags(1, &rollout(stickiness)));
        let running = start(&upstream).await;
        for surface in ["/proxy", "/api/frontend"] {
            let (_, tag) = get(running.addr(), &format!("{surface}{query}"), "").await;
            assert_eq!(rests(&tag), expected, "{stickiness} {surface}{query}");
        }
        running.stop().await;
    }
    // The Proxy draws a session beside a user, Edge does not (adr 0002).
    upstream.answer(FEATURES, flags(1, &rollout("sessionId")));
    let running = start(&upstream).await;
    assert!(!rests(&get(running.addr(), "/proxy?userId=7", "").await.1));
    running.stop().await;
}

#[actix_web::test]
async fn the_callers_address_is_part_of_the_basis_where_flags_read_it() {
    let upstream = ScriptedUpstream::start();
    let by_address = json!({"name": "remoteAddress", "parameters": {"IPs": "10.0.0.0/8"}});
    for (strategy, elsewhere) in [(json!({"name": "default"}), 304), (by_address, 200)] {
        upstream.answer(FEATURES, flags(1, &strategy));
        let running = start(&upstream).await;
        for path in LISTS {
            let tag = forged(&get(running.addr(), path, "").await.1);
            assert_eq!(get(running.addr(), path, &tag).await.0, 304);
            let (status, _) = ask(running.addr(), Method::GET, path, "192.0.2.1", &tag).await;
            assert_eq!(status, elsewhere, "{path} {strategy}");
        }
        running.stop().await;
    }
}

#[actix_web::test]
async fn heads_answer_is_not_gets() {
    let upstream = ScriptedUpstream::start();
    upstream.answer(FEATURES, flags(1, &json!({"name": "default"})));
    let running = start(&upstream).await;
    let (_, tag) = get(running.addr(), LISTS[0], "").await;
    let head = ask(running.addr(), Method::HEAD, LISTS[0], "10.0.0.1", &forged(&tag)).await;
    assert_eq!(head.0, 200);
    assert!(!rests(&head.1));
    running.stop().await;
}
