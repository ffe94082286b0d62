//! GitLab, its own or self-managed: notes on issues and merge requests, members, and whose code a merge request brings.

use std::fmt;

use ozma_domain::provider::{Code, GitlabKind, Right};
use ozma_domain::text;
use reqwest::Method;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::error::{Error, found};
use crate::http::{Answer, BaseUrl, Call, Credentials, Http};

/// An instance, spoken to with an access token of a project, a group or a person that has the scope `api`.
#[derive(Clone)]
pub struct Gitlab {
    http: Http,
    /// `https://gitlab.com`; what the instance has before `/api/v4`.
    host: BaseUrl,
    token: SecretString,
}

/// Where notes are: an issue or merge request, or a discussion of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    pub project: u64,
    pub kind: GitlabKind,
    /// Its number within the project.
    pub iid: u64,
    pub discussion: Option<&'a str>,
}

/// A merge request, as far as it says whose code it brings.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct MergeRequest {
    /// `opened`, `closed`, `merged` or `locked`.
    pub state: String,
    #[serde(default)]
    pub draft: bool,
    /// Of its head.
    pub sha: String,
    pub source_branch: String,
    /// Absent where the fork is gone.
    pub source_project_id: Option<u64>,
    pub target_branch: String,
    pub target_project_id: u64,
}

impl MergeRequest {
    pub fn code(&self) -> Code {
        if self.source_project_id == Some(self.target_project_id) { Code::Repository } else { Code::Fork }
    }
}

/// GitLab takes no longer note. In characters.
const NOTE: usize = 1_000_000;
const PAGE: &str = "100";
const PAGES: u64 = 10;

#[derive(Serialize)]
struct Body {
    body: String,
}

#[derive(Deserialize)]
struct Note {
    id: u64,
    #[serde(default)]
    body: String,
    author: User,
}

#[derive(Deserialize)]
struct User {
    id: u64,
}

impl Note {
    fn is(&self, marker: &str, author: u64) -> bool {
        self.author.id == author && self.body.contains(marker)
    }
}

impl Gitlab {
    pub const HOST: &str = "https://gitlab.com";

    pub fn new(http: Http, host: BaseUrl, token: SecretString) -> Self {
        Self { http, host, token }
    }

    /// The id of the user that we are.
    pub async fn user(&self) -> Result<u64, Error> {
        Ok(self.send(Method::GET, &["user".to_owned()], |call| call).await?.json::<User>()?.id)
    }

    /// Writes a note, in Markdown; its id. A body that is too long loses its end, so that what it is found by stands in
    /// front.
    pub async fn create_note(&self, item: Item<'_>, body: &str) -> Result<u64, Error> {
        #[derive(Deserialize)]
        struct Made {
            id: u64,
        }
        let body = Body { body: text::shorten(body, NOTE) };
        Ok(self.send(Method::POST, &item.notes(), |call| call.json(&body)).await?.json::<Made>()?.id)
    }

    pub async fn update_note(&self, item: Item<'_>, note: u64, body: &str) -> Result<(), Error> {
        let path = [item.notes(), vec![note.to_string()]].concat();
        let body = Body { body: text::shorten(body, NOTE) };
        self.send(Method::PUT, &path, |call| call.json(&body)).await.map(drop)
    }

    /// The note with `marker` that `author`, which is us, wrote there: the answer to its making may have been lost. Newest
    /// notes are looked at first. Fails rather than say that there is none, if there are too many to look through.
    pub async fn find_note(&self, item: Item<'_>, marker: &str, author: u64) -> Result<Option<u64>, Error> {
        #[derive(Deserialize)]
        struct Discussion {
            notes: Vec<Note>,
        }
        let found = |notes: &[Note]| notes.iter().find(|note| note.is(marker, author)).map(|note| note.id);
        if let Some(discussion) = item.discussion {
            // All of its notes at once.
            let path = [item.path(), vec!["discussions".to_owned(), discussion.to_owned()]].concat();
            let Discussion { notes } = self.send(Method::GET, &path, |call| call).await?.json()?;
            return Ok(found(&notes));
        }
        for page in 1..=PAGES {
            let page = page.to_string();
            let query = [("order_by", "created_at"), ("sort", "desc"), ("per_page", PAGE), ("page", &page)];
            let answer = self.send(Method::GET, &item.notes(), |call| call.query(&query)).await?;
            let notes: Vec<Note> = answer.json()?;
            if let Some(note) = found(&notes) {
                return Ok(Some(note));
            }
            // Present on every page, and empty on the last.
            if answer.header("x-next-page").unwrap_or_default().is_empty() {
                return Ok(None);
            }
        }
        Err(Error::refused(200, &format!("there are more than {PAGES} pages of notes to look through")))
    }

    /// What somebody may do in a project, by themselves or through a group. Levels are Guest 10, Planner 15, Reporter 20,
    /// Developer 30, Maintainer 40, Owner 50; who plans may label issues, but not merge requests. Who is not active, or not
    /// a member, may do nothing.
    pub async fn member_access(&self, project: u64, user: u64) -> Result<Option<Right>, Error> {
        #[derive(Deserialize)]
        struct Member {
            access_level: u64,
            state: String,
        }
        let below = ["members".to_owned(), "all".to_owned(), user.to_string()];
        let path = [project_path(project), below.to_vec()].concat();
        let Some(answer) = found(self.send(Method::GET, &path, |call| call).await)? else { return Ok(None) };
        let member: Member = answer.json()?;
        Ok(match member.access_level {
            _ if member.state != "active" => None,
            30.. => Some(Right::Write),
            20..30 => Some(Right::Triage),
            _ => None,
        })
    }

    pub async fn merge_request(&self, project: u64, iid: u64) -> Result<MergeRequest, Error> {
        let item = Item { project, kind: GitlabKind::MergeRequest, iid, discussion: None };
        self.send(Method::GET, &item.path(), |call| call).await?.json()
    }

    async fn send(
        &self,
        method: Method,
        path: &[String],
        with: impl FnOnce(Call<'_>) -> Call<'_>,
    ) -> Result<Answer, Error> {
        let parts: Vec<&str> = ["api", "v4"].into_iter().chain(path.iter().map(String::as_str)).collect();
        let call = Call::new(method, self.host.at(&parts), Credentials::PrivateToken(&self.token));
        self.http.send(with(call)).await
    }
}

fn project_path(project: u64) -> Vec<String> {
    vec!["projects".to_owned(), project.to_string()]
}

impl Item<'_> {
    fn path(&self) -> Vec<String> {
        let kind = match self.kind {
            GitlabKind::Issue => "issues",
            GitlabKind::MergeRequest => "merge_requests",
        };
        [project_path(self.project), vec![kind.to_owned(), self.iid.to_string()]].concat()
    }

    fn notes(&self) -> Vec<String> {
        let mut path = self.path();
        path.extend(self.discussion.into_iter().flat_map(|id| ["discussions".to_owned(), id.to_owned()]));
        path.push("notes".to_owned());
        path
    }
}

impl fmt::Debug for Gitlab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gitlab").field("host", &self.host).finish_non_exhaustive()
    }
}
