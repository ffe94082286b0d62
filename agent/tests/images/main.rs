//! The static agent in containers of images that have little. `agent/tests/images/run` assembles the images and runs this;
//! by itself it skips.

#![expect(clippy::disallowed_methods, reason = "tests read the clock and their own environment")]

#[path = "../control/mod.rs"]
#[expect(dead_code, reason = "tests of whole lives use the rest of it")]
mod control;
mod names;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use ozma_domain::failure::FailureClass;
use ozma_domain::harness::HarnessKind;
use ozma_domain::id::{ExecutionId, RunId};
use ozma_domain::outcome::Outcome;
use ozma_domain::plan::Size;
use ozma_domain::protocol::Assignment;
use ozma_domain::repository::Repository;
use rustix::process::{Pid, Signal};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use control::{Control, Trouble};

/// A user that no image knows.
const NOBODY: u32 = 4711;
const ROOT: u32 = 0;

/// What `run` assembled.
struct Images {
    folder: PathBuf,
    agent: PathBuf,
}

/// A container at work, its control plane, and its volumes.
struct Container {
    images: Images,
    volumes: tempfile::TempDir,
    control: Control,
    process: Child,
    front: Option<Child>,
}

struct Told {
    control: Control,
    status: ExitStatus,
}

/// How the container finds its control plane.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Address,
    Name,
    Tls,
}

/// The images, or none and a word about it.
#[expect(clippy::print_stderr, reason = "a test that skips says so")]
fn images() -> Option<Images> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let images = variable("OZ_TEST_IMAGES").zip(variable("OZ_TEST_AGENT"));
    if images.is_none() {
        eprintln!("skipped: agent/tests/images/run assembles the images that this needs");
    }
    images.map(|(folder, agent)| Images { folder, agent })
}

fn assignment(task: &str) -> Assignment {
    let run_id = RunId::new(1, [7; 10]);
    Assignment {
        run_id,
        execution_id: ExecutionId::new(run_id, 1),
        attempt: 1,
        team: "local".parse().unwrap(),
        prompt: task.to_owned(),
        last_message: String::new(),
        harness: HarnessKind::Shell,
        notices: Vec::new(),
        repositories: Vec::new(),
        setup_commands: Vec::new(),
        variables: BTreeMap::new(),
        secrets: BTreeMap::new(),
        size: Size { vcpus: 2, memory_mib: 4096, disk_mib: 4096 },
        deadline_at: Timestamp::now() + SignedDuration::from_secs(300),
        heartbeat_seconds: 15,
        lease_seconds: 60,
        watched: true,
        aws_role: false,
        setup_seconds: None,
        idle_seconds: None,
        restore: None,
        event: None,
    }
}

fn cloning(task: &str) -> Assignment {
    let repositories = vec![Repository { url: "file:///repository".parse().unwrap(), reference: None }];
    Assignment { repositories, ..assignment(task) }
}

impl Images {
    /// A command in a container of `image`, as process 1.
    fn enter(&self, image: &Path, volumes: &Path, user: u32) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child=KILL", "sh"]);
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/images/enter"));
        command.arg(image).arg(volumes).arg(user.to_string());
        command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// What a task definition does: the agent's own image fills the volumes, then the image's container starts the agent.
    async fn start(self, image: &str, user: u32, way: Way, assignment: Assignment) -> Container {
        let volumes = tempfile::tempdir().unwrap();
        for name in ["ozma", "workspace"] {
            std::fs::create_dir(volumes.path().join(name)).unwrap();
        }
        let own = tempfile::tempdir().unwrap();
        for name in ["ozma", "workspace", "proc", "dev"] {
            std::fs::create_dir(own.path().join(name)).unwrap();
        }
        std::fs::copy(&self.agent, own.path().join("oz-agent")).unwrap();
        let mut install = self.enter(own.path(), volumes.path(), ROOT);
        install.args(["/oz-agent", "install", "/ozma", "/workspace"]);
        assert!(install.status().await.unwrap().success(), "the agent installs itself");

        let execution = assignment.execution_id.to_string();
        let control = Control::new(volumes.path(), assignment, |_, _| Trouble::None);
        let mut front = None;
        let url = match way {
            Way::Address => format!("http://{}", control.address),
            Way::Name => format!("http://control.example:{}", control.address.port()),
            Way::Tls => {
                let (child, port) = self.tls(control.address.port()).await;
                front = Some(child);
                format!("https://control.example:{port}")
            }
        };
        let mut command = self.enter(&self.folder.join("images").join(image), volumes.path(), user);
        command.arg("/ozma/oz-agent").envs([
            ("OZ_CONTROL_URL", url.as_str()),
            ("OZ_EXECUTION_ID", &execution),
            ("OZ_CLAIM_TOKEN", "ozc_claim"),
            ("OZ_WORKSPACE", "/workspace"),
            ("OZ_ISOLATION", "fargate"),
            ("ECS_AGENT_URI", "not the task's business"),
            ("TOOL_HOME", "/opt/tool"),
        ]);
        let process = command.spawn().unwrap();
        Container { images: self, volumes, control, process, front }
    }

    /// TLS in front of the control plane, with a certificate that the image trusts.
    async fn tls(&self, port: u16) -> (Child, u16) {
        let mut command = Command::new("python3");
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/images/tls.py"));
        command.args([self.folder.join("certificate.pem"), self.folder.join("key.pem")]).arg(port.to_string());
        let mut front = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(front.stdout.take().unwrap()).lines();
        let port = lines.next_line().await.unwrap().expect("its port").parse().unwrap();
        (front, port)
    }

    async fn run(self, image: &str, user: u32, way: Way, assignment: Assignment) -> Told {
        self.start(image, user, way, assignment).await.told().await
    }
}

