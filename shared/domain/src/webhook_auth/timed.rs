//! Schemes that sign the time of the attempt with the body. Each attempt is signed anew, so that an old one is somebody
//! else's.

use jiff::Timestamp;

use crate::limits;
use crate::standard_webhooks::{Envelope, ID, InvalidEnvelope, SIGNATURE, TIMESTAMP, whole_seconds};

use super::header::{self, Header, Headers};
use super::horizon::{Horizon, SLACK_HORIZON, STANDARD_HORIZON, STRIPE_HORIZON};
use super::mac::Digest;
use super::{Believed, Unverified, WebhookSecret};

pub(super) const SECONDS: &str = "whole seconds since 1970";

pub(super) const STRIPE: &str = "stripe-signature";
pub(super) const SLACK: &str = "x-slack-signature";
pub(super) const SLACK_TIME: &str = "x-slack-request-timestamp";

/// A request before it is believed.
pub(super) struct Timed {
    scheme: Facts,
    claim: Result<Claim, Unverified>,
}

struct Facts {
    signature: &'static str,
    time: &'static str,
    key: fn(&WebhookSecret) -> Option<&[u8]>,
    horizon: Horizon,
}

/// What the headers claim.
struct Claim {
    at: Timestamp,
    delivery_id: Option<String>,
    /// What is signed before the body.
    before: String,
    signatures: Vec<Vec<u8>>,
}

/// `Stripe-Signature: t=…,v1=…,v1=…`, the HMAC of time, full stop and body; with a second `v1` while secrets are rotated, and
/// in tests with a `v0` that means nothing. The id of the event is in the body.
/// Source: docs.stripe.com/webhooks, "Verify webhook signatures manually" and "Preventing replay attacks".
pub(super) fn stripe(headers: Headers<'_, '_>) -> Timed {
    const FORM: &str = "t=, the seconds since 1970, and ,v1= with the signature";
    let claim = || {
        let text = header::required(headers, STRIPE, "let Stripe send the webhook")?;
        let mut times = text.split(',').filter_map(|item| item.strip_prefix("t="));
        // With two times it would be anybody's guess which one is signed.
        let (Some(time), None) = (times.next(), times.next()) else {
            return Err(Unverified::Malformed { part: STRIPE, form: FORM });
        };
        let at = read_time(STRIPE, time, FORM)?;
        let given = text.split(',').filter_map(|item| item.strip_prefix("v1="));
        let given = given.take(limits::WEBHOOK_SIGNATURES);
        let signatures = given.filter_map(|text| Digest::Sha256.read_hex(text)).collect();
        Ok(Claim { at, delivery_id: None, before: format!("{time}."), signatures })
    };
    let key = WebhookSecret::text_key;
    Timed { scheme: Facts { signature: STRIPE, time: STRIPE, key, horizon: STRIPE_HORIZON }, claim: claim() }
}

/// `X-Slack-Signature: v0=…`, the HMAC of `v0`, the time in `X-Slack-Request-Timestamp` and the body, with colons between. The
/// id of the event is in the body.
/// Source: docs.slack.dev/authentication/verifying-requests-from-slack.
pub(super) fn slack(headers: Headers<'_, '_>) -> Timed {
    const HINT: &str = "let an app of Slack send the request";
    let claim = || {
        let text = header::required(headers, SLACK, HINT)?;
        let time = header::required(headers, SLACK_TIME, HINT)?;
        let at = read_time(SLACK_TIME, time, SECONDS)?;
        let signature = text.strip_prefix("v0=").and_then(|text| Digest::Sha256.read_hex(text));
        let signatures = signature.into_iter().collect();
        Ok(Claim { at, delivery_id: None, before: format!("v0:{time}:"), signatures })
    };
    let key = WebhookSecret::text_key;
    Timed { scheme: Facts { signature: SLACK, time: SLACK_TIME, key, horizon: SLACK_HORIZON }, claim: claim() }
}

/// See [`crate::standard_webhooks`].
/// Source: the specification in standard-webhooks/standard-webhooks, with its libraries' tolerance.
pub(super) fn standard(headers: Headers<'_, '_>) -> Timed {
    let claim = || {
        for (header, svix) in [(ID, "svix-id"), (TIMESTAMP, "svix-timestamp"), (SIGNATURE, "svix-signature")] {
            header::optional(headers, header)?;
            header::optional(headers, svix)?;
        }
        let once = |name: &str| if let Header::Once(value) = headers(name) { Some(value) } else { None };
        let envelope = Envelope::read(once).map_err(|err| match err {
            InvalidEnvelope::Missing(header) => {
                Unverified::Missing { header, hint: "a webhook here is signed by the Standard Webhooks scheme" }
            }
            InvalidEnvelope::Id => {
                Unverified::Malformed { part: ID, form: "1 to 255 visible ASCII characters without a full stop" }
            }
            InvalidEnvelope::Timestamp => Unverified::Malformed { part: TIMESTAMP, form: SECONDS },
        })?;
        let at = Timestamp::from_second(envelope.timestamp);
        let at = at.map_err(|_| Unverified::Malformed { part: TIMESTAMP, form: SECONDS })?;
        let (before, signatures) = (envelope.signed(), envelope.given());
        Ok(Claim { at, delivery_id: Some(envelope.id), before, signatures })
    };
    let key = WebhookSecret::signing_key;
    Timed { scheme: Facts { signature: SIGNATURE, time: TIMESTAMP, key, horizon: STANDARD_HORIZON }, claim: claim() }
}

impl Timed {
    pub(super) fn verify(self, body: &[u8], secrets: &[WebhookSecret], now: Timestamp) -> Result<Believed, Unverified> {
        let Self { scheme: Facts { signature, time, key, horizon }, claim } = self;
        let (before, given) = claim.as_ref().map_or(("", &[][..]), |claim| (&claim.before, &claim.signatures));
        let keys: Vec<_> = secrets.iter().map(key).collect();
        let right = Digest::Sha256.any_right(&keys, [before.as_bytes(), body], given);
        let claim = claim?;
        horizon.check(time, claim.at, now)?;
        if !right {
            return Err(Unverified::Signature { header: signature });
        }
        Ok(Believed { delivery_id: claim.delivery_id, sent_at: Some(claim.at), event: None })
    }
}

/// What is signed is the text, so that it has one form per time.
fn read_time(part: &'static str, text: &str, form: &'static str) -> Result<Timestamp, Unverified> {
    let time = whole_seconds(text).and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.ok_or(Unverified::Malformed { part, form })
}
