//! GitHub's webhooks, from github.com and from GitHub Enterprise Server. What a payload holds is from the page "Webhook
//! events and payloads" of its documentation, and from the payloads in `events/github`; who may do what is from its pages
//! "Repository roles for an organization", "Creating a pull request" and "Resolving conversations".

use serde_json::Value;

use self::read::{Read, read};
use super::member::Member;
use super::payload::{self, event_name};
use super::{Cause, Code, Decoded, Occurrence, Own, Provider, Right};
use crate::template::InvalidField;

mod read;
#[cfg(test)]
mod tests;

/// An event that is used: GitHub's name and action of it, ours, and what it shows of its actor.
struct Used {
    event: &'static str,
    action: &'static str,
    name: &'static str,
    shows: Shows,
}

/// What right in the repository the actor of an event is shown to have.
#[derive(Clone, Copy)]
enum Shows {
    /// Anybody may do it who sees the repository.
    Nothing,
    /// The author may do it. Whoever else does has this right. To label at one's own issue shows nothing: templates of
    /// issues put labels and assignees on what a stranger opens.
    UnlessAuthor(Right),
    Always(Right),
    /// A branch of the repository itself takes pushes, and is offered for merging, from who may write to it.
    PushIfOwnBranch,
    /// Merging takes the right to write. Another than the author closes with the right to triage; or by deleting the branch,
    /// which in a fork is anybody's.
    Close,
    /// Nothing by itself: the payload has to show whose code is checked, and who made the checks run.
    Checks,
}

const fn used(event: &'static str, action: &'static str, name: &'static str, shows: Shows) -> Used {
    Used { event, action, name, shows }
}

/// One line for each event that is used. Deletions are not among them, as there is nothing left to work on.
const USED: &[Used] = {
    use Right::{Triage, Write};
    use Shows::{Always, Checks, Close, Nothing, PushIfOwnBranch, UnlessAuthor};
    &[
        used("issues", "opened", "issue.opened", Nothing),
        used("issues", "edited", "issue.edited", UnlessAuthor(Write)),
        used("issues", "closed", "issue.closed", UnlessAuthor(Triage)),
        used("issues", "reopened", "issue.reopened", UnlessAuthor(Triage)),
        used("issues", "labeled", "issue.labeled", UnlessAuthor(Triage)),
        used("issues", "unlabeled", "issue.unlabeled", UnlessAuthor(Triage)),
        used("issues", "assigned", "issue.assigned", UnlessAuthor(Triage)),
        used("issue_comment", "created", "issue_comment.created", Nothing),
        used("issue_comment", "edited", "issue_comment.edited", UnlessAuthor(Write)),
        used("pull_request", "opened", "pull_request.opened", PushIfOwnBranch),
        used("pull_request", "edited", "pull_request.edited", UnlessAuthor(Write)),
        used("pull_request", "closed", "pull_request.closed", Close),
        used("pull_request", "reopened", "pull_request.reopened", UnlessAuthor(Triage)),
        used("pull_request", "labeled", "pull_request.labeled", UnlessAuthor(Triage)),
        used("pull_request", "unlabeled", "pull_request.unlabeled", UnlessAuthor(Triage)),
        used("pull_request", "assigned", "pull_request.assigned", UnlessAuthor(Triage)),
        used("pull_request", "review_requested", "pull_request.review_requested", UnlessAuthor(Triage)),
        used("pull_request", "ready_for_review", "pull_request.ready_for_review", UnlessAuthor(Write)),
        used("pull_request", "converted_to_draft", "pull_request.converted_to_draft", UnlessAuthor(Write)),
        used("pull_request", "synchronize", "pull_request.synchronized", PushIfOwnBranch),
        used("pull_request_review", "submitted", "pull_request_review.submitted", Nothing),
        used("pull_request_review", "edited", "pull_request_review.edited", UnlessAuthor(Write)),
        used("pull_request_review", "dismissed", "pull_request_review.dismissed", UnlessAuthor(Write)),
        used("pull_request_review_comment", "created", "pull_request_review_comment.created", Nothing),
        used("pull_request_review_comment", "edited", "pull_request_review_comment.edited", UnlessAuthor(Write)),
        used("pull_request_review_thread", "resolved", "pull_request_review_thread.resolved", UnlessAuthor(Write)),
        used("pull_request_review_thread", "unresolved", "pull_request_review_thread.unresolved", UnlessAuthor(Write)),
        used("push", "", "push", Always(Write)),
        used("check_suite", "completed", "check_suite.completed", Checks),
        used("check_suite", "rerequested", "check_suite.rerequested", Checks),
        used("check_run", "completed", "check_run.completed", Checks),
        used("check_run", "rerequested", "check_run.rerequested", Checks),
        used("check_run", "requested_action", "check_run.requested_action", Checks),
        used("workflow_run", "requested", "workflow_run.requested", Checks),
        used("workflow_run", "in_progress", "workflow_run.in_progress", Checks),
        used("workflow_run", "completed", "workflow_run.completed", Checks),
        used("deployment_status", "created", "deployment_status.created", Checks),
        // As GitHub Enterprise Server sends it.
        used("deployment_status", "", "deployment_status.created", Checks),
        used("release", "created", "release.created", Always(Write)),
        used("release", "edited", "release.edited", Always(Write)),
        used("release", "published", "release.published", Always(Write)),
        used("release", "unpublished", "release.unpublished", Always(Write)),
        used("release", "prereleased", "release.prereleased", Always(Write)),
        used("release", "released", "release.released", Always(Write)),
        used("discussion", "created", "discussion.created", Nothing),
        used("discussion", "edited", "discussion.edited", UnlessAuthor(Triage)),
        used("discussion", "closed", "discussion.closed", UnlessAuthor(Triage)),
        used("discussion", "reopened", "discussion.reopened", UnlessAuthor(Triage)),
        used("discussion", "labeled", "discussion.labeled", UnlessAuthor(Triage)),
        used("discussion", "unlabeled", "discussion.unlabeled", UnlessAuthor(Triage)),
        used("discussion", "answered", "discussion.answered", UnlessAuthor(Triage)),
        used("discussion", "unanswered", "discussion.unanswered", UnlessAuthor(Triage)),
        used("discussion_comment", "created", "discussion_comment.created", Nothing),
        used("discussion_comment", "edited", "discussion_comment.edited", UnlessAuthor(Triage)),
        used("commit_comment", "created", "commit_comment.created", Nothing),
    ]
};

