//! What a task works in: set-up commands, variables, and an environment that is not there.

use crate::world::World;

#[test]
fn an_environment_is_set_up_before_the_task() {
    let world = World::new();
    let _up = world.up(&[]);
    let repository = world.repository("app");
    let create = [
        "environment",
        "create",
        "--name",
        "web",
        "--repo",
        repository.to_str().unwrap(),
        "--setup-command",
        "echo CI=$CI COLOUR=$COLOUR > setup.txt",
        "--setup-command",
        "echo second >> setup.txt",
        "--var",
        "COLOUR=blue green",
    ];
    world.ok(&create);
    let told =
        world.oz(&["run", "--env", "web", "--task", "cat setup.txt greeting.txt; echo \"CI=$CI COLOUR=$COLOUR\""]);
    let expected = "CI=true COLOUR=blue green\nsecond\nhello from the repository\nCI= COLOUR=blue green\n";
    assert_eq!((told.code, told.stdout.as_str()), (Some(0), expected), "{told}");

    world.ok(&[
        "environment",
        "update",
        "web",
        "--setup-command",
        "echo why >&2; exit 4",
        "--setup-command",
        "touch third",
    ]);
    let told = world.oz(&["run", "--env", "web", "--task", "echo the task ran"]);
    assert_eq!((told.code, told.stdout.as_str()), (Some(3), ""), "{told}");
    assert!(told.stderr.contains("set-up command 3 of 4 failed with exit code 4: echo why >&2; exit 4"), "{told}");
    assert!(told.stderr.contains("why\n") && !told.stderr.contains("touch third"), "{told}");
    let list = world.json(&["run", "list", "--state", "failed"]);
    assert_eq!(list["runs"][0]["status_message"]["error_code"], "environment_setup_failed", "{list}");
    world.nothing_left();
}

#[test]
fn an_environment_that_is_not_there_is_named() {
    let world = World::new();
    let _up = world.up(&[]);
    for environment in ["nowhere", "019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10"] {
        let told = world.oz(&["run", "--env", environment, "--task", "true"]);
        assert!(told.code == Some(1) && told.stderr.contains(environment), "{told}");
    }
    assert_eq!(world.json(&["run", "list"])["runs"].as_array().unwrap().len(), 0);
}
