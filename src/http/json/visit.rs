//! The parser's side: every level of a body as a visitor that passes on what it sees, so that no
//! value is built in between.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use serde_json::value::RawValue;

use super::{Item, NAMES, State};
use crate::http::{
    context::{Entries, Field},
    invalid::Invalid,
    route::Surface,
};

#[derive(Deserialize)]
struct Key<'k>(#[serde(borrow)] Cow<'k, str>);

// === impl ProxyBody ===

/// The Proxy's whole body.
pub(super) struct ProxyBody<'s, 'e, E> {
    pub(super) state: &'s mut State<'e, E>,
    pub(super) toggles: &'s mut Vec<String>,
}

impl<'de, E: Entries> DeserializeSeed<'de> for ProxyBody<'_, '_, E> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, E: Entries> Visitor<'de> for ProxyBody<'_, '_, E> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        // Of a key that is given twice the last value counts, and so do its problems alone.
        let (mut context, mut toggles) = (None, None);
        while let Some(Key(key)) = map.next_key()? {
            match &*key {
                "context" => {
                    self.state.entries.clear();
                    let part = Object { state: self.state, level: Level::Context };
                    map.next_value_seed(Shaped(part))?;
                    context = self.state.invalid.take();
                }
                "toggles" => {
                    self.toggles.clear();
                    let part = Toggles { state: self.state, toggles: self.toggles };
                    map.next_value_seed(Shaped(part))?;
                    toggles = self.state.invalid.take();
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        for invalid in [context, toggles].into_iter().flatten() {
            self.state.note(invalid);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        self.state.note(Invalid::Body);
        Ok(())
    }
}

// === impl Wrapped ===

/// The part of Edge's body that decides whether it is wrapped: its last `context`, where that is
/// not null.
#[derive(Debug)]
pub(super) struct Wrapped;

impl<'de> DeserializeSeed<'de> for Wrapped {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Wrapped {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut context = None;
        while let Some(Key(key)) = map.next_key()? {
            match &*key {
                "context" => context = map.next_value()?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(context)
    }
}

// === impl Object ===

/// An object whose entries belong into the context.
pub(super) struct Object<'s, 'e, E> {
    pub(super) state: &'s mut State<'e, E>,
    pub(super) level: Level,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Context,
    Properties,
}

impl<E: Entries> Object<'_, '_, E> {
    fn read_entry<'de, A: MapAccess<'de>>(
        &mut self,
        key: &str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        let state = &mut *self.state;
        match (self.level, Field::find(key)) {
            (Level::Context, Some(field)) => match field.root() {
                Some(root) => map.next_value_seed(Scalar(|item: &Item<'_>| {
                    state.root(field, root, item);
                })),
                None => map.next_value_seed(Shaped(Object { state, level: Level::Properties })),
            },
            (Level::Context, None) if state.entries.wants(key) => {
                map.next_value_seed(Scalar(|item: &Item<'_>| {
                    item.with_text(|text| state.entries.top(key, text));
                }))
            }
            // The Proxy's schema wants to see even the properties nobody asks for.
            (Level::Properties, _)
                if state.surface == Surface::Proxy || state.entries.wants(key) =>
            {
                map.next_value_seed(Scalar(|item: &Item<'_>| state.property(key, item)))
            }
            _ => map.next_value::<IgnoredAny>().map(drop),
        }
    }
}

impl<'de, E: Entries> Part<'de> for Object<'_, '_, E> {
    const EXPECTED: &'static str = "an object";

    fn wrong(self) {
        self.state.note(match self.level {
            Level::Context => Invalid::Context,
            Level::Properties => Invalid::ContextField(Field::Properties),
        });
    }

    fn map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(Key(key)) = map.next_key()? {
            self.read_entry(&key, &mut map)?;
        }
        Ok(())
    }

    fn null(self) {
        // To Edge null properties are no properties.
        if (self.state.surface, self.level) != (Surface::Edge, Level::Properties) {
            self.wrong();
        }
    }
}

// === impl Toggles ===

/// The names in `toggles`.
struct Toggles<'s, 'e, E> {
    state: &'s mut State<'e, E>,
    toggles: &'s mut Vec<String>,
}

impl<'de, E: Entries> Part<'de> for Toggles<'_, '_, E> {
    const EXPECTED: &'static str = "a list";

    fn wrong(self) {
        self.state.note(Invalid::Toggles);
    }

    fn list<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self { state, toggles } = self;
        let mut index = 0;
        let mut name = |item: &Item<'_>| {
            match item {
                Item::Compound => state.note(Invalid::Toggle(index)),
                // One too many is enough to know that there are.
                _ if toggles.len() > NAMES => {}
                Item::Null => toggles.push(String::new()),
                _ => item.with_text(|text| toggles.push(text.to_owned())),
            }
            index += 1;
        };
        while list.next_element_seed(Scalar(&mut name))?.is_some() {}
        Ok(())
    }
}

// === impl Shaped ===

/// A part of a body that has to be of one shape. What is of another is read over and noted.
trait Part<'de>: Sized {
    const EXPECTED: &'static str;

    /// Notes that something else stands there.
    fn wrong(self);

    fn map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        self.wrong();
        Ok(())
    }

    fn list<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        self.wrong();
        Ok(())
    }

    fn null(self) {
        self.wrong();
    }
}

