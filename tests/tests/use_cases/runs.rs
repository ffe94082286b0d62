//! The use cases over the real table and archive: what each promises, run twice, and failed at every step.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use ozma_app::accept::{AcceptError, accept};
use ozma_app::cancel::{CancelError, cancel};
use ozma_app::executions::{ExecutionError, aws_credentials};
use ozma_app::launch::launch;
use ozma_app::ports::{Launched, PortError};
use ozma_app::settle::{Settled, container_gone};
use ozma_app::sweep::{Repairs, sweep};
use ozma_app::transcript::{Cursor, transcript};
use ozma_app::{audit, resources, teams};
use ozma_domain::audit::verify::{StoredSegment, verify};
use ozma_domain::environment::{Environment, EnvironmentConfig};
use ozma_domain::failure::FailureClass;
use ozma_domain::id::RunId;
use ozma_domain::outcome::Outcome;
use ozma_domain::plan::Plan;
use ozma_domain::protocol::Report;
use ozma_domain::run::Prompt;
use ozma_domain::token::ExecutionToken;
use ozma_store::{AlarmOf, ArchiveKey, TeamRow, Written};
use ozma_tests::world::{AgentDouble, Fault, World, gzip};

const NOTICE: &str = "{\"type\":\"notice\",\"text\":\"hello\"}\n";

fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

#[tokio::test]
async fn a_run_goes_from_accept_to_a_sealed_trail() {
    let world = World::new("free").await;
    let run = world.accept("true").await;
    assert_eq!(world.state(run).await, "QUEUED");
    assert_eq!(world.drain().await, 1);
    assert_eq!(world.state(run).await, "PENDING");
    let agent = world.agent(run).await;
    let assignment = agent.claim(&world).await.ok().unwrap();
    assert_eq!((assignment.prompt.as_str(), assignment.attempt), ("true", 1));
    assert_eq!(world.state(run).await, "CLAIMED");
    agent.start(&world).await.unwrap();
    assert_eq!(world.state(run).await, "INPROGRESS");
    agent.segment(&world, 1, &NOTICE.repeat(3)).await.unwrap();
    agent.segment(&world, 2, NOTICE).await.unwrap();
    agent.finish(&world, 2).await.unwrap();
    world.launcher.end(agent.execution);
    assert_eq!(world.state(run).await, "SUCCEEDED");
    world.pump().await;

    let published: Vec<String> = world.bus.published().iter().map(|event| event.id.clone()).collect();
    assert_eq!(published, [format!("{run}/1/SUCCEEDED")]);
    assert_eq!(proof(&world, run).await, "2 segments, 4 events, complete");
    assert_eq!(sweep(&world.app, Timestamp::MIN).await.unwrap(), Repairs::default());
}

/// Verifies the trail of a run as an auditor would.
async fn proof(world: &World, run: RunId) -> String {
    let trail = audit::trail(&world.app, &world.team, run).await.unwrap();
    let Some(manifest) = trail.manifest else { return "not sealed".to_owned() };
    let manifest = manifest.open(&trail.public_key).unwrap();
    let mut objects = std::collections::HashMap::new();
    for entry in &manifest.segments {
        let object = world.app.archive.read_key(&entry.key).await.unwrap().unwrap().bytes.to_vec();
        let mut lines = String::new();
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(object.as_slice()), &mut lines).unwrap();
        objects.insert(entry.key.clone(), StoredSegment { object, lines });
    }
    match verify(&manifest, |key| objects.get(key).cloned()) {
        Ok(verified) => {
            let complete = if verified.complete { "complete" } else { "incomplete" };
            format!("{} segments, {} events, {complete}", verified.segments, verified.events)
        }
        Err(tampered) => tampered.to_string(),
    }
}

#[tokio::test]
async fn a_key_answers_with_its_first_run() {
    let world = World::new("free").await;
    let first = accept(&world.app, world.keyed("true", "key")).await.unwrap();
    let again = accept(&world.app, world.keyed("true", "key")).await.unwrap();
    assert_eq!((again.run_id, first.created, again.created), (first.run_id, true, false));
    let other = accept(&world.app, world.keyed("false", "key")).await.unwrap_err();
    assert!(matches!(other, AcceptError::KeyReused { run_id } if run_id == first.run_id));
    let fresh = accept(&world.app, world.keyed("true", "other key")).await.unwrap();
    assert_ne!(fresh.run_id, first.run_id);
}

