//! What the test crates of this folder share.

#![allow(dead_code, reason = "each test crate uses its part")]

pub(crate) mod context;
pub(crate) mod events;
pub(crate) mod excerpt;
pub(crate) mod generate;
pub(crate) mod hostile;
pub(crate) mod naive;
pub(crate) mod naive_text;
pub(crate) mod ours;
#[path = "../../benches/support/payload.rs"]
pub(crate) mod payload;
pub(crate) mod server;
pub(crate) mod suite;
pub(crate) mod yggdrasil;
