//! Definitions as given: each refusal names the field, and what may have been meant.

use ozma_app::apply::Present;
use ozma_domain::definition::{Definition, Kind, secret_in};
use ozma_domain::text;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::schema::{members, schema, within};
use crate::body;
use crate::error::ApiError;
use crate::routes::{automations, environments, identities, runners, schedules, subscriptions, webhooks};
use crate::wire::{
    AgentConfig, AutomationConfig, EnvironmentConfig, IdentityRequest, RunnerConfig, ScheduleRequest,
    SubscriptionConfig, WebhookConfig,
};

/// A definition with names in it, which only what there is can tell.
#[derive(Clone, Debug)]
pub(crate) enum Given {
    Runner(RunnerConfig),
    Environment(EnvironmentConfig),
    Agent(Box<IdentityRequest>),
    Webhook(WebhookConfig),
    Automation(Box<AutomationConfig>),
    Schedule(Box<ScheduleRequest>),
    Subscription(SubscriptionConfig),
}

/// Its kind, its name, and what it says.
pub(crate) fn parse(mut sent: Map<String, Value>) -> Result<(Kind, String, Given), ApiError> {
    let kind = match sent.remove("kind") {
        Some(Value::String(text)) => text.parse::<Kind>().map_err(|err| ApiError::invalid("kind", err))?,
        _ => {
            let kinds = Kind::ALL.map(Kind::as_str).join(", ");
            return Err(ApiError::invalid("kind", format!("needed: one of {kinds}")));
        }
    };
    let name = match sent.get("name") {
        Some(Value::String(name)) if text::is_name(name) => name.clone(),
        Some(Value::String(_)) => return Err(ApiError::invalid("name", text::NAME)),
        _ => return Err(ApiError::invalid("name", "needed: a text by which it is known")),
    };
    if kind == Kind::Webhook && sent.get("secret").is_some_and(|secret| !secret.is_null()) {
        let reason = "definitions hold no secrets; apply it without, and give it with `oz webhook rotate-secret NAME --secret-stdin`";
        return Err(ApiError::invalid("secret", reason));
    }
    let sent = Value::Object(sent);
    if let Some((field, whose)) = secret("", &sent) {
        let reason =
            format!("holds {whose}; definitions hold no secrets: store it with `oz secret create`, and name it");
        return Err(ApiError::invalid(&field, reason));
    }
    let given = match kind {
        Kind::Runner => Given::Runner(typed(kind, &sent)?),
        Kind::Environment => Given::Environment(typed(kind, &sent)?),
        Kind::Agent => Given::Agent(Box::new(typed(kind, &sent)?)),
        Kind::Webhook => Given::Webhook(typed(kind, &sent)?),
        Kind::Automation => Given::Automation(Box::new(typed(kind, &sent)?)),
        Kind::Schedule => Given::Schedule(Box::new(typed(kind, &sent)?)),
        Kind::Subscription => Given::Subscription(typed(kind, &sent)?),
    };
    Ok((kind, name, given))
}

impl Given {
    /// With ids in the place of names. Whether it is paused stays as it is where nothing is said of that.
    pub(crate) fn read(&self, name: &str, present: &Present) -> Result<Definition, ApiError> {
        let paused = |kind, said: &mut Option<bool>| {
            said.get_or_insert_with(|| present.is_paused(kind, name));
        };
        Ok(match self.clone() {
            Self::Runner(wire) => Definition::Runner(runners::config(wire)?),
            Self::Environment(mut wire) => {
                known(present, Kind::Runner, "default_runner_uid", wire.default_runner_uid.as_mut())?;
                Definition::Environment(environments::config(wire)?)
            }
            Self::Agent(mut wire) => {
                known(present, Kind::Runner, "default_runner_uid", wire.default_runner_uid.as_mut())?;
                known(present, Kind::Environment, "environment_id", wire.environment_id.as_mut())?;
                Definition::Agent(identities::config(*wire)?)
            }
            Self::Webhook(mut wire) => {
                paused(Kind::Webhook, &mut wire.paused);
                Definition::Webhook(webhooks::config(wire)?)
            }
            Self::Automation(mut wire) => {
                paused(Kind::Automation, &mut wire.paused);
                let webhook = wire.on.as_mut().and_then(|on| on.webhook.as_mut());
                known(present, Kind::Webhook, "on.webhook", webhook)?;
                if let Some(run) = &mut wire.run {
                    known(present, Kind::Agent, "run.agent_identity_uid", run.agent_identity_uid.as_mut())?;
                    of_config(present, "run.config", run.config.as_mut())?;
                }
                Definition::Automation(automations::read(*wire)?)
            }
            Self::Schedule(mut wire) => {
                wire.enabled.get_or_insert_with(|| !present.is_paused(Kind::Schedule, name));
                known(present, Kind::Agent, "agent_uid", wire.agent_uid.as_mut())?;
                of_config(present, "agent_config", wire.agent_config.as_mut())?;
                Definition::Schedule(schedules::config(*wire, None)?)
            }
            Self::Subscription(mut wire) => {
                paused(Kind::Subscription, &mut wire.paused);
                Definition::Subscription(subscriptions::config(wire)?)
            }
        })
    }
}

