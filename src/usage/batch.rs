//! What was counted, cut into bodies that upstream takes. Pure.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Value, json};

use super::{
    impact::{self, Impact},
    ledger::{HOUR_MILLIS, Item, Tally},
};

/// The largest body: upstream takes 100 kB.
pub(super) const MAX_BODY_BYTES: usize = 95 * 1024;
/// The frame of a body, our own names in it among others.
const FRAME_BYTES: usize = 4 * 1024;
/// Variants of one flag beyond this many bytes go into a row of their own.
const ROW_BYTES: usize = 32 * 1024;

/// How upstream is told.
#[derive(Clone, Debug)]
pub(super) enum Dialect {
    /// `client/metrics`, one body per application and hour, as the Unleash Proxy does.
    Proxy,
    /// `client/metrics/bulk`, as Unleash Edge does.
    Bulk { environment: Box<str> },
}

/// What one request reports.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) items: Vec<Item>,
    /// At least as many as its body has.
    bytes: usize,
}

/// When counting began and ended, in Unix milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) since: i64,
    pub(super) until: i64,
}

/// Cuts `items` into batches, in their order.
pub(super) fn cut(items: Vec<Item>, dialect: &Dialect) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    for item in items.into_iter().flat_map(split) {
        let bytes = item_bytes(&item, dialect);
        let fits = |batch: &&mut Batch| {
            batch.bytes + bytes <= MAX_BODY_BYTES - FRAME_BYTES && batch.goes_with(&item, dialect)
        };
        match batches.last_mut().filter(fits) {
            Some(batch) => {
                batch.bytes += bytes;
                batch.items.push(item);
            }
            None => batches.push(Batch { items: vec![item], bytes }),
        }
    }
    batches
}

/// At least as many bytes as `text` takes in JSON.
pub(super) fn quoted_bytes(text: &str) -> usize {
    let bytes = text.bytes().map(|byte| match byte {
        0..0x20 => 6,
        b'"' | b'\\' => 2,
        _ => 1,
    });
    2 + bytes.sum::<usize>()
}

/// Takes a count with too many variants apart.
fn split(item: Item) -> Vec<Item> {
    let Item::Count(key, Tally { yes, no, variants }) = item else { return vec![item] };
    let mut rows = vec![Tally { yes, no, ..Tally::default() }];
    let mut bytes = 0;
    for (name, count) in variants {
        bytes += variant_bytes(&name);
        if bytes > ROW_BYTES {
            bytes = variant_bytes(&name);
            rows.push(Tally::default());
        }
        if let Some(row) = rows.last_mut() {
            row.variants.insert(name, count);
        }
    }
    rows.into_iter().map(|tally| Item::Count(key.clone(), tally)).collect()
}

fn variant_bytes(name: &str) -> usize {
    quoted_bytes(name) + 20
}

fn item_bytes(item: &Item, dialect: &Dialect) -> usize {
    match item {
        Item::Count(key, tally) => {
            let environment = match dialect {
                Dialect::Proxy => 0,
                Dialect::Bulk { environment } => quoted_bytes(environment),
            };
            let variants = tally.variants.keys().map(|name| variant_bytes(name)).sum::<usize>();
            let names = quoted_bytes(&key.app) + quoted_bytes(&key.toggle);
            200 + environment + names + variants
        }
        Item::Impact(app, impact) => impact.bytes() + quoted_bytes(app),
        Item::Application(_, body) => Value::Object(body.clone()).to_string().len() + 1,
    }
}

// === impl Batch ===

impl Batch {
    /// The Proxy's bodies are of one application and one hour, and hold each flag once.
    fn goes_with(&self, item: &Item, dialect: &Dialect) -> bool {
        if matches!(dialect, Dialect::Bulk { .. }) {
            return true;
        }
        self.items.iter().rev().all(|other| match (other, item) {
            (Item::Count(one, _), Item::Count(other, _)) => {
                (&one.app, one.hour) == (&other.app, other.hour) && one.toggle != other.toggle
            }
            (Item::Impact(one, _), Item::Impact(other, _)) => one == other,
            (Item::Count(key, _), Item::Impact(app, _)) => key.app == *app,
            _ => false,
        })
    }

