//! Agents as Fargate tasks. The client token of `RunTask` and `startedBy` carry the execution's id: a call whose answer
//! was lost is made again and starts nothing twice, and a task is found without keeping its ARN.

pub mod answer;
mod image;
pub mod stopped;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_ecs::Client;
use aws_sdk_ecs::error::{DisplayErrorContext, ProvideErrorMetadata};
use aws_sdk_ecs::operation::run_task::RunTaskError;
use aws_sdk_ecs::types::{
    AssignPublicIp, AwsVpcConfiguration, CapacityProviderStrategyItem, ContainerOverride, DesiredStatus,
    EphemeralStorage, KeyValuePair, NetworkConfiguration, PropagateTags, Tag, TaskOverride,
};
use ozma_app::ports::{ContainerStatus, LaunchRequest, Launched, Launcher, PortError, Prepared};
use ozma_domain::audit::digest;
use ozma_domain::environment::{Capacity, Network};
use ozma_domain::id::{ExecutionId, TeamId};
use ozma_domain::plan::Size;
use ozma_domain::protocol::variable;
use ozma_domain::run::Isolation;
use secrecy::ExposeSecret;

use self::answer::Answer;
use self::stopped::Task;

pub struct EcsLauncher {
    client: Client,
    options: EcsOptions,
    /// Tasks that this process has just started: for a moment no list knows them.
    started: Mutex<BTreeMap<ExecutionId, String>>,
}

#[derive(Clone, Debug)]
pub struct EcsOptions {
    pub cluster: String,
    /// The ARN of the base task definition, with its revision: runs without an image use it, those of an image are
    /// copies of it.
    pub task_definition: String,
    pub subnets: Vec<String>,
    pub security_groups: Vec<String>,
    /// Public subnets without a NAT gateway need an address for each task.
    pub public_ip: bool,
    /// Where agents find the executions API.
    pub control_url: String,
}

/// What a task's machine has beyond which it is asked for: 20 GiB come with it.
const INCLUDED_DISK_MIB: u64 = 20 * 1024;

/// Remembered starts. One drain starts at most as many as a plan has slots.
const REMEMBERED: usize = 256;

/// Pages of stopped tasks that are looked through for one execution: ECS keeps them for an hour.
const STOPPED_PAGES: usize = 20;

/// The first waits before another try, and the longest; see [`backed_off`].
const CAPACITY_WAIT: Duration = Duration::from_secs(30);
const LONGEST_WAIT: Duration = Duration::from_secs(300);
const QUOTA_WAIT: Duration = Duration::from_secs(60);
const THROTTLE_WAIT: Duration = Duration::from_secs(5);

/// Where a task is tried to be placed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Placement {
    provider: &'static str,
    subnets: Vec<String>,
}

const ON_DEMAND: &str = "FARGATE";
const SPOT: &str = "FARGATE_SPOT";

impl EcsLauncher {
    pub fn new(client: Client, options: EcsOptions) -> Self {
        Self { client, options, started: Mutex::default() }
    }

    /// One try. `number` tells the tries of one execution apart: a token answers for its first parameters alone.
    async fn run_task(
        &self,
        request: &LaunchRequest,
        definition: &str,
        number: usize,
        placement: &Placement,
    ) -> Answer {
        let execution = request.execution.to_string();
        let run = self
            .client
            .run_task()
            .cluster(&self.options.cluster)
            .task_definition(definition)
            .count(1)
            .client_token(if number == 0 { execution.clone() } else { format!("{execution}.{number}") })
            .started_by(&execution)
            .capacity_provider_strategy(provider(placement.provider))
            .network_configuration(self.network(&placement.subnets))
            .overrides(overrides(request, &self.options.control_url))
            .propagate_tags(PropagateTags::TaskDefinition)
            .tags(tag("ozma:team", request.team.as_str()))
            .tags(tag("ozma:run", &request.execution.run.to_string()))
            .tags(tag("ozma:execution", &execution));
        match run.send().await {
            Ok(answer) => {
                if let Some(arn) = answer.tasks().first().and_then(|task| task.task_arn()) {
                    self.remember(request.execution, arn);
                    return Answer::Started;
                }
                let failure = answer.failures().first();
                let reason = failure.and_then(|failure| failure.reason()).unwrap_or("no task and no reason");
                let detail = failure.and_then(|failure| failure.detail()).unwrap_or_default();
                answer::of_failure(reason, detail)
            }
            Err(err) => {
                // A conflict names the tasks that the token has started.
                if let Some(RunTaskError::ConflictException(conflict)) = err.as_service_error()
                    && let Some(arn) = conflict.resource_ids().first()
                {
                    self.remember(request.execution, arn);
                }
                let verbatim = || DisplayErrorContext(&err).to_string();
                answer::of_error(err.code(), &err.message().map_or_else(verbatim, str::to_owned))
            }
        }
    }

