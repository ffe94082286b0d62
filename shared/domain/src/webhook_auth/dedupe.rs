//! By what a delivery is known when it comes again.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::limits;

use super::header::is_id;
use super::{Attempt, Believed, Header, Scheme, WebhookAuth};

/// The header by which any sender may tell its deliveries apart.
pub const DELIVERY: &str = "x-oz-delivery-id";

/// The name of a header that a user chose for it, in small letters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeliveryHeader(String);

/// Two requests with the same id to the same webhook are one delivery. As a text, no id that is given is one of a body.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DedupeId {
    /// What a header says.
    Given(String),
    /// SHA-256 of the body, in hexadecimal.
    Body(String),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDedupe {
    #[error("{0}: 1 to {max} visible ASCII characters", max = limits::DELIVERY_ID_BYTES)]
    Id(String),
    #[error("{0}: comes more than once; send it once")]
    Repeated(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHeader {
    #[error("the name of a header: 1 to {max} of a-z, 0-9, - _", max = limits::DELIVERY_HEADER_BYTES)]
    Form,
    #[error("what this header has is a secret, and an id is kept; name another header")]
    Secret,
}

impl<'a, H: Fn(&str) -> Header<'a>> Attempt<'a, H> {
    /// By what this delivery is known: the header that the user named, else the service's, else [`DELIVERY`], else the body.
    ///
    /// `believed.delivery_id` is the service's. Where it is in the body, as Stripe's and Slack's, the caller reads it there
    /// and sets it first.
    pub fn dedupe_id(&self, named: Option<&DeliveryHeader>, believed: &Believed) -> Result<DedupeId, InvalidDedupe> {
        let given = |header: &str| match (self.header)(header) {
            Header::Missing => Ok(None),
            Header::Once(id) if is_id(id) => Ok(Some(DedupeId::Given(id.to_owned()))),
            Header::Once(_) | Header::Unreadable => Err(InvalidDedupe::Id(header.to_owned())),
            Header::Repeated => Err(InvalidDedupe::Repeated(header.to_owned())),
        };
        if let Some(DeliveryHeader(header)) = named
            && let Some(id) = given(header)?
        {
            return Ok(id);
        }
        if let Some(id) = &believed.delivery_id {
            return Ok(DedupeId::Given(id.clone()));
        }
        Ok(given(DELIVERY)?.unwrap_or_else(|| DedupeId::of(self.body)))
    }
}

impl DedupeId {
    fn of(body: &[u8]) -> Self {
        Self::Body(hex::encode(Sha256::digest(body)))
    }
}

impl WebhookAuth {
    /// By what else a delivery is to be known, for as long as by its id: a header that is not signed can be changed by
    /// somebody who saw the delivery, and it would be a new one.
    ///
    /// Linear, PagerDuty, Jira and Vercel say in the body which delivery it is, so that two of them are never the same bytes. Sentry
    /// says it nowhere, and what it sends again has another id in its header. There is none where a signature ends with its
    /// time or has the id under it, where anybody with the token can send anything, as with GitLab, and for GitHub: two dispatches with the
    /// same inputs may be the same bytes.
    pub fn replay_guard(self, body: &[u8]) -> Option<DedupeId> {
        match self {
            Self::Signature {
                scheme: Scheme::Linear | Scheme::Pagerduty | Scheme::Vercel | Scheme::Sentry | Scheme::Jira,
            } => Some(DedupeId::of(body)),
            Self::Signature {
                scheme: Scheme::Github | Scheme::Gitlab | Scheme::Stripe | Scheme::Slack | Scheme::StandardWebhooks,
            }
            | Self::Token
            | Self::UrlToken => None,
        }
    }
}

impl fmt::Display for DedupeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(id) => write!(f, "id:{id}"),
            Self::Body(hash) => write!(f, "body:{hash}"),
        }
    }
}

impl DeliveryHeader {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DeliveryHeader {
    type Err = InvalidHeader;

    fn from_str(text: &str) -> Result<Self, InvalidHeader> {
        let name = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        if !name || !(1..=limits::DELIVERY_HEADER_BYTES).contains(&text.len()) {
            return Err(InvalidHeader::Form);
        }
        let text = text.to_ascii_lowercase();
        if ["authorization", "proxy-authorization", "cookie"].contains(&text.as_str()) {
            return Err(InvalidHeader::Secret);
        }
        Ok(Self(text))
    }
}

impl TryFrom<String> for DeliveryHeader {
    type Error = InvalidHeader;

