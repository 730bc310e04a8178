//! The rules. Each names every offence of one source.

use crate::source::Source;

/// Whom each part of the house may name. A part that is not listed may name everybody: `main.rs`
/// and `lib.rs` put the house together. `sync::Handle` means that and nothing else of `sync`.
const ARROWS: [(&str, &[&str]); 10] = [
    ("engine", &["engine"]),
    ("token", &["engine", "token"]),
    ("config", &["cli", "config", "demo", "engine", "telemetry", "token"]),
    ("snapshot", &["engine", "snapshot", "token"]),
    ("upstream", &["config", "engine", "telemetry", "token", "upstream"]),
    ("store", &["config", "engine", "store", "telemetry", "token"]),
    ("telemetry", &["config", "engine", "telemetry", "token"]),
    ("usage", &["config", "engine", "telemetry", "token", "upstream", "usage"]),
    (
        "http",
        &["config", "engine", "http", "snapshot", "sync::Handle", "telemetry", "token", "usage"],
    ),
    (
        "sync",
        &[
            "config",
            "engine",
            "snapshot",
            "store",
            "sync",
            "telemetry",
            "token",
            "upstream",
            "usage",
        ],
    ),
];

/// Paths that an engine without I/O, clock, locks, threads or logs has no use for. A path's parent
/// offends too: who imports `std::time` can say `time::Instant`.
const IMPURE: [&str; 24] = [
    "actix",
    "actix_http",
    "actix_rt",
    "actix_web",
    "arc_swap",
    "awc",
    "chrono::Local::now",
    "chrono::Utc::now",
    "dashmap",
    "std::cell::LazyCell",
    "std::env",
    "std::fs",
    "std::io",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::ToSocketAddrs",
    "std::net::UdpSocket",
    "std::process",
    "std::sync::atomic",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "tokio",
    "tracing",
];
/// `std::sync::…` that waits or hides a global.
const LOCKS: [&str; 8] =
    ["Barrier", "Condvar", "LazyLock", "Mutex", "Once", "OnceLock", "RwLock", "mpsc"];
/// Words that are impure wherever they stand.
const IMPURE_WORDS: [&str; 9] = [
    "async",
    "await",
    "dbg",
    "eprint",
    "eprintln",
    "print",
    "println",
    "thread_local",
    "lazy_static",
];

/// Constructors of actix-web whose status is 400 or more.
const ERROR_RESPONSES: [&str; 24] = [
    "BadGateway",
    "BadRequest",
    "Conflict",
    "ExpectationFailed",
    "FailedDependency",
    "Forbidden",
    "GatewayTimeout",
    "Gone",
    "InternalServerError",
    "LengthRequired",
    "Locked",
    "MethodNotAllowed",
    "NotAcceptable",
    "NotFound",
    "NotImplemented",
    "PayloadTooLarge",
    "PreconditionFailed",
    "RangeNotSatisfiable",
    "RequestTimeout",
    "ServiceUnavailable",
    "TooManyRequests",
    "Unauthorized",
    "UnprocessableEntity",
    "UnsupportedMediaType",
];
/// Constants of `StatusCode` below 400: every other one is an error's.
const FINE_STATUSES: [&str; 21] = [
    "CONTINUE",
    "SWITCHING_PROTOCOLS",
    "PROCESSING",
    "OK",
    "CREATED",
    "ACCEPTED",
    "NON_AUTHORITATIVE_INFORMATION",
    "NO_CONTENT",
    "RESET_CONTENT",
    "PARTIAL_CONTENT",
    "MULTI_STATUS",
    "ALREADY_REPORTED",
    "IM_USED",
    "MULTIPLE_CHOICES",
    "MOVED_PERMANENTLY",
    "FOUND",
    "SEE_OTHER",
    "NOT_MODIFIED",
    "USE_PROXY",
    "TEMPORARY_REDIRECT",
    "PERMANENT_REDIRECT",
];

const LINES: usize = 400;
/// How a module's doc says why its file is long.
const EXCUSE: &str = "One file because";

/// Nobody names a part of the house that is not below it.
pub(crate) fn arrows(source: &Source) -> Vec<String> {
    let Some((_, allowed)) = ARROWS.iter().find(|(house, _)| *house == source.house()) else {
        return Vec::new();
    };
    if source.is_test() {
        return Vec::new();
    }
    let named = source.paths.iter().filter_map(|path| path.strip_prefix("crate::"));
    let is_allowed = |path: &&str| {
        allowed.iter().any(|allowed| {
            path.strip_prefix(allowed).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        })
    };
    named
        .filter(|path| !is_allowed(path))
        .map(|path| format!("src/{}: names `crate::{path}`", source.path))
        .collect()
}

