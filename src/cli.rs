//! The command line, as typed: which command, which flags, nothing resolved.
//!
//! Every value is kept as text; [`crate::config`] decides what it means, so that a flag and its
//! variable are read by the same code and every problem is reported at once. The flags are those of
//! Unleash Edge (unleash-edge.md section 2). They may stand before or after the subcommand.

use std::{ffi::OsString, process::ExitCode};

use clap::{
    Arg, ArgMatches, CommandFactory, FromArgMatches,
    error::{ContextKind, ErrorKind},
    parser::ValueSource,
};

use crate::{
    config::{Env, Machine, Problems, Resolved, edge_args, proxy_env},
    health::{self, Question, Targets},
    token::Token,
};

/// The exit code of a configuration that cannot be used (`EX_USAGE`).
pub const EXIT_USAGE: u8 = 64;

/// What `--name` alone says, where `--name=false` says the opposite.
const ON: &str = "true";

/// Flags of Unleash Edge that take a value and do nothing here: dead there too, or not served yet.
/// [`crate::config::edge_args`] knows which of them deserve a word.
const OTHER_VALUES: &[&str] = &[
    "allow-list",
    "deny-list",
    "client-id",
    "edge-request-timeout",
    "edge-keepalive-timeout",
    "sentry-dsn",
    "sentry-tracing-rate",
    "datadog-url",
    "otel-exporter-otlp-endpoint",
    "otel-exporter-otlp-protocol",
    "token-revalidation-interval-seconds",
    "pkcs8-client-certificate-file",
    "pkcs8-client-key-file",
    "pkcs12-identity-file",
    "pkcs12-passphrase",
    "pem-cert-file",
    "client-keepalive-timeout",
    "redis-url",
    "redis-mode",
    "redis-host",
    "redis-port",
    "redis-username",
    "redis-password",
    "redis-scheme",
    "redis-read-connection-timeout-milliseconds",
    "redis-write-connection-timeout-milliseconds",
    "s3-bucket-name",
    "prometheus-remote-write-url",
    "prometheus-push-interval",
    "prometheus-username",
    "prometheus-password",
    "prometheus-user-id",
    "hostname",
    "ec2-instance-id",
    "unleash-client-secret",
    "desired-environments",
    "desired-projects",
];

/// The one of them that stands only after `edge`.
const BACKUP_FOLDER: &str = "backup-folder";

/// The same for switches.
const OTHER_SWITCHES: &[&str] = &[
    "redirect-http-to-https",
    "disable-metrics-batch-endpoint",
    "disable-metrics-endpoint",
    "disable-features-endpoint",
    "disable-tokens-endpoint",
    "disable-instance-data-endpoint",
    "sentry-debug",
    "sentry-enable-logs",
    "strict",
    "dynamic",
    "redis-secure",
    "s3-force-path-style",
    "streaming",
    "delta",
    "consumption",
];

