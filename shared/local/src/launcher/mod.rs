//! The launcher of one machine: each agent in a sandbox of bubblewrap, else as a plain process, or in a container where
//! its environment names an image and an engine is reachable.
//!
//! Agents outlive the control plane. Whatever kills it, the next one finds them by the records in the data folder
//! ([`LocalLauncher::adopt`]) and no agent runs without one, because it begins only after its record is written.
//!
//! ```text
//! <data dir>/executions/<execution id>/
//!   process.json   what runs, see `record.rs`
//!   status.json    what bubblewrap tells: its init's pid, the exit code
//!   agent.log      what the agent itself says; kept for the last 200 executions
//!   workspace/     all that the agent can write; home/ and tmp/ in it. Gone with the agent
//! <data dir>/trash/  workspaces that are being removed
//! ```

mod bubblewrap;
mod container;
mod limits;
mod process;
mod record;
mod repositories;
mod supervisor;
mod tools;
mod workspace;

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ozma_app::ports::{ContainerEnd, ContainerStatus, LaunchRequest, Launched, Launcher, PortError};
use ozma_domain::environment::Network;
use ozma_domain::id::{ExecutionId, TeamId};
use ozma_domain::limits::FINALISE_SECONDS;
use ozma_domain::protocol::variable;
use ozma_domain::run::Isolation;
use secrecy::ExposeSecret;
use tokio::io::AsyncWriteExt;
use tokio::sync::{OnceCell, watch};

use self::bubblewrap::{Bubblewrap, View};
use self::container::{Container, Engine, Failed};
use self::record::{Body, Folder, Identity, Record};
pub use self::supervisor::OnExit;
use self::supervisor::{Running, Supervisor, blocking};
pub use self::tools::Host;

/// A slot's earlier agent is killed after the first, and waited for until the second.
const SLOT_KILL: Duration = Duration::from_secs(10);
const SLOT_WAIT: Duration = Duration::from_secs(5);

/// A launch waits this long for an image; after that the run waits in the queue, with the reason.
const PULL_WAIT: Duration = Duration::from_secs(15);
const PULL_AGAIN: Duration = Duration::from_secs(5);

pub struct LauncherOptions {
    /// The `oz` program; agents run it as `<executable> agent`.
    pub executable: PathBuf,
    /// Holds a folder for each execution, and belongs to this launcher alone.
    pub data_dir: PathBuf,
    /// Holds the control plane's socket `oz.sock` and nothing else. The folder is what agents see, so that a restarted
    /// control plane may put a new socket there. Agents of root's control plane are other users: the socket must be
    /// writable for all, the folder open to all, and the folders above it need not be.
    pub socket_dir: PathBuf,
    pub prefer: Prefer,
    pub host: Host,
    /// Sockets at which a container engine may listen, best first.
    pub engines: Vec<PathBuf>,
    /// From SIGTERM to SIGKILL; see [`LauncherOptions::GRACE`].
    pub grace: Duration,
    pub on_exit: OnExit,
}

/// Which isolation to use where several work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Prefer {
    /// The strictest.
    #[default]
    Isolation,
    /// A plain process, for machines whose sandbox is in the way.
    Process,
}

pub struct LocalLauncher {
    options: LauncherOptions,
    supervisor: Arc<Supervisor>,
    bubblewrap: OnceCell<Result<Bubblewrap, String>>,
    /// Executions whose launch is under way, and how many times at once.
    launching: Mutex<HashMap<ExecutionId, u32>>,
    /// One launch at a time in each slot.
    slots: Mutex<HashMap<(TeamId, u16), Turn>>,
    pulls: Mutex<HashMap<(PathBuf, String), Pull>>,
}

/// Who holds it launches.
type Turn = Arc<tokio::sync::Mutex<()>>;

/// Of an image: none until it is there, or the reason why it will not be.
type Pull = watch::Receiver<Option<Result<(), String>>>;

impl LauncherOptions {
    /// What agents are promised.
    pub const GRACE: Duration = Duration::from_secs(FINALISE_SECONDS);
}

impl LocalLauncher {
    pub fn new(mut options: LauncherOptions) -> Self {
        // Agents begin elsewhere, and containers are told apart by the data folder.
        for path in [&mut options.executable, &mut options.data_dir, &mut options.socket_dir] {
            *path = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
        }
        let supervisor = Supervisor::new(options.data_dir.clone(), options.grace, options.on_exit.clone());
        Self {
            options,
            supervisor,
            bubblewrap: OnceCell::new(),
            launching: Mutex::default(),
            slots: Mutex::default(),
            pulls: Mutex::default(),
        }
    }

