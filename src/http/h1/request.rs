//! The requests that nearly all callers send, read as they stand.
//!
//! What is taken here is understood as actix-http understands it; whatever is not obviously so is
//! odd, and left to it. The parser of heads is the same one.

use std::mem::MaybeUninit;

use actix_web::http::{Method, Version};

use crate::http::head::{Head, Headers};

/// More lines than callers send.
const LINES: usize = 32;

static GET: Method = Method::GET;
static OPTIONS: Method = Method::OPTIONS;
static POST: Method = Method::POST;

/// How long what is read here may be, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// A head and its body.
    pub(super) request: usize,
    pub(super) body: usize,
}

/// Room for a head's lines.
pub(super) struct Room<'r>([MaybeUninit<httparse::Header<'r>>; LINES]);

/// What bytes begin with.
#[derive(Debug)]
pub(super) enum Parsed<'r> {
    /// A whole request: its head, its body, and the length of both in bytes.
    Whole(Head<'r>, &'r [u8], usize),
    /// More has to come.
    Partial,
    /// Something that is for actix-http to read.
    Odd,
}

// === impl Room ===

impl Room<'_> {
    pub(super) fn new() -> Self {
        Self([const { MaybeUninit::uninit() }; LINES])
    }
}

// === impl Parsed ===

impl<'r> Parsed<'r> {
    /// Reads what `bytes` begin with. What is longer than `limits` is odd.
    pub(super) fn read(bytes: &'r [u8], limits: Limits, room: &'r mut Room<'r>) -> Self {
        let mut request = httparse::Request::new(&mut []);
        let head_length = match request.parse_with_uninit_headers(bytes, &mut room.0) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if bytes.len() < limits.request => return Self::Partial,
            Ok(httparse::Status::Partial) | Err(_) => return Self::Odd,
        };
        let (method, target) = (request.method.and_then(method), request.path);
        let lines: &'r [httparse::Header<'r>] = request.headers;
        let (Some(method), Some(target), Some(1)) = (method, target, request.version) else {
            return Self::Odd;
        };
        let Some(body_length) = body_length(lines).filter(|_| is_plain(target)) else {
            return Self::Odd;
        };
        let length = head_length.saturating_add(body_length);
        if body_length > limits.body || length > limits.request {
            return Self::Odd;
        }
        let Some(body) = bytes.get(head_length..length) else { return Self::Partial };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let headers = Headers::from(lines);
        let head = Head { method, path, query, version: Version::HTTP_11, headers, peer: None };
        Self::Whole(head, body, length)
    }
}

fn method(name: &str) -> Option<&'static Method> {
    Some(match name {
        "GET" => &GET,
        "OPTIONS" => &OPTIONS,
        "POST" => &POST,
        _ => return None,
    })
}

/// How long the body is, in bytes. Returns `None` where a line makes the request something else than
/// a head and that many bytes, after which the connection goes on, and where not exactly one names
/// the host.
fn body_length(lines: &[httparse::Header<'_>]) -> Option<usize> {
    let (mut length, mut hosts) = (None, 0);
    for line in lines {
        let is = |name: &str| line.name.eq_ignore_ascii_case(name);
        // By their length: hardly any other name has one of these.
        match line.name.len() {
            4 if is("host") => hosts += 1,
            6 if is("expect") => return None,
            7 if is("upgrade") => return None,
            10 if is("connection") && !line.value.eq_ignore_ascii_case(b"keep-alive") => {
                return None;
            }
            14 if is("content-length") && length.is_none() => length = Some(number(line.value)?),
            14 if is("content-length") => return None,
            17 if is("transfer-encoding") => return None,
            _ => {}
        }
    }
    (hosts == 1).then_some(length.unwrap_or(0))
}

/// Reads at most seven digits and nothing else.
fn number(digits: &[u8]) -> Option<usize> {
    if !(1..=7).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Whether `target` is a path with or without a query, of no other characters than those that every
/// reader of URLs leaves as they are.
fn is_plain(target: &str) -> bool {
    // Each is looked at, whatever the ones before are: sixteen at once.
    let is = |byte: &u8| matches!(byte, b'!' | b'$'..=b';' | b'=' | b'?'..=b'[' | b']' | b'_' | b'a'..=b'z' | b'~');
    target.starts_with('/') && target.as_bytes().iter().fold(true, |all, byte| all & is(byte))
}

#[cfg(test)]
mod tests;
