//! Whom the conformance suite asks: Offleash, or with `OFFLEASH_CONFORMANCE_ORIGINAL` (the folder
//! of npm's `@unleash/proxy`) the Unleash Proxy itself, with the same variables and upstream.

use std::{
    env, fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use actix_web::rt::{task::spawn_blocking, time::sleep};
use offleash::{
    Running,
    config::{Machine, proxy_env},
};
use serde_json::{Value, json};

use crate::upstream::{Answer, ScriptedUpstream};

pub(super) const KEY: &str = "the-client-key";
pub(super) const SERVER_TOKEN: &str = "the-server-token";
const FEATURES: &str = "/api/client/features";
const PATIENCE: Duration = Duration::from_secs(30);
const CHANGED_WITHIN: Duration = Duration::from_secs(10);

/// One of the two, running, with its upstream.
pub(super) struct Subject {
    port: u16,
    running: Option<Running>,
    /// Held to be killed with the subject.
    _original: Option<Original>,
    pub(super) upstream: ScriptedUpstream,
}

/// The Unleash Proxy. Killed when dropped.
struct Original {
    child: Child,
    folder: PathBuf,
}

/// What a request got.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    pub(super) body: String,
}

/// A request in the making.
pub(super) struct Ask<'s> {
    subject: &'s Subject,
    method: &'static str,
    target: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    /// Instead of `body`, with its framing.
    chunks: Option<Vec<u8>>,
}

/// Whether the original is asked.
pub(super) fn is_original() -> bool {
    env::var_os("OFFLEASH_CONFORMANCE_ORIGINAL").is_some()
}

/// What is expected where the two differ on purpose; `_why` is for who reads.
pub(super) fn differs<T>(_why: &str, ours: T, original: T) -> T {
    if is_original() { original } else { ours }
}

/// The flags of every case: each is on for the context that its name says.
pub(super) fn flags() -> Value {
    let constraint = |name: &str, values: &[&str]| json!({"contextName": name, "operator": "IN", "values": values});
    let flag = |name: &str, enabled: bool, strategy: Value| {
        json!({
            "name": name, "type": "release", "project": "default", "enabled": enabled, "stale": false,
            "impressionData": false, "variants": [],
            "strategies": if strategy.is_null() { json!([]) } else { json!([strategy]) },
        })
    };
    let when = |name: &str, field: &str, values: &[&str]| {
        flag(
            name,
            true,
            json!({"name": "default", "parameters": {}, "constraints": [constraint(field, values)]}),
        )
    };
    let mut variant = flag("b-variant", true, json!({"name": "default", "parameters": {}}));
    variant["impressionData"] = json!(true);
    variant["variants"] = json!([{
        "name": "blue", "weight": 1000, "weightType": "variable", "stickiness": "default",
        "payload": {"type": "string", "value": "hi"},
    }]);
    let late = json!({"contextName": "currentTime", "operator": "DATE_AFTER", "value": "2090-01-01T00:00:00Z"});
    json!([
        flag("a-on", true, json!({"name": "default", "parameters": {}})),
        variant,
        flag("c-off", false, json!({"name": "default", "parameters": {}})),
        when("d-user", "userId", &["7"]),
        when("e-tenant", "tenantId", &["me", "24", "true"]),
        flag(
            "f-address",
            true,
            json!({"name": "remoteAddress", "parameters": {"IPs": "10.1.2.0/24"}}),
        ),
        when("g-app", "appName", &["shop"]),
        when("h-environment", "environment", &["prod"]),
        flag("i-late", true, json!({"name": "default", "parameters": {}, "constraints": [late]})),
        flag(
            "j-session",
            true,
            json!({
                "name": "flexibleRollout",
                "parameters": {"rollout": "100", "stickiness": "sessionId", "groupId": "j"},
            })
        ),
        flag("k-segment", true, json!({"name": "default", "parameters": {}, "segments": [7]})),
        flag(
            "l-nested.name",
            true,
            json!({"name": "default", "parameters": {}, "constraints": [constraint("a.b", &["x y"])]})
        ),
        flag("l-without-strategies", true, json!(null)),
        when("l-default-app", "appName", &["unleash-proxy"]),
        when("m-default-environment", "environment", &["default"]),
    ])
}

