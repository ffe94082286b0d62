//! Cancelling at any state: at once for the user, and nothing of the run is left within seconds.

use std::time::{Duration, Instant};

use crate::world::{World, marker, processes_with, until};

/// The promise is "within seconds"; from SIGTERM to SIGKILL an agent has ten.
const PROMPT: Duration = Duration::from_secs(15);

#[test]
fn a_queued_run_is_cancelled_and_never_starts() {
    let world = World::new();
    let _up = world.up(&["--plan", "free"]);
    let blockers: Vec<String> = (0..4).map(|_| world.detach(&["--task", "sleep 600"])).collect();
    let run = world.detach(&["--task", "echo the task ran"]);
    assert_eq!(world.get(&run)["state"], "QUEUED");
    world.ok(&["run", "cancel", &run]);
    let item = world.get(&run);
    assert_eq!((&item["state"], &item["started_at"]), (&"CANCELLED".into(), &serde_json::Value::Null), "{item}");
    assert!(!world.execution(&run, 1).exists());
    let told = world.oz(&["run", "cancel", &run]);
    assert!(told.code == Some(1) && told.stderr.contains("has ended already"), "{told}");
    blockers.iter().for_each(|run| drop(world.ok(&["run", "cancel", run])));
    blockers.iter().for_each(|run| assert_eq!(world.end(run)["state"], "CANCELLED"));
    world.nothing_left();
}

#[test]
fn a_run_is_cancelled_while_it_is_prepared() {
    let world = World::new();
    let _up = world.up(&[]);
    let word = marker();
    world.ok(&["environment", "create", "--name", "slow", "--setup-command", &format!("sleep {word}")]);
    let run = world.detach(&["--env", "slow", "--task", "echo the task ran"]);
    until("it is set up", || (processes_with(&word) > 0).then_some(()));
    cancelled_in_time(&world, &run, &word);
    // Right after it was accepted, wherever it then is.
    for _ in 0..3 {
        let run = world.detach(&["--task", &format!("sleep {word}")]);
        cancelled_in_time(&world, &run, &word);
    }
}

#[test]
fn a_running_task_is_cancelled_however_it_clings_to_life() {
    let world = World::new();
    let _up = world.up(&["--plan", "build"]);
    let check = |task: &str| {
        let word = marker();
        let run = world.detach(&["--task", &task.replace("WORD", &word)]);
        until("the task runs", || (processes_with(&word) > 0).then_some(()));
        cancelled_in_time(&world, &run, &word);
        let summary = &world.get(&run)["status_message"]["message"];
        assert!(summary.as_str().unwrap_or_default().to_lowercase().contains("cancelled"), "{task}: {summary}");
    };
    check("sleep WORD");
    check("trap '' TERM INT HUP; sleep WORD & while true; do wait; sleep 0.1; done");
    check("setsid --fork sleep WORD; sleep WORD");
    check("(trap '' TERM; sleep WORD) & disown; kill -STOP $$");
    check("env -i setsid nohup sleep WORD > /dev/null 2>&1 & sleep 600");
}

#[track_caller]
fn cancelled_in_time(world: &World, run: &str, word: &str) {
    let began = Instant::now();
    world.ok(&["run", "cancel", run]);
    assert_eq!(world.end(run)["state"], "CANCELLED");
    until("its processes are gone", || (processes_with(word) == 0).then_some(()));
    world.nothing_left();
    assert!(began.elapsed() < PROMPT, "gone after {:?}", began.elapsed());
}