#[tokio::test]
async fn the_plan_caps_and_the_oldest_goes_first() {
    let world = World::new("free").await;
    let mut runs = Vec::new();
    for _ in 0..6 {
        runs.push(world.accept("true").await);
    }
    assert_eq!(world.drain().await, 4);
    assert_eq!(world.drain().await, 0);
    let mut states = Vec::new();
    for run in &runs {
        states.push(world.state(*run).await);
    }
    assert_eq!(states, ["PENDING", "PENDING", "PENDING", "PENDING", "QUEUED", "QUEUED"]);
    assert_eq!(world.app.store.queued_before(&world.run(runs[5]).await, 1_000).await.unwrap(), 1);
    world.agent(runs[2]).await.work(&world).await;
    assert_eq!(world.drain().await, 1);
    assert_eq!(world.state(runs[4]).await, "PENDING");
}

#[tokio::test]
async fn drains_at_the_same_time_start_nothing_twice() {
    let world = World::new("build").await;
    for _ in 0..30 {
        world.accept("true").await;
    }
    let (a, b, c) = tokio::join!(world.drain(), world.drain(), world.drain());
    assert_eq!(a + b + c, 20);
    let mut launches = world.launcher.launches();
    launches.sort_unstable();
    launches.dedup();
    assert_eq!(launches.len(), 20);
    assert_eq!(world.app.store.taken_slots(&world.team).await.unwrap().len(), 20);
}

#[tokio::test]
async fn a_queue_entry_that_was_left_over_starts_nothing_and_takes_no_later_one_along() {
    let world = World::new("free").await;
    let store = &world.app.store;
    let head = async || store.queue_head(&world.team, 10).await.unwrap();
    let run = world.accept("true").await;
    let [entry] = head().await.try_into().unwrap();
    // Whoever took the slot died before the entry was away.
    let queued = world.run(run).await;
    let pending = queued.dispatched(0, world.now(), 60, 600).unwrap();
    assert_eq!(store.take_slot(&queued, &pending, 0, None).await.unwrap(), Written::Now);
    assert_eq!(head().await, std::slice::from_ref(&entry));
    // The run waits again for its time, which the old entry does not know.
    let execution = world.agent(run).await.execution;
    container_gone(&world.app, execution, None).await.unwrap();
    assert_eq!(world.drain().await, 0);
    assert_eq!(head().await, []);
    // Who still holds the old entry does not take the new one away.
    world.clock.forward(seconds(1));
    let alarms = store.due_alarms(&world.team, world.now(), 10).await.unwrap();
    assert_eq!(alarms.iter().map(|alarm| alarm.of.clone()).collect::<Vec<_>>(), [AlarmOf::Run(run)]);
    // It comes back to the queue while its team is paused.
    teams::pause(&world.app, &world.team, "me").await.unwrap();
    assert_eq!(world.drain().await, 0);
    let [again] = head().await.try_into().unwrap();
    store.drop_queue_entry(&world.team, &entry).await.unwrap();
    assert_eq!(head().await, [again]);
    teams::resume(&world.app, &world.team).await.unwrap();
    assert_eq!(world.drain().await, 1);
}

#[tokio::test]
async fn a_smaller_plan_starts_nothing_until_there_is_room() {
    let world = World::new("build").await;
    let mut runs = Vec::new();
    for _ in 0..9 {
        runs.push(world.accept("true").await);
    }
    assert_eq!(world.drain().await, 9);
    let row = world.app.store.team(&world.team).await.unwrap().unwrap();
    world.app.store.put_team(&TeamRow { plan: Plan::named("free").unwrap(), ..row }).await.unwrap();
    world.accept("true").await;
    for (ended, run) in runs.iter().enumerate() {
        assert_eq!(world.drain().await, usize::from(ended == 6), "after {ended} ends");
        world.agent(*run).await.work(&world).await;
    }
}

#[tokio::test]
async fn a_claim_works_for_one_agent_alone() {
    let world = World::new("free").await;
    let (run, agent) = world.claimed().await;
    agent.claim(&world).await.map(drop).expect("the same agent missed the answer");
    let thief = AgentDouble { token: AgentDouble::new(ozma_domain::id::ExecutionId::new(run, 7)).token, ..agent };
    assert!(matches!(thief.claim(&world).await, Err(ExecutionError::Stale(_))));
    assert!(matches!(thief.segment(&world, 1, NOTICE).await, Err(ExecutionError::Token)));
}

