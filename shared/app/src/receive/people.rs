//! Who did it: an address that the event does not tell and that decides whether they may. What takes events speaks to no
//! provider, as it has no secrets and a few seconds: it reads what is known, or leaves the delivery to whoever asks.

use ozma_domain::delivery::{Delivery, DeliverySource};
use ozma_domain::identity::Identity;
use ozma_domain::provider::Occurrence;
use ozma_domain::text;
use ozma_store::StoreError;

use crate::App;
use crate::ports::QueueMessage;

/// What is known of an address that a decision depends on.
pub(super) enum Address {
    /// The occurrence has it, or there is none.
    Settled,
    /// It cannot be found out: why.
    Unknown(String),
    /// The provider is to be asked.
    ToAsk,
}

impl Address {
    /// What is said to whoever looks after an automation that is not started for it.
    pub(super) fn unknown(&self, occurrence: &Occurrence) -> Option<String> {
        let Self::Unknown(why) = self else { return None };
        let (login, provider) = (text::one_line(&occurrence.actor.login), occurrence.provider);
        Some(format!("the address that {provider} has of {login} could not be looked up: {why}"))
    }
}

/// Gives the occurrence the address of whoever caused it, if that is known. Asked only where the answer depends on it.
pub(super) async fn address(
    app: &App,
    delivery: &Delivery,
    occurrence: &mut Occurrence,
) -> Result<Address, StoreError> {
    let DeliverySource::Webhook(webhook) = &delivery.source else { return Ok(Address::Settled) };
    if let Some(row) = app.store.person(webhook, &occurrence.actor.id, app.now().as_second()).await? {
        occurrence.actor.email = row.email;
        return Ok(row.refused.map_or(Address::Settled, Address::Unknown));
    }
    match &delivery.identity {
        Some(Identity::Unknown { why }) => return Ok(Address::Unknown(why.clone())),
        // A day ago.
        Some(Identity::Known) => return Ok(Address::Settled),
        Some(Identity::Asked(_)) | None => {}
    }
    let found = app.store.webhook(webhook).await?.map(|saved| saved.webhook.config);
    let is_connected = found.is_some_and(|config| config.connection.is_some());
    Ok(if is_connected { Address::ToAsk } else { Address::Settled })
}

/// Sets the question on its way that a delivery waits for, if it is due. If that is lost, the sweep does so.
pub(super) async fn ask(app: &App, delivery: &Delivery) {
    if delivery.asking().is_none_or(|asking| app.now() < asking.next_at) {
        return;
    }
    let message = QueueMessage::Identify { team: delivery.team.clone(), delivery: delivery.id };
    if let Err(err) = app.queue.send(message).await {
        tracing::warn!(delivery.id = %delivery.id, error = %text::chain(&err), "could not ask yet what an event does not say");
    }
}
