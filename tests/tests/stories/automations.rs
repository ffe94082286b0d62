//! Automations: what the outside starts, from the command that makes one to the run that a webhook started.

use std::process::Command;

use serde_json::Value;

use crate::world::{Told, World};

/// The call that `oz automation create` printed, in a shell.
fn call(example: &str) -> Value {
    let output = Command::new("sh").args(["-euc", example]).output().expect("a shell");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    serde_json::from_str(&told).unwrap_or_else(|err| {
        panic!("{err}: {told}\n{}\n{example}", String::from_utf8_lossy(&output.stderr));
    })
}

fn runs(world: &World) -> usize {
    world.json(&["run", "list"])["runs"].as_array().expect("runs").len()
}

#[test]
fn a_signed_webhook_starts_a_run_once_and_nothing_else_does() {
    let world = World::new();
    let _up = world.up(&[]);
    world.ok(&["environment", "create", "--name", "web", "--var", "COLOUR=blue"]);
    let task = ["--task", "echo deployed in $COLOUR", "--env", "web", "--timeout", "5m"];
    let told = world.oz(&[&["automation", "create", "--name", "deploy"], &task[..]].concat());
    assert_eq!(told.code, Some(0), "{told}");
    let secret = line(&told, "Secret");
    assert!(secret.starts_with("whsec_") && told.stderr.contains("not shown again"), "{told}");
    let example = &told.stdout[told.stdout.find("body=").expect("an example")..];

    let first = example.replace("$(openssl rand -hex 12)", "msg_1");
    let answer = call(&first);
    let run = answer["run_id"].as_str().unwrap_or_else(|| panic!("{answer}"));
    assert_eq!((world.end(run)["state"].as_str(), &answer["duplicate"]), (Some("SUCCEEDED"), &Value::Bool(false)));
    assert!(world.ok(&["run", "logs", run]).contains("deployed in blue"));
    assert_eq!(world.json(&["run", "list", "--name", "deploy"])["runs"][0]["run_id"], run);

    // The same delivery again is the same run.
    let replayed = call(&first);
    assert_eq!(replayed["delivery_id"], answer["delivery_id"]);
    assert_eq!((&replayed["run_id"], &replayed["duplicate"]), (&answer["run_id"], &Value::Bool(true)));

    // Not signed, nothing happens, and the paused one is not there.
    let unsigned = call(&example.replace("v1,$signature", "v1,AAAA"));
    assert_eq!(unsigned["error"], "unverified", "{unsigned}");
    world.ok(&["automation", "update", "deploy", "--pause"]);
    let paused = call(example);
    assert_eq!(paused["error"], "not_found", "{paused}");
    assert_eq!(runs(&world), 1);

    world.ok(&["automation", "update", "deploy", "--resume"]);
    let rotated = line(&world.oz(&["automation", "rotate-secret", "deploy"]), "Secret");
    assert_ne!(rotated, secret);
    for secret in [&secret, &rotated] {
        let answer = call(&example.replace(line(&told, "Secret").as_str(), secret));
        assert_eq!(answer["duplicate"], false, "{answer}");
    }
    assert_eq!(runs(&world), 3);

    // Told once, and kept nowhere.
    for args in [&["automation", "list"][..], &["automation", "get", "deploy"]] {
        let words = world.ok(&[&["--output-format", "json"], args].concat());
        assert!(!words.contains("whsec_"), "{words}");
        assert!(!world.ok(args).contains("whsec_"));
    }
    world.ok(&["automation", "delete", "deploy", "--force"]);
    assert_eq!(call(example)["error"], "not_found");
    assert_eq!(world.json(&["automation", "list"])["automations"].as_array().map(Vec::len), Some(0));
    world.nothing_left();
}

#[test]
fn an_automation_without_a_control_plane_that_stays_says_so() {
    let world = World::new();
    let told = world.oz(&["automation", "create", "--name", "nightly", "--task", "true", "--paused"]);
    assert!(told.code == Some(0) && told.stderr.contains("`oz up` takes webhooks"), "{told}");
    assert_eq!(world.json(&["automation", "get", "nightly"])["paused"], true);
    let told = world.oz(&["automation", "create", "--name", "nightly", "--task", "true"]);
    assert!(told.code == Some(1) && told.stderr.contains("there is an automation named \"nightly\" already"), "{told}");
    let told = world.oz(&["automation", "get", "nobody"]);
    assert!(told.code == Some(1) && told.stderr.contains("there is no automation nobody"), "{told}");
}

/// The value of a line of an answer for people.
#[track_caller]
fn line(told: &Told, name: &str) -> String {
    let value = told.stdout.lines().find_map(|line| line.strip_prefix(name));
    value.unwrap_or_else(|| panic!("no {name}: {told}")).trim().to_owned()
}

#[test]
fn what_a_service_tells_starts_what_listens_and_the_log_has_it() {
    let world = World::new();
    let _up = world.up(&[]);
    let told = world.oz(&["webhook", "create", "--name", "deploys", "--token"]);
    assert_eq!(told.code, Some(0), "{told}");
    let example = told.stdout[told.stdout.find("curl").expect("an example")..].replace("hello", "version");
    let script = "grep -o world \"$OZ_EVENT_PAYLOAD\" && pwd && ls";
    let filter = r#"{"version": {"prefix": "wor"}}"#;
    let on = ["--on", "deploys", "--filter", filter, "--task", script];
    world.ok(&[&["automation", "create", "--name", "takes"], &on[..]].concat());
    world.ok(&[
        "automation",
        "create",
        "--name",
        "skips",
        "--on",
        "deploys",
        "--filter",
        r#"{"x": 1}"#,
        "--task",
        "true",
    ]);
    let answer = call(&example);
    let run = answer["run_id"].as_str().unwrap_or_else(|| panic!("{answer}"));
    assert_eq!((world.end(run)["state"].as_str(), runs(&world)), (Some("SUCCEEDED"), 1));
    assert!(world.ok(&["run", "logs", run]).contains("world"));

    let delivery = answer["delivery_id"].as_str().unwrap();
    let shown = world.ok(&["delivery", "get", delivery]);
    for part in ["takes started", "skips: its filter does not match", "\"version\": \"world\""] {
        assert!(shown.contains(part), "{shown}");
    }
    assert!(world.ok(&["automation", "test", "skips", "--delivery", delivery]).contains("found absent"));
    world.ok(&["delivery", "replay", delivery]);
    assert_eq!(runs(&world), 2);
    let unsigned = call(&example.replace("Bearer ozw_", "Bearer ozw_x"));
    assert_eq!(unsigned["error"], "unverified", "{unsigned}");
    assert!(world.ok(&["delivery", "list", "--webhook", "deploys"]).contains("rejected (401)"));
}