/// What was typed.
#[derive(Debug, Default, clap::Parser)]
#[command(
    name = "offleash",
    version,
    about = "The open edge proxy for Unleash feature flags.",
    after_help = "Without a command, Offleash reads the Unleash Proxy's variables (UNLEASH_URL, \
                  UNLEASH_API_TOKEN, UNLEASH_PROXY_CLIENT_KEYS, ...) from the environment and \
                  listens on port 3000.\nEvery flag of `edge` and `offline` has a variable: its \
                  name in upper case, such as UPSTREAM_URL for --upstream-url."
)]
pub struct Args {
    #[command(flatten)]
    pub server: ServerArgs,
    /// `-p` before the command. After `edge` the same letter means `--pretrusted-tokens`.
    #[arg(short = 'p', id = "port-before", value_name = "PORT", hide = true)]
    pub port_before: Option<String>,
    /// Flags that do nothing here: name and value. Some of the values are passwords.
    #[arg(skip)]
    pub others: Vec<(&'static str, Token)>,
    /// The names of the flags that stand on the command line without a command.
    #[arg(skip)]
    pub stray: Vec<String>,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do. `None` serves in the Unleash Proxy's dialect.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Serves the flags of an Unleash server, in Unleash Edge's dialect.
    Edge(EdgeArgs),
    /// Serves the flags of a file.
    Offline(OfflineArgs),
    /// Serves the flags that ship inside the binary, on loopback, and says what to try.
    Demo,
    /// Asks a running Offleash whether it is alive: exit code 0 or 1.
    Health(AskArgs),
    /// Asks a running Offleash whether it can evaluate: exit code 0 or 1.
    Ready(AskArgs),
}

/// How to listen and how to answer: for every command that serves.
#[derive(Debug, Default, clap::Args)]
pub struct ServerArgs {
    /// Port to listen on [default: 3063]
    #[arg(long, global = true)]
    pub port: Option<String>,
    /// IP address to listen on [default: every address]
    #[arg(long, short, global = true)]
    pub interface: Option<String>,
    /// Prefix of every path
    #[arg(long, global = true)]
    pub base_path: Option<String>,
    /// Threads that serve requests [default: one per core]
    #[arg(long, short, global = true)]
    pub workers: Option<String>,
    /// Serves with TLS, and nothing without
    #[arg(long, global = true, num_args = 0..=1, require_equals = true,
          default_missing_value = ON)]
    pub tls_enable: Option<String>,
    /// PEM file of the certificate to show, and of those that vouch for it
    #[arg(long, global = true)]
    pub tls_server_cert: Option<String>,
    /// PEM file of its key
    #[arg(long, global = true)]
    pub tls_server_key: Option<String>,
    /// Port to listen on with TLS [default: 3043]
    #[arg(long, global = true)]
    pub tls_server_port: Option<String>,
    /// Name of this process upstream [default: unleash-edge]
    #[arg(long, short, global = true)]
    pub app_name: Option<String>,
    /// Name of this instance upstream
    #[arg(long, global = true)]
    pub instance_id: Option<String>,
    /// Takes the client's address from the forwarding headers
    #[arg(long, global = true, num_args = 0..=1, require_equals = true,
          default_missing_value = ON)]
    pub trust_proxy: Option<String>,
    /// Proxies in front of this process: addresses or networks, comma separated
    #[arg(long, global = true)]
    pub proxy_trusted_servers: Option<String>,
    /// Answers 404 on the routes that list every flag
    #[arg(long, global = true, num_args = 0..=1, require_equals = true,
          default_missing_value = ON)]
    pub disable_all_endpoint: Option<String>,
    /// plain, json or pretty [default: plain]
    #[arg(long, short, global = true)]
    pub log_format: Option<String>,
    /// Header that carries callers' tokens [default: authorization]
    #[arg(long, global = true)]
    pub edge_auth_header: Option<String>,
    /// Header that carries our token upstream [default: authorization]
    #[arg(long, global = true)]
    pub upstream_auth_header: Option<String>,
    /// Both of the above
    #[arg(long, global = true)]
    pub token_header: Option<String>,
    /// Takes upstream's certificate whatever it says
    #[arg(long, short, global = true, num_args = 0..=1, require_equals = true,
          default_missing_value = ON)]
    pub skip_ssl_verification: Option<String>,
    /// PEM file of certificates to trust upstream, on top of the machine's
    #[arg(long, global = true)]
    pub upstream_certificate_file: Option<String>,
    /// Origins whose pages may read answers, comma separated [default: *]
    #[arg(long, global = true)]
    pub cors_origin: Option<String>,
    /// Request headers allowed to browsers [default: those asked for]
    #[arg(long, global = true)]
    pub cors_allowed_headers: Option<String>,
    /// Response headers shown to browsers' scripts [default: *]
    #[arg(long, global = true)]
    pub cors_exposed_headers: Option<String>,
    /// Methods allowed to browsers [default: *]
    #[arg(long, global = true)]
    pub cors_methods: Option<String>,
    /// Seconds for which a browser may remember a preflight [default: 172800]
    #[arg(long, global = true)]
    pub cors_max_age: Option<String>,
}

