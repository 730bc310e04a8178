//! Reads settings from the command line and the variables, and keeps every complaint for the end.

use std::{net::IpAddr, time::Duration};

use super::{
    Env, Exposure, Machine, Problems, Server,
    values::{self, Reason},
};
use crate::token::Token;

/// Longer than load balancers keep idle connections (60 s is usual), so that they close first.
const DEFAULT_KEEP_ALIVE: Duration = Duration::from_secs(75);

const DEFAULT_HEAD_WITHIN: Duration = Duration::from_secs(15);
const DEFAULT_BODY_WITHIN: Duration = Duration::from_secs(30);

/// For each worker: less than 1 GiB of buffers, were all of them in use.
const DEFAULT_CONNECTIONS: usize = 25_600;

/// Inside the 10 s that `docker stop` waits before it kills.
const DEFAULT_STOP_WITHIN: Duration = Duration::from_secs(9);

const UNFIT: &str = "has a character that no header can carry";

/// The settings of one start, being read.
///
/// Nothing fails half way: a value that cannot be used is recorded and reads as absent, so that
/// [`Settings::finish`] reports every problem at once.
pub(super) struct Settings<'a> {
    env: Env<'a>,
    problems: Vec<String>,
    warnings: Vec<String>,
}

/// A setting that has a value.
pub(super) struct Found {
    /// As its author wrote it: `--port` or `PORT`.
    pub(super) name: String,
    pub(super) text: String,
}

// === impl Settings ===

impl<'a> Settings<'a> {
    pub(super) fn new(env: Env<'a>) -> Self {
        Self { env, problems: Vec::new(), warnings: Vec::new() }
    }

    /// A variable. An empty one counts as not set.
    pub(super) fn variable(&self, name: &str) -> Option<Found> {
        let text = (self.env)(name).filter(|text| !text.is_empty())?;
        Some(Found { name: name.to_owned(), text })
    }

    /// A flag of the command line, or else the variable `name`.
    ///
    /// The flag is the variable in lower case with hyphens, which is Unleash Edge's rule.
    pub(super) fn flag(&self, name: &str, typed: Option<&str>) -> Option<Found> {
        match typed {
            Some(text) => Some(Found { name: flag_of(name), text: text.to_owned() }),
            None => self.variable(name),
        }
    }

    /// What `parse` makes of a setting. `None` where it has no value, or no usable one.
    pub(super) fn parsed<T>(
        &mut self,
        found: Option<Found>,
        parse: impl FnOnce(&str) -> Result<T, Reason>,
    ) -> Option<T> {
        let Found { name, text } = found?;
        parse(&text).map_err(|reason| self.problem(format!("`{name}` {reason}"))).ok()
    }

    /// The secrets of a comma list: trimmed, without repetitions.
    pub(super) fn tokens(&mut self, found: Option<Found>) -> Vec<Token> {
        let mut tokens = Vec::new();
        let Some(Found { name, text }) = found else { return tokens };
        for (at, secret) in values::list(&text).enumerate() {
            if !values::fits_header(secret) {
                self.problem(format!("`{name}` {UNFIT} in entry {}", at + 1));
            }
            let token = Token::new(secret);
            if !tokens.contains(&token) {
                tokens.push(token);
            }
        }
        tokens
    }

    /// One secret, trimmed: secrets that come from files often end in a line break.
    pub(super) fn token(&mut self, found: Option<Found>) -> Option<Token> {
        self.parsed(found, |text| match text.trim() {
            "" => Err("is blank".to_owned()),
            secret if !values::fits_header(secret) => Err(UNFIT.to_owned()),
            secret => Ok(Token::new(secret)),
        })
    }

    /// A text that is sent as a header's value.
    pub(super) fn header_text(&mut self, found: Option<Found>) -> Option<String> {
        self.parsed(found, |text| match values::fits_header(text.trim()) {
            true => Ok(text.trim().to_owned()),
            false => Err(UNFIT.to_owned()),
        })
    }

