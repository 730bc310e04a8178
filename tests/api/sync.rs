//! The write path against an upstream that misbehaves: what is served never gets worse.

use std::{
    collections::HashMap,
    fs, io,
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

use actix_rt::System;
use futures_util::future::join_all;
use offleash::{
    config::{Access, Config, Identity, OfflineTokens, Outbound, Source, Upstream},
    engine::{Context, Profile, Scratch, Show},
    snapshot::{self, Reader},
    sync::{self, Handle, StartError},
    token::{Admission, Kind, Token},
};
use serde_json::Value;
use tracing_subscriber::fmt::MakeWriter;

use super::upstream::{Answer, Gate, ScriptedUpstream};

pub(crate) const FEATURES: &str = "/api/client/features";
const VALIDATE: &str = "/edge/validate";
const REGISTER: &str = "/api/client/register";
pub(crate) const KEY: &str = "proxy-key-sesame";
pub(crate) const SECRET: &str = "*:development.sesame";
const FRONTEND: &str = "*:development.front-sesame";

// === the bench ===

/// Sync at work, and a worker's view of what it publishes.
pub(crate) struct Bench {
    handle: Handle,
    reader: Reader,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.handle.stop();
    }
}

impl Bench {
    pub(crate) fn start(source: Source) -> Result<Self, StartError> {
        logs();
        let (publisher, subscriber) = snapshot::channel();
        let handle = sync::start(&config(source), "", publisher)?;
        Ok(Self { handle, reader: subscriber.reader() })
    }

    pub(crate) fn with_keys(url: &str) -> Self {
        Self::start(Source::Upstream(keys(url))).unwrap()
    }

    fn with_tokens(url: &str, startup: &[&str]) -> Self {
        Self::start(Source::Upstream(tokens(url, startup))).unwrap()
    }

    pub(crate) fn ready(&mut self) -> bool {
        self.reader.current().ready
    }

    pub(crate) fn version(&mut self) -> u64 {
        self.reader.current().version
    }

    /// The names of the flags that are on for `token`; `None` without a grant or without flags.
    pub(crate) fn flags(&mut self, token: &str) -> Option<Vec<String>> {
        let plan = self.reader.current().grants.get(token)?.plan.clone()?;
        let (mut context, mut scratch) = (Context::new(), Scratch::new());
        let _ = context.start(&plan, 0, 0);
        let mut body = Vec::new();
        plan.evaluate_all(&context, &mut scratch, Show::Enabled)
            .render_into(Profile::Edge, &mut body);
        let body: Value = serde_json::from_slice(&body).unwrap();
        let toggles = body["toggles"].as_array().unwrap().iter();
        Some(toggles.map(|toggle| toggle["name"].as_str().unwrap().to_owned()).collect())
    }

    pub(crate) async fn serves(&mut self, token: &str, flags: &[&str]) {
        eventually(&format!("{flags:?} are served"), || {
            self.flags(token).is_some_and(|served| served == flags)
        })
        .await;
    }
}

/// Waits until `condition` holds, and fails when it does not within ten seconds.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "not within ten seconds: {what}\n{}", ours());
        actix_rt::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits until the log says `text` once. Sync logs after it published, behind the workers' backs.
pub(crate) async fn said_once(level: &str, text: &str) {
    eventually(&format!("`{text}` is said once"), || times_said(level, text) == 1).await;
}

pub(crate) fn keys(url: &str) -> Upstream {
    let upstream_token = Token::new(SECRET);
    upstream(
        url,
        Access::Keys {
            upstream_token,
            client_keys: vec![Token::new(KEY)],
            server_tokens: Vec::new(),
        },
    )
}

pub(crate) fn tokens(url: &str, startup: &[&str]) -> Upstream {
    let startup = startup.iter().map(|&token| Token::new(token)).collect();
    upstream(url, Access::Tokens { startup, frontend: Vec::new() })
}

fn upstream(url: &str, access: Access) -> Upstream {
    Upstream {
        api_url: format!("{url}/api"),
        root_url: url.to_owned(),
        token_header: "authorization".to_owned(),
        custom_headers: Vec::new(),
        poll_every: Duration::from_millis(20),
        connect_within: Duration::from_secs(2),
        answer_within: Duration::from_secs(5),
        query: Vec::new(),
        access,
        report_every: Duration::ZERO,
        report_jitter: Duration::ZERO,
        outbound: Outbound::default(),
        bootstrap: None,
    }
}

fn config(source: Source) -> Config {
    let identity = Identity {
        app_name: "the-app".to_owned(),
        instance_id: "the-instance".to_owned(),
        connection_id: "the-connection".to_owned(),
    };
    Config { source, identity, ..super::server::config() }
}

// === logs ===

/// A warning that names this flag makes the log panic.
const PANICKING: &str = "panicking-flag";
/// A payload with such a warning.
const PANICS: &str = r#"{"version":2,"features":[{"name":"panicking-flag","enabled":true,
    "strategies":[{"name":"default","constraints":[{"contextName":"x","operator":"NO_SUCH"}]}]}]}"#;

/// What was logged by the threads of each actix system, that is of each test, that wants to know.
#[derive(Clone, Debug, Default)]
struct Logs(Arc<Mutex<HashMap<String, String>>>);

