//! The Unleash Proxy's own tests, where they can be asked over HTTP (unleash-proxy.md 5).

use serde_json::{Value, json};

use super::subject::{KEY, SERVER_TOKEN, Subject};

const ALL: (&str, &str) = ("ENABLE_ALL_ENDPOINT", "true");
/// What is on for everybody who sends nothing.
const ON: [&str; 5] =
    ["a-on", "b-variant", "l-default-app", "l-without-strategies", "m-default-environment"];

fn metrics() -> Value {
    json!({
        "appName": "test", "instanceId": "i",
        "bucket": {
            "start": "2022-01-01T00:00:00.000Z", "stop": "2022-01-01T00:00:10.000Z",
            "toggles": {"a-on": {"yes": 3, "no": 1, "variants": {"A": 2, "B": 1, "disabled": 1}}},
        },
    })
}

// === 5.1 ===

#[actix_web::test]
async fn should_return_empty_list_of_toggles() {
    let subject = Subject::start(&[("UNLEASH_FETCH_INTERVAL", "50")]).await;
    let empty = crate::upstream::Answer::json(&json!({"version": 2, "features": []}));
    subject.upstream.answer("/api/client/features", empty);
    subject.eventually("/proxy", |reply| reply.body == r#"{"toggles":[]}"#).await;
}

#[actix_web::test]
async fn should_return_list_of_toggles() {
    let subject = Subject::start(&[]).await;
    let reply = subject.get("/proxy").send().await;
    assert_eq!(reply.header("content-type"), Some("application/json; charset=utf-8"));
    assert!(ON.iter().all(|name| reply.has(name)), "{:?}", reply.toggles());
}

#[actix_web::test]
async fn should_handle_post_with_empty_or_nonsensical_body() {
    let subject = Subject::start(&[]).await;
    let none = subject.get("/proxy").send().await.toggles();
    for body in [json!({"blah": "hello"}), json!({})] {
        assert_eq!(subject.post("/proxy", &body).send().await.toggles(), none, "{body}");
    }
    let ask = subject.ask("POST", "/proxy").header("authorization", KEY);
    assert_eq!(ask.header("content-type", "application/json").send().await.toggles(), none);
}

#[actix_web::test]
async fn should_handle_post_with_extra_context_properties() {
    let subject = Subject::start(&[]).await;
    let context = json!({"userId": "7", "tenant": 1, "properties": {"tenantId": 24}});
    let reply = subject.post("/proxy", &json!({"context": context})).send().await;
    assert!(reply.has("d-user") && reply.has("e-tenant"), "{:?}", reply.toggles());
}

#[actix_web::test]
async fn should_handle_post_with_toggle_names() {
    let subject = Subject::start(&[]).await;
    let reply = subject.post("/proxy", &json!({"toggles": ["a-on"]})).send().await;
    assert_eq!(reply.listed(), ["a-on"]);
}

#[actix_web::test]
async fn should_return_list_of_toggles_with_custom_proxy_client_key_header() {
    let subject = Subject::start(&[("CLIENT_KEY_HEADER_NAME", "NotAuthorized")]).await;
    assert_eq!(subject.ask("GET", "/proxy").header("NotAuthorized", KEY).send().await.status, 200);
    assert_eq!(subject.get("/proxy").send().await.status, 401);
}

#[actix_web::test]
async fn should_return_list_of_toggles_using_env_with_multiple_secrets_with_space() {
    let subject = Subject::start(&[("UNLEASH_PROXY_CLIENT_KEYS", "secret11, secret22")]).await;
    for (key, status) in [("secret11", 200), ("secret22", 200), ("secret33", 401)] {
        let reply = subject.get("/proxy").header("authorization", key).send().await;
        assert_eq!(reply.status, status, "{key}");
    }
}

#[actix_web::test]
async fn should_send_in_context() {
    let subject = Subject::start(&[]).await;
    let reply = subject.get("/proxy?userId=7&tenantId=me").send().await;
    assert!(reply.has("d-user") && reply.has("e-tenant"));
}

#[actix_web::test]
async fn should_send_in_context_with_ip_as_remote_address() {
    let subject = Subject::start(&[("TRUST_PROXY", "true")]).await;
    let reply = subject.get("/proxy").header("x-forwarded-for", "10.1.2.3, 9.9.9.9").send().await;
    assert!(reply.has("f-address"));
}

#[actix_web::test]
async fn providing_a_string_for_properties_yields_a_400() {
    let subject = Subject::start(&[]).await;
    assert_eq!(subject.get("/proxy?properties=string").send().await.status, 400);
}

#[actix_web::test]
async fn should_register_metrics_on_both_paths() {
    let subject = Subject::start(&[]).await;
    for path in ["/proxy/client/metrics", "/proxy/all/client/metrics"] {
        let reply = subject.post(path, &metrics()).send().await;
        assert_eq!((reply.status, reply.body.as_str()), (200, "OK"));
    }
}

#[actix_web::test]
async fn should_require_metrics_to_have_correct_format_and_say_so_in_json() {
    let subject = Subject::start(&[]).await;
    let reply = subject.post("/proxy/client/metrics", &json!({"some": "blob"})).send().await;
    assert_eq!(reply.status, 400);
    assert_eq!(reply.header("content-type"), Some("application/json; charset=utf-8"));
    assert_eq!(reply.json()["error"], "Request validation failed");
}

#[actix_web::test]
async fn get_should_return_not_ready_without_credentials() {
    let subject = Subject::not_ready(&[ALL]).await;
    for path in ["", "/all", "/health", "/client/features", "/internal-backstage/prometheus"] {
        let reply = subject.ask("GET", &format!("/proxy{path}")).send().await;
        assert_eq!(reply.status, 503, "{path}");
    }
}

#[actix_web::test]
async fn requires_valid_token() {
    let subject = Subject::start(&[ALL]).await;
    for path in ["/proxy", "/proxy/all", "/proxy/client/features"] {
        for ask in [subject.get(path).header("authorization", "wrong"), subject.ask("GET", path)] {
            let reply = ask.send().await;
            assert_eq!((reply.status, reply.body.as_str()), (401, "Unauthorized"), "{path}");
        }
    }
}

#[actix_web::test]
async fn health_and_prometheus_do_not_require_a_token() {
    let subject = Subject::start(&[]).await;
    let reply = subject.ask("GET", "/proxy/health").send().await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "ok"));
    let reply = subject.ask("GET", "/proxy/internal-backstage/prometheus").send().await;
    assert_eq!(reply.status, 200);
    assert!(reply.body.contains("unleash_proxy_up 1"), "{}", reply.body);
}

