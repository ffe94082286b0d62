//! Whole lives of agents, each a process of its own against a control plane in this one.

#![expect(clippy::disallowed_methods, reason = "tests read the clock and their own environment")]

mod control;
mod saved;
mod story;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use ozma_agent::AgentConfig;
use ozma_domain::failure::FailureClass;
use ozma_domain::harness::HarnessKind;
use ozma_domain::outcome::Outcome;
use ozma_domain::protocol::{Message, Reply, Usage};
use ozma_domain::repository::Repository;
use rustix::process::Signal;
use sha2::{Digest as _, Sha256};

use control::Trouble;
use story::{SECRET, Story, Transport, repository};

/// Not a test: the agent's process, started by the tests with this very binary.
#[test]
fn agent_process() {
    let lookup = |name: &str| std::env::var(name).ok();
    let Some(grace) = lookup("OZ_TEST_GRACE_MS") else { return };
    let number = |text: Option<String>| text.unwrap().parse().unwrap();
    let mut config = AgentConfig::read(lookup).unwrap();
    config.limits.task_grace = Duration::from_millis(grace.parse().unwrap());
    config.limits.processes = number(lookup("OZ_TEST_PROCESSES"));
    config.limits.setup_command = Duration::from_millis(number(lookup("OZ_TEST_SETUP_MS")));
    config.limits.drain = Duration::from_millis(500);
    let ended = ozma_agent::block_on(config);
    let code = [0, 1, 2].into_iter().find(|code| ended == ExitCode::from(*code)).unwrap();
    #[expect(clippy::disallowed_methods, reason = "the test harness would exit with 0")]
    std::process::exit(i32::from(code));
}

#[tokio::test]
async fn a_task_that_succeeds_is_told_from_claim_to_end() {
    let told = Story::of("echo hello > new.txt; echo done; echo aside >&2")
        .with(|assignment| assignment.notices.push("no container engine".to_owned()))
        .told()
        .await;
    told.succeeded("done");
    assert!(told.control.started());
    let kinds: Vec<String> =
        told.control.events().iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect();
    let mut expected = vec!["state", "notice", "state", "command.started", "output", "output", "command.ended"];
    expected.extend(["file", "resources", "ended"]);
    assert_eq!(kinds, expected);
    assert_eq!(told.control.texts("state", "state"), ["CLAIMED", "INPROGRESS"]);
    assert_eq!(told.control.texts("file", "path"), ["new.txt"]);
    let ended = &told.control.events()[6];
    assert_eq!((&ended["exit_code"], &ended["stdout"]["bytes"]), (&0.into(), &5.into()));
    assert_eq!(ended["stdout"]["sha256"], hex::encode(Sha256::digest("done\n")));
}

#[tokio::test]
async fn the_exit_code_is_the_outcome() {
    let told = Story::of("echo broken >&2; exit 3").told().await;
    told.failed(FailureClass::TaskFailed, "the task failed with exit code 3: broken");
}

#[tokio::test]
async fn a_task_sees_its_own_variables_and_nothing_of_the_hosts() {
    let told = Story::of("compgen -e | sort | tr '\\n' ' '; echo; echo $OZ_ATTEMPT $GREETING $IS_SANDBOX; pwd; git config --get-all safe.directory")
        .with(|assignment| drop(assignment.variables.insert("GREETING".to_owned(), "hi".to_owned())))
        .told()
        .await;
    let output = told.output();
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(
        lines[0].trim(),
        "GH_PROMPT_DISABLED GIT_CONFIG_COUNT GIT_CONFIG_KEY_0 GIT_CONFIG_KEY_1 GIT_CONFIG_VALUE_0 GIT_CONFIG_VALUE_1 \
         GIT_TERMINAL_PROMPT GREETING HOME IS_SANDBOX LANG LOGNAME OZ_ATTEMPT OZ_EXECUTION_ID OZ_HARNESS OZ_MESSAGES \
         OZ_PULL_REQUESTS_FILE OZ_RUN_ID OZ_USAGE_FILE PATH PWD SECRET SHELL SHLVL TERM TMPDIR TRACEPARENT USER"
    );
    assert_eq!(lines[1], "1 hi 1");
    assert_eq!(Path::new(lines[2]), told.workspace().join("work"));
    assert_eq!(lines[3], "*");
}

