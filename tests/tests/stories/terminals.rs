//! Several commands on one data folder, and terminals that go away.

use std::fs;
use std::process::Command;

use rustix::process::Signal;

use crate::world::{Live, World, until};

const WAITS: &str = "echo begun; until [ -e go ]; do sleep 0.1; done; echo done";

/// A command whose run is at work, and the run.
fn at_work(world: &World, name: &str) -> (Live, String) {
    let command = world.begin(&["run", "--name", name, "--task", WAITS]);
    let run = until("it has a run", || {
        Some(command.notes().lines().find_map(|line| line.strip_prefix("Run ID: "))?.to_owned())
    });
    until("its task is at work", || world.work(&run, 1).exists().then_some(()));
    (command, run)
}

#[test]
fn the_run_of_another_terminal_goes_on_when_the_one_that_served_it_leaves() {
    let world = World::new();
    for leave in [Signal::INT, Signal::HUP, Signal::KILL] {
        // The first brings the control plane, the second uses it.
        let (first, first_run) = at_work(&world, "first");
        let (second, second_run) = at_work(&world, "second");
        first.signal(leave);
        let told = first.ended();
        if leave == Signal::KILL {
            // Its own run waits for nobody, and goes on as well.
            fs::write(world.work(&first_run, 1).join("go"), "").unwrap();
        } else {
            assert_eq!(told.code, Some(130), "{told}");
            assert_eq!(world.get(&first_run)["state"], "CANCELLED");
        }
        fs::write(world.work(&second_run, 1).join("go"), "").unwrap();
        let told = second.ended();
        assert_eq!((told.code, told.stdout.as_str()), (Some(0), "begun\ndone\n"), "{leave:?}: {told}");
        let item = world.get(&second_run);
        assert_eq!((&item["state"], &item["attempt"]), (&"SUCCEEDED".into(), &1.into()), "{item}");
        world.end(&first_run);
        stop_background(&world);
    }
}

#[test]
fn whoever_only_looks_sets_nothing_going() {
    let world = World::new();
    let (command, run) = at_work(&world, "left");
    // Its control plane and its agent are killed: the run is to be tried again, by somebody who does work.
    let agent = world.agent(&run, 1).expect("an agent");
    command.kill();
    crate::world::signal(agent.into(), Signal::KILL);
    for _ in 0..3 {
        world.ok(&["run", "list"]);
        world.ok(&["run", "get", &run]);
        world.ok(&["agents", "list"]);
        world.ok(&["whoami"]);
    }
    until("its end is known", || (world.get(&run)["state"] == "QUEUED").then_some(()));
    assert!(!world.execution(&run, 2).exists());
    world.ok(&["run", "cancel", &run]);
    assert_eq!(world.get(&run)["state"], "CANCELLED");
}

#[test]
fn a_copy_of_a_data_folder_is_itself() {
    let world = World::new();
    let run = world.json(&["run", "--task", "true"])["run_id"].as_str().unwrap().to_owned();
    let _up = world.up(&[]);
    let copy = world.folder("copies").join("data");
    let copied = Command::new("cp").arg("-r").arg(world.data()).arg(&copy).status().unwrap();
    assert!(copied.success());
    // It says where the control plane of the original is, which has nothing to say about the copy.
    assert!(copy.join("server.json").exists());
    for object in crate::world::files(&copy.join("archive")) {
        fs::write(object, "").unwrap();
    }
    let ask = |dir: &std::path::Path| world.oz(&["--data-dir", dir.to_str().unwrap(), "audit", "verify", &run]);
    assert_eq!(ask(&world.data()).code, Some(0));
    let told = ask(&copy);
    assert_eq!(told.code, Some(1), "{told}");
}

/// Ends the control plane that a command left in the background.
fn stop_background(world: &World) {
    let server = fs::read(world.data().join("server.json")).unwrap_or_default();
    let server: serde_json::Value = serde_json::from_slice(&server).unwrap_or_default();
    if let Some(pid) = server["pid"].as_i64() {
        crate::world::signal(pid, Signal::TERM);
        until("it has left", || (!world.data().join("server.json").exists()).then_some(()));
    }
}
