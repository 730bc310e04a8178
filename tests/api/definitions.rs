//! `GET {base}/proxy/client/features`: definitions for SDKs that evaluate themselves
//! (unleash-proxy.md 1.1 row 8, 1.12, 9.2).

use std::{
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use actix_web::{http::Method, rt::time::sleep};
use offleash::{
    Running,
    config::{Config, Machine, OfflineTokens, Source, proxy_env},
    token::Token,
};

use crate::{
    server::config,
    sync::{FEATURES, SECRET, tokens},
    upstream::{Answer, ScriptedUpstream},
};

const PATIENCE: Duration = Duration::from_secs(20);
const PATH: &str = "/proxy/client/features";
pub(crate) const FLAG_A: &str =
    r#"{"name":"a", "enabled":true,"strategies":[{"name":"default","segments":[7]}],"extra":1.50}"#;
const FLAG_B: &str = r#"{"name":"b","enabled":false,"project":"other","strategies":[]}"#;
pub(crate) const SEGMENT: &str = r#"{"id":7, "name":"seven","constraints":[]}"#;

/// What an upstream sends, in an order that is not ours.
pub(crate) fn payload(features: &[&str], segments: &[&str]) -> Answer {
    let (features, segments) = (features.join(",\n"), segments.join(","));
    Answer::text(format!(
        r#"{{"version":2,"segments":[{segments}],"query":{{}},"features":[{features}]}}"#
    ))
    .header("content-type", "application/json")
}

/// What is to be answered.
fn document(features: &[&str], segments: &[&str]) -> String {
    let (features, segments) = (features.join(","), segments.join(","));
    format!(r#"{{"version":2,"features":[{features}],"segments":[{segments}]}}"#)
}

/// The Unleash Proxy's variables, with `more`.
pub(crate) fn proxy(upstream: &ScriptedUpstream, more: &[(&str, &str)]) -> Config {
    let url = format!("{}/api", upstream.url());
    let env = |name: &str| {
        let more = more.iter().find(|(key, _)| *key == name);
        let text = match name {
            _ if more.is_some() => more?.1,
            "UNLEASH_URL" => &url,
            "UNLEASH_API_TOKEN" => SECRET,
            "UNLEASH_PROXY_CLIENT_KEYS" => "client-key, both-key",
            "EXP_SERVER_SIDE_SDK_CONFIG_TOKENS" => "server-key ,both-key",
            "UNLEASH_FETCH_INTERVAL" => "10",
            "UNLEASH_METRICS_INTERVAL" => "0",
            _ => return None,
        };
        Some(text.to_owned())
    };
    let machine = Machine::of_this_process(&|_| None);
    let mut config = proxy_env::resolve(&env, &machine).unwrap().config;
    config.server = super::server::config().server;
    config
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: String,
    headers: awc::http::header::HeaderMap,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

pub(crate) async fn ask(
    at: SocketAddr,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> Reply {
    let client = awc::Client::builder().timeout(PATIENCE).finish();
    let mut request = client.request(method, format!("http://{at}{path}")).no_decompress();
    for (name, value) in headers {
        request = request.append_header((*name, *value));
    }
    let mut response = request.send().await.unwrap();
    let body = response.body().limit(16 << 20).await.unwrap();
    Reply {
        status: response.status().as_u16(),
        body: String::from_utf8(body.to_vec()).unwrap(),
        headers: response.headers().clone(),
    }
}

async fn get(running: &Running, token: &str) -> Reply {
    ask(running.addr(), Method::GET, PATH, &[("authorization", token)]).await
}

/// Waits until `token` gets `expected`.
async fn serves(running: &Running, token: &str, expected: &str) {
    let patience = Instant::now() + PATIENCE;
    loop {
        let reply = get(running, token).await;
        if reply.status == 200 && reply.body == expected {
            return;
        }
        assert!(Instant::now() < patience, "{} {} instead of {expected}", reply.status, reply.body);
        sleep(Duration::from_millis(5)).await;
    }
}

#[actix_web::test]
async fn a_server_token_gets_upstreams_own_objects_segments_too() {
    let upstream = ScriptedUpstream::start();
    upstream.answer(FEATURES, payload(&[FLAG_B, FLAG_A], &[SEGMENT]));
    let running = offleash::start(proxy(&upstream, &[])).await.unwrap();
    let expected = document(&[FLAG_A, FLAG_B], &[SEGMENT]);
    serves(&running, "server-key", &expected).await;

    let reply = get(&running, "server-key").await;
    assert_eq!(reply.header("content-type"), Some("application/json; charset=utf-8"));
    assert_eq!(reply.header("cache-control"), Some("public, max-age=2"));
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    let tag = reply.header("etag").unwrap().to_owned();
    assert!(tag.starts_with("W/\""), "{tag}");

    let at = running.addr();
    let with = |name, value| [("authorization", "server-key"), (name, value)];
    let same = ask(at, Method::GET, PATH, &with("if-none-match", &tag)).await;
    assert_eq!((same.status, &*same.body), (304, ""));
    assert_eq!(same.header("etag"), Some(&*tag));
    let mut fresh = with("if-none-match", &tag).to_vec();
    fresh.push(("cache-control", "no-cache"));
    assert_eq!(ask(at, Method::GET, PATH, &fresh).await.status, 200);
    let head = ask(at, Method::HEAD, "/Proxy/Client/Features/", &with("accept", "*/*")).await;
    assert_eq!((head.status, &*head.body), (200, ""));
    assert_eq!(head.header("etag"), Some(&*tag));
    assert_eq!(head.header("content-length"), Some(&*expected.len().to_string()));
    running.stop().await;
}

#[actix_web::test]
async fn client_keys_get_none_and_a_key_of_both_lists_gets_flags_and_definitions() {
    let upstream = ScriptedUpstream::start();
    upstream.answer(FEATURES, payload(&[FLAG_A], &[SEGMENT]));
    let running = offleash::start(proxy(&upstream, &[])).await.unwrap();
    serves(&running, "both-key", &document(&[FLAG_A], &[SEGMENT])).await;
    let at = running.addr();
    for (token, definitions, flags) in [
        ("client-key", 401, 200),
        ("server-key", 200, 401),
        ("both-key", 200, 200),
        ("x", 401, 401),
    ] {
        let authorized = [("authorization", token)];
        let found = [
            ask(at, Method::GET, PATH, &authorized).await.status,
            ask(at, Method::GET, "/proxy", &authorized).await.status,
        ];
        assert_eq!(found, [definitions, flags], "{token}");
    }
    assert_eq!(ask(at, Method::GET, PATH, &[]).await.body, "Unauthorized");
    for path in ["/proxy/client/metrics", "/proxy/all/client/metrics"] {
        for (token, status) in [("client-key", 200), ("server-key", 200), ("x", 401)] {
            let body = r#"{"appName":"a","instanceId":"i","bucket":{
                "start":"2026-01-01T00:00:00Z","stop":"2026-01-01T00:01:00Z","toggles":{}}}"#;
            let client = awc::Client::default();
            let request = client.post(format!("http://{at}{path}"));
            let request = request.insert_header(("authorization", token));
            let request = request.insert_header(("content-type", "application/json"));
            let answer = request.send_body(body).await.unwrap();
            assert_eq!(answer.status().as_u16(), status, "{path} {token}");
        }
    }
    running.stop().await;
}

#[actix_web::test]
async fn before_flags_came_the_answer_is_503_whoever_asks() {
    let upstream = ScriptedUpstream::start();
    upstream.answer(FEATURES, Answer::status(500));
    let running = offleash::start(proxy(&upstream, &[("PROXY_BASE_PATH", "/b")])).await.unwrap();
    for token in ["server-key", "client-key", "nobody's"] {
        let asked = [("authorization", token)];
        let at = running.addr();
        let reply = ask(at, Method::GET, "/b/proxy/client/features", &asked).await;
        assert_eq!(reply.status, 503, "{token}");
        assert_eq!(ask(at, Method::GET, PATH, &asked).await.status, 404, "{token}");
    }
    running.stop().await;
}

#[actix_web::test]
async fn without_server_tokens_nobody_gets_definitions() {
    let upstream = ScriptedUpstream::start();
    upstream.answer(FEATURES, payload(&[FLAG_A], &[SEGMENT]));
    let none = proxy(&upstream, &[("EXP_SERVER_SIDE_SDK_CONFIG_TOKENS", "")]);
    let running = offleash::start(none).await.unwrap();
    let patience = Instant::now() + PATIENCE;
    while get(&running, "both-key").await.status == 503 {
        assert!(Instant::now() < patience, "not ready");
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(get(&running, "both-key").await.status, 401);
    running.stop().await;
}

#[actix_web::test]
async fn a_change_upstream_changes_the_document_and_its_tag() {
    let upstream = ScriptedUpstream::start();
    upstream.answer(FEATURES, payload(&[FLAG_A, FLAG_B], &[SEGMENT]));
    let running = offleash::start(proxy(&upstream, &[])).await.unwrap();
    serves(&running, "server-key", &document(&[FLAG_A, FLAG_B], &[SEGMENT])).await;
    let before = get(&running, "server-key").await.header("etag").unwrap().to_owned();

    let changed = FLAG_A.replace("true", "false");
    upstream.answer(FEATURES, payload(&[&changed], &[]));
    serves(&running, "server-key", &document(&[&changed], &[])).await;
    let with_old = [("authorization", "server-key"), ("if-none-match", &*before)];
    assert_eq!(ask(running.addr(), Method::GET, PATH, &with_old).await.status, 200);
    running.stop().await;
}

#[actix_web::test]
async fn in_edges_dialect_a_token_gets_the_definitions_of_its_projects() {
    const SOME: &str = "other:development.back";
    const FRONT: &str = "*:development.front";
    let upstream = ScriptedUpstream::start();
    upstream.answer(FEATURES, payload(&[FLAG_A, FLAG_B], &[SEGMENT]));
    upstream.knows_tokens(&[
        (SECRET, "client", "development", &["*"]),
        (SOME, "backend", "development", &["other"]),
        (FRONT, "frontend", "development", &["*"]),
    ]);
    let source = Source::Upstream(tokens(&upstream.url(), &[SECRET]));
    let running = offleash::start(Config { source, ..config() }).await.unwrap();
    serves(&running, SECRET, &document(&[FLAG_A, FLAG_B], &[SEGMENT])).await;
    // Nobody knew this one before it asked.
    serves(&running, SOME, &document(&[FLAG_B], &[])).await;
    assert_eq!(get(&running, FRONT).await.status, 401);
    assert_eq!(get(&running, "*:development.stranger").await.status, 401);

    upstream.answer(FEATURES, payload(&[FLAG_A], &[SEGMENT]));
    serves(&running, SOME, &document(&[], &[])).await;
    running.stop().await;
}

#[actix_web::test]
async fn a_file_and_the_demo_serve_definitions_to_their_backend_tokens() {
    let both = || OfflineTokens {
        frontend: vec![Token::new("front")],
        backend: vec![Token::new("back"), Token::new("*:dev.one"), Token::new("*:prod.other")],
    };
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("definitions.json");
    std::fs::write(&path, document(&[FLAG_B, FLAG_A], &[SEGMENT])).unwrap();
    let file = Source::File { path, reload_every: None, tokens: both() };
    let running = offleash::start(Config { source: file, ..config() }).await.unwrap();
    for token in ["back", "*:dev.one", "*:prod.other"] {
        serves(&running, token, &document(&[FLAG_A, FLAG_B], &[SEGMENT])).await;
    }
    assert_eq!(get(&running, "front").await.status, 401);
    running.stop().await;

    let demo = Source::Demo { tokens: both() };
    let running = offleash::start(Config { source: demo, ..config() }).await.unwrap();
    let reply = get(&running, "back").await;
    assert!(reply.body.contains("checkout-theme"), "{}", reply.body);
    running.stop().await;
}
