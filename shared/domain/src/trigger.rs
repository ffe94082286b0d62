//! Triggers: which events start an automation, and who may cause them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::filter::Filter;
use crate::id::WebhookId;
use crate::limits;
use crate::provider::{Allow, Occurrence, OwnSign, Provider, Refused, Start, may_start};
use crate::template::InvalidField;
use crate::text;

/// What an automation listens to. The default is its own address and planned events alone, whatever they say.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Trigger {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on: Option<Source>,
    /// Names of events, as the provider's or the sender's are told. None at all: every event.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
    #[serde(skip_serializing_if = "Filter::is_empty")]
    pub filter: Filter,
    /// For events of a provider: who may cause them. Whoever can sign for a webhook without a provider may.
    #[serde(skip_serializing_if = "is_default")]
    pub allow: Allow,
    /// Runs in an hour for one object; see [`limits::RUNS_PER_OBJECT`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs_per_object: Option<u32>,
}

/// Where events come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    Webhook(WebhookId),
    /// Every webhook of that provider.
    Provider(Provider),
}

/// An event that came in.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// As its sender calls it; empty where nobody says.
    pub name: &'a str,
    pub payload: &'a Value,
    /// What it means, if its provider is known.
    pub occurrence: Option<&'a Occurrence>,
}

/// Why an event does not start an automation. Each is a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unmatched {
    #[error("it takes {wanted} alone")]
    Event { wanted: String },
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Such as "stop" in a thread: it must never become somebody's prompt.
    #[error("it is said to Ozma and is no work for an agent")]
    Control,
    #[error("its filter does not match")]
    Filter,
}

impl Trigger {
    pub fn check(&self) -> Result<(), InvalidField> {
        if self.events.len() > limits::TRIGGER_EVENTS {
            return Err(InvalidField::new("on.events", format!("at most {}", limits::TRIGGER_EVENTS)));
        }
        if let Some(Source::Provider(provider)) = &self.on {
            let known = provider.events();
            if let Some(unknown) = self.events.iter().find(|name| !known.contains(&name.as_str())) {
                let (unknown, known) = (text::shorten(&text::one_line(unknown), 40), known.join(", "));
                let reason = format!("{provider} has no event \"{unknown}\"; there are {known}");
                return Err(InvalidField::new("on.events", reason));
            }
        }
        if let Some(name) = self.events.iter().find(|name| !text::is_name(name)) {
            let name = text::shorten(&text::one_line(name), 40);
            return Err(InvalidField::new("on.events", format!("\"{name}\" is no name of an event")));
        }
        self.allow.check()?;
        if self.runs_per_object.is_some_and(|runs| !(1..=limits::QUEUED_RUNS_MAX).contains(&runs)) {
            return Err(InvalidField::new("on.runs_per_object", format!("from 1 to {}", limits::QUEUED_RUNS_MAX)));
        }
        Ok(())
    }

    /// Whether the event starts the automation, and with secrets or not.
    pub fn verdict(&self, event: &Event<'_>) -> Result<Start, Unmatched> {
        if let Some(sign) = event.own() {
            return Err(Refused::Own(sign).into());
        }
        if event.occurrence.is_some_and(|occurrence| occurrence.control.is_some()) {
            return Err(Unmatched::Control);
        }
        if !self.events.is_empty() && !self.events.iter().any(|name| event.is(name)) {
            return Err(Unmatched::Event { wanted: self.events.join(", ") });
        }
        let start = match event.occurrence {
            Some(occurrence) => may_start(occurrence, &self.allow)?,
            // Whoever can sign is trusted: it is somebody's own system.
            None => Start { secrets: true },
        };
        if self.filter.matches(event.payload) { Ok(start) } else { Err(Unmatched::Filter) }
    }

    /// Whether the event, which is said in a conversation that a run of the automation answers, goes on with that run. It was
    /// routed there already, so that the filter is not asked again; who may is.
    pub fn continues(&self, event: &Event<'_>) -> Result<(), Unmatched> {
        let Some(occurrence) = event.occurrence else { return Err(Unmatched::Filter) };
        if let Some(sign) = occurrence.own {
            return Err(Refused::Own(sign).into());
        }
        if occurrence.control.is_some() {
            return Err(Unmatched::Control);
        }
        let began = occurrence.goes_on_with();
        let takes = |name: &String| event.is(name) || began == Some(name.as_str());
        if !self.events.is_empty() && !self.events.iter().any(takes) {
            return Err(Unmatched::Event { wanted: self.events.join(", ") });
        }
        may_start(occurrence, &self.allow)?;
        Ok(())
    }

