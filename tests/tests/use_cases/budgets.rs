//! Budgets: of a run, of an automation's month and of a team's month; reserved before it is used, given back if it is not.

use jiff::{SignedDuration, Timestamp};
use ozma_app::accept::{NewRun, accept};
use ozma_app::executions::{self, Beside};
use ozma_app::sweep::sweep;
use ozma_app::teams;
use ozma_app::waiting::waiting;
use ozma_domain::failure::FailureClass;
use ozma_domain::id::{AutomationId, RunId};
use ozma_domain::lane::Lane;
use ozma_domain::ledger::TEAM_ACCOUNT;
use ozma_domain::outcome::Outcome;
use ozma_domain::protocol::{Report, Usage};
use ozma_domain::run_limits::{Budget, RunLimits};
use ozma_domain::team_settings::TeamSettings;
use ozma_domain::waiting::WaitingFor;
use ozma_tests::world::{AgentDouble, World, gzip};

fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

fn minutes(minutes: u64) -> Budget {
    Budget { minutes: Some(minutes), ..Budget::default() }
}

async fn ask(world: &World, budget: Budget) -> RunId {
    let limits = RunLimits { budget, ..RunLimits::default() };
    accept(&world.app, NewRun { limits, ..world.new_run("true") }).await.unwrap().run_id
}

async fn team_budget(world: &World, budget: Budget) {
    let settings = TeamSettings { budget, ..TeamSettings::default() };
    teams::set(&world.app, &world.team, &settings).await.unwrap();
}

/// Seconds and tokens that the team has used or reserved this month.
async fn account(world: &World) -> (u64, u64) {
    let month = ozma_domain::ledger::month(world.now());
    let used = world.app.store.account(&world.team, &month, TEAM_ACCOUNT).await.unwrap();
    (used.seconds, used.tokens)
}

/// What the control plane tells an agent that sends a segment and says what it used.
async fn segment(world: &World, agent: &AgentDouble, number: u32, usage: Usage) -> Option<String> {
    let beside = Beside { last_message: "", receipt: None, usage: Some(usage) };
    let body = gzip("");
    let reply = executions::segment(&world.app, agent.execution, &agent.token, number, &body, beside);
    reply.await.unwrap().over_budget
}

async fn at_work(world: &World, run: RunId) -> AgentDouble {
    let agent = world.agent(run).await;
    agent.claim(world).await.map(drop).unwrap();
    agent.start(world).await.unwrap();
    agent
}

async fn message(world: &World, run: RunId) -> String {
    world.run(run).await.status.map(|status| status.message).unwrap_or_default()
}

#[tokio::test]
async fn the_minutes_of_a_run_are_its_deadline_over_all_executions() {
    let world = World::new("free").await;
    let run = ask(&world, minutes(5)).await;
    world.drain().await;
    let current = world.run(run).await.execution.unwrap();
    assert_eq!(current.deadline_at.duration_since(current.dispatched_at), seconds(300));
    world.clock.forward(seconds(100));
    let agent = at_work(&world, run).await;
    ozma_app::settle::container_gone(&world.app, agent.execution, None).await.unwrap();
    world.launcher.end(agent.execution);
    world.clock.forward(seconds(1));
    assert_eq!(world.drain().await, 1);
    let current = world.run(run).await.execution.unwrap();
    assert_eq!(current.deadline_at.duration_since(current.dispatched_at), seconds(200));

    let agent = at_work(&world, run).await;
    world.clock.forward(seconds(200));
    let outcome = Outcome::failed(FailureClass::DeadlineReached, "took longer than its deadline");
    agent.report(&world, &Report { outcome, last_segment: 0, usage: None }).await.unwrap();
    assert_eq!(world.state(run).await, "FAILED");
    assert!(message(&world, run).await.starts_with("the budget of the run is used up"));
    let code = world.run(run).await.status.unwrap().error_code.unwrap();
    assert_eq!(code.as_str(), "budget_exceeded");
}

#[tokio::test]
async fn tokens_that_are_reported_end_a_run() {
    let world = World::new("free").await;
    let run = ask(&world, Budget { tokens: Some(1_000), ..Budget::default() }).await;
    world.drain().await;
    let agent = at_work(&world, run).await;
    assert_eq!(segment(&world, &agent, 1, Usage { tokens: 999, micro_usd: 5 }).await, None);
    let told = segment(&world, &agent, 2, Usage { tokens: 1_000, micro_usd: 7 }).await.unwrap();
    assert!(told.contains("the budget of the run"), "{told}");
    let outcome = Outcome::failed(FailureClass::BudgetReached, told);
    let usage = Usage { tokens: 1_100, micro_usd: 8 };
    agent.report(&world, &Report { outcome, last_segment: 2, usage: Some(usage) }).await.unwrap();
    let ended = world.run(run).await;
    assert_eq!((ended.state.as_str(), ended.usage), ("FAILED", usage));
}

