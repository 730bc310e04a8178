//! Points in time as contexts and constraints spell them (sections 2.5 and 4.5).

use chrono::format::{Fixed, Item, Numeric, Pad, Parsed, parse_and_remainder};
use chrono::{DateTime, FixedOffset};

const DATE: [Item<'static>; 8] = [
    Item::Numeric(Numeric::Year, Pad::Zero),
    Item::Space(""),
    Item::Literal("-"),
    Item::Numeric(Numeric::Month, Pad::Zero),
    Item::Space(""),
    Item::Literal("-"),
    Item::Numeric(Numeric::Day, Pad::Zero),
    // No blank here: the one that follows may be the separator.
    Item::Literal(""),
];
const TIME: [Item<'static>; 9] = [
    Item::Numeric(Numeric::Hour, Pad::Zero),
    Item::Space(""),
    Item::Literal(":"),
    Item::Numeric(Numeric::Minute, Pad::Zero),
    Item::Space(""),
    Item::Literal(":"),
    Item::Numeric(Numeric::Second, Pad::Zero),
    Item::Fixed(Fixed::Nanosecond),
    Item::Space(""),
];

/// A point in time, to the nanosecond; ordered by time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Instant {
    /// Whole seconds since 1970-01-01T00:00:00Z, rounded towards the past.
    seconds: i64,
    /// Nanoseconds after `seconds`; a billion and more inside a leap second.
    nanos: u32,
}

/// Reads a date with time and zone in a relaxed RFC 3339 form, or one that lacks the zone, or the
/// time too.
///
/// Between date and time stands `T`, `t` or a blank; the zone is `Z`, `UTC` or an offset with or
/// without colon; stray blanks between parts are passed over. Without a zone UTC is meant, without
/// a time midnight. Returns `None` for anything else.
pub(crate) fn parse(text: &str) -> Option<Instant> {
    zoned(text).or_else(|| zoneless(text))
}

fn zoned(text: &str) -> Option<Instant> {
    let date: DateTime<FixedOffset> = text.parse().ok()?;
    Some(Instant { seconds: date.timestamp(), nanos: date.timestamp_subsec_nanos() })
}

fn zoneless(text: &str) -> Option<Instant> {
    let mut parsed = Parsed::new();
    let rest = parse_and_remainder(&mut parsed, text, DATE.iter()).ok()?;
    if rest.trim_start().is_empty() {
        let midnight = parsed.to_naive_date().ok()?.and_hms_opt(0, 0, 0)?;
        return Some(Instant { seconds: midnight.and_utc().timestamp(), nanos: 0 });
    }
    let time = rest.strip_prefix(['T', 't', ' '])?;
    let rest = parse_and_remainder(&mut parsed, time, TIME.iter()).ok()?;
    if !rest.is_empty() {
        return None;
    }
    let date = parsed.to_naive_datetime_with_offset(0).ok()?.and_utc();
    Some(Instant { seconds: date.timestamp(), nanos: date.timestamp_subsec_nanos() })
}

// === impl Instant ===

