use std::{sync::Arc, time::Duration};

use actix_server::{GracefulShutdownSignal, Server};
use actix_service::fn_service;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    time::{Instant, pause, timeout},
};

use super::*;
use crate::{
    http::{Closing, Ties, counters::Board, fixture},
    snapshot::channel,
    telemetry::prometheus::Registry,
    usage::Handle,
};

// Time stands still in these tests, but when everybody waits for it.
const KEEP_ALIVE: Duration = Duration::from_secs(40);
const HEAD_WITHIN: Duration = Duration::from_secs(15);
const HEALTH: &[u8] = b"GET /internal-backstage/health HTTP/1.1\r\nhost: t\r\n\r\n";

/// A connection to a host, through a pipe that holds so many bytes.
async fn connect(holds: usize) -> (DuplexStream, Closing) {
    connect_to(holds, Server::build().graceful_shutdown_signal()).await
}

/// As [`connect`], to a host that hears of a stop from `stopping`.
async fn connect_to(holds: usize, stopping: GracefulShutdownSignal) -> (DuplexStream, Closing) {
    let (_, subscriber) = channel();
    let closing = Closing::default();
    let ties = Ties {
        admit: None,
        usage: Handle::idle(),
        closing: closing.clone(),
        registry: Registry::new(),
    };
    let hall = Hall {
        surfaces: Arc::new(fixture::surfaces()),
        subscriber,
        ties,
        board: Board::default(),
        connections: Connections::new(10),
        times: Times::new(KEEP_ALIVE, HEAD_WITHIN, Duration::from_secs(30)),
        stopping,
    };
    let host = Host::new(hall).await.unwrap();
    let (ours, theirs) = tokio::io::duplex(holds);
    actix_rt::spawn(async move { host.serve(theirs, None).await });
    (ours, closing)
}

/// Reads one answer, which has a body.
async fn read(from: &mut DuplexStream) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        answer.push(from.read_u8().await.expect("an answer"));
    }
    String::from_utf8(answer).unwrap()
}

/// What comes until the connection ends, which has to be within that time.
async fn rest(connection: &mut DuplexStream, within: Duration) -> Vec<u8> {
    let mut rest = Vec::new();
    timeout(within, connection.read_to_end(&mut rest)).await.expect("an end").unwrap();
    rest
}

/// How long the connection lasts from now on, if nothing is sent; what comes is read.
async fn lasts(connection: &mut DuplexStream) -> Duration {
    let began = Instant::now();
    rest(connection, KEEP_ALIVE * 10).await;
    began.elapsed()
}

fn is_kept_time(lasted: Duration) -> bool {
    (KEEP_ALIVE..KEEP_ALIVE * 5 / 4 + Duration::from_millis(10)).contains(&lasted)
}

#[actix_rt::test]
async fn an_idle_connection_is_kept_for_its_time_after_the_last_request() {
    pause();
    let (mut connection, _) = connect(65_536).await;
    for idle in [0, 3, 17, 39] {
        tokio::time::sleep(Duration::from_secs(idle)).await;
        connection.write_all(HEALTH).await.unwrap();
        read(&mut connection).await;
    }
    let lasted = lasts(&mut connection).await;
    assert!(is_kept_time(lasted), "{lasted:?}");
}

#[actix_rt::test]
async fn a_silent_connection_has_the_time_of_a_head() {
    pause();
    let (mut connection, _) = connect(65_536).await;
    let lasted = lasts(&mut connection).await;
    assert!((HEAD_WITHIN..HEAD_WITHIN + Duration::from_secs(1)).contains(&lasted), "{lasted:?}");
}

#[actix_rt::test]
async fn a_request_that_comes_with_the_look_does_not_end_the_watch() {
    pause();
    let (mut connection, _) = connect(65_536).await;
    for _ in 0..9 {
        connection.write_all(HEALTH).await.unwrap();
        read(&mut connection).await;
        // To the instant at which the connection looks, too.
        tokio::time::sleep(KEEP_ALIVE / 4).await;
    }
    connection.write_all(HEALTH).await.unwrap();
    read(&mut connection).await;
    let lasted = lasts(&mut connection).await;
    assert!(is_kept_time(lasted), "{lasted:?}");
}

#[actix_rt::test]
async fn more_requests_than_one_poll_answers_do_not_end_the_watch() {
    pause();
    for count in [100, 126, 127, 128, 129, 300] {
        let (mut connection, _) = connect(1 << 20).await;
        connection.write_all(&HEALTH.repeat(count)).await.unwrap();
        for _ in 0..count {
            read(&mut connection).await;
        }
        let lasted = lasts(&mut connection).await;
        assert!(is_kept_time(lasted), "{count}: {lasted:?}");
    }
}

