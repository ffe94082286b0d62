//! What an event does not say and its provider does, where what it starts depends on that: who caused it, or whose code it is
//! about. The provider is asked, and what the event starts is decided after that.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::answer::Again;
use crate::limits;
use crate::text;

/// What is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Identity {
    /// The provider is being asked. Until it answers nothing is decided.
    Asked(Asking),
    /// It said what it knows.
    Known,
    /// It did not: the event is taken as it is.
    Unknown { why: String },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asking {
    #[serde(default)]
    pub question: Question,
    #[serde(default)]
    pub failures: u32,
    /// Not before then.
    pub next_at: Timestamp,
    /// Why the last attempt failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Which address somebody has, who may by that alone.
    #[default]
    Address,
    /// Whose code a pull request brings, without which a run gets no secrets.
    Origin,
}

impl Identity {
    pub fn to_be_asked(question: Question, now: Timestamp) -> Self {
        Self::Asked(Asking { question, failures: 0, next_at: now, reason: None })
    }
}

impl Asking {
    /// An attempt has failed, of an event that came `since`. What is not told within [`limits::IDENTIFY_SECONDS`] of that is
    /// not waited for.
    #[must_use]
    pub fn after_failure(&self, reason: &str, again: Again, since: Timestamp, now: Timestamp) -> Identity {
        let failures = self.failures + 1;
        let next_at = again.wait(failures).map(|seconds| after(now, seconds)).filter(|at| *at < ends(since));
        let reason = Some(text::shorten(&text::one_line(reason), limits::STATUS_CHARS));
        match next_at {
            Some(next_at) => Identity::Asked(Self { failures, next_at, reason, ..*self }),
            None => Self { failures, next_at: now, reason, ..*self }.given_up(),
        }
    }

    /// Nobody waits any longer.
    pub fn given_up(&self) -> Identity {
        let unasked = || format!("nobody asked within {} minutes", limits::IDENTIFY_SECONDS / 60);
        Identity::Unknown { why: self.reason.clone().unwrap_or_else(unasked) }
    }

    /// Whether an event that came `since` has waited for so long that whoever asks is not there.
    pub fn is_overdue(since: Timestamp, now: Timestamp) -> bool {
        now >= after(ends(since), limits::ANSWER_LEASE_SECONDS)
    }
}

fn ends(since: Timestamp) -> Timestamp {
    after(since, limits::IDENTIFY_SECONDS)
}

fn after(at: Timestamp, seconds: i64) -> Timestamp {
    at.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    fn asking() -> Asking {
        Asking { question: Question::Origin, failures: 0, next_at: at(0), reason: None }
    }

    #[test]
    fn a_provider_is_asked_again_for_ten_minutes_and_no_longer() {
        let (mut asking, mut waits) = (asking(), Vec::new());
        let given_up = loop {
            let now = asking.next_at;
            match asking.after_failure("no\nroute", Again::Soon, at(0), now) {
                Identity::Asked(next) => {
                    assert_eq!(next.question, Question::Origin);
                    waits.push(next.next_at.duration_since(now).as_secs());
                    asking = next;
                }
                other => break other,
            }
        };
        assert_eq!(waits, [10, 20, 40, 80, 160]);
        assert_eq!(given_up, Identity::Unknown { why: "no route".to_owned() });
    }

    #[test]
    fn it_says_when_to_come_back_or_never() {
        let check = |again, expected: Option<Timestamp>| {
            let next = match asking().after_failure("no", again, at(0), at(5)) {
                Identity::Asked(asking) => Some(asking.next_at),
                Identity::Known | Identity::Unknown { .. } => None,
            };
            assert_eq!(next, expected, "{again:?}");
        };
        check(Again::After { seconds: 90 }, Some(at(95)));
        check(Again::After { seconds: 595 }, None);
        check(Again::Never, None);
    }

    #[test]
    fn rows_of_before_ask_for_an_address() {
        let row = r#"{"asked": {"failures": 2, "next_at": "2026-11-29T10:00:00Z"}}"#;
        let Identity::Asked(asking) = serde_json::from_str(row).unwrap() else { panic!("{row}") };
        assert_eq!((asking.question, asking.failures), (Question::Address, 2));
    }

    #[test]
    fn where_nobody_asks_it_is_decided_a_little_later() {
        let is_overdue = [0, 600, 659, 660].map(|seconds| Asking::is_overdue(at(0), at(seconds)));
        assert_eq!(is_overdue, [false, false, false, true]);
        let why = Identity::Unknown { why: "nobody asked within 10 minutes".to_owned() };
        assert_eq!(asking().given_up(), why);
    }
}
