//! When runs start: turns, concurrency keys, times, caps, pauses; and what is told of those that wait.

use jiff::SignedDuration;

use ozma_app::accept::{AcceptError, NewRun, accept};
use ozma_app::cancel::cancel;
use ozma_app::sweep::sweep;
use ozma_app::teams;
use ozma_app::waiting::{Waiting, waiting};
use ozma_domain::id::RunId;
use ozma_domain::lane::Lane;
use ozma_domain::run_limits::RunLimits;
use ozma_domain::scheduling::{Concurrency, KeyPolicy, Scheduling};
use ozma_domain::team_settings::TeamSettings;
use ozma_domain::waiting::WaitingFor;
use ozma_tests::world::World;

fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

fn of_lane(world: &World, name: &str) -> NewRun {
    NewRun { lane: Lane::User(name.to_owned()), ..world.new_run("true") }
}

fn with_key(world: &World, key: &str, policy: KeyPolicy) -> NewRun {
    let concurrency = Some(Concurrency { key: key.to_owned(), policy });
    NewRun { scheduling: Scheduling { concurrency, ..Scheduling::default() }, ..world.new_run("true") }
}

async fn ask(world: &World, new: NewRun) -> RunId {
    accept(&world.app, new).await.unwrap().run_id
}

async fn waits(world: &World, run: RunId) -> Waiting {
    waiting(&world.app, &world.run(run).await).await.unwrap().unwrap()
}

/// Takes every slot, with runs that nobody looks at further.
async fn fill(world: &World) -> Vec<RunId> {
    let mut runs = Vec::new();
    for _ in 0..4 {
        runs.push(world.accept("true").await);
    }
    assert_eq!(world.drain().await, 4);
    runs
}

#[tokio::test]
async fn a_run_behind_a_hundred_of_another_lane_has_the_next_slot() {
    let world = World::new("free").await;
    let busy = fill(&world).await;
    for _ in 0..100 {
        ask(&world, of_lane(&world, "robot")).await;
    }
    let one = ask(&world, of_lane(&world, "ada")).await;
    let urgent = NewRun { scheduling: Scheduling { priority: 5, ..Scheduling::default() }, ..of_lane(&world, "ada") };
    let urgent = ask(&world, urgent).await;
    // The one that leads the queue, and one of ours before it: it goes five turns before its place.
    assert_eq!((waits(&world, urgent).await.position, waits(&world, one).await.position), (1, 3));
    for run in &busy[..3] {
        world.agent(*run).await.work(&world).await;
    }
    world.drain().await;
    assert_eq!((world.state(urgent).await, world.state(one).await), ("PENDING", "PENDING"));
}

#[tokio::test]
async fn of_a_key_one_is_live_and_the_others_wait_in_line() {
    let world = World::new("free").await;
    let mut runs = Vec::new();
    for _ in 0..3 {
        runs.push(ask(&world, with_key(&world, "acme/web#main", KeyPolicy::Queue)).await);
    }
    let free = world.accept("true").await;
    assert_eq!(world.drain().await, 2, "the one that has the key, and the one that needs none");
    let told = waits(&world, runs[2]).await;
    assert_eq!((told.position, told.waiting_for), (2, WaitingFor::Key));
    assert!(told.reason.contains(&runs[0].to_string()), "{}", told.reason);
    assert_eq!(world.state(free).await, "PENDING");
    // One in line leaves it, the one at work ends.
    cancel(&world.app, &world.team, runs[1], "me").await.unwrap();
    world.agent(runs[0]).await.work(&world).await;
    assert_eq!(world.drain().await, 1);
    assert_eq!(world.state(runs[2]).await, "PENDING");
    world.agent(runs[2]).await.work(&world).await;
    let next = ask(&world, with_key(&world, "acme/web#main", KeyPolicy::Queue)).await;
    assert_eq!(world.drain().await, 1, "nobody has the key any more");
    assert_eq!(world.state(next).await, "PENDING");
}

