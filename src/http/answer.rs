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
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{
    conditional::{Held, Mark, Tag, forbids_not_modified},
    counters::Counters,
    route::Surface,
};
use crate::{
    engine::{Answer, Profile},
    snapshot::{Definitions, Edition, Verdict},
};

/// A question, as far as its answer's tag depends on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'r> {
    pub(super) request: &'r HttpRequest,
    pub(super) surface: Surface,
    /// What of the body decides the answer. Empty where nothing of it does.
    pub(super) body: &'r [u8],
    /// Of the flags that are asked for.
    pub(super) edition: Option<&'r Edition>,
    pub(super) counters: &'r Counters,
}

// === impl Asked ===

impl Asked<'_> {
    /// The answer in the surface's manner. `body_bytes` is a guess at the body's size, and becomes
    /// the size it had.
    pub(super) fn respond(&self, answer: &Answer<'_>, body_bytes: &mut usize) -> HttpResponse {
        let profile = match self.surface {
            Surface::Proxy => Profile::Proxy,
            Surface::Edge => Profile::Edge,
        };
        self.tagged(answer.tag(profile), || {
            let mut body = Vec::with_capacity(*body_bytes);
            answer.render_into(profile, &mut body);
            *body_bytes = body.len();
            Bytes::from(body)
        })
    }

    /// The document in the surface's manner.
    pub(super) fn respond_with(&self, definitions: &Definitions) -> HttpResponse {
        self.tagged(definitions.hash, || definitions.body.clone())
    }

    /// `body`'s bytes, unless the caller holds what `outcome` stands for, or something newer.
    fn tagged(&self, outcome: u128, body: impl FnOnce() -> Bytes) -> HttpResponse {
        let ours = Tag::new(outcome, self.mark());
        let held = match ours.held_by(self.request.headers()) {
            Held::Other => None,
            Held::This => Some(ours),
            Held::Newer(newer, revision) => self.is_bound_by(revision).then_some(newer),
        };
        let (mut response, tag) = match held.filter(|_| self.may_be_not_modified()) {
            Some(held) => {
                if held != ours {
                    self.counters.held_back();
                }
                (HttpResponse::new(StatusCode::NOT_MODIFIED), held)
            }
            None => (self.whole(body()), ours),
        };
        let headers = response.headers_mut();
        if self.surface == Surface::Proxy {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=2"));
        }
        if let Some(tag) = tag.into_header(self.surface) {
            headers.insert(ETAG, tag);
        }
        response
    }

    fn whole(&self, body: Bytes) -> HttpResponse {
        let mut response = HttpResponse::with_body(StatusCode::OK, BoxBody::new(body));
        let media = match self.surface {
            Surface::Proxy => "application/json; charset=utf-8",
            Surface::Edge => "application/json",
        };
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
        response
    }

    /// What the answer is made from: nothing that another instance, or the same caller the next
    /// time, would see or spell otherwise. The token stands for nothing but its scope.
    fn mark(&self) -> Option<Mark> {
        let Edition { revision, scope, .. } = self.edition?;
        let (path, query) = (self.request.path(), self.request.query_string());
        let parts = [path.as_bytes(), query.as_bytes(), self.body];
        let context = parts.into_iter().fold(*scope, |sum, part| xxh3_64_with_seed(part, sum));
        Some(Mark { revision: *revision, context })
    }

    /// Whether a caller that holds flags of `revision`, newer than ours, may keep them for now.
    /// Upstream is asked in any case.
    fn is_bound_by(&self, revision: u64) -> bool {
        self.edition.is_some_and(|edition| edition.claims.hear(revision) == Verdict::Wait)
    }

    /// The Proxy never answers a POST with 304, Edge does (unleash-proxy.md 7.1b).
    fn may_be_not_modified(&self) -> bool {
        match self.surface {
            Surface::Proxy => {
                *self.request.method() != Method::POST
                    && !forbids_not_modified(self.request.headers())
            }
            Surface::Edge => true,
        }
    }
}
