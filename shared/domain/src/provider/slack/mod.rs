//! Slack's events and slash commands. What a payload holds is from the pages "The Events API", "message event" and those of
//! its subtypes, "`app_mention` event", "Slash commands", "Formatting message text" and "Slack Connect" of its documentation,
//! from the types of its packages `@slack/types` and `@slack/bolt`, and from the payloads in `events/slack`.
//!
//! No payload says who in a workspace may start something: an actor has no association until somebody looks it up.

use serde_json::Value;

use self::read::Home;
use super::member::Member;
use super::{Decoded, Own, payload};
use crate::limits;
use crate::template::InvalidField;

mod command;
mod form;
mod mrkdwn;
mod read;
#[cfg(test)]
mod tests;

pub use form::form;

/// The kind of a request of the Events API: JSON, at the address that the app has for events.
pub const EVENTS_API: &str = "events_api";
/// The kind of a slash command: a form, which [`form`] reads, at the address that the app has for it.
pub const SLASH_COMMAND: &str = "slash_command";

const APP_MENTION: &str = "app_mention";
const MESSAGE_POSTED: &str = "message_posted";
const MESSAGE_DM: &str = "message_dm";
const MESSAGE_MPIM: &str = "message_mpim";
const REACTION_ADDED: &str = "reaction_added";
const MEMBER_JOINED_CHANNEL: &str = "member_joined_channel";

pub(super) fn events() -> Vec<&'static str> {
    vec![
        APP_MENTION,
        MEMBER_JOINED_CHANNEL,
        MESSAGE_DM,
        MESSAGE_MPIM,
        MESSAGE_POSTED,
        REACTION_ADDED,
        command::SLASH_COMMAND,
    ]
}

/// What Slack wants to be answered when it is told the address for events: that is all it sends then.
pub fn challenge(payload: &Value) -> Option<&str> {
    let is_asked = payload.get("type").and_then(Value::as_str) == Some("url_verification");
    payload.get("challenge").filter(|_| is_asked)?.as_str()
}

/// By what a request is known when it comes again, which Slack says in the payload: the id of an event, or the one with
/// which a slash command may open a window. One message may be several events: see [`super::Occurrence::message`].
pub fn delivery_id(payload: &Value) -> Option<&str> {
    let id = payload.get("event_id").or(payload.get("trigger_id"))?.as_str()?;
    (1..=limits::DELIVERY_ID_BYTES)
        .contains(&id.len())
        .then_some(id)
        .filter(|id| id.bytes().all(|b| b.is_ascii_graphic()))
}

/// Where a slash command may be answered five times within half an hour, by whoever knows the address: a secret, so that no
/// occurrence has it. Only an address of Slack's own is one.
pub fn response_url(payload: &Value) -> Option<&str> {
    let url = payload.get("response_url")?.as_str()?;
    let is_slack = ["https://hooks.slack.com/", "https://hooks.slack-gov.com/"].iter().any(|own| url.starts_with(own));
    (is_slack && url.len() <= limits::URL_BYTES && url.bytes().all(|byte| byte.is_ascii_graphic())).then_some(url)
}

/// See [`super::Provider::decode`].
pub(super) fn decode(event: &str, payload: &Value, own: &Own) -> Result<Decoded, InvalidField> {
    match event {
        EVENTS_API => events_api(&Member::root(payload)?, own),
        SLASH_COMMAND => {
            command::occurrence(&Member::root(payload)?).map(|occurrence| Decoded::Used(Box::new(occurrence)))
        }
        _ => Ok(Decoded::not_used(payload::event_name(event), "only events and slash commands can start something")),
    }
}

fn events_api(root: &Member<'_>, own: &Own) -> Result<Decoded, InvalidField> {
    let kind = root.at("type")?;
    match kind.required(kind.text()?)? {
        "event_callback" => {}
        name @ "url_verification" => {
            return Ok(Decoded::not_used(name, "Slack asks whether the address is ours; answer it with its challenge"));
        }
        name @ "app_rate_limited" => {
            return Ok(Decoded::not_used(name, "Slack sends no events for a minute, as there were too many"));
        }
        other => return Ok(Decoded::not_used(payload::event_name(other), "requests of this kind start nothing")),
    }
    let event = root.at("event")?;
    let kind = event.at("type")?;
    let occurrence = match kind.required(kind.text()?)? {
        kind @ ("app_mention" | "message") => {
            let subtype = event.at("subtype")?.text()?.unwrap_or_default();
            if let Some(why) = not_said(subtype) {
                return Ok(Decoded::not_used(format!("{kind}.{}", payload::event_name(subtype)), why));
            }
            read::message(kind, &event, &Home::read(root)?, own)?
        }
        REACTION_ADDED => {
            let of = event.at("item")?.at("type")?.text()?.unwrap_or_default();
            if of != "message" {
                return Ok(Decoded::not_used(REACTION_ADDED, "only reactions to messages can start something"));
            }
            read::reaction(&event, &Home::read(root)?, own)?
        }
        MEMBER_JOINED_CHANNEL => read::joined(&event, &Home::read(root)?, own)?,
        other => return Ok(Decoded::not_used(payload::event_name(other), "events of this kind start nothing")),
    };
    Ok(Decoded::Used(Box::new(occurrence)))
}

/// Why a message is none that somebody just said. A file with words to it, `/me`, and a reply that the channel is shown as
/// well are said: the last one comes once, as this and not as a reply too.
fn not_said(subtype: &str) -> Option<&'static str> {
    match subtype {
        "" | "file_share" | "me_message" | "thread_broadcast" => None,
        "message_changed" => Some(
            "an edit speaks to nobody whom the message did not speak to, and Slack sends one when a link unfolds too",
        ),
        "message_deleted" => Some("what was said has been taken back"),
        "message_replied" => Some("the reply comes as a message of its own"),
        "bot_message" => Some("an integration wrote it that has no account, so that nobody could let it start runs"),
        _ => Some("Slack itself wrote it, to say what happened in the conversation"),
    }
}
