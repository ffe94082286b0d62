//! Outcomes on EventBridge: source `oz.run`, detail type `Run State Change`. A put that fails for one entry is still
//! answered with 200, so each entry's own answer is read.

use async_trait::async_trait;
use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::primitives::DateTime;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use ozma_app::ports::{Bus, PortError, RunEnded};

pub const SOURCE: &str = "oz.run";
pub const DETAIL_TYPE: &str = "Run State Change";

#[derive(Clone, Debug)]
pub struct EventBridgeBus {
    client: Client,
    name: String,
}

impl EventBridgeBus {
    pub fn new(client: Client, name: impl Into<String>) -> Self {
        Self { client, name: name.into() }
    }
}

#[async_trait]
impl Bus for EventBridgeBus {
    async fn publish(&self, event: &RunEnded) -> Result<(), PortError> {
        let detail = serde_json::to_string(event).map_err(|err| PortError::because("could not write an event", err))?;
        let entry = PutEventsRequestEntry::builder()
            .event_bus_name(&self.name)
            .source(SOURCE)
            .detail_type(DETAIL_TYPE)
            .time(DateTime::from_millis(event.ended_at.as_millisecond()))
            .resources(event.run_id.to_string())
            .detail(detail)
            .build();
        let answer = self.client.put_events().entries(entry).send().await;
        let answer = answer.map_err(|err| PortError::because("could not publish an outcome", err))?;
        match answer.entries().iter().find(|entry| entry.error_code().is_some()) {
            None => Ok(()),
            Some(refused) => {
                let code = refused.error_code().unwrap_or_default();
                let message = refused.error_message().unwrap_or_default();
                Err(PortError::new(format!("the event bus refused an outcome: {code} {message}")))
            }
        }
    }
}
