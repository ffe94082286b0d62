//! Subscriptions: list, create, get, replace, rotate, delete, test; what was sent to them, and sending it again. None of it is
//! in the contract.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use ozma_app::App;
use ozma_app::subscriptions;
use ozma_domain::id::NotificationId;
use ozma_domain::limits;
use ozma_domain::notification as sent;
use ozma_domain::receiver::ReceiverUrl;
use ozma_domain::subscription as domain;
use ozma_domain::subscription::Topic;

use crate::auth::Caller;
use crate::body::Body;
use crate::error::ApiError;
use crate::path::Path;
use crate::query::Pairs;
use crate::wire::{
    Attempt, Deleted, Notification, NotificationList, Problem, Subscription, SubscriptionConfig, SubscriptionList,
};

/// Every subscription of the team, by name.
#[utoipa::path(
    get,
    path = "/subscriptions",
    operation_id = "listSubscriptions",
    responses((status = 200, body = SubscriptionList), (status = 401, body = Problem)),
    tag = "subscriptions"
)]
pub(crate) async fn list(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<SubscriptionList>, ApiError> {
    let all = subscriptions::list(&app, &caller.team).await?;
    Ok(Json(SubscriptionList { subscriptions: all.into_iter().map(answer).collect() }))
}

/// Creates a subscription. Its secret is in this answer and in no other.
#[utoipa::path(
    post,
    path = "/subscriptions",
    operation_id = "createSubscription",
    request_body = SubscriptionConfig,
    responses((status = 201, body = Subscription), (status = 400, body = Problem), (status = 401, body = Problem)),
    tag = "subscriptions"
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    body: Body<SubscriptionConfig>,
) -> Result<(StatusCode, Json<Subscription>), ApiError> {
    let subscription = subscriptions::create(&app, &caller.team, config(body.value)?).await?;
    Ok((StatusCode::CREATED, Json(answer_with_secret(&app, subscription))))
}

/// One subscription, by id or by name.
#[utoipa::path(
    get,
    path = "/subscriptions/{id}",
    operation_id = "getSubscription",
    params(("id" = String, Path, description = "The id, or the name")),
    responses((status = 200, body = Subscription), (status = 404, body = Problem), (status = 409, body = Problem)),
    tag = "subscriptions"
)]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Subscription>, ApiError> {
    Ok(Json(answer(subscriptions::find(&app, &caller.team, &id).await?)))
}

/// Replaces a subscription's configuration, and with `paused` pauses or resumes it. Its secret stays.
#[utoipa::path(
    put,
    path = "/subscriptions/{id}",
    operation_id = "updateSubscription",
    params(("id" = String, Path, description = "The id, or the name")),
    request_body = SubscriptionConfig,
    responses(
        (status = 200, body = Subscription),
        (status = 400, body = Problem),
        (status = 404, body = Problem),
        (status = 409, body = Problem),
    ),
    tag = "subscriptions"
)]
pub(crate) async fn update(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Body<SubscriptionConfig>,
) -> Result<Json<Subscription>, ApiError> {
    Ok(Json(answer(subscriptions::update(&app, &caller.team, &id, config(body.value)?).await?)))
}

/// Deletes a subscription, and what was sent to it from the log. What was still to be tried is given up.
#[utoipa::path(
    delete,
    path = "/subscriptions/{id}",
    operation_id = "deleteSubscription",
    params(("id" = String, Path, description = "The id, or the name")),
    responses((status = 200, body = Deleted), (status = 404, body = Problem), (status = 409, body = Problem)),
    tag = "subscriptions"
)]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Deleted>, ApiError> {
    subscriptions::delete(&app, &caller.team, &id).await?;
    Ok(Json(Deleted { success: true }))
}

/// Gives a subscription a new secret, which is in this answer and in no other. For 24 hours, what is sent is signed with the one
/// before as well.
#[utoipa::path(
    post,
    path = "/subscriptions/{id}/rotate-secret",
    operation_id = "rotateSubscriptionSecret",
    params(("id" = String, Path, description = "The id, or the name")),
    responses((status = 200, body = Subscription), (status = 404, body = Problem), (status = 409, body = Problem)),
    tag = "subscriptions"
)]
pub(crate) async fn rotate_secret(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Subscription>, ApiError> {
    let subscription = subscriptions::rotate(&app, &caller.team, &id).await?;
    Ok(Json(answer_with_secret(&app, subscription)))
}

/// Sends a `ping`, once, whether or not the subscription is paused. What came of it is soon among its deliveries.
#[utoipa::path(
    post,
    path = "/subscriptions/{id}/test",
    operation_id = "testSubscription",
    params(("id" = String, Path, description = "The id, or the name")),
    responses((status = 202, body = Notification), (status = 404, body = Problem), (status = 409, body = Problem)),
    tag = "subscriptions"
)]
pub(crate) async fn test(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<Notification>), ApiError> {
    let ping = subscriptions::test(&app, &caller.team, &id).await?;
    Ok((StatusCode::ACCEPTED, Json(notification(ping))))
}

