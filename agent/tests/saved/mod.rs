//! What an agent saves of its workspace, and what a later one begins with.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use ozma_domain::artifact::SavedFile;
use ozma_domain::failure::FailureClass;
use ozma_domain::id::ExecutionId;
use ozma_domain::outcome::Outcome;
use ozma_domain::protocol::{Assignment, Reply, Restore};
use rustix::process::Signal;

use crate::control::Trouble;
use crate::story::{Story, repository};

/// Changes a repository in every way there is, says so, and goes on.
const CHANGE: &str = r#"
    git config user.name t; git config user.email t@example.com
    mkdir sub; echo committed > sub/new; printf 'a\0\xff\n' > binary; git add .; git commit -qm mine
    echo changed >> file; git rm -q gone; chmod +x mode; ln -s /etc/passwd link; git add link
    echo ignored > x.log; echo mine > 'sub/not added'; printf '#!/bin/sh\n' > run; chmod +x run; ln -s /etc outside
    git config core.fsmonitor 'touch hacked'; git config diff.external 'touch hacked'
    echo beside > ../beside; echo ready
"#;

fn changeable(path: &Path) {
    repository(path);
    let script = "cd \"$1\"; git config user.name t; git config user.email t@example.com
        touch gone mode; echo '*.log' > .gitignore; git add .; git commit -qm more";
    let status = std::process::Command::new("bash").args(["-ec", script, "-"]).arg(path).status().unwrap();
    assert!(status.success());
}

#[tokio::test]
async fn whatever_ends_a_task_what_it_changed_is_saved() {
    let folder = tempfile::tempdir().unwrap();
    let web = folder.path().join("web");
    changeable(&web);
    let sleeps = format!("{CHANGE} sleep 600");
    let begin = |task: &str| Story::of(task).repository(&web, None).begin();
    let expected = ["web.patch", "web/run", "web/sub/not added", "beside"].map(str::to_owned).to_vec();
    let left_out = vec!["web/outside: it is a link, or no file any more".to_owned()];

    let running = begin(&sleeps);
    running.control.output_holds("ready").await;
    running.signal(Signal::TERM);
    let told = running.told().await;
    told.failed(FailureClass::Interrupted, "the platform stopped the agent");
    assert_eq!(told.saved(), (expected.clone(), left_out.clone()));
    let patch = String::from_utf8_lossy(&told.control.file("web.patch")).into_owned();
    for part in
        ["+changed", "+committed", "deleted file mode", "old mode 100644", "GIT binary patch", "new file mode 120000"]
    {
        assert!(patch.contains(part), "{part}: {patch}");
    }
    assert_eq!(told.control.file("beside"), b"beside\n");
    let notices = told.control.texts("notice", "text");
    assert_eq!(
        notices,
        [format!("of what changed in the workspace, this is not saved: {}", left_out[0].replace(": ", " (") + ")")]
    );
    assert!(!told.workspace().join("work/web/hacked").exists());

    // A later execution begins with it, and what it saves is all of it.
    let restore = Some(Restore { from: 1, set: told.control.set().unwrap() });
    let task =
        "git status --porcelain | sort; cat 'sub/not added' ../beside binary | od -c | head -3; ./run; readlink link";
    let story = Story::of(task).repository(&web, None).with(|assignment| {
        assignment.restore = restore;
        assignment.execution_id = ExecutionId::new(assignment.run_id, 2);
        assignment.setup_commands.push("test -e ../beside".to_owned());
    });
    let running = story.begin();
    running.control.saved_earlier(told.control.files());
    let again = running.told().await;
    let output = again.output();
    assert!(output.contains(" D gone\n M file\n M mode\n?? binary\n?? link\n?? run\n?? sub/\n"), "{output}");
    assert!(output.ends_with("/etc/passwd\n"), "{output}");
    assert_eq!(again.control.texts("notice", "text")[0], "begins with what execution 1 saved: 4 files");
    let (mut saved, _) = again.saved();
    saved.sort();
    let all = ["beside", "web.patch", "web/binary", "web/run", "web/sub/new", "web/sub/not added"];
    assert_eq!(saved, all);

    let deadline = |assignment: &mut Assignment| {
        assignment.deadline_at = Timestamp::now() + SignedDuration::from_secs(3);
    };
    let told = Story::of(&sleeps).repository(&web, None).with(deadline).told().await;
    told.failed(FailureClass::DeadlineReached, "");
    assert_eq!(told.saved(), (expected.clone(), left_out.clone()));

    let running = begin(&sleeps);
    running.control.output_holds("ready").await;
    running.control.reply_with(Reply { cancelled: true, ..Reply::default() });
    running.signal(Signal::TERM);
    let told = running.told().await;
    assert_eq!((told.outcome(), told.saved().0), (Outcome::Cancelled, expected.clone()));

    let told = begin(CHANGE).told().await;
    told.succeeded("ready");
    assert_eq!(told.saved().0, expected);

    let told = begin("true").told().await;
    assert_eq!((told.control.set(), told.control.calls("workspace")), (None, 0));
}

