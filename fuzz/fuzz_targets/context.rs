//! Any names and values as a context, against a plan that asks everything of it.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::{
    arbitrary::{Result, Unstructured},
    fuzz_target,
};
use offleash::engine::{Context, ContextWriter, Features, Host, Plan, Projects, Root, compile};
use offleash_fuzz::{NOW_MILLIS, check};

/// Every operator, strategy, stickiness and override, each on fields of their own and on shared ones.
static PLAN: LazyLock<Plan> = LazyLock::new(|| {
    let payload = include_bytes!("../seeds/payload/families.json");
    let (features, warnings) = Features::parse(payload).expect("the seed is a payload");
    assert!(warnings.is_empty(), "{warnings:?}");
    let (plan, warnings) = compile(&features, &Projects::All, &Host { name: "host-1".to_owned() });
    assert!(warnings.is_empty(), "{warnings:?}");
    plan
});

const NAMES: [&str; 12] = [
    "userId",
    "sessionId",
    "environment",
    "appName",
    "remoteAddress",
    "currentTime",
    "country",
    "version",
    "score",
    "word",
    "since",
    "address",
];

fuzz_target!(|bytes: &[u8]| {
    let mut context = Context::new();
    let mut input = Unstructured::new(bytes);
    let mut writer = context.start(&PLAN, NOW_MILLIS, input.arbitrary().unwrap_or(0));
    while !input.is_empty() {
        if write(&mut writer, &mut input).is_err() {
            break;
        }
    }
    check(&PLAN, &context);
});

fn write(writer: &mut ContextWriter<'_>, input: &mut Unstructured<'_>) -> Result<()> {
    let known: bool = input.arbitrary()?;
    let name = if known { *input.choose(&NAMES)? } else { input.arbitrary()? };
    let field = *input.choose(&Root::ALL)?;
    match input.int_in_range(0..=5)? {
        0 => writer.top(name, input.arbitrary()?),
        1 => writer.property(name, input.arbitrary()?),
        2 => writer.fill(field, input.arbitrary()?),
        3 => writer.root_time_millis(input.arbitrary()?),
        4 => writer.root(field, input.arbitrary()?),
        _ => {
            writer.force(field, input.arbitrary()?);
            assert!(writer.has(field));
        }
    }
    assert!(!known || writer.wants(name), "the plan asks for `{name}`");
    Ok(())
}
