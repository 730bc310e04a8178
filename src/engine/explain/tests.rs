//! Every kind of reason.
//!
//! One file because all are told of small payloads that start from `Case`.

use serde_json::{Value, json};

use super::*;
use crate::engine::{Host, Projects, compile};

/// What [`explain`] is asked.
struct Case {
    features: Features,
    plan: Plan,
}

impl Case {
    fn new(features: Value) -> Self {
        Self::with(json!({ "features": features }), &Projects::All)
    }

    fn strategy(strategy: Value) -> Self {
        Self::new(json!([{ "name": "f", "enabled": true, "strategies": [strategy] }]))
    }

    fn constraint(constraint: Value) -> Self {
        Self::strategy(json!({ "name": "default", "constraints": [constraint] }))
    }

    fn with(payload: Value, projects: &Projects) -> Self {
        let (features, _) = Features::parse(payload.to_string().as_bytes()).unwrap();
        let (plan, _) = compile(&features, projects, &Host { name: "web-1".to_owned() });
        Self { features, plan }
    }

    fn ask(&self, flag: &str, fields: &[(&str, &str)]) -> Result<Explanation, Unexplained> {
        let (mut context, mut scratch) = (Context::new(), Scratch::new());
        let mut writer = context.start(&self.plan, 1_700_000_000_000, 7);
        for (name, value) in fields {
            writer.top(name, value);
        }
        self.plan.explain(&self.features, flag, &context, &mut scratch)
    }

    fn explain(&self, fields: &[(&str, &str)]) -> Explanation {
        self.ask("f", fields).unwrap()
    }

    /// The only strategy, as JSON.
    fn explain_strategy(&self, fields: &[(&str, &str)]) -> Value {
        serde_json::to_value(&self.explain(fields).strategies[0]).unwrap()
    }
}

#[test]
fn sample_in_the_documentation_is_what_comes_out() {
    let documentation = include_str!("reason.rs");
    let (_, sample) = documentation.split_once("/// ```json\n").unwrap();
    let (sample, _) = sample.split_once("/// ```\n").unwrap();
    let sample: Value = serde_json::from_str(&sample.replace("///", "")).unwrap();
    let case = Case::with(
        json!({
            "features": [
                { "name": "payments", "enabled": true },
                { "name": "checkout", "enabled": true, "project": "shop",
                  "dependencies": [{ "feature": "payments" }],
                  "strategies": [{
                      "name": "flexibleRollout",
                      "parameters": { "rollout": "50", "stickiness": "userId" },
                      "constraints": [
                          { "contextName": "country", "operator": "IN", "values": ["de", "fr"] },
                      ],
                      "segments": [7],
                      "variants": [
                          { "name": "red", "weight": 500 }, { "name": "blue", "weight": 500 },
                      ],
                  }] },
            ],
            "segments": [{ "id": 7, "constraints": [] }],
        }),
        &Projects::All,
    );
    let got = case.ask("checkout", &[("userId", "12"), ("country", "de")]).unwrap();
    assert_eq!(serde_json::to_value(&got).unwrap(), sample, "{:#}", json!(got));
}

#[test]
fn flag_without_strategies_is_on_for_everyone() {
    let got = Case::new(json!([{ "name": "f", "enabled": true }])).explain(&[]);
    assert!(got.enabled && got.switched_on && got.strategies.is_empty());
    assert_eq!((got.decided, got.first_satisfied), (DecidedAt::Compile, None));
}

#[test]
fn flag_that_is_switched_off_asks_nothing() {
    let strategy = json!({ "name": "userWithId", "parameters": { "userIds": "7" } });
    let case = Case::new(json!([{ "name": "f", "enabled": false, "strategies": [strategy] }]));
    let got = case.explain(&[("userId", "7")]);
    assert!(!got.enabled && !got.switched_on);
    assert_eq!(got.strategies[0].ruling, StrategyRuling::Unasked);
    assert_eq!(got.strategies[0].satisfied, None);
}

