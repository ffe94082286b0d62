//! Lanes and turns: how the runs of one team share its slots.
//!
//! Start-time fair queuing (Goyal, Vin and Cheng, SIGCOMM 1996). Each lane takes turns with the others: a run's turn starts
//! when the lane's last one ends, but not before the turn of whoever is next in the queue. So a thousand runs of one lane
//! stand in a row of turns, and a run of another lane, which has taken none, stands at its beginning.
//!
//! Time is virtual: it moves with the turns that are served, and knows no clock. Where nobody waits, it stands at the end of
//! the last turn of all lanes, so that nobody is made to wait for what they used while nobody else wanted it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::{AutomationId, ScheduleId};
use crate::template::InvalidField;

/// Whom a run is queued for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Lane {
    /// What an automation asked for.
    Automation(AutomationId),
    /// What a schedule planned.
    Schedule(ScheduleId),
    /// What a person or a program asked for, by the name of its API key.
    User(String),
}

/// How a run shares its team's slots with others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    pub lane: Lane,
    /// Of its lane; see [`length`].
    pub weight: u16,
    /// Turns by which it goes before others.
    #[serde(default)]
    pub priority: i16,
}

/// A run's place in its team's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// In virtual time.
    pub start: u64,
    /// The queue's order: the start, moved by the run's priority.
    pub rank: u64,
}

/// The length of a turn of a lane of weight 1, in virtual time.
const TURN: u64 = 1_000_000;

/// Where the first turn of all starts. Sixteen digits are enough for ten thousand million turns, and for priorities before
/// the first of them.
const BEGINNING: u64 = 1_000 * TURN;

/// A lane of weight 2 is served twice as often as one of weight 1.
pub const WEIGHT_MAX: u16 = 100;

/// A priority moves a run by so many turns, so that it overtakes no more than those.
pub const PRIORITY_MAX: i16 = 100;

/// How far virtual time advances with one run of a lane.
pub fn length(weight: u16) -> u64 {
    TURN / u64::from(weight.clamp(1, WEIGHT_MAX))
}

impl Turn {
    pub fn new(start: u64, priority: i16) -> Self {
        let offset = i64::from(priority.clamp(-PRIORITY_MAX, PRIORITY_MAX)) * TURN.cast_signed();
        Self { start, rank: start.saturating_add_signed(-offset) }
    }

    /// Where the first run of an empty queue starts, after the last turns of all lanes have ended at `ends`.
    pub fn start_after(ends: impl Iterator<Item = u64>) -> u64 {
        ends.max().unwrap_or(BEGINNING)
    }
}

/// Where a lane's next turn may start, at the earliest: with the run at the front of the queue or, if that is of the same
/// lane, after it. The first run of an empty queue takes no turn, so that its lane's row does not tell of it.
pub fn earliest(front: u64, of_same_lane: bool, weight: u16) -> u64 {
    if of_same_lane { front + length(weight) } else { front }
}

/// How many runs of a lane wait at most, of which the last turn ends at `end`, while the front of the queue is at `front`.
pub fn waiting_at_most(end: u64, weight: u16, front: u64) -> u64 {
    end.saturating_sub(front).div_ceil(length(weight))
}

