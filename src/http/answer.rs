//! An evaluation or a document, told in HTTP: 304 where the caller holds it already, else the bytes.

use actix_web::{
    HttpRequest, HttpResponse,
    body::BoxBody,
    http::{
        Method, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue},
    },
    web::Bytes,
};

use super::{
    conditional::{Tag, forbids_not_modified},
    route::Surface,
};
use crate::{
    engine::{Answer, Profile},
    snapshot::Definitions,
};

/// The answer in `surface`'s manner. `body_bytes` is a guess at the body's size, and becomes the
/// size it had.
pub(super) fn respond(
    request: &HttpRequest,
    surface: Surface,
    answer: &Answer<'_>,
    body_bytes: &mut usize,
) -> HttpResponse {
    let profile = match surface {
        Surface::Proxy => Profile::Proxy,
        Surface::Edge => Profile::Edge,
    };
    tagged(request, surface, answer.tag(profile), || {
        let mut body = Vec::with_capacity(*body_bytes);
        answer.render_into(profile, &mut body);
        *body_bytes = body.len();
        Bytes::from(body)
    })
}

/// The document in `surface`'s manner.
pub(super) fn respond_with(
    request: &HttpRequest,
    surface: Surface,
    definitions: &Definitions,
) -> HttpResponse {
    tagged(request, surface, definitions.hash, || definitions.body.clone())
}

/// `body`'s bytes, unless the caller holds what `hash` stands for.
fn tagged(
    request: &HttpRequest,
    surface: Surface,
    hash: u128,
    body: impl FnOnce() -> Bytes,
) -> HttpResponse {
    let tag = Tag::new(hash, surface);
    let mut response = if may_be_not_modified(request, surface) && tag.is_held_by(request.headers())
    {
        HttpResponse::new(StatusCode::NOT_MODIFIED)
    } else {
        let body = BoxBody::new(body());
        let mut response = HttpResponse::with_body(StatusCode::OK, body);
        let media = match surface {
            Surface::Proxy => "application/json; charset=utf-8",
            Surface::Edge => "application/json",
        };
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
        response
    };
    let headers = response.headers_mut();
    if surface == Surface::Proxy {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=2"));
    }
    if let Some(tag) = tag.into_header() {
        headers.insert(ETAG, tag);
    }
    response
}

/// The Proxy never answers a POST with 304, Edge does (unleash-proxy.md 7.1b).
fn may_be_not_modified(request: &HttpRequest, surface: Surface) -> bool {
    match surface {
        Surface::Proxy => {
            *request.method() != Method::POST && !forbids_not_modified(request.headers())
        }
        Surface::Edge => true,
    }
}
