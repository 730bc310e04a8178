//! Evaluation beside Yggdrasil's, in the same run: `cargo bench --bench evaluate`.
//!
//! Criterion tells how each one does and how it changed since the last run. The table at the end is
//! from rounds of its own, in which the contenders take turns; its ratios are what budgets are held
//! against. Ours is a context's fields filled in, evaluation, tag and the written answer; theirs is
//! `resolve_all`, which writes nothing, on a context made before.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_debug_implementations,
    reason = "a bench fails by panicking"
)]

#[path = "support/engines.rs"]
mod engines;
#[path = "support/payload.rs"]
mod payload;
#[path = "support/rounds.rs"]
mod rounds;

use std::{hint::black_box, time::Duration};

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use engines::{Fields, Ours, Theirs};
use offleash::engine::{Profile, Show};
use payload::{Listed, Spelling};
use rounds::Contender;
use serde_json::{Value, json};
use unleash_types::client_features::Context as TheirContext;

// The allocator of the program, for both: Yggdrasil fares better with it than with the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SEED: u64 = 42;
const SIZES: [usize; 5] = [20, 200, 1_000, 5_000, 20_000];
const CONTEXTS: usize = 1_000;
/// Flags without a rollout that are asked for alone, in a payload of a thousand.
const SINGLES: [&str; 3] = ["single.on", "single.country", "single.users"];

/// Both engines with one payload.
struct Pair {
    ours: Ours,
    theirs: Theirs,
}

/// The same callers for both.
struct Callers {
    fields: Vec<Fields>,
    contexts: Vec<TheirContext>,
}

fn main() {
    let measuring = rounds::measuring();
    let sizes = if measuring { &SIZES[..] } else { &SIZES[..2] };
    let callers = Callers::new();
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1_000))
        .sample_size(20)
        .configure_from_args();
    lists(&mut criterion, sizes, &callers);
    singles(&mut criterion, &callers);
    criterion.final_summary();
    if measuring {
        print_lists(&callers);
        print_singles(&callers);
        print_huge_lists();
    }
}

// === criterion ===

fn lists(criterion: &mut Criterion, sizes: &[usize], callers: &Callers) {
    let mut group = criterion.benchmark_group("evaluate_all");
    group.sampling_mode(SamplingMode::Flat);
    for &flags in sizes {
        let mut pair = Pair::new(&payload::payload(flags, SEED));
        pair.check(callers);
        group.throughput(Throughput::Elements(flags as u64));
        for (name, profile) in [("edge", Profile::Edge), ("proxy", Profile::Proxy)] {
            let mut at = 0;
            group.bench_function(BenchmarkId::new(name, flags), |bencher| {
                bencher.iter(|| {
                    at += 1;
                    pair.ours.answer(callers.fields(at), Show::Enabled, profile)
                });
            });
        }
        let mut at = 0;
        group.bench_function(BenchmarkId::new("yggdrasil", flags), |bencher| {
            bencher.iter(|| {
                at += 1;
                pair.theirs.resolve_all(callers.context(at))
            });
        });
    }
}

fn singles(criterion: &mut Criterion, callers: &Callers) {
    let mut pair = Pair::with_singles(callers);
    let mut group = criterion.benchmark_group("one_flag");
    for name in SINGLES {
        pair.ours.fill(callers.fields(1));
        group.bench_function(BenchmarkId::new("ours", name), |bencher| {
            bencher.iter(|| pair.ours.is_enabled(black_box(name)));
        });
        group.bench_function(BenchmarkId::new("yggdrasil", name), |bencher| {
            bencher.iter(|| pair.theirs.is_enabled(black_box(name), callers.context(1)));
        });
    }
}

// === paired rounds ===

fn print_lists(callers: &Callers) {
    println!("\nevaluate all, medians of {} paired rounds", rounds::ROUNDS);
    println!("on {}", rounds::machine());
    println!(
        "{:>6} {:>11} {:>11} {:>14} {:>8} {:>8} {:>7} {:>9}",
        "flags", "Edge µs", "Proxy µs", "Yggdrasil µs", "Edge", "Proxy", "budget", "ns/flag"
    );
    for flags in SIZES {
        let [edge, proxy, theirs] = measure_lists(flags, callers);
        let budget = match flags {
            200 | 1_000 => "1/20",
            5_000 => "1/30",
            _ => "",
        };
        println!(
            "{flags:>6} {:>11.2} {:>11.2} {:>14.1} {:>8} {:>8} {budget:>7} {:>9.2}",
            edge / 1e3,
            proxy / 1e3,
            theirs / 1e3,
            fraction(edge, theirs),
            fraction(proxy, theirs),
            edge / flags as f64,
        );
    }
    print_growth(callers);
}

/// What many flags do to the price of one, in rounds of its own: the sizes take turns too.
fn print_growth(callers: &Callers) {
    let [mut few, mut many] =
        [1_000, 20_000].map(|flags| Ours::new(&payload::payload(flags, SEED)));
    let [few, many] = rounds::medians([
        Contender::new(|at| {
            black_box(few.answer(callers.fields(at), Show::Enabled, Profile::Edge));
        }),
        Contender::new(|at| {
            black_box(many.answer(callers.fields(at), Show::Enabled, Profile::Edge));
        }),
    ]);
    println!(
        "a flag among 20,000 costs {:.2} times what it costs among 1,000; budget 1.5",
        many / 20_000.0 / (few / 1_000.0)
    );
}

