//! The arrows of `DESIGN.md`, section 2, read off the sources.
//!
//! Each rule is a function from sources to what offends it; each has a made-up source beside it
//! that it must catch, so that a rule which catches nothing is found out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

#[path = "layering/rules.rs"]
mod rules;
#[path = "layering/source.rs"]
mod source;

use source::Source;

#[track_caller]
fn assert_clean(rule: fn(&Source) -> Vec<String>) {
    let sources = Source::all();
    assert!(sources.len() > 20, "the sources were not found");
    let offences: Vec<String> = sources.iter().flat_map(rule).collect();
    assert!(offences.is_empty(), "{}", offences.join("\n"));
}

/// Asserts that each text offends where it stands, and that it would not elsewhere or otherwise.
#[track_caller]
fn assert_caught(rule: fn(&Source) -> Vec<String>, path: &str, bad: &[&str], good: &[&str]) {
    for text in bad {
        assert!(!rule(&Source::new(path, text)).is_empty(), "not caught in {path}: {text}");
    }
    for text in good {
        let offences = rule(&Source::new(path, text));
        assert!(offences.is_empty(), "wrongly caught in {path}: {text}: {offences:?}");
    }
}

#[test]
fn arrows_point_one_way() {
    assert_clean(rules::arrows);
}

#[test]
fn arrows_that_point_back_are_caught() {
    let bad = [
        "use crate::upstream::Client;",
        "use crate::{engine::Plan, upstream};",
        "use crate::{\n    engine::{Context, Plan},\n    store::{self, Store},\n};",
        "use super::super::upstream;",
        "fn f() { crate::upstream::get() }",
        "fn f() -> crate :: store :: Store { todo() }",
        "use offleash::store::Store;",
        "pub use crate::sync::actor::SyncActor;",
        "use crate::sync;",
    ];
    let good = [
        "use crate::{engine::Plan, snapshot::Reader, sync::Handle, token::Token};",
        "// use crate::upstream::Client;\nuse crate::engine::Plan;",
        "const TEXT: &str = \"use crate::upstream;\";",
        "#[cfg(test)]\nmod tests {\n    use crate::upstream::Client;\n}\n",
        "use super::conditional::Tag;",
        "use upstream_types::Other;",
    ];
    assert_caught(rules::arrows, "http/proxy.rs", &bad, &good);
    assert_caught(
        rules::arrows,
        "engine/plan.rs",
        &["use crate::token::Token;"],
        &["use crate::engine::Plan;", "use super::model::Features;"],
    );
    let leaves_the_engine = ["use super::super::super::token::Token;"];
    assert_caught(
        rules::arrows,
        "engine/plan/compile.rs",
        &leaves_the_engine,
        &["use super::super::model::Features;"],
    );
    assert_caught(rules::arrows, "upstream.rs", &["use crate::sync::Handle;"], &[]);
    assert_caught(rules::arrows, "store/file.rs", &["use crate::http::Problem;"], &[]);
    assert_caught(
        rules::arrows,
        "snapshot.rs",
        &["use crate::sync::Handle;"],
        &["use crate::{engine::Plan, token::Scope};"],
    );
}

#[test]
fn engine_is_pure() {
    assert_clean(rules::purity);
}

#[test]
fn impure_engines_are_caught() {
    let bad = [
        "use actix_web::web;",
        "use actix::Actor;",
        "use awc::Client;",
        "use tokio::time::sleep;",
        "use tracing::warn;",
        "fn f() { tracing::warn!(\"x\") }",
        "use std::time::SystemTime;",
        "use std::{collections::HashMap, time::{Duration, Instant}};",
        "fn f() { std::time::Instant::now(); }",
        "use std::time;",
        "use std::fs;",
        "fn f() { std::fs::read(\"x\").ok(); }",
        "use std::net::TcpStream;",
        "use std::net::{IpAddr, UdpSocket};",
        "use std::{sync::{Arc, Mutex}};",
        "use std::sync::RwLock;",
        "static CELL: std::sync::OnceLock<u8> = std::sync::OnceLock::new();",
        "thread_local! { static X: u8 = 0; }",
        "static mut COUNT: u32 = 0;",
        "use std::env;",
        "use std::thread;",
        "fn f() { chrono::Utc::now(); }",
        "fn f() { println!(\"x\"); }",
        "async fn f() {}",
    ];
    let good = [
        "use std::{net::IpAddr, sync::Arc, time::Duration};",
        "use std::net::Ipv4Addr;",
        "fn f() { let now = 1; let awc = now; drop(awc); }",
        "/// Not `std::fs`.\nfn f() {}",
        "static TABLE: [u8; 2] = [1, 2];",
        "use chrono::{DateTime, Utc};",
        "struct Instant(i64);",
        "#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n",
    ];
    assert_caught(rules::purity, "engine/plan.rs", &bad, &good);
    assert_caught(rules::purity, "sync.rs", &[], &bad);
}

