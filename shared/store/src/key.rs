//! Every row there is. Nothing else spells a key.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use ozma_domain::definition::Kind;
use ozma_domain::id::{AutomationId, DeliveryId, NotificationId, RunId, ScheduleId, SubscriptionId, TeamId, WebhookId};
use ozma_domain::lane::Lane;

/// A row's place. Sort keys that hold numbers or times are zero-padded, so that they sort as such.
#[derive(Clone, Debug)]
pub(crate) enum Key<'a> {
    Team(&'a TeamId),
    Access {
        hash: &'a str,
    },
    /// One for the whole installation.
    AuditSigner,
    /// What moves of a run, and its current execution.
    Run(RunId),
    /// What was asked for. In the order of acceptance, because run ids are: the index of all runs of a team.
    Request(&'a TeamId, RunId),
    /// An execution that is over, beside the run that has gone on to another.
    PastExecution(RunId, u32),
    Message(RunId, &'a str),
    /// What was told of a run where it was asked for.
    Answer(RunId),
    /// Which message it was that may be sent again, by the name that it is sent under.
    Sent(RunId, &'a str),
    /// A run that this one is the parent of.
    Child(RunId, RunId),
    /// A run that may start now, by the rank of its turn.
    Queued(&'a TeamId, u64, RunId),
    /// A time at which to look at a run that waits. Earliest first.
    Alarm(&'a TeamId, Timestamp, RunId),
    /// A time that a schedule has planned. Among those of runs.
    ScheduleAlarm(&'a TeamId, Timestamp, &'a ScheduleId),
    Schedule(&'a TeamId, &'a ScheduleId),
    /// Where a lane's last turn ends.
    Lane(&'a TeamId, &'a Lane),
    /// Who has a concurrency key.
    Lock(&'a TeamId, &'a str),
    /// Who waits for it, in the order of acceptance.
    InLine(&'a TeamId, &'a str, RunId),
    /// A permit to run. There are as many rows as the plan allows agents.
    Slot(&'a TeamId, u16),
    /// An ended run, by when it ended; at first with what is still owed of its end.
    Ended(&'a TeamId, Timestamp, RunId),
    /// A runner, environment or agent, by its id. The partition is the team's list of that kind.
    Resource(&'a TeamId, Kind, &'a str),
    /// Makes the name of one unique among those of its kind.
    ResourceName(&'a TeamId, Kind, &'a str),
    /// By its id alone, which is all that a webhook knows.
    Automation(&'a AutomationId),
    /// Makes an automation's name unique in its team. The partition is the team's list of automations, by name.
    AutomationName(&'a TeamId, &'a str),
    /// An automation that listens to more than its own address. The partition is all of a team.
    Listener(&'a TeamId, &'a AutomationId),
    /// By its id alone, as is an automation.
    Webhook(&'a WebhookId),
    /// Makes a webhook's name unique in its team. The partition is the team's list of webhooks, by name.
    WebhookName(&'a TeamId, &'a str),
    /// What its service could not deliver, when somebody last looked.
    Look(&'a WebhookId),
    /// What came in, in the order in which it did, because ids are.
    Delivery(&'a TeamId, DeliveryId),
    /// Which delivery something was, by the hash of whence it came and what told it apart.
    Seen(&'a str),
    /// Which run of an automation hears what is said in a conversation. The partition is the conversation, by a hash of whence
    /// it is told and what its provider calls it.
    Thread(&'a TeamId, &'a str, &'a AutomationId),
    /// Somebody as the provider of a webhook knows them, by the id that it gives them.
    Person(&'a WebhookId, &'a str),
    /// The partition is the team's list of subscriptions.
    Subscription(&'a TeamId, &'a SubscriptionId),
    /// In the order of their events, because their ids are.
    Notification(&'a SubscriptionId, &'a NotificationId),
    /// A notification that there is an attempt to come of, by when. Earliest first.
    DueNotification(&'a TeamId, Timestamp, &'a NotificationId),
    /// When definitions were last applied.
    LastApply(&'a TeamId),
    /// What an account has used and reserved in a month.
    Account(&'a TeamId, &'a str, &'a str),
    /// How often something came in an hour or a minute, which is its beginning in seconds since 1970.
    Rate(&'a TeamId, &'a str, i64),
    /// Answers a repeated request with the first one's run.
    Idempotency {
        team: &'a TeamId,
        key_hash: &'a str,
    },
}

pub(crate) const PK: &str = "pk";
pub(crate) const SK: &str = "sk";
/// DynamoDB deletes a row some time after this many seconds since 1970.
pub(crate) const TTL: &str = "expires";

impl Key<'_> {
    /// Partition and sort key.
    pub(crate) fn parts(&self) -> (String, String) {
        match self {
            Self::Team(team) => ("teams".to_owned(), team.to_string()),
            Self::Access { hash } => (format!("api-key#{hash}"), "api-key".to_owned()),
            Self::AuditSigner => ("installation".to_owned(), "audit-key".to_owned()),
            Self::Run(run) => (format!("run#{run}"), "run".to_owned()),
            Self::Request(team, run) => (format!("team#{team}#requests"), run.to_string()),
            Self::PastExecution(run, number) => (format!("run#{run}"), format!("execution#{number:06}")),
            Self::Child(run, child) => (format!("run#{run}"), format!("child#{child}")),
            Self::Message(run, id) => (format!("run#{run}"), format!("message#{id}")),
            Self::Answer(run) => (format!("run#{run}"), "answer".to_owned()),
            Self::Sent(run, name) => (format!("run#{run}"), format!("sent#{name}")),
            // Virtual time: see `ozma_domain::lane`.
            Self::Queued(team, rank, run) => (format!("team#{team}#queue"), format!("{rank:016}#{run}")),
            Self::Alarm(team, at, run) => (format!("team#{team}#alarms"), format!("{}#{run}", millis(*at))),
            Self::ScheduleAlarm(team, at, id) => {
                (format!("team#{team}#alarms"), format!("{}#schedule#{id}", millis(*at)))
            }
            Self::Schedule(team, id) => (format!("team#{team}#schedules"), id.to_string()),
            Self::Lane(team, lane) => (format!("team#{team}#lanes"), lane.to_string()),
            Self::Lock(team, hash) => (format!("team#{team}#concurrency#{hash}"), "lock".to_owned()),
            Self::InLine(team, hash, run) => (format!("team#{team}#concurrency#{hash}"), format!("line#{run}")),
            Self::Slot(team, slot) => (format!("team#{team}#slots"), format!("slot#{slot:04}")),
            Self::Ended(team, at, run) => (format!("team#{team}#ended"), format!("{}#{run}", millis(*at))),
            Self::Account(team, month, account) => (format!("team#{team}#ledger"), format!("{month}#{account}")),
            Self::Rate(team, subject, hour) => (format!("team#{team}#rate#{subject}"), format!("{hour:011}")),
            Self::Resource(team, kind, id) => (format!("team#{team}#{kind}s"), (*id).to_owned()),
            Self::ResourceName(team, kind, name) => (format!("team#{team}#{kind}-names"), (*name).to_owned()),
            Self::Automation(id) => (format!("automation#{id}"), "automation".to_owned()),
            Self::AutomationName(team, name) => (format!("team#{team}#automation-names"), (*name).to_owned()),
            Self::Listener(team, id) => (format!("team#{team}#listeners"), id.to_string()),
            Self::Webhook(id) => (format!("webhook#{id}"), "webhook".to_owned()),
            Self::WebhookName(team, name) => (format!("team#{team}#webhook-names"), (*name).to_owned()),
            Self::Look(id) => (format!("webhook#{id}"), "look".to_owned()),
            Self::Delivery(team, id) => (format!("team#{team}#deliveries"), id.to_string()),
            Self::Seen(hash) => (format!("seen#{hash}"), "delivery".to_owned()),
            Self::Thread(team, hash, id) => (format!("team#{team}#thread#{hash}"), id.to_string()),
            Self::Person(webhook, id) => (format!("webhook#{webhook}#person#{id}"), "person".to_owned()),
            Self::Subscription(team, id) => (format!("team#{team}#subscriptions"), id.to_string()),
            Self::Notification(subscription, id) => {
                (format!("subscription#{subscription}#notifications"), id.to_string())
            }
            Self::DueNotification(team, at, id) => {
                (format!("team#{team}#due-notifications"), format!("{}#{id}", millis(*at)))
            }
            Self::LastApply(team) => (format!("team#{team}#definitions"), "last-apply".to_owned()),
            Self::Idempotency { team, key_hash } => {
                (format!("team#{team}#idempotency#{key_hash}"), "idempotency".to_owned())
            }
        }
    }

    pub(crate) fn attributes(&self) -> HashMap<String, AttributeValue> {
        let (pk, sk) = self.parts();
        HashMap::from([(PK.to_owned(), AttributeValue::S(pk)), (SK.to_owned(), AttributeValue::S(sk))])
    }

    /// The partition alone, for a query over it.
    pub(crate) fn partition(&self) -> AttributeValue {
        AttributeValue::S(self.parts().0)
    }
}

/// Milliseconds since 1970, 14 digits: sorts until the year 5138.
pub(crate) fn millis(at: Timestamp) -> String {
    format!("{:014}", at.as_millisecond())
}

#[cfg(test)]
mod tests {
    use ozma_domain::id::EnvironmentId;

    use super::*;

    #[test]
    fn every_key_there_is() {
        let team: TeamId = "local".parse().unwrap();
        let run = RunId::new(1_763_700_000_000, [7; 10]);
        let environment = EnvironmentId::new([7; 16]);
        let automation = AutomationId::new([7; 16]);
        let schedule = ScheduleId::new([7; 16]);
        let webhook = WebhookId::new([7; 16]);
        let subscription = SubscriptionId::new([7; 16]);
        let at: Timestamp = "2026-11-21T02:03:04.005Z".parse().unwrap();
        let notification = NotificationId::new(at, [7; 10]);
        let lane = Lane::Automation(automation.clone());
        let keys = [
            Key::Team(&team),
            Key::Access { hash: "c0ffee" },
            Key::AuditSigner,
            Key::Run(run),
            Key::Request(&team, run),
            Key::PastExecution(run, 1),
            Key::Message(run, "000001"),
            Key::Answer(run),
            Key::Sent(run, "019aa3cd-2e00-7707-8707-070707070707"),
            Key::Child(run, run),
            Key::Queued(&team, 1_000_000_000, run),
            Key::Alarm(&team, at, run),
            Key::ScheduleAlarm(&team, at, &schedule),
            Key::Schedule(&team, &schedule),
            Key::Lane(&team, &lane),
            Key::Lock(&team, "c0ffee"),
            Key::InLine(&team, "c0ffee", run),
            Key::Slot(&team, 3),
            Key::Ended(&team, at, run),
            Key::Account(&team, "2026-11", "team"),
            Key::Rate(&team, "c0ffee", 1_763_700_000),
            Key::Resource(&team, Kind::Runner, "3Fz9kQ0vWm7LxYb2RtUe1C"),
            Key::ResourceName(&team, Kind::Runner, "small"),
            Key::Resource(&team, Kind::Environment, environment.as_str()),
            Key::ResourceName(&team, Kind::Environment, "web"),
            Key::Resource(&team, Kind::Agent, "3Fz9kQ0vWm7LxYb2RtUe1C"),
            Key::ResourceName(&team, Kind::Agent, "nightly"),
            Key::Automation(&automation),
            Key::AutomationName(&team, "nightly"),
            Key::Listener(&team, &automation),
            Key::Webhook(&webhook),
            Key::WebhookName(&team, "acme"),
            Key::Look(&webhook),
            Key::Delivery(&team, DeliveryId::new(1_763_700_000_000, [7; 10])),
            Key::Seen("c0ffee"),
            Key::Thread(&team, "c0ffee", &automation),
            Key::Person(&webhook, "U0442US8QGH"),
            Key::Subscription(&team, &subscription),
            Key::Notification(&subscription, &notification),
            Key::DueNotification(&team, at, &notification),
            Key::LastApply(&team),
            Key::Idempotency { team: &team, key_hash: "c0ffee" },
        ];
        let lines: Vec<String> = keys
            .iter()
            .map(|key| {
                let (pk, sk) = key.parts();
                format!("{pk:60} {sk}")
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"));
    }
}
