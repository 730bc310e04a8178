//! `/internal-backstage/…`: what operators and orchestrators ask (unleash-edge.md 1.3).

use actix_web::{
    HttpResponse,
    http::header::{CONTENT_TYPE, HeaderValue},
};

use super::{error::Problem, route::Surface, worker::Worker};

/// The process answers.
pub(super) fn health() -> HttpResponse {
    json(r#"{"status":"OK"}"#)
}

/// Whether an evaluation works and no stop is announced.
///
/// # Errors
///
/// `NotReadyYet` until it does, and once a stop is announced.
pub(super) fn ready(worker: &Worker) -> Result<HttpResponse, Problem> {
    if worker.is_open() { Ok(json(r#"{"status":"READY"}"#)) } else { Err(Problem::NotReadyYet) }
}

/// What is measured. The Unleash Proxy's own place waits for readiness, so that a scraper takes a
/// process that cannot evaluate for one that is down (unleash-proxy.md 1.16).
///
/// # Errors
///
/// `NotReady` on the Proxy's surface, until an evaluation works.
pub(super) fn metrics(worker: &Worker, surface: Surface) -> Result<HttpResponse, Problem> {
    let media = match surface {
        Surface::Proxy if !worker.is_ready() => return Err(Problem::NotReady),
        // The original's order of parameters.
        Surface::Proxy => "text/plain; charset=utf-8; version=0.0.4",
        Surface::Edge => "text/plain; version=0.0.4; charset=utf-8",
    };
    let media = HeaderValue::from_static(media);
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, media)).body(worker.registry.render()))
}

fn json(body: &'static str) -> HttpResponse {
    let media = HeaderValue::from_static("application/json");
    HttpResponse::Ok().insert_header((CONTENT_TYPE, media)).body(body)
}
