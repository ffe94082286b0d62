//! What each kind of GitLab's payloads says of its subject, its author and the code.

use super::Used;
use crate::limits;
use crate::provider::member::Member;
use crate::provider::payload::{branch, email, line, login, pushed, said, sha, url};
use crate::provider::{Actor, ActorKind, Code, GitlabKind, Place, Right, Subject, SubjectKind};
use crate::repository::is_github_name;
use crate::template::InvalidField;

type Result<T> = std::result::Result<T, InvalidField>;

/// What a payload says beside what happened and its actor.
pub(super) struct Read<'a> {
    pub(super) subject: Subject,
    /// The id of who wrote the text, or the item if there is no text: payloads tell no more of it.
    pub(super) author: Option<String>,
    /// The ids of those who are assigned, or were before.
    pub(super) assigned: Vec<String>,
    pub(super) code: Code,
    pub(super) draft: bool,
    pub(super) text: Option<&'a str>,
    pub(super) place: Option<Place>,
    /// For a pipeline.
    pub(super) right: Option<Right>,
}

impl Read<'_> {
    fn of(subject: Subject, code: Code) -> Self {
        Self { subject, author: None, assigned: Vec::new(), code, draft: false, text: None, place: None, right: None }
    }
}

/// The project that sent the event; of a merge request the one it is offered to.
struct Project<'a> {
    path: &'a str,
    id: u64,
}

impl<'a> Project<'a> {
    fn read(root: &Member<'a>) -> Result<Self> {
        let project = root.at("project")?;
        let (path, id) = (project.at("path_with_namespace")?, project.at("id")?);
        // Some versions have it beside the project.
        let known = id.number()?.or(root.at("project_id")?.number()?);
        Ok(Self { path: path.required(full_path(&path)?)?, id: id.required(known)? })
    }

    fn subject(&self, kind: SubjectKind) -> Subject {
        Subject::of(kind, Some(self.path))
    }

    fn place(&self, kind: GitlabKind, iid: u64) -> Option<Place> {
        Some(Place::GitlabItem { project: self.id, kind, iid, discussion: None })
    }
}

/// Reads the part of the payload that its event is about.
pub(super) fn read<'a>(used: &Used, root: &Member<'a>) -> Result<Read<'a>> {
    let project = Project::read(root)?;
    let attributes = root.at("object_attributes")?;
    let mut read = match (used.kind, used.about) {
        ("issue", _) => issue(&attributes, &project)?,
        ("merge_request", _) => merge_request(&attributes, &project)?,
        ("note", "Issue") => issue(&root.at("issue")?, &project)?,
        ("note", "MergeRequest") => merge_request(&root.at("merge_request")?, &project)?,
        ("note", _) => commit(&root.at("commit")?, &project)?,
        ("pipeline", _) => pipeline(root, &attributes, &project)?,
        ("release", _) => release(root, &project)?,
        _ => push(root, &project)?,
    };
    match used.kind {
        "note" => note(&mut read, root, &attributes)?,
        "issue" | "merge_request" => {
            let before = root.at("changes")?.at("assignees")?.at("previous")?;
            for list in [root.at("assignees")?, before] {
                for assignee in list.items()? {
                    read.assigned.extend(assignee.at("id")?.number()?.map(|id| id.to_string()));
                }
            }
        }
        _ => {}
    }
    Ok(read)
}

/// Whoever did it. A push tells of them in members of its own, a release not at all.
pub(super) fn actor(kind: &str, root: &Member<'_>) -> Result<Actor> {
    let user = root.at("user")?;
    let (name, id, address) = match kind {
        "push" | "tag_push" => (root.at("user_username")?, root.at("user_id")?, root.at("user_email")?),
        "release" => return Ok(nobody()),
        // Whose account is gone.
        "pipeline" if !user.is_there() => return Ok(nobody()),
        _ => (user.at("username")?, user.at("id")?, user.at("email")?),
    };
    let login = name.required(login(&name)?)?;
    let id = id.required(id.number()?)?.to_string();
    // An address that somebody does not show is `[REDACTED]`.
    Ok(Actor { login: login.to_owned(), id, kind: account(login), association: None, email: email(&address)? })
}

/// Where the payload names nobody. No name of an account begins with a dash, and their ids begin at 1.
fn nobody() -> Actor {
    Actor { login: "-".to_owned(), id: "0".to_owned(), kind: ActorKind::Other, association: None, email: None }
}

/// Accounts that are GitLab's own, whose names end with a number where somebody else had them.
const INTERNAL: [&str; 7] = [
    "GitLab-Admin-Bot",
    "GitLab-Security-Bot",
    "GitLabDuo",
    "alert-bot",
    "automation-bot",
    "migration-bot",
    "support-bot",
];

