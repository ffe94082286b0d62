//! Follow-ups that reopen ended runs, and cancels that reach the runs below.

use ozma_app::accept::{AcceptError, NewRun, accept};
use ozma_app::cancel::{cancel, cancel_all};
use ozma_app::complete::complete;
use ozma_app::messages::{MessageError, Sent, send};
use ozma_app::settle::container_gone;
use ozma_domain::id::RunId;
use ozma_tests::world::World;

async fn say(world: &World, run: RunId, text: &str) -> Result<Sent, MessageError> {
    send(&world.app, &world.team, run, "ada", text).await
}

async fn below(world: &World, parent: RunId) -> Result<RunId, AcceptError> {
    let new = NewRun { parent_run_id: Some(parent), ..world.new_run("true") };
    Ok(accept(&world.app, new).await?.run_id)
}

#[tokio::test]
async fn a_follow_up_reopens_an_ended_run_for_a_new_execution() {
    let world = World::new("free").await;
    let run = world.accept("first").await;
    world.drain().await;
    let first = world.agent(run).await;
    first.work(&world).await;
    complete(&world.app, run).await.unwrap();
    assert_eq!(say(&world, run, "second").await.unwrap(), Sent::Reopened);
    assert_eq!(world.state(run).await, "QUEUED");
    assert_eq!(say(&world, run, "and third").await.unwrap(), Sent::ToRun);

    // The agent has reported, and its container is not gone yet.
    assert_eq!(world.drain().await, 1);
    assert_eq!(world.state(run).await, "QUEUED");
    world.launcher.end(first.execution);
    world.clock.forward(jiff::SignedDuration::from_secs(2));
    assert_eq!(world.drain().await, 1);
    let second = world.agent(run).await;
    assert_eq!((first.execution.number, second.execution.number), (1, 3));
    let assignment = second.claim(&world).await.unwrap();
    assert_eq!((assignment.prompt.as_str(), assignment.attempt), ("second", 1));
    // What came after it is news, what asked for the execution is not.
    let told =
        ozma_app::executions::messages(&world.app, second.execution, &second.token, &assignment.last_message).await;
    let told: Vec<String> = told.unwrap().messages.into_iter().map(|message| message.text).collect();
    assert_eq!(told, ["and third"]);
    second.work(&world).await;
    assert_eq!(complete(&world.app, run).await.unwrap(), []);
    assert_eq!(world.state(run).await, "SUCCEEDED");

    // One place in the index of ends, one event for each end.
    let ended = world.app.store.latest_ended(&world.team, None, 10).await.unwrap();
    assert_eq!(ended.iter().map(|entry| entry.run_id).collect::<Vec<_>>(), [run]);
    let events: Vec<String> = world.bus.published().into_iter().map(|event| event.id).collect();
    assert_eq!(events, [format!("{run}/1/SUCCEEDED"), format!("{run}/3/SUCCEEDED")]);
}

#[tokio::test]
async fn a_run_is_not_reopened_before_its_end_is_announced() {
    let world = World::new("free").await;
    let run = world.accept("first").await;
    world.drain().await;
    world.agent(run).await.work(&world).await;
    assert!(matches!(say(&world, run, "second").await, Err(MessageError::Ending)));
    complete(&world.app, run).await.unwrap();
    assert_eq!(say(&world, run, "second").await.unwrap(), Sent::Reopened);
    assert_eq!(world.app.store.messages(run, "", 10).await.unwrap().len(), 1, "it was refused before it was stored");
}

#[tokio::test]
async fn a_cancelled_run_is_reopened_when_its_agent_is_gone() {
    let world = World::new("free").await;
    let run = world.accept("first").await;
    world.drain().await;
    let agent = world.agent(run).await;
    cancel(&world.app, &world.team, run, "ada").await.unwrap();
    assert!(matches!(say(&world, run, "again").await, Err(MessageError::Ending)));
    container_gone(&world.app, agent.execution, None).await.unwrap();
    complete(&world.app, run).await.unwrap();
    world.launcher.end(agent.execution);
    assert_eq!(say(&world, run, "again").await.unwrap(), Sent::Reopened);
    assert_eq!(world.drain().await, 1);
}

#[tokio::test]
async fn messages_at_the_same_time_have_numbers_of_their_own() {
    let world = World::new("free").await;
    let run = world.accept("true").await;
    let (a, b, c) = tokio::join!(say(&world, run, "a"), say(&world, run, "b"), say(&world, run, "c"));
    assert!([a, b, c].into_iter().all(|sent| sent.is_ok()));
    let messages = world.app.store.messages(run, "", 100).await.unwrap();
    let ids: Vec<&str> = messages.iter().map(|message| message.id.as_str()).collect();
    assert_eq!(ids, ["000001", "000002", "000003"]);
}

#[tokio::test]
async fn a_cascade_reaches_every_run_below_and_lets_none_in_after_it() {
    let world = World::new("free").await;
    let root = world.accept("true").await;
    let child = below(&world, root).await.unwrap();
    let grandchild = below(&world, child).await.unwrap();
    let other = world.accept("true").await;
    world.drain().await;
    // The child has ended by itself, which does not shelter what is below it.
    world.agent(child).await.work(&world).await;
    assert_eq!(cancel_all(&world.app, &world.team, root, "ada").await.unwrap(), 2);
    let mut states = Vec::new();
    for run in [root, child, grandchild, other] {
        states.push(world.state(run).await);
    }
    assert_eq!(states, ["CANCELLED", "SUCCEEDED", "CANCELLED", "PENDING"]);
    assert!(matches!(below(&world, root).await, Err(AcceptError::ParentCancelled(run)) if run == root));
    assert_eq!(cancel_all(&world.app, &world.team, root, "ada").await.unwrap(), 0, "again");
}

#[tokio::test]
async fn runs_below_one_another_have_an_end() {
    let world = World::new("free").await;
    let mut run = world.accept("true").await;
    for _ in 0..8 {
        run = below(&world, run).await.unwrap();
    }
    assert!(matches!(below(&world, run).await, Err(AcceptError::TooDeep)));
}
