//! What a command sees of the world: a clean environment, the run's own variables, its secrets.

use std::collections::BTreeMap;
use std::path::Path;

use ozma_domain::protocol::{AGENT_PROGRAM, EVENT_VARIABLES, PULL_REQUESTS_FILE, USAGE_FILE};

use crate::agent::Agent;
use crate::{aws_credentials, git, git_credentials};

/// Variable to value.
pub(crate) type Variables = BTreeMap<String, String>;

/// What the platform gives to containers beside what their image sets. The first two are the launcher's, among them the
/// claim token; the others name a role that may do nothing.
const OF_PLATFORM: [&str; 4] = ["OZ_", "ECS_", "AWS_CONTAINER_", "AWS_EXECUTION_ENV"];

/// Of set-up commands and the harness. Later ones win: the image's, the platform's, the environment's, the secrets.
pub(crate) fn of_task(agent: &Agent, shell: &Path) -> Variables {
    let Agent { assignment, workspace, .. } = agent;
    let mut variables = base(agent);
    let own = [
        ("SHELL", shell.to_string_lossy().into_owned()),
        ("TRACEPARENT", agent.client.trace_parent().to_owned()),
        ("IS_SANDBOX", "1".to_owned()),
        ("GH_PROMPT_DISABLED", "1".to_owned()),
        ("OZ_RUN_ID", assignment.run_id.to_string()),
        ("OZ_EXECUTION_ID", assignment.execution_id.to_string()),
        ("OZ_ATTEMPT", assignment.attempt.to_string()),
        ("OZ_HARNESS", assignment.harness.as_str().to_owned()),
        (USAGE_FILE, workspace.usage().to_string_lossy().into_owned()),
        (PULL_REQUESTS_FILE, workspace.pull_requests().to_string_lossy().into_owned()),
        ("OZ_MESSAGES", workspace.messages().to_string_lossy().into_owned()),
    ];
    variables.extend(own.map(|(name, value)| (name.to_owned(), value)));
    if let Some(program) = workspace.program() {
        variables.insert(AGENT_PROGRAM.to_owned(), program.to_string_lossy().into_owned());
    }
    if let Some(event) = &assignment.event {
        let path = workspace.event().to_string_lossy().into_owned();
        let url = event.url.clone().unwrap_or_default();
        let values = [path, event.name.clone(), event.provider.clone(), url];
        variables.extend(EVENT_VARIABLES.iter().zip(values).map(|(name, value)| ((*name).to_owned(), value)));
    }
    variables.extend(agent.aws_credentials.iter().flat_map(aws_credentials::Endpoint::variables));
    variables.extend(of_git(agent));
    variables.extend(assignment.variables.clone());
    variables.extend(assignment.secrets.clone());
    variables
}

/// What git needs to open the run's repositories.
pub(crate) fn of_git(agent: &Agent) -> Variables {
    let Agent { assignment, workspace, .. } = agent;
    let program = agent.git_credentials.as_ref().and_then(|_| workspace.program());
    let mut variables =
        git::as_variables(&git::settings(&assignment.secrets, &assignment.repositories, program.as_deref()));
    variables.extend(agent.git_credentials.iter().flat_map(git_credentials::Endpoint::variables));
    variables
}

/// Of a container's variables those that its image sets.
pub(crate) fn of_image(mut variables: Variables) -> Variables {
    variables.retain(|name, _| !OF_PLATFORM.iter().any(|prefix| name.starts_with(prefix)));
    variables
}

/// Of every command.
pub(crate) fn base(agent: &Agent) -> Variables {
    let (workspace, path) = (&agent.workspace, &agent.config.path);
    let home = workspace.home().to_string_lossy().into_owned();
    let user = user_name();
    let own = [
        ("PATH", format!("{home}/.cargo/bin:{home}/.local/bin:{path}:{}", workspace.bin().to_string_lossy())),
        ("TMPDIR", workspace.temporary().to_string_lossy().into_owned()),
        ("HOME", home),
        ("LOGNAME", user.clone()),
        ("USER", user),
        ("LANG", "C.UTF-8".to_owned()),
        ("TERM", "dumb".to_owned()),
        ("GIT_TERMINAL_PROMPT", "0".to_owned()),
    ];
    let mut variables = agent.config.image_variables.clone();
    variables.extend(own.map(|(name, value)| (name.to_owned(), value)));
    variables
}

/// The first variable that no process can be given.
pub(crate) fn invalid(variables: &Variables) -> Option<&str> {
    let invalid =
        |(name, value): &(&String, &String)| name.is_empty() || name.contains(['=', '\0']) || value.contains('\0');
    variables.iter().find(invalid).map(|(name, _)| name.as_str())
}

/// What the machine calls the agent's user, so that tools which ask twice hear the same.
fn user_name() -> String {
    let uid = rustix::process::getuid().as_raw().to_string();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| "agent".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_gives_what_it_sets_and_nothing_of_the_platform() {
        let names =
            ["CARGO_HOME", "OZ_CLAIM_TOKEN", "ECS_AGENT_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_REGION"];
        let variables = names.map(|name| (name.to_owned(), "x".to_owned())).into();
        assert_eq!(of_image(variables).into_keys().collect::<Vec<_>>(), ["AWS_REGION", "CARGO_HOME"]);
    }
}
