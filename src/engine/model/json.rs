//! JSON as it is read once and thrown away: a tree that borrows its texts.

use std::{borrow::Cow, fmt};

use ahash::AHashMap;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::Number;

use super::{Texts, TextsBuilder, cursor::Cursor};

/// How many keys of an object are compared one by one; beyond, they are looked up, so that no
/// payload takes the square of its length.
const FEW: usize = 16;

/// What `serde_json::Value` would hold, without an allocation for each text and a hash of each key.
#[derive(Clone, Debug)]
pub(super) enum Json<'a> {
    Null,
    Bool(bool),
    Number(Number),
    String(Cow<'a, str>),
    /// A list of texts alone, at least one: what payloads are mostly made of.
    Texts(Texts),
    /// Any other list.
    Array(Vec<Self>),
    Object(Object<'a>),
}

/// Keys and values in the order of their text. Of equal keys there is one: it stands where the
/// first stood, and has the value of the last.
#[derive(Clone, Debug, Default)]
pub(super) struct Object<'a>(Vec<(Cow<'a, str>, Json<'a>)>);

/// An object on its way.
#[derive(Default)]
pub(super) struct ObjectBuilder<'a> {
    entries: Vec<(Cow<'a, str>, Json<'a>)>,
    /// Of each key, where they are many.
    places: Option<AHashMap<Cow<'a, str>, usize>>,
}

/// A text, borrowed unless it is spelled with escapes.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

struct JsonVisitor;

// === impl Json ===

impl<'a> Json<'a> {
    /// Reads a text that is one value.
    ///
    /// # Errors
    ///
    /// When it is no JSON.
    pub(super) fn read(text: &'a str) -> Result<Self, serde_json::Error> {
        let mut cursor = Cursor::new(text);
        let value = cursor.json();
        cursor.skip_space();
        match value {
            Some(value) if cursor.is_at_end() => Ok(value),
            _ => serde_json::from_str(text),
        }
    }

    /// The list of these and nothing else.
    pub(super) fn of_texts(texts: TextsBuilder) -> Self {
        let texts = texts.build();
        if texts.is_empty() { Self::Array(Vec::new()) } else { Self::Texts(texts) }
    }

    /// Each of these, to go on with others.
    pub(super) fn all_of(texts: TextsBuilder) -> Vec<Self> {
        let texts = texts.build();
        texts.iter().map(|text| Self::String(Cow::Owned(text.to_owned()))).collect()
    }

    /// The value of `key`. `None` where there is none, and in what is no object.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.as_object()?.get(key)
    }

    pub(super) fn as_object(&self) -> Option<&Object<'a>> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }

    /// The elements of a list. `None` for what is none.
    pub(super) fn as_array(&self) -> Option<Cow<'_, [Json<'_>]>> {
        match self {
            Self::Array(list) => Some(Cow::Borrowed(list)),
            Self::Texts(texts) => {
                Some(texts.iter().map(|text| Json::String(Cow::Borrowed(text))).collect())
            }
            _ => None,
        }
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Number(number) => number.as_i64(),
            _ => None,
        }
    }

    pub(super) fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Number(number) => number.as_f64(),
            _ => None,
        }
    }

    /// What was read, without its white space.
    pub(super) fn to_text(&self) -> Option<String> {
        // Texts as keys, and numbers that are none but finite: there is nothing to fail.
        serde_json::to_string(self).ok()
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Json<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(is) => serializer.serialize_bool(*is),
            Self::Number(number) => number.serialize(serializer),
            Self::String(text) => serializer.serialize_str(text),
            Self::Texts(texts) => serializer.collect_seq(texts.iter()),
            Self::Array(list) => serializer.collect_seq(list),
            Self::Object(object) => serializer.collect_map(object.iter()),
        }
    }
}

// === impl Object ===

impl<'a> Object<'a> {
    pub(super) fn get(&self, key: &str) -> Option<&Json<'a>> {
        self.iter().find(|(known, _)| *known == key).map(|(_, value)| value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Json<'a>)> {
        self.0.iter().map(|(key, value)| (&**key, value))
    }

    fn read<'de: 'a, A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        let mut object = ObjectBuilder::default();
        while let Some(Text(key)) = map.next_key()? {
            object.insert(key, map.next_value()?);
        }
        Ok(object.build())
    }
}

// === impl ObjectBuilder ===

impl<'a> ObjectBuilder<'a> {
    /// Makes `value` the value of `key`.
    pub(super) fn insert(&mut self, key: Cow<'a, str>, value: Json<'a>) {
        let entries = &mut self.entries;
        let place = if entries.len() < FEW {
            entries.iter().position(|(known, _)| *known == key)
        } else {
            let places = self.places.get_or_insert_with(|| {
                entries.iter().enumerate().map(|(at, (key, _))| (key.clone(), at)).collect()
            });
            let next = entries.len();
            Some(*places.entry(key.clone()).or_insert(next)).filter(|place| *place < next)
        };
        match place.and_then(|place| entries.get_mut(place)) {
            Some((_, slot)) => *slot = value,
            None => entries.push((key, value)),
        }
    }

    pub(super) fn build(self) -> Object<'a> {
        Object(self.entries)
    }
}

