//! `/api/frontend…`, `/api/proxy…` and `/internal-backstage/…`, by the rows of Unleash Edge's
//! description.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use actix_web::http::Method;
use offleash::{
    http::Admit,
    snapshot::{Grant, Publisher, channel},
    token::Admission,
};
use serde_json::json;

use crate::server::{BACKEND, EMPTY, FRONTEND, TestServer, config, features, grants, plan};

const UNKNOWN: &str = "*:development.unknown";

fn server() -> TestServer {
    TestServer::with_features(&features(&[
        ("blank", "userId", ""),
        ("env", "environment", "default"),
        ("local", "remoteAddress", "127.0.0.1"),
        ("region", "region", "Africa"),
        ("user", "userId", "7"),
    ]))
}

/// A server that answers every question about a token alike.
fn admitting(admission: Admission) -> (TestServer, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let admit = Admit::new(move |token| {
        assert_eq!(token, UNKNOWN);
        count.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move { admission })
    });
    let mut server = TestServer::start(config(), Some(admit));
    server.publish(&features(&[]));
    (server, asked)
}

#[actix_web::test]
async fn the_list_has_edges_shape_and_headers() {
    let server = TestServer::with_features(&features(&[]));
    let reply = server.get("/api/frontend").token(FRONTEND).send().await;
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.body,
        r#"{"toggles":[{"name":"on","enabled":true,"variant":{"name":"disabled","enabled":false,"payload":null},"impression_data":false,"impressionData":false}]}"#
    );
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("cache-control"), None);
    assert_eq!(reply.header("vary"), Some("Accept-Encoding"));
    assert!(reply.header("etag").unwrap().starts_with('"'));
}

#[actix_web::test]
async fn frontend_and_proxy_are_one_and_slashes_do_not_count() {
    let server = server();
    let first = server.get("/api/frontend?userId=7").token(FRONTEND).send().await;
    assert_eq!(first.toggles(), ["local", "on", "user"]);
    for path in ["/api/proxy", "/api/frontend/", "//api//frontend"] {
        let reply = server.get(&format!("{path}?userId=7")).token(FRONTEND).send().await;
        assert_eq!(reply.body, first.body, "{path}");
    }
    let all = server.get("/api/proxy/all").token(FRONTEND).send().await;
    assert_eq!(all.toggles(), ["!blank", "!env", "local", "!off", "on", "!region", "!user"]);
}

#[actix_web::test]
async fn contexts_come_by_query_and_by_both_forms_of_body() {
    let server = server();
    for query in ["properties[region]=Africa", "properties%5Bregion%5D=Africa", "region=Africa"] {
        let reply = server.get(&format!("/api/frontend?{query}")).token(FRONTEND).send().await;
        assert_eq!(reply.toggles(), ["local", "on", "region"], "{query}");
    }
    for (body, expected) in [
        (json!({"properties": {"region": "Africa"}}), &["local", "on", "region"][..]),
        (json!({"context": {"region": "Africa"}, "userId": "7"}), &["local", "on", "region"]),
        (json!({"userId": 7, "remoteAddress": "1.1.1.1"}), &["on", "user"]),
        (json!({"environment": "default"}), &["env", "local", "on"]),
    ] {
        let reply = server.post("/api/frontend", &body).token(FRONTEND).send().await;
        assert_eq!(reply.toggles(), expected, "{body}");
    }
}

#[actix_web::test]
async fn refusals_are_403_and_empty() {
    let server = TestServer::with_features(&features(&[]));
    for token in [None, Some(BACKEND), Some(EMPTY), Some("nonsense"), Some(UNKNOWN), Some("")] {
        let mut ask = server.post("/api/frontend", &json!({}));
        if let Some(token) = token {
            ask = ask.token(token);
        }
        let reply = ask.send().await;
        assert_eq!((reply.status.as_u16(), reply.body.as_str()), (403, ""), "{token:?}");
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    }
}

#[actix_web::test]
async fn before_its_flags_have_come_a_good_token_is_told_503_and_a_bad_one_403() {
    let mut server = TestServer::start(config(), None);
    let plan = plan(&features(&[]));
    let unfilled = |(token, grant)| (token, Grant { plan: None, ..grant });
    for (ready, status) in [(false, 503), (true, 403)] {
        server.publisher.publish(grants(&plan).map(unfilled).collect(), ready);
        for path in ["/api/frontend", "/api/frontend/all", "/api/proxy"] {
            assert_eq!(server.get(path).token(FRONTEND).send().await.status, status, "{path}");
            assert_eq!(server.get(path).token("nonsense").send().await.status, 403, "{path}");
        }
    }
}