/// Which Unleash to ask, and how.
#[derive(Debug, Default, clap::Args)]
pub struct EdgeArgs {
    /// Unleash's URL, without `/api`
    #[arg(long, short)]
    pub upstream_url: Option<String>,
    /// Backend tokens to fetch flags with, comma separated
    #[arg(long, short, value_parser = secret)]
    pub tokens: Option<Token>,
    /// Frontend tokens to trust without asking upstream, comma separated
    #[arg(long, short, value_parser = secret)]
    pub pretrusted_tokens: Option<Token>,
    /// Seconds between two polls [default: 15]
    #[arg(long, short)]
    pub features_refresh_interval_seconds: Option<String>,
    /// Seconds between two usage reports [default: 60]
    #[arg(long, short)]
    pub metrics_interval_seconds: Option<String>,
    /// Seconds to connect upstream [default: 5]
    #[arg(long)]
    pub upstream_request_timeout: Option<String>,
    /// Seconds for an answer from upstream [default: 5]
    #[arg(long)]
    pub upstream_socket_timeout: Option<String>,
    /// Headers to send upstream: `Name: value`, comma separated
    #[arg(long, short = 'H', value_parser = secret)]
    pub custom_client_headers: Option<Token>,
}

/// Which file to serve, and to whom.
#[derive(Debug, Default, clap::Args)]
pub struct OfflineArgs {
    /// A features payload, as `/api/client/features` sends it
    #[arg(long, short)]
    pub bootstrap_file: Option<String>,
    /// Tokens of backends, comma separated
    #[arg(long, short, value_parser = secret)]
    pub client_tokens: Option<Token>,
    /// Tokens of frontends, comma separated
    #[arg(long, short, value_parser = secret, visible_alias = "tokens")]
    pub frontend_tokens: Option<Token>,
    /// Seconds between two looks at the file; 0 never looks again [default: 0]
    #[arg(long, short)]
    pub reload_interval: Option<String>,
}

/// Whom to ask for its health.
#[derive(Debug, Default, clap::Args)]
pub struct AskArgs {
    /// Where Offleash listens, with its base path
    #[arg(long, short)]
    pub edge_url: Option<String>,
    /// PEM file of certificates to trust, on top of the machine's
    #[arg(long, short)]
    pub ca_certificate_file: Option<String>,
}

/// What a process does, ready to be done.
#[derive(Debug)]
pub enum Task {
    Serve(Box<Resolved>),
    /// Asks at these URLs in turn.
    Ask(Question, Targets),
}

/// Decides what to do from what was typed and from the variables. The command chooses the dialect;
/// the variables of the other one are not read.
///
/// # Errors
///
/// Every problem of the configuration at once.
pub fn resolve(args: &Args, env: Env<'_>, machine: &Machine) -> Result<Task, Problems> {
    let resolved = match &args.command {
        None if args.stray.is_empty() => proxy_env::resolve(env, machine)?,
        None => {
            let stray = args.stray.iter().map(|flag| {
                format!("`{flag}` belongs to a command; without one only variables are read")
            });
            return Err(Problems(stray.collect()));
        }
        Some(Command::Edge(edge)) => edge_args::edge(args, edge, env, machine)?,
        Some(Command::Offline(offline)) => edge_args::offline(args, offline, env, machine)?,
        Some(Command::Demo) => edge_args::demo(args, env, machine)?,
        Some(Command::Health(ask)) => return ask.task(Question::Health, env),
        Some(Command::Ready(ask)) => return ask.task(Question::Ready, env),
    };
    Ok(Task::Serve(Box::new(resolved)))
}

/// Reads a command line; the first argument is the program's own name.
///
/// # Errors
///
/// The exit code to leave with, after help, the version or what is wrong has been printed.
pub fn parse(typed: impl IntoIterator<Item = OsString>) -> Result<Args, ExitCode> {
    try_parse(typed).map_err(|err| {
        match err.use_stderr() {
            // Printing to a closed pipe is nobody's problem.
            false => drop(err.print()),
            true => eprintln!("{}", without_secrets(&err)),
        }
        ExitCode::from(if err.use_stderr() { EXIT_USAGE } else { 0 })
    })
}