/// What an account is, which its name alone tells: `project_12_bot_6f2c…` and `group_12_bot_…` hold access tokens. Who is
/// called so without being one is taken for less than they are.
fn account(login: &str) -> ActorKind {
    let holds_token = ["project_", "group_"].iter().any(|of| {
        let rest = login.strip_prefix(of).unwrap_or_default();
        let behind = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        behind.len() < rest.len() && behind.starts_with("_bot")
    });
    let name = login.trim_end_matches(|c: char| c.is_ascii_digit());
    if name == "ghost" {
        // What is left of accounts that were deleted.
        ActorKind::Other
    } else if holds_token || login.starts_with("service_account_") || INTERNAL.contains(&name) {
        ActorKind::Bot
    } else {
        ActorKind::User
    }
}

fn issue<'a>(issue: &Member<'a>, project: &Project<'_>) -> Result<Read<'a>> {
    let mut read = item(issue, SubjectKind::Issue, Code::Repository, project)?;
    read.place = read.subject.number.and_then(|iid| project.place(GitlabKind::Issue, iid));
    Ok(read)
}

fn merge_request<'a>(merge: &Member<'a>, project: &Project<'_>) -> Result<Read<'a>> {
    let (source, target) = (merge.at("source_project_id")?.number()?, merge.at("target_project_id")?.number()?);
    let code = match (source, target) {
        (Some(source), Some(target)) if source == target => Code::Repository,
        (_, None) => Code::Unknown,
        // Without a source it is a fork's that was deleted.
        _ => Code::Fork,
    };
    let mut read = item(merge, SubjectKind::PullRequest, code, project)?;
    let (from, to) = (merge.at("source_branch")?, merge.at("target_branch")?);
    read.subject.head_branch = Some(from.required(branch(&from)?)?);
    read.subject.base_branch = Some(to.required(branch(&to)?)?);
    // Of a branch that is gone there is none.
    read.subject.head_sha = sha(&merge.at("last_commit")?.at("id")?)?;
    let of = full_path(&merge.at("source")?.at("path_with_namespace")?)?;
    read.subject.head_repository =
        if code == Code::Repository { Some(project.path.to_owned()) } else { of.map(str::to_owned) };
    read.draft = merge.at("draft")?.flag()? || merge.at("work_in_progress")?.flag()?;
    read.place = read.subject.number.and_then(|iid| project.place(GitlabKind::MergeRequest, iid));
    Ok(read)
}

fn item<'a>(item: &Member<'a>, kind: SubjectKind, code: Code, project: &Project<'_>) -> Result<Read<'a>> {
    let mut read = Read::of(project.subject(kind), code);
    let (iid, title) = (item.at("iid")?, item.at("title")?);
    read.subject.number = Some(iid.required(iid.number()?)?);
    read.subject.title = Some(line(title.required(title.text()?)?));
    read.subject.url = url(&item.at("url")?)?;
    read.author = item.at("author_id")?.number()?.map(|id| id.to_string());
    for id in item.at("assignee_ids")?.items()?.into_iter().chain([item.at("assignee_id")?]) {
        read.assigned.extend(id.number()?.map(|id| id.to_string()));
    }
    read.text = said(&item.at("description")?)?;
    Ok(read)
}

/// Takes text, author and place from a comment. An answer to an internal one, at an item that others see, goes into its
/// discussion, where it is internal too, and nowhere if that is not known.
fn note<'a>(read: &mut Read<'a>, root: &Member<'a>, note: &Member<'a>) -> Result<()> {
    read.text = said(&note.at("note")?)?;
    read.author = note.at("author_id")?.number()?.map(|id| id.to_string());
    read.subject.url = read.subject.url.take().or(url(&note.at("url")?)?);
    let is_internal = note.at("internal")?.flag()?
        || note.at("confidential")?.flag()?
        || root.at("event_type")?.text()? == Some("confidential_note")
            && !root.at("issue")?.at("confidential")?.flag()?;
    let thread = note.at("discussion_id")?;
    let found = sha(&thread)?;
    match &mut read.place {
        Some(Place::GitlabItem { discussion, .. }) if found.is_some() => *discussion = found,
        place if is_internal => *place = None,
        _ => {}
    }
    Ok(())
}

fn commit<'a>(commit: &Member<'a>, project: &Project<'_>) -> Result<Read<'a>> {
    let mut read = Read::of(project.subject(SubjectKind::Commit), Code::Unknown);
    let id = commit.at("id")?;
    read.subject.head_sha = Some(id.required(sha(&id)?)?);
    read.subject.url = url(&commit.at("url")?)?;
    read.subject.title = first_line(said(&commit.at("message")?)?);
    Ok(read)
}