impl Instant {
    /// The instant `millis` milliseconds after 1970-01-01T00:00:00Z, or before it when negative.
    pub(crate) fn from_millis(millis: i64) -> Self {
        // Below a billion: the remainder is under a thousand.
        let nanos = millis.rem_euclid(1000) as u32 * 1_000_000;
        Self { seconds: millis.div_euclid(1000), nanos }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2022-01-30T13:00:00Z
    const ONE_PM: i64 = 1_643_547_600;

    fn at(seconds: i64, nanos: u32) -> Option<Instant> {
        Some(Instant { seconds, nanos })
    }

    #[test]
    fn rfc_3339_keeps_nanoseconds_and_honours_offsets() {
        let rows = [
            ("2022-01-30T13:00:00Z", at(ONE_PM, 0)),
            ("2022-01-30T13:00:00z", at(ONE_PM, 0)),
            ("2022-01-30T13:00:00.5Z", at(ONE_PM, 500_000_000)),
            ("2022-01-30T13:00:00.000Z", at(ONE_PM, 0)),
            ("2022-01-30T13:00:00.123456Z", at(ONE_PM, 123_456_000)),
            ("2022-01-30T13:00:00.123456789Z", at(ONE_PM, 123_456_789)),
            ("2022-01-30T13:00:00+02:00", at(ONE_PM - 7200, 0)),
            ("2022-01-30T13:00:00-05:30", at(ONE_PM + 19_800, 0)),
            ("2022-01-30T13:00:00.25+00:00", at(ONE_PM, 250_000_000)),
            ("1969-12-31T23:59:59.75Z", at(-1, 750_000_000)),
        ];
        for (text, expected) in rows {
            assert_eq!(parse(text), expected, "`{text}`");
        }
    }

    #[test]
    fn relaxed_forms_are_read() {
        let rows = [
            "2022-01-30 13:00:00Z",
            "2022-01-30t13:00:00Z",
            "2022-01-30T15:00:00+0200",
            "2022-01-30T13:00:00UTC",
            "2022-01-30T13:00:00 UTC",
            "2022-01-30 13:00:00 utc",
            "2022-01-30T13:00:00 Z",
            "2022-01-30 15:00:00 +02:00",
            " 2022-01-30T13:00:00Z ",
            "2022 - 01 - 30T 13 : 00 : 00 Z",
        ];
        for text in rows {
            assert_eq!(parse(text), at(ONE_PM, 0), "`{text}`");
        }
    }

    #[test]
    fn a_date_alone_is_midnight_in_utc() {
        for text in ["2022-01-30", " 2022-01-30", "2022-01-30 ", "2022-1-30"] {
            assert_eq!(parse(text), at(ONE_PM - 13 * 3600, 0), "`{text}`");
        }
        assert_eq!(parse("1970-01-01"), at(0, 0));
        assert_eq!(parse("2024-02-29"), at(1_709_164_800, 0));
    }

    #[test]
    fn without_a_zone_utc_is_meant() {
        let rows = [
            ("2022-01-30T13:00:00", at(ONE_PM, 0)),
            ("2022-01-30 13:00:00", at(ONE_PM, 0)),
            ("2022-01-30t13:00:00", at(ONE_PM, 0)),
            ("2022-01-30T13:00:00 ", at(ONE_PM, 0)),
            ("2022-01-30T13:00:00.001", at(ONE_PM, 1_000_000)),
        ];
        for (text, expected) in rows {
            assert_eq!(parse(text), expected, "`{text}`");
        }
    }

    #[test]
    fn other_texts_are_no_dates() {
        let rows = [
            "",
            " ",
            "garbage",
            "now",
            "1643547600000",
            "1643547600",
            "1.5",
            "2022",
            "2022-01",
            "2022-13-01",
            "2022-02-30",
            "2023-02-29",
            "2022-01-30T",
            "2022-01-30T13",
            "20220130",
            "2022-01-30T13:00",
            "2022-01-30T13:00Z",
            "2022-01-30T24:00:00Z",
            "2022-01-30T13:60:00Z",
            "2022-01-30T13:00:00.Z",
            "2022-01-30T13:00:00X",
            "2022-01-30T13:00:00Zx",
            "2022-01-30T13:00:00 CET",
            "2022-01-30T13:00:00+99:00",
            "2022-01-30T13:00:00+0",
            "2022-01-30T13:00:00+02",
            "2022-01-30Z",
            "30.01.2022",
            "2022/01/30",
            "Sun, 30 Jan 2022 13:00:00 GMT",
            "2022-01-30T13:00:00+é",
            "２０２２-01-30",
        ];
        for text in rows {
            assert_eq!(parse(text), None, "`{text}`");
        }
    }

    #[test]
    fn milliseconds_count_from_1970_in_both_directions() {
        assert_eq!(Some(Instant::from_millis(1_643_547_600_123)), at(ONE_PM, 123_000_000));
        assert_eq!(Some(Instant::from_millis(0)), at(0, 0));
        assert_eq!(Some(Instant::from_millis(-250)), at(-1, 750_000_000));
        assert!(Instant::from_millis(i64::MIN) < Instant::from_millis(i64::MAX));
    }

    #[test]
    fn later_is_greater() {
        let in_order = [
            "1969-12-31T23:59:59.9Z",
            "1970-01-01",
            "2022-01-30T13:00:00+02:00",
            "2022-01-30T12:00:00",
            "2022-01-30T13:00:00Z",
            "2022-01-30T13:00:00.000000001Z",
            "2022-01-30T13:00:00.001Z",
            "2022-01-30T13:00:01Z",
        ];
        for pair in in_order.windows(2) {
            assert!(parse(pair[0]).unwrap() < parse(pair[1]).unwrap(), "{pair:?}");
        }
    }

    proptest! {
        #[test]
        fn a_printed_instant_reads_back(millis in -62_135_596_800_000i64..253_402_300_800_000) {
            let printed = DateTime::from_timestamp_millis(millis).unwrap().to_rfc3339();
            prop_assert_eq!(parse(&printed), Some(Instant::from_millis(millis)));
        }

        #[test]
        fn no_text_ends_the_process(
            text in "[-+]?[0-9]{1,6}-[0-9]{1,3}-[0-9]{1,3}[Tt ]?[0-9: .]{0,16}[-+Z−UTC0-9:é]{0,8}|\\PC{0,30}"
        ) {
            let _ = parse(&text);
        }
    }
}
