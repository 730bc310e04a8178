//! Impact metrics: samples that SDKs measured, passed on and added up where they say the same.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Most numbers are written in fewer bytes.
const NUMBER_BYTES: usize = 24;

/// One sample of one metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Impact {
    pub(super) name: Box<str>,
    pub(super) help: Box<str>,
    pub(super) labels: BTreeMap<String, Value>,
    pub(super) sample: Sample,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Sample {
    Counter(f64),
    Gauge(f64),
    Histogram {
        count: f64,
        sum: f64,
        /// Upper bounds, as they were written, and how many were not above each.
        buckets: Vec<(Value, f64)>,
    },
}

/// Samples with equal keys add up.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ImpactKey {
    kind: &'static str,
    name: Box<str>,
    /// Labels and bounds as JSON.
    series: Box<str>,
}

// === impl Impact ===

impl Impact {
    /// Reads a metric as SDKs send it, `{name, help, type, samples}`.
    ///
    /// Returns `None` where it has another shape.
    pub fn read(metric: &Value) -> Option<Vec<Self>> {
        let name: Box<str> = metric.get("name")?.as_str()?.into();
        let help: Box<str> = metric.get("help").and_then(Value::as_str).unwrap_or_default().into();
        let kind = metric.get("type")?.as_str()?;
        let read_sample = |sample: &Value| {
            let labels = match sample.get("labels") {
                Some(Value::Object(labels)) => {
                    labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
                }
                Some(Value::Null) | None => BTreeMap::new(),
                Some(_) => return None,
            };
            let plain = labels.values().all(|value| !value.is_array() && !value.is_object());
            let sample = plain.then(|| Sample::read(kind, sample)).flatten()?;
            Some(Self { name: name.clone(), help: help.clone(), labels, sample })
        };
        metric.get("samples")?.as_array()?.iter().map(read_sample).collect()
    }

    pub(super) fn key(&self) -> ImpactKey {
        let bounds: Vec<&Value> = match &self.sample {
            Sample::Counter(_) | Sample::Gauge(_) => Vec::new(),
            Sample::Histogram { buckets, .. } => buckets.iter().map(|(bound, _)| bound).collect(),
        };
        let series = json!([self.labels, bounds]).to_string().into();
        ImpactKey { kind: self.sample.kind(), name: self.name.clone(), series }
    }

    /// Adds a newer sample of the same key: counters and histograms sum, a gauge is replaced.
    pub(super) fn add(&mut self, newer: Self) {
        self.help = newer.help;
        match (&mut self.sample, newer.sample) {
            (Sample::Counter(sum), Sample::Counter(more)) => *sum = plus(*sum, more),
            (Sample::Gauge(last), Sample::Gauge(newer)) => *last = newer,
            (
                Sample::Histogram { count, sum, buckets },
                Sample::Histogram { count: more, sum: more_sum, buckets: more_buckets },
            ) => {
                *count = plus(*count, more);
                *sum = plus(*sum, more_sum);
                for ((_, count), (_, more)) in buckets.iter_mut().zip(more_buckets) {
                    *count = plus(*count, more);
                }
            }
            // INVARIANT: equal keys have samples of one kind.
            (sample, newer) => *sample = newer,
        }
    }

    /// At least as many bytes as the sample takes as a metric of its own.
    pub(super) fn bytes(&self) -> usize {
        let buckets = match &self.sample {
            Sample::Histogram { buckets, .. } => buckets.len(),
            Sample::Counter(_) | Sample::Gauge(_) => 0,
        };
        160 + super::batch::quoted_bytes(&self.name)
            + super::batch::quoted_bytes(&self.help)
            + json!(self.labels).to_string().len()
            + buckets * (2 * NUMBER_BYTES + 20)
    }
}

/// The metrics that `samples` are of, as upstream takes them. `origin` is a label for those that
/// do not say where they come from.
pub(super) fn metrics<'i>(
    samples: impl IntoIterator<Item = &'i Impact>,
    origin: Option<&str>,
) -> Vec<Value> {
    let mut metrics: BTreeMap<(&str, &str), (&str, Vec<Value>)> = BTreeMap::new();
    for impact in samples {
        let metric = metrics.entry((&impact.name, impact.sample.kind())).or_default();
        metric.0 = &impact.help;
        let mut labels: Map<String, Value> =
            impact.labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        if let Some(origin) = origin
            && !labels.contains_key("origin")
        {
            labels.insert("origin".to_owned(), origin.into());
        }
        metric.1.push(impact.sample.json(&labels));
    }
    let json = metrics.into_iter().map(|((name, kind), (help, samples))| {
        json!({"name": name, "help": help, "type": kind, "samples": samples})
    });
    json.collect()
}

// === impl Sample ===

