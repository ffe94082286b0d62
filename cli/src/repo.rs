//! Repositories as given on the command line: a folder, `owner/name`, or an address.

use std::path::Path;

use clap::Args;
use ozma_api::wire::Repository;
use ozma_domain::repository::GitRef;
use tokio::process::Command;

use crate::exit::Failure;
use crate::output;

#[derive(Debug, Default, Args)]
pub(crate) struct RepoArgs {
    /// A repository: a folder such as `.` or ./web, owner/name on GitHub, or an address. Repeatable
    #[arg(short, long, value_name = "REPO")]
    pub(crate) repo: Vec<String>,

    /// The branch, tag or commit to check out; one for each --repo, in order
    #[arg(long = "ref", value_name = "REF", requires = "repo")]
    pub(crate) reference: Vec<GitRef>,
}

impl RepoArgs {
    pub(crate) async fn repositories(&self) -> Result<Vec<Repository>, Failure> {
        if !self.reference.is_empty() && self.reference.len() != self.repo.len() {
            let (refs, repos) = (self.reference.len(), self.repo.len());
            return Err(Failure::usage(format!("{refs} --ref for {repos} --repo")).hint("give one for each, or none"));
        }
        let mut repositories = Vec::new();
        for (index, text) in self.repo.iter().enumerate() {
            let reference = self.reference.get(index).cloned();
            let url = if is_path(text) { &folder(Path::new(text)).await? } else { text };
            let url = url.parse().map_err(|err| Failure::usage("this --repo cannot be used").because(err))?;
            repositories.push(Repository { url, reference });
        }
        Ok(repositories)
    }

    /// Adds them to those there are; one of the same address is replaced.
    pub(crate) async fn add_to(&self, repositories: &mut Vec<Repository>) -> Result<(), Failure> {
        let added = self.repositories().await?;
        repositories.retain(|existing| added.iter().all(|added| added.url != existing.url));
        repositories.extend(added);
        Ok(())
    }
}

/// `owner/name` means GitHub even where there is such a folder: what a command does must not depend on what lies around.
fn is_path(text: &str) -> bool {
    text == "." || text == ".." || ["/", "./", "../"].iter().any(|start| text.starts_with(start))
}

/// The `file://` address of the repository that a folder belongs to.
async fn folder(path: &Path) -> Result<String, Failure> {
    let shown = path.display();
    let missing = |err| Failure::usage(format!("cannot open {shown}")).because(err);
    let path = path.canonicalize().map_err(missing)?;
    let top = match git(&path, &["rev-parse", "--show-toplevel"]).await? {
        Some(top) => top,
        None if git(&path, &["rev-parse", "--is-bare-repository"]).await?.as_deref() == Some("true") => {
            path.display().to_string()
        }
        None => {
            let hint = "run `git init` and commit there, or give another --repo";
            return Err(Failure::usage(format!("{shown} is not in a git repository")).hint(hint));
        }
    };
    if git(&path, &["rev-parse", "--verify", "--quiet", "HEAD"]).await?.is_none() {
        return Err(Failure::usage(format!("the repository {top} has no commit yet")).hint("commit something first"));
    }
    if top.chars().any(char::is_whitespace) {
        let hint = "reach it by a link whose path has no spaces";
        return Err(Failure::usage(format!("the path \"{top}\" has spaces in it")).hint(hint));
    }
    // Fails in a bare repository, where nothing can be uncommitted.
    if git(&path, &["status", "--porcelain"]).await?.is_some_and(|changes| !changes.is_empty()) {
        output::note(format_args!("note: uncommitted changes in {top} are not part of the clone"));
    }
    Ok(format!("file://{top}"))
}

/// What git says, or nothing if it refuses.
async fn git(path: &Path, args: &[&str]) -> Result<Option<String>, Failure> {
    let answer = Command::new("git").arg("-C").arg(path).args(args).output().await.map_err(|err| {
        Failure::new("cannot run git").because(err).hint("install git, or give the repository's address")
    })?;
    Ok(answer.status.success().then(|| String::from_utf8_lossy(&answer.stdout).trim_end().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn repositories(repos: &[&str], refs: &[&str]) -> Result<Vec<String>, String> {
        let args = RepoArgs {
            repo: repos.iter().map(|repo| (*repo).to_owned()).collect(),
            reference: refs.iter().map(|reference| reference.parse().unwrap()).collect(),
        };
        let told = |repo: Repository| match repo.reference {
            Some(reference) => format!("{}@{reference}", repo.url),
            None => repo.url.to_string(),
        };
        let repositories = args.repositories().await.map_err(|failure| failure.lines(false).join(" / "))?;
        Ok(repositories.into_iter().map(told).collect())
    }

    #[tokio::test]
    async fn addresses_are_taken_as_they_are() {
        let check = async |repos: &[&str], refs: &[&str], expected: &[&str]| {
            assert_eq!(repositories(repos, refs).await.unwrap(), expected);
        };
        check(&[], &[], &[]).await;
        check(&["acme/web"], &[], &["https://github.com/acme/web"]).await;
        check(&["acme/web", "git@host:a/b"], &["main", "v1"], &["https://github.com/acme/web@main", "git@host:a/b@v1"])
            .await;
        assert!(repositories(&["acme/web", "acme/api"], &["main"]).await.unwrap_err().contains("1 --ref for 2 --repo"));
        assert!(repositories(&["web"], &[]).await.unwrap_err().contains("is not a repository"));
    }

    #[tokio::test]
    async fn a_folder_stands_for_its_repository() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        let inner = top.join("inner");
        std::fs::create_dir(&inner).unwrap();
        let inner = inner.to_str().unwrap();
        assert!(repositories(&[inner], &[]).await.unwrap_err().contains("is not in a git repository"));
        git(&top, &["init", "--quiet"]).await.unwrap();
        assert!(repositories(&[inner], &[]).await.unwrap_err().contains("has no commit yet"));
        let commit = ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--allow-empty", "-m", "x"];
        git(&top, &commit).await.unwrap();
        assert_eq!(repositories(&[inner], &[]).await.unwrap(), [format!("file://{}", top.display())]);
        assert!(repositories(&["./no-such-folder"], &[]).await.unwrap_err().contains("cannot open ./no-such-folder"));
    }
}
