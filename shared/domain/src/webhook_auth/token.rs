//! Webhooks that are not signed: whoever has the token is believed, whatever the body says.

use subtle::{Choice, ConstantTimeEq};

use crate::limits;

use super::header::{self, Headers};
use super::{Believed, Unverified, WebhookSecret};

pub(super) const AUTHORIZATION: &str = "authorization";

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

fn is_one_of(given: Option<&str>, secrets: &[WebhookSecret]) -> bool {
    let given = given.unwrap_or_default().as_bytes();
    let mut right = Choice::from(0);
    for n in 0..secrets.len().max(limits::WEBHOOK_SECRETS) {
        let token = secrets.get(n).and_then(WebhookSecret::token);
        let is_there = Choice::from(u8::from(token.is_some()));
        right |= given.ct_eq(token.unwrap_or("ozw_ of nobody").as_bytes()) & is_there;
    }
    right.into()
}
