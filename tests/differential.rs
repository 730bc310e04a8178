//! Our answers beside those of `unleash-yggdrasil`, the engine of Unleash Edge and most SDKs.
//!
//! Two lanes (`spec/evaluation.md`, section 9): where data is ordinary every answer must be the
//! same; where the engines are known to differ, one test a row holds ours.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

#[path = "support/all.rs"]
mod support;

#[path = "differential/constraints.rs"]
mod constraints;
#[path = "differential/rest.rs"]
mod rest;
#[path = "differential/rollouts.rs"]
mod rollouts;
#[path = "differential/same.rs"]
mod same;
#[path = "differential/small.rs"]
mod small;