#[tokio::test]
async fn a_receipt_continues_the_chain_and_a_false_one_is_not_believed() {
    let world = World::new("free").await;
    let (run, agent) = world.claimed().await;
    let first = agent.segment(&world, 1, NOTICE).await.unwrap().receipt.expect("a receipt");
    let again = agent.segment(&world, 1, NOTICE).await.unwrap().receipt;
    assert_eq!(again.as_ref(), Some(&first), "the same again has the same receipt");
    let second = agent.segment_after(&world, 2, NOTICE, Some(&first)).await.unwrap().receipt;
    // One of another place, and one that nobody issued: the segment before is looked for instead.
    for receipt in [Some(first.as_str()), Some("0.nonsense"), None] {
        let repeated = agent.segment_after(&world, 2, NOTICE, receipt).await.unwrap().receipt;
        assert_eq!(repeated, second);
        let gap = agent.segment_after(&world, 4, NOTICE, receipt).await;
        assert!(matches!(gap, Err(ExecutionError::OutOfOrder { expected: 3, found: 4 })));
    }
    agent.finish(&world, 2).await.unwrap();
    world.launcher.end(agent.execution);
    world.pump().await;
    assert_eq!(proof(&world, run).await, "2 segments, 2 events, complete");
}

#[tokio::test]
async fn segments_are_stored_once_and_in_order() {
    let world = World::new("free").await;
    let (_, agent) = world.claimed().await;
    let out_of_order = agent.segment(&world, 2, NOTICE).await;
    assert!(matches!(out_of_order, Err(ExecutionError::OutOfOrder { expected: 1, found: 2 })));
    agent.segment(&world, 1, NOTICE).await.unwrap();
    agent.segment(&world, 1, NOTICE).await.expect("the same again");
    assert!(matches!(agent.segment(&world, 1, &NOTICE.repeat(2)).await, Err(ExecutionError::Conflict(1))));
    assert!(matches!(agent.segment(&world, 0, NOTICE).await, Err(ExecutionError::Malformed(_))));
    assert!(matches!(agent.segment(&world, 2, "nonsense\n").await, Err(ExecutionError::Malformed(_))));
    agent.segment(&world, 2, "").await.expect("an empty segment is a heartbeat");
    agent.finish(&world, 2).await.unwrap();
    assert!(matches!(agent.segment(&world, 3, NOTICE).await, Err(ExecutionError::Stale(_))));
    agent.finish(&world, 2).await.expect("the answer to the report was lost");
}

#[tokio::test]
async fn what_arrives_after_the_last_word_is_no_part_of_the_trail() {
    let world = World::new("free").await;
    let (run, agent) = world.claimed().await;
    agent.segment(&world, 1, NOTICE).await.unwrap();
    agent.finish(&world, 1).await.unwrap();
    assert!(matches!(agent.segment(&world, 2, NOTICE).await, Err(ExecutionError::Stale(_))));
    // One that was let in before and is stored only now.
    let late = ArchiveKey::Segment { team: &world.team, execution: agent.execution, sequence: 2 };
    world.app.archive.create(&late, gzip(NOTICE), Default::default()).await.unwrap();
    for _ in 0..2 {
        assert_eq!(audit::trail(&world.app, &world.team, run).await.unwrap().segments.len(), 1);
        let page = transcript(&world.app, &world.team, run, Cursor::default(), Duration::ZERO).await.unwrap();
        assert_eq!((page.events.len(), page.ended), (1, true));
        world.pump().await;
    }
    assert_eq!(proof(&world, run).await, "1 segments, 1 events, complete");
}

#[tokio::test]
async fn events_that_swell_are_refused() {
    let world = World::new("free").await;
    let (_, agent) = world.claimed().await;
    let refused = agent.segment(&world, 1, &"{}\n".repeat(1_000_000)).await;
    assert!(matches!(refused, Err(ExecutionError::TooLarge { .. })), "{refused:?}");
    agent.segment(&world, 1, NOTICE).await.unwrap();
}

