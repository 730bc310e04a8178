//! Compressed answers: what the caller accepts, and the encoders that make it.
//!
//! Encoders live as long as their worker, so that none is built per answer. An answer too short to
//! gain is sent as it is, as both predecessors do (unleash-proxy.md 1.14).

use std::{cell::RefCell, io::Write as _};

use actix_web::{
    HttpResponse,
    body::{BodySize, BoxBody, MessageBody as _},
    http::{
        Method,
        header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue},
    },
    web::Bytes,
};
use flate2::{Compress, Compression, FlushCompress, Status};

use super::head::{Head, Headers};
use crate::snapshot::Encodings;

/// Shorter bodies are sent plain, in bytes: they fit one packet either way.
const SHORTEST: usize = 1024;
/// The window that every inflater can take, in bits.
const WINDOW_BITS: u8 = 15;
/// The levels are the ones where another per cent of size begins to cost more than a per cent of
/// time (`cargo bench --bench compress`); answers are made for one caller, and are in no cache.
const ZSTD_LEVEL: i32 = -1;
const DEFLATE_LEVEL: u32 = 1;
const BROTLI_LEVEL: u32 = 2;
const BROTLI_WINDOW_BITS: u32 = 18;

/// What a body can be sent in, the cheapest to make first: of those that a caller likes equally well
/// the first is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Zstd,
    Gzip,
    Brotli,
    Deflate,
}

/// How much a caller likes each coding, per mille, as the header's weights have three digits.
#[derive(Debug, Default)]
struct Weights {
    codings: [Option<u32>; Coding::ALL.len()],
    /// Of those that are not named.
    others: Option<u32>,
    /// Of the body as it is.
    plain: Option<u32>,
}

/// The encoders of one worker.
#[derive(Default)]
pub(super) struct Compressor {
    // INVARIANT: never borrowed across an await.
    encoders: RefCell<Encoders>,
}

#[derive(Default)]
struct Encoders {
    // Each is made when first needed: hardly any worker needs them all.
    zstd: Option<zstd::bulk::Compressor<'static>>,
    gzip: Option<Compress>,
    deflate: Option<Compress>,
}

// === impl Coding ===

impl Coding {
    const ALL: [Self; 4] = [Self::Zstd, Self::Gzip, Self::Brotli, Self::Deflate];

    fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Deflate => "deflate",
        }
    }
}

// === impl Weights ===

impl Weights {
    fn read(headers: Headers<'_>) -> Self {
        let mut weights = Self::default();
        for value in headers.all(&ACCEPT_ENCODING) {
            for item in value.split(|&byte| byte == b',') {
                let mut parts = item.split(|&byte| byte == b';');
                let name = parts.next().unwrap_or_default().trim_ascii();
                let weight = parts.find_map(weight).unwrap_or(1000);
                let is_named =
                    |(_, coding): &(_, Coding)| name.eq_ignore_ascii_case(coding.name().as_bytes());
                match weights.codings.iter_mut().zip(Coding::ALL).find(is_named) {
                    Some((slot, _)) => *slot = Some(weight),
                    None if name == b"*" => weights.others = Some(weight),
                    None if name.eq_ignore_ascii_case(b"identity") => weights.plain = Some(weight),
                    None => {}
                }
            }
        }
        weights
    }

    /// Every coding with its weight; 0 is a no.
    fn each(&self) -> impl Iterator<Item = (u32, Coding)> {
        let weights = self.codings.iter().map(|weight| weight.or(self.others).unwrap_or(0));
        weights.zip(Coding::ALL)
    }

    /// What the caller likes best. `None`: the body as it is.
    fn best(&self) -> Option<Coding> {
        let mut best = (self.plain.unwrap_or(0), None);
        for (weight, coding) in self.each() {
            if weight > best.0 || weight == best.0 && weight > 0 && best.1.is_none() {
                best = (weight, Some(coding));
            }
        }
        best.1
    }
}

/// What the caller likes best. `None`: the body as it is.
fn favourite(headers: Headers<'_>) -> Option<Coding> {
    // Who names no coding takes none: the commonest case, and the one that is found out fastest.
    headers.has(&ACCEPT_ENCODING).then(|| Weights::read(headers).best())?
}

/// Whether the caller reads gzip, for who has nothing else.
pub(super) fn takes_gzip(headers: Headers<'_>) -> bool {
    Weights::read(headers).each().any(|(weight, coding)| coding == Coding::Gzip && weight > 0)
}

/// The weight that a parameter of an item says, per mille. `None` for any other parameter.
fn weight(parameter: &[u8]) -> Option<u32> {
    let (name, value) = parameter.trim_ascii().split_first()?;
    let value = value.trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
    if !name.eq_ignore_ascii_case(&b'q') {
        return None;
    }
    // What is no weight wishes for nothing.
    let weight = std::str::from_utf8(value).ok().and_then(|text| text.parse::<f32>().ok());
    Some((weight.unwrap_or(0.0).clamp(0.0, 1.0) * 1000.0) as u32)
}

