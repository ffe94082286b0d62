//! Webhooks that are not signed: whoever has the token is believed, whatever the body says.

use subtle::{Choice, ConstantTimeEq};

use crate::limits;
use crate::text;

use super::header::{self, Headers};
use super::{Believed, Unverified, WebhookSecret};

pub(super) const AUTHORIZATION: &str = "authorization";
pub(super) const GITLAB: &str = "x-gitlab-token";
pub(super) const GITLAB_DELIVERY: &str = "idempotency-key";

/// `Authorization: Bearer` and the token, as in RFC 6750.
pub(super) fn bearer(headers: Headers<'_, '_>, secrets: &[WebhookSecret]) -> Result<Believed, Unverified> {
    let given = header::required(headers, AUTHORIZATION, "send Bearer and the token of the webhook");
    let token = given.ok().and_then(|text| text.split_once(' '));
    let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Bearer")).map(|(_, token)| token);
    let right = is_one_of(token, secrets);
    given?;
    if right { Ok(Believed::default()) } else { Err(Unverified::Token { part: AUTHORIZATION }) }
}

/// A path without a token is like one with a wrong one: that it takes any is not for everybody to know.
pub(super) fn in_path(token: Option<&str>, secrets: &[WebhookSecret]) -> Result<Believed, Unverified> {
    if is_one_of(token, secrets) { Ok(Believed::default()) } else { Err(Unverified::Token { part: "the address" }) }
}

/// `X-Gitlab-Token`, which is the secret. The key of idempotency is the same for each attempt.
/// Source: docs.gitlab.com, "Webhooks", "Delivery headers".
pub(super) fn gitlab(headers: Headers<'_, '_>, secrets: &[WebhookSecret]) -> Result<Believed, Unverified> {
    let given = header::required(headers, GITLAB, "give the webhook its secret token at GitLab as well");
    let right = is_one_of(given.ok(), secrets);
    given?;
    let delivery_id = header::name(headers, Some(GITLAB_DELIVERY))?;
    // Such as `Merge Request Hook`. What happened is in the body as well.
    let event =
        header::optional(headers, "x-gitlab-event")?.map(|event| text::shorten(event, limits::EVENT_NAME_CHARS));
    if right { Ok(Believed { delivery_id, event, sent_at: None }) } else { Err(Unverified::Token { part: GITLAB }) }
}

fn is_one_of(given: Option<&str>, secrets: &[WebhookSecret]) -> bool {
    let given = given.unwrap_or_default().as_bytes();
    let mut right = Choice::from(0);
    for n in 0..secrets.len().max(limits::WEBHOOK_SECRETS) {
        let token = secrets.get(n).and_then(WebhookSecret::said);
        let is_there = Choice::from(u8::from(token.is_some()));
        right |= given.ct_eq(token.unwrap_or("ozw_ of nobody").as_bytes()) & is_there;
    }
    right.into()
}
