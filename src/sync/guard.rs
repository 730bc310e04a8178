//! A panic ends the step that it happens in, and nothing else.
//!
//! actix ends an actor that panics and says nothing of it: its thread goes on, its address is dead,
//! and flags would be as old as they are then for ever. Every step of sync's that does more than
//! move a value is therefore run in here; `telemetry` has logged the panic when it comes back.

use std::panic::{AssertUnwindSafe, catch_unwind};

use futures_util::future::FutureExt;

/// Runs `step`. `None`: it panicked.
// What it leaves half done is the caller's to mend: `AssertUnwindSafe` is its word for that.
pub(super) fn guarded<T>(step: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(step)).ok()
}

/// Awaits `future`. `None`: it panicked.
pub(super) async fn guarded_future<T>(future: impl Future<Output = T>) -> Option<T> {
    AssertUnwindSafe(future).catch_unwind().await.ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use actix::{Actor, Context, Handler, Message};

    use super::*;

    /// What a test's actor is to do.
    #[derive(Message)]
    #[rtype(result = "bool")]
    enum Order {
        Panic,
        PanicGuarded,
        Answer,
    }

    struct Fragile;

    impl Actor for Fragile {
        type Context = Context<Self>;
    }

    impl Handler<Order> for Fragile {
        type Result = bool;

        fn handle(&mut self, order: Order, _: &mut Self::Context) -> bool {
            match order {
                Order::Panic => panic!("on purpose"),
                Order::PanicGuarded => guarded(|| panic!("on purpose")).is_some(),
                Order::Answer => true,
            }
        }
    }

    #[actix_rt::test]
    async fn a_panic_outside_ends_the_actor_and_one_inside_does_not() {
        let thread = actix_rt::Arbiter::new().handle();
        let actor = Fragile::start_in_arbiter(&thread, |_| Fragile);
        assert!(!actor.send(Order::PanicGuarded).await.unwrap());
        assert!(actor.send(Order::Answer).await.unwrap(), "it lives");

        assert!(actor.send(Order::Panic).await.is_err());
        while actor.connected() {
            actix_rt::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(thread.alive(), "the thread alone says nothing of its actor");
        thread.stop();
    }

    #[actix_rt::test]
    async fn a_future_may_panic_at_any_poll() {
        let late = async {
            actix_rt::time::sleep(Duration::from_millis(1)).await;
            panic!("on purpose")
        };
        assert_eq!(guarded_future::<()>(late).await, None);
        assert_eq!(guarded_future(async { 7 }).await, Some(7));
    }
}
