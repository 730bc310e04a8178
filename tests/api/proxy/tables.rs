//! The rows of the tables of unleash-proxy.md 1, asked over HTTP.

use serde_json::json;

use super::subject::{KEY, SERVER_TOKEN, Subject, differs};

const ALL: (&str, &str) = ("ENABLE_ALL_ENDPOINT", "true");

/// Statuses of targets, asked by GET with the key.
async fn statuses(subject: &Subject, rows: &[(&str, u16)]) {
    for (target, status) in rows {
        assert_eq!(subject.get(target).send().await.status, *status, "{target}");
    }
}

// === 1.1, 1.3 ===

#[actix_web::test]
async fn routes_answer_their_methods_and_nothing_else() {
    let subject = Subject::start(&[ALL]).await;
    let body = json!({});
    for (method, path, status) in [
        ("GET", "/proxy", 200),
        ("HEAD", "/proxy", 200),
        ("GET", "/proxy/all", 200),
        ("HEAD", "/proxy/all", 200),
        ("GET", "/proxy/health", 200),
        ("HEAD", "/proxy/health", 200),
        ("HEAD", "/proxy/client/features", 401),
        ("PUT", "/proxy", 404),
        ("DELETE", "/proxy/all", 404),
        ("GET", "/proxy/client/metrics", 404),
        ("GET", "/proxy/client/register", 404),
        ("OPTIONS", "/proxy/nothing", 204),
        ("OPTIONS", "/nothing", 204),
    ] {
        let reply = subject.ask(method, path).header("authorization", KEY).send().await;
        assert_eq!(reply.status, status, "{method} {path}");
    }
    for (path, status) in [
        ("/proxy", 200),
        ("/proxy/all", 200),
        ("/proxy/health", 404),
        ("/proxy/all/client/register", 404),
        ("/api/frontend/none", 404),
    ] {
        assert_eq!(subject.post(path, &body).send().await.status, status, "{path}");
    }
}

#[actix_web::test]
async fn paths_match_in_any_case_with_an_optional_slash() {
    let subject = Subject::start(&[ALL]).await;
    statuses(
        &subject,
        &[
            ("/PROXY/All", 200),
            ("/proxy/", 200),
            ("/proxy/all/", 200),
            ("/proxy//", 200),
            ("/proxy//all", 200),
            ("/proxy///all", 404),
            ("/proxy/all//", 404),
            ("//proxy", 404),
            ("/proxyfoo", 404),
            ("/proxy.json", 404),
        ],
    )
    .await;
}

#[actix_web::test]
async fn a_wrong_method_is_a_page_that_names_it() {
    let subject = Subject::start(&[]).await;
    let reply = subject.ask("PUT", "/proxy").send().await;
    assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(reply.header("content-security-policy"), Some("default-src 'none'"));
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    assert!(reply.body.contains("Cannot PUT /proxy"), "{}", reply.body);
}

#[actix_web::test]
async fn head_has_headers_no_body_and_no_context() {
    let subject = Subject::start(&[]).await;
    let get = subject.get("/proxy").send().await;
    let head = subject.ask("HEAD", "/proxy?userId=7").header("authorization", KEY).send().await;
    assert_eq!(head.body, "");
    assert_eq!(head.header("content-length").unwrap(), get.body.len().to_string());
    assert!(head.header("etag").is_some());
}

// === 1.2 ===

#[actix_web::test]
async fn a_bad_request_wins_over_not_ready_and_that_over_a_bad_key() {
    let subject = Subject::not_ready(&[]).await;
    for (ask, status) in [
        (subject.ask("GET", "/proxy?properties=x"), 400),
        (subject.ask("POST", "/proxy").header("content-type", "text/plain").body("x"), 415),
        (subject.ask("POST", "/proxy").header("content-type", "application/json").body("{"), 400),
        (subject.ask("GET", "/proxy"), 503),
        (subject.ask("GET", "/proxy/all"), 503),
        (subject.ask("GET", "/proxy/client/features"), 503),
    ] {
        assert_eq!(ask.send().await.status, status);
    }
}

#[actix_web::test]
async fn a_bad_key_wins_over_a_disabled_all() {
    let subject = Subject::start(&[]).await;
    let reply = subject.get("/proxy/all").header("authorization", "wrong").send().await;
    assert_eq!(reply.status, 401);
}

