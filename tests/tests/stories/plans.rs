//! How many agents a plan lets run at once, and what becomes of the rest.

use std::fs;

use serde_json::Value;

use crate::world::{World, until};

/// Works until it is let go.
const WAITS: &str = "until [ -e go ]; do sleep 0.1; done";

#[test]
fn the_free_plan_runs_four_and_the_rest_wait_their_turn() {
    let world = World::new();
    let _up = world.up(&["--plan", "free"]);
    let runs: Vec<String> = (0..7).map(|_| world.detach(&["--task", WAITS])).collect();
    let (first, rest) = runs.split_at(4);
    first.iter().for_each(|run| drop(world.until_state(run, &["INPROGRESS"])));
    for (at, run) in rest.iter().enumerate() {
        let run = world.get(run);
        assert_eq!((&run["state"], &run["queue"]["position"]), (&"QUEUED".into(), &(at + 1).into()), "{run}");
    }
    // A run that is waited for says so.
    let waiting = world.begin(&["run", "--task", "echo it was my turn"]);
    until("it is in line", || waiting.notes().contains("queued, number 4 in line").then_some(()));
    // Each that ends lets the oldest in, and never more than four are at work.
    for (freed, next) in runs.iter().zip(&runs[4..]) {
        fs::write(world.work(freed, 1).join("go"), "").unwrap();
        world.end(freed);
        world.until_state(next, &["INPROGRESS"]);
        let active = ["pending", "claimed", "in-progress"].map(|state| world.json(&["run", "list", "--state", state]));
        let active: usize = active.iter().map(|list| list["runs"].as_array().unwrap().len()).sum();
        assert!(active <= 4, "{active} at once");
    }
    for run in &runs[3..] {
        fs::write(world.work(run, 1).join("go"), "").unwrap();
    }
    let told = waiting.ended();
    assert_eq!((told.code, told.stdout.as_str()), (Some(0), "it was my turn\n"), "{told}");
    let ended: Vec<Value> = runs.iter().map(|run| world.end(run)).collect();
    assert!(ended.iter().all(|run| run["state"] == "SUCCEEDED" && run["attempt"] == 1), "{ended:?}");
    let started: Vec<&str> = ended.iter().map(|run| run["started_at"].as_str().unwrap()).collect();
    assert!(started[4..].is_sorted(), "oldest first: {started:?}");
}

#[test]
fn a_larger_plan_runs_more_at_once() {
    let world = World::new();
    let up = world.up(&["--plan", "max"]);
    assert_eq!(world.json(&["whoami"]).to_string().matches("\"max\"").count(), 1);
    let runs: Vec<String> = (0..12).map(|_| world.detach(&["--task", WAITS])).collect();
    runs.iter().for_each(|run| drop(world.until_state(run, &["INPROGRESS"])));
    runs.iter().for_each(|run| fs::write(world.work(run, 1).join("go"), "").unwrap());
    runs.iter().for_each(|run| assert_eq!(world.end(run)["state"], "SUCCEEDED"));
    // The team keeps its plan, and a name that is none changes nothing.
    drop(up);
    assert_eq!(world.oz(&["up", "--port", "0", "--plan", "gold"]).code, Some(2));
    assert_eq!(world.json(&["whoami"]).to_string().matches("\"max\"").count(), 1);
}
