//! What a connection may cost: how long it may take, and how many there may be.

use std::{
    io::{BufReader, Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use actix_web::rt::{task::spawn_blocking, time::sleep};
use offleash::config::Config;

use crate::{
    server::{FRONTEND, TestServer, config, features},
    service::{PATIENCE, connect, read_answer},
};

const HEALTH: &[u8] = b"GET /internal-backstage/health HTTP/1.1\r\nhost: t\r\n\r\n";

fn server(config: Config) -> TestServer {
    let mut server = TestServer::start(config, None);
    server.publish(&features(&[]));
    server
}

/// Whether nothing more comes, and the other side has closed.
fn is_over(connection: &mut BufReader<TcpStream>) -> bool {
    matches!(connection.read(&mut [0; 1]), Ok(0))
}

#[actix_web::test]
async fn a_head_that_takes_too_long_is_refused_and_the_connection_closed() {
    let mut config = config();
    config.server.head_within = Duration::from_millis(200);
    let server = server(config);
    let address = server.address;
    let slow = spawn_blocking(move || {
        let mut slow = connect(address);
        slow.get_mut().write_all(b"GET /proxy HTTP/1.1\r\nhost: t\r\n").unwrap();
        let mut reply = String::new();
        slow.read_to_string(&mut reply).unwrap();
        reply
    });
    let reply = slow.await.unwrap();
    assert!(reply.starts_with("HTTP/1.1 408 "), "{reply}");
}

#[actix_web::test]
async fn a_body_that_takes_too_long_is_refused_and_the_connection_closed() {
    let mut config = config();
    config.surfaces.body_within = Duration::from_millis(200);
    let server = server(config);
    for path in ["/proxy", "/api/frontend", "/proxy/client/metrics", "/nowhere"] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: t\r\nauthorization: {FRONTEND}\r\n\
             content-type: application/json\r\ncontent-length: 20\r\n\r\n{{\"a\":"
        );
        // Reads until the other side closes.
        let reply = server.raw(head).await;
        let status = if path == "/nowhere" { "404" } else { "408" };
        assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {reply}");
        assert!(reply.contains("connection: close"), "{path}: {reply}");
    }
    let page = server.get("/internal-backstage/metrics").send().await.body;
    assert!(page.contains("offleash_http_refused_total{reason=\"slow\"} 3\n"), "{page}");
}

#[actix_web::test]
async fn an_idle_connection_is_kept_for_its_time_and_no_longer() {
    let mut config = config();
    config.server.keep_alive = Duration::from_secs(1);
    let server = server(config);
    let address = server.address;
    let idle = spawn_blocking(move || {
        let mut idle = connect(address);
        idle.get_mut().write_all(HEALTH).unwrap();
        read_answer(&mut idle).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        idle.get_mut().write_all(HEALTH).unwrap();
        read_answer(&mut idle).expect("it is kept");
        let start = Instant::now();
        assert!(is_over(&mut idle));
        start.elapsed()
    });
    let kept = idle.await.unwrap();
    assert!((Duration::from_millis(950)..Duration::from_secs(5)).contains(&kept), "{kept:?}");
}

#[actix_web::test]
async fn a_connection_over_the_limit_waits_for_another_to_end() {
    let mut config = config();
    config.server.workers = 1;
    config.server.max_connections = 2;
    let server = server(config);
    let address = server.address;
    let clients = spawn_blocking(move || {
        let mut one = connect(address);
        let mut other = connect(address);
        for taken in [&mut one, &mut other] {
            taken.get_mut().write_all(HEALTH).unwrap();
            read_answer(taken).unwrap();
        }
        let mut waiting = connect(address);
        waiting.get_mut().write_all(HEALTH).unwrap();
        waiting.get_ref().set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        assert!(read_answer(&mut waiting).is_none(), "there is no room");
        waiting.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
        drop(one);
        read_answer(&mut waiting).expect("there is room");
    });
    clients.await.unwrap();
    sleep(Duration::from_millis(20)).await;
    let page = server.get("/internal-backstage/metrics").send().await.body;
    let line = |name: &str| page.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert_eq!(line("offleash_http_connections_limit "), "offleash_http_connections_limit 2");
    let full = line("offleash_http_connections_full_total ");
    assert_ne!(full, "offleash_http_connections_full_total 0");
}
