//! Agents as tasks. Without a container engine the emulator's tasks run until they are stopped, as agents do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use aws_sdk_ecs::types::{
    Compatibility, ContainerCondition, ContainerDefinition, ContainerDependency, NetworkMode, TaskDefinition,
};
use ozma_app::ports::{ContainerStatus, LaunchRequest, Launched, Launcher, Prepared};
use ozma_aws::launcher::{EcsLauncher, EcsOptions};
use ozma_domain::environment::{Capacity, Network};
use ozma_domain::id::{ExecutionId, RunId, TeamId};
use ozma_domain::plan::Plan;
use ozma_tests::conformance::{LauncherUnderTest, launcher_conforms};
use ozma_tests::emulator::Emulator;

use crate::client_tokens::idempotent;

const FAMILY: &str = "ozma-agent";

/// Registers a base task definition as the stack's template has it. Returns its ARN.
async fn base(ecs: &aws_sdk_ecs::Client) -> String {
    let install = ContainerDefinition::builder().name("install").image("ozma/agent:1").essential(false).build();
    let installed =
        ContainerDependency::builder().container_name("install").condition(ContainerCondition::Success).build();
    let agent = ContainerDefinition::builder()
        .name("agent")
        .image("debian:12")
        .essential(true)
        .depends_on(installed.expect("a dependency"))
        .command("/ozma/oz-agent")
        .build();
    let register = ecs
        .register_task_definition()
        .family(FAMILY)
        .network_mode(NetworkMode::Awsvpc)
        .requires_compatibilities(Compatibility::Fargate)
        .cpu("2048")
        .memory("4096")
        .container_definitions(install)
        .container_definitions(agent);
    let registered = register.send().await.expect("registers").task_definition.expect("a task definition");
    registered.task_definition_arn.expect("an ARN")
}

/// A launcher with a new cluster.
async fn launcher(ecs: &aws_sdk_ecs::Client, task_definition: String) -> EcsLauncher {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let cluster = format!("ozma-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    ecs.create_cluster().cluster_name(&cluster).send().await.expect("a cluster");
    let options = EcsOptions {
        cluster,
        task_definition,
        subnets: vec!["subnet-1".to_owned(), "subnet-2".to_owned()],
        security_groups: vec!["sg-1".to_owned()],
        public_ip: true,
        control_url: "https://control.example".to_owned(),
    };
    EcsLauncher::new(ecs.clone(), options)
}

fn team() -> TeamId {
    "local".parse().expect("a team")
}

fn request(execution: ExecutionId, image: Option<&str>) -> LaunchRequest {
    LaunchRequest {
        execution,
        team: team(),
        slot: 0,
        size: Plan::named("free").expect("a plan").size,
        image: image.map(str::to_owned),
        repositories: Vec::new(),
        network: Network::Full,
        capacity: Capacity::OnDemand,
        claim_token: "none".into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_launcher_on_ecs() {
    for image in [None, Some("acme/web:1")] {
        let emulator = Emulator::start().await;
        let ecs = idempotent(&aws_sdk_ecs::Client::new(emulator.sdk()));
        let base = base(&ecs).await;
        launcher_conforms(async || LauncherUnderTest {
            launcher: Arc::new(launcher(&ecs, base.clone()).await),
            request: |execution| request(execution, image),
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_with_other_parameters_is_the_first_one() {
    let emulator = Emulator::start().await;
    let ecs = idempotent(&aws_sdk_ecs::Client::new(emulator.sdk()));
    let before = launcher(&ecs, base(&ecs).await).await;
    let execution = ExecutionId::new(RunId::new(1, [7; 10]), 1);
    let started = async |request| {
        let launched = before.launch(&request).await.expect("launches");
        assert!(matches!(launched, Launched::Started { .. }), "{launched:?}");
    };
    started(request(execution, None)).await;
    // The stack or the environment was changed between a launch and its repetition.
    let mut changed = request(execution, None);
    changed.size.memory_mib *= 2;
    started(changed).await;
    assert_eq!(before.list().await.expect("lists"), [execution]);
    before.stop(execution).await.expect("stops");
    let status = before.status(execution).await.expect("tells");
    let ContainerStatus::Gone { end: Some(end) } = status else { panic!("{status:?}") };
    assert!(end.reason.contains("stopped by Ozma"), "{}", end.reason);
}

/// Every definition of an image that may be launched.
async fn definitions(ecs: &aws_sdk_ecs::Client) -> Vec<TaskDefinition> {
    let listed = ecs.list_task_definitions().send().await.expect("lists");
    let mut definitions = Vec::new();
    for arn in listed.task_definition_arns() {
        let described = ecs.describe_task_definition().task_definition(arn).send().await.expect("describes");
        definitions.push(described.task_definition.expect("a task definition"));
    }
    definitions.retain(|definition| definition.family() != Some(FAMILY));
    definitions
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_has_one_definition_and_none_when_nobody_uses_it() {
    let emulator = Emulator::start().await;
    let ecs = aws_sdk_ecs::Client::new(emulator.sdk());
    let first = launcher(&ecs, base(&ecs).await).await;
    for _ in 0..2 {
        assert_eq!(first.prepare(&team(), "acme/web:1").await.expect("prepares"), Prepared::Ready);
    }
    let made = definitions(&ecs).await;
    assert_eq!(made.len(), 1, "one registration per content");
    let images = made[0].container_definitions().iter().map(|container| container.image().unwrap_or_default());
    assert_eq!(images.collect::<Vec<_>>(), ["ozma/agent:1", "acme/web:1"], "the image is where the agent works");
    assert_eq!((made[0].cpu(), made[0].memory()), (Some("2048"), Some("4096")), "the rest is the base's");

    // An update of the stack registers another revision of the base.
    let second = launcher(&ecs, base(&ecs).await).await;
    assert_eq!(second.prepare(&team(), "acme/web:1").await.expect("prepares"), Prepared::Ready);
    let remade = definitions(&ecs).await;
    assert_eq!(remade.len(), 1, "the copy of the earlier base is retired");
    assert_ne!(remade[0].family(), made[0].family());

    assert_eq!(second.prepare(&team(), "acme/other:1").await.expect("prepares"), Prepared::Ready);
    second.retire(&team(), "acme/web:1").await.expect("retires");
    let left = definitions(&ecs).await;
    assert_eq!(left.len(), 1, "another image's stays");
    let agent = left[0].container_definitions().iter().find(|container| container.name() == Some("agent"));
    assert_eq!(agent.and_then(|agent| agent.image()), Some("acme/other:1"));
}