/// The engine has no I/O, async, clock, globals, locks or logs.
pub(crate) fn purity(source: &Source) -> Vec<String> {
    if source.house() != "engine" || source.is_test() {
        return Vec::new();
    }
    let is_impure = |path: &&String| {
        let is_below = |low: &str, high: &str| {
            low.strip_prefix(high).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        let opens_too_much = |impure: &str| {
            matches!(path.as_str(), "std" | "std::time" | "std::net" | "std::sync")
                && is_below(impure, path)
        };
        let lock = path.strip_prefix("std::sync::").and_then(|rest| rest.split("::").next());
        let is_lock = lock.is_some_and(|name| LOCKS.contains(&name) || name == "*");
        let calls_a_clock = path.ends_with("Utc::now") || path.ends_with("Local::now");
        is_lock
            || calls_a_clock
            || IMPURE.iter().any(|impure| is_below(path, impure) || opens_too_much(impure))
    };
    let paths = source.paths.iter().filter(is_impure).map(|path| format!("names `{path}`"));
    let words: Vec<&str> = source.words().collect();
    let statics = words.windows(2).filter(|pair| pair == &["static", "mut"]);
    let statics = statics.map(|_| "has a `static mut`".to_owned());
    let impure = words.iter().filter(|word| IMPURE_WORDS.contains(word));
    let impure = impure.map(|word| format!("says `{word}`"));
    let offences = paths.chain(statics).chain(impure);
    offences.map(|offence| format!("src/{}: {offence}", source.path)).collect()
}

/// Who holds the publisher can replace what every worker answers from.
pub(crate) fn publisher(source: &Source) -> Vec<String> {
    let may = matches!(source.house(), "snapshot" | "sync") || source.is_test();
    if may || !source.words().any(|word| word == "Publisher") {
        return Vec::new();
    }
    vec![format!("src/{}: names the `Publisher`", source.path)]
}

/// In `http` only `error.rs` names a status of 400 or more, or a number for one.
pub(crate) fn statuses(source: &Source) -> Vec<String> {
    let is_elsewhere = source.house() != "http" || source.path == "http/error.rs";
    if is_elsewhere || source.is_test() {
        return Vec::new();
    }
    let is_error = |path: &&String| {
        let mut parts = path.rsplit("::");
        let (name, of) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let is_constant = name.len() > 1
            && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
            && STATUSES.contains(&name);
        let is_response = of.starts_with("HttpResponse") && ERROR_RESPONSES.contains(&name);
        let is_wrapper = name.strip_prefix("Error").is_some_and(|n| ERROR_RESPONSES.contains(&n));
        let is_other =
            of == "StatusCode" && name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        is_constant || is_response || is_wrapper || (is_other && !FINE_STATUSES.contains(&name))
    };
    let named = source.paths.iter().filter(is_error).map(|path| format!("chooses `{path}`"));
    let code: String = source.code.chars().filter(|c| !c.is_whitespace()).collect();
    let numbers = code.match_indices("from_u16(").filter_map(|(at, call)| {
        let argument = &code[at + call.len()..];
        argument.starts_with(['4', '5']).then(|| "makes a status from a number".to_owned())
    });
    named.chain(numbers).map(|offence| format!("src/{}: {offence}", source.path)).collect()
}

/// Constants of 400 or more, under whatever name `StatusCode` goes.
const STATUSES: [&str; 16] = [
    "BAD_REQUEST",
    "UNAUTHORIZED",
    "FORBIDDEN",
    "NOT_FOUND",
    "METHOD_NOT_ALLOWED",
    "NOT_ACCEPTABLE",
    "REQUEST_TIMEOUT",
    "CONFLICT",
    "PAYLOAD_TOO_LARGE",
    "UNSUPPORTED_MEDIA_TYPE",
    "UNPROCESSABLE_ENTITY",
    "TOO_MANY_REQUESTS",
    "INTERNAL_SERVER_ERROR",
    "NOT_IMPLEMENTED",
    "BAD_GATEWAY",
    "SERVICE_UNAVAILABLE",
];

/// A file has at most [`LINES`] lines beside its tests, or says why.
pub(crate) fn length(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count() - test_lines(&source.text);
    let doc = source.text.lines().take_while(|line| line.starts_with("//!"));
    let is_excused = doc.into_iter().any(|line| line.contains(EXCUSE));
    if lines <= LINES || is_excused || source.is_test() {
        return Vec::new();
    }
    vec![format!("src/{}: {lines} lines, and no \"{EXCUSE} …\" in its doc", source.path)]
}

/// Lines from `#[cfg(test)]` to the end of the module it marks; tests stand last in a file.
fn test_lines(text: &str) -> usize {
    let before = text.lines().take_while(|line| line.trim() != "#[cfg(test)]").count();
    let rest: Vec<&str> = text.lines().skip(before).collect();
    match rest.get(1) {
        Some(module) if module.contains('{') => {
            rest.iter().position(|line| *line == "}").map_or(rest.len(), |end| end + 1)
        }
        _ => rest.len().min(2),
    }
}

/// No `mod.rs`, and no name that could hold anything.
pub(crate) fn names(source: &Source) -> Vec<String> {
    let empty = ["mod", "util", "utils", "helper", "helpers", "common", "misc"];
    let parts = source.path.split('/').map(|part| part.strip_suffix(".rs").unwrap_or(part));
    let bad = parts.filter(|part| empty.contains(part));
    bad.map(|part| format!("src/{}: `{part}` says nothing", source.path)).collect()
}
