//! The other side: what a sender puts beside the body. For tests, and for trying a webhook out.

use jiff::Timestamp;

use crate::standard_webhooks::{ID, SIGNATURE, TIMESTAMP};

use super::body_mac::{BodyMac, GITHUB, JIRA, LINEAR, PAGERDUTY, SENTRY, VERCEL};
use super::mac::Digest;
use super::timed::{SLACK, SLACK_TIME, STRIPE};
use super::token::{AUTHORIZATION, GITLAB, GITLAB_DELIVERY};
use super::{Scheme, WebhookAuth, WebhookSecret};

impl WebhookAuth {
    /// The headers of an attempt at `at`, with `delivery` as its id where the scheme has one in a header. None where the
    /// secret is not of the form that this wants. Linear's time is in the body, and the token of a path in the path.
    pub fn headers(
        self,
        secret: &WebhookSecret,
        delivery: &str,
        at: Timestamp,
        body: &[u8],
    ) -> Option<Vec<(&'static str, String)>> {
        let at = at.as_second().to_string();
        let sha256 = |key: &[u8], before: &str| Digest::Sha256.mac(key, [before.as_bytes(), body]);
        let over_body = |scheme: &BodyMac| {
            let mac = scheme.digest.mac(secret.text_key()?, [b"", body]);
            let signature = (scheme.header, format!("{}{}", scheme.prefix, hex::encode(mac)));
            let delivery = scheme.delivery.map(|header| (header, delivery.to_owned()));
            let time = scheme.time.map(|header| (header, at.clone()));
            Some([signature].into_iter().chain(delivery).chain(time).collect())
        };
        match self {
            Self::Token => Some(vec![(AUTHORIZATION, format!("Bearer {}", secret.token()?))]),
            Self::UrlToken => secret.token().map(|_| Vec::new()),
            Self::Signature { scheme: Scheme::Github } => over_body(&GITHUB),
            Self::Signature { scheme: Scheme::Sentry } => over_body(&SENTRY),
            Self::Signature { scheme: Scheme::Pagerduty } => over_body(&PAGERDUTY),
            Self::Signature { scheme: Scheme::Vercel } => over_body(&VERCEL),
            Self::Signature { scheme: Scheme::Linear } => over_body(&LINEAR),
            Self::Signature { scheme: Scheme::Jira } => over_body(&JIRA),
            Self::Signature { scheme: Scheme::Gitlab } => {
                Some(vec![(GITLAB, secret.said()?.to_owned()), (GITLAB_DELIVERY, delivery.to_owned())])
            }
            Self::Signature { scheme: Scheme::Stripe } => {
                let mac = sha256(secret.text_key()?, &format!("{at}."));
                Some(vec![(STRIPE, format!("t={at},v1={}", hex::encode(mac)))])
            }
            Self::Signature { scheme: Scheme::Slack } => {
                let mac = sha256(secret.text_key()?, &format!("v0:{at}:"));
                Some(vec![(SLACK, format!("v0={}", hex::encode(mac))), (SLACK_TIME, at)])
            }
            Self::Signature { scheme: Scheme::StandardWebhooks } => {
                let signature = secret.signing()?.sign(delivery, at.parse().ok()?, body);
                Some(vec![(ID, delivery.to_owned()), (TIMESTAMP, at), (SIGNATURE, signature)])
            }
        }
    }
}
