//! What every implementation of a port keeps to. An engine calls each of these with a function that makes a fresh one.

mod bus;
mod clock;
mod launcher;
mod queue;
mod timer;
mod vault;

use std::time::Duration;

use jiff::Timestamp;
use ozma_app::ports::QueueMessage;
use ozma_domain::id::{ExecutionId, NotificationId, RunId, SubscriptionId, TeamId};
use tokio::sync::mpsc::UnboundedReceiver;

pub use self::bus::{BusUnderTest, bus_conforms};
pub use self::clock::clock_conforms;
pub use self::launcher::{LauncherUnderTest, launcher_conforms};
pub use self::queue::{QueueUnderTest, queue_conforms};
pub use self::timer::{TimerUnderTest, timer_conforms};
pub use self::vault::vault_conforms;

/// Anything that comes at all comes within this.
const PATIENCE: Duration = Duration::from_secs(30);

fn team(name: &str) -> TeamId {
    name.parse().expect("a team of these tests")
}

fn run(number: u64) -> RunId {
    RunId::new(number, [7; 10])
}

fn execution(number: u64) -> ExecutionId {
    ExecutionId::new(run(number), 1)
}

/// An attempt to deliver a team's notification of that number is due.
pub fn notify(name: &str, number: u8) -> QueueMessage {
    let subscription = SubscriptionId::new([number; 16]);
    let notification = NotificationId::new(Timestamp::UNIX_EPOCH, [number; 10]);
    QueueMessage::Notify { team: team(name), subscription, notification }
}

fn tick(name: &str) -> QueueMessage {
    QueueMessage::Tick { team: team(name) }
}

/// The next that came. More than one of the same is right: delivery is at least once.
async fn next<T>(received: &mut UnboundedReceiver<T>) -> T {
    let next = tokio::time::timeout(PATIENCE, received.recv()).await;
    next.expect("nothing came").expect("the engine stopped delivering")
}

/// Returns when each of these came at least once.
async fn all_come<T: PartialEq + std::fmt::Debug>(received: &mut UnboundedReceiver<T>, mut expected: Vec<T>) {
    while !expected.is_empty() {
        let Ok(next) = tokio::time::timeout(PATIENCE, received.recv()).await else {
            panic!("these did not come: {expected:?}");
        };
        let next = next.expect("the engine stopped delivering");
        expected.retain(|message| *message != next);
    }
}