#[tokio::test]
async fn a_key_that_is_taken_skips_or_supersedes() {
    let world = World::new("free").await;
    let first = ask(&world, with_key(&world, "issue 7", KeyPolicy::Queue)).await;
    let skipped = ask(&world, with_key(&world, "issue 7", KeyPolicy::Skip)).await;
    assert_eq!(world.state(skipped).await, "CANCELLED");
    let message = world.run(skipped).await.status.unwrap().message;
    assert!(message.contains(&first.to_string()) && message.starts_with("skipped"), "{message}");
    world.drain().await;
    let agent = world.agent(first).await;
    agent.claim(&world).await.map(drop).unwrap();

    let second = ask(&world, with_key(&world, "issue 7", KeyPolicy::Queue)).await;
    let third = ask(&world, with_key(&world, "issue 7", KeyPolicy::Supersede)).await;
    let states = [world.state(first).await, world.state(second).await, world.state(third).await];
    assert_eq!(states, ["CANCELLED", "CANCELLED", "QUEUED"]);
    assert_eq!(world.drain().await, 0, "the agent that was cancelled is still there");
    ozma_app::settle::container_gone(&world.app, agent.execution, None).await.unwrap();
    assert_eq!(world.drain().await, 1);
    assert_eq!(world.state(third).await, "PENDING");
}

#[tokio::test]
async fn a_run_starts_at_its_time_and_expires_at_another() {
    let world = World::new("free").await;
    let at = |after: i64| Some(world.now() + seconds(after));
    let later = Scheduling { not_before: at(60), queue_seconds: Some(30), ..Scheduling::default() };
    let later = ask(&world, NewRun { scheduling: later, ..world.new_run("true") }).await;
    assert_eq!(world.drain().await, 0);
    assert_eq!(waits(&world, later).await.waiting_for, WaitingFor::Schedule);
    world.clock.forward(seconds(60));
    assert_eq!(world.drain().await, 1);
    assert_eq!(world.state(later).await, "PENDING");
    // What started in time does not expire.
    world.clock.forward(seconds(31));
    world.drain().await;
    assert_eq!(world.state(later).await, "PENDING");

    teams::pause(&world.app, &world.team, "me").await.unwrap();
    let brief = Scheduling { queue_seconds: Some(30), ..Scheduling::default() };
    let brief = ask(&world, NewRun { scheduling: brief, ..world.new_run("true") }).await;
    let limits = RunLimits { run_seconds: Some(20), ..RunLimits::default() };
    let bounded = ask(&world, NewRun { limits, ..world.new_run("true") }).await;
    world.clock.forward(seconds(31));
    world.drain().await;
    assert_eq!((world.state(brief).await, world.state(bounded).await), ("CANCELLED", "FAILED"));

    let far = Scheduling { not_before: at(31 * 24 * 3600), ..Scheduling::default() };
    let refused = accept(&world.app, NewRun { scheduling: far, ..world.new_run("true") }).await.unwrap_err();
    assert!(matches!(refused, AcceptError::Invalid(err) if err.field == "scheduling.not_before"));
}

#[tokio::test]
async fn an_execution_ends_with_its_run_and_is_not_tried_after_it() {
    let world = World::new("free").await;
    let limits = RunLimits { run_seconds: Some(100), ..RunLimits::default() };
    let run = ask(&world, NewRun { limits, ..world.new_run("true") }).await;
    world.clock.forward(seconds(40));
    world.drain().await;
    let current = world.run(run).await.execution.unwrap();
    assert_eq!(current.deadline_at.duration_since(current.dispatched_at).as_secs(), 60);
    world.clock.forward(seconds(61));
    let execution = world.agent(run).await.execution;
    ozma_app::settle::container_gone(&world.app, execution, None).await.unwrap();
    assert_eq!(world.state(run).await, "ERROR");
}

