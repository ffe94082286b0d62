//! The launcher, and the containers that it starts: some never start, some die, some hang, some are stopped.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ozma_app::ports::{ContainerEnd, ContainerStatus, LaunchRequest, Launched, Launcher, PortError};
use ozma_domain::failure::FailureClass;
use ozma_domain::id::{ExecutionId, TeamId};
use ozma_domain::run::Isolation;

use super::Event;
use super::core::Core;
use super::door::Service;
use super::laws::Laws;
use super::mutants::Mutant;
use super::people::Wish;
use super::ports::answer;

/// After a stop, what is left is killed.
const KILL_AFTER_MS: i64 = 30_000;

pub(super) struct LauncherDouble {
    pub(super) core: Arc<Core>,
    pub(super) laws: Arc<Laws>,
    pub(super) mutant: Option<Mutant>,
    containers: Mutex<BTreeMap<ExecutionId, Container>>,
}

struct Container {
    team: TeamId,
    /// Those alive: one, unless the launcher is broken.
    alive: u32,
    stopping: bool,
    /// Until when nobody who asks is told of it.
    hidden_until_ms: i64,
    end: Option<ContainerEnd>,
}

impl LauncherDouble {
    pub(super) fn new(core: Arc<Core>, laws: Arc<Laws>, mutant: Option<Mutant>) -> Self {
        Self { core, laws, mutant, containers: Mutex::default() }
    }

    fn containers(&self) -> MutexGuard<'_, BTreeMap<ExecutionId, Container>> {
        self.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_alive(&self, execution: ExecutionId) -> bool {
        self.containers().get(&execution).is_some_and(|container| container.alive > 0)
    }

    pub(super) fn is_stopping(&self, execution: ExecutionId) -> bool {
        self.containers().get(&execution).is_none_or(|container| container.stopping || container.alive == 0)
    }

    pub(super) fn anything_alive(&self) -> bool {
        self.containers().values().any(|container| container.alive > 0)
    }

    fn start(&self, request: &LaunchRequest) {
        let execution = request.execution;
        // Nobody is told of it yet, and it boots after that: one that has reported is known. Shorter than the time to claim.
        let hidden_ms = match self.core.strikes(self.core.chances.launch * 3, "a container is not seen yet") {
            true => self.core.pick(5_000, 38_000),
            false => 0,
        };
        {
            let mut containers = self.containers();
            let again = self.mutant == Some(Mutant::LaunchesAreNotIdempotent);
            if containers.contains_key(&execution) && !again {
                return;
            }
            let container = containers.entry(execution).or_insert_with(|| Container {
                team: request.team.clone(),
                alive: 0,
                stopping: false,
                hidden_until_ms: self.core.now_ms() + hidden_ms,
                end: None,
            });
            container.alive += 1;
        }
        self.see();
        if self.core.strikes(self.core.chances.launch, "a container never starts") {
            return;
        }
        let boot = hidden_ms + self.core.pick(500, if hidden_ms > 0 { 1_500 } else { 20_000 });
        self.core.plan(boot, Event::Agent(execution));
        if self.core.strikes(self.core.chances.launch, "a container dies") {
            self.core.plan(boot + self.core.pick(0, 60_000), Event::Die(execution));
        }
    }

    /// The container is gone, for whatever reason. Its stop event is on its way, unless it is lost.
    pub(super) fn gone(&self, execution: ExecutionId, end: ContainerEnd) {
        {
            let mut containers = self.containers();
            let Some(container) = containers.get_mut(&execution).filter(|container| container.alive > 0) else {
                return;
            };
            container.alive = 0;
            container.end = Some(end.clone());
        }
        self.core.tell(|| format!("the container of {execution} is gone: {}", end.reason));
        self.laws.container_gone(self.core.time());
        self.see();
        let (core, chances) = (&self.core, self.core.chances);
        if core.strikes(chances.launch, "a stop event is lost") {
            return;
        }
        let wait = if core.strikes(chances.slow, "a stop event is late") {
            core.pick(10_000, 200_000)
        } else {
            core.pick(50, 2_000)
        };
        core.plan(wait, Event::Stopped { execution, end: end.clone(), receives: 1 });
        if core.strikes(chances.duplicate, "a stop event comes twice") {
            core.plan(wait + core.pick(0, 60_000), Event::Stopped { execution, end, receives: 1 });
        }
    }

