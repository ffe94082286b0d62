//! The timer in process. What it holds is gone after a restart: the sweep finds what is owed in the table.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use ozma_app::ports::{Clock, PortError, Queue, QueueMessage, Timer};

/// The clock is looked at again after this long: while a laptop sleeps the clock goes on and a wait does not.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

const RETRY: Duration = Duration::from_secs(1);

/// One sleeping task for each time and message.
#[derive(Clone)]
pub struct LocalTimer {
    queue: Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
    set: Arc<Mutex<HashSet<(Timestamp, QueueMessage)>>>,
}

impl LocalTimer {
    pub fn new(queue: Arc<dyn Queue>, clock: Arc<dyn Clock>) -> Self {
        Self { queue, clock, set: Arc::default() }
    }

    async fn send_when_due(self, at: Timestamp, message: QueueMessage) {
        while let Ok(wait) = Duration::try_from(at.duration_since(self.clock.now()))
            && !wait.is_zero()
        {
            tokio::time::sleep(wait.min(LONGEST_WAIT)).await;
        }
        self.set.lock().unwrap_or_else(PoisonError::into_inner).remove(&(at, message.clone()));
        while let Err(err) = self.queue.send(message.clone()).await {
            tracing::warn!(error = %err, "a timer could not send its message and tries again");
            tokio::time::sleep(RETRY).await;
        }
    }
}

#[async_trait]
impl Timer for LocalTimer {
    async fn send_at(&self, at: Timestamp, message: QueueMessage) -> Result<(), PortError> {
        if self.set.lock().unwrap_or_else(PoisonError::into_inner).insert((at, message.clone())) {
            tokio::spawn(self.clone().send_when_due(at, message));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::queue::LocalQueue;

    /// A time of day that goes its own way.
    struct Hands(AtomicI64);

    impl Clock for Hands {
        fn now(&self) -> Timestamp {
            Timestamp::from_millisecond(self.0.load(Ordering::Relaxed)).unwrap()
        }

        fn random(&self) -> [u8; 32] {
            [0; 32]
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_of_day_decides_even_if_it_jumps() {
        let (queue, clock) = (Arc::new(LocalQueue::default()), Arc::new(Hands(AtomicI64::new(0))));
        let timer = LocalTimer::new(queue.clone(), clock.clone());
        let at = Timestamp::from_millisecond(3_600_000).unwrap();
        let message = QueueMessage::Tick { team: "a".parse().unwrap() };
        for _ in 0..2 {
            timer.send_at(at, message.clone()).await.unwrap();
        }
        tokio::time::sleep(Duration::from_secs(7200)).await;
        assert!(queue.is_empty(), "the process waited, the clock stood still");
        clock.0.store(3_600_000, Ordering::Relaxed);
        tokio::time::sleep(LONGEST_WAIT).await;
        assert_eq!(queue.len(), 1);
        assert_eq!(queue.receive().await, message);
        timer.send_at(at, message.clone()).await.unwrap();
        assert_eq!(queue.receive().await, message, "what is past is due");
    }
}