    fn network(&self, subnets: &[String]) -> NetworkConfiguration {
        let public = if self.options.public_ip { AssignPublicIp::Enabled } else { AssignPublicIp::Disabled };
        let vpc = AwsVpcConfiguration::builder()
            .set_subnets(Some(subnets.to_vec()))
            .set_security_groups(Some(self.options.security_groups.clone()))
            .assign_public_ip(public)
            .build()
            .expect("subnets are set");
        NetworkConfiguration::builder().awsvpc_configuration(vpc).build()
    }

    fn remember(&self, execution: ExecutionId, arn: &str) {
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        started.insert(execution, arn.to_owned());
        if started.len() > REMEMBERED {
            started.pop_first();
        }
    }

    fn remembered(&self, execution: ExecutionId) -> Option<String> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner).get(&execution).cloned()
    }

    /// The ARNs of an execution's tasks that are to run. There is one, unless a token has outlived its time.
    async fn running(&self, execution: ExecutionId) -> Result<Vec<String>, PortError> {
        let list = self.client.list_tasks().cluster(&self.options.cluster).started_by(execution.to_string());
        let answer = list.send().await.map_err(|err| PortError::because("could not list tasks", err))?;
        Ok(answer.task_arns().to_vec())
    }

    async fn described(&self, arns: &[String]) -> Result<Vec<Task>, PortError> {
        let mut tasks = Vec::new();
        // ECS describes 100 at a time.
        for chunk in arns.chunks(100) {
            let describe = self.client.describe_tasks().cluster(&self.options.cluster).set_tasks(Some(chunk.to_vec()));
            let answer = describe.send().await.map_err(|err| PortError::because("could not describe tasks", err))?;
            tasks.extend(answer.tasks().iter().map(Task::from));
        }
        Ok(tasks)
    }

    /// The task of an execution among those that are stopping or have stopped within the hour: `startedBy` finds only
    /// those that are to run.
    async fn stopping(&self, execution: ExecutionId) -> Result<Option<Task>, PortError> {
        let list = self.client.list_tasks().cluster(&self.options.cluster).desired_status(DesiredStatus::Stopped);
        let mut pages = list.into_paginator().send();
        for _ in 0..STOPPED_PAGES {
            let Some(page) = pages.next().await else { break };
            let page = page.map_err(|err| PortError::because("could not list stopped tasks", err))?;
            let tasks = self.described(page.task_arns()).await?;
            if let Some(task) = tasks.into_iter().find(|task| task.execution() == Some(execution)) {
                return Ok(Some(task));
            }
        }
        Ok(None)
    }
}