fn of_config(present: &Present, field: &str, config: Option<&mut AgentConfig>) -> Result<(), ApiError> {
    let Some(config) = config else { return Ok(()) };
    known(present, Kind::Environment, &format!("{field}.environment_id"), config.environment_id.as_mut())?;
    known(present, Kind::Runner, &format!("{field}.runner_id"), config.runner_id.as_mut())
}

/// The id in the place of a name.
fn known(present: &Present, kind: Kind, field: &str, named: Option<&mut String>) -> Result<(), ApiError> {
    let Some(named) = named.filter(|named| !named.is_empty()) else { return Ok(()) };
    let Some(id) = present.id(kind, named) else {
        let name = text::shorten(&text::one_line(named), 100);
        let reason = format!("there is no {kind} \"{name}\", neither here nor among the definitions");
        return Err(ApiError::invalid(field, reason));
    };
    *named = id.to_owned();
    Ok(())
}

/// The body of that kind. What it does not know is refused: nobody sees what a file says in vain.
fn typed<T: DeserializeOwned + Serialize>(kind: Kind, sent: &Value) -> Result<T, ApiError> {
    let value: T = body::parse(&serde_json::to_vec(sent).unwrap_or_default())?;
    let read = serde_json::to_value(&value).unwrap_or_default();
    if let Some(unread) = unread(sent, &read) {
        let root = schema();
        let mut at = &root["$defs"][kind.as_str()];
        let mut field = String::new();
        let (last, before) = unread.split_last().expect("a member at least");
        for step in before {
            at = within(&root, at, step.member());
            step.append(&mut field);
        }
        last.append(&mut field);
        let known = members(&root, at).into_iter().flat_map(Map::keys).map(String::as_str);
        let word = last.member().unwrap_or_default();
        let reason = match nearest(word, known.clone()) {
            Some(meant) => format!("there is no such field; did you mean {meant}?"),
            None => format!("there is no such field; there are {}", known.collect::<Vec<_>>().join(", ")),
        };
        return Err(ApiError::invalid(&field, reason.trim_end_matches("; there are ")));
    }
    Ok(value)
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step<'a> {
    Member(&'a str),
    Item(usize),
}

impl<'a> Step<'a> {
    fn member(&self) -> Option<&'a str> {
        match self {
            Self::Member(name) => Some(name),
            Self::Item(_) => None,
        }
    }

    fn append(&self, field: &mut String) {
        match self {
            Self::Member(name) => {
                let name = text::shorten(&text::one_line(name), 80);
                field.push_str(if field.is_empty() { "" } else { "." });
                field.push_str(&name);
            }
            Self::Item(at) => field.push_str(&format!("[{at}]")),
        }
    }
}

/// The way to the first member that was sent, says something, and was not read.
fn unread<'a>(sent: &'a Value, read: &Value) -> Option<Vec<Step<'a>>> {
    let below = |step: Step<'a>, sent: &'a Value, read: &Value| {
        let mut steps = unread(sent, read)?;
        steps.insert(0, step);
        Some(steps)
    };
    match (sent, read) {
        (Value::Object(sent), Value::Object(read)) => sent.iter().find_map(|(name, sent)| match read.get(name) {
            Some(read) => below(Step::Member(name), sent, read),
            None => (!says_nothing(sent)).then(|| vec![Step::Member(name)]),
        }),
        (Value::Array(sent), Value::Array(read)) => {
            sent.iter().zip(read).enumerate().find_map(|(at, (sent, read))| below(Step::Item(at), sent, read))
        }
        _ => None,
    }
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

