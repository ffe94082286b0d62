//! What each kind of GitHub's payloads says of its subject, its author and the code.

use super::Used;
use crate::limits;
use crate::provider::member::Member;
use crate::provider::payload::{branch, is_no_commit, line, login, pushed, said, sha, url};
use crate::provider::{Actor, ActorKind, Association, Code, Place, Right, Subject, SubjectKind};
use crate::repository::is_github_name;
use crate::template::InvalidField;

type Result<T> = std::result::Result<T, InvalidField>;

/// What a payload says beside its names and its actor.
pub(super) struct Read<'a> {
    pub(super) subject: Subject,
    pub(super) author: Option<Actor>,
    pub(super) code: Code,
    pub(super) draft: bool,
    pub(super) text: Option<&'a str>,
    /// The text, if the event is that it was written: not the body of an issue that is labelled.
    pub(super) written: Option<&'a str>,
    /// The app through which it was done.
    pub(super) app: Option<u64>,
    pub(super) detail: Option<&'a str>,
    pub(super) right: Option<Right>,
    pub(super) merged: bool,
}

impl Read<'_> {
    fn of(subject: Subject, code: Code) -> Self {
        Self {
            subject,
            author: None,
            code,
            draft: false,
            text: None,
            written: None,
            app: None,
            detail: None,
            right: None,
            merged: false,
        }
    }
}

/// The repository that sent the event.
struct Repository<'a> {
    name: &'a str,
    id: u64,
}

impl<'a> Repository<'a> {
    fn read(root: &Member<'a>) -> Result<Self> {
        let repository = root.at("repository")?;
        let (name, id) = (repository.at("full_name")?, repository.at("id")?);
        Ok(Self { name: name.required(full_name(&name)?)?, id: id.required(id.number()?)? })
    }

    fn subject(&self, kind: SubjectKind) -> Subject {
        Subject::of(kind, Some(self.name))
    }
}

/// Reads the part of the payload that its event is about.
pub(super) fn read<'a>(used: &Used, root: &Member<'a>) -> Result<Read<'a>> {
    let repository = Repository::read(root)?;
    let mut read = match used.event {
        "issues" | "issue_comment" => item(&root.at("issue")?, SubjectKind::Issue, &repository)?,
        "discussion" | "discussion_comment" => item(&root.at("discussion")?, SubjectKind::Discussion, &repository)?,
        "push" => push(root, &repository)?,
        "check_suite" | "check_run" => checks(used, root, &repository)?,
        "workflow_run" => workflow_run(&root.at("workflow_run")?, &repository)?,
        "deployment_status" => deployment_status(root, &repository)?,
        "release" => release(&root.at("release")?, &repository)?,
        "commit_comment" => commit_comment(&root.at("comment")?, &repository)?,
        _ => pull_request(&root.at("pull_request")?, &repository)?,
    };
    match used.event {
        "issue_comment" | "discussion_comment" | "pull_request_review_comment" => {
            write(&mut read, &root.at("comment")?)?;
        }
        "pull_request_review" => {
            let review = root.at("review")?;
            write(&mut read, &review)?;
            read.detail = review.at("state")?.text()?;
        }
        // Nobody wrote anything: the author that counts is that of the pull request, who may resolve too.
        "pull_request_review_thread" => read.text = None,
        _ => {}
    }
    // Through our app an issue may have been opened that somebody else labels.
    let is_making = matches!(used.action, "" | "opened" | "created" | "submitted" | "completed");
    read.app = read.app.filter(|_| is_making);
    // Of an edited title the body is old.
    let is_written = is_making || used.action == "edited" && root.at("changes")?.at("body")?.is_there();
    read.written = read.text.filter(|_| is_written);
    read.detail = detail(used, root)?.or(read.detail);
    Ok(read)
}

/// What the action is done with.
fn detail<'a>(used: &Used, root: &Member<'a>) -> Result<Option<&'a str>> {
    match used.action {
        "labeled" | "unlabeled" => root.at("label")?.at("name")?.text(),
        "assigned" => root.at("assignee")?.at("login")?.text(),
        "review_requested" => {
            let team = root.at("requested_team")?.at("slug")?.text()?;
            Ok(root.at("requested_reviewer")?.at("login")?.text()?.or(team))
        }
        "requested_action" => root.at("requested_action")?.at("identifier")?.text(),
        _ => Ok(None),
    }
}