// === impl Subject ===

impl Subject {
    /// Ready, with [`flags`].
    pub(super) async fn start(variables: &[(&str, &str)]) -> Self {
        let segment = json!({"id": 7, "constraints": [{"contextName": "userId", "operator": "IN", "values": ["7"]}]});
        let payload = json!({"version": 2, "features": flags(), "segments": [segment]});
        Self::serving(&payload, variables).await
    }

    /// Ready, with what upstream answers here.
    pub(super) async fn serving(payload: &Value, variables: &[(&str, &str)]) -> Self {
        let subject = Self::launch(Answer::json(payload), variables).await;
        let base = variables.iter().find(|(name, _)| *name == "PROXY_BASE_PATH");
        let base = base.map_or("", |(_, path)| path.trim().trim_matches('/'));
        let slash = if base.is_empty() { "" } else { "/" };
        let health = format!("{slash}{base}/proxy/health");
        subject.wait(PATIENCE, &health, |reply| reply.status == 200).await;
        subject
    }

    /// Without flags: upstream fails.
    pub(super) async fn not_ready(variables: &[(&str, &str)]) -> Self {
        let subject = Self::launch(Answer::status(500), variables).await;
        subject.wait(PATIENCE, "/proxy/health", |reply| reply.status == 503).await;
        subject
    }

    async fn launch(features: Answer, variables: &[(&str, &str)]) -> Self {
        let upstream = ScriptedUpstream::start();
        upstream.answer(FEATURES, features);
        upstream.answer("/api/client/metrics", Answer::status(202));
        upstream.answer("/api/client/register", Answer::status(202));
        let port =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let mut all = vec![
            ("UNLEASH_URL".to_owned(), format!("{}/api/", upstream.url())),
            ("UNLEASH_API_TOKEN".to_owned(), "*:development.upstream".to_owned()),
            ("UNLEASH_PROXY_CLIENT_KEYS".to_owned(), KEY.to_owned()),
            ("EXP_SERVER_SIDE_SDK_CONFIG_TOKENS".to_owned(), SERVER_TOKEN.to_owned()),
            ("UNLEASH_FETCH_INTERVAL".to_owned(), "100".to_owned()),
            ("UNLEASH_METRICS_INTERVAL".to_owned(), "200".to_owned()),
            ("PORT".to_owned(), port.to_string()),
        ];
        all.retain(|(name, _)| variables.iter().all(|(other, _)| other != name));
        all.extend(variables.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())));
        match env::var_os("OFFLEASH_CONFORMANCE_ORIGINAL") {
            Some(package) => {
                let original = Original::start(&PathBuf::from(package), port, &all);
                Self { port, running: None, _original: Some(original), upstream }
            }
            None => {
                let read = |name: &str| {
                    all.iter().find(|(key, _)| key == name).map(|(_, text)| text.clone())
                };
                let machine = Machine::of_this_process(&|_| None);
                let mut config = proxy_env::resolve(&read, &machine).unwrap().config;
                config.server.workers = 1;
                let running = offleash::start(config).await.unwrap();
                Self { port, running: Some(running), _original: None, upstream }
            }
        }
    }

    /// Waits until the answer to a GET of `path` is as it should be after a change upstream.
    pub(super) async fn eventually(&self, path: &str, holds: impl Fn(&Reply) -> bool) {
        self.wait(CHANGED_WITHIN, path, holds).await;
    }

    /// The counts of the first report that came upstream, by flag.
    pub(super) async fn reported(&self) -> Value {
        let reports = || self.upstream.requests_to("/api/client/metrics");
        crate::sync::eventually("a report upstream", || !reports().is_empty()).await;
        reports()[0].json()["bucket"]["toggles"].clone()
    }

    async fn wait(&self, within: Duration, path: &str, holds: impl Fn(&Reply) -> bool) {
        let patience = Instant::now() + within;
        loop {
            if let Some(reply) = self.get(path).try_send().await
                && holds(&reply)
            {
                return;
            }
            assert!(Instant::now() < patience, "not there in time");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// A GET with the key.
    pub(super) fn get(&self, target: &str) -> Ask<'_> {
        self.ask("GET", target).header("authorization", KEY)
    }

    /// A POST with the key, of JSON.
    pub(super) fn post(&self, target: &str, body: &Value) -> Ask<'_> {
        let ask = self.ask("POST", target).header("authorization", KEY);
        ask.header("content-type", "application/json").body(body.to_string())
    }

    /// A request without anything.
    pub(super) fn ask(&self, method: &'static str, target: &str) -> Ask<'_> {
        let (target, headers) = (target.to_owned(), Vec::new());
        Ask { subject: self, method, target, headers, body: None, chunks: None }
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            actix_web::rt::spawn(running.stop());
        }
    }
}

