//! What the events of Slack say: where, by whom, and whether it is said to us.

use super::super::member::Member;
use super::super::{Actor, ActorKind, Control, Keys, Occurrence, Own, OwnSign, Place, Provider, Subject, SubjectKind};
use super::{APP_MENTION, MEMBER_JOINED_CHANNEL, MESSAGE_DM, MESSAGE_MPIM, MESSAGE_POSTED, REACTION_ADDED, mrkdwn};
use crate::provider::payload;
use crate::template::InvalidField;

type Result<T> = std::result::Result<T, InvalidField>;

/// Whom a request is for: our app, as it is installed.
pub(super) struct Home<'a> {
    /// The workspace that installed the app, which in a channel shared with others is not always the one it happened in.
    team: &'a str,
    /// The organisation that the workspace is of.
    enterprise: Option<&'a str>,
    /// Our bot user, as Slack says itself.
    bot_user: Option<&'a str>,
    app: Option<&'a str>,
    /// Whether other workspaces are in the channel.
    is_shared: bool,
}

impl<'a> Home<'a> {
    pub(super) fn read(root: &Member<'a>) -> Result<Self> {
        // One is listed of however many there are.
        let authorizations = root.at("authorizations")?.items()?;
        let of = |name: &str| authorizations.first().map_or(Ok(None), |first| payload::id(&first.at(name)?));
        let team = match of("team_id")? {
            Some(team) => Some(team),
            None => payload::id(&root.at("context_team_id")?)?,
        };
        let happened_in = root.at("team_id")?;
        let is_bot = authorizations.first().map_or(Ok(false), |first| first.at("is_bot")?.flag())?;
        Ok(Self {
            team: match team {
                Some(team) => team,
                None => happened_in.required(payload::id(&happened_in)?)?,
            },
            enterprise: of("enterprise_id")?,
            bot_user: of("user_id")?.filter(|_| is_bot),
            app: payload::id(&root.at("api_app_id")?)?,
            is_shared: root.at("is_ext_shared_channel")?.flag()?,
        })
    }

    fn is_us(&self, id: &str, own: &Own) -> bool {
        self.bot_user == Some(id) || own.is_login(id)
    }
}

/// What somebody said. It may come as an event of the channel and as a mention: both times it is the same occurrence, so that
/// it does not matter which is first. In a direct conversation everything is said to us, mention or not.
pub(super) fn message(kind: &str, event: &Member<'_>, home: &Home<'_>, own: &Own) -> Result<Occurrence> {
    let (channel, ts) = (event.at("channel")?, event.at("ts")?);
    let channel = channel.required(payload::id(&channel)?)?;
    let ts = ts.required(payload::id(&ts)?)?;
    let thread = payload::id(&event.at("thread_ts")?)?;
    let said = event.at("text")?.text()?.unwrap_or_default();
    let is_us = |id: &str| home.is_us(id, own);
    let channel_type = event.at("channel_type")?.text()?;
    let is_direct = channel_type == Some("im") || channel.starts_with('D');
    let is_mention = kind == APP_MENTION || mrkdwn::mentioned(said).any(is_us);
    let name = match channel_type {
        _ if is_direct => MESSAGE_DM,
        _ if is_mention => APP_MENTION,
        Some("mpim") => MESSAGE_MPIM,
        _ => MESSAGE_POSTED,
    };
    let rest = mrkdwn::after_mentions(said, is_us);
    let is_to_us = is_direct || is_mention || thread.is_some();
    let control = Control::said(&mrkdwn::decoded(mrkdwn::before_mentions(rest, is_us))).filter(|_| is_to_us);
    let text = Some(mrkdwn::decoded(rest.trim())).filter(|text| control.is_none() && !text.is_empty());
    let actor = actor(event, home)?;
    Ok(Occurrence {
        text: text.as_deref().map(payload::kept),
        control,
        message: Some(format!("{}:{channel}:{ts}", home.team)),
        own: sign(event, home, own, text.as_deref())?,
        author: Some(actor.clone()),
        ..occurrence(name, home, channel, Some(thread.unwrap_or(ts)), actor)
    })
}

