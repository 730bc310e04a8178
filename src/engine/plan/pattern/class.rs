//! Escapes and character classes, read by RE2's rules.

use std::fmt::Write;

use super::{PatternError, Translator};

const NOTHING: &str = r"[^\x{0}-\x{10FFFF}]";
const POSIX_CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
    "space", "upper", "word", "xdigit",
];
const CATEGORIES: [&str; 37] = [
    "C", "Cc", "Cf", "Co", "Cs", "L", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc", "Me", "Mn", "N",
    "Nd", "Nl", "No", "P", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "S", "Sc", "Sk", "Sm", "So",
    "Z", "Zl", "Zp", "Zs", "Any",
];
/// Scripts with a name of four letters; any other name of that length is an abbreviation.
const SHORT_SCRIPTS: [&str; 8] = ["Ahom", "Cham", "Kawi", "Lisu", "Modi", "Newa", "Thai", "Toto"];

/// A Perl class as items of a bracketed one: ASCII only, without the vertical tab in `\s`.
fn perl_class(letter: char) -> Option<&'static str> {
    Some(match letter {
        'd' => "[0-9]",
        'D' => "[^0-9]",
        's' => r"[\t\n\x0C\r ]",
        'S' => r"[^\t\n\x0C\r ]",
        'w' => "[0-9A-Za-z_]",
        'W' => "[^0-9A-Za-z_]",
        _ => return None,
    })
}

/// Whether `name` can be a script's full name: `Greek`, `Old_Italic`.
// The `regex` crate knows the names themselves, but also abbreviations and other spellings.
fn is_script(name: &str) -> bool {
    let capitalised = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_uppercase())
            && word.chars().skip(1).all(|c| c.is_ascii_lowercase())
    };
    (name.split('_').all(capitalised) || name == "SignWriting")
        && (name.len() != 4 || SHORT_SCRIPTS.contains(&name))
}

fn is_surrogate(code: u32) -> bool {
    (0xD800..=0xDFFF).contains(&code)
}

// === impl Translator ===

