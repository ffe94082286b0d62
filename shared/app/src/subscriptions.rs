//! Subscriptions: create, change, rotate, delete, try; what was sent to them, and sending it again. What is refused says which
//! field and why.

use ozma_domain::id::{NotificationId, SubscriptionId, TeamId};
use ozma_domain::limits;
use ozma_domain::notification::{Notification, ping};
use ozma_domain::plan::Plan;
use ozma_domain::subscription::{Subscription, SubscriptionConfig, Topic};
use ozma_domain::template::InvalidField;
use ozma_store::{SavedSubscription, StoreError, TeamRow, Written};

use crate::App;
use crate::notify::send;

#[derive(Debug, thiserror::Error)]
pub enum SubscriptionError {
    #[error("there is no subscription {0}")]
    Unknown(String),
    #[error("more than one subscription is named \"{0}\"; say which one by its id")]
    Ambiguous(String),
    #[error("there is no delivery {0} of this subscription; they are kept for 30 days")]
    UnknownNotification(String),
    #[error(transparent)]
    Invalid(#[from] InvalidField),
    #[error("the team has {} subscriptions already; delete some that are not needed any more", limits::SUBSCRIPTIONS)]
    TooMany,
    #[error("the subscription was changed or deleted at the same moment; look at it again")]
    Lost,
    /// 409, worth another try.
    #[error("an attempt is being made at this moment; look at it, and try again")]
    Busy,
    #[error("the subscription could not be read or stored")]
    Store(#[from] StoreError),
}

pub async fn create(app: &App, team: &TeamId, config: SubscriptionConfig) -> Result<Subscription, SubscriptionError> {
    check(app, &config)?;
    if app.store.subscriptions(team, limits::SUBSCRIPTIONS).await?.len() >= limits::SUBSCRIPTIONS {
        return Err(SubscriptionError::TooMany);
    }
    let subscription = made(app, team, config);
    let smallest = Plan::named("free").expect("a plan that comes with Ozma");
    match app.store.create_subscription(&subscription, &TeamRow::new(team.clone(), smallest)).await? {
        Written::Now => Ok(subscription),
        Written::Lost => Err(SubscriptionError::Lost),
    }
}

/// A new one, to be stored.
pub(crate) fn made(app: &App, team: &TeamId, config: SubscriptionConfig) -> Subscription {
    let now = app.now();
    Subscription {
        id: SubscriptionId::new(app.random_bits()),
        team: team.clone(),
        config,
        paused_because: None,
        failing_since: None,
        secret_generation: 1,
        rotated_at: None,
        created_at: now,
        last_updated: now,
    }
}

/// Every subscription of the team, by name.
pub async fn list(app: &App, team: &TeamId) -> Result<Vec<Subscription>, StoreError> {
    let all = app.store.subscriptions(team, limits::SUBSCRIPTIONS).await?;
    let mut all: Vec<Subscription> = all.into_iter().map(|saved| saved.subscription).collect();
    all.sort_by(|a, b| (&a.config.name, &a.id).cmp(&(&b.config.name, &b.id)));
    Ok(all)
}

/// By id, or by a name that no other subscription of the team has.
pub async fn find(app: &App, team: &TeamId, id_or_name: &str) -> Result<Subscription, SubscriptionError> {
    Ok(read(app, team, id_or_name).await?.subscription)
}

/// Replaces what a user sets. The secret stays.
pub async fn update(
    app: &App,
    team: &TeamId,
    id_or_name: &str,
    config: SubscriptionConfig,
) -> Result<Subscription, SubscriptionError> {
    check(app, &config)?;
    let old = read(app, team, id_or_name).await?;
    let new = old.subscription.changed(config, app.now());
    saved(app.store.update_subscription(&old, &new).await?, new)
}

/// Gives it a new secret. For a day more, what is sent is signed with the one before as well.
pub async fn rotate(app: &App, team: &TeamId, id_or_name: &str) -> Result<Subscription, SubscriptionError> {
    let old = read(app, team, id_or_name).await?;
    let new = old.subscription.rotated(app.now());
    saved(app.store.update_subscription(&old, &new).await?, new)
}

/// What was still to be sent to it is given up.
pub async fn delete(app: &App, team: &TeamId, id_or_name: &str) -> Result<(), SubscriptionError> {
    let old = read(app, team, id_or_name).await?;
    match app.store.delete_subscription(&old).await? {
        Written::Now => Ok(app.store.forget_subscriptions(team).await?),
        Written::Lost => Err(SubscriptionError::Lost),
    }
}

/// Sends a ping, once, paused or not. What came of it is in the notification, soon.
pub async fn test(app: &App, team: &TeamId, id_or_name: &str) -> Result<Notification, SubscriptionError> {
    let Subscription { id: subscription, config, .. } = find(app, team, id_or_name).await?;
    let now = app.now();
    let body = ping(&subscription, &config.name, now);
    let id = NotificationId::new(now, app.id_bits());
    let new = Notification::new(id, subscription, team.clone(), Topic::Ping, None, body, now).once();
    app.store.create_notification(&new).await?;
    send(app, &new).await;
    Ok(new)
}

/// What was sent to it or is still to be, newest first, at most `limit`; only those before `before`, if that is given.
pub async fn notifications(
    app: &App,
    team: &TeamId,
    id_or_name: &str,
    before: Option<&NotificationId>,
    limit: usize,
) -> Result<Vec<Notification>, SubscriptionError> {
    let subscription = find(app, team, id_or_name).await?;
    Ok(app.store.notifications(&subscription.id, before, limit).await?)
}

/// One more attempt now, with the same id, paused or not.
pub async fn replay(app: &App, team: &TeamId, id_or_name: &str, id: &str) -> Result<Notification, SubscriptionError> {
    let unknown = || SubscriptionError::UnknownNotification(id.chars().take(80).collect());
    let subscription = find(app, team, id_or_name).await?;
    let id: NotificationId = id.parse().map_err(|_| unknown())?;
    loop {
        let old = app.store.notification(&subscription.id, &id).await?.ok_or_else(unknown)?;
        let new = old.notification.replayed(app.now()).ok_or(SubscriptionError::Busy)?;
        if app.store.update_notification(&old, &new).await? == Written::Now {
            send(app, &new).await;
            return Ok(new);
        }
    }
}

async fn read(app: &App, team: &TeamId, id_or_name: &str) -> Result<SavedSubscription, SubscriptionError> {
    if let Ok(id) = id_or_name.parse::<SubscriptionId>()
        && let Some(found) = app.store.subscription(team, &id).await?
    {
        return Ok(found);
    }
    let all = app.store.subscriptions(team, limits::SUBSCRIPTIONS).await?;
    let mut named = all.into_iter().filter(|saved| saved.subscription.config.name == id_or_name);
    let shortened = || id_or_name.chars().take(80).collect();
    match (named.next(), named.next()) {
        (Some(found), None) => Ok(found),
        (Some(_), Some(_)) => Err(SubscriptionError::Ambiguous(shortened())),
        (None, _) => Err(SubscriptionError::Unknown(shortened())),
    }
}

pub(crate) fn check(app: &App, config: &SubscriptionConfig) -> Result<(), InvalidField> {
    config.check()?;
    config.url.check(app.settings.receivers).map_err(|err| InvalidField::new("url", err.to_string()))
}

fn saved(written: Written, subscription: Subscription) -> Result<Subscription, SubscriptionError> {
    match written {
        Written::Now => Ok(subscription),
        Written::Lost => Err(SubscriptionError::Lost),
    }
}