    pub(super) fn problem(&mut self, text: impl Into<String>) {
        let text = text.into();
        // A setting that is read for two purposes is wrong once.
        if !self.problems.contains(&text) {
            self.problems.push(text);
        }
    }

    pub(super) fn warn(&mut self, text: impl Into<String>) {
        self.warnings.push(text.into());
    }

    /// `value`, unless there was a problem; and the warnings.
    pub(super) fn finish<T>(self, value: Option<T>) -> Result<(T, Vec<String>), Problems> {
        match value {
            Some(value) if self.problems.is_empty() => Ok((value, self.warnings)),
            _ => Err(Problems(self.problems)),
        }
    }
}

/// `UPSTREAM_URL` → `--upstream-url`.
fn flag_of(variable: &str) -> String {
    format!("--{}", variable.to_ascii_lowercase().replace('_', "-"))
}

impl Settings<'_> {
    /// How to listen: what both dialects leave open is decided by Offleash's own variables.
    pub(super) fn server(
        &mut self,
        interface: Option<IpAddr>,
        port: u16,
        workers: Option<usize>,
        machine: &Machine,
    ) -> Server {
        let own = self.parsed(self.variable("OFFLEASH_WORKERS"), values::workers);
        let keep_alive =
            self.parsed(self.variable("OFFLEASH_KEEP_ALIVE_SECONDS"), values::some_seconds);
        let head_within =
            self.parsed(self.variable("OFFLEASH_HEAD_WITHIN_SECONDS"), values::some_seconds);
        let max_connections = self.parsed(self.variable("OFFLEASH_MAX_CONNECTIONS"), values::count);
        let workers = workers.or(own).unwrap_or(machine.cores);
        let stop_within =
            self.parsed(self.variable("OFFLEASH_STOP_WITHIN_SECONDS"), values::seconds);
        let stop_within = stop_within.unwrap_or(DEFAULT_STOP_WITHIN);
        let stop_grace = self.stop_grace(stop_within);
        Server {
            interface,
            port,
            tls: None,
            workers,
            keep_alive: keep_alive.unwrap_or(DEFAULT_KEEP_ALIVE),
            head_within: head_within.unwrap_or(DEFAULT_HEAD_WITHIN),
            max_connections: max_connections
                .unwrap_or_else(|| workers.saturating_mul(DEFAULT_CONNECTIONS)),
            stop_within,
            stop_grace,
        }
    }

    fn stop_grace(&mut self, stop_within: Duration) -> Duration {
        const NAME: &str = "OFFLEASH_STOP_GRACE_SECONDS";
        let grace = self.parsed(self.variable(NAME), values::seconds).unwrap_or_default();
        if !grace.is_zero() && grace >= stop_within {
            self.problem(format!(
                "`{NAME}` is `{}`, which leaves no time for requests: it is a part of \
                 `OFFLEASH_STOP_WITHIN_SECONDS`, which is `{}`",
                grace.as_secs(),
                stop_within.as_secs()
            ));
        }
        grace
    }

    /// Largest request body in bytes; `default` is the dialect's.
    pub(super) fn body_limit(&mut self, default: usize) -> usize {
        self.parsed(self.variable("OFFLEASH_BODY_LIMIT_BYTES"), values::count).unwrap_or(default)
    }

    /// How long a request's body may take to arrive.
    pub(super) fn body_within(&mut self) -> Duration {
        let within =
            self.parsed(self.variable("OFFLEASH_BODY_WITHIN_SECONDS"), values::some_seconds);
        within.unwrap_or(DEFAULT_BODY_WITHIN)
    }

    /// Where Prometheus may read; `default` where nothing is said. `port` is the one that serves.
    pub(super) fn metrics(&mut self, default: Exposure, port: u16) -> Exposure {
        const NAME: &str = "OFFLEASH_PROMETHEUS";
        let exposure = self.parsed(self.variable(NAME), values::exposure).unwrap_or(default);
        if exposure == Exposure::Port(port) {
            self.problem(format!("`{NAME}` is `{port}`, the port that serves: say `on`"));
        }
        exposure
    }
}