#[async_trait]
impl Launcher for EcsLauncher {
    async fn launch(&self, request: &LaunchRequest) -> Result<Launched, PortError> {
        if request.network == Network::None {
            let reason = "a Fargate task without a network could not reach Ozma; give the environment network full";
            return Ok(Launched::Refused { reason: reason.to_owned() });
        }
        let definition = match &request.image {
            Some(image) => self.family(&request.team, image),
            None => self.options.task_definition.clone(),
        };
        let mut reason = String::new();
        for (number, placement) in placements(request.capacity, &self.options.subnets).iter().enumerate() {
            let mut answer = self.run_task(request, &definition, number, placement).await;
            if let (Answer::NoTaskDefinition, Some(image)) = (&answer, &request.image) {
                // The stack was updated since the environment was saved, or somebody tidied up.
                if let Prepared::Refused { reason } = self.prepare(&request.team, image).await? {
                    return Ok(Launched::Refused { reason });
                }
                answer = self.run_task(request, &definition, number, placement).await;
            }
            match answer {
                Answer::Started => return Ok(Launched::Started { isolation: Isolation::Fargate }),
                // Spot has a quota of its own.
                Answer::OverQuota(said) if placement.provider == SPOT => reason = said,
                Answer::OverQuota(said) => {
                    let wait = backed_off(QUOTA_WAIT, request.execution);
                    return Ok(Launched::NoCapacity { reason: over_quota(request.size, &said), wait });
                }
                Answer::NoCapacity(said) => reason = said,
                Answer::Throttled(said) => {
                    let reason = format!("AWS takes no more launches just now: {said}");
                    return Ok(Launched::NoCapacity { reason, wait: backed_off(THROTTLE_WAIT, request.execution) });
                }
                Answer::Refused(reason) => return Ok(Launched::Refused { reason }),
                Answer::NoTaskDefinition => {
                    let reason = format!("the task definition {definition} is gone; update the stack, which makes it");
                    return Ok(Launched::Refused { reason });
                }
                Answer::Ambiguous(said) => return Err(PortError::new(format!("could not start a task: {said}"))),
            }
        }
        let reason = format!("AWS has no machine free in any of the subnets: {reason}");
        Ok(Launched::NoCapacity { reason, wait: backed_off(CAPACITY_WAIT, request.execution) })
    }

    async fn stop(&self, execution: ExecutionId) -> Result<(), PortError> {
        let arns: BTreeSet<String> =
            self.running(execution).await?.into_iter().chain(self.remembered(execution)).collect();
        for arn in arns {
            let stop = self.client.stop_task().cluster(&self.options.cluster).task(&arn);
            match stop.reason("stopped by Ozma").send().await {
                Ok(_) => {}
                // Gone since.
                Err(err) if err.message().is_some_and(|text| text.to_lowercase().contains("not found")) => {}
                Err(err) => return Err(PortError::because("could not stop a task", err)),
            }
        }
        Ok(())
    }

    async fn status(&self, execution: ExecutionId) -> Result<ContainerStatus, PortError> {
        let listed = self.running(execution).await?;
        let running = self.described(&listed).await?;
        // For a moment after its start, a task is listed and cannot be described.
        if running.len() < listed.len() || running.iter().any(|task| !task.is_stopped()) {
            return Ok(ContainerStatus::Alive);
        }
        match self.stopping(execution).await? {
            Some(task) if !task.is_stopped() => Ok(ContainerStatus::Alive),
            Some(task) => Ok(ContainerStatus::Gone { end: Some(task.end()) }),
            None => Ok(ContainerStatus::Gone { end: None }),
        }
    }

    async fn list(&self) -> Result<Vec<ExecutionId>, PortError> {
        let mut pages = self.client.list_tasks().cluster(&self.options.cluster).into_paginator().send();
        let mut executions = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|err| PortError::because("could not list tasks", err))?;
            let tasks = self.described(page.task_arns()).await?;
            executions.extend(tasks.iter().filter(|task| !task.is_stopped()).filter_map(Task::execution));
        }
        Ok(executions)
    }

    async fn prepare(&self, team: &TeamId, image: &str) -> Result<Prepared, PortError> {
        self.register(team, image).await
    }

    async fn retire(&self, team: &TeamId, image: &str) -> Result<(), PortError> {
        self.deregister(team, image, None).await
    }
}

/// Where to try, in order: Spot first where the environment takes it, all subnets together, then each by itself.
fn placements(capacity: Capacity, subnets: &[String]) -> Vec<Placement> {
    let mut placements = Vec::new();
    if capacity == Capacity::Spot {
        placements.push(Placement { provider: SPOT, subnets: subnets.to_vec() });
    }
    placements.push(Placement { provider: ON_DEMAND, subnets: subnets.to_vec() });
    if subnets.len() > 1 {
        let each = subnets.iter().map(|subnet| Placement { provider: ON_DEMAND, subnets: vec![subnet.clone()] });
        placements.extend(each);
    }
    placements
}

