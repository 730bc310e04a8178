//! The official client specification 6.1.0, all 279 cases: through the engine, and again over HTTP.
//!
//! The suite is an npm package that we do not carry. It is looked for where `CLIENT_SPECIFICATION`
//! says, else where `scripts/test` puts it; `OFFLEASH_REQUIRE_SPEC` makes its absence a failure.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

#[path = "support/all.rs"]
mod support;

use offleash::engine::{Delta, Features};
use serde_json::{Value, json};
use support::{
    context::{Decision, now_millis},
    events,
    naive::{Naive, Outcome},
    ours::{HOST, Ours, read_decision},
    server::Server,
    suite::{self, Case, Expected, Suite},
};

/// 227 tests and 52 variant tests in 22 files.
const CASES: usize = 279;

#[test]
fn engine_answers_every_case() {
    let Some(suites) = suite::load() else { return };
    let mut passed = 0;
    for suite in &suites {
        let mut ours = compile(suite);
        for case in &suite.cases {
            case.assert(suite, &ours.decide(&case.flag, &case.context));
            passed += 1;
        }
    }
    report("the engine", passed);
}

#[test]
fn proxy_surface_answers_every_case() {
    let Some(suites) = suite::load() else { return };
    let mut passed = 0;
    for suite in &suites {
        let server = Server::start(&suite.file, &whole_payload(suite));
        for case in &suite.cases {
            case.assert(suite, &ask(&server, case));
            passed += 1;
        }
    }
    report("`POST /proxy`", passed);
}

#[test]
fn naive_evaluator_answers_every_case() {
    let Some(suites) = suite::load() else { return };
    let mut passed = 0;
    for suite in &suites {
        let payload = whole_payload(suite);
        let naive = Naive::new(&payload, HOST);
        for case in &suite.cases {
            match naive.decide(&case.flag, &case.context, now_millis()) {
                Outcome::Sure(decision) => case.assert(suite, &decision),
                Outcome::DrawnVariant if case.expected == Expected::Enabled(true) => {}
                outcome => panic!("{}: {}: {outcome:?}", suite.file, case.description),
            }
            passed += 1;
        }
    }
    report("the naive evaluator", passed);
}

/// A full payload is parsed, events are applied to nothing.
fn compile(suite: &Suite) -> Ours {
    let bytes = serde_json::to_vec(&suite.state).unwrap();
    if !suite.is_delta() {
        return Ours::from_bytes(&bytes);
    }
    let mut features = Features::default();
    let applied = features.apply(&Delta::parse(&bytes).unwrap());
    assert!(!applied.rehydrate, "{}: an event was not understood", suite.file);
    let events = suite.state["events"].as_array().unwrap();
    let newest = events.iter().filter_map(|event| event["eventId"].as_u64()).max();
    assert_eq!(features.revision(), newest, "{}", suite.file);
    Ours::from_features(&features)
}

/// A file holds a payload, not events.
fn whole_payload(suite: &Suite) -> Value {
    if !suite.is_delta() {
        return suite.state.clone();
    }
    let mut payload = events::empty();
    events::apply(&mut payload, suite.state["events"].as_array().unwrap());
    payload
}

/// Asks with the context as the file has it.
fn ask(server: &Server, case: &Case) -> Decision {
    let body = json!({ "context": case.context_json, "toggles": [case.flag] });
    let response = server.post("/proxy", &body);
    assert_eq!(response.status, 200, "{}: {:?}", case.description, response.body);
    let body = response.json();
    let [toggle] = body["toggles"].as_array().unwrap().as_slice() else {
        panic!("{}: one flag was asked for: {body}", case.description);
    };
    assert_eq!(toggle["name"], case.flag.as_str());
    let decision = read_decision(toggle);
    assert_eq!(toggle["variant"]["feature_enabled"], decision.enabled, "{}", case.description);
    decision
}

fn report(whom: &str, passed: usize) {
    println!("{whom}: {passed} of {CASES}");
    assert_eq!(passed, CASES, "the suite has another number of cases");
}
