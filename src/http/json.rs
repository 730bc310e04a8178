//! A JSON body, straight into a context (unleash-proxy.md 1.7, unleash-edge.md 1.2, evaluation.md
//! 2.3).

mod visit;

use std::fmt::{self, Write as _};

use serde::de::{DeserializeSeed, IgnoredAny};
use serde_json::{Map, Value, value::RawValue};

use self::visit::{Level, Object, ProxyBody, Shaped, Wrapped};
use super::{
    context::{Entries, Field, write_property, write_root},
    invalid::Invalid,
    route::Surface,
};
use crate::engine::Root;

/// Names a body may ask for. A name of two bytes makes an answer of 150, so that a body within its
/// limit would still make one far beyond it.
pub(super) const NAMES: usize = 10_000;
/// A number in its longest spelling, `-0.0000012345678901234567`, and some room.
const LONGEST_NUMBER: usize = 40;

/// Why a body cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("{0}")]
    Syntax(#[source] serde_json::Error),
    /// The Proxy takes objects and lists only.
    #[error("a JSON object was expected")]
    NoObject,
    /// JSON, but not what was asked for.
    #[error("the request does not have the expected shape")]
    Shape(Invalid),
    #[error("the body names more than `{limit}` toggles")]
    TooManyNames { limit: usize },
}

/// One value of a JSON object.
#[derive(Debug)]
enum Item<'t> {
    Text(&'t str),
    Bool(bool),
    Whole(i64),
    WholeUnsigned(u64),
    Number(f64),
    Null,
    /// An object or a list, read and dropped.
    Compound,
}

/// A number's text, on the stack.
#[derive(Debug)]
struct Digits {
    bytes: [u8; LONGEST_NUMBER],
    len: usize,
}

/// Reads the Proxy's body into `entries`. Returns the `toggles` it asks for by name.
///
/// An empty body is an empty object.
///
/// # Errors
///
/// Bad JSON before a broken schema, whatever stands first in the body, and that before too many
/// names.
pub(super) fn read_proxy<E: Entries>(
    body: &[u8],
    entries: &mut E,
) -> Result<Vec<String>, Unreadable> {
    let mut toggles = Vec::new();
    let Some(body) = strict(body)? else { return Ok(toggles) };
    let mut state = State { entries, surface: Surface::Proxy, invalid: None };
    parse(body, ProxyBody { state: &mut state, toggles: &mut toggles })?;
    match state.invalid {
        Some(invalid) => Err(Unreadable::Shape(invalid)),
        None if toggles.len() > NAMES => Err(Unreadable::TooManyNames { limit: NAMES }),
        None => Ok(toggles),
    }
}

/// Reads Edge's body, a context or an object with one in `context`, into `entries`.
///
/// # Errors
///
/// Bad JSON, an empty body among it, and what is no object.
pub(super) fn read_edge<E: Entries>(body: &[u8], entries: &mut E) -> Result<(), Unreadable> {
    let inner = wrapped(body)?;
    let mut state = State { entries, surface: Surface::Edge, invalid: None };
    let body = inner.map_or(body, |inner| inner.get().as_bytes());
    parse(body, Shaped(Object { state: &mut state, level: Level::Context }))?;
    state.invalid.map_or(Ok(()), |invalid| Err(Unreadable::Shape(invalid)))
}

/// Reads the Proxy's body as it is; an empty one is an empty object.
pub(super) fn read_value(body: &[u8]) -> Result<Value, Unreadable> {
    let Some(body) = strict(body)? else { return Ok(Value::Object(Map::new())) };
    serde_json::from_slice(body).map_err(Unreadable::Syntax)
}

/// Checks a body whose content does not matter, as the Proxy does on every method.
pub(super) fn check(body: &[u8]) -> Result<(), Unreadable> {
    let Some(body) = strict(body)? else { return Ok(()) };
    serde_json::from_slice::<IgnoredAny>(body).map(drop).map_err(Unreadable::Syntax)
}

/// The Proxy's body without its byte order mark, `None` where nothing is left of it. It has to be
/// an object or a list (unleash-proxy.md 1.6).
fn strict(body: &[u8]) -> Result<Option<&[u8]>, Unreadable> {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    match body.trim_ascii_start() {
        [] => Ok(None),
        [b'{' | b'[', ..] => Ok(Some(body)),
        _ => Err(Unreadable::NoObject),
    }
}

