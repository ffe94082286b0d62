//! Lost events: GitHub tries each once, and is asked for another attempt of what did not arrive. Whoever listens finds out
//! by the event's id whether it was taken after all.

use ozma_domain::id::{TeamId, WebhookId};
use ozma_domain::provider::Provider;
use ozma_domain::redelivery::{Look, Step};
use ozma_domain::webhook::WebhookConfig;
use ozma_domain::{limits, text};
use ozma_store::StoreError;

use super::link::{link, webhook_config};
use super::{Failure, in_time};
use crate::App;
use crate::app::after;

/// Asks GitHub what it could not deliver to a webhook, and for another attempt where it is time for one. What was seen is
/// noted, with what went wrong.
pub async fn look_for_lost(app: &App, team: &TeamId, webhook: &WebhookId) -> Result<(), StoreError> {
    let Some(config) = webhook_config(app, team, webhook).await? else { return Ok(()) };
    if !config.is_looked_after() {
        return Ok(());
    }
    let now = app.now();
    let before = app.store.look(webhook).await?.unwrap_or_else(|| Look::none(now));
    let mut look = Look { looked_at: now, trouble: None, ..before.clone() };
    if config.paused {
        // What comes meanwhile is not wanted.
        (look.arrived_until, look.lost, look.asked, look.given_up) = (now, 0, 0, 0);
    } else {
        let asked = async { ask(app, team, webhook, config, &before, &mut look).await };
        if let Err(Failure { reason, .. }) = in_time(asked).await {
            tracing::warn!(webhook.id = %webhook, reason, "could not ask for what was not delivered");
            look.trouble = Some(text::shorten(&reason, limits::STATUS_CHARS));
        }
    }
    app.store.put_look(webhook, &look).await
}

async fn ask(
    app: &App,
    team: &TeamId,
    webhook: &WebhookId,
    config: WebhookConfig,
    before: &Look,
    look: &mut Look,
) -> Result<(), Failure> {
    let now = look.looked_at;
    let link = link(app, team, webhook, Some(config), Provider::Github).await?;
    let github = link.to.github_app()?;
    // An App has one address for its events. Those of a webhook of one repository are not in its log.
    let url = github.hook_url(now).await?;
    if !url.as_deref().is_some_and(|url| url.trim_end_matches('/').ends_with(&format!("/webhooks/{webhook}"))) {
        let url = url.map_or("nowhere".to_owned(), |url| format!("to {}", text::shorten(&text::one_line(&url), 100)));
        let reason =
            format!("the App sends its events {url} and not to this webhook: what is lost of them is not seen");
        return Err(Failure::never(reason));
    }
    let seen = github.deliveries(before.since(now), now).await?;
    (look.lost, look.asked, look.given_up) = (u32::try_from(seen.lost.len()).unwrap_or(u32::MAX), 0, 0);
    look.arrived_until = after(now, -limits::REDELIVERY_LISTED_SECONDS).max(before.arrived_until);
    if !seen.is_whole {
        look.trouble = Some("more events came than can be looked through; the oldest were not".to_owned());
    }
    for lost in seen.lost {
        let step = Step::of(lost.attempts, lost.at, now);
        if step == Step::GiveUp {
            look.given_up += 1;
            continue;
        }
        look.arrived_until = look.arrived_until.min(lost.first_at);
        if step == Step::Ask && usize::try_from(look.asked).unwrap_or(usize::MAX) < limits::REDELIVERIES_AT_ONCE {
            github.redeliver(lost.id, now).await?;
            look.asked += 1;
            tracing::info!(webhook.id = %webhook, event = lost.event, guid = lost.guid, "asked for what was not delivered");
        }
    }
    Ok(())
}
