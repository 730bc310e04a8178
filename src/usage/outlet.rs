//! The counts of one environment, and where they go.

use std::time::Duration;

use super::{
    batch::Dialect,
    ledger::{Item, Ledger},
    now_millis,
    pace::{Pace, Say, Trouble},
};
use crate::{token::Token, upstream::UpstreamError};

/// The counts of one environment, and where they go.
pub(super) struct Outlet {
    pub(super) dialect: Dialect,
    /// Any of them will do; the next one is taken when upstream refuses one.
    pub(super) tokens: Vec<Token>,
    pub(super) token: usize,
    pub(super) ledger: Ledger,
    /// When the oldest count in the ledger came, in Unix milliseconds.
    pub(super) since: i64,
    pub(super) pace: Pace,
    /// Items on their way upstream; 0 where none are.
    pub(super) under_way: usize,
    pub(super) timer: Option<actix::SpawnHandle>,
}

// === impl Outlet ===

impl Outlet {
    pub(super) fn new(dialect: Dialect, token: Token, every: Duration) -> Self {
        Self {
            dialect,
            tokens: vec![token],
            token: 0,
            ledger: Ledger::default(),
            since: now_millis(),
            pace: Pace::new(every),
            under_way: 0,
            timer: None,
        }
    }

    pub(super) fn serves(&self, environment: &str) -> bool {
        match &self.dialect {
            Dialect::Proxy => true,
            Dialect::Bulk { environment: own } => **own == *environment,
        }
    }

    fn environment(&self) -> &str {
        match &self.dialect {
            Dialect::Proxy => "",
            Dialect::Bulk { environment } => environment,
        }
    }

    pub(super) fn add(&mut self, item: Item) {
        if self.ledger.len() == 0 {
            self.since = now_millis();
        }
        self.ledger.add(item);
    }

    pub(super) fn say(&self, say: Option<Say>, err: Option<&UpstreamError>) {
        let environment = self.environment();
        let kept = self.ledger.len();
        match (say, err) {
            (Some(Say::Trouble(Trouble::Absent)), Some(_)) => tracing::warn!(
                environment,
                "upstream has no place for usage reports (404): kept within bounds, and tried \
                 again with back-off"
            ),
            (Some(Say::Trouble(Trouble::Refused)), Some(err)) => tracing::error!(
                environment,
                "upstream refuses our token for usage reports: {err}; {kept} sums are kept, trying \
                 again with back-off"
            ),
            (Some(Say::Trouble(Trouble::Failed)), Some(err)) => tracing::warn!(
                environment,
                "usage was not reported: {err}; {kept} sums are kept, trying again with back-off"
            ),
            (Some(Say::Recovered), _) => {
                tracing::warn!(environment, "usage is reported upstream again");
            }
            _ => {}
        }
    }
}
