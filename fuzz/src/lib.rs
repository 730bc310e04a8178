//! What holds for every plan and every context, for fuzz targets to check.

use offleash::engine::{Answer, Context, Plan, Profile, Scratch, Show};
use serde::Deserialize;

/// The instant of every evaluation.
pub const NOW_MILLIS: i64 = 1_795_305_600_000;

/// An answer, as far as it says what is on.
#[derive(Deserialize)]
struct Shown {
    toggles: Vec<Flag>,
}

/// A flag as an answer shows it.
#[derive(Debug, Deserialize, PartialEq, Eq)]
struct Flag {
    name: String,
    enabled: bool,
    variant: Variant,
}

#[derive(Debug, Deserialize, PartialEq, Eq)]
struct Variant {
    name: String,
}

/// Asks a plan in every way there is, and panics where two ways disagree.
///
/// `context` must have been started for `plan`. Returns the tag of one of the answers.
pub fn check(plan: &Plan, context: &Context) -> u128 {
    let all = list(plan, context, Show::All, Profile::Edge);
    assert_eq!(all.len(), plan.len());
    assert!(all.is_sorted_by(|one, next| one.name < next.name), "names rise");
    assert_eq!(all, list(plan, context, Show::All, Profile::Proxy));
    for profile in [Profile::Edge, Profile::Proxy] {
        let enabled = list(plan, context, Show::Enabled, profile);
        assert!(all.iter().filter(|flag| flag.enabled).eq(&enabled));
        check_names(plan, context, &all, profile);
    }
    let mut scratch = Scratch::new();
    for flag in &all {
        let id = plan.flag(&flag.name).expect("a listed flag can be asked for");
        let verdict = plan.evaluate_one(id, context, &mut scratch);
        assert_eq!(verdict.enabled, flag.enabled, "`{}`", flag.name);
        assert_eq!(verdict.variant.unwrap_or("disabled"), flag.variant.name, "`{}`", flag.name);
    }
    plan.evaluate_all(context, &mut scratch, Show::All).tag(Profile::Edge)
}

/// Answers to names: those of every flag, backwards, one twice, and one that no flag has.
fn check_names(plan: &Plan, context: &Context, all: &[Flag], profile: Profile) {
    let mut names: Vec<String> = all.iter().rev().map(|flag| flag.name.clone()).collect();
    names.extend(names.first().cloned());
    let absent = "no flag's \"name\"\\\u{1}".to_owned();
    assert!(plan.flag(&absent).is_none());
    names.push(absent);
    let mut scratch = Scratch::new();
    let answered = read(&written(&plan.evaluate_named(context, &mut scratch, &names), profile));
    assert_eq!(answered.len(), names.len());
    let (last, known) = answered.split_last().expect("a name was asked for");
    assert!(last.name == names[names.len() - 1] && !last.enabled);
    // The one that came twice stands at the end.
    let expected = all.iter().rev().chain(all.last());
    assert!(known.iter().eq(expected));
}

/// The flags of a list, which comes out the same with used and with new memory.
fn list(plan: &Plan, context: &Context, show: Show, profile: Profile) -> Vec<Flag> {
    let (mut scratch, mut second) = (Scratch::new(), Scratch::new());
    let tag = plan.evaluate_all(context, &mut scratch, show).tag(profile);
    let body = written(&plan.evaluate_all(context, &mut scratch, show), profile);
    let again = plan.evaluate_all(context, &mut second, show);
    assert_eq!(again.tag(profile), tag);
    assert_eq!(written(&again, profile), body);
    read(&body)
}

fn written(answer: &Answer<'_>, profile: Profile) -> Vec<u8> {
    let mut body = Vec::new();
    answer.render_into(profile, &mut body);
    body
}

fn read(body: &[u8]) -> Vec<Flag> {
    let shown: Shown = serde_json::from_slice(body).expect("an answer is JSON and lists toggles");
    shown.toggles
}
