//! What Prometheus reads (unleash-proxy.md 1.16, unleash-edge.md 1.3).

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use actix_web::{http::Method, rt::time::sleep};
use offleash::{
    Running,
    config::{Config, Exposure, Source},
};

use crate::{
    definitions::{Reply, ask},
    server::config,
    sync::{FEATURES, KEY, SECRET, keys, tokens},
    upstream::{Answer, ScriptedUpstream},
};

const PATIENCE: Duration = Duration::from_secs(20);
const PROXY: &str = "/proxy/internal-backstage/prometheus";
const EDGE: &str = "/internal-backstage/metrics";

fn service(upstream: &ScriptedUpstream) -> Config {
    Config { source: Source::Upstream(keys(&upstream.url())), ..config() }
}

async fn get(running: &Running, path: &str) -> Reply {
    ask(running.addr(), Method::GET, path, &[("authorization", KEY)]).await
}

/// The value of the line that starts with `series`.
fn value(page: &str, series: &str) -> u64 {
    let mut lines = page.lines();
    let line = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in {page}")).parse().unwrap()
}

async fn ready(running: &Running) {
    let patience = Instant::now() + PATIENCE;
    while get(running, "/proxy/health").await.status != 200 {
        assert!(Instant::now() < patience, "not ready");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Reads the page until `holds`; returns it.
async fn eventually(running: &Running, holds: impl Fn(&str) -> bool) -> String {
    let patience = Instant::now() + PATIENCE;
    loop {
        let page = get(running, EDGE).await.body;
        if holds(&page) {
            return page;
        }
        assert!(Instant::now() < patience, "{page}");
        sleep(Duration::from_millis(5)).await;
    }
}

#[actix_web::test]
async fn the_unleash_proxys_three_metrics_come_first_and_not_before_it_is_ready() {
    let upstream = ScriptedUpstream::start();
    upstream.answer(FEATURES, Answer::status(500));
    let running = offleash::start(service(&upstream)).await.unwrap();
    assert_eq!(get(&running, PROXY).await.status, 503);
    let early = get(&running, EDGE).await;
    assert_eq!(early.status, 200, "who looks after it wants to know why it is not ready");
    assert_eq!(value(&early.body, "last_metrics_fetch_epoch_timestamp_ms"), 0);
    assert_eq!(value(&early.body, "offleash_ready"), 0);

    upstream.answer(FEATURES, Answer::flags(&["a", "b"]).header("etag", "\"v1\""));
    ready(&running).await;
    let reply = get(&running, PROXY).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8; version=0.0.4"));
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    let names: Vec<&str> =
        reply.body.lines().filter_map(|line| line.strip_prefix("# TYPE ")).take(3).collect();
    let expected = [
        "last_metrics_update_epoch_timestamp_ms gauge",
        "last_metrics_fetch_epoch_timestamp_ms gauge",
        "unleash_proxy_up counter",
    ];
    assert_eq!(names, expected);
    assert_eq!(value(&reply.body, "unleash_proxy_up"), 1);
    let updated = value(&reply.body, "last_metrics_update_epoch_timestamp_ms");
    assert!(updated > 1_577_836_800_000, "{updated}");
    // Checks go on, updates do not.
    let page = eventually(&running, |page| {
        value(page, "last_metrics_fetch_epoch_timestamp_ms") > updated + 20
    });
    let page = page.await;
    assert_eq!(value(&page, "last_metrics_update_epoch_timestamp_ms"), updated);
    running.stop().await;
}

#[actix_web::test]
async fn every_part_of_the_house_counts() {
    let upstream = ScriptedUpstream::start();
    upstream.answer_once(FEATURES, Answer::status(503));
    upstream.answer_once(FEATURES, Answer::status(404));
    upstream.answer_once(FEATURES, Answer::text("nonsense"));
    upstream.answer(
        FEATURES,
        Answer::text(
            r#"{"features":[{"name":"a","enabled":true,"strategies":[]},
                {"name":"b","enabled":"perhaps","strategies":[]}]}"#,
        ),
    );
    let mut settings = keys(&upstream.url());
    settings.report_every = Duration::from_millis(50);
    upstream.answer("/api/client/metrics", Answer::status(202));
    upstream.answer("/api/client/register", Answer::status(202));
    let source = Source::Upstream(settings);
    let running = offleash::start(Config { source, ..config() }).await.unwrap();
    ready(&running).await;
    let at = running.addr();

    for _ in 0..3 {
        assert_eq!(get(&running, "/proxy").await.status, 200);
    }
    assert_eq!(ask(at, Method::GET, "/api/frontend", &[]).await.status, 403);
    assert_eq!(get(&running, "/nowhere").await.status, 404);
    assert_eq!(ask(at, Method::OPTIONS, "/proxy", &[]).await.status, 204);
    assert_eq!(get(&running, "/proxy?userId=1&userId=2").await.status, 400);
    let post = |path: &str, media: &'static str, body: String| {
        let request = awc::Client::default().post(format!("http://{at}{path}"));
        let request = request.insert_header(("authorization", KEY));
        request.insert_header(("content-type", media)).send_body(body)
    };
    let json = "application/json";
    assert_eq!(post("/proxy", json, "x".repeat(200_000)).await.unwrap().status(), 413);
    assert_eq!(post("/proxy", "text/plain", "{}".into()).await.unwrap().status(), 415);
    let report = r#"{"appName":"web","instanceId":"i","bucket":{"start":"2026-01-01T00:00:00Z",
        "stop":"2026-01-01T00:01:00Z","toggles":{"a":{"yes":1,"no":0},"b":{"yes":0,"no":2}}}}"#;
    assert_eq!(post("/proxy/client/metrics", json, report.into()).await.unwrap().status(), 200);

    let page = eventually(&running, |page| value(page, "offleash_usage_reported_total") == 2).await;
    let requests = |route, status| {
        value(
            &page,
            &format!("offleash_http_requests_total{{route=\"{route}\",status=\"{status}\"}}"),
        )
    };
    assert_eq!(requests("flags", "2xx"), 3);
    assert_eq!(requests("flags", "4xx"), 4);
    assert_eq!(requests("unknown", "4xx"), 1);
    assert_eq!(requests("preflight", "2xx"), 1);
    assert_eq!(requests("usage", "2xx"), 1);
    assert!(requests("operations", "2xx") >= 2);
    for (reason, count) in [("too_large", 1), ("media_type", 1), ("unreadable", 1), ("slow", 0)] {
        let series = format!("offleash_http_refused_total{{reason=\"{reason}\"}}");
        assert_eq!(value(&page, &series), count, "{reason}");
    }
    let fetches = |outcome: &str| {
        value(&page, &format!("offleash_upstream_fetches_total{{outcome=\"{outcome}\"}}"))
    };
    assert_eq!(
        [fetches("5xx"), fetches("4xx"), fetches("unreadable"), fetches("error")],
        [1, 1, 1, 0]
    );
    assert!(fetches("200") >= 1);
    for (series, expected) in [
        ("offleash_ready", 1),
        ("offleash_flags", 2),
        ("offleash_flag_warnings", 1),
        ("offleash_grants", 1),
        ("offleash_usage_accepted_total", 2),
        ("offleash_usage_dropped_total", 0),
        ("offleash_usage_kept", 0),
        ("offleash_admission_turned_away_total", 0),
    ] {
        assert_eq!(value(&page, series), expected, "{series}");
    }
    let build = format!("offleash_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    assert_eq!(value(&page, &build), 1);
    assert!(!page.contains(KEY) && !page.contains(SECRET), "{page}");
    running.stop().await;
}

