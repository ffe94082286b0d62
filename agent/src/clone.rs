//! Cloning: all repositories at once, each into its folder, as little of each as the work needs.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::join_all;
use ozma_domain::audit::event::Phase;
use ozma_domain::failure::FailureClass;
use ozma_domain::repository::{GitRef, Repository, RepositoryUrl};
use ozma_domain::text;

use crate::agent::{Agent, Ending};
use crate::command::{self, Finished, How, Leftovers, Spec};
use crate::git::{self, Complaint};
use crate::variables::{self, Variables};
use crate::workspace::{self, Workspace};

/// A name server or a proxy that hiccups is asked once more after this long.
const SECOND_TRY: Duration = Duration::from_secs(2);

/// A secret of this name opens repositories over SSH.
const SSH_KEY: &str = "GIT_SSH_KEY";

/// In place of the user's and the machine's own. A file, because git hides variables from the process that serves a
/// local repository.
const GIT_CONFIG: &str = "\
[safe]
\tdirectory = *
[protocol \"ext\"]
\tallow = never
[uploadpack]
\tallowAnySHA1InWant = true
[core]
\thooksPath = /dev/null
[advice]
\tdetachedHead = false
[init]
\tdefaultBranch = main
[submodule]
\trecurse = false
[gc]
\tauto = 0
";

/// Clones every repository of the run. All are tried; the first failure, in the order they are listed, is told.
pub(crate) async fn clone_all(agent: &Agent, git: &Path) -> Result<(), Ending> {
    let repositories = &agent.assignment.repositories;
    if let Some(message) = clash(repositories) {
        return Err(Ending::failed(FailureClass::SetupFailed, message));
    }
    let unwritable =
        |err: io::Error| Ending::failed(FailureClass::SetupFailed, format!("cloning could not be prepared: {err}"));
    let key = SshKey::write(&agent.workspace, agent.assignment.secrets.get(SSH_KEY)).map_err(unwritable)?;
    write(&agent.workspace.git_config(), GIT_CONFIG).map_err(unwritable)?;
    let variables = variables(agent, key.as_ref());
    let cloner = Cloner { agent, git, variables: &variables };
    let results = join_all(repositories.iter().map(|repository| cloner.clone_one(repository))).await;
    results.into_iter().collect()
}

struct Cloner<'a> {
    agent: &'a Agent,
    git: &'a Path,
    variables: &'a Variables,
}

impl Cloner<'_> {
    async fn clone_one(&self, repository: &Repository) -> Result<(), Ending> {
        let folder = self.agent.workspace.work().join(repository.url.directory());
        let mut finished = self.attempt(repository, &folder).await?;
        if finished.how != How::Code(0) && git::complaint(&finished.stderr) == Complaint::Unreachable {
            tokio::select! {
                () = tokio::time::sleep(SECOND_TRY) => {}
                _ = self.agent.stop.requested() => return Err(Ending::Stopped),
            }
            // What an interrupted fetch left would be in the way.
            let _ = std::fs::remove_dir_all(&folder);
            finished = self.attempt(repository, &folder).await?;
        }
        if finished.how == How::Code(0) {
            return Ok(());
        }
        let (class, message) = self.explain(repository, &finished);
        Err(Ending::failed(class, message))
    }

    /// The commands for one repository, up to the first that fails.
    async fn attempt(&self, repository: &Repository, folder: &Path) -> Result<Finished, Ending> {
        let commands = commands(repository, folder);
        let mut commands = commands.into_iter();
        let mut finished = self.git(commands.next().unwrap_or_default()).await?;
        for arguments in commands {
            if finished.how != How::Code(0) {
                break;
            }
            finished = self.git(arguments).await?;
        }
        Ok(finished)
    }

    async fn git(&self, arguments: Vec<String>) -> Result<Finished, Ending> {
        let spec = Spec {
            phase: Phase::Clone,
            program: self.git,
            argv: std::iter::once("git".to_owned()).chain(arguments).collect(),
            cwd: &self.agent.workspace.work(),
            variables: self.variables,
            longest: Some(self.agent.config.limits.clone),
            leftovers: Leftovers::Kept,
        };
        command::run(self.agent, spec).await
    }

    fn explain(&self, repository: &Repository, finished: &Finished) -> (FailureClass, String) {
        let url = &repository.url;
        if finished.how == How::TooLong {
            let how = finished.how.words(Some(self.agent.config.limits.clone));
            return (FailureClass::SetupFailed, format!("the clone of {url} {how}"));
        }
        let message = match git::complaint(&finished.stderr) {
            Complaint::DiskFull => {
                return (FailureClass::DiskFull, format!("the disk was full before {url} was cloned"));
            }
            Complaint::Unreachable => {
                format!(
                    "{url} could not be cloned: {} cannot be reached; check the address and the network",
                    git::host(url)
                )
            }
            Complaint::NoSuchRepository => {
                not_found(url, &self.agent.assignment.secrets, git::no_token(&finished.stderr))
            }
            Complaint::NoSuchReference => match &repository.reference {
                Some(commit) if commit.is_commit() => format!("commit {} does not exist in {url}", commit.as_str()),
                Some(name) => format!("branch or tag \"{}\" does not exist in {url}", name.as_str()),
                None => format!("{url} has no default branch to check out; name one"),
            },
            Complaint::KeyRefused => format!(
                "{} refused to let the agent read {url}; add a secret {SSH_KEY} with a key it knows to the environment",
                git::host(url)
            ),
            Complaint::NoSsh => {
                format!("{url} needs ssh, which this image has not; use an https:// address or another image")
            }
            Complaint::NoUser => {
                format!(
                    "{url} needs ssh, which this image's user cannot use; add the user to /etc/passwd, or use https://"
                )
            }
            Complaint::Other => format!("{url} could not be cloned: {}", last_complaint(finished)),
        };
        (FailureClass::SetupFailed, message)
    }
}

