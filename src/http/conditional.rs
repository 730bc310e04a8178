//! Entity tags and `If-None-Match`.
//!
//! ```text
//!   W/"0123456789abcdef0123456789abcdef-1b2-fedcba9876543210-0f1e2d3c4b5a6978"
//!      what the answer says             │   │                └ what it rests on
//!                                       │   └ what was asked, by whom
//!                                       └ the revision it was computed from
//! ```
//!
//! All parts are hexadecimal, and the same on every instance and after every restart. Whether a
//! caller holds the answer is decided by the first part alone. The next two tell an instance that
//! it is behind (`docs/adr/0003-a-page-never-goes-back.md`); they are missing where upstream counts
//! no revisions. The last one tells that the first would be the same again
//! (`docs/adr/0004-the-same-question-again.md`); it is missing where chance had a hand in it.

use std::fmt;

use actix_web::http::header::{CACHE_CONTROL, HeaderValue, IF_NONE_MATCH, InvalidHeaderValue};

use super::{head::Headers, route::Surface};

/// Length of the longest weak tag: `W/`, two quotes, 32 digits, three dashes, thrice 16 digits.
const LONGEST: usize = 87;
/// Length of what stands between its quotes.
const LONGEST_OPAQUE: usize = LONGEST - 4;
/// Digits of an outcome.
const OUTCOME: usize = 32;
/// Digits of each hash behind it, and the most that a revision has.
const WORD: usize = 16;

/// An answer's entity tag: weak on the Proxy's surface, strong on Edge's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    /// A hash of what the answer says.
    outcome: u128,
    mark: Option<Mark>,
}

/// What an answer was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) revision: u64,
    /// A hash of what was asked, and of what the asker may see.
    pub(super) context: u64,
    /// A hash of all that decided the answer, what was asked among it: who asks again on the same
    /// basis gets the same. `None` where chance decided.
    pub(super) basis: Option<u64>,
}

/// What a caller's `If-None-Match` says of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// It is not among what the caller holds.
    Other,
    /// The caller holds it.
    This,
    /// The caller holds another answer to the same question, of a newer revision than ours: the
    /// newest one of those. It has a mark.
    Newer(Tag, u64),
}

/// A tag as it is spelled in a header.
#[derive(Clone, Copy)]
pub(super) struct Text {
    bytes: [u8; LONGEST],
    len: usize,
}

// === impl Tag ===

impl Tag {
    pub(super) fn new(outcome: u128, mark: Option<Mark>) -> Self {
        Self { outcome, mark }
    }

    /// Reads what stands between a tag's quotes. Returns `None` for a tag that is not of our form.
    fn parse(opaque: &[u8]) -> Option<Self> {
        let (outcome, rest) = opaque.split_at_checked(OUTCOME)?;
        let outcome = number(outcome)?;
        let Some(rest) = rest.strip_prefix(b"-") else {
            return rest.is_empty().then_some(Self { outcome, mark: None });
        };
        let (revision, rest) = rest.split_at_checked(memchr::memchr(b'-', rest)?)?;
        let (context, rest) = rest.get(1..)?.split_at_checked(WORD)?;
        let basis = match rest {
            [] => None,
            [b'-', basis @ ..] if basis.len() == WORD => Some(word(basis)?),
            _ => return None,
        };
        let (revision, context) = (word(revision)?, word(context)?);
        Some(Self { outcome, mark: Some(Mark { revision, context, basis }) })
    }

    /// The first tag among the caller's `If-None-Match` headers that rests on `basis`, as `surface`
    /// spells it: the answer would be that one again.
    // Found and repeated as text: most requests are answered here.
    pub(super) fn resting_on(basis: u64, headers: Headers<'_>, surface: Surface) -> Option<Text> {
        let mut end = Text::default();
        end.push(b"-");
        end.push(&digits_of(basis));
        let rests_on_it = |held: &&[u8]| {
            held.ends_with(end.as_bytes()) && held.len() <= LONGEST_OPAQUE && is_ours(held)
        };
        let held = headers.all(&IF_NONE_MATCH).flat_map(Opaques).find(rests_on_it)?;
        let mut text = Text::opened(surface);
        text.push(held);
        Some(text.closed())
    }

    /// What the caller holds, by its `If-None-Match` headers.
    ///
    /// Compared weakly, so that a tag which a cache or a compressing proxy weakened still counts;
    /// lists and `*` are understood. Who holds this answer among others holds this answer.
    pub(super) fn held_by(&self, headers: Headers<'_>) -> Held {
        let mut newest = Held::Other;
        for value in headers.all(&IF_NONE_MATCH) {
            if value.trim_ascii() == b"*" {
                return Held::This;
            }
            for held in Opaques(value).filter_map(Self::parse) {
                if held.outcome == self.outcome {
                    return Held::This;
                }
                let revision = self.overtaken_by(&held);
                match (revision, newest) {
                    (Some(revision), Held::Newer(_, known)) if revision <= known => {}
                    (Some(revision), _) => newest = Held::Newer(held, revision),
                    (None, _) => {}
                }
            }
        }
        newest
    }