#[actix_web::test]
async fn usage_is_accepted_before_ready_and_refused_without_a_key() {
    let subject = Subject::not_ready(&[]).await;
    let bucket =
        json!({"start": "2022-01-01T00:00:00Z", "stop": "2022-01-01T00:01:00Z", "toggles": {}});
    let body = json!({"appName": "a", "instanceId": "i", "bucket": bucket});
    let ask = || subject.post("/proxy/client/metrics", &body);
    assert_eq!(ask().send().await.status, 200);
    assert_eq!(ask().header("authorization", SERVER_TOKEN).send().await.status, 200);
    assert_eq!(ask().header("authorization", "wrong").send().await.status, 401);
    assert_eq!(
        subject
            .post("/proxy/client/metrics", &json!({}))
            .without("authorization")
            .send()
            .await
            .status,
        400
    );
}

// === 1.4 ===

#[actix_web::test]
async fn a_key_counts_byte_for_byte() {
    let subject = Subject::start(&[]).await;
    for (key, status) in [(KEY, 200), ("the-client-ke", 401), ("THE-CLIENT-KEY", 401), ("", 401)] {
        let reply = subject.get("/proxy").header("AUTHORIZATION", key).send().await;
        assert_eq!(reply.status, status, "{key}");
    }
    let reply =
        subject.get("/proxy").header("authorization", &format!("Bearer {KEY}")).send().await;
    assert_eq!((reply.status, reply.header("www-authenticate")), (401, None));
    assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
}

// === 1.5 ===

#[actix_web::test]
async fn the_content_type_gate_lets_json_and_no_body_pass() {
    let subject = Subject::start(&[]).await;
    for (media, status) in [
        ("Application/JSON", 200),
        ("application/json;charset=UTF-8", 200),
        ("application/vnd.api+json", 415),
        ("application/x-www-form-urlencoded", 415),
        ("nonsense", 415),
        ("application/json;", 415),
    ] {
        let reply = subject.post("/proxy", &json!({})).header("content-type", media).send().await;
        assert_eq!(reply.status, status, "{media}");
    }
    let form = subject
        .ask("POST", "/proxy")
        .header("authorization", KEY)
        .header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(form.body("").send().await.status, 415);
    let reply = subject
        .ask("POST", "/proxy")
        .header("authorization", KEY)
        .header("content-type", "text/plain")
        .send()
        .await;
    assert_eq!(reply.status, 200, "no body");
    let reply = subject.get("/proxy").header("content-type", "text/plain").body("x").send().await;
    assert_eq!(reply.status, 415, "GET with a body");
}

// === 1.6 ===

#[actix_web::test]
async fn bodies_are_bounded_strict_and_in_utf() {
    let subject = Subject::start(&[]).await;
    let ask = |body: Vec<u8>| subject.post("/proxy", &json!({})).body(body);
    for (body, status) in
        [("", 200), (" {} ", 200), ("[]", 400), ("null", 400), ("\"text\"", 400), ("{\"a\":}", 400)]
    {
        assert_eq!(ask(body.into()).send().await.status, status, "{body}");
    }
    let fits = format!("{{\"a\":\"{}\"}}", "x".repeat(102_400 - 8));
    assert_eq!(ask(fits.into_bytes()).send().await.status, 200);
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(102_400));
    let expected = differs("413 says what is wrong", 413, 500);
    assert_eq!(ask(large.into_bytes()).send().await.status, expected);
    let edge = format!("{{\"a\":\"{}\"}}", "x".repeat(102_400 - 7));
    assert_eq!(edge.len(), 102_401);
    assert_eq!(ask(edge.into_bytes()).send().await.status, expected);
    let latin = ask(b"{}".to_vec()).header("content-type", "application/json; charset=latin1");
    assert_eq!(latin.send().await.status, differs("415 says what is wrong", 415, 500));
    let brotli = ask(b"{}".to_vec()).header("content-encoding", "br");
    assert_eq!(brotli.send().await.status, differs("415 says what is wrong", 415, 500));
}

// === 1.7 ===