#[test]
fn constraint_shows_the_value_seen() {
    let case = Case::constraint(json!({
        "contextName": "plan", "operator": "STR_STARTS_WITH", "values": ["PRO"],
        "inverted": true, "caseInsensitive": true,
    }));
    let [seen, absent] = [&[("plan", "pro-plus")][..], &[]].map(|fields| {
        let strategy = case.explain_strategy(fields);
        (strategy["satisfied"].clone(), strategy["constraints"][0].clone())
    });
    let constraint = |seen: Value, holds: bool| {
        json!({
            "field": "plan", "operator": "STR_STARTS_WITH", "inverted": true,
            "caseInsensitive": true, "operands": { "shown": ["PRO"], "count": 1 },
            "seen": seen, "holds": holds, "faults": [],
        })
    };
    assert_eq!(seen, (json!(false), constraint(json!({ "value": "pro-plus" }), false)));
    assert_eq!(absent, (json!(true), constraint(json!("absent"), true)));
}

#[test]
fn long_lists_are_cut_and_counted() {
    let values: Vec<String> = (0..500).map(|value| value.to_string()).collect();
    let case = Case::constraint(json!({ "contextName": "a", "operator": "IN", "values": values }));
    let got = case.explain(&[("a", "499")]);
    let constraint = &got.strategies[0].constraints[0];
    assert_eq!(constraint.operands.shown, values[..10]);
    assert_eq!((constraint.operands.count, constraint.holds), (500, Some(true)));
}

#[test]
fn clock_stands_in_for_a_missing_current_time() {
    let case = Case::constraint(json!({
        "contextName": "currentTime", "operator": "DATE_AFTER", "value": "2020-01-01T00:00:00Z",
    }));
    let constraint = &case.explain(&[]).strategies[0].constraints[0];
    assert_eq!((&constraint.seen, constraint.holds), (&Seen::Now, Some(true)));
    let time = [("currentTime", "2019-01-01T00:00:00Z")];
    let constraint = &case.explain(&time).strategies[0].constraints[0];
    assert_eq!(constraint.seen, Seen::Value(time[0].1.to_owned()));
    assert_eq!(constraint.holds, Some(false));
}

#[test]
fn alike_constraints_of_one_strategy_are_told_apart() {
    let constraint = |operator: &str, case_insensitive: bool, inverted: bool| {
        json!({ "contextName": "a", "operator": operator, "values": ["X", "y"], "value": "X",
                "caseInsensitive": case_insensitive, "inverted": inverted })
    };
    let case = Case::strategy(json!({ "name": "default", "constraints": [
        constraint("REGEX", false, false), constraint("REGEX", true, false),
        constraint("STR_CONTAINS", true, false), constraint("STR_CONTAINS", false, false),
        constraint("IN", false, false), constraint("NOT_IN", false, false),
        constraint("IN", false, true),
    ] }));
    let got = case.explain(&[("a", "x")]);
    let holds = got.strategies[0].constraints.iter().map(|constraint| constraint.holds.unwrap());
    assert_eq!(holds.collect::<Vec<_>>(), [false, true, true, false, false, true, true]);
}

#[test]
fn segments_are_groups_of_constraints() {
    let amount = |value: &str| json!({ "contextName": "a", "operator": "NUM_GT", "value": value });
    let strategy = |ids: Value| json!({ "name": "default", "segments": ids });
    let case = Case::with(
        json!({
            "features": [{ "name": "f", "enabled": true, "strategies": [
                strategy(json!([2, 1, 2])), strategy(json!([1, 9])),
            ] }],
            "segments": [
                { "id": 1, "constraints": [amount("1"), amount("2")] },
                { "id": 2, "constraints": [] },
            ],
        }),
        &Projects::All,
    );
    let got = case.explain(&[("a", "2")]);
    let segments = |at: usize| {
        let segments = got.strategies[at].segments.iter();
        segments.map(|s| (s.id, s.holds, s.constraints.len())).collect::<Vec<_>>()
    };
    assert_eq!(segments(0), [(1, Some(false), 2), (2, Some(true), 0)]);
    assert_eq!(segments(1), [(1, None, 2), (9, Some(false), 0)]);
    assert_eq!(got.strategies[1].ruling, StrategyRuling::Faulty);
    assert_eq!(got.strategies[1].segments[1].fault.as_deref(), Some("is not in the payload"));
}