#[tokio::test]
async fn secrets_are_masked_on_arrival_too() {
    let world = World::new("free").await;
    let name = "TOKEN".parse().unwrap();
    ozma_app::ports::Vault::put(world.vault.as_ref(), &world.team, &name, "hunter22".into()).await.unwrap();
    let config = EnvironmentConfig { name: "web".to_owned(), secrets: vec![name], ..Default::default() };
    let environment = resources::create::<Environment>(&world.app, &world.team, config).await.unwrap();
    let new = ozma_app::accept::NewRun { environment: Some(environment.uid), ..world.new_run("true") };
    let run = accept(&world.app, new).await.unwrap().run_id;
    world.drain().await;
    let agent = world.agent(run).await;
    assert_eq!(agent.claim(&world).await.ok().unwrap().secrets["TOKEN"], "hunter22");
    agent.segment(&world, 1, "{\"type\":\"notice\",\"text\":\"it is hunter22\"}\n").await.unwrap();
    let summary = "the token is hunter22".to_owned();
    agent
        .report(&world, &Report { outcome: Outcome::Succeeded { summary }, last_segment: 1, usage: None })
        .await
        .unwrap();
    let object = audit::segment(&world.app, &world.team, agent.execution, 1).await.unwrap();
    let mut lines = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&*object.bytes), &mut lines).unwrap();
    assert!(lines.contains("it is ***") && !lines.contains("hunter22"), "{lines}");
    assert_eq!(world.run(run).await.status.unwrap().message, "the token is ***");
}

#[tokio::test]
async fn credentials_are_given_to_the_current_agent_of_an_environment_with_a_role() {
    async fn check(role: Option<&str>, expected: &str) {
        let world = World::new("free").await;
        let aws_role = role.map(|name| format!("arn:aws:iam::123456789012:role/{name}").parse().unwrap());
        let config = EnvironmentConfig { name: "web".to_owned(), aws_role, ..Default::default() };
        let environment = resources::create::<Environment>(&world.app, &world.team, config).await.unwrap();
        let new = ozma_app::accept::NewRun { environment: Some(environment.uid), ..world.new_run("true") };
        let run = accept(&world.app, new).await.unwrap().run_id;
        world.drain().await;
        let agent = world.agent(run).await;
        assert_eq!(agent.claim(&world).await.ok().unwrap().aws_role, role.is_some());
        match aws_credentials(&world.app, agent.execution, &agent.token).await {
            Ok(credentials) => assert_eq!(credentials.token, run.to_string(), "the session is named after the run"),
            Err(ExecutionError::NoRole(why)) => assert!(!expected.is_empty() && why.contains(expected), "{why}"),
            Err(other) => panic!("{other:?}"),
        }
        let other = ExecutionToken::new([9; 32]);
        let refused = aws_credentials(&world.app, agent.execution, other.expose()).await.err();
        assert!(matches!(refused, Some(ExecutionError::Token)), "{refused:?}");
        // The execution is given up, and another takes over.
        world.clock.forward(seconds(3_600));
        sweep(&world.app, Timestamp::MIN).await.unwrap();
        world.clock.forward(seconds(91));
        sweep(&world.app, Timestamp::MIN).await.unwrap();
        let stale = aws_credentials(&world.app, agent.execution, &agent.token).await.err();
        assert!(matches!(stale, Some(ExecutionError::Stale(_))), "{stale:?}");
    }
    check(Some("web"), "").await;
    check(Some("elsewhere"), "role/elsewhere could not be assumed").await;
    check(None, "the environment names no role").await;
}

#[tokio::test]
async fn a_missing_secret_or_environment_fails_the_run_before_it_starts() {
    let world = World::new("free").await;
    let config =
        EnvironmentConfig { name: "web".to_owned(), secrets: vec!["TOKEN".parse().unwrap()], ..Default::default() };
    let environment = resources::create::<Environment>(&world.app, &world.team, config).await.unwrap();
    let new = || ozma_app::accept::NewRun { environment: Some(environment.uid.clone()), ..world.new_run("true") };
    let lacks_secret = accept(&world.app, new()).await.unwrap().run_id;
    world.drain().await;
    let status = world.run(lacks_secret).await.status.unwrap().message;
    assert_eq!(
        status,
        "the environment web needs the secret TOKEN, which does not exist; create it with: oz secret create TOKEN"
    );
    let lacks_environment = accept(&world.app, new()).await.unwrap().run_id;
    let found = resources::find::<Environment>(&world.app, &world.team, environment.uid.as_str()).await.unwrap();
    resources::delete(&world.app, &found).await.unwrap();
    world.drain().await;
    assert_eq!(world.state(lacks_environment).await, "FAILED");
    assert_eq!(world.launcher.launches(), []);
    assert!(world.app.store.taken_slots(&world.team).await.unwrap().is_empty());
}

