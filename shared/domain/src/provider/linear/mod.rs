//! Linear's webhooks. What a payload holds is from the pages "Webhooks", "Developing the agent interaction" and "Signals" of
//! its documentation, from the types of its package `@linear/sdk`, and from the payloads in `events/linear`.
//!
//! Who is a user of the workspace is a member of it, a guest too: Linear does not say which are.

use serde_json::Value;

use super::member::Member;
use super::{Decoded, Occurrence, Own, payload};
use crate::template::InvalidField;

mod read;
mod session;
#[cfg(test)]
mod tests;

const CREATED: &str = "issue.created";
const LABELED: &str = "issue.labeled";
const ASSIGNED: &str = "issue.assigned";
const STATE_CHANGED: &str = "issue.state_changed";
const MENTIONED: &str = "issue.mentioned";
const COMMENT: &str = "comment.created";
const SESSION_CREATED: &str = "agent_session.created";
const SESSION_PROMPTED: &str = "agent_session.prompted";

/// Each kind of webhook that is used, and which of its actions are.
const USED: [(&str, &[&str]); 3] =
    [("Issue", &["create", "update"]), ("Comment", &["create"]), ("AgentSessionEvent", &["created", "prompted"])];

pub(super) fn events() -> Vec<&'static str> {
    vec![SESSION_CREATED, SESSION_PROMPTED, COMMENT, ASSIGNED, CREATED, LABELED, MENTIONED, STATE_CHANGED]
}

/// See [`super::Provider::decode`].
pub(super) fn decode(payload: &Value, own: &Own) -> Result<Decoded, InvalidField> {
    let root = Member::root(payload)?;
    let (kind, action) = (root.at("type")?, root.at("action")?);
    let kind = kind.required(kind.text()?)?;
    let Some((_, actions)) = USED.iter().find(|(used, _)| *used == kind) else {
        return Ok(unused(kind, action.text()?));
    };
    let action = action.required(action.text()?)?;
    if !actions.contains(&action) {
        return Ok(unused(kind, Some(action)));
    }
    let used = |occurrence| Decoded::Used(Box::new(occurrence));
    match (kind, action) {
        ("Issue", "create") => read::created(&root, own).map(used),
        ("Issue", _) => Ok(read::updated(&root, own)?.map_or_else(no_change, used)),
        ("Comment", _) => Ok(read::comment(&root, own)?.map_or_else(elsewhere, used)),
        (_, "created") => session::created(&root, own).map(used),
        _ => session::prompted(&root, own).map(used),
    }
}

fn no_change() -> Decoded {
    Decoded::not_used(
        "Issue.update",
        "of what changes, labels that are new, an assignee and the state can start something",
    )
}

fn elsewhere() -> Decoded {
    Decoded::not_used("Comment.create", "only comments at issues can start something")
}

fn unused(kind: &str, action: Option<&str>) -> Decoded {
    let name = [Some(kind), action].into_iter().flatten().map(payload::event_name).collect::<Vec<_>>().join(".");
    let actions = USED.iter().find(|(used, _)| *used == kind).map(|(_, actions)| actions.join(", "));
    let why = match (kind, actions) {
        (_, Some(actions)) => format!("of these the actions that can start something are {actions}"),
        // An issue that is taken away from us again is no word to stop: what works on it may have been asked for by others.
        ("AppUserNotification", None) => {
            "what it tells our app user comes as an issue, a comment or a session as well".to_owned()
        }
        ("PermissionChange" | "OAuthApp", None) => "it says what our app may see".to_owned(),
        _ => "webhooks of this kind start nothing".to_owned(),
    };
    Decoded::not_used(name, why)
}

/// The event has a mention of us in what was just written.
fn mention(occurrence: &mut Occurrence, written: Option<&str>, own: &Own) {
    if written.is_some_and(|text| own.is_mentioned(text)) {
        occurrence.names.push(MENTIONED.to_owned());
    }
}