    /// It as it would be if whoever caused the event was listed, where that is all that is missing and their address may show
    /// that they are.
    pub fn if_listed(&self, event: &Event<'_>) -> Option<Self> {
        let occurrence = event.occurrence.filter(|occurrence| self.allow.awaits_address(occurrence))?;
        let mut listed = self.clone();
        listed.allow.logins.insert(occurrence.actor.login.clone());
        Some(listed)
    }

    /// Whether the event starts the automation, and does so without secrets only because nobody has asked yet whose code it is
    /// about.
    pub fn awaits_origin(&self, event: &Event<'_>) -> bool {
        let is_open = event.occurrence.is_some_and(|occurrence| occurrence.of_unknown_origin().is_some());
        is_open && self.verdict(event).is_ok_and(|start| !start.secrets)
    }

    pub fn runs_per_object(&self) -> u32 {
        self.runs_per_object.unwrap_or(limits::RUNS_PER_OBJECT)
    }
}

impl Event<'_> {
    /// What is our own doing starts nothing, whatever it is called.
    fn own(&self) -> Option<OwnSign> {
        self.occurrence.and_then(|occurrence| occurrence.own)
    }

    fn is(&self, name: &str) -> bool {
        self.occurrence.map_or(self.name == name, |occurrence| occurrence.is(name))
    }
}

