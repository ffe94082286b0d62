//! What a launcher tells the agent.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ozma_domain::id::ExecutionId;
use ozma_domain::limits;
use ozma_domain::protocol::variable;
use ozma_domain::run::Isolation;
use secrecy::SecretString;

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// All that an agent knows before its claim.
#[derive(Debug)]
pub struct AgentConfig {
    /// `OZ_CONTROL_URL`.
    pub control: ControlUrl,
    /// `OZ_EXECUTION_ID`.
    pub execution: ExecutionId,
    /// `OZ_CLAIM_TOKEN`.
    pub claim_token: SecretString,
    /// `OZ_WORKSPACE`, an absolute path. Made if it is not there.
    pub workspace: PathBuf,
    /// `OZ_ISOLATION`; `process` where it is not said.
    pub isolation: Isolation,
    /// `PATH`, of a machine's variables the only one that a task sees.
    pub path: String,
    /// What the image sets for whoever runs in it; nothing where the outside is somebody's machine.
    pub image_variables: BTreeMap<String, String>,
    /// The file of the program that runs the agent, for the task to call it as [`crate::PROGRAM`]. None: it cannot.
    pub program: Option<PathBuf>,
    pub limits: Limits,
}

/// The limits that are the agent's to keep. Tests lower them.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Processes and threads of the task.
    pub processes: u64,
    /// From SIGTERM to SIGKILL of the task.
    pub task_grace: Duration,
    /// Free disk without which no task starts.
    pub disk_free_min_bytes: u64,
    /// How long the claim is tried.
    pub claim: Duration,
    /// One set-up command.
    pub setup_command: Duration,
    /// One clone.
    pub clone: Duration,
    /// How long what a finished command left behind may hold its output open.
    pub drain: Duration,
}

/// Where the `executions` API is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlUrl {
    /// `http://…` or `https://…`, without a slash at the end.
    Http(String),
    /// `unix:/path/of/a/socket`.
    Unix(PathBuf),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfig {
    #[error("{0} is not set; agents are started by a launcher, not by hand")]
    Missing(&'static str),
    #[error("{name} is \"{value}\", which is not {expected}")]
    Invalid { name: &'static str, value: String, expected: &'static str },
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            processes: limits::PROCESSES,
            task_grace: Duration::from_secs(limits::TASK_GRACE_SECONDS),
            disk_free_min_bytes: limits::DISK_FREE_MIN_BYTES,
            claim: Duration::from_secs(60),
            setup_command: Duration::from_secs(limits::SETUP_COMMAND_SECONDS),
            clone: Duration::from_secs(limits::CLONE_SECONDS),
            drain: Duration::from_secs(2),
        }
    }
}

impl AgentConfig {
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, InvalidConfig> {
        let required = |name| lookup(name).filter(|value| !value.is_empty()).ok_or(InvalidConfig::Missing(name));
        let invalid = |name, value: &str, expected| InvalidConfig::Invalid { name, value: value.to_owned(), expected };

        let control = required(variable::CONTROL_URL)?;
        let control = control.parse().map_err(|expected| invalid(variable::CONTROL_URL, &control, expected))?;
        let execution = required(variable::EXECUTION_ID)?;
        let execution = execution
            .parse()
            .map_err(|_| invalid(variable::EXECUTION_ID, &execution, "an execution id (<run id>-<n>)"))?;
        let workspace = PathBuf::from(required(variable::WORKSPACE)?);
        if !workspace.is_absolute() {
            return Err(invalid(variable::WORKSPACE, &workspace.to_string_lossy(), "an absolute path"));
        }
        let isolation = match lookup(variable::ISOLATION).filter(|value| !value.is_empty()) {
            None => Isolation::Process,
            Some(name) => serde_json::from_value(serde_json::Value::String(name.clone()))
                .map_err(|_| invalid(variable::ISOLATION, &name, "bubblewrap, process, container or fargate"))?,
        };
        Ok(Self {
            control,
            execution,
            claim_token: SecretString::from(required(variable::CLAIM_TOKEN)?),
            workspace,
            isolation,
            path: lookup("PATH").filter(|path| !path.is_empty()).unwrap_or_else(|| DEFAULT_PATH.to_owned()),
            image_variables: BTreeMap::new(),
            program: None,
            limits: Limits::default(),
        })
    }
}

impl FromStr for ControlUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "http://…, https://… or unix:/path/of/a/socket";
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.starts_with('/') { Ok(Self::Unix(PathBuf::from(path))) } else { Err(EXPECTED) };
        }
        if text.starts_with("http://") || text.starts_with("https://") {
            return Ok(Self::Http(text.trim_end_matches('/').to_owned()));
        }
        Err(EXPECTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 5] = [
        ("OZ_CONTROL_URL", "unix:/run/oz.sock"),
        ("OZ_EXECUTION_ID", "019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10-1"),
        ("OZ_CLAIM_TOKEN", "ozc_x"),
        ("OZ_WORKSPACE", "/w"),
        ("OZ_ISOLATION", "bubblewrap"),
    ];

    #[track_caller]
    fn check(name: &str, value: &str, expected: &str) {
        let read = AgentConfig::read(|asked| {
            let given = GOOD.iter().find(|(good, _)| *good == asked).map(|(_, value)| (*value).to_owned());
            if asked == name { Some(value.to_owned()) } else { given }
        });
        let answer =
            read.map_or_else(|err| err.to_string(), |config| format!("{:?} {:?}", config.control, config.isolation));
        assert_eq!(answer, expected);
    }

    #[test]
    fn what_is_wrong_is_named() {
        check("", "", r#"Unix("/run/oz.sock") Bubblewrap"#);
        check("OZ_CONTROL_URL", "https://x.example/", r#"Http("https://x.example") Bubblewrap"#);
        check("OZ_ISOLATION", "", r#"Unix("/run/oz.sock") Process"#);
        check("OZ_CLAIM_TOKEN", "", "OZ_CLAIM_TOKEN is not set; agents are started by a launcher, not by hand");
        check("OZ_WORKSPACE", "w", r#"OZ_WORKSPACE is "w", which is not an absolute path"#);
        check(
            "OZ_CONTROL_URL",
            "unix:x",
            r#"OZ_CONTROL_URL is "unix:x", which is not http://…, https://… or unix:/path/of/a/socket"#,
        );
    }
}