#[tokio::test]
async fn cancel_works_in_every_state_and_once() {
    let world = World::new("free").await;
    let run = world.accept("true").await;
    let check = async |run: RunId, was: &str| {
        assert_eq!(world.state(run).await, was);
        cancel(&world.app, &world.team, run, "me").await.unwrap();
        assert_eq!(world.state(run).await, "CANCELLED");
        let again = cancel(&world.app, &world.team, run, "me").await;
        assert!(matches!(again, Err(CancelError::Ended(_))));
    };
    check(run, "QUEUED").await;
    assert_eq!(world.drain().await, 0);

    let run = world.accept("true").await;
    world.drain().await;
    check(run, "PENDING").await;
    assert!(matches!(world.agent(run).await.claim(&world).await, Err(ExecutionError::Stale(_))));

    let (run, _) = world.claimed().await;
    check(run, "CLAIMED").await;

    let (run, agent) = world.claimed().await;
    agent.start(&world).await.unwrap();
    check(run, "INPROGRESS").await;
    // The tail is taken, the agent is told, and the slot is free only when it is gone.
    assert!(agent.segment(&world, 1, NOTICE).await.unwrap().cancelled);
    assert_eq!(world.run(run).await.held_slot(), Some(2));
    agent.report(&world, &Report { outcome: Outcome::Cancelled, last_segment: 1, usage: None }).await.unwrap();
    assert_eq!(world.run(run).await.held_slot(), None);
    assert_eq!(world.launcher.stops().len(), 3);
    world.pump().await;
    assert_eq!(proof(&world, run).await, "1 segments, 1 events, complete");
}

#[tokio::test]
async fn a_lost_agent_is_replaced_three_times_at_most() {
    let world = World::new("free").await;
    let run = world.accept("true").await;
    for attempt in 1..=3 {
        assert_eq!(world.drain().await, 1, "attempt {attempt}");
        let agent = world.agent(run).await;
        agent.claim(&world).await.map(drop).unwrap();
        agent.segment(&world, 1, NOTICE).await.unwrap();
        world.launcher.end(agent.execution);
        let settled = container_gone(&world.app, agent.execution, Some(&"killed".to_owned().into())).await.unwrap();
        assert!(matches!(settled, Settled::Now(_)));
        assert_eq!(world.drain().await, 0, "what just failed gets a moment");
        world.clock.forward(seconds(if attempt == 1 { 1 } else { 10 }));
        assert!(matches!(agent.segment(&world, 2, NOTICE).await, Err(ExecutionError::Stale(_))));
    }
    assert_eq!(world.state(run).await, "ERROR");
    world.pump().await;
    assert_eq!(proof(&world, run).await, "3 segments, 3 events, incomplete");
}

#[tokio::test]
async fn the_sweep_finds_what_was_left_behind() {
    let world = World::new("free").await;
    // A tick that was lost.
    let run = world.accept("true").await;
    world.clock.forward(seconds(16));
    assert_eq!(sweep(&world.app, Timestamp::MIN).await.unwrap(), Repairs { started: 1, ..Repairs::default() });
    // A launch that left nothing behind.
    let execution = world.agent(run).await.execution;
    world.launcher.end(execution);
    world.clock.forward(seconds(4));
    assert_eq!(sweep(&world.app, Timestamp::MIN).await.unwrap(), Repairs { relaunched: 1, ..Repairs::default() });
    assert_eq!(world.launcher.launches(), [execution, execution]);
    // An agent that falls silent: its lease ends it, and the run is tried again.
    let agent = world.agent(run).await;
    agent.claim(&world).await.map(drop).unwrap();
    world.clock.forward(seconds(59));
    assert_eq!(sweep(&world.app, Timestamp::MIN).await.unwrap(), Repairs::default());
    world.clock.forward(seconds(2));
    assert_eq!(sweep(&world.app, Timestamp::MIN).await.unwrap(), Repairs::default());
    assert_eq!(world.launcher.stops(), [execution]);
    // A container that does not go is given up; should it live on, it is nobody's.
    world.clock.forward(seconds(90));
    assert_eq!(sweep(&world.app, Timestamp::MIN).await.unwrap(), Repairs { ended: 1, ..Repairs::default() });
    // What has just become due has a tick on its way: that it is started now is no repair.
    world.clock.forward(seconds(1));
    assert_eq!(sweep(&world.app, Timestamp::MIN).await.unwrap(), Repairs { stopped: 1, ..Repairs::default() });
    world.launcher.end(execution);
    // An end whose completion was lost.
    let agent = world.agent(run).await;
    agent.claim(&world).await.map(drop).unwrap();
    agent.finish(&world, 0).await.unwrap();
    world.launcher.end(agent.execution);
    world.clock.forward(seconds(11));
    assert_eq!(sweep(&world.app, Timestamp::MIN).await.unwrap(), Repairs { completed: 1, ..Repairs::default() });
    assert_eq!(world.bus.published().len(), 1);
    assert_eq!(sweep(&world.app, Timestamp::MIN).await.unwrap(), Repairs::default());
}