fn is_default(allow: &Allow) -> bool {
    *allow == Allow::default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::provider::{Association, Code, Control, Decoded, Own, SubjectKind};

    fn trigger(value: Value) -> Trigger {
        serde_json::from_value(value).unwrap()
    }

    #[track_caller]
    fn check(value: Value, expected: &str) {
        let told = trigger(value).check().map_or_else(|err| err.to_string(), |()| "ok".to_owned());
        assert!(told.starts_with(expected), "{told}");
    }

    #[test]
    fn what_cannot_be_is_refused_by_field() {
        check(json!({}), "ok");
        check(json!({"on": {"provider": "github"}, "events": ["issue.labeled"]}), "ok");
        let unknown = "on.events: github has no event \"issue.labelled\"; there are check_run.completed, ";
        check(json!({"on": {"provider": "github"}, "events": ["issue.labelled"]}), unknown);
        check(json!({"events": ["anything at all"]}), "ok");
        check(json!({"events": ["two\nlines"]}), "on.events: \"two lines\" is no name");
        check(json!({"events": vec!["x"; 51]}), "on.events: at most 50");
        check(json!({"runs_per_object": 0}), "on.runs_per_object: from 1 to");
        check(json!({"allow": {"logins": ["a".repeat(101)]}}), "on.allow.logins: at most");
        check(json!({"allow": {"emails": ["ann"]}}), "on.allow.emails: \"ann\" is neither");
    }

    #[test]
    fn a_trigger_survives_its_text_and_old_rows_have_none() {
        for value in [
            json!({}),
            json!({"on": {"webhook": "wh_0123456789abcdefABCDEF"}, "events": ["push"]}),
            json!({"on": {"provider": "github"}, "filter": {"action": ["opened"]}, "runs_per_object": 3}),
        ] {
            assert_eq!(serde_json::to_value(trigger(value.clone())).unwrap(), value);
        }
        assert_eq!(trigger(json!({})), Trigger::default());
    }

    fn github(change: impl FnOnce(&mut Occurrence)) -> (Value, Occurrence) {
        let payload: Value = serde_json::from_str(include_str!("../../../events/github/issues-labeled.json")).unwrap();
        let decoded = Provider::Github.decode("issues", &payload, &Own::default()).unwrap();
        let Decoded::Used(mut occurrence) = decoded else { panic!("{decoded:?}") };
        change(&mut occurrence);
        (payload, *occurrence)
    }

    #[track_caller]
    fn verdict(value: Value, change: impl FnOnce(&mut Occurrence), expected: &str) {
        let (payload, occurrence) = github(change);
        let event = Event { name: "issues", payload: &payload, occurrence: Some(&occurrence) };
        let told = match trigger(value).verdict(&event) {
            Ok(Start { secrets }) => format!("starts, secrets {secrets}"),
            Err(err) => err.to_string(),
        };
        assert!(told.starts_with(expected), "{told}");
    }

    #[test]
    fn an_event_starts_what_takes_it_and_nothing_else() {
        let labeled = json!({"events": ["issue.labeled"], "allow": {"logins": ["Codertocat"]}});
        verdict(labeled.clone(), |_| {}, "starts, secrets true");
        verdict(json!({"events": ["issue.opened", "push"]}), |_| {}, "it takes issue.opened, push alone");
        verdict(json!({"filter": {"action": "opened"}, "allow": {"logins": ["Codertocat"]}}), |_| {}, "its filter");
        // Who may not cause it is told so before the filter is looked at: filters route, they do not restrict.
        let no_right = |o: &mut Occurrence| {
            o.right = None;
            o.actor.association = Some(crate::provider::Association::None);
        };
        verdict(json!({"filter": {"action": "opened"}}), no_right, "Codertocat is NONE of the repository");
        verdict(labeled.clone(), |o| o.control = Some(Control::Stop { run: None }), "it is said to Ozma");
        verdict(labeled, |o| o.own = Some(OwnSign::App), "it comes from Ozma itself");
    }

    #[test]
    fn whose_code_it_is_is_asked_where_it_decides_about_secrets_alone() {
        let check = |value: Value, change: fn(&mut Occurrence), expected: bool| {
            let text = include_str!("../../../events/github/issue_comment-created-pull_request.json");
            let payload: Value = serde_json::from_str(text).unwrap();
            let decoded = Provider::Github.decode("issue_comment", &payload, &Own::default()).unwrap();
            let Decoded::Used(mut occurrence) = decoded else { panic!("{decoded:?}") };
            occurrence.actor.association = Some(Association::Member);
            change(&mut occurrence);
            let event = Event { name: "issue_comment", payload: &payload, occurrence: Some(&occurrence) };
            assert_eq!(trigger(value.clone()).awaits_origin(&event), expected, "{value} {occurrence:?}");
        };
        check(json!({}), |_| {}, true);
        check(json!({"events": ["issue.opened"]}), |_| {}, false);
        check(json!({"filter": {"action": "deleted"}}), |_| {}, false);
        check(json!({"allow": {"associations": []}}), |_| {}, false);
        check(json!({"allow": {"fork_secrets": true}}), |_| {}, false);
        check(json!({}), |o| o.own = Some(OwnSign::Marker), false);
        check(json!({}), |o| o.control = Some(Control::Stop { run: None }), false);
        check(json!({}), |o| o.code = Code::Fork, false);
        check(json!({}), |o| o.code = Code::Repository, false);
        check(json!({}), |o| o.subject.kind = SubjectKind::Check, false);
        check(json!({}), |o| o.provider = Provider::Gitlab, false);
    }

    #[track_caller]
    fn continues(value: Value, change: impl FnOnce(&mut Occurrence), expected: &str) {
        let payload: Value =
            serde_json::from_str(include_str!("../../../events/linear/AgentSessionEvent-prompted.json")).unwrap();
        let decoded = Provider::Linear.decode("", &payload, &Own::default()).unwrap();
        let Decoded::Used(mut occurrence) = decoded else { panic!("{decoded:?}") };
        change(&mut occurrence);
        let event = Event { name: "", payload: &payload, occurrence: Some(&occurrence) };
        let told = trigger(value).continues(&event).map_or_else(|err| err.to_string(), |()| "goes on".to_owned());
        assert!(told.starts_with(expected), "{told}");
    }

    #[test]
    fn what_goes_on_bypasses_the_filter_and_never_who_may() {
        continues(json!({}), |_| {}, "goes on");
        continues(json!({"filter": {"action": "created"}}), |_| {}, "goes on");
        continues(json!({"events": ["agent_session.prompted"]}), |_| {}, "goes on");
        continues(json!({"events": ["agent_session.created"]}), |_| {}, "goes on");
        continues(json!({"events": ["issue.labeled"]}), |_| {}, "it takes issue.labeled alone");
        let nobody = json!({"allow": {"associations": []}});
        continues(nobody, |_| {}, "11c5ce7d-229b-4487-b23b-f404e4a8c85d is MEMBER of the repository, and may not");
        continues(json!({}), |o| o.own = Some(OwnSign::App), "it comes from Ozma itself");
        continues(json!({}), |o| o.control = Some(Control::Help), "it is said to Ozma");
        continues(json!({}), |o| o.actor.kind = crate::provider::ActorKind::Bot, "11c5ce7d");
    }

    #[test]
    fn whoever_signs_for_an_unknown_service_may_start() {
        let payload = json!({"type": "deploy", "ok": true});
        let event = Event { name: "deploy.done", payload: &payload, occurrence: None };
        let starts = |value: Value| trigger(value).verdict(&event);
        assert_eq!(starts(json!({})), Ok(Start { secrets: true }));
        assert_eq!(starts(json!({"events": ["deploy.done"], "filter": {"ok": true}})), Ok(Start { secrets: true }));
        assert_eq!(starts(json!({"events": ["deploy"]})), Err(Unmatched::Event { wanted: "deploy".to_owned() }));
        assert_eq!(starts(json!({"filter": {"ok": false}})), Err(Unmatched::Filter));
    }
}