pub fn check_weight(weight: Option<u16>) -> Result<(), InvalidField> {
    match weight {
        Some(weight) if !(1..=WEIGHT_MAX).contains(&weight) => {
            Err(InvalidField::new("weight", format!("from 1 to {WEIGHT_MAX}")))
        }
        _ => Ok(()),
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Automation(id) => write!(f, "automation:{id}"),
            Self::Schedule(id) => write!(f, "schedule:{id}"),
            Self::User(name) => write!(f, "user:{name}"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a lane")]
pub struct UnknownLane(String);

impl FromStr for Lane {
    type Err = UnknownLane;

    fn from_str(text: &str) -> Result<Self, UnknownLane> {
        let unknown = || UnknownLane(text.to_owned());
        let (kind, of) = text.split_once(':').ok_or_else(unknown)?;
        match kind {
            "automation" => of.parse().map(Self::Automation).map_err(|_| unknown()),
            "schedule" => of.parse().map(Self::Schedule).map_err(|_| unknown()),
            "user" => Ok(Self::User(of.to_owned())),
            _ => Err(unknown()),
        }
    }
}

impl From<Lane> for String {
    fn from(lane: Lane) -> Self {
        lane.to_string()
    }
}

impl TryFrom<String> for Lane {
    type Error = UnknownLane;

    fn try_from(text: String) -> Result<Self, UnknownLane> {
        text.parse()
    }
}

impl Default for Lane {
    /// Of runs that were accepted before there were lanes.
    fn default() -> Self {
        Self::User(String::new())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    /// A queue as the store keeps it: entries in order of rank, and where each lane's last turn ends.
    #[derive(Default)]
    struct Queue {
        entries: BTreeSet<(u64, usize, u64, usize)>,
        ends: BTreeMap<usize, u64>,
        accepted: usize,
    }

    impl Queue {
        fn push(&mut self, lane: usize, weight: u16, priority: i16) -> usize {
            let front = self.entries.first().map(|(_, _, start, of)| earliest(*start, *of == lane, weight));
            let start = match front {
                None => Turn::start_after(self.ends.values().copied()),
                Some(front) => {
                    let start = front.max(self.ends.get(&lane).copied().unwrap_or(0));
                    self.ends.insert(lane, start + length(weight));
                    start
                }
            };
            self.accepted += 1;
            self.entries.insert((Turn::new(start, priority).rank, self.accepted, start, lane));
            self.accepted
        }

        fn pop(&mut self) -> Option<(usize, usize)> {
            self.entries.pop_first().map(|(_, number, _, lane)| (lane, number))
        }

        fn served_before(&mut self, number: usize) -> usize {
            std::iter::from_fn(|| self.pop()).take_while(|(_, served)| *served != number).count()
        }
    }

    #[test]
    fn one_run_behind_a_thousand_of_another_lane_is_next() {
        let mut queue = Queue::default();
        for _ in 0..1_000 {
            queue.push(0, 1, 0);
        }
        // Some have been served: what counts is now.
        for _ in 0..300 {
            queue.pop();
        }
        let one = queue.push(1, 1, 0);
        assert_eq!(queue.served_before(one), 1, "behind the one at the front alone");
    }

    #[test]
    fn lanes_are_served_by_their_weights() {
        let mut queue = Queue::default();
        for _ in 0..600 {
            for (lane, weight) in [(0, 1), (1, 2), (2, 3)] {
                queue.push(lane, weight, 0);
            }
        }
        let mut served = [0; 3];
        for _ in 0..600 {
            served[queue.pop().unwrap().0] += 1;
        }
        let near = |share: i32, expected: i32| (share - expected).abs() <= 2;
        assert!(near(served[0], 100) && near(served[1], 200) && near(served[2], 300), "{served:?}");
    }

    #[test]
    fn a_priority_overtakes_so_many_turns_and_no_more() {
        let mut queue = Queue::default();
        for _ in 0..500 {
            queue.push(0, 1, 0);
        }
        // The lane's own next run would be the 501st.
        let urgent = queue.push(0, 1, 100);
        assert_eq!(queue.served_before(urgent), 401, "with the one whose turn starts at the same time");
    }

    #[test]
    fn what_was_used_while_nobody_waited_is_not_held_against_anybody() {
        let mut queue = Queue::default();
        for _ in 0..100 {
            queue.push(0, 1, 0);
        }
        while queue.pop().is_some() {}
        let mut served = Vec::new();
        for _ in 0..3 {
            queue.push(0, 1, 0);
            queue.push(1, 1, 0);
        }
        served.extend(std::iter::from_fn(|| queue.pop()).map(|(lane, _)| lane));
        assert_eq!(served, [0, 1, 0, 1, 0, 1]);
    }

    proptest! {
        /// Whoever keeps coming with the highest priority, the least of all is served after a bounded number of others.
        #[test]
        fn nobody_starves(lanes in 1_usize..5, urgent in 1_usize..4) {
            let mut queue = Queue::default();
            queue.push(0, 1, 0);
            let poor = queue.push(9, 1, -PRIORITY_MAX);
            let mut others = 0;
            loop {
                for turn in 0..urgent {
                    queue.push((others + turn) % lanes, 1, PRIORITY_MAX);
                }
                let (_, served) = queue.pop().unwrap();
                if served == poor {
                    break;
                }
                others += 1;
                // Each lane has two hundred turns of advantage, and a turn of its own.
                prop_assert!(others <= lanes * 202 + 1, "{others} were served first");
            }
        }

        /// What is known without counting is never less than what waits, up to what priorities move.
        #[test]
        fn the_turns_bound_the_number_that_waits(pushes in proptest::collection::vec((0_usize..3, 1_u16..5, any::<bool>()), 1..200)) {
            let mut queue = Queue::default();
            let weight = |lane: usize| [1, 2, 4][lane];
            for (lane, _, pop) in pushes {
                queue.push(lane, weight(lane), 0);
                if pop {
                    queue.pop();
                }
                let Some((_, _, front, _)) = queue.entries.first().copied() else { continue };
                for lane in 0..3 {
                    let waiting = queue.entries.iter().filter(|entry| entry.3 == lane).count() as u64;
                    let known = queue.ends.get(&lane).map_or(0, |end| waiting_at_most(*end, weight(lane), front));
                    // The first of an empty queue takes no turn.
                    prop_assert!(waiting <= known + 1, "{waiting} wait, {known} known");
                }
            }
        }
    }

    #[test]
    fn lanes_are_read_as_they_are_written() {
        const ID: &str = "0123456789abcdefABCDEF";
        let lanes = [
            Lane::Automation(ID.parse().unwrap()),
            Lane::Schedule(ID.parse().unwrap()),
            Lane::User("a:b c".to_owned()),
        ];
        for lane in lanes {
            assert_eq!(lane.to_string().parse(), Ok(lane));
        }
        assert!("robot:x".parse::<Lane>().is_err());
    }
}
