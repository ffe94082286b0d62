//! Subscriptions: whom to tell when a run changes its state, and the secret with which that is signed.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::checks;
use crate::id::{SubscriptionId, TeamId, as_text};
use crate::limits;
use crate::receiver::ReceiverUrl;
use crate::rotation;
use crate::standard_webhooks::SigningSecret;
use crate::state::RunState;
use crate::template::InvalidField;

/// A subscription as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    pub id: SubscriptionId,
    pub team: TeamId,
    pub config: SubscriptionConfig,
    /// Why the control plane paused it. None: it is not paused, or somebody did that.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub paused_because: Option<String>,
    /// No attempt has worked since then. None: the last one did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failing_since: Option<Timestamp>,
    /// Counts its secrets, from 1. The secret itself is not stored: it follows from this.
    pub secret_generation: u32,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rotated_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub last_updated: Timestamp,
}

/// What a user sets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionConfig {
    pub name: String,
    pub url: ReceiverUrl,
    /// Empty: every end of a run, and nothing else.
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    pub topics: BTreeSet<Topic>,
    /// It is told nothing, and what is still to be tried is given up when its time comes.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub paused: bool,
}

/// What a notification tells of. On the wire, the API's `events` and the body's `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Accepted, reopened by a message, or back in the queue after an execution failed.
    Queued,
    /// The harness of an execution has started.
    Started,
    /// Ended, and waits for an answer of somebody.
    Blocked,
    Succeeded,
    Failed,
    Error,
    Cancelled,
    /// Of no run: somebody tries a subscription.
    Ping,
}

/// A text that names no event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is none of run.queued, run.started, run.blocked, run.succeeded, run.failed, run.error, run.cancelled")]
pub struct UnknownTopic(String);

impl Topic {
    /// What somebody may subscribe to.
    pub const ALL: [Self; 7] =
        [Self::Queued, Self::Started, Self::Blocked, Self::Succeeded, Self::Failed, Self::Error, Self::Cancelled];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "run.queued",
            Self::Started => "run.started",
            Self::Blocked => "run.blocked",
            Self::Succeeded => "run.succeeded",
            Self::Failed => "run.failed",
            Self::Error => "run.error",
            Self::Cancelled => "run.cancelled",
            Self::Ping => "ping",
        }
    }

    /// The one that a run in that state tells of, if it has ended.
    pub fn of_end(state: RunState) -> Option<Self> {
        match state {
            RunState::Blocked => Some(Self::Blocked),
            RunState::Succeeded => Some(Self::Succeeded),
            RunState::Failed => Some(Self::Failed),
            RunState::Error => Some(Self::Error),
            RunState::Cancelled => Some(Self::Cancelled),
            _ => None,
        }
    }

    pub fn is_end(self) -> bool {
        matches!(self, Self::Blocked | Self::Succeeded | Self::Failed | Self::Error | Self::Cancelled)
    }
}

impl SubscriptionConfig {
    /// Whether this could be stored. Address and topics have been checked by their types.
    pub fn check(&self) -> Result<(), InvalidField> {
        checks::name("a subscription", &self.name)?;
        if self.topics.contains(&Topic::Ping) {
            return Err(InvalidField::new("events", "a ping is asked for; nobody subscribes to it"));
        }
        Ok(())
    }
}

impl Subscription {
    /// Whether it is to be told of such an event.
    pub fn hears(&self, topic: Topic) -> bool {
        let topics = &self.config.topics;
        !self.config.paused && if topics.is_empty() { topic.is_end() } else { topics.contains(&topic) }
    }

    /// The secret with which the next notification is signed.
    pub fn secret(&self, key: &SecretString) -> SigningSecret {
        SigningSecret::of_subscription(key, &self.id, self.secret_generation)
    }

