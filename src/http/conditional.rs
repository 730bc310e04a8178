//! Entity tags and `If-None-Match`.

use actix_web::http::header::{CACHE_CONTROL, HeaderMap, HeaderValue, IF_NONE_MATCH};

use super::route::Surface;

/// Length of a weak tag: `W/`, two quotes and 32 digits.
const LONGEST: usize = 36;
/// Where the opaque part of a tag starts, its opening quote included.
const QUOTE: usize = 2;
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// An answer's entity tag: weak on the Proxy's surface, strong on Edge's.
#[derive(Debug)]
pub(super) struct Tag {
    /// `W/`, then the hash in quotes.
    text: [u8; LONGEST],
    /// What the surface sends of it starts here: `W/` or the opening quote.
    start: usize,
}

// === impl Tag ===

impl Tag {
    pub(super) fn new(hash: u128, surface: Surface) -> Self {
        let mut text = *b"W/\"00000000000000000000000000000000\"";
        let digits = text.iter_mut().skip(QUOTE + 1);
        for (digit, byte) in digits.zip((0..32).rev().map(|at| (hash >> (4 * at)) & 0xf)) {
            *digit = DIGITS.get(byte as usize).copied().unwrap_or(b'0');
        }
        let start = match surface {
            Surface::Proxy => 0,
            Surface::Edge => QUOTE,
        };
        Self { text, start }
    }

    /// Whether the caller holds this answer already, by its `If-None-Match` headers.
    ///
    /// Compared weakly, so that a tag which a cache or a compressing proxy weakened still counts;
    /// lists and `*` are understood.
    pub(super) fn is_held_by(&self, headers: &HeaderMap) -> bool {
        let Some(opaque) = self.text.get(QUOTE..) else { return false };
        headers.get_all(IF_NONE_MATCH).any(|value| lists(value.as_bytes(), opaque))
    }

    pub(super) fn into_header(self) -> Option<HeaderValue> {
        HeaderValue::from_bytes(self.text.get(self.start..)?).ok()
    }
}

/// Whether the caller wants a whole answer whatever it holds (unleash-proxy.md 1.14).
pub(super) fn forbids_not_modified(headers: &HeaderMap) -> bool {
    headers.get_all(CACHE_CONTROL).any(|value| {
        let mut directives = value.as_bytes().split(|&byte| byte == b',');
        directives.any(|directive| directive.trim_ascii() == b"no-cache")
    })
}

/// Whether the list of entity tags `value` has `*` or `opaque` (quotes included), weak or strong.
fn lists(value: &[u8], opaque: &[u8]) -> bool {
    if value.trim_ascii() == b"*" {
        return true;
    }
    let mut rest = value;
    while let [first, tail @ ..] = rest {
        if *first != b'"' {
            rest = tail;
            continue;
        }
        // A comma inside the quotes belongs to the tag.
        let Some(end) = memchr::memchr(b'"', tail) else { return false };
        let Some((tag, after)) = rest.split_at_checked(end + 2) else { return false };
        if tag == opaque {
            return true;
        }
        rest = after;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: u128 = 0xabc;
    const OPAQUE: &str = "\"00000000000000000000000000000abc\"";

    fn held(surface: Surface, lines: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(IF_NONE_MATCH, HeaderValue::from_str(line).unwrap());
        }
        Tag::new(HASH, surface).is_held_by(&headers)
    }

    #[test]
    fn a_tag_is_recognised_weak_strong_listed_and_starred() {
        for surface in [Surface::Proxy, Surface::Edge] {
            for (line, expected) in [
                (OPAQUE.to_owned(), true),
                (format!("W/{OPAQUE}"), true),
                (format!("\"other\", W/{OPAQUE}"), true),
                (format!("W/\"a,b\",{OPAQUE} , \"z\""), true),
                (" * ".to_owned(), true),
                ("\"other\"".to_owned(), false),
                ("\"*\"".to_owned(), false),
                (OPAQUE.trim_matches('"').to_owned(), false),
                (OPAQUE.trim_end_matches('"').to_owned(), false),
                (String::new(), false),
            ] {
                assert_eq!(held(surface, &[&line]), expected, "{line}");
            }
        }
    }

    #[test]
    fn several_header_lines_are_one_list() {
        assert!(held(Surface::Edge, &["\"x\"", OPAQUE]));
        assert!(!held(Surface::Edge, &[]));
    }

    #[test]
    fn the_tag_is_weak_on_the_proxys_surface_and_strong_on_edges() {
        let header = |surface| Tag::new(HASH, surface).into_header().unwrap();
        assert_eq!(header(Surface::Proxy), format!("W/{OPAQUE}").as_str());
        assert_eq!(header(Surface::Edge), OPAQUE);
    }

    #[test]
    fn a_tag_spells_every_digit_of_its_hash() {
        for hash in [0, 1, u128::MAX, 0x0123_4567_89ab_cdef_fedc_ba98_7654_3210] {
            let header = Tag::new(hash, Surface::Edge).into_header().unwrap();
            assert_eq!(header, format!("\"{hash:032x}\"").as_str());
        }
    }

    #[test]
    fn only_the_directive_no_cache_forbids_a_304() {
        for (value, expected) in [
            ("no-cache", true),
            ("max-age=0, no-cache", true),
            ("max-age=0", false),
            ("no-cache-please", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CACHE_CONTROL, HeaderValue::from_static(value));
            assert_eq!(forbids_not_modified(&headers), expected, "{value}");
        }
    }
}
