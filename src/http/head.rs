//! A request's head, whoever read it: actix-http or [`h1`](super::h1).

use std::net::SocketAddr;

use actix_web::{
    dev::RequestHead,
    http::{
        Method, Version,
        header::{HeaderMap, HeaderName, HeaderValue},
    },
};

/// What a request says before its body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'r> {
    pub(super) method: &'r Method,
    /// As it was sent: nothing in it is decoded.
    pub(super) path: &'r str,
    /// What follows the question mark; empty without one.
    pub(super) query: &'r str,
    pub(super) version: Version,
    pub(super) headers: Headers<'r>,
    /// Who is at the other end of the connection.
    pub(super) peer: Option<SocketAddr>,
}

/// The header lines of a request. Names are found in any case, values are without the spaces around
/// them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Headers<'r>(Lines<'r>);

#[derive(Clone, Copy, Debug)]
enum Lines<'r> {
    Map(&'r HeaderMap),
    AsSent(&'r [httparse::Header<'r>]),
}

// === impl Head ===

impl<'r> From<&'r RequestHead> for Head<'r> {
    fn from(head: &'r RequestHead) -> Self {
        Self {
            method: &head.method,
            path: head.uri.path(),
            query: head.uri.query().unwrap_or_default(),
            version: head.version,
            headers: Headers::from(&head.headers),
            peer: head.peer_addr,
        }
    }
}

// === impl Headers ===

impl<'r> Headers<'r> {
    /// The value of the first line called `name`.
    pub(super) fn get(self, name: &HeaderName) -> Option<&'r [u8]> {
        match self.0 {
            Lines::Map(map) => map.get(name).map(HeaderValue::as_bytes),
            Lines::AsSent(lines) => called(lines, name).next(),
        }
    }

    /// As [`Headers::get`]. Returns `None` also for a value that is more than visible ASCII, spaces
    /// and tabs.
    pub(super) fn text(self, name: &HeaderName) -> Option<&'r str> {
        self.get(name).and_then(text)
    }

    /// The values of all lines called `name`, in the order in which they came.
    pub(super) fn all(self, name: &HeaderName) -> impl Iterator<Item = &'r [u8]> {
        let (map, lines) = match self.0 {
            Lines::Map(map) => (Some(map), &[][..]),
            Lines::AsSent(lines) => (None, lines),
        };
        let values =
            map.into_iter().flat_map(move |map| map.get_all(name)).map(HeaderValue::as_bytes);
        values.chain(called(lines, name))
    }

    /// How many lines there are.
    #[cfg(test)]
    pub(super) fn len(self) -> usize {
        match self.0 {
            Lines::Map(map) => map.len(),
            Lines::AsSent(lines) => lines.len(),
        }
    }

    pub(super) fn has(self, name: &HeaderName) -> bool {
        self.get(name).is_some()
    }
}

impl<'r> From<&'r HeaderMap> for Headers<'r> {
    fn from(map: &'r HeaderMap) -> Self {
        Self(Lines::Map(map))
    }
}

impl<'r> From<&'r [httparse::Header<'r>]> for Headers<'r> {
    fn from(lines: &'r [httparse::Header<'r>]) -> Self {
        Self(Lines::AsSent(lines))
    }
}

/// A value as text. Returns `None` where it is more than visible ASCII, spaces and tabs.
pub(super) fn text(value: &[u8]) -> Option<&str> {
    let is_plain = value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
    is_plain.then(|| std::str::from_utf8(value).ok()).flatten()
}

fn called<'r>(
    lines: &'r [httparse::Header<'r>],
    name: &HeaderName,
) -> impl Iterator<Item = &'r [u8]> {
    let name = name.as_str();
    let called = lines.iter().filter(move |line| line.name.eq_ignore_ascii_case(name));
    called.map(|line| line.value)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{ACCEPT, ETAG, IF_NONE_MATCH};

    use super::*;

    #[test]
    fn both_kinds_of_lines_are_read_alike() {
        let lines =
            [("If-None-Match", &b"\"a\""[..]), ("accept", b"\xff"), ("IF-NONE-MATCH", b"*")];
        let as_sent = lines.map(|(name, value)| httparse::Header { name, value });
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            map.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        for headers in [Headers::from(&as_sent[..]), Headers::from(&map)] {
            assert_eq!(headers.get(&IF_NONE_MATCH), Some(&b"\"a\""[..]));
            assert_eq!(headers.text(&IF_NONE_MATCH), Some("\"a\""));
            let all: Vec<_> = headers.all(&IF_NONE_MATCH).collect();
            assert_eq!(all, [&b"\"a\""[..], b"*"]);
            assert_eq!(headers.get(&ACCEPT), Some(&b"\xff"[..]));
            assert_eq!(headers.text(&ACCEPT), None);
            assert!(headers.has(&ACCEPT));
            assert!(!headers.has(&ETAG));
            assert_eq!(headers.all(&ETAG).count(), 0);
        }
    }

    #[test]
    fn text_is_what_a_header_value_takes_for_it() {
        for byte in 0..=u8::MAX {
            let Ok(value) = HeaderValue::from_bytes(&[byte]) else { continue };
            assert_eq!(text(&[byte]), value.to_str().ok(), "{byte}");
        }
    }
}
