//! How sync steps back behind the workers.
//!
//! A new payload takes milliseconds of a core to read and compile. Nobody waits for it, while every
//! request that finds its worker off the core does (`docs/adr/0006-sync-steps-back.md`).

/// How many steps of niceness the thread is behind the workers: it has about a tenth of the share
/// of a core that each of theirs has, and all that they leave.
#[cfg(target_os = "linux")]
const STEPS: i32 = 10;

/// Lets every thread of the process that asks for a core go before the calling one.
///
/// For where nothing is served yet this is too early: what everybody waits for is not to wait. Does
/// nothing where threads have no priority of their own, as on anything but Linux, and where the
/// system forbids it: things only take their turns then.
#[cfg(target_os = "linux")]
pub(super) fn step_back() {
    use rustix::{
        process::{getpriority_process, setpriority_process},
        thread::gettid,
    };

    // A thread's number where a process's is meant: to Linux, either is a task.
    let thread = Some(gettid());
    // Relative to what the process was given. The system caps it at the least there is.
    let lowered = getpriority_process(thread)
        .and_then(|nice| setpriority_process(thread, nice.saturating_add(STEPS)));
    match lowered {
        Ok(()) => tracing::debug!("sync lets the workers go first from now on"),
        Err(err) => tracing::debug!("sync cannot let the workers go first: {err}"),
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn step_back() {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::{process::getpriority_process, thread::gettid};

    use super::*;

    #[test]
    fn the_thread_that_steps_back_does_so_alone() {
        let own = gettid();
        let before = getpriority_process(Some(own)).unwrap();
        let after = std::thread::spawn(|| {
            step_back();
            getpriority_process(Some(gettid())).unwrap()
        });
        assert_eq!(after.join().unwrap(), (before + STEPS).min(19));
        assert_eq!(getpriority_process(Some(own)).unwrap(), before);
    }
}
