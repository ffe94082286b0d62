//! Who carries out a run, where, and on what: named agents, environments and runners.

use ozma_app::accept::{AcceptError, NewRun, accept};
use ozma_app::ports::Vault;
use ozma_app::resources::{self, Defined, ResourceError};
use ozma_domain::delivery::EventSnapshot;
use ozma_domain::environment::{Environment, EnvironmentConfig};
use ozma_domain::id::{AgentId, EnvironmentId, RunId, RunnerId, SecretName};
use ozma_domain::named_agent::{NamedAgent, NamedAgentConfig};
use ozma_domain::plan::Size;
use ozma_domain::protocol::Assignment;
use ozma_domain::runner::{Runner, RunnerConfig, Shape};
use ozma_store::Stored;
use ozma_tests::world::World;
use serde_json::json;

async fn runner(world: &World, config: RunnerConfig) -> RunnerId {
    resources::create::<Runner>(&world.app, &world.team, config).await.expect("a runner").uid
}

async fn small(world: &World, name: &str) -> RunnerId {
    runner(world, RunnerConfig { name: name.to_owned(), ..RunnerConfig::default() }).await
}

async fn environment(world: &World, config: EnvironmentConfig) -> EnvironmentId {
    resources::create::<Environment>(&world.app, &world.team, config).await.expect("an environment").uid
}

async fn agent(world: &World, config: NamedAgentConfig) -> AgentId {
    resources::create::<NamedAgent>(&world.app, &world.team, config).await.expect("an agent").uid
}

/// As it is now.
async fn read<R: Defined>(world: &World, uid: &R::Id) -> Stored<R> {
    resources::find(&world.app, &world.team, uid.as_ref()).await.expect("it is there")
}

fn secret(name: &str) -> SecretName {
    name.parse().unwrap()
}

async fn started(world: &World, new: NewRun) -> (RunId, Assignment) {
    let run = accept(&world.app, new).await.expect("accepted").run_id;
    world.drain().await;
    (run, world.agent(run).await.claim(world).await.ok().unwrap())
}

#[tokio::test]
async fn the_run_is_asked_first_then_its_agent_then_its_environment() {
    let world = World::new("free").await;
    let [own, agents, environments] =
        [small(&world, "own").await, small(&world, "agent's").await, small(&world, "environment's").await];
    let plain = environment(&world, EnvironmentConfig { name: "plain".to_owned(), ..Default::default() }).await;
    let config = EnvironmentConfig { name: "with runner".to_owned(), runner: Some(environments), ..Default::default() };
    let with_runner = environment(&world, config).await;
    let named = |environment: Option<&EnvironmentId>, runner: Option<&RunnerId>| NamedAgentConfig {
        name: format!("{} {}", environment.is_some(), runner.is_some()),
        environment: environment.cloned(),
        runner: runner.cloned(),
        ..NamedAgentConfig::default()
    };
    let nowhere = agent(&world, named(None, None)).await;
    let somewhere = agent(&world, named(Some(&with_runner), None)).await;
    let on_own = agent(&world, named(Some(&with_runner), Some(&agents))).await;

    let check = async |run: (Option<&AgentId>, Option<&EnvironmentId>, Option<&RunnerId>), expected: [&str; 2]| {
        let (agent, environment, runner) = (run.0.cloned(), run.1.cloned(), run.2.cloned());
        let new = NewRun { agent, environment, runner, ..world.new_run("true") };
        let run = accept(&world.app, new).await.expect("accepted").run_id;
        let request = world.app.store.request(&world.team, run).await.unwrap().unwrap();
        let environment = match &request.environment {
            Some(uid) => world.app.store.environment(&world.team, uid).await.unwrap().unwrap().value.config.name,
            None => "-".to_owned(),
        };
        let runner = request.runner.as_ref().map_or("-", |runner| &runner.name);
        assert_eq!([environment.as_str(), runner], expected);
        // It says so where the API's clients look.
        let told = |member: &str| request.agent_config.get(member).and_then(|id| id.as_str()).map(str::to_owned);
        assert_eq!(told("environment_id"), request.environment.map(|uid| uid.to_string()));
        assert_eq!(told("runner_id"), request.runner.map(|runner| runner.uid.to_string()));
    };
    check((None, None, None), ["-", "-"]).await;
    check((None, Some(&plain), None), ["plain", "-"]).await;
    check((None, Some(&with_runner), None), ["with runner", "environment's"]).await;
    check((None, Some(&with_runner), Some(&own)), ["with runner", "own"]).await;
    check((Some(&nowhere), None, None), ["-", "-"]).await;
    check((Some(&nowhere), Some(&with_runner), None), ["with runner", "environment's"]).await;
    check((Some(&somewhere), None, None), ["with runner", "environment's"]).await;
    check((Some(&somewhere), Some(&plain), None), ["plain", "-"]).await;
    check((Some(&on_own), None, None), ["with runner", "agent's"]).await;
    check((Some(&on_own), Some(&plain), None), ["plain", "agent's"]).await;
    check((Some(&on_own), Some(&plain), Some(&own)), ["plain", "own"]).await;
}