#[actix_web::test]
async fn should_allow_every_origin() {
    let subject = Subject::start(&[]).await;
    let reply = subject.get("/proxy").header("origin", "https://a.example").send().await;
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
}

#[actix_web::test]
async fn should_return_the_same_origin_based_on_cors_options() {
    let subject = Subject::start(&[("CORS_ORIGIN", "https://a.example,https://b.example")]).await;
    for (origin, expected) in
        [("https://b.example", Some("https://b.example")), ("https://c.example", None)]
    {
        let reply = subject.get("/proxy").header("origin", origin).send().await;
        assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, expected));
    }
}

#[actix_web::test]
async fn should_return_400_bad_request_for_malformed_json() {
    let subject = Subject::start(&[]).await;
    let ask = subject.post("/proxy", &json!({})).body("{ toggles\": [] }");
    let reply = ask.send().await;
    assert_eq!(reply.status, 400);
    let error = reply.json()["error"].as_str().unwrap().to_owned();
    assert!(error.starts_with("We were unable to parse the data you provided."), "{error}");
}

#[actix_web::test]
async fn should_register_server_sdk() {
    let subject = Subject::start(&[]).await;
    let body = json!({
        "appName": "a", "instanceId": "i", "sdkVersion": "v:1", "environment": "dev",
        "interval": 10_000, "started": "2022-01-01T00:00:00.000Z", "strategies": ["default"],
    });
    let reply = subject.post("/proxy/client/register", &body).send().await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "OK"));
}

#[actix_web::test]
async fn should_return_all_feature_toggles_by_get_and_post() {
    let subject = Subject::start(&[ALL]).await;
    for ask in [subject.get("/proxy/all"), subject.post("/proxy/all", &json!({"context": {}}))] {
        let reply = ask.send().await;
        assert_eq!(reply.listed().len(), 15);
        assert!(reply.has("!c-off") && reply.has("a-on"));
    }
}