    fn see(&self) {
        let containers = self.containers();
        let alive = containers.iter().filter(|(_, container)| container.alive > 0);
        let alive: Vec<_> = alive.map(|(execution, found)| (*execution, found.team.clone(), found.alive)).collect();
        drop(containers);
        self.laws.containers(&alive);
    }
}

#[async_trait]
impl Launcher for LauncherDouble {
    async fn launch(&self, request: &LaunchRequest) -> Result<Launched, PortError> {
        let call = || format!("launch {}", request.execution);
        if self.core.happens(20) {
            let wish = Wish::Cancel(Some(request.execution.run));
            self.core.plan(self.core.pick(0, 1_500), Event::Person(wish));
        }
        let passing = self.core.pass(Service::Launcher, call).await;
        if passing.is_done() {
            if self.core.strikes(self.core.chances.launch, "no capacity") {
                let wait = Duration::from_secs(u64::try_from(self.core.pick(5, 60)).unwrap_or(5));
                return Ok(Launched::NoCapacity { reason: "no machine is free".to_owned(), wait });
            }
            if self.core.strikes(self.core.chances.launch, "a container cannot start yet") {
                return Ok(Launched::NotYet {
                    reason: "the image is being pulled".to_owned(),
                    wait: Duration::from_secs(5),
                });
            }
            if self.core.strikes(self.core.chances.launch / 5, "a launch is refused") {
                return Ok(Launched::Refused { reason: "that cannot be".to_owned() });
            }
            self.start(request);
        }
        answer(&self.core, passing, "launch", call).await?;
        Ok(Launched::Started { isolation: Isolation::Fargate })
    }

    async fn stop(&self, execution: ExecutionId) -> Result<(), PortError> {
        let call = || format!("stop {execution}");
        let passing = self.core.pass(Service::Launcher, call).await;
        if passing.is_done()
            && let Some(container) = self.containers().get_mut(&execution)
            && !container.stopping
        {
            container.stopping = true;
            self.core.plan(KILL_AFTER_MS, Event::Die(execution));
        }
        answer(&self.core, passing, "stop", call).await
    }

    async fn status(&self, execution: ExecutionId) -> Result<ContainerStatus, PortError> {
        let call = || format!("status of {execution}");
        let passing = self.core.pass(Service::Launcher, call).await;
        let status = match self.containers().get(&execution) {
            Some(container) if container.hidden_until_ms > self.core.now_ms() => ContainerStatus::Gone { end: None },
            Some(container) if container.alive > 0 => ContainerStatus::Alive,
            Some(container) => ContainerStatus::Gone { end: container.end.clone() },
            None => ContainerStatus::Gone { end: None },
        };
        answer(&self.core, passing, "status", call).await?;
        Ok(status)
    }

    async fn list(&self) -> Result<Vec<ExecutionId>, PortError> {
        let call = || "list containers".to_owned();
        let passing = self.core.pass(Service::Launcher, call).await;
        let alive = {
            let containers = self.containers();
            let now = self.core.now_ms();
            let seen = |container: &Container| container.alive > 0 && container.hidden_until_ms <= now;
            containers.iter().filter(|(_, found)| seen(found)).map(|(execution, _)| *execution).collect()
        };
        answer(&self.core, passing, "list", call).await?;
        Ok(alive)
    }
}

/// How a container that dies is said to have ended.
pub(super) fn some_end(core: &Core) -> ContainerEnd {
    let class = [None, None, Some(FailureClass::OutOfMemory), Some(FailureClass::Interrupted)];
    let class = class[usize::try_from(core.pick(0, 3)).unwrap_or(0)];
    ContainerEnd { reason: "exit code 137".to_owned(), class }
}
