//! What holds for every payload and every context.
//!
//! Everything is drawn from fixed seeds: a failure here is a failure everywhere.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

#[path = "support/all.rs"]
mod support;

#[path = "property/any_input.rs"]
mod any_input;
#[path = "property/deltas.rs"]
mod deltas;
#[path = "property/draws.rs"]
mod draws;
#[path = "property/explain.rs"]
mod explain;
#[path = "property/same_as_naive.rs"]
mod same_as_naive;

use proptest::test_runner::{Config, RngSeed};

/// So many cases, the same in every run.
fn cases(cases: u32) -> Config {
    Config { rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..Config::with_cases(cases) }
}
