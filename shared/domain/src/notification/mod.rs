//! Notifications: what is sent to a subscription, attempt by attempt, by the Standard Webhooks specification. Whoever makes
//! an attempt first notes that it does, sends, and then notes what came of it; each note is the row's next version, so that
//! of two who make the same attempt one is told that it is not theirs.

mod body;

use jiff::fmt::rfc2822;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

pub use self::body::{Cost, body, ping};
use crate::audit::digest;
use crate::id::{NotificationId, RunId, SubscriptionId, TeamId};
use crate::limits;
use crate::subscription::Topic;
use crate::text;

/// A notification as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    pub id: NotificationId,
    pub subscription: SubscriptionId,
    pub team: TeamId,
    pub topic: Topic,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub run_id: Option<RunId>,
    /// What every attempt sends, to the byte.
    pub body: String,
    pub created_at: Timestamp,
    /// When the next attempt is due. None: there is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next_at: Option<Timestamp>,
    /// Somebody makes an attempt, and has noted by then what came of it, or is gone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub busy_until: Option<Timestamp>,
    /// Attempts of the schedule that are over.
    #[serde(default)]
    pub tries: u32,
    /// Somebody wants the next attempt, whatever the subscription says.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub wanted: bool,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub delivered_at: Option<Timestamp>,
    /// Why there is no further attempt, where none worked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// The last ones, in order.
    #[serde(default)]
    pub attempts: Vec<Attempt>,
    /// Seconds since 1970, for DynamoDB to delete the row some days after.
    pub expires: i64,
}

/// An attempt that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    pub at: Timestamp,
    pub latency_ms: u64,
    /// Of the answer, if there was one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<u16>,
    /// The beginning of the answer's body.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub body: String,
    /// Why there was no answer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

/// What came of an attempt, as whoever made it knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub latency_ms: u64,
    pub status: Option<u16>,
    /// The header, as it came.
    pub retry_after: Option<String>,
    pub body: String,
    pub error: Option<String>,
}

/// Where a notification stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// There is an attempt to come.
    Pending,
    Delivered,
    /// None worked, and there is none to come.
    Dead,
}

/// What is to be done with a notification now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// An attempt, once this is noted.
    Attempt(Box<Notification>),
    /// Whoever made the last attempt is gone, and nobody knows what came of it: it counts as one that did not work.
    Lost(Box<Notification>),
    /// Nothing: somebody is at it, its time has not come, or there is no attempt to come.
    Nothing,
}

/// What an answer means for the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Delivered,
    Failed,
    /// 410: it wants nothing any more.
    Gone,
}

impl NotificationId {
    /// The same for every attempt and repetition: of the event at `at` of an execution of a run, for one subscription.
    pub fn of(subscription: &SubscriptionId, run: RunId, execution: u32, topic: Topic, at: Timestamp) -> Self {
        let hash = digest(format!("{subscription}\n{run}\n{execution}\n{topic}").as_bytes());
        let mut bits = [0; 10];
        bits.copy_from_slice(&hash.bytes()[..10]);
        Self::new(at, bits)
    }
}

