//! Slash commands: `/oz run …`, `/oz status [run]`, `/oz cancel [run]`, `/oz help`.

use super::super::member::Member;
use super::super::{Actor, ActorKind, Control, Occurrence};
use super::{mrkdwn, read};
use crate::id::RunId;
use crate::provider::payload;
use crate::template::InvalidField;

pub(super) const SLASH_COMMAND: &str = "slash_command";

/// A command has no message: nobody else sees it, its answer goes to the address that comes with it
/// ([`super::response_url`]), and a run's answer begins a thread of the channel. Slack takes none in threads, and none of
/// people whose workspace has not installed the app.
pub(super) fn occurrence(root: &Member<'_>) -> Result<Occurrence, InvalidField> {
    let (team, channel, user) = (root.at("team_id")?, root.at("channel_id")?, root.at("user_id")?);
    let team = team.required(payload::id(&team)?)?;
    let channel = channel.required(payload::id(&channel)?)?;
    let user = user.required(payload::id(&user)?)?;
    let (name, typed) = (root.at("command")?, root.at("text")?.text()?.unwrap_or_default());
    let name = name.required(name.text()?)?;
    let actor =
        Actor { login: user.to_owned(), id: user.to_owned(), kind: ActorKind::User, association: None, email: None };
    let (control, prompt) = match typed_in(&mrkdwn::decoded(typed)) {
        Typed::Run(prompt) => (None, Some(payload::kept(&prompt))),
        Typed::Control(control) => (Some(control), None),
    };
    Ok(Occurrence {
        detail: Some(payload::line(name)),
        text: prompt,
        control,
        author: Some(actor.clone()),
        ..read::conversation(SLASH_COMMAND, team, channel, None, actor)
    })
}

enum Typed {
    Run(String),
    Control(Control),
}

/// Whatever is no command is answered with what can be said, as is `run` without a task.
fn typed_in(text: &str) -> Typed {
    let text = text.trim();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    let run = || match rest {
        "" => Some(None),
        id => id.parse::<RunId>().ok().map(Some),
    };
    let control = match word.to_ascii_lowercase().as_str() {
        // A word that stops is no task.
        "run" if !rest.is_empty() && Control::said(rest).is_none() => return Typed::Run(rest.to_owned()),
        "status" => run().map(|run| Control::Status { run }),
        "cancel" | "stop" => run().map(|run| Control::Stop { run }),
        _ => None,
    };
    Typed::Control(control.unwrap_or(Control::Help))
}