fn try_parse(typed: impl IntoIterator<Item = OsString>) -> Result<Args, clap::Error> {
    let matches = command().try_get_matches_from(typed)?;
    let mut args = Args::from_arg_matches(&matches)?;
    let deepest = matches.subcommand().map_or(&matches, |(_, matches)| matches);
    args.others = others(deepest);
    if args.command.is_none() {
        args.stray = stray(&matches);
    }
    Ok(args)
}

fn command() -> clap::Command {
    let value = OTHER_VALUES.iter().map(|name| other(name).global(true));
    let switch = OTHER_SWITCHES.iter().map(|name| {
        let switch = other(name).num_args(0..=1).require_equals(true).default_missing_value(ON);
        switch.global(true)
    });
    let command = Args::command().args(value.chain(switch));
    // Not for every command: the letter is `--bootstrap-file` after `offline`.
    command.mut_subcommand("edge", |edge| edge.arg(other(BACKUP_FOLDER).short('b')))
}

fn other(name: &'static str) -> Arg {
    Arg::new(name).long(name).hide(true).value_parser(secret)
}

fn others(matches: &ArgMatches) -> Vec<(&'static str, Token)> {
    let names = OTHER_VALUES.iter().chain(OTHER_SWITCHES).chain(&[BACKUP_FOLDER]);
    let typed = |name| matches.try_get_one::<Token>(name).ok().flatten().cloned();
    names.filter_map(|name| Some((*name, typed(name)?))).collect()
}

fn stray(matches: &ArgMatches) -> Vec<String> {
    let command = command();
    let ids = command.get_arguments().map(|arg| arg.get_id().as_str());
    ids.filter(|id| matches.value_source(id) == Some(ValueSource::CommandLine))
        .map(|id| format!("--{}", id.replace('_', "-").trim_end_matches("-before")))
        .collect()
}

/// What clap says, unless it would repeat an argument that may be a secret: a token that slipped out
/// of its flag stands there as a word of its own.
fn without_secrets(err: &clap::Error) -> String {
    let word = err.get(ContextKind::InvalidArg).or(err.get(ContextKind::InvalidSubcommand));
    let repeats = word.is_some_and(|word| !word.to_string().starts_with('-'));
    match err.kind() {
        ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand if repeats => {
            "error: a word on the command line is neither a command nor the value of a flag (it is \
             not shown here, it could be a secret)\n\nFor more information, try '--help'."
                .to_owned()
        }
        _ => err.to_string(),
    }
}

/// A value that must not be printed: whole lists of tokens and headers too.
fn secret(text: &str) -> Result<Token, std::convert::Infallible> {
    Ok(Token::new(text))
}

// === impl AskArgs ===

