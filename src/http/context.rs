//! The rules by which a surface fills a context, whichever way its entries came.

use std::{fmt::Write as _, net::IpAddr};

use chrono::{DateTime, NaiveDateTime};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{
    address::{self, Address},
    head::Head,
    route::Surface,
    worker::Draws,
};
use crate::{
    config::{ProxySurface, TrustProxy},
    engine::{ContextWriter, Plan, Root, is_time},
};

/// A name both predecessors declare, in the order in which the Proxy's schema does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Field {
    AppName,
    Environment,
    UserId,
    SessionId,
    RemoteAddress,
    CurrentTime,
    /// The object of all other entries.
    Properties,
}

/// What a reader of contexts writes to.
pub(super) trait Entries {
    fn root(&mut self, field: Root, value: &str);
    /// An entry of the top level that is no root field.
    fn top(&mut self, name: &str, value: &str);
    fn property(&mut self, name: &str, value: &str);
    /// `currentTime` as Unix milliseconds.
    fn time_millis(&mut self, millis: i64);
    /// Forgets what was written so far.
    fn clear(&mut self);
    /// Whether a value for `name` would be kept; the rest may go unread.
    fn wants(&self, name: &str) -> bool;
}

/// Whether a request's session is drawn where its context names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Session {
    Drawn,
    /// The Proxy's answer to named toggles (unleash-proxy.md 1.11).
    AsSent,
}

/// What a context is completed from, besides its own entries.
#[derive(Debug)]
pub(super) struct Completion<'c> {
    pub(super) request: Head<'c>,
    pub(super) trust: &'c TrustProxy,
    pub(super) draws: &'c mut Draws,
    /// Scratch for values that have to be written out.
    pub(super) text: &'c mut String,
}

// === impl Field ===

impl Field {
    pub(super) fn find(name: &str) -> Option<Self> {
        Some(match name {
            "appName" => Self::AppName,
            "environment" => Self::Environment,
            "userId" => Self::UserId,
            "sessionId" => Self::SessionId,
            "remoteAddress" => Self::RemoteAddress,
            "currentTime" => Self::CurrentTime,
            "properties" => Self::Properties,
            _ => return None,
        })
    }

    /// The field as the engine knows it. `None` for the object of all other entries.
    pub(super) fn root(self) -> Option<Root> {
        Some(match self {
            Self::AppName => Root::AppName,
            Self::Environment => Root::Environment,
            Self::UserId => Root::UserId,
            Self::SessionId => Root::SessionId,
            Self::RemoteAddress => Root::RemoteAddress,
            Self::CurrentTime => Root::CurrentTime,
            Self::Properties => return None,
        })
    }

    pub(super) fn name(self) -> &'static str {
        self.root().map_or("properties", Root::name)
    }
}

impl Entries for ContextWriter<'_> {
    fn root(&mut self, field: Root, value: &str) {
        ContextWriter::root(self, field, value);
    }

    fn top(&mut self, name: &str, value: &str) {
        ContextWriter::top(self, name, value);
    }

    fn property(&mut self, name: &str, value: &str) {
        ContextWriter::property(self, name, value);
    }

    fn time_millis(&mut self, millis: i64) {
        self.root_time_millis(millis);
    }

    fn clear(&mut self) {
        ContextWriter::clear(self);
    }

    fn wants(&self, name: &str) -> bool {
        ContextWriter::wants(self, name)
    }
}

/// Writes a declared field as `surface` understands it.
#[inline]
pub(super) fn write_root<E: Entries>(entries: &mut E, surface: Surface, field: Root, value: &str) {
    if is_value(surface, field, value) {
        entries.root(field, value);
    } else if field == Root::CurrentTime
        && let Some(millis) = javascript_time(value)
    {
        entries.time_millis(millis);
    }
}

/// Writes an entry of `properties`. What would be no value at the root does not take the place of a
/// default from there either, nor of the time that it is (unleash-proxy.md 1.9, step 8).
pub(super) fn write_property<E: Entries>(
    entries: &mut E,
    surface: Surface,
    name: &str,
    value: &str,
) {
    // Asked only where it matters: every property passes here.
    let root = || Field::find(name).and_then(Field::root);
    if surface == Surface::Edge || root().is_none_or(|field| is_value(surface, field, value)) {
        entries.property(name, value);
    }
}

/// On the Proxy's surface an empty text is no value of a declared field (unleash-proxy.md 1.9,
/// step 5), and neither is a `currentTime` that is no time (step 4); on Edge's both are values,
/// which compare as they may.
fn is_value(surface: Surface, field: Root, text: &str) -> bool {
    match (surface, field) {
        (Surface::Edge, _) => true,
        (Surface::Proxy, Root::CurrentTime) => is_time(text),
        (Surface::Proxy, _) => !text.is_empty(),
    }
}

