//! Usage counts, from SDKs over the whole process to an upstream that misbehaves.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use offleash::{
    Running,
    config::{Access, Config, Outbound, Source, Upstream},
    token::Token,
};
use serde_json::{Value, json};

use crate::{
    server::{BACKEND, EMPTY, FRONTEND, TestServer, config, features},
    upstream::{Answer, Request, ScriptedUpstream},
};

const SINGLE: &str = "/api/client/metrics";
const BULK: &str = "/api/client/metrics/bulk";
const KEY: &str = "a-client-key";
const SECRET: &str = "*:development.secret";
const SENDER: &str = "*:development.sender";

/// What upstream confirmed: sums by application and flag, and by variant.
#[derive(Clone, Debug, Default, PartialEq)]
struct Sums(BTreeMap<(String, String), [u64; 2]>, BTreeMap<(String, String), u64>);

struct House {
    running: Running,
    upstream: ScriptedUpstream,
    confirmed: Arc<Mutex<Sums>>,
    reports: Arc<AtomicUsize>,
}

#[derive(Clone, Copy, Debug)]
enum Dialect {
    Proxy,
    Edge,
}

// === impl Sums ===

impl Sums {
    fn add(&mut self, app: &str, toggle: &str, counts: &Value) {
        let key = (app.to_owned(), toggle.to_owned());
        let sums = self.0.entry(key).or_default();
        sums[0] += counts["yes"].as_u64().unwrap();
        sums[1] += counts["no"].as_u64().unwrap();
        for (variant, count) in counts["variants"].as_object().into_iter().flatten() {
            let key = (toggle.to_owned(), variant.clone());
            *self.1.entry(key).or_default() += count.as_u64().unwrap();
        }
    }

    fn add_request(&mut self, request: &Request) {
        let body = request.json();
        if let Some(toggles) = body["bucket"]["toggles"].as_object() {
            for (toggle, counts) in toggles {
                self.add(body["appName"].as_str().unwrap(), toggle, counts);
            }
        }
        for row in body["metrics"].as_array().into_iter().flatten() {
            let name = |field: &str| row[field].as_str().unwrap().to_owned();
            self.add(&name("appName"), &name("featureName"), row);
        }
    }
}

// === impl House ===

impl House {
    /// An upstream that answers reports with `statuses`, one after the other, and then with 202.
    async fn start(dialect: Dialect, report_every: Duration, statuses: &[u16]) -> Self {
        let upstream = ScriptedUpstream::start();
        upstream.answer("/api/client/features", Answer::flags(&["on"]));
        upstream.answer("/api/client/register", Answer::status(202));
        upstream.knows_tokens(&[
            (SECRET, "backend", "development", &["*"]),
            (SENDER, "frontend", "development", &["*"]),
        ]);
        let confirmed = Arc::<Mutex<Sums>>::default();
        let reports = Arc::new(AtomicUsize::new(0));
        for path in [SINGLE, BULK] {
            let (confirmed, reports) = (Arc::clone(&confirmed), Arc::clone(&reports));
            let statuses = statuses.to_vec();
            upstream.answer_with(path, move |request| {
                let status = statuses.get(reports.fetch_add(1, Ordering::SeqCst)).unwrap_or(&202);
                if *status == 202 {
                    confirmed.lock().unwrap().add_request(request);
                }
                Answer::status(*status)
            });
        }
        let running = offleash::start(house_config(&upstream.url(), dialect, report_every)).await;
        Self { running: running.unwrap(), upstream, confirmed, reports }
    }

    async fn post(&self, path: &str, token: &str, body: &Value) -> (u16, String) {
        let client = awc::Client::builder().timeout(Duration::from_secs(20)).finish();
        let url = format!("http://{}{path}", self.running.addr());
        let request = client.post(url).insert_header(("authorization", token));
        let mut response = request.send_json(body).await.unwrap();
        let text = String::from_utf8(response.body().await.unwrap().to_vec()).unwrap();
        (response.status().as_u16(), text)
    }

