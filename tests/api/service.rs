//! The whole service, from upstream's answers to what clients get over HTTP.

use std::{
    collections::HashSet,
    io::{BufRead, BufReader, Write as _},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use actix_web::rt::{task::spawn_blocking, time::sleep};
use futures_util::future::join_all;
use offleash::config::{Config, Source};

use crate::{
    server::config,
    sync::{FEATURES, KEY, SECRET, keys},
    torn::{FLAGS, payload},
    upstream::{Answer, ScriptedUpstream},
};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

fn service(upstream: &str, poll_every: Duration) -> Config {
    let mut upstream = keys(upstream);
    upstream.poll_every = poll_every;
    Config { source: Source::Upstream(upstream), ..config() }
}

/// Status, tag and body of an answer to `path`.
async fn get(client: &awc::Client, address: SocketAddr, path: &str) -> (u16, String, String) {
    let request =
        client.get(format!("http://{address}{path}")).insert_header(("authorization", KEY));
    let mut response = request.send().await.unwrap();
    let tag = response.headers().get("etag").map(|tag| tag.to_str().unwrap().to_owned());
    let body = response.body().limit(10_000_000).await.unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    (response.status().as_u16(), tag.unwrap_or_default(), body)
}

#[actix_web::test]
async fn whatever_becomes_of_upstream_what_clients_get_never_gets_worse() {
    let at = ScriptedUpstream::reserve();
    let config = service(&format!("http://{at}"), Duration::from_millis(20));
    let running = offleash::start(config).await.unwrap();
    let (client, address) = (awc::Client::default(), running.addr());
    assert_eq!(get(&client, address, "/proxy").await.0, 503, "nothing to serve yet");
    assert_eq!(get(&client, address, "/proxy/health").await.0, 503);

    let mut upstream = ScriptedUpstream::start_at(at);
    upstream.answer(FEATURES, Answer::flags(&["a", "b"]).header("etag", "\"v1\""));
    let patience = Instant::now() + PATIENCE;
    let good = loop {
        let reply = get(&client, address, "/proxy").await;
        if reply.0 == 200 {
            break reply;
        }
        assert!(Instant::now() < patience, "{reply:?}");
        sleep(Duration::from_millis(5)).await;
    };
    assert!(good.2.contains("\"a\"") && good.2.contains("\"b\""), "{good:?}");

    let troubles = [
        ("500", Answer::status(500)),
        ("{}", Answer::text("{}")),
        ("garbage", Answer::text("<html>not flags")),
        ("401", Answer::status(401)),
    ];
    for (name, answer) in troubles {
        upstream.answer(FEATURES, answer);
        let asked = upstream.requests_to(FEATURES).len();
        let patience = Instant::now() + PATIENCE;
        while upstream.requests_to(FEATURES).len() < asked + 3 {
            assert!(Instant::now() < patience, "{name}: upstream is asked no more");
            assert_eq!(get(&client, address, "/proxy").await, good, "{name}");
            assert_eq!(get(&client, address, "/proxy/health").await.0, 200, "{name}");
            sleep(Duration::from_millis(5)).await;
        }
    }
    upstream.stop();
    let gone = Instant::now() + Duration::from_millis(500);
    while Instant::now() < gone {
        assert_eq!(get(&client, address, "/proxy").await, good, "gone");
        sleep(Duration::from_millis(5)).await;
    }
    let upstream = ScriptedUpstream::start_at(at);
    upstream.answer(FEATURES, Answer::flags(&["a", "b", "c"]));
    let patience = Instant::now() + PATIENCE;
    while !get(&client, address, "/proxy").await.2.contains("\"c\"") {
        assert!(Instant::now() < patience, "it does not come back");
        sleep(Duration::from_millis(5)).await;
    }
    running.stop().await;
}

#[actix_web::test]
async fn every_answer_is_wholly_of_one_payload_while_upstream_changes_with_each_poll() {
    let upstream = ScriptedUpstream::start();
    let sides = ["left", "right"].map(|side| Answer::json(&payload(side)));
    let polls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&polls);
    upstream.answer_with(FEATURES, move |_| {
        sides[count.fetch_add(1, Ordering::SeqCst) % sides.len()].clone()
    });
    let config = service(&upstream.url(), Duration::from_millis(10));
    let running = offleash::start(config).await.unwrap();
    let (client, address) = (awc::Client::default(), running.addr());
    let patience = Instant::now() + PATIENCE;
    while get(&client, address, "/proxy/health").await.0 != 200 {
        assert!(Instant::now() < patience, "not ready");
        sleep(Duration::from_millis(5)).await;
    }

    let ends = Instant::now() + Duration::from_secs(2);
    let asks = (0..6).map(|number| async move {
        let client = awc::Client::default();
        let path = if number % 2 == 0 { "/proxy" } else { "/api/frontend" };
        let (mut seen, mut answers) = (HashSet::new(), 0);
        while Instant::now() < ends {
            let (status, tag, body) = get(&client, address, path).await;
            assert_eq!(status, 200, "{body}");
            let (left, right) =
                (body.matches("\"left\"").count(), body.matches("\"right\"").count());
            // The variant's name and its payload's value.
            let whole = [(2 * FLAGS, 0), (0, 2 * FLAGS)];
            assert!(whole.contains(&(left, right)), "torn: {left} left, {right} right");
            seen.insert((tag, left));
            answers += 1;
        }
        (seen, answers)
    });
    let mut answers = 0;
    for (seen, count) in join_all(asks).await {
        assert_eq!(seen.len(), 2, "two payloads, each under its own tag: {seen:?}");
        answers += count;
    }
    let polls = polls.load(Ordering::SeqCst);
    assert!(polls >= 10 && answers > polls, "{polls} polls, {answers} answers");
    running.stop().await;
}

