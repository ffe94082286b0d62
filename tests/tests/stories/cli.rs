//! Exit codes, formats, and the life of a run that nobody watches.

use rustix::process::Signal;
use serde_json::Value;

use crate::world::{Live, World, until};

#[test]
fn the_exit_code_tells_how_it_went() {
    let world = World::new();
    let _up = world.up(&[]);
    let check = |args: &[&str], code: i32, words: &str| {
        let told = world.oz(args);
        assert_eq!(told.code, Some(code), "oz {args:?}: {told}");
        assert!(told.stderr.contains(words), "oz {args:?}: {told}");
    };
    check(&["run", "--task", "true"], 0, "succeeded in");
    check(&["run", "--task", "echo it is broken >&2; exit 7"], 3, "exit code 7: it is broken");
    check(&["run", "--task", "kill -9 $$"], 3, "SIGKILL");
    check(&["run", "--task", "true", "--timeout", "soon"], 2, "soon");
    check(&["run"], 2, "--task");
    check(&["run", "--task", " "], 2, "the task is empty");
    check(&["fly"], 2, "fly");
    check(&["run", "get", "17"], 2, "17");
    check(&["run", "get", "019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10"], 1, "error: ");
    check(&["run", "--task", "true", "--env", "nowhere"], 1, "nowhere");
    check(&["run", "cancel", "019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10"], 1, "error: ");

    let watched = world.begin(&["run", "--name", "watched", "--task", "sleep 600"]);
    let run = until("it is listed", || {
        let list = world.json(&["run", "list", "--name", "watched", "--state", "in-progress"]);
        Some(list["runs"][0]["run_id"].as_str()?.to_owned())
    });
    world.ok(&["run", "cancel", &run]);
    let told = watched.ended();
    assert_eq!(told.code, Some(5), "{told}");
    assert!(told.stderr.contains("cancelled"), "{told}");
}

#[test]
fn without_a_sandbox_a_run_says_so_and_nothing_is_promised_that_is_not_kept() {
    // Without bubblewrap, nothing keeps a task from the network.
    let world = World::with_programs(&["bash", "sh", "env", "git", "setsid", "cat", "sleep"]);
    world.ok(&["environment", "create", "--name", "closed", "--network", "none"]);
    let told = world.oz(&["run", "--env", "closed", "--task", "true"]);
    assert_eq!(told.code, Some(3), "{told}");
    assert!(told.stderr.contains("bubblewrap is not installed (apt install bubblewrap)"), "{told}");
    // Anything else works as a plain process, and says that it is one.
    let told = world.oz(&["run", "--task", "echo $OZ_ATTEMPT"]);
    assert_eq!((told.code, told.stdout.as_str()), (Some(0), "1\n"), "{told}");
    assert!(told.stderr.contains("not isolated: bubblewrap is missing"), "{told}");
    world.nothing_left();
}

#[test]
fn programs_can_read_every_format() {
    let world = World::new();
    let _up = world.up(&[]);
    let run = world.detach(&["--task", "echo one; echo two >&2", "--name", "formats"]);
    world.end(&run);
    let lists: [&[&str]; 4] = [&["run", "list"], &["agents", "list"], &["environment", "list"], &["secret", "list"]];
    let items: [&[&str]; 4] =
        [&["run", "get", &run], &["whoami"], &["audit", "show", &run], &["audit", "verify", &run]];
    for args in lists.iter().chain(&items) {
        world.json(args);
        let lines = world.ok(&[&["--output-format", "ndjson"], *args].concat());
        lines.lines().for_each(|line| drop(serde_json::from_str::<Value>(line).expect("a document")));
        for format in ["text", "pretty"] {
            let words = world.ok(&[&["--output-format", format], *args].concat());
            assert!(!words.contains('\u{1b}'), "no colours in a pipe: {words}");
        }
    }
    let told = world.oz(&["--output-format", "json", "run", "--task", "echo one"]);
    let run: Value = serde_json::from_str(&told.stdout).expect("a document");
    assert_eq!((told.code, &run["state"]), (Some(0), &"SUCCEEDED".into()), "{told}");
    let told = world.oz(&["--output-format", "ndjson", "run", "--task", "echo one; exit 3"]);
    assert_eq!(told.code, Some(3), "{told}");
    let said = told.stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect("a document"));
    assert!(said.into_iter().any(|event| event["text"] == "one\n"), "{told}");
}

