//! When a connection has waited long enough, though nothing comes.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use actix_rt::time::{Instant, Sleep, sleep};
use actix_server::GracefulShutdownSignal;
use futures_util::future::LocalBoxFuture;

use super::End;

/// An idle connection is looked at this often in the time it is kept for, and may be kept longer by
/// one such step: the clock is not read for every request.
const STEPS: u32 = 4;
/// A part of a request may wait for the rest this long, and no longer than the settings allow.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) struct Times {
    /// A connection between two requests.
    pub(in crate::http) keep_alive: Duration,
    /// The first byte of the first request.
    pub(in crate::http) head_within: Duration,
    /// The rest of a request that has begun, until actix-http waits for it.
    patience: Duration,
}

/// What wakes a connection beside what is sent over it.
pub(super) struct Watch {
    sleep: Pin<Box<Sleep>>,
    stopping: LocalBoxFuture<'static, ()>,
    /// Whether both know whom to wake.
    is_armed: bool,
    /// Whether anything ever came.
    is_in_use: bool,
    /// Whether anything came since the last look.
    was_asked: bool,
    /// Looks at which nothing had come, one after another.
    idle: u32,
    /// Whether a part of a request is waited for, so that the sleep is for the rest.
    is_impatient: bool,
}

// === impl Times ===

impl Times {
    /// `body_within`: how long a body may take.
    pub(in crate::http) fn new(
        keep_alive: Duration,
        head_within: Duration,
        body_within: Duration,
    ) -> Self {
        let patience = PATIENCE.min(head_within / 4).min(body_within / 4);
        Self { keep_alive, head_within, patience }
    }

    /// How long actix-http may wait for a head after we did.
    pub(in crate::http) fn head_left(&self) -> Duration {
        self.head_within - self.patience
    }
}

// === impl Watch ===

impl Watch {
    pub(super) fn new(times: &Times, stopping: GracefulShutdownSignal) -> Self {
        Self {
            sleep: Box::pin(sleep(times.head_within)),
            stopping: Box::pin(async move { stopping.notified().await }),
            is_armed: false,
            is_in_use: false,
            was_asked: false,
            idle: 0,
            is_impatient: false,
        }
    }

    /// Notes that something came.
    pub(super) fn asked(&mut self, times: &Times) {
        self.was_asked = true;
        if !self.is_in_use {
            self.is_in_use = true;
            self.wake_in(times.keep_alive / STEPS);
        }
    }

    /// How the connection ends, if its time is over. `has_part`: a part of a request is here.
    /// `has_read`: something came since the task was woken, so that it was not we who woke it.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        times: &Times,
        has_part: bool,
        has_read: bool,
    ) -> Poll<End> {
        if has_part && !self.is_impatient {
            self.wake_in(times.patience);
        }
        self.is_impatient = has_part;
        if self.is_armed && has_read {
            return Poll::Pending;
        }
        self.is_armed = true;
        if self.stopping.as_mut().poll(cx).is_ready() {
            return Poll::Ready(if has_part { End::HandOver } else { End::Close });
        }
        while self.sleep.as_mut().poll(cx).is_ready() {
            if has_part {
                return Poll::Ready(End::HandOver);
            }
            self.idle = if std::mem::take(&mut self.was_asked) { 0 } else { self.idle + 1 };
            if self.idle >= STEPS || !self.is_in_use {
                return Poll::Ready(End::Close);
            }
            self.wake_in(times.keep_alive / STEPS);
        }
        Poll::Pending
    }

    fn wake_in(&mut self, duration: Duration) {
        self.sleep.as_mut().reset(Instant::now() + duration);
        self.is_armed = false;
    }
}
