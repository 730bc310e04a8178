//! `{base}/docs/openapi…` (unleash-proxy.md 1.15): the document is sound, and tells the truth.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

use actix_web::{http::Method, rt::time::sleep};
use offleash::Running;
use serde_json::{Value, json};

use crate::{
    definitions::{FLAG_A, Reply, SEGMENT, ask, payload, proxy},
    sync::FEATURES,
    upstream::{Answer, ScriptedUpstream},
};

const PATIENCE: Duration = Duration::from_secs(20);
/// A key that may ask for everything.
const KEY: &str = "both-key";

/// Serves with `more` variables beside the switch that documents.
async fn start(upstream: &ScriptedUpstream, more: &[(&str, &str)]) -> Running {
    let variables = [&[("ENABLE_OAS", "true")], more].concat();
    offleash::start(proxy(upstream, &variables)).await.unwrap()
}

async fn get(at: SocketAddr, path: &str) -> Reply {
    ask(at, Method::GET, path, &[]).await
}

async fn document(at: SocketAddr, base: &str) -> Value {
    let reply = get(at, &format!("{base}/docs/openapi.json")).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    serde_json::from_str(&reply.body).unwrap()
}

async fn ready(at: SocketAddr, base: &str) {
    let patience = Instant::now() + PATIENCE;
    while get(at, &format!("{base}/proxy/health")).await.status != 200 {
        assert!(Instant::now() < patience, "not ready");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Path, method and operation of each.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, item)| {
        let item = item.as_object().unwrap();
        item.iter().map(move |(method, operation)| (&**path, &**method, operation))
    });
    operations.collect()
}

#[actix_web::test]
async fn the_paths_are_the_originals_and_the_base_path_stands_in_them_once() {
    let upstream = ScriptedUpstream::start();
    let running = start(&upstream, &[("PROXY_BASE_PATH", "/b/c")]).await;
    let document = document(running.addr(), "/b/c").await;
    let found: BTreeSet<String> = operations(&document)
        .iter()
        .map(|(path, method, _)| format!("{method} {}", path.strip_prefix("/b/c").unwrap()))
        .collect();
    let expected = [
        "get /proxy",
        "post /proxy",
        "get /proxy/all",
        "post /proxy/all",
        "post /proxy/all/client/metrics",
        "get /proxy/client/features",
        "post /proxy/client/metrics",
        "post /proxy/client/register",
        "get /proxy/health",
        "get /proxy/internal-backstage/prometheus",
    ];
    assert_eq!(found, expected.map(str::to_owned).into());
    assert_eq!(document.get("servers"), None, "they would be applied beside the paths");
    running.stop().await;

    let quiet = start(&upstream, &[("OFFLEASH_PROMETHEUS", "off")]).await;
    let document = self::document(quiet.addr(), "").await;
    assert!(!document.to_string().contains("prometheus"), "what is not there is not described");
    quiet.stop().await;
}

