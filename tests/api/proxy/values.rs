//! Rows of unleash-proxy.md 1 that are about a value: which one a flag is decided with, which one an
//! answer shows. What is upstream here has for each value a flag that is on for it alone.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder, write::ZlibEncoder};
use serde_json::{Value, json};

use super::subject::{KEY, Reply, Subject, differs};

/// A field, and the values that [`seen`] knows it by. Not the empty one: to a list of values it is
/// none, so that rows expect `None` for it.
const KNOWN: &[(&str, &[&str])] = &[
    ("appName", &["unleash-proxy", "shop"]),
    ("environment", &["default", "prod", "true"]),
    (
        "probe",
        &["me", "true", "24", "0.5", "null", "a,b", "a,me", "a b", "Åsa", "%zz", "[object Object]"],
    ),
    (
        "remoteAddress",
        &["127.0.0.1", "::ffff:127.0.0.1", "10.0.0.7", "10.0.0.7:80", "junk", "true"],
    ),
    ("sessionId", &["s", "0", "5"]),
    ("userId", &["7", "0", "true", "1.5", "a b"]),
];
const ALL: (&str, &str) = ("ENABLE_ALL_ENDPOINT", "t");

fn flag(name: &str, strategy: &Value) -> Value {
    json!({"name": name, "type": "release", "project": "default", "enabled": true, "stale": false,
        "impressionData": false, "variants": [], "strategies": [strategy]})
}

async fn subject(variables: &[(&str, &str)]) -> Subject {
    let mut features = Vec::new();
    for (field, values) in KNOWN {
        for value in *values {
            let is = json!({"contextName": field, "operator": "IN", "values": [value]});
            let strategy = json!({"name": "default", "parameters": {}, "constraints": [is]});
            features.push(flag(&format!("{field}={value}"), &strategy));
        }
    }
    let blue = json!([{"name": "blue", "weight": 1000, "weightType": "fix", "stickiness": "default",
        "payload": {"type": "json", "value": "{}"}}]);
    let rollout = json!({"name": "flexibleRollout", "constraints": [], "variants": blue,
        "parameters": {"rollout": "100", "stickiness": "userId", "groupId": "g"}});
    features.push(flag(
        "by-loopback",
        &json!({"name": "remoteAddress",
        "parameters": {"IPs": "127.0.0.0/8"}, "constraints": []}),
    ));
    features.push(flag("lost-segment", &json!({"name": "default", "segments": [99]})));
    features.push(flag("strange", &json!({"name": "nobodyKnows", "parameters": {}})));
    features.push(flag("variant-of-strategy", &rollout));
    let mut off = flag("off", &json!({"name": "default"}));
    off["enabled"] = json!(false);
    features.push(off);
    features.sort_by_key(|flag| flag["name"].as_str().unwrap().to_owned());
    Subject::serving(&json!({"version": 2, "features": features}), variables).await
}

/// The value of `field` that this list was decided with; `None` for none that is known.
fn seen(reply: &Reply, field: &str) -> Option<String> {
    let (listed, prefix) = (reply.listed(), format!("{field}="));
    let mut values = listed.iter().filter_map(|name| name.strip_prefix(&prefix));
    let value = values.next().map(str::to_owned);
    assert_eq!(values.next(), None, "one value at a time: {listed:?}");
    value
}

/// Asks for each query or context, and compares the value that is seen.
async fn holds(subject: &Subject, field: &str, rows: &[(Value, Option<&str>)]) {
    for (asked, expected) in rows {
        let reply = match asked.as_str() {
            Some(query) => subject.get(&format!("/proxy?{query}")).send().await,
            None => subject.post("/proxy", &json!({"context": asked})).send().await,
        };
        assert_eq!(seen(&reply, field).as_deref(), *expected, "{field} of {asked}");
    }
}

// === 1.7: what is coerced ===

#[actix_web::test]
async fn root_fields_of_a_body_are_read_as_texts() {
    let subject = subject(&[]).await;
    holds(
        &subject,
        "userId",
        &[
            (json!({"userId": 7}), Some("7")),
            (json!({"userId": 1.5}), Some("1.5")),
            (json!({"userId": true}), Some("true")),
            (json!({"userId": 0}), Some("0")),
            (json!({"userId": null}), None),
        ],
    )
    .await;
    holds(&subject, "sessionId", &[(json!({"sessionId": 5}), Some("5"))]).await;
    holds(
        &subject,
        "environment",
        &[
            (json!({"environment": true}), Some("true")),
            (json!({"environment": null}), Some("default")),
        ],
    )
    .await;
    holds(&subject, "remoteAddress", &[(json!({"remoteAddress": true}), Some("true"))]).await;
}