impl Notification {
    /// One that is to be sent at once.
    pub fn new(
        id: NotificationId,
        subscription: SubscriptionId,
        team: TeamId,
        topic: Topic,
        run_id: Option<RunId>,
        body: String,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            subscription,
            team,
            topic,
            run_id,
            body,
            created_at: now,
            next_at: Some(now),
            busy_until: None,
            tries: 0,
            wanted: false,
            delivered_at: None,
            reason: None,
            attempts: Vec::new(),
            expires: after(now, limits::NOTIFICATION_KEPT_SECONDS).as_second(),
        }
    }

    /// The same with one attempt alone, which somebody wants.
    #[must_use]
    pub fn once(self) -> Self {
        Self { tries: LAST - 1, wanted: true, ..self }
    }

    pub fn progress(&self) -> Progress {
        match (self.next_at, self.delivered_at) {
            (Some(_), _) => Progress::Pending,
            (None, Some(_)) => Progress::Delivered,
            (None, None) => Progress::Dead,
        }
    }

    /// What it is time for at `now`.
    pub fn due(&self, now: Timestamp) -> Due {
        match (self.next_at, self.busy_until) {
            (Some(_), Some(until)) if until > now => Due::Nothing,
            (Some(at), Some(_)) => {
                let error = Some("nobody knows what came of it: whoever made it is gone".to_owned());
                Due::Lost(Box::new(self.after(at, &Answer { error, ..Answer::default() }, now)))
            }
            // Times count by the millisecond, as the table keeps them.
            (Some(at), None) if at.as_millisecond() <= now.as_millisecond() => {
                let busy_until = Some(after(now, limits::ATTEMPT_LEASE_SECONDS));
                Due::Attempt(Box::new(Self { busy_until, ..self.clone() }))
            }
            _ => Due::Nothing,
        }
    }

    /// After the attempt that began at `began`.
    pub fn after(&self, began: Timestamp, answer: &Answer, now: Timestamp) -> Self {
        let attempt = Attempt {
            number: self.attempts.last().map_or(0, |last| last.number) + 1,
            at: began,
            latency_ms: answer.latency_ms,
            status: answer.status,
            body: text::printable(answer.body.as_bytes()),
            error: answer.error.as_deref().map(|error| text::shorten(&text::one_line(error), limits::STATUS_CHARS)),
        };
        let mut attempts = self.attempts.clone();
        attempts.push(attempt);
        attempts.drain(..attempts.len().saturating_sub(limits::ATTEMPTS_KEPT));
        let tries = (self.tries + 1).min(LAST);
        let over = Self { attempts, tries, busy_until: None, wanted: false, next_at: None, ..self.clone() };
        match answer.verdict() {
            Verdict::Delivered => Self { delivered_at: Some(now), reason: None, ..over },
            Verdict::Gone => over.dead("the receiver answered 410 Gone"),
            Verdict::Failed if tries < LAST => Self { next_at: Some(answer.next_at(tries, now)), ..over },
            Verdict::Failed => over.dead("the last attempt failed"),
        }
    }

    /// No attempt any more, for `reason`.
    pub fn given_up(&self, reason: &str) -> Self {
        Self { next_at: None, busy_until: None, wanted: false, ..self.clone() }.dead(reason)
    }

    /// One more attempt now. One that has attempts to come goes on with them if this fails; another has only this. None:
    /// somebody makes one at this moment.
    pub fn replayed(&self, now: Timestamp) -> Option<Self> {
        if self.busy_until.is_some_and(|until| until > now) {
            return None;
        }
        let tries = if self.next_at.is_some() { self.tries } else { LAST - 1 };
        Some(Self { next_at: Some(now), busy_until: None, wanted: true, tries, ..self.clone() })
    }

    /// What has worked once stays delivered.
    fn dead(self, reason: &str) -> Self {
        let reason = self.delivered_at.is_none().then(|| reason.to_owned());
        Self { reason, ..self }
    }
}

/// The number of attempts in the schedule.
const LAST: u32 = limits::ATTEMPT_PAUSES.len() as u32;

impl Answer {
    pub fn verdict(&self) -> Verdict {
        match self.status {
            Some(200..=299) => Verdict::Delivered,
            Some(410) => Verdict::Gone,
            _ => Verdict::Failed,
        }
    }

    /// When to try again after `tries` attempts, of which this was the last: by the schedule, or later if the receiver is
    /// busy and says how long.
    fn next_at(&self, tries: u32, now: Timestamp) -> Timestamp {
        let pause = usize::try_from(tries).ok().and_then(|tries| limits::ATTEMPT_PAUSES.get(tries)).copied();
        let by_schedule = after(now, pause.unwrap_or_default());
        let wanted = self.retry_after.as_deref().filter(|_| matches!(self.status, Some(429 | 503)));
        let wanted = wanted.and_then(|text| retry_after(text, now));
        wanted.map_or(by_schedule, |at| at.clamp(by_schedule, by_schedule.max(after(now, limits::RETRY_AFTER_SECONDS))))
    }
}

/// Seconds, or a date of HTTP.
fn retry_after(text: &str, now: Timestamp) -> Option<Timestamp> {
    let text = text.trim();
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok().map(|seconds| after(now, seconds));
    }
    rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

