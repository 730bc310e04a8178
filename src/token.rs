//! Tokens: what they are called, what they may see, and that they print masked, always.

use std::fmt;

use crate::engine::Projects;

/// A secret that identifies a caller, here or upstream.
///
/// Prints masked: the text leaves only through [`Token::secret`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Token(Box<str>);

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Asks for evaluated flags.
    Frontend,
    /// Asks for definitions; also what Offleash itself shows upstream.
    Backend,
    /// Asks for both: a key of the Unleash Proxy's that its operator put on both lists.
    Both,
    /// Manages Unleash; never accepted here.
    Admin,
}

/// The flags a token may see: one environment, some projects.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope {
    /// Empty in the Unleash Proxy's dialect, whose single upstream token decides the environment.
    pub environment: Box<str>,
    pub projects: Projects,
}

/// What asking upstream about a token nobody knew came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The token is good, and the snapshot that grants it is published.
    Granted,
    /// Upstream does not know the token either.
    Invalid,
    /// Upstream did not answer.
    UpstreamUnreachable,
    /// Upstream answered with this status instead of a verdict.
    UpstreamStatus(u16),
}

// === impl Token ===

impl Token {
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The text itself: for comparing and for the wire, never for a log.
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// What the text says of itself; see [`Scope::of_token`].
    pub fn scope(&self) -> Option<Scope> {
        Scope::of_token(&self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(masked)")
    }
}

/// Always the same word: a part or a hash of a short key would already help to guess it.
impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(masked token)")
    }
}

// === impl Kind ===

impl Kind {
    /// Reads a token's type as Unleash and its proxies spell it, in any case: `frontend`,
    /// `backend` or the older `client`, `admin`.
    ///
    /// Returns `None` for every other text.
    pub fn from_text(text: &str) -> Option<Self> {
        const NAMES: [(&str, Kind); 4] = [
            ("frontend", Kind::Frontend),
            ("backend", Kind::Backend),
            ("client", Kind::Backend),
            ("admin", Kind::Admin),
        ];
        let text = text.trim();
        NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, kind)| *kind)
    }

    /// Whether its owner is answered with evaluated flags.
    pub fn sees_flags(self) -> bool {
        matches!(self, Self::Frontend | Self::Both)
    }

    /// Whether its owner is answered with definitions.
    pub fn sees_definitions(self) -> bool {
        matches!(self, Self::Backend | Self::Both)
    }
}

// === impl Scope ===

impl Scope {
    /// Reads the scope out of a token of Unleash's format, `project:environment.secret`.
    ///
    /// The project is what stands before the first `:`, the environment what stands between it and
    /// the next `.`. `*` is every project; `[]` is a list that only upstream knows, here the empty
    /// one. Returns `None` for any other text: no such token can be good (`spec/unleash-edge.md`
    /// 1.0).
    pub fn of_token(text: &str) -> Option<Self> {
        let (project, rest) = text.split_once(':')?;
        let (environment, secret) = rest.split_once('.')?;
        if project.is_empty() || environment.is_empty() || secret.is_empty() {
            return None;
        }
        let projects = match project {
            "*" => Projects::All,
            "[]" => Projects::Only(Box::default()),
            name => Projects::Only(Box::new([name.into()])),
        };
        Some(Self { environment: environment.into(), projects })
    }

