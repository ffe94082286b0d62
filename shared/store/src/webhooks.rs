//! Webhooks, and the uniqueness of their names.

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};
use ozma_domain::definition::SetName;
use ozma_domain::id::{TeamId, WebhookId};
use ozma_domain::webhook::Webhook;
use serde::{Deserialize, Serialize};

use crate::change::Alter;
use crate::error::StoreError;
use crate::item::{create, delete, delete_if, to_item, update};
use crate::key::Key;
use crate::resources::Saved;
use crate::table::{Consistency, Range, Store, Written};

/// A webhook as read, with the version that a change of it must still find.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedWebhook {
    #[serde(flatten)]
    pub webhook: Webhook,
    #[serde(default)]
    pub version: u64,
    /// The set whose apply made it. None: somebody made it by hand.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub set: Option<SetName>,
}

impl SavedWebhook {
    /// A new one.
    pub fn new(webhook: Webhook) -> Self {
        Self { webhook, version: 1, set: None }
    }

    /// The same row with what it is to hold next.
    pub fn with(&self, webhook: Webhook) -> Self {
        Self { webhook, version: self.version + 1, set: self.set.clone() }
    }
}

#[derive(Serialize, Deserialize)]
struct NameRow {
    id: WebhookId,
}

impl Store {
    pub async fn webhook(&self, id: &WebhookId) -> Result<Option<SavedWebhook>, StoreError> {
        self.get(&Key::Webhook(id), Consistency::Strong).await
    }

    pub async fn webhook_named(&self, team: &TeamId, name: &str) -> Result<Option<WebhookId>, StoreError> {
        let row: Option<NameRow> = self.get(&Key::WebhookName(team, name), Consistency::Strong).await?;
        Ok(row.map(|row| row.id))
    }

    /// Every webhook of the team, by name.
    pub async fn webhooks(&self, team: &TeamId) -> Result<Vec<SavedWebhook>, StoreError> {
        let names: Vec<NameRow> = self.query(Range::all(Key::WebhookName(team, ""))).await?;
        let keys: Vec<Key<'_>> = names.iter().map(|row| Key::Webhook(&row.id)).collect();
        let mut all: Vec<SavedWebhook> = self.get_all(&keys, Consistency::Strong).await?;
        all.sort_by(|a, b| a.webhook.config.name.cmp(&b.webhook.config.name));
        Ok(all)
    }

    pub async fn create_webhook(&self, webhook: &Webhook) -> Result<Saved, StoreError> {
        let writes = self.webhook_writes(&Alter::Create(&SavedWebhook::new(webhook.clone())))?;
        match self.write("create a webhook", writes).await? {
            Written::Now => Ok(Saved::Now),
            Written::Lost => self.verdict_on_webhook(webhook, Saved::Now).await,
        }
    }

    pub async fn update_webhook(&self, old: &SavedWebhook, new: &Webhook) -> Result<Saved, StoreError> {
        let writes = self.webhook_writes(&Alter::Update { old, new: &old.with(new.clone()) })?;
        match self.write("update a webhook", writes).await? {
            Written::Now => Ok(Saved::Now),
            Written::Lost => self.verdict_on_webhook(new, Saved::Lost).await,
        }
    }

    pub async fn delete_webhook(&self, old: &SavedWebhook) -> Result<Written, StoreError> {
        self.write("delete a webhook", self.webhook_writes(&Alter::Delete(old))?).await
    }

    pub(crate) fn webhook_writes(&self, alter: &Alter<&SavedWebhook>) -> Result<Vec<TransactWriteItem>, StoreError> {
        let name = |Webhook { id, team, config, .. }: &Webhook| {
            to_item(&NameRow { id: id.clone() }, &Key::WebhookName(team, &config.name))
        };
        Ok(match *alter {
            Alter::Create(row) => vec![
                create(&self.table, to_item(row, &Key::Webhook(&row.webhook.id))?),
                create(&self.table, name(&row.webhook)?),
            ],
            Alter::Update { old, new } => {
                let key = Key::Webhook(&new.webhook.id);
                let mut writes = vec![update(&self.table, &key, &to_item(old, &key)?, &to_item(new, &key)?)];
                let Webhook { team, config, .. } = &old.webhook;
                if config.name != new.webhook.config.name {
                    writes.push(create(&self.table, name(&new.webhook)?));
                    writes.push(delete(&self.table, &Key::WebhookName(team, &config.name)));
                }
                writes
            }
            Alter::Delete(old) => {
                let Webhook { team, id, config, .. } = &old.webhook;
                let version = AttributeValue::N(old.version.to_string());
                vec![
                    delete_if(&self.table, &Key::Webhook(id), "version", version),
                    delete(&self.table, &Key::WebhookName(team, &config.name)),
                    delete(&self.table, &Key::Look(id)),
                ]
            }
            Alter::Keep(_) => Vec::new(),
        })
    }

    /// Why a save was refused: the name is another's, or `otherwise`.
    async fn verdict_on_webhook(&self, webhook: &Webhook, otherwise: Saved) -> Result<Saved, StoreError> {
        let owner = self.webhook_named(&webhook.team, &webhook.config.name).await?;
        Ok(if owner.is_some_and(|owner| owner != webhook.id) { Saved::NameTaken } else { otherwise })
    }
}
