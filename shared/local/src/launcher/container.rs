//! The agent in a container of Docker or Podman, from the environment's image.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount, MountType};
use bollard::query_parameters::{
    CreateContainerOptions, CreateImageOptions, KillContainerOptions, ListContainersOptions, RemoveContainerOptions,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use futures_util::StreamExt;
use ozma_domain::environment::Network;
use ozma_domain::id::ExecutionId;
use ozma_domain::limits;
use ozma_domain::plan::Size;

use super::process;

/// Which execution a container is of, and which data folder that belongs to: an engine may serve several.
const EXECUTION_LABEL: &str = "oz.execution";
const DATA_LABEL: &str = "oz.data";

pub(super) const WORKSPACE: &str = "/workspace";
pub(super) const CONTROL_URL: &str = "unix:/run/oz/oz.sock";

/// What setting up a machine takes, `apt` and `git` as root above all: own any file and become another user. Not among
/// them: raw sockets, mounts, devices, other processes' memory, file capabilities.
const CAPABILITIES: [&str; 7] = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID"];

/// A large image over a slow line; the run's own start deadline is a little later.
const PULL: Duration = Duration::from_secs(480);

/// Every other call: the engine is on this machine.
const CALL_SECONDS: u64 = 60;

/// A reachable engine.
#[derive(Clone)]
pub(super) struct Engine {
    pub socket: PathBuf,
    docker: Docker,
}

/// What one container gets.
pub(super) struct Container<'a> {
    pub execution: ExecutionId,
    pub image: &'a str,
    pub executable: &'a Path,
    pub socket_dir: &'a Path,
    pub data_dir: &'a Path,
    /// Place to source.
    pub repositories: &'a BTreeMap<PathBuf, PathBuf>,
    pub network: Network,
    pub size: Size,
    pub variables: Vec<String>,
}

/// Why a container does not run.
#[derive(Debug)]
pub(super) enum Failed {
    /// The engine said no, in its words: trying again changes nothing.
    Refused(String),
    /// It did not answer, or not sensibly.
    Broken(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        match error {
            Error::DockerResponseServerError { message, .. } => Self::Refused(one_line(&message)),
            Error::DockerStreamError { error } => Self::Refused(one_line(&error)),
            error => Self::Broken(error),
        }
    }
}

pub(super) fn name(execution: ExecutionId) -> String {
    format!("oz-{execution}")
}

impl Engine {
    /// The first that answers.
    pub(super) async fn find(sockets: &[PathBuf]) -> Option<Self> {
        for socket in sockets {
            if let Some(engine) = Self::at(socket).await {
                return Some(engine);
            }
        }
        None
    }

    pub(super) async fn at(socket: &Path) -> Option<Self> {
        let path = socket.to_str().filter(|_| socket.exists())?;
        // The client names no version in its requests, so that engines of any age answer as they do by themselves.
        let docker = Docker::connect_with_unix(path, CALL_SECONDS, API_DEFAULT_VERSION).ok()?;
        match tokio::time::timeout(Duration::from_secs(3), docker.ping()).await {
            Ok(Ok(_)) => Some(Self { socket: socket.to_owned(), docker }),
            Ok(Err(error)) => {
                tracing::debug!(%error, socket = path, "no container engine answers here");
                None
            }
            Err(_) => None,
        }
    }