    /// Every secret with which a notification is signed at `now`: for a while after a rotation the one before as well.
    pub fn secrets(&self, key: &SecretString, now: Timestamp) -> Vec<SigningSecret> {
        let generations = rotation::generations(self.secret_generation, self.rotated_at, now);
        generations.map(|generation| SigningSecret::of_subscription(key, &self.id, generation)).collect()
    }

    /// The same with its next secret.
    pub fn rotated(&self, now: Timestamp) -> Self {
        let secret_generation = self.secret_generation.saturating_add(1);
        Self { secret_generation, rotated_at: Some(now), last_updated: now, ..self.clone() }
    }

    /// The same as a user wants it. One that is resumed begins anew: what was before does not count against it.
    pub fn changed(&self, config: SubscriptionConfig, now: Timestamp) -> Self {
        let stays_paused = self.config.paused && config.paused;
        let paused_because = self.paused_because.clone().filter(|_| stays_paused);
        let resumed = self.config.paused && !config.paused || self.config.url != config.url;
        let failing_since = self.failing_since.filter(|_| !resumed);
        Self { config, paused_because, failing_since, last_updated: now, ..self.clone() }
    }

    /// After an attempt that worked. None: nothing changes.
    pub fn after_success(&self) -> Option<Self> {
        self.failing_since?;
        Some(Self { failing_since: None, ..self.clone() })
    }

    /// After an attempt that did not. None: nothing changes.
    pub fn after_failure(&self, now: Timestamp) -> Option<Self> {
        let Some(since) = self.failing_since else { return Some(Self { failing_since: Some(now), ..self.clone() }) };
        let days = limits::SUBSCRIPTION_FAILING_SECONDS / (24 * 3600);
        let too_long = now.duration_since(since) >= SignedDuration::from_secs(limits::SUBSCRIPTION_FAILING_SECONDS);
        too_long
            .then(|| self.paused_by_us(&format!("every attempt has failed for {days} days, since {since}"), now))
            .flatten()
    }

    /// After the receiver said that it is gone for good. None: it is paused already.
    pub fn after_gone(&self, now: Timestamp) -> Option<Self> {
        self.paused_by_us("the receiver answered 410 Gone", now)
    }

    fn paused_by_us(&self, reason: &str, now: Timestamp) -> Option<Self> {
        let config = SubscriptionConfig { paused: true, ..self.config.clone() };
        (!self.config.paused).then(|| Self {
            config,
            paused_because: Some(reason.to_owned()),
            last_updated: now,
            ..self.clone()
        })
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Topic {
    type Err = UnknownTopic;

    fn from_str(text: &str) -> Result<Self, UnknownTopic> {
        let known = Self::ALL.into_iter().chain([Self::Ping]).find(|topic| topic.as_str() == text);
        known.ok_or_else(|| UnknownTopic(text.chars().take(80).collect()))
    }
}

as_text!(Topic);

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription() -> Subscription {
        serde_json::from_value(serde_json::json!({
            "id": "sub_0123456789abcdefABCDEF", "team": "local", "secret_generation": 1,
            "config": {"name": "deploys", "url": "https://example.com/hook"},
            "created_at": "2026-11-21T00:00:00Z", "last_updated": "2026-11-21T00:00:00Z",
        }))
        .unwrap()
    }

    fn hours(hours: i64) -> Timestamp {
        "2026-11-21T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(hours)
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut SubscriptionConfig), expected: &str) {
        let mut config = subscription().config;
        change(&mut config);
        assert_eq!(config.check().map_or_else(|err| err.field, |()| "ok".to_owned()), expected);
    }

    #[test]
    fn what_cannot_be_is_refused_by_field() {
        check(|_| {}, "ok");
        check(|c| c.name = String::new(), "name");
        check(|c| c.name = " deploys".to_owned(), "name");
        check(|c| c.name = "ü".repeat(101), "name");
        check(|c| c.topics = Topic::ALL.into(), "ok");
        check(|c| c.topics = [Topic::Ping].into(), "events");
    }

