//! The trail of a run: proven with and without a control plane, and found out when it was touched.

use std::fs;
use std::path::PathBuf;

use crate::world::World;

#[test]
fn a_run_in_a_repository_leaves_a_trail_that_can_be_proven() {
    let world = World::new();
    let repository = world.repository("greeter");
    let repo = repository.to_str().unwrap();
    // The first command of the README, in small.
    let told = world.oz(&[
        "run",
        "--repo",
        repo,
        "--task",
        "cat greeting.txt && git log -1 --format=%s",
        "--harness",
        "shell",
    ]);
    assert_eq!((told.code, told.stdout.as_str()), (Some(0), "hello from the repository\nFirst words\n"), "{told}");
    let run = told.stderr.lines().find_map(|line| line.strip_prefix("Run ID: ")).expect("an id").to_owned();
    for step in ["preparing", "running", "succeeded in", "isolated", "cost $0.00", &format!("oz audit show {run}")] {
        assert!(told.stderr.contains(step), "{step}: {told}");
    }

    let shown = world.ok(&["audit", "show", &run]);
    for event in ["state     CLAIMED", "git clone", "hello from the repository", "ended     Succeeded"] {
        assert!(shown.contains(event), "{event}: {shown}");
    }
    let proof = world.json(&["audit", "verify", &run]);
    assert_eq!((&proof["verified"], &proof["complete"]), (&true.into(), &true.into()), "{proof}");

    // From a copy, without any control plane.
    let archive = world.data().join("archive");
    let key = world.data().join("audit.pub");
    let offline = |run: &str| {
        let mut command = world.command(["audit", "verify", run, "--dir"]);
        command.arg(&archive).arg("--public-key").arg(&key).env("OZ_DATA_DIR", "/nowhere");
        crate::world::Live::begin(command).ended()
    };
    let told = offline(&run);
    assert_eq!(told.code, Some(0), "{told}");

    // One byte of the object that tells it all.
    let segment = segment_of(&world, &run);
    let object = fs::read(&segment).unwrap();
    let mut touched = object.clone();
    touched[object.len() / 2] ^= 1;
    fs::write(&segment, touched).unwrap();
    let name = segment.file_name().unwrap().to_str().unwrap();
    for told in [offline(&run), world.oz(&["audit", "verify", &run])] {
        assert_eq!(told.code, Some(1), "{told}");
        assert!(told.stderr.contains("does not hold") && told.stderr.contains(name), "{told}");
    }
    fs::remove_file(&segment).unwrap();
    for told in [offline(&run), world.oz(&["audit", "verify", &run])] {
        assert_eq!(told.code, Some(1), "{told}");
        assert!(told.stderr.contains("does not hold") && told.stderr.contains(name), "{told}");
    }
    let told = world.oz(&["audit", "show", &run]);
    assert!(told.code == Some(1) && told.stderr.contains("does not hold"), "{told}");
    fs::write(&segment, object).unwrap();
    assert_eq!(offline(&run).code, Some(0));

    // The seal itself.
    let is_seal = |path: &PathBuf| path.to_string_lossy().contains(&run) && path.extension() == Some("json".as_ref());
    let seal = crate::world::files(&archive).into_iter().find(is_seal).expect("a manifest");
    let sealed = fs::read(&seal).unwrap();
    fs::remove_file(&seal).unwrap();
    for words in ["verify", "show"] {
        let told = world.oz(&["audit", words, &run]);
        assert!(told.code == Some(1) && told.stderr.contains("manifest is not in the archive any more"), "{told}");
    }
    fs::write(&seal, sealed).unwrap();

    // Somebody else's key did not sign this.
    let other = World::new();
    other.ok(&["whoami"]);
    fs::copy(other.data().join("audit.pub"), &key).unwrap();
    let told = offline(&run);
    assert!(told.code == Some(1) && told.stderr.contains("does not hold"), "{told}");
}

#[test]
fn a_trail_that_is_not_there_is_said_so() {
    let world = World::new();
    let up = world.up(&[]);
    let run = world.detach(&["--task", "until [ -e go ]; do sleep 0.1; done"]);
    world.until_state(&run, &["INPROGRESS"]);
    let told = world.oz(&["audit", "verify", &run]);
    assert!(told.code == Some(1) && told.stderr.contains("not sealed yet"), "{told}");
    let told = world.oz(&["audit", "verify", "019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10"]);
    assert_eq!(told.code, Some(1), "{told}");
    fs::write(world.work(&run, 1).join("go"), "").unwrap();
    world.end(&run);
    drop(up);
}

fn segment_of(world: &World, run: &str) -> PathBuf {
    let objects = crate::world::files(&world.data().join("archive"));
    let folder = format!("/run={run}/");
    let is_segment =
        |path: &&PathBuf| path.to_string_lossy().contains(&folder) && path.to_string_lossy().ends_with(".jsonl.gz");
    objects.iter().find(is_segment).expect("a segment").clone()
}
