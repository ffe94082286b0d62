//! What happens to a run's row, step by step: from the row as read and the facts to the row to be written. Whoever
//! calls these reads, asks, and writes on condition that nothing changed meanwhile.

use jiff::{SignedDuration, Timestamp};

use crate::error_code::ErrorCode;
use crate::failure::FailureClass;
use crate::id::{RunId, TeamId};
use crate::lane::Share;
use crate::ledger::Booking;
use crate::limits;
use crate::outcome::Outcome;
use crate::protocol::Usage;
use crate::run::{Execution, Isolation, Place, Run, Status};
use crate::run_limits::Budget;
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

/// What it is time for, of a queued run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// It may start now, and enters the queue.
    Start,
    /// It has waited for longer than it was worth.
    Expiry,
    /// The whole run's time is over.
    Deadline,
    Nothing,
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
            shape: None,
            share: Share::default(),
            turn: None,
            key: None,
            expires_at: None,
            deadline_at: None,
            subscribed: false,
            answered: false,
            follow_up: None,
            execution: None,
            started_at: None,
            ended_at: None,
            status: None,
            watched_until: None,
            compute_seconds: 0,
            usage: Usage::default(),
            pull_requests: Vec::new(),
        }
    }

    /// Where it waits. None: it does not.
    pub fn place(&self) -> Option<Place> {
        (self.state == RunState::Queued).then_some(match (self.not_before, self.turn) {
            (Some(until), _) => Place::Until(until),
            (None, Some(turn)) => Place::Queue(turn),
            (None, None) => Place::Line,
        })
    }

    /// What it is time for at `now`. Times count by the millisecond, as the table keeps them.
    pub fn due(&self, now: Timestamp) -> Due {
        let is_due = |at: Option<Timestamp>| at.is_some_and(|at| at.as_millisecond() <= now.as_millisecond());
        match self.place() {
            None => Due::Nothing,
            _ if is_due(self.deadline_at) => Due::Deadline,
            _ if is_due(self.expires_at) => Due::Expiry,
            Some(Place::Until(_)) if is_due(self.not_before) => Due::Start,
            Some(_) => Due::Nothing,
        }
    }

    /// Puts a queued run off until `until`, for `reason`; then it takes another turn. None: it is not queued any more.
    pub fn put_off(&self, now: Timestamp, until: Timestamp, reason: &str) -> Option<Self> {
        self.place()?;
        let message = text::shorten(&text::one_line(reason), limits::STATUS_CHARS);
        let status = Status { message, error_code: Some(ErrorCode::BudgetExceeded), retryable: None };
        Some(Self { updated_at: now, not_before: Some(until), turn: None, status: Some(status), ..self.clone() })
    }

    /// FAILED, because a budget is used up before it could start. None: it is not queued.
    pub fn out_of_budget(&self, reason: &str, now: Timestamp) -> Option<Self> {
        self.place()?;
        let mut ended = self.over(RunEvent::Failed, reason, now)?;
        if let Some(status) = &mut ended.status {
            status.error_code = Some(ErrorCode::BudgetExceeded);
        }
        Some(ended)
    }

    /// A pending run bounded by budgets: `left` of its own, of which compute lasts for `seconds`, and by what it has
    /// reserved of shared ones.
    #[must_use]
    pub fn bounded(mut self, left: Budget, seconds: Option<u64>, booking: Option<Booking>) -> Self {
        if let Some(current) = &mut self.execution {
            current.budget = left;
            current.booking = booking;
            let seconds = seconds.map(|seconds| i64::try_from(seconds).unwrap_or(i64::MAX));
            let until = seconds.map(|seconds| after(current.dispatched_at, seconds));
            if let Some(until) = until.filter(|until| *until < current.deadline_at) {
                current.deadline_at = until;
                current.ends_by_budget = true;
            }
        }
        self
    }

    /// The execution with what its harness reports. None: nothing new.
    pub fn used(&self, usage: Usage) -> Option<Self> {
        let current = self.execution.as_ref().filter(|current| !current.closed)?;
        // Reported late, a sum may be behind the one before.
        let usage = Usage {
            tokens: usage.tokens.max(current.usage.tokens),
            micro_usd: usage.micro_usd.max(current.usage.micro_usd),
        };
        (usage != current.usage)
            .then(|| Self { execution: Some(Execution { usage, ..current.clone() }), ..self.clone() })
    }

    /// QUEUED → PENDING with a slot, to be claimed within `start_seconds`. None: the run is not queued any more.
    pub fn dispatched(&self, slot: u16, now: Timestamp, deadline_seconds: u64, start_seconds: i64) -> Option<Self> {
        let state = self.moved(RunEvent::Dispatched)?;
        let seconds = i64::try_from(deadline_seconds).unwrap_or(i64::MAX);
        let deadline_at = now.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX);
        Some(Self {
            state,
            updated_at: now,
            executions: self.executions + 1,
            attempts: self.attempts + 1,
            not_before: None,
            expires_at: None,
            execution: Some(Execution {
                number: self.executions + 1,
                slot,
                dispatched_at: now,
                deadline_at: self.deadline_at.map_or(deadline_at, |of_run| of_run.min(deadline_at)),
                lease_until: after(now, start_seconds),
                claimed_at: None,
                started_at: None,
                ended_at: None,
                token_hash: None,
                isolation: None,
                closed: false,
                last_segment: None,
                stop_at: None,
                relaunched: false,
                usage: Usage::default(),
                budget: Budget::default(),
                ends_by_budget: false,
                booking: None,
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

    /// Notes that the sweep is about to launch it once more. None: that is noted already, or there is nothing to launch.
    pub fn relaunched(&self) -> Option<Self> {
        let current = self.execution.as_ref().filter(|current| !current.closed && !current.relaunched)?;
        Some(Self { execution: Some(Execution { relaunched: true, ..current.clone() }), ..self.clone() })
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
        let used = self.execution.as_ref().map(|current| current.usage).unwrap_or_default();
        let closed = Self {
            execution: self.closed_execution(now, last_segment),
            compute_seconds: self.compute_seconds + self.seconds_of_execution(now),
            usage: Usage {
                tokens: self.usage.tokens.saturating_add(used.tokens),
                micro_usd: self.usage.micro_usd.saturating_add(used.micro_usd),
            },
            ..self.clone()
        };
        let by_budget = self.execution.as_ref().is_some_and(|current| current.ends_by_budget);
        let outcome = match outcome {
            Outcome::Failed { class: FailureClass::DeadlineReached, .. } if by_budget => &Outcome::failed(
                FailureClass::BudgetReached,
                "the budget of the run is used up; what it changed is kept",
            ),
            outcome => outcome,
        };
        if self.state.is_terminal() {
            return Ending::Released(closed);
        }
        if let Outcome::Failed { class, .. } = outcome
            && let Some(pause) = class.retry_pause(self.attempts)
            && self.deadline_at.is_none_or(|deadline| now < deadline)
            && let Some(state) = self.moved(RunEvent::Requeued)
        {
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
        self.over(RunEvent::Cancelled, &format!("cancelled by {by}"), now)
    }

    /// CANCELLED, because `other` has its concurrency key and the policy is to skip. None: the run is not queued.
    pub fn skipped(&self, other: RunId, now: Timestamp) -> Option<Self> {
        let key = self.key.as_deref().unwrap_or_default();
        let queued = self.place().is_some();
        let message = format!("skipped: the run {other} has the concurrency key \"{key}\"");
        queued.then(|| self.over(RunEvent::Cancelled, &message, now)).flatten()
    }

    /// CANCELLED, because it was not started in time. None: it was.
    pub fn expired(&self, now: Timestamp) -> Option<Self> {
        self.place()?;
        let held = self.status.as_ref().map(|status| format!("; {}", status.message)).unwrap_or_default();
        self.over(RunEvent::Cancelled, &format!("not started before it expired in the queue{held}"), now)
    }

    /// FAILED, because the time of the whole run is over before it could start again. None: it is not queued.
    pub fn out_of_time(&self, now: Timestamp) -> Option<Self> {
        self.place()?;
        let held = self.status.as_ref().map(|status| format!("; {}", status.message)).unwrap_or_default();
        self.over(RunEvent::Failed, &format!("past the deadline of the run while it waited{held}"), now)
    }

    /// Terminal → QUEUED, for a new execution that does what the message `follow_up` says. None: the run has not ended, or
    /// its container is still there.
    pub fn followed_up(&self, follow_up: &str, now: Timestamp, deadline_at: Option<Timestamp>) -> Option<Self> {
        if self.held_slot().is_some() {
            return None;
        }
        Some(Self {
            state: self.moved(RunEvent::FollowedUp)?,
            updated_at: now,
            attempts: 0,
            not_before: None,
            turn: None,
            expires_at: None,
            deadline_at,
            ended_at: None,
            status: None,
            follow_up: Some(follow_up.to_owned()),
            ..self.clone()
        })
    }

    /// The end of a run that has no say in it.
    fn over(&self, event: RunEvent, message: &str, now: Timestamp) -> Option<Self> {
        let state = self.moved(event)?;
        let message = text::shorten(message, limits::STATUS_CHARS);
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

    /// Whole seconds of the current execution, begun ones counted: that is how compute is billed.
    pub fn seconds_of_execution(&self, now: Timestamp) -> u64 {
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
    fn an_ended_run_is_reopened_by_a_follow_up_once_its_container_is_gone() {
        assert_eq!(in_progress().followed_up("1", at(4), None), None);
        let cancelled = in_progress().cancelled("me", at(4)).unwrap();
        assert_eq!(cancelled.followed_up("1", at(5), None), None, "its container is there");
        let Ending::Released(gone) = cancelled.ended(1, &lost(), at(6), Some(2)) else { panic!() };
        let again = gone.followed_up("1", at(7), None).unwrap();
        assert_eq!((again.state, again.ended_at, again.place()), (RunState::Queued, None, Some(Place::Line)));
        let second = again.dispatched(0, at(8), 60, 600).unwrap();
        assert_eq!((second.executions, second.attempts), (2, 1));
        assert_eq!(second.ended(1, &lost(), at(9), None), Ending::Stale);
    }

    #[test]
    fn a_late_start_changes_nothing() {
        assert_eq!(in_progress().started(at(9), 60), None);
        assert_eq!(in_progress().cancelled("me", at(4)).unwrap().started(at(9), 60), None);
        assert_eq!(in_progress().dispatched(1, at(9), 60, 600), None);
    }
}