#[actix_web::test]
async fn bad_requests_have_their_statuses() {
    let server = TestServer::with_features(&features(&[]));
    for (media, body, status) in [
        (Some("application/json"), "{}", 200),
        (Some("application/vnd.api+json"), "{}", 200),
        (None, "{}", 415),
        (Some("text/plain"), "{}", 415),
        (Some("application/json"), "", 400),
        (Some("application/json"), "{bad", 400),
        (Some("application/json"), "[]", 422),
        (Some("application/json"), r#"{"context":5}"#, 422),
    ] {
        let mut ask = server.ask(Method::POST, "/api/frontend").token(FRONTEND).body(body);
        if let Some(media) = media {
            ask = ask.header("content-type", media);
        }
        let reply = ask.send().await;
        assert_eq!(reply.status, status, "{media:?} {body}");
        let text = (status != 200).then_some("text/plain; charset=utf-8");
        assert_eq!(reply.header("content-type").filter(|_| status != 200), text);
    }
    let reply = server.get("/api/frontend?properties=x").token(FRONTEND).send().await;
    assert_eq!((reply.status.as_u16(), reply.body.as_str()), (400, ""));
    let reply = server.get("/api/frontend?properties=x").send().await;
    assert_eq!(reply.status, 403, "a bad token wins over a bad query");
}

#[actix_web::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let server = TestServer::with_features(&features(&[]));
    let reply = server.ask(Method::DELETE, "/api/frontend").token(FRONTEND).send().await;
    assert_eq!(reply.status, 405);
    assert_eq!(reply.header("allow"), Some("GET,HEAD,POST"));
    let reply = server.get("/api/nowhere").send().await;
    assert_eq!((reply.status.as_u16(), reply.body.as_str()), (404, ""));
    let reply = server.get("/api").send().await;
    assert_eq!(reply.status, 404);
    assert!(reply.body.contains("/api/frontend"), "{}", reply.body);
}

#[actix_web::test]
async fn disabling_all_yields_404() {
    let mut config = config();
    config.surfaces.edge.all_endpoint = false;
    let mut server = TestServer::start(config, None);
    server.publish(&features(&[]));
    for path in ["/api/frontend/all", "/api/proxy/all"] {
        assert_eq!(server.get(path).token(FRONTEND).send().await.status, 404);
    }
}

#[actix_web::test]
async fn backstage_tells_health_from_readiness() {
    let mut server = TestServer::start(config(), None);
    let health = server.get("/internal-backstage/health").send().await;
    assert_eq!((health.status.as_u16(), health.json()), (200, json!({"status": "OK"})));
    let ready = server.get("/internal-backstage/ready").send().await;
    assert_eq!(ready.status, 503);
    assert_eq!(ready.json()["status"], "NOTREADY");
    assert_eq!(ready.header("content-type"), Some("application/json"));
    server.publish(&features(&[]));
    let ready = server.get("/internal-backstage/ready").send().await;
    assert_eq!((ready.status.as_u16(), ready.json()), (200, json!({"status": "READY"})));
}

#[actix_web::test]
async fn upstreams_verdict_on_an_unknown_token_is_passed_on() {
    for (admission, status, body) in [
        (Admission::Invalid, 403, None),
        (Admission::UpstreamUnreachable, 400, None),
        (
            Admission::UpstreamStatus(503),
            503,
            Some(json!({
                "explanation":
                    "Received a non 200 status code when trying to validate token upstream",
                "status_code": "503",
            })),
        ),
    ] {
        let (server, asked) = admitting(admission);
        let reply = server.get("/api/frontend").token(UNKNOWN).send().await;
        assert_eq!(reply.status, status);
        match body {
            Some(body) => assert_eq!(reply.json(), body),
            None => assert_eq!(reply.body, ""),
        }
        assert_eq!(reply.header("content-type"), None);
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }
}

