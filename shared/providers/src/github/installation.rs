//! Comments, reactions, pull requests and rights, seen and written with an installation's token.

use jiff::Timestamp;
use ozma_domain::provider::{Code, Own, Right};
use ozma_domain::text;
use reqwest::Method;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{Created, PAGE, PER_PAGE, Repository, versioned};
use crate::error::{Error, found};
use crate::http::{Answer, BaseUrl, Call, Credentials, Http};

/// Whoever has a token of an installation.
#[derive(Clone, Debug)]
pub struct Installation {
    http: Http,
    api: BaseUrl,
    token: SecretString,
}

/// GitHub takes no longer comment. In characters.
const COMMENT: usize = 65_536;
/// How many pages of comments are looked through.
const COMMENT_PAGES: u64 = 10;

/// A pull request, as far as it says whose code it brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullRequest {
    pub state: PullRequestState,
    pub draft: bool,
    pub head_sha: String,
    pub head_branch: String,
    /// Absent where it was deleted.
    pub head_repository: Option<RepositoryId>,
    pub base_branch: String,
    pub base_repository: RepositoryId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PullRequestState {
    Open,
    /// Merged or not.
    Closed,
}

/// Its id stays when it is renamed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RepositoryId {
    pub id: u64,
    pub full_name: String,
}

impl PullRequest {
    /// What the payload of a comment leaves open.
    pub fn code(&self) -> Code {
        super::code(self.head_repository.as_ref().map(|head| head.id), self.base_repository.id)
    }
}

#[derive(Serialize)]
struct Body {
    body: String,
}

#[derive(Deserialize)]
struct Comment {
    id: u64,
    #[serde(default)]
    body: Option<String>,
    user: Option<User>,
    performed_via_github_app: Option<Created>,
}

#[derive(Deserialize)]
struct User {
    login: String,
    r#type: String,
}

impl Comment {
    /// Whoever may comment may copy a mark: only what one of our apps wrote is ours.
    fn is_own(&self, own: &Own) -> bool {
        let by_app = self.performed_via_github_app.as_ref().is_some_and(|app| own.app_ids.contains(&app.id));
        let is_ours = |user: &User| own.logins.iter().any(|login| login.eq_ignore_ascii_case(&user.login));
        by_app || self.user.as_ref().is_some_and(|user| user.r#type == "Bot" && is_ours(user))
    }
}

impl Installation {
    pub fn new(http: Http, api: BaseUrl, token: SecretString) -> Self {
        Self { http, api, token }
    }

    /// Comments on an issue or a pull request; the comment's id. A body that is too long loses its end, so that what it is
    /// found by stands in front.
    pub async fn create_comment(&self, repository: &Repository, number: u64, body: &str) -> Result<u64, Error> {
        let number = number.to_string();
        let path = repository.path(&["issues", &number, "comments"]);
        let body = Body { body: text::shorten(body, COMMENT) };
        Ok(self.send(Method::POST, &path, |call| call.json(&body)).await?.json::<Created>()?.id)
    }

    pub async fn update_comment(&self, repository: &Repository, comment: u64, body: &str) -> Result<(), Error> {
        let comment = comment.to_string();
        let path = repository.path(&["issues", "comments", &comment]);
        let body = Body { body: text::shorten(body, COMMENT) };
        self.send(Method::PATCH, &path, |call| call.json(&body)).await.map(drop)
    }

    /// The first comment with `marker` that we wrote, among those that were touched since then: the answer to its making may
    /// have been lost. `since` is some time before it can have been made, because GitHub's clock is another. Fails rather
    /// than say that there is none, if there are too many to look through.
    pub async fn find_comment(
        &self,
        repository: &Repository,
        number: u64,
        marker: &str,
        own: &Own,
        since: Timestamp,
    ) -> Result<Option<u64>, Error> {
        let number = number.to_string();
        let path = repository.path(&["issues", &number, "comments"]);
        let since = since.to_string();
        for page in 1..=COMMENT_PAGES {
            let page = page.to_string();
            let query = [("since", since.as_str()), ("per_page", PER_PAGE), ("page", &page)];
            let comments: Vec<Comment> = self.send(Method::GET, &path, |call| call.query(&query)).await?.json()?;
            let is_it = |comment: &&Comment| {
                comment.is_own(own) && comment.body.as_deref().is_some_and(|body| body.contains(marker))
            };
            if let Some(comment) = comments.iter().find(is_it) {
                return Ok(Some(comment.id));
            }
            if (comments.len() as u64) < PAGE {
                return Ok(None);
            }
        }
        Err(Error::refused(200, &format!("there are more than {} comments to look through", COMMENT_PAGES * PAGE)))
    }

    /// An emoji below a comment, such as `eyes`. One that is there already is not doubled.
    pub async fn add_reaction(&self, repository: &Repository, comment: u64, content: &str) -> Result<(), Error> {
        #[derive(Serialize)]
        struct Reaction<'a> {
            content: &'a str,
        }
        let comment = comment.to_string();
        let path = repository.path(&["issues", "comments", &comment, "reactions"]);
        self.send(Method::POST, &path, |call| call.json(&Reaction { content })).await.map(drop)
    }

    pub async fn pull_request(&self, repository: &Repository, number: u64) -> Result<PullRequest, Error> {
        #[derive(Deserialize)]
        struct Told {
            state: PullRequestState,
            #[serde(default)]
            draft: Option<bool>,
            head: End<Option<RepositoryId>>,
            base: End<RepositoryId>,
        }
        #[derive(Deserialize)]
        struct End<R> {
            sha: String,
            r#ref: String,
            repo: R,
        }
        let number = number.to_string();
        let path = repository.path(&["pulls", &number]);
        let Told { state, draft, head, base } = self.send(Method::GET, &path, |call| call).await?.json()?;
        Ok(PullRequest {
            state,
            draft: draft.unwrap_or_default(),
            head_sha: head.sha,
            head_branch: head.r#ref,
            head_repository: head.repo,
            base_branch: base.r#ref,
            base_repository: base.repo,
        })
    }

    /// What somebody may do in the repository. `permission` tells a custom role by the one that it is made from, and
    /// `role_name` is needed because it tells triage as read. Somebody whom GitHub does not know may do nothing.
    pub async fn permission(&self, repository: &Repository, login: &str) -> Result<Option<Right>, Error> {
        #[derive(Deserialize)]
        struct Told {
            permission: String,
            role_name: String,
        }
        let path = repository.path(&["collaborators", login, "permission"]);
        let Some(answer) = found(self.send(Method::GET, &path, |call| call).await)? else { return Ok(None) };
        let told: Told = answer.json()?;
        Ok(match (told.permission.as_str(), told.role_name.as_str()) {
            ("admin" | "write" | "maintain", _) => Some(Right::Write),
            ("triage", _) | (_, "triage") => Some(Right::Triage),
            _ => None,
        })
    }

    pub(super) async fn send(
        &self,
        method: Method,
        path: &[&str],
        with: impl FnOnce(Call<'_>) -> Call<'_>,
    ) -> Result<Answer, Error> {
        let call = Call::new(method, self.api.at(path), Credentials::Bearer(&self.token));
        self.http.send(with(versioned(call))).await
    }
}
