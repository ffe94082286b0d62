//! GitHub, as an App: [`App`] speaks for itself and gets tokens, an [`Installation`] speaks with one in the repositories
//! that it is for. Facts are of the REST API, version 2022-11-28.

mod app;
mod check_run;
mod deliveries;
mod installation;

use std::fmt;
use std::str::FromStr;

use ozma_domain::provider::Code;
use serde::Deserialize;

pub use app::{Access, App, InvalidKey, Permissions, Token};
pub use check_run::{CheckRun, Conclusion, Status};
pub use deliveries::{Deliveries, Lost};
pub use installation::{Installation, PullRequest, PullRequestState};

use crate::http::Call;

/// `owner/name`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Repository {
    owner: String,
    name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a repository on GitHub: write owner/name")]
pub struct InvalidRepository(String);

impl Repository {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The parts of the path of what is below it.
    fn path<'a>(&'a self, below: &[&'a str]) -> Vec<&'a str> {
        [&["repos", &self.owner, &self.name], below].concat()
    }
}

impl FromStr for Repository {
    type Err = InvalidRepository;

    fn from_str(text: &str) -> Result<Self, InvalidRepository> {
        let is_name = |name: &str| {
            let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
            plain && !matches!(name, "" | "." | "..")
        };
        match text.split_once('/') {
            Some((owner, name)) if is_name(owner) && is_name(name) => {
                Ok(Self { owner: owner.to_owned(), name: name.to_owned() })
            }
            _ => Err(InvalidRepository(text.chars().take(200).collect())),
        }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

/// What every answer with something new in it has.
#[derive(Deserialize)]
struct Created {
    id: u64,
}

/// The most that a list gives at once.
const PAGE: u64 = 100;
const PER_PAGE: &str = "100";

fn versioned(call: Call<'_>) -> Call<'_> {
    call.header("accept", "application/vnd.github+json").header("x-github-api-version", "2022-11-28")
}

/// Whose code a pull request brings, by the repositories of its two ends. One whose repository is gone came from a fork.
fn code(head: Option<u64>, base: u64) -> Code {
    if head == Some(base) { Code::Repository } else { Code::Fork }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_an_owner_and_a_name() {
        let check = |text: &str, valid| assert_eq!(text.parse::<Repository>().is_ok(), valid, "{text}");
        check("acme/web", true);
        check("acme/web.js", true);
        check("acme/.github", true);
        for text in ["", "acme", "acme/", "/web", "acme/web/x", "acme/..", "../web", "acme/we b", "acme/w%2Fb", "a?/b"]
        {
            check(text, false);
        }
        let repository: Repository = "acme/web".parse().unwrap();
        assert_eq!(repository.to_string(), "acme/web");
        assert_eq!(repository.path(&["issues", "1"]), ["repos", "acme", "web", "issues", "1"]);
    }

    #[test]
    fn code_is_the_repositorys_own_only_if_it_is_surely_there() {
        assert_eq!(code(Some(1), 1), Code::Repository);
        assert_eq!(code(Some(2), 1), Code::Fork);
        assert_eq!(code(None, 1), Code::Fork);
    }
}
