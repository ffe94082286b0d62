//! An agent's life as a story: what it is given, what it does, and what was told of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use ozma_domain::failure::FailureClass;
use ozma_domain::harness::HarnessKind;
use ozma_domain::id::{ExecutionId, RunId};
use ozma_domain::outcome::Outcome;
use ozma_domain::plan::Size;
use ozma_domain::protocol::{Assignment, Report};
use ozma_domain::repository::Repository;
use rustix::process::{Pid, Signal};
use tokio::process::{Child, Command};

use crate::control::{Control, Trouble};

pub(crate) const SECRET: &str = "hunter22-of-the-forest";

/// What goes wrong, given a call and how often it was made.
pub(crate) type Plan = Box<dyn FnMut(&str, usize) -> Trouble + Send>;

/// An agent that is to be.
pub(crate) struct Story {
    folder: tempfile::TempDir,
    pub(crate) assignment: Assignment,
    pub(crate) plan: Plan,
    pub(crate) processes: u64,
    pub(crate) setup: Duration,
    pub(crate) path: String,
    pub(crate) transport: Transport,
}

pub(crate) enum Transport {
    Unix,
    Tcp,
}

/// An agent at work.
pub(crate) struct Running {
    folder: tempfile::TempDir,
    pub(crate) control: Control,
    pub(crate) child: Child,
}

/// An agent that was.
pub(crate) struct Told {
    /// Holds the workspace.
    folder: tempfile::TempDir,
    pub(crate) control: Control,
    pub(crate) exit_code: i32,
}

impl Story {
    pub(crate) fn of(task: &str) -> Self {
        let run_id = RunId::new(1, [7; 10]);
        let assignment = Assignment {
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
            secrets: BTreeMap::from([("SECRET".to_owned(), SECRET.to_owned())]),
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
        };
        let folder = tempfile::tempdir().unwrap();
        Self {
            folder,
            assignment,
            plan: Box::new(|_, _| Trouble::None),
            processes: 1000,
            setup: Duration::from_secs(60),
            path: std::env::var("PATH").unwrap(),
            transport: Transport::Unix,
        }
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Assignment)) -> Self {
        change(&mut self.assignment);
        self
    }

    pub(crate) fn troubled(mut self, plan: impl FnMut(&str, usize) -> Trouble + Send + 'static) -> Self {
        self.plan = Box::new(plan);
        self
    }

    pub(crate) fn repository(self, path: &Path, reference: Option<&str>) -> Self {
        let url = format!("file://{}", path.display()).parse().unwrap();
        let reference = reference.map(|text| text.parse().unwrap());
        self.with(|assignment| assignment.repositories.push(Repository { url, reference }))
    }

    pub(crate) fn begin(self) -> Running {
        let workspace = self.folder.path().join("workspace");
        let execution = self.assignment.execution_id.to_string();
        let control = Control::new(self.folder.path(), self.assignment, self.plan);
        let control_url = match self.transport {
            Transport::Unix => format!("unix:{}", control.socket.display()),
            Transport::Tcp => format!("http://{}", control.address),
        };
        let mut agent = Command::new(std::env::current_exe().unwrap());
        agent.args(["--exact", "agent_process", "--nocapture"]).env_clear().kill_on_drop(true);
        agent.stdin(Stdio::null()).stdout(Stdio::null());
        let variables = [
            ("PATH", self.path),
            ("HOST_ONLY", "must not be seen".to_owned()),
            ("OZ_CONTROL_URL", control_url),
            ("OZ_EXECUTION_ID", execution),
            ("OZ_CLAIM_TOKEN", "ozc_claim".to_owned()),
            ("OZ_WORKSPACE", workspace.display().to_string()),
            ("OZ_ISOLATION", "process".to_owned()),
            ("OZ_TEST_GRACE_MS", "1000".to_owned()),
            ("OZ_TEST_PROCESSES", self.processes.to_string()),
            ("OZ_TEST_SETUP_MS", self.setup.as_millis().to_string()),
        ];
        let child = agent.envs(variables).spawn().unwrap();
        Running { folder: self.folder, control, child }
    }

    pub(crate) async fn told(self) -> Told {
        self.begin().told().await
    }
}

impl Running {
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().unwrap().cast_signed()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// The report alone, of an agent whose trail does not end as it should.
    pub(crate) async fn report(mut self) -> Report {
        self.child.wait().await.unwrap();
        self.control.report().expect("there is a report")
    }

    pub(crate) async fn told(mut self) -> Told {
        let limit = Duration::from_secs(120);
        let status = tokio::time::timeout(limit, self.child.wait()).await.expect("the agent ends").unwrap();
        let told = Told { folder: self.folder, control: self.control, exit_code: status.code().unwrap() };
        // Whatever the story, these hold.
        assert!(!told.control.was_told(SECRET), "the secret has left");
        if let Some(report) = told.control.report() {
            assert_eq!(told.exit_code, 0);
            assert_eq!(report.last_segment, told.control.last_segment());
            assert_eq!(report.usage, told.control.usage());
            let ended = told.control.events().pop().unwrap();
            assert_eq!(ended["type"], "ended");
            assert_eq!(serde_json::from_value::<Outcome>(ended).unwrap(), report.outcome);
        }
        told
    }
}

impl Told {
    pub(crate) fn outcome(&self) -> Outcome {
        self.control.report().expect("there is a report").outcome
    }

    #[track_caller]
    pub(crate) fn succeeded(&self, summary: &str) {
        assert_eq!(self.outcome(), Outcome::Succeeded { summary: summary.to_owned() });
    }

    #[track_caller]
    pub(crate) fn failed(&self, expected: FailureClass, words: &str) {
        match self.outcome() {
            Outcome::Failed { class, message } => {
                assert_eq!(class, expected, "{message}");
                assert!(message.contains(words), "{message}");
            }
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn output(&self) -> String {
        self.control.texts("output", "text").concat()
    }

    /// What was saved, and what was left out and why.
    pub(crate) fn saved(&self) -> (Vec<String>, Vec<String>) {
        let set = self.control.set().unwrap_or_default();
        let left_out = set.left_out.iter().map(|left| format!("{}: {}", left.path, left.reason)).collect();
        (set.files.into_iter().map(|file| file.path).collect(), left_out)
    }

    pub(crate) fn workspace(&self) -> PathBuf {
        self.folder.path().join("workspace")
    }

    /// No process works in the workspace any more.
    #[track_caller]
    pub(crate) fn nobody_left(&self) {
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            if let Ok(cwd) = std::fs::read_link(entry.path().join("cwd")) {
                assert!(!cwd.starts_with(self.folder.path()), "{} is still there", entry.path().display());
            }
        }
    }
}

/// A repository with the branches `main` and `dev`. Returns the commit that `main` began with.
pub(crate) fn repository(path: &Path) -> String {
    let script = r#"
        git init -q -b main "$1"; cd "$1"
        git config user.name t; git config user.email t@example.com
        echo one > file; git add .; git commit -qm one
        git checkout -qb dev; echo dev > file; git commit -qam dev
        git checkout -q main; echo two > file; git commit -qam two
        git rev-parse main~1
    "#;
    let mut bash = std::process::Command::new("bash");
    let output = bash.args(["-ec", script, "-"]).arg(path).env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