    /// To be called once before the first launch: finds the agents of a control plane that is gone. Those that ended
    /// meanwhile are told of like any other.
    pub async fn adopt(&self) {
        self.supervisor.adopt(&self.options.engines).await;
    }

    /// Whether the workspace of an agent that ended is still being removed. Who leaves meanwhile leaves it to the next one.
    pub fn is_clearing_up(&self) -> bool {
        !self.supervisor.clearing.is_empty()
    }

    /// What keeps agents without an image apart from the machine, and why it is not more.
    pub async fn isolation(&self) -> (Isolation, Option<String>) {
        match self.bubblewrap().await {
            Ok(_) => (Isolation::Bubblewrap, None),
            Err(reason) => (Isolation::Process, Some(reason)),
        }
    }

    async fn bubblewrap(&self) -> Result<&Bubblewrap, String> {
        if self.options.prefer == Prefer::Process {
            return Err("plain processes were asked for".to_owned());
        }
        self.bubblewrap
            .get_or_init(|| Bubblewrap::probe(&self.options.host, &self.options.data_dir))
            .await
            .as_ref()
            .map_err(Clone::clone)
    }

    async fn launch_in_slot(&self, request: &LaunchRequest) -> Result<Launched, PortError> {
        if let Some(running) = self.supervisor.running(request.execution) {
            return Ok(Launched::Started { isolation: running.record.isolation });
        }
        if let Some(earlier) = self.supervisor.in_slot(&request.team, request.slot, request.execution)
            && !self.vacated(&earlier).await
        {
            let reason = format!("the agent before it in slot {} is still being stopped", request.slot);
            return Ok(Launched::NotYet { reason, wait: Duration::from_secs(5) });
        }
        if let Some(image) = &request.image
            && let Some(engine) = Engine::find(&self.options.engines).await
        {
            return self.launch_container(request, &engine, image).await;
        }
        match self.bubblewrap().await {
            Ok(bubblewrap) => self.launch_sandboxed(request, bubblewrap).await,
            Err(reason) if request.network == Network::None => Ok(Launched::Refused {
                reason: format!("the environment allows no network, which takes a sandbox to enforce: {reason}"),
            }),
            Err(_) => self.launch_plain(request).await,
        }
    }

    async fn launch_sandboxed(&self, request: &LaunchRequest, bubblewrap: &Bubblewrap) -> Result<Launched, PortError> {
        let folder = self.supervisor.folder(request.execution);
        let LauncherOptions { host, data_dir, socket_dir, executable, .. } = &self.options;
        let tools = host.tools(&[data_dir, socket_dir], Path::is_dir);
        let repositories = repositories::visible(&request.repositories, data_dir);
        let owner = bubblewrap.owner(request.slot);
        self.prepare(&folder, owner, tools.at_home.iter().cloned().collect()).await?;
        let (uid, gid) = match owner {
            Some(owner) => (owner, owner),
            None => (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()),
        };
        workspace::write_users(&folder, uid, gid)
            .map_err(|error| PortError::because("could not write a file", error))?;
        let arguments = bubblewrap.arguments(
            host,
            &View {
                folder: &folder,
                executable,
                socket_dir,
                data_dir,
                tools: &tools,
                repositories: &repositories,
                network: request.network,
                slot: request.slot,
            },
        );
        let variables = self.variables(
            request,
            Isolation::Bubblewrap,
            bubblewrap::CONTROL_URL.into(),
            bubblewrap::WORKSPACE.into(),
        );
        self.begin(request, Isolation::Bubblewrap, &arguments, &variables).await
    }

    async fn launch_plain(&self, request: &LaunchRequest) -> Result<Launched, PortError> {
        let folder = self.supervisor.folder(request.execution);
        let LauncherOptions { host, data_dir, socket_dir, executable, .. } = &self.options;
        let tools = host.tools(&[data_dir, socket_dir], Path::is_dir);
        self.prepare(&folder, None, tools.at_home.into_iter().collect()).await?;
        let arguments = process::without_sandbox(host, executable);
        let mut url = OsString::from("unix:");
        url.push(socket_dir.join("oz.sock"));
        let variables = self.variables(request, Isolation::Process, url, folder.workspace().into());
        self.begin(request, Isolation::Process, &arguments, &variables).await
    }

