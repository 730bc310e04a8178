//! What the process says of itself: the log, panics, its version.

pub mod prometheus;

use std::{
    any::Any,
    error::Error,
    io::{self, IsTerminal},
    panic,
};

use tracing::{Dispatch, Level, error};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{FilterExt, filter_fn},
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
};

use crate::config::{Log, LogFormat};

/// The version of this build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The target of the few lines that every operator wants: where we listen, that we are ready, that
/// we stop. They are logged at `info` and shown whatever the level, as the Unleash Proxy does with
/// its own (unleash-proxy.md 2.2).
pub const START: &str = "offleash::start";

/// What fails on one connection: whoever sends garbage would fill the log with it, a line of level
/// `ERROR` for each request. Nobody here can mend it, and the sender got an answer.
const CONNECTIONS: &str = "actix_http::h1::dispatcher";

/// The log cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("the log's filter cannot be read")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    #[error("another log is already set up")]
    Taken(#[from] tracing::dispatcher::SetGlobalDefaultError),
}

/// Logs to standard output from now on, panics included: each once, with message and place.
///
/// # Errors
///
/// A filter that cannot be read, or a second call in one process.
pub fn init(log: &Log) -> Result<(), LogError> {
    let ansi = io::stdout().is_terminal();
    tracing::dispatcher::set_global_default(dispatch(log, io::stdout, ansi)?)?;
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        error!(panic.place = %place, "panic at `{place}`: {}", message(info.payload()));
    }));
    Ok(())
}

/// Reads directives in the manner of `RUST_LOG`.
///
/// # Errors
///
/// The reason against them, to stand after the setting's name.
pub fn directives(text: &str) -> Result<String, String> {
    match EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(err) => Err(format!("is `{text}`, which is no filter of a log: {err}")),
    }
}

/// An error and everything under it, in one line.
pub fn with_causes(err: &dyn Error) -> String {
    let mut text = err.to_string();
    let mut cause = err.source();
    while let Some(err) = cause {
        text.push_str(&format!(": {err}"));
        cause = err.source();
    }
    text
}

fn dispatch<W>(log: &Log, writer: W, ansi: bool) -> Result<Dispatch, LogError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder().parse(&log.filter)?;
    let filter = filter.add_directive(format!("{START}=info").parse()?);
    let filter = filter.add_directive(format!("{CONNECTIONS}=off").parse()?);
    // Below `info` the crates under us print what they receive: heads, headers, contexts. Those
    // are in nobody's log, whatever filter was asked for.
    let discreet = filter_fn(|line| {
        line.target().split("::").next() == Some("offleash") || *line.level() <= Level::INFO
    });
    let lines = fmt::layer().with_writer(writer).with_ansi(ansi);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match log.format {
        LogFormat::Plain => lines.boxed(),
        LogFormat::Pretty => lines.pretty().boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let lines = lines.with_filter(filter.and(discreet));
    Ok(Dispatch::new(tracing_subscriber::registry().with(lines)))
}

/// What a panic says, without the text that it happened in.
// A slice taken off a character's boundary ends its message with the whole text, which may be a
// value of a context: "… is not a char boundary; it is inside … of `text`".
fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("no message");
    text.split_once(" of `").map_or(text, |(before, _)| before)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::{debug, info, warn};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, filter: &str, speak: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let log = Log { format, filter: filter.to_owned() };
        let dispatch = dispatch(&log, move || writer.clone(), false).unwrap();
        tracing::dispatcher::with_default(&dispatch, speak);
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_json_line_has_level_and_message_at_its_top() {
        let line = logged(LogFormat::Json, "info", || warn!(flag.name = "x", "flag is off"));
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["message"], "flag is off");
        assert_eq!(line["flag.name"], "x");
    }

    #[test]
    fn the_start_is_told_at_every_level_and_the_rest_only_at_its_own() {
        let text = logged(LogFormat::Plain, "warn", || {
            info!("small talk");
            info!(target: START, "listening");
        });
        assert!(text.contains("listening"), "{text}");
        assert!(!text.contains("small talk"), "{text}");
    }

    #[test]
    fn other_crates_never_speak_below_info() {
        let text = logged(LogFormat::Plain, "trace", || {
            debug!(target: "h2::codec", "authorization: secret");
            debug!(target: "offleash::sync", "polled");
            info!(target: "actix_server", "stopping");
        });
        assert!(!text.contains("secret"), "{text}");
        assert!(text.contains("polled") && text.contains("stopping"), "{text}");
    }

    #[test]
    fn a_malformed_request_is_nothing_to_log() {
        for filter in ["info", "trace", "actix_http=trace,warn"] {
            let text = logged(LogFormat::Plain, filter, || {
                error!(target: "actix_http::h1::dispatcher", "stream error: invalid header");
                error!(target: "actix_http::h1", "something of our own");
            });
            assert!(!text.contains("stream error"), "{filter}: {text}");
            assert!(text.contains("our own"), "{filter}: {text}");
        }
    }

    #[test]
    fn a_filter_that_is_none_is_refused() {
        assert!(directives("offleash=loud").is_err());
        assert_eq!(directives("offleash=debug,warn").as_deref(), Ok("offleash=debug,warn"));
    }

    #[test]
    fn a_panic_in_a_text_does_not_repeat_the_text() {
        let payload = panic::catch_unwind(|| "user-é-42"[..6].len()).unwrap_err();
        let text = message(&*payload);
        assert!(text.contains("boundary") && !text.contains("42"), "{text}");
        assert_eq!(message(&"plain"), "plain");
        assert_eq!(message(&7), "no message");
    }
}
