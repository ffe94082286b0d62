//! Deliveries, for people who look after what came in.

use ozma_domain::delivery::{Delivery, DeliverySource, Verdict};
use ozma_domain::id::{DeliveryId, TeamId};
use ozma_domain::provider::Own;
use ozma_domain::webhook::{InvalidPayload, Payload};
use ozma_store::{ArchiveKey, SavedDelivery, StoreError};
use serde_json::Value;

use crate::App;

/// Which deliveries are asked for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Those at one address: of a webhook, or an automation's own.
    pub source: Option<DeliverySource>,
    /// Older than that one.
    pub before: Option<DeliveryId>,
    pub limit: usize,
}

/// How many are looked through for one page: the log is the team's, and an address may have none in it.
const LOOKED_THROUGH: usize = 2_000;

/// Deliveries of the team, newest first. With a source, of the latest 2,000 before the bound.
pub async fn list(app: &App, team: &TeamId, wanted: &Wanted) -> Result<Vec<SavedDelivery>, StoreError> {
    let Some(source) = &wanted.source else {
        return app.store.latest_deliveries(team, wanted.before, wanted.limit).await;
    };
    let mut found = app.store.latest_deliveries(team, wanted.before, LOOKED_THROUGH).await?;
    found.retain(|row| row.delivery.source == *source);
    found.truncate(wanted.limit);
    Ok(found)
}

pub async fn find(app: &App, team: &TeamId, id: DeliveryId) -> Result<Option<SavedDelivery>, StoreError> {
    app.store.delivery(team, id).await
}

/// The body of a delivery, as it came. None: it was not taken, or it has expired.
pub async fn body(app: &App, delivery: &Delivery) -> Result<Option<Vec<u8>>, StoreError> {
    if matches!(delivery.verdict, Verdict::Rejected { .. }) {
        return Ok(None);
    }
    let key = ArchiveKey::Payload { team: &delivery.team, delivery: delivery.id };
    Ok(app.archive.read(&key).await?.map(|object| object.bytes.to_vec()))
}

/// A delivery and what it said. None: there is no such delivery, or no body of it.
pub(crate) async fn with_payload(
    app: &App,
    team: &TeamId,
    id: DeliveryId,
) -> Result<Option<(Delivery, Value)>, StoreError> {
    let Some(SavedDelivery { delivery, .. }) = find(app, team, id).await? else { return Ok(None) };
    Ok(payload(app, &delivery).await?.map(|payload| (delivery, payload)))
}

/// What a delivery said.
pub(crate) async fn payload(app: &App, delivery: &Delivery) -> Result<Option<Value>, StoreError> {
    let Some(body) = body(app, delivery).await? else { return Ok(None) };
    // A planned event may say nothing.
    if body.is_empty() {
        return Ok(Some(Value::Null));
    }
    let unreadable = |err: InvalidPayload| {
        let what = format!("the body of the delivery {}", delivery.id);
        StoreError::Unreadable { what, cause: err.into() }
    };
    Ok(Some(Payload::json(&body).map_err(unreadable)?.0))
}

/// What counted as our own doing at its address.
pub(crate) async fn own(app: &App, delivery: &Delivery) -> Result<Own, StoreError> {
    let DeliverySource::Webhook(id) = &delivery.source else { return Ok(Own::default()) };
    Ok(app.store.webhook(id).await?.map(|saved| saved.webhook.config.own()).unwrap_or_default())
}
