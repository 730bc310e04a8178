//! Rows of sections 3 and 9 about strategies, percentages, groups and stickiness.

use serde_json::{Value, json};

use super::small::{assert_both, flag, ours, payload, strategy, theirs, user_in_bucket, users};
use crate::support::{context::TestContext, ours::Ours, yggdrasil::Yggdrasil};

fn rollout(percentage: Value, group: Option<&str>) -> Value {
    let mut parameters = json!({ "rollout": percentage, "stickiness": "userId" });
    if let Some(group) = group {
        parameters["groupId"] = json!(group);
    }
    strategy("flexibleRollout", parameters)
}

#[test]
fn d6_identifiers_are_hashed_as_utf8() {
    let buckets = [
        ("Feature.Hellø", "42", 91),
        ("g", "ålesund", 53),
        ("g", "user-😊", 76),
        ("g", "你好", 96),
    ];
    for (group, user, bucket) in buckets {
        let context = TestContext::user(user);
        assert_both(&rollout(json!(bucket.to_string()), Some(group)), &context, true, true);
        let below = (bucket - 1).to_string();
        assert_both(&rollout(json!(below), Some(group)), &context, false, false);
    }
}

#[test]
fn d7_missing_group_is_the_flags_name_for_flexible_rollouts() {
    let (without, with) = (rollout(json!("50"), None), rollout(json!("50"), Some("f")));
    let theirs = Yggdrasil::new(&without);
    let (mut without, mut with) = (Ours::new(&without), Ours::new(&with));
    for user in users() {
        assert_eq!(without.is_on("f", &user), with.is_on("f", &user), "{user:?}");
        assert_eq!(without.is_on("f", &user), theirs.is_on("f", &user), "{user:?}");
    }
}

#[test]
fn d7_missing_group_is_empty_for_gradual_rollouts() {
    for (name, field) in
        [("gradualRolloutUserId", "userId"), ("gradualRolloutSessionId", "sessionId")]
    {
        let without = strategy(name, json!({ "percentage": "50" }));
        let with = strategy(name, json!({ "percentage": "50", "groupId": "" }));
        let theirs = Yggdrasil::new(&without);
        let (mut without, mut with) = (Ours::new(&without), Ours::new(&with));
        let mut on = 0;
        for n in 0..200 {
            let context = TestContext::new().top(field, &n.to_string());
            assert_eq!(without.is_on("f", &context), with.is_on("f", &context), "{context:?}");
            assert!(!theirs.is_on("f", &context), "Yggdrasil turns the strategy off");
            on += usize::from(with.is_on("f", &context));
        }
        assert!(on > 50 && on < 150, "{on} of 200");
    }
}

#[test]
fn d7_missing_group_is_the_flags_name_for_strategy_variants() {
    let variants = json!([{ "name": "a", "weight": 1 }, { "name": "b", "weight": 1 }]);
    let with_group = |parameters: Value| {
        let strategy = json!({ "name": "default", "parameters": parameters, "variants": variants });
        Ours::new(&flag(json!([strategy])))
    };
    let (mut without, mut with) = (with_group(json!({})), with_group(json!({ "groupId": "f" })));
    for user in users() {
        assert_eq!(without.decide("f", &user), with.decide("f", &user), "{user:?}");
    }
}

/// Section 3.3: the last bucket that is on, 0 where none is.
#[test]
fn d8_percentages_are_numbers_and_clamped() {
    let texts = [
        (json!("0"), 0),
        (json!("1"), 1),
        (json!("100"), 100),
        (json!("050"), 50),
        (json!("+50"), 50),
        (json!(" 50 "), 50),
        (json!("33.5"), 33),
        (json!("100.0"), 100),
        (json!("1e2"), 100),
        (json!("101"), 100),
        (json!("1000"), 100),
        (json!("0.5"), 0),
        (json!(50), 50),
        (json!(33.5), 33),
        (json!("-1"), 0),
        (json!("abc"), 0),
        (json!(""), 0),
        (Value::Null, 0),
    ];
    for (percentage, last_on) in texts {
        for (name, key) in [("flexibleRollout", "rollout"), ("gradualRolloutUserId", "percentage")]
        {
            let mut parameters = json!({ "stickiness": "userId", "groupId": "g" });
            parameters[key] = percentage.clone();
            let mut ours = Ours::new(&strategy(name, parameters));
            for bucket in [1, 33, 34, 50, 51, 100] {
                let context = user_in_bucket("g", bucket);
                let is_on = ours.is_on("f", &context);
                assert_eq!(is_on, bucket <= last_on, "{name} {percentage} bucket {bucket}");
            }
        }
    }
}

