//! Deliver: one attempt to send a notification. That it is made is noted before it is sent, and what came of it after: of two
//! who handle the same message one makes the attempt, and one that died in between counts once.

use std::time::Duration;

use ozma_domain::id::{NotificationId, SubscriptionId, TeamId};
use ozma_domain::limits;
use ozma_domain::notification::{Answer, Due, Notification, Progress, Verdict};
use ozma_domain::standard_webhooks;
use ozma_domain::subscription::Subscription;
use ozma_domain::text::chain;
use ozma_store::{SavedNotification, StoreError, Written};

use crate::App;
use crate::metrics;
use crate::notify::message;
use crate::outbound::{Post, post};

/// What the receiver answered is no error here, and neither is silence: that is noted.
#[derive(Debug, thiserror::Error)]
#[error("an attempt to deliver a notification could not be noted")]
pub struct DeliverError(#[from] StoreError);

/// Makes the attempt that is due, if there is one.
pub async fn deliver(
    app: &App,
    team: &TeamId,
    subscription: &SubscriptionId,
    id: &NotificationId,
) -> Result<(), DeliverError> {
    let Some(saved) = app.store.notification(subscription, id).await? else { return Ok(()) };
    let began = app.now();
    let begun = match saved.notification.due(began) {
        Due::Attempt(begun) => *begun,
        Due::Lost(lost) => {
            tracing::warn!(notification.id = %id, subscription.id = %subscription, "whoever made an attempt is gone");
            return Ok(note(app, &saved, &lost).await?);
        }
        Due::Nothing => return Ok(()),
    };
    let found = app.store.subscription(team, subscription).await?.map(|saved| saved.subscription);
    let Some(receiver) = found else {
        return Ok(note(app, &saved, &saved.notification.given_up("the subscription was deleted")).await?);
    };
    if receiver.config.paused && !begun.wanted {
        return Ok(note(app, &saved, &saved.notification.given_up("the subscription is paused")).await?);
    }
    if app.store.update_notification(&saved, &begun).await? == Written::Lost {
        return Ok(());
    }
    let saved = SavedNotification { notification: begun, version: saved.version + 1 };
    let answer = attempt(app, &receiver, &saved.notification).await;
    let now = app.now();
    // First, so that a receiver that is gone is left alone whatever happens next.
    judge(app, receiver, &answer).await?;
    let after = saved.notification.after(began, &answer, now);
    tracing::info!(
        notification.id = %id,
        subscription.id = %subscription,
        status = answer.status,
        error = answer.error,
        latency_ms = answer.latency_ms,
        progress = ?after.progress(),
        "made an attempt to deliver a notification"
    );
    if after.progress() == Progress::Dead {
        metrics::count("NotificationsDead", 1);
    }
    Ok(note(app, &saved, &after).await?)
}

async fn attempt(app: &App, receiver: &Subscription, notification: &Notification) -> Answer {
    let now = app.now();
    let (id, at, body) = (notification.id.as_str(), now.as_second(), notification.body.as_bytes());
    let secrets = receiver.secrets(&app.settings.webhook_key, now);
    let signatures: Vec<String> = secrets.iter().map(|secret| secret.sign(id, at, body)).collect();
    let post_it = Post {
        url: &receiver.config.url,
        headers: [
            (standard_webhooks::ID, id.to_owned()),
            (standard_webhooks::TIMESTAMP, at.to_string()),
            (standard_webhooks::SIGNATURE, signatures.join(" ")),
        ],
        body: notification.body.clone(),
    };
    post(post_it, app.settings.receivers, Duration::from_secs(limits::ATTEMPT_SECONDS)).await
}

/// Notes what an answer says of the subscription.
async fn judge(app: &App, mut receiver: Subscription, answer: &Answer) -> Result<(), StoreError> {
    loop {
        let now = app.now();
        let changed = match answer.verdict() {
            Verdict::Delivered => receiver.after_success(),
            Verdict::Failed => receiver.after_failure(now),
            Verdict::Gone => receiver.after_gone(now),
        };
        if changed.is_none() {
            return Ok(());
        }
        // What it says now, with its version.
        let Some(saved) = app.store.subscription(&receiver.team, &receiver.id).await? else { return Ok(()) };
        if saved.subscription != receiver {
            // Another receiver has not answered so.
            if saved.subscription.config.url != receiver.config.url {
                return Ok(());
            }
            receiver = saved.subscription;
            continue;
        }
        let Some(changed) = changed else { return Ok(()) };
        if app.store.update_subscription(&saved, &changed).await? == Written::Now {
            if let Some(reason) = &changed.paused_because {
                tracing::warn!(subscription.id = %receiver.id, reason, "paused a subscription");
            }
            return Ok(());
        }
    }
}

/// Writes where a notification stands, and sets the timer for its next attempt. Without one the sweep finds it overdue.
async fn note(app: &App, was: &SavedNotification, is: &Notification) -> Result<(), StoreError> {
    if app.store.update_notification(was, is).await? == Written::Lost {
        tracing::warn!(notification.id = %is.id, "somebody else noted an attempt as lost");
        return Ok(());
    }
    if let Some(at) = is.next_at
        && let Err(err) = app.timer.send_at(at, message(is)).await
    {
        tracing::warn!(notification.id = %is.id, error = %chain(&err), "could not set a timer for an attempt; the sweep will see to it");
    }
    Ok(())
}