#[actix_web::test]
async fn callers_that_upstream_was_asked_about_are_counted() {
    const FRONT: &str = "*:development.front";
    let upstream = ScriptedUpstream::start();
    upstream.answer(FEATURES, Answer::flags(&["a"]));
    upstream.knows_tokens(&[
        (SECRET, "client", "development", &["*"]),
        (FRONT, "frontend", "development", &["*"]),
    ]);
    let source = Source::Upstream(tokens(&upstream.url(), &[SECRET]));
    let running = offleash::start(Config { source, ..config() }).await.unwrap();
    ready(&running).await;
    let at = running.addr();
    for (token, status) in [(FRONT, 200), ("*:development.stranger", 403)] {
        let asked = [("authorization", token)];
        assert_eq!(ask(at, Method::GET, "/api/frontend", &asked).await.status, status);
    }
    // A caller has its answer before the figures say so.
    let page = eventually(&running, |page| {
        let of = |series| value(page, series);
        (of("offleash_admitted_tokens"), of("offleash_admission_waiting")) == (1, 0)
    })
    .await;
    assert_eq!(value(&page, "offleash_denied_tokens"), 1);
    assert_eq!(value(&page, "offleash_grants"), 2);
    running.stop().await;
}

#[actix_web::test]
async fn metrics_can_be_nowhere_or_on_a_port_of_their_own() {
    let upstream = ScriptedUpstream::start();
    upstream.answer(FEATURES, Answer::flags(&["a"]));
    let mut off = service(&upstream);
    off.surfaces.metrics = Exposure::Off;
    let running = offleash::start(off).await.unwrap();
    ready(&running).await;
    for path in [PROXY, EDGE, "/metrics"] {
        assert_eq!(get(&running, path).await.status, 404, "{path}");
    }
    running.stop().await;

    let free = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let mut apart = service(&upstream);
    apart.surfaces.metrics = Exposure::Port(free.port());
    let running = offleash::start(apart).await.unwrap();
    ready(&running).await;
    assert_eq!(get(&running, "/proxy").await.status, 200);
    for path in [PROXY, EDGE, "/metrics"] {
        assert_eq!(get(&running, path).await.status, 404, "{path}");
        let reply = ask(free, Method::GET, path, &[]).await;
        assert_eq!(reply.status, 200, "{path}");
        let flags = "offleash_http_requests_total{route=\"flags\",status=\"2xx\"}";
        assert_eq!(value(&reply.body, flags), 1, "counts of every worker, wherever it listens");
    }
    for path in ["/proxy", "/api/frontend", "/"] {
        assert_eq!(ask(free, Method::GET, path, &[("authorization", KEY)]).await.status, 404);
    }
    assert_eq!(ask(free, Method::POST, "/metrics", &[]).await.status, 405);
    running.stop().await;
}
