//! What an event of a provider means: what happened, to what, by whom, and how far it is to be trusted.
//!
//! A provider is one module with a `decode`, and one line in [`Provider::decode`] and [`Provider::events`]. What comes out
//! is the same for all, so that whatever matches, caps and starts knows no provider. A payload is decoded after its
//! signature has been verified: it is the provider's word. What people write in it is theirs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::RunId;
use crate::repository::GitRef;
use crate::template::InvalidField;

#[cfg(test)]
mod broken;
mod conversation;
mod github;
mod gitlab;
mod jira;
mod linear;
mod member;
mod mention;
mod payload;
#[cfg(test)]
mod payloads;
mod place;
pub mod slack;
mod start;

pub use mention::mentions;
pub use place::{Control, GitlabKind, Place};
pub use start::{Allow, Refused, Start, may_start};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    Github,
    Gitlab,
    Jira,
    Linear,
    Slack,
}

/// One event, as all providers' events are told.
///
/// ```json
/// {
///   "provider": "github", "names": ["issue_comment.created", "pull_request.mentioned"],
///   "subject": {"kind": "pull_request", "repository": "acme/web", "number": 12, "title": "Faster", "url": "https://…"},
///   "actor": {"login": "ann", "id": "583231", "kind": "user", "association": "MEMBER"},
///   "author": {"login": "ann", "id": "583231", "kind": "user", "association": "MEMBER"},
///   "cause": "act", "code": "unknown", "text": "@oz rebase this", "installation": "42",
///   "keys": {"object": "github:acme/web#12", "item": "acme/web#12"}
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occurrence {
    pub provider: Provider,
    /// Dotted names, see [`Provider::events`]: the event's own, then what it is besides. A comment with a mention is
    /// `issue_comment.created` and `issue.mentioned`; a merge is `pull_request.closed` and `pull_request.merged`.
    pub names: Vec<String>,
    /// What the name leaves open: the label of `….labeled`, the login of `….assigned` and `….review_requested`, the state
    /// of a review or a deployment or an issue, the conclusion of checks, the identifier of a requested action, a reaction.
    /// Of several names it is of the first that leaves something open; several labels have `, ` between them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
    pub subject: Subject,
    /// Who did it.
    pub actor: Actor,
    /// Who wrote the text, or the subject if there is no text: often the actor, though not where somebody labels another's
    /// issue. Absent where the account is gone, where there is nothing written, and where the payload has an id alone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub author: Option<Actor>,
    pub cause: Cause,
    /// What right in the repository is shown by this having happened, whoever the actor is. A caller that asked the
    /// provider for more may set it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub right: Option<Right>,
    /// A caller that asked the provider for more may set it: [`Occurrence::comes_from`].
    pub code: Code,
    /// A pull request that is not ready for review.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub draft: bool,
    /// What people wrote: a comment, the body of an issue or pull request, a commit's message. Not to be trusted more than
    /// its author, and at most [`crate::limits::EVENT_TEXT_BYTES`] of it. Absent where it is a [`Self::control`], so that
    /// nobody can make a prompt of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub text: Option<String>,
    /// What the provider knows our app by at this place: the installation of a GitHub App, a workspace of Slack, an
    /// organisation of Linear.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub installation: Option<String>,
    /// By what it is known to be our own doing. Such an event never matches anything, or agents would answer themselves.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub own: Option<OwnSign>,
    pub keys: Keys,
    /// Where people see an answer to it. Absent where nobody could.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub place: Option<Place>,
    /// What it says is to us and not to an agent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub control: Option<Control>,
    /// By what it is known where the provider tells one thing as several events, each with an id of its own: Slack's
    /// `team:channel:ts`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub message: Option<String>,
}

/// What an event is about, as far as it says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    pub kind: SubjectKind,
    /// `owner/name`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub repository: Option<String>,
    /// Of the issue, pull request or discussion; of a check's pull request if it is certain which one that is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub number: Option<u64>,
    /// In full, in lower-case hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub head_sha: Option<String>,
    /// Where the commit is: the branch of a pull request, of a push or of checks; of a deployment a branch or a tag.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub head_branch: Option<GitRef>,
    /// `owner/name` of the repository that the branch is in: not `repository` for a fork's pull request.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub head_repository: Option<String>,
    /// Where a pull request is to be merged.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub base_branch: Option<GitRef>,
    /// Of a release, or of a push to a tag.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tag: Option<GitRef>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub url: Option<String>,
    /// One line.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub title: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectKind {
    Issue,
    PullRequest,
    Commit,
    Branch,
    Tag,
    Release,
    Discussion,
    Check,
    /// What people say where it is about nothing else: a thread of Slack.
    Conversation,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    pub login: String,
    /// Stays when the login changes.
    pub id: String,
    pub kind: ActorKind,
    /// Where the payload says it, which it does of authors alone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub association: Option<Association>,
    /// As the provider tells it: who it is elsewhere, not what they may do. Slack's payloads have none: a caller that asked
    /// Slack for it may set it, before it asks who may.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub email: Option<String>,
}