#[tokio::test]
async fn nul_and_invalid_utf8_are_harmless() {
    let told = Story::of(r"printf 'a\0b\xff\xfec\n'; printf '\xc3'; sleep 0.3; printf '\xa4\n'").told().await;
    assert_eq!(told.output(), "ab\u{fffd}\u{fffd}c\nä\n");
    let ended = told.control.events().into_iter().find(|event| event["type"] == "command.ended").unwrap();
    assert_eq!(ended["stdout"]["sha256"], hex::encode(Sha256::digest(b"a\0b\xff\xfec\n\xc3\xa4\n")));
}

#[tokio::test]
async fn a_flood_of_output_keeps_its_head_and_tail_whole() {
    let told = Story::of("seq 40000000 | head -c 100000000; echo; echo the end").told().await;
    told.succeeded(
        &told.output().lines().rev().take(10).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n"),
    );
    let events = told.control.events();
    let find = |kind: &str| events.iter().find(|event| event["type"] == kind).unwrap();
    let (skipped, ended) = (find("output.skipped"), find("command.ended"));
    assert_eq!(ended["stdout"]["bytes"], 100_000_009);
    let output = told.output();
    assert!(output.starts_with("1\n2\n3\n") && output.ends_with("\nthe end\n"));
    assert_eq!(output.len(), (1024 + 64) * 1024);
    let middle = told.control.middle(1);
    assert_eq!(skipped["kept_bytes"], middle.len());
    assert_eq!(middle.len(), 64 * 1024 * 1024);
    assert_eq!(skipped["dropped_bytes"], 100_000_009 - middle.len() - output.len());
    let whole: String = (1..10_000_000).map(|number| format!("{number}\n")).collect();
    assert_eq!(&whole.as_bytes()[..1 << 20], &output.as_bytes()[..1 << 20]);
    assert!(middle == whole.as_bytes()[1 << 20..][..middle.len()]);
}

#[tokio::test]
async fn a_daemon_that_holds_the_output_open_does_not_hang_the_run() {
    let told =
        Story::of("sleep 600 & setsid sleep 600 & (trap '' TERM; while :; do sleep 1; done) & echo gone").told().await;
    told.succeeded("gone");
    told.nobody_left();
}

#[tokio::test]
async fn a_task_that_ignores_sigterm_ends_at_its_deadline() {
    let told = Story::of("trap '' TERM; echo armed; while :; do sleep 0.1; done")
        .with(|assignment| assignment.deadline_at = Timestamp::now() + SignedDuration::from_secs(3))
        .told()
        .await;
    told.failed(FailureClass::DeadlineReached, "stopped at its deadline of ");
    told.nobody_left();
}

#[tokio::test]
async fn a_task_that_forks_forever_is_ended() {
    let mut story = Story::of("trap '' TERM; bomb() { bomb & bomb & wait; }; bomb");
    story.processes = 150;
    let told = story.told().await;
    told.failed(FailureClass::OutOfMemory, "the task started more than 150 processes and threads");
    told.nobody_left();
}

#[tokio::test]
async fn a_task_that_takes_too_much_memory_is_ended() {
    let told = Story::of("x=$(head -c 100M /dev/zero | tr '\\0' x); sleep 600")
        .with(|assignment| assignment.size.memory_mib = 64)
        .told()
        .await;
    told.failed(FailureClass::OutOfMemory, "more than the 64 MiB of memory of its plan");
}

#[tokio::test]
async fn a_task_that_fills_the_disk_is_ended() {
    let many = "for i in {1..60}; do head -c 1M /dev/zero > file$i; done; sleep 600";
    let one = "head -c 60M /dev/zero > file";
    for task in [many, one] {
        let told = Story::of(task).with(|assignment| assignment.size.disk_mib = 20).told().await;
        told.failed(FailureClass::DiskFull, "more than the 20 MiB of disk of its plan");
    }
}

