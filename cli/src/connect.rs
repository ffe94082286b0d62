//! Which control plane to talk to: the one that is named, the one that runs on this machine, or one inside the command.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use ozma_boot::local::{is_in_use, read_server};
use ozma_domain::text;
use secrecy::SecretString;

use crate::args::Global;
use crate::client::Client;
use crate::control_plane::{self, Running, Work};
use crate::exit::Failure;
use crate::output;

/// A local control plane that is away may be about to be started again by its user. Agents wait for one for a minute.
const RESTART_AFTER: Duration = Duration::from_secs(20);

pub(crate) const PLANS: [&str; 3] = ["free", "build", "max"];

pub(crate) struct Connection {
    pub(crate) client: Client,
    place: Place,
    data_dir: Option<PathBuf>,
    since: Timestamp,
}

enum Place {
    Elsewhere,
    /// Another process of this machine.
    Local,
    Embedded(Box<Running>, Work),
}

/// Finds or starts a control plane for this command.
pub(crate) async fn connect(global: &Global, plan: Option<&str>, work: Work) -> Result<Connection, Failure> {
    if let Some(connection) = existing(global).await? {
        return Ok(connection);
    }
    let data_dir = global.data_dir()?;
    let since = output::now();
    let options =
        control_plane::Options { data_dir: data_dir.clone(), plan: plan.map(str::to_owned), port: None, work };
    match control_plane::start(options).await {
        Ok(running) => {
            let client = Client::new(&running.url, Some(running.api_key.clone()))?;
            Ok(Connection { client, place: Place::Embedded(Box::new(running), work), data_dir: Some(data_dir), since })
        }
        // Another command may have been faster and be about to serve the same folder.
        Err(failure) => match wait_for_local(&data_dir, Duration::from_secs(1)).await {
            Some(connection) => Ok(connection),
            None => Err(failure),
        },
    }
}

/// Finds a control plane that outlives this command, or starts one in the background that ends once it has no more work.
pub(crate) async fn connect_lasting(global: &Global, plan: Option<&str>) -> Result<Connection, Failure> {
    if let Some(connection) = existing(global).await? {
        return Ok(connection);
    }
    let data_dir = global.data_dir()?;
    let (mut child, log) = start_in_background(&data_dir, plan)?;
    for _ in 0..40 {
        if let Some(connection) = wait_for_local(&data_dir, Duration::from_millis(500)).await {
            return Ok(connection);
        }
        if !matches!(child.try_wait(), Ok(None)) {
            break;
        }
    }
    let told = std::fs::read_to_string(&log).unwrap_or_default();
    let last = text::last_lines(&told, 1, 400);
    let failure =
        Failure::new("the control plane did not start in the background").hint(format!("read {}", log.display()));
    Err(if last.is_empty() { failure } else { failure.because(last) })
}

async fn existing(global: &Global) -> Result<Option<Connection>, Failure> {
    if let Some(address) = global.api_base_url() {
        let key = global.api_key().cloned().ok_or_else(|| {
            Failure::usage(format!("an API key is needed for {address}")).hint("set OZ_API_KEY or give --api-key")
        })?;
        let client = Client::new(address, Some(key))?;
        return Ok(Some(Connection { client, place: Place::Elsewhere, data_dir: None, since: output::now() }));
    }
    Ok(local(&global.data_dir()?).await)
}

/// The control plane that serves this data folder, if one does.
async fn local(data_dir: &Path) -> Option<Connection> {
    let url = local_url(data_dir)?;
    let key = std::fs::read_to_string(data_dir.join("admin.key")).ok()?;
    let client = Client::new(&url, Some(SecretString::from(key.trim()))).ok()?.at_home(data_dir);
    client.health().await.ok()?;
    Some(Connection { client, place: Place::Local, data_dir: Some(data_dir.to_owned()), since: output::now() })
}

/// Where the control plane of this folder listens. Believed only while somebody holds the folder: a copy of it, or one whose
/// control plane was killed, may name the address of another by now, which must neither be asked nor get the key.
fn local_url(data_dir: &Path) -> Option<String> {
    is_in_use(data_dir).then(|| read_server(data_dir)).flatten().map(|server| server.url)
}