#[actix_web::test]
async fn should_return_all_named_feature_toggles_via_post() {
    let subject = Subject::start(&[ALL]).await;
    let reply = subject.post("/proxy/all", &json!({"toggles": ["a-on"]})).send().await;
    assert_eq!(reply.listed(), ["a-on"]);
}

#[actix_web::test]
async fn client_features_should_return_toggle_definitions_to_a_server_token_only() {
    let subject = Subject::start(&[]).await;
    let ask = || subject.ask("GET", "/proxy/client/features");
    let reply = ask().header("authorization", SERVER_TOKEN).send().await;
    let features = reply.json()["features"].as_array().unwrap().clone();
    assert_eq!(features.len(), 15);
    assert!(features.iter().all(|feature| feature["strategies"].is_array()));
    assert_eq!(ask().header("authorization", KEY).send().await.status, 401);
}

#[actix_web::test]
async fn should_return_501_when_all_feature_toggles_is_not_enabled() {
    let subject = Subject::start(&[]).await;
    let reply = subject.get("/proxy/all").send().await;
    assert_eq!(reply.status, 501);
    assert!(reply.body.contains("`ENABLE_ALL_ENDPOINT`"), "{}", reply.body);
}

#[actix_web::test]
async fn request_content_types_default_to_json_and_others_are_rejected() {
    let subject = Subject::start(&[ALL]).await;
    let body = json!({"context": {"userId": "7"}});
    for path in ["/proxy", "/proxy/all"] {
        for ask in [
            subject.post(path, &body).without("content-type"),
            subject.post(path, &body).header("content-type", ""),
        ] {
            assert!(ask.send().await.has("d-user"), "{path}");
        }
        let reply =
            subject.post(path, &body).header("content-type", "application/html").send().await;
        assert_eq!((reply.status, reply.body.as_str()), (415, ""), "{path}");
    }
}

// === 5.2 ===

#[actix_web::test]
async fn should_add_and_override_environment() {
    let subject = Subject::start(&[("UNLEASH_ENVIRONMENT", "prod")]).await;
    assert!(subject.get("/proxy").send().await.has("h-environment"));
    assert!(subject.get("/proxy?environment=dev").send().await.has("h-environment"));
    let subject = Subject::start(&[("UNLEASH_ENVIRONMENT", "dev")]).await;
    assert!(!subject.get("/proxy?environment=prod").send().await.has("h-environment"));
}

#[actix_web::test]
async fn should_return_default_variant_for_disabled_toggles() {
    let subject = Subject::start(&[ALL]).await;
    let toggles = subject.get("/proxy/all").send().await.json();
    let toggles = toggles["toggles"].as_array().unwrap();
    let off = toggles.iter().find(|toggle| toggle["name"] == "c-off").unwrap();
    assert_eq!(
        off["variant"],
        json!({"name": "disabled", "enabled": false, "feature_enabled": false})
    );
}

#[actix_web::test]
async fn should_register_metrics_upstream() {
    let subject = Subject::start(&[]).await;
    assert_eq!(subject.post("/proxy/client/metrics", &metrics()).send().await.status, 200);
    let expected = json!({"yes": 3, "no": 1, "variants": {"A": 2, "B": 1, "disabled": 1}});
    assert_eq!(subject.reported().await["a-on"], expected);
}

// === 5.3 ===

#[actix_web::test]
async fn a_base_path_with_and_without_slashes_is_one() {
    for base in ["/base/path", "base/path/", "base/path", " /base/path "] {
        let subject = Subject::start(&[("PROXY_BASE_PATH", base)]).await;
        assert_eq!(subject.get("/base/path/proxy").send().await.status, 200, "{base}");
        assert_eq!(subject.get("/proxy").send().await.status, 404, "{base}");
    }
}

#[actix_web::test]
async fn cors_defaults_are_told_to_a_preflight() {
    let subject = Subject::start(&[]).await;
    let ask =
        subject.ask("OPTIONS", "/proxy").header("access-control-request-headers", "x-one,x-two");
    let reply = ask.send().await;
    assert_eq!((reply.status, reply.body.as_str()), (204, ""));
    for (name, expected) in [
        ("access-control-allow-origin", Some("*")),
        ("access-control-allow-methods", Some("GET, POST")),
        ("access-control-allow-headers", Some("x-one,x-two")),
        ("access-control-expose-headers", Some("ETag")),
        ("access-control-max-age", Some("172800")),
        ("vary", Some("Access-Control-Request-Headers")),
    ] {
        assert_eq!(reply.header(name), expected, "{name}");
    }
}