const MERGED: &str = "pull_request.merged";

/// What an event with a mention is besides, by what it is about.
const MENTIONED: [&str; 4] = ["issue.mentioned", "pull_request.mentioned", "discussion.mentioned", "commit.mentioned"];

pub(super) fn events() -> Vec<&'static str> {
    let mut names: Vec<_> = USED.iter().map(|used| used.name).chain(MENTIONED).chain([MERGED]).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// See [`Provider::decode`].
pub(super) fn decode(event: &str, payload: &Value, own: &Own) -> Result<Decoded, InvalidField> {
    if !USED.iter().any(|used| used.event == event) {
        return Ok(unused(event, payload));
    }
    let root = Member::root(payload)?;
    let action = root.at("action")?;
    let given = action.text()?;
    let is_used = |used: &&Used| used.event == event && used.action == given.unwrap_or_default();
    let Some(used) = USED.iter().find(is_used) else {
        action.required(given)?;
        return Ok(unused(event, payload));
    };
    if used.event == "push" && read::deletes(&root)? {
        let why = "the push deletes its branch or tag: there is nothing left to work on".to_owned();
        return Ok(Decoded::NotUsed { name: used.name.to_owned(), why });
    }
    occurrence(used, &root, own).map(|occurrence| Decoded::Used(Box::new(occurrence)))
}

fn unused(event: &str, payload: &Value) -> Decoded {
    let action = payload.get("action").and_then(Value::as_str).map(|action| format!(".{}", event_name(action)));
    let taken: Vec<_> = USED.iter().filter(|used| used.event == event).map(|used| used.action).collect();
    let why = match event {
        "ping" => "it says that the webhook is set up".to_owned(),
        _ if taken.is_empty() => "events of this kind start nothing".to_owned(),
        _ => format!("of these events the actions that can start something are {}", taken.join(", ")),
    };
    Decoded::NotUsed { name: format!("{}{}", event_name(event), action.unwrap_or_default()), why }
}

fn occurrence(used: &Used, root: &Member<'_>, own: &Own) -> Result<Occurrence, InvalidField> {
    let Read { subject, author, code, draft, text, written, app, detail, right, merged } = read(used, root)?;
    let sender = root.at("sender")?;
    let mut actor = sender.required(read::actor(&sender)?)?;
    let by_author = author.as_ref().is_some_and(|author| author.id == actor.id);
    if by_author {
        actor.association = author.as_ref().and_then(|author| author.association);
    }
    let shown = match used.shows {
        Shows::UnlessAuthor(right) => (!by_author).then_some(right),
        Shows::Always(right) => Some(right),
        Shows::PushIfOwnBranch => (code == Code::Repository).then_some(Right::Write),
        Shows::Close if merged => Some(Right::Write),
        Shows::Close => (!by_author && code == Code::Repository).then_some(Right::Triage),
        Shows::Nothing | Shows::Checks => None,
    };
    let mut names = vec![used.name.to_owned()];
    if merged && used.action == "closed" {
        names.push(MERGED.to_owned());
    }
    let mut control = None;
    if let Some(kind) = read::mentioned(&subject)
        && let Some(text) = written
        && own.is_mentioned(text)
        // An edit speaks to nobody whom the text spoke to before.
        && !read::before(root)?.is_some_and(|before| own.is_mentioned(before))
    {
        names.push(kind.to_owned());
        control = own.told(text);
    }
    let installation = root.at("installation")?.at("id")?.number()?;
    Ok(Occurrence {
        provider: Provider::Github,
        names,
        detail: detail.map(payload::line),
        keys: payload::keys(Provider::Github, &subject, code, '#'),
        place: read::place(&subject),
        message: None,
        own: own.sign(&actor, app, written),
        subject,
        actor,
        author,
        cause: if matches!(used.shows, Shows::Checks) { Cause::Checks } else { Cause::Act },
        right: shown.or(right),
        code,
        draft,
        text: text.filter(|_| control.is_none()).map(payload::kept),
        control,
        installation: installation.map(|id| id.to_string()),
    })
}
