//! What every implementation of the port `Timer` must do.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use ozma_app::ports::{Clock, QueueMessage, Timer};
use tokio::sync::mpsc::UnboundedReceiver;

use super::{all_come, next, tick};

pub struct TimerUnderTest {
    pub timer: Arc<dyn Timer>,
    pub clock: Arc<dyn Clock>,
    /// What the consumer of the timer's queue gets.
    pub received: UnboundedReceiver<QueueMessage>,
    /// How much later "later" is: above what the engine rounds to.
    pub step: SignedDuration,
}

/// Delivers at least once, not before the time.
pub async fn timer_conforms(make: impl AsyncFn() -> TimerUnderTest) {
    what_is_due_comes_and_not_before(make().await).await;
    what_was_due_in_the_past_comes(make().await).await;
    the_same_twice_comes_at_least_once(make().await).await;
}

async fn what_is_due_comes_and_not_before(mut world: TimerUnderTest) {
    let start = world.clock.now();
    let mut due: Vec<_> =
        [(3, "c"), (1, "a"), (2, "b")].map(|(steps, name)| (start + world.step * steps, tick(name))).to_vec();
    for (at, message) in &due {
        world.timer.send_at(*at, message.clone()).await.expect("sets");
    }
    while !due.is_empty() {
        let message = next(&mut world.received).await;
        let now = world.clock.now();
        due.retain(|(at, expected)| {
            assert!(*expected != message || now >= *at, "{message:?} came at {now}, before {at}");
            *expected != message
        });
    }
}

async fn what_was_due_in_the_past_comes(mut world: TimerUnderTest) {
    let (now, long_ago) = (world.clock.now(), Timestamp::UNIX_EPOCH);
    world.timer.send_at(now, tick("now")).await.expect("sets");
    world.timer.send_at(long_ago, tick("past")).await.expect("sets");
    all_come(&mut world.received, vec![tick("now"), tick("past")]).await;
}

async fn the_same_twice_comes_at_least_once(mut world: TimerUnderTest) {
    let at = world.clock.now() + world.step;
    for _ in 0..2 {
        world.timer.send_at(at, tick("a")).await.expect("sets");
    }
    assert_eq!(next(&mut world.received).await, tick("a"));
}
