//! Identify: whoever caused an event is looked up at its provider, and what waited for that goes on. What was found out is
//! written before anything is decided, so that whoever goes on after a crash decides the same.

use ozma_domain::delivery::DeliverySource;
use ozma_domain::id::{DeliveryId, TeamId};
use ozma_domain::identity::{Asking, Identity};
use ozma_domain::limits;
use ozma_domain::text::chain;
use ozma_store::{PersonRow, SavedDelivery, Written};

use super::ReceiveError;
use super::deliver::{decide, read};
use crate::App;
use crate::answers::{Failure, address_of};
use crate::app::after;
use crate::ports::QueueMessage;

/// Asks who caused a delivery, and goes on with it. Again, or where nothing waits for that, it does nothing.
pub async fn identify(app: &App, team: &TeamId, id: DeliveryId) -> Result<(), ReceiveError> {
    let now = app.now();
    let Some(saved) = app.store.delivery(team, id).await? else { return Ok(()) };
    let Some(asking) = saved.delivery.asking().filter(|asking| asking.next_at <= now).cloned() else { return Ok(()) };
    let DeliverySource::Webhook(webhook) = saved.delivery.source.clone() else { return Ok(()) };
    let (payload, meaning) = read(app, &saved.delivery).await?;
    let Some(person) = meaning.occurrence().map(|occurrence| occurrence.actor.id.clone()) else { return Ok(()) };
    let keep = async |email: Option<String>, refused: Option<String>, seconds: i64| {
        let row = PersonRow { email, refused, expires: after(now, seconds).as_second() };
        app.store.keep_person(&webhook, &person, &row).await
    };
    let identity = match app.store.person(&webhook, &person, now.as_second()).await? {
        Some(PersonRow { refused: Some(why), .. }) => Identity::Unknown { why },
        Some(_) => Identity::Known,
        None => match address_of(app, team, &webhook, &person).await {
            Ok(email) => {
                keep(email, None, limits::PERSON_SECONDS).await?;
                Identity::Known
            }
            Err(Failure { reason, again }) => {
                tracing::warn!(delivery.id = %id, webhook.id = %webhook, reason, "somebody could not be looked up");
                let next = asking.after_failure(&reason, again, saved.delivery.received_at, app.now());
                if let Identity::Unknown { why } = &next {
                    keep(None, Some(why.clone()), limits::PERSON_REFUSED_SECONDS).await?;
                }
                next
            }
        },
    };
    match identity {
        Identity::Asked(next) => ask_again(app, saved, next).await,
        identity => decide(app, saved, &payload, meaning, identity).await.map(drop),
    }
}

/// Without its timer the sweep sends the message.
async fn ask_again(app: &App, saved: SavedDelivery, next: Asking) -> Result<(), ReceiveError> {
    let at = next.next_at;
    let mut new = saved.clone();
    new.delivery.identity = Some(Identity::Asked(next));
    // Lost: somebody else asked as well, and knows more.
    if app.store.update_delivery(&saved, &new).await? == Written::Lost {
        return Ok(());
    }
    let message = QueueMessage::Identify { team: new.delivery.team, delivery: new.delivery.id };
    if let Err(err) = app.timer.send_at(at, message).await {
        tracing::warn!(delivery.id = %new.delivery.id, error = %chain(&err), "could not set a timer; the sweep will see to it");
    }
    Ok(())
}