// === impl Compressor ===

impl Compressor {
    /// Compresses the body of `response` if the caller accepts that and it gains.
    ///
    /// `Vary` is not touched: every answer names `Accept-Encoding` there already.
    pub(super) fn apply(&self, request: Head<'_>, response: HttpResponse) -> HttpResponse {
        encoded(request, response, |coding, plain| self.encode(coding, plain))
    }

    /// `plain` as the caller likes it best, and the name of that coding. Returns `None` where it takes
    /// the body as it is, or where that is too short to gain.
    pub(super) fn pack(&self, headers: Headers<'_>, plain: &[u8]) -> Option<(&'static str, Bytes)> {
        let coding = (plain.len() >= SHORTEST).then(|| favourite(headers))??;
        Some((coding.name(), self.encode(coding, plain)?))
    }

    /// As [`Compressor::apply`], for a body that many ask for: `encodings` are its compressed forms.
    pub(super) fn apply_once(
        &self,
        request: Head<'_>,
        response: HttpResponse,
        encodings: &Encodings,
    ) -> HttpResponse {
        encoded(request, response, |coding, plain| {
            encodings.get(coding as usize, || self.encode(coding, plain))
        })
    }

    fn encode(&self, coding: Coding, plain: &[u8]) -> Option<Bytes> {
        self.encoders.borrow_mut().encode(coding, plain).map(Bytes::from)
    }
}

/// `response` with the body that `encode` makes in the coding that the caller likes best.
fn encoded(
    request: Head<'_>,
    response: HttpResponse,
    encode: impl FnOnce(Coding, &[u8]) -> Option<Bytes>,
) -> HttpResponse {
    // To HEAD the plain size is told, as the originals do.
    if *request.method == Method::HEAD || !is_compressible(&response) {
        return response;
    }
    let Some(coding) = favourite(request.headers) else { return response };
    response.map_body(|head, body| match body.try_into_bytes() {
        Err(body) => body,
        // An encoder fails for want of memory alone; that costs the gain, not the answer.
        Ok(plain) => match encode(coding, &plain) {
            None => BoxBody::new(plain),
            Some(encoded) => {
                let name = HeaderValue::from_static(coding.name());
                head.headers.insert(CONTENT_ENCODING, name);
                BoxBody::new(encoded)
            }
        },
    })
}

/// Whether the body is text, long enough, and not encoded already.
fn is_compressible(response: &HttpResponse) -> bool {
    let BodySize::Sized(size) = response.body().size() else { return false };
    let headers = response.headers();
    let media = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let is_text = media.starts_with(b"text/") || media.starts_with(b"application/json");
    size >= SHORTEST as u64 && is_text && !headers.contains_key(CONTENT_ENCODING)
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}

// === impl Encoders ===

impl Encoders {
    /// `plain` in `coding`. `None` when its encoder fails.
    fn encode(&mut self, coding: Coding, plain: &[u8]) -> Option<Vec<u8>> {
        match coding {
            Coding::Zstd => {
                if self.zstd.is_none() {
                    self.zstd = zstd::bulk::Compressor::new(ZSTD_LEVEL).ok();
                }
                self.zstd.as_mut()?.compress(plain).ok()
            }
            Coding::Gzip => {
                let level = Compression::new(DEFLATE_LEVEL);
                let fresh = || Compress::new_gzip(level, WINDOW_BITS);
                deflated(self.gzip.get_or_insert_with(fresh), plain)
            }
            // Named after the stream within, but in zlib's wrapping (RFC 9110 8.4.1.2).
            Coding::Deflate => {
                let fresh = || Compress::new(Compression::new(DEFLATE_LEVEL), true);
                deflated(self.deflate.get_or_insert_with(fresh), plain)
            }
            Coding::Brotli => {
                let mut encoded = Vec::with_capacity(plain.len() / 4);
                let size = plain.len();
                let mut writer = brotli::CompressorWriter::new(
                    &mut encoded,
                    size,
                    BROTLI_LEVEL,
                    BROTLI_WINDOW_BITS,
                );
                writer.write_all(plain).ok()?;
                // Dropping it writes the end of the stream.
                drop(writer);
                Some(encoded)
            }
        }
    }
}

fn deflated(encoder: &mut Compress, plain: &[u8]) -> Option<Vec<u8>> {
    encoder.reset();
    let mut encoded = Vec::with_capacity(plain.len() / 4 + 64);
    loop {
        let rest = plain.get(usize::try_from(encoder.total_in()).ok()?..)?;
        match encoder.compress_vec(rest, &mut encoded, FlushCompress::Finish) {
            Ok(Status::StreamEnd) => return Some(encoded),
            // Full: what does not compress outgrows any guess.
            Ok(_) => encoded.reserve(encoded.len().max(64)),
            Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests;