    async fn prepare(&self, folder: &Folder, owner: Option<u32>, at_home: Vec<PathBuf>) -> Result<(), PortError> {
        let (folder, home) = (folder.clone(), self.options.host.home.clone());
        let prepared =
            blocking(move || workspace::prepare(&folder, owner, home.as_deref().map(|home| (home, at_home))));
        let prepared = prepared.await.unwrap_or_else(|| Err(io::Error::other("shutting down")));
        prepared.map_err(|error| PortError::because("could not make a workspace", error))
    }

    /// Starts the process, limits and records it, and only then lets it become the agent.
    async fn begin(
        &self,
        request: &LaunchRequest,
        isolation: Isolation,
        arguments: &process::Arguments,
        variables: &BTreeMap<&str, OsString>,
    ) -> Result<Launched, PortError> {
        let execution = request.execution;
        let folder = self.supervisor.folder(execution);
        let failed = |error: io::Error| PortError::because("could not start an agent", error);
        if !self.options.executable.is_file() {
            return Err(PortError::new(format!("there is no program at {}", self.options.executable.display())));
        }
        let mut child = process::spawn(isolation, arguments, variables, &folder).map_err(failed)?;
        let pid = child.id().ok_or_else(|| PortError::new("could not start an agent"))?;
        let process = Identity::of(pid).map_err(failed)?;
        let limits::Applied { cgroups, notes } = limits::apply(pid, &execution.to_string(), request.slot, request.size);
        let record = Record {
            execution,
            team: request.team.clone(),
            slot: request.slot,
            isolation,
            body: Body::Process { process, cgroups: cgroups.clone() },
            ended: None,
        };
        let go = child.stdin.take();
        if let Err(error) = record.write(&folder) {
            // Without a word it goes away by itself.
            drop(go);
            let _ = child.wait().await;
            limits::remove(&cgroups);
            return Err(failed(error));
        }
        self.supervisor.watch(record, Some(child));
        if let Some(mut go) = go {
            // If it is gone already, the watch tells.
            let _ = go.write_all(b"\n").await;
        }
        tracing::info!(execution.id = %execution, isolation = isolation.as_str(), pid, limits = notes.join(", "), "an agent has begun");
        Ok(Launched::Started { isolation })
    }

    async fn launch_container(
        &self,
        request: &LaunchRequest,
        engine: &Engine,
        image: &str,
    ) -> Result<Launched, PortError> {
        let execution = request.execution;
        let broken = |error: bollard::errors::Error| PortError::because("the container engine did not answer", error);
        if !engine.has_image(image).await.map_err(broken)? {
            match self.pull(engine, image).await {
                None => {
                    let reason = format!("the image \"{image}\" is being pulled");
                    return Ok(Launched::NotYet { reason, wait: PULL_AGAIN });
                }
                Some(Err(reason)) => {
                    return Ok(Launched::Refused {
                        reason: format!("the image \"{image}\" could not be pulled: {reason}"),
                    });
                }
                Some(Ok(())) => (),
            }
        }
        let folder = self.supervisor.folder(execution);
        let LauncherOptions { data_dir, socket_dir, executable, .. } = &self.options;
        let variables =
            self.variables(request, Isolation::Container, container::CONTROL_URL.into(), container::WORKSPACE.into());
        let variables = variables.into_iter().filter(|(name, _)| *name != "PATH");
        let container = Container {
            execution,
            image,
            executable,
            socket_dir,
            data_dir,
            repositories: &repositories::visible(&request.repositories, data_dir),
            network: request.network,
            size: request.size,
            variables: variables.map(|(name, value)| format!("{name}={}", value.to_string_lossy())).collect(),
        };
        let name = container::name(execution);
        let record = Record {
            execution,
            team: request.team.clone(),
            slot: request.slot,
            isolation: Isolation::Container,
            body: Body::Container { name: name.clone(), engine: engine.socket.clone() },
            ended: None,
        };
        let recorded = std::fs::create_dir_all(&folder.0).and_then(|()| record.write(&folder));
        recorded.map_err(|error| PortError::because("could not record a container", error))?;
        let started = match engine.create(&container).await {
            Ok(()) => engine.start(&name).await,
            Err(failed) => Err(failed),
        };
        match started {
            Ok(()) => {
                tracing::info!(execution.id = %execution, isolation = "container", container = name, "an agent has begun");
                self.supervisor.watch(record, None);
                Ok(Launched::Started { isolation: Isolation::Container })
            }
            Err(failed) => {
                engine.remove(&name).await;
                let _ = std::fs::remove_dir_all(&folder.0);
                match failed {
                    Failed::Refused(reason) => {
                        let reason = format!("the image \"{image}\" does not start: {reason}");
                        Ok(Launched::Refused { reason })
                    }
                    Failed::Broken(error) => Err(broken(error)),
                }
            }
        }
    }

