//! A page never goes back: instances that poll at different moments, asked in turn by one client.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use actix_web::{http::Method, rt::time::sleep};
use futures_util::future::{join, join_all};
use offleash::{
    Running,
    config::{Config, Identity, Source},
};
use serde_json::{Value, json};

use crate::{
    server::config,
    sync::{FEATURES, KEY, keys, tokens},
    upstream::{Answer, ScriptedUpstream},
};

const PATIENCE: Duration = Duration::from_secs(20);
/// An interval that no test sees the end of.
const NEVER: Duration = Duration::from_secs(3600);
const OFTEN: Duration = Duration::from_millis(20);

/// An Unleash that counts revisions, and can be set to any.
struct Counting {
    upstream: ScriptedUpstream,
    now: Arc<Mutex<Answer>>,
}

/// What a page asks with, and what it shows.
struct Page {
    client: awc::Client,
    method: Method,
    path: &'static str,
    body: Option<Value>,
    tag: Option<String>,
    shows: u64,
}

/// What a page got.
#[derive(Debug, PartialEq, Eq)]
struct Reply {
    status: u16,
    tag: String,
}

// === impl Counting ===

/// Flags of which one is on, called after `revision`.
fn flags(revision: u64) -> Answer {
    let flag = json!({"name": format!("revision-{revision}"), "enabled": true,
        "strategies": [{"name": "default"}]});
    Answer::json(&json!({"version": 2, "features": [flag],
        "meta": {"revisionId": revision, "etag": format!("\"hash:{revision}\"")}}))
    .header("etag", &format!("\"hash:{revision}\""))
}

impl Counting {
    fn start(revision: u64) -> Self {
        let upstream = ScriptedUpstream::start();
        let now = Arc::new(Mutex::new(flags(revision)));
        let answer = Arc::clone(&now);
        upstream.answer_with(FEATURES, move |_| answer.lock().unwrap().clone());
        Self { upstream, now }
    }

    fn moves_to(&self, revision: u64) {
        *self.now.lock().unwrap() = flags(revision);
    }

    fn answers(&self, answer: Answer) {
        *self.now.lock().unwrap() = answer;
    }

    /// How often the instance of this name asked.
    fn asked_by(&self, instance: &str) -> usize {
        let all = self.upstream.requests_to(FEATURES);
        all.iter().filter(|it| it.header("unleash-instanceid") == Some(instance)).count()
    }

    /// Starts an instance, and waits until it has flags.
    async fn instance(&self, name: &str, poll_every: Duration) -> Running {
        let mut upstream = keys(&self.upstream.url());
        upstream.poll_every = poll_every;
        start(name, Source::Upstream(upstream)).await
    }
}

async fn start(name: &str, source: Source) -> Running {
    let identity = Identity {
        app_name: "the-app".to_owned(),
        instance_id: name.to_owned(),
        connection_id: "the-connection".to_owned(),
    };
    let running = offleash::start(Config { source, identity, ..config() }).await.unwrap();
    let mut page = Page::get("/proxy");
    let patience = Instant::now() + PATIENCE;
    while page.ask(running.addr()).await.status != 200 {
        assert!(Instant::now() < patience, "`{name}` is not ready");
        sleep(Duration::from_millis(5)).await;
    }
    running
}

// === impl Page ===

impl Page {
    fn new(method: Method, path: &'static str, body: Option<Value>) -> Self {
        let client = awc::Client::builder().timeout(PATIENCE).finish();
        Self { client, method, path, body, tag: None, shows: 0 }
    }

    fn get(path: &'static str) -> Self {
        Self::new(Method::GET, path, None)
    }

    /// One in each manner that knows conditional requests.
    fn all() -> [Self; 4] {
        let body = json!({"context": {"userId": "7"}});
        [
            Self::get("/proxy?userId=7"),
            Self::get("/proxy/all?userId=7"),
            Self::get("/api/frontend?userId=7"),
            Self::new(Method::POST, "/api/frontend", Some(body)),
        ]
    }