// === stopping ===

/// Reads one answer, and returns its head; `None` where the connection ended instead.
pub(crate) fn read_answer(from: &mut BufReader<TcpStream>) -> Option<String> {
    Some(read_whole(from)?.0)
}

/// Reads one answer's head, in lower case, and body; `None` where the connection ended instead.
pub(crate) fn read_whole(from: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if from.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
    let mut body = vec![0; length.trim().parse().unwrap()];
    from.read_exact(&mut body).ok()?;
    Some((head, body))
}

pub(crate) fn connect(address: SocketAddr) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    BufReader::new(stream)
}

/// Asks, and returns the head of the answer. Health, so that the answer always has a body.
fn ask(connection: &mut BufReader<TcpStream>) -> Option<String> {
    let request = b"GET /internal-backstage/health HTTP/1.1\r\nhost: x\r\n\r\n";
    connection.get_mut().write_all(request).ok()?;
    read_answer(connection)
}

/// Asks again and again until the close of the connection is announced; true where it was.
fn ask_until_announced(address: SocketAddr, asked: &AtomicUsize) -> bool {
    let mut connection = connect(address);
    let patience = Instant::now() + PATIENCE;
    while Instant::now() < patience {
        let Some(head) = ask(&mut connection) else { return false };
        asked.fetch_add(1, Ordering::SeqCst);
        if head.contains("connection: close") {
            return true;
        }
    }
    false
}

#[actix_web::test]
async fn a_stop_loses_no_request_on_a_kept_connection() {
    let upstream = ScriptedUpstream::start();
    upstream.answer(FEATURES, Answer::flags(&["a"]));
    let config = service(&upstream.url(), Duration::from_millis(100));
    let running = offleash::start(config).await.unwrap();
    let address = running.addr();
    let asked = Arc::new(AtomicUsize::new(0));
    let busy: Vec<_> = (0..16)
        .map(|_| {
            let asked = Arc::clone(&asked);
            spawn_blocking(move || ask_until_announced(address, &asked))
        })
        .collect();
    let kept = spawn_blocking(move || {
        let mut connection = connect(address);
        let head = ask(&mut connection).unwrap();
        assert!(!head.contains("connection: close"), "{head}");
        connection
    });
    let mut kept = kept.await.unwrap();
    let patience = Instant::now() + PATIENCE;
    while asked.load(Ordering::SeqCst) < 200 {
        assert!(Instant::now() < patience, "no load");
        sleep(Duration::from_millis(5)).await;
    }
    let stopping = actix_web::rt::spawn(running.stop());
    sleep(Duration::from_millis(20)).await;
    let head = spawn_blocking(move || ask(&mut kept)).await.unwrap();
    let head = head.expect("an answer to a request sent right after the stop");
    assert!(head.contains("connection: close"), "{head}");
    for announced in join_all(busy).await {
        assert!(announced.unwrap(), "a connection was closed under a request");
    }
    stopping.await.unwrap();
    assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
}

// === the process ===

/// Killed when dropped, so that no failing test leaves it behind.
pub(crate) struct Process(pub(crate) Child);