fn after(at: Timestamp, seconds: i64) -> Timestamp {
    at.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RUN: &str = "019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10";

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn notification() -> Notification {
        let (subscription, run) = (SubscriptionId::new([7; 16]), RUN.parse().unwrap());
        let id = NotificationId::of(&subscription, run, 1, Topic::Failed, at(0));
        let team = "local".parse().unwrap();
        Notification::new(id, subscription, team, Topic::Failed, Some(run), "{}".to_owned(), at(0))
    }

    fn answered(status: u16) -> Answer {
        Answer { status: Some(status), ..Answer::default() }
    }

    /// Makes the attempt that is due, a second long.
    fn attempt(notification: &Notification, answer: &Answer) -> Notification {
        let began = notification.next_at.expect("an attempt to come");
        let Due::Attempt(begun) = notification.due(began) else { panic!("{notification:?}") };
        begun.after(began, answer, began + SignedDuration::from_secs(1))
    }

    #[test]
    fn an_id_is_that_of_its_event_and_of_no_other() {
        let (run, other): (RunId, RunId) = (RUN.parse().unwrap(), RunId::new(1, [1; 10]));
        let (a, b) = (SubscriptionId::new([1; 16]), SubscriptionId::new([2; 16]));
        let id = NotificationId::of(&a, run, 1, Topic::Failed, at(0));
        assert_eq!(id, NotificationId::of(&a, run, 1, Topic::Failed, at(0)));
        for differs in [
            NotificationId::of(&b, run, 1, Topic::Failed, at(0)),
            NotificationId::of(&a, other, 1, Topic::Failed, at(0)),
            NotificationId::of(&a, run, 2, Topic::Failed, at(0)),
            NotificationId::of(&a, run, 1, Topic::Error, at(0)),
        ] {
            assert_ne!(differs, id);
        }
    }

    #[test]
    fn what_fails_is_tried_by_the_specifications_schedule_and_then_is_dead() {
        let mut notification = notification();
        let mut pauses = Vec::new();
        let mut over = at(0);
        while let Some(next) = notification.next_at {
            pauses.push(next.duration_since(over).as_secs());
            notification = attempt(&notification, &answered(500));
            over = next + SignedDuration::from_secs(1);
        }
        assert_eq!(pauses, [0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]);
        assert_eq!(notification.progress(), Progress::Dead);
        assert_eq!(notification.reason.as_deref(), Some("the last attempt failed"));
        assert_eq!(notification.attempts.iter().map(|a| a.number).collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());
        assert_eq!(notification.due(at(10_000_000)), Due::Nothing);
    }

    #[track_caller]
    fn check(answer: &Answer, expected: Verdict, progress: Progress) {
        assert_eq!(answer.verdict(), expected, "{answer:?}");
        assert_eq!(attempt(&notification(), answer).progress(), progress, "{answer:?}");
    }

    #[test]
    fn every_answer_has_one_meaning() {
        for status in [200, 201, 202, 204, 299] {
            check(&answered(status), Verdict::Delivered, Progress::Delivered);
        }
        check(&answered(410), Verdict::Gone, Progress::Dead);
        for status in [100, 199, 300, 301, 302, 307, 308, 400, 401, 404, 409, 411, 429, 500, 502, 503, 599, 999] {
            check(&answered(status), Verdict::Failed, Progress::Pending);
        }
        check(&Answer { error: Some("timed out".to_owned()), ..Answer::default() }, Verdict::Failed, Progress::Pending);
    }

    /// After the fourth attempt failed at 0; the schedule says two hours.
    #[track_caller]
    fn waits(status: u16, retry_after: &str, expected: i64) {
        let answer = Answer { retry_after: Some(retry_after.to_owned()), ..answered(status) };
        assert_eq!(answer.next_at(4, at(0)), at(expected), "{status} {retry_after}");
    }

    #[test]
    fn a_busy_receiver_is_given_the_time_that_it_wants_within_bounds() {
        const HOURS: i64 = 3600;
        for status in [429, 503] {
            waits(status, "10800", 3 * HOURS);
            waits(status, " 10800 ", 3 * HOURS);
            waits(status, "60", 2 * HOURS);
            waits(status, "0", 2 * HOURS);
            waits(status, "99999999", 24 * HOURS);
            waits(status, "9223372036854775807", 24 * HOURS);
            waits(status, "99999999999999999999999", 2 * HOURS);
            waits(status, "-60", 2 * HOURS);
            waits(status, "soon", 2 * HOURS);
            waits(status, "", 2 * HOURS);
            // at(0) is Fri, 15 Jan 2027 08:00:00 GMT.
            waits(status, "Fri, 15 Jan 2027 12:00:00 GMT", 4 * HOURS);
            waits(status, "Thu, 14 Jan 2027 12:00:00 GMT", 2 * HOURS);
            waits(status, "Mon, 15 Feb 2027 12:00:00 GMT", 24 * HOURS);
        }
        waits(500, "10800", 2 * HOURS);
        let answer = Answer { retry_after: Some("60".to_owned()), ..answered(429) };
        assert_eq!(answer.next_at(9, at(0)), at(24 * HOURS), "the schedule's own longest pause");
    }

    #[test]
    fn an_attempt_is_one_persons_until_they_are_gone() {
        let fresh = notification();
        assert_eq!(fresh.due(at(-1)), Due::Nothing);
        let Due::Attempt(begun) = fresh.due(at(0)) else { panic!() };
        assert_eq!(begun.due(at(59)), Due::Nothing);
        let Due::Lost(lost) = begun.due(at(60)) else { panic!() };
        assert_eq!((lost.attempts.len(), lost.tries, lost.busy_until), (1, 1, None));
        assert_eq!(lost.attempts[0].at, at(0));
        assert!(lost.attempts[0].error.as_deref().unwrap().starts_with("nobody knows"));
        assert_eq!(lost.next_at, Some(at(65)));
    }

    #[test]
    fn a_replay_is_one_more_attempt_and_undoes_nothing() {
        let failed = attempt(&notification(), &answered(500));
        assert_eq!(failed.next_at, Some(at(6)));
        // One that is still tried is tried at once, and then by the schedule.
        let replayed = failed.replayed(at(2)).unwrap();
        assert_eq!((replayed.next_at, replayed.wanted), (Some(at(2)), true));
        let again = attempt(&replayed, &answered(500));
        assert_eq!((again.next_at, again.wanted, again.tries), (Some(at(303)), false, 2));

        let delivered = attempt(&again, &answered(200));
        assert_eq!(delivered.replayed(at(400)).unwrap().progress(), Progress::Pending);
        let still = attempt(&delivered.replayed(at(400)).unwrap(), &answered(500));
        assert_eq!((still.progress(), &still.reason, still.attempts.len()), (Progress::Delivered, &None, 4));

        let dead = attempt(&again, &answered(410));
        assert_eq!(dead.reason.as_deref(), Some("the receiver answered 410 Gone"));
        let still = attempt(&dead.replayed(at(400)).unwrap(), &answered(500));
        assert_eq!(still.progress(), Progress::Dead);
        let at_last = attempt(&still.replayed(at(500)).unwrap(), &answered(204));
        assert_eq!((at_last.progress(), &at_last.reason), (Progress::Delivered, &None));

        let Due::Attempt(busy) = replayed.due(at(2)) else { panic!() };
        assert_eq!(busy.replayed(at(3)), None);
        let given_up = failed.given_up("the subscription is paused");
        assert_eq!(
            (given_up.progress(), given_up.reason.as_deref()),
            (Progress::Dead, Some("the subscription is paused"))
        );
    }

    #[test]
    fn what_is_wanted_once_is_tried_once() {
        let once = attempt(&notification().once(), &answered(500));
        assert_eq!((once.progress(), once.attempts.len(), once.wanted), (Progress::Dead, 1, false));
    }

    proptest! {
        /// Whatever is answered, lost and replayed: attempts are numbered without a gap, the schedule ends, what was
        /// delivered stays so, and the row stays small.
        #[test]
        fn an_attempt_is_counted_once(steps in prop::collection::vec((0..4_u8, 100..600_u16), 1..60)) {
            let mut notification = notification();
            let mut now = at(0);
            let (mut made, mut last) = (0, 0);
            for (step, status) in steps {
                now += SignedDuration::from_secs(120);
                let delivered = notification.delivered_at.is_some();
                match (step, notification.due(now)) {
                    (0, _) => notification = notification.replayed(now).unwrap_or(notification),
                    (1, Due::Attempt(begun)) => notification = *begun,
                    (_, Due::Attempt(begun)) => {
                        notification = begun.after(now, &Answer { body: "x".repeat(limits::ANSWER_BYTES), ..answered(status) }, now);
                        made += 1;
                    }
                    (_, Due::Lost(lost)) => {
                        notification = *lost;
                        made += 1;
                    }
                    (_, Due::Nothing) => now = notification.next_at.unwrap_or(now),
                }
                if let Some(newest) = notification.attempts.last() {
                    prop_assert!(newest.number == last || newest.number == last + 1);
                    last = newest.number;
                }
                prop_assert!(!delivered || notification.delivered_at.is_some());
                prop_assert!(notification.attempts.len() <= limits::ATTEMPTS_KEPT);
            }
            prop_assert_eq!(last, made);
        }
    }
}
