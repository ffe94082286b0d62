//! Queue, timer and bus, as the cloud's are: at least once, in any order, each call through the door.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use ozma_app::ports::{Bus, PortError, Queue, QueueMessage, RunEnded, Timer};

use super::Event;
use super::core::Core;
use super::door::{Passing, Service};
use super::laws::Laws;
use super::mutants::Mutant;

/// A message that nobody handles for this long is delivered again.
pub(super) const VISIBILITY_MS: i64 = 90_000;
/// And is parked after so many deliveries.
pub(super) const RECEIVES: u32 = 5;

pub(super) struct QueueDouble {
    pub(super) core: Arc<Core>,
    pub(super) mutant: Option<Mutant>,
}

impl QueueDouble {
    /// Delivers a message some time, now and then twice.
    fn deliver(&self, message: &QueueMessage) {
        if self.mutant == Some(Mutant::TicksAreNotSent) && matches!(message, QueueMessage::Tick { .. }) {
            return;
        }
        let late = self.core.strikes(self.core.chances.slow, "a message is late");
        let wait = if late { self.core.pick(5_000, 60_000) } else { self.core.pick(2, 60) };
        self.core.plan(wait, Event::Message { message: message.clone(), receives: 1 });
        if self.core.strikes(self.core.chances.duplicate, "a message is delivered twice") {
            let again = wait + self.core.pick(0, 30_000);
            self.core.plan(again, Event::Message { message: message.clone(), receives: 1 });
        }
    }
}

#[async_trait]
impl Queue for QueueDouble {
    async fn send(&self, message: QueueMessage) -> Result<(), PortError> {
        let call = || format!("send {message:?}");
        let passing = self.core.pass(Service::Queue, call).await;
        if passing.is_done() {
            self.deliver(&message);
        }
        answer(&self.core, passing, "send", call).await
    }
}

pub(super) struct TimerDouble {
    pub(super) core: Arc<Core>,
}

#[async_trait]
impl Timer for TimerDouble {
    async fn send_at(&self, at: Timestamp, message: QueueMessage) -> Result<(), PortError> {
        let call = || format!("at {at} send {message:?}");
        let passing = self.core.pass(Service::Timer, call).await;
        if passing.is_done() {
            let wait = self.core.until_ms(at) + self.core.pick(0, 900);
            self.core.plan(wait, Event::Message { message: message.clone(), receives: 1 });
        }
        answer(&self.core, passing, "set a timer", call).await
    }
}

pub(super) struct BusDouble {
    pub(super) core: Arc<Core>,
    pub(super) laws: Arc<Laws>,
}

#[async_trait]
impl Bus for BusDouble {
    async fn publish(&self, event: &RunEnded) -> Result<(), PortError> {
        let call = || format!("publish {}", event.id);
        let passing = self.core.pass(Service::Bus, call).await;
        if passing.is_done() {
            self.laws.published(event);
        }
        answer(&self.core, passing, "publish", call).await
    }
}

/// What the caller hears.
pub(super) async fn answer(
    core: &Arc<Core>,
    passing: Passing,
    what: &str,
    call: impl Fn() -> String,
) -> Result<(), PortError> {
    match passing {
        Passing::Through => {
            core.back(call).await;
            Ok(())
        }
        Passing::ReplyLost => Err(PortError::new(format!("{what}: no answer"))),
        Passing::RequestLost => Err(PortError::new(format!("{what}: out of reach"))),
        Passing::Throttled => Err(PortError::new(format!("{what}: too many requests"))),
    }
}