    async fn eventually(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(15);
        while !condition(self) {
            assert!(Instant::now() < deadline, "not in time: {what}");
            actix_web::rt::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn reported(&self) -> usize {
        self.reports.load(Ordering::SeqCst)
    }
}

fn house_config(url: &str, dialect: Dialect, report_every: Duration) -> Config {
    let access = match dialect {
        Dialect::Proxy => Access::Keys {
            upstream_token: Token::new(SECRET),
            client_keys: vec![Token::new(KEY)],
            server_tokens: Vec::new(),
        },
        Dialect::Edge => Access::Tokens { startup: vec![Token::new(SECRET)], frontend: Vec::new() },
    };
    let mut config = config();
    config.server.stop_within = Duration::from_secs(10);
    config.source = Source::Upstream(Upstream {
        api_url: format!("{url}/api"),
        root_url: url.to_owned(),
        token_header: "authorization".to_owned(),
        custom_headers: Vec::new(),
        poll_every: Duration::from_millis(50),
        connect_within: Duration::from_secs(2),
        answer_within: Duration::from_secs(5),
        query: Vec::new(),
        access,
        report_every,
        report_jitter: Duration::ZERO,
        outbound: Outbound::default(),
        bootstrap: None,
    });
    config
}

fn report(app: &str, toggles: &Value) -> Value {
    let now = chrono::Utc::now().to_rfc3339();
    json!({"appName": app, "instanceId": "i", "bucket": {
        "start": now, "stop": now, "toggles": toggles,
    }})
}

impl Dialect {
    fn sender(self) -> (&'static str, &'static str, u16) {
        match self {
            Self::Proxy => ("/proxy/client/metrics", KEY, 200),
            Self::Edge => ("/api/frontend/client/metrics", SENDER, 202),
        }
    }
}

// === sums ===

#[actix_web::test]
async fn ten_clients_sums_arrive_exactly_through_two_failures_and_a_stop() {
    for dialect in [Dialect::Proxy, Dialect::Edge] {
        let house = House::start(dialect, Duration::from_millis(40), &[500, 403]).await;
        let (path, token, accepted) = dialect.sender();
        let clients = (0..10_u64).map(|client| {
            let house = &house;
            async move {
                let names = ["plain", "__proto__", "constructor", "", "snø ❄"];
                let app = format!("app-{}", client % 3);
                for round in 0..20 {
                    let name = names[usize::try_from((client + round) % 5).unwrap()];
                    let counts = json!({"yes": client + 1, "no": round, "variants": {name: 2}});
                    let body = report(&app, &json!({name: counts}));
                    assert_eq!(house.post(path, token, &body).await.0, accepted);
                }
            }
        });
        join_all(clients).await;
        let mut sent = Sums::default();
        for client in 0..10_u64 {
            for round in 0..20 {
                let names = ["plain", "__proto__", "constructor", "", "snø ❄"];
                let name = names[usize::try_from((client + round) % 5).unwrap()];
                let counts = json!({"yes": client + 1, "no": round, "variants": {name: 2}});
                sent.add(&format!("app-{}", client % 3), name, &counts);
            }
        }
        let House { running, confirmed, reports, .. } = house;
        running.stop().await;
        assert_eq!(*confirmed.lock().unwrap(), sent, "{dialect:?}");
        assert!(reports.load(Ordering::SeqCst) > 2, "both failures were met");
    }
}

#[actix_web::test]
async fn a_stop_reports_what_no_interval_did() {
    for dialect in [Dialect::Proxy, Dialect::Edge] {
        let house = House::start(dialect, Duration::from_secs(600), &[503]).await;
        let (path, token, accepted) = dialect.sender();
        let body = report("app", &json!({"a": {"yes": 3}}));
        assert_eq!(house.post(path, token, &body).await.0, accepted);
        let House { running, confirmed, .. } = house;
        running.stop().await;
        let sums = confirmed.lock().unwrap().0.clone();
        assert_eq!(sums, BTreeMap::from([(("app".to_owned(), "a".to_owned()), [3, 0])]));
    }
}

#[actix_web::test]
async fn named_toggles_count_once_each_under_the_configured_name() {
    let house = House::start(Dialect::Proxy, Duration::from_secs(600), &[]).await;
    house
        .eventually("flags came", |house| {
            !house.upstream.requests_to("/api/client/features").is_empty()
        })
        .await;
    let body = json!({"toggles": ["on", "unknown"]});
    let deadline = Instant::now() + Duration::from_secs(10);
    while house.post("/proxy", KEY, &body).await.0 != 200 {
        assert!(Instant::now() < deadline);
    }
    assert_eq!(house.post("/proxy", KEY, &json!({})).await.0, 200);
    let House { running, confirmed, .. } = house;
    running.stop().await;
    let app = "unleash-proxy".to_owned();
    let expected = BTreeMap::from([
        ((app.clone(), "on".to_owned()), [1, 0]),
        ((app, "unknown".to_owned()), [0, 1]),
    ]);
    assert_eq!(confirmed.lock().unwrap().0, expected);
}

#[actix_web::test]
async fn sums_saturate_and_never_overflow() {
    let house = House::start(Dialect::Proxy, Duration::from_secs(600), &[]).await;
    for _ in 0..2 {
        let body = report("app", &json!({"a": {"yes": u64::MAX, "no": 1e300}}));
        assert_eq!(house.post("/proxy/client/metrics", KEY, &body).await.0, 200);
    }
    let House { running, confirmed, .. } = house;
    running.stop().await;
    let most = (1 << 53) - 1;
    assert_eq!(confirmed.lock().unwrap().0.values().next(), Some(&[most, most]));
}

// === what upstream is told ===

#[actix_web::test]
async fn a_proxys_report_names_its_sender_and_carries_impact_metrics() {
    let house = House::start(Dialect::Proxy, Duration::from_millis(50), &[]).await;
    let mut body = report("web", &json!({"a": {"yes": 1}}));
    let labels = json!({"appName": "web"});
    let metric = json!({"name": "n", "help": "h", "type": "counter",
        "samples": [{"labels": labels, "value": 4}]});
    body["impactMetrics"] = json!([metric]);
    house.post("/proxy/all/client/metrics", KEY, &body).await;
    house.eventually("a report", |house| house.reported() > 0).await;
    let request = house.upstream.requests_to(SINGLE).remove(0);
    assert_eq!(request.header("authorization"), Some(SECRET));
    assert_eq!(request.header("unleash-interval"), Some("50"));
    let told = request.json();
    for (field, value) in [
        ("appName", json!("web")),
        ("instanceId", json!("test")),
        ("connectionId", json!("test")),
        ("platformName", json!("rust")),
        ("specVersion", json!("6.1.0")),
        ("yggdrasilVersion", Value::Null),
        ("impactMetrics", json!([metric])),
    ] {
        assert_eq!(told[field], value, "{field}");
    }
    let register = json!({"appName": "web", "interval": 1, "started": 1, "strategies": []});
    let answer = house.post("/proxy/client/register", KEY, &register).await;
    assert_eq!(answer, (200, "OK".to_owned()));
    // An empty bucket is not reported, nor is a registration.
    actix_web::rt::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(house.reported(), 1);
    house.running.stop().await;
}

#[actix_web::test]
async fn a_registration_goes_up_with_the_way_it_came_even_without_counts() {
    let house = House::start(Dialect::Edge, Duration::from_millis(50), &[]).await;
    let body = json!({"appName": "web", "instanceId": "i", "environment": "elsewhere",
        "connectVia": [{"appName": "other", "instanceId": "o"}], "strategies": ["default"]});
    let answer = house.post("/api/proxy/all/client/register", SENDER, &body).await;
    assert_eq!(answer, (202, String::new()));
    house.eventually("a report", |house| house.reported() > 0).await;
    let told = house.upstream.requests_to(BULK).remove(0).json();
    assert_eq!(told["metrics"], json!([]));
    let application = &told["applications"][0];
    assert_eq!(application["environment"], "development");
    assert_eq!(application["projects"], json!(["*"]));
    assert_eq!(
        application["connectVia"],
        json!([{"appName": "other", "instanceId": "o"}, {"appName": "test", "instanceId": "test"}])
    );
    house.running.stop().await;
}

#[actix_web::test]
async fn one_flag_that_upstream_refuses_holds_up_no_other_and_is_dropped_in_the_end() {
    for dialect in [Dialect::Proxy, Dialect::Edge] {
        let house = House::start(dialect, Duration::from_millis(20), &[]).await;
        let (path, token, _) = dialect.sender();
        for report_path in [SINGLE, BULK] {
            let (confirmed, reports) = (Arc::clone(&house.confirmed), Arc::clone(&house.reports));
            house.upstream.answer_with(report_path, move |request| {
                reports.fetch_add(1, Ordering::SeqCst);
                if String::from_utf8_lossy(&request.body).contains("bad-flag") {
                    return Answer::status(400);
                }
                confirmed.lock().unwrap().add_request(request);
                Answer::status(202)
            });
        }
        let toggles: serde_json::Map<String, Value> = ["bad-flag".to_owned()]
            .into_iter()
            .chain((0..50).map(|at| format!("flag-{at}")))
            .map(|name| (name, json!({"yes": 3, "no": 1, "variants": {}})))
            .collect();
        house.post(path, token, &report("web", &Value::Object(toggles))).await;
        house
            .eventually("all others arrive", |house| house.confirmed.lock().unwrap().0.len() == 50)
            .await;
        let sums = house.confirmed.lock().unwrap().clone();
        assert!(sums.0.values().all(|sums| *sums == [3, 1]), "each once: {sums:?}");
        // By itself, interval after interval, until there is no hope for it.
        let alone = |house: &House| {
            let requests = house.upstream.requests().into_iter();
            requests.filter(|it| String::from_utf8_lossy(&it.body).contains("bad-flag")).count()
        };
        let quiet = Instant::now() + Duration::from_secs(20);
        let mut last = (alone(&house), Instant::now());
        while last.1.elapsed() < Duration::from_millis(1500) {
            assert!(Instant::now() < quiet, "{dialect:?}: it is never given up");
            let now = alone(&house);
            if now != last.0 {
                last = (now, Instant::now());
            }
            actix_web::rt::time::sleep(Duration::from_millis(10)).await;
        }
        let stopped = Instant::now();
        house.running.stop().await;
        assert!(stopped.elapsed() < Duration::from_secs(4), "nothing is left to report");
    }
}

#[actix_web::test]
async fn an_upstream_without_a_place_for_reports_hurts_nobody() {
    let house = House::start(Dialect::Proxy, Duration::from_millis(30), &[404; 4]).await;
    let body = report("app", &json!({"a": {"yes": 1}}));
    assert_eq!(house.post("/proxy/client/metrics", KEY, &body).await.0, 200);
    house.eventually("the counts were kept", |house| house.reported() >= 5).await;
    assert_eq!(house.confirmed.lock().unwrap().0.values().next(), Some(&[1, 0]));
    house.running.stop().await;
}

#[actix_web::test]
async fn a_stop_does_not_wait_for_an_upstream_that_has_no_place_for_reports() {
    let house = House::start(Dialect::Proxy, Duration::from_secs(600), &[404; 100]).await;
    let body = report("app", &json!({"a": {"yes": 1}}));
    assert_eq!(house.post("/proxy/client/metrics", KEY, &body).await.0, 200);
    let House { running, reports, .. } = house;
    running.stop().await;
    assert_eq!(reports.load(Ordering::SeqCst), 1);
}

// === validation and tokens ===

#[actix_web::test]
async fn reports_are_accepted_before_ready_by_frontends_and_servers() {
    let mut server = TestServer::start(config(), None);
    let good = report("app", &json!({"a": {"yes": "5", "no": null, "variants": {"v": true}}}));
    server.publish(&features(&[]));
    server.publisher.publish(
        [FRONTEND, BACKEND, EMPTY]
            .into_iter()
            .zip(crate::server::grants(&crate::server::plan(&features(&[]))))
            .map(|(_, (token, grant))| (token, offleash::snapshot::Grant { plan: None, ..grant }))
            .collect(),
        false,
    );
    assert_eq!(server.get("/proxy").token(FRONTEND).send().await.status, 503);
    for token in [FRONTEND, BACKEND, EMPTY] {
        let reply = server.post("/proxy/client/metrics", &good).token(token).send().await;
        assert_eq!((reply.status.as_u16(), &*reply.body), (200, "OK"), "{token}");
        let reply = server.post("/api/frontend/client/metrics", &good).token(token).send().await;
        assert_eq!((reply.status.as_u16(), &*reply.body), (202, ""), "{token}");
    }
}

#[actix_web::test]
async fn a_bad_report_is_refused_before_a_bad_key_on_the_proxys_surface_and_after_it_on_edges() {
    let server = TestServer::with_features(&features(&[]));
    let (good, bad) = (report("app", &json!({})), json!({"appName": []}));
    for (path, body, token, status) in [
        ("/proxy/client/metrics", &good, "nobody", 401),
        ("/proxy/client/metrics", &bad, "nobody", 400),
        ("/PROXY/All/client/metrics/", &good, FRONTEND, 200),
        ("/proxy/all/client/register", &good, FRONTEND, 404),
        ("/api/frontend/client/metrics", &good, "nobody", 403),
        ("/api/frontend/client/metrics", &bad, "nobody", 403),
        ("/api/frontend/client/metrics", &bad, FRONTEND, 422),
        ("/api/proxy/all/client/metrics", &good, FRONTEND, 202),
        ("/api/proxy/client/metrics", &json!({"appName": "no bucket"}), FRONTEND, 202),
        ("/api/frontend/client/register", &bad, FRONTEND, 422),
        ("/api/frontend/client/elsewhere", &good, FRONTEND, 404),
    ] {
        let reply = server.post(path, body).token(token).send().await;
        assert_eq!(reply.status.as_u16(), status, "{path} {token} {}", reply.body);
    }
    let large = json!({"appName": "x".repeat(200_000)});
    for path in ["/proxy/client/metrics", "/api/frontend/client/metrics"] {
        let reply = server.post(path, &large).token(FRONTEND).send().await;
        assert_eq!(reply.status.as_u16(), 413, "{path}");
    }
    let get = server.get("/api/frontend/client/metrics").token(FRONTEND).send().await;
    assert_eq!((get.status.as_u16(), get.header("allow")), (405, Some("POST")));
    assert_eq!(server.get("/proxy/client/metrics").token(FRONTEND).send().await.status, 404);
}

#[actix_web::test]
async fn a_refusal_names_the_first_rule_that_is_broken() {
    let server = TestServer::with_features(&features(&[]));
    let metrics = "/proxy/client/metrics";
    let register = "/proxy/client/register";
    let with = |pointer: &str, value: Value| {
        let mut body = report("app", &json!({"a/b": {"yes": 1, "variants": {"v": 1}}}));
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    let application = |name: &str, value: Value| {
        let mut body =
            json!({"appName": "a", "interval": 1, "started": 1, "strategies": ["default"]});
        body[name] = value;
        body
    };
    let place = "/body/bucket/toggles/a~1b";
    for (path, body, instance, keyword, message) in [
        (metrics, json!([]), "/body", "type", "must be object"),
        (metrics, json!({}), "/body", "required", "must have required property 'appName'"),
        (metrics, with("/appName", json!({})), "/body/appName", "type", "must be string"),
        (metrics, with("/bucket", json!(null)), "/body/bucket", "type", "must be object"),
        (
            metrics,
            with("/bucket/start", json!("2024-13-01T00:00:00Z")),
            "/body/bucket/start",
            "format",
            "must match format \"date-time\"",
        ),
        (metrics, with("/bucket/stop", json!(5)), "/body/bucket/stop", "format", "must match"),
        (metrics, with("/bucket/toggles/a~1b", json!(1)), place, "type", "must be object"),
        (
            metrics,
            with("/bucket/toggles/a~1b/yes", json!(-1)),
            "/body/bucket/toggles/a~1b/yes",
            "minimum",
            "must be >= 0",
        ),
        (
            metrics,
            with("/bucket/toggles/a~1b/variants/v", json!(1.5)),
            "/body/bucket/toggles/a~1b/variants/v",
            "type",
            "must be integer",
        ),
        (
            register,
            json!({"appName": "a"}),
            "/body",
            "required",
            "must have required property 'int",
        ),
        (register, application("started", json!("soon")), "/body/started", "format", "must match"),
        (
            register,
            application("strategies", json!("x")),
            "/body/strategies",
            "type",
            "must be array",
        ),
        (register, application("strategies", json!([[]])), "/body/strategies/0", "type", "must be"),
    ] {
        let reply = server.post(path, &body).send().await;
        assert_eq!(reply.status.as_u16(), 400, "{body}");
        let error = &reply.json()["validation"][0];
        assert_eq!(
            (&error["instancePath"], &error["keyword"]),
            (&instance.into(), &keyword.into())
        );
        let text = error["message"].as_str().unwrap();
        assert!(text.starts_with(message), "{text}");
    }
    let reply = server.ask(actix_web::http::Method::POST, metrics).body("{").send().await;
    assert_eq!(reply.status.as_u16(), 400);
    let plain =
        server.ask(actix_web::http::Method::POST, metrics).header("content-type", "text/plain");
    assert_eq!(plain.body("{}").send().await.status.as_u16(), 415);
}