#[test]
fn d8_yggdrasil_differs_on_padded_and_large_percentages() {
    for percentage in [" 50 ", "33.5", "101"] {
        let payload = rollout(json!(percentage), Some("g"));
        assert_both(&payload, &user_in_bucket("g", 1), true, false);
    }
}

#[test]
fn d9_empty_stickiness_value_is_missing() {
    let empty = TestContext::user("");
    assert_both(&rollout(json!("100"), Some("g")), &empty, false, true);
    let gradual = strategy("gradualRolloutUserId", json!({ "percentage": "100", "groupId": "g" }));
    assert_both(&gradual, &empty, false, true);
    assert_both(&strategy("userWithId", json!({ "userIds": "a,,b" })), &empty, false, true);
    assert_both(&strategy("userWithId", json!({ "userIds": "" })), &empty, false, true);
}

#[test]
fn d9_default_stickiness_passes_over_an_empty_user() {
    let default = |context: TestContext| {
        let parameters = json!({ "rollout": "50", "stickiness": "default", "groupId": "g" });
        ours(&strategy("flexibleRollout", parameters), &context)
    };
    for n in 0..100 {
        let session = TestContext::new().top("sessionId", &n.to_string());
        assert_eq!(default(session.clone().top("userId", "")), default(session), "session {n}");
    }
}

#[test]
fn d10_remote_address_is_no_stickiness_of_variants() {
    let variants = json!([{ "name": "a", "weight": 1 }, { "name": "b", "weight": 1 }]);
    let mut ours = Ours::new(&payload(&[json!({
        "name": "f", "enabled": true, "strategies": [], "variants": variants,
    })]));
    let context = TestContext::new().top("remoteAddress", "10.0.0.1");
    let mut drawn: Vec<String> = (0..100)
        .map(|seed| {
            ours.seed = seed;
            ours.decide("f", &context).variant.unwrap().name
        })
        .collect();
    drawn.sort();
    drawn.dedup();
    assert_eq!(drawn, ["a", "b"]);
}

#[test]
fn d11_one_percent_at_random_is_one_percent() {
    let payload = strategy("gradualRolloutRandom", json!({ "percentage": "1" }));
    let (mut ours, theirs) = (Ours::new(&payload), Yggdrasil::new(&payload));
    let mut on = 0;
    for seed in 0..20_000 {
        ours.seed = seed;
        on += usize::from(ours.is_on("f", &TestContext::new()));
        assert!(!theirs.is_on("f", &TestContext::new()), "Yggdrasil's 1 % never fires");
    }
    assert!((130..270).contains(&on), "{on} of 20,000");
}

#[test]
fn d12_enabled_and_variant_come_from_one_draw() {
    let random = json!({ "name": "gradualRolloutRandom", "parameters": { "percentage": "50" } });
    let payload = payload(&[json!({
        "name": "f", "enabled": true, "strategies": [random],
        "variants": [{ "name": "a", "weight": 1 }],
    })]);
    let (mut ours, theirs) = (Ours::new(&payload), Yggdrasil::new(&payload));
    let mut contradictions = 0;
    for seed in 0..500 {
        ours.seed = seed;
        let our = ours.decide("f", &TestContext::new());
        assert_eq!(our.enabled, our.variant.is_some(), "seed {seed}");
        let their = theirs.decide("f", &TestContext::new());
        contradictions += usize::from(their.enabled != their.variant.is_some());
    }
    assert!(contradictions > 0, "Yggdrasil draws twice");
}

#[test]
fn d13_parent_without_a_group_is_hashed_by_its_own_name() {
    let parameters = json!({ "rollout": "50", "stickiness": "userId" });
    let parent = json!({ "name": "parent", "enabled": true, "strategies": [
        { "name": "flexibleRollout", "parameters": parameters },
    ]});
    let child = json!({ "name": "f", "enabled": true, "strategies": [], "dependencies": [
        { "feature": "parent" },
    ]});
    let payload = payload(&[parent, child]);
    let (mut ours, theirs) = (Ours::new(&payload), Yggdrasil::new(&payload));
    let mut they_differ = false;
    for user in users() {
        assert_eq!(ours.is_on("f", &user), ours.is_on("parent", &user), "{user:?}");
        they_differ |= theirs.is_on("f", &user) != theirs.is_on("parent", &user);
    }
    assert!(they_differ, "Yggdrasil hashes the parent by the child's name");
}

