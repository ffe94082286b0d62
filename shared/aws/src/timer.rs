//! Messages for later: SQS holds them back for up to 15 minutes, to the second; for longer a one-time schedule of
//! EventBridge Scheduler sends them, within a minute of its time.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_scheduler::Client;
use aws_sdk_scheduler::types::{
    ActionAfterCompletion, FlexibleTimeWindow, FlexibleTimeWindowMode, SqsParameters, Target,
};
use jiff::{Timestamp, Unit};
use ozma_app::ports::{Clock, PortError, QueueMessage, QueueName, Timer};
use ozma_domain::audit::digest;

use crate::queue::{SqsQueue, body, group};

/// SQS delays no longer.
const LONGEST_DELAY: Duration = Duration::from_secs(900);

/// A timer of one queue: a function has one for what it does later itself.
pub struct AwsTimer {
    pub queue: QueueName,
    pub queue_arn: String,
    pub sqs: SqsQueue,
    pub clock: Arc<dyn Clock>,
    pub scheduler: Client,
    /// The group that the timers of this installation are in.
    pub group: String,
    /// The role with which Scheduler sends to the queue.
    pub role_arn: String,
}

#[async_trait]
impl Timer for AwsTimer {
    async fn send_at(&self, at: Timestamp, message: QueueMessage) -> Result<(), PortError> {
        if message.queue() != self.queue {
            let reason = format!("this function has no timer for the queue of {}", message.queue());
            return Err(PortError::new(reason));
        }
        let delay = whole_seconds_until(self.clock.now(), at);
        if delay <= LONGEST_DELAY {
            return self.sqs.send_after(delay, &message).await;
        }
        let (body, at) = (body(&message)?, next_second(at));
        // The same message for the same time is one schedule: a repetition finds it there.
        let name = digest(format!("{at} {body}").as_bytes()).to_string();
        let name: String = name.chars().filter(char::is_ascii_hexdigit).take(48).collect();
        let built = |err: aws_sdk_scheduler::error::BuildError| PortError::because("could not plan a message", err);
        let sqs = SqsParameters::builder().message_group_id(group(&message)).build();
        let target = Target::builder().arn(&self.queue_arn).role_arn(&self.role_arn);
        let window = FlexibleTimeWindow::builder().mode(FlexibleTimeWindowMode::Off).build().map_err(built)?;
        let created = self
            .scheduler
            .create_schedule()
            .group_name(&self.group)
            .name(name)
            .schedule_expression(format!("at({})", at.strftime("%Y-%m-%dT%H:%M:%S")))
            .flexible_time_window(window)
            .action_after_completion(ActionAfterCompletion::Delete)
            .target(target.input(body).sqs_parameters(sqs).build().map_err(built)?)
            .send()
            .await;
        match created {
            Ok(_) => Ok(()),
            Err(err) if err.as_service_error().is_some_and(|err| err.is_conflict_exception()) => Ok(()),
            Err(err) => Err(PortError::because("could not plan a message", err)),
        }
    }
}

/// A timer is never early: begun seconds count.
fn whole_seconds_until(now: Timestamp, at: Timestamp) -> Duration {
    let ms = u64::try_from(at.duration_since(now).as_millis()).unwrap_or(0);
    Duration::from_secs(ms.div_ceil(1_000))
}

fn next_second(at: Timestamp) -> Timestamp {
    at.round(jiff::TimestampRound::new().smallest(Unit::Second).mode(jiff::RoundMode::Ceil)).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_is_late_rather_than_early() {
        let now: Timestamp = "2026-11-21T10:00:00.500Z".parse().unwrap();
        let check = |at: &str, seconds| {
            assert_eq!(whole_seconds_until(now, at.parse().unwrap()), Duration::from_secs(seconds), "{at}");
        };
        check("2026-11-21T10:00:01.500Z", 1);
        check("2026-11-21T10:00:01.501Z", 2);
        check("2026-11-21T10:00:00.501Z", 1);
        check("2026-11-21T09:00:00Z", 0);
        assert_eq!(next_second(now).to_string(), "2026-11-21T10:00:01Z");
    }
}
