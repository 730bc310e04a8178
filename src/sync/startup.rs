//! Configured tokens: what is known of them, and which of them it takes to see everything.

use super::catalog::Catalog;
use crate::{
    config::Access,
    token::{Kind, Scope, Token},
};

/// A token of the configuration.
#[derive(Debug)]
pub(super) struct Startup {
    pub(super) token: Token,
    pub(super) standing: Standing,
    warned_of_kind: bool,
}

/// What upstream says of a configured token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Unasked,
    /// Upstream cannot say: this is what the token says of itself.
    Assumed(Scope),
    Valid(Option<Kind>, Scope),
    Invalid,
}

/// Grants the keys and tokens that are good because the configuration says so.
pub(super) fn grant_configured(catalog: &mut Catalog, access: &Access) {
    match access {
        Access::Keys { client_keys, server_tokens, .. } => {
            for (key, kind) in kinds(client_keys, server_tokens) {
                catalog.grant(key, kind, Scope::new("", []));
            }
        }
        Access::Tokens { frontend, .. } => {
            for token in frontend {
                if let Some((token, scope)) = pretrusted(token) {
                    catalog.grant(&token, Kind::Frontend, scope);
                } else {
                    tracing::warn!("a pretrusted token names no environment and lets nobody in");
                }
            }
        }
    }
}

/// What each key is for: frontends' keys ask for flags, servers' for definitions, and one that is on
/// both lists for both.
pub(super) fn kinds<'t>(
    frontend: &'t [Token],
    backend: &'t [Token],
) -> impl Iterator<Item = (&'t Token, Kind)> {
    let of_frontends = frontend.iter().map(|token| match backend.contains(token) {
        true => (token, Kind::Both),
        false => (token, Kind::Frontend),
    });
    let others = backend.iter().filter(|token| !frontend.contains(token));
    of_frontends.chain(others.map(|token| (token, Kind::Backend)))
}

/// Reads a token of Unleash's format, or the older `secret@environment`, whose owner shows
/// `secret` alone and sees every project (`spec/unleash-edge.md` 2.5).
fn pretrusted(token: &Token) -> Option<(Token, Scope)> {
    if let Some(scope) = token.scope() {
        return Some((token.clone(), scope.or_all()));
    }
    let (secret, environment) = token.secret().rsplit_once('@')?;
    (!secret.is_empty() && !environment.is_empty())
        .then(|| (Token::new(secret), Scope::new(environment, [])))
}

/// Whether everything the token at `at` may see comes with another token.
///
/// Of tokens that see the same, the first is the one to ask with.
pub(super) fn is_covered(at: usize, tokens: &[Startup]) -> bool {
    let scope = |token: &Startup| match token.access() {
        Some((Kind::Backend, scope)) => Some(scope),
        _ => None,
    };
    let Some(own) = tokens.get(at).and_then(scope) else { return false };
    tokens.iter().enumerate().any(|(other, token)| {
        other != at
            && scope(token)
                .is_some_and(|theirs| theirs.covers(&own) && (!own.covers(&theirs) || other < at))
    })
}

// === impl Startup ===

