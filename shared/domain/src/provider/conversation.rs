//! Conversations: to which one an event belongs, and whether somebody speaks to us in it.

use super::{ActorKind, Occurrence, Own, Provider, SubjectKind};
use crate::provider::Control;

/// Events that are said to us whatever they say.
const TO_US: [&str; 5] =
    ["app_mention", "message_dm", "slash_command", "agent_session.created", "agent_session.prompted"];

/// What people say to everybody in a conversation.
const TO_ALL: [&str; 2] = ["message_posted", "message_mpim"];

impl Occurrence {
    /// By what the conversation is known that it belongs to: the thread where its provider has them apart from what they
    /// are about, else the issue, the pull request or the discussion. A push, checks and a commit alone have none.
    pub fn conversation(&self) -> Option<&str> {
        let is_talked_about =
            matches!(self.subject.kind, SubjectKind::Issue | SubjectKind::PullRequest | SubjectKind::Discussion);
        let item = || Some(&self.keys.object).filter(|_| is_talked_about && self.keys.item.is_some());
        self.keys.thread.as_ref().or_else(item).map(String::as_str)
    }

    /// Whether it is said to us: a mention, a direct message, a command, or what is said in a session with us.
    pub fn is_addressed(&self) -> bool {
        self.names.iter().any(|name| TO_US.contains(&name.as_str()) || name.ends_with(".mentioned"))
    }

    /// Whether a person says something that a run of the conversation is to hear. A comment is heard only if it mentions us,
    /// and what somebody wrote is theirs: whoever edits another's words says nothing.
    pub fn is_message(&self) -> bool {
        let is_said = self.is_addressed() || self.names.iter().any(|name| TO_ALL.contains(&name.as_str()));
        let by_author = self.author.as_ref().is_none_or(|author| author.id == self.actor.id);
        is_said && by_author && self.actor.is_person() && self.own.is_none() && self.control.is_none()
    }

    /// Whether somebody is there who can be told politely that it is not for them: no bot, with which we would talk for
    /// ever. People of another workspace are people too, though nobody whom ours knows.
    pub fn is_by_somebody(&self) -> bool {
        let is_elsewhere = self.provider == Provider::Slack && self.actor.kind == ActorKind::Other;
        self.own.is_none() && (self.actor.is_person() || is_elsewhere)
    }

    /// The name of the event that began what this one goes on with, where an automation that takes the one means both.
    pub fn goes_on_with(&self) -> Option<&'static str> {
        self.is("agent_session.prompted").then_some("agent_session.created")
    }
}

impl Own {
    /// The word that a text with a mention says beside it, if it is nothing else: `@oz stop`.
    pub(super) fn told(&self, text: &str) -> Option<Control> {
        let name = self.mention.as_deref()?.trim_start_matches('@');
        let rest = text.trim().strip_prefix('@')?;
        let (said, rest) = (rest.get(..name.len())?, rest.get(name.len()..)?);
        let begins = rest.starts_with(|c: char| c.is_whitespace() || ":,".contains(c));
        if !begins || !said.eq_ignore_ascii_case(name) {
            return None;
        }
        Control::said(rest.trim_start_matches(|c: char| c.is_whitespace() || ":,".contains(c)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::provider::{Decoded, payloads, slack};

    fn own() -> Own {
        Own { mention: Some("@oz".to_owned()), ..Own::default() }
    }

    fn kind(provider: Provider, name: &str) -> String {
        let event = name.split('-').next().unwrap_or_default();
        match provider {
            Provider::Slack if name.starts_with("slash") => slack::SLASH_COMMAND.to_owned(),
            Provider::Slack => slack::EVENTS_API.to_owned(),
            _ => event.to_owned(),
        }
    }

    fn told(provider: Provider, name: &str, payload: &Value) -> Option<String> {
        let Ok(Decoded::Used(occurrence)) = provider.decode(&kind(provider, name), payload, &own()) else {
            return None;
        };
        let yes = |is: bool, name: &str| is.then(|| name.to_owned());
        let marks = [yes(occurrence.is_addressed(), "to us"), yes(occurrence.is_message(), "message")];
        let marks: Vec<_> = marks.into_iter().flatten().collect();
        let conversation = occurrence.conversation().unwrap_or("-");
        Some(format!("{name}: {conversation} | {}", marks.join(", ")))
    }

    #[test]
    fn each_event_belongs_to_a_conversation_or_to_none_and_is_a_message_or_not() {
        let mut lines = Vec::new();
        for (provider, folder) in [
            (Provider::Slack, "slack"),
            (Provider::Linear, "linear"),
            (Provider::Github, "github"),
            (Provider::Jira, "jira"),
        ] {
            lines.extend(payloads::files(folder).iter().filter_map(|(name, payload)| told(provider, name, payload)));
        }
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn an_edit_of_anothers_words_and_what_bots_say_are_no_messages() {
        let files = payloads::files("linear");
        let (_, payload) = files.iter().find(|(name, _)| name == "Comment-create-mention").unwrap();
        let Ok(Decoded::Used(said)) = Provider::Linear.decode("", payload, &own()) else { panic!("{payload}") };
        assert!(said.is_message() && said.is_by_somebody());
        let other = crate::provider::Actor { id: "other".to_owned(), ..said.actor.clone() };
        assert!(!Occurrence { author: Some(other), ..(*said).clone() }.is_message());
        let mut bot = (*said).clone();
        bot.actor.kind = ActorKind::Bot;
        assert!(!bot.is_message() && !bot.is_by_somebody() && bot.is_addressed());
        let ours = Occurrence { own: Some(crate::provider::OwnSign::App), ..(*said).clone() };
        assert!(!ours.is_message() && !ours.is_by_somebody());
    }

    #[track_caller]
    fn says(text: &str, expected: Option<&Control>) {
        assert_eq!(own().told(text).as_ref(), expected, "{text}");
    }

    #[test]
    fn a_word_beside_the_mention_is_for_us() {
        let stop = Control::Stop { run: None };
        for text in ["@oz stop", "@OZ: stop.", " @oz,\ncancel! "] {
            says(text, Some(&stop));
        }
        says("@oz help", Some(&Control::Help));
        for text in
            ["@oz", "@ozstop", "@oz-bot stop", "@oz stop the login", "stop", "@o", "please @oz stop", "@öz stop"]
        {
            says(text, None);
        }
        assert_eq!(Own::default().told("@oz stop"), None);
    }
}