/// An issue or a discussion; or a pull request as an issue, which does not say whose its code is.
fn item<'a>(item: &Member<'a>, kind: SubjectKind, repository: &Repository<'_>) -> Result<Read<'a>> {
    let is_pull_request = item.at("pull_request")?.is_there();
    let kind = if is_pull_request { SubjectKind::PullRequest } else { kind };
    let code = if is_pull_request { Code::Unknown } else { Code::Repository };
    let mut read = Read::of(repository.subject(kind), code);
    let (number, title) = (item.at("number")?, item.at("title")?);
    read.subject.number = Some(number.required(number.number()?)?);
    read.subject.title = Some(line(title.required(title.text()?)?));
    read.subject.url = url(&item.at("html_url")?)?;
    read.draft = item.at("draft")?.flag()?;
    write(&mut read, item)?;
    Ok(read)
}

fn pull_request<'a>(pull: &Member<'a>, repository: &Repository<'_>) -> Result<Read<'a>> {
    let mut read = item(pull, SubjectKind::PullRequest, repository)?;
    let (head, base) = (pull.at("head")?, pull.at("base")?);
    let (commit, from, to) = (head.at("sha")?, head.at("ref")?, base.at("ref")?);
    let from_repository = head.at("repo")?;
    read.code = match from_repository.at("id")?.number()? {
        Some(id) if id == repository.id => Code::Repository,
        // Without a repository it is a fork's that was deleted.
        _ => Code::Fork,
    };
    read.subject.head_sha = Some(commit.required(sha(&commit)?)?);
    read.subject.head_branch = Some(from.required(branch(&from)?)?);
    read.subject.head_repository = full_name(&from_repository.at("full_name")?)?.map(str::to_owned);
    read.subject.base_branch = Some(to.required(branch(&to)?)?);
    read.merged = pull.at("merged")?.flag()?;
    Ok(read)
}

fn commit_comment<'a>(comment: &Member<'a>, repository: &Repository<'_>) -> Result<Read<'a>> {
    let mut read = Read::of(repository.subject(SubjectKind::Commit), Code::Unknown);
    let commit = comment.at("commit_id")?;
    read.subject.head_sha = Some(commit.required(sha(&commit)?)?);
    read.subject.url = url(&comment.at("html_url")?)?;
    write(&mut read, comment)?;
    Ok(read)
}

/// Takes the text from what has one, with its author.
fn write<'a>(read: &mut Read<'a>, written: &Member<'a>) -> Result<()> {
    read.text = said(&written.at("body")?)?;
    read.app = written.at("performed_via_github_app")?.at("id")?.number()?;
    let association = written.at("author_association")?.text()?.map(Association::read);
    read.author = actor(&written.at("user")?)?.map(|author| Actor { association, ..author });
    Ok(())
}

fn push<'a>(root: &Member<'a>, repository: &Repository<'_>) -> Result<Read<'a>> {
    let (after, commit) = (root.at("after")?, root.at("head_commit")?);
    let mut read = Read::of(pushed(&root.at("ref")?, repository.name)?, Code::Repository);
    read.subject.head_sha = Some(after.required(sha(&after)?)?);
    read.subject.url = url(&root.at("compare")?)?;
    read.text = said(&commit.at("message")?)?;
    read.subject.title = read.text.and_then(|text| text.trim().lines().next()).map(line);
    Ok(read)
}

/// Whether a push leaves nothing behind.
pub(super) fn deletes(root: &Member<'_>) -> Result<bool> {
    Ok(root.at("deleted")?.flag()? || is_no_commit(&root.at("after")?)?)
}