#[test]
fn a_run_left_to_itself_is_come_back_to() {
    let world = World::new();
    // No control plane runs yet: one is started in the background, for as long as there is work.
    let run = world.detach(&["--task", "echo first; until [ -e go ]; do sleep 0.1; done; echo last"]);
    world.until_state(&run, &["INPROGRESS"]);
    until("the first words are there", || world.ok(&["run", "logs", &run]).contains("first\n").then_some(()));
    let agents = world.json(&["agents", "list"]);
    assert!(agents.to_string().contains(&run), "{agents}");
    let logs = world.begin(&["run", "logs", &run, "--follow"]);
    let waiting = world.begin(&["run", "wait", &run]);
    std::fs::write(world.work(&run, 1).join("go"), "").unwrap();
    let (logs, waiting) = (logs.ended(), waiting.ended());
    assert_eq!((logs.code, logs.stdout.as_str()), (Some(0), "first\nlast\n"), "{logs}");
    assert_eq!(waiting.code, Some(0), "{waiting}");
    let failed = world.detach(&["--task", "exit 9"]);
    assert_eq!(world.oz(&["run", "wait", &run, &failed]).code, Some(3));
    world.nothing_left();
}

#[test]
fn lists_are_filtered() {
    let world = World::new();
    let _up = world.up(&[]);
    // One after the other: lists are in the order of the last change.
    let [good, bad, other] = [
        &["--task", "echo fine", "--name", "nightly", "--title", "The nightly build"][..],
        &["--task", "exit 1", "--name", "nightly"],
        &["--task", "true"],
    ]
    .map(|args| {
        let run = world.detach(args);
        world.end(&run);
        run
    });
    let check = |filters: &[&str], expected: &[&String]| {
        let list = world.json(&[&["run", "list"], filters].concat());
        let found: Vec<&str> =
            list["runs"].as_array().unwrap().iter().map(|run| run["run_id"].as_str().unwrap()).collect();
        assert_eq!(found, expected, "{filters:?}");
    };
    check(&[], &[&other, &bad, &good]);
    check(&["--sort-order", "asc", "--sort-by", "created-at"], &[&good, &bad, &other]);
    check(&["--state", "failed"], &[&bad]);
    check(&["--state", "failed", "--state", "succeeded", "--name", "nightly"], &[&bad, &good]);
    check(&["--state", "queued"], &[]);
    check(&["-L", "1"], &[&other]);
    check(&["--query", "nightly build"], &[&good]);
    check(&["--created-after", "2100-01-01T00:00:00Z"], &[]);
}

#[test]
fn a_key_makes_one_run_of_two_requests() {
    let world = World::new();
    let _up = world.up(&[]);
    let start = |task: &str| world.oz(&["run", "--detach", "--idempotency-key", "release-7", "--task", task]);
    let (first, second) = (start("echo once"), start("echo once"));
    assert_eq!((first.code, &first.stdout), (Some(0), &second.stdout), "{first} {second}");
    let told = start("echo something else");
    assert!(told.code == Some(1) && told.stderr.to_lowercase().contains("idempotency"), "{told}");
    assert_eq!(world.json(&["run", "list"])["runs"].as_array().unwrap().len(), 1);
}

#[test]
fn an_interrupt_in_a_pipe_cancels_the_run() {
    for (with_up, interrupt) in [(true, Signal::INT), (false, Signal::INT), (false, Signal::TERM)] {
        let world = World::new();
        let _up = with_up.then(|| world.up(&[]));
        let word = crate::world::marker();
        let run = world.begin(&["run", "--task", &format!("sleep {word}")]);
        until("the task runs", || (crate::world::processes_with(&word) > 0).then_some(()));
        run.signal(interrupt);
        let told = run.ended();
        assert_eq!(told.code, Some(130), "{told}");
        assert!(told.stderr.contains("cancelled"), "{told}");
        let list = world.json(&["run", "list"]);
        assert_eq!(list["runs"][0]["state"], "CANCELLED", "{list}");
        assert_eq!(crate::world::processes_with(&word), 0);
        world.nothing_left();
    }
}

#[test]
fn a_reader_that_goes_away_ends_the_run() {
    let world = World::new();
    let mut command = world.command(["run", "--task", "while true; do echo words words words; sleep 0.01; done"]);
    let mut child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    until("the command ends", || child.try_wait().unwrap());
    let list = world.json(&["run", "list"]);
    assert_eq!(list["runs"][0]["state"], "CANCELLED", "{list}");
    world.nothing_left();
}

#[test]
fn a_key_from_elsewhere_is_not_taken() {
    let world = World::new();
    let _up = world.up(&[]);
    let server: Value = serde_json::from_slice(&std::fs::read(world.data().join("server.json")).unwrap()).unwrap();
    let api = format!("{}/api/v1", server["url"].as_str().unwrap());
    let ask = |key: &str| {
        let mut command = world.command(["whoami"]);
        command.env("OZ_API_BASE_URL", &api).env("OZ_API_KEY", key);
        Live::begin(command).ended()
    };
    let own = std::fs::read_to_string(world.data().join("admin.key")).unwrap();
    assert_eq!(ask(own.trim()).code, Some(0));
    let told = ask("ozk_0000000000000000000000000000000000000000000");
    assert!(told.code == Some(1) && told.stderr.contains("hint: give a valid API key"), "{told}");
}