#[tokio::test]
async fn a_task_that_deletes_its_workspace_ends_in_a_report() {
    let folder = tempfile::tempdir().unwrap();
    repository(&folder.path().join("web"));
    let told = Story::of("rm -rf \"$(dirname \"$OZ_MESSAGES\")\"; echo deleted")
        .repository(&folder.path().join("web"), None)
        .told()
        .await;
    told.succeeded("deleted");
    assert_eq!(told.control.texts("file", "change"), ["deleted"]);
}

#[tokio::test]
async fn a_secret_never_leaves_however_it_is_printed() {
    let (start, end) = SECRET.split_at(7);
    let script = format!(
        "printf '%s' '{start}'; sleep 0.5; printf '%s\\n' '{end}'; echo \"$SECRET\" >&2; touch \"x-$SECRET\"
         yes \"$SECRET\" | head -c 9000000; printf '%s' \"$SECRET\" | base64; exit 1"
    );
    // The text of the script names its halves alone, and is not part of the trail.
    let told =
        Story::of(&script).with(|assignment| assignment.setup_commands.push("echo $SECRET".to_owned())).told().await;
    assert!(told.output().starts_with("***\n"));
    let skipped = told.control.events().into_iter().find(|event| event["type"] == "output.skipped").unwrap();
    assert_eq!(skipped["kept_sha256"], hex::encode(Sha256::digest(told.control.middle(2))));
    assert!(!told.control.was_told("aHVudGVyMjItb2YtdGhlLWZvcmVzd"));
    assert!(told.control.was_told("x-***"));
}

#[tokio::test]
async fn a_stale_execution_stops_at_once_and_says_nothing() {
    let story = Story::of("trap '' TERM; echo running; while :; do sleep 0.1; done");
    let told =
        story.troubled(|call, _| if call == "segments/2" { Trouble::Before(409) } else { Trouble::None }).told().await;
    assert_eq!(told.exit_code, 2);
    assert_eq!(told.control.calls("finish"), 0);
    told.nobody_left();
}

#[tokio::test]
async fn a_lost_lease_stops_the_task() {
    let told = Story::of("echo running; sleep 600")
        .with(|assignment| assignment.lease_seconds = 2)
        .troubled(|call, _| if call.starts_with("segments") { Trouble::Before(503) } else { Trouble::None })
        .told()
        .await;
    assert_eq!((told.exit_code, told.control.calls("finish")), (2, 0));
    told.nobody_left();
}

#[tokio::test]
async fn a_claim_that_is_refused_is_the_end() {
    let told = Story::of("true").troubled(|_, _| Trouble::Before(409)).told().await;
    assert_eq!((told.exit_code, told.control.calls("claim")), (1, 1));
}

#[tokio::test]
async fn every_answer_lost_once_changes_nothing() {
    let told = Story::of("echo one; sleep 1; seq 300000; echo two")
        .troubled(|_, times| if times == 1 { Trouble::After(500) } else { Trouble::None })
        .told()
        .await;
    assert!(told.output().starts_with("one\n1\n2\n") && told.output().ends_with("300000\ntwo\n"));
    assert_eq!(told.control.calls("segments/1"), 2);
    assert_eq!(told.control.calls("finish"), 2);
}

#[tokio::test]
async fn sigterm_loses_no_tail() {
    let running = Story::of("trap 'echo last words; exit 0' TERM; echo ready; while :; do sleep 0.05; done").begin();
    running.control.output_holds("ready").await;
    running.signal(Signal::TERM);
    let told = running.told().await;
    told.failed(FailureClass::Interrupted, "the platform stopped the agent");
    assert!(told.output().ends_with("last words\n"), "{}", told.output());
}

#[tokio::test]
async fn a_cancel_ends_the_task() {
    let running = Story::of("echo ready; sleep 600").with(|assignment| assignment.heartbeat_seconds = 1).begin();
    running.control.output_holds("ready").await;
    running.control.reply_with(Reply { cancelled: true, ..Reply::default() });
    let told = running.told().await;
    assert_eq!(told.outcome(), Outcome::Cancelled);
    told.nobody_left();
}