    /// Asks as an SDK does: what it got last stays until there is something else.
    async fn ask(&mut self, at: SocketAddr) -> Reply {
        let url = format!("http://{at}{}", self.path);
        let mut request =
            self.client.request(self.method.clone(), url).insert_header(("authorization", KEY));
        if let Some(tag) = &self.tag {
            request = request.insert_header(("if-none-match", tag.as_str()));
        }
        let mut response = match &self.body {
            Some(body) => request.send_json(body).await.unwrap(),
            None => request.send().await.unwrap(),
        };
        let tag = response.headers().get("etag");
        let tag = tag.map(|tag| tag.to_str().unwrap().to_owned()).unwrap_or_default();
        let status = response.status().as_u16();
        let body = response.body().await.unwrap();
        if status == 200 {
            let body: Value = serde_json::from_slice(&body).unwrap();
            let name = body["toggles"][0]["name"].as_str().unwrap();
            self.shows = name.strip_prefix("revision-").unwrap().parse().unwrap();
            self.tag = Some(tag.clone());
        } else if status == 304 {
            assert!(body.is_empty());
        }
        Reply { status, tag }
    }

    /// The same question by somebody who holds nothing.
    async fn shown_to_others(&self, at: SocketAddr) -> u64 {
        let mut other = Self::new(self.method.clone(), self.path, self.body.clone());
        assert_eq!(other.ask(at).await.status, 200);
        other.shows
    }

    /// The tag, as if it were of another answer and of `revision`.
    fn forge(&mut self, revision: u64) {
        let tag = self.tag.take().unwrap();
        let (start, rest) = tag.split_once('"').unwrap();
        let context = rest.trim_end_matches('"').split('-').nth(2).unwrap();
        self.tag = Some(format!("{start}\"{}-{revision:x}-{context}\"", "f".repeat(32)));
    }
}

async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let patience = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < patience, "not in time: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

#[actix_web::test]
async fn a_page_that_has_seen_a_change_never_sees_the_flags_before_it() {
    join_all(Page::all().map(async |mut page| {
        let path = page.path;
        let upstream = Counting::start(1);
        let (ahead, behind) =
            (upstream.instance("ahead", OFTEN).await, upstream.instance("behind", NEVER).await);
        for revision in 2..4 {
            upstream.moves_to(revision);
            eventually("the poll of one", async || {
                page.shown_to_others(ahead.addr()).await == revision
            })
            .await;
            assert_eq!(page.shown_to_others(behind.addr()).await, revision - 1, "{path}");
            let asked = upstream.asked_by("behind");

            assert_eq!(page.ask(ahead.addr()).await.status, 200, "{path}");
            assert_eq!(page.shows, revision);
            let held = page.tag.clone().unwrap();
            let reply = page.ask(behind.addr()).await;
            assert_eq!(reply, Reply { status: 304, tag: held }, "{path}: its newer tag");
            eventually("the other catches up", async || {
                for at in [behind.addr(), ahead.addr()] {
                    page.ask(at).await;
                    assert_eq!(page.shows, revision, "{path}: it went back");
                }
                page.shown_to_others(behind.addr()).await == revision
            })
            .await;
            assert_eq!(upstream.asked_by("behind"), asked + 1, "{path}: one round trip");
        }
        assert_eq!(page.ask(behind.addr()).await.status, 304, "{path}: now for its own sake");
        join(ahead.stop(), behind.stop()).await;
    }))
    .await;
}

#[actix_web::test]
async fn equal_flags_have_equal_tags_on_every_instance() {
    let upstream = Counting::start(77);
    let (one, other) =
        (upstream.instance("one", NEVER).await, upstream.instance("other", NEVER).await);
    let mut tags = HashSet::new();
    for mut page in Page::all() {
        let first = page.ask(one.addr()).await;
        page.tag = None;
        assert_eq!(page.ask(other.addr()).await, first, "{}", page.path);
        assert!(first.tag.contains("-4d-"), "the revision: {}", first.tag);
        assert!(tags.insert(first.tag), "{}", page.path);
    }
    // Another revision of the same flags is the same answer.
    let mut page = Page::get("/proxy");
    page.ask(one.addr()).await;
    page.tag = page.tag.map(|tag| tag.replace("-4d-", "-ff-"));
    assert_eq!(page.ask(one.addr()).await.status, 304);
    assert_eq!((upstream.asked_by("one"), upstream.asked_by("other")), (1, 1));
    join(one.stop(), other.stop()).await;
}

#[actix_web::test]
async fn a_newer_tag_of_another_question_means_nothing() {
    let upstream = Counting::start(5);
    let running = upstream.instance("it", NEVER).await;
    let mut page = Page::get("/proxy?userId=7");
    page.ask(running.addr()).await;
    page.forge(9);
    for path in ["/proxy?userId=8", "/proxy/all?userId=7", "/api/frontend?userId=7"] {
        let mut other = Page::get(path);
        other.tag = page.tag.clone();
        assert_eq!(other.ask(running.addr()).await.status, 200, "{path}");
    }
    sleep(Duration::from_millis(100)).await;
    assert_eq!(upstream.asked_by("it"), 1, "nor is upstream asked for it");
    assert_eq!(page.ask(running.addr()).await.status, 304);
    running.stop().await;
}