#[tokio::test]
async fn no_agent_is_lost_because_nobody_listened() {
    let world = World::new("free").await;
    let (_, agent) = world.claimed().await;
    // The control plane was away for longer than the lease, and listens again.
    world.clock.forward(seconds(300));
    let awake_since = world.now();
    assert_eq!(sweep(&world.app, awake_since).await.unwrap(), Repairs::default());
    world.clock.forward(seconds(59));
    assert_eq!(sweep(&world.app, awake_since).await.unwrap(), Repairs::default());
    assert_eq!(world.launcher.stops(), []);
    world.clock.forward(seconds(2));
    assert_eq!(sweep(&world.app, awake_since).await.unwrap(), Repairs::default());
    assert_eq!(world.launcher.stops(), [agent.execution], "silent for a whole lease");
}

#[tokio::test]
async fn a_cancelled_run_keeps_its_slot_while_its_launch_may_be_on_its_way() {
    let world = World::new("free").await;
    let run = world.accept("true").await;
    let queued = world.run(run).await;
    let pending = queued.dispatched(0, world.now(), 60, 600).unwrap();
    assert_eq!(world.app.store.take_slot(&queued, &pending, 0, None).await.unwrap(), Written::Now);
    cancel(&world.app, &world.team, run, "me").await.unwrap();
    assert_eq!(sweep(&world.app, Timestamp::MIN).await.unwrap(), Repairs::default());
    assert_eq!(world.app.store.taken_slots(&world.team).await.unwrap().len(), 1);
    // The launch comes late, and sees that it is not wanted.
    let request = world.app.store.request(&world.team, run).await.unwrap().unwrap();
    launch(&world.app, &pending, &request, &Plan::named("free").unwrap()).await.unwrap();
    assert_eq!(world.launcher.launches(), []);
    world.clock.forward(seconds(4));
    assert_eq!(sweep(&world.app, Timestamp::MIN).await.unwrap(), Repairs { ended: 1, ..Repairs::default() });
}

#[tokio::test]
async fn a_silent_agent_past_its_deadline_ends_as_a_time_out() {
    let world = World::new("free").await;
    let new = ozma_app::accept::NewRun { deadline_seconds: Some(30), ..world.new_run("true") };
    let run = accept(&world.app, new).await.unwrap().run_id;
    world.drain().await;
    let agent = world.agent(run).await;
    agent.claim(&world).await.map(drop).unwrap();
    for sequence in 1..=6 {
        world.clock.forward(seconds(15));
        agent.segment(&world, sequence, "").await.unwrap();
    }
    sweep(&world.app, Timestamp::MIN).await.unwrap();
    assert_eq!(world.launcher.stops(), [agent.execution]);
    world.clock.forward(seconds(91));
    sweep(&world.app, Timestamp::MIN).await.unwrap();
    assert_eq!(world.state(run).await, "ERROR");
    let code = world.run(run).await.status.unwrap().error_code.unwrap();
    assert_eq!(code.as_str(), "infrastructure_timeout");
}