/// Nanoseconds of an answer in each spelling, and of `resolve_all`.
fn measure_lists(flags: usize, callers: &Callers) -> [f64; 3] {
    let payload = payload::payload(flags, SEED);
    let mut edge = Pair::new(&payload);
    let mut proxy = Ours::new(&payload);
    rounds::medians([
        Contender::new(|at| {
            black_box(edge.ours.answer(callers.fields(at), Show::Enabled, Profile::Edge));
        }),
        Contender::new(|at| {
            black_box(proxy.answer(callers.fields(at), Show::Enabled, Profile::Proxy));
        }),
        Contender::new(|at| {
            black_box(edge.theirs.resolve_all(callers.context(at)));
        }),
    ])
}

fn print_singles(callers: &Callers) {
    let mut pair = Pair::with_singles(callers);
    println!("\none flag of 1,000 by name, no rollout, context filled in before");
    println!(
        "{:<16} {:>9} {:>13} {:>8} {:>7}",
        "flag", "ours ns", "Yggdrasil ns", "ratio", "budget"
    );
    for name in SINGLES {
        pair.ours.fill(callers.fields(1));
        let [ours, theirs] = rounds::medians([
            Contender::new(|_| {
                black_box(pair.ours.is_enabled(black_box(name)));
            }),
            Contender::new(|_| {
                black_box(pair.theirs.is_enabled(black_box(name), callers.context(1)));
            }),
        ]);
        let ratio = fraction(ours, theirs);
        println!("{name:<16} {ours:>9.1} {theirs:>13.1} {ratio:>8} {:>7}", "1/3");
    }
}

fn print_huge_lists() {
    println!(
        "\none flag with a list of 100,000 users, context filled in each time; budget 1,000 ns"
    );
    println!("{:<12} {:<9} {:>13} {:>13}", "list", "users", "listed ns", "others ns");
    for listed in [Listed::Constraint, Listed::Strategy] {
        for spelling in [Spelling::Counted, Spelling::Uuid] {
            let users = payload::many_users(spelling, 100_000);
            let payload = payload::huge_list(listed, &users);
            let others: Vec<String> = users.iter().map(|user| format!("{user}x")).collect();
            let (mut hit, mut miss) = (Ours::new(&payload), Ours::new(&payload));
            let [hit, miss] = rounds::medians([
                Contender::new(|at| assert!(huge_is_on(&mut hit, &users, at))),
                Contender::new(|at| assert!(!huge_is_on(&mut miss, &others, at))),
            ]);
            let (listed, spelling) = (format!("{listed:?}"), format!("{spelling:?}"));
            println!("{listed:<12} {spelling:<9} {hit:>13.1} {miss:>13.1}");
        }
    }
}

fn huge_is_on(ours: &mut Ours, users: &[String], at: usize) -> bool {
    // Neighbours in time are far apart in the list, so that caches do not flatter.
    let user = &users[at.wrapping_mul(7_919) % users.len()];
    ours.context.start(&ours.plan, engines::NOW_MILLIS, 1).top("userId", user);
    ours.is_enabled("huge")
}

fn fraction(ours: f64, theirs: f64) -> String {
    format!("1/{:.1}", theirs / ours)
}

// === impl Pair ===

impl Pair {
    fn new(payload: &Value) -> Self {
        Self { ours: Ours::new(payload), theirs: Theirs::new(payload) }
    }

    /// A payload of a thousand flags and [`SINGLES`].
    fn with_singles(callers: &Callers) -> Self {
        let mut payload = payload::payload(1_000, SEED);
        let country = json!({
            "contextName": "country", "operator": "NOT_IN", "values": ["JP", "US", "BR"],
        });
        let strategies = [
            json!({ "name": "default", "parameters": {} }),
            json!({ "name": "default", "parameters": {}, "constraints": [country] }),
            json!({ "name": "userWithId", "parameters": { "userIds": "user-1, user-2,user-3" } }),
        ];
        for (name, strategy) in SINGLES.into_iter().zip(strategies) {
            let flag = json!({ "name": name, "enabled": true, "strategies": [strategy] });
            payload["features"].as_array_mut().unwrap().push(flag);
        }
        let mut pair = Self::new(&payload);
        pair.check(callers);
        pair
    }

    /// Work is compared only where it is the same work.
    fn check(&mut self, callers: &Callers) {
        for at in 0..10 {
            self.ours.answer(callers.fields(at), Show::Enabled, Profile::Edge);
            assert_eq!(self.ours.shown(), self.theirs.enabled(callers.context(at)));
        }
    }
}

// === impl Callers ===

impl Callers {
    fn new() -> Self {
        let contexts = payload::contexts(CONTEXTS, SEED);
        Self {
            fields: contexts.iter().map(Fields::new).collect(),
            contexts: contexts.iter().map(engines::their_context).collect(),
        }
    }

    fn fields(&self, at: usize) -> &Fields {
        &self.fields[at % CONTEXTS]
    }

    fn context(&self, at: usize) -> &TheirContext {
        &self.contexts[at % CONTEXTS]
    }
}
