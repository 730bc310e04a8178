//! What each kind of strategy asks beside its constraints (`spec/evaluation.md` 3.2 to 3.5).

use super::{
    Host,
    constraint::{self, Literal, Meaning},
    lower::{Key, Lowering, Test},
    rollout::{Prefix, ROLLOUT_SEED},
};
use crate::engine::{model::Strategy, value::number};

/// What a strategy's own test comes down to.
pub(super) enum Asked {
    Never,
    Test(Test),
    Literal(Literal),
}

/// What a strategy is, with its parameters where they are texts.
#[derive(Debug)]
pub(super) enum Kind<'a> {
    Default,
    Rollout(Rollout<'a>),
    Users(Option<&'a str>),
    Addresses(Option<&'a str>),
    Hosts(Option<&'a str>),
    Unknown,
}

/// A share of the callers.
#[derive(Debug)]
pub(super) struct Rollout<'a> {
    /// The name of the parameter that says how many.
    parameter: &'static str,
    /// How many of 100, as upstream spells it.
    share: &'a str,
    pub(super) key: Key,
    pub(super) group: &'a str,
}

impl From<Meaning> for Asked {
    fn from(meaning: Meaning) -> Self {
        match meaning {
            Meaning::Always => Self::Test(Test::Always),
            Meaning::Never => Self::Never,
            Meaning::Literal(literal) => Self::Literal(literal),
        }
    }
}

// === impl Lowering ===

impl Lowering<'_> {
    /// What the strategy itself asks (`spec/evaluation.md` 3.2).
    pub(super) fn test(&mut self, strategy: &Strategy) -> Result<Asked, String> {
        Ok(match Kind::of(strategy, &self.feature.name) {
            Kind::Default => Asked::Test(Test::Always),
            Kind::Rollout(rollout) => rollout.asked()?,
            Kind::Users(ids) => {
                Asked::from(constraint::one_of("userId", items(ids).collect(), false))
            }
            Kind::Addresses(networks) => {
                let mut faults = Vec::new();
                let networks = items(networks);
                let meaning = constraint::networks("remoteAddress", networks, false, &mut faults);
                self.warn_strategy(faults);
                Asked::from(meaning)
            }
            Kind::Hosts(names) if lists_host(names, self.host) => Asked::Test(Test::Always),
            Kind::Hosts(_) => Asked::Never,
            Kind::Unknown => return Err(format!("is of the unknown kind `{}`", strategy.name)),
        })
    }
}

// === impl Kind ===

impl<'a> Kind<'a> {
    /// By the strategy's name. `flag` is the group of a rollout that names none.
    pub(super) fn of(strategy: &'a Strategy, flag: &'a str) -> Self {
        match &*strategy.name {
            "default" => Self::Default,
            "flexibleRollout" => Self::Rollout(Rollout {
                parameter: "rollout",
                share: strategy.parameter("rollout").unwrap_or(""),
                key: Key::of(strategy.parameter("stickiness")),
                group: strategy.parameter("groupId").unwrap_or(flag),
            }),
            "gradualRolloutUserId" => Self::gradual(strategy, Key::Field("userId".into())),
            "gradualRolloutSessionId" => Self::gradual(strategy, Key::Field("sessionId".into())),
            "gradualRolloutRandom" => Self::gradual(strategy, Key::Random),
            "userWithId" => Self::Users(strategy.parameter("userIds")),
            "remoteAddress" => Self::Addresses(strategy.parameter("IPs")),
            "applicationHostname" => Self::Hosts(strategy.parameter("hostNames")),
            _ => Self::Unknown,
        }
    }

    /// The older percentage strategies: a missing group is empty, not the flag's name (D-7).
    fn gradual(strategy: &'a Strategy, key: Key) -> Self {
        Self::Rollout(Rollout {
            parameter: "percentage",
            share: strategy.parameter("percentage").unwrap_or(""),
            key,
            group: strategy.parameter("groupId").unwrap_or(""),
        })
    }
}

// === impl Rollout ===

impl Rollout<'_> {
    /// How many of 100. `None` where upstream wrote no percentage.
    pub(super) fn percent(&self) -> Option<u8> {
        number::percentage(self.share)
    }

    fn asked(self) -> Result<Asked, String> {
        let percent = self.percent().ok_or_else(|| {
            format!("has the `{}` `{}`, which is no percentage", self.parameter, self.share)
        })?;
        Ok(match (percent, self.key) {
            (0, _) => Asked::Never,
            (100, Key::Default | Key::Random) => Asked::Test(Test::Always),
            (100, Key::Field(field)) => Asked::Test(Test::Present(field)),
            (percent, key) => {
                let prefix = Prefix::new(self.group, ROLLOUT_SEED);
                Asked::Test(Test::Rollout { key, prefix, percent })
            }
        })
    }
}

// === impl Key ===

impl Key {
    /// By the text of `stickiness` (`spec/evaluation.md` 3.5).
    pub(super) fn of(stickiness: Option<&str>) -> Self {
        match stickiness {
            None | Some("" | "default") => Self::Default,
            Some("random") => Self::Random,
            Some(field) => Self::Field(field.into()),
        }
    }

    /// The text that [`Key::of`] reads as this key.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Default => "default",
            Self::Random => "random",
            Self::Field(field) => field,
        }
    }
}

/// The items of a comma-separated list, trimmed, empty ones dropped.
pub(super) fn items(list: Option<&str>) -> impl Iterator<Item = &str> {
    list.unwrap_or("").split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// Whether `names` lists the host, letter case aside. A host without a name is listed nowhere.
pub(super) fn lists_host(names: Option<&str>, host: &Host) -> bool {
    let host = host.name.to_lowercase();
    !host.is_empty() && items(names).any(|name| name.to_lowercase() == host)
}
