//! What SDKs tell: usage counts and registrations, on both surfaces. The answer waits for nothing
//! but the token (unleash-proxy.md 1.1 rows 5 to 7, unleash-edge.md 1.2).

mod schema;

use actix_web::{
    HttpResponse,
    http::header::{CONTENT_TYPE, HeaderValue},
    web::Bytes,
};
use serde_json::Value;

use super::{
    auth,
    body::{self, BodyFault},
    error::Problem,
    head::Head,
    json::{self, Unreadable},
    route::{Surface, Usage},
    worker::Worker,
};
use crate::{
    snapshot::Grant,
    usage::{self, Application},
};

/// Answers on the Proxy's surface, before it is ready too.
///
/// # Errors
///
/// In the order of unleash-proxy.md 1.2: a bad request, a bad key.
pub(super) fn proxy(
    worker: &Worker,
    request: Head<'_>,
    body: &Result<Bytes, BodyFault>,
    kind: Usage,
) -> Result<HttpResponse, Problem> {
    let body = body.as_ref().map_err(|&fault| fault)?;
    let note = schema::read(json::read_value(body)?, Surface::Proxy, kind)?;
    let token = worker.token(request.headers, Surface::Proxy);
    let mut desk = worker.desk.borrow_mut();
    let grant = auth::reporter(desk.reader.current(), token)?;
    pass_on(worker, grant, note);
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, plain)).body("OK"))
}

/// Answers on Edge's surface.
///
/// # Errors
///
/// A bad token before a bad request.
pub(super) fn frontend(
    worker: &Worker,
    request: Head<'_>,
    body: &Result<Bytes, BodyFault>,
    kind: Usage,
) -> Result<HttpResponse, Problem> {
    let headers = request.headers;
    let token = worker.token(headers, Surface::Edge);
    let mut desk = worker.desk.borrow_mut();
    let grant = auth::reporter(desk.reader.current(), token)?;
    if !body::is_edge_json(headers) {
        return Err(Problem::ContentType);
    }
    if !body::is_plain(headers) {
        return Err(Problem::ContentEncoding);
    }
    let body = body.as_ref().map_err(|&fault| Problem::from(fault))?;
    let value: Value = serde_json::from_slice(body).map_err(Unreadable::Syntax)?;
    pass_on(worker, grant, schema::read(value, Surface::Edge, kind)?);
    Ok(HttpResponse::Accepted().finish())
}

fn pass_on(worker: &Worker, grant: &Grant, note: schema::Note) {
    // What the sender says of its environment does not count: its token does.
    let environment = grant.scope.environment.clone();
    match note {
        schema::Note::Report(report) => {
            worker.usage.report(usage::Report { environment, ..report });
        }
        schema::Note::Application(body) => {
            let projects = grant.scope.projects.clone();
            worker.usage.register(Application { environment, projects, body });
        }
    }
}
