//! Notify: a run has changed its state, and each subscription that wants to know gets a notification of its own. What is to be
//! sent is noted first, with when; the messages that set it going may be lost.

use jiff::Timestamp;
use ozma_domain::id::NotificationId;
use ozma_domain::id::RunId;
use ozma_domain::limits;
use ozma_domain::notification::{Cost, Notification, body};
use ozma_domain::run::{Run, RunRequest};
use ozma_domain::subscription::Topic;
use ozma_domain::text::chain;
use ozma_store::StoreError;

use crate::App;
use crate::ports::QueueMessage;

#[derive(Debug, thiserror::Error)]
#[error("a change of a run could not be told to those who subscribed")]
pub struct NotifyError(#[from] StoreError);

/// A run is in the queue or has started, in the execution of that number. What it has come to since then does not matter.
pub async fn changed(app: &App, run: RunId, execution: u32, topic: Topic, at: Timestamp) -> Result<(), NotifyError> {
    let Some(run) = app.store.run(run).await? else { return Ok(()) };
    let Some(request) = app.store.request(&run.team, run.run_id).await? else { return Ok(()) };
    Ok(each(app, &run, &request, execution, topic, at).await?)
}

/// A run has ended.
pub(crate) async fn ended(app: &App, run: &Run, request: &RunRequest) -> Result<(), StoreError> {
    let Some(topic) = Topic::of_end(run.state) else { return Ok(()) };
    each(app, run, request, run.executions, topic, run.ended_at.unwrap_or(run.updated_at)).await
}

async fn each(
    app: &App,
    run: &Run,
    request: &RunRequest,
    execution: u32,
    topic: Topic,
    at: Timestamp,
) -> Result<(), StoreError> {
    let team = app.team(&run.team).await?;
    if team.subscribed.is_none() {
        return Ok(());
    }
    let subscriptions = app.store.subscriptions(&run.team, limits::SUBSCRIPTIONS).await?;
    let seconds = run.compute_seconds;
    let billed = app.settings.billed && seconds > 0;
    let size = run.size(team.plan.size);
    let cost = Cost { compute_micro_usd: if billed { size.fargate_micro_usd(seconds) } else { 0 } };
    for subscription in subscriptions.into_iter().map(|saved| saved.subscription).filter(|found| found.hears(topic)) {
        let id = NotificationId::of(&subscription.id, run.run_id, execution, topic, at);
        let said = body(topic, at, execution, run, request, cost);
        let team = run.team.clone();
        let new = Notification::new(id, subscription.id, team, topic, Some(run.run_id), said, app.now());
        // Noted before: it is sent once more, and whoever handles that sees what is to be done.
        app.store.create_notification(&new).await?;
        send(app, &new).await;
    }
    Ok(())
}

/// Sets a notification going. If it is lost, the sweep finds the notification overdue.
pub(crate) async fn send(app: &App, notification: &Notification) {
    if let Err(err) = app.queue.send(message(notification)).await {
        tracing::warn!(notification.id = %notification.id, error = %chain(&err), "could not send a notification on its way; the sweep will");
    }
}

pub(crate) fn message(notification: &Notification) -> QueueMessage {
    let Notification { team, subscription, id, .. } = notification;
    QueueMessage::Notify { team: team.clone(), subscription: subscription.clone(), notification: id.clone() }
}

/// Sets going that people are told how a run stands, where that is so. What an end owes the sweep finds; an earlier message
/// that is lost is made up for by the next.
pub(crate) async fn send_answer(app: &App, run: &Run) {
    if !run.answered {
        return;
    }
    let message = QueueMessage::Answer { team: run.team.clone(), run: run.run_id };
    if let Err(err) = app.queue.send(message).await {
        tracing::warn!(run.id = %run.run_id, error = %chain(&err), "could not set an answer on its way");
    }
}

/// Tells that a run is in the queue or has started: those who subscribed, if anybody has, and people where it was asked for.
/// Nothing is owed of that: if the message is lost, nobody is notified.
pub(crate) async fn send_changed(app: &App, run: &Run, is_subscribed: bool, topic: Topic, at: Timestamp) {
    send_answer(app, run).await;
    if !is_subscribed {
        return;
    }
    let (team, execution) = (run.team.clone(), run.executions);
    let message = QueueMessage::Changed { team, run: run.run_id, execution, topic, at };
    if let Err(err) = app.queue.send(message).await {
        tracing::warn!(run.id = %run.run_id, error = %chain(&err), "could not tell of {topic}; nobody is notified of it");
    }
}
