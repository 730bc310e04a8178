//! GitLab's feature flags as an upstream: the instance's name is the credential, only flags are
//! served, and nobody there takes reports.

use std::time::Duration;

use offleash::config::Config;
use serde_json::{Value, json};

use super::{
    outbound::resolve,
    server::config,
    sync::{KEY, said, times_said, watch_logs},
    upstream::{Answer, ScriptedUpstream},
};

const BASE: &str = "/api/v4/feature_flags/unleash/42";
const INSTANCE: &str = "glffct-sesame";

/// Version 1: no segments, no variants, no projects, and texts where Unleash has numbers.
fn features() -> Value {
    let strategy =
        |name: &str, parameters: Value| json!([{"name": name, "parameters": parameters}]);
    json!({"version": 1, "features": [
        {"name": "everyone", "description": "", "enabled": true,
         "strategies": strategy("default", json!({}))},
        {"name": "nobody", "description": null, "enabled": false,
         "strategies": strategy("default", json!({}))},
        {"name": "some-users", "description": "", "enabled": true,
         "strategies": strategy("userWithId", json!({"userIds": "ada,grace"}))},
        {"name": "all-by-user", "description": "", "enabled": true, "strategies": strategy(
            "gradualRolloutUserId", json!({"groupId": "default", "percentage": "100"}))},
        {"name": "none-by-user", "description": "", "enabled": true, "strategies": strategy(
            "gradualRolloutUserId", json!({"groupId": "default", "percentage": "0"}))},
        {"name": "all-flexible", "description": "", "enabled": true, "strategies": strategy(
            "flexibleRollout",
            json!({"groupId": "default", "rollout": "100", "stickiness": "default"}))},
    ]})
}

/// Serves only who shows the right instance, as GitLab does, whatever the token.
fn gitlab() -> ScriptedUpstream {
    let upstream = ScriptedUpstream::start();
    let tag = "W/\"1a2b\"";
    upstream.answer_with(&format!("{BASE}/client/features"), move |request| {
        match (request.header("unleash-instanceid"), request.header("if-none-match")) {
            (Some(INSTANCE), Some(known)) if known == tag => Answer::status(304),
            (Some(INSTANCE), _) => Answer::json(&features()).header("etag", tag),
            _ => Answer::status(401),
        }
    });
    upstream
}

fn service(upstream: &ScriptedUpstream) -> Config {
    let set = [
        ("UNLEASH_INSTANCE_ID", INSTANCE),
        ("UNLEASH_APP_NAME", "production"),
        ("UNLEASH_METRICS_INTERVAL", "40"),
    ];
    let resolved = resolve(&format!("{}{BASE}", upstream.url()), &set).unwrap();
    let (source, identity) = (resolved.config.source, resolved.config.identity);
    Config { source, identity, ..config() }
}

#[actix_web::test]
async fn gitlabs_flags_are_served_and_what_gitlab_does_not_have_hurts_nobody() {
    watch_logs();
    let upstream = gitlab();
    let running = offleash::start(service(&upstream)).await.unwrap();
    let (client, address) = (awc::Client::default(), running.addr());
    let enabled = async |query: &str| -> Option<Vec<String>> {
        let request = client.get(format!("http://{address}/proxy{query}"));
        let mut response = request.insert_header(("authorization", KEY)).send().await.unwrap();
        let body: Value = serde_json::from_slice(&response.body().await.unwrap()).ok()?;
        let toggles = body["toggles"].as_array()?.iter();
        Some(toggles.map(|toggle| toggle["name"].as_str().unwrap().to_owned()).collect())
    };
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while enabled("?userId=ada").await.is_none() {
        assert!(std::time::Instant::now() < deadline, "not ready\n{}", said());
        actix_web::rt::time::sleep(Duration::from_millis(5)).await;
    }
    let ada = ["all-by-user", "all-flexible", "everyone", "some-users"];
    assert_eq!(enabled("?userId=ada").await.unwrap(), ada);
    assert_eq!(enabled("").await.unwrap(), ["all-flexible", "everyone"]);

    // Counts for reports that GitLab has no place for, interval after interval.
    let report = json!({"appName": "web", "instanceId": "i", "bucket": {
        "start": "2026-11-23T00:00:00.000Z", "stop": "2026-11-23T00:00:30.000Z",
        "toggles": {"everyone": {"yes": 1, "no": 0}},
    }});
    let reports = format!("{BASE}/client/metrics");
    let polls = || upstream.requests_to(&format!("{BASE}/client/features")).len();
    while upstream.requests_to(&reports).len() < 4 {
        assert!(std::time::Instant::now() < deadline, "no reports\n{}", said());
        let request = client.post(format!("http://{address}/proxy/client/metrics"));
        let request = request.insert_header(("authorization", KEY));
        assert_eq!(request.send_json(&report).await.unwrap().status().as_u16(), 200);
        actix_web::rt::time::sleep(Duration::from_millis(10)).await;
    }
    let before = polls();
    while polls() < before + 3 {
        assert!(std::time::Instant::now() < deadline, "flags are asked for no more");
        actix_web::rt::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(enabled("?userId=ada").await.unwrap(), ada);
    assert!(!upstream.requests_to(&format!("{BASE}/client/register")).is_empty());
    assert_eq!(upstream.requests_to("/edge/validate").len(), 0);
    assert_eq!(times_said("WARN", "no place for usage reports"), 1, "{}", said());
    assert_eq!(times_said("WARN", " offleash::"), 1, "{}", said());
    assert_eq!(times_said("ERROR", " offleash::"), 0, "{}", said());
    assert!(!said().contains("sesame"), "the instance's name is a secret");
    running.stop().await;
}
