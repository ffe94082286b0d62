//! What happens to a run's row, step by step: from the row as read and the facts to the row to be written. Whoever
//! calls these reads, asks, and writes on condition that nothing changed meanwhile.

use jiff::{SignedDuration, Timestamp};

use crate::error_code::ErrorCode;
use crate::id::{RunId, TeamId};
use crate::limits;
use crate::outcome::Outcome;
use crate::run::{Execution, Isolation, Run, Status};
use crate::state::{RunEvent, RunState, Step};
use crate::text;

/// What a claim comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Claiming {
    Now(Box<Run>),
    /// The same agent asks again: it missed the answer.
    Again,
    /// Another agent has it, or the run has gone on.
    Refused,
}

/// What the end of an execution comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// The run has its outcome.
    Ended(Run),
    /// A platform failure: the run goes back to the queue.
    Requeued(Run),
    /// The run had its outcome already (it was cancelled); now its agent is gone too.
    Released(Run),
    /// This end was told before.
    Already,
    /// Another execution is the current one.
    Stale,
}

impl Run {
    pub fn accepted(run_id: RunId, team: TeamId, now: Timestamp) -> Self {
        Self {
            run_id,
            team,
            state: RunState::Queued,
            created_at: now,
            updated_at: now,
            version: 0,
            executions: 0,
            attempts: 0,
            not_before: None,
            execution: None,
            started_at: None,
            ended_at: None,
            status: None,
            watched_until: None,
            compute_seconds: 0,
        }
    }

