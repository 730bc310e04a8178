//! Cross-origin headers on every kind of answer.

use actix_web::http::Method;
use offleash::config::Origins;

use crate::server::{FRONTEND, TestServer, config, features};

#[actix_web::test]
async fn a_preflight_is_answered_whatever_its_path() {
    let server = TestServer::start(config(), None);
    for path in ["/proxy", "/api/frontend", "/nowhere", "/proxy/client/metrics"] {
        let reply = server
            .ask(Method::OPTIONS, path)
            .header("origin", "https://a.test")
            .header("access-control-request-method", "GET")
            .header("access-control-request-headers", "authorization,unleash-sdk")
            .send()
            .await;
        assert_eq!(reply.status, 204, "{path}");
        for (name, value) in [
            ("access-control-allow-origin", "*"),
            ("access-control-allow-methods", "GET, POST"),
            ("access-control-allow-headers", "authorization,unleash-sdk"),
            ("access-control-max-age", "172800"),
            ("access-control-expose-headers", "ETag"),
            ("vary", "Access-Control-Request-Headers"),
        ] {
            assert_eq!(reply.header(name), Some(value), "{path} {name}");
        }
    }
}

#[actix_web::test]
async fn a_listed_origin_is_named_on_answers_refusals_and_304s() {
    let mut config = config();
    config.surfaces.cors.origin = Origins::Listed(vec!["https://a.test".to_owned()]);
    let mut server = TestServer::start(config, None);
    server.publish(&features(&[]));
    let ask = |path: &str| server.get(path).header("origin", "https://a.test");
    let ok = ask("/proxy").token(FRONTEND).send().await;
    let tag = ok.header("etag").unwrap();
    let held = ask("/proxy").token(FRONTEND).header("if-none-match", tag).send().await;
    let refused = ask("/proxy").send().await;
    let missed = ask("/proxy/nowhere").send().await;
    for (reply, status) in [(&ok, 200), (&held, 304), (&refused, 401), (&missed, 404)] {
        assert_eq!(reply.status, status);
        assert_eq!(reply.header("access-control-allow-origin"), Some("https://a.test"));
        assert_eq!(reply.header("access-control-expose-headers"), Some("ETag"));
        assert_eq!(reply.header("vary"), Some("Origin, Accept-Encoding"));
    }
    let other = server.get("/proxy").header("origin", "null").token(FRONTEND).send().await;
    assert_eq!(other.status, 200);
    assert_eq!(other.header("access-control-allow-origin"), None);
}
