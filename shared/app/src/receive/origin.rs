//! Whose code it is: of a comment on a pull request GitHub does not tell it, and without it a run gets no secrets. As for an
//! address, whoever speaks to the provider asks for it while the delivery waits.

use ozma_domain::delivery::{Delivery, DeliverySource};
use ozma_domain::provider::Occurrence;
use ozma_domain::webhook::WebhookConfig;
use ozma_store::StoreError;

use crate::App;

/// Whether there is somebody to ask: the App that the webhook answers with.
pub(super) async fn may_be_asked(app: &App, delivery: &Delivery) -> Result<bool, StoreError> {
    let DeliverySource::Webhook(webhook) = &delivery.source else { return Ok(false) };
    let found = app.store.webhook(webhook).await?.map(|saved| saved.webhook.config);
    Ok(found.as_ref().is_some_and(WebhookConfig::is_looked_after))
}

/// What is said to whoever tries an automation with such an event.
pub(super) fn to_be_asked(occurrence: &Occurrence) -> String {
    let (provider, item) = (occurrence.provider, occurrence.keys.item.as_deref().unwrap_or_default());
    format!("when it comes, {provider} is asked first whose code {item} brings: secrets are for the repository's own")
}
