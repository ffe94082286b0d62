//! Jira Cloud's webhooks. What a payload holds is from the page "Webhooks" of its developers' documentation, from the schema
//! of users, issues and documents in its REST API, and from what public receivers of such webhooks test themselves with.
//!
//! The payload says itself what it is, in `webhookEvent`; there is no header for it. One update is one event, whatever is
//! changed by it, so that an event may have several names. Where several labels were added, the detail is the first; a
//! filter sees all, in `changelog.items`. What an issue is opened with, its labels and its assignee, no later event tells,
//! so that it is labelled by being opened.
//!
//! People are known by their account's id, which is their login here, and are mentioned by it: `[~accountid:…]`. Nothing in
//! a payload says what they may do, and there is no repository: the code is that of the environment.
//!
//! A comment that not all may see who see its issue has no place: an answer would be a comment that they see.

use serde_json::Value;

use self::happened::Happened;
use self::read::{Read, read};
use super::member::Member;
use super::payload::{self, event_name};
use super::{Cause, Code, Decoded, Keys, Occurrence, Own, Provider};
use crate::template::InvalidField;

mod document;
mod happened;
mod mention;
mod read;
#[cfg(test)]
mod tests;

/// An event that is used: Jira's name of it, what happened, and ours.
struct Used {
    event: &'static str,
    act: &'static str,
    name: &'static str,
}

const fn used(event: &'static str, act: &'static str, name: &'static str) -> Used {
    Used { event, act, name }
}

/// One line for each event that is used.
const USED: &[Used] = &[
    used("jira:issue_created", "created", "issue.created"),
    used("jira:issue_created", "labeled", "issue.labeled"),
    used("jira:issue_created", "assigned", "issue.assigned"),
    used("jira:issue_updated", "labeled", "issue.labeled"),
    used("jira:issue_updated", "unlabeled", "issue.unlabeled"),
    used("jira:issue_updated", "status_changed", "issue.status_changed"),
    used("jira:issue_updated", "assigned", "issue.assigned"),
    used("jira:issue_updated", "edited", "issue.edited"),
    used(COMMENTED, "created", "comment.created"),
];

const COMMENTED: &str = "comment_created";

/// What an event with a mention is besides.
const MENTIONED: &str = "issue.mentioned";

pub(super) fn events() -> Vec<&'static str> {
    let mut names: Vec<_> = USED.iter().map(|used| used.name).chain([MENTIONED]).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// See [`Provider::decode`].
pub(super) fn decode(payload: &Value, own: &Own) -> Result<Decoded, InvalidField> {
    let root = Member::root(payload)?;
    let event = root.at("webhookEvent")?;
    let event = event.required(event.text()?)?;
    let left = |why: &str| {
        let name = Some(event_name(event)).filter(|name| !name.is_empty()).unwrap_or_else(|| "unnamed".to_owned());
        Ok(Decoded::NotUsed { name, why: why.to_owned() })
    };
    if !USED.iter().any(|used| used.event == event) {
        return left("events of this kind start nothing");
    }
    let happened = happened::read(event, &root)?;
    if happened.acts.is_empty() {
        return left(
            "nothing was changed that can start something: labels, status, assignee, summary or description; a new comment \
             is an event of its own",
        );
    }
    occurrence(event, &happened, &root, own).map(|occurrence| Decoded::Used(Box::new(occurrence)))
}

fn occurrence(event: &str, happened: &Happened<'_>, root: &Member<'_>, own: &Own) -> Result<Occurrence, InvalidField> {
    let Read { key, subject, actor, author, text, place } = read(event, root)?;
    let names = USED.iter().filter(|used| used.event == event && happened.acts.contains(&used.act));
    let mut names: Vec<_> = names.map(|used| used.name.to_owned()).collect();
    let written = text.as_deref().filter(|_| happened.wrote);
    let speaks_to_us = |text: &str| {
        let prose = mention::prose(text);
        own.is_mentioned(&prose) || mention::mentions_any(&prose, &own.logins)
    };
    // An edit speaks to nobody whom the text spoke to before.
    let mut control = None;
    if let Some(written) = written.filter(|text| speaks_to_us(text))
        && !happened.before.is_some_and(speaks_to_us)
    {
        names.push(MENTIONED.to_owned());
        control = own.told(written).or_else(|| mention::told(written, &own.logins));
    }
    Ok(Occurrence {
        provider: Provider::Jira,
        names,
        detail: happened.detail.map(payload::line),
        keys: Keys {
            object: format!("{}:{key}", Provider::Jira),
            item: Some(key.to_owned()),
            commit: None,
            branch: None,
            thread: None,
        },
        place,
        message: None,
        own: own.sign(&actor, None, written),
        subject,
        actor,
        author,
        cause: Cause::Act,
        right: None,
        code: Code::Repository,
        draft: false,
        text: text.as_deref().filter(|_| control.is_none()).map(payload::kept),
        control,
        installation: None,
    })
}
