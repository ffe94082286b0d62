//! Identify: what an event did not say is asked of its provider, and what waited for that goes on. What was found out is
//! written before anything is decided, or with it, so that whoever goes on after a crash decides the same.

use ozma_domain::delivery::{Delivery, DeliverySource};
use ozma_domain::id::{DeliveryId, TeamId, WebhookId};
use ozma_domain::identity::{Asking, Identity, Question};
use ozma_domain::limits;
use ozma_domain::text::chain;
use ozma_store::{PersonRow, SavedDelivery, StoreError, Written};

use super::ReceiveError;
use super::deliver::{decide, read};
use crate::App;
use crate::answers::{Failure, address_of, origin_of};
use crate::app::after;
use crate::ports::QueueMessage;

/// Asks what a delivery waits for, and goes on with it. Again, or where nothing waits for that, it does nothing.
pub async fn identify(app: &App, team: &TeamId, id: DeliveryId) -> Result<(), ReceiveError> {
    let now = app.now();
    let Some(saved) = app.store.delivery(team, id).await? else { return Ok(()) };
    let Some(asking) = saved.delivery.asking().filter(|asking| asking.next_at <= now).cloned() else { return Ok(()) };
    let DeliverySource::Webhook(webhook) = saved.delivery.source.clone() else { return Ok(()) };
    let (payload, meaning) = read(app, &saved.delivery).await?;
    let Some(occurrence) = meaning.occurrence() else { return Ok(()) };
    let mut known = saved.delivery.clone();
    let identity = match asking.question {
        Question::Address => find_address(app, &known, &webhook, &occurrence.actor.id, &asking).await?,
        Question::Origin => match occurrence.of_unknown_origin() {
            Some((repository, number)) => match origin_of(app, team, &webhook, repository, number).await {
                Ok(origin) => {
                    known.origin = Some(origin);
                    Identity::Known
                }
                Err(failure) => failed(app, &known, &webhook, &asking, &failure),
            },
            None => Identity::Known,
        },
    };
    match identity {
        Identity::Asked(next) => ask_again(app, saved, next).await,
        identity => {
            known.identity = Some(identity);
            // All that an event may start is in it: whoever asks need not be as large while they ask.
            Box::pin(decide(app, saved, known, &payload, meaning)).await.map(drop)
        }
    }
}

async fn find_address(
    app: &App,
    delivery: &Delivery,
    webhook: &WebhookId,
    person: &str,
    asking: &Asking,
) -> Result<Identity, StoreError> {
    let now = app.now();
    let keep = async |email: Option<String>, refused: Option<String>, seconds: i64| {
        let row = PersonRow { email, refused, expires: after(now, seconds).as_second() };
        app.store.keep_person(webhook, person, &row).await
    };
    Ok(match app.store.person(webhook, person, now.as_second()).await? {
        Some(PersonRow { refused: Some(why), .. }) => Identity::Unknown { why },
        Some(_) => Identity::Known,
        None => match address_of(app, &delivery.team, webhook, person).await {
            Ok(email) => {
                keep(email, None, limits::PERSON_SECONDS).await?;
                Identity::Known
            }
            Err(failure) => {
                let next = failed(app, delivery, webhook, asking, &failure);
                if let Identity::Unknown { why } = &next {
                    keep(None, Some(why.clone()), limits::PERSON_REFUSED_SECONDS).await?;
                }
                next
            }
        },
    })
}

fn failed(app: &App, delivery: &Delivery, webhook: &WebhookId, asking: &Asking, failure: &Failure) -> Identity {
    let Failure { reason, again } = failure;
    tracing::warn!(
        delivery.id = %delivery.id, webhook.id = %webhook, question = ?asking.question, reason,
        "a provider did not say what an event leaves open"
    );
    asking.after_failure(reason, *again, delivery.received_at, app.now())
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