#[actix_rt::test]
async fn who_does_not_read_is_left_in_time_and_who_reads_slowly_is_not() {
    pause();
    let (mut connection, _) = connect(40).await;
    connection.write_all(&HEALTH.repeat(2)).await.unwrap();
    let mut first = [0; 100];
    for byte in &mut first {
        tokio::time::sleep(KEEP_ALIVE / 3).await;
        *byte = connection.read_u8().await.unwrap();
    }
    assert!(first.starts_with(b"HTTP/1.1 200 OK\r\n"));
    tokio::time::sleep(KEEP_ALIVE * 2).await;
    let rest = rest(&mut connection, KEEP_ALIVE).await;
    assert!(rest.len() <= 40, "the connection was left: {} bytes", rest.len());
}

#[actix_rt::test]
async fn a_part_of_a_request_waits_for_the_rest() {
    pause();
    // The rest comes soon, or when actix-http waits for it.
    for late in [Duration::from_millis(10), HEAD_WITHIN / 2] {
        let (mut connection, _) = connect(65_536).await;
        let (before, behind) = HEALTH.split_at(30);
        connection.write_all(HEALTH).await.unwrap();
        connection.write_all(before).await.unwrap();
        read(&mut connection).await;
        tokio::time::sleep(late).await;
        connection.write_all(behind).await.unwrap();
        assert!(read(&mut connection).await.starts_with("HTTP/1.1 200 OK\r\n"), "{late:?}");
    }
    let (mut connection, _) = connect(65_536).await;
    connection.write_all(b"GET / HTTP/1.1\r\nho").await.unwrap();
    let refusal = rest(&mut connection, HEAD_WITHIN * 2).await;
    assert!(refusal.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&refusal));
}

#[actix_rt::test]
async fn an_empty_line_behind_a_request_is_nothing() {
    pause();
    let (mut connection, _) = connect(65_536).await;
    connection.write_all(HEALTH).await.unwrap();
    connection.write_all(b"\r\n").await.unwrap();
    read(&mut connection).await;
    let lasted = lasts(&mut connection).await;
    assert!(is_kept_time(lasted), "{lasted:?}");
}

#[actix_rt::test]
async fn once_a_stop_is_announced_the_next_answer_is_the_last() {
    pause();
    let (mut connection, closing) = connect(65_536).await;
    connection.write_all(HEALTH).await.unwrap();
    assert!(!read(&mut connection).await.contains("connection: close"));
    closing.announce();
    connection.write_all(&HEALTH.repeat(2)).await.unwrap();
    assert!(read(&mut connection).await.contains("\r\nconnection: close\r\n"));
    assert_eq!(rest(&mut connection, Duration::from_secs(1)).await, b"");
}

#[actix_rt::test]
async fn a_body_that_breaks_off_is_refused() {
    pause();
    let (mut connection, _) = connect(65_536).await;
    let head = "POST /proxy/client/metrics HTTP/1.1\r\nhost: t\r\ncontent-length: 9\r\n\r\n{\"a\"";
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.shutdown().await.unwrap();
    let refusal = rest(&mut connection, Duration::from_secs(1)).await;
    assert!(refusal.starts_with(b"HTTP/1.1 400 "), "{}", String::from_utf8_lossy(&refusal));
}

/// What is heard from a server that stops.
async fn heard() -> GracefulShutdownSignal {
    let builder = Server::build().workers(1).disable_signals();
    let stopping = builder.graceful_shutdown_signal();
    let nobody = || fn_service(|_: TcpStream| async { Ok::<(), ()>(()) });
    let server = builder.bind("nobody", "127.0.0.1:0", nobody).unwrap().run();
    let handle = server.handle();
    actix_rt::spawn(server);
    handle.stop(true).await;
    stopping
}

#[actix_rt::test]
async fn a_stop_waits_for_the_rest_of_a_request_but_not_for_ever() {
    let stopping = heard().await;
    pause();
    let (begin, end) = HEALTH.split_at(30);
    let (mut connection, _) = connect_to(65_536, stopping.clone()).await;
    connection.write_all(begin).await.unwrap();
    tokio::time::sleep(HEAD_WITHIN / 2).await;
    connection.write_all(end).await.unwrap();
    assert!(read(&mut connection).await.starts_with("HTTP/1.1 200 OK"));
    assert_eq!(lasts(&mut connection).await, Duration::ZERO);

    let (mut connection, _) = connect_to(65_536, stopping).await;
    connection.write_all(begin).await.unwrap();
    let lasted = lasts(&mut connection).await;
    assert!((HEAD_WITHIN..HEAD_WITHIN + Duration::from_secs(1)).contains(&lasted), "{lasted:?}");
}
