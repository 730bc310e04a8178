//! Any bytes as a payload, and as a delta to a payload: nothing panics, and what can be read can be
//! compiled and evaluated.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use offleash::engine::{
    Compiler, Context, ContextWriter, Delta, Features, Host, Projects, compile,
};
use offleash_fuzz::{NOW_MILLIS, check};

static BASE: LazyLock<Features> = LazyLock::new(|| {
    let base = include_bytes!("../seeds/payload/small.json");
    Features::parse(base).expect("the seed is a payload").0
});

fuzz_target!(|bytes: &[u8]| {
    if let Ok((features, warnings)) = Features::parse(bytes) {
        let (again, known) =
            Features::parse_over(bytes, &features).expect("it could be read before");
        assert_eq!(known, warnings);
        check_features(&features, &again);
    }
    if let Ok(delta) = Delta::parse(bytes) {
        let mut features = BASE.clone();
        features.apply(&delta);
        check_features(&BASE, &features);
    }
});

/// A plan from nothing and one from what was known of `previous` are the same plan.
fn check_features(previous: &Features, features: &Features) {
    let host = Host { name: "host-1".to_owned() };
    let mut compiler = Compiler::new(host.clone());
    compiler.compile(previous, &Projects::All);
    for projects in [Projects::All, Projects::Only(["default".into()].into())] {
        let (plan, warnings) = compile(features, &projects, &host);
        let (warm, again) = compiler.compile(features, &projects);
        assert_eq!(again, warnings);
        let stats = plan.stats();
        assert_eq!(stats.folded_on + stats.folded_off + stats.live, plan.len());
        assert!(plan.len() <= features.len());
        let mut contexts = [Context::new(), Context::new()];
        for write in [|_: ContextWriter<'_>| {}, german as fn(ContextWriter<'_>)] {
            for (context, plan) in contexts.iter_mut().zip([&plan, &warm]) {
                write(context.start(plan, NOW_MILLIS, 1));
            }
            let tag = check(&plan, &contexts[0]);
            assert_eq!(check(&warm, &contexts[1]), tag);
        }
        compiler.forget_unused();
    }
}

fn german(mut writer: ContextWriter<'_>) {
    writer.top("userId", "7");
    writer.top("remoteAddress", "10.0.0.7");
    writer.property("country", "DE");
    writer.property("version", "1.2.3");
}
