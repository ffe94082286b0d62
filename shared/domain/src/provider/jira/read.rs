//! What Jira's payloads say of the issue, of people, and of what they wrote.

use super::{COMMENTED, document};
use crate::limits;
use crate::provider::member::Member;
use crate::provider::payload::{email, line, login, url};
use crate::provider::{Actor, ActorKind, Place, Subject, SubjectKind};
use crate::template::InvalidField;

type Result<T> = std::result::Result<T, InvalidField>;

/// What a payload says beside what happened.
pub(super) struct Read<'a> {
    /// Of the issue, as in `PROJ-12`.
    pub(super) key: &'a str,
    pub(super) subject: Subject,
    pub(super) actor: Actor,
    pub(super) author: Option<Actor>,
    pub(super) text: Option<String>,
    pub(super) place: Option<Place>,
}

pub(super) fn read<'a>(event: &str, root: &Member<'a>) -> Result<Read<'a>> {
    let (issue, comment) = (root.at("issue")?, root.at("comment")?);
    let (fields, key) = (issue.at("fields")?, issue.at("key")?);
    let (title, place) = (fields.at("summary")?, key.required(issue_key(&key)?)?);
    let subject = Subject {
        title: Some(line(title.required(title.text()?)?)),
        url: address(&issue.at("self")?, place)?,
        ..Subject::of(SubjectKind::Issue, None)
    };
    let is_comment = event == COMMENTED;
    let (by, wrote, written) = if is_comment {
        (comment.at("author")?, comment.at("author")?, comment.at("body")?)
    } else {
        (root.at("user")?, fields.at("creator")?, fields.at("description")?)
    };
    let is_everybodys = !is_comment || is_everybodys(&comment)?;
    Ok(Read {
        key: place,
        subject,
        actor: by.at("accountId")?.required(person(&by)?)?,
        author: person(&wrote)?,
        text: text(&written)?,
        place: is_everybodys.then(|| Place::JiraIssue { issue: place.to_owned() }),
    })
}

/// Somebody, if there is somebody.
fn person(member: &Member<'_>) -> Result<Option<Actor>> {
    let Some(member) = member.clone().there() else { return Ok(None) };
    let account = member.at("accountId")?;
    let id = account.required(login(&account)?)?.to_owned();
    let kind = match member.at("accountType")?.text()? {
        Some("atlassian") => ActorKind::User,
        Some("app") => ActorKind::Bot,
        // A customer of a service desk, and what is not known yet.
        _ => ActorKind::Other,
    };
    Ok(Some(Actor { login: id.clone(), id, kind, association: None, email: email(&member.at("emailAddress")?)? }))
}

/// What somebody wrote: wiki markup, or a document as newer interfaces have it.
fn text(member: &Member<'_>) -> Result<Option<String>> {
    let text = match member.value() {
        Some(document) if document.is_object() => Some(document::text(document)),
        _ => member.text()?.map(str::to_owned),
    };
    Ok(text.filter(|text| !text.trim().is_empty()))
}

/// Whether all see the comment who see its issue: it is not for a role or group alone, nor hidden from customers of a service
/// desk.
fn is_everybodys(comment: &Member<'_>) -> Result<bool> {
    let public = comment.at("jsdPublic")?;
    let is_hidden = public.is_there() && !public.flag()?;
    Ok(!is_hidden && !comment.at("visibility")?.is_there())
}

fn issue_key<'a>(member: &Member<'a>) -> Result<Option<&'a str>> {
    let Some(key) = member.text()? else { return Ok(None) };
    let is_key = key.rsplit_once('-').is_some_and(|(project, number)| {
        project.starts_with(|c: char| c.is_ascii_uppercase())
            && project.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
            && !number.is_empty()
            && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    if is_key && key.len() <= limits::JIRA_KEY_BYTES {
        Ok(Some(key))
    } else {
        Err(member.invalid("not the key of an issue: PROJ-12"))
    }
}

/// Where people see the issue, which is where its resource is: `https://acme.atlassian.net/rest/api/2/issue/10040`. Not for
/// an app that is told of it at the gateway, where there are no pages.
fn address(resource: &Member<'_>, key: &str) -> Result<Option<String>> {
    let resource = url(resource)?;
    let site = resource.as_deref().and_then(|url| url.split_once("/rest/")).map(|(site, _)| site);
    Ok(site.filter(|site| !site.starts_with("https://api.atlassian.com/")).map(|site| format!("{site}/browse/{key}")))
}