#[actix_web::test]
async fn the_document_is_sound() {
    let upstream = ScriptedUpstream::start();
    let running = start(&upstream, &[("CLIENT_KEY_HEADER_NAME", "X-Key")]).await;
    let document = document(running.addr(), "").await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3."), "{document}");
    assert_eq!(document["info"]["title"], "Unleash Proxy API");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let key = json!({"type": "apiKey", "in": "header", "name": "x-key"});
    assert_eq!(document["components"]["securitySchemes"], json!({ "apiKey": key }));
    assert_eq!(document["security"], json!([{"apiKey": []}]));

    let tags: BTreeSet<&str> = document["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| tag["name"].as_str().unwrap())
        .collect();
    assert_eq!(tags, BTreeSet::from(["Proxy client", "Server-side client", "Operational"]));
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let place = format!("{method} {path}");
        assert!(path.starts_with('/') && !path.contains(['{', '?']), "{place}");
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{place}: id");
        for tag in operation["tags"].as_array().unwrap() {
            assert!(tags.contains(tag.as_str().unwrap()), "{place}: {tag}");
        }
        let open = path.ends_with("/health") || path.ends_with("/prometheus");
        assert_eq!(operation.get("security") == Some(&json!([])), open, "{place}: security");
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.contains_key("200"), "{place}");
        for (status, response) in responses {
            assert!((100..600).contains(&status.parse::<u16>().unwrap()), "{place}: {status}");
            assert!(!response["description"].as_str().unwrap().is_empty(), "{place}: {status}");
        }
        let mut names = BTreeSet::new();
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let (name, place_in) = (parameter["name"].as_str(), parameter["in"].as_str());
            assert!(names.insert((name.unwrap(), place_in.unwrap())), "{place}: twice {parameter}");
            assert!(matches!(place_in, Some("query" | "header")), "{place}: {parameter}");
            assert!(parameter["schema"].is_object(), "{place}: {parameter}");
        }
        assert!(operation.get("requestBody").is_some() == (method == "post"), "{place}: body");
    }
    let mut used = BTreeSet::new();
    references(&document, &mut used);
    let defined = document["components"]["schemas"].as_object().unwrap();
    let defined: BTreeSet<String> =
        defined.keys().map(|name| format!("#/components/schemas/{name}")).collect();
    assert_eq!(used, defined, "every reference leads somewhere, and nothing is left over");
    running.stop().await;
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(entries) => {
            found.extend(entries.get("$ref").and_then(Value::as_str).map(str::to_owned));
            entries.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

/// What an operation was seen to answer: status and media types.
type Seen = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// Asks one operation in every way that should make a difference.
async fn try_all(at: SocketAddr, (path, method): (&str, &str), seen: &mut Seen) {
    let is_post = method == "post";
    let good = if path.ends_with("/metrics") {
        r#"{"appName":"a","instanceId":"i","bucket":{"start":"2026-01-01T00:00:00Z",
            "stop":"2026-01-01T00:01:00Z","toggles":{"a":{"yes":1,"no":0,"variants":{"v":1}}}}}"#
    } else if path.ends_with("/register") {
        r#"{"appName":"a","interval":1000,"started":"2026-01-01T00:00:00Z","strategies":["x"]}"#
    } else {
        r#"{"context":{"userId":"7"}}"#
    };
    let large = format!("\"{}\"", "x".repeat(200_000));
    let json = "application/json";
    let bodies = [
        (Some(json), Some(good)),
        (Some(json), Some("{")),
        (Some(json), Some("[]")),
        (Some(json), Some(&*large)),
        (Some("text/plain"), Some("{}")),
        (None, None),
    ];
    for (media, body) in bodies {
        for (key, tag) in
            [(Some(KEY), None), (Some("wrong"), None), (None, None), (Some(KEY), Some("*"))]
        {
            let client = awc::Client::builder().timeout(PATIENCE).finish();
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let mut request = client.request(method, format!("http://{at}{path}"));
            let headers = [("authorization", key), ("if-none-match", tag), ("content-type", media)];
            for (name, value) in headers {
                request = request.append_header((name, value.unwrap_or_default()));
                if value.is_none() {
                    request.headers_mut().remove(name);
                }
            }
            let reply = match body {
                Some(body) => request.send_body(body.to_owned()).await.unwrap(),
                None => request.send().await.unwrap(),
            };
            let media = reply.headers().get("content-type").map(|media| media.to_str().unwrap());
            let media = media.map(|media| media.split(';').next().unwrap().to_owned());
            let operation = format!("{} {path}", if is_post { "post" } else { "get" });
            let statuses = seen.entry(operation).or_default();
            statuses.entry(reply.status().as_u16().to_string()).or_default().extend(media);
        }
    }
}

#[actix_web::test]
async fn every_operation_answers_what_the_document_says_and_nothing_else() {
    let upstream = ScriptedUpstream::start();
    upstream.answer(FEATURES, Answer::status(500));
    let mut seen = Seen::new();
    let running = start(&upstream, &[("ENABLE_ALL_ENDPOINT", "false")]).await;
    let at = running.addr();
    let document = document(at, "").await;
    let operations = operations(&document);
    for (path, method, _) in &operations {
        try_all(at, (path, method), &mut seen).await;
    }
    upstream.answer(FEATURES, payload(&[FLAG_A], &[SEGMENT]));
    ready(at, "").await;
    for (path, method, _) in &operations {
        try_all(at, (path, method), &mut seen).await;
    }
    running.stop().await;
    // With `/all` on there is no 501 in the document, and everything else is as before.
    let running = start(&upstream, &[("ENABLE_ALL_ENDPOINT", "true")]).await;
    ready(running.addr(), "").await;
    let open = self::document(running.addr(), "").await;
    assert!(!open.to_string().contains("\"501\"") && document.to_string().contains("\"501\""));
    for (path, method, _) in self::operations(&open) {
        try_all(running.addr(), (path, method), &mut seen).await;
    }
    running.stop().await;

    for (path, method, operation) in operations {
        let place = format!("{method} {path}");
        let mut documented: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (status, response) in operation["responses"].as_object().unwrap() {
            let media = response["content"].as_object().into_iter().flat_map(|it| it.keys());
            documented.insert(status.clone(), media.cloned().collect());
        }
        // Half a minute of waiting is needed for a body that is too slow.
        documented.remove("408");
        assert_eq!(seen[&place], documented, "{place}");
    }
}

