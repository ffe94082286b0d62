//! What a command sees of the world: a clean environment, the run's own variables, its secrets.

use std::collections::BTreeMap;
use std::path::Path;

use ozma_domain::protocol::Assignment;

use crate::git;
use crate::workspace::Workspace;

/// Variable to value.
pub(crate) type Variables = BTreeMap<String, String>;

/// Of set-up commands and the harness. Later ones win: the platform's, the environment's, the secrets.
pub(crate) fn of_task(assignment: &Assignment, workspace: &Workspace, path: &str, bash: &Path) -> Variables {
    let mut variables = base(workspace, path);
    let own = [
        ("SHELL", bash.to_string_lossy().into_owned()),
        ("IS_SANDBOX", "1".to_owned()),
        ("GH_PROMPT_DISABLED", "1".to_owned()),
        ("OZ_RUN_ID", assignment.run_id.to_string()),
        ("OZ_EXECUTION_ID", assignment.execution_id.to_string()),
        ("OZ_ATTEMPT", assignment.attempt.to_string()),
        ("OZ_HARNESS", assignment.harness.as_str().to_owned()),
        ("OZ_MESSAGES", workspace.messages().to_string_lossy().into_owned()),
    ];
    variables.extend(own.map(|(name, value)| (name.to_owned(), value)));
    let hosts = git::hosts(&assignment.repositories);
    variables.extend(git::as_variables(&git::settings(&assignment.secrets, &hosts)));
    variables.extend(assignment.variables.clone());
    variables.extend(assignment.secrets.clone());
    variables
}

/// Of every command.
pub(crate) fn base(workspace: &Workspace, path: &str) -> Variables {
    let home = workspace.home().to_string_lossy().into_owned();
    let user = user_name();
    [
        ("PATH", format!("{home}/.cargo/bin:{home}/.local/bin:{path}")),
        ("TMPDIR", workspace.temporary().to_string_lossy().into_owned()),
        ("HOME", home),
        ("LOGNAME", user.clone()),
        ("USER", user),
        ("LANG", "C.UTF-8".to_owned()),
        ("TERM", "dumb".to_owned()),
        ("GIT_TERMINAL_PROMPT", "0".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
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