// === impl Original ===

impl Original {
    fn start(package: &std::path::Path, port: u16, variables: &[(String, String)]) -> Self {
        // Its backup file would make the next one ready.
        let folder =
            env::temp_dir().join(format!("offleash-conformance-{}-{port}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let child = Command::new("node")
            .arg(package.join("dist/start.js"))
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap())
            .env("TMPDIR", &folder)
            .envs(variables.iter().map(|(name, text)| (name, text)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, folder }
    }
}

impl Drop for Original {
    fn drop(&mut self) {
        // Whatever is gone already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

// === impl Ask ===

impl Ask<'_> {
    /// Sets a header, instead of the one of that name.
    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    pub(super) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// The body in chunks instead of with its length.
    pub(super) fn chunked(mut self) -> Self {
        let body = self.body.take().unwrap_or_default();
        let mut whole = format!("{:x}\r\n", body.len()).into_bytes();
        whole.extend(body);
        whole.extend(b"\r\n0\r\n\r\n");
        self.chunks = Some(whole);
        self.header("transfer-encoding", "chunked")
    }

    pub(super) async fn send(self) -> Reply {
        self.try_send().await.expect("an answer")
    }

    /// `None` where nobody listens.
    async fn try_send(self) -> Option<Reply> {
        let mut text = format!(
            "{} {} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n",
            self.method, self.target
        );
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = &self.body {
            text.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend(self.chunks.or(self.body).unwrap_or_default());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.subject.port));
        // On another thread: this one has the server's own work to do.
        let exchange = spawn_blocking(move || {
            let mut stream = TcpStream::connect(address).ok()?;
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            // Who refuses a large body may close before it has come whole.
            let _ = stream.write_all(&bytes);
            let mut reply = Vec::new();
            let _ = stream.read_to_end(&mut reply);
            Reply::read(&reply)
        });
        exchange.await.unwrap()
    }
}

// === impl Reply ===

impl Reply {
    fn read(bytes: &[u8]) -> Option<Self> {
        let end = memchr::memmem::find(bytes, b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..end]);
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let body = &bytes[end + 4..];
        let is_chunked = headers.iter().any(|(name, _)| name == "transfer-encoding");
        let body = if is_chunked { unchunked(body) } else { body.to_vec() };
        Some(Self { status, headers, body: String::from_utf8_lossy(&body).into_owned() })
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|err| panic!("{err}: {}", self.body))
    }

    /// The names of the toggles, sorted, with `!` before those that are off.
    pub(super) fn toggles(&self) -> Vec<String> {
        let mut toggles = self.listed();
        toggles.sort_by(|a, b| a.trim_start_matches('!').cmp(b.trim_start_matches('!')));
        toggles
    }

    /// The same in the order they came in.
    pub(super) fn listed(&self) -> Vec<String> {
        assert_eq!(self.status, 200, "{}", self.body);
        let body = self.json();
        let name = |toggle: &Value| {
            let off = if toggle["enabled"] == json!(true) { "" } else { "!" };
            format!("{off}{}", toggle["name"].as_str().unwrap())
        };
        body["toggles"].as_array().unwrap().iter().map(name).collect()
    }

    /// Whether the list has this flag, on.
    pub(super) fn has(&self, name: &str) -> bool {
        self.listed().iter().any(|listed| listed == name)
    }
}

fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(at) = memchr::memmem::find(bytes, b"\r\n") {
        let size = std::str::from_utf8(&bytes[..at]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            break;
        }
        whole.extend(&bytes[at + 2..][..size]);
        bytes = &bytes[at + 2 + size + 2..];
    }
    whole
}
