//! What a task works on: repositories that are there, and those that are not.

use crate::world::{World, git};

const ABSENT_COMMIT: &str = "0123456789012345678901234567890123456789";

#[test]
fn a_repository_that_cannot_be_cloned_is_a_clear_error() {
    let world = World::new();
    let _up = world.up(&[]);
    let good = world.repository("good");
    let good = format!("file://{}", good.display());
    let check = |repo: &[&str], words: &str| {
        let told = world.oz(&[&["run", "--task", "echo the task ran"], repo].concat());
        assert_eq!((told.code, told.stdout.as_str()), (Some(3), ""), "{repo:?}: {told}");
        assert!(told.stderr.contains(words), "{repo:?}: {told}");
    };
    check(&["--repo", "https://127.0.0.1:1/x.git"], "127.0.0.1 cannot be reached; check the address and the network");
    check(&["--repo", "file:///nonexistent"], "there is no git repository at /nonexistent that the agent can read");
    let plain = world.folder("plain");
    check(&["--repo", &format!("file://{}", plain.display())], "there is no git repository at");
    check(&["--repo", &good, "--ref", "no-such"], "branch or tag \"no-such\" does not exist in file://");
    check(&["--repo", &good, "--ref", ABSENT_COMMIT], &format!("commit {ABSENT_COMMIT} does not exist in file://"));
    // Not a run at all.
    for repo in ["not a repository", "/nonexistent", "ext::sh -c id", "--upload-pack=id"] {
        let told = world.oz(&["run", "--task", "true", &format!("--repo={repo}")]);
        assert!(matches!(told.code, Some(1 | 2)), "{repo}: {told}");
    }
    let failed = world.json(&["run", "list", "--state", "failed"]);
    let runs = failed["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 5);
    assert!(runs.iter().all(|run| run["status_message"]["error_code"] == "environment_setup_failed"), "{failed}");
    // And nothing is harmed.
    world.ok(&["run", "--repo", &good, "--task", "test -f greeting.txt"]);
    world.nothing_left();
}

#[test]
fn a_task_works_on_the_branch_or_the_commit_it_was_given() {
    let world = World::new();
    let _up = world.up(&[]);
    let repository = world.repository("history");
    let first = git(&repository, &["rev-parse", "HEAD"]);
    git(&repository, &["switch", "--quiet", "--create", "next"]);
    std::fs::write(repository.join("greeting.txt"), "hello again\n").unwrap();
    git(&repository, &["commit", "--quiet", "--all", "--message", "Second words"]);
    git(&repository, &["switch", "--quiet", "main"]);
    std::fs::write(repository.join("greeting.txt"), "not committed\n").unwrap();
    let repo = repository.to_str().unwrap();
    let check = |reference: &[&str], expected: &str| {
        let told =
            world.oz(&[&["run", "--repo", repo, "--task", "cat greeting.txt; git status --short"], reference].concat());
        assert_eq!((told.code, told.stdout.as_str()), (Some(0), expected), "{reference:?}: {told}");
        assert!(told.stderr.contains("uncommitted changes in"), "{told}");
    };
    check(&[], "hello from the repository\n");
    check(&["--ref", "next"], "hello again\n");
    check(&["--ref", &first], "hello from the repository\n");
    // Whatever a task does to its clone, the repository stays as it is.
    let vandal = "rm -rf .git/objects; git -C . push origin HEAD:evil; echo x > $(git remote get-url origin | sed s,file://,,)/.git/HEAD";
    world.oz(&["run", "--repo", repo, "--task", vandal]);
    assert_eq!(git(&repository, &["branch", "--format", "%(refname:short)"]), "main\nnext");
    git(&repository, &["fsck"]);
    assert_eq!(std::fs::read_to_string(repository.join("greeting.txt")).unwrap(), "not committed\n");
}

#[test]
fn two_repositories_lie_side_by_side() {
    let world = World::new();
    let (one, two) = (world.repository("one"), world.repository("two"));
    let args = ["run", "--repo", one.to_str().unwrap(), "--repo", two.to_str().unwrap(), "--task", "ls"];
    let told = world.oz(&args);
    assert_eq!((told.code, told.stdout.as_str()), (Some(0), "one\ntwo\n"), "{told}");
}