/// Edge's body wins by its `context`, if it has one. Looking for the word first saves most bodies
/// the second reading.
fn wrapped(body: &[u8]) -> Result<Option<&RawValue>, Unreadable> {
    let first = body.trim_ascii_start().first();
    if first != Some(&b'{') || memchr::memmem::find(body, b"\"context\"").is_none() {
        return Ok(None);
    }
    parse(body, Wrapped)
}

fn parse<'b, S: DeserializeSeed<'b>>(body: &'b [u8], seed: S) -> Result<S::Value, Unreadable> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = seed.deserialize(&mut json).map_err(Unreadable::Syntax)?;
    json.end().map_err(Unreadable::Syntax)?;
    Ok(value)
}

// === impl State ===

/// What every level of a body writes to.
struct State<'e, E> {
    entries: &'e mut E,
    surface: Surface,
    invalid: Option<Invalid>,
}

impl<E: Entries> State<'_, E> {
    fn note(&mut self, invalid: Invalid) {
        invalid.note(&mut self.invalid);
    }

    /// `root` is how the engine knows `field`.
    fn root(&mut self, field: Field, root: Root, item: &Item<'_>) {
        match item {
            Item::Null => {}
            // Only the Proxy's schema has an opinion, and none on `currentTime`.
            Item::Compound if self.surface == Surface::Proxy && root != Root::CurrentTime => {
                self.note(Invalid::ContextField(field));
            }
            Item::Compound => {}
            _ if root == Root::CurrentTime => self.time(item),
            _ => item.with_text(|text| write_root(self.entries, self.surface, root, text)),
        }
    }

    /// A number is Unix milliseconds; the Proxy takes 0 for none, as it does every falsy value.
    fn time(&mut self, item: &Item<'_>) {
        match item.as_millis() {
            Some(0) if self.surface == Surface::Proxy => {}
            Some(millis) => self.entries.time_millis(millis),
            None => item.with_text(|text| {
                write_root(self.entries, self.surface, Root::CurrentTime, text);
            }),
        }
    }

    fn property(&mut self, name: &str, item: &Item<'_>) {
        match item {
            Item::Compound if self.surface == Surface::Proxy => {
                self.note(Invalid::Property(name.into()));
            }
            _ => item.with_text(|text| write_property(self.entries, self.surface, name, text)),
        }
    }
}

// === impl Item ===

impl Item<'_> {
    /// Passes on the value's text: numbers in their shortest decimal form, as JavaScript prints
    /// them, and nothing for null, lists and objects.
    fn with_text(&self, write: impl FnOnce(&str)) {
        match *self {
            Self::Text(text) => write(text),
            Self::Bool(true) => write("true"),
            Self::Bool(false) => write("false"),
            Self::Whole(number) => write(Digits::of(format_args!("{number}")).as_str()),
            Self::WholeUnsigned(number) => write(Digits::of(format_args!("{number}")).as_str()),
            Self::Number(number) => write(shortest(number).as_str()),
            Self::Null | Self::Compound => {}
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "a time out of range saturates")]
    fn as_millis(&self) -> Option<i64> {
        match *self {
            Self::Whole(number) => Some(number),
            Self::WholeUnsigned(number) => Some(i64::try_from(number).unwrap_or(i64::MAX)),
            Self::Number(number) => Some(number as i64),
            _ => None,
        }
    }
}

/// A number the way JavaScript writes it: no trailing `.0`, an exponent only from 1e21 up and from
/// 1e-7 down.
fn shortest(number: f64) -> Digits {
    let size = number.abs();
    if size == 0.0 {
        return Digits::of(format_args!("0"));
    }
    if (1e-6..1e21).contains(&size) {
        return Digits::of(format_args!("{number}"));
    }
    let text = Digits::of(format_args!("{number:e}"));
    match text.as_str().split_once('e') {
        Some((digits, exponent)) if size >= 1.0 => Digits::of(format_args!("{digits}e+{exponent}")),
        _ => text,
    }
}

// === impl Digits ===

impl Digits {
    fn of(text: fmt::Arguments<'_>) -> Self {
        let mut digits = Self { bytes: [0; LONGEST_NUMBER], len: 0 };
        // Fails only where the text is too long, which `LONGEST_NUMBER` rules out.
        let _ = digits.write_fmt(text);
        digits
    }

    fn as_str(&self) -> &str {
        let written = self.bytes.get(..self.len).unwrap_or_default();
        std::str::from_utf8(written).unwrap_or_default()
    }
}

impl fmt::Write for Digits {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
