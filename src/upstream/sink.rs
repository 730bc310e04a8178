//! Where the body of an answer goes, and whose the time is that this takes.

use std::{
    cell::Cell,
    pin::pin,
    time::{Duration, Instant},
};

/// Takes a body, piece by piece.
pub trait Sink {
    /// As many bytes come, about.
    fn expect(&mut self, bytes: usize);

    fn push(&mut self, piece: &[u8]);
}

/// A sink that adds up how long it takes what it is given.
pub(super) struct Timed<'s> {
    sink: &'s mut dyn Sink,
    taken: &'s Cell<Duration>,
}

impl Sink for Vec<u8> {
    fn expect(&mut self, bytes: usize) {
        self.reserve_exact(bytes);
    }

    fn push(&mut self, piece: &[u8]) {
        self.extend_from_slice(piece);
    }
}

// === impl Timed ===

impl<'s> Timed<'s> {
    pub(super) fn new(sink: &'s mut dyn Sink, taken: &'s Cell<Duration>) -> Self {
        Self { sink, taken }
    }
}

impl Sink for Timed<'_> {
    fn expect(&mut self, bytes: usize) {
        self.sink.expect(bytes);
    }

    fn push(&mut self, piece: &[u8]) {
        let began = Instant::now();
        self.sink.push(piece);
        self.taken.set(self.taken.get() + began.elapsed());
    }
}

/// What becomes of `answer` within `limit`, to which is added what is `taken` meanwhile: a body that is
/// slow to be read, as on a core that is busy answering, is not late.
///
/// Returns `None` where it takes longer.
pub(super) async fn within<T>(
    limit: Duration,
    taken: &Cell<Duration>,
    answer: impl Future<Output = T>,
) -> Option<T> {
    let began = Instant::now();
    let mut answer = pin!(answer);
    loop {
        let left = (limit + taken.get()).saturating_sub(began.elapsed());
        if let Ok(answer) = actix_rt::time::timeout(left, answer.as_mut()).await {
            return Some(answer);
        }
        if began.elapsed() >= limit + taken.get() {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, thread};

    use super::*;

    /// Takes its time.
    struct Slow(Duration);

    impl Sink for Slow {
        fn expect(&mut self, _: usize) {}

        fn push(&mut self, _: &[u8]) {
            thread::sleep(self.0);
        }
    }

    #[actix_rt::test]
    async fn what_a_body_takes_of_us_is_not_counted_against_upstream() {
        let taken = Cell::new(Duration::ZERO);
        let (limit, slow) = (Duration::from_secs(1), Duration::from_millis(1_200));
        let answer = async {
            let mut sink = Slow(slow);
            Timed::new(&mut sink, &taken).push(b"piece");
            // The rest is on its way yet.
            actix_rt::time::sleep(Duration::from_millis(20)).await;
            7
        };
        assert_eq!(within(limit, &taken, answer).await, Some(7));
        assert!(taken.get() >= slow);
    }

    #[actix_rt::test]
    async fn what_does_not_come_is_waited_for_no_longer_than_that() {
        let taken = Cell::new(Duration::from_millis(30));
        let began = Instant::now();
        let answer = within(Duration::from_millis(20), &taken, pending::<()>()).await;
        assert_eq!(answer, None);
        assert!(began.elapsed() >= Duration::from_millis(50));
    }
}