impl Process {
    /// Starts the program in an empty environment, with what `configure` adds. Also returns the lines
    /// of its log, as they come and until it ends.
    pub(crate) fn start(configure: impl FnOnce(&mut Command)) -> (Self, mpsc::Receiver<String>) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_offleash"));
        configure(command.env_clear().stdout(Stdio::piped()));
        let mut process = Self(command.spawn().unwrap());
        let (sender, lines) = mpsc::channel();
        let log = BufReader::new(process.0.stdout.take().unwrap()).lines();
        thread::spawn(move || log.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        (process, lines)
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for a line that has `text`, unless it is in `log` already; returns it, and keeps every line
/// in `log`.
pub(crate) fn line_with(
    lines: &mpsc::Receiver<String>,
    text: &str,
    log: &mut Vec<String>,
) -> String {
    if let Some(line) = log.iter().find(|line| line.contains(text)) {
        return line.clone();
    }
    loop {
        let line =
            lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no `{text}` in {log:#?}"));
        log.push(line.clone());
        if line.contains(text) {
            return line;
        }
    }
}

#[test]
fn a_process_says_where_it_listens_that_it_is_ready_and_that_it_stops_at_the_level_warn() {
    let upstream = ScriptedUpstream::start();
    upstream.answer(FEATURES, Answer::flags(&["a"]));
    let (mut process, lines) = Process::start(|command| {
        command
            .env("UNLEASH_URL", format!("{}/api", upstream.url()))
            .env("UNLEASH_API_TOKEN", SECRET)
            .env("UNLEASH_PROXY_CLIENT_KEYS", KEY)
            .env("PROXY_PORT", "0")
            .env("LOG_LEVEL", "warn");
    });
    let mut log = Vec::new();
    let listening = line_with(&lines, "listening", &mut log);
    line_with(&lines, "ready", &mut log);
    let address = listening.split_whitespace().find_map(|word| word.strip_prefix("addr="));
    let (_, port) = address.unwrap().rsplit_once(':').unwrap();

    let mut garbage = connect(format!("127.0.0.1:{port}").parse().unwrap());
    garbage.get_mut().write_all(b"GET / HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n").unwrap();
    let head = read_answer(&mut garbage).unwrap();
    assert!(head.starts_with("http/1.1 400"), "{head}");

    process.terminate();
    line_with(&lines, "stopped", &mut log);
    assert!(process.0.wait().unwrap().success());
    assert_eq!(log.len(), 3, "three lines, and none about garbage: {log:#?}");
    assert!(!log.join("\n").contains("sesame"), "{log:#?}");
}

/// What a process that cannot start writes on stderr, and its exit code.
fn refusal(args: &[&str], variables: &[(&str, &str)]) -> (String, Option<i32>) {
    let output = Command::new(env!("CARGO_BIN_EXE_offleash"))
        .args(args)
        .env_clear()
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    (String::from_utf8(output.stderr).unwrap(), output.status.code())
}

#[test]
fn a_process_names_every_problem_of_its_variables_at_once_and_no_secret() {
    let (said, code) = refusal(
        &[],
        &[
            ("UNLEASH_URL", "https://me:sesame@unleash.test/api"),
            ("UNLEASH_PROXY_CLIENT_KEYS", " , "),
            ("PORT", "70000"),
            ("PROXY_BASE_PATH", "/a b"),
            ("CLIENT_KEY_HEADER_NAME", "no good"),
            ("UNLEASH_FETCH_INTERVAL", "soon"),
            ("UNLEASH_METRICS_JITTER", "-5"),
            ("UNLEASH_TAGS", "simple"),
            ("CORS_MAX_AGE", "long"),
            ("CORS_OPTIONS_SUCCESS_STATUS", "404"),
            ("HTTP_OPTIONS_REJECT_UNAUTHORIZED", "maybe"),
            ("EXP_BOOTSTRAP_URL", "ftp://me:sesame@boot.test/flags"),
            ("EXP_BOOTSTRAP_AUTHORIZATION", "sesame\u{7f}"),
            ("HTTPS_PROXY", "socks5://me:sesame@proxy.test"),
            ("UNLEASH_CUSTOM_STRATEGIES_FILE", "/strategies.js"),
            ("EXP_CUSTOM_ENRICHERS_FILE", "/enrichers.js"),
        ],
    );
    assert_eq!(code, Some(64), "{said}");
    let named: HashSet<&str> = said.lines().filter_map(|line| line.split('`').nth(1)).collect();
    let expected = [
        "UNLEASH_URL",
        "UNLEASH_API_TOKEN",
        "UNLEASH_PROXY_CLIENT_KEYS",
        "PORT",
        "PROXY_BASE_PATH",
        "CLIENT_KEY_HEADER_NAME",
        "UNLEASH_FETCH_INTERVAL",
        "UNLEASH_METRICS_JITTER",
        "UNLEASH_TAGS",
        "CORS_MAX_AGE",
        "CORS_OPTIONS_SUCCESS_STATUS",
        "HTTP_OPTIONS_REJECT_UNAUTHORIZED",
        "EXP_BOOTSTRAP_URL",
        "EXP_BOOTSTRAP_AUTHORIZATION",
        "HTTPS_PROXY",
        "UNLEASH_CUSTOM_STRATEGIES_FILE",
        "EXP_CUSTOM_ENRICHERS_FILE",
    ];
    assert_eq!(named, HashSet::from(expected), "{said}");
    assert_eq!(said.lines().count(), 1 + expected.len(), "one line each: {said}");
    assert!(!said.contains("sesame"), "{said}");
    assert!(said.contains("embedded JavaScript engine"), "{said}");
}

#[test]
fn a_process_with_flags_names_every_problem_at_once_too() {
    let (said, code) = refusal(
        &["edge", "--tokens", "sesame", "--upstream-certificate-file", "/nowhere/root.pem"],
        &[("SKIP_SSL_VERIFICATION", "maybe"), ("HTTP_PROXY", "http://me:sesame@")],
    );
    assert_eq!(code, Some(64), "{said}");
    for name in [
        "`UPSTREAM_URL`",
        "`--tokens` has no token",
        "`--upstream-certificate-file` is `/nowhere/root.pem`",
        "`SKIP_SSL_VERIFICATION`",
        "`HTTP_PROXY`",
    ] {
        assert!(said.contains(name), "{name} is not in {said}");
    }
    assert!(!said.contains("sesame"), "{said}");
}