#[test]
fn rollout_compares_the_bucket_with_the_percentage() {
    let rollout = |percentage: &str| {
        Case::strategy(json!({ "name": "flexibleRollout", "parameters": {
            "rollout": percentage, "stickiness": "userId",
            "groupId": "Feature.flexibleRollout.userId.55",
        } }))
    };
    let reason = |percentage: u8, holds: bool| {
        json!({
            "kind": "rollout", "stickiness": "userId",
            "group": "Feature.flexibleRollout.userId.55", "percentage": percentage,
            "identifiedBy": { "field": "userId" }, "bucket": 55, "holds": holds,
        })
    };
    let user = [("userId", "25")];
    assert_eq!(rollout("55").explain_strategy(&user)["test"], reason(55, true));
    assert_eq!(rollout("54").explain_strategy(&user)["test"], reason(54, false));
    let nobody = &rollout("55").explain_strategy(&[])["test"];
    assert_eq!((&nobody["identifiedBy"], &nobody["bucket"]), (&json!("nobody"), &Value::Null));
    assert_eq!(nobody["holds"], json!(false));
}

#[test]
fn rollouts_that_ask_for_no_bucket_show_none() {
    let rollout = |percentage: &str, stickiness: &str| {
        let parameters = json!({ "rollout": percentage, "stickiness": stickiness });
        let case = Case::strategy(json!({ "name": "flexibleRollout", "parameters": parameters }));
        let strategy = case.explain(&[("userId", "25")]).strategies.remove(0);
        let TestReason::Rollout(reason) = strategy.test else { panic!("{strategy:?}") };
        assert_eq!(reason.bucket, None);
        (strategy.ruling, reason.percentage, reason.identified_by, reason.holds)
    };
    let user = || Some(Identity::Field("userId".to_owned()));
    assert_eq!(rollout("0", "userId"), (StrategyRuling::Never, Some(0), None, Some(false)));
    assert_eq!(rollout("100", ""), (StrategyRuling::Always, Some(100), None, Some(true)));
    assert_eq!(rollout("100", "userId"), (StrategyRuling::Open, Some(100), user(), Some(true)));
    assert_eq!(rollout("half", "userId"), (StrategyRuling::Faulty, None, None, Some(false)));
}

#[test]
fn default_stickiness_says_what_it_stuck_to() {
    let parameters = json!({ "rollout": "50", "stickiness": "default" });
    let case = Case::strategy(json!({ "name": "flexibleRollout", "parameters": parameters }));
    let identity = |fields: &[(&str, &str)]| {
        let strategy = case.explain_strategy(fields);
        assert!(strategy["test"]["bucket"].is_u64());
        strategy["test"]["identifiedBy"].clone()
    };
    assert_eq!(identity(&[("userId", "1"), ("sessionId", "2")]), json!({ "field": "userId" }));
    assert_eq!(identity(&[("userId", ""), ("sessionId", "2")]), json!({ "field": "sessionId" }));
    assert_eq!(identity(&[]), json!("chance"));
}

#[test]
fn lists_of_strategies_are_told_as_constraints() {
    let strategy = json!({ "name": "userWithId", "parameters": { "userIds": " 1, 7 ,," } });
    let test = &Case::strategy(strategy).explain_strategy(&[("userId", "7")])["test"];
    assert_eq!((&test["kind"], &test["operator"]), (&json!("listed"), &json!("IN")));
    assert_eq!(test["operands"], json!({ "shown": ["1", "7"], "count": 2 }));
    assert_eq!((&test["seen"], &test["holds"]), (&json!({ "value": "7" }), &json!(true)));

    let strategy = json!({ "name": "remoteAddress", "parameters": { "IPs": "10.0.0.0/8" } });
    let test = &Case::strategy(strategy).explain_strategy(&[("remoteAddress", "11.0.0.1")])["test"];
    assert_eq!((&test["operator"], &test["holds"]), (&json!("IN_CIDR"), &json!(false)));

    let strategy =
        json!({ "name": "applicationHostname", "parameters": { "hostNames": "a, WEB-1" } });
    let test = &Case::strategy(strategy).explain_strategy(&[])["test"];
    let operands = json!({ "shown": ["a", "WEB-1"], "count": 2 });
    assert_eq!(*test, json!({ "kind": "hostname", "operands": operands, "holds": true }));
}

