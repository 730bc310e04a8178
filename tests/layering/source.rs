//! A source file as the rules read it: tokens without comments, texts and tests.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// One file under `src/`.
#[derive(Debug)]
pub(crate) struct Source {
    /// Relative to `src/`, with slashes.
    pub(crate) path: String,
    /// The file's own words.
    pub(crate) text: String,
    /// The code: no comments, no literals, no `#[cfg(test)]` modules.
    pub(crate) code: String,
    /// Every path that is named, `use` groups spelled out, relative ones resolved to `crate::…`.
    pub(crate) paths: Vec<String>,
}

// === impl Source ===

impl Source {
    /// Every source of the package.
    pub(crate) fn all() -> Vec<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut files = Vec::new();
        list(&root, &mut files);
        files.sort();
        files
            .iter()
            .map(|file| {
                let relative = file.strip_prefix(&root).unwrap().to_str().unwrap();
                Self::new(&relative.replace('\\', "/"), &fs::read_to_string(file).unwrap())
            })
            .collect()
    }

    pub(crate) fn new(path: &str, text: &str) -> Self {
        let code = without_tests(&without_prose(text));
        let module = module_of(path);
        let paths = named_paths(&code).iter().map(|path| resolve(&module, path)).collect();
        Self { path: path.to_owned(), text: text.to_owned(), code, paths }
    }

    /// The first part of the module's name: `http` for `http/proxy.rs`.
    pub(crate) fn house(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// Whether the file holds nothing but tests.
    pub(crate) fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    /// The identifiers of the code, in order.
    pub(crate) fn words(&self) -> impl Iterator<Item = &str> {
        self.code.split(|c: char| !is_word(c)).filter(|word| !word.is_empty())
    }
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            list(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Removes comments and what stands in literals; keeps line breaks.
fn without_prose(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::new();
    let mut at = 0;
    while at < chars.len() {
        let end = match (chars[at], chars.get(at + 1)) {
            ('/', Some('/')) => line_end(&chars, at),
            ('/', Some('*')) => block_end(&chars, at),
            ('"', _) => text_end(&chars, at),
            ('r', Some('"' | '#')) if !at.checked_sub(1).is_some_and(|b| is_word(chars[b])) => {
                raw_end(&chars, at)
            }
            ('\'', _) => letter_end(&chars, at),
            _ => at,
        };
        if end == at {
            code.push(chars[at]);
            at += 1;
        } else {
            code.push(' ');
            code.extend(chars[at..end].iter().filter(|c| **c == '\n'));
            at = end;
        }
    }
    code
}

fn line_end(chars: &[char], start: usize) -> usize {
    (start..chars.len()).find(|at| chars[*at] == '\n').unwrap_or(chars.len())
}

fn block_end(chars: &[char], start: usize) -> usize {
    let (mut depth, mut at) = (0, start);
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    at
}

fn text_end(chars: &[char], start: usize) -> usize {
    let mut at = start + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// `start` itself when it is no raw text but a raw identifier.
fn raw_end(chars: &[char], start: usize) -> usize {
    let hashes = chars[start + 1..].iter().take_while(|c| **c == '#').count();
    if chars.get(start + 1 + hashes) != Some(&'"') {
        return start;
    }
    let closing: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let body = start + 2 + hashes;
    let length = chars[body..].windows(closing.len()).position(|window| window == closing);
    length.map_or(chars.len(), |length| body + length + closing.len())
}

/// `start` itself when it begins a lifetime.
fn letter_end(chars: &[char], start: usize) -> usize {
    match (chars.get(start + 1), chars.get(start + 2)) {
        (Some('\\'), _) => {
            let close = (start + 3..chars.len()).find(|at| chars[*at] == '\'');
            close.map_or(chars.len(), |close| close + 1)
        }
        (Some(_), Some('\'')) => start + 3,
        _ => start,
    }
}

/// Removes every `#[cfg(test)]` item that has a body or ends in a semicolon.
fn without_tests(code: &str) -> String {
    let mark = "#[cfg(test)]";
    let mut kept = String::new();
    let mut rest = code;
    while let Some(start) = rest.find(mark) {
        kept.push_str(&rest[..start]);
        let item = &rest[start + mark.len()..];
        let end = item.find([';', '{']).unwrap_or(item.len());
        rest = if item[end..].starts_with('{') {
            &item[end + body(&item[end..])..]
        } else {
            &item[end..]
        };
    }
    kept + rest
}

/// The length of a text in braces, braces included.
fn body(text: &str) -> usize {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    text.len()
}

/// `engine::plan` for `engine/plan.rs`.
fn module_of(path: &str) -> Vec<String> {
    let path = path.strip_suffix(".rs").unwrap_or(path);
    let is_root = path == "lib" || path == "main";
    if is_root { Vec::new() } else { path.split('/').map(str::to_owned).collect() }
}

/// Every path in the code, with the names of a `use` group spelled out.
fn named_paths(code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    let mut rest = code;
    while let Some(start) = rest.find(|c: char| is_word(c)) {
        rest = &rest[start..];
        let word = &rest[..rest.find(|c: char| !is_word(c)).unwrap_or(rest.len())];
        rest = &rest[word.len()..];
        if word == "use" {
            let end = rest.find(';').unwrap_or(rest.len());
            spell_out("", &rest[..end], &mut paths);
            rest = &rest[end..];
            continue;
        }
        let mut path = word.to_owned();
        while let Some(tail) = rest.trim_start().strip_prefix("::") {
            let tail = tail.trim_start();
            let next = &tail[..tail.find(|c: char| !is_word(c)).unwrap_or(tail.len())];
            if next.is_empty() {
                break;
            }
            path = format!("{path}::{next}");
            rest = &tail[next.len()..];
        }
        if path.contains("::") {
            paths.push(path);
        }
    }
    paths
}

/// `a::{b, c::{d, e as f}}` is `a::b`, `a::c::d` and `a::c::e`.
fn spell_out(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let tree = tree.trim();
    let join = |name: &str| match (prefix, name) {
        ("", name) => name.to_owned(),
        (prefix, "self" | "") => prefix.to_owned(),
        (prefix, name) => format!("{prefix}::{name}"),
    };
    let Some((before, group)) = tree.split_once('{') else {
        let name = tree.split(" as ").next().unwrap_or_default();
        let name: String = name.chars().filter(|c| !c.is_whitespace()).collect();
        paths.push(join(name.trim_start_matches("::")));
        return;
    };
    let before: String = before.chars().filter(|c| !c.is_whitespace()).collect();
    let prefix = join(before.trim_matches(':'));
    let group = group.trim_end().strip_suffix('}').unwrap_or(group);
    let (mut depth, mut start) = (0, 0);
    for (at, c) in group.char_indices().chain([(group.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !group[start..at].trim().is_empty() {
                    spell_out(&prefix, &group[start..at], paths);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

/// `super::x` seen from `a::b` is `crate::a::x`.
fn resolve(module: &[String], path: &str) -> String {
    let parts: Vec<&str> = path.split("::").collect();
    let ups = parts.iter().take_while(|part| **part == "super").count();
    let (base, rest) = match parts[0] {
        "super" => (module.len().saturating_sub(ups), &parts[ups..]),
        "self" => (module.len(), &parts[1..]),
        "offleash" => (0, &parts[1..]),
        _ => return path.to_owned(),
    };
    let mut whole = vec!["crate"];
    whole.extend(module[..base].iter().map(String::as_str));
    whole.extend(rest);
    whole.join("::")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_is_no_code() {
        let text =
            "a /* b /* c */ d */ \"e \\\" f\" 'g' '\\'' r#\"h \" i\"# j<'k> // l\nm b'n' r#o";
        let source = Source::new("x.rs", text);
        let words: Vec<&str> = source.words().collect();
        assert_eq!(words, ["a", "j", "k", "m", "b", "r", "o"]);
    }

    #[test]
    fn groups_are_spelled_out() {
        let text =
            "use crate::{a::{self, B}, c::D as E, f::*}; use ::std::x;\nfn g() { h::i::<J>::k() }";
        let expected = ["crate::a", "crate::a::B", "crate::c::D", "crate::f::*", "std::x", "h::i"];
        assert_eq!(Source::new("x.rs", text).paths, expected);
    }

    #[test]
    fn relative_paths_are_resolved() {
        let text = "use super::a; use self::b::c; use super::super::d; use offleash::e;";
        let expected = ["crate::x::a", "crate::x::y::b::c", "crate::d", "crate::e"];
        assert_eq!(Source::new("x/y.rs", text).paths, expected);
    }
}
