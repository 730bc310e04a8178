//! Flags to start with: they make the service ready, and upstream wins as soon as it answers.

use std::time::Duration;

use super::{
    outbound::bench,
    sync::{FEATURES, KEY, SECRET, assert_no_secrets, eventually, ours, said_once, times_said},
    upstream::{Answer, Gate, ScriptedUpstream},
};

const PATH: &str = "/boot/flags.json";

/// Where nobody listens, as an upstream.
fn nobody() -> String {
    format!("http://{}/api", ScriptedUpstream::reserve())
}

fn url(server: &ScriptedUpstream) -> String {
    format!("{}{PATH}?signature=sesame", server.url())
}

#[actix_rt::test]
async fn a_bootstrap_makes_it_ready_while_upstream_is_down_and_upstream_wins() {
    let server = ScriptedUpstream::start();
    server.answer(PATH, Answer::flags(&["from-bootstrap"]));
    let address = ScriptedUpstream::reserve();
    let set = [
        ("EXP_BOOTSTRAP_URL", url(&server)),
        ("EXP_BOOTSTRAP_AUTHORIZATION", "Key sesame".to_owned()),
        ("UNLEASH_INSTANCE_ID", "the-id".to_owned()),
    ];
    let set = set.each_ref().map(|(name, text)| (*name, text.as_str()));
    let mut bench = bench(&format!("http://{address}/api"), &set);
    bench.serves(KEY, &["from-bootstrap"]).await;
    assert!(bench.ready());
    said_once("WARN", "serving 1 flags of the bootstrap").await;
    let request = &server.requests_to(PATH)[0];
    assert_eq!((request.method.as_str(), request.query.as_str()), ("GET", "signature=sesame"));
    for (header, value) in [
        ("authorization", Some("Key sesame")),
        ("user-agent", Some("the-app")),
        ("unleash-appname", Some("the-app")),
        ("unleash-instanceid", Some("the-instance")),
        ("accept", Some("*/*")),
        ("unleash-connection-id", None),
        ("if-none-match", None),
    ] {
        assert_eq!(request.header(header), value, "{header}");
    }
    assert!(request.header("unleash-sdk").unwrap().starts_with("offleash:"));

    let upstream = ScriptedUpstream::start_at(address);
    upstream.answer(FEATURES, Answer::flags(&["from-upstream"]));
    bench.serves(KEY, &["from-upstream"]).await;
    assert_eq!(upstream.requests_to(FEATURES)[0].header("authorization"), Some(SECRET));
    assert_eq!(server.requests_to(PATH).len(), 1, "it is asked once");
    assert_no_secrets();
}

#[actix_rt::test]
async fn even_an_upstream_without_flags_wins_and_a_slow_bootstrap_changes_nothing() {
    let (server, gate) = (ScriptedUpstream::start(), Gate::closed());
    server.answer(PATH, Answer::flags(&["late"]).behind(&gate));
    let upstream = ScriptedUpstream::start();
    upstream.answer(FEATURES, Answer::flags(&[]));
    let url = url(&server);
    let mut bench = bench(&format!("{}/api", upstream.url()), &[("EXP_BOOTSTRAP_URL", &url)]);
    bench.serves(KEY, &[]).await;
    eventually("the bootstrap is asked", || server.requests_to(PATH).len() == 1).await;
    gate.open();
    eventually("the bootstrap came", || times_said("DEBUG", "bootstrap is not needed") == 1).await;
    assert_eq!(bench.flags(KEY).unwrap(), [""; 0]);
}

#[actix_rt::test]
async fn a_bootstrap_that_is_no_good_changes_nothing_and_is_said() {
    for (answer, text) in [
        (Answer::flags(&[]), "holds no flags"),
        (Answer::text("<html>sesame</html>"), "cannot be read"),
        (Answer::text("[]"), "cannot be read"),
        (Answer::flags(&["a"]).cut_by(7), "broke off"),
        (Answer::status(404), "answered `404`"),
        (Answer::status(401), "answered `401`"),
        (Answer::status(301).header("location", "http://elsewhere.test/"), "redirects to"),
    ] {
        let server = ScriptedUpstream::start();
        server.answer(PATH, answer);
        let url = url(&server);
        let mut bench = bench(&nobody(), &[("EXP_BOOTSTRAP_URL", &url)]);
        let is_said = || ours().lines().any(|it| it.contains("bootstrap") && it.contains(text));
        eventually(text, is_said).await;
        assert!(!bench.ready(), "{text}");
        assert_eq!(bench.flags(KEY), None, "{text}");
    }
    assert_no_secrets();
}

#[actix_rt::test]
async fn a_bootstrap_whose_server_fails_is_tried_again_twice() {
    let server = ScriptedUpstream::start();
    server.answer(PATH, Answer::flags(&["a"]));
    server.answer_once(PATH, Answer::status(500));
    let url = url(&server);
    let started = std::time::Instant::now();
    let mut bench = bench(&nobody(), &[("EXP_BOOTSTRAP_URL", &url)]);
    bench.serves(KEY, &["a"]).await;
    assert!(started.elapsed() >= Duration::from_secs(1), "not at once");
    assert_eq!(server.requests_to(PATH).len(), 2);
}

#[actix_rt::test]
async fn the_credentials_in_a_bootstraps_url_are_shown_where_no_others_are_set() {
    let server = ScriptedUpstream::start();
    server.answer(PATH, Answer::flags(&["a"]));
    let url = format!("http://me:sesame@{}{PATH}", server.address());
    bench(&nobody(), &[("EXP_BOOTSTRAP_URL", &url)]).serves(KEY, &["a"]).await;
    assert_eq!(server.requests_to(PATH)[0].header("authorization"), Some("Basic bWU6c2VzYW1l"));
    assert_no_secrets();
}
