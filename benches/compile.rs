//! From payload to plan beside Yggdrasil's compilation, in the same run: `cargo bench --bench
//! compile`.
//!
//! Both read the payload's JSON and make of it what evaluation needs. The table at the end is from
//! rounds in which the contenders take turns; budgets are held against it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench fails by panicking")]

#[path = "support/engines.rs"]
mod engines;
#[path = "support/payload.rs"]
mod payload;
#[path = "support/rounds.rs"]
mod rounds;

use std::{hint::black_box, time::Duration};

use criterion::{BenchmarkId, Criterion, SamplingMode};
use offleash::engine::{Compiler, Delta, Features, Host, Plan, Projects, compile};
use payload::{Listed, Spelling};
use rounds::Contender;
use serde_json::{Value, json};
use unleash_types::client_features::ClientFeatures;
use unleash_yggdrasil::EngineState;

// The allocator of the program, for both: Yggdrasil fares better with it than with the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SEED: u64 = 42;
const SIZES: [usize; 5] = [20, 200, 1_000, 5_000, 20_000];

fn main() {
    let measuring = rounds::measuring();
    let sizes = if measuring { &SIZES[..4] } else { &SIZES[..1] };
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1_000))
        .sample_size(10)
        .configure_from_args();
    payloads(&mut criterion, sizes);
    criterion.final_summary();
    if measuring {
        print_payloads();
        print_delta();
        print_huge_lists();
    }
}

// === criterion ===

fn payloads(criterion: &mut Criterion, sizes: &[usize]) {
    let mut group = criterion.benchmark_group("payload");
    group.sampling_mode(SamplingMode::Flat);
    for &flags in sizes {
        let text = payload::payload(flags, SEED).to_string();
        let features = parse(&text);
        group.bench_function(BenchmarkId::new("parse", flags), |bencher| {
            bencher.iter(|| parse(&text));
        });
        group.bench_function(BenchmarkId::new("compile", flags), |bencher| {
            bencher.iter(|| plan(&features));
        });
        group.bench_function(BenchmarkId::new("yggdrasil", flags), |bencher| {
            bencher.iter(|| theirs(&text));
        });
    }
}

// === paired rounds ===

fn print_payloads() {
    println!("\npayload to plan, medians of {} paired rounds", rounds::ROUNDS);
    println!("on {}", rounds::machine());
    println!(
        "{:>6} {:>8} {:>10} {:>11} {:>14} {:>8} {:>9} {:>10} {:>7}",
        "flags",
        "JSON KB",
        "parse ms",
        "compile ms",
        "Yggdrasil ms",
        "ratio",
        "budget",
        "plan KB",
        "of JSON"
    );
    for flags in SIZES {
        let text = payload::payload(flags, SEED).to_string();
        let features = parse(&text);
        let [parsed, compiled, theirs] = rounds::medians([
            Contender::new(|_| drop(black_box(parse(&text)))),
            Contender::new(|_| drop(black_box(plan(&features)))),
            Contender::new(|_| drop(black_box(theirs(&text)))),
        ]);
        let bytes = plan(&features).stats().bytes;
        println!(
            "{flags:>6} {:>8} {:>10.3} {:>11.3} {:>14.2} {:>8} {:>9} {:>10} {:>7.2}",
            text.len() / 1024,
            parsed / 1e6,
            compiled / 1e6,
            theirs / 1e6,
            format!("1/{:.1}", theirs / (parsed + compiled)),
            if flags == 1_000 { "10 ms" } else { "" },
            bytes / 1024,
            bytes as f64 / text.len() as f64,
        );
    }
}

fn print_delta() {
    println!("\none changed flag of 1,000 in a delta; budget 1 ms of compile");
    println!("{:<28} {:>10} {:>11}", "what changed", "read ms", "compile ms");
    let payload = payload::payload(1_000, SEED);
    let changed = payload::payload(1_000, SEED + 1);
    let flags = |payload: &Value| payload["features"].as_array().unwrap().clone();
    let switched: Vec<Value> = flags(&payload)
        .into_iter()
        .map(|mut flag| {
            flag["enabled"] = json!(!flag["enabled"].as_bool().unwrap());
            flag
        })
        .collect();
    let (lists, others): (Vec<Value>, Vec<Value>) =
        flags(&changed).into_iter().partition(|flag| flag.to_string().contains("user-"));
    for (what, flags) in [
        ("on or off", switched),
        ("all but lists of users", others),
        ("all, with lists of users", lists),
    ] {
        let events: Vec<String> = flags.iter().map(feature_updated).collect();
        let [read, compile] = measure_delta(&parse(&payload.to_string()), &events);
        println!("{what:<28} {:>10.4} {:>11.3}", read / 1e6, compile / 1e6);
    }
}

/// Nanoseconds of one event, one after another: to read and apply it, and to compile after it.
fn measure_delta(features: &Features, events: &[String]) -> [f64; 2] {
    let read = |at: usize| Delta::parse(events[at % events.len()].as_bytes()).unwrap();
    let (mut features, mut unused) = (features.clone(), features.clone());
    let mut compiler = Compiler::new(Host::default());
    compiler.compile(&features, &Projects::All);
    let [read, both] = rounds::medians([
        Contender::new(|at| {
            black_box(unused.apply(&read(at)));
        }),
        Contender::new(|at| {
            features.apply(&read(at));
            drop(black_box(compiler.compile(&features, &Projects::All)));
            compiler.forget_unused();
        }),
    ]);
    [read, both - read]
}

fn feature_updated(feature: &Value) -> String {
    let event = json!({ "type": "feature-updated", "eventId": 5_000, "feature": feature });
    json!({ "events": [event] }).to_string()
}

fn print_huge_lists() {
    println!("\none flag with a list of 100,000 users; budget 100 ms, 3 times the ids");
    println!(
        "{:<12} {:<9} {:>10} {:>11} {:>9} {:>8}",
        "list", "users", "parse ms", "compile ms", "plan KB", "of ids"
    );
    for listed in [Listed::Constraint, Listed::Strategy] {
        for spelling in [Spelling::Counted, Spelling::Uuid] {
            let users = payload::many_users(spelling, 100_000);
            let text = payload::huge_list(listed, &users).to_string();
            let features = parse(&text);
            let [parsed, compiled] = rounds::medians([
                Contender::new(|_| drop(black_box(parse(&text)))),
                Contender::new(|_| drop(black_box(plan(&features)))),
            ]);
            let bytes = plan(&features).stats().bytes;
            let ids: usize = users.iter().map(String::len).sum();
            println!(
                "{:<12} {:<9} {:>10.2} {:>11.2} {:>9} {:>8.2}",
                format!("{listed:?}"),
                format!("{spelling:?}"),
                parsed / 1e6,
                compiled / 1e6,
                bytes / 1024,
                bytes as f64 / ids as f64,
            );
        }
    }
}

fn parse(text: &str) -> Features {
    Features::parse(text.as_bytes()).unwrap().0
}

fn plan(features: &Features) -> Plan {
    compile(features, &Projects::All, &Host::default()).0
}

fn theirs(text: &str) -> EngineState {
    let state = EngineState::initial_state(chrono::DateTime::UNIX_EPOCH);
    let features: ClientFeatures = serde_json::from_str(text).unwrap();
    state.apply_client_features(features);
    state
}