#[tokio::test]
async fn a_run_has_the_machine_of_its_runner_and_never_more_than_the_plan_allows() {
    async fn check(plan: &str, shape: Option<(u32, u32)>, expected: (u32, u64)) {
        let world = World::new(plan).await;
        let shape = shape.map(|(vcpus, memory_gib)| Shape { vcpus, memory_gib });
        let config = RunnerConfig { name: "it".to_owned(), shape, ..RunnerConfig::default() };
        let runner = Some(runner(&world, config).await);
        let (run, assignment) = started(&world, NewRun { runner, ..world.new_run("true") }).await;
        let Size { vcpus, memory_mib, .. } = assignment.size;
        assert_eq!((vcpus, memory_mib), expected);
        assert_eq!(world.launcher.sizes(), [assignment.size]);
        assert_eq!(world.run(run).await.shape, shape);
    }
    check("free", None, (2, 4 * 1024)).await;
    check("free", Some((1, 2)), (1, 2 * 1024)).await;
    check("free", Some((4, 16)), (2, 4 * 1024)).await;
    check("free", Some((1, 8)), (1, 4 * 1024)).await;
    check("max", Some((4, 16)), (4, 16 * 1024)).await;
}

#[tokio::test]
async fn a_run_keeps_the_runner_and_the_agent_that_it_was_accepted_with() {
    let world = World::new("free").await;
    world.vault.put(&world.team, &secret("T"), "hunter22".into()).await.unwrap();
    let config = RunnerConfig {
        name: "small".to_owned(),
        setup_commands: vec!["apt-get update".to_owned()],
        shape: Some(Shape { vcpus: 1, memory_gib: 2 }),
        ..RunnerConfig::default()
    };
    let runner = runner(&world, config).await;
    let setup_commands = vec!["npm ci".to_owned()];
    let web = environment(&world, EnvironmentConfig { name: "web".to_owned(), setup_commands, ..Default::default() });
    let config = NamedAgentConfig {
        name: "reviewer".to_owned(),
        prompt: Some("Be kind.".to_owned()),
        environment: Some(web.await),
        runner: Some(runner.clone()),
        secrets: vec![secret("T")],
        ..NamedAgentConfig::default()
    };
    let agent = agent(&world, config).await;
    let new = || NewRun { agent: Some(agent.clone()), ..world.new_run("true") };
    let run = accept(&world.app, new()).await.unwrap().run_id;
    resources::delete(&world.app, &read::<NamedAgent>(&world, &agent).await).await.unwrap();
    resources::delete(&world.app, &read::<Runner>(&world, &runner).await).await.unwrap();
    world.drain().await;
    let assignment = world.agent(run).await.claim(&world).await.ok().unwrap();
    assert_eq!(assignment.setup_commands, ["apt-get update", "npm ci"]);
    assert_eq!((assignment.size.vcpus, assignment.secrets["T"].as_str()), (1, "hunter22"));
    let request = world.app.store.request(&world.team, run).await.unwrap().unwrap();
    assert_eq!(
        (&request.agent_config["base_prompt"], &request.agent_config["name"]),
        (&json!("Be kind."), &json!("reviewer"))
    );
    assert_eq!(request.agent.unwrap().name, "reviewer");

    // The next is refused, by what it names.
    let refused = accept(&world.app, new()).await.expect_err("refused");
    assert!(matches!(refused, AcceptError::Missing(_)), "{refused:?}");
    let told = format!("agent_identity_uid: there is no agent {agent}; `oz agent list` shows those there are");
    assert_eq!(refused.to_string(), told);
}

#[tokio::test]
async fn an_agents_secrets_are_for_its_runs_and_not_for_strangers_code() {
    let world = World::new("free").await;
    for name in ["OWN", "SHARED"] {
        world.vault.put(&world.team, &secret(name), name.to_lowercase().into()).await.unwrap();
    }
    let secrets = vec![secret("SHARED")];
    let web = environment(&world, EnvironmentConfig { name: "web".to_owned(), secrets, ..Default::default() }).await;
    let secrets = vec![secret("OWN"), secret("SHARED")];
    let reviewer = NamedAgentConfig { name: "reviewer".to_owned(), secrets, ..Default::default() };
    let reviewer = agent(&world, reviewer).await;
    let new = || NewRun { environment: Some(web.clone()), agent: Some(reviewer.clone()), ..world.new_run("true") };
    let (_, assignment) = started(&world, new()).await;
    let names: Vec<&String> = assignment.secrets.keys().collect();
    assert_eq!(names, ["OWN", "SHARED"]);

    world.vault.delete(&world.team, &secret("OWN")).await.unwrap();
    let event: EventSnapshot = serde_json::from_value(json!({
        "delivery": "019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10", "source": {"webhook": "wh_0123456789abcdefABCDEF"},
        "automation": "0123456789abcdefABCDEF", "event": "pull_request.opened", "without_secrets": true,
    }))
    .unwrap();
    let run = accept(&world.app, NewRun { event: Some(event), ..new() }).await.unwrap().run_id;
    world.drain().await;
    assert_eq!(world.state(run).await, "PENDING", "what it does not get it does not miss");
    let run = accept(&world.app, new()).await.unwrap().run_id;
    world.drain().await;
    let told = "the agent reviewer needs the secret OWN, which does not exist; create it with: oz secret create OWN";
    assert_eq!(world.run(run).await.status.unwrap().message, told);
}

