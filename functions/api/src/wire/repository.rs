//! A repository and what to check out of it.

use ozma_domain::repository::{self, GitRef, RepositoryUrl};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Repository {
    /// `https://…`, `ssh://…`, `user@host:path`, `file:///…` or `owner/name` on GitHub.
    #[schema(value_type = String, example = "https://github.com/acme/web")]
    pub url: RepositoryUrl,
    /// A branch, a tag, or a commit of 40 hexadecimal digits.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>, example = "main")]
    pub reference: Option<GitRef>,
}

impl From<repository::Repository> for Repository {
    fn from(repository::Repository { url, reference }: repository::Repository) -> Self {
        Self { url, reference }
    }
}

impl From<Repository> for repository::Repository {
    fn from(Repository { url, reference }: Repository) -> Self {
        Self { url, reference }
    }
}