/// One line of a thread's, on its way.
struct Line<'a> {
    logs: &'a Logs,
    system: Option<String>,
}

impl io::Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // After a panic the line is still in the formatter's buffer, before the next one.
        let text = String::from_utf8_lossy(bytes);
        let last = text.lines().next_back().unwrap_or_default();
        assert!(!(last.contains(" WARN ") && last.contains(PANICKING)), "on purpose");
        if let Some(system) = &self.system
            && let Some(said) = self.logs.0.lock().unwrap().get_mut(system)
        {
            said.push_str(std::str::from_utf8(bytes).unwrap());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Logs {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        // An arbiter's thread is called `actix-rt|system:3|arbiter:7`.
        let thread = std::thread::current();
        let system = thread.name().and_then(|name| name.split('|').nth(1)).map(str::to_owned);
        Line { logs: self, system }
    }
}

/// The logs, which from now on keep what this test's own threads say.
fn logs() -> &'static Logs {
    static LOGS: OnceLock<Logs> = OnceLock::new();
    let logs = LOGS.get_or_init(|| {
        let logs = Logs::default();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter("debug,offleash=trace,awc=trace")
            .with_ansi(false)
            .with_writer(logs.clone())
            .finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
        logs
    });
    logs.0.lock().unwrap().entry(system()).or_default();
    logs
}

/// From now on what this test's own threads say is kept.
pub(crate) fn watch_logs() {
    logs();
}

fn system() -> String {
    format!("system:{}", System::current().id())
}

/// What the threads of this test's own actix system logged so far.
pub(crate) fn said() -> String {
    logs().0.lock().unwrap().get(&system()).cloned().unwrap_or_default()
}

/// Of that, what offleash itself said.
pub(crate) fn ours() -> String {
    said().lines().filter(|line| line.contains(" offleash::")).collect::<Vec<_>>().join("\n")
}

pub(crate) fn times_said(level: &str, text: &str) -> usize {
    said().lines().filter(|line| line.contains(level) && line.contains(text)).count()
}

pub(crate) fn assert_no_secrets() {
    let said = said();
    assert!(!said.is_empty(), "logs are captured");
    assert!(!said.contains("sesame"), "{said}");
}

// === flags ===

#[actix_rt::test]
async fn an_upstream_that_is_absent_at_start_and_appears_later_makes_it_ready() {
    let address = ScriptedUpstream::reserve();
    let mut bench = Bench::with_keys(&format!("http://{address}"));
    assert!(bench.reader.current().grants.contains_key(KEY), "the key is known from the start");
    eventually("upstream's absence is logged", || times_said("WARN", "no flags from upstream") > 0)
        .await;
    assert!(!bench.ready());
    assert_eq!(bench.flags(KEY), None);

    let upstream = ScriptedUpstream::start_at(address);
    upstream.answer(FEATURES, Answer::flags(&["a"]));
    bench.serves(KEY, &["a"]).await;
    assert!(bench.ready());
    eventually("it is logged", || times_said("INFO", "synchronized with upstream: 1 flags") == 1)
        .await;
    assert_no_secrets();
}

#[actix_rt::test]
async fn an_upstream_that_goes_and_comes_back_takes_nothing_away() {
    let mut upstream = ScriptedUpstream::start();
    upstream.answer(FEATURES, Answer::flags(&["a"]));
    let mut bench = Bench::with_keys(&upstream.url());
    bench.serves(KEY, &["a"]).await;
    let version = bench.version();
    let address = upstream.address();
    upstream.stop();
    eventually("its absence is logged", || times_said("WARN", "still serving the 1 flags") == 1)
        .await;
    assert_eq!((bench.version(), bench.ready()), (version, true));

    let upstream = ScriptedUpstream::start_at(address);
    upstream.answer(FEATURES, Answer::flags(&["a", "b"]));
    bench.handle.poll_now();
    bench.serves(KEY, &["a", "b"]).await;
    said_once("WARN", "no flags from upstream").await;
    said_once("WARN", "synchronized with upstream again").await;
    assert_no_secrets();
}

