//! The queue in process. It is empty after a restart: the sweep finds what is owed in the table.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use ozma_app::ports::{PortError, Queue, QueueMessage};
use tokio::sync::Notify;

/// A message that already waits is not kept twice: it tells all that the second would. So the queue holds at most one
/// tick for each team and one completion for each run.
#[derive(Default)]
pub struct LocalQueue {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Default)]
struct Waiting {
    in_order: VecDeque<QueueMessage>,
    all: HashSet<QueueMessage>,
}

impl LocalQueue {
    /// The oldest message, as soon as there is one. From now on the same message can wait again, so that what happens
    /// while this one is handled is not missed. Giving up the wait loses nothing.
    pub async fn receive(&self) -> QueueMessage {
        loop {
            let arrived = self.arrived.notified();
            if let Some(message) = self.take() {
                return message;
            }
            arrived.await;
        }
    }

    pub fn len(&self) -> usize {
        self.waiting().in_order.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn take(&self) -> Option<QueueMessage> {
        let mut waiting = self.waiting();
        let message = waiting.in_order.pop_front()?;
        waiting.all.remove(&message);
        Some(message)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Queue for LocalQueue {
    async fn send(&self, message: QueueMessage) -> Result<(), PortError> {
        let mut waiting = self.waiting();
        if waiting.all.insert(message.clone()) {
            waiting.in_order.push_back(message);
            self.arrived.notify_one();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    fn tick(team: &str) -> QueueMessage {
        QueueMessage::Tick { team: team.parse().unwrap() }
    }

    /// `+a` sends a tick of team a, `-a` receives it.
    async fn check(steps: &str, left: usize) {
        let queue = LocalQueue::default();
        for step in steps.split(' ') {
            let (what, team) = step.split_at(1);
            match what {
                "+" => queue.send(tick(team)).await.unwrap(),
                _ => assert_eq!(queue.receive().await, tick(team), "{steps}"),
            }
        }
        assert_eq!(queue.len(), left, "{steps}");
    }

    #[tokio::test]
    async fn what_waits_waits_once_and_in_order() {
        check("+a +a +b +a", 2).await;
        check("+a +b +a -a -b", 0).await;
        check("+a -a +a", 1).await;
        check("+a +b -a +a -b -a", 0).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_receiver_that_gives_up_leaves_the_message_to_the_next() {
        let queue = Arc::new(LocalQueue::default());
        for _ in 0..3 {
            assert!(tokio::time::timeout(Duration::from_secs(1), queue.receive()).await.is_err());
        }
        let receivers: Vec<_> = (0..2)
            .map(|_| {
                tokio::spawn({
                    let queue = queue.clone();
                    async move { queue.receive().await }
                })
            })
            .collect();
        tokio::task::yield_now().await;
        queue.send(tick("a")).await.unwrap();
        queue.send(tick("b")).await.unwrap();
        let mut received = Vec::new();
        for receiver in receivers {
            received.push(receiver.await.unwrap());
        }
        assert!(received.contains(&tick("a")) && received.contains(&tick("b")));
    }
}