#[actix_web::test]
async fn only_tokens_that_may_be_some_are_asked_about() {
    let (server, asked) = admitting(Admission::Invalid);
    for token in ["nonsense", "a.b:c", BACKEND, EMPTY, FRONTEND] {
        server.get("/api/frontend").token(token).send().await;
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[actix_web::test]
async fn an_admitted_token_is_served_by_the_request_that_asked() {
    // Sync publishes before it grants; here the question itself does.
    let slot: Arc<Mutex<Option<Publisher>>> = Arc::default();
    let publisher = Arc::clone(&slot);
    let admit = Admit::new(move |token| {
        let plan = plan(&features(&[]));
        let mut granted: Vec<_> = grants(&plan).collect();
        let (_, grant) = granted.first().unwrap().clone();
        granted.push((token.into(), grant));
        let mut publisher = publisher.lock().unwrap();
        publisher.as_mut().unwrap().publish(granted.into_iter().collect(), true);
        Box::pin(async { Admission::Granted })
    });
    let mut server = TestServer::start(config(), Some(admit));
    let (unused, _) = channel();
    *slot.lock().unwrap() = Some(std::mem::replace(&mut server.publisher, unused));
    let reply = server.post("/api/frontend", &json!({})).token(UNKNOWN).send().await;
    assert_eq!(reply.toggles(), ["on"]);
    let reply = server.get("/proxy").token(UNKNOWN).send().await;
    assert_eq!(reply.toggles(), ["on"]);
}

#[actix_web::test]
async fn a_session_is_drawn_where_nobody_is_named() {
    let sticky = json!({"version": 2, "features": [{
        "name": "sticky", "type": "release", "enabled": true, "project": "default",
        "strategies": [{"name": "flexibleRollout", "constraints": [], "parameters":
            {"rollout": "100", "stickiness": "sessionId", "groupId": "sticky"}}],
    }]});
    let server = TestServer::with_features(&sticky);
    let list = server.get("/api/frontend").token(FRONTEND).send().await;
    assert_eq!(list.toggles(), ["sticky"]);
    let list = server.get("/api/frontend?userId=7").token(FRONTEND).send().await;
    assert_eq!(list.toggles(), [""; 0]);
}

#[actix_web::test]
async fn an_empty_user_or_session_is_nobody() {
    let flag = |name: &str, stickiness: &str| {
        json!({
            "name": name, "type": "release", "enabled": true, "project": "default",
            "strategies": [{"name": "flexibleRollout", "constraints": [], "parameters":
                {"rollout": "100", "stickiness": stickiness, "groupId": name}}],
        })
    };
    let flags = json!({"version": 2, "features": [flag("session", "sessionId")]});
    let server = TestServer::with_features(&flags);
    for query in ["?userId=", "?sessionId=", "?userId=&sessionId=", "?userId=&sessionId=s"] {
        let reply = server.get(&format!("/api/frontend{query}")).token(FRONTEND).send().await;
        assert_eq!(reply.toggles(), ["session"], "{query}");
    }
    let body = json!({"context": {"userId": "", "sessionId": ""}});
    let reply = server.post("/api/frontend", &body).token(FRONTEND).send().await;
    assert_eq!(reply.toggles(), ["session"]);
}

#[actix_web::test]
async fn nobody_waits_for_a_body_that_never_ends() {
    let server = TestServer::with_features(&features(&[]));
    let next = "GET /internal-backstage/health HTTP/1.1\r\nHost: t\r\n\r\n";
    let websocket = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    for (line, more, status) in [
        ("GET /internal-backstage/health", websocket, 200),
        ("GET /proxy/health", websocket, 200),
        ("GET /proxy", websocket, 200),
        ("GET /api/frontend", websocket, 200),
        ("POST /api/frontend", websocket, 415),
        ("OPTIONS /proxy", websocket, 204),
        ("GET /nowhere", websocket, 404),
        ("CONNECT example.com:443", "", 404),
    ] {
        let head = format!("{line} HTTP/1.1\r\nHost: t\r\nAuthorization: {FRONTEND}\r\n{more}\r\n");
        let start = std::time::Instant::now();
        let reply = server.raw(format!("{head}{next}")).await;
        assert!(start.elapsed().as_secs() < 5, "{line}: {:?}", start.elapsed());
        assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")), "{line}: {reply}");
        assert!(reply.contains("connection: close"), "{line}: {reply}");
        assert_eq!(reply.matches("HTTP/1.1 ").count(), 1, "{line}: {reply}");
    }
}
