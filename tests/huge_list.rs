//! A hundred thousand user ids in one list, and what a plan may weigh.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

#[path = "../benches/support/payload.rs"]
mod payload;

use allocation_counter::measure;
use offleash::engine::{Context, Features, Host, Plan, Projects, Scratch, compile};
use payload::{Listed, Spelling};

const USERS: u32 = 100_000;

/// A payload's plan and the bytes that the allocator gave for it and did not get back.
fn compiled(payload: &str) -> (Plan, usize) {
    let (features, warnings) = Features::parse(payload.as_bytes()).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let mut plan = None;
    let info = measure(|| plan = Some(compile(&features, &Projects::All, &Host::default()).0));
    (plan.unwrap(), usize::try_from(info.bytes_current).unwrap())
}

fn holds_a_huge_list(listed: Listed, spelling: Spelling) {
    let users = payload::many_users(spelling, USERS);
    let ids: usize = users.iter().map(String::len).sum();

    let (plan, held) = compiled(&payload::huge_list(listed, &users).to_string());

    let told = plan.stats().bytes;
    assert!(told < 3 * ids, "the plan tells {told} bytes for {ids} bytes of ids");
    assert!(held < 3 * ids, "the plan holds {held} bytes for {ids} bytes of ids");
    let (mut context, mut scratch) = (Context::new(), Scratch::new());
    let mut is_on = |user: &str| {
        context.start(&plan, 0, 1).top("userId", user);
        plan.evaluate_one(plan.flag("huge").unwrap(), &context, &mut scratch).enabled
    };
    for user in &users {
        assert!(is_on(user), "{user} is listed");
    }
    // One more character, one less, and the neighbours of what is there.
    for user in users.iter().step_by(1_000) {
        assert!(!is_on(&format!("{user}0")));
        assert!(!is_on(&user[..user.len() - 1]));
        assert!(!is_on(&user.to_uppercase()));
    }
    assert!(!is_on("user-99999") && !is_on("user-200000") && !is_on(""));
}

#[test]
fn hundred_thousand_uuids_in_one_constraint_weigh_less_than_three_times_their_text() {
    holds_a_huge_list(Listed::Constraint, Spelling::Uuid);
}

#[test]
fn hundred_thousand_uuids_in_one_user_list_weigh_less_than_three_times_their_text() {
    holds_a_huge_list(Listed::Strategy, Spelling::Uuid);
}

#[test]
fn hundred_thousand_counted_users_in_one_constraint_weigh_less_than_three_times_their_text() {
    holds_a_huge_list(Listed::Constraint, Spelling::Counted);
}

#[test]
fn hundred_thousand_counted_users_in_one_user_list_weigh_less_than_three_times_their_text() {
    holds_a_huge_list(Listed::Strategy, Spelling::Counted);
}

#[test]
fn plan_of_a_thousand_flags_weighs_at_most_twice_its_payload() {
    for seed in 1..4 {
        let payload = payload::payload(1_000, seed).to_string();
        let (plan, held) = compiled(&payload);
        let (told, budget) = (plan.stats().bytes, 2 * payload.len());
        assert!(told <= budget, "the plan tells {told} bytes, the budget is {budget}");
        assert!(held <= budget, "the plan holds {held} bytes, the budget is {budget}");
    }
}