/// What was sent to a subscription in the last 30 days, or is still to be, newest first.
#[utoipa::path(
    get,
    path = "/subscriptions/{id}/deliveries",
    operation_id = "listSubscriptionDeliveries",
    params(
        ("id" = String, Path, description = "The id, or the name"),
        ("limit" = Option<usize>, Query, description = "1 to 100, 20 if absent"),
        ("before" = Option<String>, Query, description = "Only those before this one: the next_before of the page before"),
    ),
    responses(
        (status = 200, body = NotificationList),
        (status = 400, body = Problem),
        (status = 404, body = Problem),
        (status = 409, body = Problem),
    ),
    tag = "subscriptions"
)]
pub(crate) async fn deliveries(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    pairs: Pairs,
) -> Result<Json<NotificationList>, ApiError> {
    let limit = pairs.parsed::<usize>("limit")?.unwrap_or(limits::PAGE_NOTIFICATIONS_DEFAULT);
    if !(1..=limits::PAGE_NOTIFICATIONS).contains(&limit) {
        return Err(ApiError::invalid("limit", format!("from 1 to {}", limits::PAGE_NOTIFICATIONS)));
    }
    let before = pairs.parsed::<NotificationId>("before")?;
    let found = subscriptions::notifications(&app, &caller.team, &id, before.as_ref(), limit).await?;
    let next_before = found.last().filter(|_| found.len() == limit).map(|last| last.id.clone());
    Ok(Json(NotificationList { deliveries: found.into_iter().map(notification).collect(), next_before }))
}

/// Sends a delivery again: one more attempt now, with the same `webhook-id` and body. One that is still tried is tried now, and
/// goes on with its schedule if that fails.
#[utoipa::path(
    post,
    path = "/subscriptions/{id}/deliveries/{delivery}/replay",
    operation_id = "replaySubscriptionDelivery",
    params(("id" = String, Path, description = "The id, or the name"), ("delivery" = String, Path)),
    responses((status = 202, body = Notification), (status = 404, body = Problem), (status = 409, body = Problem)),
    tag = "subscriptions"
)]
pub(crate) async fn replay(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((id, delivery)): Path<(String, String)>,
) -> Result<(StatusCode, Json<Notification>), ApiError> {
    let replayed = subscriptions::replay(&app, &caller.team, &id, &delivery).await?;
    Ok((StatusCode::ACCEPTED, Json(notification(replayed))))
}

pub(crate) fn config(wire: SubscriptionConfig) -> Result<domain::SubscriptionConfig, ApiError> {
    let url = wire.url.filter(|url| !url.is_empty());
    let url = url.ok_or_else(|| ApiError::invalid("url", "needed: where notifications are posted to"))?;
    let url = url.parse::<ReceiverUrl>().map_err(|err| ApiError::invalid("url", err))?;
    let events = wire.events.unwrap_or_default();
    let topics = events.iter().map(|event| event.parse::<Topic>()).collect::<Result<_, _>>();
    Ok(domain::SubscriptionConfig {
        name: wire.name.unwrap_or_default(),
        url,
        topics: topics.map_err(|err| ApiError::invalid("events", err))?,
        paused: wire.paused.unwrap_or_default(),
    })
}

pub(crate) fn answer_with_secret(app: &App, subscription: domain::Subscription) -> Subscription {
    let secret = subscription.secret(&app.settings.webhook_key).expose().to_owned();
    Subscription { secret: Some(secret), ..answer(subscription) }
}

pub(crate) fn answer(subscription: domain::Subscription) -> Subscription {
    let domain::Subscription { id, config, paused_because, failing_since, rotated_at, .. } = subscription;
    Subscription {
        id,
        name: config.name,
        url: config.url.to_string(),
        events: config.topics.into_iter().collect(),
        paused: config.paused,
        paused_because,
        failing_since,
        secret: None,
        secret_rotated_at: rotated_at,
        created_at: subscription.created_at,
        last_updated: subscription.last_updated,
    }
}

fn notification(sent: sent::Notification) -> Notification {
    let attempts = sent.attempts.iter().map(|attempt| Attempt {
        number: attempt.number,
        at: attempt.at,
        latency_ms: attempt.latency_ms,
        status: attempt.status,
        body: Some(attempt.body.clone()).filter(|body| !body.is_empty()),
        error: attempt.error.clone(),
    });
    Notification {
        event: sent.topic,
        run_id: sent.run_id,
        state: sent.progress(),
        created_at: sent.created_at,
        next_attempt_at: sent.next_at,
        delivered_at: sent.delivered_at,
        reason: sent.reason.clone(),
        attempts: attempts.collect(),
        id: sent.id,
    }
}
