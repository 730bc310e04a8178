//! `/api/frontend…` and `/api/proxy…`, as Unleash Edge answers them (unleash-edge.md 1.2).

use actix_web::{http::Method, web::Bytes};

use super::{
    answer::{Asked, Flags},
    auth,
    body::{self, BodyFault},
    context::Completion,
    error::Problem,
    head::Head,
    json, query,
    route::Surface,
    worker::{Desk, Worker, now_millis},
};
use crate::engine::Show;

const SURFACE: Surface = Surface::Edge;

/// Answers the lists.
///
/// # Errors
///
/// A bad token, then not ready, then a bad request.
pub(super) fn list(
    worker: &Worker,
    request: Head<'_>,
    body: &Result<Bytes, BodyFault>,
    show: Show,
) -> Result<Flags, Problem> {
    let token = worker.token(request.headers, SURFACE);
    let mut desk = worker.desk.borrow_mut();
    let Desk { reader, context, scratch, draws, buffers, text, sheet, .. } = &mut *desk;
    let snapshot = reader.current();
    let grant = auth::frontend(snapshot, token)?;
    // Not 403 while it starts: SDKs take that for their token's fault, and stay away for long.
    let missing = || if snapshot.ready { Problem::NoFlags } else { Problem::NotReady };
    let plan = grant.plan.as_deref().ok_or_else(missing)?;
    let is_post = *request.method == Method::POST;
    let read: &[u8] = if is_post { admit_body(request, body)? } else { &[] };
    let (edition, counters) = (grant.edition.as_ref(), &worker.counters);
    let mut asked = Asked::new(request, SURFACE, read, edition, counters);
    let now = now_millis();
    let seed = draws.next();
    let trust = &worker.surfaces.trust_proxy;
    let completion = Completion { request, trust, draws, text };
    asked.rest_on(|| completion.basis(SURFACE, plan, now, &[]));
    if let Some(held) = asked.repeat() {
        return Ok(held);
    }
    let mut writer = context.start(plan, now, seed);
    if is_post {
        json::read_edge(read, &mut writer)?;
    } else {
        query::read(request.query, SURFACE, &mut writer, buffers).map_err(Problem::Query)?;
    }
    let is_drawn = completion.edge(&mut writer);
    if is_drawn {
        asked.rest_on_chance();
    }
    let answer = plan.evaluate_all(context, scratch, show);
    Ok(asked.respond(&answer, sheet))
}

fn admit_body<'b>(
    request: Head<'_>,
    body: &'b Result<Bytes, BodyFault>,
) -> Result<&'b Bytes, Problem> {
    if !body::is_edge_json(request.headers) {
        return Err(Problem::ContentType);
    }
    if !body::is_plain(request.headers) {
        return Err(Problem::ContentEncoding);
    }
    body.as_ref().map_err(|&fault| fault.into())
}
