//! Where a JSON value ends, found without reading it, over as many pieces as it comes in.

use memchr::memchr2;

use super::cursor::is_space;

/// The value under way.
///
/// Of what is JSON it finds the end; of what is none, an end: whoever reads the text will say so.
#[derive(Debug, Default)]
pub(super) struct Extent {
    within: Within,
    /// How many brackets are open.
    open: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Within {
    /// Nothing: the next byte is the first of a value.
    #[default]
    Nothing,
    Text,
    /// Behind a backslash, in a text.
    Escape,
    /// A number or a word.
    Bare,
    /// A list or an object, outside of texts.
    Brackets,
}

// === impl Extent ===

impl Extent {
    pub(super) fn is_under_way(&self) -> bool {
        self.within != Within::Nothing
    }

    /// How many of `bytes` are the value's, up to its end; then the next value may begin. `None`:
    /// all of them, and it goes on.
    pub(super) fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            let rest = bytes.get(at..).unwrap_or_default();
            let (taken, within) = match self.within {
                Within::Nothing | Within::Brackets => self.outside(byte, rest),
                Within::Escape => (1, Within::Text),
                Within::Text => match memchr2(b'"', b'\\', rest) {
                    None => (rest.len(), Within::Text),
                    Some(end) if rest.get(end) == Some(&b'\\') => (end + 1, Within::Escape),
                    Some(end) => (end + 1, self.closed()),
                },
                Within::Bare => match rest.iter().position(|byte| ends_bare(*byte)) {
                    None => (rest.len(), Within::Bare),
                    Some(end) => (end, Within::Nothing),
                },
            };
            self.within = within;
            at += taken;
            if within == Within::Nothing {
                return Some(at);
            }
        }
        None
    }

    /// Steps over `byte`, the first of `rest`, and what is no mark behind it.
    fn outside(&mut self, byte: u8, rest: &[u8]) -> (usize, Within) {
        match byte {
            b'"' => (1, Within::Text),
            b'{' | b'[' => {
                self.open += 1;
                (1, Within::Brackets)
            }
            b'}' | b']' if self.open > 0 => {
                self.open -= 1;
                (1, self.closed())
            }
            _ if self.open == 0 => (0, Within::Bare),
            _ => {
                let marks = |byte: &u8| matches!(byte, b'"' | b'{' | b'[' | b'}' | b']');
                let next = rest.iter().position(marks).unwrap_or(rest.len());
                (next, Within::Brackets)
            }
        }
    }

    fn closed(&self) -> Within {
        if self.open == 0 { Within::Nothing } else { Within::Brackets }
    }
}

fn ends_bare(byte: u8) -> bool {
    matches!(byte, b',' | b']' | b'}') || is_space(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long the value at the front of `text` is when it comes in pieces of this size.
    fn extent(text: &str, size: usize) -> Option<usize> {
        let mut extent = Extent::default();
        let mut before = 0;
        for piece in text.as_bytes().chunks(size) {
            if let Some(end) = extent.end(piece) {
                assert!(!extent.is_under_way(), "{text}");
                return Some(before + end);
            }
            assert!(extent.is_under_way(), "{text}");
            before += piece.len();
        }
        None
    }

    #[test]
    fn a_value_ends_where_it_ends_however_it_is_cut() {
        let values = [
            r#""""#,
            r#""a""#,
            r#""\"""#,
            r#""\\""#,
            r#""]}\\\",""#,
            "[]",
            "{}",
            "[[[]],{}]",
            r#"{"a":[1,2,{"b":"]}"}],"c":"\\"}"#,
            "0",
            "-1.5e3",
            "true",
            "null",
            r#"["é",null]"#,
        ];
        for value in values {
            for size in 1..=value.len() + 2 {
                for behind in [",1", "]", "}", " ", "\n", "\t,", "\r"] {
                    let text = [value, behind].concat();
                    assert_eq!(extent(&text, size), Some(value.len()), "{text} {size}");
                }
            }
        }
    }

    #[test]
    fn what_is_cut_off_has_no_end() {
        for text in ["", "\"", "\"\\\"", "[", "[\"]", "{\"a\":[]", "12", "tru"] {
            for size in 1..4 {
                assert_eq!(extent(text, size), None, "{text}");
            }
        }
    }
}