impl Startup {
    /// Each of `tokens` once.
    pub(super) fn all(tokens: Vec<Token>) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::with_capacity(tokens.len());
        for token in tokens {
            if !all.iter().any(|known| known.token == token) {
                let standing = Standing::Unasked;
                all.push(Self { token, standing, warned_of_kind: false });
            }
        }
        all
    }

    /// Takes the token at its own word while upstream cannot be asked for a better one.
    pub(super) fn assume(&mut self) {
        if self.standing == Standing::Unasked
            && let Some(scope) = self.token.scope()
        {
            self.standing = Standing::Assumed(scope);
        }
    }

    /// What the token may do now. `None`: nothing, as far as is known.
    pub(super) fn access(&self) -> Option<(Kind, Scope)> {
        match &self.standing {
            Standing::Unasked | Standing::Invalid => None,
            Standing::Assumed(scope) => Some((Kind::Backend, scope.clone())),
            Standing::Valid(kind, scope) => Some((kind.unwrap_or(Kind::Backend), scope.clone())),
        }
    }

    /// True the first time.
    pub(super) fn warn_of_kind(&mut self) -> bool {
        !std::mem::replace(&mut self.warned_of_kind, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid(scopes: &[(&str, &[&str])]) -> Vec<Startup> {
        let mut all =
            Startup::all((0..scopes.len()).map(|n| Token::new(format!("*:x.{n}"))).collect());
        for (startup, (environment, projects)) in all.iter_mut().zip(scopes) {
            let scope = Scope::new(environment, projects.iter().copied());
            startup.standing = Standing::Valid(Some(Kind::Backend), scope);
        }
        all
    }

    fn needed(tokens: &[Startup]) -> Vec<usize> {
        (0..tokens.len()).filter(|&at| !is_covered(at, tokens)).collect()
    }

    #[test]
    fn upstream_is_asked_with_as_few_tokens_as_it_takes() {
        type Row =
            (&'static str, &'static [(&'static str, &'static [&'static str])], &'static [usize]);
        let rows: [Row; 6] = [
            ("one", &[("dev", &["a"])], &[0]),
            ("equal", &[("dev", &["a"]), ("dev", &["a"])], &[0]),
            ("subset", &[("dev", &["a"]), ("dev", &["a", "b"])], &[1]),
            ("all", &[("dev", &["a"]), ("dev", &["b"]), ("dev", &["*"])], &[2]),
            ("overlap", &[("dev", &["a", "b"]), ("dev", &["b", "c"])], &[0, 1]),
            ("environments", &[("dev", &["*"]), ("prod", &["a"])], &[0, 1]),
        ];
        for (name, scopes, expected) in rows {
            assert_eq!(needed(&valid(scopes)), expected, "{name}");
        }
    }

    #[test]
    fn a_token_that_is_no_good_covers_nothing() {
        let mut tokens = valid(&[("dev", &["*"]), ("dev", &["a"])]);
        tokens[0].standing = Standing::Invalid;
        assert!(!is_covered(1, &tokens));
        let scope = Scope::new("dev", ["*"]);
        tokens[0].standing = Standing::Valid(Some(Kind::Frontend), scope);
        assert!(!is_covered(1, &tokens), "a frontend token fetches nothing");
    }

    #[test]
    fn a_token_is_taken_at_its_word_only_while_nobody_else_speaks() {
        let mut all = Startup::all(vec![Token::new("a:dev.x"), Token::new("opaque")]);
        assert_eq!(all[0].access(), None);
        all.iter_mut().for_each(Startup::assume);
        assert_eq!(all[0].access(), Some((Kind::Backend, Scope::new("dev", ["a"]))));
        assert_eq!(all[1].standing, Standing::Unasked, "it says nothing of itself");
        all[0].standing = Standing::Invalid;
        all[0].assume();
        assert_eq!(all[0].access(), None);
    }

    #[test]
    fn a_pretrusted_token_is_of_unleashs_format_or_a_secret_at_an_environment() {
        let read = |text| {
            pretrusted(&Token::new(text)).map(|(token, scope)| (token.secret().to_owned(), scope))
        };
        assert_eq!(read("a:dev.x"), Some(("a:dev.x".into(), Scope::new("dev", ["a"]))));
        assert_eq!(read("[]:dev.x"), Some(("[]:dev.x".into(), Scope::new("dev", []))));
        assert_eq!(read("old@key@dev"), Some(("old@key".into(), Scope::new("dev", []))));
        assert_eq!(read("opaque"), None);
        assert_eq!(read("@dev"), None);
    }

    #[test]
    fn a_key_on_both_lists_is_for_both() {
        let (front, back) = (["a", "b"].map(Token::new), ["c", "b"].map(Token::new));
        let kinds: Vec<_> =
            kinds(&front, &back).map(|(token, kind)| (token.secret(), kind)).collect();
        assert_eq!(kinds, [("a", Kind::Frontend), ("b", Kind::Both), ("c", Kind::Backend)]);
    }

    #[test]
    fn a_token_that_is_configured_twice_is_one() {
        let tokens = ["a:dev.x", "b:dev.y", "a:dev.x"].map(Token::new).to_vec();
        assert_eq!(Startup::all(tokens).len(), 2);
    }
}