/// `no_token` says why the control plane gave none.
fn not_found(url: &RepositoryUrl, secrets: &BTreeMap<String, String>, no_token: Option<&str>) -> String {
    if let Some(path) = url.local_path() {
        return format!("there is no git repository at {path} that the agent can read");
    }
    let secret = match git::https_host(url) {
        Some(host) => {
            if let Some(name) = git::credential(secrets, host) {
                return format!("{url} was not found, or the secret {name} does not open it");
            }
            if host == "github.com" { "GITHUB_TOKEN".to_owned() } else { git::credential_name(host) }
        }
        None => format!("{SSH_KEY} with a key that may read it"),
    };
    let found = format!("{url} was not found or is private; add a secret {secret} to the environment");
    no_token.map_or_else(|| found.clone(), |why| format!("{found}. There is no token: {why}"))
}

fn last_complaint(finished: &Finished) -> String {
    let fatal = finished.stderr.lines().rev().find(|line| line.starts_with("fatal:") || line.starts_with("error:"));
    let line = fatal.map_or_else(|| text::last_lines(&finished.stderr, 1, 300), str::to_owned);
    let line = line.trim_start_matches("fatal:").trim_start_matches("error:");
    let line = text::shorten(&text::one_line(line), 300);
    if line.is_empty() { format!("git {}", finished.how.words(None)) } else { line }
}

/// What git is asked to do, in order. A server without partial clones ignores the filter; a local repository is taken
/// whole, because fetching the rest later would depend on how it is shared.
fn commands(repository: &Repository, folder: &Path) -> Vec<Vec<String>> {
    let Repository { url, reference } = repository;
    let filter = if url.local_path().is_none() { &["--filter=blob:none"][..] } else { &[] };
    let folder = folder.to_string_lossy();
    let words = |words: &[&[&str]]| words.concat().into_iter().map(str::to_owned).collect::<Vec<_>>();
    match reference {
        Some(commit) if commit.is_commit() => vec![
            words(&[&["init", "--quiet", "--", &folder]]),
            words(&[&["-C", &folder, "remote", "add", "--", "origin", url.as_str()]]),
            words(&[&["-C", &folder, "fetch", "--no-tags"], filter, &["--", "origin", commit.as_str()]]),
            words(&[&["-C", &folder, "checkout", "--quiet", "--detach", "FETCH_HEAD"]]),
        ],
        _ => {
            let branch: &[&str] = match reference.as_ref().map(GitRef::as_str) {
                Some(name) => &["--branch", name],
                None => &[],
            };
            vec![words(&[&["clone"], filter, branch, &["--", url.as_str(), &folder]])]
        }
    }
}

/// Two repositories that want the same folder.
fn clash(repositories: &[Repository]) -> Option<String> {
    let mut folders: BTreeMap<&str, &RepositoryUrl> = BTreeMap::new();
    repositories.iter().find_map(|repository| {
        let folder = repository.url.directory();
        let first = folders.insert(folder, &repository.url)?;
        Some(format!(
            "{first} and {} would both be cloned into the folder \"{folder}\"; keep one of them",
            repository.url
        ))
    })
}

