use super::*;
use crate::engine::Projects;

fn parse(json: &str) -> (Features, Vec<String>) {
    let (features, warnings) = Features::parse(json.as_bytes()).unwrap();
    (features, warnings.iter().map(Warning::to_string).collect())
}

/// The only feature of a payload around `feature`.
fn only(feature: &str) -> (Arc<Feature>, Vec<String>) {
    let (features, warnings) = parse(&format!("{{\"features\":[{feature}]}}"));
    (Arc::clone(features.features.values().next().unwrap()), warnings)
}

#[test]
fn a_payload_needs_a_features_array() {
    for json in ["{}", "{\"features\":null}", "{\"version\":2,\"segments\":[]}"] {
        let err = Features::parse(json.as_bytes()).unwrap_err();
        assert_eq!(err.to_string(), "upstream's payload has no `features` array", "{json}");
    }
    for json in
        ["", "[", "{\"features\":[{\"name\":\"a\"", "null", "\"features\"", "{\"features\":{}}"]
    {
        assert!(matches!(Features::parse(json.as_bytes()), Err(PayloadError::Json(_))), "{json}");
    }
    assert!(parse("{\"features\":[]}").0.is_empty());
}

#[test]
fn the_last_of_two_features_of_one_name_wins() {
    let (features, warnings) = parse(
        r#"{"features":[{"name":"a","enabled":false},{"name":"a","enabled":true}],
            "meta":{"revisionId":7,"etag":"x"}}"#,
    );
    assert_eq!((features.len(), features.revision(), warnings.len()), (1, Some(7), 0));
    assert!(features.features.values().all(|feature| feature.enabled));
}

#[test]
fn a_bad_feature_costs_only_itself() {
    let (features, warnings) = parse(
        r#"{"features":[7,{"enabled":true},{"name":"a","enabled":true}],"segments":[{"id":"1"}]}"#,
    );
    assert_eq!(features.len(), 1);
    assert_eq!(
        warnings,
        [
            "an element of `features` is not an object",
            "a feature without a `name` is left out",
            "a segment without an integer `id` is left out",
        ]
    );
}

#[test]
fn what_decides_is_off_when_it_cannot_be_read() {
    for feature in [
        r#"{"name":"a","enabled":"yes"}"#,
        r#"{"name":"a"}"#,
        r#"{"name":"a","enabled":true,"strategies":{}}"#,
        r#"{"name":"a","enabled":true,"dependencies":"b"}"#,
        r#"{"name":"a","enabled":true,"dependencies":[{"enabled":true}]}"#,
    ] {
        let (feature_read, warnings) = only(feature);
        assert!(!feature_read.enabled, "{feature}");
        assert_eq!(warnings.len(), 1, "{feature}");
    }
}

#[test]
fn what_does_not_decide_is_ignored() {
    let (feature, warnings) = only(
        r#"{"name":"a","enabled":true,"createdAt":"never","stale":"?","type":7,"impressionData":1}"#,
    );
    assert!(feature.enabled && feature.strategies.is_empty());
    assert_eq!(feature.impression, Impression::Absent);
    assert_eq!(warnings, ["feature `a`: `impressionData` is not a boolean and is ignored"]);
}

#[test]
fn a_strategy_that_cannot_be_read_is_off_and_stays_in_its_place() {
    for strategy in [
        r#"7"#,
        r#"{"parameters":{}}"#,
        r#"{"name":"default","parameters":[]}"#,
        r#"{"name":"default","parameters":{"a":{}}}"#,
        r#"{"name":"default","constraints":{}}"#,
        r#"{"name":"default","constraints":[{"operator":"IN"}]}"#,
        r#"{"name":"default","constraints":[{"contextName":"a","operator":"IN","values":[[]]}]}"#,
        r#"{"name":"default","constraints":[{"contextName":"a","operator":"IN","inverted":1}]}"#,
        r#"{"name":"default","segments":["1"]}"#,
    ] {
        let (feature, _) = only(&format!(
            r#"{{"name":"a","enabled":true,"strategies":[{strategy},{{"name":"default"}}]}}"#
        ));
        assert!(feature.strategies[0].fault.is_some(), "{strategy}");
        assert!(feature.strategies[1].fault.is_none(), "{strategy}");
    }
}

#[test]
fn scalars_are_taken_as_their_text_and_nulls_as_absent() {
    let (feature, warnings) = only(
        r#"{"name":"a","enabled":true,"impressionData":null,"strategies":[{"name":"x",
            "parameters":{"rollout":50,"half":1.50,"whole":3.0,"is":true,"none":null},
            "segments":null,"variants":null,
            "constraints":[{"contextName":"c","operator":"NUM_EQ","value":5,
                "values":["x",1,null,false],"inverted":null,"caseInsensitive":null}]}]}"#,
    );
    let strategy = &feature.strategies[0];
    let text = |name| strategy.parameter(name);
    assert_eq!(
        (text("rollout"), text("half"), text("whole")),
        (Some("50"), Some("1.5"), Some("3"))
    );
    assert_eq!((text("is"), text("none"), text("missing")), (Some("true"), None, None));
    let constraint = &strategy.constraints[0];
    assert_eq!(constraint.value.as_deref(), Some("5"));
    assert!(constraint.values.iter().eq(["x", "1", "false"]));
    assert!(!constraint.inverted && !constraint.case_insensitive);
    assert_eq!((feature.impression, warnings.len()), (Impression::Null, 0));
}

