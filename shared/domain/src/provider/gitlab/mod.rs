//! GitLab's webhooks of projects and groups, from gitlab.com and from installations of one's own. What a payload holds is
//! from the page "Webhook events" of its documentation, and from the payloads in `events/gitlab`; who may do what is from
//! its page "Roles and permissions": pushing, merging, tagging, releasing and running pipelines takes a Developer, setting
//! labels, assignees and reviewers of what is another's a Planner or Reporter; who wrote an item or is assigned to it may
//! edit, close and reopen it whatever their role is.
//!
//! The payload says itself what it is, in `object_kind`, and that counts, whatever the header `X-Gitlab-Event` says: the
//! header of a confidential comment is another than that of a comment, and an integration's is always `Service Hook`,
//! while the payload that is to be read is the same. But a `System Hook` tells of a whole installation, to administrators,
//! among it of projects that nobody here asked about, and is not used.
//!
//! GitLab tells one update as one event, whatever is changed by it; so an event may have several names. Where it is that
//! several labels were added, the detail is the first; a filter sees all, in `changes.labels.current`. What an item is
//! opened with, its labels, assignees and reviewers, no later event tells, so that it is labelled by being opened.
//!
//! Of confidential issues and comments the text is kept like any other: an answer goes where they are, which shows it to
//! nobody else. Internal comments at an item that others see are answered in their discussion, or not at all.

use serde_json::Value;

use self::happened::Happened;
use self::read::{Read, read};
use super::member::Member;
use super::payload::{self, event_name};
use super::{Actor, Cause, Code, Decoded, Occurrence, Own, OwnSign, Provider, Right, SubjectKind};
use crate::template::InvalidField;

mod happened;
mod read;
#[cfg(test)]
mod tests;

/// An event that is used: GitLab's kind of it, what a comment is about, what happened, our name, and what it shows of its
/// actor.
struct Used {
    kind: &'static str,
    /// Of a comment the kind of what it is at.
    about: &'static str,
    act: &'static str,
    name: &'static str,
    shows: Shows,
}

/// What right in the repository the actor of an event is shown to have.
#[derive(Clone, Copy)]
enum Shows {
    /// Anybody may do it who sees the project.
    Nothing,
    /// The author may do it. Whoever else does has this right.
    UnlessAuthor(Right),
    /// The author may do it, and who is assigned.
    UnlessInvolved(Right),
    Always(Right),
    /// A branch of the project itself takes pushes, and is offered for merging, from who may write to it.
    PushIfOwnBranch,
    /// Who removes a fork closes its merge requests.
    CloseIfOwnBranch,
    /// Nothing by itself: the payload has to show whose code is checked, and who made the pipeline run.
    Checks,
}

const fn used(kind: &'static str, about: &'static str, act: &'static str, name: &'static str, shows: Shows) -> Used {
    Used { kind, about, act, name, shows }
}