#[tokio::test]
async fn runs_at_the_same_time_reserve_no_more_than_their_team_has() {
    let world = World::new("free").await;
    team_budget(&world, minutes(12)).await;
    let mut runs = Vec::new();
    for _ in 0..4 {
        runs.push(world.accept("true").await);
    }
    // Five minutes, five minutes, the two that are left, and nothing.
    assert_eq!(world.drain().await, 3);
    assert_eq!(account(&world).await.0, 720);
    let told = waiting(&world.app, &world.run(runs[3]).await).await.unwrap().unwrap();
    assert_eq!(told.waiting_for, WaitingFor::Budget);
    assert!(told.reason.contains("the budget of the team for"), "{}", told.reason);

    // One ends after a minute, and gives back four.
    let first = at_work(&world, runs[0]).await;
    let second = at_work(&world, runs[1]).await;
    world.clock.forward(seconds(60));
    first.finish(&world, 0).await.unwrap();
    assert_eq!(account(&world).await.0, 480);
    assert_eq!(world.drain().await, 1);
    assert_eq!(account(&world).await.0, 720, "the last one reserves what is left");

    // There is no more for the second when its five minutes come to their end.
    world.clock.forward(seconds(100));
    assert_eq!(segment(&world, &second, 1, Usage::default()).await, None);
    world.clock.forward(seconds(80));
    let told = segment(&world, &second, 2, Usage::default()).await.unwrap();
    assert!(told.contains("the budget of the team"), "{told}");
    let outcome = Outcome::failed(FailureClass::BudgetReached, told);
    second.report(&world, &Report { outcome, last_segment: 2, usage: None }).await.unwrap();
    assert_eq!(account(&world).await.0, 660);
}

#[tokio::test]
async fn a_team_that_waits_for_its_budget_asks_once_for_all_and_at_once_when_some_is_given_back() {
    let world = World::new("max").await;
    team_budget(&world, minutes(5)).await;
    let first = world.accept("true").await;
    for _ in 0..10 {
        world.accept("true").await;
    }
    let rest = world.accept("true").await;
    assert_eq!(world.drain().await, 1);
    let told = waiting(&world.app, &world.run(rest).await).await.unwrap().unwrap();
    assert_eq!((told.waiting_for, told.position), (WaitingFor::Budget, 11));
    let requests = world.faults.requests();
    assert_eq!(world.drain().await, 0);
    assert_eq!(world.faults.requests() - requests, 2, "alarms, and the team's row");
    // One tick for all who wait, and then one of them asks.
    let (at, _) = world.timer.next().expect("a tick");
    assert_eq!(world.timer.next(), None);
    world.clock.forward(at.duration_since(world.now()));
    assert_eq!(world.drain().await, 0);
    assert!(world.timer.next().is_some() && world.timer.next().is_none());

    at_work(&world, first).await.finish(&world, 0).await.unwrap();
    assert_eq!(world.drain().await, 1, "who waited first has what was given back");
    assert_eq!(world.state(rest).await, "QUEUED");
}

#[tokio::test]
async fn those_who_wait_for_an_automations_budget_share_a_tick_and_keep_nobody_waiting() {
    let world = World::new("max").await;
    let of = |n: u8| AutomationId::new([n; 16]);
    let ask = async |lane: &AutomationId, automation_budget: Budget| {
        let lane = Lane::Automation(lane.clone());
        let new = NewRun { lane, automation_budget, ..world.new_run("true") };
        accept(&world.app, new).await.unwrap().run_id
    };
    for _ in 0..11 {
        ask(&of(1), minutes(5)).await;
    }
    assert_eq!(world.drain().await, 1);
    assert_eq!(world.timer.next(), None, "ten timers, of which each would look at all ten");
    sweep(&world.app, Timestamp::MIN).await.unwrap();
    let (at, _) = world.timer.next().expect("a tick for all of them");
    assert_eq!((at.subsec_nanosecond(), world.timer.next()), (0, None));

    // They come back behind whoever came meanwhile.
    let other = ask(&of(2), Budget::default()).await;
    assert_eq!(world.drain().await, 1);
    assert_eq!(world.state(other).await, "PENDING");
    world.clock.forward(at.duration_since(world.now()));
    assert_eq!(world.drain().await, 0);
}

#[tokio::test]
async fn a_budget_that_is_used_up_starts_nothing() {
    let world = World::new("free").await;
    team_budget(&world, Budget { tokens: Some(10), ..Budget::default() }).await;
    let first = world.accept("true").await;
    world.drain().await;
    let agent = at_work(&world, first).await;
    let over = segment(&world, &agent, 1, Usage { tokens: 12, micro_usd: 0 }).await;
    let again = segment(&world, &agent, 2, Usage { tokens: 13, micro_usd: 0 }).await;
    assert!(over.or(again).is_some());
    agent.finish(&world, 2).await.unwrap();
    assert_eq!(account(&world).await.1, 13);
    let second = world.accept("true").await;
    assert_eq!(world.drain().await, 0);
    assert_eq!(world.state(second).await, "FAILED");
    assert!(message(&world, second).await.contains("is used up"));
}

#[tokio::test]
async fn an_automation_has_a_month_of_its_own() {
    let world = World::new("free").await;
    let lane = Lane::Automation("0123456789abcdefABCDEF".parse().unwrap());
    let of_automation = || NewRun { lane: lane.clone(), automation_budget: minutes(5), ..world.new_run("true") };
    let first = accept(&world.app, of_automation()).await.unwrap().run_id;
    let second = accept(&world.app, of_automation()).await.unwrap().run_id;
    let other = world.accept("true").await;
    assert_eq!(world.drain().await, 2);
    let states = [world.state(first).await, world.state(second).await, world.state(other).await];
    assert_eq!(states, ["PENDING", "QUEUED", "PENDING"]);
}

#[tokio::test]
async fn what_was_reserved_for_a_launch_without_room_is_given_back() {
    let world = World::new("free").await;
    team_budget(&world, minutes(60)).await;
    world.accept("true").await;
    let no_room =
        ozma_app::ports::Launched::NoCapacity { reason: "no room".to_owned(), wait: std::time::Duration::from_secs(5) };
    world.launcher.answer_next(Ok(no_room));
    world.drain().await;
    assert_eq!(account(&world).await, (0, 0));
}