#[tokio::test]
async fn an_image_is_made_ready_once_and_retired_when_nothing_names_it_any_more() {
    let world = World::new("free").await;
    let image = |name: &str, image: Option<&str>| RunnerConfig {
        name: name.to_owned(),
        docker_image: image.map(str::to_owned),
        ..RunnerConfig::default()
    };
    let small = runner(&world, image("small", Some("debian:12"))).await;
    assert_eq!(world.launcher.prepared(), ["debian:12"]);
    let docker_image = Some("debian:12".to_owned());
    let web =
        environment(&world, EnvironmentConfig { name: "web".to_owned(), docker_image, ..Default::default() }).await;
    let (app, team) = (&world.app, &world.team);
    resources::update(app, &read::<Runner>(&world, &small).await, image("small", Some("node:22"))).await.unwrap();
    assert!(world.launcher.retired().is_empty(), "the environment needs it");
    resources::delete(app, &read::<Environment>(&world, &web).await).await.unwrap();
    assert_eq!(world.launcher.retired(), ["debian:12"]);
    resources::update(app, &read::<Runner>(&world, &small).await, image("small", None)).await.unwrap();
    assert_eq!(world.launcher.retired(), ["debian:12", "node:22"]);

    world.launcher.refuse("there is no such image");
    let refused = resources::create::<Runner>(app, team, image("other", Some("nowhere:1"))).await.expect_err("refused");
    assert!(matches!(&refused, ResourceError::Invalid(err) if err.field == "docker_image"), "{refused:?}");
    assert_eq!(app.store.resources::<Runner>(team).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_name_is_one_of_its_kind_and_what_is_named_is_there() {
    let world = World::new("free").await;
    let (app, team) = (&world.app, &world.team);
    let named = |name: &str| NamedAgentConfig { name: name.to_owned(), ..NamedAgentConfig::default() };
    let first = agent(&world, named("it")).await;
    small(&world, "it").await;
    let taken = resources::create::<NamedAgent>(app, team, named("it")).await.expect_err("refused");
    assert_eq!(taken.to_string(), "another agent is named \"it\" already; choose another name or update that one");
    let second = agent(&world, named("other")).await;
    let taken =
        resources::update(app, &read::<NamedAgent>(&world, &second).await, named("it")).await.expect_err("refused");
    assert!(matches!(taken, ResourceError::NameTaken { .. }), "{taken:?}");
    // Nothing is written over what somebody else has changed meanwhile.
    let stale = read::<NamedAgent>(&world, &first).await;
    resources::update(app, &stale, named("it")).await.unwrap();
    let lost = resources::update(app, &stale, named("theirs")).await.expect_err("refused");
    assert!(matches!(lost, ResourceError::Lost { .. }), "{lost:?}");
    // A name that was given up is free.
    resources::update(app, &read::<NamedAgent>(&world, &first).await, named("first")).await.unwrap();
    resources::update(app, &read::<NamedAgent>(&world, &second).await, named("it")).await.unwrap();
    let found = resources::find::<NamedAgent>(app, team, "it").await.unwrap();
    assert_eq!(found.value.uid, second);
    assert_eq!(resources::find::<NamedAgent>(app, team, first.as_str()).await.unwrap().value.config.name, "first");
    let unknown = resources::find::<NamedAgent>(app, team, "nobody").await.expect_err("unknown");
    assert_eq!(unknown.to_string(), "there is no agent nobody");

    // What is named has to be there, whoever names it.
    let nowhere = NamedAgentConfig { environment: Some(EnvironmentId::new([7; 16])), ..named("lost") };
    let refused = resources::create::<NamedAgent>(app, team, nowhere).await.expect_err("refused");
    assert!(refused.to_string().starts_with("environment_id: there is no environment "), "{refused}");
    let config =
        EnvironmentConfig { name: "web".to_owned(), runner: Some(RunnerId::new([7; 16])), ..Default::default() };
    let refused = resources::create::<Environment>(app, team, config).await.expect_err("refused");
    assert!(refused.to_string().starts_with("default_runner_uid: there is no runner "), "{refused}");
}