/// To be called when a local control plane does not answer: it may be back at another address. If nobody has served the
/// folder for a while, one is started in the background, because a run that is waited for needs somebody to end it.
pub(crate) fn find_again(client: &Client, away: Duration) {
    let Some(data_dir) = client.home() else { return };
    if let Some(url) = local_url(data_dir) {
        client.move_to(&url);
    } else if away > RESTART_AFTER && !is_in_use(data_dir) {
        output::note("note: starting a control plane in the background for the run");
        if let Err(failure) = start_in_background(data_dir, None) {
            output::failure(&failure, false);
        }
    }
}

async fn wait_for_local(data_dir: &Path, at_most: Duration) -> Option<Connection> {
    let found = async {
        loop {
            if let Some(connection) = local(data_dir).await {
                return connection;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(at_most, found).await.ok()
}

fn start_in_background(data_dir: &Path, plan: Option<&str>) -> Result<(Child, PathBuf), Failure> {
    let failed = |what: &str, err: std::io::Error| Failure::new(format!("cannot {what}")).because(err);
    // Beside the data folder, which the control plane wants to find empty or its own.
    let mut log = data_dir.to_owned().into_os_string();
    log.push(".log");
    let log = PathBuf::from(log);
    let parent = data_dir.parent().unwrap_or(data_dir);
    std::fs::create_dir_all(parent).map_err(|err| failed(&format!("make {}", parent.display()), err))?;
    let file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&log)
        .map_err(|err| failed(&format!("write {}", log.display()), err))?;
    let errors = file.try_clone().map_err(|err| failed("share the log", err))?;
    let executable = std::env::current_exe().map_err(|err| failed("find the oz program itself", err))?;
    let mut command = std::process::Command::new(executable);
    command.args(["up", "--until-idle", "--port", "0", "--output-format", "text", "--data-dir"]);
    command
        .arg(data_dir)
        .args(plan.map(|plan| format!("--plan={plan}")))
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(errors);
    // Out of reach of the Ctrl-C that is meant for this command.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let child = command.spawn().map_err(|err| failed("start the control plane in the background", err))?;
    Ok((child, log))
}

impl Connection {
    /// Whether runs end with this command.
    pub(crate) fn is_embedded(&self) -> bool {
        matches!(self.place, Place::Embedded(..))
    }

    /// Where the archive is, if it is a folder of this machine.
    pub(crate) fn archive(&self) -> Option<PathBuf> {
        self.data_dir.as_deref().map(ozma_boot::local::archive_objects).filter(|dir| dir.is_dir())
    }

    /// Whether runs would be left without a control plane: any that this one may have set going, or those that other
    /// commands gave to it.
    async fn is_needed(&self, work: Work) -> bool {
        let since = (work == Work::NoStarts).then_some(self.since);
        self.client.has_unfinished(since).await.unwrap_or(false)
    }

    /// Ends what was started for this command alone. Runs of others go on with a control plane in the background.
    pub(crate) async fn close(self) {
        let Place::Embedded(_, work) = self.place else { return };
        let needed = self.is_needed(work).await;
        if let (Place::Embedded(running, _), Some(data_dir)) = (self.place, self.data_dir) {
            running.stop().await;
            if needed {
                match start_in_background(&data_dir, None) {
                    Ok(_) => output::note("note: other runs go on in the background until they have ended"),
                    Err(failure) => output::failure(&failure.hint("other runs wait for `oz up`"), false),
                }
            }
        }
    }
}

/// Asks something of a control plane. Where there is none, nothing is set going by it.
pub(crate) async fn with<T>(
    global: &Global,
    ask: impl AsyncFnOnce(&Client) -> Result<T, Failure>,
) -> Result<T, Failure> {
    with_work(global, Work::NoStarts, ask).await
}

/// The same, with a control plane that does `work` where there was none. It is closed whatever comes of the asking.
pub(crate) async fn with_work<T>(
    global: &Global,
    work: Work,
    ask: impl AsyncFnOnce(&Client) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let connection = connect(global, None, work).await?;
    let result = ask(&connection.client).await;
    connection.close().await;
    result
}
