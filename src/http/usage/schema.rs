//! The schemas of reports and registrations, with the Proxy's coercions (unleash-proxy.md 1.7).
//!
//! Edge's surface reads the same: what it does not require, it does not miss.

use serde_json::{Map, Value};

use crate::{
    http::{
        invalid::{Invalid, Rule, Violation},
        json::Unreadable,
        route::{Surface, Usage},
    },
    usage::{Count, Impact, Report, this_hour},
};

/// Counts may be as late as this, and as early as one; others are of the hour in which they came.
const LATEST_HOURS: i64 = 24;

/// What an SDK told.
#[derive(Debug)]
pub(super) enum Note {
    Report(Report),
    Application(Map<String, Value>),
}

/// A value, and where in the request and in the schema it stands.
struct Place {
    instance: String,
    schema: String,
}

/// Reads a request's body.
///
/// # Errors
///
/// The first thing that breaks the schema, in the schema's order.
pub(super) fn read(body: Value, surface: Surface, kind: Usage) -> Result<Note, Unreadable> {
    let name = match kind {
        Usage::Metrics => "registerMetricsSchema",
        Usage::Register => "registerClientSchema",
    };
    let place =
        Place { instance: "/body".to_owned(), schema: format!("#/components/schemas/{name}") };
    let note = match kind {
        Usage::Metrics => report(&body, &place, surface).map(Note::Report),
        Usage::Register => application(body, &place, surface).map(Note::Application),
    };
    note.map_err(|violation| Unreadable::Shape(Invalid::Rule(violation)))
}

fn report(body: &Value, place: &Place, surface: Surface) -> Result<Report, Violation> {
    let body = place.object(body)?;
    let required: &[_] = match surface {
        Surface::Proxy => &["appName", "instanceId", "bucket"],
        Surface::Edge => &["appName"],
    };
    place.require(body, required)?;
    let mut app = String::new();
    for name in ["appName", "instanceId", "environment"] {
        let Some(value) = present(body, name, surface) else { continue };
        let text = place.property(name).text(value)?;
        if name == "appName" {
            app = text;
        }
    }
    let mut report = Report { app: app.into(), hour: this_hour(), ..Report::default() };
    if let Some(bucket) = present(body, "bucket", surface) {
        read_bucket(bucket, &place.property("bucket"), surface, &mut report)?;
    }
    for metric in body.get("impactMetrics").and_then(Value::as_array).into_iter().flatten() {
        match Impact::read(metric) {
            Some(impact) => report.impact.extend(impact),
            None => report.unreadable += 1,
        }
    }
    Ok(report)
}

fn read_bucket(
    bucket: &Value,
    place: &Place,
    surface: Surface,
    report: &mut Report,
) -> Result<(), Violation> {
    let bucket = place.object(bucket)?;
    if surface == Surface::Proxy {
        place.require(bucket, &["start", "stop", "toggles"])?;
        for name in ["start", "stop"] {
            let place = place.property(name);
            let text = place.text(bucket.get(name).unwrap_or(&Value::Null))?;
            if hour_of(&text).is_none() {
                return Err(place.breaks(Rule::DateTime));
            }
        }
    } else {
        // The Proxy's surface counts by arrival, as the original does.
        let start = bucket.get("start").and_then(Value::as_str).and_then(hour_of);
        let near = report.hour - LATEST_HOURS..=report.hour + 1;
        report.hour = start.filter(|hour| near.contains(hour)).unwrap_or(report.hour);
    }
    let Some(toggles) = present(bucket, "toggles", surface) else { return Ok(()) };
    let place = place.property("toggles");
    for (name, counts) in place.object(toggles)? {
        report.counts.push(read_count(name, counts, &place.entry(name))?);
    }
    Ok(())
}

fn read_count(name: &str, counts: &Value, place: &Place) -> Result<Count, Violation> {
    let counts = place.object(counts)?;
    let number = |name| counts.get(name).map_or(Ok(0), |count| place.property(name).count(count));
    let (yes, no) = (number("yes")?, number("no")?);
    let mut variants = Vec::new();
    if let Some(counts) = counts.get("variants") {
        let place = place.property("variants");
        for (name, count) in place.object(counts)? {
            variants.push((name.as_str().into(), place.entry(name).count(count)?));
        }
    }
    Ok(Count { toggle: name.into(), yes, no, variants })
}