impl Actor {
    pub fn is_person(&self) -> bool {
        self.kind == ActorKind::User
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    User,
    Bot,
    Organization,
    /// Such as the placeholder of somebody who was imported.
    Other,
}

/// What somebody is to a repository, in GitHub's words (`CommentAuthorAssociation`). It says who belongs to it, not who may
/// write to it: a member may have no more than read access. One whose membership is private is shown as
/// [`Self::Contributor`] or [`Self::None`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Association {
    Owner,
    /// Of the organisation that owns the repository.
    Member,
    /// Invited to the repository.
    Collaborator,
    /// Has had a commit merged.
    Contributor,
    FirstTimeContributor,
    /// To the provider altogether.
    FirstTimer,
    Mannequin,
    None,
}

impl Association {
    const ALL: [Self; 8] = [
        Self::Owner,
        Self::Member,
        Self::Collaborator,
        Self::Contributor,
        Self::FirstTimeContributor,
        Self::FirstTimer,
        Self::Mannequin,
        Self::None,
    ];

    /// One that is not known yet admits to nothing.
    fn read(text: &str) -> Self {
        Self::ALL.into_iter().find(|association| association.to_string() == text).unwrap_or(Self::None)
    }
}

/// Where an event comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The actor did something.
    Act,
    /// Checks, workflows or deployments went on or ended: the actor may be whoever made them run, or the service that does.
    /// And what names nobody, as GitLab's releases do.
    Checks,
}

/// A right in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// To label, assign and close what others wrote.
    Triage,
    Write,
}

/// Whose code an agent would work on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The repository's own: somebody with write access pushed it.
    Repository,
    /// A fork's, perhaps of a repository that is gone.
    Fork,
    /// The payload does not say. Ask the provider before trusting it.
    Unknown,
}

/// Whose code a pull request brings, as its provider says when it is asked. Of one and the same pull request it never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    pub code: Code,
    /// `owner/name`. None: it was deleted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub repository: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub branch: Option<GitRef>,
}

/// What counts as our own doing, and how people address us.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Own {
    /// Of the accounts that agents act as: `ozma[bot]`; where a provider knows people by their id, the id. Of Slack those of the
    /// bot user, the bot and the app (`U…`, `B…`, `A…`).
    pub logins: Vec<String>,
    /// Ids of our apps at GitHub: what is done through one of them is ours, whoever's token it is done with.
    pub app_ids: Vec<u64>,
    /// `@oz`. Without it nobody is mentioned.
    pub mention: Option<String>,
}

/// By what an event is known to be our own doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnSign {
    Actor,
    App,
    Marker,
}

/// Names of what is worked on: for counting and capping, and for having one run at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    /// `github:acme/web#12`, `linear:ENG-12`, `slack:T0001:C0001:1515449522.000016`. Each event has one: that of its issue,
    /// pull request or discussion, else of its branch, its tag, its commit, its repository; or of its thread or channel.
    pub object: String,
    /// `acme/web#12`, `ENG-12`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub item: Option<String>,
    /// `acme/web@<sha>`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub commit: Option<String>,
    /// `acme/web:main`, and `ann/web:main` for a fork's branch, so that it is nobody else's. Absent where it is not certain
    /// whose branch it is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub branch: Option<String>,
    /// The conversation, where a provider has them apart from what they are about: a thread of Slack, a session of Linear.
    /// What is said in one that a run answers is a follow-up to that run: see [`Occurrence::conversation`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub thread: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    Used(Box<Occurrence>),
    /// Nothing that starts anything. Not an error: providers send more than somebody asked for.
    NotUsed {
        name: String,
        /// A sentence for people.
        why: String,
    },
}

impl Provider {
    pub const ALL: [Self; 5] = [Self::Github, Self::Gitlab, Self::Jira, Self::Linear, Self::Slack];

    /// What a payload means. `event` is the kind that the provider gives beside it: GitHub's header `X-GitHub-Event`, GitLab's
    /// `X-Gitlab-Event`; for Slack which kind of request it is, [`slack::EVENTS_API`] or [`slack::SLASH_COMMAND`]. Jira gives none,
    /// and Linear's is not looked at, as the payload says the same and is signed.
    /// Fails if the payload of an event that is used lacks what it must have, or has it of the wrong kind; the field is the
    /// path of that member.
    pub fn decode(self, event: &str, payload: &Value, own: &Own) -> Result<Decoded, InvalidField> {
        match self {
            Self::Github => github::decode(event, payload, own),
            Self::Gitlab => gitlab::decode(event, payload, own),
            Self::Jira => jira::decode(payload, own),
            Self::Linear => linear::decode(payload, own),
            Self::Slack => slack::decode(event, payload, own),
        }
    }

