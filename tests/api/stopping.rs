//! How a process goes: what a balancer, a client and an orchestrator see of it.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use actix_web::rt::{task::spawn_blocking, time::sleep};
use futures_util::future::join_all;
use serde_json::json;

use crate::{
    server::config,
    service::{PATIENCE, Process, connect, line_with, read_answer},
    sync::{FEATURES, KEY, SECRET, keys},
    upstream::{Answer, Gate, ScriptedUpstream},
};

const USAGE: &str = "/api/client/metrics";

/// A real process in the Unleash Proxy's dialect, and what it says.
struct Service {
    process: Process,
    address: SocketAddr,
    lines: mpsc::Receiver<String>,
    log: Vec<String>,
}

impl Service {
    /// Serves the flags of `upstream`, once it is ready.
    fn start(upstream: &ScriptedUpstream, variables: &[(&str, &str)]) -> Self {
        let (process, lines) = Process::start(|command| {
            command
                .env("UNLEASH_URL", format!("{}/api", upstream.url()))
                .env("UNLEASH_API_TOKEN", SECRET)
                .env("UNLEASH_PROXY_CLIENT_KEYS", KEY)
                .env("PROXY_PORT", "0")
                .env("OFFLEASH_WORKERS", "2")
                .envs(variables.iter().copied());
        });
        let mut log = Vec::new();
        let listening = line_with(&lines, "listening", &mut log);
        line_with(&lines, "ready", &mut log);
        let address = listening.split_whitespace().find_map(|word| word.strip_prefix("addr="));
        let (_, port) = address.unwrap().rsplit_once(':').unwrap();
        let address = format!("127.0.0.1:{port}").parse().unwrap();
        Self { process, address, lines, log }
    }

    fn terminate(&self) {
        self.process.terminate();
    }

    /// The head of the answer to a request on a connection of its own.
    fn get(&self, path: &str) -> String {
        let mut connection = connect(self.address);
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: {KEY}\r\n\r\n");
        connection.get_mut().write_all(request.as_bytes()).unwrap();
        read_answer(&mut connection).expect("an answer")
    }

