//! Pull requests that agents report: each is once on its run, whatever is lost and whoever says it.

use jiff::SignedDuration;
use ozma_app::complete::complete;
use ozma_app::executions::ExecutionError;
use ozma_app::messages::{Sent, send};
use ozma_domain::id::{ExecutionId, RunId};
use ozma_domain::limits;
use ozma_tests::world::{AgentDouble, Fault, World};

const URL: &str = "https://github.com/acme/web/pull/12";

/// URLs and branches.
async fn made(world: &World, run: RunId) -> Vec<String> {
    let run = world.run(run).await;
    run.pull_requests.iter().map(|made| format!("{} {}", made.url, made.branch)).collect()
}

#[tokio::test]
async fn a_pull_request_is_recorded_once() {
    let world = World::new("free").await;
    let (run, agent) = world.claimed().await;
    for _ in 0..2 {
        agent.made(&world, URL, "fix").await.unwrap();
        world.clock.forward(SignedDuration::from_secs(1));
    }
    agent.made(&world, "https://github.com/acme/api/pull/3", "fix").await.unwrap();
    let first = world.run(run).await.pull_requests[0].created_at;
    agent.made(&world, URL, "fix-2").await.unwrap();
    assert_eq!(made(&world, run).await, [format!("{URL} fix-2").as_str(), "https://github.com/acme/api/pull/3 fix"]);
    assert_eq!(world.run(run).await.pull_requests[0].created_at, first);
}

#[tokio::test]
async fn a_run_has_so_many_and_no_more() {
    let world = World::new("free").await;
    let (run, agent) = world.claimed().await;
    let url = |number: usize| format!("https://github.com/acme/web/pull/{number}");
    for number in 0..limits::PULL_REQUESTS {
        agent.made(&world, &url(number), "fix").await.unwrap();
    }
    let refused = agent.made(&world, &url(limits::PULL_REQUESTS), "fix").await;
    assert!(matches!(refused, Err(ExecutionError::Malformed(why)) if why == "a run has at most 20 pull requests"));
    assert_eq!(made(&world, run).await.len(), limits::PULL_REQUESTS);
    agent.finish(&world, 0).await.unwrap();
    assert_eq!(world.state(run).await, "SUCCEEDED");
}

#[tokio::test]
async fn whoever_is_not_at_work_records_none_and_a_follow_up_keeps_what_there_is() {
    let world = World::new("free").await;
    let (run, first) = world.claimed().await;
    first.made(&world, URL, "fix").await.unwrap();
    let other = AgentDouble::new(ExecutionId::new(run, 2));
    let stranger = AgentDouble { execution: first.execution, token: other.token };
    assert!(matches!(stranger.made(&world, URL, "theirs").await, Err(ExecutionError::Token)));
    first.finish(&world, 0).await.unwrap();
    assert!(matches!(first.made(&world, URL, "late").await, Err(ExecutionError::Stale(_))));
    complete(&world.app, run).await.unwrap();
    world.launcher.end(first.execution);
    assert_eq!(send(&world.app, &world.team, run, "ada", "once more").await.unwrap(), Sent::Reopened);
    world.drain().await;
    let second = world.agent(run).await;
    second.claim(&world).await.map(drop).unwrap();
    assert!(matches!(first.made(&world, URL, "late").await, Err(ExecutionError::Stale(_))));
    assert_eq!(made(&world, run).await, [format!("{URL} fix")]);
    second.made(&world, "https://github.com/acme/web/pull/13", "more").await.unwrap();
    second.finish(&world, 0).await.unwrap();
    assert_eq!(made(&world, run).await.len(), 2);
}

#[tokio::test]
async fn whatever_is_lost_a_pull_request_is_recorded_once() {
    let report = async |world: &World, agent: &AgentDouble| {
        for _ in 0..3 {
            if agent.made(world, URL, "fix").await.is_ok() {
                return;
            }
        }
        panic!("a report does not recover");
    };
    let calm = World::new("free").await;
    let (_, agent) = calm.claimed().await;
    let before = calm.faults.requests();
    report(&calm, &agent).await;
    let requests = calm.faults.requests() - before;
    assert!(requests >= 2, "{requests} requests");
    for (nth, fault) in Fault::each(requests) {
        let world = World::new("free").await;
        let (run, agent) = world.claimed().await;
        world.faults.plan(nth, fault);
        report(&world, &agent).await;
        assert_eq!(made(&world, run).await, [format!("{URL} fix")], "{fault:?} at request {nth}");
    }
}
