//! Redelivery: GitHub tries to deliver each event once. Of what did not arrive it is asked for another attempt, and for further
//! ones later each time, so that an outage of a day loses nothing.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::limits;

/// What was seen when somebody last looked for events that did not arrive at a webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    pub looked_at: Timestamp,
    /// Everything before this has arrived, or is not asked for any more.
    pub arrived_until: Timestamp,
    /// Events of which no attempt had arrived.
    #[serde(default)]
    pub lost: u32,
    /// Those of them for which another attempt was asked for then.
    #[serde(default)]
    pub asked: u32,
    /// Those of them that are not asked for any more.
    #[serde(default)]
    pub given_up: u32,
    /// Why not everything was looked at or asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trouble: Option<String>,
}

/// What is to be done about an event that did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Ask,
    Wait,
    GiveUp,
}

impl Look {
    /// Before anybody looked.
    pub fn none(now: Timestamp) -> Self {
        let arrived_until = now - SignedDuration::from_secs(limits::REDELIVERY_LOOK_BACK_SECONDS);
        Self { looked_at: now, arrived_until, lost: 0, asked: 0, given_up: 0, trouble: None }
    }

    /// From when on to look, at `now`.
    pub fn since(&self, now: Timestamp) -> Timestamp {
        self.arrived_until.max(now - SignedDuration::from_secs(limits::REDELIVERY_KEPT_SECONDS))
    }
}

impl Step {
    /// After so many attempts, the latest of them at `last`.
    pub fn of(attempts: u32, last: Timestamp, now: Timestamp) -> Self {
        if attempts > limits::REDELIVERIES {
            return Self::GiveUp;
        }
        let doublings = attempts.saturating_sub(1).min(16);
        let wait = (limits::REDELIVERY_SECONDS << doublings).min(limits::REDELIVERY_SECONDS_MOST);
        if now.duration_since(last) >= SignedDuration::from_secs(wait) { Self::Ask } else { Self::Wait }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_asked_for_later_each_time_and_at_some_time_no_more() {
        #[track_caller]
        fn check(attempts: u32, minutes: i64, expected: Step) {
            let last = Timestamp::UNIX_EPOCH;
            assert_eq!(Step::of(attempts, last, last + SignedDuration::from_mins(minutes)), expected);
        }
        check(1, 4, Step::Wait);
        check(1, 5, Step::Ask);
        check(2, 9, Step::Wait);
        check(2, 10, Step::Ask);
        check(4, 40, Step::Ask);
        check(12, 359, Step::Wait);
        check(12, 360, Step::Ask);
        check(12, -1, Step::Wait);
        check(13, 100_000, Step::GiveUp);
    }

    /// Whoever is down for a day has everything after it.
    #[test]
    fn attempts_go_on_for_longer_than_a_day() {
        let first = Timestamp::UNIX_EPOCH;
        let (mut last, mut attempts, mut now) = (first, 1, first);
        loop {
            match Step::of(attempts, last, now) {
                Step::GiveUp => break,
                Step::Ask => (attempts, last) = (attempts + 1, now),
                Step::Wait => {}
            }
            now += SignedDuration::from_secs(limits::REDELIVERY_ROUND_SECONDS);
        }
        let hours = last.duration_since(first).as_hours();
        assert!((36..limits::REDELIVERY_KEPT_SECONDS / 3600).contains(&hours), "{hours} h");
    }

    #[test]
    fn nobody_looks_back_further_than_it_is_kept() {
        let now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(1_000);
        let look = Look::none(now);
        assert_eq!(now.duration_since(look.since(now)).as_hours(), 1);
        let later = now + SignedDuration::from_hours(200);
        assert_eq!(later.duration_since(look.since(later)).as_hours(), 72);
    }
}
