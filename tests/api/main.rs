//! The service's behaviour, asked over real sockets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test may fail where it stands, and its modules are nobody's library"
)]

mod again;
mod behind;
mod bootstrap;
mod compression;
mod conditional;
mod cors;
mod definitions;
mod docs;
mod frontend;
mod gitlab;
mod large;
mod limits;
mod metrics;
mod outbound;
mod proxy;
mod server;
mod service;
mod serving;
mod stopping;
mod sync;
mod tls;
mod torn;
mod upstream;
mod usage;
mod usual;