/// A check suite, or a check run and the suite that it is in. Neither says from which repository the branch is, and forks
/// have a `main` too, so that the code counts as the repository's own only for the head of one of its own pull requests.
fn checks<'a>(used: &Used, root: &Member<'a>, repository: &Repository<'_>) -> Result<Read<'a>> {
    let checks = root.at(used.event)?;
    let suite = if used.event == "check_run" { checks.at("check_suite")? } else { checks.clone() };
    let mut read = Read::of(repository.subject(SubjectKind::Check), Code::Unknown);
    let commit = checks.at("head_sha")?;
    read.subject.head_sha = Some(commit.required(sha(&commit)?)?);
    read.subject.head_branch = branch(&suite.at("head_branch")?)?;
    read.subject.url = url(&checks.at("html_url")?)?;
    let of_app = checks.at("app")?;
    read.subject.title = checks.at("name")?.text()?.or(of_app.at("name")?.text()?).map(line);
    read.app = of_app.at("id")?.number()?;
    read.detail = checks.at("conclusion")?.text()?;
    if own_pull_request(&mut read.subject, &checks, repository)? {
        read.subject.head_repository = Some(repository.name.to_owned());
        (read.code, read.right) = (Code::Repository, Some(Right::Write));
    }
    Ok(read)
}

/// Whether the commit is the head of a pull request whose branch is in the repository itself, and which one that is. GitHub
/// lists pull requests whose branch has the same name, of whatever commit, and those that are offered to other repositories.
fn own_pull_request(subject: &mut Subject, checks: &Member<'_>, repository: &Repository<'_>) -> Result<bool> {
    let mut is_own = false;
    for pull in checks.at("pull_requests")?.items()? {
        let (head, base) = (pull.at("head")?, pull.at("base")?);
        let is_here = |end: &Member<'_>| Ok(end.at("repo")?.at("id")?.number()? == Some(repository.id));
        let is_head = sha(&head.at("sha")?)?.is_some_and(|sha| subject.head_sha.as_ref() == Some(&sha));
        if !is_head || !is_here(&head)? {
            continue;
        }
        is_own = true;
        if subject.number.is_none() && is_here(&base)? {
            subject.number = pull.at("number")?.number()?;
            subject.head_branch = branch(&head.at("ref")?)?.or(subject.head_branch.take());
            subject.base_branch = branch(&base.at("ref")?)?;
        }
    }
    Ok(is_own)
}

fn workflow_run<'a>(run: &Member<'a>, repository: &Repository<'_>) -> Result<Read<'a>> {
    let (code, right) = origin(run, repository)?;
    let mut read = Read::of(repository.subject(SubjectKind::Check), code);
    let commit = run.at("head_sha")?;
    read.subject.head_sha = Some(commit.required(sha(&commit)?)?);
    read.subject.head_branch = branch(&run.at("head_branch")?)?;
    read.subject.head_repository = full_name(&run.at("head_repository")?.at("full_name")?)?.map(str::to_owned);
    read.subject.url = url(&run.at("html_url")?)?;
    read.subject.title = run.at("name")?.text()?.map(line);
    read.detail = run.at("conclusion")?.text()?;
    read.right = right;
    if code == Code::Repository {
        own_pull_request(&mut read.subject, run, repository)?;
    }
    Ok(read)
}

/// Events that start workflows and that take write access. Strangers comment, open issues and review,
/// `pull_request_target` runs the repository's own code for a fork's pull request, and what is deployed may be a fork's.
const WRITERS: [&str; 9] = [
    "create",
    "delete",
    "merge_group",
    "pull_request",
    "push",
    "release",
    "repository_dispatch",
    "schedule",
    "workflow_dispatch",
];

/// Whose code a workflow runs, and what is shown of who made it run.
fn origin(run: &Member<'_>, repository: &Repository<'_>) -> Result<(Code, Option<Right>)> {
    let code = match run.at("head_repository")?.at("id")?.number()? {
        Some(id) if id == repository.id => Code::Repository,
        Some(_) => Code::Fork,
        None => Code::Unknown,
    };
    let by_writer = run.at("event")?.text()?.is_some_and(|event| WRITERS.contains(&event));
    Ok((code, (code == Code::Repository && by_writer).then_some(Right::Write)))
}