#[actix_web::test]
async fn queries_are_validated() {
    let subject = Subject::start(&[]).await;
    statuses(
        &subject,
        &[
            ("/proxy?userId=1&userId=2", 400),
            ("/proxy?userId[]=1", 400),
            ("/proxy?userId[a]=b", 400),
            ("/proxy?sessionId=1&sessionId=2", 400),
            ("/proxy?appName[]=1", 400),
            ("/proxy?remoteAddress[x]=1", 400),
            ("/proxy?currentTime[]=1", 400),
            ("/proxy?properties=", 400),
            ("/proxy?properties[]=x", 400),
            ("/proxy?properties[0]=x", 400),
            ("/proxy?properties[0]=a&properties[k]=b", 200),
            ("/proxy?properties[a][b]=c", 200),
            ("/proxy?environment[]=x", 200),
            ("/proxy?other[]=x&other=y", 200),
        ],
    )
    .await;
}

#[actix_web::test]
async fn bodies_are_validated_and_coerced() {
    let subject = Subject::start(&[]).await;
    for (body, status) in [
        (json!({"toggles": [1]}), 200),
        (json!({"toggles": [null]}), 200),
        (json!({"toggles": [{}]}), 400),
        (json!({"toggles": null}), 400),
        (json!({"toggles": "a"}), 400),
        (json!({"context": null}), 400),
        (json!({"context": "x"}), 400),
        (json!({"context": {"userId": 7}}), 200),
        (json!({"context": {"userId": {}}}), 400),
        (json!({"context": {"properties": {"a": null}}}), 200),
        (json!({"context": {"properties": {"a": []}}}), 400),
        (json!({"context": {"currentTime": []}}), 200),
        (json!({"context": {"other": {"a": [1]}}}), 200),
    ] {
        assert_eq!(subject.post("/proxy", &body).send().await.status, status, "{body}");
    }
    let body = json!({"context": {"userId": 7, "tenantId": true}});
    let reply = subject.post("/proxy", &body).send().await;
    assert!(reply.has("d-user") && reply.has("e-tenant"), "{:?}", reply.toggles());
}

#[actix_web::test]
async fn usage_is_validated() {
    let subject = Subject::start(&[]).await;
    let time = "2022-01-01T00:00:00Z";
    let bucket = |start: &str, yes| json!({"start": start, "stop": time, "toggles": {"a": {"yes": yes, "no": 0}}});
    let report =
        |bucket| json!({"appName": "a", "instanceId": "i", "bucket": bucket, "impactMetrics": []});
    for (body, status) in [
        (report(bucket(time, json!(1))), 200),
        (report(bucket("2022-01-01 00:00:00z", json!("5"))), 200),
        (report(bucket("2022-01-01T00:00:00", json!(true))), 200),
        (report(bucket("2022-01-01", json!(1))), 400),
        (report(bucket("2022-13-01T00:00:00Z", json!(1))), 400),
        (report(bucket(time, json!(-1))), 400),
        (report(bucket(time, json!(1.5))), 400),
        (report(json!({"start": time, "stop": time})), 400),
        (json!({"instanceId": "i", "bucket": bucket(time, json!(1))}), 400),
    ] {
        assert_eq!(
            subject.post("/proxy/client/metrics", &body).send().await.status,
            status,
            "{body}"
        );
    }
}

#[actix_web::test]
async fn a_validation_error_says_where_and_which_rule() {
    let subject = Subject::start(&[]).await;
    let reply = subject.get("/proxy?properties=string").send().await;
    let expected = json!({"error": "Request validation failed", "validation": [{
        "instancePath": "/query/properties",
        "schemaPath": "#/properties/query/properties/properties/type",
        "keyword": "type", "params": {"type": "object"}, "message": "must be object",
    }]});
    assert_eq!(reply.json(), expected);
}

// === 1.8, 1.9 ===

#[actix_web::test]
async fn names_and_values_are_decoded() {
    let subject = Subject::start(&[]).await;
    for query in
        ["properties%5BtenantId%5D=me", "properties[tenantId]=me", "tenantId=m%65", "tenant%49d=me"]
    {
        assert!(subject.get(&format!("/proxy?{query}")).send().await.has("e-tenant"), "{query}");
    }
    assert!(!subject.get("/proxy?tenantId=me+").send().await.has("e-tenant"));
    assert!(!subject.get("/proxy?tenantId=%zz").send().await.has("e-tenant"));
}

