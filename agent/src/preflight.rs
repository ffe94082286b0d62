//! Before anything else: does this machine have what the work needs?

use std::path::{Path, PathBuf};

use ozma_domain::failure::FailureClass;
use rustix::fs::Access;

use crate::agent::{Agent, Ending};
use crate::disk;

/// The programs that the agent itself starts.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// `bash`, or in an image without it `sh`.
    pub(crate) shell: PathBuf,
    /// There if there is anything to clone.
    pub(crate) git: Option<PathBuf>,
}

pub(crate) fn preflight(agent: &Agent) -> Result<Programs, Ending> {
    let path = &agent.config.path;
    let unusable = |message: &str| Ending::failed(FailureClass::ImageUnusable, message);
    let shell = find("bash", path).or_else(|| find("sh", path)).ok_or_else(|| {
        unusable("this image has no shell, neither bash nor sh; use an image with bash, git and coreutils")
    })?;
    let git = find("git", path);
    if git.is_none() && !agent.assignment.repositories.is_empty() {
        return Err(unusable(
            "this image has no git, so that nothing can be cloned; use an image with git, or no repositories",
        ));
    }

    agent.workspace.prepare().map_err(|err| {
        let root = agent.workspace.root().display();
        Ending::failed(FailureClass::AgentFailed, format!("the workspace {root} cannot be made: {err}"))
    })?;
    let free = disk::free_bytes(agent.workspace.root());
    let needed = agent.config.limits.disk_free_min_bytes;
    if free < needed {
        let message = format!("only {} MiB of disk are free; an agent needs {} MiB to start", free >> 20, needed >> 20);
        return Err(Ending::failed(FailureClass::DiskFull, message));
    }
    Ok(Programs { shell, git })
}

impl Programs {
    /// What the shell calls itself.
    pub(crate) fn shell_name(&self) -> String {
        if self.is_bash() { "bash".to_owned() } else { "sh".to_owned() }
    }

    pub(crate) fn is_bash(&self) -> bool {
        self.shell.ends_with("bash")
    }
}

fn find(program: &str, path: &str) -> Option<PathBuf> {
    let candidates =
        path.split(':').filter(|folder| folder.starts_with('/')).map(|folder| Path::new(folder).join(program));
    candidates.into_iter().find(|file| file.is_file() && rustix::fs::access(file, Access::EXEC_OK).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_where_path_says_and_only_if_they_can_be_run() {
        assert_eq!(find("sh", "relative::/nowhere:/bin:/usr/bin"), Some(PathBuf::from("/bin/sh")));
        assert_eq!(find("sh", "relative"), None);
        assert_eq!(find("passwd", "/etc"), None);
    }
}
