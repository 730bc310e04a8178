//! A text of JSON, read where it stands.
//!
//! Payloads are mostly lists of short texts without escapes, and to read these is most of a start:
//! they are read here, byte by byte. What is rarer is left to `serde_json`, value by value.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Deserializer;

use super::{
    TextsBuilder,
    json::{Json, ObjectBuilder, Text},
};

/// How deep values may be nested. No payload comes near it; `serde_json`'s own limit is beyond.
const DEEPEST: usize = 100;

/// What is left of a text.
pub(super) struct Cursor<'a>(&'a str);

// === impl Cursor ===

impl<'a> Cursor<'a> {
    /// At the first value of `text`.
    pub(super) fn new(text: &'a str) -> Self {
        let mut cursor = Self(text);
        cursor.skip_space();
        cursor
    }

    /// Whether nothing is left.
    pub(super) fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    /// Steps over `mark`, an ASCII character, and the white space around it.
    #[inline]
    pub(super) fn step(&mut self, mark: u8) -> Option<()> {
        self.skip_space();
        if self.next()? != mark {
            return None;
        }
        self.skip(1);
        self.skip_space();
        Some(())
    }

    /// The value that stands here, and its text, as `serde_json` reads it.
    pub(super) fn value<T: Deserialize<'a>>(&mut self) -> Option<(T, &'a str)> {
        let mut values = Deserializer::from_str(self.0).into_iter();
        let value = values.next()?.ok()?;
        let (text, rest) = self.0.split_at_checked(values.byte_offset())?;
        self.0 = rest;
        Some((value, text))
    }

    /// Calls `each` with the values of the list that stands here, and their texts.
    pub(super) fn elements(&mut self, mut each: impl FnMut(Json<'a>, &'a str)) -> Option<()> {
        self.list(|cursor| {
            let before = cursor.0;
            let value = cursor.json()?;
            each(value, before.get(..before.len() - cursor.0.len())?);
            Some(())
        })
    }

    /// The value that stands here. `None` for what is no JSON, and for what may be some but has to be
    /// read in another way.
    pub(super) fn json(&mut self) -> Option<Json<'a>> {
        self.nested(DEEPEST)
    }

    fn nested(&mut self, depth: usize) -> Option<Json<'a>> {
        let literal = match self.next()? {
            b'"' => return self.text().map(Json::String),
            b'[' => return self.array(depth.checked_sub(1)?),
            b'{' => return self.object(depth.checked_sub(1)?),
            b't' => ("true", Json::Bool(true)),
            b'f' => ("false", Json::Bool(false)),
            b'n' => ("null", Json::Null),
            _ => return self.value().map(|(value, _)| value),
        };
        // What follows a value has to be a mark, so nothing else can begin like these.
        self.0 = self.0.strip_prefix(literal.0)?;
        Some(literal.1)
    }

    fn array(&mut self, depth: usize) -> Option<Json<'a>> {
        let (mut texts, mut others) = (TextsBuilder::default(), Vec::new());
        self.list(|cursor| {
            if others.is_empty() && cursor.next()? == b'"' {
                texts.push(&cursor.text()?);
                return Some(());
            }
            let value = cursor.nested(depth)?;
            if others.is_empty() {
                others = Json::all_of(std::mem::take(&mut texts));
            }
            others.push(value);
            Some(())
        })?;
        Some(if others.is_empty() { Json::of_texts(texts) } else { Json::Array(others) })
    }

    fn object(&mut self, depth: usize) -> Option<Json<'a>> {
        let mut object = ObjectBuilder::default();
        self.step(b'{')?;
        if self.next()? == b'}' {
            self.end(b'}')?;
            return Some(Json::Object(object.build()));
        }
        loop {
            let key = self.text()?;
            self.step(b':')?;
            let value = self.nested(depth)?;
            object.insert(key, value);
            if self.step(b',').is_none() {
                self.end(b'}')?;
                return Some(Json::Object(object.build()));
            }
        }
    }

    /// Calls `element` at each element of the list that stands here.
    #[inline]
    fn list(&mut self, mut element: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.step(b'[')?;
        if self.next()? == b']' {
            return self.end(b']');
        }
        loop {
            element(self)?;
            if self.step(b',').is_none() {
                return self.end(b']');
            }
        }
    }

    /// The text that stands here.
    #[inline]
    pub(super) fn text(&mut self) -> Option<Cow<'a, str>> {
        let inside = self.0.strip_prefix('"')?;
        let (text, rest) = inside.split_at_checked(plain_len(inside.as_bytes()))?;
        match rest.strip_prefix('"') {
            Some(rest) => {
                self.0 = rest;
                Some(Cow::Borrowed(text))
            }
            // Escapes, or no text at all.
            None => self.value().map(|(Text(text), _)| text),
        }
    }

    /// Steps over `mark`, which ends a value, and the white space before it.
    fn end(&mut self, mark: u8) -> Option<()> {
        self.skip_space();
        if self.next()? != mark {
            return None;
        }
        self.skip(1);
        Some(())
    }

    /// The byte that stands here.
    #[inline]
    fn next(&self) -> Option<u8> {
        self.0.as_bytes().first().copied()
    }

    #[inline]
    pub(super) fn skip_space(&mut self) {
        while self.next().is_some_and(is_space) {
            self.skip(1);
        }
    }

    /// Steps over so many bytes, which are whole characters.
    #[inline]
    fn skip(&mut self, bytes: usize) {
        self.0 = self.0.get(bytes..).unwrap_or_default();
    }
}

