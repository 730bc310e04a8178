//! Offleash, the open edge proxy for Unleash feature flags.


#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod engine;
pub mod snapshot;
pub mod token;
