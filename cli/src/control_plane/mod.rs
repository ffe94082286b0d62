//! The local control plane: the embedded engine and the very routers that the Lambdas serve, in this process.

mod engine;
mod server;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ozma_app::App;
use ozma_boot::environment::of_process;
use ozma_boot::local::{self, DataFolder, Local, ServerInfo};
use ozma_domain::limits;
use ozma_domain::plan::Plan;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use self::engine::Engine;
use crate::exit::Failure;

/// From the end of a run to the end of its agent: SIGTERM, and after [`limits::FINALISE_SECONDS`] SIGKILL.
const SEEING_OFF: Duration = Duration::from_secs(limits::FINALISE_SECONDS + 2);

/// How to start it.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) data_dir: PathBuf,
    /// None: the one that the data folder had.
    pub(crate) plan: Option<String>,
    /// None: any free port of the loopback interface.
    pub(crate) port: Option<u16>,
    pub(crate) work: Work,
}

/// What a control plane does beside answering requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    All,
    /// Sees off the agents that are there, and starts none: whoever only looks must not set anything going.
    NoStarts,
}

/// A control plane that serves until it is stopped or its process ends.
pub(crate) struct Running {
    /// Such as `http://127.0.0.1:8484`.
    pub(crate) url: String,
    pub(crate) api_key: SecretString,
    pub(crate) plan: Plan,
    /// How agents are kept apart from this machine, for people.
    pub(crate) isolation: String,
    app: Arc<App>,
    engine: Engine,
    stopping: CancellationToken,
    /// Unlocked when this is dropped.
    folder: DataFolder,
}

/// Starts the control plane. Other commands find it by its data folder.
pub(crate) async fn start(Options { data_dir, plan, port, work }: Options) -> Result<Running, Failure> {
    // Before anything is touched: a typing error must not open, or create, a data folder.
    let plan = plan.as_deref().map(Plan::named).transpose().map_err(|err| Failure::usage(err.to_string()))?;
    // The launcher starts agents as `<executable> agent`.
    let executable =
        std::env::current_exe().map_err(|err| Failure::new("cannot find the oz program itself").because(err))?;
    let folder = local::lock(&data_dir).map_err(|err| Failure::new(err.to_string()))?;
    let tcp = server::listen(port).await?;
    let address = tcp.local_addr().map_err(|err| Failure::new("cannot listen on loopback").because(err))?;
    let agents = server::listen_for_agents(&folder.run())?;

    let Local { app, plan, isolation, queue, launcher, exits } = local::open(&folder, plan, executable, &of_process)
        .await
        .map_err(|err| Failure::new("cannot start the control plane").because(err))?;
    let stopping = CancellationToken::new();
    let public = ozma_api::router(app.clone()).merge(ozma_webhook::router(app.clone()));
    server::serve(tcp, public, stopping.clone());
    server::serve(agents, ozma_executions::router(app.clone()), stopping.clone());
    let engine = Engine::start(app.clone(), queue, launcher, exits, work, &stopping);
    let running = Running {
        url: format!("http://{address}"),
        api_key: SecretString::from(folder.admin_key().expose()),
        plan,
        isolation,
        app,
        engine,
        stopping,
        folder,
    };
    running.announce()?;
    tracing::info!(url = running.url, plan = running.plan.name, "serving");
    Ok(running)
}

impl Running {
    /// Stops serving once what is owed of ended runs is done. Agents at work go on: the next control plane finds them.
    pub(crate) async fn stop(self) {
        let seeing_off = async {
            while self.is_seeing_off().await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let _ = tokio::time::timeout(SEEING_OFF, seeing_off).await;
        self.engine.settle(Duration::from_secs(5)).await;
        self.stopping.cancel();
        // Answers that are being written are finished; long polls are cut.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    /// Whether there is an agent left whose run is over. It is about to go, and its workspace is to go with it.
    async fn is_seeing_off(&self) -> bool {
        for execution in self.app.launcher.list().await.unwrap_or_default() {
            let run = self.app.store.run(execution.run).await.ok().flatten();
            if run.is_some_and(|run| run.state.is_terminal()) {
                return true;
            }
        }
        false
    }

    /// How many agents are at work.
    pub(crate) async fn agents(&self) -> usize {
        self.app.launcher.list().await.map_or(0, |agents| agents.len())
    }

    fn announce(&self) -> Result<(), Failure> {
        let info = ServerInfo {
            url: self.url.clone(),
            pid: std::process::id(),
            started_at: self.app.clock.now(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        self.folder.announce(&info).map_err(|err| Failure::new(err.to_string()))
    }
}