#[actix_web::test]
async fn should_load_cors_origin_and_max_age_from_env() {
    let subject = Subject::start(&[
        ("CORS_ORIGIN", "https://a.example"),
        ("CORS_METHODS", "GET"),
        ("CORS_ALLOWED_HEADERS", "x-own"),
        ("CORS_EXPOSED_HEADERS", "X-One"),
        ("CORS_CREDENTIALS", "true"),
        ("CORS_MAX_AGE", "7"),
        ("CORS_OPTIONS_SUCCESS_STATUS", "200"),
    ])
    .await;
    let reply = subject.ask("OPTIONS", "/anywhere").send().await;
    assert_eq!(reply.status, 200);
    for (name, expected) in [
        ("access-control-allow-origin", "https://a.example"),
        ("access-control-allow-methods", "GET"),
        ("access-control-allow-headers", "x-own"),
        ("access-control-expose-headers", "X-One"),
        ("access-control-allow-credentials", "true"),
        ("access-control-max-age", "7"),
    ] {
        assert_eq!(reply.header(name), Some(expected), "{name}");
    }
}

// === 5.4 ===

#[actix_web::test]
async fn should_move_rest_props_to_properties_where_the_explicit_one_wins() {
    let subject = Subject::start(&[]).await;
    assert!(subject.get("/proxy?tenantId=me").send().await.has("e-tenant"));
    let reply = subject.get("/proxy?tenantId=me&properties[tenantId]=other").send().await;
    assert!(!reply.has("e-tenant"));
    let context = json!({"tenantId": "other", "properties": {"tenantId": "me"}});
    assert!(subject.post("/proxy", &json!({"context": context})).send().await.has("e-tenant"));
}

#[actix_web::test]
async fn accepts_current_time_and_drops_what_is_none() {
    let subject = Subject::start(&[]).await;
    for (time, expected) in [("2099-01-01T00:00:00.000Z", true), ("not-a-time", false), ("", false)]
    {
        let reply = subject.get(&format!("/proxy?currentTime={time}")).send().await;
        assert_eq!(reply.has("i-late"), expected, "{time}");
    }
}

#[actix_web::test]
async fn a_user_id_that_is_an_array_is_a_400() {
    let subject = Subject::start(&[]).await;
    assert_eq!(subject.get("/proxy?userId[]=1").send().await.status, 400);
    let body = json!({"context": {"userId": ["1"]}});
    assert_eq!(subject.post("/proxy", &body).send().await.status, 400);
}

// === 5.5 ===

#[actix_web::test]
async fn only_json_with_or_without_a_charset_is_accepted_by_default() {
    let subject = Subject::start(&[]).await;
    for (media, status) in
        [("text/plain", 415), ("application/json", 200), ("application/json; charset=utf-8", 200)]
    {
        let reply = subject.post("/proxy", &json!({})).header("content-type", media).send().await;
        assert_eq!(reply.status, status, "{media}");
    }
}

// === 5.6 ===

#[actix_web::test]
async fn should_serve_the_openapi_spec_and_ui() {
    let subject = Subject::start(&[("ENABLE_OAS", "true")]).await;
    let reply = subject.ask("GET", "/docs/openapi.json").send().await;
    assert!(reply.json()["openapi"].as_str().unwrap().starts_with("3."));
    let mut paths: Vec<_> = reply.json()["paths"].as_object().unwrap().keys().cloned().collect();
    paths.sort();
    assert_eq!(
        paths,
        [
            "/proxy",
            "/proxy/all",
            "/proxy/all/client/metrics",
            "/proxy/client/features",
            "/proxy/client/metrics",
            "/proxy/client/register",
            "/proxy/health",
            "/proxy/internal-backstage/prometheus",
        ]
    );
    let page = subject.ask("GET", "/docs/openapi/").send().await;
    assert_eq!(page.status, 200);
    assert!(page.body.to_lowercase().contains("swagger"), "{}", page.body);
    assert_eq!(subject.ask("GET", "/docs/openapi").send().await.status, 301);
}