#[actix_web::test]
async fn more_than_a_thousand_pairs_are_ignored() {
    let subject = Subject::start(&[]).await;
    let filler = |count: usize| "x=&".repeat(count);
    assert!(subject.get(&format!("/proxy?{}userId=7", filler(999))).send().await.has("d-user"));
    assert!(!subject.get(&format!("/proxy?{}userId=7", filler(1000))).send().await.has("d-user"));
}

#[actix_web::test]
async fn an_empty_root_field_is_none_and_defaults_fill_it() {
    let subject = Subject::start(&[]).await;
    let reply = subject.get("/proxy?appName=&environment=&sessionId=").send().await;
    assert!(
        reply.has("l-default-app") && reply.has("m-default-environment") && reply.has("j-session")
    );
    let reply = subject.get("/proxy?appName=shop&environment=prod").send().await;
    assert!(reply.has("g-app") && reply.has("h-environment") && !reply.has("l-default-app"));
}

#[actix_web::test]
async fn root_names_inside_properties() {
    let subject = Subject::start(&[]).await;
    let reply = subject.get("/proxy?properties[userId]=7").send().await;
    assert!(reply.has("d-user"), "a look-up falls through to properties");
    let reply = subject.get("/proxy?userId=8&properties[userId]=7").send().await;
    assert!(!reply.has("d-user"));
}

// === 1.10 ===

#[actix_web::test]
async fn the_forwarded_address_counts_for_whom_it_is_trusted() {
    for (trust, forwarded, expected) in [
        ("false", "10.1.2.3", false),
        ("true", "10.1.2.3, 9.9.9.9", true),
        ("true", "9.9.9.9, 10.1.2.3", false),
        ("loopback, 9.0.0.0/8", "1.1.1.1, 10.1.2.3, 9.9.9.9", true),
        ("10.0.0.0/8", "10.1.2.3", false),
    ] {
        let subject = Subject::start(&[("TRUST_PROXY", trust)]).await;
        let reply = subject.get("/proxy").header("x-forwarded-for", forwarded).send().await;
        assert_eq!(reply.has("f-address"), expected, "{trust}: {forwarded}");
        assert!(subject.get("/proxy?remoteAddress=10.1.2.3").send().await.has("f-address"));
    }
}

// === 1.11, 1.12 ===

#[actix_web::test]
async fn named_toggles_keep_their_order_and_the_unknown_are_off() {
    let subject = Subject::start(&[]).await;
    let names = json!({"toggles": ["c-off", "a-on", "unheard-of", "a-on", "d-user"]});
    let reply = subject.post("/proxy", &names).send().await;
    assert_eq!(reply.listed(), ["!c-off", "a-on", "!unheard-of", "a-on", "!d-user"]);
    let off = json!({
        "name": "unheard-of", "enabled": false, "impressionData": false,
        "variant": {"name": "disabled", "enabled": false, "feature_enabled": false, "featureEnabled": false},
    });
    assert_eq!(reply.json()["toggles"][2], off);
}

#[actix_web::test]
async fn a_session_is_drawn_for_lists_and_not_for_named_toggles() {
    let subject = Subject::start(&[]).await;
    assert!(subject.get("/proxy").send().await.has("j-session"));
    let reply = subject.post("/proxy", &json!({"toggles": ["j-session"]})).send().await;
    assert_eq!(reply.listed(), ["!j-session"]);
}

#[actix_web::test]
async fn toggles_have_their_shape_key_by_key() {
    let subject = Subject::start(&[]).await;
    let body = subject.get("/proxy").send().await.body;
    for toggle in [
        r#"{"name":"a-on","enabled":true,"variant":{"name":"disabled","enabled":false,"feature_enabled":true,"featureEnabled":true},"impressionData":false}"#,
        r#"{"name":"b-variant","enabled":true,"variant":{"name":"blue","payload":{"type":"string","value":"hi"},"enabled":true,"feature_enabled":true,"featureEnabled":true},"impressionData":true}"#,
    ] {
        assert!(body.contains(toggle), "{toggle} in {body}");
    }
}

