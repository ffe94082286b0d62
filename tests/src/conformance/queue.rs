//! What every implementation of the port `Queue` must do.

use std::sync::Arc;

use jiff::Timestamp;
use ozma_app::ports::{Queue, QueueMessage};
use ozma_domain::id::DeliveryId;
use ozma_domain::subscription::Topic;
use tokio::sync::mpsc::UnboundedReceiver;

use super::{all_come, next, notify, run, team, tick};

pub struct QueueUnderTest {
    pub queue: Arc<dyn Queue>,
    /// What the engine's consumer gets, and takes as done.
    pub received: UnboundedReceiver<QueueMessage>,
}

/// Delivers at least once, in no particular order.
pub async fn queue_conforms(make: impl AsyncFn() -> QueueUnderTest) {
    every_message_comes_as_it_was_sent(make().await).await;
    a_message_sent_again_after_it_came_comes_again(make().await).await;
    messages_sent_at_the_same_time_all_come(make().await).await;
}

async fn every_message_comes_as_it_was_sent(mut world: QueueUnderTest) {
    let complete = |name: &str, number| QueueMessage::Complete { team: team(name), run: run(number) };
    let (topic, at) = (Topic::Started, Timestamp::UNIX_EPOCH);
    let started = QueueMessage::Changed { team: team("a"), run: run(1), execution: 1, topic, at };
    let reply = QueueMessage::Reply { team: team("a"), delivery: DeliveryId::new(1, [1; 10]) };
    let mut messages = vec![tick("a"), tick("b"), complete("a", 1), complete("a", 2), complete("b", 1)];
    let identify = QueueMessage::Identify { team: team("a"), delivery: DeliveryId::new(1, [1; 10]) };
    messages.extend([started, notify("a", 1), reply, identify]);
    for message in &messages {
        world.queue.send(message.clone()).await.expect("sends");
    }
    all_come(&mut world.received, messages).await;
}

async fn a_message_sent_again_after_it_came_comes_again(mut world: QueueUnderTest) {
    for _ in 0..3 {
        world.queue.send(tick("a")).await.expect("sends");
        assert_eq!(next(&mut world.received).await, tick("a"));
        // Copies of it, so that the next round waits for its own.
        while world.received.try_recv().is_ok() {}
    }
}

async fn messages_sent_at_the_same_time_all_come(mut world: QueueUnderTest) {
    let messages: Vec<_> =
        (1..=100).map(|number| QueueMessage::Complete { team: team("a"), run: run(number) }).collect();
    let sends = messages.iter().cloned().map(|message| {
        let queue = world.queue.clone();
        tokio::spawn(async move { queue.send(message).await })
    });
    for send in sends.collect::<Vec<_>>() {
        send.await.expect("no panic").expect("sends");
    }
    all_come(&mut world.received, messages).await;
}