/// Nothing in here is of the user's making, so it never nears the 8,192 characters that ECS takes.
fn overrides(request: &LaunchRequest, control_url: &str) -> TaskOverride {
    let variable = |name: &str, value: &str| KeyValuePair::builder().name(name).value(value).build();
    let agent = ContainerOverride::builder()
        .name(stopped::AGENT)
        .environment(variable(variable::CONTROL_URL, control_url))
        .environment(variable(variable::EXECUTION_ID, &request.execution.to_string()))
        .environment(variable(variable::CLAIM_TOKEN, request.claim_token.expose_secret()))
        .build();
    let Size { vcpus, memory_mib, disk_mib } = request.size;
    // 21 to 200 GiB can be asked for.
    let disk = (disk_mib > INCLUDED_DISK_MIB).then(|| {
        let gib = i32::try_from(disk_mib.div_ceil(1024)).unwrap_or(i32::MAX).clamp(21, 200);
        EphemeralStorage::builder().size_in_gib(gib).build()
    });
    TaskOverride::builder()
        .cpu((vcpus * 1024).to_string())
        .memory(memory_mib.to_string())
        .set_ephemeral_storage(disk)
        .container_overrides(agent)
        .build()
}

/// Twice as long with each execution of the run, up to the longest, and a little differently for each run, so that those
/// that wait for the same do not all ask at once.
fn backed_off(first: Duration, execution: ExecutionId) -> Duration {
    let wait = (first * 2_u32.pow(execution.number.saturating_sub(1).min(6))).min(LONGEST_WAIT);
    let spread = u32::from(*digest(execution.to_string().as_bytes()).bytes().first().unwrap_or(&0));
    wait + wait * spread / 1_024
}

fn provider(name: &str) -> CapacityProviderStrategyItem {
    CapacityProviderStrategyItem::builder().capacity_provider(name).weight(1).build().expect("the provider is set")
}

fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build()
}

fn over_quota(size: Size, said: &str) -> String {
    format!(
        "the account's Fargate vCPU quota is used up and each agent of this plan needs {} vCPUs: request more with \
         `aws service-quotas request-service-quota-increase --service-code fargate --quota-code L-3032A538 \
         --desired-value N` ({said})",
        size.vcpus
    )
}

#[cfg(test)]
mod tests {
    use ozma_domain::id::RunId;
    use ozma_domain::plan::Plan;

    use super::*;

    #[test]
    fn overrides_stay_far_below_what_ecs_takes() {
        let execution = ExecutionId::new(RunId::new(u64::MAX >> 16, [255; 10]), u32::MAX);
        let mut size = Plan::named("max").unwrap().size;
        size.disk_mib = 200 * 1024;
        let request = LaunchRequest {
            execution,
            team: "a-team-with-a-name-of-32-letters".parse().unwrap(),
            slot: 0,
            size,
            image: Some("i".repeat(500)),
            repositories: Vec::new(),
            network: Network::Full,
            capacity: Capacity::Spot,
            claim_token: format!("ozc_{}", "x".repeat(43)).into(),
        };
        let overrides = overrides(&request, &format!("https://{}", "u".repeat(2_000)));
        // A generous bound of the JSON: every text twice, for its name and quotes.
        assert!(format!("{overrides:?}").len() < 8_192, "{overrides:?}");
        assert_eq!(overrides.ephemeral_storage().map(|disk| disk.size_in_gib()), Some(200));
    }

    #[test]
    fn a_task_is_tried_where_it_may_be() {
        let subnets = ["a".to_owned(), "b".to_owned()];
        let told = |capacity, subnets: &[String]| {
            let placements = placements(capacity, subnets);
            placements.iter().map(|p| format!("{} {}", p.provider, p.subnets.join(","))).collect::<Vec<_>>()
        };
        assert_eq!(told(Capacity::OnDemand, &subnets), ["FARGATE a,b", "FARGATE a", "FARGATE b"]);
        assert_eq!(told(Capacity::Spot, &subnets[..1]), ["FARGATE_SPOT a", "FARGATE a"]);
    }
}
