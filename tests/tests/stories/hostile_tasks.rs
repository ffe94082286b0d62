//! Tasks at their worst: each ends in a clear word, and neither the machine nor any other run is harmed.

use std::fs;
use std::thread;
use std::time::Duration;

use crate::world::{Live, World, marker, peak_memory_mib, processes_with, until};

#[test]
fn bytes_that_are_no_text_are_harmless() {
    let world = World::new();
    let task = r"printf 'a\0b\xff\xfe\xc3(c\n'; printf '\xe2\x82'; sleep 0.1; printf '\xac\n'; printf '\033[31mred\r\n'; head -c 4096 /dev/urandom; echo; echo end";
    let told = world.oz(&["run", "--task", task]);
    assert_eq!(told.code, Some(0), "{told}");
    assert!(told.stdout.contains('€') && told.stdout.ends_with("\nend\n"), "{told}");
    let run = &world.json(&["run", "list"])["runs"][0];
    assert_eq!(run["state"], "SUCCEEDED");
    world.ok(&["audit", "verify", run["run_id"].as_str().unwrap()]);
    assert!(world.ok(&["audit", "show", run["run_id"].as_str().unwrap()]).contains("ended     Succeeded"));
    assert!(world.ok(&["run", "get", run["run_id"].as_str().unwrap()]).contains("SUCCEEDED"));
}

#[test]
fn a_flood_of_output_keeps_its_head_and_its_tail() {
    let world = World::new();
    let up = world.up(&[]);
    let run = world
        .detach(&["--task", "echo the very first; yes 0123456789abcdef | head -c 300000000; echo; echo the very last"]);
    let mut agent_mib = 0;
    until("it ends", || {
        let agent = world.agent(&run, 1).map_or(0, |pid| peak_memory_mib(pid.unsigned_abs()));
        agent_mib = agent.max(agent_mib);
        (world.get(&run)["state"] == "SUCCEEDED").then_some(())
    });
    assert!((1..150).contains(&agent_mib), "the agent took {agent_mib} MiB");
    assert!(up.peak_memory_mib() < 300, "the control plane took {} MiB", up.peak_memory_mib());
    let logs = world.oz(&["run", "logs", &run]);
    assert!(
        logs.stdout.starts_with("the very first\n0123456789abcdef\n"),
        "{}",
        logs.stdout.get(..100).unwrap_or_default()
    );
    assert!(logs.stdout.ends_with("\nthe very last\n"));
    assert!((1_000_000..2_000_000).contains(&logs.stdout.len()), "{} bytes", logs.stdout.len());
    let note = "of output are not shown here but kept in the archive";
    assert!(logs.stderr.contains(note) && logs.stderr.contains("more were dropped"), "{}", logs.stderr);
    world.ok(&["audit", "verify", &run]);
    // The middle is there, by reference, and the whole is far smaller than what was printed.
    let objects = world.archive();
    assert!(objects.iter().any(|(path, bytes)| path.to_string_lossy().contains("output") && bytes.len() > 1_000_000));
    let kept: u64 = objects.iter().map(|(path, _)| path.metadata().unwrap().len()).sum();
    assert!(kept < 40_000_000, "{kept} bytes are kept");
}

#[test]
fn a_task_that_forks_forever_harms_nobody() {
    bomb(|word| format!("exec -a {word} bash -c 'bomb() {{ bomb | bomb & }}; bomb; sleep 600'"));
}

#[test]
#[ignore = "keeps the whole machine busy for half a minute"]
fn a_task_that_forks_forever_deaf_and_busy_harms_nobody() {
    bomb(|word| {
        let script = format!("setsid bash bomb.sh {word} & setsid bash bomb.sh {word} & while :; do :; done");
        format!("trap '' TERM INT HUP; echo '{script}' > bomb.sh; bash bomb.sh {word}")
    });
}

#[track_caller]
fn bomb(task: impl Fn(&str) -> String) {
    let world = World::new();
    let _up = world.up(&[]);
    // Without a sandbox the bomb is one of this user's own, and counts against whatever limits that one has.
    if !world.is_sandboxed() {
        return;
    }
    let neighbour = world.detach(&["--task", "echo begun; until [ -e go ]; do sleep 0.1; done; echo done"]);
    // The limits that hold a bomb are asked for first: they must be there before one is lit.
    let limits = world.ok(&["run", "--task", "ulimit -u; ulimit -Hu"]);
    let limits: Vec<u64> = limits.lines().map(|line| line.parse().expect("a limit")).collect();
    assert!(limits.len() == 2 && limits.iter().all(|limit| *limit <= 8_192), "{limits:?}");
    let word = marker();
    let run = world.detach(&["--task", &task(&word)]);
    let item = world.end(&run);
    let message = item["status_message"]["message"].as_str().unwrap_or_default();
    assert_eq!(message, "the task started more than 4096 processes and threads", "{item}");
    assert_eq!((&item["state"], &item["attempt"]), (&"FAILED".into(), &1.into()), "{item}");
    until("none of them is left", || (processes_with(&word) == 0).then_some(()));
    world.ok(&["run", "--task", "echo the machine is well"]);
    fs::write(world.work(&neighbour, 1).join("go"), "").unwrap();
    let item = world.end(&neighbour);
    assert_eq!((&item["state"], &item["attempt"]), (&"SUCCEEDED".into(), &1.into()), "{item}");
    world.nothing_left();
}