    /// Two batches that hold what this one holds; itself where it is a single item.
    pub(super) fn halved(mut self) -> Result<[Self; 2], Self> {
        if self.items.len() < 2 {
            return Err(self);
        }
        let items = self.items.split_off(self.items.len() / 2);
        let bytes = self.bytes;
        Ok([self, Self { items, bytes }])
    }

    /// The body to send. `None`: the dialect has no way to say this.
    pub(super) fn body(&self, dialect: &Dialect, span: Span) -> Option<Value> {
        match dialect {
            Dialect::Proxy => self.proxy_body(span),
            Dialect::Bulk { environment } => Some(self.bulk_body(environment)),
        }
    }

    fn proxy_body(&self, span: Span) -> Option<Value> {
        let (mut app, mut hour, mut toggles) = (None, None, Map::new());
        for item in &self.items {
            match item {
                Item::Count(key, tally) => {
                    (app, hour) = (Some(&key.app), Some(key.hour));
                    let Tally { yes, no, variants } = tally;
                    let count = json!({"yes": yes, "no": no, "variants": variants_json(variants)});
                    toggles.insert(key.toggle.to_string(), count);
                }
                Item::Impact(name, _) => app = Some(name),
                // The original drops registrations too.
                Item::Application(..) => {}
            }
        }
        let (start, stop) = match hour {
            Some(hour) => {
                let begin = hour.saturating_mul(HOUR_MILLIS);
                let end = begin.saturating_add(HOUR_MILLIS - 1);
                let start = span.since.clamp(begin, end);
                (start, span.until.clamp(start, end))
            }
            None => (span.since, span.until),
        };
        let mut body = json!({
            "appName": app?,
            "bucket": {"start": time(start), "stop": time(stop), "toggles": toggles},
        });
        let impacts = impact::metrics(self.impacts(), None);
        if let (false, Some(body)) = (impacts.is_empty(), body.as_object_mut()) {
            body.insert("impactMetrics".to_owned(), impacts.into());
        }
        Some(body)
    }

    fn bulk_body(&self, environment: &str) -> Value {
        let (mut applications, mut metrics) = (Vec::new(), Vec::new());
        for item in &self.items {
            match item {
                Item::Application(_, body) => applications.push(Value::Object(body.clone())),
                Item::Count(key, tally) => metrics.push(json!({
                    "featureName": key.toggle,
                    "appName": key.app,
                    "environment": environment,
                    "timestamp": time(key.hour.saturating_mul(HOUR_MILLIS)),
                    "yes": tally.yes,
                    "no": tally.no,
                    "variants": variants_json(&tally.variants),
                })),
                Item::Impact(..) => {}
            }
        }
        let mut body = json!({"applications": applications, "metrics": metrics});
        let impacts = impact::metrics(self.impacts(), Some("edge"));
        if let (false, Some(body)) = (impacts.is_empty(), body.as_object_mut()) {
            body.insert("impactMetrics".to_owned(), impacts.into());
        }
        body
    }

    fn impacts(&self) -> impl Iterator<Item = &Impact> {
        self.items.iter().filter_map(|item| match item {
            Item::Impact(_, impact) => Some(impact),
            Item::Count(..) | Item::Application(..) => None,
        })
    }
}

fn variants_json(variants: &BTreeMap<Box<str>, u64>) -> Map<String, Value> {
    variants.iter().map(|(name, count)| (name.to_string(), (*count).into())).collect()
}

