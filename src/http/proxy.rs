//! `{base}/proxy…`, as the Unleash Proxy answers it (unleash-proxy.md 1).

use actix_web::{
    HttpResponse,
    http::{
        Method,
        header::{CONTENT_TYPE, HeaderValue},
    },
    web::Bytes,
};

use super::{
    answer::{Asked, Flags},
    auth,
    body::{self, BodyFault, Encoding},
    context::{Completion, Session},
    error::Problem,
    head::Head,
    json, query,
    route::Surface,
    worker::{Desk, Worker, now_millis},
};
use crate::{
    config::ProxySurface,
    engine::{Plan, Profile, Show},
    snapshot::{Grant, Snapshot},
};

const SURFACE: Surface = Surface::Proxy;
/// An answer to names is at most this large, in bytes.
const NAMED_ANSWER: usize = 16 << 20;

/// Lets a body in, decompressed, or refuses it. Whatever stands below `{base}/proxy` passes here
/// first, what nobody has there too (unleash-proxy.md 1.2, 1.5, 1.6).
///
/// # Errors
///
/// A wrong content type, a wrong encoding, a body that did not arrive whole or is over `limit`
/// bytes, and where no route will read it (`is_routed`) or its method does not, what is no JSON.
pub(super) fn admit_body(
    request: Head<'_>,
    body: &Result<Bytes, BodyFault>,
    limit: usize,
    is_routed: bool,
) -> Result<Bytes, Problem> {
    let headers = request.headers;
    let arrived = body.as_ref().map_or(true, |body| !body.is_empty());
    if !body::is_announced(headers, request.version, arrived) {
        return Ok(body.clone()?);
    }
    if !body::is_proxy_json(headers) {
        return Err(Problem::ContentType);
    }
    let encoding = Encoding::find(headers).ok_or(Problem::ContentEncoding)?;
    let body = encoding.decode(body.clone()?, limit)?;
    if !is_routed || *request.method != Method::POST {
        json::check(&body)?;
    }
    Ok(body)
}

/// Answers the lists, of everything or of the toggles the body names.
///
/// # Errors
///
/// In the order of unleash-proxy.md 1.2: a bad request, not ready, a bad key, `/all` disabled.
pub(super) fn list(
    worker: &Worker,
    request: Head<'_>,
    body: &Result<Bytes, BodyFault>,
    show: Show,
) -> Result<Flags, Problem> {
    let body: &[u8] = body.as_ref().map_err(|&fault| fault)?;
    let token = worker.token(request.headers, SURFACE);
    let mut desk = worker.desk.borrow_mut();
    let Desk { reader, context, scratch, draws, buffers, text, sheet, empty } = &mut *desk;
    let surface = &worker.surfaces.proxy;
    let (now, seed) = (now_millis(), draws.next());
    let trust = &worker.surfaces.trust_proxy;
    let completion = Completion { request, trust, draws, text };
    let allowed = allow(surface, reader.current(), token, show).map(|(plan, grant)| {
        let read = if *request.method == Method::POST { body } else { &[] };
        let (edition, counters) = (grant.edition.as_ref(), &*worker.counters);
        let mut asked = Asked::new(request, SURFACE, read, edition, counters);
        // HEAD's question is spelled as GET's, and answered otherwise.
        if *request.method == Method::GET {
            let environment = surface.environment.as_deref().unwrap_or_default();
            let settings = [environment, &surface.app_name];
            asked.rest_on(|| completion.basis(SURFACE, plan, now, &settings));
        }
        (plan, grant, asked)
    });
    if let Some(held) = allowed.as_ref().ok().and_then(|(.., asked)| asked.repeat()) {
        return Ok(held);
    }

    // A bad request is refused as one even where nobody may ask, so it is read in any case.
    let plan = allowed.as_ref().map_or(&*empty, |(plan, ..)| *plan);
    let mut writer = context.start(plan, now, seed);
    let names = match *request.method {
        Method::POST => json::read_proxy(body, &mut writer)?,
        _ => {
            query::read(request.query, SURFACE, &mut writer, buffers).map_err(Problem::Query)?;
            Vec::new()
        }
    };
    let (plan, grant, mut asked) = allowed?;
    // HEAD's query is validated, but evaluated with nothing (unleash-proxy.md 1.3).
    if *request.method == Method::HEAD {
        writer = context.start(plan, now, seed);
    }
    let session = if names.is_empty() { Session::Drawn } else { Session::AsSent };
    let is_drawn = completion.proxy(plan, &mut writer, surface, session);
    if is_drawn {
        asked.rest_on_chance();
    }
    if names.is_empty() {
        let answer = plan.evaluate_all(context, scratch, show);
        return Ok(asked.respond(&answer, sheet));
    }
    let answer = plan.evaluate_named(context, scratch, &names);
    // A name may come again and again, and its flag may have a payload of any size.
    if answer.bytes_at_most(Profile::Proxy) > NAMED_ANSWER {
        return Err(Problem::AnswerTooLarge { limit: NAMED_ANSWER });
    }
    let flags = asked.respond(&answer, sheet);
    if worker.usage.is_on() {
        worker.usage.evaluated(&grant.scope.environment, answer.named());
    }
    Ok(flags)
}

/// Answers with the definitions that a server's token may see (unleash-proxy.md 1.12 and 9.2).
///
/// # Errors
///
/// Not ready, then a bad token: a client key is one here (unleash-proxy.md 1.4).
pub(super) fn definitions(worker: &Worker, request: Head<'_>) -> Result<HttpResponse, Problem> {
    let token = worker.token(request.headers, SURFACE);
    let mut desk = worker.desk.borrow_mut();
    let snapshot = desk.reader.current();
    if !snapshot.ready {
        return Err(Problem::NotReady);
    }
    let grant = auth::backend(snapshot, token)?;
    let definitions = grant.definitions.as_ref().ok_or(Problem::NoFlags)?;
    let (edition, counters) = (grant.edition.as_ref(), &worker.counters);
    let asked = Asked::new(request, SURFACE, &[], edition, counters);
    Ok(asked.respond_with(definitions, &worker.compressor))
}

/// `ok` once an evaluation works and until a stop is announced: it is the only thing that the
/// original has for a balancer to ask.
pub(super) fn health(worker: &Worker) -> Result<HttpResponse, Problem> {
    if !worker.is_open() {
        return Err(Problem::NotReady);
    }
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, html)).body("ok"))
}

/// The plan to answer from, and the grant it is of, once nothing but a bad request can stop it.
fn allow<'s>(
    surface: &ProxySurface,
    snapshot: &'s Snapshot,
    token: Option<&str>,
    show: Show,
) -> Result<(&'s Plan, &'s Grant), Problem> {
    if !snapshot.ready {
        return Err(Problem::NotReady);
    }
    let grant = auth::frontend(snapshot, token)?;
    let plan = grant.plan.as_deref().ok_or(Problem::NoFlags)?;
    if show == Show::All && !surface.all_endpoint {
        return Err(Problem::AllDisabled);
    }
    Ok((plan, grant))
}
