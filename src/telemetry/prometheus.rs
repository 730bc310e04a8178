//! What is measured, as Prometheus reads it.
//!
//! Each part of the house keeps its own numbers, where it counts them, and describes them on a
//! [`Page`] when somebody asks: nothing is looked up by name, and nothing is shared on the way of a
//! request. The order of the page is that in which the parts joined the [`Registry`], because the
//! Unleash Proxy's three metrics come first (`spec/unleash-proxy.md` 1.16).

use std::{
    fmt::{self, Write as _},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use super::VERSION;

/// Everybody who has something to tell. Clones are the same registry.
// A mutex, taken when a part joins and when the page is asked for, and never by a request else.
#[derive(Clone, Default)]
pub struct Registry(Arc<Mutex<Vec<Arc<Describe>>>>);

type Describe = dyn Fn(&mut Page) + Send + Sync;

/// A page in Prometheus's text format, being written.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
}

/// How a metric's value behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Goes up only.
    Counter,
    Gauge,
}

/// A number that anybody may write and that orders nothing.
///
/// With one writer, [`Figure::add`] is a load and a store of memory that nobody else writes.
#[derive(Debug, Default)]
pub struct Figure(AtomicU64);

// === impl Registry ===

impl Registry {
    /// One that nobody has joined.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on `describe` is asked for its metrics, after those that joined before it.
    pub fn join(&self, describe: impl Fn(&mut Page) + Send + Sync + 'static) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::new(describe));
    }

    /// Everything that is measured, now.
    pub fn render(&self) -> String {
        // Not under the lock: a panic in one part must not take the page from all.
        let parts = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut page = Page::default();
        parts.iter().for_each(|describe| describe(&mut page));
        page.text
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Registry")
    }
}

// === impl Page ===

impl Page {
    /// A metric of one value. `help` is one line.
    pub fn value(&mut self, sort: Sort, name: &str, help: &str, value: u64) {
        self.values(sort, name, help, "", [("", value)]);
    }

    /// A metric of several values, each under its own text of `label`; without a label where that
    /// is empty.
    pub fn values<'v>(
        &mut self,
        sort: Sort,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'v str, u64)>,
    ) {
        self.head(sort, name, help);
        for (text, value) in values {
            let labels: &[_] = if label.is_empty() { &[] } else { &[(label, text)] };
            self.sample(name, labels, value);
        }
    }

    /// Begins a metric; its samples follow.
    pub fn head(&mut self, sort: Sort, name: &str, help: &str) {
        let sort = match sort {
            Sort::Counter => "counter",
            Sort::Gauge => "gauge",
        };
        // An empty line between two metrics, as the Unleash Proxy writes them.
        let gap = if self.text.is_empty() { "" } else { "\n" };
        // Writing to a text cannot fail.
        let _ = write!(self.text, "{gap}# HELP {name} {help}\n# TYPE {name} {sort}\n");
    }

    /// One value of the metric begun last. Labels are texts of ours: names of flags, tokens or
    /// contexts are never among them.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        self.text.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let before = if at == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{before}{label}=\"{text}\"");
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{end} {value}");
    }
}

/// Describes this build.
pub fn describe_build(page: &mut Page) {
    page.head(Sort::Gauge, "offleash_build_info", "The build that runs. Always 1");
    page.sample("offleash_build_info", &[("version", VERSION)], 1);
}

// === impl Figure ===

impl Figure {
    /// Adds `count`, where only one thread ever writes.
    pub fn add(&self, count: u64) {
        self.set(self.get().wrapping_add(count));
    }

    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Makes it the current time, in Unix milliseconds.
    pub fn set_to_now(&self) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.set(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_have_help_type_and_samples_and_an_empty_line_between_them() {
        let registry = Registry::new();
        registry.join(|page| page.value(Sort::Gauge, "one", "The first", 1));
        registry.join(|page| {
            page.values(Sort::Counter, "two", "The second", "way", [("up", 2), ("down", 3)]);
            page.head(Sort::Counter, "three", "The third");
            page.sample("three", &[("a", "x"), ("b", "y")], u64::MAX);
        });
        let expected = "# HELP one The first\n# TYPE one gauge\none 1\n\n\
                        # HELP two The second\n# TYPE two counter\n\
                        two{way=\"up\"} 2\ntwo{way=\"down\"} 3\n\n\
                        # HELP three The third\n# TYPE three counter\n\
                        three{a=\"x\",b=\"y\"} 18446744073709551615\n";
        assert_eq!(registry.clone().render(), expected);
    }

    #[test]
    fn a_part_that_panics_does_not_take_the_page_from_those_who_ask_later() {
        let registry = Registry::new();
        let broken = Arc::new(Figure::default());
        let switch = Arc::clone(&broken);
        registry.join(move |page| {
            assert_eq!(switch.get(), 0, "on purpose");
            page.value(Sort::Gauge, "one", "The first", 1);
        });
        broken.set(1);
        let asked = registry.clone();
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| asked.render()));
        assert!(ended.is_err());
        broken.set(0);
        assert!(registry.render().contains("one 1\n"));
    }

    #[test]
    fn a_figure_counts_and_tells_the_time() {
        let figure = Figure::default();
        figure.add(2);
        figure.add(3);
        assert_eq!(figure.get(), 5);
        figure.set_to_now();
        // 2020-01-01.
        assert!(figure.get() > 1_577_836_800_000);
    }
}