/// One line for each event that is used, and two for a merge. Deletions are not among them, as there is nothing left to
/// work on.
const USED: &[Used] = {
    use Right::{Triage, Write};
    use Shows::{Always, Checks, CloseIfOwnBranch, Nothing, PushIfOwnBranch, UnlessAuthor, UnlessInvolved};
    &[
        used("issue", "", "open", "issue.opened", Nothing),
        used("issue", "", "reopen", "issue.reopened", UnlessInvolved(Triage)),
        used("issue", "", "close", "issue.closed", UnlessInvolved(Triage)),
        used("issue", "", "edited", "issue.edited", UnlessInvolved(Triage)),
        used("issue", "", "labeled", "issue.labeled", UnlessAuthor(Triage)),
        used("issue", "", "unlabeled", "issue.unlabeled", UnlessAuthor(Triage)),
        used("issue", "", "assigned", "issue.assigned", UnlessAuthor(Triage)),
        used("merge_request", "", "open", "merge_request.opened", PushIfOwnBranch),
        used("merge_request", "", "reopen", "merge_request.reopened", UnlessInvolved(Triage)),
        used("merge_request", "", "close", "merge_request.closed", CloseIfOwnBranch),
        used("merge_request", "", "merge", "merge_request.closed", Always(Write)),
        used("merge_request", "", "merge", "merge_request.merged", Always(Write)),
        used("merge_request", "", "approved", "merge_request.approved", UnlessInvolved(Triage)),
        used("merge_request", "", "pushed", "merge_request.synchronized", PushIfOwnBranch),
        used("merge_request", "", "ready", "merge_request.ready_for_review", UnlessInvolved(Triage)),
        used("merge_request", "", "draft", "merge_request.converted_to_draft", UnlessInvolved(Triage)),
        used("merge_request", "", "edited", "merge_request.edited", UnlessInvolved(Triage)),
        // The assigned may set them in some versions.
        used("merge_request", "", "labeled", "merge_request.labeled", UnlessInvolved(Triage)),
        used("merge_request", "", "unlabeled", "merge_request.unlabeled", UnlessInvolved(Triage)),
        used("merge_request", "", "assigned", "merge_request.assigned", UnlessInvolved(Triage)),
        used("merge_request", "", "review_requested", "merge_request.review_requested", UnlessInvolved(Triage)),
        used("note", "Issue", "create", "issue_comment.created", Nothing),
        used("note", "Issue", "update", "issue_comment.edited", Nothing),
        used("note", "MergeRequest", "create", "merge_request_comment.created", Nothing),
        used("note", "MergeRequest", "update", "merge_request_comment.edited", Nothing),
        used("note", "Commit", "create", "commit_comment.created", Nothing),
        used("note", "Commit", "update", "commit_comment.edited", Nothing),
        used("push", "", "push", "push", Always(Write)),
        used("tag_push", "", "push", "push", Always(Write)),
        // The states in which it goes no further.
        used("pipeline", "", "success", "pipeline.completed", Checks),
        used("pipeline", "", "failed", "pipeline.completed", Checks),
        used("pipeline", "", "canceled", "pipeline.completed", Checks),
        used("pipeline", "", "skipped", "pipeline.completed", Checks),
        used("release", "", "create", "release.created", Always(Write)),
        used("release", "", "update", "release.edited", Always(Write)),
    ]
};

/// What an event with a mention is besides, by what it is about.
const MENTIONED: [&str; 3] = ["issue.mentioned", "merge_request.mentioned", "commit.mentioned"];

pub(super) fn events() -> Vec<&'static str> {
    let mut names: Vec<_> = USED.iter().map(|used| used.name).chain(MENTIONED).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// See [`Provider::decode`].
pub(super) fn decode(event: &str, payload: &Value, own: &Own) -> Result<Decoded, InvalidField> {
    let root = Member::root(payload)?;
    let (kind, name) = (root.at("object_kind")?, root.at("event_name")?);
    if event == "System Hook" {
        let of = kind.text()?.or(name.text()?).map(|of| format!(".{}", event_name(of)));
        let why = "it tells of the whole installation; add a webhook to the project or group instead".to_owned();
        return Ok(Decoded::NotUsed { name: format!("system_hook{}", of.unwrap_or_default()), why });
    }
    let Some(kind) = kind.text()? else {
        if is_used(event) {
            kind.required(None::<()>)?;
        }
        // What happens to members, projects and groups has a name alone.
        return Ok(unused(name.text()?.unwrap_or(event), "", &[]));
    };
    if !USED.iter().any(|used| used.kind == kind) {
        return Ok(unused(kind, "", &[]));
    }
    let happened = happened::read(kind, &root)?;
    let Happened { about, acts, .. } = &happened;
    let used: Vec<_> = acts
        .iter()
        .flat_map(|act| USED.iter().filter(move |used| (used.kind, used.about, used.act) == (kind, *about, *act)))
        .collect();
    if let Some(why) = happened.left {
        return Ok(Decoded::NotUsed { name: named(kind, about, acts), why: why.to_owned() });
    }
    let Some(first) = used.first() else { return Ok(unused(kind, about, acts)) };
    occurrence(first, &used, &happened, &root, own).map(|occurrence| Decoded::Used(Box::new(occurrence)))
}

/// Whether events with this header are used, such as `Merge Request Hook` and `Confidential Issue Hook`.
fn is_used(header: &str) -> bool {
    let kind = header.strip_suffix(" Hook").unwrap_or(header).to_ascii_lowercase().replace(' ', "_");
    let kind = kind.strip_prefix("confidential_").unwrap_or(&kind);
    USED.iter().any(|used| used.kind == kind)
}

