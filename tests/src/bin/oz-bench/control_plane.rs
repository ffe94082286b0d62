//! A control plane under measurement: `oz up` as a process, and its public API.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ozma_api::wire::{
    AgentConfig, AuditIndex, CreateRunRequest, Harness, RunCreated, RunItem, RunList, Timeline, Transcript,
};
use ozma_domain::id::RunId;
use ozma_domain::state::RunState;
use serde::de::DeserializeOwned;

use crate::Result;

/// A start that takes longer has failed.
const START: Duration = Duration::from_secs(60);

/// Between two looks whether it answers.
const LOOK: Duration = Duration::from_millis(1);

/// The variables that would lead `oz` elsewhere.
const LEADING: [&str; 5] = ["OZ_API_BASE_URL", "OZ_API_KEY", "WARP_API_KEY", "OZ_DATA_DIR", "OZ_OUTPUT_FORMAT"];

/// `oz up`. Killed when dropped: only this process, which is our child.
pub(crate) struct ControlPlane {
    child: Child,
    url: String,
}

/// Its API, for the key in its data folder. Outlives a restart on the same folder and port.
#[derive(Clone)]
pub(crate) struct Api {
    http: reqwest::Client,
    url: String,
    key: String,
}

impl ControlPlane {
    pub(crate) fn start(oz: &Path, data_dir: &Path, plan: &str, port: u16) -> Result<Self> {
        // Beside the data folder: `oz` wants that empty or its own.
        let log = File::options().create(true).append(true).open(data_dir.with_extension("log"))?;
        let child = command(oz, data_dir)
            .args(["up", "--plan", plan, "--port", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        Ok(Self { child, url: format!("http://127.0.0.1:{port}") })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns as soon as `/health` answers.
    pub(crate) async fn healthy(&mut self) -> Result<()> {
        let http = http()?;
        let give_up = Instant::now() + START;
        loop {
            let answer = http.get(format!("{}/health", self.url)).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("oz up ended with {status}").into());
            }
            if Instant::now() > give_up {
                return Err(format!("oz up did not answer within {} s", START.as_secs()).into());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    pub(crate) fn api(&self, data_dir: &Path) -> Result<Api> {
        let key = fs::read_to_string(data_dir.join("admin.key"))?.trim().to_owned();
        Ok(Api { http: http()?, url: format!("{}/api/v1/agent/runs", self.url), key })
    }

    /// `kill -9`, and nothing else. False: it had ended by itself.
    pub(crate) fn kill(&mut self) -> Result<bool> {
        if self.child.try_wait()?.is_some() {
            return Ok(false);
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(true)
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Api {
    pub(crate) async fn accept(&self, script: &str, idempotency_key: &str) -> reqwest::Result<RunCreated> {
        let harness = Harness { kind: Some("shell".to_owned()), ..Default::default() };
        let request = CreateRunRequest {
            prompt: Some(script.to_owned()),
            config: Some(AgentConfig { harness: Some(harness), ..Default::default() }),
            ..Default::default()
        };
        let call = self.http.post(&self.url).bearer_auth(&self.key).header("Idempotency-Key", idempotency_key);
        call.json(&request).send().await?.error_for_status()?.json().await
    }

    pub(crate) async fn cancel(&self, run: RunId) -> reqwest::Result<()> {
        let call = self.http.post(format!("{}/{run}/cancel", self.url)).bearer_auth(&self.key);
        call.send().await?.error_for_status().map(drop)
    }

    /// All runs there are.
    pub(crate) async fn runs(&self) -> reqwest::Result<Vec<RunItem>> {
        let mut runs = Vec::new();
        let mut cursor = String::new();
        loop {
            let page: RunList = self.get(&format!("?limit=500&sort_by=created_at{cursor}")).await?;
            runs.extend(page.runs);
            let Some(next) = page.page_info.next_cursor else { return Ok(runs) };
            cursor = format!("&cursor={next}");
        }
    }

    /// Waits until every run has ended. False if that takes longer than `patience`.
    pub(crate) async fn all_ended(&self, patience: Duration) -> bool {
        let unfinished = RunState::ALL.into_iter().filter(|state| !state.is_terminal());
        let filter: String = unfinished.map(|state| format!("&state={state}")).collect();
        let give_up = Instant::now() + patience;
        while Instant::now() < give_up {
            let page = self.get::<RunList>(&format!("?limit=1{filter}")).await;
            if page.is_ok_and(|page| page.runs.is_empty()) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        false
    }

    pub(crate) async fn timeline(&self, run: RunId) -> reqwest::Result<Timeline> {
        self.get(&format!("/{run}/timeline")).await
    }

    pub(crate) async fn audit(&self, run: RunId) -> reqwest::Result<AuditIndex> {
        self.get(&format!("/{run}/audit")).await
    }

    /// A segment as it is in the archive; none if it is not there.
    pub(crate) async fn segment(&self, run: RunId, execution: u32, sequence: u32) -> reqwest::Result<Option<Vec<u8>>> {
        let path = format!("{}/{run}/audit/{execution}/{sequence}", self.url);
        let answer = self.http.get(path).bearer_auth(&self.key).send().await?;
        if answer.status() == reqwest::StatusCode::NOT_FOUND {
            return Ok(None);
        }
        Ok(Some(answer.error_for_status()?.bytes().await?.to_vec()))
    }

    /// The whole transcript so far.
    pub(crate) async fn transcript(&self, run: RunId) -> reqwest::Result<Vec<String>> {
        let mut events = Vec::new();
        let mut after = "0.0".to_owned();
        loop {
            let page: Transcript = self.get(&format!("/{run}/events?after={after}")).await?;
            if page.events.is_empty() {
                return Ok(events);
            }
            events.extend(page.events.iter().map(|event| event.get().to_owned()));
            after = page.next;
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> reqwest::Result<T> {
        let call = self.http.get(format!("{}{path}", self.url)).bearer_auth(&self.key);
        call.send().await?.error_for_status()?.json().await
    }
}

/// `oz` on a data folder, with nothing that would lead it elsewhere.
pub(crate) fn command(oz: &Path, data_dir: &Path) -> Command {
    let mut command = Command::new(oz);
    for variable in LEADING {
        command.env_remove(variable);
    }
    command.arg("--data-dir").arg(data_dir).stdin(Stdio::null());
    command
}

/// A port that was free a moment ago, so that a restart can have the same.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn http() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder().no_proxy().tls_certs_only([]).timeout(Duration::from_secs(30)).build()
}
