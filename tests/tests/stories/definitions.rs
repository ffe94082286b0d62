//! Definitions in files: exported, applied, and refused by the place at which they are wrong.

use std::fs;

use serde_json::Value;

use crate::world::World;

const WEB: &str = "\
kind: environment
name: web
setup_commands: [npm ci]
secrets: [NPM_TOKEN]
---
kind: schedule
name: nightly
cron_schedule: 0 3 * * MON-FRI
timezone: Europe/Berlin
prompt: |
  make report
  make send
agent_config: {environment_id: web, harness: {type: shell}}
";

const FIX: &str = "\
kind: automation
name: fix
on: {webhook: acme, events: [issue.labeled], filter: {label: {name: agent}}}
run:
  prompt: make fix
  config: {environment_id: web, harness: {type: shell}}
---
kind: webhook
name: acme
auth: {mode: signature, scheme: github}
---
kind: subscription
name: deploys
url: https://example.com/hooks
";

#[test]
fn files_are_applied_exported_and_pruned() {
    let world = World::new();
    let _up = world.up(&[]);
    let folder = world.folder("deploy");
    fs::create_dir(folder.join("triggers")).unwrap();
    fs::write(folder.join("web.yaml"), WEB).unwrap();
    fs::write(folder.join("triggers/fix.yml"), FIX).unwrap();
    let path = folder.to_str().unwrap();

    let plan = world.ok(&["apply", "-f", path, "--plan"]);
    assert!(plan.contains("+ automation fix\n") && plan.contains("Plan: 5 to create, 0 to change"), "{plan}");
    assert_eq!(world.ok(&["export"]), "");
    let applied = world.ok(&["apply", "-f", path]);
    assert!(applied.contains("Applied: 5 created") && applied.contains("Secret: whsec_"), "{applied}");
    assert!(applied.contains("URL: http://127.0.0.1:"), "{applied}");
    let again = world.ok(&["apply", "-f", path]);
    assert_eq!(again, "Nothing to do: 5 unchanged.\n");

    // What is exported is what was written, and changes nothing.
    let exported = world.ok(&["export"]);
    let file = folder.join("../all.yaml");
    fs::write(&file, &exported).unwrap();
    let plan = world.json(&["apply", "-f", file.to_str().unwrap(), "--plan", "--prune"]);
    let changes = plan["changes"].as_array().unwrap();
    assert!(changes.len() == 5 && changes.iter().all(|change| change["action"] == "unchanged"), "{plan}");
    assert!(exported.contains("prompt: |\n  make report\n  make send\n"), "{exported}");
    let one = world.ok(&["export", "schedule", "nightly"]);
    assert!(one.starts_with("kind: schedule\nname: nightly\n") && !one.contains("---"), "{one}");
    assert_eq!(world.oz(&["export", "schedule", "weekly"]).code, Some(1));

    // What is made by hand stays.
    world.ok(&["environment", "create", "--name", "mine"]);
    fs::write(folder.join("web.yaml"), WEB.replace("npm ci", "npm install").split("---").next().unwrap()).unwrap();
    let pruned = world.json(&["apply", "-f", path, "--prune"]);
    let told: Vec<String> = pruned["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| format!("{} {}", change["action"].as_str().unwrap(), change["name"].as_str().unwrap()))
        .collect();
    assert_eq!(told, ["unchanged fix", "unchanged acme", "unchanged deploys", "update web", "delete nightly"]);
    let left = world.json(&["export"]);
    let names: Vec<&str> =
        left["definitions"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["mine", "web", "acme", "fix", "deploys"]);
}

#[test]
fn a_file_that_is_wrong_is_refused_by_its_place_and_nothing_is_applied() {
    let world = World::new();
    let _up = world.up(&[]);
    let folder = world.folder("deploy");
    let fine = folder.join("a.yaml");
    fs::write(&fine, "kind: environment\nname: fine\n").unwrap();
    let wrong = folder.join("b.yaml");
    let check = |text: &str, expected: &str| {
        fs::write(&wrong, text).unwrap();
        let told = world.oz(&["apply", "-f", folder.to_str().unwrap(), "--yes"]);
        assert!(told.code == Some(1) && told.stderr.contains(expected), "{told}");
    };
    check(
        "kind: team\nname: x\n",
        "b.yaml: kind: \"team\" is not a kind that can be defined; there are runner, environment",
    );
    check(
        "kind: webhook\nname: x\n---\nkind: webhook\nname: y\nauht: 1\n",
        "b.yaml, document 2: auht: there is no such field",
    );
    check("kind: webhook\nname: y\nauht: {mode: token}\n", "b.yaml: auht: there is no such field; did you mean auth?");
    check("kind: environment\nname: fine\n", "b.yaml: name: the same environment is at");
    check(
        "kind: webhook\nname: x\nauth: {mode: token}\nsecret: hush-hush\n",
        "b.yaml: secret: definitions hold no secrets",
    );
    check("kind: webhook\nname: x\nname: y\n", "b.yaml: ");
    check(
        "kind: schedule\nname: x\ncron_schedule: '@daily'\nprompt: x\nagent_config: {environment_id: nowhere, harness: {type: shell}}\n",
        "b.yaml: agent_config.environment_id: there is no environment \"nowhere\"",
    );
    check(&"x".repeat(10 * 1024 * 1024), "more than 2 MiB");
    let mut bomb = "a0: &a0 [x, x]\n".to_owned();
    for level in 1..40 {
        bomb += &format!("a{level}: &a{level} [*a{}, *a{}]\n", level - 1, level - 1);
    }
    check(&bomb, "b.yaml: ");
    assert_eq!(world.ok(&["export"]), "");
    let schema: Value = serde_json::from_str(&world.ok(&["apply", "--schema"])).unwrap();
    assert_eq!(schema["properties"]["kind"]["enum"].as_array().unwrap().len(), 7);
}