/// A reaction, with its name and without the tone of its skin. Whether the message began a thread or is in one it does not
/// say, nor what the message says.
pub(super) fn reaction(event: &Member<'_>, home: &Home<'_>, own: &Own) -> Result<Occurrence> {
    let (item, reaction) = (event.at("item")?, event.at("reaction")?);
    let (channel, ts) = (item.at("channel")?, item.at("ts")?);
    let channel = channel.required(payload::id(&channel)?)?;
    let ts = ts.required(payload::id(&ts)?)?;
    let reaction = reaction.required(reaction.text()?)?;
    Ok(Occurrence {
        detail: reaction.split("::").next().map(payload::line),
        own: sign(event, home, own, None)?,
        ..occurrence(REACTION_ADDED, home, channel, Some(ts), actor(event, home)?)
    })
}

pub(super) fn joined(event: &Member<'_>, home: &Home<'_>, own: &Own) -> Result<Occurrence> {
    let channel = event.at("channel")?;
    let channel = channel.required(payload::id(&channel)?)?;
    Ok(Occurrence {
        own: sign(event, home, own, None)?,
        ..occurrence(MEMBER_JOINED_CHANNEL, home, channel, None, actor(event, home)?)
    })
}

fn occurrence(name: &str, home: &Home<'_>, channel: &str, thread: Option<&str>, actor: Actor) -> Occurrence {
    conversation(name, home.team, channel, thread, actor)
}

/// Something that happened in a thread, or in a channel and no thread of it.
pub(super) fn conversation(name: &str, team: &str, channel: &str, thread: Option<&str>, actor: Actor) -> Occurrence {
    let mut object = format!("slack:{team}:{channel}");
    let (owned_team, owned_channel) = (team.to_owned(), channel.to_owned());
    let place = match thread {
        Some(thread) => {
            object = format!("{object}:{thread}");
            Place::SlackThread { team: owned_team, channel: owned_channel, thread: thread.to_owned() }
        }
        None => Place::SlackChannel { team: owned_team, channel: owned_channel },
    };
    let thread = thread.map(|_| object.clone());
    let keys = Keys { object, item: None, commit: None, branch: None, thread };
    Occurrence {
        installation: Some(team.to_owned()),
        place: Some(place),
        ..Occurrence::act(Provider::Slack, name, Subject::of(SubjectKind::Conversation, None), actor, keys)
    }
}

/// Who did it, by the id, which is all that an event has. In a channel with other workspaces who comes from one of them is
/// nobody whom ours knows, and neither is who does not say from which one.
fn actor(event: &Member<'_>, home: &Home<'_>) -> Result<Actor> {
    let (user, bot) = (event.at("user")?, payload::id(&event.at("bot_id")?)?);
    let id = user.required(payload::id(&user)?.or(bot))?;
    let is_bot = bot.is_some() || event.at("bot_profile")?.is_there() || id == "USLACKBOT";
    let of = event.at("user_profile")?;
    let teams = [event.at("user_team")?, event.at("source_team")?, event.at("team")?, of.at("team")?];
    let (mut is_known, mut is_ours) = (false, true);
    for team in teams {
        if let Some(team) = team.text()? {
            is_known = true;
            is_ours &= team == home.team || Some(team) == home.enterprise;
        }
    }
    let kind = match (is_bot, is_ours && (is_known || !home.is_shared)) {
        (true, _) => ActorKind::Bot,
        (false, true) => ActorKind::User,
        (false, false) => ActorKind::Other,
    };
    Ok(Actor { login: id.to_owned(), id: id.to_owned(), kind, association: None, email: None })
}

/// By what it is known to be our own. Slack says with each event which bot user and which app are ours; what is set says it
/// too, as a workspace may have another app of ours.
fn sign(event: &Member<'_>, home: &Home<'_>, own: &Own, written: Option<&str>) -> Result<Option<OwnSign>> {
    for account in ["user", "bot_id"] {
        if event.at(account)?.text()?.is_some_and(|id| home.is_us(id, own)) {
            return Ok(Some(OwnSign::Actor));
        }
    }
    for app in [event.at("app_id")?, event.at("bot_profile")?.at("app_id")?] {
        if app.text()?.is_some_and(|id| home.app == Some(id) || own.is_login(id)) {
            return Ok(Some(OwnSign::App));
        }
    }
    Ok(own.is_marked(written.unwrap_or_default()).then_some(OwnSign::Marker))
}
