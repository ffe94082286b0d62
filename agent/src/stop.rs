//! The one place that is asked to stop a run.

use std::time::Duration;

use ozma_domain::failure::FailureClass;
use ozma_domain::outcome::Outcome;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::client::CallError;

/// Why a run stops before its harness ends. A later reason replaces an earlier one of lower rank.
#[derive(Clone, Debug)]
pub(crate) enum Stop {
    /// A limit, the deadline, or a fault of the agent's own.
    Failed { class: FailureClass, message: String },
    /// SIGTERM or SIGINT.
    Interrupted,
    /// The user's wish.
    Cancelled,
    /// The execution is not, or may not be, this agent's any more: nothing may be reported.
    Lost(CallError),
}

#[derive(Debug)]
pub(crate) struct Stopper {
    reason: watch::Sender<Option<Stop>>,
    /// Since when somebody waits for the agent to be gone, and will kill it.
    hurry: watch::Sender<Option<Instant>>,
}

impl Stop {
    fn rank(&self) -> u8 {
        match self {
            Self::Failed { .. } | Self::Interrupted => 0,
            Self::Cancelled => 1,
            Self::Lost(_) => 2,
        }
    }

    /// How long the task may take to end by itself: some time where its own was up, and none where it breaks a limit of
    /// the machine or may be running twice.
    pub(crate) fn grace(&self, grace: Duration) -> Duration {
        use FailureClass as C;
        match self {
            Self::Lost(_) => Duration::ZERO,
            Self::Interrupted | Self::Cancelled => grace,
            Self::Failed { class, .. } => match class {
                C::DeadlineReached | C::IdleTooLong | C::BudgetReached | C::SetupFailed => grace,
                _ => Duration::ZERO,
            },
        }
    }

    /// None when there is nothing to report.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::Failed { class, message } => Some(Outcome::failed(*class, message)),
            Self::Interrupted => {
                Some(Outcome::failed(FailureClass::Interrupted, "the platform stopped the agent before the task ended"))
            }
            Self::Cancelled => Some(Outcome::Cancelled),
            Self::Lost(_) => None,
        }
    }
}

impl Stopper {
    pub(crate) fn new() -> Self {
        Self { reason: watch::Sender::new(None), hurry: watch::Sender::new(None) }
    }

    pub(crate) fn request(&self, stop: Stop) {
        if !matches!(stop, Stop::Failed { .. }) {
            self.hurry.send_if_modified(|since| since.replace(since.unwrap_or_else(Instant::now)).is_none());
        }
        self.reason.send_if_modified(|reason| {
            let replaces = reason.as_ref().is_none_or(|before| before.rank() < stop.rank());
            if replaces {
                *reason = Some(stop);
            }
            replaces
        });
    }

    pub(crate) fn reason(&self) -> Option<Stop> {
        self.reason.borrow().clone()
    }

    /// Returns once somebody asked to stop.
    pub(crate) async fn requested(&self) -> Stop {
        let mut reason = self.reason.subscribe();
        loop {
            if let Some(stop) = reason.borrow_and_update().clone() {
                return stop;
            }
            // The sender is `self`, so this cannot fail.
            let _ = reason.changed().await;
        }
    }

    /// Returns once somebody outside wants the agent to end, and since when.
    pub(crate) async fn hurried(&self) -> Instant {
        let mut hurry = self.hurry.subscribe();
        loop {
            if let Some(since) = *hurry.borrow_and_update() {
                return since;
            }
            let _ = hurry.changed().await;
        }
    }

    /// Returns once the reason is that the execution is lost.
    pub(crate) async fn lost(&self) -> CallError {
        let mut reason = self.reason.subscribe();
        loop {
            if let Some(Stop::Lost(err)) = reason.borrow_and_update().clone() {
                return err;
            }
            let _ = reason.changed().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(requests: &[Stop], expected: &str) {
        let stopper = Stopper::new();
        requests.iter().for_each(|stop| stopper.request(stop.clone()));
        let outcome = stopper.reason().and_then(|stop| stop.outcome());
        assert_eq!(outcome.map_or_else(|| "unreported".to_owned(), |outcome| outcome.message().to_owned()), expected);
    }

    #[test]
    fn the_first_reason_stands_unless_a_weightier_one_follows() {
        let limit = Stop::Failed { class: FailureClass::DiskFull, message: "disk".to_owned() };
        let interrupted = "the platform stopped the agent before the task ended";
        check(&[limit.clone(), Stop::Interrupted], "disk");
        check(&[Stop::Interrupted, limit.clone()], interrupted);
        check(&[Stop::Interrupted, Stop::Cancelled], "cancelled");
        check(&[Stop::Cancelled, limit], "cancelled");
        check(&[Stop::Cancelled, Stop::Lost(CallError::Stale), Stop::Cancelled], "unreported");
    }
}