#[test]
fn a_task_cannot_take_its_agent_down() {
    let world = World::new();
    // Without a sandbox these signals would reach everybody here.
    if !world.is_sandboxed() {
        return;
    }
    let task = "kill -KILL 1 $PPID; kill -STOP 1 $PPID; kill -STOP -1; kill -KILL -1; echo still told";
    let told = world.oz(&["run", "--task", task]);
    assert_eq!((told.code, told.stdout.as_str()), (Some(0), "still told\n"), "{told}");
    let run = &world.json(&["run", "list", "-L", "1"])["runs"][0];
    world.ok(&["audit", "verify", run["run_id"].as_str().unwrap()]);
}

#[test]
fn a_task_that_ignores_sigterm_ends_at_its_deadline() {
    let world = World::new();
    let word = marker();
    let task = format!("trap 'echo not me' TERM; echo begun; sleep {word} & while true; do sleep 1; done");
    let told = world.oz(&["run", "--timeout", "2s", "--task", &task]);
    assert_eq!(told.code, Some(3), "{told}");
    assert!(told.stdout.starts_with("begun\n") && told.stderr.contains("stopped at its deadline"), "{told}");
    assert_eq!(processes_with(&word), 0);
    world.nothing_left();
}

#[test]
fn a_task_may_leave_its_workspace_in_any_state() {
    let world = World::new();
    let _up = world.up(&[]);
    // Without a sandbox `/workspace` and `/tmp` are this machine's.
    if !world.is_sandboxed() {
        return;
    }
    let check = |task: &str, code: i32| {
        let told = world.oz(&["run", "--task", task]);
        assert_eq!(told.code, Some(code), "{task}: {told}");
        world.nothing_left();
    };
    check("rm -rf /workspace/* /workspace/.??* . ~ /tmp/* 2> /dev/null; cd /; echo gone", 0);
    check("mkdir -p a/b/c && touch a/b/c/file && chmod 000 a/b/c a/b a && chmod 000 .", 0);
    check("chmod 000 /workspace /workspace/home /workspace/tmp; true", 0);
    check("mkfifo pipe; ln -s / root; ln -s loop loop; touch -- -rf $'new\\nline' $'\\xff\\xfe'; true", 0);
    check(
        "i=0; while [ $i -lt 400 ]; do mkdir deeper-and-deeper && cd deeper-and-deeper || exit 1; i=$((i+1)); done",
        0,
    );
    check("rm -f /workspace/messages.jsonl /workspace/task.sh; ln -s /etc/passwd /workspace/task.sh; exit 6", 3);
}

#[test]
fn a_daemon_goes_with_its_run() {
    let world = World::new();
    let _up = world.up(&[]);
    let word = marker();
    let run = world.detach(&["--task", &format!(
        "setsid --fork sleep {word}; (trap '' HUP TERM; exec setsid env -i sleep {word}) > /dev/null 2>&1 < /dev/null & sleep 0.3; echo left"
    )]);
    assert_eq!(world.end(&run)["state"], "SUCCEEDED");
    until("the daemons are gone", || (processes_with(&word) == 0).then_some(()));
    world.nothing_left();
}

#[test]
fn a_hundred_thousand_files_are_no_trouble() {
    let world = World::new();
    let up = world.up(&[]);
    let task = "mkdir many && cd many && seq -f 'f%06.0f' 1 100000 | xargs touch && ls | wc -l";
    let told = world.oz(&["run", "--task", task]);
    assert_eq!((told.code, told.stdout.trim()), (Some(0), "100000"), "{told}");
    assert!(told.stderr.contains("files: 2000 created, 98000 more"), "{told}");
    assert!(up.peak_memory_mib() < 300);
    world.nothing_left();
}

#[test]
fn a_task_that_fills_the_disk_under_everybody_fails_and_leaves_room() {
    let world = World::new();
    let data = world.folder("data");
    // A disk of its own for the data folder, which takes root's rights.
    let script =
        "mount -t tmpfs -o size=300m none \"$1\" 2> /dev/null || exit 99; shift; \"$@\"; echo \"ended with $?\"";
    let task = "head -c 400m /dev/zero > big 2> error; sleep 600";
    let oz = world.command(["run", "--task", task]);
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "--", "sh", "-c", script, "sh"]).arg(&data).arg(oz.get_program()).args(oz.get_args());
    command.envs(oz.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(world.home());
    let told = Live::begin(command).ended();
    if told.code == Some(99) || told.stderr.contains("unshare failed") {
        return;
    }
    assert!(told.stdout.ends_with("ended with 3\n"), "{told}");
    // The control plane may have met the full disk too, and says so; the agent told it again when there was room.
    assert!(told.stderr.contains("the disk is nearly full"), "{told}");
}

#[test]
fn a_task_that_floods_while_nobody_reads_does_not_hold_up_others() {
    let world = World::new();
    let _up = world.up(&[]);
    let flood = world.detach(&["--task", "yes"]);
    world.until_state(&flood, &["INPROGRESS"]);
    thread::sleep(Duration::from_millis(500));
    world.ok(&["run", "--task", "echo fine"]);
    world.ok(&["run", "cancel", &flood]);
    assert_eq!(world.end(&flood)["state"], "CANCELLED");
    world.nothing_left();
}