#[actix_web::test]
async fn properties_of_a_body_are_read_as_texts() {
    let of = |value: Value| json!({"properties": {"probe": value}});
    holds(
        &subject(&[]).await,
        "probe",
        &[
            (of(json!(24)), Some("24")),
            (of(json!(0.5)), Some("0.5")),
            (of(json!(true)), Some("true")),
            (of(json!(null)), None),
            (of(json!("")), None),
            (of(json!("null")), Some("null")),
        ],
    )
    .await;
}

#[actix_web::test]
async fn unknown_root_fields_of_a_body_keep_their_type_and_are_written_as_javascript_does() {
    let list = differs("a list or an object is no value of a context", None, Some("a,b"));
    let object = differs("a list or an object is no value", None, Some("[object Object]"));
    holds(
        &subject(&[]).await,
        "probe",
        &[
            (json!({"probe": "me"}), Some("me")),
            (json!({"probe": 24}), Some("24")),
            (json!({"probe": true}), Some("true")),
            (json!({"probe": null}), None),
            (json!({"probe": ["a", "b"]}), list),
            (json!({"probe": {"a": 1}}), object),
        ],
    )
    .await;
}

#[actix_web::test]
async fn named_toggles_are_read_as_texts() {
    let subject = subject(&[]).await;
    let reply = subject.post("/proxy", &json!({"toggles": [1, true, null, "off"]})).send().await;
    assert_eq!(reply.listed(), ["!1", "!true", "!", "!off"]);
}

// === 1.8: what a query says ===

#[actix_web::test]
async fn a_query_is_decoded() {
    let list = differs("a list is no value, and the last of two counts", "me", "a,me");
    holds(
        &subject(&[]).await,
        "probe",
        &[
            (json!("probe=a+b"), Some("a b")),
            (json!("probe=a%20b"), Some("a b")),
            (json!("probe=%C3%85sa"), Some("Åsa")),
            (json!("probe=%zz"), Some("%zz")),
            (json!("probe"), None),
            (json!("probe="), None),
            (json!("&&probe=me&"), Some("me")),
            (json!("properties%5Bprobe%5D=me"), Some("me")),
            (json!("properties[0]=x&properties[probe]=me"), Some("me")),
            (json!("properties[probe][a]=me"), differs("no value", None, Some("[object Object]"))),
            (
                json!("probe[a][b][c][d][e][f][g]=me"),
                differs("no value", None, Some("[object Object]")),
            ),
            (json!("probe=a&probe=me"), Some(list)),
        ],
    )
    .await;
}

#[actix_web::test]
async fn a_user_of_spaces_is_one_and_an_empty_one_is_none() {
    holds(
        &subject(&[]).await,
        "userId",
        &[
            (json!("userId=a+b"), Some("a b")),
            (json!("userId=0"), Some("0")),
            (json!("userId="), None),
            (json!("userId"), None),
            (json!("USERID=7"), None),
        ],
    )
    .await;
}

#[actix_web::test]
async fn a_head_that_is_too_long_is_431() {
    let subject = subject(&[]).await;
    let long = |count: usize| format!("/proxy?x={}", "x".repeat(count));
    assert_eq!(subject.get(&long(8_000)).send().await.status, 200);
    let reply = subject.get(&long(200_000)).send().await;
    assert_eq!((reply.status, reply.body.as_str()), (431, ""));
}

// === 1.9: the context ===

#[actix_web::test]
async fn defaults_stand_below_what_a_caller_says() {
    let subject = subject(&[("UNLEASH_APP_NAME", "shop")]).await;
    holds(
        &subject,
        "appName",
        &[
            (json!(""), Some("shop")),
            (json!("appName="), Some("shop")),
            (json!("properties[appName]="), Some("shop")),
            (json!("appName=unleash-proxy"), Some("unleash-proxy")),
            (json!({}), Some("shop")),
            (json!({"properties": {"appName": ""}}), Some("shop")),
        ],
    )
    .await;
}

#[actix_web::test]
async fn the_explicit_property_wins_over_the_moved_one() {
    holds(
        &subject(&[]).await,
        "probe",
        &[
            (json!("probe=24&properties[probe]=me"), Some("me")),
            (json!("properties[probe]=me&probe=24"), Some("me")),
            (json!({"probe": 24, "properties": {"probe": "me"}}), Some("me")),
            (json!({"probe": 24, "properties": {"probe": ""}}), None),
        ],
    )
    .await;
}

// === 1.10: the address ===

