//! Secrets: known to the task by name, and to nobody else.

use crate::world::{Told, World, files};

const VALUE: &str = "hunter2-correct-horse-battery";

#[test]
fn a_secret_is_the_tasks_alone() {
    let world = World::new();
    let up = world.up(&[]);
    assert_eq!(store(&world, "DEPLOY_KEY").code, Some(0));
    world.ok(&[
        "environment",
        "create",
        "--name",
        "release",
        "--secret",
        "DEPLOY_KEY",
        "-c",
        "echo set-up $DEPLOY_KEY",
    ]);
    let task = "test ${#DEPLOY_KEY} = 29 && echo known $DEPLOY_KEY; echo -n hunter2-correct; sleep 0.2; \
                echo -horse-battery; echo $DEPLOY_KEY >&2; echo $DEPLOY_KEY > left-behind; echo end $DEPLOY_KEY";
    let told = world.oz(&["run", "--env", "release", "--title", "a release", "--task", task]);
    assert_eq!(told.code, Some(0), "{told}");
    assert!(told.stdout.starts_with("known ") && !told.to_string().contains(VALUE), "{told}");
    let failed = world.oz(&["run", "--env", "release", "--task", "echo no $DEPLOY_KEY >&2; exit 1"]);
    assert!(failed.code == Some(3) && !failed.to_string().contains(VALUE), "{failed}");

    let run = told.stderr.lines().find_map(|line| line.strip_prefix("Run ID: ")).expect("an id");
    let reads: [&[&str]; 7] = [
        &["run", "list"],
        &["run", "get", run],
        &["run", "logs", run],
        &["audit", "show", run],
        &["secret", "list"],
        &["environment", "get", "release"],
        &["agents", "list"],
    ];
    for args in reads {
        assert!(!world.ok(&[&["--output-format", "ndjson"], args].concat()).contains(VALUE), "{args:?}");
        assert!(!world.ok(args).contains(VALUE), "{args:?}");
    }
    let listed = world.ok(&["secret", "list"]);
    assert!(listed.contains("DEPLOY_KEY"), "{listed}");

    // Not in a file either, idle or stopped: the vault is encrypted.
    world.nothing_left();
    nowhere_in_the_data_folder(&world);
    drop(up);
    nowhere_in_the_data_folder(&world);
}

#[test]
fn a_secret_that_is_missing_fails_the_run_before_it_starts() {
    let world = World::new();
    let _up = world.up(&[]);
    world.ok(&["environment", "create", "--name", "release", "--secret", "DEPLOY_KEY"]);
    let told = world.oz(&["run", "--env", "release", "--task", "echo the task ran"]);
    assert_eq!((told.code, told.stdout.as_str()), (Some(3), ""), "{told}");
    assert!(told.stderr.contains("DEPLOY_KEY") && told.stderr.contains("oz secret create DEPLOY_KEY"), "{told}");
    let run = &world.json(&["run", "list"])["runs"][0];
    assert_eq!(run["started_at"], serde_json::Value::Null, "{run}");
    // With it, all is well; and without it again.
    assert_eq!(store(&world, "DEPLOY_KEY").code, Some(0));
    world.ok(&["run", "--env", "release", "--task", "test -n \"$DEPLOY_KEY\""]);
    world.ok(&["secret", "delete", "DEPLOY_KEY", "--force"]);
    assert_eq!(world.oz(&["run", "--env", "release", "--task", "true"]).code, Some(3));
}

fn store(world: &World, name: &str) -> Told {
    world.oz_given(&["secret", "create", name], &format!("{VALUE}\n"))
}

#[track_caller]
fn nowhere_in_the_data_folder(world: &World) {
    let contains = |bytes: &[u8]| bytes.windows(VALUE.len()).any(|part| part == VALUE.as_bytes());
    let plain = files(&world.data()).into_iter().filter_map(|path| Some((path.clone(), std::fs::read(path).ok()?)));
    for (path, bytes) in plain.chain(world.archive()) {
        assert!(!contains(&bytes), "{} holds the secret", path.display());
    }
}
