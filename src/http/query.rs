//! A query string, straight into a context (unleash-proxy.md 1.7 and 1.8, unleash-edge.md 1.2).

use super::{
    context::{Entries, Field, write_field, write_property},
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
    name: Vec<u8>,
    value: Vec<u8>,
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
    let mut seen = Seen::default();
    for pair in pairs(query).take(PAIRS).filter(|pair| !pair.is_empty()) {
        let (name, value) = match split_usual(pair) {
            Some(usual) => usual,
            None => {
                let (name, value) = split(pair);
                (Name::parse(decode(name, &mut buffers.name)), value)
            }
        };
        seen.look_at(&name, surface);
        match name {
            Name::Plain(name) => match Field::find(name) {
                Some(Field::Properties) => {}
                Some(field) => {
                    write_field(entries, surface, field, decode(value, &mut buffers.value));
                }
                None if is_worth_decoding(entries, name, value) => {
                    entries.top(name, decode(value, &mut buffers.value));
                }
                None => {}
            },
            Name::Inner { outer: "properties", inner }
                if is_worth_decoding(entries, inner, value) =>
            {
                write_property(entries, surface, inner, decode(value, &mut buffers.value));
            }
            Name::Inner { .. } | Name::Nested { .. } => {}
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
}

// === impl Seen ===

impl Seen {
    fn look_at(&mut self, name: &Name<'_>, surface: Surface) {
        let problem = match *name {
            // Only the Proxy's schema looks into them.
            Name::Inner { .. } | Name::Nested { .. } if surface == Surface::Edge => None,
            Name::Plain("properties") => Some(Field::Properties),
            Name::Plain(name) if surface == Surface::Proxy => {
                Field::find(name).filter(|&field| self.repeats(field))
            }
            Name::Plain(_) => None,
            Name::Inner { outer: "properties", inner } => {
                match is_index(inner) {
                    true => self.indexed = true,
                    false => self.named = true,
                }
                None
            }
            Name::Nested { outer: "properties" } => {
                self.named = true;
                None
            }
            Name::Inner { outer, .. } | Name::Nested { outer } => {
                Field::find(outer).filter(|_| surface == Surface::Proxy)
            }
        };
        // The Proxy's schema does not know the parameter `environment`.
        if let Some(field) = problem.filter(|&field| field != Field::Environment) {
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

/// What [`split`] and [`Name::parse`] make of a pair whose name is spelled as SDKs do: a name without
/// escapes or brackets, or such a name in the brackets of `properties`. `None` for all others.
fn split_usual(pair: &str) -> Option<(Name<'_>, &str)> {
    let (name, rest) = until_special(pair)?;
    if let Some(value) = rest.strip_prefix('=') {
        return Some((Name::Plain(name), value));
    }
    let (inner, close) = match (name, rest.as_bytes()) {
        ("properties", [b'[', ..]) => (rest.get(1..)?, "]="),
        ("properties", [b'%', b'5', b'B', ..]) => (rest.get(3..)?, "%5D="),
        _ => return None,
    };
    let (inner, rest) = until_special(inner)?;
    Some((Name::Inner { outer: "properties", inner }, rest.strip_prefix(close)?))
}

/// Splits before the first character that means something in a name. `None` where there is none.
fn until_special(text: &str) -> Option<(&str, &str)> {
    let is_special = |byte: &u8| matches!(byte, b'=' | b'%' | b'+' | b'[' | b']');
    text.split_at_checked(text.as_bytes().iter().position(is_special)?)
}

/// What stands between the `&` of a query.
fn pairs(query: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(query);
    std::iter::from_fn(move || {
        let text = rest?;
        let (pair, behind) = match memchr::memchr(b'&', text.as_bytes()) {
            Some(at) => (text.get(..at)?, text.get(at + 1..)),
            None => (text, None),
        };
        rest = behind;
        Some(pair)
    })
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

/// Whether to hand a value on: what is not encoded costs nothing, and entries keep what they want.
fn is_worth_decoding<E: Entries>(entries: &E, name: &str, value: &str) -> bool {
    !is_encoded(value) || entries.wants(name)
}

fn is_encoded(raw: &str) -> bool {
    memchr::memchr2(b'%', b'+', raw.as_bytes()).is_some()
}

/// `+` is a space and `%XX` a byte of UTF-8. A text with any escape that cannot be decoded keeps
/// them all.
fn decode<'t>(raw: &'t str, buffer: &'t mut Vec<u8>) -> &'t str {
    if !is_encoded(raw) {
        return raw;
    }
    if !unescape(raw.as_bytes(), buffer) || std::str::from_utf8(buffer).is_err() {
        buffer.clear();
        buffer.extend(raw.bytes().map(plus_to_space));
    }
    std::str::from_utf8(buffer).unwrap_or(raw)
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

fn plus_to_space(byte: u8) -> u8 {
    if byte == b'+' { b' ' } else { byte }
}

/// Whether a bracket's content makes a list: nothing, or an index in plain decimal.
fn is_index(inner: &str) -> bool {
    let plain = inner == "0" || !inner.starts_with(['0', '+']);
    inner.is_empty() || plain && inner.parse::<u32>().is_ok_and(|index| index <= LAST_INDEX)
}

#[cfg(test)]
mod tests;