#[actix_web::test]
async fn an_ipv4_caller_matches_ipv4_networks() {
    let subject = subject(&[]).await;
    let reply = subject.get("/proxy").send().await;
    let mapped = differs("networks of IPv4 are to match", "127.0.0.1", "::ffff:127.0.0.1");
    assert_eq!(seen(&reply, "remoteAddress").as_deref(), Some(mapped));
    assert_eq!(reply.has("by-loopback"), differs("so they do", true, false));
}

#[actix_web::test]
async fn forwarded_addresses_are_taken_as_they_stand() {
    let subject = subject(&[("TRUST_PROXY", "TRUE")]).await;
    for (forwarded, expected) in [
        ("10.0.0.7", Some("10.0.0.7")),
        (" 10.0.0.7 , 1.1.1.1", Some("10.0.0.7")),
        ("junk", Some("junk")),
        (
            "10.0.0.7:80",
            Some(differs(
                "a port is no part of an address, and rules are to match",
                "10.0.0.7",
                "10.0.0.7:80",
            )),
        ),
    ] {
        let reply = subject.get("/proxy").header("x-forwarded-for", forwarded).send().await;
        assert_eq!(seen(&reply, "remoteAddress").as_deref(), expected, "{forwarded}");
    }
}

#[actix_web::test]
async fn networks_are_trusted_by_name_prefix_and_mask() {
    for trust in ["loopback", "127.0.0.1/8", "127.0.0.0/255.0.0.0", "linklocal, 127.0.0.1"] {
        let subject = subject(&[("TRUST_PROXY", trust)]).await;
        let reply = subject.get("/proxy").header("x-forwarded-for", "1.1.1.1, 10.0.0.7");
        let reply = reply.send().await;
        assert_eq!(seen(&reply, "remoteAddress").as_deref(), Some("10.0.0.7"), "{trust}");
    }
}

// === 1.5, 1.6: bodies ===

#[actix_web::test]
async fn a_body_in_chunks_passes_the_same_gate() {
    let subject = subject(&[]).await;
    let body = r#"{"context":{"probe":"me"}}"#;
    let ask = || subject.ask("POST", "/proxy").header("authorization", KEY).body(body).chunked();
    let reply = ask().send().await;
    assert_eq!(seen(&reply, "probe").as_deref(), Some("me"), "without a type, it is JSON");
    let reply = ask().header("content-type", "text/plain").send().await;
    assert_eq!((reply.status, reply.body.as_str()), (415, ""));
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
}

#[actix_web::test]
async fn compressed_bodies_are_read_whatever_the_case_of_their_encoding() {
    let subject = subject(&[]).await;
    let body = br#"{"context":{"probe":"me"}}"#;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(body).unwrap();
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    zlib.write_all(body).unwrap();
    let (gzip, zlib) = (gzip.finish().unwrap(), zlib.finish().unwrap());
    for (encoding, body) in
        [("gzip", &gzip[..]), ("GZip", &gzip), ("deflate", &zlib), ("identity", body)]
    {
        let ask =
            subject.post("/proxy", &json!({})).body(body).header("content-encoding", encoding);
        assert_eq!(seen(&ask.send().await, "probe").as_deref(), Some("me"), "{encoding}");
    }
}

// === 1.11, 1.12: lists ===

#[actix_web::test]
async fn what_cannot_be_decided_is_off() {
    let subject = subject(&[ALL]).await;
    let listed = subject.get("/proxy/all").send().await.listed();
    for name in ["!lost-segment", "!strange", "!off"] {
        assert!(listed.iter().any(|flag| flag == name), "{name} in {listed:?}");
    }
}

#[actix_web::test]
async fn a_variant_of_a_strategy_and_a_flag_that_is_off_have_their_shapes() {
    let subject = subject(&[ALL]).await;
    let body = subject.get("/proxy/all?userId=7").send().await.body;
    for toggle in [
        r#"{"name":"off","enabled":false,"variant":{"name":"disabled","enabled":false,"feature_enabled":false},"impressionData":false}"#,
        r#"{"name":"variant-of-strategy","enabled":true,"variant":{"name":"blue","enabled":true,"payload":{"type":"json","value":"{}"},"feature_enabled":true,"featureEnabled":true},"impressionData":false}"#,
    ] {
        assert!(body.contains(toggle), "{toggle} in {body}");
    }
}

