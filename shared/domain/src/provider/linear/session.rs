//! Sessions that people open with our app, by a mention in a comment or by delegating an issue, and go on in.

use super::super::member::Member;
use super::super::{Actor, Control, Keys, Occurrence, Own, Place, Provider, Subject, SubjectKind};
use super::{SESSION_CREATED, SESSION_PROMPTED, read};
use crate::provider::payload;
use crate::template::InvalidField;

type Result<T> = std::result::Result<T, InvalidField>;

/// With what Linear begins the comment that holds the session of an issue which was delegated. Nothing else says that it was
/// not a mention. Source: linear/linear#1076.
const DELEGATED: &str = "This thread is for an agent session";

/// Says what the comment says, or the issue where nobody said anything. Linear's `promptContext`, with the issue and what
/// was said before, is the payload's.
pub(super) fn created(root: &Member<'_>, own: &Own) -> Result<Occurrence> {
    let session = root.at("agentSession")?;
    let comment = session.at("comment")?;
    let said = read::body(&comment)?.filter(|body| !body.starts_with(DELEGATED));
    let described = session.at("issue")?.at("description")?.text()?.filter(|text| !text.trim().is_empty());
    let creator = read::author(&session.at("creator")?, &session.at("creatorId")?)?;
    // The comment of an issue that was delegated is nobody's.
    let writer = match said {
        Some(_) => read::author(&comment.at("user")?, &comment.at("userId")?)?,
        None => None,
    };
    // Without somebody who answers for it, an agent said it, or a rule of the workspace delegated the issue.
    let actor = creator.or(writer.clone()).unwrap_or_else(read::nobody);
    let control = said.and_then(|said| Control::said(read::addressed(said)));
    let mut occurrence = occurrence(SESSION_CREATED, root, actor, control, said, own)?;
    if said.is_none() {
        occurrence.text = described.map(payload::kept);
    }
    if let Some(writer) = writer.filter(|writer| writer.id != occurrence.actor.id) {
        occurrence.author = Some(writer);
    }
    Ok(occurrence)
}

/// What somebody says in a session, or that they pressed stop: then the text is the name of the button.
pub(super) fn prompted(root: &Member<'_>, own: &Own) -> Result<Occurrence> {
    let activity = root.at("agentActivity")?;
    let (user, id) = (activity.at("user")?, activity.at("userId")?);
    let actor = id.required(read::author(&user, &id)?)?;
    let said = read::body(&activity.at("content")?)?;
    let control = match activity.at("signal")?.text()? {
        Some("stop") => Some(Control::Stop { run: None }),
        _ => said.and_then(|said| Control::said(read::addressed(said))),
    };
    occurrence(SESSION_PROMPTED, root, actor, control, said, own)
}

fn occurrence(
    name: &str,
    root: &Member<'_>,
    actor: Actor,
    control: Option<Control>,
    said: Option<&str>,
    own: &Own,
) -> Result<Occurrence> {
    let session = root.at("agentSession")?;
    let id = session.at("id")?;
    let id = id.required(payload::id(&id)?)?;
    let thread = format!("linear:session:{id}");
    let issue = session.at("issue")?;
    let mut occurrence = if issue.is_there() {
        read::at_issue(name, &issue, actor)?
    } else {
        let keys = Keys { object: thread.clone(), item: None, commit: None, branch: None, thread: None };
        Occurrence::act(Provider::Linear, name, Subject::of(SubjectKind::Conversation, None), actor, keys)
    };
    let app_user = root.at("appUserId")?.text()?;
    occurrence.own = read::sign(&occurrence.actor, app_user, own, said);
    occurrence.author = Some(occurrence.actor.clone());
    occurrence.keys.thread = Some(thread);
    occurrence.place = Some(Place::LinearSession { session: id.to_owned() });
    occurrence.text = said.filter(|_| control.is_none()).map(payload::kept);
    occurrence.control = control;
    occurrence.installation = payload::id(&root.at("organizationId")?)?.map(str::to_owned);
    if occurrence.subject.url.is_none() {
        occurrence.subject.url = payload::url(&session.at("url")?)?;
    }
    Ok(occurrence)
}