impl Translator<'_> {
    // --- escapes

    /// Reads what follows a backslash outside a class.
    pub(super) fn escape(&mut self) -> Result<(), PatternError> {
        let Some(c) = self.next() else { return Err(self.error("trailing backslash")) };
        match c {
            'A' => self.push_atom(r"\A"),
            'z' => self.push_atom(r"\z"),
            'b' => self.push_atom(r"(?-u:\b)"),
            'B' => self.push_atom(r"(?-u:\B)"),
            'Q' => {
                let literal = self.until(r"\E").unwrap_or_else(|| std::mem::take(&mut self.rest));
                literal.chars().for_each(|c| self.push_literal(c));
            }
            'p' | 'P' => {
                let property = self.property(c == 'P')?;
                self.push_atom(&property);
            }
            c => match perl_class(c) {
                Some(class) => self.push_atom(class),
                None => match char::from_u32(self.escaped_code(c)?) {
                    Some(c) => self.push_literal(c),
                    // A surrogate: in no text.
                    None => self.push_atom(NOTHING),
                },
            },
        }
        Ok(())
    }

    /// The code point that the escape of `c` stands for, inside a class and outside.
    fn escaped_code(&mut self, c: char) -> Result<u32, PatternError> {
        match c {
            'a' => Ok(0x07),
            'f' => Ok(0x0C),
            'n' => Ok(0x0A),
            'r' => Ok(0x0D),
            't' => Ok(0x09),
            'v' => Ok(0x0B),
            'x' => self.hexadecimal(),
            '0'..='7' => self.octal(c),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => Ok(c.into()),
            _ => Err(self.error("unknown escape")),
        }
    }

    fn octal(&mut self, first: char) -> Result<u32, PatternError> {
        let mut code = first.to_digit(8).unwrap_or(0);
        let mut digits = 1;
        while let Some(digit) = self.rest.chars().next().and_then(|c| c.to_digit(8))
            && digits < 3
        {
            self.next();
            code = code * 8 + digit;
            digits += 1;
        }
        if digits == 1 && first != '0' {
            return Err(self.error("back-reference"));
        }
        Ok(code)
    }

    fn hexadecimal(&mut self) -> Result<u32, PatternError> {
        let digits = if self.eat("{") {
            self.until("}")
        } else {
            let (digits, rest) = self.rest.split_at_checked(2).unwrap_or_default();
            self.rest = rest;
            Some(digits)
        };
        digits
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .filter(|code| *code <= char::MAX.into())
            .ok_or_else(|| self.error("bad hexadecimal escape"))
    }

    /// Reads what follows `\p`, and writes it as a class of its own.
    fn property(&mut self, mut negated: bool) -> Result<String, PatternError> {
        let mut name = if self.eat("{") {
            self.until("}").unwrap_or_default()
        } else {
            let (name, rest) = self.rest.split_at_checked(1).unwrap_or_default();
            self.rest = rest;
            name
        };
        if let Some(rest) = name.strip_prefix('^') {
            (name, negated) = (rest, !negated);
        }
        let items = match name {
            // RE2's `C` lacks the unassigned code points.
            "C" => r"\p{Cc}\p{Cf}\p{Co}".to_owned(),
            "Cs" => NOTHING.to_owned(),
            "Any" => r"\p{Any}".to_owned(),
            name if CATEGORIES.contains(&name) => format!(r"\p{{gc={name}}}"),
            name if is_script(name) => format!(r"\p{{sc={name}}}"),
            _ => return Err(self.error("unknown category or script")),
        };
        Ok(format!("[{}{items}]", if negated { "^" } else { "" }))
    }

    // --- classes

    /// Reads a class behind its opening bracket.
    pub(super) fn class(&mut self) -> Result<(), PatternError> {
        let start = self.out.len();
        let opening = if self.eat("^") { "[^" } else { "[" };
        self.out.push_str(opening);
        let mut first = true;
        // A bracket that comes first closes nothing.
        while first || !self.eat("]") {
            first = false;
            self.class_item()?;
        }
        self.out.push(']');
        self.set_atom(start, 1);
        Ok(())
    }

    fn class_item(&mut self) -> Result<(), PatternError> {
        if self.rest.starts_with("[:") && self.posix_class()? {
            return Ok(());
        }
        if let Some(escaped) = self.rest.strip_prefix('\\') {
            let letter = escaped.chars().next().unwrap_or_default();
            if matches!(letter, 'p' | 'P') {
                self.rest = escaped.get(1..).unwrap_or_default();
                let property = self.property(letter == 'P')?;
                self.out.push_str(&property);
                return Ok(());
            }
            if let Some(class) = perl_class(letter) {
                self.rest = escaped.get(1..).unwrap_or_default();
                self.out.push_str(class);
                return Ok(());
            }
        }
        let low = self.class_code()?;
        let is_range = self.rest.strip_prefix('-').is_some_and(|rest| !rest.starts_with(']'));
        let high =
            if is_range && self.rest.len() > 1 && self.eat("-") { self.class_code()? } else { low };
        if high < low {
            return Err(self.error("bad range"));
        }
        self.push_range(low, high);
        Ok(())
    }

    /// Reads `[:alpha:]` if it is closed; an open one is a bracket and a colon.
    fn posix_class(&mut self) -> Result<bool, PatternError> {
        if self.posix_classes_over {
            return Ok(false);
        }
        let Some((name, rest)) = self.rest.get(2..).and_then(|rest| rest.split_once(":]")) else {
            self.posix_classes_over = true;
            return Ok(false);
        };
        self.rest = rest;
        if !POSIX_CLASSES.contains(&name.strip_prefix('^').unwrap_or(name)) {
            return Err(self.error("unknown class"));
        }
        let _ = write!(self.out, "[:{name}:]");
        Ok(true)
    }

    fn class_code(&mut self) -> Result<u32, PatternError> {
        match self.next() {
            None => Err(self.error("missing `]`")),
            Some('\\') => match self.next() {
                Some(c) => self.escaped_code(c),
                None => Err(self.error("trailing backslash")),
            },
            Some(c) => Ok(c.into()),
        }
    }

    /// Writes a range without the surrogates at its ends, which the `regex` crate refuses.
    fn push_range(&mut self, low: u32, high: u32) {
        let low = if is_surrogate(low) { 0xE000 } else { low };
        let high = if is_surrogate(high) { 0xD7FF } else { high };
        if low > high {
            return self.out.push_str(NOTHING);
        }
        self.push_code(low);
        if low < high {
            self.out.push('-');
            self.push_code(high);
        }
    }
}
