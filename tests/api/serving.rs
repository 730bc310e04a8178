//! Listening, and what workers hold on to.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::rt::time::sleep;

use crate::server::{FRONTEND, TestServer, config, features, grants, plan, ties};

#[actix_web::test]
async fn by_default_both_families_are_served_and_ipv4_stays_ipv4() {
    let mut config = config();
    config.server.interface = None;
    let mut server = TestServer::start(config, None);
    server.publish(&features(&[
        ("four", "remoteAddress", "127.0.0.1"),
        ("six", "remoteAddress", "::1"),
    ]));
    let port = server.address.port();
    server.address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    assert_eq!(server.get("/proxy").token(FRONTEND).send().await.toggles(), ["four", "on"]);
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        server.address = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
        assert_eq!(server.get("/proxy").token(FRONTEND).send().await.toggles(), ["on", "six"]);
    }
}

#[actix_web::test]
async fn a_port_in_use_is_an_error() {
    let server = TestServer::start(config(), None);
    let mut config = config();
    config.server.port = server.address.port();
    let (_, subscriber) = offleash::snapshot::channel();
    let err = offleash::http::serve(&config, subscriber, ties(None)).err().unwrap();
    assert_eq!(err.kind(), std::io::ErrorKind::AddrInUse);
}

#[actix_web::test]
async fn a_header_name_that_is_none_is_an_error() {
    let mut config = config();
    config.surfaces.proxy.key_header = "not a header".to_owned();
    let (_, subscriber) = offleash::snapshot::channel();
    let err = offleash::http::serve(&config, subscriber, ties(None)).err().unwrap();
    assert_eq!(err.kind(), std::io::ErrorKind::InvalidInput);
}

#[actix_web::test]
async fn idle_workers_let_go_of_an_old_snapshot() {
    let mut server = TestServer::start(config(), None);
    let plan = plan(&features(&[]));
    server.publisher.publish(grants(&plan).collect(), true);
    assert_eq!(server.get("/proxy").token(FRONTEND).send().await.status, 200);
    let old = Arc::downgrade(&plan);
    drop(plan);
    assert!(old.upgrade().is_some(), "the snapshot holds it");
    server.publish(&features(&[]));
    let patience = Instant::now() + Duration::from_secs(10);
    while old.strong_count() > 0 {
        assert!(Instant::now() < patience, "an idle worker pins the old plan");
        // It is the writer that frees what nobody reads any more.
        server.publisher.reclaim();
        sleep(Duration::from_millis(50)).await;
    }
}