#[actix_web::test]
async fn definitions_bring_their_segments() {
    let subject = Subject::start(&[]).await;
    let reply = subject
        .ask("GET", "/proxy/client/features")
        .header("authorization", SERVER_TOKEN)
        .send()
        .await;
    assert_eq!(reply.json()["version"], 2);
    let segments = differs("who decides needs them", 1, 0);
    assert_eq!(reply.json()["segments"].as_array().map_or(0, Vec::len), segments);
}

// === 1.14 ===

#[actix_web::test]
async fn a_list_may_be_kept_for_two_seconds_and_has_a_weak_tag() {
    let subject = Subject::start(&[]).await;
    for ask in [subject.get("/proxy"), subject.post("/proxy", &json!({}))] {
        let reply = ask.send().await;
        assert_eq!(reply.header("cache-control"), Some("public, max-age=2"));
        assert!(reply.header("etag").unwrap().starts_with("W/\""));
        assert_eq!(reply.header("vary").unwrap(), "Accept-Encoding");
        assert_eq!(reply.header("x-powered-by"), None);
    }
    let reply = subject.get("/proxy").header("authorization", "wrong").send().await;
    assert_eq!(reply.header("cache-control"), None);
}

#[actix_web::test]
async fn a_tag_that_matches_is_a_304_for_get_and_never_for_post() {
    let subject = Subject::start(&[]).await;
    let target = "/proxy?sessionId=s&userId=u";
    let tag = subject.get(target).send().await.header("etag").unwrap().to_owned();
    for (held, more, status) in [
        (tag.clone(), None, 304),
        (tag.replace("W/", ""), None, 304),
        (format!("\"x\", {tag}"), None, 304),
        ("*".to_owned(), None, 304),
        ("\"other\"".to_owned(), None, 200),
        (tag.clone(), Some("no-cache"), 200),
        (tag.clone(), Some("max-age=0"), 304),
    ] {
        let ask = subject.get(target).header("if-none-match", &held);
        let ask = if let Some(control) = more { ask.header("cache-control", control) } else { ask };
        let reply = ask.send().await;
        assert_eq!(reply.status, status, "{held} {more:?}");
        assert_eq!(reply.body.is_empty(), status == 304);
    }
    let reply = subject.post("/proxy", &json!({"context": {"sessionId": "s", "userId": "u"}}));
    assert_eq!(reply.header("if-none-match", &tag).send().await.status, 200);
}

#[actix_web::test]
async fn a_single_origin_is_told_whoever_asks() {
    let subject = Subject::start(&[("CORS_ORIGIN", "https://a.example")]).await;
    let reply = subject.get("/proxy").header("origin", "https://b.example").send().await;
    assert_eq!(reply.header("access-control-allow-origin"), Some("https://a.example"));
    assert!(reply.header("vary").unwrap().contains("Origin"));
}

#[actix_web::test]
async fn long_answers_are_compressed_for_who_accepts_it() {
    let subject = Subject::start(&[]).await;
    for (accepted, expected) in
        [("gzip", Some("gzip")), ("br", Some("br")), ("identity", None), ("gzip;q=0", None)]
    {
        let reply = subject
            .get("/proxy?userId=7&tenantId=me")
            .header("accept-encoding", accepted)
            .send()
            .await;
        assert_eq!(reply.header("content-encoding"), expected, "{accepted}");
    }
}

// === 1.13, 1.16 ===

#[actix_web::test]
async fn refusals_have_their_texts_and_media_types() {
    let subject = Subject::not_ready(&[]).await;
    let reply = subject.get("/proxy").send().await;
    assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(
        reply.body,
        "The Unleash Proxy has not connected to the Unleash API and is not ready to accept requests yet."
    );
    assert_eq!(reply.header("retry-after"), None);
}

#[actix_web::test]
async fn prometheus_has_the_three_metrics_in_their_order() {
    let subject = Subject::start(&[]).await;
    let reply = subject.get("/proxy/internal-backstage/prometheus").send().await;
    assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8; version=0.0.4"));
    let types: Vec<_> = reply.body.lines().filter(|line| line.starts_with("# TYPE")).collect();
    let (three, more) = types.split_at(3);
    assert_eq!(
        three,
        [
            "# TYPE last_metrics_update_epoch_timestamp_ms gauge",
            "# TYPE last_metrics_fetch_epoch_timestamp_ms gauge",
            "# TYPE unleash_proxy_up counter",
        ]
    );
    assert_eq!(more.is_empty(), differs("ours follow", false, true));
}

