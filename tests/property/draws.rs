//! Random stickiness: uniform, drawn once where the law says once, decided by the seed alone.

use offleash::engine::{Profile, Show};
use serde_json::{Value, json};

use crate::support::{
    context::TestContext,
    ours::{Ours, read_toggle},
};

const REQUESTS: u64 = 20_000;
/// Five standard deviations of a share of 20,000 draws are below 0.018.
const TOLERANCE: f64 = 0.018;

fn flag(name: &str, strategy: Value) -> Value {
    json!({ "name": name, "enabled": true, "strategies": [strategy] })
}

fn rollout(stickiness: &str, percentage: u32) -> Value {
    let parameters =
        json!({ "rollout": percentage.to_string(), "stickiness": stickiness, "groupId": "g" });
    json!({ "name": "flexibleRollout", "parameters": parameters })
}

fn random(percentage: u32) -> Value {
    json!({ "name": "gradualRolloutRandom", "parameters": { "percentage": percentage.to_string() } })
}

fn compiled(features: &[Value]) -> Ours {
    Ours::new(&json!({ "version": 2, "features": features }))
}

/// The share of requests for which `is_hit` says yes.
fn share(ours: &mut Ours, mut is_hit: impl FnMut(&mut Ours) -> bool) -> f64 {
    let hits = (0..REQUESTS).filter(|seed| {
        ours.seed = *seed;
        is_hit(ours)
    });
    hits.count() as f64 / REQUESTS as f64
}

fn assert_near(share: f64, expected: f64, what: &str) {
    assert!((share - expected).abs() < TOLERANCE, "{what}: {share} is not about {expected}");
}

#[test]
fn random_rollouts_are_on_for_their_percentage() {
    for percentage in [0, 1, 10, 50, 99, 100] {
        let expected = f64::from(percentage) / 100.0;
        for strategy in
            [random(percentage), rollout("random", percentage), rollout("default", percentage)]
        {
            let what = strategy.to_string();
            let mut ours = compiled(&[flag("f", strategy)]);
            let on = share(&mut ours, |ours| ours.is_on("f", &TestContext::new()));
            assert_near(on, expected, &what);
            assert_eq!(on > 0.0, percentage > 0, "{what}: even one percent is something");
            assert_eq!(on == 1.0, percentage == 100, "{what}: 99 percent is not all");
        }
    }
}

#[test]
fn random_variants_come_by_their_weights() {
    let variants = json!([
        { "name": "a", "weight": 1, "stickiness": "random" },
        { "name": "none", "weight": 0 },
        { "name": "b", "weight": 2 },
        { "name": "c", "weight": 7 },
    ]);
    let mut ours = compiled(&[json!({ "name": "f", "enabled": true, "variants": variants })]);
    for (name, expected) in [("a", 0.1), ("none", 0.0), ("b", 0.2), ("c", 0.7)] {
        let is_chosen = |ours: &mut Ours| {
            ours.decide("f", &TestContext::user("7")).variant.unwrap().name == name
        };
        assert_near(share(&mut ours, is_chosen), expected, name);
    }
}

/// Section 3.5: `default` draws once a request, `random` once a strategy.
#[test]
fn default_stickiness_shares_a_draw_and_random_does_not() {
    let both = |ours: &mut Ours| {
        let (body, _) = ours.list(&TestContext::new(), Show::Enabled, Profile::Edge);
        read_toggle(&body, "a").is_some() && read_toggle(&body, "b").is_some()
    };
    let pair = |strategy: Value| compiled(&[flag("a", strategy.clone()), flag("b", strategy)]);
    assert_near(share(&mut pair(rollout("default", 50)), both), 0.5, "one draw");
    assert_near(share(&mut pair(rollout("random", 50)), both), 0.25, "two draws");
    assert_near(share(&mut pair(random(50)), both), 0.25, "two draws");
}

/// Section 6 and D-12: what a child is told of its parent is what the list says of it.
#[test]
fn child_and_parent_share_the_parents_draw() {
    let mut parent = flag("parent", random(50));
    parent["variants"] = json!([
        { "name": "a", "weight": 1, "stickiness": "random" },
        { "name": "b", "weight": 1 },
    ]);
    let child = json!({ "name": "child", "enabled": true, "dependencies": [
        { "feature": "parent", "variants": ["a"] },
    ]});
    let mut ours = compiled(&[parent, child]);
    let mut contradictions = 0;
    let on = share(&mut ours, |ours| {
        let (body, _) = ours.list(&TestContext::new(), Show::All, Profile::Edge);
        let child = read_toggle(&body, "child").unwrap().enabled;
        let parent = read_toggle(&body, "parent").unwrap();
        let is_a = parent.variant.is_some_and(|variant| variant.name == "a");
        contradictions += usize::from(child != is_a);
        child
    });
    assert_eq!(contradictions, 0);
    assert_near(on, 0.25, "half of the requests, half of them with `a`");
}

/// D-12: a flag that is on has its variant from the same draw.
#[test]
fn enabled_and_variant_never_contradict() {
    let mut strategy = random(50);
    strategy["variants"] = json!([{ "name": "a", "weight": 1 }]);
    let mut ours = compiled(&[flag("f", strategy)]);
    for seed in 0..1_000 {
        ours.seed = seed;
        let decision = ours.decide("f", &TestContext::new());
        assert_eq!(decision.enabled, decision.variant.is_some(), "seed {seed}");
    }
}
