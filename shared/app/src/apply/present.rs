//! What a team has, and which names stand for which ids.

use std::collections::HashMap;

use ozma_domain::definition::Kind;
use ozma_domain::id::{EnvironmentId, TeamId, WebhookId};
use ozma_store::{SavedAutomation, SavedEnvironment, SavedSchedule, SavedSubscription, SavedWebhook, StoreError};

use crate::App;

/// As read, and with the ids of what is defined and is not there yet.
#[derive(Clone, Debug)]
pub struct Present {
    pub environments: Vec<SavedEnvironment>,
    pub webhooks: Vec<SavedWebhook>,
    pub automations: Vec<SavedAutomation>,
    pub schedules: Vec<SavedSchedule>,
    pub subscriptions: Vec<SavedSubscription>,
    new_environments: HashMap<String, EnvironmentId>,
    new_webhooks: HashMap<String, WebhookId>,
}

impl Present {
    /// Each kind by name.
    pub(super) async fn read(app: &App, team: &TeamId) -> Result<Self, StoreError> {
        let mut environments = app.store.environments(team).await?;
        environments.sort_by(|a, b| a.environment.config.name.cmp(&b.environment.config.name));
        let webhooks = app.store.webhooks(team).await?;
        let automations = app.store.automations(team).await?;
        let mut schedules = app.store.schedules(team, usize::MAX).await?;
        schedules.sort_by(|a, b| a.schedule.config.name.cmp(&b.schedule.config.name));
        let mut subscriptions = app.store.subscriptions(team, usize::MAX).await?;
        subscriptions.sort_by(|a, b| a.subscription.config.name.cmp(&b.subscription.config.name));
        Ok(Self {
            environments,
            webhooks,
            automations,
            schedules,
            subscriptions,
            new_environments: HashMap::new(),
            new_webhooks: HashMap::new(),
        })
    }

    /// The same with ids for those of `names` that others may need and that there are not.
    pub(super) fn with_new(mut self, app: &App, names: &[(Kind, String)]) -> Self {
        for (kind, name) in names {
            match kind {
                Kind::Environment if !self.environments.iter().any(|row| row.environment.config.name == *name) => {
                    self.new_environments.insert(name.clone(), EnvironmentId::new(app.random_bits()));
                }
                Kind::Webhook if !self.webhooks.iter().any(|row| row.webhook.config.name == *name) => {
                    self.new_webhooks.insert(name.clone(), WebhookId::new(app.random_bits()));
                }
                _ => {}
            }
        }
        self
    }

    /// By its name, or by the id of one that is there.
    pub fn environment_id(&self, text: &str) -> Option<&EnvironmentId> {
        let named = self.environments.iter().find(|row| row.environment.config.name == text);
        let known = || self.environments.iter().find(|row| row.environment.uid.as_str() == text);
        let new = self.new_environments.get(text);
        named.map(|row| &row.environment.uid).or(new).or_else(|| known().map(|row| &row.environment.uid))
    }

    /// By its name, or by the id of one that is there.
    pub fn webhook_id(&self, text: &str) -> Option<&WebhookId> {
        let named = self.webhooks.iter().find(|row| row.webhook.config.name == text);
        let known = || self.webhooks.iter().find(|row| row.webhook.id.as_str() == text);
        let new = self.new_webhooks.get(text);
        named.map(|row| &row.webhook.id).or(new).or_else(|| known().map(|row| &row.webhook.id))
    }

    pub fn environment_name(&self, id: &str) -> Option<&str> {
        let known = self.environments.iter().find(|row| row.environment.uid.as_str() == id);
        let new = || self.new_environments.iter().find(|(_, new)| new.as_str() == id);
        known.map(|row| row.environment.config.name.as_str()).or_else(|| new().map(|(name, _)| name.as_str()))
    }

    pub fn webhook_name(&self, id: &str) -> Option<&str> {
        let known = self.webhooks.iter().find(|row| row.webhook.id.as_str() == id);
        let new = || self.new_webhooks.iter().find(|(_, new)| new.as_str() == id);
        known.map(|row| row.webhook.config.name.as_str()).or_else(|| new().map(|(name, _)| name.as_str()))
    }

    /// Whether that one is at rest: what a definition that says nothing of it leaves as it is.
    pub fn is_paused(&self, kind: Kind, name: &str) -> bool {
        match kind {
            Kind::Environment => false,
            Kind::Webhook => {
                self.webhooks.iter().any(|row| row.webhook.config.name == name && row.webhook.config.paused)
            }
            Kind::Automation => {
                let paused = |row: &SavedAutomation| row.automation.config.name == name && row.automation.config.paused;
                self.automations.iter().any(paused)
            }
            Kind::Schedule => {
                let paused = |row: &SavedSchedule| row.schedule.config.name == name && !row.schedule.config.enabled;
                self.schedules.iter().any(paused)
            }
            Kind::Subscription => {
                let paused =
                    |row: &SavedSubscription| row.subscription.config.name == name && row.subscription.config.paused;
                self.subscriptions.iter().any(paused)
            }
        }
    }
}
