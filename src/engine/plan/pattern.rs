//! Patterns of `REGEX` constraints: RE2's dialect (section 4.7), run by the `regex` crate.
//!
//! The two dialects read many texts differently: `\d` is ASCII in RE2, `[[a]` a class of two
//! characters, `(?x)` an error. So a pattern is parsed by RE2's rules and written anew in the few
//! forms that both understand. Only whether a pattern matches is ever asked, so captures and
//! greediness are dropped on the way.

use std::collections::HashSet;
use std::fmt::Write;

use regex::{Regex, RegexBuilder};

mod class;

/// Bound on the memory of one compiled pattern.
const COMPILED_BYTES: usize = 10 << 20;
/// RE2's bound on a repetition count, and on the product of nested ones.
const MAX_REPEAT: u32 = 1000;
/// Bound on repetitions of one repetition (`a*(?i)*`), far below the nesting the `regex` crate takes.
const MAX_STACKED: u32 = 50;

/// Why a pattern of a definition cannot be used.
#[derive(Debug, thiserror::Error)]
pub(in crate::engine) enum PatternError {
    #[error("the pattern is not RE2: {reason} before byte {at}")]
    Syntax { reason: &'static str, at: usize },
    #[error("the pattern compiles to more than {COMPILED_BYTES} bytes")]
    TooLarge,
    #[error("the pattern nests too deeply or names an unknown script")]
    Unsupported(#[source] regex::Error),
}

/// Something that a repetition may follow, as written to the output.
struct Atom {
    start: usize,
    end: usize,
    /// Product of the nested repetition counts in it.
    weight: u32,
    /// How many repetitions it ends with.
    stacked: u32,
}

/// An open parenthesis.
struct Group {
    start: usize,
    /// The weight gathered outside it.
    weight: u32,
}

struct Translator<'p> {
    pattern: &'p str,
    rest: &'p str,
    out: String,
    /// What a repetition would apply to.
    atom: Option<Atom>,
    /// Whether a repetition has just ended: the next one may not follow at once.
    repeated: bool,
    /// Heaviest atom of the group so far.
    weight: u32,
    groups: Vec<Group>,
    names: HashSet<&'p str>,
    /// Whether no `:]` is left, so that a long pattern is searched for it once.
    posix_classes_over: bool,
}

/// Compiles an RE2 pattern; `case_insensitive` is as if it began with `(?i)`.
///
/// The search is unanchored. Look-around, back-references and what only the `regex` crate reads
/// are refused, and so are `\<` and `\>`, which mean different things to different engines.
///
/// # Errors
///
/// [`PatternError`] when the pattern is not RE2, or too large once compiled.
pub(in crate::engine) fn compile(
    pattern: &str,
    case_insensitive: bool,
) -> Result<Regex, PatternError> {
    RegexBuilder::new(&Translator::new(pattern).translate()?)
        .case_insensitive(case_insensitive)
        .size_limit(COMPILED_BYTES)
        .build()
        .map_err(|err| match err {
            regex::Error::CompiledTooBig(_) => PatternError::TooLarge,
            err => PatternError::Unsupported(err),
        })
}

// === impl Translator ===

impl<'p> Translator<'p> {
    fn new(pattern: &'p str) -> Self {
        Self {
            pattern,
            rest: pattern,
            out: String::with_capacity(pattern.len() + 16),
            atom: None,
            repeated: false,
            weight: 1,
            groups: Vec::new(),
            names: HashSet::new(),
            posix_classes_over: false,
        }
    }

    fn translate(mut self) -> Result<String, PatternError> {
        while let Some(c) = self.next() {
            let repeated = std::mem::take(&mut self.repeated);
            match c {
                '(' => self.open()?,
                ')' => self.close()?,
                '|' => {
                    self.out.push('|');
                    self.atom = None;
                }
                '^' => self.push_atom("^"),
                '$' => self.push_atom("$"),
                '.' => self.push_atom("."),
                '[' => self.class()?,
                '*' => self.repeat("*", None, repeated)?,
                '+' => self.repeat("+", None, repeated)?,
                '?' => self.repeat("?", None, repeated)?,
                '{' => match self.counts()? {
                    Some((min, max)) => self.repeat_counted(min, max, repeated)?,
                    None => self.push_literal('{'),
                },
                '\\' => self.escape()?,
                c => self.push_literal(c),
            }
        }
        if self.groups.is_empty() { Ok(self.out) } else { Err(self.error("missing `)`")) }
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let c = chars.next();
        self.rest = chars.as_str();
        c
    }

    fn eat(&mut self, text: &str) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// What stands before `end`, both of which are passed over.
    fn until(&mut self, end: &str) -> Option<&'p str> {
        let (text, rest) = self.rest.split_once(end)?;
        self.rest = rest;
        Some(text)
    }

    fn error(&self, reason: &'static str) -> PatternError {
        PatternError::Syntax { reason, at: self.pattern.len() - self.rest.len() }
    }

    // --- atoms and repetitions

    fn push_atom(&mut self, text: &str) {
        let start = self.out.len();
        self.out.push_str(text);
        self.set_atom(start, 1);
    }

    /// Makes what was written since `start` the atom that a repetition would apply to.
    fn set_atom(&mut self, start: usize, weight: u32) {
        self.atom = Some(Atom { start, end: self.out.len(), weight, stacked: 0 });
    }