/// RFC 3339 with milliseconds.
fn time(millis: i64) -> String {
    let time = DateTime::from_timestamp_millis(millis).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::{Count, ledger::Ledger};

    const SPAN: Span = Span { since: 1_800_000, until: 5_400_000 };

    fn items(counts: &[(&str, i64, &str, u64)], variants: usize) -> Vec<Item> {
        let mut ledger = Ledger::default();
        for &(app, hour, toggle, yes) in counts {
            let variants = (0..variants).map(|at| (format!("{at:0200}\n").into(), 1)).collect();
            ledger.add(Item::count(
                app,
                hour,
                Count { toggle: toggle.into(), yes, no: 2, variants },
            ));
        }
        ledger.take()
    }

    #[test]
    fn the_proxys_bodies_are_of_one_application_and_hour() {
        let items = items(
            &[("a", 0, "x", 1), ("a", 0, "__proto__", 1), ("a", 1, "x", 1), ("b", 0, "x", 1)],
            0,
        );
        let batches = cut(items, &Dialect::Proxy);
        let bodies: Vec<_> =
            batches.iter().map(|it| it.body(&Dialect::Proxy, SPAN).unwrap()).collect();
        assert_eq!(bodies.len(), 3);
        let count = json!({"yes": 1, "no": 2, "variants": {}});
        assert_eq!(
            bodies[0],
            json!({"appName": "a", "bucket": {
                "start": "1970-01-01T00:30:00.000Z", "stop": "1970-01-01T00:59:59.999Z",
                "toggles": {"__proto__": count, "x": count},
            }})
        );
        assert_eq!(bodies[1]["bucket"]["start"], "1970-01-01T01:00:00.000Z");
        assert_eq!(bodies[1]["bucket"]["stop"], "1970-01-01T01:30:00.000Z");
        assert_eq!(bodies[2]["appName"], "b");
    }

    #[test]
    fn bulk_rows_name_their_environment_and_hour() {
        let dialect = Dialect::Bulk { environment: "dev".into() };
        let batches = cut(items(&[("a", 1, "x", 7)], 1), &dialect);
        let variant = format!("{:0200}\n", 0);
        assert_eq!(
            batches[0].body(&dialect, SPAN).unwrap(),
            json!({"applications": [], "metrics": [{
                "featureName": "x", "appName": "a", "environment": "dev",
                "timestamp": "1970-01-01T01:00:00.000Z",
                "yes": 7, "no": 2, "variants": {variant: 1},
            }]})
        );
    }

    #[test]
    fn no_body_is_larger_than_upstream_takes_and_no_count_is_cut_away() {
        for dialect in [Dialect::Proxy, Dialect::Bulk { environment: "dev".into() }] {
            let names: Vec<String> = (0..300).map(|at| format!("\u{1}\"{at}")).collect();
            let mut counts: Vec<_> = names.iter().map(|name| ("app", 3, &**name, 1)).collect();
            counts.truncate(20);
            let mut all = items(&counts, 1500);
            let plain: Vec<_> = names.iter().map(|name| ("other", 3, &**name, 1)).collect();
            all.extend(items(&plain, 3));
            let batches = cut(all, &dialect);
            assert!(batches.len() > 50);
            let (mut yes, mut variants) = (0, 0);
            for batch in &batches {
                let body = batch.body(&dialect, SPAN).unwrap();
                let bytes = body.to_string().len();
                assert!(bytes <= MAX_BODY_BYTES, "{bytes} bytes");
                let rows: Vec<Value> = match &dialect {
                    Dialect::Proxy => {
                        body["bucket"]["toggles"].as_object().unwrap().values().cloned().collect()
                    }
                    Dialect::Bulk { .. } => body["metrics"].as_array().unwrap().clone(),
                };
                for row in rows {
                    yes += row["yes"].as_u64().unwrap();
                    variants += row["variants"].as_object().unwrap().len();
                }
            }
            assert_eq!((yes, variants), (320, 20 * 1500 + 900));
        }
    }
}
