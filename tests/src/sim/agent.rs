//! An agent: claims, starts, sends segments, finishes; every call of it may be lost, doubled, or answered too late, and it
//! tries again until its lease is over, as the real one does.

use std::future::Future;
use std::sync::Arc;

use ozma_app::App;
use ozma_app::executions::{self, ExecutionError};
use ozma_app::ports::ContainerEnd;
use ozma_domain::failure::FailureClass;
use ozma_domain::id::ExecutionId;
use ozma_domain::outcome::Outcome;
use ozma_domain::protocol::{Claim, Reply, Report, Usage};
use ozma_domain::run::Isolation;
use ozma_domain::token::{ExecutionToken, claim_token};
use secrecy::ExposeSecret;

use super::Event;
use super::core::Core;
use super::door::{Passing, Service};
use super::launcher::LauncherDouble;
use super::laws::Laws;
use super::people::Wish;
use crate::world::gzip;

const NOTICE: &str = "{\"type\":\"notice\",\"text\":\"hello\"}\n";

pub(super) struct Agent {
    pub(super) core: Arc<Core>,
    pub(super) app: App,
    pub(super) launcher: Arc<LauncherDouble>,
    pub(super) laws: Arc<Laws>,
    pub(super) execution: ExecutionId,
}

/// Why an agent stops before its work is done.
enum Stop {
    /// Another execution is the current one, or nobody answered for as long as the lease.
    Fenced,
    Refused,
}

impl Agent {
    /// From the first instruction to the exit.
    pub(super) async fn live(self) {
        let done = self.work().await;
        let reason = match done {
            Ok(()) => "exit code 0",
            Err(Stop::Fenced) => "exit code 3",
            Err(Stop::Refused) => "exit code 4",
        };
        self.core.pause(self.core.pick(10, 500)).await;
        self.launcher.gone(self.execution, ContainerEnd { reason: reason.to_owned(), class: None });
    }

    async fn work(&self) -> Result<(), Stop> {
        let (core, execution) = (&self.core, self.execution);
        if core.strikes(core.chances.launch, "an agent hangs before its claim") {
            return self.hang().await;
        }
        let token = ExecutionToken::new(ozma_app::ports::Clock::random(core.as_ref())).expose().to_owned();
        let claim_token = claim_token(&self.app.settings.claim_key, execution).expose_secret().to_owned();
        let claim = Claim {
            claim_token,
            execution_token: token.clone(),
            isolation: Isolation::Fargate,
            agent_version: "sim".to_owned(),
        };
        let deadline = core.now_ms() + self.app.settings.start_seconds * 1_000;
        let assignment = self.call("claim", deadline, || executions::claim(&self.app, execution, &claim)).await?;
        self.laws.claimed(execution);
        let lease = self.app.settings.lease_seconds * 1_000;
        let until = || core.now_ms() + lease;
        core.pause(core.pick(100, 8_000)).await;
        let mut reply = self.call("start", until(), || executions::start(&self.app, execution, &token)).await?;
        let ends = core.until_ms(assignment.deadline_at) + core.now_ms();
        let segments = u32::try_from(core.pick(1, 3)).unwrap_or(1);
        let mut outcome = match core.pick(0, 9) {
            0 => Outcome::Failed { class: FailureClass::TaskFailed, message: "no".to_owned() },
            _ => Outcome::Succeeded { summary: "done".to_owned() },
        };
        // Some harnesses say what their models cost.
        let mut usage = core.happens(300).then(Usage::default);
        let mut sent = 0;
        let mut receipt = None;
        for number in 1..=segments {
            if core.strikes(core.chances.launch / 2, "an agent hangs") {
                return self.hang().await;
            }
            self.sleep(core.pick(200, 15_000)).await;
            if reply.cancelled {
                outcome = Outcome::Cancelled;
                break;
            }
            if self.launcher.is_stopping(execution) {
                outcome = Outcome::failed(FailureClass::Interrupted, "told to stop");
                break;
            }
            if core.now_ms() > ends {
                outcome = Outcome::failed(FailureClass::DeadlineReached, "took too long");
                break;
            }
            let body = gzip(&NOTICE.repeat(number as usize));
            if let Some(usage) = &mut usage {
                usage.tokens += u64::try_from(core.pick(0, 2_000)).unwrap_or(0);
                usage.micro_usd = usage.tokens * 5;
            }
            let put = || {
                executions::segment(
                    &self.app,
                    execution,
                    &token,
                    number,
                    &body,
                    executions::Beside { receipt: receipt.as_deref(), usage, ..Default::default() },
                )
            };
            reply = self.call("segment", until(), put).await?;
            receipt = reply.receipt.clone();
            sent = number;
            if let Some(reason) = &reply.over_budget {
                outcome = Outcome::failed(FailureClass::BudgetReached, reason.as_str());
                break;
            }
            self.laws.acknowledged(execution, number);
        }
        let report = Report { outcome, last_segment: sent, usage };
        let _: Reply =
            self.call("finish", until(), || executions::finish(&self.app, execution, &token, &report)).await?;
        Ok(())
    }

    /// Alive, and silent.
    async fn hang(&self) -> Result<(), Stop> {
        self.core.tell(|| format!("the agent of {} hangs", self.execution));
        loop {
            self.core.pause(3_600_000).await;
        }
    }

    /// A stop wakes it.
    async fn sleep(&self, ms: i64) {
        let until = self.core.now_ms() + ms;
        while self.core.now_ms() < until && !self.launcher.is_stopping(self.execution) {
            self.core.pause((until - self.core.now_ms()).min(5_000)).await;
        }
    }

    async fn call<T, Work: Future<Output = Result<T, ExecutionError>>>(
        &self,
        name: &'static str,
        until_ms: i64,
        work: impl Fn() -> Work,
    ) -> Result<T, Stop> {
        let core = &self.core;
        let call = || format!("{name} of {}", self.execution);
        loop {
            if core.now_ms() > until_ms {
                core.tell(|| format!("{} is given up", call()));
                return Err(Stop::Fenced);
            }
            // Somebody changes their mind, at every moment there is, and most of all when it is too late.
            if core.happens(if name == "finish" { 80 } else { 8 }) {
                core.plan(core.pick(0, 120), Event::Person(Wish::Cancel(Some(self.execution.run))));
            }
            let passing = core.pass(Service::Network, call).await;
            if passing.is_done() {
                let answer = core.handler(work()).await;
                if core.strikes(core.chances.duplicate, "a call of an agent comes twice") {
                    let _ = core.handler(work()).await;
                }
                core.pause(core.pick(2, 40)).await;
                match answer {
                    _ if passing == Passing::ReplyLost => {}
                    Ok(Ok(answer)) => return Ok(answer),
                    Ok(Err(ExecutionError::Stale(_))) => return Err(Stop::Fenced),
                    Ok(Err(ExecutionError::Store(_) | ExecutionError::Port(_) | ExecutionError::Settle(_)))
                    | Err(_) => {}
                    Ok(Err(err)) => {
                        core.tell(|| format!("{} is refused: {err}", call()));
                        return Err(Stop::Refused);
                    }
                }
            }
            core.pause(core.pick(500, 6_000)).await;
        }
    }
}
