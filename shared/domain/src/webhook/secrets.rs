//! The secrets of a webhook: the one that is valid, and for a day the one before.

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::id::WebhookId;
use crate::rotation;
use crate::sealed::Sealed;
use crate::token::hmac;
use crate::webhook_auth::{InvalidWebhookSecret, WebhookAuth, WebhookSecret};

/// What is stored of a webhook's secrets. One that is made here follows from the control plane's key and its number; one that
/// its service made is stored sealed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secrets {
    /// Counts those that were made here, from 1.
    pub generation: u32,
    /// None: the service has not told its secret yet, and until then nothing is taken.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    now: Option<Stored>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    before: Option<Stored>,
    /// When it last took the place of the one before.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rotated_at: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stored {
    Derived { generation: u32 },
    Sealed(Sealed),
}

/// Whose secrets they are, and under which key.
#[derive(Clone, Copy)]
pub struct Owner<'a> {
    pub key: &'a SecretString,
    pub webhook: &'a WebhookId,
    pub auth: WebhookAuth,
}

impl Secrets {
    /// Those of a webhook that has one more, at `now`: what its service made, else what is made here, if anything is. The one
    /// before works for a day more.
    pub fn with_next(
        &self,
        owner: Owner<'_>,
        given: Option<&str>,
        random: [u8; 32],
        now: Timestamp,
    ) -> Result<Self, InvalidWebhookSecret> {
        let generation = self.generation.saturating_add(1);
        let next = match given {
            Some(text) => {
                let secret = owner.auth.parse_secret(text)?;
                Some(Stored::Sealed(Sealed::new(owner.key, owner.webhook.as_str(), random, secret.expose())))
            }
            None => owner.derived(generation).map(|_| Stored::Derived { generation }),
        };
        let rotated_at = self.now.is_some().then_some(now);
        Ok(Self { generation, now: next, before: self.now.clone(), rotated_at })
    }

    /// None any more, as after a change of how they are shown; what is made next is another one all the same.
    pub fn forgotten(&self) -> Self {
        Self { generation: self.generation, ..Self::default() }
    }

    /// Whether there is one at all.
    pub fn is_complete(&self) -> bool {
        self.now.is_some()
    }

    /// The one that is valid, to be shown once: only if it was made here, as its service shows its own.
    pub fn made_here(&self, owner: Owner<'_>) -> Option<WebhookSecret> {
        match self.now.as_ref()? {
            Stored::Derived { generation } => owner.derived(*generation),
            Stored::Sealed(_) => None,
        }
    }

    /// Every one that is taken at `now`.
    pub fn valid(&self, owner: Owner<'_>, now: Timestamp) -> Vec<WebhookSecret> {
        let before = self.before.as_ref().filter(|_| rotation::overlaps(self.rotated_at, now));
        self.now.iter().chain(before).filter_map(|stored| owner.read(stored)).collect()
    }
}

impl Owner<'_> {
    fn read(self, stored: &Stored) -> Option<WebhookSecret> {
        match stored {
            Stored::Derived { generation } => self.derived(*generation),
            Stored::Sealed(sealed) => {
                let text = sealed.open(self.key, self.webhook.as_str())?;
                self.auth.parse_secret(text.expose_secret()).ok()
            }
        }
    }

    fn derived(self, generation: u32) -> Option<WebhookSecret> {
        let said = format!("ozma webhook address v1\n{}\n{generation}", self.webhook);
        self.auth.new_secret(hmac(self.key, said.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::webhook_auth::Scheme;

    fn at(hours: i64) -> Timestamp {
        "2026-11-21T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(hours)
    }

    struct Of {
        key: SecretString,
        webhook: WebhookId,
        auth: WebhookAuth,
    }

    impl Of {
        fn new(auth: WebhookAuth) -> Self {
            Self { key: SecretString::from("key"), webhook: WebhookId::new([7; 16]), auth }
        }

        fn owner(&self) -> Owner<'_> {
            Owner { key: &self.key, webhook: &self.webhook, auth: self.auth }
        }

        fn valid(&self, secrets: &Secrets, hours: i64) -> Vec<String> {
            secrets.valid(self.owner(), at(hours)).iter().map(|secret| secret.expose().to_owned()).collect()
        }
    }

    #[test]
    fn the_secret_before_works_for_a_day() {
        let token = Of::new(WebhookAuth::Token);
        let first = Secrets::default().with_next(token.owner(), None, [1; 32], at(0)).unwrap();
        let [one] = token.valid(&first, 100).try_into().unwrap();
        assert_eq!(first.made_here(token.owner()).unwrap().expose(), one);
        let second = first.with_next(token.owner(), None, [2; 32], at(100)).unwrap();
        let [two, still] = token.valid(&second, 123).try_into().unwrap();
        assert!(one != two && still == one);
        assert_eq!(token.valid(&second, 124), std::slice::from_ref(&two));
        // A clock that is behind the one that rotated does not shut anybody out.
        assert_eq!(token.valid(&second, 99), [two, one]);
    }

    #[test]
    fn a_service_that_makes_its_own_secret_is_waited_for() {
        let stripe = Of::new(WebhookAuth::Signature { scheme: Scheme::Stripe });
        let waiting = Secrets::default().with_next(stripe.owner(), None, [1; 32], at(0)).unwrap();
        assert!(!waiting.is_complete() && stripe.valid(&waiting, 0).is_empty());
        let told = waiting.with_next(stripe.owner(), Some("whsec_of_stripe"), [2; 32], at(1)).unwrap();
        assert_eq!(stripe.valid(&told, 1), ["whsec_of_stripe"]);
        // What somebody brought along is shown to nobody.
        assert!(told.is_complete() && told.made_here(stripe.owner()).is_none());
        assert!(!serde_json::to_string(&told).unwrap().contains("whsec_of_stripe"));
        let rotated = told.with_next(stripe.owner(), Some("whsec_of_stripe_2"), [3; 32], at(2)).unwrap();
        assert_eq!(stripe.valid(&rotated, 2), ["whsec_of_stripe_2", "whsec_of_stripe"]);
        assert!(told.with_next(stripe.owner(), Some("short"), [3; 32], at(2)).is_err());
    }
}