#[actix_web::test]
async fn health_is_a_page_that_nobody_keeps() {
    let subject = Subject::start(&[]).await;
    let reply = subject.ask("GET", "/proxy/health").send().await;
    assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(reply.header("cache-control"), None);
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
}

#[actix_web::test]
async fn definitions_may_be_kept_and_match_their_tag() {
    let subject = Subject::start(&[]).await;
    let ask = || subject.ask("GET", "/proxy/client/features").header("authorization", SERVER_TOKEN);
    let reply = ask().send().await;
    assert_eq!(reply.header("cache-control"), Some("public, max-age=2"));
    let tag = reply.header("etag").unwrap().to_owned();
    assert!(tag.starts_with("W/\""), "{tag}");
    assert_eq!(ask().header("if-none-match", &tag).send().await.status, 304);
}

#[actix_web::test]
async fn accepted_usage_is_plain_text() {
    let subject = Subject::start(&[]).await;
    let body = json!({"appName": "a", "interval": 1, "started": 5, "strategies": []});
    let reply = subject.post("/proxy/client/register", &body).send().await;
    assert_eq!(
        (reply.status, reply.header("content-type")),
        (200, Some("text/plain; charset=utf-8"))
    );
    assert_eq!(reply.header("cache-control"), None);
}

#[actix_web::test]
async fn registrations_are_validated() {
    let subject = Subject::start(&[]).await;
    let body = |started, strategies| json!({"appName": "a", "interval": 1, "started": started, "strategies": strategies});
    for (body, status) in [
        (body(json!("2022-01-01T00:00:00Z"), json!([])), 200),
        (body(json!("5"), json!(["a"])), 200),
        (body(json!(true), json!([])), 400),
        (body(json!({}), json!([])), 400),
        (body(json!("x"), json!([])), 400),
        (body(json!(5), json!("a")), 400),
        (json!({"appName": "a"}), 400),
    ] {
        let reply = subject.post("/proxy/client/register", &body).send().await;
        assert_eq!(reply.status, status, "{body}");
    }
}

#[actix_web::test]
async fn a_time_may_be_a_number_in_a_body_and_not_in_a_query() {
    let subject = Subject::start(&[]).await;
    let body = json!({"context": {"currentTime": 4_102_444_800_000_i64}});
    assert!(subject.post("/proxy", &body).send().await.has("i-late"));
    assert!(!subject.get("/proxy?currentTime=4102444800000").send().await.has("i-late"));
}

// === 1.15 ===

#[actix_web::test]
async fn docs_need_no_key_and_say_nothing_to_other_origins() {
    let subject = Subject::start(&[("ENABLE_OAS", "1"), ("PROXY_BASE_PATH", "/base")]).await;
    for path in [
        "/base/docs/openapi.json",
        "/base/docs/openapi.yaml",
        "/base/docs/openapi.yml",
        "/base/docs/openapi/",
    ] {
        let reply = subject.ask("GET", path).header("origin", "https://a.example").send().await;
        assert_eq!(reply.status, 200, "{path}");
        assert_eq!(reply.header("access-control-allow-origin"), None, "{path}");
    }
    let reply = subject.ask("GET", "/base/docs/openapi.json").send().await;
    assert!(reply.json()["paths"]["/base/proxy"].is_object());
    let servers = differs("the base path counts once", 0, 1);
    assert_eq!(reply.json()["servers"].as_array().map_or(0, Vec::len), servers);
}

#[actix_web::test]
async fn docs_are_not_there_unless_asked_for() {
    let subject = Subject::start(&[]).await;
    assert_eq!(subject.ask("GET", "/docs/openapi.json").send().await.status, 404);
}

#[actix_web::test]
async fn a_segment_decides() {
    let subject = Subject::start(&[]).await;
    assert!(subject.get("/proxy?userId=7").send().await.has("k-segment"));
    assert!(!subject.get("/proxy?userId=8").send().await.has("k-segment"));
}