/// Where a secret stands, and whose it is.
fn secret(field: &str, value: &Value) -> Option<(String, &'static str)> {
    match value {
        Value::String(text) => secret_in(text).map(|whose| (field.to_owned(), whose)),
        Value::Array(items) => items.iter().enumerate().find_map(|(at, item)| secret(&format!("{field}[{at}]"), item)),
        Value::Object(members) => members.iter().find_map(|(name, member)| {
            let name = text::shorten(&text::one_line(name), 80);
            let below = if field.is_empty() { name } else { format!("{field}.{name}") };
            secret(&below, member)
        }),
        _ => None,
    }
}

/// The name that was meant: the one that takes the fewest letters to be changed, of those that take few.
fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let most = (word.chars().count() / 2).clamp(1, 3);
    known.filter_map(|name| Some((text::distance(word, name, most)?, name))).min().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(sent: &Value, expected: &str) {
        let told = match parse(sent.as_object().unwrap().clone()) {
            Ok((kind, name, _)) => format!("{kind} {name}"),
            Err(err) => err.problem().detail.clone().unwrap_or_default(),
        };
        assert!(told.starts_with(expected), "{told}");
    }

    #[test]
    fn whatever_a_definition_says_in_vain_is_named_with_what_was_meant() {
        let auth = json!({"mode": "token"});
        check(&json!({"kind": "webhook", "name": "acme", "auth": auth}), "webhook acme");
        check(&json!({"name": "acme"}), "kind: needed: one of runner, environment, agent, webhook");
        check(&json!({"kind": "team", "name": "x"}), "kind: \"team\" is not a kind that can be defined; there are");
        check(&json!({"kind": "webhook"}), "name: needed");
        check(&json!({"kind": "webhook", "name": " x"}), "name: at most 100 characters");
        check(
            &json!({"kind": "webhook", "name": "x", "auht": auth}),
            "auht: there is no such field; did you mean auth?",
        );
        check(
            &json!({"kind": "webhook", "name": "x", "colour": 1}),
            "colour: there is no such field; there are auth, ",
        );
        let automation = |run: Value| json!({"kind": "automation", "name": "x", "run": run});
        check(&automation(json!({"promt": "x"})), "run.promt: there is no such field; did you mean prompt?");
        check(
            &automation(json!({"config": {"enviroment_id": "x"}})),
            "run.config.enviroment_id: there is no such field; did you mean environment_id?",
        );
        check(&automation(json!({"prompt": 7})), "run.prompt: invalid type");
        check(&automation(json!([])), "run: invalid type");
        check(&json!({"kind": "automation", "name": "x", "on": {"filter": {"any": {"thing": [1]}}}}), "automation x");
        check(
            &json!({"kind": "environment", "name": "x", "repositories": [{"url": "a/b", "reff": "x"}]}),
            "repositories[0].reff: there is no such field; did you mean ref?",
        );
        check(
            &json!({"kind": "webhook", "name": "x", "auth": auth, "own": {"logins": [], "mentoin": "@oz"}}),
            "own.mentoin: there is no such field",
        );
    }

    #[test]
    fn a_secret_is_refused_and_not_repeated() {
        let token = format!("ghp_{}", "a1".repeat(18));
        let environment = json!({"kind": "environment", "name": "x", "variables": {"TOKEN": token}});
        check(&environment, "variables.TOKEN: holds a token of GitHub; definitions hold no secrets");
        let webhook = json!({"kind": "webhook", "name": "x", "auth": {"mode": "token"}, "secret": "hush-hush"});
        check(&webhook, "secret: definitions hold no secrets");
        for sent in [environment, webhook] {
            let told = parse(sent.as_object().unwrap().clone()).expect_err("refused").problem().detail.clone().unwrap();
            assert!(!told.contains(&token) && !told.contains("hush-hush"), "{told}");
        }
    }

    #[test]
    fn a_word_is_near_to_one_that_takes_few_letters() {
        for (word, expected) in [("promt", Some("prompt")), ("title", Some("title")), ("x", None), ("colour", None)] {
            assert_eq!(nearest(word, ["prompt", "title", "limits"].into_iter()), expected, "{word}");
        }
    }
}
