//! Answers: the place that a run was asked for from is told how it stands, by one message that is edited in place; where edits
//! notify nobody, each end by one of its own. What is told follows from the run as it is, so that whoever tells it late, twice
//! or after somebody else tells the same.

mod public_url;
mod said;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

pub use public_url::{InvalidPublicUrl, PublicUrl};
pub use said::{Markup, Said, Stage};

use crate::id::{RunId, TeamId};
use crate::limits;
use crate::text;

/// What was told of a run, and what is being done about telling more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub run_id: RunId,
    pub team: TeamId,
    /// The message that is edited in place.
    #[serde(default)]
    pub message: Posted,
    /// The check run beside a commit, where there is one.
    #[serde(default)]
    pub check: Posted,
    /// The message that tells the latest end alone, where there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub end: Option<PostedEnd>,
    /// What was last told, by [`Said::mark`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub told: Option<String>,
    /// Somebody is at it until then at the latest.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub busy_until: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trouble: Option<Trouble>,
}

/// One thing of ours at a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Posted {
    /// By what it is edited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Somebody has set out to make it: without an id it may be there all the same.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub begun: bool,
}

/// What tells an end of a run and nothing else. A run that is reopened has another, which has a message of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostedEnd {
    pub at: Timestamp,
    #[serde(default)]
    pub message: Posted,
}

/// Why something could not be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// What it was, by [`Said::mark`].
    pub mark: String,
    pub reason: String,
    pub since: Timestamp,
    pub failures: u32,
    /// When to try again. None: this is not told any more.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next_at: Option<Timestamp>,
}

/// What is to be done about something that could be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// It was told, or will never be.
    Nothing,
    /// Somebody else is at it, until then at the latest.
    Busy(Timestamp),
    /// Not before then.
    Later(Timestamp),
    /// To be noted before it is tried.
    Attempt(Box<Answer>),
}

/// Whether a provider may get over what went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    Soon,
    After { seconds: u64 },
    Never,
}

impl Again {
    /// Seconds until the next attempt, after so many failures. None: there is no next one.
    pub(crate) fn wait(self, failures: u32) -> Option<i64> {
        let doubled = limits::ANSWER_RETRY_SECONDS << failures.saturating_sub(1).min(16);
        match self {
            Self::Never => None,
            Self::Soon => Some(doubled.min(limits::ANSWER_RETRY_SECONDS_MOST)),
            Self::After { seconds } => Some(seconds.cast_signed()),
        }
    }
}

impl Answer {
    pub fn new(run_id: RunId, team: TeamId) -> Self {
        let (message, check) = (Posted::default(), Posted::default());
        Self { run_id, team, message, check, end: None, told: None, busy_until: None, trouble: None }
    }

    /// What is to be done about `mark`, which is how the run stands; `end` is when it ended, where a message of its own tells
    /// that.
    pub fn due(&self, mark: &str, end: Option<Timestamp>, now: Timestamp) -> Due {
        if let Some(until) = self.busy_until.filter(|until| now < *until) {
            return Due::Busy(until);
        }
        if self.told.as_deref() == Some(mark) {
            return Due::Nothing;
        }
        if let Some(trouble) = self.trouble.as_ref().filter(|trouble| trouble.mark == mark) {
            match trouble.next_at {
                None => return Due::Nothing,
                Some(at) if now < at => return Due::Later(at),
                Some(_) => {}
            }
        }
        let begun = |posted: &Posted| Posted { begun: true, ..posted.clone() };
        Due::Attempt(Box::new(Self {
            message: begun(&self.message),
            check: begun(&self.check),
            end: match end {
                Some(at) => Some(PostedEnd { at, message: begun(&self.told_of(at)) }),
                None => self.end.clone(),
            },
            busy_until: Some(
                now.saturating_add(SignedDuration::from_secs(limits::ANSWER_LEASE_SECONDS)).unwrap_or(now),
            ),
            ..self.clone()
        }))
    }

    /// The message that tells that end, as far as it is there.
    pub fn told_of(&self, end: Timestamp) -> Posted {
        self.end.as_ref().filter(|told| told.at == end).map(|told| told.message.clone()).unwrap_or_default()
    }

    /// `mark` was told.
    pub fn after_success(&self, mark: &str) -> Self {
        Self { told: Some(mark.to_owned()), busy_until: None, trouble: None, ..self.clone() }
    }

    /// `mark` could not be told. What is not told within [`limits::ANSWER_SECONDS`] never is; the next that is to be told has
    /// time of its own.
    pub fn after_failure(&self, mark: &str, reason: &str, again: Again, now: Timestamp) -> Self {
        let before = self.trouble.as_ref().filter(|trouble| trouble.mark == mark);
        let failures = before.map_or(0, |trouble| trouble.failures) + 1;
        let since = before.map_or(now, |trouble| trouble.since);
        let wait = again.wait(failures);
        let after = |at: Timestamp, seconds| at.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(at);
        let next_at = wait.map(|seconds| after(now, seconds)).filter(|at| *at < after(since, limits::ANSWER_SECONDS));
        let reason = text::shorten(&text::one_line(reason), limits::STATUS_CHARS);
        let trouble = Trouble { mark: mark.to_owned(), reason, since, failures, next_at };
        Self { busy_until: None, trouble: Some(trouble), ..self.clone() }
    }

