//! Why a run waits, and until when, told to a person.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// What keeps a queued run from starting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitingFor {
    /// Nothing: it is about to start.
    #[default]
    Start,
    /// All agents of the plan are at work.
    Plan,
    /// Another run has its concurrency key.
    Key,
    /// There is no machine for it, or no quota.
    Capacity,
    /// The time before which it must not start.
    Schedule,
    /// The pause before it is tried again.
    Retry,
    /// Others have reserved what is left of a budget.
    Budget,
    /// Its team is paused, or the whole installation is stopped.
    Pause,
}

impl WaitingFor {
    pub const ALL: [Self; 8] =
        [Self::Start, Self::Plan, Self::Key, Self::Capacity, Self::Schedule, Self::Retry, Self::Budget, Self::Pause];
}

/// What is known of the team's agents, to tell when one will be free.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agents {
    /// How many may be at work.
    pub slots: usize,
    /// For how long those that are at work have been, in seconds.
    pub ages: Vec<i64>,
    /// What runs took lately, in seconds. Without any, nothing can be told.
    pub durations: Vec<i64>,
}

impl Agents {
    /// When the run at `position` (1 is next) will start, if those before it take as long as runs did lately.
    pub fn estimate(&self, position: u64, now: Timestamp) -> Option<Timestamp> {
        let mean = self.mean()?;
        if self.slots == 0 {
            return None;
        }
        // When each slot is free: now, or after what is left of its run; one that takes longer than usual ends any moment.
        let mut free: Vec<i64> = self.ages.iter().map(|age| (mean - age).max(0)).collect();
        free.sort_unstable();
        // Agents of a larger plan before this one: the cap counts those that are left.
        let over = free.len().saturating_sub(self.slots);
        let mut free = free.split_off(over);
        free.splice(0..0, std::iter::repeat_n(0, self.slots - free.len()));
        // Runs start in rounds of `slots`, each a mean later.
        let slots = self.slots as u64;
        let ahead = position.saturating_sub(1);
        let rounds = i64::try_from(ahead / slots).ok()?;
        let seconds = free.get(usize::try_from(ahead % slots).ok()?)?.checked_add(rounds.checked_mul(mean)?)?;
        now.checked_add(SignedDuration::from_secs(seconds)).ok()
    }

    /// When the run that is at work for `age` seconds will have ended, and `behind` more after it, one by one.
    pub fn estimate_in_line(&self, age: Option<i64>, behind: u64, now: Timestamp) -> Option<Timestamp> {
        let mean = self.mean()?;
        let first = age.map_or(mean, |age| (mean - age).max(0));
        let seconds = first.checked_add(mean.checked_mul(i64::try_from(behind).ok()?)?)?;
        now.checked_add(SignedDuration::from_secs(seconds)).ok()
    }

    fn mean(&self) -> Option<i64> {
        let count = i64::try_from(self.durations.len()).ok().filter(|count| *count > 0)?;
        Some((self.durations.iter().map(|seconds| (*seconds).max(0)).sum::<i64>() / count).max(1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_second(1_795_000_000).unwrap()
    }

    #[track_caller]
    fn check(slots: usize, ages: &[i64], durations: &[i64], position: u64, expected: Option<i64>) {
        let agents = Agents { slots, ages: ages.to_vec(), durations: durations.to_vec() };
        let seconds = agents.estimate(position, now()).map(|at| at.duration_since(now()).as_secs());
        assert_eq!(seconds, expected);
    }

    #[test]
    fn rows() {
        check(2, &[], &[60], 1, Some(0));
        check(2, &[10, 50], &[60], 1, Some(10));
        check(2, &[10, 50], &[60], 2, Some(50));
        check(2, &[10, 50], &[60], 3, Some(70));
        check(1, &[100], &[60], 1, Some(0));
        check(1, &[0, 0], &[60], 1, Some(60));
        check(4, &[1, 1, 1, 1], &[30, 90], 1, Some(59));
        check(4, &[1], &[], 1, None);
        check(0, &[], &[60], 1, None);
        check(1, &[], &[60], u64::MAX, None);
    }

    proptest! {
        /// A naive scheduler, that gives each run ahead the slot that is free first, comes to the same.
        #[test]
        fn as_a_naive_scheduler_says(slots in 1_usize..6, ages in proptest::collection::vec(0_i64..200, 0..6), mean in 1_i64..100, position in 1_u64..50) {
            let ages: Vec<i64> = ages.into_iter().take(slots).collect();
            let agents = Agents { slots, ages: ages.clone(), durations: vec![mean] };
            let mut free: Vec<i64> = ages.iter().map(|age| (mean - age).max(0)).collect();
            free.resize(slots, 0);
            let mut start = 0;
            for _ in 0..position {
                free.sort_unstable();
                start = free[0];
                free[0] += mean;
            }
            let told = agents.estimate(position, now()).unwrap().duration_since(now()).as_secs();
            prop_assert_eq!(told, start);
        }
    }
}