    fn status(&self, path: &str) -> u16 {
        self.get(path).split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// Waits for the end, which has to be a good one. Returns everything that was logged.
    fn end(mut self) -> Vec<String> {
        assert!(self.process.0.wait().unwrap().success(), "{:#?}", self.log);
        self.log.extend(self.lines.iter());
        self.log
    }
}

fn flags() -> ScriptedUpstream {
    let upstream = ScriptedUpstream::start();
    upstream.answer(FEATURES, Answer::flags(&["a"]));
    upstream
}

#[test]
fn a_stopping_process_is_not_ready_and_serves_until_its_grace_is_over() {
    let upstream = flags();
    let service = Service::start(&upstream, &[("OFFLEASH_STOP_GRACE_SECONDS", "2")]);
    for path in ["/internal-backstage/ready", "/proxy/health", "/proxy"] {
        assert_eq!(service.status(path), 200, "{path}");
    }
    let start = Instant::now();
    service.terminate();
    while service.status("/internal-backstage/ready") == 200 {
        assert!(start.elapsed() < Duration::from_secs(1), "it stays ready");
    }
    assert_eq!(service.status("/internal-backstage/ready"), 503);
    assert_eq!(service.status("/proxy/health"), 503);
    let mut served = 0;
    while start.elapsed() < Duration::from_millis(1500) {
        let head = service.get("/proxy");
        assert!(head.starts_with("http/1.1 200"), "{head}");
        assert!(head.contains("connection: close"), "{head}");
        assert_eq!(service.status("/internal-backstage/health"), 200, "it is alive");
        served += 1;
    }
    assert!(served > 10, "{served}");
    service.end();
    assert!(start.elapsed() >= Duration::from_millis(1900), "{:?}", start.elapsed());
}

#[test]
fn a_request_that_is_under_way_is_answered_after_the_stop_began() {
    let upstream = flags();
    let service = Service::start(&upstream, &[]);
    let mut slow = connect(service.address);
    let head = format!(
        "POST /proxy HTTP/1.1\r\nhost: x\r\nauthorization: {KEY}\r\n\
         content-type: application/json\r\ncontent-length: 2\r\n\r\n{{"
    );
    slow.get_mut().write_all(head.as_bytes()).unwrap();
    service.terminate();
    // The server takes no connection any more.
    let patience = Instant::now() + PATIENCE;
    while TcpStream::connect_timeout(&service.address, Duration::from_millis(100)).is_ok() {
        assert!(Instant::now() < patience, "it goes on listening");
        thread::sleep(Duration::from_millis(20));
    }
    slow.get_mut().write_all(b"}").unwrap();
    let head = read_answer(&mut slow).expect("an answer");
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let log = service.end().join("\n");
    assert!(!log.contains("cut off"), "{log}");
}

#[test]
fn connections_that_nobody_uses_hold_up_no_stop() {
    let upstream = flags();
    let service = Service::start(&upstream, &[("OFFLEASH_STOP_WITHIN_SECONDS", "9")]);
    let silent = connect(service.address);
    let mut idle = connect(service.address);
    let request = b"GET /internal-backstage/health HTTP/1.1\r\nhost: x\r\n\r\n";
    idle.get_mut().write_all(request).unwrap();
    read_answer(&mut idle).expect("an answer");
    let start = Instant::now();
    service.terminate();
    service.end();
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    for mut connection in [silent, idle] {
        assert_eq!(connection.read(&mut [0; 1]).unwrap(), 0);
    }
}

#[test]
fn a_stop_ends_in_time_whatever_upstream_and_callers_do() {
    let upstream = flags();
    let gate = Gate::closed();
    let service = Service::start(
        &upstream,
        &[("OFFLEASH_STOP_WITHIN_SECONDS", "3"), ("UNLEASH_FETCH_INTERVAL", "50")],
    );
    // Something to report, and nobody to take it.
    let counts = json!({"appName": "app", "instanceId": "one", "bucket": {
        "start": "2026-11-23T10:00:00.000Z", "stop": "2026-11-23T10:01:00.000Z",
        "toggles": {"a": {"yes": 1, "no": 0, "variants": {}}},
    }})
    .to_string();
    let mut reporting = connect(service.address);
    let request = format!(
        "POST /proxy/client/metrics HTTP/1.1\r\nhost: x\r\nauthorization: {KEY}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{counts}",
        counts.len()
    );
    reporting.get_mut().write_all(request.as_bytes()).unwrap();
    let mut taken = [0; 12];
    reporting.read_exact(&mut taken).unwrap();
    assert_eq!(&taken, b"HTTP/1.1 200");
    upstream.answer(USAGE, Answer::status(202).behind(&gate));
    upstream.answer(FEATURES, Answer::status(304).behind(&gate));
    let polled = upstream.requests_to(FEATURES).len();
    let patience = Instant::now() + PATIENCE;
    while upstream.requests_to(FEATURES).len() == polled {
        assert!(Instant::now() < patience, "a poll that hangs");
        thread::sleep(Duration::from_millis(10));
    }
    let mut stuck = connect(service.address);
    let head = b"POST /proxy HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n";
    stuck.get_mut().write_all(head).unwrap();
    thread::sleep(Duration::from_millis(50));
    let start = Instant::now();
    service.terminate();
    let log = service.end().join("\n");
    let took = start.elapsed();
    gate.open();
    assert!(took < Duration::from_millis(3500), "{took:?}");
    assert!(took > Duration::from_millis(1000), "the request was waited for: {took:?}");
    assert!(log.contains("1 requests took longer"), "{log}");
    assert!(!upstream.requests_to(USAGE).is_empty(), "the report was tried");
}

/// How a request on a connection of its own ended.
enum Outcome {
    Answered,
    Refused,
    Lost(String),
}

fn ask_once(address: SocketAddr) -> Outcome {
    // Connecting may last until a retry of the system's is refused.
    let mut stream = match TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        Ok(stream) => stream,
        Err(err) if matches!(err.kind(), ErrorKind::ConnectionRefused | ErrorKind::TimedOut) => {
            return Outcome::Refused;
        }
        Err(err) => return Outcome::Lost(format!("connecting: {err}")),
    };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = b"GET /internal-backstage/health HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut start = [0; 12];
    match stream.write_all(request).and_then(|()| stream.read_exact(&mut start)) {
        Ok(()) if start.starts_with(b"HTTP/1.1 200") => Outcome::Answered,
        Ok(()) => Outcome::Lost(String::from_utf8_lossy(&start).into_owned()),
        Err(err) => Outcome::Lost(err.to_string()),
    }
}

#[actix_web::test]
#[cfg(target_os = "linux")]
async fn a_stop_loses_no_connection_that_was_made() {
    let upstream = flags();
    for _ in 0..3 {
        let mut config = config();
        config.source = offleash::config::Source::Upstream(keys(&upstream.url()));
        let running = offleash::start(config).await.unwrap();
        let address = running.addr();
        let [answered, ends] = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
        let over = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> = (0..8)
            .map(|_| {
                let (answered, ends) = (Arc::clone(&answered), Arc::clone(&ends));
                let over = Arc::clone(&over);
                spawn_blocking(move || {
                    while !over.load(Ordering::SeqCst) {
                        match ask_once(address) {
                            Outcome::Answered => answered.fetch_add(1, Ordering::SeqCst),
                            Outcome::Refused => ends.fetch_add(1, Ordering::SeqCst),
                            Outcome::Lost(how) => return Err(how),
                        };
                    }
                    Ok(())
                })
            })
            .collect();
        let patience = Instant::now() + PATIENCE;
        while answered.load(Ordering::SeqCst) < 200 {
            assert!(Instant::now() < patience, "no load");
            sleep(Duration::from_millis(5)).await;
        }
        running.stop().await;
        over.store(true, Ordering::SeqCst);
        for client in join_all(clients).await {
            assert_eq!(client.unwrap(), Ok(()), "a connection was made and got no answer");
        }
    }
}
