//! How sync steps back behind the workers.
//!
//! A new payload takes milliseconds of a core to read and compile. Nobody waits for it, while every
//! request that finds its worker off the core does (`docs/adr/0006-sync-steps-back.md`).

use std::{
    cell::Cell,
    thread,
    time::{Duration, Instant},
};

/// How many steps of niceness the thread is behind the workers: it has about a tenth of the share
/// of a core that each of theirs has, and all that they leave.
#[cfg(target_os = "linux")]
const STEPS: i32 = 10;

/// So long a request may find the core taken. The system lets who runs go on for a millisecond or
/// more, however nice, when somebody else wakes up.
const TURN: Duration = Duration::from_micros(100);

thread_local! {
    /// When the calling thread took its turn. `None` for one that goes before nobody.
    static SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Lets every thread of the process that asks for a core go before the calling one: at once where
/// the system knows priorities of threads, and where the calling one [gives way](give_way).
///
/// For where nothing is served yet this is too early: what everybody waits for is not to wait.
pub(super) fn step_back() {
    SINCE.set(Some(Instant::now()));
    lower();
}

/// Lets others have the core, if the calling thread has stepped back and has had a turn of a tenth
/// of a millisecond. Cheap; to be called every few microseconds of work.
pub(super) fn give_way() {
    let Some(since) = SINCE.get() else { return };
    if since.elapsed() >= TURN {
        thread::yield_now();
        SINCE.set(Some(Instant::now()));
    }
}

/// Lowers the thread's priority. Does nothing where threads have none of their own, as on anything
/// but Linux, and where the system forbids it: things only take their turns then.
#[cfg(target_os = "linux")]
fn lower() {
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
fn lower() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_thread_that_steps_back_does_so_alone() {
        use rustix::{process::getpriority_process, thread::gettid};

        let own = gettid();
        let before = getpriority_process(Some(own)).unwrap();
        let after = thread::spawn(|| {
            step_back();
            getpriority_process(Some(gettid())).unwrap()
        });
        assert_eq!(after.join().unwrap(), (before + STEPS).min(19));
        assert_eq!(getpriority_process(Some(own)).unwrap(), before);
    }

    #[test]
    fn way_is_given_once_a_turn_by_who_has_stepped_back() {
        let turns = thread::spawn(|| {
            give_way();
            let before = SINCE.get();
            step_back();
            let first = SINCE.get();
            thread::sleep(TURN);
            give_way();
            (before, first, SINCE.get())
        });
        let (before, first, second) = turns.join().unwrap();
        assert_eq!(before, None, "who has not stepped back takes no turns");
        assert!(second > first, "{first:?} {second:?}");
    }
}
