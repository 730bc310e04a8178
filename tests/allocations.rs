//! What the engine asks of the allocator: nothing, once it has seen its traffic.
//!
//! The counting allocator counts per thread, so that tests beside each other do not disturb.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, and each test crate uses its part of the support"
)]

#[path = "../benches/support/engines.rs"]
mod engines;
#[path = "../benches/support/payload.rs"]
mod payload;

use allocation_counter::{AllocationInfo, measure};
use engines::{Fields, Ours};
use offleash::engine::{Features, Host, Plan, Profile, Projects, Root, Show, compile};
use payload::{Listed, Spelling};
use serde_json::json;

const FLAGS: usize = 1_000;
const CONTEXTS: usize = 1_000;
const SEED: u64 = 7;

/// What `work` allocates when it is done again after all contexts have been seen.
fn after_warm_up(mut work: impl FnMut(&mut Ours, &Fields)) -> AllocationInfo {
    let mut ours = Ours::new(&payload::payload(FLAGS, SEED));
    let contexts: Vec<Fields> = payload::contexts(CONTEXTS, SEED).iter().map(Fields::new).collect();
    let mut all = || contexts.iter().for_each(|fields| work(&mut ours, fields));
    all();
    measure(all)
}

/// The same for an answer that lists flags.
fn listing(show: Show, profile: Profile) -> AllocationInfo {
    let mut written = 0;
    let info = after_warm_up(|ours, fields| {
        ours.answer(fields, show, profile);
        written += ours.body.len();
    });
    assert!(written > 2 * CONTEXTS * FLAGS, "only {written} bytes were written");
    info
}

/// The same for answers to names, of which some are no flag's.
fn naming(profile: Profile) -> AllocationInfo {
    let mut names = some_names();
    names.push("nobody's \"flag\"".to_owned());
    after_warm_up(|ours, fields| {
        ours.fill(fields);
        ours.body.clear();
        let answer = ours.plan.evaluate_named(&ours.context, &mut ours.scratch, &names);
        answer.tag(profile);
        answer.render_into(profile, &mut ours.body);
    })
}

fn some_names() -> Vec<String> {
    let payload = payload::payload(FLAGS, SEED);
    let flags = payload["features"].as_array().unwrap().iter();
    flags.step_by(20).map(|flag| flag["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn counter_counts() {
    let info = measure(|| drop(std::hint::black_box(vec![1_u8; 10])));
    assert_eq!((info.count_total, info.bytes_total, info.bytes_current), (1, 10, 0));
}

#[test]
fn listing_enabled_flags_for_the_frontend_api_allocates_nothing() {
    assert_eq!(listing(Show::Enabled, Profile::Edge), AllocationInfo::default());
}

#[test]
fn listing_enabled_flags_for_the_proxy_allocates_nothing() {
    assert_eq!(listing(Show::Enabled, Profile::Proxy), AllocationInfo::default());
}

#[test]
fn listing_all_flags_for_the_frontend_api_allocates_nothing() {
    assert_eq!(listing(Show::All, Profile::Edge), AllocationInfo::default());
}

#[test]
fn listing_all_flags_for_the_proxy_allocates_nothing() {
    assert_eq!(listing(Show::All, Profile::Proxy), AllocationInfo::default());
}

#[test]
fn answering_names_for_the_frontend_api_allocates_nothing() {
    assert_eq!(naming(Profile::Edge), AllocationInfo::default());
}

#[test]
fn answering_names_for_the_proxy_allocates_nothing() {
    assert_eq!(naming(Profile::Proxy), AllocationInfo::default());
}

#[test]
fn evaluating_one_flag_allocates_nothing() {
    let flags = some_names();
    let mut on = 0;
    let info = after_warm_up(|ours, fields| {
        ours.fill(fields);
        on += flags.iter().filter(|name| ours.is_enabled(name)).count();
    });
    assert!(on > 0);
    assert_eq!(info, AllocationInfo::default());
}

#[test]
fn plan_tells_the_bytes_it_holds() {
    let (plan, held) = compiled(&payload::payload(FLAGS, SEED).to_string());
    close(plan.stats().bytes, held);
    for spelling in [Spelling::Counted, Spelling::Uuid] {
        let users = payload::many_users(spelling, 20_000);
        let (plan, held) = compiled(&payload::huge_list(Listed::Strategy, &users).to_string());
        close(plan.stats().bytes, held);
    }
}

#[test]
fn definitions_hold_what_upstream_sent_twice_and_no_more() {
    // Words that nothing but the texts themselves keep, so that these are what is measured.
    let words = "x".repeat(20_000);
    let flags: Vec<_> = (0..100)
        .map(|number| json!({"name": number.to_string(), "enabled": true, "description": words}))
        .collect();
    let payload = json!({ "features": flags }).to_string();
    let (mut features, mut document) = (None, None);
    let held = |info: AllocationInfo| usize::try_from(info.bytes_current).unwrap();
    let parsing = held(measure(|| features = Some(Features::parse(payload.as_bytes()).unwrap().0)));
    let features = features.unwrap();
    let telling = held(measure(|| document = features.definitions(&Projects::All)));
    close(payload.len(), parsing);
    close(payload.len(), telling);
    // Nor is anything kept twice of what did not change.
    let again = held(measure(|| {
        let (same, _) = Features::parse_over(payload.as_bytes(), &features).unwrap();
        document = same.definitions(&Projects::All);
    }));
    assert!(again <= payload.len() / 100, "{again} bytes more");
}

/// A payload's plan and the bytes that the allocator gave for it and did not get back.
fn compiled(payload: &str) -> (Plan, usize) {
    let (features, _) = Features::parse(payload.as_bytes()).unwrap();
    let mut plan = None;
    let info = measure(|| plan = Some(compile(&features, &Projects::All, &Host::default()).0));
    (plan.unwrap(), usize::try_from(info.bytes_current).unwrap())
}

/// Patterns and shared text are beyond what a plan can count, so a tenth may be missing.
fn close(told: usize, held: usize) {
    assert!(told.abs_diff(held) <= held / 10, "told {told} bytes, held {held}");
}

#[test]
fn a_current_time_sent_as_a_number_allocates_nothing() {
    let info = after_warm_up(|ours, fields| {
        ours.fill(fields);
        let mut writer = ours.context.start(&ours.plan, engines::NOW_MILLIS, 1);
        writer.root_time_millis(engines::NOW_MILLIS);
        writer.root_time_millis(i64::MAX);
        assert!(writer.has(Root::CurrentTime));
    });
    assert_eq!(info.count_total, 0);
}
