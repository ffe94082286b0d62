//! As whom the task commits, where nobody says it: git refuses to commit as nobody.

use std::path::Path;

use crate::agent::Agent;
use crate::saving::run_git;
use crate::workspace::write_beneath;

/// Of nobody: the domain is one that nobody can have.
const DEFAULTS: [(&str, &str); 2] = [("name", "Ozma"), ("email", "agent@ozma.invalid")];

const CONFIG: &str = "home/.config/git/config";

/// Writes what the image does not say to where all that the task says later comes before: its `~/.gitconfig`, the
/// configuration of a repository, its variables.
pub(crate) async fn write_default(agent: &Agent, git: &Path) {
    let root = agent.workspace.root();
    let mut lines = String::new();
    for (name, value) in DEFAULTS {
        let asked = ["config", "--system", "--get", &format!("user.{name}")];
        if run_git(agent, git, root, &asked, 1024).await.is_none() {
            lines.push_str(&format!("\t{name} = {value}\n"));
        }
    }
    if lines.is_empty() || root.join(CONFIG).exists() {
        return;
    }
    if let Err(err) = write_beneath(root, Path::new(CONFIG), format!("[user]\n{lines}").as_bytes(), false) {
        tracing::warn!("the task's git has no name to commit by: {err}");
    }
}