    fn try_from(text: String) -> Result<Self, InvalidHeader> {
        text.parse()
    }
}

impl From<DeliveryHeader> for String {
    fn from(header: DeliveryHeader) -> Self {
        header.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = "body:185f8db32271fe25f561a6fc938b2e264306ec304eda518007d1764826381969";

    /// The id of a delivery with these headers, apart by spaces, whose scheme has the id `service`.
    #[track_caller]
    fn check(named: Option<&str>, service: Option<&str>, headers: &str, expected: &str) {
        let header = |name: &str| {
            let values = headers.split(' ').filter_map(|header| header.split_once('='));
            Header::of(
                values.filter(|(found, _)| *found == name).map(|(_, value)| value.as_bytes()).collect::<Vec<_>>(),
            )
        };
        let attempt = Attempt { header, path_token: None, body: b"Hello" };
        let believed = Believed { delivery_id: service.map(str::to_owned), ..Believed::default() };
        let named: Option<DeliveryHeader> = named.map(|name| name.parse().unwrap());
        let told = attempt.dedupe_id(named.as_ref(), &believed);
        assert_eq!(told.map_or_else(|err| err.to_string(), |id| id.to_string()), expected);
    }

    #[test]
    fn a_delivery_is_known_by_the_first_id_that_there_is() {
        let (named, both) = (Some("X-Mine"), "x-oz-delivery-id=oz x-mine=my");
        check(named, Some("its"), both, "id:my");
        check(named, Some("its"), "x-oz-delivery-id=oz", "id:its");
        check(None, Some("its"), both, "id:its");
        check(named, None, both, "id:my");
        check(None, None, both, "id:oz");
        check(named, None, "x-other=1", HELLO);
        check(None, None, "", HELLO);
        check(None, None, &format!("x-oz-delivery-id={HELLO}"), &format!("id:{HELLO}"));
    }

    #[test]
    fn an_id_that_is_none_is_refused_and_not_passed_over() {
        let long = "a".repeat(255);
        check(None, None, &format!("x-oz-delivery-id={long}"), &format!("id:{long}"));
        check(None, None, &format!("x-oz-delivery-id={long}a"), "x-oz-delivery-id: 1 to 255 visible ASCII characters");
        check(Some("x-mine"), Some("its"), "x-mine=", "x-mine: 1 to 255 visible ASCII characters");
        check(Some("x-mine"), Some("its"), "x-mine=\u{e4}", "x-mine: 1 to 255 visible ASCII characters");
        check(Some("x-mine"), Some("its"), "x-mine=a\tb", "x-mine: 1 to 255 visible ASCII characters");
        check(Some("x-mine"), Some("its"), "x-mine=a x-mine=a", "x-mine: comes more than once; send it once");
        // What the one before it makes needless is not looked at.
        check(None, Some("its"), "x-oz-delivery-id=", "id:its");
    }

    #[test]
    fn a_header_that_is_named_has_an_id_and_no_secret() {
        for wrong in ["", "a b", "a:b", "ä", &"a".repeat(65), "x\n"] {
            assert_eq!(wrong.parse::<DeliveryHeader>(), Err(InvalidHeader::Form), "{wrong}");
        }
        for wrong in ["Authorization", "cookie", "Proxy-Authorization"] {
            assert_eq!(wrong.parse::<DeliveryHeader>(), Err(InvalidHeader::Secret), "{wrong}");
        }
        let header: DeliveryHeader = serde_json::from_str("\"X-Request_Id-2\"").unwrap();
        assert_eq!(header.as_str(), "x-request_id-2");
        assert_eq!(serde_json::to_string(&header).unwrap(), "\"x-request_id-2\"");
        assert!(serde_json::from_str::<DeliveryHeader>("\"cookie\"").is_err());
    }

    #[test]
    fn an_unsigned_id_is_guarded_by_the_body() {
        let guarded = WebhookAuth::ALL.into_iter().filter(|auth| auth.replay_guard(b"Hello").is_some());
        let guarded: Vec<_> = guarded.map(|auth| serde_json::to_value(auth).unwrap()["scheme"].clone()).collect();
        assert_eq!(guarded, ["sentry", "pagerduty", "vercel", "linear", "jira"]);
        let guard = WebhookAuth::Signature { scheme: Scheme::Linear }.replay_guard(b"Hello");
        assert_eq!(guard.unwrap().to_string(), HELLO);
    }
}