    /// QUEUED → PENDING with a slot, to be claimed within `start_seconds`. None: the run is not queued any more.
    pub fn dispatched(&self, slot: u16, now: Timestamp, deadline_seconds: u64, start_seconds: i64) -> Option<Self> {
        let state = self.moved(RunEvent::Dispatched)?;
        let seconds = i64::try_from(deadline_seconds).unwrap_or(i64::MAX);
        Some(Self {
            state,
            updated_at: now,
            executions: self.executions + 1,
            attempts: self.attempts + 1,
            not_before: None,
            execution: Some(Execution {
                number: self.executions + 1,
                slot,
                dispatched_at: now,
                deadline_at: now.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX),
                lease_until: after(now, start_seconds),
                claimed_at: None,
                started_at: None,
                ended_at: None,
                token_hash: None,
                isolation: None,
                closed: false,
                last_segment: None,
                stop_at: None,
            }),
            ..self.clone()
        })
    }

    /// PENDING → CLAIMED, by the agent whose token hashes to `token_hash`. `execution` is the one it asks for.
    pub fn claimed(
        &self,
        execution: u32,
        token_hash: &str,
        isolation: Isolation,
        now: Timestamp,
        lease_seconds: i64,
    ) -> Claiming {
        let Some(current) = self.execution.as_ref().filter(|current| current.number == execution && !current.closed)
        else {
            return Claiming::Refused;
        };
        match self.state.after(RunEvent::Claimed) {
            Ok(Step::Moved(state)) => Claiming::Now(Box::new(Self {
                state,
                updated_at: now,
                execution: Some(Execution {
                    claimed_at: Some(now),
                    token_hash: Some(token_hash.to_owned()),
                    isolation: Some(isolation),
                    lease_until: after(now, lease_seconds),
                    ..current.clone()
                }),
                ..self.clone()
            })),
            Ok(Step::Already) if self.state.is_live() && current.token_hash.as_deref() == Some(token_hash) => {
                Claiming::Again
            }
            _ => Claiming::Refused,
        }
    }

    /// CLAIMED → INPROGRESS. None: it is there already, or the run has ended.
    pub fn started(&self, now: Timestamp, lease_seconds: i64) -> Option<Self> {
        let state = self.moved(RunEvent::Started)?;
        let current = self.execution.as_ref()?;
        Some(Self {
            state,
            updated_at: now,
            started_at: self.started_at.or(Some(now)),
            execution: Some(Execution {
                started_at: Some(now),
                lease_until: after(now, lease_seconds),
                ..current.clone()
            }),
            ..self.clone()
        })
    }

    /// Notes when the container was first told to stop by the sweep. None: that is noted already, or there is nothing to
    /// stop.
    pub fn told_to_stop(&self, now: Timestamp) -> Option<Self> {
        let current = self.execution.as_ref().filter(|current| !current.closed && current.stop_at.is_none())?;
        Some(Self { execution: Some(Execution { stop_at: Some(now), ..current.clone() }), ..self.clone() })
    }

    /// The lease renewed, if `heartbeat_seconds` of it are used up: rows are written no more often than that.
    pub fn beaten(&self, now: Timestamp, heartbeat_seconds: i64, lease_seconds: i64) -> Option<Self> {
        let current = self.execution.as_ref()?;
        let due = after(current.lease_until, heartbeat_seconds - lease_seconds) <= now;
        due.then(|| Self {
            execution: Some(Execution { lease_until: after(now, lease_seconds), ..current.clone() }),
            ..self.clone()
        })
    }

    /// Back to the queue until `until`, for lack of room. Does not count as an attempt.
    pub fn postponed(&self, now: Timestamp, until: Timestamp, reason: &str) -> Option<Self> {
        let state = self.moved(RunEvent::Requeued)?;
        Some(Self {
            state,
            updated_at: now,
            attempts: self.attempts.saturating_sub(1),
            not_before: Some(until),
            status: Some(Status {
                message: text::shorten(&text::one_line(reason), limits::STATUS_CHARS),
                error_code: Some(ErrorCode::ResourceUnavailable),
                retryable: Some(true),
            }),
            // Nothing began that anybody could look back at: it leaves no row, however often there is no room.
            execution: None,
            ..self.clone()
        })
    }

    /// The end of the execution `execution`, told by its agent, by the launcher or by the sweep.
    pub fn ended(&self, execution: u32, outcome: &Outcome, now: Timestamp, last_segment: Option<u32>) -> Ending {
        match &self.execution {
            Some(current) if current.number == execution && current.closed => return Ending::Already,
            Some(current) if current.number == execution => {}
            _ => return Ending::Stale,
        }
        let closed = Self {
            execution: self.closed_execution(now, last_segment),
            compute_seconds: self.compute_seconds + self.seconds_of_execution(now),
            ..self.clone()
        };
        if self.state.is_terminal() {
            return Ending::Released(closed);
        }
        if let Outcome::Failed { class, .. } = outcome
            && class.is_retried_after(self.attempts)
            && let Some(state) = self.moved(RunEvent::Requeued)
        {
            let pause = limits::RETRY_PAUSE_SECONDS[usize::from(self.attempts > 1)];
            return Ending::Requeued(Self {
                state,
                updated_at: now,
                not_before: Some(after(now, pause)),
                status: Some(status(outcome)),
                ..closed
            });
        }
        // An agent may succeed before the control plane has heard that its harness started.
        let state = match self.state.after(outcome.event()) {
            Ok(Step::Moved(state)) => state,
            Ok(Step::Already) => return Ending::Already,
            Err(_) => RunState::Error,
        };
        Ending::Ended(Self { state, updated_at: now, ended_at: Some(now), status: Some(status(outcome)), ..closed })
    }

    /// CANCELLED, whatever it was. None: the run had ended. The execution of a live run stays open for its agent's last
    /// words until its container is gone.
    pub fn cancelled(&self, by: &str, now: Timestamp) -> Option<Self> {
        let state = self.moved(RunEvent::Cancelled)?;
        let message = text::shorten(&format!("cancelled by {by}"), limits::STATUS_CHARS);
        Some(Self {
            state,
            updated_at: now,
            ended_at: Some(now),
            status: Some(Status { message, error_code: None, retryable: None }),
            ..self.clone()
        })
    }

    /// The slot that the run holds: from dispatch until its execution is closed, also when it was cancelled meanwhile.
    pub fn held_slot(&self) -> Option<u16> {
        self.execution.as_ref().filter(|execution| !execution.closed).map(|execution| execution.slot)
    }

    /// The number of the last segment that an execution may have, as far as its agent has said.
    pub fn last_segment(&self, execution: u32) -> u32 {
        let current = self.execution.as_ref().filter(|current| current.number == execution);
        current.and_then(|current| current.last_segment).unwrap_or(u32::MAX)
    }

    fn moved(&self, event: RunEvent) -> Option<RunState> {
        match self.state.after(event) {
            Ok(Step::Moved(state)) => Some(state),
            Ok(Step::Already) | Err(_) => None,
        }
    }

    fn closed_execution(&self, now: Timestamp, last_segment: Option<u32>) -> Option<Execution> {
        let current = self.execution.clone()?;
        Some(Execution { closed: true, ended_at: Some(now), last_segment, ..current })
    }

    /// Whole seconds, begun ones counted: that is how compute is billed.
    fn seconds_of_execution(&self, now: Timestamp) -> u64 {
        let Some(execution) = &self.execution else { return 0 };
        let ms = now.duration_since(execution.dispatched_at).as_millis();
        u64::try_from(ms).unwrap_or(0).div_ceil(1000)
    }
}

fn status(outcome: &Outcome) -> Status {
    let message = text::shorten(outcome.message().trim(), limits::STATUS_CHARS);
    let code = match outcome {
        Outcome::Failed { class, .. } => class.verdict().code,
        Outcome::Succeeded { .. } | Outcome::Cancelled => None,
    };
    Status { message, error_code: code, retryable: code.map(ErrorCode::is_retryable) }
}

