//! Replies: whoever said something is told what came of it, where they said it. What is said was decided with what was done,
//! and stands in the delivery.

use ozma_domain::delivery::DeliverySource;
use ozma_domain::id::{DeliveryId, TeamId};
use ozma_store::{SavedDelivery, StoreError, Written};

use crate::App;
use crate::answers::{self, SayError};

#[derive(Debug, thiserror::Error)]
pub enum ReplyError {
    #[error("the reply could not be read or noted")]
    Store(#[from] StoreError),
    #[error("the reply could not be said")]
    Say(#[from] SayError),
}

/// Says what a delivery is still to be answered with, and notes that it is said. Again, it says nothing.
pub async fn post(app: &App, team: &TeamId, delivery: DeliveryId) -> Result<(), ReplyError> {
    let Some(mut saved) = app.store.delivery(team, delivery).await? else { return Ok(()) };
    {
        let DeliverySource::Webhook(webhook) = &saved.delivery.source else { return Ok(()) };
        let Some((reply, place)) = saved.delivery.unsaid() else { return Ok(()) };
        answers::say(app, team, webhook, place, reply.person.as_deref(), &reply.text, delivery).await?;
    }
    loop {
        let mut new: SavedDelivery = saved.clone();
        let Some(reply) = &mut new.delivery.reply else { return Ok(()) };
        reply.posted = true;
        if new == saved || app.store.update_delivery(&saved, &new).await? == Written::Now {
            return Ok(());
        }
        match app.store.delivery(team, delivery).await? {
            Some(found) => saved = found,
            None => return Ok(()),
        }
    }
}
