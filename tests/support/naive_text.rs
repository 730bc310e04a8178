//! The texts of the naive evaluator: numbers, dates, versions, networks, patterns, hashes.

use std::{cmp::Ordering, net::IpAddr};

use chrono::{FixedOffset, NaiveDate, NaiveDateTime, NaiveTime};
use regex::{Regex, RegexBuilder};

/// An address and how many of its leading bits count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Network {
    address: IpAddr,
    bits: u32,
}

/// A version in the order of semver 2.0; build metadata is forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    release: [u64; 3],
    pre: Vec<String>,
}

/// RE2 patterns whose meaning differs in Rust's dialect, with what they mean in Rust's; `None` is a
/// pattern that RE2 refuses (evaluation.md 4.7).
pub(crate) const RE2: [(&str, Option<&str>); 18] = [
    (r"^\d+$", Some(r"^[0-9]+$")),
    (r"^\w+$", Some(r"^[0-9A-Za-z_]+$")),
    (r"^\S+$", Some(r"^[^\t\n\x0C\r ]+$")),
    (r"\s", Some(r"[\t\n\x0C\r ]")),
    (r"^[^\d]+$", Some(r"^[^0-9]+$")),
    (r"^\Qa.b\E$", Some(r"^a\.b$")),
    (r"^\101$", Some(r"^A$")),
    (r"a{", Some(r"a\{")),
    (r"^a{,2}$", Some(r"^a\{,2}$")),
    (r"^[[a]+$", Some(r"^[\[a]+$")),
    (r"^[a&&b]+$", Some(r"^[ab&]+$")),
    (r"(?x)a", None),
    (r"(?-u)a", None),
    (r"\u0041", None),
    (r"a**", None),
    (r"a{1001}", None),
    (r"(?=a)", None),
    (r"(a)\1", None),
];

/// Section 4.4. `None` when the text is no number.
pub(crate) fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    // `f64::from_str` also reads these words and nothing else that has letters but an exponent.
    let is_plain = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
    if text.chars().all(is_plain) { text.parse().ok() } else { None }
}

/// Section 2.5, in nanoseconds since 1970. `None` when the text is no date.
pub(crate) fn date_nanos(text: &str) -> Option<i128> {
    let text = text.trim();
    let date = NaiveDate::parse_from_str(text.get(..10)?, "%Y-%m-%d").ok()?;
    let rest = text.get(10..)?;
    if rest.is_empty() {
        return nanos(date.and_time(NaiveTime::MIN), 0);
    }
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let ends = |c: char| !(c.is_ascii_digit() || matches!(c, ':' | '.'));
    let (time, zone) = rest.split_at(rest.find(ends).unwrap_or(rest.len()));
    let time = NaiveTime::parse_from_str(time, "%H:%M:%S%.f").ok()?;
    let offset_seconds = match zone.trim() {
        "" | "Z" | "z" | "UTC" => 0,
        zone => zone.parse::<FixedOffset>().ok()?.local_minus_utc(),
    };
    nanos(date.and_time(time), offset_seconds)
}

fn nanos(local: NaiveDateTime, offset_seconds: i32) -> Option<i128> {
    let utc = local.and_utc();
    let seconds = i128::from(utc.timestamp() - i64::from(offset_seconds));
    Some(seconds * 1_000_000_000 + i128::from(utc.timestamp_subsec_nanos()))
}

/// Section 4.6. `None` when the text is no version.
pub(crate) fn version(text: &str) -> Option<Version> {
    let (text, build) = text.split_once('+').map_or((text, None), |(t, b)| (t, Some(b)));
    if build.is_some_and(|build| !build.split('.').all(is_identifier)) {
        return None;
    }
    let (release, pre) = text.split_once('-').map_or((text, None), |(r, p)| (r, Some(p)));
    let parts: Vec<&str> = release.split('.').collect();
    let [major, minor, patch] = parts.as_slice() else { return None };
    let release = [part(major)?, part(minor)?, part(patch)?];
    let pre: Vec<String> =
        pre.map(|pre| pre.split('.').map(str::to_owned).collect()).unwrap_or_default();
    let is_valid = |id: &String| is_identifier(id) && (!is_numeric(id) || part(id).is_some());
    pre.iter().all(is_valid).then_some(Version { release, pre })
}

fn part(text: &str) -> Option<u64> {
    let has_leading_zero = text.len() > 1 && text.starts_with('0');
    if is_numeric(text) && !has_leading_zero { text.parse().ok() } else { None }
}

fn is_numeric(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// A pattern in RE2's dialect. `None` when RE2 refuses it.
pub(crate) fn regex(pattern: &str, case_insensitive: bool) -> Option<Regex> {
    let translated = match RE2.iter().find(|(re2, _)| *re2 == pattern) {
        Some((_, translation)) => (*translation)?,
        None => pattern,
    };
    RegexBuilder::new(translated).case_insensitive(case_insensitive).build().ok()
}

/// MurmurHash3, x86, 32 bits.
pub(crate) fn murmur3(bytes: &[u8], seed: u32) -> u32 {
    let mix =
        |block: u32| block.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    let mut hash = seed;
    let blocks = bytes.chunks_exact(4);
    let tail = blocks.remainder();
    for block in blocks {
        hash ^= mix(u32::from_le_bytes([block[0], block[1], block[2], block[3]]));
        hash = hash.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    let tail = tail.iter().rev().fold(0, |word, byte| (word << 8) | u32::from(*byte));
    hash ^= mix(tail);
    hash ^= bytes.len() as u32;
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

// === impl Network ===

impl Network {
    /// Reads `address`, `address/bits` or `a.b.c.d/mask`. `None` when it is none of them.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, suffix) = text.split_once('/').map_or((text, None), |(a, s)| (a, Some(s)));
        let address: IpAddr = address.parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = match suffix {
            None => width,
            Some(suffix) if is_numeric(suffix) => suffix.parse().ok()?,
            Some(mask) => {
                let (IpAddr::V4(_), Ok(IpAddr::V4(mask))) = (address, mask.parse()) else {
                    return None;
                };
                let mask = u32::from(mask);
                (mask.leading_ones() == mask.count_ones()).then_some(mask.leading_ones())?
            }
        };
        (bits <= width).then_some(Self { address, bits })
    }

    pub(crate) fn contains(&self, other: IpAddr) -> bool {
        let leading = |address: IpAddr| match address {
            IpAddr::V4(v4) => u128::from(u32::from(v4)) << 96,
            IpAddr::V6(v6) => u128::from(v6),
        };
        let differing = leading(self.address) ^ leading(other);
        self.address.is_ipv4() == other.is_ipv4() && differing.leading_zeros() >= self.bits
    }
}

// === impl Version ===

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.release.cmp(&other.release).then_with(|| {
            match (self.pre.is_empty(), other.pre.is_empty()) {
                (true, true) => Ordering::Equal,
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                (false, false) => compare_pre(&self.pre, &other.pre),
            }
        })
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn compare_pre(left: &[String], right: &[String]) -> Ordering {
    for (left, right) in left.iter().zip(right) {
        let order = match (part(left), part(right)) {
            (Some(left), Some(right)) => left.cmp(&right),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => left.cmp(right),
        };
        if order.is_ne() {
            return order;
        }
    }
    left.len().cmp(&right.len())
}