fn application(
    body: Value,
    place: &Place,
    surface: Surface,
) -> Result<Map<String, Value>, Violation> {
    let entries = place.object(&body)?;
    let required: &[_] = match surface {
        Surface::Proxy => &["appName", "interval", "started", "strategies"],
        Surface::Edge => &["appName"],
    };
    place.require(entries, required)?;
    for name in ["appName", "instanceId", "sdkVersion", "environment"] {
        if let Some(value) = present(entries, name, surface) {
            place.property(name).text(value)?;
        }
    }
    if surface == Surface::Proxy {
        let entry = |name| entries.get(name).unwrap_or(&Value::Null);
        place.property("interval").number(entry("interval"))?;
        place.property("started").started(entry("started"))?;
        let place = place.property("strategies");
        let Some(strategies) = entry("strategies").as_array() else {
            return Err(place.breaks(Rule::Type("array")));
        };
        for (at, strategy) in strategies.iter().enumerate() {
            place.item(at).text(strategy)?;
        }
    }
    match body {
        Value::Object(body) => Ok(body),
        _ => Err(place.breaks(Rule::Type("object"))),
    }
}

/// To Edge a null is no entry.
fn present<'b>(body: &'b Map<String, Value>, name: &str, surface: Surface) -> Option<&'b Value> {
    body.get(name).filter(|value| surface == Surface::Proxy || !value.is_null())
}

// === impl Place ===

impl Place {
    fn property(&self, name: &str) -> Self {
        Self {
            instance: format!("{}/{name}", self.instance),
            schema: format!("{}/properties/{name}", self.schema),
        }
    }

    /// An entry whose name the schema does not know.
    fn entry(&self, name: &str) -> Self {
        let name = name.replace('~', "~0").replace('/', "~1");
        Self {
            instance: format!("{}/{name}", self.instance),
            schema: format!("{}/additionalProperties", self.schema),
        }
    }

    fn item(&self, at: usize) -> Self {
        Self {
            instance: format!("{}/{at}", self.instance),
            schema: format!("{}/items", self.schema),
        }
    }

    fn breaks(&self, rule: Rule) -> Violation {
        Violation { instance: self.instance.clone(), schema: self.schema.clone(), rule }
    }

    fn object<'b>(&self, value: &'b Value) -> Result<&'b Map<String, Value>, Violation> {
        value.as_object().ok_or_else(|| self.breaks(Rule::Type("object")))
    }

    fn require(&self, body: &Map<String, Value>, names: &[&'static str]) -> Result<(), Violation> {
        match names.iter().find(|name| !body.contains_key(**name)) {
            Some(name) => Err(self.breaks(Rule::Required(name))),
            None => Ok(()),
        }
    }

    fn text(&self, value: &Value) -> Result<String, Violation> {
        match value {
            Value::String(text) => Ok(text.clone()),
            Value::Null => Ok(String::new()),
            Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
            Value::Array(_) | Value::Object(_) => Err(self.breaks(Rule::Type("string"))),
        }
    }

    fn number(&self, value: &Value) -> Result<f64, Violation> {
        as_number(value).ok_or_else(|| self.breaks(Rule::Type("number")))
    }

    /// A whole number that is not negative. However large, it is one: sums saturate.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole, not negative, and saturating"
    )]
    fn count(&self, value: &Value) -> Result<u64, Violation> {
        if let Some(count) = value.as_u64() {
            return Ok(count);
        }
        let whole = as_number(value).filter(|number| number.fract() == 0.0);
        let number = whole.ok_or_else(|| self.breaks(Rule::Type("integer")))?;
        if number < 0.0 {
            return Err(self.breaks(Rule::NotNegative));
        }
        Ok(number as u64)
    }

    /// A time, or a number.
    fn started(&self, value: &Value) -> Result<(), Violation> {
        let is_time = value.as_str().is_some_and(|text| hour_of(text).is_some());
        // The text that the first choice makes of a null or a boolean is no number to the second.
        let is_scalar = value.is_null() || value.is_boolean();
        let is_number = !is_scalar && as_number(value).is_some();
        let is_text = !value.is_object() && !value.is_array();
        if is_time || is_number { Ok(()) } else { Err(self.breaks(Rule::TimeOrNumber { is_text })) }
    }
}

