//! Schemes that sign the body alone. Whoever has seen a delivery can send it again, so that what guards against that is the
//! row kept of it, see [`WebhookAuth::replay_guard`](super::WebhookAuth::replay_guard).

use jiff::Timestamp;
use serde::Deserialize;

use crate::limits;
use crate::standard_webhooks::whole_seconds;

use super::header::{self, Headers};
use super::horizon::LINEAR_HORIZON;
use super::mac::Digest;
use super::{Believed, Unverified, WebhookSecret};

/// Hexadecimal of an HMAC of the body, in a header.
pub(super) struct BodyMac {
    pub(super) header: &'static str,
    /// How it comes to be there, for people.
    hint: &'static str,
    /// Before each signature.
    pub(super) prefix: &'static str,
    /// Whether there may be several, with commas between them.
    list: bool,
    pub(super) digest: Digest,
    /// The headers that say which delivery, of what, and when in seconds.
    pub(super) delivery: Option<&'static str>,
    pub(super) event: Option<&'static str>,
    pub(super) time: Option<&'static str>,
}

/// `X-Hub-Signature-256: sha256=…`. The header `X-Hub-Signature` beside it is SHA-1, there for old receivers, and is not looked
/// at. The id is that of the event: a delivery that somebody asks for again has it again.
/// Source: docs.github.com/webhooks, "Validating webhook deliveries" and "Webhook events and payloads".
pub(super) const GITHUB: BodyMac = BodyMac {
    header: "x-hub-signature-256",
    hint: "give the webhook its secret at GitHub as well",
    prefix: "sha256=",
    list: false,
    digest: Digest::Sha256,
    delivery: Some("x-github-delivery"),
    event: Some("x-github-event"),
    time: None,
};

/// `Sentry-Hook-Signature: …` under the client secret of the integration. Id and time are not signed and, as its source has
/// it, new for each attempt.
/// Source: docs.sentry.io, "Integration Platform", "Webhooks"; `app_platform_event.py` in getsentry/sentry.
pub(super) const SENTRY: BodyMac = BodyMac {
    header: "sentry-hook-signature",
    hint: "let an integration of Sentry send the webhook",
    prefix: "",
    list: false,
    digest: Digest::Sha256,
    delivery: Some("request-id"),
    event: Some("sentry-hook-resource"),
    time: Some("sentry-hook-timestamp"),
};

/// `X-PagerDuty-Signature: v1=…,v1=…`, one for each secret while they are rotated. `X-Webhook-Id` is the same for each attempt.
/// Source: developer.pagerduty.com, "Webhooks", "Verifying Signatures" and "Behavior".
pub(super) const PAGERDUTY: BodyMac = BodyMac {
    header: "x-pagerduty-signature",
    hint: "let a v3 subscription of PagerDuty send the webhook",
    prefix: "v1=",
    list: true,
    digest: Digest::Sha256,
    delivery: Some("x-webhook-id"),
    event: None,
    time: None,
};

/// `x-vercel-signature: …`, an HMAC of SHA-1. What happened, and the id, are in the body.
/// Source: vercel.com/docs/webhooks, "Securing webhooks".
pub(super) const VERCEL: BodyMac = BodyMac {
    header: "x-vercel-signature",
    hint: "let Vercel send the webhook",
    prefix: "",
    list: false,
    digest: Digest::Sha1,
    delivery: None,
    event: None,
    time: None,
};

/// `X-Hub-Signature: sha256=…`. The identifier is the same for each attempt, and not signed; the time is in the body, as is what
/// happened.
/// Source: developer.atlassian.com, Jira Cloud platform, "Webhooks", "Secure admin webhooks" and "Retry policy".
pub(super) const JIRA: BodyMac = BodyMac {
    header: "x-hub-signature",
    hint: "give the webhook its secret at Jira as well",
    prefix: "sha256=",
    list: false,
    digest: Digest::Sha256,
    delivery: Some("x-atlassian-webhook-identifier"),
    event: None,
    time: None,
};

/// `Linear-Signature: …`. The time is in the body, see [`linear`].
/// Source: linear.app/developers/webhooks, "Securing webhooks".
pub(super) const LINEAR: BodyMac = BodyMac {
    header: "linear-signature",
    hint: "let Linear send the webhook",
    prefix: "",
    list: false,
    digest: Digest::Sha256,
    delivery: Some("linear-delivery"),
    event: Some("linear-event"),
    time: None,
};

impl BodyMac {
    pub(super) fn verify(
        &self,
        headers: Headers<'_, '_>,
        body: &[u8],
        secrets: &[WebhookSecret],
    ) -> Result<Believed, Unverified> {
        let given = header::required(headers, self.header, self.hint);
        let signatures = given.map_or_else(|_| Vec::new(), |text| self.signatures(text));
        let keys: Vec<_> = secrets.iter().map(WebhookSecret::text_key).collect();
        let right = self.digest.any_right(&keys, [b"", body], &signatures);
        given?;
        let delivery_id = header::name(headers, self.delivery)?;
        let event = header::name(headers, self.event)?;
        let sent_at = self.time.map_or(Ok(None), |time| seconds(headers, time))?;
        if !right {
            return Err(Unverified::Signature { header: self.header });
        }
        Ok(Believed { delivery_id, sent_at, event })
    }

    fn signatures(&self, text: &str) -> Vec<Vec<u8>> {
        let one = |text: &str| self.digest.read_hex(text.strip_prefix(self.prefix)?);
        if self.list {
            // Those of other versions are not counted.
            let known = text.split(',').filter(|signature| signature.starts_with(self.prefix));
            known.take(limits::WEBHOOK_SIGNATURES).filter_map(one).collect()
        } else {
            one(text).into_iter().collect()
        }
    }
}

/// Linear repeats an attempt that failed after a minute, an hour and six, with the very same body and the time of the first
/// in it. Its own SDK takes no more than a minute, and so loses every repeated one.
/// Source: linear.app/developers/webhooks; for what is lost, vercel/eve#1570.
pub(super) fn linear(
    headers: Headers<'_, '_>,
    body: &[u8],
    secrets: &[WebhookSecret],
    now: Timestamp,
) -> Result<Believed, Unverified> {
    const TIME: &str = "webhookTimestamp";
    #[derive(Deserialize)]
    struct Body {
        #[serde(rename = "webhookTimestamp")]
        milliseconds: i64,
    }
    let believed = LINEAR.verify(headers, body, secrets)?;
    // From here on the body is Linear's.
    let sent_at = serde_json::from_slice::<Body>(body).ok();
    let sent_at = sent_at.and_then(|body| Timestamp::from_millisecond(body.milliseconds).ok());
    let form = "milliseconds since 1970, in the body";
    let sent_at = sent_at.ok_or(Unverified::Malformed { part: TIME, form })?;
    LINEAR_HORIZON.check(TIME, sent_at, now)?;
    Ok(Believed { sent_at: Some(sent_at), ..believed })
}

fn seconds(headers: Headers<'_, '_>, part: &'static str) -> Result<Option<Timestamp>, Unverified> {
    let Some(text) = header::optional(headers, part)? else { return Ok(None) };
    let time = whole_seconds(text).and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map(Some).ok_or(Unverified::Malformed { part, form: super::timed::SECONDS })
}
