//! Offleash, the open edge proxy for Unleash feature flags.


#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod cli;
pub mod config;
pub mod demo;
pub mod engine;
pub mod health;
pub mod snapshot;
pub mod sync;
pub mod telemetry;
pub mod token;
pub mod upstream;
pub mod usage;
