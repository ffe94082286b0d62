//! A data folder that cannot be used: a clear message, and nothing is changed.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::world::{World, files};

/// Every file with its content.
fn snapshot(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    files(folder).into_iter().map(|path| (path.clone(), fs::read(path).unwrap_or_default())).collect()
}

/// `oz up`, `oz run` and a read all refuse with `words`, and leave the folder alone.
#[track_caller]
fn refused(world: &World, words: &str) {
    let before = snapshot(&world.data());
    for args in [&["up", "--port", "0"][..], &["run", "--task", "true"], &["run", "list"]] {
        let told = world.oz(args);
        assert_eq!((told.code, told.stdout.as_str()), (Some(1), ""), "oz {args:?}: {told}");
        assert!(told.stderr.contains(words) && told.stderr.contains("--data-dir"), "oz {args:?}: {told}");
        assert_eq!(told.stderr.lines().count(), 1, "oz {args:?}: {told}");
    }
    assert_eq!(snapshot(&world.data()), before);
}

#[test]
fn a_folder_of_a_newer_version_is_left_alone() {
    let world = World::new();
    world.ok(&["whoami"]);
    fs::write(world.data().join("version"), "2\n").unwrap();
    refused(&world, "was written by a newer oz");
}

#[test]
fn a_folder_of_other_files_and_a_file_are_left_alone() {
    let world = World::new();
    fs::create_dir(world.data()).unwrap();
    fs::write(world.data().join("thesis.tex"), "years of work").unwrap();
    refused(&world, "holds other files");

    let world = World::new();
    fs::write(world.data(), "a file").unwrap();
    refused(&world, "is not a folder");
    assert_eq!(fs::read_to_string(world.data()).unwrap(), "a file");
}

#[test]
fn a_lost_or_damaged_key_is_not_replaced() {
    let world = World::new();
    world.ok(&["whoami"]);
    let key = world.data().join("audit.key");
    let good = fs::read(&key).unwrap();
    fs::write(&key, "short").unwrap();
    refused(&world, "is damaged");
    fs::remove_file(&key).unwrap();
    refused(&world, "is lost");
    fs::write(&key, good).unwrap();
    world.ok(&["whoami"]);
}

#[test]
fn a_folder_that_cannot_be_written_says_why() {
    let world = World::new();
    let closed = world.folder("closed");
    fs::set_permissions(&closed, Permissions::from_mode(0o500)).unwrap();
    // Root writes wherever it likes, but for where the kernel itself refuses.
    let parent = if rustix::process::geteuid().is_root() { Path::new("/proc") } else { &closed };
    let data = parent.join("ozma").display().to_string();
    for args in [&["up", "--port", "0"][..], &["run", "--task", "true"], &["whoami"]] {
        let told = world.oz(&[&["--data-dir", &data], args].concat());
        assert_eq!((told.code, told.stdout.as_str()), (Some(1), ""), "{told}");
        assert!(told.stderr.contains(&format!("could not create {data}")), "{told}");
        assert!(told.stderr.contains("choose another --data-dir"), "{told}");
    }
}

#[test]
fn one_control_plane_at_a_time() {
    let world = World::new();
    let up = world.up(&[]);
    let server = fs::read_to_string(world.data().join("server.json")).unwrap();
    let told = world.oz(&["up", "--port", "0"]);
    assert_eq!(told.code, Some(1), "{told}");
    assert!(told.stderr.contains("is in use by another oz") && told.stderr.contains(&up.pid().to_string()), "{told}");
    assert_eq!(fs::read_to_string(world.data().join("server.json")).unwrap(), server);
    // Other commands use the one that runs.
    world.ok(&["run", "--task", "true"]);
    assert_eq!(fs::read_to_string(world.data().join("server.json")).unwrap(), server);
    let told = up.interrupted();
    assert_eq!(told.code, Some(0), "{told}");
    assert!(!world.data().join("server.json").exists());
    // What a crash leaves of it is no obstacle.
    fs::write(world.data().join("server.json"), server).unwrap();
    world.ok(&["run", "--task", "true"]);
}

#[test]
fn a_port_that_is_taken_is_named() {
    let world = World::new();
    world.ok(&["whoami"]);
    let before = snapshot(&world.data());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let told = world.oz(&["up", "--port", &port]);
    assert_eq!((told.code, told.stdout.as_str()), (Some(1), ""), "{told}");
    assert!(told.stderr.contains(&format!("port {port} is taken")) && told.stderr.contains("--port"), "{told}");
    assert_eq!(snapshot(&world.data()), before);
}