#[test]
fn only_sync_holds_the_publisher() {
    assert_clean(rules::publisher);
}

#[test]
fn publishers_elsewhere_are_caught() {
    let bad =
        ["use crate::snapshot::Publisher;", "struct Worker { p: crate::snapshot::Publisher }"];
    let good = ["use crate::snapshot::Reader;", "// The Publisher is sync's."];
    assert_caught(rules::publisher, "http/worker.rs", &bad, &good);
    assert_caught(rules::publisher, "sync/actor.rs", &[], &bad);
}

#[test]
fn only_http_error_chooses_the_status_of_an_error() {
    assert_clean(rules::statuses);
}

#[test]
fn statuses_of_errors_elsewhere_are_caught() {
    let bad = [
        "fn f() { HttpResponse::build(StatusCode::BAD_REQUEST) }",
        "const S: StatusCode = StatusCode::SERVICE_UNAVAILABLE;",
        "fn f() { StatusCode::IM_A_TEAPOT }",
        "use actix_web::http::StatusCode as S; fn f() { S::NOT_FOUND }",
        "fn f() { HttpResponse::Forbidden().finish() }",
        "fn f() { HttpResponse :: InternalServerError ( ) }",
        "fn f() { actix_web::error::ErrorUnauthorized(\"x\") }",
        "fn f() { StatusCode::from_u16(404) }",
    ];
    let good = [
        "fn f() { HttpResponse::build(StatusCode::NOT_MODIFIED) }",
        "fn f() { HttpResponse::Ok().finish(); StatusCode::ACCEPTED }",
        "fn f(preflight: u16) { StatusCode::from_u16(preflight) }",
        "// StatusCode::NOT_FOUND\nfn f() {}",
        "#[cfg(test)]\nmod tests { fn f() { StatusCode::NOT_FOUND } }",
    ];
    assert_caught(rules::statuses, "http/proxy.rs", &bad, &good);
    assert_caught(rules::statuses, "http/error.rs", &[], &bad);
    // What upstream answered is read, not chosen.
    assert_caught(rules::statuses, "upstream.rs", &[], &bad);
}

#[test]
fn files_are_short_or_say_why_not() {
    assert_clean(rules::length);
}

#[test]
fn long_files_are_caught() {
    let long = "fn f() {}\n".repeat(401);
    let explained = format!("//! Things.\n//!\n//! One file because they are one table.\n{long}");
    let tested = format!("{}#[cfg(test)]\nmod tests {{\n{long}}}\n", "fn f() {}\n".repeat(300));
    let short = "fn f() {}\n".repeat(400);
    assert_caught(rules::length, "sync.rs", &[&long], &[&explained, &tested, &short]);
    assert_caught(rules::length, "sync/tests.rs", &[], &[&long]);
}

#[test]
fn files_have_telling_names() {
    assert_clean(rules::names);
}

#[test]
fn names_that_tell_nothing_are_caught() {
    for path in
        ["sync/mod.rs", "utils.rs", "http/utils.rs", "utils/text.rs", "util.rs", "helpers.rs"]
    {
        assert_caught(rules::names, path, &["fn f() {}"], &[]);
    }
    assert_caught(rules::names, "sync/model.rs", &[], &["fn f() {}"]);
}