    pub(super) async fn has_image(&self, image: &str) -> Result<bool, Error> {
        match self.docker.inspect_image(image).await {
            Ok(_) => Ok(true),
            Err(error) if is_missing(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gets the image, or says in the engine's words why not.
    pub(super) async fn pull(&self, image: &str) -> Result<(), String> {
        // Without a tag an engine would get all of them.
        let after_host = image.rsplit('/').next().unwrap_or(image);
        let tag = (!after_host.contains([':', '@'])).then(|| "latest".to_owned());
        let options = CreateImageOptions { from_image: Some(image.to_owned()), tag, ..Default::default() };
        // No client timeout: it counts for the whole answer, and that is as long as the download.
        let docker = self.docker.clone().with_timeout(PULL);
        let pull = async {
            let mut progress = docker.create_image(Some(options), None, None);
            while let Some(step) = progress.next().await {
                step.map_err(|error| match Failed::from(error) {
                    Failed::Refused(reason) => reason,
                    Failed::Broken(error) => error.to_string(),
                })?;
            }
            Ok(())
        };
        let late = |_| Err(format!("it was not there after {} s", PULL.as_secs()));
        tokio::time::timeout(PULL, pull).await.unwrap_or_else(late)
    }

    /// Makes the container, to be started by [`Engine::start`]. One that exists already is fine.
    pub(super) async fn create(&self, what: &Container<'_>) -> Result<(), Failed> {
        let mount = |source: &Path, target: &Path| Mount {
            typ: Some(MountType::BIND),
            source: Some(source.to_string_lossy().into_owned()),
            target: Some(target.to_string_lossy().into_owned()),
            read_only: Some(true),
            ..Default::default()
        };
        let mut mounts = vec![
            mount(what.executable, Path::new("/oz/oz")),
            mount(what.socket_dir, Path::new("/run/oz")),
            // A volume of its own, which goes with the container.
            Mount { typ: Some(MountType::VOLUME), target: Some(WORKSPACE.to_owned()), ..Default::default() },
        ];
        mounts.extend(what.repositories.iter().map(|(place, source)| mount(source, place)));
        let memory = i64::try_from(what.size.memory_mib * 1024 * 1024).ok();
        let host_config = HostConfig {
            nano_cpus: Some(i64::from(what.size.vcpus) * 1_000_000_000),
            memory,
            // As much as the memory: no swap beyond it.
            memory_swap: memory,
            pids_limit: i64::try_from(limits::PROCESSES + limits::PROCESSES_ROOM).ok(),
            security_opt: Some(vec!["no-new-privileges".to_owned()]),
            cap_drop: Some(vec!["ALL".to_owned()]),
            cap_add: Some(CAPABILITIES.map(str::to_owned).to_vec()),
            network_mode: (what.network == Network::None).then(|| "none".to_owned()),
            log_config: Some(HostConfigLogConfig {
                typ: Some("json-file".to_owned()),
                config: Some(HashMap::from([("max-size".to_owned(), "4m".to_owned())])),
            }),
            mounts: Some(mounts),
            ..Default::default()
        };
        let body = ContainerCreateBody {
            image: Some(what.image.to_owned()),
            entrypoint: Some(vec!["/oz/oz".to_owned()]),
            cmd: Some(vec!["agent-process".to_owned()]),
            env: Some(what.variables.clone()),
            // The image's own user could write neither the workspace nor install what the set-up asks for.
            user: Some("0:0".to_owned()),
            working_dir: Some("/".to_owned()),
            labels: Some(HashMap::from([
                (EXECUTION_LABEL.to_owned(), what.execution.to_string()),
                (DATA_LABEL.to_owned(), what.data_dir.to_string_lossy().into_owned()),
            ])),
            host_config: Some(host_config),
            ..Default::default()
        };
        let options = CreateContainerOptions { name: Some(name(what.execution)), ..Default::default() };
        match self.docker.create_container(Some(options), body).await {
            Ok(_) => Ok(()),
            Err(Error::DockerResponseServerError { status_code: 409, .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Starting what runs already is fine.
    pub(super) async fn start(&self, name: &str) -> Result<(), Failed> {
        match self.docker.start_container(name, None).await {
            Ok(()) => Ok(()),
            Err(Error::DockerResponseServerError { status_code: 304, .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns when the container has ended, with the reason. Outlasts a restart of the engine.
    pub(super) async fn ended(&self, name: &str) -> Option<String> {
        let docker = self.docker.clone().with_timeout(Duration::from_secs(24 * 3600));
        loop {
            let _ = docker.wait_container(name, None).next().await;
            match self.docker.inspect_container(name, None).await {
                Ok(container) => {
                    let state = container.state.unwrap_or_default();
                    if state.running != Some(true) {
                        let code = i32::try_from(state.exit_code.unwrap_or_default()).unwrap_or(-1);
                        let memory = if state.oom_killed == Some(true) { ", out of memory" } else { "" };
                        let error = state.error.filter(|error| !error.is_empty());
                        let error = error.map(|error| format!(": {}", one_line(&error))).unwrap_or_default();
                        return Some(format!("{}{memory}{error}", process::exit_code(code)));
                    }
                }
                Err(error) if is_missing(&error) => return Some("the container was removed".to_owned()),
                Err(_) => (),
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Whether it runs; none if the engine does not answer.
    pub(super) async fn running(&self, name: &str) -> Option<bool> {
        match self.docker.inspect_container(name, None).await {
            Ok(container) => Some(container.state.and_then(|state| state.running) == Some(true)),
            Err(error) if is_missing(&error) => Some(false),
            Err(_) => None,
        }
    }

    /// To the agent, which is the container's first process.
    pub(super) async fn signal(&self, name: &str, signal: &str) {
        // Not running any more is what a signal is for.
        let _ = self.docker.kill_container(name, Some(KillContainerOptions { signal: signal.to_owned() })).await;
    }

    /// The end of what the agent said.
    pub(super) async fn log(&self, name: &str) -> Vec<u8> {
        let options = bollard::query_parameters::LogsOptions {
            stdout: true,
            stderr: true,
            tail: "200".to_owned(),
            ..Default::default()
        };
        let mut lines = self.docker.logs(name, Some(options));
        let mut log = Vec::new();
        while let Ok(Some(Ok(line))) = tokio::time::timeout(Duration::from_secs(5), lines.next()).await {
            log.extend_from_slice(&line.into_bytes());
        }
        log
    }

    /// With its volume, running or not.
    pub(super) async fn remove(&self, name: &str) {
        let options = RemoveContainerOptions { v: true, force: true, ..Default::default() };
        match self.docker.remove_container(name, Some(options)).await {
            Ok(()) => (),
            Err(error) if is_missing(&error) => (),
            Err(error) => tracing::warn!(%error, container = name, "could not remove a container"),
        }
    }

    /// The executions of this data folder that have a container, running or not.
    pub(super) async fn list(&self, data_dir: &Path) -> Result<Vec<ExecutionId>, Error> {
        let label = format!("{DATA_LABEL}={}", data_dir.display());
        let filters = HashMap::from([("label".to_owned(), vec![label])]);
        let options = ListContainersOptions { all: true, filters: Some(filters), ..Default::default() };
        let containers = self.docker.list_containers(Some(options)).await?;
        let execution = |labels: HashMap<String, String>| labels.get(EXECUTION_LABEL)?.parse().ok();
        Ok(containers.into_iter().filter_map(|container| execution(container.labels?)).collect())
    }
}

fn is_missing(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code: 404, .. })
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect()
}
