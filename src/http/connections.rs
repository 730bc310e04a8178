//! How many connections are open, and what happens when there is no room for more.

use std::sync::{
    Arc, Once,
    atomic::{AtomicU64, Ordering},
};

use crate::telemetry::prometheus::{Page, Sort};

/// The connections of every worker together. Clones are the same.
// Shared atomics, unlike the workers' own counts: a connection comes on one thread and goes on
// another when a worker dies, and it costs far more than this does.
#[derive(Clone, Debug)]
pub(super) struct Connections(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    /// More than this wait in the system's queue.
    most: u64,
    open: AtomicU64,
    accepted: AtomicU64,
    unusual: AtomicU64,
    times_full: AtomicU64,
    said: Once,
}

/// A connection, until this is dropped.
#[derive(Debug)]
pub(super) struct Open(Connections);

// === impl Connections ===

impl Connections {
    pub(super) fn new(most: usize) -> Self {
        let [open, accepted, unusual, times_full] = [0; 4].map(AtomicU64::new);
        let (most, said) = (u64::try_from(most).unwrap_or(u64::MAX), Once::new());
        Self(Arc::new(Counts { most, open, accepted, unusual, times_full, said }))
    }

    /// Counts one that was accepted.
    pub(super) fn take(&self) -> Open {
        let Counts { most, open, accepted, times_full, said, .. } = &*self.0;
        accepted.fetch_add(1, Ordering::Relaxed);
        if open.fetch_add(1, Ordering::Relaxed) + 1 >= *most {
            times_full.fetch_add(1, Ordering::Relaxed);
            // Once: a process that is full is so again with every connection that comes.
            said.call_once(|| {
                tracing::warn!(
                    "as many connections are open as `OFFLEASH_MAX_CONNECTIONS` allows, {most}: \
                     more have to wait until one ends"
                );
            });
        }
        Open(self.clone())
    }

    /// Counts one that actix-http serves from now on.
    pub(super) fn hand_over(&self) {
        self.0.unusual.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn describe(&self, page: &mut Page) {
        let Counts { most, open, accepted, unusual, times_full, .. } = &*self.0;
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        page.value(Sort::Gauge, "offleash_http_connections", "Connections that are open", of(open));
        page.value(
            Sort::Gauge,
            "offleash_http_connections_limit",
            "Connections that may be open at a time, more have to wait",
            *most,
        );
        page.value(
            Sort::Counter,
            "offleash_http_connections_total",
            "Connections that were accepted",
            of(accepted),
        );
        page.value(
            Sort::Counter,
            "offleash_http_connections_unusual_total",
            "Connections that had an unusual request, and cost a little more from there on",
            of(unusual),
        );
        page.value(
            Sort::Counter,
            "offleash_http_connections_full_total",
            "Connections after which there was no room for more",
            of(times_full),
        );
    }
}

// === impl Open ===

impl Drop for Open {
    fn drop(&mut self) {
        let Self(Connections(counts)) = self;
        counts.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::prometheus::Registry;

    #[test]
    fn connections_are_counted_while_they_are_open() {
        let connections = Connections::new(2);
        let first = connections.take();
        let second = connections.take();
        drop(first);
        let registry = Registry::new();
        registry.join(move |page| connections.describe(page));
        let page = registry.render();
        for line in [
            "offleash_http_connections 1\n",
            "offleash_http_connections_limit 2\n",
            "offleash_http_connections_total 2\n",
            "offleash_http_connections_full_total 1\n",
        ] {
            assert!(page.contains(line), "{line} is not in {page}");
        }
        drop(second);
        assert!(registry.render().contains("offleash_http_connections 0\n"));
    }
}
