//! Whatever is killed, every run comes to one end.

use std::fs;

use rustix::process::Signal;

use crate::world::{World, marker, processes_with, signal, until};

#[test]
fn a_run_outlives_its_control_plane() {
    let world = World::new();
    let up = world.up(&[]);
    let run = world.detach(&["--task", "echo begun; until [ -e go ]; do sleep 0.1; done; echo done"]);
    let queued: Vec<String> =
        (0..5).map(|_| world.detach(&["--task", "until [ -e go ]; do sleep 0.1; done"])).collect();
    world.until_state(&run, &["INPROGRESS"]);
    // It serves again, and is killed again before it could do much.
    up.kill();
    world.up(&[]).kill();
    let _up = world.up(&[]);
    assert_eq!(world.get(&run)["state"], "INPROGRESS");
    fs::write(world.work(&run, 1).join("go"), "").unwrap();
    let item = world.end(&run);
    assert_eq!((&item["state"], &item["attempt"]), (&"SUCCEEDED".into(), &1.into()), "{item}");
    assert_eq!(world.ok(&["run", "logs", &run]), "begun\ndone\n");
    world.ok(&["audit", "verify", &run]);
    for run in &queued {
        world.until_state(run, &["INPROGRESS"]);
        fs::write(world.work(run, 1).join("go"), "").unwrap();
        let item = world.end(run);
        assert_eq!((&item["state"], &item["attempt"]), (&"SUCCEEDED".into(), &1.into()), "{item}");
    }
    world.nothing_left();
}

#[test]
fn a_run_that_ended_while_nobody_was_there_is_told_of() {
    let world = World::new();
    let up = world.up(&[]);
    let word = marker();
    let run =
        world.detach(&["--task", &format!("echo begun; until [ -e go ]; do sleep 0.1; done; echo done; : {word}")]);
    world.until_state(&run, &["INPROGRESS"]);
    up.kill();
    fs::write(world.work(&run, 1).join("go"), "").unwrap();
    // The task ends, its agent keeps the tail until somebody takes it.
    let agent = world.agent(&run, 1).unwrap();
    until("the task has ended", || {
        crate::world::descendants(agent).iter().all(|(_, name)| name != "bash").then_some(())
    });
    let _up = world.up(&[]);
    let item = world.end(&run);
    assert_eq!((&item["state"], &item["attempt"]), (&"SUCCEEDED".into(), &1.into()), "{item}");
    assert_eq!(world.ok(&["run", "logs", &run]), "begun\ndone\n");
}

#[test]
fn a_run_whose_agent_dies_is_tried_again() {
    let world = World::new();
    let up = world.up(&[]);
    let word = marker();
    let task = format!("echo attempt $OZ_ATTEMPT; [ $OZ_ATTEMPT = 3 ] || sleep {word}");
    let run = world.detach(&["--task", &task]);
    let killed = |attempt: u32| {
        until("the task sleeps", || {
            (processes_with(&word) > 0 && world.execution(&run, attempt).exists()).then_some(())
        });
        signal(world.agent(&run, attempt).expect("an agent").into(), Signal::KILL);
    };
    let gone = || until("it is gone", || (processes_with(&word) == 0).then_some(()));
    killed(1);
    gone();
    // The second while nobody watches.
    until("the second begins", || (processes_with(&word) > 0).then_some(()));
    up.kill();
    killed(2);
    // Outside of a sandbox it takes somebody to end what the agent left.
    let _up = world.up(&[]);
    gone();
    let item = world.end(&run);
    assert_eq!((&item["state"], &item["attempt"]), (&"SUCCEEDED".into(), &3.into()), "{item}");
    let logs = world.ok(&["run", "logs", &run]);
    assert!(logs.ends_with("attempt 3\n") && logs.matches("attempt 3").count() == 1, "{logs}");
    // The proof holds, and says that two agents died without a last word.
    let proof = world.json(&["audit", "verify", &run]);
    assert_eq!((&proof["verified"], &proof["complete"]), (&true.into(), &false.into()), "{proof}");
    world.nothing_left();
}

#[test]
fn a_run_whose_agents_all_die_is_the_platforms_error() {
    let world = World::new();
    let _up = world.up(&[]);
    let word = marker();
    let run = world.begin(&["run", "--name", "doomed", "--task", &format!("echo attempt $OZ_ATTEMPT; sleep {word}")]);
    until("the task sleeps", || (processes_with(&word) > 0).then_some(()));
    let list = world.json(&["run", "list", "--name", "doomed"]);
    let id = list["runs"][0]["run_id"].as_str().unwrap();
    for attempt in 1..=3 {
        let agent = until("an agent", || world.agent(id, attempt).filter(|_| processes_with(&word) > 0));
        signal(agent.into(), Signal::KILL);
        until("it is gone", || (processes_with(&word) == 0).then_some(()));
    }
    let told = run.ended();
    assert_eq!(told.code, Some(4), "{told}");
    assert!(told.stderr.contains("platform error") && told.stderr.contains("3 attempts"), "{told}");
    assert!(told.stderr.contains("SIGKILL"), "{told}");
    world.nothing_left();
}

#[test]
fn a_cancel_outlives_the_control_plane_that_took_it() {
    let world = World::new();
    let up = world.up(&[]);
    let word = marker();
    let run = world.detach(&["--task", &format!("trap '' TERM; sleep {word} & while true; do wait; sleep 0.1; done")]);
    until("the task runs", || (processes_with(&word) > 0).then_some(()));
    world.ok(&["run", "cancel", &run]);
    up.kill();
    let _up = world.up(&[]);
    assert_eq!(world.get(&run)["state"], "CANCELLED");
    until("the task is gone", || (processes_with(&word) == 0).then_some(()));
    world.nothing_left();
    until("the trail is sealed", || (world.oz(&["audit", "verify", &run]).code == Some(0)).then_some(()));
}
