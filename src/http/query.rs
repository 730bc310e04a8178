//! A query string, straight into a context (unleash-proxy.md 1.7 and 1.8, unleash-edge.md 1.2).

mod marks;

use std::string::FromUtf8Error;

use self::marks::Marks;
use super::{
    context::{Entries, Field, write_property, write_root},
    invalid::Invalid,
    route::Surface,
};

/// Pairs beyond this many are ignored.
const PAIRS: usize = 1000;
/// Up to this index a list stays a list; a greater one is an object's key.
const LAST_INDEX: u32 = 1000;

/// Memory for decoding, kept between requests.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    name: String,
    value: String,
}

/// A decoded parameter name.
#[derive(Debug, PartialEq, Eq)]
enum Name<'n> {
    Plain(&'n str),
    /// `outer[inner]`.
    Inner {
        outer: &'n str,
        inner: &'n str,
    },
    /// `outer[…][…]`: an object inside an object, which no context can hold.
    Nested {
        outer: &'n str,
    },
}

/// A value as it stands in a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Raw<'q> {
    text: &'q str,
    is_encoded: bool,
}

/// What was seen of the declared parameters, for validation.
#[derive(Debug, Default)]
struct Seen {
    /// One bit for each field.
    fields: u8,
    /// A property with a name, which makes `properties` an object.
    named: bool,
    /// A property with an index or nothing in its brackets, which alone makes a list.
    indexed: bool,
    invalid: Option<Invalid>,
}

/// Writes the entries of `query` (without its question mark) to `entries`.
///
/// Of a parameter that is given twice the last wins. Names nobody wants are skipped undecoded.
///
/// # Errors
///
/// On the Proxy's surface, what its schema forbids; on Edge's, `properties` that are no object.
pub(super) fn read<E: Entries>(
    query: &str,
    surface: Surface,
    entries: &mut E,
    buffers: &mut Buffers,
) -> Result<(), Invalid> {
    let Buffers { name: name_buffer, value: value_buffer } = buffers;
    let mut marks = Marks::of(query.as_bytes());
    let mut seen = Seen::default();
    let mut next = Some(0);
    for _ in 0..PAIRS {
        let Some(start) = next else { break };
        let (name, value) = match cut_usual(query, start, &mut marks) {
            Some((name, value, behind)) => {
                next = behind;
                (name, value)
            }
            None => {
                let pair = cut(query.get(start..).unwrap_or_default());
                let end = start + pair.len();
                next = (end < query.len()).then_some(end + 1);
                marks.skip_before(end + 1);
                if pair.is_empty() {
                    continue;
                }
                let (name, value) = split(pair);
                (Name::parse(Raw::new(name).decode(name_buffer)), Raw::new(value))
            }
        };
        let field = Field::find(name.outer());
        seen.look_at(&name, field, surface);
        match (name, field) {
            (Name::Plain(_), Some(field)) => {
                if let Some(root) = field.root() {
                    write_root(entries, surface, root, value.decode(value_buffer));
                }
            }
            (Name::Plain(name), None) if value.is_wanted(entries, name) => {
                entries.top(name, value.decode(value_buffer));
            }
            (Name::Inner { inner, .. }, Some(Field::Properties))
                if value.is_wanted(entries, inner) =>
            {
                write_property(entries, surface, inner, value.decode(value_buffer));
            }
            _ => {}
        }
    }
    seen.verdict(surface)
}

// === impl Name ===

impl<'n> Name<'n> {
    fn parse(name: &'n str) -> Self {
        let Some((outer, rest)) = name.split_once('[') else { return Self::Plain(name) };
        if outer.is_empty() {
            return Self::Plain(name);
        }
        match rest.split_once(']') {
            Some((_, rest)) if rest.starts_with('[') => Self::Nested { outer },
            Some((inner, _)) => Self::Inner { outer, inner },
            None => Self::Plain(name),
        }
    }

    /// What decides whether it is declared.
    fn outer(&self) -> &'n str {
        match *self {
            Self::Plain(name) => name,
            Self::Inner { outer, .. } | Self::Nested { outer } => outer,
        }
    }
}

// === impl Raw ===

impl<'q> Raw<'q> {
    fn new(text: &'q str) -> Self {
        Self { text, is_encoded: memchr::memchr2(b'%', b'+', text.as_bytes()).is_some() }
    }

    /// Whether to hand it on: what is not encoded costs nothing, and entries keep what they want.
    fn is_wanted<E: Entries>(self, entries: &E, name: &str) -> bool {
        !self.is_encoded || entries.wants(name)
    }

    /// `+` is a space and `%XX` a byte of UTF-8. A text with any escape that cannot be decoded keeps
    /// them all.
    fn decode(self, buffer: &'q mut String) -> &'q str {
        if self.is_encoded { decode(self.text, buffer) } else { self.text }
    }
}

// === impl Seen ===

impl Seen {
    /// `field` is what the name's outer part declares.
    fn look_at(&mut self, name: &Name<'_>, field: Option<Field>, surface: Surface) {
        let Some(field) = field else { return };
        let is_wrong = match (name, field) {
            (Name::Plain(_), Field::Properties) => true,
            // Only the Proxy's schema looks at the others.
            _ if surface == Surface::Edge => false,
            (Name::Plain(_), _) => self.repeats(field),
            (Name::Inner { inner, .. }, Field::Properties) => {
                match is_index(inner) {
                    true => self.indexed = true,
                    false => self.named = true,
                }
                false
            }
            (Name::Nested { .. }, Field::Properties) => {
                self.named = true;
                false
            }
            (Name::Inner { .. } | Name::Nested { .. }, _) => true,
        };
        // The Proxy's schema does not know the parameter `environment`.
        if is_wrong && field != Field::Environment {
            Invalid::Query(field).note(&mut self.invalid);
        }
    }