#[actix_web::test]
async fn forged_tags_cost_a_poll_a_second_and_give_nobody_a_wrong_answer() {
    let upstream = Counting::start(5);
    let running = upstream.instance("it", NEVER).await;
    let at = running.addr();
    let start = Instant::now();
    let ends = start + Duration::from_secs(3);
    let forgers = (0..4_u64).map(|number| async move {
        let mut page = Page::get("/proxy?userId=7");
        page.ask(at).await;
        let mut revision = number;
        while Instant::now() < ends {
            revision = revision.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(number | 1);
            // Anything but the very next one, which a page below is to have seen.
            page.forge((revision >> (revision % 60)).max(7));
            page.ask(at).await;
            page.tag.get_or_insert_default();
            assert_eq!(page.shows, 5);
        }
    });
    let others = Page::all().map(|mut page| async move {
        let mut answers = 0;
        assert_eq!(page.ask(at).await.status, 200);
        let whole = page.tag.clone();
        while Instant::now() < ends {
            assert_eq!(page.ask(at).await.status, 304, "{}", page.path);
            page.tag = None;
            assert_eq!(page.ask(at).await.status, 200, "{}", page.path);
            assert_eq!((page.shows, &page.tag), (5, &whole), "{}", page.path);
            answers += 2;
        }
        assert!(answers > 10, "{answers}");
    });
    join(join_all(forgers), join_all(others)).await;
    let (asked, most) = (upstream.asked_by("it"), 2 + start.elapsed().as_secs() as usize);
    assert!((3..=most).contains(&asked), "{asked} polls, with the first one");

    // What was forged does not hurt who has really seen something newer.
    upstream.moves_to(6);
    let newer = upstream.instance("newer", NEVER).await;
    let mut page = Page::get("/proxy?userId=9");
    page.ask(newer.addr()).await;
    eventually("it catches up", async || {
        page.ask(at).await;
        assert_eq!(page.shows, 6);
        page.shown_to_others(at).await == 6
    })
    .await;
    join(newer.stop(), running.stop()).await;
}

#[actix_web::test]
async fn a_forged_tag_binds_its_owner_for_one_poll() {
    join_all(Page::all().map(async |mut page| {
        let upstream = Counting::start(5);
        let running = upstream.instance("it", NEVER).await;
        page.ask(running.addr()).await;
        page.forge(u64::MAX);
        let forged = page.tag.clone();
        assert_eq!(page.ask(running.addr()).await.status, 304);
        eventually("its poll", async || upstream.asked_by("it") == 2).await;
        eventually("its answer", async || page.ask(running.addr()).await.status == 200).await;
        page.tag = forged;
        assert_eq!(page.ask(running.addr()).await.status, 200, "{}", page.path);
        page.forge(6);
        assert_eq!(page.ask(running.addr()).await.status, 304, "which nobody claimed before");
        running.stop().await;
    }))
    .await;
}

#[actix_web::test]
async fn who_may_not_get_a_304_gets_the_older_flags_and_upstream_is_asked_all_the_same() {
    let body = json!({"context": {"userId": "7"}});
    let mut page = Page::new(Method::POST, "/proxy", Some(body));
    let upstream = Counting::start(5);
    let running = upstream.instance("it", NEVER).await;
    page.ask(running.addr()).await;
    upstream.moves_to(6);
    page.forge(6);
    assert_eq!(page.ask(running.addr()).await.status, 200);
    eventually("it catches up", async || page.shown_to_others(running.addr()).await == 6).await;
    assert_eq!(upstream.asked_by("it"), 2);
    running.stop().await;
}

#[actix_web::test]
async fn a_restored_database_is_believed_by_every_instance_and_every_page() {
    let upstream = Counting::start(100);
    let (one, other) = (
        upstream.instance("one", OFTEN).await,
        upstream.instance("other", Duration::from_millis(300)).await,
    );
    let mut pages = Page::all();
    for page in &mut pages {
        page.ask(one.addr()).await;
        assert_eq!(page.shows, 100);
    }
    upstream.moves_to(50);
    for page in &mut pages {
        eventually("all are back", async || {
            page.ask(one.addr()).await;
            let first = page.shows;
            page.ask(other.addr()).await;
            (first, page.shows, page.shown_to_others(other.addr()).await) == (50, 50, 50)
        })
        .await;
        assert_eq!(page.ask(one.addr()).await.status, 304, "{}", page.path);
    }
    join(one.stop(), other.stop()).await;
}