#[tokio::test]
async fn a_hostile_workspace_is_saved_as_far_as_it_can_be() {
    let task = r#"
        mkdir -p a .git; echo good > a/good; ln -s /etc/passwd link; ln -s /etc folder; mkfifo pipe
        printf x > $'new\nline'; printf x > $'not\xffutf8'; printf x > 'C:back\slash'
        echo "before $SECRET after" > secret; printf x > "named $SECRET"
        head -c 40M /dev/zero > zeros; head -c 5M /dev/urandom > noise; touch .git/config
        for i in {1..5}; do head -c 3500000 /dev/urandom > a/random$i; done
    "#;
    let told = Story::of(task).told().await;
    let (saved, left_out) = told.saved();
    // Files are packed side by side: which of the large ones finds no room any more is chance.
    let large = |name: &&String| name.starts_with("a/random");
    assert_eq!((saved.len(), saved.iter().filter(large).count()), (5, 4), "{saved:?}");
    assert!(saved.iter().any(|name| name == "a/good"));
    let no_room = left_out.iter().filter(large).collect::<Vec<_>>();
    assert!(
        no_room.len() == 1 && no_room[0].ends_with(": all together is larger than 16 MiB, compressed"),
        "{no_room:?}"
    );
    let expected = [
        "C:back\\slash: its name cannot be kept",
        "link: it is a link, or no file any more",
        "folder: it is a link, or no file any more",
        "named ***: its name cannot be kept",
        "noise: it is larger than 4 MiB, compressed",
        "secret: it holds the value of a secret",
        "zeros: it is larger than 32 MiB",
    ];
    for expected in expected {
        assert!(left_out.iter().any(|left| left == expected), "{expected}: {left_out:#?}");
    }
    assert!(
        left_out.iter().any(|left| left.starts_with("new")) && left_out.iter().any(|left| left.ends_with("not UTF-8"))
    );
    assert_eq!(left_out.len(), expected.len() + 3, "{left_out:#?}");

    // Of a patch, the file with the secret alone is left out.
    let folder = tempfile::tempdir().unwrap();
    changeable(&folder.path().join("web"));
    let task =
        "echo $SECRET > file; echo fine > mode; echo \"$SECRET\" > new; git add new; printf 'x\\0'\"$SECRET\" > gone";
    let told = Story::of(task).repository(&folder.path().join("web"), None).told().await;
    let (saved, left_out) = told.saved();
    assert_eq!((saved.len(), left_out.len()), (1, 3), "{left_out:#?}");
    assert!(told.control.file("web.patch").starts_with(b"diff --git a/mode b/mode\n"));
}

#[tokio::test]
async fn what_cannot_be_stored_is_no_part_of_a_set_and_never_the_outcome() {
    async fn check(trouble: fn(&str, usize) -> Trouble, saved: &[&str], notice: &str) {
        let told = Story::of("echo 1 > one; echo 2 > two").troubled(trouble).told().await;
        told.succeeded("");
        assert_eq!(told.saved().0, saved);
        let notices = told.control.texts("notice", "text").concat();
        assert!(notices.contains(notice) && notices.is_empty() == notice.is_empty(), "{notices}");
    }
    let lost = |_: &str, times| if times == 1 { Trouble::After(500) } else { Trouble::None };
    check(lost, &["one", "two"], "").await;
    let refused = |call: &str, _| if call == "workspace/1" { Trouble::Before(413) } else { Trouble::None };
    check(refused, &["two"], "this is not saved: one (the control plane refused PUT workspace/1 with 413").await;
    let refused = |call: &str, _| if call == "workspace" { Trouble::Before(404) } else { Trouble::None };
    check(refused, &[], "is not saved: the control plane refused PUT workspace with 404").await;
    let silent = |call: &str, _| if call == "workspace" { Trouble::Before(503) } else { Trouble::None };
    check(silent, &[], "is not saved: there was no time left").await;
}

#[tokio::test]
async fn what_cannot_be_restored_is_told_and_the_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let web = folder.path().join("web");
    changeable(&web);
    let told = Story::of("echo mine > file; echo mine > new").repository(&web, None).told().await;
    let mut set = told.control.set().unwrap();
    set.files[1].sha256 = "0".repeat(64);
    set.files.push(SavedFile { number: 9, path: "web/gone/absent".to_owned(), ..set.files[1].clone() });
    let restore = |set| Some(Restore { from: 1, set });
    // The repository moves on.
    let script = "cd \"$1\"; echo theirs > file; git -c user.name=t -c user.email=t@example.com commit -qam theirs";
    assert!(std::process::Command::new("bash").args(["-ec", script, "-"]).arg(&web).status().unwrap().success());
    let running = Story::of("cat file")
        .repository(&web, None)
        .with(|assignment| assignment.restore = restore(set.clone()))
        .begin();
    running.control.saved_earlier(told.control.files());
    let again = running.told().await;
    again.succeeded("theirs");
    let notices = again.control.texts("notice", "text");
    assert_eq!(
        notices[..2],
        [
            "web.patch, which execution 1 saved, is not restored: it does not apply to the commit that is checked out",
            "web/new, which execution 1 saved, is not restored: it is not what was saved",
        ]
    );
    assert!(
        notices[2].starts_with("web/gone/absent, which execution 1 saved, is not restored: the control plane refused")
    );

    set.files[1].path = "../escaped".to_owned();
    let told = Story::of("ls ..").with(|assignment| assignment.restore = restore(set)).told().await;
    let notices = told.control.texts("notice", "text");
    assert!(notices[0].starts_with("what execution 1 saved cannot be restored: path: \"../escaped\""), "{notices:?}");
}
