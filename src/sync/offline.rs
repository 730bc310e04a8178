//! Flags without an upstream: from a file, read again when it changes, or from the binary itself.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use actix::{Actor, AsyncContext, Context, Handler};
use serde_json::{Map, Value, json};

use super::{
    PollNow, StartError,
    actor::RECLAIM_EVERY,
    arrival::BadPayload,
    catalog::{Catalog, PartId},
    machine::{Event, Machine, Policy, Say, Trouble},
    priority, startup,
};
use crate::{
    config::OfflineTokens,
    token::{Scope, Token},
};

/// Reads a file again and again, and publishes it when it changed.
pub(super) struct Reloader {
    path: PathBuf,
    every: Duration,
    catalog: Catalog,
    part: PartId,
    /// Only for what it says: the clock is the interval's alone.
    machine: Machine,
    started: Instant,
    /// Of the bytes that are being served.
    hash: u128,
}

#[derive(Debug, thiserror::Error)]
enum ReloadError {
    #[error("the file cannot be read: {0}")]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Payload(#[from] BadPayload),
}

/// Grants `tokens`, takes `payload` and publishes both.
///
/// # Errors
/// When the payload is no good.
pub(super) fn load(
    catalog: &mut Catalog,
    tokens: &OfflineTokens,
    payload: &[u8],
) -> Result<PartId, BadPayload> {
    let part = catalog.expect_part("");
    catalog.set_complete(true);
    for (token, kind) in startup::kinds(&tokens.frontend, &tokens.backend) {
        catalog.grant(token, kind, scope(token));
    }
    let flags = catalog.deliver(part, normalized(payload))?;
    catalog.publish();
    tracing::info!(flags, "loaded {flags} flags");
    Ok(part)
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, StartError> {
    fs::read(path).map_err(|err| StartError::File { path: path.to_owned(), err })
}

/// What a token may see when nobody upstream can be asked.
fn scope(token: &Token) -> Scope {
    token.scope().map_or_else(|| Scope::new("", []), Scope::or_all)
}

/// Turns Edge's simple map, `{name: {enabled, variant?}}`, into a features payload
/// (`spec/unleash-edge.md` 2.3). Everything else stays as it is.
fn normalized(json: &[u8]) -> Vec<u8> {
    let simple = match serde_json::from_slice::<Map<String, Value>>(json) {
        Ok(map) if !map.is_empty() && !map.contains_key("features") => map,
        _ => return json.to_vec(),
    };
    let features: Option<Vec<Value>> =
        simple.iter().map(|(name, flag)| simple_flag(name, flag)).collect();
    match features {
        Some(features) => json!({ "version": 2, "features": features }).to_string().into_bytes(),
        None => json.to_vec(),
    }
}

fn simple_flag(name: &str, flag: &Value) -> Option<Value> {
    let enabled = flag.get("enabled")?.as_bool()?;
    let variants: Vec<Value> = flag
        .get("variant")
        .and_then(Value::as_str)
        .map(|variant| json!({ "name": variant, "weight": 1000, "stickiness": "default" }))
        .into_iter()
        .collect();
    Some(json!({
        "name": name,
        "enabled": enabled,
        "strategies": [{ "name": "default", "variants": variants }],
    }))
}

// === impl Reloader ===

impl Reloader {
    pub(super) fn new(
        (path, every): (PathBuf, Duration),
        served: &[u8],
        (catalog, part): (Catalog, PartId),
    ) -> Self {
        let mut machine = Machine::new(Policy::new(every, ""));
        machine.step(Event::Fetched, Duration::ZERO, 0.0);
        let hash = xxhash_rust::xxh3::xxh3_128(served);
        Self { path, every, catalog, part, machine, started: Instant::now(), hash }
    }

    fn reload(&mut self) {
        let result = self.try_reload();
        let event = match &result {
            Ok(Some(_)) => Event::Fetched,
            Ok(None) => Event::Unchanged,
            Err(ReloadError::Io(_)) => Event::Failed(Trouble::Unreachable, None),
            Err(ReloadError::Payload(_)) => Event::Failed(Trouble::Unreadable, None),
        };
        let say = self.machine.step(event, self.started.elapsed(), 0.0).say;
        let file = self.path.display();
        match (say, result) {
            (Some(Say::Recovered(_)), _) => tracing::warn!("`{file}` is good again"),
            (Some(_), Err(err)) => {
                tracing::warn!("`{file}`: {err}; still serving what it held before");
            }
            (_, Ok(Some(flags))) => tracing::info!(flags, "loaded {flags} flags from `{file}`"),
            _ => {}
        }
    }

    /// Returns the number of flags, or `None` where the file is as it was.
    fn try_reload(&mut self) -> Result<Option<usize>, ReloadError> {
        let json = fs::read(&self.path)?;
        let hash = xxhash_rust::xxh3::xxh3_128(&json);
        if hash == self.hash {
            self.catalog.figures().checked();
            return Ok(None);
        }
        let flags = self.catalog.deliver(self.part, normalized(&json))?;
        self.hash = hash;
        self.catalog.publish();
        Ok(Some(flags))
    }
}

impl Actor for Reloader {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        priority::step_back();
        ctx.run_interval(self.every, |actor, _| actor.reload());
        ctx.run_interval(RECLAIM_EVERY, |actor, _| actor.catalog.reclaim());
    }
}

impl Handler<PollNow> for Reloader {
    type Result = ();

    fn handle(&mut self, _: PollNow, _: &mut Self::Context) {
        self.reload();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simple_map_becomes_a_features_payload() {
        let json = br#"{"on": {"enabled": true, "variant": "blue"}, "off": {"enabled": false}}"#;
        let payload: Value = serde_json::from_slice(&normalized(json)).unwrap();
        let variant = json!({ "name": "blue", "weight": 1000, "stickiness": "default" });
        let expected = json!({ "version": 2, "features": [
            { "name": "on", "enabled": true,
              "strategies": [{ "name": "default", "variants": [variant] }] },
            { "name": "off", "enabled": false,
              "strategies": [{ "name": "default", "variants": [] }] },
        ]});
        assert_eq!(payload, expected);
    }

    #[test]
    fn whatever_is_no_simple_map_stays_as_it_is() {
        for json in
            ["", "{}", "[]", "null", r#"{"features": []}"#, r#"{"a": {"enabled": 1}}"#, r#"{"a":"#]
        {
            assert_eq!(normalized(json.as_bytes()), json.as_bytes());
        }
    }

    #[test]
    fn an_opaque_token_sees_all_and_one_of_unleashs_format_its_projects() {
        assert_eq!(scope(&Token::new("opaque")), Scope::new("", ["*"]));
        assert_eq!(scope(&Token::new("a:dev.x")), Scope::new("dev", ["a"]));
        assert_eq!(scope(&Token::new("[]:dev.x")), Scope::new("dev", ["*"]));
    }
}