    /// None if it takes longer than a launch may. Goes on in the background, once for all who want the image.
    async fn pull(&self, engine: &Engine, image: &str) -> Option<Result<(), String>> {
        let key = (engine.socket.clone(), image.to_owned());
        let mut pulled = {
            let mut pulls = self.pulls.lock().unwrap_or_else(PoisonError::into_inner);
            let start = || {
                let (sender, receiver) = watch::channel(None);
                let (engine, image) = (engine.clone(), image.to_owned());
                tokio::spawn(async move { sender.send(Some(engine.pull(&image).await)) });
                receiver
            };
            pulls.entry(key.clone()).or_insert_with(start).clone()
        };
        let result = tokio::time::timeout(PULL_WAIT, pulled.wait_for(Option::is_some)).await.ok()?;
        let result =
            result.map_or_else(|_| Err("it was interrupted".to_owned()), |result| result.clone().unwrap_or(Ok(())));
        // Told once: the next launch may find a registry that works again.
        self.pulls.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        Some(result)
    }

    /// All that an agent learns of the outside.
    fn variables(
        &self,
        request: &LaunchRequest,
        isolation: Isolation,
        control_url: OsString,
        workspace: OsString,
    ) -> BTreeMap<&'static str, OsString> {
        BTreeMap::from([
            (variable::CONTROL_URL, control_url),
            (variable::EXECUTION_ID, request.execution.to_string().into()),
            (variable::CLAIM_TOKEN, request.claim_token.expose_secret().into()),
            (variable::WORKSPACE, workspace),
            (variable::ISOLATION, isolation.as_str().into()),
            ("PATH", self.options.host.path.clone()),
        ])
    }

    /// Waits for the end of an earlier agent, and brings it about if need be.
    async fn vacated(&self, earlier: &Running) -> bool {
        if tokio::time::timeout(SLOT_KILL, earlier.gone.cancelled()).await.is_err() {
            let _ = tokio::time::timeout(SLOT_WAIT, self.supervisor.kill(earlier)).await;
        }
        earlier.gone.is_cancelled()
    }
}

#[async_trait]
impl Launcher for LocalLauncher {
    async fn launch(&self, request: &LaunchRequest) -> Result<Launched, PortError> {
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.entry((request.team.clone(), request.slot)).or_default().clone()
        };
        let _launching = Launching::new(&self.launching, request.execution);
        let _alone = slot.lock().await;
        self.launch_in_slot(request).await
    }

    async fn stop(&self, execution: ExecutionId) -> Result<(), PortError> {
        if let Some(running) = self.supervisor.running(execution) {
            self.supervisor.stop(&running);
        }
        Ok(())
    }

    async fn status(&self, execution: ExecutionId) -> Result<ContainerStatus, PortError> {
        let is_launching = self.launching.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&execution);
        if is_launching || self.supervisor.running(execution).is_some() {
            return Ok(ContainerStatus::Alive);
        }
        let ended = Record::read(&self.supervisor.folder(execution)).and_then(|record| record.ended);
        Ok(ContainerStatus::Gone { end: ended.and_then(|ended| ended.reason).map(ContainerEnd::from) })
    }

    async fn list(&self) -> Result<Vec<ExecutionId>, PortError> {
        Ok(self.supervisor.all().into_iter().map(|running| running.record.execution).collect())
    }
}

/// Notes a launch for as long as it lives.
struct Launching<'a> {
    all: &'a Mutex<HashMap<ExecutionId, u32>>,
    execution: ExecutionId,
}

impl<'a> Launching<'a> {
    fn new(all: &'a Mutex<HashMap<ExecutionId, u32>>, execution: ExecutionId) -> Self {
        *all.lock().unwrap_or_else(PoisonError::into_inner).entry(execution).or_default() += 1;
        Self { all, execution }
    }
}

impl Drop for Launching<'_> {
    fn drop(&mut self) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = all.get_mut(&self.execution) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.execution);
            }
        }
    }
}

impl Drop for LocalLauncher {
    fn drop(&mut self) {
        self.supervisor.left.cancel();
    }
}