impl Container {
    async fn told(mut self) -> Told {
        let limit = Duration::from_secs(120);
        let status = tokio::time::timeout(limit, self.process.wait()).await.expect("the container ends").unwrap();
        drop((self.front, self.volumes, self.images));
        Told { control: self.control, status }
    }

    /// What `StopTask` does to process 1.
    fn stop(&self) {
        let engine = self.process.id().unwrap();
        let children = std::fs::read_to_string(format!("/proc/{engine}/task/{engine}/children")).unwrap();
        let first = Pid::from_raw(children.trim().parse().unwrap()).unwrap();
        rustix::process::kill_process(first, Signal::TERM).unwrap();
    }
}

impl Told {
    #[track_caller]
    fn outcome(&self) -> Outcome {
        let report = self.control.report().unwrap_or_else(|| panic!("no report: {}", self.status));
        assert!(self.status.success());
        assert_eq!(report.last_segment, self.control.last_segment());
        report.outcome
    }

    #[track_caller]
    fn succeeded(&self, summary: &str) {
        assert_eq!(self.outcome(), Outcome::Succeeded { summary: summary.to_owned() });
    }

    #[track_caller]
    fn failed(&self, class: FailureClass, message: &str) {
        assert_eq!(self.outcome(), Outcome::Failed { class, message: message.to_owned() });
    }
}

/// The name is looked up as the container's `/etc/resolv.conf` says. The repository is another user's, the user has no name,
/// and the root file system cannot be written to.
#[tokio::test]
async fn debian_as_a_user_that_it_does_not_know() {
    let Some(images) = images() else { return };
    names::serve("127.0.0.77:53".parse().unwrap());
    let task = r#"
        git log --format=%s
        git -c user.name=t -c user.email=t@example.com commit -q --allow-empty -m mine && git log --oneline | wc -l
        echo "$(id -u) $USER $HOME $TOOL_HOME [$ECS_AGENT_URI]"
        touch /here 2>/dev/null || echo read-only
        cat <<< "bash writes to $TMPDIR"
        echo "${TRACEPARENT:0:36}"
    "#;
    let told = images.run("debian", NOBODY, Way::Name, cloning(task)).await;
    told.succeeded(
        "from the image\n2\n4711 agent /workspace/home /opt/tool []\nread-only\nbash writes to /workspace/tmp\n\
         00-00000000000177078707070707070707-",
    );
}

#[tokio::test]
async fn debian_as_root() {
    let Some(images) = images() else { return };
    let told = images.run("debian", ROOT, Way::Address, cloning("git log --format=%s; id -u; echo $USER")).await;
    told.succeeded("from the image\n0\nroot");
}

#[tokio::test]
async fn process_1_reaps_orphans_and_ends_them_with_the_task() {
    let Some(images) = images() else { return };
    // A subshell that ends at once leaves its child to process 1.
    let task = r#"
        for i in 1 2 3; do (bash -c 'echo $$ >> pids; exec sleep 0.1' &); done
        (sleep 1000 &)
        until [ "$(wc -l < pids)" = 3 ]; do sleep 0.1; done
        for pid in $(cat pids); do while [ -e /proc/$pid ]; do sleep 0.1; done; done
        echo reaped
    "#;
    let told = images.run("debian", NOBODY, Way::Address, assignment(task)).await;
    told.succeeded("reaped");
}

#[tokio::test]
async fn a_stopped_container_reports_in_time() {
    let Some(images) = images() else { return };
    // Whoever ignores SIGTERM is killed before the platform kills the agent.
    let task = "trap '' TERM; echo at work; while true; do sleep 1000; done";
    let container = images.start("debian", ROOT, Way::Address, assignment(task)).await;
    let at_work = container.control.output_holds("at work");
    tokio::time::timeout(Duration::from_secs(60), at_work).await.expect("the task prints");
    container.stop();
    let told = container.told().await;
    told.failed(FailureClass::Interrupted, "the platform stopped the agent before the task ended");
}

#[tokio::test]
async fn alpine_runs_scripts_with_its_own_shell_and_says_so() {
    let Some(images) = images() else { return };
    let mut work = assignment("cat made; id -u; ls /workspace/work");
    work.setup_commands.push("echo by setup > made".to_owned());
    let told = images.run("alpine", NOBODY, Way::Name, work).await;
    told.succeeded("by setup\n4711\nmade");
    assert_eq!(told.control.texts("notice", "text"), ["this image has no bash; scripts are run by /usr/bin/sh"]);
}

#[tokio::test]
async fn without_git_nothing_is_cloned_and_the_reason_is_said() {
    let Some(images) = images() else { return };
    images.run("alpine", ROOT, Way::Address, cloning("true")).await.failed(
        FailureClass::ImageUnusable,
        "this image has no git, so that nothing can be cloned; use an image with git, or no repositories",
    );
}

#[tokio::test]
async fn a_shell_and_certificates_are_enough() {
    let Some(images) = images() else { return };
    let told = images.run("distroless", NOBODY, Way::Tls, assignment("echo hello")).await;
    told.succeeded("hello");
}

#[tokio::test]
async fn without_a_shell_the_reason_is_said() {
    let Some(images) = images() else { return };
    images.run("bare", NOBODY, Way::Address, assignment("true")).await.failed(
        FailureClass::ImageUnusable,
        "this image has no shell, neither bash nor sh; use an image with bash, git and coreutils",
    );
}

#[tokio::test]
async fn a_shell_that_cannot_start_is_no_riddle() {
    let Some(images) = images() else { return };
    images
        .run("broken", ROOT, Way::Address, assignment("true"))
        .await
        .failed(FailureClass::ImageUnusable, "bash could not be started: this image lacks the libraries that it needs");
}