    /// Whether there is nothing more to be done about `mark`.
    pub fn is_settled(&self, mark: &str) -> bool {
        let given_up = |trouble: &Trouble| trouble.mark == mark && trouble.next_at.is_none();
        self.told.as_deref() == Some(mark) || self.trouble.as_ref().is_some_and(given_up)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    fn fresh() -> Answer {
        Answer::new(RunId::new(1_700_000_000_000, [7; 10]), "local".parse().unwrap())
    }

    fn begun(answer: &Answer, mark: &str, seconds: i64) -> Answer {
        match answer.due(mark, None, at(seconds)) {
            Due::Attempt(begun) => *begun,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_at_a_time_and_each_thing_once() {
        let first = begun(&fresh(), "queued", 0);
        assert!(first.message.begun && first.check.begun);
        let busy = Due::Busy(at(limits::ANSWER_LEASE_SECONDS));
        assert_eq!((first.due("queued", None, at(1)), first.due("done", None, at(1))), (busy.clone(), busy));
        let told = first.after_success("queued");
        assert_eq!(told.due("queued", None, at(2)), Due::Nothing);
        assert!(told.is_settled("queued") && !told.is_settled("done"));
        begun(&told, "done", 2);
        // Whoever was at it died.
        begun(&first, "queued", limits::ANSWER_LEASE_SECONDS);
    }

    #[test]
    fn each_end_has_a_message_of_its_own() {
        let attempt = |answer: &Answer, end| match answer.due("done", Some(at(end)), at(end)) {
            Due::Attempt(begun) => *begun,
            other => panic!("{other:?}"),
        };
        let first = attempt(&fresh(), 10);
        assert!(first.told_of(at(10)).begun && !first.told_of(at(20)).begun);
        let told = Posted { id: Some("1.2".to_owned()), begun: true };
        let done = Answer { end: Some(PostedEnd { at: at(10), message: told.clone() }), busy_until: None, ..first };
        assert_eq!(attempt(&done, 10).told_of(at(10)), told);
        let begun = Posted { id: None, begun: true };
        assert_eq!(attempt(&done, 20).end, Some(PostedEnd { at: at(20), message: begun }));
        // While it is at work again, what told the end stays as it is.
        let Due::Attempt(reopened) = done.due("queued", None, at(30)) else { panic!("{done:?}") };
        assert_eq!(reopened.end, done.end);
    }

    #[test]
    fn a_row_that_knows_nothing_of_ends_can_be_read() {
        let row = r#"{"run_id": "019aa4b6-4500-7707-8707-070707070707", "team": "local", "message": {"id": "1.2"}, "told": "c0ffee"}"#;
        let answer: Answer = serde_json::from_str(row).unwrap();
        assert_eq!((answer.end.as_ref(), answer.told_of(at(0))), (None, Posted::default()));
        assert!(!serde_json::to_string(&answer).unwrap().contains("end"));
    }

    #[test]
    fn what_failed_is_tried_again_later_each_time() {
        let mut answer = begun(&fresh(), "queued", 0);
        let mut now = at(0);
        let mut waits = Vec::new();
        loop {
            answer = answer.after_failure("queued", "no\nroute", Again::Soon, now);
            let trouble = answer.trouble.clone().unwrap();
            assert_eq!((trouble.reason.as_str(), trouble.since), ("no route", at(0)));
            let Some(next) = trouble.next_at else { break };
            assert_eq!(answer.due("queued", None, now), Due::Later(next));
            waits.push(next.duration_since(now).as_secs());
            now = next;
            assert!(matches!(answer.due("queued", None, now), Due::Attempt(_)));
        }
        assert_eq!(waits[..7], [10, 20, 40, 80, 160, 320, 600]);
        let whole: i64 = waits.iter().sum();
        assert!((limits::ANSWER_SECONDS - 600..limits::ANSWER_SECONDS).contains(&whole), "{whole}");
        assert_eq!((answer.due("queued", None, now), answer.is_settled("queued")), (Due::Nothing, true));
        // What is to be told next is another thing.
        begun(&answer, "done", now.duration_since(at(0)).as_secs());
    }

    #[test]
    fn a_provider_says_when_to_come_back_or_never() {
        let limited = fresh().after_failure("queued", "too many", Again::After { seconds: 90 }, at(0));
        assert_eq!(limited.due("queued", None, at(89)), Due::Later(at(90)));
        let never = fresh().after_failure("queued", "no such token", Again::Never, at(0));
        assert_eq!((never.due("queued", None, at(9_999)), never.is_settled("queued")), (Due::Nothing, true));
        let too_late = fresh().after_failure("queued", "x", Again::After { seconds: 86_400 }, at(0));
        assert!(too_late.is_settled("queued"));
    }
}
