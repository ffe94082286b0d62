//! Named agents and runners: what their runs begin with, from the command line.

use crate::world::World;

#[test]
fn a_named_agent_brings_its_environment_its_runner_and_its_secrets() {
    let world = World::new();
    let _up = world.up(&[]);
    let told = world.oz_given(&["secret", "create", "TOKEN"], "hunter22");
    assert_eq!(told.code, Some(0), "{told}");
    let small = ["runner", "create", "-n", "small", "--vcpus", "1", "--memory-gb", "2", "-c", "echo machine > order"];
    let shown = world.ok(&small);
    assert!(shown.contains("1 vCPU, 2 GB"), "{shown}");
    world.ok(&["environment", "create", "-n", "web", "-c", "echo code >> order"]);
    let create = ["agent", "create", "-n", "nightly", "--harness", "shell", "-e", "web", "--runner", "small"];
    world.ok(&[&create[..], &["--secret", "TOKEN"]].concat());
    assert!(world.ok(&["agent", "list"]).contains("nightly"));

    let task = "cat order; echo ${#TOKEN}";
    let told = world.oz(&["run", "--agent", "nightly", "--task", task]);
    assert_eq!((told.code, told.stdout.as_str()), (Some(0), "machine\ncode\n8\n"), "{told}");
    let list = world.json(&["run", "list"]);
    let run = list["runs"][0]["run_id"].as_str().unwrap();
    let runner = world.json(&["runner", "get", "small"]);
    let got = world.ok(&["run", "get", run]);
    let has = |name: &str, value: &str| got.lines().any(|line| line.starts_with(name) && line.ends_with(value));
    assert!(has("Agent", "nightly") && has("Runner", runner["uid"].as_str().unwrap()), "{got}");

    // What is taken away is gone for the next.
    world.ok(&["agent", "update", "nightly", "--remove-secret", "TOKEN", "--remove-runner"]);
    let told = world.oz(&["run", "--agent", "nightly", "--task", "cat order; echo ${TOKEN-none}"]);
    assert_eq!((told.code, told.stdout.as_str()), (Some(0), "code\nnone\n"), "{told}");
    let told = world.oz(&["agent", "update", "nightly", "--remove-secret", "TOKEN"]);
    assert!(told.code == Some(2) && told.stderr.contains("the agent does not have TOKEN"), "{told}");
    world.ok(&["agent", "delete", "nightly", "--force"]);
    world.ok(&["runner", "delete", "small", "--force"]);
    for flag in [["--agent", "nightly"], ["--runner", "small"]] {
        let told = world.oz(&["run", flag[0], flag[1], "--task", "true"]);
        assert!(
            told.code == Some(1) && told.stderr.contains(&format!("there is no {} {}", &flag[0][2..], flag[1])),
            "{told}"
        );
    }
    assert_eq!(world.json(&["run", "list"])["runs"].as_array().unwrap().len(), 2);
    world.nothing_left();
}
