//! An evaluation or a document, told in HTTP: 304 where the caller holds it already, else the bytes.

use actix_web::{
    HttpResponse,
    body::BoxBody,
    dev::RequestHead,
    http::{
        Method, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH},
    },
    web::Bytes,
};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{
    compress::Compressor,
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
    request: &'r RequestHead,
    surface: Surface,
    /// Of the flags that are asked for.
    edition: Option<&'r Edition>,
    counters: &'r Counters,
    mark: Option<Mark>,
    /// Whether the caller holds any answer at all: most do not, and are asked no more about it.
    holds_any: bool,
}

// === impl Asked ===

impl<'r> Asked<'r> {
    /// `body` is what of the body decides the answer: empty where nothing of it does.
    pub(super) fn new(
        request: &'r RequestHead,
        surface: Surface,
        body: &[u8],
        edition: Option<&'r Edition>,
        counters: &'r Counters,
    ) -> Self {
        let mark = edition.map(|edition| {
            // Nothing that another instance, or the same caller the next time, would see or spell
            // otherwise. The token stands for nothing but its scope.
            let (path, query) = (request.uri.path(), request.uri.query().unwrap_or_default());
            let parts = [path.as_bytes(), query.as_bytes(), body].into_iter();
            let context = parts.fold(edition.scope, |sum, part| xxh3_64_with_seed(part, sum));
            Mark { revision: edition.revision, context, basis: None }
        });
        let holds_any = request.headers().contains_key(IF_NONE_MATCH);
        Self { request, surface, edition, counters, mark, holds_any }
    }

    /// Says what else the answer will be decided by, as a hash of it. Not asked for where tags have
    /// no room for it.
    pub(super) fn rest_on(&mut self, basis: impl FnOnce() -> u64) {
        if let Some(mark) = &mut self.mark {
            mark.basis = Some(xxh3_64_with_seed(&mark.context.to_le_bytes(), basis()));
        }
    }

    /// Says that the same question may be answered otherwise the next time.
    pub(super) fn rest_on_chance(&mut self) {
        if let Some(mark) = &mut self.mark {
            mark.basis = None;
        }
    }

    /// 304 for a caller that holds what it would be answered again, whatever that is. `None`: it
    /// has to be found out.
    pub(super) fn repeat(&self) -> Option<HttpResponse> {
        let basis = self.mark?.basis?;
        if !self.holds_any || !self.may_be_not_modified() {
            return None;
        }
        let held = Tag::resting_on(basis, self.request.headers(), self.surface)?;
        Some(self.sent(HttpResponse::new(StatusCode::NOT_MODIFIED), Some(held)))
    }

    /// The answer in the surface's manner. `body_bytes` is a guess at the body's size, and becomes
    /// a better one.
    pub(super) fn respond(mut self, answer: &Answer<'_>, body_bytes: &mut usize) -> HttpResponse {
        if answer.is_by_chance() {
            self.rest_on_chance();
        }
        let profile = match self.surface {
            Surface::Proxy => Profile::Proxy,
            Surface::Edge => Profile::Edge,
        };
        self.tagged(answer.tag(profile), || {
            let mut body = Vec::with_capacity(*body_bytes);
            answer.render_into(profile, &mut body);
            // The longest of late: growing costs more than some room to spare.
            *body_bytes = body.len().max(*body_bytes - *body_bytes / 64);
            Bytes::from(body)
        })
    }

    /// The document in the surface's manner, compressed once for all who ask.
    pub(super) fn respond_with(
        &self,
        definitions: &Definitions,
        compressor: &Compressor,
    ) -> HttpResponse {
        let response = self.tagged(definitions.hash, || definitions.body.clone());
        let (method, headers) = (&self.request.method, self.request.headers());
        compressor.apply_once(method, headers, response, &definitions.encodings)
    }

    /// `body`'s bytes, unless the caller holds what `outcome` stands for, or something newer.
    fn tagged(&self, outcome: u128, body: impl FnOnce() -> Bytes) -> HttpResponse {
        let ours = Tag::new(outcome, self.mark);
        let held = match self.holds_any {
            true => ours.held_by(self.request.headers()),
            false => Held::Other,
        };
        let held = match held {
            Held::Other => None,
            Held::This => Some(ours),
            Held::Newer(newer, revision) => self.is_bound_by(revision).then_some(newer),
        };
        let (response, tag) = match held.filter(|_| self.may_be_not_modified()) {
            Some(held) => {
                if held != ours {
                    self.counters.held_back();
                }
                (HttpResponse::new(StatusCode::NOT_MODIFIED), held)
            }
            None => (self.whole(body()), ours),
        };
        self.sent(response, tag.into_header(self.surface))
    }

    /// `response` with the headers that every answer has.
    fn sent(&self, mut response: HttpResponse, tag: Option<HeaderValue>) -> HttpResponse {
        let headers = response.headers_mut();
        if self.surface == Surface::Proxy {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=2"));
        }
        if let Some(tag) = tag {
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

    /// Whether a caller that holds flags of `revision`, newer than ours, may keep them for now.
    /// Upstream is asked in any case.
    fn is_bound_by(&self, revision: u64) -> bool {
        self.edition.is_some_and(|edition| edition.claims.hear(revision) == Verdict::Wait)
    }

    /// The Proxy never answers a POST with 304, Edge does (unleash-proxy.md 7.1b).
    fn may_be_not_modified(&self) -> bool {
        match self.surface {
            Surface::Proxy => {
                self.request.method != Method::POST && !forbids_not_modified(self.request.headers())
            }
            Surface::Edge => true,
        }
    }
}