/// What the git processes of the clones see, and no other process does.
fn variables(agent: &Agent, key: Option<&SshKey>) -> Variables {
    let assignment = &agent.assignment;
    let mut variables = variables::base(agent);
    // A proxy, or a certificate authority of one's own.
    variables.extend(assignment.variables.clone());
    let hosts = git::hosts(&assignment.repositories);
    for name in hosts.iter().filter_map(|host| git::credential(&assignment.secrets, host)) {
        variables.insert(name.to_owned(), assignment.secrets[name].clone());
    }
    variables.extend(variables::of_git(agent));
    let own = [
        ("GIT_CONFIG_NOSYSTEM", "1".to_owned()),
        ("GIT_CONFIG_GLOBAL", agent.workspace.git_config().to_string_lossy().into_owned()),
        ("GIT_SSH_COMMAND", ssh_command(&agent.workspace, key)),
        ("LC_ALL", "C".to_owned()),
    ];
    variables.extend(own.map(|(name, value)| (name.to_owned(), value)));
    variables
}

fn ssh_command(workspace: &Workspace, key: Option<&SshKey>) -> String {
    let known_hosts = git::quoted(&workspace.known_hosts());
    let identity = key.map_or_else(String::new, |key| format!(" -i {} -o IdentitiesOnly=yes", git::quoted(&key.path)));
    format!(
        "ssh -o BatchMode=yes -o ConnectTimeout=20 -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile={known_hosts}{identity}"
    )
}

/// A key file, there for as long as this is.
struct SshKey {
    path: PathBuf,
}

impl SshKey {
    fn write(workspace: &Workspace, key: Option<&String>) -> io::Result<Option<Self>> {
        let Some(key) = key else { return Ok(None) };
        let path = workspace.ssh_key();
        // OpenSSH insists on the line end.
        write(&path, &format!("{}\n", key.trim_end()))?;
        Ok(Some(Self { path }))
    }
}

impl Drop for SshKey {
    fn drop(&mut self) {
        if let Err(err) = std::fs::remove_file(&self.path) {
            tracing::warn!("the SSH key of the clones could not be removed: {err}");
        }
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    workspace::open(path, options.write(true).create(true).truncate(true))?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(url: &str, reference: Option<&str>) -> Repository {
        Repository { url: url.parse().unwrap(), reference: reference.map(|text| text.parse().unwrap()) }
    }

    #[track_caller]
    fn check(url: &str, reference: Option<&str>, expected: &[&str]) {
        let commands = commands(&repository(url, reference), Path::new("/w/d"));
        assert_eq!(commands.iter().map(|words| words.join(" ")).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_repository_is_taken_as_lightly_as_it_can_be() {
        check("acme/web", None, &["clone --filter=blob:none -- https://github.com/acme/web /w/d"]);
        check("acme/web", Some("dev"), &["clone --filter=blob:none --branch dev -- https://github.com/acme/web /w/d"]);
        check("file:///r", Some("v1"), &["clone --branch v1 -- file:///r /w/d"]);
        let commit = "0123456789012345678901234567890123456789";
        check(
            "acme/web",
            Some(commit),
            &[
                "init --quiet -- /w/d",
                "-C /w/d remote add -- origin https://github.com/acme/web",
                &format!("-C /w/d fetch --no-tags --filter=blob:none -- origin {commit}"),
                "-C /w/d checkout --quiet --detach FETCH_HEAD",
            ],
        );
    }

    #[test]
    fn a_folder_holds_one_repository() {
        assert_eq!(clash(&[repository("a/x", None), repository("a/y", None)]), None);
        assert_eq!(
            clash(&[repository("a/x", None), repository("file:///b/x.git", None)]).unwrap(),
            "https://github.com/a/x and file:///b/x.git would both be cloned into the folder \"x\"; keep one of them"
        );
    }

    #[test]
    fn a_private_repository_names_the_secret_that_would_open_it() {
        #[track_caller]
        fn check(url: &str, secret: Option<&str>, expected: &str) {
            let secrets = secret.map(|name| (name.to_owned(), "x".to_owned())).into_iter().collect();
            let message = not_found(&url.parse().unwrap(), &secrets, None);
            assert!(message.ends_with(expected), "{message}");
        }
        let message = not_found(&"a/x".parse().unwrap(), &BTreeMap::new(), Some("the App 7 is not installed"));
        assert!(message.ends_with("GITHUB_TOKEN to the environment. There is no token: the App 7 is not installed"));
        check("a/x", None, "was not found or is private; add a secret GITHUB_TOKEN to the environment");
        check("a/x", Some("GH_TOKEN"), "was not found, or the secret GH_TOKEN does not open it");
        check("https://g.example/a/x", None, "add a secret GIT_CREDENTIALS_G_EXAMPLE to the environment");
        check("git@g.example:a/x", None, "add a secret GIT_SSH_KEY with a key that may read it to the environment");
        check("file:///a/x", None, "there is no git repository at /a/x that the agent can read");
    }
}
