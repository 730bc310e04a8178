use super::*;
use crate::engine::{Context, Profile, Scratch, Show};

const PAYLOAD: &str = r#"{"features":[
    {"name":"a","enabled":true,"strategies":[{"name":"default","segments":[1]}]},
    {"name":"b","enabled":true,"strategies":[{"name":"default","constraints":[
        {"contextName":"region","operator":"IN","values":["eu","us"]}]}]},
    {"name":"c","enabled":true,"project":"other","dependencies":[{"feature":"b"}]},
    {"name":"d","enabled":true,"strategies":[{"name":"nobody-knows"}]}],
    "segments":[{"id":1,"constraints":[
        {"contextName":"region","operator":"IN","values":["eu"]}]}]}"#;

fn features(json: &str, previous: &Features) -> Features {
    Features::parse_over(json.as_bytes(), previous).unwrap().0
}

/// The whole answer for a caller from `region`.
fn answer(plan: &Plan, region: &str) -> String {
    let (mut context, mut scratch, mut body) = (Context::new(), Scratch::new(), Vec::new());
    context.start(plan, 0, 1).property("region", region);
    plan.evaluate_all(&context, &mut scratch, Show::All).render_into(Profile::Proxy, &mut body);
    String::from_utf8(body).unwrap()
}

/// Compiles `json` over what `compiler` knows, and checks it against compiling from nothing.
fn recompiled(compiler: &mut Compiler, json: &str, previous: Features) -> (Features, usize) {
    let features = features(json, &previous);
    drop(previous);
    let before: Vec<_> = compiler.lowered.values().map(|it| Arc::as_ptr(&it.lowered)).collect();
    let (plan, warnings) = compiler.compile(&features, &Projects::All);
    let (fresh, fresh_warnings) = Compiler::new(Host::default()).compile(&features, &Projects::All);
    for region in ["eu", "us", "", "jp"] {
        assert_eq!(answer(&plan, region), answer(&fresh, region), "{json}");
    }
    assert_eq!(warnings, fresh_warnings, "{json}");
    let lowered =
        compiler.lowered.values().filter(|it| !before.contains(&Arc::as_ptr(&it.lowered)));
    let lowered = lowered.count();
    compiler.forget_unused();
    (features, lowered)
}

#[test]
fn only_what_changed_is_lowered_again() {
    let mut compiler = Compiler::new(Host::default());
    let (first, lowered) = recompiled(&mut compiler, PAYLOAD, Features::default());
    assert_eq!(lowered, 4);
    let (same, lowered) = recompiled(&mut compiler, PAYLOAD, first);
    assert_eq!(lowered, 0);

    let off = PAYLOAD.replace(r#"{"name":"b","enabled":true"#, r#"{"name":"b","enabled":false"#);
    let (changed, lowered) = recompiled(&mut compiler, &off, same);
    assert_eq!(lowered, 1, "a child is linked again, not lowered");

    let segment = off.replace(r#""values":["eu"]"#, r#""values":["jp"]"#);
    let (_, lowered) = recompiled(&mut compiler, &segment, changed);
    assert_eq!(lowered, 1, "the flag that names the segment");
}

#[test]
fn what_is_gone_is_forgotten() {
    let mut compiler = Compiler::new(Host::default());
    let (first, _) = recompiled(&mut compiler, PAYLOAD, Features::default());
    recompiled(&mut compiler, r#"{"features":[{"name":"z","enabled":true}]}"#, first);
    let known = compiler.lowered.values();
    assert_eq!(known.map(|known| &*known.feature.name).collect::<Vec<_>>(), ["z"]);
    compiler.forget_unused();
    assert!(compiler.lowered.is_empty());
}

#[test]
fn lists_that_stay_keep_their_index() {
    let mut compiler = Compiler::new(Host::default());
    let (first, _) = recompiled(&mut compiler, PAYLOAD, Features::default());
    let (kept, _) = compiler.compile(&first, &Projects::All);
    let off = PAYLOAD.replace(r#"{"name":"d","enabled":true"#, r#"{"name":"d","enabled":false"#);
    let (second, _) = recompiled(&mut compiler, &off, first);
    let (then, _) = compiler.compile(&second, &Projects::All);
    assert_eq!(compiler.values.len(), 1, "one slot, the same lists");
    assert!(Arc::ptr_eq(&kept.names, &then.names), "the same names");
    drop((kept, then));
    recompiled(&mut compiler, r#"{"features":[]}"#, second);
    assert_eq!(compiler.values.len(), 0);
}

#[test]
fn flags_of_other_projects_are_seen_by_their_children_alone() {
    let features = features(PAYLOAD, &Features::default());
    let only = |projects: &[&str]| Projects::Only(projects.iter().map(|p| Box::from(*p)).collect());
    let (plan, _) = compile(&features, &only(&["other"]), &Host::default());
    assert_eq!((plan.len(), plan.stats().hidden), (1, 1));
    assert!(plan.flag("b").is_none());
    assert!(answer(&plan, "us").contains(r#"{"name":"c","enabled":true"#));
    assert!(answer(&plan, "jp").contains(r#"{"name":"c","enabled":false"#));
    let (plan, _) = compile(&features, &only(&[]), &Host::default());
    assert_eq!(answer(&plan, "eu"), r#"{"toggles":[]}"#);
}

#[test]
fn stats_say_what_a_plan_is_made_of() {
    let (plan, warnings) =
        compile(&features(PAYLOAD, &Features::default()), &Projects::All, &Host::default());
    let stats = plan.stats();
    assert_eq!((stats.folded_on, stats.folded_off, stats.live, stats.hidden), (0, 1, 3, 0));
    assert_eq!((stats.conditions, stats.literals, stats.slots), (2, 2, 7));
    assert!(stats.bytes > 0);
    let texts: Vec<String> = warnings.iter().map(Warning::to_string).collect();
    assert_eq!(texts, ["feature `d`: strategy 1 is off: it is of the unknown kind `nobody-knows`"]);
}
