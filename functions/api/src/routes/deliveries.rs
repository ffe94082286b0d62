//! The log of what came in: list, get, replay.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use ozma_app::App;
use ozma_app::deliveries::{self, Wanted};
use ozma_app::receive;
use ozma_domain::delivery::{self as domain, DeliverySource, OwedState, Owes, Verdict};
use ozma_domain::id::DeliveryId;
use ozma_domain::identity::{Asking, Question};
use ozma_domain::limits;
use ozma_domain::provider::Control;
use ozma_store::SavedDelivery;

use crate::auth::Caller;
use crate::error::ApiError;
use crate::path::Path;
use crate::query::Pairs;
use crate::wire::{Delivery, DeliveryLeft, DeliveryList, DeliveryReply, DeliveryRun, DeliveryWord, Problem};

/// What came in lately, newest first, and what became of it.
#[utoipa::path(
    get,
    path = "/deliveries",
    operation_id = "listDeliveries",
    params(
        ("webhook" = Option<String>, Query, description = "Those at one webhook, by id or name"),
        ("automation" = Option<String>, Query, description = "Those at the address of one automation, by id or name"),
        ("limit" = Option<usize>, Query, description = "At most 200; 50 if nothing is said"),
        ("before" = Option<String>, Query, description = "Those older than that one"),
    ),
    responses((status = 200, body = DeliveryList), (status = 400, body = Problem), (status = 404, body = Problem)),
    tag = "webhooks"
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    query: Pairs,
) -> Result<Json<DeliveryList>, ApiError> {
    let limit = query.parsed("limit")?.unwrap_or(limits::PAGE_DELIVERIES_DEFAULT);
    if !(1..=limits::PAGE_DELIVERIES).contains(&limit) {
        return Err(ApiError::invalid("limit", format!("from 1 to {}", limits::PAGE_DELIVERIES)));
    }
    let source = match (query.text("webhook"), query.text("automation")) {
        (Some(webhook), _) => {
            Some(DeliverySource::Webhook(ozma_app::webhooks::find(&app, &caller.team, &webhook).await?.id))
        }
        (None, Some(automation)) => {
            Some(DeliverySource::Automation(ozma_app::automations::find(&app, &caller.team, &automation).await?.id))
        }
        (None, None) => None,
    };
    let wanted = Wanted { source, before: query.parsed("before")?, limit };
    let found = deliveries::list(&app, &caller.team, &wanted).await?;
    let before = found.last().filter(|_| found.len() == limit).map(|last| last.delivery.id);
    Ok(Json(DeliveryList { deliveries: found.into_iter().map(answer).collect(), before }))
}

/// One delivery, with what it said.
#[utoipa::path(
    get,
    path = "/deliveries/{id}",
    operation_id = "getDelivery",
    params(("id" = String, Path)),
    responses((status = 200, body = Delivery), (status = 404, body = Problem)),
    tag = "webhooks"
)]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Delivery>, ApiError> {
    let id = parsed(&id)?;
    let saved = deliveries::find(&app, &caller.team, id).await?.ok_or_else(|| unknown(id))?;
    let body = deliveries::body(&app, &saved.delivery).await?;
    let payload = body.and_then(|body| serde_json::from_slice(&body).ok());
    Ok(Json(Delivery { payload, ..answer(saved) }))
}

/// Delivers once more what came before, as a delivery of its own: to every automation that listens now.
#[utoipa::path(
    post,
    path = "/deliveries/{id}/replay",
    operation_id = "replayDelivery",
    params(("id" = String, Path)),
    responses((status = 201, body = Delivery), (status = 404, body = Problem), (status = 429, body = Problem)),
    tag = "webhooks"
)]
pub(crate) async fn replay(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<Delivery>), ApiError> {
    let id = parsed(&id)?;
    let delivered = receive::replay(&app, &caller.team, id).await?.ok_or_else(|| unknown(id))?;
    let saved = SavedDelivery { delivery: delivered.delivery, repeats: 0, version: 0, expires: 0 };
    Ok((StatusCode::CREATED, Json(answer(saved))))
}

pub(super) fn parsed(id: &str) -> Result<DeliveryId, ApiError> {
    id.parse().map_err(|err| ApiError::invalid("delivery_id", err))
}

/// One that was rejected has nothing to try or to deliver again.
pub(super) fn unknown(id: DeliveryId) -> ApiError {
    ApiError::not_found(format!(
        "there is no delivery {id} whose body was kept; `oz delivery list` shows those there are"
    ))
}

