//! What webhooks about issues and comments say.

use super::super::member::Member;
use super::super::{
    Actor, ActorKind, Association, Control, Keys, Occurrence, Own, OwnSign, Place, Provider, Subject, SubjectKind,
};
use super::{ASSIGNED, COMMENT, CREATED, LABELED, STATE_CHANGED, mention};
use crate::provider::payload;
use crate::template::InvalidField;

type Result<T> = std::result::Result<T, InvalidField>;

/// What becomes of the name and the detail for each change, the first of which has the say.
type Change = (&'static str, String);

/// An issue that was opened. The labels and the assignee that it has from the start come with this event alone.
pub(super) fn created(root: &Member<'_>, own: &Own) -> Result<Occurrence> {
    let data = root.at("data")?;
    let mut changes: Vec<Change> = Vec::new();
    let labels = labels(&data)?;
    if !labels.is_empty() {
        changes.push((LABELED, names(&labels)));
    }
    if let Some(assignee) = payload::id(&data.at("assigneeId")?)? {
        changes.push((ASSIGNED, assignee.to_owned()));
    }
    let mut occurrence = issue(CREATED, root, own)?;
    let written = data.at("description")?.text()?;
    if occurrence.own.is_none() && written.is_some_and(|text| own.is_marked(text)) {
        occurrence.own = Some(OwnSign::Marker);
    }
    occurrence.detail = changes.first().map(|(_, detail)| detail.clone());
    occurrence.names.extend(changes.iter().map(|(name, _)| (*name).to_owned()));
    mention(&mut occurrence, written, own);
    Ok(occurrence)
}

/// An issue that was changed, if the change is one that can start something. To whom it is delegated is not looked at: to us
/// it opens a session, which is an event of its own.
pub(super) fn updated(root: &Member<'_>, own: &Own) -> Result<Option<Occurrence>> {
    let (data, before) = (root.at("data")?, root.at("updatedFrom")?);
    let mut changes: Vec<Change> = Vec::new();
    if before.names("labelIds") {
        let old: Vec<_> = before.at("labelIds")?.items()?.iter().map(Member::text).collect::<Result<_>>()?;
        let new: Vec<_> = labels(&data)?.into_iter().filter(|(id, _)| !old.contains(&Some(*id))).collect();
        if !new.is_empty() {
            changes.push((LABELED, names(&new)));
        }
    }
    if let Some(assignee) = changed(&data, &before, "assigneeId")? {
        changes.push((ASSIGNED, assignee.to_owned()));
    }
    if changed(&data, &before, "stateId")?.is_some() {
        let state = data.at("state")?.at("name")?;
        changes.push((STATE_CHANGED, payload::line(state.required(state.text()?)?)));
    }
    let Some((name, detail)) = changes.first().cloned() else { return Ok(None) };
    let mut occurrence = issue(name, root, own)?;
    occurrence.detail = Some(detail);
    occurrence.names.extend(changes.iter().skip(1).map(|(name, _)| (*name).to_owned()));
    Ok(Some(occurrence))
}

/// A comment, if it is one at an issue.
pub(super) fn comment(root: &Member<'_>, own: &Own) -> Result<Option<Occurrence>> {
    let data = root.at("data")?;
    let (of, body) = (data.at("issue")?, data.at("body")?);
    if !of.is_there() {
        return Ok(None);
    }
    let written = body.required(body.text()?)?;
    let actor = acting(root)?;
    let mut occurrence = at_issue(COMMENT, &of, actor)?;
    mention(&mut occurrence, Some(written), own);
    let is_to_us = occurrence.names.len() > 1;
    occurrence.control = Control::said(addressed(written)).filter(|_| is_to_us);
    let says = Some(written).filter(|text| occurrence.control.is_none() && !text.trim().is_empty());
    occurrence.text = says.map(payload::kept);
    occurrence.subject.url = payload::url(&root.at("url")?)?.or(occurrence.subject.url.take());
    occurrence.author = author(&data.at("user")?, &data.at("userId")?)?;
    occurrence.own = sign(&occurrence.actor, None, own, Some(written));
    occurrence.installation = payload::id(&root.at("organizationId")?)?.map(str::to_owned);
    Ok(Some(occurrence))
}

/// An issue about which something happened.
fn issue(name: &str, root: &Member<'_>, own: &Own) -> Result<Occurrence> {
    let data = root.at("data")?;
    let mut occurrence = at_issue(name, &data, acting(root)?)?;
    let text = data.at("description")?.text()?.filter(|text| !text.trim().is_empty());
    occurrence.text = text.map(payload::kept);
    occurrence.subject.url = occurrence.subject.url.take().or(payload::url(&root.at("url")?)?);
    occurrence.author = author(&data.at("creator")?, &data.at("creatorId")?)?;
    occurrence.own = sign(&occurrence.actor, None, own, None);
    occurrence.installation = payload::id(&root.at("organizationId")?)?.map(str::to_owned);
    Ok(occurrence)
}

pub(super) fn at_issue(name: &str, issue: &Member<'_>, actor: Actor) -> Result<Occurrence> {
    let (id, title) = (issue.at("id")?, issue.at("title")?);
    let (item, number) = identifier(&issue.at("identifier")?)?;
    let id = id.required(payload::id(&id)?)?.to_owned();
    let subject = Subject {
        number: Some(number),
        title: Some(payload::line(title.required(title.text()?)?)),
        url: payload::url(&issue.at("url")?)?,
        ..Subject::of(SubjectKind::Issue, None)
    };
    let keys = Keys {
        object: format!("linear:{item}"),
        item: Some(item.to_owned()),
        commit: None,
        branch: None,
        thread: None,
    };
    Ok(Occurrence {
        place: Some(Place::LinearIssue { issue: id }),
        ..Occurrence::act(Provider::Linear, name, subject, actor, keys)
    })
}

/// `ENG-12`: the key of the team, and the number in it.
fn identifier<'a>(member: &Member<'a>) -> Result<(&'a str, u64)> {
    let identifier = member.required(payload::id(member)?)?;
    let number = identifier.rsplit_once('-').and_then(|(team, number)| {
        let is_plain = !team.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        number.parse().ok().filter(|_| is_plain)
    });
    number
        .map(|number| (identifier, number))
        .ok_or_else(|| member.invalid("not an issue: the key of a team, - and a number"))
}

