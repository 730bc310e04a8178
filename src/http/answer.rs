//! An evaluation or a document, told in HTTP: 304 where the caller holds it already, else the bytes.

use actix_web::{
    HttpResponse,
    body::BoxBody,
    http::{
        Method, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH},
    },
    web::Bytes,
};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{
    compress::Compressor,
    conditional::{Held, Mark, Tag, Text, forbids_not_modified},
    counters::Counters,
    head::Head,
    route::Surface,
    sheet::Sheet,
};
use crate::{
    engine::{Answer, Profile},
    snapshot::{Definitions, Edition, Verdict},
};

/// What a request is answered with.
#[derive(Debug)]
pub(super) enum Reply {
    Flags(Flags),
    Other(HttpResponse),
}

/// A list of flags. Its bytes are on the worker's sheet, until the next one is written there.
// Apart from all other answers, as most are of this kind: it costs nothing until it is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flags {
    surface: Surface,
    /// Whether the caller holds them already: there are no bytes then.
    pub(super) are_held: bool,
    pub(super) tag: Text,
}

/// A question, as far as its answer's tag depends on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'r> {
    request: Head<'r>,
    surface: Surface,
    /// Of the flags that are asked for.
    edition: Option<&'r Edition>,
    counters: &'r Counters,
    mark: Option<Mark>,
    /// Whether the caller holds any answer at all: most do not, and are asked no more about it.
    holds_any: bool,
}

// === impl Reply ===

impl From<HttpResponse> for Reply {
    fn from(response: HttpResponse) -> Self {
        Self::Other(response)
    }
}

// === impl Flags ===

impl Flags {
    pub(super) fn status(&self) -> StatusCode {
        if self.are_held { StatusCode::NOT_MODIFIED } else { StatusCode::OK }
    }

    /// The media type of the bytes.
    pub(super) fn media(&self) -> &'static str {
        media(self.surface)
    }

    /// How long a cache may keep the answer, where the surface says it.
    pub(super) fn cache_control(&self) -> Option<&'static str> {
        cache_control(self.surface)
    }

    /// The answer as actix-http sends it, with the bytes of `sheet`.
    pub(super) fn into_response(self, sheet: &Sheet) -> HttpResponse {
        let mut response = if self.are_held {
            HttpResponse::new(StatusCode::NOT_MODIFIED)
        } else {
            whole(media(self.surface), Bytes::copy_from_slice(sheet.body()))
        };
        label(&mut response, self.surface, self.tag);
        response
    }
}

fn media(surface: Surface) -> &'static str {
    match surface {
        Surface::Proxy => "application/json; charset=utf-8",
        Surface::Edge => "application/json",
    }
}

fn cache_control(surface: Surface) -> Option<&'static str> {
    match surface {
        Surface::Proxy => Some("public, max-age=2"),
        Surface::Edge => None,
    }
}

fn whole(media: &'static str, body: Bytes) -> HttpResponse {
    let mut response = HttpResponse::with_body(StatusCode::OK, BoxBody::new(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    response
}

/// Adds the headers that every answer of `surface` to a question has.
fn label(response: &mut HttpResponse, surface: Surface, tag: Text) {
    let headers = response.headers_mut();
    if let Some(value) = cache_control(surface) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(value));
    }
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(ETAG, tag);
    }
}

// === impl Asked ===

impl<'r> Asked<'r> {
    /// `body` is what of the body decides the answer: empty where nothing of it does.
    pub(super) fn new(
        request: Head<'r>,
        surface: Surface,
        body: &[u8],
        edition: Option<&'r Edition>,
        counters: &'r Counters,
    ) -> Self {
        let mark = edition.map(|edition| {
            // Nothing that another instance, or the same caller the next time, would see or spell
            // otherwise. The token stands for nothing but its scope.
            let parts = [request.path.as_bytes(), request.query.as_bytes(), body].into_iter();
            let context = parts.fold(edition.scope, |sum, part| xxh3_64_with_seed(part, sum));
            Mark { revision: edition.revision, context, basis: None }
        });
        let holds_any = request.headers.has(&IF_NONE_MATCH);
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

    /// What a caller holds that would be answered it again, whatever that is. `None`: it has to be
    /// found out.
    pub(super) fn repeat(&self) -> Option<Flags> {
        let basis = self.mark?.basis?;
        if !self.holds_any || !self.may_be_not_modified() {
            return None;
        }
        let tag = Tag::resting_on(basis, self.request.headers, self.surface)?;
        Some(Flags { surface: self.surface, are_held: true, tag })
    }

    /// The answer in the surface's manner, written on `sheet` unless the caller holds it.
    pub(super) fn respond(mut self, answer: &Answer<'_>, sheet: &mut Sheet) -> Flags {
        if answer.is_by_chance() {
            self.rest_on_chance();
        }
        let profile = match self.surface {
            Surface::Proxy => Profile::Proxy,
            Surface::Edge => Profile::Edge,
        };
        let ours = Tag::new(answer.tag(profile), self.mark);
        let held = self.held(ours);
        if held.is_none() {
            sheet.write(|body| answer.render_into(profile, body));
        }
        let tag = held.unwrap_or(ours).into_text(self.surface);
        Flags { surface: self.surface, are_held: held.is_some(), tag }
    }

    /// The document in the surface's manner, compressed once for all who ask.
    pub(super) fn respond_with(
        &self,
        definitions: &Definitions,
        compressor: &Compressor,
    ) -> HttpResponse {
        let ours = Tag::new(definitions.hash, self.mark);
        let held = self.held(ours);
        let mut response = match held {
            Some(_) => HttpResponse::new(StatusCode::NOT_MODIFIED),
            None => whole(media(self.surface), definitions.body.clone()),
        };
        label(&mut response, self.surface, held.unwrap_or(ours).into_text(self.surface));
        compressor.apply_once(self.request, response, &definitions.encodings)
    }

    /// What the caller holds and may keep instead of `ours`: just that, or something newer.
    fn held(&self, ours: Tag) -> Option<Tag> {
        if !self.holds_any {
            return None;
        }
        let held = match ours.held_by(self.request.headers) {
            Held::Other => None,
            Held::This => Some(ours),
            Held::Newer(newer, revision) => self.is_bound_by(revision).then_some(newer),
        };
        let held = held.filter(|_| self.may_be_not_modified());
        if held.is_some_and(|held| held != ours) {
            self.counters.held_back();
        }
        held
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
                *self.request.method != Method::POST && !forbids_not_modified(self.request.headers)
            }
            Surface::Edge => true,
        }
    }
}