fn push<'a>(root: &Member<'a>, project: &Project<'_>) -> Result<Read<'a>> {
    let mut read = Read::of(pushed(&root.at("ref")?, project.path)?, Code::Repository);
    let after = root.at("after")?;
    let head = after.required(sha(&after)?)?;
    let mut commits = root.at("commits")?.items()?;
    let is_head = |commit: &Member<'a>| Ok(commit.at("id")?.text()? == Some(&head));
    // The last of those there are; where it is not the head there is no telling what that says.
    if let Some(commit) = commits.pop()
        && is_head(&commit)?
    {
        read.text = said(&commit.at("message")?)?;
        read.subject.url = url(&commit.at("url")?)?;
    }
    // Of an annotated tag.
    read.text = said(&root.at("message")?)?.or(read.text);
    // What a tag is put on may be a tag itself, and a commit only behind it.
    read.subject.head_sha = sha(&root.at("checkout_sha")?)?.or(Some(head));
    read.subject.title = first_line(read.text);
    Ok(read)
}

/// Sources of a pipeline that take the right to write. Others are commands of a chat, what another project makes run, and
/// systems elsewhere that report their own.
const WRITERS: [&str; 7] = ["api", "merge_request_event", "push", "schedule", "trigger", "web", "webide"];

/// A fork's pipelines run in the fork and are told there, but for those that a member runs for its merge request, here, with
/// what the project has.
fn pipeline<'a>(root: &Member<'a>, pipeline: &Member<'a>, project: &Project<'_>) -> Result<Read<'a>> {
    let (merge, commit, source) = (root.at("merge_request")?, pipeline.at("sha")?, pipeline.at("source")?.text()?);
    let from = merge.at("source_project_id")?.number()?;
    let code = match (merge.is_there(), from) {
        (true, from) if from == Some(project.id) => Code::Repository,
        (true, _) => Code::Fork,
        (false, _) if source.is_some_and(|source| WRITERS.contains(&source) && source != "merge_request_event") => {
            Code::Repository
        }
        (false, _) => Code::Unknown,
    };
    let mut read = Read::of(project.subject(SubjectKind::Check), code);
    read.subject.head_sha = Some(commit.required(sha(&commit)?)?);
    let name = branch(&pipeline.at("ref")?)?.filter(|name| !name.as_str().starts_with("refs/"));
    if pipeline.at("tag")?.flag()? {
        read.subject.tag = name;
    } else {
        read.subject.head_branch = branch(&merge.at("source_branch")?)?.or(name);
    }
    read.subject.head_repository = (code == Code::Repository).then(|| project.path.to_owned());
    read.subject.url = url(&pipeline.at("url")?)?;
    read.subject.title = said(&pipeline.at("name")?)?.map(line);
    if merge.at("target_project_id")?.number()? == Some(project.id) {
        read.subject.number = merge.at("iid")?.number()?;
        read.subject.base_branch = branch(&merge.at("target_branch")?)?;
        read.place = read.subject.number.and_then(|iid| project.place(GitlabKind::MergeRequest, iid));
    }
    let by_writer = source.is_some_and(|source| WRITERS.contains(&source));
    read.right = (code == Code::Repository && by_writer).then_some(Right::Write);
    Ok(read)
}

fn release<'a>(release: &Member<'a>, project: &Project<'_>) -> Result<Read<'a>> {
    let mut read = Read::of(project.subject(SubjectKind::Release), Code::Repository);
    let tag = release.at("tag")?;
    let name = tag.required(branch(&tag)?)?;
    read.subject.title = Some(line(said(&release.at("name")?)?.unwrap_or(name.as_str())));
    read.subject.tag = Some(name);
    read.subject.head_sha = sha(&release.at("commit")?.at("id")?)?;
    read.subject.url = url(&release.at("url")?)?;
    read.text = said(&release.at("description")?)?;
    Ok(read)
}

fn first_line(text: Option<&str>) -> Option<String> {
    text.and_then(|text| text.trim().lines().next()).map(line)
}

/// `group/project`, or deeper: `group/sub/project`. Its names are made of the letters of GitHub's.
fn full_path<'a>(member: &Member<'a>) -> Result<Option<&'a str>> {
    let Some(path) = member.text()? else { return Ok(None) };
    if path.len() <= limits::GITLAB_PATH_BYTES && path.contains('/') && path.split('/').all(is_github_name) {
        Ok(Some(path))
    } else {
        Err(member.invalid("not the path of a project: group/project"))
    }
}