#[actix_rt::test]
async fn whatever_upstream_answers_what_is_served_never_gets_worse() {
    let v1 = ["a", "b"];
    let (warn, error) = ("WARN", "ERROR");
    let cases: Vec<(&str, Answer, &str, &str)> = vec![
        ("500", Answer::status(500), warn, "upstream answered `500`"),
        ("404", Answer::status(404), warn, "upstream answered `404`"),
        ("204", Answer::status(204), warn, "upstream answered `204`"),
        ("401", Answer::status(401), error, "upstream refuses our token: upstream answered `401`"),
        ("403", Answer::status(403), error, "upstream refuses our token: upstream answered `403`"),
        ("garbage", Answer::text("<html>sesame"), warn, "cannot be read"),
        ("half of it", Answer::text(r#"{"version":2,"features":[{"na"#), warn, "cannot be read"),
        ("cut short", Answer::flags(&["a"]).cut_by(1), warn, "broke off"),
        ("cut within a chunk", Answer::flags(&["a"]).cut_chunks(), warn, "no flags from upstream"),
        ("an empty object", Answer::text("{}"), warn, "cannot be read"),
        ("an empty list", Answer::text("[]"), warn, "cannot be read"),
        ("an empty body", Answer::text(""), warn, "cannot be read"),
        ("null", Answer::text("null"), warn, "cannot be read"),
        ("features are no list", Answer::text(r#"{"features":{}}"#), warn, "cannot be read"),
        ("nothing", Answer::hang_up(), warn, "cannot be reached"),
        ("no gzip", Answer::text("no").header("content-encoding", "gzip"), warn, "no flags"),
    ];
    for (name, answer, level, text) in cases {
        let upstream = ScriptedUpstream::start();
        upstream.answer(FEATURES, Answer::flags(&v1).header("etag", "\"v1\""));
        let mut bench = Bench::with_keys(&upstream.url());
        bench.serves(KEY, &v1).await;
        let (version, said_before) = (bench.version(), said().len());
        let new = || said()[said_before..].to_owned();
        let count = |level: &str, text: &str| {
            new().lines().filter(|line| line.contains(level) && line.contains(text)).count()
        };

        upstream.answer(FEATURES, answer);
        for _ in 0..3 {
            let asked = upstream.requests().len();
            eventually(name, || {
                bench.handle.poll_now();
                upstream.requests().len() > asked
            })
            .await;
        }
        eventually(&format!("{name} is logged"), || count(level, text) > 0).await;
        assert_eq!(bench.version(), version, "{name}");
        assert!(bench.ready(), "{name}");
        assert_eq!(bench.flags(KEY).unwrap(), v1, "{name}");
        let last = upstream.requests_to(FEATURES).pop().unwrap();
        assert_eq!(
            last.header("if-none-match"),
            Some("\"v1\""),
            "{name}: our tag is what we serve"
        );

        upstream.answer(FEATURES, Answer::flags(&["c"]));
        bench.handle.poll_now();
        bench.serves(KEY, &["c"]).await;
        eventually(&format!("{name} is over"), || {
            count("WARN", "synchronized with upstream again") > 0
        })
        .await;
        let loud = new().lines().filter(|it| it.contains("WARN") || it.contains("ERROR")).count();
        assert_eq!(loud, 2, "{name}: once for the trouble, once for its end\n{}", new());
        assert_no_secrets();
    }
}

#[actix_rt::test]
async fn a_list_without_flags_is_a_payload_like_any_other() {
    let upstream = ScriptedUpstream::start();
    upstream.answer(FEATURES, Answer::flags(&[]));
    let mut bench = Bench::with_keys(&upstream.url());
    eventually("it is ready", || bench.ready()).await;
    assert_eq!(bench.flags(KEY), Some(vec![]));
    upstream.answer(FEATURES, Answer::flags(&["a"]));
    bench.serves(KEY, &["a"]).await;
    upstream.answer(FEATURES, Answer::flags(&[]));
    bench.serves(KEY, &[]).await;
}

#[actix_rt::test]
async fn upstream_is_asked_in_the_words_it_knows() {
    let upstream = ScriptedUpstream::start();
    upstream.answer(FEATURES, Answer::flags(&["a"]).header("etag", "W/\"76d8bb0e:1\""));
    let mut settings = keys(&upstream.url());
    settings.custom_headers = vec![("x-team".to_owned(), Token::new("blue"))];
    settings.query = vec![("project".to_owned(), "a b".to_owned())];
    let mut bench = Bench::start(Source::Upstream(settings)).unwrap();
    bench.serves(KEY, &["a"]).await;
    eventually("a second poll", || upstream.requests().len() > 1).await;

    let requests = upstream.requests_to(FEATURES);
    let first = &requests[0];
    assert_eq!((first.method.as_str(), first.query.as_str()), ("GET", "project=a%20b"));
    let sdk = format!("offleash:{}", env!("CARGO_PKG_VERSION"));
    for (name, value) in [
        ("authorization", SECRET),
        ("user-agent", "the-app"),
        ("unleash-appname", "the-app"),
        ("unleash-instanceid", "the-instance"),
        ("unleash-connection-id", "the-connection"),
        ("unleash-interval", "20"),
        ("unleash-sdk", &sdk),
        ("unleash-client-spec", "6.1.0"),
        ("x-team", "blue"),
    ] {
        assert_eq!(first.header(name), Some(value), "{name}");
    }
    assert!(first.header("accept-encoding").unwrap().contains("gzip"));
    assert_eq!(first.header("if-none-match"), None);
    assert_eq!(requests[1].header("if-none-match"), Some("W/\"76d8bb0e:1\""));
}

#[actix_rt::test]
async fn a_configured_header_carries_the_token() {
    let upstream = ScriptedUpstream::start();
    upstream.answer(FEATURES, Answer::flags(&["a"]));
    let mut settings = keys(&upstream.url());
    settings.token_header = "x-unleash-key".to_owned();
    let mut bench = Bench::start(Source::Upstream(settings)).unwrap();
    bench.serves(KEY, &["a"]).await;
    let request = &upstream.requests()[0];
    assert_eq!(request.header("x-unleash-key"), Some(SECRET));
    assert_eq!(request.header("authorization"), None);
}

#[actix_rt::test]
async fn a_publication_says_what_its_plan_is_made_of() {
    watch_logs();
    let upstream = ScriptedUpstream::start();
    upstream.answer(FEATURES, Answer::flags(&["a", "b"]));
    let mut bench = Bench::with_keys(&upstream.url());
    bench.serves(KEY, &["a", "b"]).await;
    let line = "plan in force";
    eventually("the plan is described", || times_said("DEBUG", line) == 1).await;
    let said = said();
    let line = said.lines().find(|said| said.contains(line)).unwrap();
    for part in ["flags.on=2", "flags.off=0", "flags.live=0", "conditions=0", "slots=6", "bytes="] {
        assert!(line.contains(part), "no {part} in {line}");
    }
}

#[actix_rt::test]
async fn what_did_not_change_is_not_published_again() {
    let upstream = ScriptedUpstream::start();
    let rule = |request: &super::upstream::Request| match request.header("if-none-match") {
        Some("\"1\"") => Answer::status(304),
        _ => Answer::flags(&["a"]).header("etag", "\"1\""),
    };
    upstream.answer_with(FEATURES, rule);
    let mut bench = Bench::with_keys(&upstream.url());
    bench.serves(KEY, &["a"]).await;
    let version = bench.version();
    eventually("304s", || upstream.requests().len() > 3).await;
    assert_eq!(bench.version(), version);

    upstream.answer(FEATURES, Answer::flags(&["a"]));
    let asked = upstream.requests().len();
    eventually("the same body again", || upstream.requests().len() > asked + 3).await;
    assert_eq!(bench.version(), version);
    assert_eq!(times_said("WARN", ""), 0, "{}", ours());
}

#[actix_rt::test]
async fn a_compressed_payload_is_read_and_half_of_one_changes_nothing() {
    let zipped = hex(
        "1f8b08000000000002035d8c3b0e80300c43af52656662e42a8821808b8aa05469ca00e2eea4030bf2e2cf936f\
         3a21391c913ad7368e3c588b205bec6f8abcc31c5d2125cc643b228f9bd9cea9145891e4583169a566782e9b5\
         62cabb06209ffa30f7906d30bc76e8b487c000000",
    );
    let upstream = ScriptedUpstream::start();
    let gzip = |bytes: &[u8]| Answer::text(bytes).header("content-encoding", "gzip");
    upstream.answer(FEATURES, gzip(&zipped));
    let mut bench = Bench::with_keys(&upstream.url());
    bench.serves(KEY, &["zipped"]).await;
    upstream.answer(FEATURES, gzip(&zipped[..zipped.len() / 2]));
    eventually("the half is noticed", || times_said("WARN", "no flags from upstream") == 1).await;
    assert_eq!(bench.flags(KEY).unwrap(), ["zipped"]);
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

#[actix_rt::test]
async fn a_redirect_is_followed_with_the_token_on_the_same_host_only() {
    let upstream = ScriptedUpstream::start();
    let elsewhere = ScriptedUpstream::start();
    elsewhere.answer("/flags", Answer::flags(&["stolen"]));
    let away = format!("{}/flags", elsewhere.url());
    upstream.answer(FEATURES, Answer::status(302).header("location", &away));
    let mut bench = Bench::with_keys(&upstream.url());
    eventually("it is refused", || times_said("WARN", "where our token does not go") == 1).await;
    assert_eq!(bench.flags(KEY), None);
    assert_eq!(elsewhere.requests().len(), 0);

    upstream.answer(FEATURES, Answer::status(307).header("location", "/moved?x=1"));
    upstream.answer("/moved", Answer::flags(&["a"]));
    bench.handle.poll_now();
    bench.serves(KEY, &["a"]).await;
    assert_eq!(upstream.requests_to("/moved")[0].header("authorization"), Some(SECRET));

    upstream.answer("/moved", Answer::status(308).header("location", "/moved"));
    eventually("the circle is noticed", || times_said("WARN", "in circles") == 1).await;
    assert_eq!(bench.flags(KEY).unwrap(), ["a"]);
}

#[actix_rt::test]
async fn an_answer_that_takes_too_long_is_given_up() {
    let gate = Gate::closed();
    let upstream = ScriptedUpstream::start();
    upstream.answer_once(FEATURES, Answer::flags(&["late"]).behind(&gate));
    upstream.answer(FEATURES, Answer::flags(&["a"]));
    let mut settings = keys(&upstream.url());
    settings.answer_within = Duration::from_millis(50);
    let mut bench = Bench::start(Source::Upstream(settings)).unwrap();
    bench.serves(KEY, &["a"]).await;
    gate.open();
    said_once("WARN", "did not answer within").await;
}

#[actix_rt::test]
async fn a_warning_is_logged_once_while_it_stays() {
    let payload = |more: &str| {
        let odd = r#"{"name":"odd","enabled":true,"strategies":[{"name":"nobodys"}]}"#;
        Answer::text(format!(r#"{{"version":2,"features":[{odd}{more}]}}"#))
    };
    let upstream = ScriptedUpstream::start();
    upstream.answer(FEATURES, payload(""));
    let mut bench = Bench::with_keys(&upstream.url());
    eventually("it is ready", || bench.ready()).await;
    said_once("WARN", "odd").await;
    upstream.answer(FEATURES, payload(r#",{"name":"a","enabled":true,"strategies":[]}"#));
    bench.serves(KEY, &["a"]).await;
    said_once("WARN", "odd").await;
}

#[actix_rt::test]
async fn it_registers_once_and_tries_again_when_it_is_not_heard() {
    let upstream = ScriptedUpstream::start();
    upstream.answer(FEATURES, Answer::flags(&["a"]));
    upstream.answer_once(REGISTER, Answer::status(503));
    upstream.answer(REGISTER, Answer::status(202));
    let mut settings = keys(&upstream.url());
    settings.report_every = Duration::from_secs(60);
    let mut bench = Bench::start(Source::Upstream(settings)).unwrap();
    bench.serves(KEY, &["a"]).await;
    eventually("a second try", || upstream.requests_to(REGISTER).len() == 2).await;
    let polls = upstream.requests_to(FEATURES).len();
    eventually("more polls", || upstream.requests_to(FEATURES).len() > polls + 3).await;

    let requests = upstream.requests_to(REGISTER);
    assert_eq!(requests.len(), 2);
    let request = &requests[1];
    assert_eq!(request.method, "POST");
    assert_eq!(request.header("authorization"), Some(SECRET));
    assert_eq!(request.header("content-type"), Some("application/json"));
    let body = request.json();
    for (name, value) in [
        ("appName", "the-app"),
        ("instanceId", "the-instance"),
        ("connectionId", "the-connection"),
        ("platformName", "rust"),
        ("specVersion", "6.1.0"),
    ] {
        assert_eq!(body[name], value, "{name}");
    }
    assert_eq!(body["interval"], 60_000);
    assert_eq!(body["strategies"].as_array().unwrap().len(), 8);
    let started = body["started"].as_str().unwrap();
    assert!(chrono::DateTime::parse_from_rfc3339(started).is_ok(), "{started}");
}

#[actix_rt::test]
async fn without_reports_nothing_is_registered() {
    let upstream = ScriptedUpstream::start();
    upstream.answer(FEATURES, Answer::flags(&["a"]));
    let mut bench = Bench::with_keys(&upstream.url());
    bench.serves(KEY, &["a"]).await;
    eventually("more polls", || upstream.requests_to(FEATURES).len() > 5).await;
    assert_eq!(upstream.requests_to(REGISTER).len(), 0);
}

// === tokens ===

fn development() -> ScriptedUpstream {
    let upstream = ScriptedUpstream::start();
    upstream.answer(FEATURES, Answer::flags(&["a"]));
    upstream.knows_tokens(&[
        (SECRET, "client", "development", &["*"]),
        (FRONTEND, "frontend", "development", &["*"]),
        ("other:development.front-sesame", "frontend", "development", &["other"]),
        ("*:production.front-sesame", "frontend", "production", &["*"]),
        ("*:development.admin-sesame", "admin", "development", &["*"]),
    ]);
    upstream
}

#[actix_rt::test]
async fn many_callers_with_one_new_token_cost_one_question() {
    let upstream = development();
    let mut bench = Bench::with_tokens(&upstream.url(), &[SECRET]);
    bench.serves(SECRET, &["a"]).await;
    assert_eq!(upstream.requests_to(VALIDATE).len(), 1);
    assert_eq!(upstream.requests_to(VALIDATE)[0].header("authorization"), None);

    let gate = Gate::closed();
    let entry = serde_json::json!({ "token": FRONTEND, "type": "frontend",
        "environment": "development", "projects": ["*"] });
    let good = Answer::json(&serde_json::json!({ "tokens": [entry] }));
    upstream.answer_once(VALIDATE, good.behind(&gate));
    let callers = join_all((0..50).map(|_| bench.handle.admit(FRONTEND)));
    let opened = async {
        eventually("upstream is asked", || upstream.requests_to(VALIDATE).len() == 2).await;
        gate.open();
    };
    let (admissions, ()) = futures_util::future::join(callers, opened).await;
    assert_eq!(admissions, [Admission::Granted; 50]);
    assert_eq!(bench.flags(FRONTEND).unwrap(), ["a"], "the grant is there before the answer");
    assert_eq!(bench.reader.current().grants[FRONTEND].kind, Kind::Frontend);
    assert_eq!(bench.handle.admit(FRONTEND).await, Admission::Granted);
    assert_eq!(upstream.requests_to(VALIDATE).len(), 2);
    assert_no_secrets();
}

#[actix_rt::test]
async fn a_wrong_token_costs_one_question_in_a_while_and_none_if_it_cannot_be_one() {
    let upstream = development();
    let mut bench = Bench::with_tokens(&upstream.url(), &[SECRET]);
    bench.serves(SECRET, &["a"]).await;
    for _ in 0..5 {
        assert_eq!(bench.handle.admit("*:development.guess").await, Admission::Invalid);
    }
    assert_eq!(upstream.requests_to(VALIDATE).len(), 2);
    let long = format!("*:development.{}", "x".repeat(2000));
    for text in ["", "opaque", "a.b:c", &long] {
        assert_eq!(bench.handle.admit(text).await, Admission::Invalid);
    }
    assert_eq!(upstream.requests_to(VALIDATE).len(), 2);
    assert_eq!(bench.handle.turned_away(), 0);
}

#[actix_rt::test]
async fn a_token_sees_its_projects_and_only_environments_that_are_loaded() {
    let upstream = development();
    let mut bench = Bench::with_tokens(&upstream.url(), &[SECRET]);
    bench.serves(SECRET, &["a"]).await;
    let admit = async |token: &'static str| bench.handle.admit(token).await;
    assert_eq!(admit("other:development.front-sesame").await, Admission::Granted);
    assert_eq!(admit("*:production.front-sesame").await, Admission::Invalid);
    assert_eq!(admit("*:development.admin-sesame").await, Admission::Invalid);
    assert_eq!(bench.flags("other:development.front-sesame"), Some(vec![]));
    assert_eq!(bench.flags("*:production.front-sesame"), None);
    said_once("WARN", "`production`").await;

    upstream.answer(FEATURES, Answer::flags_of("other", &["b"]));
    bench.serves("other:development.front-sesame", &["b"]).await;
}

#[actix_rt::test]
async fn a_validation_that_cannot_be_had_says_why_and_is_not_remembered() {
    let mut upstream = development();
    let mut bench = Bench::with_tokens(&upstream.url(), &[SECRET]);
    bench.serves(SECRET, &["a"]).await;
    upstream.answer_once(VALIDATE, Answer::status(503));
    assert_eq!(bench.handle.admit(FRONTEND).await, Admission::UpstreamStatus(503));
    upstream.answer_once(VALIDATE, Answer::text("{}"));
    assert_eq!(bench.handle.admit(FRONTEND).await, Admission::UpstreamUnreachable);
    upstream.stop();
    assert_eq!(bench.handle.admit(FRONTEND).await, Admission::UpstreamUnreachable);
    let address = upstream.address();
    let upstream = ScriptedUpstream::start_at(address);
    upstream.knows_tokens(&[(FRONTEND, "frontend", "development", &["*"])]);
    assert_eq!(bench.handle.admit(FRONTEND).await, Admission::Granted);
}

#[actix_rt::test]
async fn a_token_that_was_withdrawn_is_let_in_no_more_and_the_configured_one_stays() {
    let upstream = development();
    let mut bench = Bench::with_tokens(&upstream.url(), &[SECRET]);
    bench.serves(SECRET, &["a"]).await;
    assert_eq!(bench.handle.admit(FRONTEND).await, Admission::Granted);
    upstream.answer_once(VALIDATE, Answer::status(500));
    bench.handle.poll_now();
    eventually("trouble is logged", || times_said("WARN", "cannot be validated") == 1).await;
    assert!(bench.flags(FRONTEND).is_some(), "no word is not a no");

    upstream.knows_tokens(&[]);
    bench.handle.poll_now();
    eventually("the grant is gone", || bench.flags(FRONTEND).is_none()).await;
    assert_eq!(bench.flags(SECRET).unwrap(), ["a"]);
    assert!(bench.ready());
    said_once("ERROR", "upstream calls tokens invalid: number 1 of 1").await;
    assert_no_secrets();
}

#[actix_rt::test]
async fn it_starts_without_upstream_and_asks_until_the_tokens_are_known() {
    let address = ScriptedUpstream::reserve();
    let mut bench = Bench::with_tokens(&format!("http://{address}"), &[SECRET]);
    eventually("it is logged", || times_said("WARN", "cannot be validated") == 1).await;
    assert!(!bench.ready());
    assert_eq!(bench.handle.admit(FRONTEND).await, Admission::UpstreamUnreachable);

    let upstream = ScriptedUpstream::start_at(address);
    upstream.answer(FEATURES, Answer::flags(&["a"]));
    upstream.answer(VALIDATE, Answer::status(503));
    bench.serves(SECRET, &["a"]).await;
    assert!(bench.ready(), "flags do not wait for the validation");
    upstream.knows_tokens(&[(SECRET, "backend", "development", &["*"])]);
    eventually("they are valid", || times_said("INFO", "the configured tokens are valid") == 1)
        .await;
    assert_no_secrets();
}

#[actix_rt::test]
async fn a_configured_token_that_upstream_calls_invalid_is_said_once_and_asked_for_again() {
    let upstream = ScriptedUpstream::start();
    upstream.answer(FEATURES, Answer::flags(&["a"]));
    upstream.knows_tokens(&[]);
    let mut bench = Bench::with_tokens(&upstream.url(), &[SECRET]);
    eventually("it is asked for again", || upstream.requests_to(VALIDATE).len() > 3).await;
    said_once("ERROR", "upstream calls tokens invalid: number 1 of 1").await;
    assert!(!bench.ready());
    assert_eq!(upstream.requests_to(FEATURES).len(), 0);

    upstream.knows_tokens(&[(SECRET, "backend", "development", &["*"])]);
    bench.handle.poll_now();
    bench.serves(SECRET, &["a"]).await;
    assert!(bench.ready());
    assert_no_secrets();
}

#[actix_rt::test]
async fn one_bad_token_among_good_ones_does_not_hold_the_others_up() {
    let upstream = development();
    let mut bench = Bench::with_tokens(&upstream.url(), &["*:staging.bad-sesame", SECRET]);
    bench.serves(SECRET, &["a"]).await;
    eventually("it is ready", || bench.ready()).await;
    said_once("ERROR", "invalid: number 1 of 2").await;
}

#[actix_rt::test]
async fn a_frontend_token_cannot_stand_in_for_a_backend_token() {
    let upstream = development();
    let mut bench = Bench::with_tokens(&upstream.url(), &[FRONTEND]);
    eventually("it is logged", || times_said("WARN", "is no backend token") == 1).await;
    assert_eq!(upstream.requests_to(FEATURES).len(), 0);
    assert!(!bench.ready());
}

#[actix_rt::test]
async fn tokens_of_one_environment_fetch_one_set_and_those_of_two_fetch_two() {
    let upstream = ScriptedUpstream::start();
    upstream.knows_tokens(&[
        ("a:dev.1-sesame", "backend", "dev", &["a"]),
        ("b:dev.2-sesame", "backend", "dev", &["b"]),
        ("[]:dev.3-sesame", "backend", "dev", &["b"]),
        ("*:prod.4-sesame", "backend", "prod", &["*"]),
        ("[]:dev.5-sesame", "frontend", "dev", &["a", "b"]),
    ]);
    upstream.answer_with(FEATURES, |request| match request.header("authorization").unwrap() {
        "a:dev.1-sesame" => Answer::flags_of("a", &["a"]),
        "b:dev.2-sesame" => Answer::flags_of("b", &["b"]),
        "*:prod.4-sesame" => Answer::flags_of("a", &["p"]),
        _ => Answer::status(500),
    });
    let startup = ["a:dev.1-sesame", "b:dev.2-sesame", "[]:dev.3-sesame", "*:prod.4-sesame"];
    let mut bench = Bench::with_tokens(&upstream.url(), &startup);
    eventually("it is ready", || bench.ready()).await;
    assert_eq!(bench.handle.admit("[]:dev.5-sesame").await, Admission::Granted);
    assert_eq!(bench.flags("[]:dev.5-sesame").unwrap(), ["a", "b"]);
    assert_eq!(bench.flags("a:dev.1-sesame").unwrap(), ["a"]);
    assert_eq!(bench.flags("[]:dev.3-sesame").unwrap(), ["b"], "covered, and not asked with");
    assert_eq!(bench.flags("*:prod.4-sesame").unwrap(), ["p"]);
    assert_eq!(times_said("WARN", ""), 0, "{}", ours());
}

#[actix_rt::test]
async fn pretrusted_tokens_are_good_without_asking() {
    let upstream = development();
    let mut settings = tokens(&upstream.url(), &[SECRET]);
    if let Access::Tokens { frontend, .. } = &mut settings.access {
        *frontend = vec![Token::new("default:development.pre"), Token::new("legacy@development")];
    }
    let mut bench = Bench::start(Source::Upstream(settings)).unwrap();
    bench.serves("default:development.pre", &["a"]).await;
    bench.serves("legacy", &["a"]).await;
}

#[actix_rt::test]
async fn without_any_token_it_is_ready_and_lets_nobody_in() {
    let upstream = development();
    let mut bench = Bench::with_tokens(&upstream.url(), &[]);
    eventually("it is ready", || bench.ready()).await;
    assert_eq!(bench.handle.admit(FRONTEND).await, Admission::Invalid);
}

#[actix_rt::test]
async fn with_keys_of_our_own_nobody_is_asked_about_others() {
    let upstream = development();
    let mut bench = Bench::with_keys(&upstream.url());
    bench.serves(KEY, &["a"]).await;
    assert_eq!(bench.handle.admit(FRONTEND).await, Admission::Invalid);
    assert_eq!(upstream.requests_to(VALIDATE).len(), 0);
}

// === start and stop ===

#[actix_rt::test]
async fn after_a_stop_the_thread_ends_and_nobody_waits_for_ever() {
    let gate = Gate::closed();
    let upstream = development();
    let mut bench = Bench::with_tokens(&upstream.url(), &[SECRET]);
    bench.serves(SECRET, &["a"]).await;
    upstream.answer(VALIDATE, Answer::status(200).behind(&gate));
    let waiting = bench.handle.admit(FRONTEND);
    let stop = async {
        eventually("upstream is asked", || upstream.requests_to(VALIDATE).len() == 2).await;
        bench.handle.stop();
    };
    let (admission, ()) = futures_util::future::join(waiting, stop).await;
    assert_eq!(admission, Admission::UpstreamUnreachable);
    eventually("the thread ends", || !bench.handle.is_running()).await;
    assert_eq!(bench.handle.admit(FRONTEND).await, Admission::UpstreamUnreachable);
    gate.open();
    assert_eq!(bench.flags(SECRET).unwrap(), ["a"], "what was published stays");
}

#[test]
fn without_an_actix_system_it_says_so() {
    let (publisher, _) = snapshot::channel();
    let result = sync::start(&config(Source::Upstream(keys("http://127.0.0.1:9"))), "", publisher);
    assert!(matches!(result, Err(StartError::NoSystem)));
}

fn offline_tokens() -> OfflineTokens {
    OfflineTokens { frontend: vec![Token::new("opaque"), Token::new("x:dev.1")], backend: vec![] }
}

/// A file of one test's own.
fn file(name: &str, content: &str) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("offleash-{}-{name}.json", std::process::id()));
    fs::write(&path, content).unwrap();
    path
}

const FILE: &str = r#"{"version":2,"features":[{"name":"a","enabled":true,"project":"x"},
    {"name":"b","enabled":true,"project":"y"}]}"#;

#[actix_rt::test]
async fn flags_from_a_file_are_there_when_start_returns() {
    let path = file("start", FILE);
    let source = Source::File { path: path.clone(), reload_every: None, tokens: offline_tokens() };
    let mut bench = Bench::start(source).unwrap();
    assert!(bench.ready());
    assert_eq!(bench.flags("opaque").unwrap(), ["a", "b"]);
    assert_eq!(bench.flags("x:dev.1").unwrap(), ["a"]);
    assert_eq!(bench.handle.admit("*:dev.2").await, Admission::Invalid);
    assert!(!bench.handle.is_running());
    fs::remove_file(path).unwrap();
}

#[actix_rt::test]
async fn a_file_that_changes_is_read_again_and_a_bad_one_changes_nothing() {
    let path = file("reload", FILE);
    let reload_every = Some(Duration::from_millis(10));
    let source = Source::File { path: path.clone(), reload_every, tokens: offline_tokens() };
    let mut bench = Bench::start(source).unwrap();
    let version = bench.version();
    for bad in ["", "{}", "{\"features\":"] {
        fs::write(&path, bad).unwrap();
        bench.handle.poll_now();
    }
    eventually("the bad file is logged", || times_said("WARN", "still serving") == 1).await;
    assert_eq!(bench.version(), version);
    fs::remove_file(&path).unwrap();
    eventually("its absence is logged", || times_said("WARN", "cannot be read: No such file") == 1)
        .await;
    assert_eq!(bench.flags("opaque").unwrap(), ["a", "b"]);

    fs::write(&path, r#"{"simple":{"enabled":true}}"#).unwrap();
    bench.serves("opaque", &["simple"]).await;
    said_once("WARN", "is good again").await;
    fs::remove_file(path).unwrap();
}

#[actix_rt::test]
async fn a_file_that_is_no_good_at_start_is_an_error_that_names_it() {
    let missing = std::env::temp_dir().join("offleash-nobody-wrote-this.json");
    let start = |path: std::path::PathBuf| {
        Bench::start(Source::File { path, reload_every: None, tokens: offline_tokens() })
            .err()
            .unwrap()
    };
    let err = start(missing);
    assert!(matches!(err, StartError::File { .. }) && err.to_string().contains("nobody-wrote"));
    for (name, content) in [("empty", ""), ("object", "{}"), ("garbage", "<html>")] {
        let path = file(name, content);
        let err = start(path.clone());
        assert!(matches!(err, StartError::Flags { .. }), "{name}: {err}");
        assert!(err.to_string().contains(&path.display().to_string()), "{err}");
        fs::remove_file(path).unwrap();
    }
}

#[actix_rt::test]
async fn the_flags_of_the_demo_come_with_the_call() {
    let (publisher, subscriber) = snapshot::channel();
    let config = config(Source::Demo { tokens: offline_tokens() });
    let handle = sync::start(&config, FILE, publisher).unwrap();
    let mut bench = Bench { handle, reader: subscriber.reader() };
    assert_eq!(bench.flags("opaque").unwrap(), ["a", "b"]);
    assert!(bench.ready());

    let (publisher, _) = snapshot::channel();
    assert!(matches!(sync::start(&config, "{}", publisher), Err(StartError::Flags { .. })));
}

#[actix_rt::test]
async fn a_panic_of_our_own_ends_one_step_and_asking_goes_on() {
    let upstream = ScriptedUpstream::start();
    upstream.answer(FEATURES, Answer::flags(&["a"]).header("etag", "\"v1\""));
    let mut bench = Bench::with_keys(&upstream.url());
    bench.serves(KEY, &["a"]).await;
    // The log of a test may panic: where this payload is taken in, its warning is written.
    upstream.answer(FEATURES, Answer::text(PANICS).header("etag", "\"v2\""));
    bench.handle.poll_now();
    eventually("the panic is logged", || times_said("WARN", "ended in a panic") == 1).await;
    assert!(bench.handle.is_running() && !bench.handle.has_ended());
    assert_eq!(bench.flags(KEY).unwrap(), ["a"]);
    let asked = upstream.requests().len();
    eventually("it is asked again", || upstream.requests().len() > asked).await;
    let last = upstream.requests_to(FEATURES).pop().unwrap();
    assert_eq!(last.header("if-none-match"), Some("\"v1\""), "our tag is what we serve");
    upstream.answer(FEATURES, Answer::flags(&["b"]));
    bench.serves(KEY, &["b"]).await;
}