#[tokio::test]
async fn no_capacity_waits_without_using_up_an_attempt() {
    let world = World::new("free").await;
    let run = world.accept("true").await;
    let wait = std::time::Duration::from_secs(30);
    world.launcher.answer_next(Ok(Launched::NoCapacity { reason: "no room in eu-central-1a".to_owned(), wait }));
    world.drain().await;
    let row = world.run(run).await;
    assert_eq!((row.state.as_str(), row.attempts, row.executions), ("QUEUED", 0, 1));
    assert_eq!(row.status.unwrap().message, "no room in eu-central-1a");
    assert_eq!(world.drain().await, 0);
    world.clock.forward(seconds(31));
    assert_eq!(world.drain().await, 1);
    assert_eq!(world.agent(run).await.execution.number, 2);
    assert_eq!(world.run(run).await.attempts, 1);
    assert_eq!(world.app.store.past_executions(run).await.unwrap(), [], "nothing began that could be looked back at");
}

#[tokio::test]
async fn a_run_that_cannot_start_yet_keeps_nobody_waiting() {
    let world = World::new("free").await;
    let run = world.accept("true").await;
    let (reason, wait) = ("the image is being pulled".to_owned(), std::time::Duration::from_secs(5));
    world.launcher.answer_next(Ok(Launched::NotYet { reason, wait }));
    world.pump().await;
    assert_eq!(world.state(run).await, "QUEUED");
    let behind = world.accept("true").await;
    world.pump().await;
    assert_eq!(world.state(behind).await, "PENDING");
    world.clock.forward(seconds(6));
    assert_eq!(world.drain().await, 1);
    assert_eq!(world.run(run).await.attempts, 1);
}

#[tokio::test]
async fn where_there_is_no_room_one_run_asks_for_all() {
    let world = World::new("free").await;
    let none = |seconds| {
        let reason = "the quota is used up".to_owned();
        Ok(Launched::NoCapacity { reason, wait: std::time::Duration::from_secs(seconds) })
    };
    let first = world.accept("true").await;
    world.launcher.answer_next(none(300));
    assert_eq!(world.drain().await, 1);
    for _ in 0..3 {
        world.accept("true").await;
    }
    assert_eq!(world.drain().await, 0, "nobody asks for a while");
    world.clock.forward(seconds(31));
    world.launcher.answer_next(none(60));
    assert_eq!(world.drain().await, 1, "one asks for all");
    assert_eq!(world.drain().await, 0);
    world.clock.forward(seconds(31));
    assert_eq!(world.drain().await, 2, "there is room, and nobody who may start waits for the first");
    world.clock.forward(seconds(300));
    assert_eq!(world.drain().await, 2);
    assert_eq!(world.launcher.launches().len(), 6);
    assert_eq!(world.state(first).await, "PENDING");
}

#[tokio::test]
async fn a_refused_launch_fails_with_its_reason() {
    let world = World::new("free").await;
    let run = world.accept("true").await;
    world.launcher.answer_next(Ok(Launched::Refused { reason: "no such machine".to_owned() }));
    world.drain().await;
    let row = world.run(run).await;
    assert_eq!((row.state.as_str(), row.status.unwrap().message.as_str()), ("ERROR", "no such machine"));
}

#[tokio::test]
async fn an_ambiguous_launch_is_repeated_by_the_sweep() {
    let world = World::new("free").await;
    let run = world.accept("true").await;
    world.launcher.answer_next(Err(PortError::new("no answer")));
    assert!(ozma_app::dispatch::drain(&world.app, &world.team).await.is_err());
    assert_eq!(world.state(run).await, "PENDING");
    world.clock.forward(seconds(4));
    assert_eq!(sweep(&world.app, Timestamp::MIN).await.unwrap().relaunched, 1);
    world.agent(run).await.work(&world).await;
    assert_eq!(world.state(run).await, "SUCCEEDED");
}

#[tokio::test]
async fn a_launch_that_comes_after_the_sweeps_sends_nobody_back_to_the_queue() {
    let world = World::new("free").await;
    let run = world.accept("true").await;
    world.launcher.answer_next(Err(PortError::new("no answer")));
    ozma_app::dispatch::drain(&world.app, &world.team).await.unwrap_err();
    let first = world.run(run).await;
    world.clock.forward(seconds(4));
    assert_eq!(sweep(&world.app, Timestamp::MIN).await.unwrap().relaunched, 1);
    // The handler of the first launch was slow. It knows the row of before, and nothing of the container that is coming up.
    let wait = Duration::from_secs(30);
    world.launcher.answer_next(Ok(Launched::NoCapacity { reason: "no room".to_owned(), wait }));
    let request = world.app.store.request(&world.team, run).await.unwrap().unwrap();
    let plan = world.app.plan(&world.team).await.unwrap();
    launch(&world.app, &first, &request, &plan).await.unwrap();
    assert_eq!(world.state(run).await, "PENDING");
    world.agent(run).await.work(&world).await;
    assert_eq!(world.state(run).await, "SUCCEEDED");
}