fn after(at: Timestamp, seconds: i64) -> Timestamp {
    at.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::FailureClass;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_795_000_000 + seconds).unwrap()
    }

    fn queued() -> Run {
        Run::accepted(RunId::new(1, [1; 10]), "local".parse().unwrap(), at(0))
    }

    fn pending() -> Run {
        queued().dispatched(3, at(1), 60, 600).unwrap()
    }

    fn claimed() -> Run {
        match pending().claimed(1, "hash", Isolation::Process, at(2), 60) {
            Claiming::Now(run) => *run,
            other => panic!("{other:?}"),
        }
    }

    fn in_progress() -> Run {
        claimed().started(at(3), 60).unwrap()
    }

    fn lost() -> Outcome {
        Outcome::failed(FailureClass::AgentLost, "the agent is gone")
    }

    #[test]
    fn a_claim_works_once_and_again_for_the_same_agent() {
        let claim = |run: &Run, execution, hash| run.claimed(execution, hash, Isolation::Process, at(9), 60);
        assert_eq!(claim(&claimed(), 1, "hash"), Claiming::Again);
        assert_eq!(claim(&in_progress(), 1, "hash"), Claiming::Again);
        assert_eq!(claim(&claimed(), 1, "other"), Claiming::Refused);
        assert_eq!(claim(&pending(), 2, "hash"), Claiming::Refused);
        assert_eq!(claim(&queued(), 1, "hash"), Claiming::Refused);
        assert_eq!(claim(&pending().cancelled("me", at(9)).unwrap(), 1, "hash"), Claiming::Refused);
    }

    #[test]
    fn the_first_end_counts_and_a_platform_failure_is_tried_again() {
        let done = Outcome::Succeeded { summary: "ok".to_owned() };
        let Ending::Ended(ended) = in_progress().ended(1, &done, at(10), Some(4)) else { panic!() };
        assert_eq!((ended.state, ended.compute_seconds, ended.held_slot()), (RunState::Succeeded, 9, None));
        assert_eq!(ended.ended(1, &lost(), at(11), None), Ending::Already);
        assert_eq!(ended.ended(2, &lost(), at(11), None), Ending::Stale);

        let Ending::Requeued(again) = in_progress().ended(1, &lost(), at(10), None) else { panic!() };
        assert_eq!((again.state, again.held_slot()), (RunState::Queued, None));
        assert_eq!(again.not_before, Some(at(11)), "what failed needs a moment");
        let second = again.dispatched(0, at(11), 60, 600).unwrap();
        assert_eq!((second.executions, second.attempts), (2, 2));
        assert_eq!(second.ended(1, &lost(), at(12), None), Ending::Stale);
    }

    #[test]
    fn three_attempts_are_enough_and_a_postponed_one_does_not_count() {
        let mut run = queued();
        for attempt in 1..=3 {
            run = run.dispatched(0, at(1), 60, 600).unwrap().postponed(at(2), at(9), "no room").unwrap();
            assert_eq!(run.not_before, Some(at(9)));
            run = run.dispatched(0, at(9), 60, 600).unwrap();
            run = match run.ended(run.executions, &lost(), at(10), None) {
                Ending::Requeued(run) => run,
                Ending::Ended(run) => run,
                other => panic!("{other:?}"),
            };
            assert_eq!(run.state == RunState::Error, attempt == 3);
        }
        assert_eq!(run.executions, 6);
    }

    #[test]
    fn a_cancelled_run_keeps_its_slot_until_its_agent_is_gone() {
        let cancelled = in_progress().cancelled("me", at(4)).unwrap();
        assert_eq!((cancelled.state, cancelled.held_slot()), (RunState::Cancelled, Some(3)));
        assert_eq!(cancelled.cancelled("me", at(5)), None);
        let Ending::Released(gone) = cancelled.ended(1, &lost(), at(6), Some(2)) else { panic!() };
        assert_eq!((gone.state, gone.held_slot(), gone.compute_seconds), (RunState::Cancelled, None, 5));
        assert_eq!(queued().cancelled("me", at(1)).unwrap().held_slot(), None);
    }

    #[test]
    fn the_lease_is_written_once_per_heartbeat() {
        let run = in_progress();
        assert_eq!(run.beaten(at(17), 15, 60), None);
        let beaten = run.beaten(at(18), 15, 60).unwrap();
        assert_eq!(beaten.execution.as_ref().unwrap().lease_until, at(78));
        assert_eq!(beaten.beaten(at(19), 15, 60), None);
    }

    #[test]
    fn a_late_start_changes_nothing() {
        assert_eq!(in_progress().started(at(9), 60), None);
        assert_eq!(in_progress().cancelled("me", at(4)).unwrap().started(at(9), 60), None);
        assert_eq!(in_progress().dispatched(1, at(9), 60, 600), None);
    }
}