#[actix_web::test]
async fn a_plus_is_a_space_and_a_dot_a_letter() {
    let subject = Subject::start(&[]).await;
    for query in ["a.b=x+y", "a.b=x%20y", "properties[a.b]=x+y"] {
        let reply = subject.get(&format!("/proxy?{query}")).send().await;
        assert!(reply.has("l-nested.name"), "{query}");
    }
    assert!(!subject.get("/proxy?a[b]=x+y").send().await.has("l-nested.name"));
}

#[actix_web::test]
async fn trust_that_cannot_be_read_trusts_nobody() {
    for trust in ["1", "nonsense"] {
        let subject = Subject::start(&[("TRUST_PROXY", trust)]).await;
        let reply = subject.get("/proxy").header("x-forwarded-for", "10.1.2.3").send().await;
        assert!(!reply.has("f-address"), "{trust}");
    }
}

#[actix_web::test]
async fn only_x_forwarded_for_tells_addresses() {
    let subject = Subject::start(&[("TRUST_PROXY", "true")]).await;
    let reply = subject.get("/proxy").header("forwarded", "for=10.1.2.3").send().await;
    assert!(!reply.has("f-address"));
    let reply = subject.get("/proxy?remoteAddress=").header("x-forwarded-for", "10.1.2.3");
    assert!(reply.send().await.has("f-address"), "an empty address is none");
}

#[actix_web::test]
async fn an_empty_list_of_names_asks_for_the_list() {
    let subject = Subject::start(&[]).await;
    let all = subject.get("/proxy").send().await.toggles();
    let reply = subject.post("/proxy", &json!({"toggles": []})).send().await;
    assert_eq!(reply.toggles(), all);
    let reply = subject.post("/proxy/all", &json!({})).send().await;
    assert_eq!(reply.status, 501);
    assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"));
    let reply = subject.post("/proxy/all", &json!({"toggles": ["c-off"]})).send().await;
    assert_eq!(reply.status, 501, "names do not open what is closed");
}

#[actix_web::test]
async fn an_impression_that_is_not_defined_is_left_out_of_lists() {
    let subject = Subject::start(&[]).await;
    let mut payload = super::subject::flags();
    for flag in payload.as_array_mut().unwrap() {
        flag.as_object_mut().unwrap().remove("impressionData");
    }
    let answer = crate::upstream::Answer::json(&json!({"version": 2, "features": payload}));
    subject.upstream.answer("/api/client/features", answer);
    let listed = |body: serde_json::Value| body["toggles"][0].get("impressionData").cloned();
    subject.eventually("/proxy", |reply| listed(reply.json()).is_none()).await;
    let reply = subject.post("/proxy", &json!({"toggles": ["a-on"]})).send().await;
    assert_eq!(listed(reply.json()), Some(json!(false)));
}

#[actix_web::test]
async fn named_toggles_are_counted_upstream_and_lists_are_not() {
    let subject = Subject::start(&[]).await;
    subject.get("/proxy").send().await;
    subject.post("/proxy", &json!({"toggles": ["a-on", "c-off", "a-on"]})).send().await;
    let counts = subject.reported().await;
    let of = |name: &str, what: &str| counts[name][what].as_u64().unwrap_or(0);
    assert_eq!((of("a-on", "yes"), of("a-on", "no")), (2, 0), "{counts}");
    assert_eq!((of("c-off", "yes"), of("c-off", "no")), (0, 1), "{counts}");
    assert_eq!(counts.as_object().unwrap().len(), 2, "{counts}");
}

#[actix_web::test]
async fn a_preflight_without_a_wish_names_no_headers() {
    let subject = Subject::start(&[]).await;
    for ask in [
        subject.ask("OPTIONS", "/proxy"),
        subject.ask("OPTIONS", "/proxy").header("access-control-request-headers", ""),
    ] {
        assert_eq!(ask.send().await.header("access-control-allow-headers"), None);
    }
}

#[actix_web::test]
async fn head_answers_a_matching_tag_with_304() {
    let subject = Subject::start(&[]).await;
    let ask = || subject.ask("HEAD", "/proxy?sessionId=s").header("authorization", KEY);
    let tag = ask().send().await.header("etag").unwrap().to_owned();
    assert_eq!(ask().header("if-none-match", &tag).send().await.status, 304);
}