#[test]
fn strategies_are_told_in_order_with_the_first_that_holds() {
    let list = |ids: &str| json!({ "name": "userWithId", "parameters": { "userIds": ids } });
    let case = Case::new(json!([{ "name": "f", "enabled": true, "strategies": [
        list(""), { "name": "custom" }, list("1"), list("7"), list("7,8"),
        { "name": "default" }, list("9"),
    ] }]));
    let got = case.explain(&[("userId", "7")]);
    let told: Vec<_> = got.strategies.iter().map(|s| (s.position, s.ruling, s.satisfied)).collect();
    assert_eq!(
        told,
        [
            (1, StrategyRuling::Never, Some(false)),
            (2, StrategyRuling::Faulty, Some(false)),
            (3, StrategyRuling::Open, Some(false)),
            (4, StrategyRuling::Open, Some(true)),
            (5, StrategyRuling::Open, Some(true)),
            (6, StrategyRuling::Always, Some(true)),
            (7, StrategyRuling::Unreached, None),
        ]
    );
    assert_eq!(got.first_satisfied, Some(4));
    assert_eq!(got.strategies[1].fault.as_deref(), Some("is of the unknown kind `custom`"));
    assert_eq!(got.warnings, ["strategy 2 is off: it is of the unknown kind `custom`"]);
}

#[test]
fn faulty_constraint_says_what_is_wrong() {
    let case = Case::constraint(json!({ "contextName": "a", "operator": "NUM_GT", "value": "x" }));
    let strategy = case.explain(&[("a", "1")]).strategies.remove(0);
    let fault = "compares by `NUM_GT` with `x`, which is no number";
    assert_eq!(strategy.fault.as_deref(), Some(fault));
    assert_eq!(strategy.constraints[0].faults, [fault]);
    assert_eq!(strategy.constraints[0].holds, Some(false));
    assert_eq!(strategy.constraints[0].seen, Seen::NotAsked);
}

#[test]
fn parents_are_told_with_what_was_wanted_of_them() {
    let users = json!([{ "name": "userWithId", "parameters": { "userIds": "7" } }]);
    let variants = json!([{ "name": "v", "weight": 1 }]);
    let payload = json!({ "features": [
        { "name": "f", "enabled": true, "project": "shop", "dependencies": [
            { "feature": "live" }, { "feature": "live", "enabled": false },
            { "feature": "live", "variants": ["v", "w"] }, { "feature": "plain" },
            { "feature": "off", "enabled": false }, { "feature": "child" },
            { "feature": "nobody" },
        ] },
        { "name": "g", "enabled": true, "project": "shop", "dependencies": [
            { "feature": "live", "variants": ["v"] }, { "feature": "off", "enabled": false },
        ] },
        { "name": "live", "enabled": true, "strategies": users, "variants": variants },
        { "name": "plain", "enabled": true },
        { "name": "off", "enabled": false },
        { "name": "child", "enabled": true, "dependencies": [{ "feature": "plain" }] },
    ] });
    for projects in [Projects::All, Projects::Only(["shop".into()].into())] {
        let case = Case::with(payload.clone(), &projects);
        let on = ParentState::On { variant: Some("v".to_owned()) };
        let plain = ParentState::On { variant: None };
        let wanted = WantedState::Variants(["v", "w"].map(str::to_owned).into());
        let rows = [
            ("live", WantedState::On, on.clone(), true),
            ("live", WantedState::Off, on.clone(), false),
            ("live", wanted, on.clone(), true),
            ("plain", WantedState::On, plain, true),
            ("off", WantedState::Off, ParentState::Off, true),
            ("child", WantedState::On, ParentState::HasParents, false),
            ("nobody", WantedState::On, ParentState::Unknown, false),
        ];
        let parents = rows.map(|(flag, wanted, state, satisfied)| ParentReason {
            flag: flag.to_owned(),
            wanted,
            state,
            satisfied,
        });
        let got = case.explain(&[("userId", "7")]);
        assert_eq!(got.parents, parents);
        assert!(!got.enabled && got.decided == DecidedAt::Compile);

        for (user, state) in [("7", on), ("8", ParentState::Off)] {
            let got = case.ask("g", &[("userId", user)]).unwrap();
            assert_eq!((got.enabled, got.decided), (user == "7", DecidedAt::PerContext));
            assert_eq!((&got.parents[0].state, got.parents[0].satisfied), (&state, user == "7"));
        }
    }
}

