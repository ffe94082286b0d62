//! A launcher over a folder of its own, with bash scripts in the place of `oz`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ozma_app::ports::{LaunchRequest, Launched, Launcher};
use ozma_domain::environment::{Capacity, Network};
use ozma_domain::id::{ExecutionId, RunId};
use ozma_domain::plan::Plan;
use ozma_domain::run::Isolation;
use ozma_local::launcher::{Host, LauncherOptions, LocalLauncher, Prefer};
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(crate) struct Bench {
    pub(crate) temp: TempDir,
    pub(crate) prefer: Prefer,
    pub(crate) host: Host,
    pub(crate) engines: Vec<PathBuf>,
    pub(crate) grace: Duration,
    sender: UnboundedSender<(ExecutionId, Option<String>)>,
    exits: UnboundedReceiver<(ExecutionId, Option<String>)>,
}

impl Bench {
    /// `script` is what agents do.
    pub(crate) fn new(prefer: Prefer, script: &str) -> Self {
        Self::below(&std::env::temp_dir(), prefer, script)
    }

    pub(crate) fn below(folder: &Path, prefer: Prefer, script: &str) -> Self {
        // Open to its owner alone, as all temporary folders are.
        let temp = TempDir::with_prefix_in("oz-launcher-", folder).unwrap();
        let (sender, exits) = unbounded_channel();
        let host = Host { path: PATH.into(), home: None };
        let grace = Duration::from_secs(10);
        let bench = Self { temp, prefer, host, engines: Vec::new(), grace, sender, exits };
        for folder in ["data", "socket"] {
            fs::create_dir(bench.path(folder)).unwrap();
        }
        fs::write(bench.path("oz"), format!("#!/bin/bash\n{script}\n")).unwrap();
        fs::set_permissions(bench.path("oz"), fs::Permissions::from_mode(0o755)).unwrap();
        bench
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    pub(crate) fn launcher(&self) -> LocalLauncher {
        LocalLauncher::new(LauncherOptions {
            executable: self.path("oz"),
            data_dir: self.path("data"),
            socket_dir: self.path("socket"),
            prefer: self.prefer,
            host: self.host.clone(),
            engines: self.engines.clone(),
            grace: self.grace,
            on_exit: self.sender.clone(),
        })
    }

    pub(crate) fn folder(&self, execution: ExecutionId) -> PathBuf {
        self.path("data/executions").join(execution.to_string())
    }

    pub(crate) fn log(&self, execution: ExecutionId) -> String {
        fs::read(self.folder(execution).join("agent.log"))
            .map(|log| String::from_utf8_lossy(&log).into_owned())
            .unwrap_or_default()
    }

    pub(crate) async fn logged(&self, execution: ExecutionId, text: &str) {
        until(&format!("the log says {text}"), || self.log(execution).contains(text)).await;
    }

    pub(crate) async fn exit(&mut self) -> (ExecutionId, Option<String>) {
        tokio::time::timeout(Duration::from_secs(60), self.exits.recv()).await.expect("no agent ended").unwrap()
    }

    /// Whether the sandbox can be tested here.
    pub(crate) async fn sandboxed(&self, launcher: &LocalLauncher) -> bool {
        if self.prefer == Prefer::Process {
            return false;
        }
        match launcher.isolation().await {
            (Isolation::Bubblewrap, _) => true,
            (_, reason) => {
                let installed = Path::new("/usr/bin/bwrap").exists();
                #[expect(
                    clippy::disallowed_methods,
                    reason = "these tests may be the task of a run, whose sandbox holds no other"
                )]
                let nested = std::env::var_os("OZ_RUN_ID").is_some();
                assert!(!installed || nested, "bubblewrap is installed and does not work: {reason:?}");
                #[expect(clippy::print_stderr, reason = "whoever runs the tests should know")]
                {
                    eprintln!("skipped, as there is no sandbox: {}", reason.unwrap_or_default());
                }
                false
            }
        }
    }
}

impl Drop for Bench {
    /// Workspaces may still be on their way out.
    fn drop(&mut self) {
        for _ in 0..200 {
            if fs::remove_dir_all(self.temp.path()).is_ok() || !self.temp.path().exists() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

pub(crate) fn execution(number: u32) -> ExecutionId {
    let mut random = [0; 10];
    getrandom::fill(&mut random).unwrap();
    ExecutionId::new(RunId::new(1_760_000_000_000 + u64::from(number), random), 1)
}

pub(crate) fn request(execution: ExecutionId, slot: u16) -> LaunchRequest {
    LaunchRequest {
        execution,
        team: "local".parse().unwrap(),
        slot,
        size: Plan::named("free").unwrap().size,
        image: None,
        repositories: Vec::new(),
        network: Network::Full,
        capacity: Capacity::OnDemand,
        claim_token: "token-once".to_owned().into(),
    }
}

pub(crate) async fn launch(launcher: &LocalLauncher, request: &LaunchRequest) -> Isolation {
    match launcher.launch(request).await.unwrap() {
        Launched::Started { isolation } => isolation,
        other => panic!("not started: {other:?}"),
    }
}

pub(crate) async fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !happened() {
        assert!(begin.elapsed() < Duration::from_secs(30), "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Processes that carry the execution's variable.
pub(crate) fn processes_of(execution: ExecutionId) -> Vec<String> {
    let marker = format!("OZ_EXECUTION_ID={execution}");
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let carries = |path: &Path| {
        let environment = fs::read(path.join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == marker.as_bytes())
    };
    let found = entries.filter(|entry| carries(&entry.path()));
    found
        .map(|entry| String::from_utf8_lossy(&fs::read(entry.path().join("cmdline")).unwrap_or_default()).into_owned())
        .collect()
}