/// Unix milliseconds of the forms that JavaScript's own dates print and its `Date` reads, besides
/// those of RFC 3339 (unleash-proxy.md 1.9, step 4): e-mail's, `String(date)`, and ISO 8601 without
/// seconds, without a day or without a month. What names no zone is UTC, as in the container.
///
/// Returns `None` for anything else; `Date` reads more, which nobody prints.
fn javascript_time(text: &str) -> Option<i64> {
    if let Ok(date) = DateTime::parse_from_rfc2822(text) {
        return Some(date.timestamp_millis());
    }
    let printed = text.split_once(" (").map_or(text, |(printed, _)| printed);
    if let Ok(date) = DateTime::parse_from_str(printed, "%a %b %d %Y %H:%M:%S GMT%z") {
        return Some(date.timestamp_millis());
    }
    let whole = match text.len() {
        4 => format!("{text}-01-01T00:00"),
        7 => format!("{text}-01T00:00"),
        _ => text.strip_suffix('Z').unwrap_or(text).to_owned(),
    };
    let date = NaiveDateTime::parse_from_str(&whole, "%Y-%m-%dT%H:%M").ok()?;
    Some(date.and_utc().timestamp_millis())
}

// === impl Completion ===

impl Completion<'_> {
    /// A hash of all that decides an answer beside what the caller wrote: the plan, the time where
    /// `plan` has dates, the caller's address where it reads that, and `settings`.
    ///
    /// `now_millis` is Unix time.
    pub(super) fn basis(
        &self,
        surface: Surface,
        plan: &Plan,
        now_millis: i64,
        settings: &[&str],
    ) -> u64 {
        let basis = plan.basis(now_millis);
        let basis =
            settings.iter().fold(basis, |sum, text| xxh3_64_with_seed(text.as_bytes(), sum));
        let reads_address = plan.reads_address();
        match reads_address.then(|| client(self.request, self.trust, surface)).flatten() {
            Some(Address::Ip(IpAddr::V4(ip))) => xxh3_64_with_seed(&ip.octets(), basis),
            Some(Address::Ip(IpAddr::V6(ip))) => xxh3_64_with_seed(&ip.octets(), basis),
            Some(Address::Text(text)) => xxh3_64_with_seed(text.as_bytes(), basis),
            None => basis,
        }
    }

    /// Adds what the Proxy adds to a context after its entries (unleash-proxy.md 1.9). Returns
    /// whether a flag of `plan` may be decided by what was drawn.
    pub(super) fn proxy(
        mut self,
        plan: &Plan,
        context: &mut ContextWriter<'_>,
        surface: &ProxySurface,
        session: Session,
    ) -> bool {
        match &surface.environment {
            Some(environment) => context.force(Root::Environment, environment),
            None => context.fill(Root::Environment, "default"),
        }
        context.fill(Root::AppName, &surface.app_name);
        self.fill_address(context, Surface::Proxy);
        let is_drawn = session == Session::Drawn && self.fill_session(context);
        is_drawn && (plan.reads_session() || !context.identifies(Root::UserId))
    }

    /// Adds what Edge's surfaces add (unleash-edge.md 1.2, and evaluation.md 2.4 for the session).
    /// Returns whether a flag may be decided by what was drawn.
    pub(super) fn edge(mut self, context: &mut ContextWriter<'_>) -> bool {
        self.fill_address(context, Surface::Edge);
        !context.identifies(Root::UserId) && self.fill_session(context)
    }

    fn fill_address(&mut self, context: &mut ContextWriter<'_>, surface: Surface) {
        // Finding the address and writing it out is left undone where it would not be kept.
        if context.has(Root::RemoteAddress) {
            return;
        }
        let (request, trust) = (self.request, self.trust);
        if let Some(client) = client(request, trust, surface) {
            self.text.clear();
            if write!(self.text, "{client}").is_ok() {
                context.fill(Root::RemoteAddress, self.text);
            }
        }
    }

    /// Draws a session where there is none, and returns whether it did.
    fn fill_session(&mut self, context: &mut ContextWriter<'_>) -> bool {
        // An empty session is none, and the drawn one takes its place.
        let is_missing = !context.identifies(Root::SessionId);
        if is_missing {
            self.text.clear();
            if write!(self.text, "{}", self.draws.next()).is_ok() {
                context.force(Root::SessionId, self.text);
            }
        }
        is_missing
    }
}

fn client<'r>(request: Head<'r>, trust: &TrustProxy, surface: Surface) -> Option<Address<'r>> {
    address::client(request.peer, request.headers, trust, surface)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_javascripts_dates_print_is_read_and_nothing_that_merely_looks_like_it() {
        // 2098-01-01T00:00:00Z.
        const MILLIS: i64 = 4_039_372_800_000;
        for text in [
            "Wed, 01 Jan 2098 00:00:00 GMT",
            "Wed, 1 Jan 2098 01:00:00 +0100",
            "Wed Jan 01 2098 01:00:00 GMT+0100 (Central European Standard Time)",
            "Wed Jan 01 2098 00:00:00 GMT+0000",
            "2098-01-01T00:00",
            "2098-01-01T00:00Z",
            "2098-01",
            "2098",
        ] {
            assert_eq!(javascript_time(text), Some(MILLIS), "{text}");
        }
        for text in
            ["", "soon", "4039372800000", "2098-13", "98", "20xx", "2098-01-01T24:61", "é098"]
        {
            assert_eq!(javascript_time(text), None, "{text}");
        }
    }
}
