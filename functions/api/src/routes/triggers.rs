//! The trigger of an automation, off the wire and back.

use ozma_app::{App, webhooks};
use ozma_domain::filter::Filter;
use ozma_domain::provider;
use ozma_domain::trigger::{self as domain, Source};

use super::webhooks::provider;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::wire::{Allow, Trigger};

/// The same with the webhook by its id, by which it is stored; it may be named.
pub(super) async fn resolved(app: &App, caller: &Caller, mut wire: Trigger) -> Result<Trigger, ApiError> {
    if let Some(webhook) = &mut wire.webhook {
        let found = webhooks::find(app, &caller.team, webhook).await;
        *webhook = found.map_err(|err| ApiError::from(err).within("webhook"))?.id.to_string();
    }
    Ok(wire)
}

/// A webhook is known by its id here.
pub(crate) fn trigger(wire: Trigger) -> Result<domain::Trigger, ApiError> {
    let on = match (wire.webhook, wire.provider) {
        (Some(_), Some(_)) => {
            return Err(ApiError::invalid("provider", "it is the webhook's; name the webhook or the provider"));
        }
        (Some(webhook), None) => {
            Some(Source::Webhook(webhook.parse().map_err(|err| ApiError::invalid("webhook", err))?))
        }
        (None, Some(name)) => Some(Source::Provider(provider(&name)?)),
        (None, None) => None,
    };
    let filter = wire.filter.map(|filter| Filter::parse(&filter)).transpose()?.unwrap_or_default();
    let allow = wire.allow.unwrap_or_default();
    let closed = provider::Allow::default();
    Ok(domain::Trigger {
        on,
        events: wire.events.unwrap_or_default(),
        filter,
        allow: provider::Allow {
            associations: allow.associations.unwrap_or(closed.associations),
            logins: allow.logins.unwrap_or(closed.logins),
            emails: allow.emails.unwrap_or(closed.emails),
            any_checks: allow.any_checks.unwrap_or(closed.any_checks),
            fork_secrets: allow.fork_secrets.unwrap_or(closed.fork_secrets),
        },
        runs_per_object: wire.runs_per_object,
    })
}

/// Nothing where nothing was said.
pub(super) fn answer(trigger: domain::Trigger) -> Option<Trigger> {
    if trigger == domain::Trigger::default() {
        return None;
    }
    let domain::Trigger { on, events, filter, allow, runs_per_object } = trigger;
    let (webhook, provider) = match on {
        Some(Source::Webhook(id)) => (Some(id.to_string()), None),
        Some(Source::Provider(provider)) => (None, Some(provider.to_string())),
        None => (None, None),
    };
    let provider::Allow { associations, logins, emails, any_checks, fork_secrets } = allow;
    let closed = provider::Allow::default();
    let allow = Allow {
        associations: Some(associations).filter(|associations| *associations != closed.associations),
        logins: Some(logins).filter(|logins| !logins.is_empty()),
        emails: Some(emails).filter(|emails| !emails.is_empty()),
        any_checks: any_checks.then_some(true),
        fork_secrets: fork_secrets.then_some(true),
    };
    Some(Trigger {
        webhook,
        provider,
        events: Some(events).filter(|events| !events.is_empty()),
        filter: (!filter.is_empty()).then(|| filter.json().clone()),
        allow: Some(allow).filter(|allow| *allow != Allow::default()),
        runs_per_object,
    })
}
