//! Arguments → configuration → telemetry → run → exit code.

use std::{env, process::ExitCode};

use mimalloc::MiMalloc;
use offleash::{
    Ended, StartError,
    cli::{self, EXIT_USAGE, Task},
    config::{Config, Machine, Resolved, Source},
    demo, health, telemetry,
};
use tracing::{error, warn};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let env = |name: &str| env::var_os(name).map(|text| text.to_string_lossy().into_owned());
    let args = match cli::parse(env::args_os()) {
        Ok(args) => args,
        Err(code) => return code,
    };
    match cli::resolve(&args, &env, &Machine::of_this_process(&env)) {
        Ok(Task::Serve(resolved)) => run(*resolved),
        Ok(Task::Ask(question, targets)) => health::run(question, &targets),
        Err(problems) => {
            eprintln!("error: {problems}");
            ExitCode::from(EXIT_USAGE)
        }
    }
}

fn run(Resolved { config, warnings }: Resolved) -> ExitCode {
    if let Err(err) = telemetry::init(&config.log) {
        eprintln!("error: {err}");
        return ExitCode::from(EXIT_USAGE);
    }
    warnings.iter().for_each(|warning| warn!("{warning}"));
    match actix_rt::System::new().block_on(serve(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Start(err)) => {
            error!("cannot start: {}", telemetry::with_causes(&err));
            ExitCode::FAILURE
        }
        Err(Failure::End(err)) => {
            error!("{}", telemetry::with_causes(&err));
            ExitCode::FAILURE
        }
    }
}

/// Why the process ends with an error.
enum Failure {
    Start(StartError),
    End(Ended),
}

async fn serve(config: Config) -> Result<(), Failure> {
    let is_demo = matches!(config.source, Source::Demo { .. });
    let running = offleash::start(config).await.map_err(Failure::Start)?;
    if is_demo {
        println!("{}", demo::greeting(running.addr()));
    }
    running.wait().await.map_err(Failure::End)
}