    fn repeats(&mut self, field: Field) -> bool {
        let bit = 1 << field as u8;
        let repeated = self.fields & bit != 0;
        self.fields |= bit;
        repeated
    }

    fn verdict(mut self, surface: Surface) -> Result<(), Invalid> {
        if surface == Surface::Proxy && self.indexed && !self.named {
            Invalid::Query(Field::Properties).note(&mut self.invalid);
        }
        self.invalid.map_or(Ok(()), Err)
    }
}

/// Cuts the pair at `start` off `query`, if its name is spelled as SDKs do: without escapes or brackets,
/// or such a name in the brackets of `properties`. Returns it with the start of the next one, if there
/// is any; `None` for all other names, which [`cut`], [`split`] and [`Name::parse`] understand too.
///
/// `marks` go on from `start`, and no further than to the `&` behind the pair.
#[inline]
fn cut_usual<'q>(
    query: &'q str,
    start: usize,
    marks: &mut Marks<'_>,
) -> Option<(Name<'q>, Raw<'q>, Option<usize>)> {
    let at = marks.next()?;
    let name = query.get(start..at)?;
    let (name, value_start) = match query.as_bytes().get(at..)? {
        [b'=', ..] => (Name::Plain(name), at + 1),
        [b'[', ..] if name == "properties" => {
            let end = marks.next()?;
            let is_closed = query.as_bytes().get(end..)?.starts_with(b"]=");
            let inner = query.get(at + 1..end).filter(|_| is_closed)?;
            marks.next();
            (Name::Inner { outer: name, inner }, end + 2)
        }
        [b'%', b'5', b'B', ..] if name == "properties" => {
            let end = marks.next()?;
            let is_closed = query.as_bytes().get(end..)?.starts_with(b"%5D=");
            let inner = query.get(at + 3..end).filter(|_| is_closed)?;
            marks.next();
            (Name::Inner { outer: name, inner }, end + 4)
        }
        _ => return None,
    };
    let mut is_encoded = false;
    let value_end = loop {
        let Some(at) = marks.next() else { break query.len() };
        match query.as_bytes().get(at)? {
            b'&' => break at,
            b'%' | b'+' => is_encoded = true,
            _ => {}
        }
    };
    let value = Raw { text: query.get(value_start..value_end)?, is_encoded };
    Some((name, value, (value_end < query.len()).then_some(value_end + 1)))
}

/// The pair that `query` begins with, up to its first `&`.
fn cut(query: &str) -> &str {
    query.split_once('&').map_or(query, |(pair, _)| pair)
}

/// Splits at the first `=` outside of the name's brackets; without one the value is empty.
fn split(pair: &str) -> (&str, &str) {
    let Some((name, value)) = pair.split_once('=') else { return (pair, "") };
    let open = name.contains('[') || name.contains("%5B") || name.contains("%5b");
    let closed = || name.contains(']') || name.contains("%5D") || name.contains("%5d");
    if open && !closed() {
        for close in ["]=", "%5D=", "%5d="] {
            if let Some(at) = pair.find(close)
                && let Some((name, value)) = pair.split_at_checked(at + close.len())
            {
                return (name.strip_suffix('=').unwrap_or(name), value);
            }
        }
    }
    (name, value)
}

fn decode<'t>(raw: &'t str, buffer: &'t mut String) -> &'t str {
    let mut bytes = std::mem::take(buffer).into_bytes();
    let is_whole = unescape(raw.as_bytes(), &mut bytes);
    *buffer = match String::from_utf8(bytes) {
        Ok(text) if is_whole => text,
        other => {
            // As it stands, in the memory that there is.
            bytes = other.map_or_else(FromUtf8Error::into_bytes, String::into_bytes);
            bytes.clear();
            bytes.extend(raw.bytes().map(|byte| if byte == b'+' { b' ' } else { byte }));
            String::from_utf8(bytes).unwrap_or_default()
        }
    };
    buffer
}

/// Returns whether every escape was one.
fn unescape(raw: &[u8], buffer: &mut Vec<u8>) -> bool {
    let mut rest = raw;
    buffer.clear();
    while let Some(at) = memchr::memchr2(b'%', b'+', rest) {
        let Some((plain, [special, behind @ ..])) = rest.split_at_checked(at) else { return false };
        buffer.extend_from_slice(plain);
        rest = behind;
        if *special == b'+' {
            buffer.push(b' ');
            continue;
        }
        let [high, low, behind @ ..] = behind else { return false };
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let (Some(high), Some(low)) = (digit(*high), digit(*low)) else { return false };
        buffer.extend(u8::try_from(high * 16 + low));
        rest = behind;
    }
    buffer.extend_from_slice(rest);
    true
}

/// Whether a bracket's content makes a list: nothing, or an index in plain decimal.
fn is_index(inner: &str) -> bool {
    let plain = inner == "0" || !inner.starts_with(['0', '+']);
    inner.is_empty() || plain && inner.parse::<u32>().is_ok_and(|index| index <= LAST_INDEX)
}

#[cfg(test)]
mod tests;
