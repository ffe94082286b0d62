//! How an incoming webhook is believed: by a token, or by a signature of one of the services that send them. Everything is
//! verified over the bytes as they came, in constant time, before anybody looks into them.
//!
//! Whoever cannot sign learns nothing but that an address is one, which nobody guesses. The work is the same whether a signature
//! is malformed, wrong or right, for one secret and for two. What is told beside "wrong" follows from the request and the
//! scheme alone.

mod body_mac;
mod dedupe;
mod header;
mod horizon;
mod mac;
mod secret;
mod sender;
#[cfg(test)]
mod tests;
mod timed;
mod token;

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::dedupe::{DELIVERY, DedupeId, DeliveryHeader, InvalidDedupe, InvalidHeader};
pub use self::header::Header;
pub use self::horizon::Horizon;
pub use self::secret::{InvalidWebhookSecret, WebhookSecret};

/// How a webhook shows that it may start something. What a user sets: `{"mode": "signature", "scheme": "github"}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum WebhookAuth {
    /// `Authorization: Bearer ozw_…`
    Token,
    /// A token in the path, for senders that can do nothing else. It is in every log of an address on its way.
    UrlToken,
    Signature {
        scheme: Scheme,
    },
}

/// Who signs, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    Github,
    Stripe,
    Sentry,
    Pagerduty,
    Vercel,
    Linear,
    Slack,
    /// Jira Cloud, whose webhooks have a secret.
    Jira,
    /// No signature but the secret itself, in a header of its own.
    Gitlab,
    /// Also with the headers of Svix, see [`crate::standard_webhooks`].
    StandardWebhooks,
}

/// One request, as it came.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a, H> {
    /// Asked for headers by their lower-case names.
    pub header: H,
    /// What the path has after the address, if it has something.
    pub path_token: Option<&'a str>,
    pub body: &'a [u8],
}

/// What is known of a request that is believed, before its body is read for its sake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Believed {
    /// What the service calls the delivery in a header. Signed by Standard Webhooks alone, see [`WebhookAuth::replay_guard`].
    pub delivery_id: Option<String>,
    /// When this attempt was made; of Linear, when the first one was. Signed by all that say it but Sentry.
    pub sent_at: Option<Timestamp>,
    /// What kind of thing happened, where a header says it.
    pub event: Option<String>,
}

/// Why a request is not believed. It may be told to whoever sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    #[error("{header}: missing; {hint}")]
    Missing { header: &'static str, hint: &'static str },
    #[error("{header}: comes more than once; send it once")]
    Repeated { header: &'static str },
    #[error("{part}: not of the form {form}")]
    Malformed { part: &'static str, form: &'static str },
    #[error(
        "{part}: more than {past_minutes} minutes ago, or more than {ahead} ahead; check the sender's clock",
        ahead = crate::limits::WEBHOOK_TOLERANCE_SECONDS / 60
    )]
    Time { part: &'static str, past_minutes: i64 },
    /// Malformed, of an unknown version, or of something else.
    #[error(
        "{header}: no signature in it is right; check the address and the secret, and that the body comes as it was sent"
    )]
    Signature { header: &'static str },
    #[error("{part}: its token is not the one of this address; check both")]
    Token { part: &'static str },
}

impl WebhookAuth {
    /// All there are.
    pub const ALL: [Self; 12] = [
        Self::Token,
        Self::UrlToken,
        Self::Signature { scheme: Scheme::Github },
        Self::Signature { scheme: Scheme::Stripe },
        Self::Signature { scheme: Scheme::Sentry },
        Self::Signature { scheme: Scheme::Pagerduty },
        Self::Signature { scheme: Scheme::Vercel },
        Self::Signature { scheme: Scheme::Linear },
        Self::Signature { scheme: Scheme::Slack },
        Self::Signature { scheme: Scheme::Jira },
        Self::Signature { scheme: Scheme::Gitlab },
        Self::Signature { scheme: Scheme::StandardWebhooks },
    ];

    /// Whether somebody sent this who has one of the secrets that are valid now. Without secrets nothing is believed, after
    /// the same work.
    pub fn verify<'a, H: Fn(&str) -> Header<'a>>(
        self,
        attempt: &Attempt<'a, H>,
        secrets: &[WebhookSecret],
        now: Timestamp,
    ) -> Result<Believed, Unverified> {
        let Attempt { header, path_token, body } = attempt;
        match self {
            Self::Token => token::bearer(header, secrets),
            Self::UrlToken => token::in_path(*path_token, secrets),
            Self::Signature { scheme: Scheme::Github } => body_mac::GITHUB.verify(header, body, secrets),
            Self::Signature { scheme: Scheme::Sentry } => body_mac::SENTRY.verify(header, body, secrets),
            Self::Signature { scheme: Scheme::Pagerduty } => body_mac::PAGERDUTY.verify(header, body, secrets),
            Self::Signature { scheme: Scheme::Vercel } => body_mac::VERCEL.verify(header, body, secrets),
            Self::Signature { scheme: Scheme::Jira } => body_mac::JIRA.verify(header, body, secrets),
            Self::Signature { scheme: Scheme::Gitlab } => token::gitlab(header, secrets),
            Self::Signature { scheme: Scheme::Linear } => body_mac::linear(header, body, secrets, now),
            Self::Signature { scheme: Scheme::Stripe } => timed::stripe(header).verify(body, secrets, now),
            Self::Signature { scheme: Scheme::Slack } => timed::slack(header).verify(body, secrets, now),
            Self::Signature { scheme: Scheme::StandardWebhooks } => timed::standard(header).verify(body, secrets, now),
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Github => "github",
            Self::Stripe => "stripe",
            Self::Sentry => "sentry",
            Self::Pagerduty => "pagerduty",
            Self::Vercel => "vercel",
            Self::Linear => "linear",
            Self::Slack => "slack",
            Self::Jira => "jira",
            Self::Gitlab => "gitlab",
            Self::StandardWebhooks => "standard_webhooks",
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not github, stripe, sentry, pagerduty, vercel, linear, slack, jira, gitlab or standard_webhooks")]
pub struct UnknownScheme(String);

impl FromStr for Scheme {
    type Err = UnknownScheme;

    fn from_str(text: &str) -> Result<Self, UnknownScheme> {
        let schemes = WebhookAuth::ALL.into_iter().filter_map(|auth| match auth {
            WebhookAuth::Signature { scheme } => Some(scheme),
            WebhookAuth::Token | WebhookAuth::UrlToken => None,
        });
        let mut schemes = schemes.filter(|scheme| scheme.to_string() == text);
        schemes.next().ok_or_else(|| UnknownScheme(crate::text::shorten(text, 40)))
    }
}
