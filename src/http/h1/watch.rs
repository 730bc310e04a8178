//! When a connection has waited long enough, though nothing comes.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use actix_rt::time::{Instant, Sleep, sleep};
use actix_server::GracefulShutdownSignal;
use futures_util::future::LocalBoxFuture;
use tokio::task::coop;

use super::End;

/// An idle connection is looked at this often in the time it is kept for, and may be kept longer by
/// one such step: the clock is not read for every request.
const STEPS: u32 = 4;
/// A part of a request may wait for the rest this long, and no longer than the settings allow.
const PATIENCE: Duration = Duration::from_millis(250);

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

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    Request,
    /// A part of a request is here.
    Rest,
    /// The caller has to read before more can be sent.
    Reader,
}

/// What wakes a connection beside what is sent over it.
pub(super) struct Watch {
    sleep: Pin<Box<Sleep>>,
    /// `None` once it was heard: the connection ends with its next answer.
    stopping: Option<LocalBoxFuture<'static, ()>>,
    /// Whether both know whom to wake, unless the sleep is over.
    is_armed: bool,
    /// Whether anything ever came.
    is_in_use: bool,
    /// Whether anything moved since the last look.
    has_moved: bool,
    /// Looks before which nothing had moved, one after another.
    idle: u32,
    /// Whether the sleep is for the rest of a request.
    is_impatient: bool,
    /// Whether it is the last for it, as nobody else waits for it either.
    is_last: bool,
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
            stopping: Some(Box::pin(async move { stopping.notified().await })),
            is_armed: false,
            is_in_use: false,
            has_moved: false,
            idle: 0,
            is_impatient: false,
            is_last: false,
        }
    }

    /// Notes that something came, or went.
    pub(super) fn moved(&mut self, times: &Times) {
        self.has_moved = true;
        if !self.is_in_use {
            self.is_in_use = true;
            self.wake_in(times.keep_alive / STEPS);
        }
    }

    /// Notes that a request was answered: what is here of the next one has only just come.
    pub(super) fn answered(&mut self) {
        self.is_impatient = false;
    }

    /// Whether the server stops, as far as was heard.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.is_none()
    }

    /// How the connection ends, if its time is over.
    ///
    /// `has_read`: something came in this poll, which is why most are made. Nobody else is asked in
    /// those, as whoever woke the task at the same time is asked in the next one; but for the sleep,
    /// which wakes once and can be seen to be over.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        times: &Times,
        waiting: Waiting,
        has_read: bool,
    ) -> Poll<End> {
        let has_part = waiting == Waiting::Rest;
        if has_part && !self.is_impatient {
            self.wake_in(times.patience);
            self.is_last = false;
        }
        self.is_impatient = has_part;
        let ends = self.is_stopping() && waiting == Waiting::Request;
        if !ends && self.is_armed && has_read && !self.sleep.is_elapsed() {
            return Poll::Pending;
        }
        if let Some(stopping) = &mut self.stopping
            && stopping.as_mut().poll(cx).is_ready()
        {
            self.stopping = None;
        }
        if self.is_stopping() && waiting == Waiting::Request {
            return Poll::Ready(End::Close);
        }
        while self.sleep.as_mut().poll(cx).is_ready() {
            if has_part {
                // While the server stops actix-http answers nobody whom it does not know yet.
                if !self.is_stopping() {
                    return Poll::Ready(End::HandOver);
                }
                if self.is_last {
                    return Poll::Ready(End::Close);
                }
                self.wake_in(times.head_left());
                self.is_last = true;
                continue;
            }
            self.idle = if std::mem::take(&mut self.has_moved) { 0 } else { self.idle + 1 };
            if self.idle >= STEPS || !self.is_in_use {
                return Poll::Ready(End::Close);
            }
            self.wake_in(times.keep_alive / STEPS);
        }
        // Without a budget neither was asked, and the task is woken again at once.
        self.is_armed = coop::has_budget_remaining();
        Poll::Pending
    }

    fn wake_in(&mut self, duration: Duration) {
        self.sleep.as_mut().reset(Instant::now() + duration);
        self.is_armed = false;
    }
}