    #[track_caller]
    fn hears(topics: &[Topic], paused: bool, expected: &str) {
        let mut subscription = subscription();
        subscription.config.topics = topics.iter().copied().collect();
        subscription.config.paused = paused;
        let heard: Vec<&str> =
            Topic::ALL.into_iter().filter(|topic| subscription.hears(*topic)).map(Topic::as_str).collect();
        assert_eq!(heard.join(" "), expected);
    }

    #[test]
    fn a_subscription_hears_what_it_names_or_every_end() {
        hears(&[], false, "run.blocked run.succeeded run.failed run.error run.cancelled");
        hears(&[Topic::Queued], false, "run.queued");
        hears(&[Topic::Started, Topic::Failed], false, "run.started run.failed");
        hears(&Topic::ALL, true, "");
    }

    #[test]
    fn every_end_has_an_event_and_nothing_else_has() {
        for state in RunState::ALL {
            let topic = Topic::of_end(state);
            assert_eq!(topic.is_some(), state.is_terminal(), "{state}");
            assert!(topic.is_none_or(Topic::is_end), "{state}");
        }
        for topic in Topic::ALL.into_iter().chain([Topic::Ping]) {
            assert_eq!(topic.as_str().parse(), Ok(topic));
        }
        assert!("run.ended".parse::<Topic>().is_err());
    }

    #[test]
    fn both_secrets_sign_for_a_day_after_a_rotation() {
        let key = SecretString::from("key");
        let first = subscription();
        let spelled = |subscription: &Subscription, at| -> Vec<String> {
            subscription.secrets(&key, at).iter().map(|secret| secret.expose().to_owned()).collect()
        };
        let [one] = spelled(&first, hours(100)).try_into().unwrap();
        let second = first.rotated(hours(100));
        let [two, still] = spelled(&second, hours(123)).try_into().unwrap();
        assert!(two != one && still == one);
        assert_eq!(spelled(&second, hours(124)), std::slice::from_ref(&two));
        let third = second.rotated(hours(101));
        let [three, still] = spelled(&third, hours(102)).try_into().unwrap();
        assert!(three != two && still == two, "only the one before");
        let other = Subscription { id: SubscriptionId::new([1; 16]), ..first };
        assert_ne!(spelled(&other, hours(0)), [one]);
    }

    #[test]
    fn five_days_of_nothing_but_failures_pause_a_subscription() {
        let fine = subscription();
        assert_eq!(fine.after_success(), None);
        let failing = fine.after_failure(hours(0)).unwrap();
        assert_eq!((failing.failing_since, failing.config.paused), (Some(hours(0)), false));
        assert_eq!(failing.after_failure(hours(119)), None);
        assert_eq!(failing.after_success(), Some(fine));
        let paused = failing.after_failure(hours(120)).unwrap();
        assert!(paused.config.paused && paused.paused_because.as_deref().unwrap().contains("for 5 days"));
        assert_eq!(paused.after_failure(hours(121)), None, "it is paused already");
        // Whoever resumes it gives it five days more.
        let resumed = paused.changed(SubscriptionConfig { paused: false, ..paused.config.clone() }, hours(130));
        assert_eq!((&resumed.paused_because, resumed.failing_since), (&None, None));
        let renamed = paused.changed(SubscriptionConfig { name: "x".to_owned(), ..paused.config.clone() }, hours(130));
        assert_eq!(renamed.paused_because, paused.paused_because);
        let moved = SubscriptionConfig { url: "https://example.org".parse().unwrap(), ..failing.config.clone() };
        assert_eq!(failing.changed(moved, hours(1)).failing_since, None, "another receiver");
    }

    #[test]
    fn a_receiver_that_is_gone_pauses_it_at_once() {
        let paused = subscription().after_gone(hours(1)).unwrap();
        assert_eq!(paused.paused_because.as_deref(), Some("the receiver answered 410 Gone"));
        assert!(paused.config.paused && !paused.hears(Topic::Failed));
        assert_eq!(paused.after_gone(hours(2)), None);
    }
}