/// A number as the Proxy's schemas see it: texts, booleans and null are taken for one.
fn as_number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::Bool(is_one) => Some(f64::from(u8::from(*is_one))),
        Value::Null => Some(0.0),
        Value::String(text) => {
            let digits = text.trim();
            let is_decimal = digits.ends_with(|last: char| last.is_ascii_digit() || last == '.');
            digits.parse().ok().filter(|number: &f64| is_decimal && number.is_finite())
        }
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// The hour, since 1970, of a time as the Proxy's schemas want it: RFC 3339, where a blank may
/// stand for the `T` and the zone may be missing.
fn hour_of(text: &str) -> Option<i64> {
    let (date, time) =
        text.split_once(|between: char| matches!(between, 'T' | 't') || between.is_whitespace())?;
    let zone_at = time.find(['Z', 'z', '+', '-']).unwrap_or(time.len());
    let (time, zone) = time.split_at_checked(zone_at)?;
    let offset = offset_minutes(zone)?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let (seconds, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let is_fraction = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let [hour, minute, second] = numbers(seconds, ':', [2, 2, 2])?;
    let leap = u32::from(!zone.is_empty());
    if !is_fraction || hour > 23 || minute > 59 || second > 59 + leap {
        return None;
    }
    let date = chrono::NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
    let midnight = date.and_hms_opt(0, 0, 0)?.and_utc().timestamp();
    let minutes = midnight / 60 + i64::from(hour * 60 + minute) - offset;
    Some(minutes.div_euclid(60))
}

fn offset_minutes(zone: &str) -> Option<i64> {
    if matches!(zone, "" | "Z" | "z") {
        return Some(0);
    }
    let (sign, rest) = zone.split_at_checked(1)?;
    let [hours, minutes] = match rest.len() {
        2 => numbers(rest, ':', [2]).map(|[hours]| [hours, 0])?,
        4 => {
            let (hours, minutes) = rest.split_at_checked(2)?;
            let ([hours], [minutes]) = (numbers(hours, ':', [2])?, numbers(minutes, ':', [2])?);
            [hours, minutes]
        }
        _ => numbers(rest, ':', [2, 2])?,
    };
    let minutes = (hours <= 23 && minutes <= 59).then(|| i64::from(hours * 60 + minutes))?;
    Some(if sign == "-" { -minutes } else { minutes })
}

/// Exactly `N` numbers of so many digits, with `between` between them.
fn numbers<const N: usize>(text: &str, between: char, digits: [usize; N]) -> Option<[u32; N]> {
    let mut parts = text.split(between);
    let mut found = [0; N];
    for (number, digits) in found.iter_mut().zip(digits) {
        let part = parts.next().filter(|part| part.len() == digits)?;
        *number = part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())??;
    }
    parts.next().is_none().then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_leniently_as_the_original_does() {
        for (text, hour) in [
            ("1970-01-01T01:59:59Z", Some(1)),
            ("1970-01-01t01:59:59.123z", Some(1)),
            ("1970-01-01 05:00:00", Some(5)),
            ("1970-01-01T05:00:00+02:00", Some(3)),
            ("1970-01-01T05:00:00-0230", Some(7)),
            ("1970-01-02T00:00:60Z", Some(24)),
            ("2024-02-29T00:00:00Z", Some(474_768)),
            ("2023-02-29T00:00:00Z", None),
            ("2024-13-01T00:00:00Z", None),
            ("2024-01-01T24:00:00Z", None),
            ("2024-01-01T00:00Z", None),
            ("2024-01-01", None),
            ("1700000000000", None),
            ("", None),
            ("2024-01-01T00:00:00é", None),
        ] {
            assert_eq!(hour_of(text), hour, "{text}");
        }
    }

    #[test]
    fn counts_are_coerced_and_saturate() {
        let place = Place { instance: String::new(), schema: String::new() };
        for (value, count) in [
            ("5", Some(5)),
            ("5.0", Some(5)),
            ("1e3", Some(1000)),
            ("1e300", Some(u64::MAX)),
            // Half a step off, this would have a fraction.
            ("2251799813685247.0", Some(2_251_799_813_685_247)),
            ("18446744073709551615", Some(u64::MAX)),
            ("\"5\"", Some(5)),
            ("\"1e2\"", Some(100)),
            ("true", Some(1)),
            ("null", Some(0)),
            ("-0.0", Some(0)),
            ("-1", None),
            ("1.5", None),
            ("\"\"", None),
            ("\"many\"", None),
            ("\"inf\"", None),
            ("[]", None),
            ("{}", None),
        ] {
            let value = serde_json::from_str(value).unwrap();
            assert_eq!(place.count(&value).ok(), count, "{value}");
        }
    }
}