    /// The revision of `other`, where it answers the same question from a newer one.
    fn overtaken_by(&self, other: &Self) -> Option<u64> {
        let (ours, theirs) = (self.mark?, other.mark?);
        let is_newer = theirs.context == ours.context && theirs.revision > ours.revision;
        is_newer.then_some(theirs.revision)
    }

    /// The tag as `surface` spells it.
    pub(super) fn into_text(self, surface: Surface) -> Text {
        let mut text = Text::opened(surface);
        text.push(&digits_of((self.outcome >> u64::BITS) as u64));
        text.push(&digits_of(self.outcome as u64));
        if let Some(mark) = self.mark {
            text.push(b"-");
            let leading = (mark.revision | 1).leading_zeros() as usize / 4;
            text.push(digits_of(mark.revision).get(leading..).unwrap_or_default());
            text.push(b"-");
            text.push(&digits_of(mark.context));
            if let Some(basis) = mark.basis {
                text.push(b"-");
                text.push(&digits_of(basis));
            }
        }
        text.closed()
    }
}

// === impl Text ===

impl Default for Text {
    fn default() -> Self {
        Self { bytes: [0; LONGEST], len: 0 }
    }
}

impl Text {
    /// As far as the opening quote.
    fn opened(surface: Surface) -> Self {
        let mut text = Self::default();
        text.push(match surface {
            Surface::Proxy => b"W/\"",
            Surface::Edge => b"\"",
        });
        text
    }

    fn closed(mut self) -> Self {
        self.push(b"\"");
        self
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Appends `more`, or nothing where that would be longer than the longest tag.
    fn push(&mut self, more: &[u8]) {
        let end = self.len + more.len();
        if let Some(free) = self.bytes.get_mut(self.len..end) {
            free.copy_from_slice(more);
            self.len = end;
        }
    }
}

impl TryFrom<Text> for HeaderValue {
    type Error = InvalidHeaderValue;

    fn try_from(text: Text) -> Result<Self, InvalidHeaderValue> {
        Self::from_bytes(text.as_bytes())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(self.as_bytes()).fmt(f)
    }
}

/// The opaque parts, without quotes, of a list of entity tags, weak or strong.
struct Opaques<'v>(&'v [u8]);

impl<'v> Iterator for Opaques<'v> {
    type Item = &'v [u8];

    fn next(&mut self) -> Option<&'v [u8]> {
        // A comma inside the quotes belongs to the tag.
        let start = memchr::memchr(b'"', self.0)?;
        let (_, tail) = self.0.split_at_checked(start + 1)?;
        let (opaque, rest) = tail.split_at_checked(memchr::memchr(b'"', tail)?)?;
        self.0 = rest.get(1..)?;
        Some(opaque)
    }
}

/// All hexadecimal digits of `word`, in lower case.
fn digits_of(word: u64) -> [u8; WORD] {
    // Eight at once, each in a byte of a word: a number from 0 to 15 first, then its digit.
    let eight = |half: u64| {
        let pairs = (half | half << 16) & 0x0000_ffff_0000_ffff;
        let pairs = (pairs | pairs << 8) & 0x00ff_00ff_00ff_00ff;
        let numbers = (pairs | pairs << 4) & 0x0f0f_0f0f_0f0f_0f0f;
        let are_letters = ((numbers + 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101;
        numbers + 0x3030_3030_3030_3030 + are_letters * u64::from(b'a' - b'0' - 10)
    };
    let [high, low] = [word >> 32, word & 0xffff_ffff].map(eight).map(u128::from);
    (high << u64::BITS | low).to_be_bytes()
}

/// Whether a tag has no other characters than ours.
fn is_ours(opaque: &[u8]) -> bool {
    // Each is looked at, whatever the ones before are: sixteen at once.
    let is = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-');
    opaque.iter().fold(true, |all, byte| all & is(byte))
}

/// Reads digits as we write them: hexadecimal, in lower case, at least one and at most 32.
fn number(digits: &[u8]) -> Option<u128> {
    if digits.is_empty() || digits.len() > OUTCOME {
        return None;
    }
    digits.iter().try_fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

/// As [`number`], of at most 16 digits.
fn word(digits: &[u8]) -> Option<u64> {
    if digits.len() > WORD {
        return None;
    }
    u64::try_from(number(digits)?).ok()
}

/// Whether the caller wants a whole answer whatever it holds (unleash-proxy.md 1.14).
pub(super) fn forbids_not_modified(headers: Headers<'_>) -> bool {
    headers.all(&CACHE_CONTROL).any(|value| {
        let mut directives = value.split(|&byte| byte == b',');
        directives.any(|directive| directive.trim_ascii() == b"no-cache")
    })
}

#[cfg(test)]
mod tests;