/// The parser's view of a [`Part`].
pub(super) struct Shaped<P>(pub(super) P);

impl<P> Shaped<P> {
    fn refused<'de, R>(self) -> Result<(), R>
    where
        P: Part<'de>,
    {
        self.0.wrong();
        Ok(())
    }
}

impl<'de, P: Part<'de>> DeserializeSeed<'de> for Shaped<P> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, P: Part<'de>> Visitor<'de> for Shaped<P> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(P::EXPECTED)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        self.0.map(map)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<(), A::Error> {
        self.0.list(list)
    }

    fn visit_unit<R: Error>(self) -> Result<(), R> {
        self.0.null();
        Ok(())
    }

    fn visit_bool<R: Error>(self, _: bool) -> Result<(), R> {
        self.refused()
    }

    fn visit_i64<R: Error>(self, _: i64) -> Result<(), R> {
        self.refused()
    }

    fn visit_u64<R: Error>(self, _: u64) -> Result<(), R> {
        self.refused()
    }

    fn visit_f64<R: Error>(self, _: f64) -> Result<(), R> {
        self.refused()
    }

    fn visit_str<R: Error>(self, _: &str) -> Result<(), R> {
        self.refused()
    }
}

// === impl Scalar ===

/// Passes one value on, borrowed from wherever the parser holds it.
struct Scalar<W>(W);

impl<'de, W: FnOnce(&Item<'_>)> DeserializeSeed<'de> for Scalar<W> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<W: FnOnce(&Item<'_>)> Scalar<W> {
    fn pass<R>(self, item: &Item<'_>) -> Result<(), R> {
        (self.0)(item);
        Ok(())
    }
}

impl<'de, W: FnOnce(&Item<'_>)> Visitor<'de> for Scalar<W> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<R: Error>(self, text: &str) -> Result<(), R> {
        self.pass(&Item::Text(text))
    }

    fn visit_bool<R: Error>(self, value: bool) -> Result<(), R> {
        self.pass(&Item::Bool(value))
    }

    fn visit_i64<R: Error>(self, number: i64) -> Result<(), R> {
        self.pass(&Item::Whole(number))
    }

    fn visit_u64<R: Error>(self, number: u64) -> Result<(), R> {
        self.pass(&Item::WholeUnsigned(number))
    }

    fn visit_f64<R: Error>(self, number: f64) -> Result<(), R> {
        self.pass(&Item::Number(number))
    }

    fn visit_unit<R: Error>(self) -> Result<(), R> {
        self.pass(&Item::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        self.pass(&Item::Compound)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        self.pass(&Item::Compound)
    }
}