#[actix_web::test]
async fn lists_stand_in_the_order_of_names_and_a_name_that_comes_twice_is_one() {
    let on = |name: &str| flag(name, &json!({"name": "default", "parameters": {}}));
    let features = json!([on("beta"), on("10"), on("alpha"), on("beta"), on("9")]);
    let payload = json!({"version": 2, "features": features});
    let reply = Subject::serving(&payload, &[]).await.get("/proxy").send().await;
    let expected = differs(
        "the order of names is the same for the same flags, so that tags are",
        ["10", "9", "alpha", "beta"],
        ["9", "10", "beta", "alpha"],
    );
    assert_eq!(reply.listed(), expected);
}

// === 1.13: errors ===

#[actix_web::test]
async fn a_disabled_list_says_how_to_enable_it() {
    let reply = subject(&[]).await.get("/proxy/all").send().await;
    assert_eq!(
        (reply.status, reply.body.as_str()),
        (
            501,
            "The /proxy/all endpoint is disabled. Please check your server configuration. To enable it, set the `enableAllEndpoint` configuration option or `ENABLE_ALL_ENDPOINT` environment variable to `true`."
        )
    );
}

#[actix_web::test]
async fn what_is_no_json_is_told_in_json() {
    let reply = subject(&[]).await.post("/proxy", &json!({})).body("{bad").send().await;
    assert_eq!(reply.status, 400);
    assert_eq!(reply.header("content-type"), Some("application/json; charset=utf-8"));
    let error = reply.json()["error"].as_str().unwrap().to_owned();
    assert!(
        error.starts_with("We were unable to parse the data you provided. Please check it for syntax errors. The message we got was: \""),
        "{error}"
    );
}

// === 1.14: CORS ===

#[actix_web::test]
async fn every_variable_of_cors_is_told_to_a_preflight() {
    let subject = subject(&[
        ("CORS_ORIGIN", "https://a.example, https://b.example"),
        ("CORS_METHODS", "GET"),
        ("CORS_ALLOWED_HEADERS", "x-one,x-two"),
        ("CORS_EXPOSED_HEADERS", "X-Three"),
        ("CORS_CREDENTIALS", "1"),
        ("CORS_MAX_AGE", "5"),
        ("CORS_OPTIONS_SUCCESS_STATUS", "200"),
    ])
    .await;
    let reply = subject.ask("OPTIONS", "/proxy").header("origin", "https://b.example").send().await;
    assert_eq!(reply.status, 200);
    for (name, value) in [
        ("access-control-allow-origin", "https://b.example"),
        ("access-control-allow-methods", "GET"),
        ("access-control-allow-headers", "x-one,x-two"),
        ("access-control-allow-credentials", "true"),
        ("access-control-max-age", "5"),
    ] {
        assert_eq!(reply.header(name), Some(value), "{name}");
    }
    let reply = subject.get("/proxy").header("origin", "https://c.example").send().await;
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, None));
    assert_eq!(reply.header("access-control-expose-headers"), Some("X-Three"));
    assert!(reply.header("vary").unwrap().contains("Origin"));
}

#[actix_web::test]
async fn refusals_and_304s_can_be_read_by_other_origins() {
    let subject = subject(&[]).await;
    let target = "/proxy?sessionId=s";
    let tag = subject.get(target).send().await.header("etag").unwrap().to_owned();
    for (ask, status) in [
        (subject.get(target).header("if-none-match", &tag), 304),
        (subject.ask("GET", "/proxy"), 401),
        (subject.get("/proxy?properties=x"), 400),
        (subject.get("/proxy/nowhere"), 404),
        (subject.get("/proxy/all"), 501),
    ] {
        let reply = ask.header("origin", "https://a.example").send().await;
        assert_eq!(reply.status, status);
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"), "{status}");
        assert_eq!(reply.header("access-control-expose-headers"), Some("ETag"), "{status}");
    }
}

#[actix_web::test]
async fn a_preflight_mirrors_the_headers_of_any_sdk() {
    let subject = subject(&[]).await;
    for asked in
        ["authorization,unleash-appname,unleash-connection-id", "x-unleash-sdk, IF-NONE-MATCH"]
    {
        let ask = subject.ask("OPTIONS", "/proxy").header("access-control-request-headers", asked);
        let reply = ask.send().await;
        assert_eq!(reply.header("access-control-allow-headers"), Some(asked));
        let vary = reply.header("vary").unwrap().to_ascii_lowercase();
        assert!(vary.contains("access-control-request-headers"), "{vary}");
    }
}

// === 4.1: readiness ===

#[actix_web::test]
async fn an_upstream_without_flags_makes_ready() {
    let payload = json!({"version": 2, "features": []});
    let subject = Subject::serving(&payload, &[]).await;
    assert_eq!(subject.get("/proxy").send().await.body, r#"{"toggles":[]}"#);
}