#[actix_web::test]
async fn the_document_comes_as_json_and_yaml_and_the_page_with_its_files() {
    let upstream = ScriptedUpstream::start();
    let running = start(&upstream, &[("PROXY_BASE_PATH", "b")]).await;
    let at = running.addr();
    for (path, media, mark) in [
        ("/b/docs/openapi.json", "application/json; charset=utf-8", "{\"openapi\":\"3."),
        ("/b/docs/openapi.yaml", "text/yaml; charset=utf-8", "openapi: 3."),
        ("/b/docs/openapi.yml", "text/yaml; charset=utf-8", "openapi: 3."),
        ("/b/docs/openapi/", "text/html; charset=utf-8", "<title>Swagger UI</title>"),
        ("/b/docs/openapi/no/such/file", "text/html; charset=utf-8", "<title>Swagger UI</title>"),
        ("/b/docs/openapi/swagger-ui.css", "text/css; charset=utf-8", ".swagger-ui"),
        (
            "/b/docs/openapi/swagger-ui-bundle.js",
            "application/javascript; charset=utf-8",
            "SwaggerUIBundle",
        ),
        (
            "/b/docs/openapi/swagger-ui-init.js",
            "application/javascript; charset=utf-8",
            "url: \"/b/docs/openapi.json\"",
        ),
    ] {
        let reply = ask(at, Method::GET, path, &[("accept-encoding", "identity")]).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, Some(media)), "{path}");
        assert!(reply.body.contains(mark), "{path}");
        assert_eq!(reply.header("access-control-allow-origin"), None, "{path}");
        assert_eq!(reply.header("content-encoding"), None, "{path}");
        let tag = reply.header("etag").unwrap().to_owned();
        let plain = [("accept-encoding", "identity"), ("if-none-match", &*tag)];
        assert_eq!(ask(at, Method::GET, path, &plain).await.status, 304, "{path}");
        if path.ends_with(".css") || path.ends_with("bundle.js") {
            // Packed bytes are another answer, with a tag of its own.
            let packed = [("accept-encoding", "gzip, br"), ("if-none-match", &*tag)];
            let packed = ask(at, Method::HEAD, path, &packed).await;
            assert_eq!((packed.status, packed.header("content-encoding")), (200, Some("gzip")));
            assert_eq!(packed.header("vary"), Some("Accept-Encoding"), "{path}");
            assert_ne!(packed.header("etag"), Some(&*tag), "{path}");
        }
    }
    let moved = ask_without_following(at, "/b/docs/openapi").await;
    assert_eq!(moved, (301, Some("/b/docs/openapi/".to_owned())));
    let methods = ask(at, Method::OPTIONS, "/b/docs/openapi.json", &[]).await;
    assert_eq!((methods.status, methods.header("allow")), (200, Some("GET, HEAD")));
    assert_eq!(methods.header("access-control-allow-origin"), None);
    assert_eq!(ask(at, Method::OPTIONS, "/b/docs/openapi/", &[]).await.status, 200);
    assert_eq!(ask(at, Method::POST, "/b/docs/openapi.json", &[]).await.status, 404);
    assert_eq!(get(at, "/docs/openapi.json").await.status, 404);
    running.stop().await;

    let off = offleash::start(proxy(&upstream, &[("ENABLE_OAS", "false")])).await.unwrap();
    for path in ["/docs/openapi.json", "/docs/openapi", "/docs/openapi/"] {
        assert_eq!(get(off.addr(), path).await.status, 404, "{path}");
    }
    off.stop().await;
}

async fn ask_without_following(at: SocketAddr, path: &str) -> (u16, Option<String>) {
    let client = awc::Client::builder().disable_redirects().finish();
    let reply = client.get(format!("http://{at}{path}")).send().await.unwrap();
    let place = reply.headers().get("location").map(|place| place.to_str().unwrap().to_owned());
    (reply.status().as_u16(), place)
}