    /// A scope whose projects are those of `names`: every project where `*` is among them, and
    /// where there is none (`spec/unleash-edge.md` 1.0: an empty list means all).
    ///
    /// Order and repetition do not matter: equal sets give equal scopes.
    pub fn new<'a>(environment: &str, names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut names: Vec<Box<str>> = names.into_iter().map(Box::from).collect();
        names.sort_unstable();
        names.dedup();
        let all = names.is_empty() || names.iter().any(|name| &**name == "*");
        let projects = if all { Projects::All } else { Projects::Only(names.into()) };
        Self { environment: environment.into(), projects }
    }

    /// This scope where nobody upstream can say what `[]` stands for: every project.
    pub fn or_all(mut self) -> Self {
        if matches!(&self.projects, Projects::Only(names) if names.is_empty()) {
            self.projects = Projects::All;
        }
        self
    }

    /// Whether flags fetched for `self` hold all that `other` may see.
    ///
    /// A list that only upstream knows is covered by nothing but every project.
    pub fn covers(&self, other: &Self) -> bool {
        self.environment == other.environment
            && match (&self.projects, &other.projects) {
                (Projects::All, _) => true,
                (Projects::Only(_), Projects::All) => false,
                (Projects::Only(ours), Projects::Only(theirs)) => {
                    !theirs.is_empty() && theirs.iter().all(|name| ours.contains(name))
                }
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(names: &[&str]) -> Projects {
        Projects::Only(names.iter().map(|&name| name.into()).collect())
    }

    #[test]
    fn a_token_of_unleashs_format_names_project_and_environment() {
        let cases: [(&str, Option<(&str, Projects)>); 12] = [
            ("*:development.abc", Some(("development", Projects::All))),
            ("default:production.abc", Some(("production", only(&["default"])))),
            ("[]:development.abc", Some(("development", only(&[])))),
            ("a.b:dev.c.d", Some(("dev", only(&["a.b"])))),
            ("a:b:c.d", Some(("b:c", only(&["a"])))),
            ("secret-123", None),
            ("no.colon", None),
            ("a.b:no-dot-behind", None),
            (":dev.abc", None),
            ("*:.abc", None),
            ("*:dev.", None),
            ("", None),
        ];
        for (text, expected) in cases {
            let scope = Scope::of_token(text).map(|scope| (scope.environment, scope.projects));
            assert_eq!(scope, expected.map(|(env, projects)| (env.into(), projects)), "{text}");
        }
    }

    #[test]
    fn a_kind_is_read_in_any_spelling_and_nothing_else_is() {
        for text in ["client", "CLIENT", "backend", "Backend", " BACKEND "] {
            assert_eq!(Kind::from_text(text), Some(Kind::Backend), "{text}");
        }
        assert_eq!(Kind::from_text("FRONTEND"), Some(Kind::Frontend));
        assert_eq!(Kind::from_text("admin"), Some(Kind::Admin));
        assert_eq!(Kind::from_text(""), None);
        assert_eq!(Kind::from_text("front"), None);
    }

    #[test]
    fn a_kind_sees_flags_definitions_both_or_nothing() {
        let sees = |kind: Kind| (kind.sees_flags(), kind.sees_definitions());
        let kinds = [Kind::Frontend, Kind::Backend, Kind::Both, Kind::Admin];
        assert_eq!(kinds.map(sees), [(true, false), (false, true), (true, true), (false, false)]);
    }

    #[test]
    fn a_token_prints_masked_however_it_is_printed() {
        let token = Token::new("*:development.sesame");
        for text in [format!("{token}"), format!("{token:?}"), format!("{:#?}", Some(token))] {
            assert!(!text.contains("sesame") && !text.contains("development"), "{text}");
        }
    }

    #[test]
    fn a_list_of_projects_is_a_set_and_a_star_or_nothing_is_all() {
        assert_eq!(Scope::new("dev", ["b", "a", "b"]), Scope::new("dev", ["a", "b"]));
        assert_eq!(Scope::new("dev", ["a", "*"]).projects, Projects::All);
        assert_eq!(Scope::new("dev", []).projects, Projects::All);
        assert_eq!(Scope::of_token("[]:dev.x").unwrap().or_all().projects, Projects::All);
        assert_eq!(Scope::of_token("a:dev.x").unwrap().or_all().projects, only(&["a"]));
    }

    #[test]
    fn a_scope_covers_the_same_environments_subsets() {
        let all = Scope::new("dev", ["*"]);
        let (ab, a) = (Scope::new("dev", ["a", "b"]), Scope::new("dev", ["a"]));
        let unknown = Scope::of_token("[]:dev.x").unwrap();
        assert!(all.covers(&ab) && all.covers(&all) && ab.covers(&a) && a.covers(&a));
        assert!(!a.covers(&ab) && !ab.covers(&all) && !all.covers(&Scope::new("prod", ["a"])));
        assert!(all.covers(&unknown) && !ab.covers(&unknown) && !unknown.covers(&unknown));
    }
}