#[tokio::test]
async fn sigterm_after_a_cancel_is_a_cancel() {
    let running = Story::of("echo ready; sleep 600").begin();
    running.control.output_holds("ready").await;
    running.control.reply_with(Reply { cancelled: true, ..Reply::default() });
    running.signal(Signal::TERM);
    assert_eq!(running.told().await.outcome(), Outcome::Cancelled);
}

#[tokio::test]
async fn a_task_that_costs_too_much_ends_as_at_a_deadline() {
    let running = Story::of("trap 'echo last words; exit 0' TERM; echo ready; while :; do sleep 0.05; done").begin();
    running.control.output_holds("ready").await;
    let over_budget = Some("the run has cost $5.00 of the $5.00 that it may".to_owned());
    running.control.reply_with(Reply { over_budget, ..Reply::default() });
    let told = running.told().await;
    told.failed(FailureClass::BudgetReached, "the run has cost $5.00 of the $5.00 that it may");
    assert!(told.output().ends_with("last words\n"), "{}", told.output());
}

#[tokio::test]
async fn what_models_cost_is_summed_and_told() {
    let task = r#"test -e "$OZ_USAGE_FILE" && cd "$(dirname "$OZ_USAGE_FILE")" || exit 1
        for i in {1..3000}; do echo '{"tokens": 1200, "usd": 0.018}'; done >> usage.jsonl
        for i in {1..300}; do echo '{"tokens": -1}'; done >> usage.jsonl
        printf '{"usd": 0.5}' >> usage.jsonl"#;
    let told = Story::of(task)
        .with(|assignment| {
            assignment.setup_commands.push("echo '{\"tokens\": 7, \"model\": \"x\"}' >> $OZ_USAGE_FILE".to_owned());
        })
        .told()
        .await;
    told.succeeded("");
    assert_eq!(told.control.usage(), Some(Usage { tokens: 3_600_007, micro_usd: 54_500_000 }));
    let notice = r#"a line of the file OZ_USAGE_FILE is not counted: each is to be a JSON object such as {"tokens": 1200, "usd": 0.018}"#;
    assert_eq!(told.control.texts("notice", "text"), [notice]);
    assert_eq!(Story::of("true").told().await.control.usage(), None);
}

#[tokio::test]
async fn pull_requests_are_passed_on_as_they_come_and_before_the_report() {
    let task = r#"made() { printf '{"url": "https://host/%s", "branch": "b%s"}\n' "$1" "$2" >> "$OZ_PULL_REQUESTS_FILE"; }
        made 1 1; made 1 1; sleep 1.5; echo nonsense >> "$OZ_PULL_REQUESTS_FILE"; made 1 2; made $SECRET 3
        printf '{"url": "https://host/4", "branch": "last"}' >> "$OZ_PULL_REQUESTS_FILE""#;
    // The first is heard, and its answer is lost.
    let plan = |call: &str, times| match (call, times) {
        ("pull-requests", 1) => Trouble::After(500),
        _ => Trouble::None,
    };
    let told = Story::of(task).troubled(plan).told().await;
    told.succeeded("");
    let expected =
        ["https://host/1 b1", "https://host/1 b1", "https://host/1 b2", "https://host/*** b3", "https://host/4 last"];
    assert_eq!(told.control.pull_requests(), expected);
    let notices = told.control.texts("notice", "text");
    let made = "the task made the pull request https://host/1 (branch b1)";
    assert_eq!(notices.iter().filter(|notice| *notice == made).count(), 1, "{notices:?}");
    assert_eq!(notices.iter().filter(|notice| notice.contains("OZ_PULL_REQUESTS_FILE is left out")).count(), 1);
    assert_eq!(notices.len(), 5, "{notices:?}");
}