// === impl JsonVisitor ===

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any valid JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, is: bool) -> Result<Self::Value, E> {
        Ok(Json::Bool(is))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Json::Number(number.into()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Json::Number(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Number::from_f64(number).map_or(Json::Null, Json::Number))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Json::String(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Json::String(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut texts = TextsBuilder::default();
        let other = loop {
            match list.next_element()? {
                Some(Json::String(text)) => texts.push(&text),
                Some(other) => break Some(other),
                None => break None,
            }
        };
        let Some(other) = other else { return Ok(Json::of_texts(texts)) };
        let mut elements = Json::all_of(texts);
        elements.push(other);
        while let Some(element) = list.next_element()? {
            elements.push(element);
        }
        Ok(Json::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Object::read(map).map(Json::Object)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;

    /// Asserts that `text` is read as `serde_json::Value` reads it, whichever way.
    fn same(text: &str) {
        let by_serde = serde_json::from_str::<Json<'_>>(text);
        let spelled = |read: Result<Json<'_>, serde_json::Error>| {
            read.map(|json| (format!("{json:?}"), json.to_text())).map_err(|err| err.to_string())
        };
        assert_eq!(spelled(Json::read(text)), spelled(by_serde), "{text}");
        match (serde_json::from_str::<Json<'_>>(text), serde_json::from_str::<Value>(text)) {
            (Ok(ours), Ok(theirs)) => {
                assert_eq!(serde_json::to_string(&ours).unwrap(), theirs.to_string(), "{text}");
                alike(&ours, &theirs);
            }
            (Err(ours), Err(theirs)) => assert_eq!(ours.to_string(), theirs.to_string(), "{text}"),
            (ours, theirs) => panic!("{text}: {ours:?} instead of {theirs:?}"),
        }
    }

    fn alike(ours: &Json<'_>, theirs: &Value) {
        assert_eq!(ours.as_str(), theirs.as_str());
        assert_eq!(ours.as_i64(), theirs.as_i64());
        assert_eq!(ours.as_f64(), theirs.as_f64());
        assert_eq!(ours.is_null(), theirs.is_null());
        assert_eq!(ours.as_array().map(|list| list.len()), theirs.as_array().map(Vec::len));
        let fields = |object: &Object<'_>| object.iter().count();
        assert_eq!(ours.as_object().map(fields), theirs.as_object().map(Map::len));
        for (ours, theirs) in ours.as_array().into_iter().zip(theirs.as_array()) {
            ours.iter().zip(theirs).for_each(|(ours, theirs)| alike(ours, theirs));
        }
        for (key, theirs) in theirs.as_object().into_iter().flatten() {
            alike(ours.get(key).unwrap(), theirs);
        }
    }

    /// Any JSON text: keys from a few, so that they come twice, and escapes in keys and texts.
    fn any_json() -> impl Strategy<Value = String> {
        let text = prop_oneof!["[a-c]{0,2}", r#"\\u006[1-3]|\\n|\\"|ä|\\ud83d\\ude00"#];
        let text = text.prop_map(|text| format!("\"{text}\"")).boxed();
        let leaf = prop_oneof![
            Just("null".to_owned()),
            any::<bool>().prop_map(|is| is.to_string()),
            any::<i64>().prop_map(|number| number.to_string()),
            any::<u64>().prop_map(|number| number.to_string()),
            any::<f64>().prop_map(|number| format!("{number:e}")),
            "-?[0-9]{1,25}(\\.[0-9]{1,20})?",
            text.clone(),
        ];
        leaf.prop_recursive(5, 80, 24, move |inner| {
            let entry = (text.clone(), inner.clone()).prop_map(|(k, v)| format!("{k} : {v}"));
            prop_oneof![
                prop::collection::vec(inner, 0..6).prop_map(|all| format!("[{}]", all.join(", "))),
                prop::collection::vec(entry, 0..40)
                    .prop_map(|all| format!("{{{}}}", all.join(","))),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_json_is_read_as_serde_json_reads_it(text in any_json(), cut in any::<prop::sample::Index>()) {
            same(&text);
            // And what is no JSON is refused alike.
            same(text.get(..cut.index(text.len())).unwrap_or_default());
        }
    }

    #[test]
    fn the_last_of_equal_keys_wins_in_the_place_of_the_first() {
        for others in [0, FEW - 2, FEW - 1, FEW, 3 * FEW] {
            let others: String = (0..others).map(|at| format!(r#""{at}":{at},"#)).collect();
            let text = format!(r#"{{"a":1,{others}"b":2,"\u0061":3,"b":null,"0":{{}}}}"#);
            same(&text);
            let json: Json<'_> = serde_json::from_str(&text).unwrap();
            assert_eq!(json.get("a").unwrap().as_i64(), Some(3));
            assert_eq!(json.as_object().unwrap().iter().next().unwrap().0, "a");
        }
    }

    #[test]
    fn what_needs_no_escape_is_borrowed() {
        let json: Json<'_> = serde_json::from_str(r#"{"plain":"text","a":"\n"}"#).unwrap();
        let entries = &json.as_object().unwrap().0;
        assert!(matches!(entries[0].0, Cow::Borrowed("plain")));
        assert!(matches!(json.get("plain"), Some(Json::String(Cow::Borrowed("text")))));
        assert!(matches!(json.get("a"), Some(Json::String(Cow::Owned(_)))));
    }

    #[test]
    fn nesting_is_bounded() {
        for depth in [126, 127, 128, 129, 100_000] {
            same(&format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
            same(&format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth)));
        }
    }

    #[test]
    fn an_object_of_many_keys_takes_no_square_of_their_number() {
        let keys: Vec<String> = (0..200_000).map(|at| format!(r#""{at}":{at}"#)).collect();
        let json = format!("{{{}}}", keys.join(","));
        let json: Json<'_> = serde_json::from_str(&json).unwrap();
        assert_eq!(json.as_object().unwrap().iter().count(), 200_000);
    }
}