#[tokio::test]
async fn a_long_prompt_goes_through_the_archive() {
    let world = World::new("free").await;
    let prompt = format!("# {}\ntrue", "x".repeat(100_000));
    let run = world.accept(&prompt).await;
    let request = world.app.store.request(&world.team, run).await.unwrap().unwrap();
    assert!(matches!(request.prompt, Prompt::Archived { bytes: 100_007, .. }));
    world.drain().await;
    assert_eq!(world.agent(run).await.claim(&world).await.ok().unwrap().prompt, prompt);
}

#[tokio::test]
async fn a_failure_of_the_task_is_final() {
    let world = World::new("free").await;
    let run = world.accept("false").await;
    world.drain().await;
    let agent = world.agent(run).await;
    agent.claim(&world).await.map(drop).unwrap();
    agent.start(&world).await.unwrap();
    let outcome = Outcome::failed(FailureClass::TaskFailed, "exit code 1");
    agent.report(&world, &Report { outcome, last_segment: 0, usage: None }).await.unwrap();
    let row = world.run(run).await;
    assert_eq!((row.state.as_str(), row.status.unwrap().message.as_str()), ("FAILED", "exit code 1"));
    assert_eq!(container_gone(&world.app, agent.execution, None).await.unwrap(), Settled::Already);
}

/// Repeats a step as its caller would until it works. One fault at a time needs two tries.
async fn insist<T, E>(mut step: impl AsyncFnMut() -> Result<T, E>) -> T {
    for _ in 0..5 {
        if let Ok(done) = step().await {
            return done;
        }
    }
    panic!("a step does not recover");
}

/// What everybody does for one run. Returns the run.
async fn story(world: &World) -> RunId {
    let sweep_later = async |by: i64| {
        world.clock.forward(seconds(by));
        let _ = sweep(&world.app, Timestamp::MIN).await;
    };
    // A sender that got no answer asks again with the same key.
    let run = insist(async || accept(&world.app, world.keyed("true", "key")).await).await.run_id;
    world.pump().await;
    for _ in 0..5 {
        // The agent starts if its launch was heard; else the sweep launches again.
        if world.launcher.alive().is_empty() {
            sweep_later(4).await;
        }
    }
    let execution = *world.launcher.alive().iter().next().expect("an agent");
    let agent = AgentDouble::new(execution);
    insist(async || agent.claim(world).await).await;
    insist(async || agent.start(world).await).await;
    for sequence in 1..=2 {
        insist(async || agent.segment(world, sequence, NOTICE).await).await;
    }
    insist(async || agent.finish(world, 2).await).await;
    world.launcher.end(execution);
    world.pump().await;
    for _ in 0..3 {
        sweep_later(11).await;
    }
    run
}

#[tokio::test]
async fn whatever_request_is_lost_a_run_has_one_agent_and_one_outcome() {
    let calm = World::new("free").await;
    let before = calm.faults.requests();
    story(&calm).await;
    let requests = calm.faults.requests() - before;
    assert!(requests > 30, "the story is told: {requests} requests");

    for (nth, fault) in Fault::each(requests) {
        let world = World::new("free").await;
        world.faults.plan(nth, fault);
        let run = story(&world).await;
        let told = format!("{fault:?} at request {nth}");
        assert_eq!(world.state(run).await, "SUCCEEDED", "{told}");
        let mut launches = world.launcher.launches();
        launches.dedup();
        assert_eq!(launches.len(), 1, "{told}");
        assert_eq!(world.app.store.latest_requests(&world.team, None, 10).await.unwrap().len(), 1, "{told}");
        assert!(world.app.store.taken_slots(&world.team).await.unwrap().is_empty(), "{told}");
        let mut published: Vec<String> = world.bus.published().into_iter().map(|event| event.id).collect();
        published.dedup();
        assert_eq!(published, [format!("{run}/1/SUCCEEDED")], "{told}");
        assert_eq!(proof(&world, run).await, "2 segments, 2 events, complete", "{told}");
    }
}