/// A workflow with an environment deploys in the name of whoever made it run, a stranger perhaps, so that it is judged as
/// its workflow is. Without a workflow it is a person's own deployment, for which one needs to write.
fn deployment_status<'a>(root: &Member<'a>, repository: &Repository<'_>) -> Result<Read<'a>> {
    let (status, deployment, run) = (root.at("deployment_status")?, root.at("deployment")?, root.at("workflow_run")?);
    let mut read = Read::of(repository.subject(SubjectKind::Commit), Code::Unknown);
    let (commit, state) = (deployment.at("sha")?, status.at("state")?);
    read.subject.head_sha = Some(commit.required(sha(&commit)?)?);
    // A branch, a tag or the commit itself.
    read.subject.head_branch = branch(&deployment.at("ref")?)?.filter(|name| !name.is_commit());
    read.subject.url = url(&status.at("target_url")?)?;
    read.subject.title = deployment.at("environment")?.text()?.map(line);
    read.detail = Some(state.required(state.text()?)?);
    read.app = status.at("performed_via_github_app")?.at("id")?.number()?;
    let creator = actor(&deployment.at("creator")?)?;
    let sender = actor(&root.at("sender")?)?;
    if run.is_there() {
        (read.code, read.right) = origin(&run, repository)?;
    } else if sender.is_some_and(|sender| sender.is_person() && Some(sender.id) == creator.map(|creator| creator.id)) {
        read.right = Some(Right::Write);
    }
    Ok(read)
}

fn release<'a>(release: &Member<'a>, repository: &Repository<'_>) -> Result<Read<'a>> {
    let mut read = Read::of(repository.subject(SubjectKind::Release), Code::Repository);
    let tag = release.at("tag_name")?;
    let name = tag.required(branch(&tag)?)?;
    let title = said(&release.at("name")?)?;
    read.subject.title = Some(line(title.unwrap_or(name.as_str())));
    read.subject.tag = Some(name);
    read.subject.url = url(&release.at("html_url")?)?;
    write(&mut read, release)?;
    read.author = actor(&release.at("author")?)?;
    Ok(read)
}

/// Somebody, if there is somebody: GitHub has null for accounts that are gone.
pub(super) fn actor(member: &Member<'_>) -> Result<Option<Actor>> {
    let Some(member) = member.clone().there() else { return Ok(None) };
    let (name, id, kind) = (member.at("login")?, member.at("id")?, member.at("type")?);
    let name = name.required(login(&name)?)?;
    let kind = match kind.required(kind.text()?)? {
        "User" => ActorKind::User,
        "Bot" => ActorKind::Bot,
        "Organization" => ActorKind::Organization,
        _ => ActorKind::Other,
    };
    let id = id.required(id.number()?)?.to_string();
    Ok(Some(Actor { login: name.to_owned(), id, kind, association: None, email: None }))
}

/// What an event is besides that mentions us in a text about this.
pub(super) fn mentioned(subject: &Subject) -> Option<&'static str> {
    let [issue, pull_request, discussion, commit] = super::MENTIONED;
    match subject.kind {
        SubjectKind::Issue => Some(issue),
        SubjectKind::PullRequest => Some(pull_request),
        SubjectKind::Discussion => Some(discussion),
        SubjectKind::Commit => Some(commit),
        SubjectKind::Branch
        | SubjectKind::Tag
        | SubjectKind::Release
        | SubjectKind::Check
        | SubjectKind::Conversation => None,
    }
}

/// What an edited text was before.
pub(super) fn before<'a>(root: &Member<'a>) -> Result<Option<&'a str>> {
    root.at("changes")?.at("body")?.at("from")?.text()
}

/// Discussions take no comments by the API that answers issues.
pub(super) fn place(subject: &Subject) -> Option<Place> {
    let repository = subject.repository.clone()?;
    match (subject.kind, subject.number, &subject.head_sha) {
        (SubjectKind::Discussion, ..) => None,
        (_, Some(number), _) => Some(Place::GithubItem { repository, number }),
        (_, None, Some(sha)) => Some(Place::GithubCommit { repository, sha: sha.clone() }),
        (_, None, None) => None,
    }
}

fn full_name<'a>(member: &Member<'a>) -> Result<Option<&'a str>> {
    let Some(full) = member.text()? else { return Ok(None) };
    match full.split_once('/') {
        Some((owner, name))
            if is_github_name(owner) && is_github_name(name) && full.len() <= limits::REPOSITORY_NAME_BYTES =>
        {
            Ok(Some(full))
        }
        _ => Err(member.invalid("not a repository: owner/name")),
    }
}