    /// Every name that an occurrence may have.
    pub fn events(self) -> Vec<&'static str> {
        match self {
            Self::Github => github::events(),
            Self::Gitlab => gitlab::events(),
            Self::Jira => jira::events(),
            Self::Linear => linear::events(),
            Self::Slack => slack::events(),
        }
    }
}

impl Occurrence {
    pub fn is(&self, name: &str) -> bool {
        self.names.iter().any(|of| of == name)
    }

    /// The pull request that it is about, by its repository and number, if the payload leaves open whose code that brings and
    /// the provider can be asked: of comments GitHub's says no more than that they are on one.
    pub fn of_unknown_origin(&self) -> Option<(&str, u64)> {
        let Subject { kind, repository, number, .. } = &self.subject;
        let is_open = self.provider == Provider::Github && self.code == Code::Unknown;
        let is_open = is_open && *kind == SubjectKind::PullRequest;
        repository.as_deref().zip(*number).filter(|_| is_open)
    }

    /// Fills in what the payload left open. What it says itself stays.
    pub fn comes_from(&mut self, origin: &Origin) {
        if self.of_unknown_origin().is_none() {
            return;
        }
        self.code = origin.code;
        self.subject.head_repository.clone_from(&origin.repository);
        self.subject.head_branch.clone_from(&origin.branch);
        self.keys.branch = payload::keys(self.provider, &self.subject, self.code, '#').branch;
    }

    /// What somebody did at a place where there is no code but that of our own repositories.
    fn act(provider: Provider, name: &str, subject: Subject, actor: Actor, keys: Keys) -> Self {
        Self {
            provider,
            names: vec![name.to_owned()],
            detail: None,
            subject,
            actor,
            author: None,
            cause: Cause::Act,
            right: None,
            code: Code::Repository,
            draft: false,
            text: None,
            installation: None,
            own: None,
            keys,
            place: None,
            control: None,
            message: None,
        }
    }
}

impl Decoded {
    fn not_used(name: impl Into<String>, why: impl Into<String>) -> Self {
        let name: String = name.into();
        let name = if name.is_empty() { "unnamed".to_owned() } else { name };
        Self::NotUsed { name, why: why.into() }
    }
}

impl Own {
    /// What stands in each text that an agent publishes, where nobody sees it: so it is known whoever's account it used.
    pub fn marker(run: RunId) -> String {
        format!("{}{run} -->", Self::MARKER)
    }

    const MARKER: &str = "<!-- ozma:run=";

    /// Whether something that `actor` did, through `app`, which may have brought a text with it, is our own doing.
    fn sign(&self, actor: &Actor, app: Option<u64>, written: Option<&str>) -> Option<OwnSign> {
        if self.is_login(&actor.login) {
            return Some(OwnSign::Actor);
        }
        if app.is_some_and(|app| self.app_ids.contains(&app)) {
            return Some(OwnSign::App);
        }
        self.is_marked(written.unwrap_or_default()).then_some(OwnSign::Marker)
    }

    fn is_login(&self, name: &str) -> bool {
        self.logins.iter().any(|login| login.eq_ignore_ascii_case(name))
    }

    /// Whether a text carries the mark of a run. Who quotes an agent to answer it is not one.
    fn is_marked(&self, text: &str) -> bool {
        text.lines().any(|line| !line.trim_start().starts_with('>') && line.contains(Self::MARKER))
    }

    fn is_mentioned(&self, text: &str) -> bool {
        self.mention.as_deref().is_some_and(|name| mentions(text, name))
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Github => "github",
            Self::Gitlab => "gitlab",
            Self::Jira => "jira",
            Self::Linear => "linear",
            Self::Slack => "slack",
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not {known}", known = Provider::ALL.map(|provider| provider.to_string()).join(", "))]
pub struct UnknownProvider(String);

impl FromStr for Provider {
    type Err = UnknownProvider;

    fn from_str(text: &str) -> Result<Self, UnknownProvider> {
        let known = Self::ALL.into_iter().find(|provider| provider.to_string() == text);
        known.ok_or_else(|| UnknownProvider(crate::text::shorten(&crate::text::one_line(text), 40)))
    }
}

impl fmt::Display for Association {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Owner => "OWNER",
            Self::Member => "MEMBER",
            Self::Collaborator => "COLLABORATOR",
            Self::Contributor => "CONTRIBUTOR",
            Self::FirstTimeContributor => "FIRST_TIME_CONTRIBUTOR",
            Self::FirstTimer => "FIRST_TIMER",
            Self::Mannequin => "MANNEQUIN",
            Self::None => "NONE",
        })
    }
}

impl fmt::Display for OwnSign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Actor => "its account did it",
            Self::App => "it was done through its app",
            Self::Marker => "the text carries its mark",
        })
    }
}