#[tokio::test]
async fn a_task_without_a_sign_of_life_is_ended() {
    let idle = |task: &str| Story::of(task).with(|assignment| assignment.idle_seconds = Some(3));
    let told =
        idle("trap 'echo last words; exit 0' TERM; sleep 2; echo one; while :; do sleep 0.05; done").told().await;
    told.failed(FailureClass::IdleTooLong, "the task gave no sign of life for the 3 s that the run allows");
    assert!(told.output().ends_with("last words\n"), "{}", told.output());
    told.nobody_left();

    let signs = "for i in {1..5}; do sleep 1; echo '{\"tokens\": 1}' >> $OZ_USAGE_FILE; done; sleep 1; echo alive";
    // Whatever set-up commands do, they have a limit of their own.
    let story = idle(signs).with(|assignment| assignment.setup_commands.push("sleep 4".to_owned()));
    story.told().await.succeeded("alive");
}

#[tokio::test]
async fn a_message_reaches_the_task() {
    let running = Story::of("echo ready; until [ -s \"$OZ_MESSAGES\" ]; do sleep 0.05; done; cat \"$OZ_MESSAGES\"")
        .with(|assignment| assignment.heartbeat_seconds = 1)
        .begin();
    running.control.output_holds("ready").await;
    running.control.reply_with(Reply { watched: true, ..Reply::default() });
    let message = Message {
        id: "m1".to_owned(),
        sent_at: Timestamp::UNIX_EPOCH,
        from: "ann".to_owned(),
        text: "please stop".to_owned(),
    };
    running.control.send_message(message);
    let told = running.told().await;
    assert!(told.output().contains(r#""text":"please stop""#));
    assert_eq!(told.control.texts("message", "from"), ["ann"]);
    assert_eq!(told.control.last_message(), "m1");
}

/// Asks for credentials with the token $1, as an SDK does.
const ASK: &str = r#"
    ask() {
        url=${AWS_CONTAINER_CREDENTIALS_FULL_URI#http://} host=${url%%/*}
        exec 3<>"/dev/tcp/${host%:*}/${host#*:}"
        printf 'GET /%s HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\n\r\n' "${url#*/}" "$host" "$1" >&3
        cat <&3; echo
    }
    right=$AWS_CONTAINER_AUTHORIZATION_TOKEN
"#;

fn with_role(task: &str) -> Story {
    Story::of(&format!("{ASK}{task}")).with(|assignment| assignment.aws_role = true)
}

#[tokio::test]
async fn a_task_has_credentials_that_are_renewed_and_never_leave() {
    let task = r#"ask $right; secret=$(ask $right | grep -o 'SecretAccessKey":"[^"]*'); secret=${secret#*:\"}
        printf %s "${secret:0:9}"; sleep 0.3; echo "${secret:9}; $secret ${secret//\//%2F}"; echo "token $right""#;
    let set_up = format!("{ASK} ask $right");
    let running = with_role(task).with(|assignment| assignment.setup_commands.push(set_up)).begin();
    running.control.give_credentials([10, 10, 60].map(SignedDuration::from_mins).to_vec());
    let told = running.told().await;
    let output = told.output();
    let given = r#""SecretAccessKey":"***","Token":"***""#;
    assert_eq!(output.matches(given).count(), 2, "{output}");
    assert!(output.contains("ASIAFETCH2") && output.contains("ASIAFETCH3"), "{output}");
    assert!(output.contains("\n***; *** ") && output.ends_with("\ntoken ***\n"), "{output}");
    assert_eq!(told.control.calls("aws-credentials"), 3);
    for secret in [&control::SECRET_ACCESS_KEY[..9], &control::SESSION_TOKEN[..9]] {
        assert!(!told.control.was_told(secret), "{secret} has left: {output}");
    }
}

#[tokio::test]
async fn without_credentials_the_task_hears_why_and_the_run_goes_on() {
    async fn check(task: &str, lives: &[i64], trouble: Trouble, expected: &str, notices: &[&str]) {
        let running = with_role(task)
            .troubled(move |call, _| if call == "aws-credentials" { trouble } else { Trouble::None })
            .begin();
        running.control.give_credentials(lives.iter().copied().map(SignedDuration::from_mins).collect());
        let told = running.told().await;
        assert!(told.output().contains(expected), "{}", told.output());
        assert_eq!(told.control.texts("notice", "text"), notices);
        assert!(matches!(told.outcome(), Outcome::Succeeded { .. }));
    }
    let notice = r#"the task has no AWS credentials: the role is "out of reach""#;
    check("ask $right", &[], Trouble::None, "HTTP/1.1 404 Not Found", &[notice]).await;
    check("ask $right", &[], Trouble::None, r#"{"Code":"no_role","Message":"the role is \"out of reach\"""#, &[notice])
        .await;
    let notice = "the task has no AWS credentials: the control plane does not answer; ask again";
    check("ask $right", &[], Trouble::Before(503), "HTTP/1.1 503 Service Unavailable", &[notice]).await;
    check("ask ${right}x", &[60], Trouble::None, "HTTP/1.1 401 Unauthorized", &[]).await;
    // Those that have not expired are better than none.
    check("ask $right", &[10], Trouble::None, "ASIAFETCH1", &[]).await;
}

#[tokio::test]
async fn the_first_set_up_command_that_fails_ends_the_run() {
    let told = Story::of("echo never")
        .with(|assignment| assignment.setup_commands = ["echo $CI", "exit 1", "echo never"].map(str::to_owned).to_vec())
        .told()
        .await;
    told.failed(FailureClass::SetupFailed, "set-up command 2 of 3 failed with exit code 1: exit 1");
    assert_eq!(told.output(), "true\n");
    assert!(!told.control.started());
}

#[tokio::test]
async fn a_set_up_command_has_its_time_and_may_leave_a_service() {
    let mut story = Story::of("echo never").with(|assignment| {
        assignment.setup_commands = vec!["sleep 600 >/dev/null 2>&1 &".to_owned(), "sleep 600".to_owned()]
    });
    story.setup = Duration::from_secs(2);
    let told = story.told().await;
    told.failed(FailureClass::SetupFailed, "set-up command 2 of 2 did not end within 2 s: sleep 600");
    told.nobody_left();

    let told = Story::of("kill -0 \"$(cat ../service)\" && echo alive")
        .with(|assignment| {
            assignment.setup_commands = vec!["sleep 600 >/dev/null 2>&1 & echo $! > ../service".to_owned()]
        })
        .told()
        .await;
    told.succeeded("alive");
    told.nobody_left();
}

#[tokio::test]
async fn cloning_and_setting_up_have_their_time_together() {
    let folder = tempfile::tempdir().unwrap();
    repository(&folder.path().join("web"));
    let story = |seconds| {
        let story = Story::of("echo worked").repository(&folder.path().join("web"), None);
        story.with(|assignment| {
            assignment.setup_commands = vec!["sleep 1.5".to_owned(); 2];
            assignment.setup_seconds = Some(seconds);
        })
    };
    let told = story(2).told().await;
    told.failed(FailureClass::SetupFailed, "did not end within the 2 s that the run allows (setup_seconds)");
    assert!(!told.control.started());
    told.nobody_left();
    story(60).told().await.succeeded("worked");
}

#[tokio::test]
async fn repositories_are_cloned_side_by_side_at_what_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let (web, api, old) = (folder.path().join("web"), folder.path().join("api"), folder.path().join("old"));
    repository(&web);
    repository(&api);
    let commit = repository(&old);
    if rustix::process::getuid().is_root() {
        // Somebody else's repository is no obstacle.
        let chown = std::process::Command::new("chown").arg("-R").arg("12345:12345").arg(&web).status().unwrap();
        assert!(chown.success());
    }
    let told = Story::of("cat web/file api/file old/file; git -C old rev-parse HEAD; git -C web branch --show-current; echo x >> api/file")
        .repository(&web, None)
        .repository(&api, Some("dev"))
        .repository(&old, Some(&commit))
        .told()
        .await;
    assert!(told.output().ends_with(&format!("two\ndev\none\n{commit}\nmain\n")), "{}", told.output());
    assert_eq!(told.control.texts("file", "path"), ["api/file"]);
}

#[tokio::test]
async fn one_repository_is_where_the_task_works() {
    let folder = tempfile::tempdir().unwrap();
    repository(&folder.path().join("web"));
    let story = Story::of("cat file; git log -1 --format=%s").repository(&folder.path().join("web"), None);
    story.told().await.succeeded("two\ntwo");
}

#[tokio::test]
async fn a_clone_that_fails_says_which_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let web = folder.path().join("web");
    repository(&web);
    let url = |story: Story, url: &str| {
        let url = url.parse().unwrap();
        story.with(|assignment| assignment.repositories.push(Repository { url, reference: None }))
    };
    let story = || Story::of("echo never");
    let absent = "0123456789012345678901234567890123456789";
    for (story, expected) in [
        (story().repository(&web, Some("nope")), "branch or tag \"nope\" does not exist in file:///".to_owned()),
        (story().repository(&web, Some(absent)), format!("commit {absent} does not exist in file:///")),
        (story().repository(Path::new("/no/such"), None), "there is no git repository at /no/such".to_owned()),
        (
            story().repository(&web, None).repository(&web, None),
            "would both be cloned into the folder \"web\"".to_owned(),
        ),
        (url(story(), "https://127.0.0.1:1/a/b"), "127.0.0.1 cannot be reached".to_owned()),
        (url(story(), "git@127.0.0.1:a/b"), "git@127.0.0.1:a/b".to_owned()),
    ] {
        let told = story.told().await;
        told.failed(FailureClass::SetupFailed, &expected);
        assert!(!told.control.started());
    }
}

#[tokio::test]
async fn a_harness_that_is_not_there_yet_is_said_so() {
    let told = Story::of("x").with(|assignment| assignment.harness = HarnessKind::Claude).told().await;
    told.failed(FailureClass::AgentFailed, "\"claude\" is not available yet");
}

#[tokio::test]
async fn a_control_plane_may_be_far_away() {
    let mut story = Story::of("echo hello");
    story.transport = Transport::Tcp;
    story.told().await.succeeded("hello");
}

#[tokio::test]
async fn an_image_without_the_tools_is_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut story = Story::of("echo never");
    story.path = folder.path().display().to_string();
    story.told().await.failed(
        FailureClass::ImageUnusable,
        "this image has no shell, neither bash nor sh; use an image with bash, git and coreutils",
    );

    std::os::unix::fs::symlink("/bin/sh", folder.path().join("sh")).unwrap();
    let mut story = Story::of("echo $0 $1");
    story.path = folder.path().display().to_string();
    let told = story.told().await;
    told.succeeded(&told.workspace().join("task.sh").display().to_string());
    let notice = format!("this image has no bash; scripts are run by {}", folder.path().join("sh").display());
    assert_eq!(told.control.texts("notice", "text"), [notice]);

    let mut story = Story::of("echo never").repository(Path::new("/no/such"), None);
    story.path = folder.path().display().to_string();
    story.told().await.failed(FailureClass::ImageUnusable, "this image has no git");
}

#[tokio::test]
async fn a_silent_task_still_beats() {
    let told = Story::of("sleep 3.5")
        .with(|assignment| {
            assignment.watched = false;
            assignment.heartbeat_seconds = 1;
        })
        .told()
        .await;
    assert!(told.control.last_segment() >= 3);
}

#[tokio::test]
async fn a_trail_that_is_refused_is_the_agents_failure() {
    let told = Story::of("echo x; sleep 600")
        .troubled(|call, _| if call == "segments/2" { Trouble::Before(413) } else { Trouble::None })
        .begin()
        .report()
        .await;
    assert_eq!(told.last_segment, 1);
    let Outcome::Failed { class, message } = told.outcome else { panic!("{told:?}") };
    assert_eq!(
        (class, message.as_str()),
        (FailureClass::AgentFailed, "the trail of the run could not be stored; the log of its agent says why")
    );
}

#[tokio::test]
async fn the_agents_own_token_is_out_of_the_tasks_reach() {
    // Root reads everything, so that this says something for everybody else alone.
    let told = Story::of("cat /proc/$PPID/environ | tr '\\0' '\\n'; head -c 1 /proc/$PPID/mem; true").told().await;
    let is_root = rustix::process::getuid().is_root();
    assert!(is_root || !told.output().contains("OZ_CLAIM_TOKEN"), "{}", told.output());
}
