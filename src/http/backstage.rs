//! `/internal-backstage/…`: what operators and orchestrators ask (unleash-edge.md 1.3).

use actix_web::{
    HttpResponse,
    http::header::{CONTENT_TYPE, HeaderValue},
};

use super::{error::Problem, worker::Worker};

/// The process answers.
pub(super) fn health() -> HttpResponse {
    json(r#"{"status":"OK"}"#)
}

/// Whether an evaluation works.
///
/// # Errors
///
/// `NotReadyYet` until it does.
pub(super) fn ready(worker: &Worker) -> Result<HttpResponse, Problem> {
    if worker.is_ready() { Ok(json(r#"{"status":"READY"}"#)) } else { Err(Problem::NotReadyYet) }
}

fn json(body: &'static str) -> HttpResponse {
    let media = HeaderValue::from_static("application/json");
    HttpResponse::Ok().insert_header((CONTENT_TYPE, media)).body(body)
}