#[test]
fn lists_of_texts_are_lists_wherever_something_else_is_expected() {
    for texts in [r#"["x"]"#, r#"["x",{}]"#] {
        let (feature, warnings) = only(&format!(
            r#"{{"name":"a","enabled":true,"variants":{texts},"strategies":{texts}}}"#
        ));
        assert_eq!(feature.strategies[0].fault.as_deref(), Some("is not an object"));
        assert!(feature.enabled && !warnings.is_empty());
        assert!(warnings.iter().all(|text| text.contains("without a `name`")), "{warnings:?}");
        let faults = [
            ("constraints", "has a constraint without a `contextName`"),
            ("segments", "names a segment by no integer"),
            ("parameters", "has `parameters` that are not an object"),
        ];
        for (key, fault) in faults {
            let (feature, _) = only(&format!(
                r#"{{"name":"a","enabled":true,"strategies":[{{"name":"x","{key}":{texts}}}]}}"#
            ));
            assert_eq!(feature.strategies[0].fault.as_deref(), Some(fault), "{key} {texts}");
        }
        let (feature, warnings) =
            only(&format!(r#"{{"name":"a","enabled":true,"dependencies":{texts}}}"#));
        assert!(!feature.enabled);
        assert_eq!(warnings, ["feature `a`: a dependency names no `feature`; the flag is off"]);
    }
}

#[test]
fn variants_keep_what_can_be_read() {
    let (feature, warnings) = only(
        r#"{"name":"a","enabled":true,"variants":[
            {"name":"v","weight":-5,"payload":{"value":"1","type":"json","more":[1, 2]}},
            {"name":"w","weight":2.9,"stickiness":"s","payload":null,
             "overrides":[{"contextName":"userId","values":["1"]},{"values":["2"]}]},
            {"weight":1},{"name":"x","weight":"1"}]}"#,
    );
    let variants = &feature.variants;
    assert_eq!(variants.iter().map(|v| v.weight).collect::<Vec<_>>(), [0, 2, 0]);
    // The payload is passed on as it came, its keys in their order.
    let payload = r#"{"value":"1","type":"json","more":[1,2]}"#;
    assert_eq!(variants[0].payload.as_deref(), Some(payload));
    assert_eq!((&variants[1].payload, variants[1].overrides.len()), (&None, 1));
    assert_eq!(variants[1].stickiness.as_deref(), Some("s"));
    assert_eq!(warnings.len(), 3, "{warnings:?}");
}

#[test]
fn a_parent_named_twice_is_one_parent() {
    let (feature, _) = only(
        r#"{"name":"a","enabled":true,"dependencies":[{"feature":"p"},
            {"feature":"p","enabled":null,"variants":null},{"feature":"p","enabled":false}]}"#,
    );
    assert_eq!(feature.dependencies.iter().map(|d| d.enabled).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn merged_parts_hold_everything_and_the_later_part_wins() {
    let (first, _) = parse(
        r#"{"features":[{"name":"a","enabled":false},{"name":"b","enabled":true}],
            "segments":[{"id":1}],"meta":{"revisionId":9}}"#,
    );
    let (second, _) = parse(r#"{"features":[{"name":"a","enabled":true}],"segments":[{"id":2}]}"#);
    let merged = Features::merge([&first, &second]);
    assert_eq!((merged.len(), merged.segments.len(), merged.revision()), (2, 2, Some(9)));
    assert!(merged.features.values().all(|feature| feature.enabled));
}

#[test]
fn the_texts_are_kept_only_for_who_is_told_definitions() {
    const PAYLOAD: &[u8] = br#"{"features":[{"name":"a","enabled":true}],
        "segments":[{"id":1,"constraints":[]}]}"#;
    let parse =
        |told, previous: &Features| Features::parse_as(told, PAYLOAD, previous, || {}).unwrap().0;
    let bare = parse(Told::Answers, &Features::default());
    assert_eq!(bare.definitions(&Projects::All), None);
    assert!(bare.features.values().all(|feature| feature.raw.is_empty()));
    assert!(bare.segments.values().all(|segment| segment.raw.is_empty()));
    let again = parse(Told::Answers, &bare);
    assert!(Arc::ptr_eq(&bare.features["a"], &again.features["a"]), "nothing is read twice");

    let whole = parse(Told::Definitions, &bare);
    let expected = Features::parse(PAYLOAD).unwrap().0.definitions(&Projects::All);
    assert!(expected.is_some());
    assert_eq!(
        whole.definitions(&Projects::All),
        expected,
        "texts that were let go are read again"
    );
    assert_eq!(Features::merge([&whole, &bare]).definitions(&Projects::All), None);
}