fn unused(kind: &str, about: &str, acts: &[&str]) -> Decoded {
    let mut taken: Vec<_> = USED.iter().filter(|used| used.kind == kind).map(|used| (used.about, used.act)).collect();
    taken.dedup();
    let taken: Vec<_> = taken.into_iter().map(|(about, act)| format!("{about} {act}").trim().to_owned()).collect();
    let why = if taken.is_empty() {
        "events of this kind start nothing".to_owned()
    } else {
        format!("of these events what can start something is {}", taken.join(", "))
    };
    Decoded::NotUsed { name: named(kind, about, acts), why }
}

fn named(kind: &str, about: &str, acts: &[&str]) -> String {
    let parts = [kind, about].into_iter().chain(acts.iter().copied().filter(|act| *act != kind));
    let parts: Vec<_> = parts.map(event_name).filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { "unnamed".to_owned() } else { parts.join(".") }
}

fn occurrence(
    first: &Used,
    used: &[&Used],
    happened: &Happened<'_>,
    root: &Member<'_>,
    own: &Own,
) -> Result<Occurrence, InvalidField> {
    let actor = read::actor(first.kind, root)?;
    let read = read(first, root)?;
    let is_opened = first.act == "open";
    // What an item is opened with anybody may set, where templates do.
    let shown =
        used.iter().filter(|used| !is_opened || used.act == "open").filter_map(|used| shown(used, &read, &actor));
    let right = shown.max();
    let Read { subject, author, code, draft, text, place, .. } = read;
    let written = text.filter(|_| happened.wrote);
    let mut names: Vec<_> = used.iter().map(|used| used.name.to_owned()).collect();
    names.dedup();
    let mut control = None;
    if let Some(kind) = mentioned(subject.kind)
        && let Some(text) = written
        && own.is_mentioned(text)
        // An edit speaks to nobody whom the text spoke to before; that of a comment does not say whom it did.
        && !(first.kind == "note" && first.act == "update")
        && !happened.before.is_some_and(|before| own.is_mentioned(before))
    {
        names.push(kind.to_owned());
        control = own.told(text);
    }
    let by_id = own.logins.contains(&actor.id).then_some(OwnSign::Actor);
    let mark = if subject.kind == SubjectKind::Issue { '#' } else { '!' };
    Ok(Occurrence {
        provider: Provider::Gitlab,
        names,
        detail: happened.detail.map(payload::line),
        keys: payload::keys(Provider::Gitlab, &subject, code, mark),
        place,
        message: None,
        own: by_id.or_else(|| own.sign(&actor, None, written)),
        subject,
        author: author.filter(|author| *author == actor.id).map(|_| actor.clone()),
        // A release names nobody, so that it is judged as checks are: by what it shows.
        cause: if matches!(first.kind, "pipeline" | "release") { Cause::Checks } else { Cause::Act },
        actor,
        right,
        code,
        draft,
        text: text.filter(|_| control.is_none()).map(payload::kept),
        control,
        installation: None,
    })
}

fn shown(used: &Used, read: &Read<'_>, actor: &Actor) -> Option<Right> {
    // Of an unknown author it might be.
    let by_author = read.author.as_ref().is_none_or(|author| *author == actor.id);
    let by_involved = by_author || read.assigned.contains(&actor.id);
    let own_branch = read.code == Code::Repository;
    match used.shows {
        Shows::Nothing => None,
        Shows::UnlessAuthor(right) => (!by_author).then_some(right),
        Shows::UnlessInvolved(right) => (!by_involved).then_some(right),
        Shows::Always(right) => Some(right),
        Shows::PushIfOwnBranch => own_branch.then_some(Right::Write),
        Shows::CloseIfOwnBranch => (!by_involved && own_branch).then_some(Right::Triage),
        Shows::Checks => read.right,
    }
}

fn mentioned(kind: SubjectKind) -> Option<&'static str> {
    let [issue, merge_request, commit] = MENTIONED;
    match kind {
        SubjectKind::Issue => Some(issue),
        SubjectKind::PullRequest => Some(merge_request),
        SubjectKind::Commit => Some(commit),
        SubjectKind::Branch
        | SubjectKind::Tag
        | SubjectKind::Release
        | SubjectKind::Discussion
        | SubjectKind::Check
        | SubjectKind::Conversation => None,
    }
}
