//! `oz subscription`: whom to tell when a run changes its state.

use std::time::Duration;

use clap::{Args, Subcommand};
use ozma_api::wire::{Attempt, Notification, NotificationList, Subscription, SubscriptionConfig};
use ozma_domain::id::NotificationId;
use ozma_domain::limits;
use ozma_domain::notification::Progress;
use ozma_domain::subscription::Topic;
use ozma_domain::text::{one_line, shorten};

use crate::args::{Format, Global};
use crate::ask;
use crate::client::Client;
use crate::connect;
use crate::control_plane::Work;
use crate::exit::{Exit, Failure};
use crate::output::{self, Text};
use crate::values;

const EXAMPLES: &str = "\
Examples:
  oz subscription create --name deploys --url https://example.com/hooks    every end of a run; prints the secret
  oz subscription create -n ci --url https://ci.example.com/oz --event run.started --event run.failed
  oz subscription test deploys                                             sends a ping, and says what was answered
  oz subscription deliveries deploys                                       what was sent, and what came of it
  oz subscription replay deploys msg_0351BT5XclOIVf0PcfeFWx                sends it once more
  oz subscription rotate-secret deploys                                    both secrets sign for 24 hours";

/// How long `test` and `replay` wait for an answer: a message's way, an attempt, and the note of it.
const PATIENCE: Duration = Duration::from_secs(limits::ATTEMPT_SECONDS + 10);
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum SubscriptionCommand {
    /// Tell an address when runs start or end, by signed webhooks
    #[command(after_help = EXAMPLES)]
    Create(CreateArgs),
    /// List subscriptions
    List,
    /// Show a subscription
    Get {
        /// Its id or its name
        subscription: String,
    },
    /// Change a subscription; what is not named stays as it is
    #[command(after_help = EXAMPLES)]
    Update(UpdateArgs),
    /// Delete a subscription; what was still to be tried is given up
    Delete {
        /// Its id or its name
        subscription: String,
        /// Do not ask
        #[arg(long)]
        force: bool,
    },
    /// Give it a new secret; for 24 hours what is sent is signed with both
    RotateSecret {
        /// Its id or its name
        subscription: String,
    },
    /// Send a ping, and say what was answered
    Test {
        /// Its id or its name
        subscription: String,
    },
    /// List what was sent in the last 30 days, newest first
    Deliveries {
        /// Its id or its name
        subscription: String,
        /// At most so many, up to 100
        #[arg(long, default_value_t = limits::PAGE_NOTIFICATIONS_DEFAULT)]
        limit: usize,
        /// Only those before this one
        #[arg(long, value_name = "DELIVERY")]
        before: Option<NotificationId>,
    },
    /// Send a delivery once more, and say what was answered
    Replay {
        /// Its id or its name
        subscription: String,
        /// The delivery's id
        delivery: NotificationId,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// What people call it
    #[arg(short, long)]
    name: String,
    /// Where to post to; https alone
    #[arg(long)]
    url: String,
    /// What to tell; repeatable. Without it, every end of a run
    #[arg(long = "event", value_name = "EVENT")]
    events: Vec<Topic>,
    /// Tell nothing until it is resumed
    #[arg(long)]
    paused: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// Its id or its name
    subscription: String,
    /// A new name
    #[arg(short, long)]
    name: Option<String>,
    /// Another address to post to
    #[arg(long)]
    url: Option<String>,
    /// What to tell from now on, instead of what it was; repeatable
    #[arg(long = "event", value_name = "EVENT")]
    events: Vec<Topic>,
    /// Tell every end of a run, and nothing else
    #[arg(long, conflicts_with = "events")]
    all_ends: bool,
    /// Tell nothing any more
    #[arg(long, conflicts_with = "resume")]
    pause: bool,
    /// Tell again
    #[arg(long)]
    resume: bool,
}

pub(crate) async fn run(global: &Global, command: SubscriptionCommand) -> Result<Exit, Failure> {
    let connection = connect::connect(global, None, Work::NoStarts).await?;
    let result = carry_out(global, &connection.client, command).await;
    connection.close().await;
    result
}

async fn carry_out(global: &Global, client: &Client, command: SubscriptionCommand) -> Result<Exit, Failure> {
    match command {
        SubscriptionCommand::Create(args) => {
            print_with_secret(global, &client.create_subscription(&args.config()).await?)?;
        }
        SubscriptionCommand::List => {
            let list = client.subscriptions().await?;
            let header = ["ID", "NAME", "STATE", "EVENTS", "URL"];
            output::list(
                global.output_format,
                &list,
                &list.subscriptions,
                &header,
                row,
                "There are no subscriptions.",
            )?;
        }
        SubscriptionCommand::Get { subscription } => {
            output::item(global.output_format, &client.subscription(&subscription).await?, lines)?;
        }
        SubscriptionCommand::Update(args) => {
            let subscription = client.subscription(&args.subscription).await?;
            let id = subscription.id.clone();
            let updated = client.update_subscription(&id, &args.apply(subscription)).await?;
            output::item(global.output_format, &updated, lines)?;
        }
        SubscriptionCommand::Delete { subscription, force } => {
            let Subscription { id, name, .. } = client.subscription(&subscription).await?;
            if !ask::confirm(&format!("Delete the subscription {}?", one_line(&name)), force).await? {
                return Err(Failure::new("nothing was deleted"));
            }
            let deleted = client.delete_subscription(&id).await?;
            output::item(global.output_format, &deleted, |_| vec![("Deleted", one_line(&name))])?;
        }
        SubscriptionCommand::RotateSecret { subscription } => {
            let Subscription { id, .. } = client.subscription(&subscription).await?;
            print_with_secret(global, &client.rotate_subscription_secret(&id).await?)?;
        }
        SubscriptionCommand::Test { subscription } => {
            let sent = client.test_subscription(&subscription).await?;
            return told(global, client, &subscription, sent).await;
        }
        SubscriptionCommand::Deliveries { subscription, limit, before } => {
            let list = client.notifications(&subscription, limit, before.as_ref()).await?;
            let header = ["ID", "EVENT", "RUN", "STATE", "TRIES", "ANSWER", "SENT"];
            let now = output::now();
            let row = |notification: &Notification| notification_row(notification, now);
            output::list(global.output_format, &list, &list.deliveries, &header, row, "Nothing was sent.")?;
        }
        SubscriptionCommand::Replay { subscription, delivery } => {
            let sent = client.replay(&subscription, &delivery).await?;
            return told(global, client, &subscription, sent).await;
        }
    }
    Ok(Exit::Succeeded)
}

/// Waits for what comes of an attempt that was just asked for, and says it. The exit code says whether it worked.
async fn told(global: &Global, client: &Client, subscription: &str, sent: Notification) -> Result<Exit, Failure> {
    let before = last(&sent).map(|attempt| attempt.number);
    let mut now = sent;
    let answered = tokio::time::timeout(PATIENCE, async {
        loop {
            let NotificationList { deliveries, .. } = client.notifications(subscription, 100, None).await?;
            if let Some(found) = deliveries.into_iter().find(|found| found.id == now.id) {
                now = found;
            }
            if last(&now).map(|attempt| attempt.number) != before {
                return Ok::<_, Failure>(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    });
    let answered = answered.await.is_ok_and(|looked| looked.is_ok());
    output::item(global.output_format, &now, notification_lines)?;
    if !answered {
        return Err(Failure::new("nothing has come of it yet").hint("look later: oz subscription deliveries"));
    }
    let worked = last(&now).and_then(|attempt| attempt.status).is_some_and(|status| (200..300).contains(&status));
    if worked { Ok(Exit::Succeeded) } else { Err(Failure::new("the receiver did not take it")) }
}

fn last(notification: &Notification) -> Option<&Attempt> {
    notification.attempts.last()
}

impl CreateArgs {
    fn config(self) -> SubscriptionConfig {
        SubscriptionConfig {
            name: Some(self.name),
            url: Some(self.url),
            events: Some(spelled(&self.events)),
            paused: Some(self.paused),
        }
    }
}

impl UpdateArgs {
    fn apply(self, subscription: Subscription) -> SubscriptionConfig {
        let events = match self.events.is_empty() {
            true if self.all_ends => Vec::new(),
            true => subscription.events,
            false => self.events,
        };
        SubscriptionConfig {
            name: self.name.or(Some(subscription.name)),
            url: self.url.or(Some(subscription.url)),
            events: Some(spelled(&events)),
            paused: Some((subscription.paused || self.pause) && !self.resume),
        }
    }
}

fn spelled(events: &[Topic]) -> Vec<String> {
    events.iter().map(ToString::to_string).collect()
}

fn row(subscription: &Subscription) -> Vec<Text> {
    vec![
        Text::Id(subscription.id.to_string()),
        one_line(&subscription.name).into(),
        state(subscription).into(),
        events(subscription).into(),
        shorten(&subscription.url, 60).into(),
    ]
}

fn state(subscription: &Subscription) -> &'static str {
    match (subscription.paused, subscription.failing_since) {
        (true, _) => "paused",
        (false, Some(_)) => "failing",
        (false, None) => "active",
    }
}

fn events(subscription: &Subscription) -> String {
    if subscription.events.is_empty() { "every end".to_owned() } else { spelled(&subscription.events).join(", ") }
}

fn lines(subscription: &Subscription) -> Vec<(&'static str, String)> {
    let at = |at: Option<jiff::Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    let lines = [
        ("ID", subscription.id.to_string()),
        ("Name", one_line(&subscription.name)),
        ("State", state(subscription).to_owned()),
        ("Paused because", subscription.paused_because.as_deref().map(one_line).unwrap_or_default()),
        ("Failing since", at(subscription.failing_since)),
        ("Events", events(subscription)),
        ("URL", subscription.url.clone()),
        ("Secret", subscription.secret.clone().unwrap_or_default()),
        ("Rotated", at(subscription.secret_rotated_at)),
        ("Updated", subscription.last_updated.to_string()),
    ];
    lines.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

/// The one time that the secret is told.
fn print_with_secret(global: &Global, subscription: &Subscription) -> Result<(), Failure> {
    output::item(global.output_format, subscription, lines)?;
    if matches!(global.output_format, Format::Pretty | Format::Text) {
        output::note(
            "\nThe secret is not shown again. docs/subscriptions.md has receivers that check signatures with it.",
        );
    }
    Ok(())
}

fn notification_row(notification: &Notification, now: jiff::Timestamp) -> Vec<Text> {
    vec![
        Text::Id(notification.id.to_string()),
        notification.event.as_str().into(),
        notification.run_id.map(|run| run.to_string()).unwrap_or_default().into(),
        progress(notification.state).into(),
        last(notification).map_or(0, |attempt| attempt.number).to_string().into(),
        shorten(&last(notification).map(answer).unwrap_or_default(), 60).into(),
        values::age(notification.created_at, now).into(),
    ]
}

fn progress(progress: Progress) -> &'static str {
    match progress {
        Progress::Pending => "pending",
        Progress::Delivered => "delivered",
        Progress::Dead => "dead",
    }
}

fn answer(attempt: &Attempt) -> String {
    match (attempt.status, &attempt.error) {
        (Some(status), _) => status.to_string(),
        (None, Some(error)) => one_line(error),
        (None, None) => String::new(),
    }
}

fn notification_lines(notification: &Notification) -> Vec<(&'static str, String)> {
    let at = |at: Option<jiff::Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    let attempt = last(notification);
    let lines = [
        ("ID", notification.id.to_string()),
        ("Event", notification.event.to_string()),
        ("Run", notification.run_id.map(|run| run.to_string()).unwrap_or_default()),
        ("State", progress(notification.state).to_owned()),
        ("Reason", notification.reason.as_deref().map(one_line).unwrap_or_default()),
        ("Attempt", attempt.map(|attempt| attempt.number.to_string()).unwrap_or_default()),
        ("Answer", attempt.map(answer).unwrap_or_default()),
        ("Took", attempt.map(|attempt| format!("{} ms", attempt.latency_ms)).unwrap_or_default()),
        (
            "Body",
            attempt
                .and_then(|attempt| attempt.body.as_deref())
                .map(|body| shorten(&one_line(body), 400))
                .unwrap_or_default(),
        ),
        ("Next attempt", at(notification.next_attempt_at)),
    ];
    lines.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn subscription() -> Subscription {
        serde_json::from_value(serde_json::json!({
            "id": "sub_0123456789abcdefABCDEF", "name": "deploys", "url": "https://example.com/hooks",
            "events": ["run.failed", "run.error"], "paused": true, "paused_because": "the receiver answered 410 Gone",
            "created_at": "2026-11-21T00:00:00Z", "last_updated": "2026-11-21T00:00:00Z",
        }))
        .unwrap()
    }

    fn command(line: &str) -> Result<SubscriptionCommand, String> {
        let line = format!("oz subscription {line}");
        let cli = Cli::try_parse_from(line.split_whitespace()).map_err(|err| err.to_string())?;
        let Command::Subscription(command) = cli.command else { unreachable!() };
        Ok(command)
    }

    #[track_caller]
    fn created(line: &str, expected: &str) {
        let SubscriptionCommand::Create(args) = command(&format!("create {line}")).unwrap() else { unreachable!() };
        assert_eq!(serde_json::to_string(&args.config()).unwrap(), expected);
    }

    #[track_caller]
    fn updated(line: &str, expected: &str) {
        let SubscriptionCommand::Update(args) = command(&format!("update deploys {line}")).unwrap() else {
            unreachable!()
        };
        assert_eq!(serde_json::to_string(&args.apply(subscription())).unwrap(), expected);
    }

    #[test]
    fn a_subscription_is_made_of_what_is_named() {
        created(
            "-n deploys --url https://example.com",
            r#"{"name":"deploys","url":"https://example.com","events":[],"paused":false}"#,
        );
        created(
            "-n ci --url https://example.com --event run.started --event run.failed --paused",
            r#"{"name":"ci","url":"https://example.com","events":["run.started","run.failed"],"paused":true}"#,
        );
        for (line, expected) in [
            ("create --name x", "--url"),
            ("create --name x --url y --event run.ended", "is none of run.queued"),
            ("update x --all-ends --event run.failed", "cannot be used with"),
            ("update x --pause --resume", "cannot be used with"),
            ("replay deploys sub_0123456789abcdefABCDEF", "is not a notification id"),
        ] {
            let told = command(line).expect_err("refused");
            assert!(told.contains(expected), "{line}: {told}");
        }
    }

    #[test]
    fn an_update_changes_what_it_names() {
        updated(
            "",
            r#"{"name":"deploys","url":"https://example.com/hooks","events":["run.failed","run.error"],"paused":true}"#,
        );
        updated(
            "--resume --name x --url https://example.org --event run.queued",
            r#"{"name":"x","url":"https://example.org","events":["run.queued"],"paused":false}"#,
        );
        updated("--all-ends", r#"{"name":"deploys","url":"https://example.com/hooks","events":[],"paused":true}"#);
    }

    #[test]
    fn a_subscription_and_a_delivery_are_shown_without_what_they_lack() {
        let shown = |lines: Vec<(&str, String)>| {
            lines.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join("\n")
        };
        insta::assert_snapshot!(shown(lines(&subscription())), @r"
ID: sub_0123456789abcdefABCDEF
Name: deploys
State: paused
Paused because: the receiver answered 410 Gone
Events: run.failed, run.error
URL: https://example.com/hooks
Updated: 2026-11-21T00:00:00Z
");
        let sent: Notification = serde_json::from_value(serde_json::json!({
            "id": "msg_0351BT5XclOIVf0PcfeFWx", "event": "run.failed", "run_id": "019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10",
            "state": "pending", "created_at": "2026-11-21T00:00:00Z", "next_attempt_at": "2026-11-21T00:05:00Z",
            "attempts": [{"number": 2, "at": "2026-11-21T00:00:05Z", "latency_ms": 7, "status": 503, "body": "not\nnow"}],
        }))
        .unwrap();
        insta::assert_snapshot!(shown(notification_lines(&sent)), @r"
ID: msg_0351BT5XclOIVf0PcfeFWx
Event: run.failed
Run: 019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10
State: pending
Attempt: 2
Answer: 503
Took: 7 ms
Body: not now
Next attempt: 2026-11-21T00:05:00Z
");
    }
}
