//! Semantic versions 2.0 (section 4.6).

use std::cmp::Ordering;

/// A version, its build metadata left out; equal when neither precedes the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version<'a> {
    pub(crate) major: u64,
    pub(crate) minor: u64,
    pub(crate) patch: u64,
    /// Dot-separated pre-release identifiers, empty for a release.
    // INVARIANT: every identifier is valid, so a numeric one has no leading zero.
    pub(crate) pre: &'a str,
}

/// Reads a strict semantic version: three numbers, no leading `v`, no white space.
///
/// Build metadata must be well-formed and is ignored. Returns `None` for anything else, numbers
/// above `u64::MAX` included.
pub(crate) fn parse(text: &str) -> Option<Version<'_>> {
    let (text, build) = match text.split_once('+') {
        Some((text, build)) => (text, Some(build)),
        None => (text, None),
    };
    if build.is_some_and(|build| !build.split('.').all(is_identifier)) {
        return None;
    }
    let (core, pre) = match text.split_once('-') {
        Some((core, pre)) if pre.split('.').all(is_pre_release) => (core, pre),
        Some(_) => return None,
        None => (text, ""),
    };
    let mut parts = core.split('.');
    let mut part = || parts.next().and_then(number);
    let (major, minor, patch) = (part()?, part()?, part()?);
    if parts.next().is_some() {
        return None;
    }
    Some(Version { major, minor, patch, pre })
}

fn number(text: &str) -> Option<u64> {
    if is_numeric(text) && !has_leading_zero(text) { text.parse().ok() } else { None }
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn is_pre_release(text: &str) -> bool {
    is_identifier(text) && !(is_numeric(text) && has_leading_zero(text))
}

fn is_numeric(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn has_leading_zero(text: &str) -> bool {
    text.len() > 1 && text.starts_with('0')
}

// === impl Version ===

impl Version<'_> {
    /// Which of the two precedes the other by the rules of semantic versioning 2.0.
    pub(crate) fn cmp_precedence(&self, other: &Version<'_>) -> Ordering {
        let core = |version: &Version<'_>| (version.major, version.minor, version.patch);
        core(self).cmp(&core(other)).then_with(|| cmp_pre_release(self.pre, other.pre))
    }
}

fn cmp_pre_release(left: &str, right: &str) -> Ordering {
    match (left.is_empty(), right.is_empty()) {
        (true, true) => Ordering::Equal,
        // A release follows its own pre-releases.
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => cmp_identifiers(left, right),
    }
}

fn cmp_identifiers(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left.split('.'), right.split('.'));
    loop {
        let order = match (left.next(), right.next()) {
            (Some(left), Some(right)) => cmp_identifier(left, right),
            (left, right) => return left.is_some().cmp(&right.is_some()),
        };
        if order.is_ne() {
            return order;
        }
    }
}

fn cmp_identifier(left: &str, right: &str) -> Ordering {
    match (is_numeric(left), is_numeric(right)) {
        // Without leading zeros the longer number is the greater, whatever its length.
        (true, true) => left.len().cmp(&right.len()).then_with(|| left.cmp(right)),
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => left.cmp(right),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn compare(left: &str, right: &str) -> Ordering {
        parse(left).unwrap().cmp_precedence(&parse(right).unwrap())
    }

    #[test]
    fn strict_versions_are_read() {
        let version = |major, minor, patch, pre| Some(Version { major, minor, patch, pre });
        let rows = [
            ("1.2.3", version(1, 2, 3, "")),
            ("0.0.0", version(0, 0, 0, "")),
            ("1.2.3-alpha.1", version(1, 2, 3, "alpha.1")),
            ("1.2.3-0", version(1, 2, 3, "0")),
            ("1.2.3--", version(1, 2, 3, "-")),
            ("1.2.3-0a", version(1, 2, 3, "0a")),
            ("1.2.3-a-b.c-d", version(1, 2, 3, "a-b.c-d")),
            ("1.2.3+build", version(1, 2, 3, "")),
            ("1.2.3+build-1.007", version(1, 2, 3, "")),
            ("1.2.3-rc.1+build.5", version(1, 2, 3, "rc.1")),
            ("18446744073709551615.0.0", version(u64::MAX, 0, 0, "")),
        ];
        for (text, expected) in rows {
            assert_eq!(parse(text), expected, "`{text}`");
        }
    }

    #[test]
    fn other_texts_are_no_versions() {
        let rows = [
            "",
            "1",
            "1.2",
            "1.2.",
            "1.2.3.4",
            "v1.2.3",
            "V2.0.0",
            "v2.0.0",
            " v1.2.3",
            " 1.2.3",
            "1.2.3 ",
            "01.2.3",
            "1.02.3",
            "1.2.03",
            "nope",
            "1.2.x",
            "+1.2.3",
            "-1.2.3",
            "1.-2.3",
            "1.2.3-",
            "1.2.3-a..b",
            "1.2.3-.a",
            "1.2.3-01",
            "1.2.3-a.00",
            "1.2.3-a_b",
            "1.2.3-é",
            "1.2.3+",
            "1.2.3+a..b",
            "1.2.3+a+b",
            "1.2.3+ä",
            "1.2.3-+b",
            "1.2+3",
            "18446744073709551616.0.0",
            "1.2.٣",
            ">=1.2.3",
            "1.2.3,",
            "=1.2.3",
        ];
        for text in rows {
            assert_eq!(parse(text), None, "`{text}`");
        }
    }

    #[test]
    fn precedence_follows_semantic_versioning() {
        let in_order = [
            "0.9.9",
            "1.0.0-0",
            "1.0.0-9",
            "1.0.0-10",
            "1.0.0-18446744073709551616",
            "1.0.0-100000000000000000000",
            "1.0.0--",
            "1.0.0-A",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.1.0",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.1",
            "1.2.0",
            "1.10.0",
            "2.0.0-alpha",
            "2.0.0-alpha.1",
            "2.0.0-alpha.3",
            "2.0.0-beta",
            "2.0.0-rc",
            "2.0.0",
            "10.0.0",
        ];
        for (left, lower) in in_order.iter().enumerate() {
            for (right, upper) in in_order.iter().enumerate() {
                assert_eq!(compare(lower, upper), left.cmp(&right), "`{lower}` and `{upper}`");
            }
        }
    }

    #[test]
    fn build_metadata_is_ignored() {
        assert_eq!(compare("1.2.3+a", "1.2.3+b"), Ordering::Equal);
        assert_eq!(compare("1.2.3-rc+a", "1.2.3-rc"), Ordering::Equal);
        assert_eq!(parse("1.2.3+a"), parse("1.2.3"));
    }

    proptest! {
        #[test]
        fn precedence_is_antisymmetric_and_equal_only_for_equal_versions(
            left in "[01]\\.[01]\\.[01](-[0a1b]{1,2}(\\.[0a1-]{1,2}){0,2})?",
            right in "[01]\\.[01]\\.[01](-[0a1b]{1,2}(\\.[0a1-]{1,2}){0,2})?",
        ) {
            if let (Some(left), Some(right)) = (parse(&left), parse(&right)) {
                let order = left.cmp_precedence(&right);
                prop_assert_eq!(order, right.cmp_precedence(&left).reverse());
                prop_assert_eq!(order.is_eq(), left == right);
            }
        }

        #[test]
        fn no_text_ends_the_process(text in "[0-9.+-]{0,12}|\\PC{0,12}") {
            let _ = parse(&text);
        }
    }
}
