//! The embedded engine wired up: every port in one process, state in a data folder. Who serves it is another matter.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ozma_app::clock::SystemClock;
use ozma_app::ports::Clock;
use ozma_app::{App, Settings};
use ozma_domain::answer::InvalidPublicUrl;
use ozma_domain::id::{ExecutionId, TeamId};
use ozma_domain::limits;
use ozma_domain::plan::Plan;
use ozma_local::bus::LocalBus;
pub use ozma_local::data_folder::{DataFolder, DataFolderError, ServerInfo, is_in_use, read_server};
pub use ozma_local::launcher::LocalLauncher;
use ozma_local::launcher::{LauncherOptions, Prefer};
pub use ozma_local::queue::LocalQueue;
use ozma_local::timer::LocalTimer;
use ozma_local::vault::FileVault;
use ozma_local::{dynamodb, s3, vault};
use ozma_store::{Archive, Store, StoreError};
use tokio::sync::mpsc::{self, UnboundedReceiver};

use crate::environment::{Lookup, container_engines, host, public_url, receivers};
use crate::seed::seed;

/// The one team of a laptop.
const TEAM: &str = "local";

/// The table in its file.
const TABLE: &str = "ozma";

/// The use cases over the embedded engine, and what drives them.
pub struct Local {
    pub app: Arc<App>,
    pub plan: Plan,
    /// How agents are kept apart from this machine, for people.
    pub isolation: String,
    /// What there is to do.
    pub queue: Arc<LocalQueue>,
    pub launcher: Arc<LocalLauncher>,
    /// Agents that ended, and how.
    pub exits: UnboundedReceiver<(ExecutionId, Option<String>)>,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("could not open the table in the data folder")]
    Table(#[from] dynamodb::OpenError),
    #[error("could not open the archive in the data folder")]
    Archive(#[from] s3::OpenError),
    #[error("could not open the vault in the data folder")]
    Vault(#[from] vault::OpenError),
    #[error("could not open the event log in the data folder")]
    Bus(#[source] std::io::Error),
    #[error("could not read or write the data folder")]
    Store(#[from] StoreError),
    #[error("OZ_PUBLIC_URL: {0}")]
    PublicUrl(#[from] InvalidPublicUrl),
}

/// Locks the data folder for this process. It stays locked until the value is dropped.
pub fn lock(path: &Path) -> Result<DataFolder, DataFolderError> {
    DataFolder::open(path, &SystemClock)
}

/// Where the archive's objects lie in a data folder, for people who want to look.
pub fn archive_objects(data_dir: &Path) -> PathBuf {
    data_dir.join("archive").join(s3::BUCKET)
}

/// Opens everything in the folder, and finds the agents that a control plane before this one left at work.
///
/// `asked` is the local team's plan from now on; without it the one it had, `free` at first. `executable` is the `oz`
/// program, which is also the agent.
pub async fn open(
    folder: &DataFolder,
    asked: Option<Plan>,
    executable: PathBuf,
    lookup: Lookup<'_>,
) -> Result<Local, OpenError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let database = dynamodb::open(&folder.table())?;
    let client = dynamodb::client(database.clone());
    ozma_store::create_table(&client, TABLE).await?;
    let store = Store::new(client, TABLE);
    dynamodb::keep_expiring(&database);
    let team: TeamId = TEAM.parse().expect("a valid team id");
    let plan = seed(&store, &team, asked, folder.admin_key(), folder.audit_seed(), clock.as_ref()).await?;

    let queue = Arc::new(LocalQueue::default());
    let (on_exit, exits) = mpsc::unbounded_channel();
    let launcher = Arc::new(LocalLauncher::new(LauncherOptions {
        executable,
        data_dir: folder.agents(),
        socket_dir: folder.run(),
        prefer: Prefer::default(),
        host: host(lookup),
        engines: container_engines(lookup),
        grace: LauncherOptions::GRACE,
        on_exit,
    }));
    let (isolation, why) = launcher.isolation().await;
    let app = Arc::new(App {
        store,
        archive: Archive::new(s3::client(&folder.archive())?, s3::BUCKET),
        queue: queue.clone(),
        timer: Arc::new(LocalTimer::new(queue.clone(), clock.clone())),
        launcher: launcher.clone(),
        bus: Arc::new(LocalBus::open(folder.path()).map_err(OpenError::Bus)?),
        vault: Arc::new(FileVault::open(folder, clock.clone())?),
        clock,
        settings: Arc::new(Settings {
            heartbeat_seconds: 15,
            lease_seconds: 60,
            start_seconds: limits::START_SECONDS,
            relaunch_seconds: 3,
            claim_key: folder.claim_key().clone(),
            webhook_key: folder.webhook_key().clone(),
            signing_seed: *folder.audit_seed(),
            receivers: receivers(lookup),
            public_url: public_url(lookup)?,
            billed: false,
        }),
        maskers: Default::default(),
    });
    // Before anything is decided about their runs.
    launcher.adopt().await;
    let isolation = why.map_or_else(|| isolation.as_str().to_owned(), |why| format!("{} ({why})", isolation.as_str()));
    Ok(Local { app, plan, isolation, queue, launcher, exits })
}