#[test]
fn d14_remote_address_takes_networks_of_both_families() {
    let cases = [
        ("10.0.0.0/8", "10.200.3.4", true),
        ("10.0.0.0/8", "11.0.0.1", false),
        ("2001:db8::/32", "2001:db8:ffff::1", true),
        ("2001:db8::/32", "2001:db9::1", false),
        ("2001:db8::1", "2001:0db8:0:0:0:0:0:1", true),
        (" 10.0.0.1 , 10.0.0.2", "10.0.0.1", true),
        ("garbage, 10.0.0.2", "10.0.0.2", true),
        ("garbage", "garbage", false),
        ("::/0", "10.0.0.1", false),
    ];
    for (list, address, expected) in cases {
        let context = TestContext::new().top("remoteAddress", address);
        let payload = strategy("remoteAddress", json!({ "IPs": list }));
        assert_both(&payload, &context, expected, expected);
    }
}

#[test]
fn d15_user_lists_are_trimmed() {
    let payload = strategy("userWithId", json!({ "userIds": " 123 ,4 , 5 5,," }));
    for user in ["123", "4", "5 5"] {
        assert_both(&payload, &TestContext::user(user), true, true);
    }
    for user in [" 123", "5", ","] {
        assert_both(&payload, &TestContext::user(user), false, false);
    }
}

/// Section 3.2: a custom strategy is off, a flag's other strategies are not.
#[test]
fn custom_strategies_are_off() {
    let payload = flag(json!([{ "name": "acme", "parameters": {} }]));
    assert_both(&payload, &TestContext::new(), false, false);
    let payload = flag(json!([{ "name": "acme" }, { "name": "default" }]));
    assert_both(&payload, &TestContext::new(), true, true);
    let payload = flag(json!([{ "name": "Default" }]));
    assert_both(&payload, &TestContext::new(), false, false);
}

/// Section 3.2: Yggdrasil has no host name unless built with one.
#[test]
fn host_names_are_compared_without_case() {
    let hosts = |names: &str| strategy("applicationHostname", json!({ "hostNames": names }));
    assert!(ours(&hosts("a,TEST-host ,b"), &TestContext::new()));
    assert!(!ours(&hosts("a,test-host.example,b"), &TestContext::new()));
    assert!(!ours(&hosts(""), &TestContext::new()));
    assert!(!ours(&strategy("applicationHostname", json!({})), &TestContext::new()));
}

/// Section 3.5.
#[test]
fn named_stickiness_that_is_missing_is_off_even_at_100_percent() {
    for field in ["userId", "environment", "tenant", "currentTime"] {
        let parameters = json!({ "rollout": "100", "stickiness": field, "groupId": "g" });
        let payload = strategy("flexibleRollout", parameters);
        // Yggdrasil hashes the text of now.
        assert_both(&payload, &TestContext::new(), false, field == "currentTime");
        assert_both(&payload, &TestContext::new().top(field, "x"), true, true);
    }
}

/// Section 3.5.
#[test]
fn empty_stickiness_is_the_default_one() {
    let with = |stickiness: &str| {
        let parameters = json!({ "rollout": "50", "stickiness": stickiness, "groupId": "g" });
        strategy("flexibleRollout", parameters)
    };
    for user in users() {
        assert_eq!(ours(&with(""), &user), ours(&with("default"), &user), "{user:?}");
        assert!(!theirs(&with(""), &user), "Yggdrasil looks for a property without a name");
    }
}

/// Section 3.5: present, so not the flag's name.
#[test]
fn empty_group_is_a_group() {
    let (empty, named) = (rollout(json!("50"), Some("")), rollout(json!("50"), Some("f")));
    let differs = users().any(|user| ours(&empty, &user) != ours(&named, &user));
    assert!(differs);
    for user in users() {
        assert_eq!(ours(&empty, &user), theirs(&empty, &user), "{user:?}");
    }
}

/// Section 1.3: the server strips disabled strategies itself.
#[test]
fn disabled_mark_of_a_strategy_is_ignored() {
    let payload = flag(json!([{ "name": "default", "disabled": true }]));
    assert_both(&payload, &TestContext::new(), true, true);
}

/// Section 1.3.
#[test]
fn missing_parameters_count_as_empty() {
    for name in [
        "flexibleRollout",
        "userWithId",
        "gradualRolloutUserId",
        "gradualRolloutSessionId",
        "gradualRolloutRandom",
        "remoteAddress",
    ] {
        let context = TestContext::user("1").top("remoteAddress", "10.0.0.1");
        assert_both(&flag(json!([{ "name": name }])), &context, false, false);
    }
    assert_both(&flag(json!([{ "name": "default" }])), &TestContext::new(), true, true);
}
