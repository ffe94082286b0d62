//! What Lambda, SQS and EventBridge do in the cloud: hand each message to its use case, tell of containers that ended,
//! and sweep.

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use ozma_app::App;
use ozma_app::handle;
use ozma_app::ports::{ContainerEnd, QueueMessage, QueueName};
use ozma_app::settle::container_gone;
use ozma_app::sweep::sweep;
use ozma_boot::local::{LocalLauncher, LocalQueue};
use ozma_domain::id::{ExecutionId, SubscriptionId};
use ozma_domain::text::chain;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Work;

/// Messages handled at once. A tick may wait for agents that are being stopped, so one must not hold up the others.
const HANDLERS: usize = 64;

/// Attempts to deliver notifications that are made at once, for one subscription.
const ATTEMPTS: usize = 4;

/// Runs of which providers are told at once: one that takes its time keeps no agent from starting.
const ANSWERS: usize = 8;

/// Between two sweeps. Locally a sweep reads a few rows of a file.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// Two rounds further apart than this had a pause between them in which no agent could be heard.
const ASLEEP: SignedDuration = SignedDuration::from_secs(45);

/// Before a message whose handling failed is handled again, and again.
const RETRY_AFTER: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

pub(super) struct Engine {
    queue: Arc<LocalQueue>,
    launcher: Arc<LocalLauncher>,
    handlers: TaskTracker,
}

impl Engine {
    pub(super) fn start(
        app: Arc<App>,
        queue: Arc<LocalQueue>,
        launcher: Arc<LocalLauncher>,
        exits: UnboundedReceiver<(ExecutionId, Option<String>)>,
        work: Work,
        stopping: &CancellationToken,
    ) -> Self {
        let handlers = TaskTracker::new();
        let messages = handle_messages(app.clone(), queue.clone(), handlers.clone(), work);
        let endings = handle_exits(app.clone(), exits, handlers.clone());
        let mut tasks = vec![boxed(messages), boxed(endings)];
        if work == Work::All {
            tasks.push(boxed(sweep_regularly(app)));
        }
        for task in tasks {
            let stopping = stopping.clone();
            tokio::spawn(async move {
                tokio::select! {
                    () = task => {}
                    () = stopping.cancelled() => {}
                }
            });
        }
        Self { queue, launcher, handlers }
    }

    /// Waits until nothing is being handled, waits to be, or is left of an agent that ended, but no longer than `patience`.
    pub(super) async fn settle(&self, patience: Duration) {
        let quiet = async {
            while !self.queue.is_empty() || !self.handlers.is_empty() || self.launcher.is_clearing_up() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = tokio::time::timeout(patience, quiet).await;
    }
}

fn boxed(task: impl Future<Output = ()> + Send + 'static) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(task)
}

async fn handle_messages(app: Arc<App>, queue: Arc<LocalQueue>, handlers: TaskTracker, work: Work) {
    let handling = Arc::new(Semaphore::new(HANDLERS));
    let answering = Arc::new(Semaphore::new(ANSWERS));
    let mut receivers = Receivers::default();
    loop {
        let message = queue.receive().await;
        let (room, permit) = match (&message, message.queue()) {
            // It waits for its turn by itself.
            (QueueMessage::Notify { subscription, .. }, _) => (receivers.room_of(subscription), None),
            (_, QueueName::Errands) => (answering.clone(), None),
            (_, QueueName::Ticks | QueueName::Ends) => (handling.clone(), handling.clone().acquire_owned().await.ok()),
        };
        let app = app.clone();
        handlers.spawn(async move {
            let mut permit = match permit {
                Some(permit) => Some(permit),
                None => room.clone().acquire_owned().await.ok(),
            };
            for pause in RETRY_AFTER {
                if handle(&app, &message, work).await {
                    return;
                }
                permit.take();
                tokio::time::sleep(pause).await;
                permit = room.clone().acquire_owned().await.ok();
            }
            // The last try. After it the sweep finds what is left to do.
            handle(&app, &message, work).await;
        });
    }
}

/// Room for each subscription: a receiver that takes its time keeps nobody waiting but itself.
#[derive(Default)]
struct Receivers(HashMap<SubscriptionId, Arc<Semaphore>>);

impl Receivers {
    fn room_of(&mut self, subscription: &SubscriptionId) -> Arc<Semaphore> {
        // Those to whom nothing is being sent are forgotten.
        self.0.retain(|_, room| Arc::strong_count(room) > 1);
        self.0.entry(subscription.clone()).or_insert_with(|| Arc::new(Semaphore::new(ATTEMPTS))).clone()
    }
}

/// Whether it worked.
async fn handle(app: &App, message: &QueueMessage, work: Work) -> bool {
    if work == Work::NoStarts && message.queue() == QueueName::Ticks {
        return true;
    }
    let handled = handle::message(app, message).await;
    handled.inspect_err(|err| logged("a message", err)).is_ok()
}

async fn handle_exits(
    app: Arc<App>,
    mut exits: UnboundedReceiver<(ExecutionId, Option<String>)>,
    handlers: TaskTracker,
) {
    while let Some((execution, reason)) = exits.recv().await {
        let app = app.clone();
        handlers.spawn(async move {
            // If this fails the sweep finds the slot whose container is gone.
            if let Err(err) = container_gone(&app, execution, reason.map(ContainerEnd::from).as_ref()).await {
                logged("the end of a container", &err);
            }
        });
    }
}

async fn sweep_regularly(app: Arc<App>) {
    // Right after a start there may be launches that were cut short; the second round finds them old enough.
    let mut pause = Duration::from_secs(4);
    let mut awake_since = app.clock.now();
    let mut last = awake_since;
    loop {
        let now = app.clock.now();
        // The machine slept: its clock went on and this loop did not.
        if now.duration_since(last) > ASLEEP {
            awake_since = now;
        }
        last = now;
        match sweep(&app, awake_since).await {
            // It says itself what it repaired.
            Ok(_) => {}
            Err(err) => {
                logged("a sweep", &err);
            }
        }
        tokio::time::sleep(pause).await;
        pause = SWEEP_EVERY;
    }
}

fn logged(what: &str, err: &(dyn Error + 'static)) {
    tracing::error!(error = %chain(err), "{what} could not be handled");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_receiver_that_takes_its_time_takes_only_its_own_room() {
        let (slow, other) = (SubscriptionId::new([1; 16]), SubscriptionId::new([2; 16]));
        let mut receivers = Receivers::default();
        let taken: Vec<_> =
            (0..ATTEMPTS).map(|_| receivers.room_of(&slow).try_acquire_owned().expect("room")).collect();
        assert!(receivers.room_of(&slow).try_acquire_owned().is_err());
        assert!(receivers.room_of(&other).try_acquire_owned().is_ok());
        drop(taken);
        assert!(receivers.room_of(&slow).try_acquire_owned().is_ok());
        receivers.room_of(&other);
        assert_eq!(receivers.0.len(), 1, "nobody else is kept in mind");
    }
}