impl Sample {
    fn read(kind: &str, sample: &Value) -> Option<Self> {
        let number = |name| sample.get(name).and_then(Value::as_f64);
        Some(match kind {
            "counter" => Self::Counter(number("value")?),
            "gauge" => Self::Gauge(number("value")?),
            "histogram" => {
                let buckets = sample.get("buckets")?.as_array()?.iter().map(|bucket| {
                    let bound = bucket.get("le").filter(|le| le.is_number() || le.is_string())?;
                    Some((bound.clone(), bucket.get("count")?.as_f64()?))
                });
                let buckets = buckets.collect::<Option<_>>()?;
                Self::Histogram { count: number("count")?, sum: number("sum")?, buckets }
            }
            _ => return None,
        })
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Counter(_) => "counter",
            Self::Gauge(_) => "gauge",
            Self::Histogram { .. } => "histogram",
        }
    }

    fn json(&self, labels: &Map<String, Value>) -> Value {
        match self {
            Self::Counter(value) | Self::Gauge(value) => {
                json!({"labels": labels, "value": plain(*value)})
            }
            Self::Histogram { count, sum, buckets } => {
                let buckets: Vec<Value> = buckets
                    .iter()
                    .map(|(bound, count)| json!({"le": bound, "count": plain(*count)}))
                    .collect();
                json!({
                    "labels": labels, "count": plain(*count), "sum": plain(*sum),
                    "buckets": buckets,
                })
            }
        }
    }
}

fn plus(one: f64, other: f64) -> f64 {
    // Infinity has no spelling in JSON.
    (one + other).clamp(f64::MIN, f64::MAX)
}

/// Whole numbers without a fraction, as they came.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
fn plain(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 9e15 {
        (number as i64).into()
    } else {
        number.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(metric: Value) -> Vec<Impact> {
        Impact::read(&metric).unwrap()
    }

    fn added(one: Value, other: Value) -> Value {
        let (mut one, other) = (read(one).remove(0), read(other).remove(0));
        assert_eq!(one.key(), other.key());
        one.add(other);
        metrics([&one], None).remove(0)
    }

    #[test]
    fn counters_and_histograms_add_up_and_a_gauge_is_replaced() {
        for kind in ["counter", "gauge"] {
            let metric = |value: f64| {
                let samples = json!([{"labels": {"a": "b", "c": "d"}, "value": value}]);
                json!({"name": "n", "help": "h", "type": kind, "samples": samples})
            };
            let sum = if kind == "counter" { 3.5 } else { 2.5 };
            assert_eq!(added(metric(1.0), metric(2.5)), metric(sum));
        }
        let histogram = |count: i64, sum: f64| {
            json!({"name": "n", "help": "h", "type": "histogram", "samples": [{
                "labels": {}, "count": count, "sum": sum,
                "buckets": [{"le": 0.5, "count": count - 1}, {"le": "+Inf", "count": count}],
            }]})
        };
        let mut expected = histogram(7, 4.5);
        expected["samples"][0]["buckets"][0]["count"] = 5.into();
        assert_eq!(added(histogram(3, 1.5), histogram(4, 3.0)), expected);
    }

    #[test]
    fn series_differ_by_kind_name_labels_and_bounds() {
        let key = |kind: &str, name: &str, label: &str| {
            let samples = json!([{"labels": {"a": label}, "value": 1}]);
            read(json!({"name": name, "type": kind, "samples": samples})).remove(0).key()
        };
        let one = key("counter", "n", "x");
        assert_eq!(one, key("counter", "n", "x"));
        for other in [key("gauge", "n", "x"), key("counter", "m", "x"), key("counter", "n", "y")] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn what_has_another_shape_is_not_guessed_at() {
        for metric in [
            json!(1),
            json!({"name": "n", "type": "summary", "samples": [{"value": 1}]}),
            json!({"name": "n", "type": "counter", "samples": [{"value": "many"}]}),
            json!({"name": "n", "type": "counter", "samples": [{"labels": {"a": []}, "value": 1}]}),
            json!({"type": "counter", "samples": []}),
        ] {
            assert_eq!(Impact::read(&metric), None, "{metric}");
        }
    }

    #[test]
    fn an_origin_is_added_where_there_is_none() {
        let samples = json!([{"labels": {"origin": "sdk"}, "value": 1}, {"value": 2}]);
        let samples = read(json!({"name": "n", "type": "counter", "samples": samples}));
        let json = metrics(&samples, Some("edge"));
        assert_eq!(json[0]["samples"][0]["labels"], json!({"origin": "sdk"}));
        assert_eq!(json[0]["samples"][1]["labels"], json!({"origin": "edge"}));
    }

    #[test]
    fn a_sum_stays_a_number() {
        let metric = json!({"name": "n", "type": "counter", "samples": [{"value": f64::MAX}]});
        let sum = added(metric.clone(), metric);
        assert_eq!(sum["samples"][0]["value"].as_f64(), Some(f64::MAX));
    }
}
