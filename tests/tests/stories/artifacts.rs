//! What a run leaves in its workspace, brought home.

use std::fs;

use rustix::process::Signal;

use crate::world::{World, git, marker, processes_with, signal, until};

#[test]
fn what_a_run_changed_is_downloaded_and_applies() {
    let world = World::new();
    let _up = world.up(&[]);
    let repository = world.repository("web");
    let task =
        "echo changed >> greeting.txt; git -c user.name=t -c user.email=t@example.com commit -qam mine; echo new > new";
    let item = world.json(&["run", "--repo", repository.to_str().unwrap(), "--task", task]);
    let run = item["run_id"].as_str().unwrap();
    let item = world.get(run);
    assert_eq!(item["artifacts"][0]["data"]["filepath"], "web.patch", "{item}");
    let listed = world.ok(&["run", "artifacts", run]);
    assert!(listed.contains("web.patch") && listed.contains("web/new"), "{listed}");

    let left = world.folder("left");
    let download = ["run", "artifacts", run, "--download", left.to_str().unwrap()];
    world.ok(&download);
    assert_eq!(fs::read_to_string(left.join("web/new")).unwrap(), "new\n");
    git(&repository, &["apply", "--binary", left.join("web.patch").to_str().unwrap()]);
    assert_eq!(fs::read_to_string(repository.join("greeting.txt")).unwrap(), "hello from the repository\nchanged\n");

    fs::write(left.join("web/new"), "mine\n").unwrap();
    let told = world.oz(&download);
    assert!(told.code == Some(1) && told.stderr.contains("web.patch is there already"), "{told}");
    assert_eq!(fs::read_to_string(left.join("web/new")).unwrap(), "mine\n");
    world.ok(&[&download[..], &["--force"]].concat());
    assert_eq!(fs::read_to_string(left.join("web/new")).unwrap(), "new\n");

    let nothing = world.json(&["run", "--task", "true"]);
    let told = world.oz(&["run", "artifacts", nothing["run_id"].as_str().unwrap()]);
    assert!(told.code == Some(0) && told.stderr.contains("left nothing"), "{told}");
}

#[test]
fn a_run_that_was_interrupted_goes_on_with_what_it_had() {
    let world = World::new();
    let _up = world.up(&[]);
    let word = marker();
    let task = format!("if [ $OZ_ATTEMPT = 2 ]; then cat half; else echo done before > half; sleep {word}; fi");
    let run = world.detach(&["--task", &task]);
    until("the task sleeps", || (processes_with(&word) > 0).then_some(()));
    signal(world.agent(&run, 1).expect("an agent").into(), Signal::TERM);
    let item = world.end(&run);
    assert_eq!((&item["state"], &item["attempt"]), (&"SUCCEEDED".into(), &2.into()), "{item}");
    let told = world.oz(&["run", "logs", &run]);
    assert!(told.stdout.ends_with("done before\n"), "{told}");
    assert!(told.stderr.contains("begins with what execution 1 saved: 1 file"), "{told}");
}

#[test]
fn a_pull_request_that_the_task_reports_is_an_artifact_of_its_run() {
    let world = World::new();
    let _up = world.up(&[]);
    let url = "https://github.com/acme/web/pull/12";
    let task = format!(
        r#"
        made() {{ "$OZ_AGENT" report-artifact pull-request --url "$1" --branch "$2"; echo "exit code $?"; }}
        made {url} fix-login
        made {url} fix-login
        made ftp://github.com/acme fix-login
        made {url} ""
        "#
    );
    let told = world.oz(&["run", "--task", &task]);
    assert_eq!(told.stdout, "exit code 0\nexit code 0\nexit code 1\nexit code 1\n", "{told}");
    assert!(told.stderr.contains("oz-agent: the URL is not one such as https://"), "{told}");
    assert!(told.stderr.contains("oz-agent: the branch is empty"), "{told}");
    let made = format!("the task made the pull request {url} (branch fix-login)");
    assert_eq!(told.stderr.matches(&made).count(), 1, "{told}");

    let listed = world.json(&["run", "list", "--artifact-type", "pull-request"]);
    let run = listed["runs"][0]["run_id"].as_str().unwrap_or_else(|| panic!("{listed}"));
    let artifacts = &world.get(run)["artifacts"];
    assert_eq!(artifacts.as_array().map(Vec::len), Some(1), "{artifacts}");
    assert_eq!(artifacts[0]["artifact_type"], "PULL_REQUEST");
    assert_eq!(artifacts[0]["data"], serde_json::json!({"url": url, "branch": "fix-login"}));
    assert!(artifacts[0]["created_at"].is_string(), "{artifacts}");
    let shown = world.ok(&["run", "get", run]);
    assert!(shown.lines().any(|line| line.starts_with("Pull request") && line.ends_with(url)), "{shown}");
}
