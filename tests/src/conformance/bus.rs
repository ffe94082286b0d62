//! What every implementation of the port `Bus` must do.

use std::sync::Arc;

use jiff::Timestamp;
use ozma_app::ports::{Bus, RunEnded};
use ozma_domain::state::RunState;
use tokio::sync::mpsc::UnboundedReceiver;

use super::{all_come, run, team};

pub struct BusUnderTest {
    pub bus: Arc<dyn Bus>,
    /// What a subscriber gets.
    pub received: UnboundedReceiver<RunEnded>,
}

/// Publishes at least once, with everything that was said.
pub async fn bus_conforms(make: impl AsyncFn() -> BusUnderTest) {
    let mut world = make().await;
    let events = vec![
        ended(1, RunState::Succeeded, "cargo test"),
        ended(2, RunState::Failed, "quotes \" and \n lines, ü 🦀"),
        ended(3, RunState::Cancelled, ""),
    ];
    for event in &events {
        world.bus.publish(event).await.expect("publishes");
    }
    all_come(&mut world.received, events.clone()).await;

    // The sweep repeats what it is not sure of.
    world.bus.publish(&events[0]).await.expect("publishes again");
    world.bus.publish(&ended(4, RunState::Error, "last")).await.expect("publishes");
    all_come(&mut world.received, vec![ended(4, RunState::Error, "last")]).await;
}

fn ended(number: u64, state: RunState, message: &str) -> RunEnded {
    RunEnded {
        id: format!("{}/1/{state:?}", run(number)),
        run_id: run(number),
        team: team("a"),
        state,
        ended_at: Timestamp::from_second(1_800_000_000).expect("a time"),
        title: message.to_owned(),
        message: message.to_owned(),
    }
}