    fn push_literal(&mut self, c: char) {
        let start = self.out.len();
        if c.is_ascii_alphanumeric() || !c.is_ascii() {
            self.out.push(c);
        } else {
            self.push_code(c.into());
        }
        self.set_atom(start, 1);
    }

    fn push_code(&mut self, code: u32) {
        // Writing to a string cannot fail.
        let _ = write!(self.out, r"\x{{{code:X}}}");
    }

    /// Writes a repetition behind the last atom, which may have flags behind it by now.
    fn repeat(
        &mut self,
        operator: &str,
        count: Option<u32>,
        repeated: bool,
    ) -> Result<(), PatternError> {
        // Preferring fewer does not change whether there is a match.
        self.eat("?");
        if repeated {
            return Err(self.error("repetition of a repetition"));
        }
        let Some(mut atom) = self.atom.take() else {
            return Err(self.error("nothing to repeat"));
        };
        atom.weight = match count {
            Some(0) => 1,
            Some(count) => atom.weight * count,
            None => atom.weight,
        };
        if atom.weight > MAX_REPEAT || atom.stacked >= MAX_STACKED {
            return Err(self.error("too many repetitions"));
        }
        if atom.stacked > 0 {
            self.out.insert(atom.end, ')');
            self.out.insert_str(atom.start, "(?:");
            atom.end += "(?:)".len();
        }
        self.out.insert_str(atom.end, operator);
        atom.end += operator.len();
        atom.stacked += 1;
        self.weight = self.weight.max(atom.weight);
        self.atom = Some(atom);
        self.repeated = true;
        Ok(())
    }

    fn repeat_counted(
        &mut self,
        min: u32,
        max: Option<u32>,
        repeated: bool,
    ) -> Result<(), PatternError> {
        let most = max.unwrap_or(min);
        if most < min || most > MAX_REPEAT {
            return Err(self.error("bad repetition count"));
        }
        let operator = match max {
            Some(max) => format!("{{{min},{max}}}"),
            None => format!("{{{min},}}"),
        };
        self.repeat(&operator, Some(most), repeated)
    }

    /// Least and greatest count behind `{`, or `None` where RE2 takes the brace for itself.
    fn counts(&mut self) -> Result<Option<(u32, Option<u32>)>, PatternError> {
        let length = self.rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b',').count();
        let (counts, rest) = self.rest.split_at_checked(length).unwrap_or_default();
        let Some(rest) = rest.strip_prefix('}') else { return Ok(None) };
        let (min, max) = match counts.split_once(',') {
            Some((min, max)) => (min, max),
            None => (counts, counts),
        };
        let is_count = |text: &str| text == "0" || !(text.starts_with('0') || text.contains(','));
        if min.is_empty() || !is_count(min) || !is_count(max) {
            return Ok(None);
        }
        self.rest = rest;
        let max = (!max.is_empty()).then(|| max.parse());
        match (min.parse(), max.transpose()) {
            (Ok(min), Ok(max)) => Ok(Some((min, max))),
            _ => Err(self.error("bad repetition count")),
        }
    }

    // --- groups

    fn open(&mut self) -> Result<(), PatternError> {
        if !self.eat("?") {
            self.enter("(?:");
        } else if self.eat("P<") || self.eat("<") {
            let name = self.until(">").unwrap_or_default();
            let valid = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            if name.is_empty() || !valid || !self.names.insert(name) {
                return Err(self.error("bad or repeated group name"));
            }
            self.enter("(?:");
        } else {
            self.flags()?;
        }
        Ok(())
    }

    fn enter(&mut self, opening: &str) {
        self.groups.push(Group { start: self.out.len(), weight: self.weight });
        self.weight = 1;
        self.out.push_str(opening);
        self.atom = None;
    }

    fn close(&mut self) -> Result<(), PatternError> {
        let Some(group) = self.groups.pop() else {
            return Err(self.error("unexpected `)`"));
        };
        self.out.push(')');
        self.set_atom(group.start, self.weight);
        self.weight = self.weight.max(group.weight);
        Ok(())
    }

    /// Reads `i-s:` or `i-s)`. Flags may repeat and even be missing, and `U` does nothing for us.
    fn flags(&mut self) -> Result<(), PatternError> {
        let (mut on, mut off) = (String::new(), String::new());
        let (mut negative, mut seen) = (false, false);
        let opens = loop {
            match self.next() {
                Some('U') => seen = true,
                Some(flag @ ('i' | 'm' | 's')) => {
                    seen = true;
                    let set = if negative { &mut off } else { &mut on };
                    if !set.contains(flag) {
                        set.push(flag);
                    }
                }
                Some('-') if !negative => (negative, seen) = (true, false),
                Some(end @ (':' | ')')) if seen || !negative => break end == ':',
                _ => return Err(self.error("bad group or flag")),
            }
        };
        on.retain(|flag| !off.contains(flag));
        let minus = if off.is_empty() { "" } else { "-" };
        if opens {
            self.enter(&format!("(?{on}{minus}{off}:"));
        } else if !(on.is_empty() && off.is_empty()) {
            // A repetition behind it belongs to the atom before it.
            let _ = write!(self.out, "(?{on}{minus}{off})");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