/// Whether JSON takes it for white space: less than ASCII does.
#[inline]
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// How many bytes stand before the first quote, backslash or control character; eight at a time.
#[inline]
pub(in crate::engine) fn plain_len(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 0xff;
    let each = |byte: u8| ONES * u64::from(byte);
    let (words, rest) = bytes.as_chunks();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // The highest bit of a byte below `limit`. A borrow may mark bytes above such a one, so the
        // lowest mark is the one to go by.
        let below = |word: u64, limit: u8| word.wrapping_sub(each(limit)) & !word & each(0x80);
        let marks = below(word, 0x20) | below(word ^ each(b'"'), 1) | below(word ^ each(b'\\'), 1);
        if marks != 0 {
            return size_of_val(&word) * at + marks.trailing_zeros() as usize / 8;
        }
    }
    let is_plain = |byte: &&u8| !matches!(**byte, b'"' | b'\\' | 0..=0x1f);
    bytes.len() - rest.len() + rest.iter().take_while(is_plain).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_come_with_their_texts_to_the_byte() {
        let text = "[ {\"a\" : [ ] } , [\t\"x\" ,\"\\n\",1\n] ,\"é\", true ,{ } ,-1.5e3 ]  ";
        let (mut cursor, mut texts) = (Cursor::new(text), Vec::new());
        cursor.elements(|value, text| texts.push((value.to_text().unwrap(), text))).unwrap();
        let spelled: Vec<&str> = texts.iter().map(|(_, text)| *text).collect();
        assert_eq!(
            spelled,
            ["{\"a\" : [ ] }", "[\t\"x\" ,\"\\n\",1\n]", "\"é\"", "true", "{ }", "-1.5e3"]
        );
        for (value, text) in &texts {
            let by_serde: serde_json::Value = serde_json::from_str(text).unwrap();
            assert_eq!(*value, by_serde.to_string());
        }
        assert!(!cursor.is_at_end(), "what stands behind is for others");
    }

    #[test]
    fn a_text_is_plain_as_far_as_the_first_byte_that_is_not() {
        for len in 0..20 {
            for end in (0..=u8::MAX).filter(|end| matches!(end, b'"' | b'\\' | 0..=0x1f)) {
                // What is plain at either end of its range, and what stands behind is not looked at.
                for plain in [0x20, 0x21, 0x23, 0x5b, 0x5d, 0x7f, 0x80, 0xff] {
                    let mut bytes = vec![plain; len];
                    assert_eq!(plain_len(&bytes), len, "{plain}");
                    bytes.push(end);
                    bytes.extend([plain, 0, b'"', plain, 0xff, 0x7f, 1, plain, plain]);
                    assert_eq!(plain_len(&bytes), len, "{plain} {end}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_json_is_not_read() {
        let bad = [
            "",
            "[",
            "]",
            "{",
            "\"",
            "\"a",
            "[,]",
            "[1,]",
            "[1 2]",
            "[\"a\" \"b\"]",
            "{\"a\"}",
            "{a:1}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{\"a\" 1}",
            "nul",
            "tru",
            "fals",
            "\"\n\"",
            "\"\\x\"",
            "[1}",
            "{\"a\":1]",
            "+1",
            "01",
            ".5",
            "1.",
            "\"\\ud800\"",
        ];
        for text in bad {
            assert!(Json::read(text).is_err(), "{text}");
        }
    }
}