fn answer(saved: SavedDelivery) -> Delivery {
    let SavedDelivery { delivery, repeats, .. } = saved;
    let (source, source_id) = match &delivery.source {
        DeliverySource::Webhook(id) => ("webhook", id.to_string()),
        DeliverySource::Automation(id) => ("automation", id.to_string()),
        DeliverySource::Account(id) => ("account", id.to_string()),
    };
    let waits_for = delivery.asking().map(waits_for);
    let unknown = delivery.unknown().map(str::to_owned);
    let (verdict, reason, status) = match delivery.verdict {
        Verdict::Accepted => ("accepted", None, None),
        Verdict::NotUsed(why) => ("not_used", Some(why), None),
        Verdict::Rejected { status, reason } => ("rejected", Some(reason), Some(status)),
    };
    Delivery {
        id: delivery.id,
        received_at: delivery.received_at,
        source: source.to_owned(),
        source_id,
        sender_id: delivery.sender_id,
        provider: delivery.provider.map(|provider| provider.to_string()),
        event: delivery.event,
        url: delivery.url,
        bytes: delivery.bytes,
        verdict: verdict.to_owned(),
        reason,
        status,
        repeats,
        waits_for,
        runs: delivery.runs.into_iter().map(|owed| run(owed, unknown.as_deref())).collect(),
        left: delivery.left.into_iter().map(|left| DeliveryLeft { automation: left.name, why: left.why }).collect(),
        word: delivery.told.map(word),
        reply: delivery.reply.map(reply),
        replay_of: delivery.replay_of,
        payload: None,
    }
}

fn waits_for(asking: &Asking) -> String {
    let what = match asking.question {
        Question::Address => "its provider to say who caused it",
        Question::Origin => "its provider to say whose code the pull request brings",
    };
    match &asking.reason {
        Some(reason) => format!("{what}; asked again at {}: {reason}", asking.next_at),
        None => what.to_owned(),
    }
}

fn run(owed: domain::Owed, unknown: Option<&str>) -> DeliveryRun {
    let no_secrets = || format!("without secrets: {}", domain::no_secrets(unknown));
    let (state, reason) = match owed.state {
        OwedState::Owed => ("owed", None),
        OwedState::Started => match owed.owes {
            Owes::Run => ("started", (!owed.secrets).then(no_secrets)),
            Owes::FollowUp => ("followed_up", None),
        },
        OwedState::Refused { reason, .. } => ("refused", Some(reason)),
    };
    DeliveryRun {
        automation_id: owed.automation,
        automation: owed.name,
        run_id: owed.run_id,
        state: state.to_owned(),
        reason,
    }
}

fn word(told: domain::Told) -> DeliveryWord {
    let said = match told.word {
        Control::Stop { .. } => "stop",
        Control::Status { .. } => "status",
        Control::Help => "help",
    };
    DeliveryWord { said: said.to_owned(), done: told.done, run_ids: told.runs }
}

fn reply(reply: domain::Reply) -> DeliveryReply {
    DeliveryReply { text: reply.text, person: reply.person, posted: reply.posted || reply.place.is_none() }
}

#[cfg(test)]
mod tests {
    use ozma_domain::id::{AutomationId, RunId};

    use super::*;

    #[test]
    fn a_run_without_secrets_says_why() {
        let check = |secrets, unknown, expected: Option<&str>| {
            let owed = domain::Owed {
                automation: AutomationId::new([1; 16]),
                name: "fix".to_owned(),
                run_id: RunId::new(1, [1; 10]),
                secrets,
                owes: Owes::Run,
                state: OwedState::Started,
            };
            assert_eq!(run(owed, unknown).reason.as_deref(), expected);
        };
        check(true, None, None);
        check(false, None, Some("without secrets: the code may be a stranger's"));
        let why =
            "without secrets: the code may be a stranger's, because it could not be found out whose it is: no route";
        check(false, Some("no route"), Some(why));
    }

    #[test]
    fn what_is_waited_for_is_said() {
        let check = |question, reason: Option<&str>, expected: &str| {
            let reason = reason.map(str::to_owned);
            let asking = Asking { question, failures: 0, next_at: "2026-11-29T10:00:00Z".parse().unwrap(), reason };
            assert_eq!(waits_for(&asking), expected);
        };
        check(Question::Address, None, "its provider to say who caused it");
        let expected =
            "its provider to say whose code the pull request brings; asked again at 2026-11-29T10:00:00Z: no route";
        check(Question::Origin, Some("no route"), expected);
    }
}