#[test]
fn variants_are_told_by_bucket_or_override() {
    let case = Case::new(json!([{ "name": "Feature.Variants.B", "enabled": true, "variants": [
        { "name": "a", "weight": 1, "stickiness": "userId" }, { "name": "none", "weight": 0 },
        { "name": "b", "weight": 1,
          "overrides": [{ "contextName": "plan", "values": ["pro", "free"] }] },
    ] }]));
    let choice = |fields: &[(&str, &str)]| {
        json!(case.ask("Feature.Variants.B", fields).unwrap().choice.unwrap())
    };
    let by_bucket = |identity: Value, bucket: u32, variant: &str| {
        json!({
            "source": "flag", "stickiness": "userId", "group": "Feature.Variants.B",
            "overrides": [{ "variant": "b", "field": "plan", "seen": "absent", "holds": false,
                            "operands": { "shown": ["pro", "free"], "count": 2 } }],
            "identifiedBy": identity, "bucket": bucket, "total": 2,
            "shares": [{ "variant": "a", "upTo": 1 }, { "variant": "b", "upTo": 2 }],
            "variant": variant,
        })
    };
    let user = json!({ "field": "userId" });
    assert_eq!(choice(&[("userId", "2")]), by_bucket(user.clone(), 2, "b"));
    assert_eq!(choice(&[("userId", "0")]), by_bucket(user, 1, "a"));
    assert_eq!(choice(&[])["identifiedBy"], json!("chance"));
    let got = choice(&[("userId", "0"), ("plan", "pro")]);
    assert_eq!((&got["bucket"], &got["identifiedBy"]), (&Value::Null, &Value::Null));
    assert_eq!((&got["overrides"][0]["holds"], &got["variant"]), (&json!(true), &json!("b")));
}

#[test]
fn single_variant_needs_no_bucket() {
    let variants = json!([{ "name": "v", "weight": 3 }]);
    let case = Case::strategy(json!({ "name": "default", "variants": variants }));
    let got = case.explain(&[]).choice.unwrap();
    assert_eq!((got.bucket, got.total, got.variant.as_deref()), (None, None, Some("v")));
    assert_eq!(got.source, ChoiceSource::Strategy);
}

#[test]
fn only_visible_flags_are_explained() {
    let payload = json!({ "features": [
        { "name": "f", "enabled": true, "project": "shop" },
        { "name": "hidden", "enabled": true, "project": "other" },
    ] });
    let case = Case::with(payload, &Projects::Only(["shop".into()].into()));
    assert_eq!(case.ask("hidden", &[]), Err(Unexplained::NoFlag));
    assert_eq!(case.ask("nobody", &[]), Err(Unexplained::NoFlag));
    assert_eq!(case.explain(&[]).project, "shop");
}

#[test]
fn features_of_another_plan_are_found_out() {
    let list = |ids: &str| json!({ "name": "userWithId", "parameters": { "userIds": ids } });
    let rollout = |share: &str| json!({ "name": "flexibleRollout", "parameters": { "rollout": share, "groupId": "g" } });
    let mut case = Case::strategy(list("1,2"));
    for other in
        [list("1,3"), list("1"), list("1,2,3"), rollout("50"), json!({ "name": "default" })]
    {
        case.features = Case::strategy(other).features;
        assert_eq!(case.ask("f", &[]), Err(Unexplained::OtherFeatures));
    }
    let mut case = Case::strategy(rollout("50"));
    case.features = Case::strategy(rollout("51")).features;
    assert_eq!(case.ask("f", &[]), Err(Unexplained::OtherFeatures));
    case.features = Features::default();
    assert_eq!(case.ask("f", &[]), Err(Unexplained::OtherFeatures));
}
