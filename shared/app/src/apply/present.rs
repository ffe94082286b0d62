//! What a team has, and which names stand for which ids.

use ozma_domain::definition::Kind;
use ozma_domain::environment::Environment;
use ozma_domain::id::{AgentId, EnvironmentId, RunnerId, TeamId, WebhookId};
use ozma_domain::named_agent::NamedAgent;
use ozma_domain::runner::Runner;
use ozma_store::{Resource, SavedAutomation, SavedSchedule, SavedSubscription, SavedWebhook, StoreError, Stored};

use crate::App;
use crate::resources;

/// As read, and with the ids of what is defined and is not there yet.
#[derive(Clone, Debug)]
pub struct Present {
    pub runners: Vec<Stored<Runner>>,
    pub environments: Vec<Stored<Environment>>,
    pub agents: Vec<Stored<NamedAgent>>,
    pub webhooks: Vec<SavedWebhook>,
    pub automations: Vec<SavedAutomation>,
    pub schedules: Vec<SavedSchedule>,
    pub subscriptions: Vec<SavedSubscription>,
    /// Of what others may need.
    ids: Vec<Known>,
}

/// By which id something is known that others name.
#[derive(Clone, Debug)]
struct Known {
    kind: Kind,
    name: String,
    id: String,
    is_there: bool,
}

impl Present {
    /// Each kind by name.
    pub(super) async fn read(app: &App, team: &TeamId) -> Result<Self, StoreError> {
        let runners = resources::list::<Runner>(app, team).await?;
        let environments = resources::list::<Environment>(app, team).await?;
        let agents = resources::list::<NamedAgent>(app, team).await?;
        let webhooks = app.store.webhooks(team).await?;
        let automations = app.store.automations(team).await?;
        let mut schedules = app.store.schedules(team, usize::MAX).await?;
        schedules.sort_by(|a, b| a.schedule.config.name.cmp(&b.schedule.config.name));
        let mut subscriptions = app.store.subscriptions(team, usize::MAX).await?;
        subscriptions.sort_by(|a, b| a.subscription.config.name.cmp(&b.subscription.config.name));
        let mut ids: Vec<Known> = known(&runners).chain(known(&environments)).chain(known(&agents)).collect();
        ids.extend(webhooks.iter().map(|row| Known {
            kind: Kind::Webhook,
            name: row.webhook.config.name.clone(),
            id: row.webhook.id.to_string(),
            is_there: true,
        }));
        Ok(Self { runners, environments, agents, webhooks, automations, schedules, subscriptions, ids })
    }

    /// The same with ids for those of `names` that others may need and that there are not.
    pub(super) fn with_new(mut self, app: &App, names: &[(Kind, String)]) -> Self {
        for (kind, name) in names {
            if self.ids.iter().any(|known| known.kind == *kind && known.name == *name) {
                continue;
            }
            let random = app.random_bits();
            let id = match kind {
                Kind::Runner => RunnerId::new(random).to_string(),
                Kind::Environment => EnvironmentId::new(random).to_string(),
                Kind::Agent => AgentId::new(random).to_string(),
                Kind::Webhook => WebhookId::new(random).to_string(),
                Kind::Automation | Kind::Schedule | Kind::Subscription => continue,
            };
            self.ids.push(Known { kind: *kind, name: name.clone(), id, is_there: false });
        }
        self
    }

    /// By its name, or by the id of one that is there.
    pub fn id(&self, kind: Kind, text: &str) -> Option<&str> {
        let mut of_kind = self.ids.iter().filter(|known| known.kind == kind);
        let named = of_kind.clone().find(|known| known.name == text);
        named.or_else(|| of_kind.find(|known| known.is_there && known.id == text)).map(|known| known.id.as_str())
    }

    pub fn name(&self, kind: Kind, id: &str) -> Option<&str> {
        let found = self.ids.iter().find(|known| known.kind == kind && known.id == id);
        found.map(|known| known.name.as_str())
    }

    /// Whether that one is at rest: what a definition that says nothing of it leaves as it is.
    pub fn is_paused(&self, kind: Kind, name: &str) -> bool {
        match kind {
            Kind::Runner | Kind::Environment | Kind::Agent => false,
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

fn known<R: Resource>(rows: &[Stored<R>]) -> impl Iterator<Item = Known> {
    rows.iter().map(|row| Known {
        kind: R::KIND,
        name: row.value.name().to_owned(),
        id: row.value.uid().as_ref().to_owned(),
        is_there: true,
    })
}