impl AskArgs {
    fn task(&self, question: Question, env: Env<'_>) -> Result<Task, Problems> {
        let certificates = self.ca_certificate_file.as_deref();
        let targets = health::targets(self.edge_url.as_deref(), certificates, env)?;
        Ok(Task::Ask(question, targets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Args {
        try_parse(line.split_whitespace().map(OsString::from)).unwrap()
    }

    #[test]
    fn the_table_of_flags_has_no_conflicts() {
        command().debug_assert();
    }

    #[test]
    fn flags_may_stand_before_or_after_the_command() {
        for line in [
            "offleash --port 4000 --trust-proxy --streaming edge -u http://h -t a:b.c",
            "offleash edge --port 4000 -u http://h -t a:b.c --trust-proxy --streaming",
            "offleash --port 4000 edge --trust-proxy -u http://h --streaming -t a:b.c",
        ] {
            let args = args(line);
            assert_eq!(args.server.port.as_deref(), Some("4000"), "{line}");
            assert_eq!(args.server.trust_proxy.as_deref(), Some("true"), "{line}");
            assert_eq!(args.others, [("streaming", Token::new("true"))], "{line}");
            let Some(Command::Edge(edge)) = args.command else { panic!("{line}") };
            assert_eq!(edge.upstream_url.as_deref(), Some("http://h"), "{line}");
        }
    }

    #[test]
    fn the_letter_p_means_port_before_the_command_and_pretrusted_tokens_after_it() {
        let args = args("offleash -p 4000 edge -p a:b.c");
        assert_eq!(args.port_before.as_deref(), Some("4000"));
        let Some(Command::Edge(edge)) = args.command else { panic!() };
        assert_eq!(edge.pretrusted_tokens.unwrap().secret(), "a:b.c");
    }

    #[test]
    fn a_letter_means_what_its_command_says() {
        let backup = args("offleash edge -b /data -s");
        let others: Vec<_> = backup.others.iter().map(|(name, _)| *name).collect();
        assert_eq!(others, ["backup-folder"]);
        assert_eq!(backup.server.skip_ssl_verification.as_deref(), Some("true"));
        let Some(Command::Offline(offline)) = args("offleash offline -b f.json").command else {
            panic!()
        };
        assert_eq!(offline.bootstrap_file.as_deref(), Some("f.json"));
    }

    #[test]
    fn a_switch_can_be_switched_off() {
        let args = args("offleash edge --disable-all-endpoint=false --strict --dynamic=false");
        assert_eq!(args.server.disable_all_endpoint.as_deref(), Some("false"));
    }

    #[test]
    fn secrets_print_masked() {
        let line = "offleash edge -t a:b.s3cret -p x:y.s3cret -H k:s3cret";
        assert!(!format!("{:?}", args(line)).contains("s3cret"));
        let line = "offleash offline -b f -c a:b.s3cret --tokens x:y.s3cret";
        assert!(!format!("{:?}", args(line)).contains("s3cret"));
    }

    #[test]
    fn a_token_that_slipped_out_of_its_flag_is_not_repeated() {
        for line in [
            "offleash edge --tokens a:b.c a:b.s3cret",
            "offleash a:b.s3cret",
            "offleash edge --tokenz=a:b.s3cret",
        ] {
            let err = try_parse(line.split_whitespace().map(OsString::from)).unwrap_err();
            let text = without_secrets(&err);
            assert!(!text.contains("s3cret"), "{text}");
            assert!(text.contains("error"), "{text}");
        }
    }

    #[test]
    fn flags_without_a_command_are_a_problem_each() {
        let machine = Machine::of_this_process(&|_| None);
        let args = args("offleash -p 4000 --interface ::1 --redis-url r --strict");
        let problems = resolve(&args, &|_| None, &machine).unwrap_err();
        let mut flags: Vec<_> =
            problems.0.iter().filter_map(|text| text.split('`').nth(1)).collect();
        flags.sort_unstable();
        assert_eq!(flags, ["--interface", "--port", "--redis-url", "--strict"]);
    }

    #[test]
    fn the_command_decides_the_dialect_where_both_sets_of_variables_are_there() {
        let env = |name: &str| {
            let text = match name {
                "UNLEASH_URL" => "http://proxy/api",
                "UNLEASH_API_TOKEN" | "TOKENS" => "*:development.x",
                "UNLEASH_PROXY_CLIENT_KEYS" => "key",
                "UPSTREAM_URL" => "http://edge",
                _ => return None,
            };
            Some(text.to_owned())
        };
        let machine = Machine::of_this_process(&env);
        for (line, port) in [("offleash", 3000), ("offleash edge", 3063), ("offleash demo", 3063)] {
            let Task::Serve(resolved) = resolve(&args(line), &env, &machine).unwrap() else {
                panic!("{line}")
            };
            assert_eq!(resolved.config.server.port, port, "{line}");
        }
    }

    #[test]
    fn a_health_check_needs_no_configuration() {
        let machine = Machine::of_this_process(&|_| None);
        let task = resolve(&args("offleash ready -e http://h:1/b"), &|_| None, &machine).unwrap();
        let Task::Ask(Question::Ready, Targets { urls, .. }) = task else { panic!("{task:?}") };
        assert_eq!(urls, ["http://h:1/b"]);
    }
}
