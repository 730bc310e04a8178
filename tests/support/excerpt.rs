//! The part of a payload that one flag's answer comes from: what a failure has to show.

use serde_json::{Value, json};

/// A payload of the flag `name`, its parents and the segments they use.
pub(crate) fn excerpt(payload: &Value, name: &str) -> Value {
    let features = list(&payload["features"]);
    let flag: Vec<&Value> = features.iter().filter(|feature| feature["name"] == name).collect();
    let dependencies = flag.iter().flat_map(|flag| list(&flag["dependencies"]));
    let parents: Vec<&Value> = dependencies.map(|dependency| &dependency["feature"]).collect();
    let is_parent = |feature: &&Value| parents.contains(&&feature["name"]);
    let mut kept: Vec<&Value> = features.iter().filter(is_parent).collect();
    kept.extend(flag);
    let strategies = kept.iter().flat_map(|flag| list(&flag["strategies"]));
    let ids: Vec<&Value> = strategies.flat_map(|strategy| list(&strategy["segments"])).collect();
    let segments = list(&payload["segments"]).iter();
    let segments: Vec<&Value> = segments.filter(|segment| ids.contains(&&segment["id"])).collect();
    json!({ "version": 2, "features": kept, "segments": segments })
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
