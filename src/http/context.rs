//! The rules by which a surface fills a context, whichever way its entries came.

use std::fmt::{self, Write as _};

use actix_web::HttpRequest;

use super::{address, route::Surface, worker::Draws};
use crate::{
    config::{ProxySurface, TrustProxy},
    engine::{ContextWriter, is_time},
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
    pub(super) request: &'c HttpRequest,
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

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::AppName => "appName",
            Self::Environment => "environment",
            Self::UserId => "userId",
            Self::SessionId => "sessionId",
            Self::RemoteAddress => "remoteAddress",
            Self::CurrentTime => "currentTime",
            Self::Properties => "properties",
        }
    }
}

impl Entries for ContextWriter<'_> {
    fn top(&mut self, name: &str, value: &str) {
        ContextWriter::top(self, name, value);
    }

    fn property(&mut self, name: &str, value: &str) {
        ContextWriter::property(self, name, value);
    }

    fn time_millis(&mut self, millis: i64) {
        self.top_time_millis(millis);
    }

    fn clear(&mut self) {
        ContextWriter::clear(self);
    }

    fn wants(&self, name: &str) -> bool {
        ContextWriter::wants(self, name)
    }
}

/// Writes a declared field as `surface` understands it: on the Proxy's an empty value is none
/// (unleash-proxy.md 1.9, step 5), and neither is a `currentTime` that is no time (step 4); on
/// Edge's both are values, which compare as they may.
pub(super) fn write_field<E: Entries>(
    entries: &mut E,
    surface: Surface,
    field: Field,
    value: &str,
) {
    let counts = match (surface, field) {
        (Surface::Edge, _) => true,
        (Surface::Proxy, Field::CurrentTime) => is_time(value),
        (Surface::Proxy, _) => !value.is_empty(),
    };
    if counts {
        entries.top(field.name(), value);
    }
}

// === impl Completion ===

impl Completion<'_> {
    /// Adds what the Proxy adds to a context after its entries (unleash-proxy.md 1.9).
    pub(super) fn proxy(
        mut self,
        context: &mut ContextWriter<'_>,
        surface: &ProxySurface,
        session: Session,
    ) {
        match &surface.environment {
            Some(environment) => context.force("environment", environment),
            None => context.fill("environment", "default"),
        }
        context.fill("appName", &surface.app_name);
        self.fill_address(context, Surface::Proxy);
        if session == Session::Drawn {
            self.fill_session(context);
        }
    }

    /// Adds what Edge's surfaces add (unleash-edge.md 1.2, and evaluation.md 2.4 for the session).
    pub(super) fn edge(mut self, context: &mut ContextWriter<'_>) {
        self.fill_address(context, Surface::Edge);
        if !context.identifies("userId") {
            self.fill_session(context);
        }
    }

    fn fill_address(&mut self, context: &mut ContextWriter<'_>, surface: Surface) {
        const NAME: &str = "remoteAddress";
        // Finding the address and writing it out is left undone where it would not be kept.
        if !context.wants(NAME) || context.has(NAME) {
            return;
        }
        let peer = self.request.peer_addr();
        if let Some(client) = address::client(peer, self.request.headers(), self.trust, surface) {
            self.fill(context, NAME, client);
        }
    }

    fn fill_session(&mut self, context: &mut ContextWriter<'_>) {
        const NAME: &str = "sessionId";
        // An empty session is none, and the drawn one takes its place.
        if context.wants(NAME) && !context.identifies(NAME) {
            self.text.clear();
            if write!(self.text, "{}", self.draws.next()).is_ok() {
                context.force(NAME, self.text);
            }
        }
    }

    fn fill(&mut self, context: &mut ContextWriter<'_>, name: &str, value: impl fmt::Display) {
        self.text.clear();
        if write!(self.text, "{value}").is_ok() {
            context.fill(name, self.text);
        }
    }
}
