//! What there is, as definitions.

use ozma_app::apply::Present;
use ozma_domain::definition::Kind;
use ozma_domain::environment::Environment;
use ozma_domain::named_agent::NamedAgent;
use ozma_domain::runner::Runner;
use ozma_store::{Resource, SavedAutomation, SavedSchedule, SavedSubscription, SavedWebhook, Stored};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::base_url::BaseUrl;
use crate::routes::{automations, environments, identities, runners, schedules, subscriptions};
use crate::wire::{AutomationConfig, ScheduleRequest, SubscriptionConfig, WebhookConfig};

/// Where a body names others by their ids.
const REFERENCES: [(&str, Kind); 9] = [
    ("/default_runner_uid", Kind::Runner),
    ("/environment_id", Kind::Environment),
    ("/on/webhook", Kind::Webhook),
    ("/run/agent_identity_uid", Kind::Agent),
    ("/run/config/environment_id", Kind::Environment),
    ("/run/config/runner_id", Kind::Runner),
    ("/agent_uid", Kind::Agent),
    ("/agent_config/environment_id", Kind::Environment),
    ("/agent_config/runner_id", Kind::Runner),
];

/// A row that can be told as a definition.
pub(crate) trait Told {
    const KIND: Kind;

    fn id(&self) -> &str;
    fn name(&self) -> &str;
    /// The body by which it would be created.
    fn body(&self) -> Value;
}

impl<R: AsBody> Told for Stored<R> {
    const KIND: Kind = R::KIND;

    fn id(&self) -> &str {
        self.value.uid().as_ref()
    }

    fn name(&self) -> &str {
        self.value.name()
    }

    fn body(&self) -> Value {
        self.value.as_body()
    }
}

trait AsBody: Resource {
    fn as_body(&self) -> Value;
}

impl AsBody for Runner {
    fn as_body(&self) -> Value {
        json!(runners::config_of(self.config.clone()))
    }
}

impl AsBody for Environment {
    fn as_body(&self) -> Value {
        let mut config = environments::config_of(self.config.clone());
        // They are among `repositories`.
        config.github_repos = None;
        json!(config)
    }
}

impl AsBody for NamedAgent {
    fn as_body(&self) -> Value {
        json!(identities::request_of(self.config.clone()))
    }
}

impl Told for SavedWebhook {
    const KIND: Kind = Kind::Webhook;

    fn id(&self) -> &str {
        self.webhook.id.as_str()
    }

    fn name(&self) -> &str {
        &self.webhook.config.name
    }

    fn body(&self) -> Value {
        // As it is stored: an answer says of its provider and its rate also what follows from something else.
        let mut body = members_of::<WebhookConfig>(&self.webhook.config);
        for part in body.as_object_mut().into_iter().flat_map(Map::values_mut).filter_map(Value::as_object_mut) {
            part.retain(|_, value| !value.is_null() && *value != json!([]));
        }
        body
    }
}

impl Told for SavedAutomation {
    const KIND: Kind = Kind::Automation;

    fn id(&self) -> &str {
        self.automation.id.as_str()
    }

    fn name(&self) -> &str {
        &self.automation.config.name
    }

    fn body(&self) -> Value {
        members_of::<AutomationConfig>(&automations::answer(self.automation.clone(), &BaseUrl(String::new())))
    }
}

impl Told for SavedSchedule {
    const KIND: Kind = Kind::Schedule;

    fn id(&self) -> &str {
        self.schedule.id.as_str()
    }

    fn name(&self) -> &str {
        &self.schedule.config.name
    }

    fn body(&self) -> Value {
        members_of::<ScheduleRequest>(&schedules::item(self.schedule.clone()))
    }
}

impl Told for SavedSubscription {
    const KIND: Kind = Kind::Subscription;

    fn id(&self) -> &str {
        self.subscription.id.as_str()
    }

    fn name(&self) -> &str {
        &self.subscription.config.name
    }

    fn body(&self) -> Value {
        members_of::<SubscriptionConfig>(&subscriptions::answer(self.subscription.clone()))
    }
}

/// Those members of an answer that a body of that kind has.
fn members_of<Body: DeserializeOwned + Serialize>(answer: &impl Serialize) -> Value {
    let answer = serde_json::to_value(answer).unwrap_or_default();
    serde_json::from_value::<Body>(answer).map_or(Value::Null, |body| json!(body))
}

/// With every member, and names in the place of ids.
pub(crate) fn told<Row: Told>(row: &Row, present: &Present) -> Value {
    let mut body = row.body();
    for (field, kind) in REFERENCES {
        if let Some(Value::String(id)) = body.pointer_mut(field)
            && let Some(name) = present.name(kind, id)
        {
            *id = name.to_owned();
        }
    }
    body
}

/// As somebody would write it: with its kind, and without what is so anyhow.
pub(crate) fn written<Row: Told>(row: &Row, present: &Present) -> Map<String, Value> {
    let Value::Object(mut body) = told(row, present) else { return Map::new() };
    let defaults = json!({
        "paused": false, "enabled": true, "network": "full", "capacity": "on_demand", "timezone": "UTC",
        "missed": {"policy": "latest"}, "overlap": "skip", "jitter_seconds": 0,
    });
    body.retain(|name, value| defaults.get(name) != Some(value) && *value != json!([]) && *value != json!({}));
    body.insert("kind".to_owned(), json!(Row::KIND));
    body
}

/// Everything that there is, in the order in which the kinds build on one another.
pub(crate) fn all(present: &Present) -> Vec<(Kind, String, Map<String, Value>)> {
    fn of<Row: Told>(rows: &[Row], present: &Present) -> impl Iterator<Item = (Kind, String, Map<String, Value>)> {
        rows.iter().map(|row| (Row::KIND, row.name().to_owned(), written(row, present)))
    }
    let kinds = of(&present.runners, present).chain(of(&present.environments, present));
    let kinds = kinds.chain(of(&present.agents, present)).chain(of(&present.webhooks, present));
    let kinds = kinds.chain(of(&present.automations, present)).chain(of(&present.schedules, present));
    kinds.chain(of(&present.subscriptions, present)).collect()
}
