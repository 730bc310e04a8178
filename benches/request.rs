//! A request from the bytes of its head to the bytes of its answer, without a socket:
//! `cargo bench --bench request`.
//!
//! Bytes go in and out of a pipe in memory; everything between is what a worker does: actix-http
//! reads the head, our handler decides and writes, actix-http sends.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_debug_implementations,
    reason = "a bench fails by panicking"
)]

#[path = "support/engines.rs"]
mod engines;
#[path = "support/payload.rs"]
mod payload;

use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput};
use engines::Ours;
use offleash::{
    config::{Config, Machine, proxy_env},
    http::{Closing, Ties, in_memory},
    snapshot::{Claims, Edition, Grant, channel},
    token::{Kind, Scope},
    usage::Handle,
};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SEED: u64 = 42;
const SIZES: [usize; 3] = [20, 200, 1_000];
const CONTEXTS: usize = 1_000;
const TOKEN: &str = "*:development.bench";
/// More than the longest answer.
const PIPE_BYTES: usize = 1 << 20;

/// The client's end of a connection, and what it sends.
struct Client {
    pipe: DuplexStream,
    answer: Vec<u8>,
}

fn main() {
    let mut criterion = Criterion::default().sample_size(20).configure_from_args();
    let runtime = actix_web::rt::Runtime::new().unwrap();
    let local = tokio::task::LocalSet::new();
    for flags in SIZES {
        let mut client = local.block_on(runtime.tokio_runtime(), connect(flags));
        let mut group = criterion.benchmark_group("request");
        group.throughput(Throughput::Elements(1));
        let contexts = payload::contexts(CONTEXTS, SEED);
        let plain: Vec<String> = contexts.iter().map(|context| head(context, "")).collect();
        let tag = local.block_on(runtime.tokio_runtime(), client.ask(&plain[0]));
        let tag = tag.split("etag: ").nth(1).unwrap().split('\r').next().unwrap().to_owned();
        let held = [head(&contexts[0], &format!("if-none-match: {tag}\r\n"))];
        let preflight = ["OPTIONS /api/frontend HTTP/1.1\r\nhost: bench\r\norigin: https://a.example\r\naccess-control-request-headers: authorization\r\n\r\n".to_owned()];
        for (name, heads) in [("list", &plain[..]), ("304", &held), ("preflight", &preflight)] {
            let mut at = 0;
            group.bench_function(BenchmarkId::new(name, flags), |bencher| {
                bencher.iter(|| {
                    at += 1;
                    let head = &heads[at % heads.len()];
                    local.block_on(runtime.tokio_runtime(), client.exchange(head))
                });
            });
        }
        group.finish();
    }
    criterion.final_summary();
}

/// A connection to a worker that serves this many flags.
async fn connect(flags: usize) -> Client {
    let (mut publisher, subscriber) = channel();
    let plan = Arc::new(Ours::new(&payload::payload(flags, SEED)).plan);
    let scope =
        Scope { environment: "development".into(), projects: offleash::engine::Projects::All };
    let edition = Edition::new(1, &scope, Arc::new(Claims::new(Arc::default())));
    let grant = Grant {
        kind: Kind::Frontend,
        scope,
        plan: Some(plan),
        definitions: None,
        edition: Some(edition),
    };
    publisher.publish([(TOKEN.into(), grant)].into_iter().collect(), true);
    let ties = Ties {
        admit: None,
        usage: Handle::idle(),
        closing: Closing::default(),
        registry: Default::default(),
    };
    let host = in_memory(&config(), subscriber, ties).await.unwrap();
    let (pipe, server) = tokio::io::duplex(PIPE_BYTES);
    actix_web::rt::spawn(async move {
        let _publisher = publisher;
        host.serve(server, None).await;
    });
    Client { pipe, answer: vec![0; PIPE_BYTES] }
}

/// Of the Unleash Proxy's dialect; Edge's surface is served all the same.
fn config() -> Config {
    let env = |name: &str| {
        let text = match name {
            "UNLEASH_URL" => "http://127.0.0.1:9/api",
            "UNLEASH_API_TOKEN" | "UNLEASH_PROXY_CLIENT_KEYS" => "unused",
            _ => return None,
        };
        Some(text.to_owned())
    };
    proxy_env::resolve(&env, &Machine::of_this_process(&|_| None)).unwrap().config
}

fn head(context: &Value, more: &str) -> String {
    let mut query = String::new();
    let mut add = |name: &str, value: &Value| {
        query.push_str(&format!("{name}={}&", value.as_str().unwrap_or_default()));
    };
    for (name, value) in context.as_object().unwrap() {
        match value.as_object() {
            Some(properties) => properties
                .iter()
                .for_each(|(name, value)| add(&format!("properties%5B{name}%5D"), value)),
            None => add(name, value),
        }
    }
    let query = query.trim_end_matches('&').replace(' ', "+");
    format!(
        "GET /api/frontend?{query} HTTP/1.1\r\nhost: bench\r\nauthorization: {TOKEN}\r\n\
         accept: application/json\r\nunleash-appname: bench\r\n{more}\r\n"
    )
}

// === impl Client ===

impl Client {
    /// Sends a head and reads the answer whole. Returns its length in bytes.
    async fn exchange(&mut self, head: &str) -> usize {
        self.pipe.write_all(head.as_bytes()).await.unwrap();
        let mut length = 0;
        loop {
            length += self.pipe.read(&mut self.answer[length..]).await.unwrap();
            let answer = &self.answer[..length];
            if let Some(end) = memchr::memmem::find(answer, b"\r\n\r\n") {
                assert!(answer.starts_with(b"HTTP/1.1 2") || answer.starts_with(b"HTTP/1.1 304"));
                if length >= end + 4 + content_length(&answer[..end]) {
                    return length;
                }
            }
        }
    }

    async fn ask(&mut self, head: &str) -> String {
        let length = self.exchange(head).await;
        String::from_utf8_lossy(&self.answer[..length]).into_owned()
    }
}

fn content_length(head: &[u8]) -> usize {
    const NAME: &[u8] = b"content-length: ";
    let Some(at) = memchr::memmem::find(head, NAME) else { return 0 };
    let digits = head[at + NAME.len()..].split(|&byte| byte == b'\r').next().unwrap();
    std::str::from_utf8(digits).unwrap().parse().unwrap()
}