#[actix_web::test]
async fn an_upstream_that_asks_for_a_pause_gets_it_and_binds_nobody() {
    let upstream = Counting::start(5);
    let running = upstream.instance("it", NEVER).await;
    let mut page = Page::get("/proxy?userId=7");
    page.ask(running.addr()).await;
    upstream.answers(Answer::status(503).header("retry-after", "600"));
    let claim = async |page: &mut Page, revision| {
        page.forge(revision);
        assert_eq!(page.ask(running.addr()).await.status, 304);
        eventually("its answer", async || page.ask(running.addr()).await.status == 200).await;
        assert_eq!(page.shows, 5);
    };
    claim(&mut page, 6).await;
    assert_eq!(upstream.asked_by("it"), 2, "it did not know");
    for revision in 7..9 {
        claim(&mut page, revision).await;
    }
    assert_eq!(upstream.asked_by("it"), 2, "and now it does");
    running.stop().await;
}

#[actix_web::test]
async fn an_instance_that_asks_with_several_tokens_catches_up_with_all_of_them() {
    let upstream = Counting::start(5);
    let both = ["one:development.sesame", "two:development.sesame"];
    upstream.upstream.knows_tokens(&[
        (both[0], "client", "development", &["one"]),
        (both[1], "client", "development", &["two"]),
    ]);
    let source = |poll_every| {
        let mut known = tokens(&upstream.upstream.url(), &both);
        known.poll_every = poll_every;
        if let offleash::config::Access::Tokens { frontend, .. } = &mut known.access {
            frontend.push(offleash::token::Token::new(format!("{KEY}@development")));
        }
        Source::Upstream(known)
    };
    let (ahead, behind) =
        (start("ahead", source(OFTEN)).await, start("behind", source(NEVER)).await);
    let mut page = Page::get("/api/frontend?userId=7");
    assert!(page.ask(behind.addr()).await.tag.contains("-a-"), "the sum of both: {:?}", page.tag);
    upstream.moves_to(6);
    eventually("the poll of one", async || {
        page.ask(ahead.addr()).await;
        page.tag.as_ref().unwrap().contains("-c-")
    })
    .await;
    let asked = upstream.asked_by("behind");
    assert_eq!(page.ask(behind.addr()).await.status, 304);
    eventually("the other catches up", async || page.shown_to_others(behind.addr()).await == 6)
        .await;
    page.ask(behind.addr()).await;
    assert_eq!(page.shows, 6);
    assert_eq!(upstream.asked_by("behind"), asked + 2, "once with each token");
    join(ahead.stop(), behind.stop()).await;
}

#[actix_web::test]
async fn an_upstream_that_counts_no_revisions_goes_without() {
    let upstream = Counting::start(5);
    upstream.answers(Answer::flags(&["revision-5"]));
    let running = upstream.instance("it", NEVER).await;
    for mut page in Page::all() {
        let reply = page.ask(running.addr()).await;
        let opaque = reply.tag.trim_start_matches("W/").trim_matches('"');
        assert_eq!((reply.status, opaque.len()), (200, 32), "{}", reply.tag);
        assert_eq!(page.ask(running.addr()).await.status, 304);
        page.tag =
            Some(reply.tag.replace(opaque, &format!("{}-ff-{}", "f".repeat(32), "0".repeat(16))));
        assert_eq!(page.ask(running.addr()).await.status, 200);
    }
    assert_eq!(upstream.asked_by("it"), 1);
    running.stop().await;
}

#[actix_web::test]
async fn what_clients_claim_is_measured() {
    let upstream = Counting::start(5);
    let running = upstream.instance("it", NEVER).await;
    let mut page = Page::get("/proxy?userId=7");
    page.ask(running.addr()).await;
    page.forge(6);
    assert_eq!(page.ask(running.addr()).await.status, 304);
    eventually("its answer", async || page.ask(running.addr()).await.status == 200).await;
    let mut response = awc::Client::default()
        .get(format!("http://{}/internal-backstage/metrics", running.addr()))
        .send()
        .await
        .unwrap();
    let text = String::from_utf8(response.body().limit(1 << 20).await.unwrap().to_vec()).unwrap();
    assert!(text.contains("\noffleash_upstream_extra_polls_total 1\n"), "{text}");
    let held_back = text.lines().find_map(|it| it.strip_prefix("offleash_http_held_back_total "));
    assert!(held_back.unwrap().parse::<u64>().unwrap() >= 1, "{text}");
    running.stop().await;
}