#[tokio::test]
async fn a_paused_team_starts_nothing_and_loses_nothing() {
    let world = World::new("free").await;
    teams::pause(&world.app, &world.team, "ada").await.unwrap();
    let run = world.accept("true").await;
    assert_eq!(world.drain().await, 0);
    sweep(&world.app, jiff::Timestamp::MIN).await.unwrap();
    assert_eq!(world.state(run).await, "QUEUED");
    let told = waits(&world, run).await;
    assert!(told.waiting_for == WaitingFor::Pause && told.reason.contains("ada"), "{told:?}");
    teams::resume(&world.app, &world.team).await.unwrap();
    assert_eq!(world.drain().await, 1);
}

#[tokio::test]
async fn everything_stops_draining_or_killing() {
    let world = World::new("free").await;
    let live = world.accept("true").await;
    world.drain().await;
    let waiting = world.accept("true").await;
    let stopped = teams::stop(&world.app, teams::Stop::Drain, "me").await.unwrap();
    assert_eq!((stopped.teams, stopped.live, stopped.cancelled), (1, 1, 0));
    assert_eq!(world.drain().await, 0);
    assert_eq!(world.state(live).await, "PENDING");
    let stopped = teams::stop(&world.app, teams::Stop::Kill, "me").await.unwrap();
    assert_eq!((stopped.live, stopped.cancelled), (1, 1));
    assert_eq!((world.state(live).await, world.state(waiting).await), ("CANCELLED", "QUEUED"));
    teams::resume_all(&world.app).await.unwrap();
    assert_eq!(world.drain().await, 1);
}

#[tokio::test]
async fn a_full_queue_and_a_high_rate_are_refused_with_a_time() {
    let world = World::new("free").await;
    let settings = TeamSettings {
        queued_runs: Some(5),
        queued_runs_of_automation: Some(3),
        runs_per_hour: Some(7),
        ..TeamSettings::default()
    };
    teams::set(&world.app, &world.team, &settings).await.unwrap();
    let robot =
        || NewRun { lane: Lane::Automation("0123456789abcdefABCDEF".parse().unwrap()), ..world.new_run("true") };
    let refused = async |new| match accept(&world.app, new).await {
        Ok(_) => "accepted".to_owned(),
        Err(AcceptError::TooMany { reason, retry_seconds }) => format!("{reason} ({retry_seconds} s)"),
        Err(err) => panic!("{err}"),
    };
    for _ in 0..3 {
        assert_eq!(refused(robot()).await, "accepted");
    }
    assert_eq!(refused(robot()).await, "the queue of this automation is full: 3 runs wait already (30 s)");
    for _ in 0..2 {
        assert_eq!(refused(of_lane(&world, "ada")).await, "accepted");
    }
    assert_eq!(refused(of_lane(&world, "ada")).await, "the queue of the team is full: 5 runs wait already (30 s)");
    // Asked for again, a run that was accepted is no other one.
    world.drain().await;
    for number in 0..4 {
        let new = NewRun { idempotency: world.keyed("true", "one").idempotency, ..of_lane(&world, "ada") };
        assert_eq!(refused(new).await, "accepted", "{number}");
    }
    for _ in 0..3 {
        world.drain().await;
        assert_eq!(refused(of_lane(&world, "ada")).await, "accepted");
    }
    let told = refused(of_lane(&world, "ada")).await;
    assert!(told.starts_with("user:ada asked for 7 runs in this hour already"), "{told}");
}

#[tokio::test]
async fn what_is_told_of_a_run_that_waits() {
    let world = World::new("free").await;
    let busy = fill(&world).await;
    let runs = [world.accept("true").await, world.accept("true").await];
    let told = waits(&world, runs[1]).await;
    assert_eq!((told.position, told.waiting_for, told.estimated_start_at), (2, WaitingFor::Plan, None));
    assert_eq!(told.reason, "all 4 agents of the plan free are at work");
    // Once a run has ended, it is known how long they take.
    world.clock.forward(seconds(50));
    world.agent(busy[0]).await.work(&world).await;
    assert_eq!(world.drain().await, 1);
    world.clock.forward(seconds(10));
    let told = waits(&world, runs[1]).await;
    assert_eq!(told.estimated_start_at, Some(world.now()), "the others have taken longer than that one");
}
