//! Delta events applied to plain JSON: what `Features::apply` must amount to.

use serde_json::{Value, json};

/// The payload that `events`, applied in order to `payload`, come to.
pub(crate) fn apply(payload: &mut Value, events: &[Value]) {
    for event in events {
        match event["type"].as_str() {
            Some("hydration") => {
                payload["features"] = event["features"].clone();
                payload["segments"] = event.get("segments").cloned().unwrap_or(json!([]));
            }
            Some("feature-updated") => upsert(&mut payload["features"], &event["feature"], "name"),
            Some("feature-removed") => {
                remove(&mut payload["features"], "name", &event["featureName"]);
            }
            Some("segment-updated") => upsert(&mut payload["segments"], &event["segment"], "id"),
            Some("segment-removed") => remove(&mut payload["segments"], "id", &event["segmentId"]),
            _ => {}
        }
    }
}

/// A payload with nothing in it.
pub(crate) fn empty() -> Value {
    json!({ "version": 2, "features": [], "segments": [] })
}

fn upsert(list: &mut Value, item: &Value, key: &str) {
    let list = list.as_array_mut().unwrap();
    match list.iter_mut().find(|old| old[key] == item[key]) {
        Some(old) => *old = item.clone(),
        None => list.push(item.clone()),
    }
}

fn remove(list: &mut Value, key: &str, value: &Value) {
    list.as_array_mut().unwrap().retain(|old| old[key] != *value);
}
