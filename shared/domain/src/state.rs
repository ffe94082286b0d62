//! A run's nine states and every legal step between them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a run is. The names on the wire are the API's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RunState {
    /// Accepted, waiting for a slot. Leaves by dispatch, cancel, or a failure found before the start.
    Queued,
    /// Holds a slot; its container is being started. Leaves by the agent's claim.
    Pending,
    /// The agent has claimed it and prepares: clone, set-up. Leaves when the harness starts.
    Claimed,
    /// The harness works. Leaves by the outcome.
    InProgress,
    /// Waits for a person. Counts as ended until a follow-up reopens it.
    Blocked,
    Succeeded,
    /// The user's side is at fault: a set-up command, a repository, the agent's own verdict.
    Failed,
    /// The platform is at fault.
    Error,
    Cancelled,
}

/// What may happen to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RunEvent {
    /// Took a slot.
    Dispatched,
    /// The agent traded its claim token.
    Claimed,
    /// The harness started.
    Started,
    /// The harness waits for a person.
    Blocked,
    /// Back to the queue: no capacity, or a platform failure that is retried.
    Requeued,
    Succeeded,
    Failed,
    Errored,
    Cancelled,
    /// A person answered or went on: a new execution of an ended run.
    FollowedUp,
}

/// What an event does to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write the new state on condition that the old one still holds.
    Moved(RunState),
    /// A duplicate or a late report: nothing to write, nothing wrong.
    Already,
}

/// The event cannot happen in that state: a bug or a hostile caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a run that is {state} cannot take the step {event:?}")]
pub struct IllegalStep {
    pub state: RunState,
    pub event: RunEvent,
}

impl RunState {
    pub const ALL: [Self; 9] = [
        Self::Queued,
        Self::Pending,
        Self::Claimed,
        Self::InProgress,
        Self::Blocked,
        Self::Succeeded,
        Self::Failed,
        Self::Error,
        Self::Cancelled,
    ];

    /// Ended, as far as cancel, waiting and the outcome go. BLOCKED counts, as in the API contract.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Blocked | Self::Succeeded | Self::Failed | Self::Error | Self::Cancelled)
    }

    /// Holds a slot.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Pending | Self::Claimed | Self::InProgress)
    }

    /// Every legal step, and nothing else. Callers write [`Step::Moved`] with a condition on `self`.
    pub fn after(self, event: RunEvent) -> Result<Step, IllegalStep> {
        use RunEvent as E;
        use RunState as S;
        let next = match (self, event) {
            (S::Queued, E::Dispatched) => S::Pending,
            (S::Pending, E::Claimed) => S::Claimed,
            (S::Claimed, E::Started) => S::InProgress,
            (S::InProgress, E::Blocked) => S::Blocked,

            (S::Pending | S::Claimed | S::InProgress, E::Requeued) => S::Queued,

            // An agent that never reached its harness has nothing to succeed at.
            (S::Claimed | S::InProgress, E::Succeeded) => S::Succeeded,
            (S::Queued | S::Pending | S::Claimed | S::InProgress, E::Failed) => S::Failed,
            (S::Queued | S::Pending | S::Claimed | S::InProgress, E::Errored) => S::Error,
            (S::Queued | S::Pending | S::Claimed | S::InProgress, E::Cancelled) => S::Cancelled,

            (S::Blocked | S::Succeeded | S::Failed | S::Error | S::Cancelled, E::FollowedUp) => S::Queued,

            // Late and doubled reports. The state they would bring about, or a later one, is there already.
            (S::Pending | S::Claimed | S::InProgress, E::Dispatched) => return Ok(Step::Already),
            (S::Claimed | S::InProgress, E::Claimed) => return Ok(Step::Already),
            (S::InProgress, E::Started) => return Ok(Step::Already),
            (S::Queued, E::Requeued) => return Ok(Step::Already),
            (
                S::Blocked | S::Succeeded | S::Failed | S::Error | S::Cancelled,
                E::Dispatched
                | E::Claimed
                | E::Started
                | E::Blocked
                | E::Requeued
                | E::Succeeded
                | E::Failed
                | E::Errored
                | E::Cancelled,
            ) => return Ok(Step::Already),

            _ => return Err(IllegalStep { state: self, event }),
        };
        Ok(Step::Moved(next))
    }

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::Pending => "PENDING",
            Self::Claimed => "CLAIMED",
            Self::InProgress => "INPROGRESS",
            Self::Blocked => "BLOCKED",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Error => "ERROR",
            Self::Cancelled => "CANCELLED",
        }
    }
}

impl RunEvent {
    pub const ALL: [Self; 10] = [
        Self::Dispatched,
        Self::Claimed,
        Self::Started,
        Self::Blocked,
        Self::Requeued,
        Self::Succeeded,
        Self::Failed,
        Self::Errored,
        Self::Cancelled,
        Self::FollowedUp,
    ];
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for RunState {
    type Err = UnknownState;

    /// Takes the wire name in any case, and `IN_PROGRESS` or `in-progress`, which some clients send.
    fn from_str(text: &str) -> Result<Self, UnknownState> {
        let name = text.to_ascii_uppercase().replace(['_', '-'], "");
        Self::ALL.into_iter().find(|state| state.as_str() == name).ok_or_else(|| UnknownState(text.to_owned()))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not a run state (QUEUED, PENDING, CLAIMED, INPROGRESS, BLOCKED, SUCCEEDED, FAILED, ERROR, CANCELLED)"
)]
pub struct UnknownState(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    /// The table is the test: a new state or event shows up as a new row or column.
    #[test]
    fn every_step_there_is() {
        let mut table = format!("{:12}", "");
        for event in RunEvent::ALL {
            table += &format!("{:>12}", format!("{event:?}"));
        }
        for state in RunState::ALL {
            table += &format!("\n{state:12}");
            for event in RunEvent::ALL {
                let cell = match state.after(event) {
                    Ok(Step::Moved(next)) => next.as_str(),
                    Ok(Step::Already) => "same",
                    Err(_) => "-",
                };
                table += &format!("{cell:>12}");
            }
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn finished_is_final_but_for_a_follow_up() {
        for state in RunState::ALL.into_iter().filter(|s| s.is_terminal()) {
            for event in RunEvent::ALL {
                let expected =
                    if event == RunEvent::FollowedUp { Step::Moved(RunState::Queued) } else { Step::Already };
                assert_eq!(state.after(event), Ok(expected), "{state} {event:?}");
            }
        }
    }

    #[test]
    fn a_step_taken_twice_changes_nothing_more() {
        for state in RunState::ALL {
            for event in RunEvent::ALL {
                // A dispatched run requeued and dispatched again is a new attempt, not a duplicate.
                if let Ok(Step::Moved(next)) = state.after(event)
                    && event != RunEvent::FollowedUp
                {
                    assert_eq!(next.after(event), Ok(Step::Already), "{state} {event:?}");
                }
            }
        }
    }

    #[test]
    fn names_are_read_as_clients_send_them() {
        for name in ["INPROGRESS", "in-progress", "IN_PROGRESS", "InProgress"] {
            assert_eq!(name.parse(), Ok(RunState::InProgress));
        }
        assert!("DONE".parse::<RunState>().is_err());
        for state in RunState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
    }
}