/// The ids and names of the labels that an issue has.
fn labels<'a>(data: &Member<'a>) -> Result<Vec<(&'a str, &'a str)>> {
    let labels = data.at("labels")?.items()?;
    let read = |label: &Member<'a>| {
        let (id, name) = (label.at("id")?, label.at("name")?);
        Ok((id.required(id.text()?)?, name.required(name.text()?)?))
    };
    labels.iter().map(read).collect()
}

fn names(labels: &[(&str, &str)]) -> String {
    payload::line(&labels.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(", "))
}

/// What an id is now that was another before, or none.
fn changed<'a>(data: &Member<'a>, before: &Member<'a>, name: &str) -> Result<Option<&'a str>> {
    let (now, then) = (payload::id(&data.at(name)?)?, before.at(name)?.text()?);
    Ok(now.filter(|_| before.names(name) && now != then))
}

/// Who made it happen. Linear's own automations are nobody.
fn acting(root: &Member<'_>) -> Result<Actor> {
    Ok(actor(&root.at("actor")?)?.unwrap_or_else(nobody))
}

/// Where Linear names nobody: a rule of the workspace, or another agent. No id of Linear's is such, so that it can be listed
/// among those who may start something without letting a person in.
pub(super) fn nobody() -> Actor {
    Actor {
        login: "automation".to_owned(),
        id: "automation".to_owned(),
        kind: ActorKind::Other,
        association: None,
        email: None,
    }
}

/// Somebody, if there is somebody: users as themselves, or as what acts for them. A name is what somebody chose, and the
/// address of somebody outside is what they say it is, so that the id is the login too.
pub(super) fn actor(member: &Member<'_>) -> Result<Option<Actor>> {
    let Some(member) = member.clone().there() else { return Ok(None) };
    let (id, kind, email) = (member.at("id")?, member.at("type")?.text()?, member.at("email")?.text()?);
    let id = id.required(payload::id(&id)?)?;
    // The account that an app acts as is a user, with an address of this kind.
    let is_app = email.is_some_and(|email| email.ends_with("@oauthapp.linear.app"));
    let (kind, association) = match kind.unwrap_or("user").to_ascii_lowercase().as_str() {
        "user" if !is_app => (ActorKind::User, Some(Association::Member)),
        "user" | "oauthclient" | "integration" => (ActorKind::Bot, None),
        _ => (ActorKind::Other, None),
    };
    Ok(Some(Actor {
        login: id.to_owned(),
        id: id.to_owned(),
        kind,
        association,
        email: payload::email(&member.at("email")?)?,
    }))
}

/// A user, or the id alone.
pub(super) fn author(user: &Member<'_>, id: &Member<'_>) -> Result<Option<Actor>> {
    if user.is_there() {
        return actor(user);
    }
    let known = |id: &str| Actor {
        login: id.to_owned(),
        id: id.to_owned(),
        kind: ActorKind::Other,
        association: None,
        email: None,
    };
    Ok(payload::id(id)?.map(known))
}

/// By what it is known to be our own. `app_user` is who we are, where Linear says it.
pub(super) fn sign(actor: &Actor, app_user: Option<&str>, own: &Own, written: Option<&str>) -> Option<OwnSign> {
    if app_user == Some(actor.id.as_str()) {
        return Some(OwnSign::Actor);
    }
    own.sign(actor, None, written)
}

/// What a text says beside the mention that it begins or ends with: `@oz`, or a link of that name, and a comma or colon.
pub(super) fn addressed(text: &str) -> &str {
    let text = text.trim();
    let rest = if text.starts_with("[@") {
        text.split_once("](").and_then(|(_, link)| link.split_once(')')).map(|(_, rest)| rest)
    } else {
        text.strip_prefix('@').map(|name| name.trim_start_matches(|c: char| c.is_alphanumeric() || "-_.".contains(c)))
    };
    let text = rest.map_or(text, |rest| rest.trim_start_matches(|c: char| c.is_whitespace() || ",:".contains(c)));
    match text.rsplit_once(char::is_whitespace) {
        Some((before, last)) if last.starts_with('@') || last.starts_with("[@") => before,
        _ => text,
    }
}

/// What a comment or an activity says.
pub(super) fn body<'a>(of: &Member<'a>) -> Result<Option<&'a str>> {
    Ok(of.at("body")?.text()?.filter(|text| !text.trim().is_empty()))
}
