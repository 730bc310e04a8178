//! From the token a request shows to what it may see.

use std::{fmt, sync::Arc};

use actix_web::http::header::HeaderName;
use futures_util::future::LocalBoxFuture;

use super::{error::Problem, head::Headers, route::Surface};
use crate::{
    snapshot::{Grant, Snapshot},
    token::{Admission, Kind},
};

/// Asks `sync` about a token no snapshot grants. Shared by all workers, awaited on the asking one.
#[derive(Clone)]
pub struct Admit(Arc<Ask>);

type Ask = dyn Fn(&str) -> LocalBoxFuture<'static, Admission> + Send + Sync;

// === impl Admit ===

impl Admit {
    /// By the time the future says `Granted`, a snapshot with the token must be published.
    pub fn new(
        ask: impl Fn(&str) -> LocalBoxFuture<'static, Admission> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(ask))
    }

    pub(super) async fn ask(&self, token: &str) -> Admission {
        (self.0)(token).await
    }
}

impl fmt::Debug for Admit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Admit")
    }
}

/// The token in `header`: byte for byte on the Proxy's surface, trimmed on Edge's.
pub(super) fn token<'h>(
    headers: Headers<'h>,
    header: &HeaderName,
    surface: Surface,
) -> Option<&'h str> {
    let token = std::str::from_utf8(headers.get(header)?).ok()?;
    Some(if surface == Surface::Edge { token.trim() } else { token })
}

/// What a frontend's token may see.
///
/// # Errors
///
/// `TokenUnknown` where it is worth asking upstream, else `TokenRefused`.
pub(super) fn frontend<'s>(
    snapshot: &'s Snapshot,
    token: Option<&str>,
) -> Result<&'s Grant, Problem> {
    find(snapshot, token, Kind::sees_flags)
}

/// What a server's token may see: definitions. A frontend's sees none.
///
/// # Errors
///
/// As [`frontend`].
pub(super) fn backend<'s>(
    snapshot: &'s Snapshot,
    token: Option<&str>,
) -> Result<&'s Grant, Problem> {
    find(snapshot, token, Kind::sees_definitions)
}

/// Whose counts these are: those of frontends, and of servers, which may report here too
/// (unleash-proxy.md 1.1, unleash-edge.md 1.0).
///
/// # Errors
///
/// As [`frontend`].
pub(super) fn reporter<'s>(
    snapshot: &'s Snapshot,
    token: Option<&str>,
) -> Result<&'s Grant, Problem> {
    find(snapshot, token, |kind| kind != Kind::Admin)
}

// One look-up in a map with randomly keyed hashes: how long it takes says nothing about how much of
// a guessed token is right, so no comparison in constant time is needed.
fn find<'s>(
    snapshot: &'s Snapshot,
    token: Option<&str>,
    may_ask: impl Fn(Kind) -> bool,
) -> Result<&'s Grant, Problem> {
    let token = token.ok_or(Problem::TokenRefused)?;
    match snapshot.grants.get(token) {
        Some(grant) if may_ask(grant.kind) => Ok(grant),
        None if is_parseable(token) => Err(Problem::TokenUnknown),
        Some(_) | None => Err(Problem::TokenRefused),
    }
}

/// What upstream's verdict means for the caller; `Ok` asks the snapshot again.
pub(super) fn judge(admission: Admission) -> Result<(), Problem> {
    match admission {
        Admission::Granted => Ok(()),
        Admission::Invalid => Err(Problem::TokenRefused),
        Admission::UpstreamUnreachable => Err(Problem::UpstreamUnreachable),
        Admission::UpstreamStatus(status) => Err(Problem::UpstreamStatus(status)),
    }
}

/// Whether a text has Unleash's form, `projects:environment.secret` (unleash-edge.md 1.0).
fn is_parseable(token: &str) -> bool {
    token.split_once(':').is_some_and(|(_, rest)| rest.contains('.'))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderValue};

    use super::*;
    use crate::{engine::Projects, token::Scope};

    fn snapshot() -> Snapshot {
        let scope = Scope { environment: "dev".into(), projects: Projects::All };
        let grant = |kind| Grant {
            kind,
            scope: scope.clone(),
            plan: None,
            definitions: None,
            edition: None,
        };
        let grants = [
            ("*:dev.front", grant(Kind::Frontend)),
            ("*:dev.back", grant(Kind::Backend)),
            ("*:*.admin", grant(Kind::Admin)),
            ("own key", grant(Kind::Frontend)),
            ("both", grant(Kind::Both)),
        ];
        Snapshot {
            version: 1,
            grants: grants.into_iter().map(|(token, grant)| (token.into(), grant)).collect(),
            ready: true,
        }
    }

    #[test]
    fn only_a_granted_frontend_token_is_let_in_and_only_a_likely_one_is_asked_about() {
        let snapshot = snapshot();
        for (token, expected) in [
            (Some("*:dev.front"), "granted"),
            (Some("own key"), "granted"),
            (Some("both"), "granted"),
            (Some("*:dev.back"), "refused"),
            (Some("*:*.admin"), "refused"),
            (Some("*:dev.other"), "unknown"),
            (Some("[]:dev.other"), "unknown"),
            (Some("Bearer x"), "refused"),
            (Some("a.b:c"), "refused"),
            (Some(""), "refused"),
            (None, "refused"),
        ] {
            assert_eq!(verdict(frontend(&snapshot, token)), expected, "{token:?}");
        }
    }

    fn verdict(found: Result<&Grant, Problem>) -> &'static str {
        match found {
            Ok(_) => "granted",
            Err(Problem::TokenUnknown) => "unknown",
            Err(Problem::TokenRefused) => "refused",
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn definitions_are_for_servers_and_reports_are_from_both() {
        let snapshot = snapshot();
        for (token, definitions, reports) in [
            ("*:dev.front", "refused", "granted"),
            ("*:dev.back", "granted", "granted"),
            ("both", "granted", "granted"),
            ("own key", "refused", "granted"),
            ("*:*.admin", "refused", "refused"),
            ("*:dev.other", "unknown", "unknown"),
            ("nobody's", "refused", "refused"),
        ] {
            assert_eq!(verdict(backend(&snapshot, Some(token))), definitions, "{token}");
            assert_eq!(verdict(reporter(&snapshot, Some(token))), reports, "{token}");
        }
    }

    #[test]
    fn a_token_is_trimmed_on_edges_surface_only() {
        let mut headers = HeaderMap::new();
        let token = |headers: &HeaderMap, surface| {
            token(headers.into(), &AUTHORIZATION, surface).map(str::to_owned)
        };
        assert_eq!(token(&headers, Surface::Edge), None);
        headers.insert(AUTHORIZATION, HeaderValue::from_static(" a b "));
        assert_eq!(token(&headers, Surface::Proxy).as_deref(), Some(" a b "));
        assert_eq!(token(&headers, Surface::Edge).as_deref(), Some("a b"));
        headers.insert(AUTHORIZATION, HeaderValue::from_bytes(b"\xff").unwrap());
        assert_eq!(token(&headers, Surface::Edge), None);
    }

    #[test]
    fn upstreams_verdict_becomes_the_callers() {
        assert!(judge(Admission::Granted).is_ok());
        assert!(matches!(judge(Admission::Invalid), Err(Problem::TokenRefused)));
        assert!(matches!(judge(Admission::UpstreamUnreachable), Err(Problem::UpstreamUnreachable)));
        assert!(matches!(judge(Admission::UpstreamStatus(503)), Err(Problem::UpstreamStatus(503))));
    }
}
