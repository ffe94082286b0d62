//! Webhooks, and the uniqueness of their names.

use aws_sdk_dynamodb::types::AttributeValue;
use ozma_domain::id::{TeamId, WebhookId};
use ozma_domain::webhook::Webhook;
use serde::{Deserialize, Serialize};

use crate::environments::Saved;
use crate::error::StoreError;
use crate::item::{create, delete, delete_if, to_item, update};
use crate::key::Key;
use crate::table::{Consistency, Order, Range, Store, Written};

/// A webhook as read, with the version that a change of it must still find.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedWebhook {
    #[serde(flatten)]
    pub webhook: Webhook,
    #[serde(default)]
    pub version: u64,
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
        let range = Range {
            partition: Key::WebhookName(team, ""),
            from: None,
            to: None,
            order: Order::Ascending,
            consistency: Consistency::Strong,
            limit: usize::MAX,
        };
        let names: Vec<NameRow> = self.query(range).await?;
        let keys: Vec<Key<'_>> = names.iter().map(|row| Key::Webhook(&row.id)).collect();
        let mut all: Vec<SavedWebhook> = self.get_all(&keys, Consistency::Strong).await?;
        all.sort_by(|a, b| a.webhook.config.name.cmp(&b.webhook.config.name));
        Ok(all)
    }

    pub async fn create_webhook(&self, webhook: &Webhook) -> Result<Saved, StoreError> {
        let Webhook { team, id, config, .. } = webhook;
        let row = SavedWebhook { webhook: webhook.clone(), version: 1 };
        let writes = vec![
            create(&self.table, to_item(&row, &Key::Webhook(id))?),
            create(&self.table, to_item(&NameRow { id: id.clone() }, &Key::WebhookName(team, &config.name))?),
        ];
        match self.write("create a webhook", writes).await? {
            Written::Now => Ok(Saved::Now),
            Written::Lost => self.verdict_on_webhook(webhook, Saved::Now).await,
        }
    }

    pub async fn update_webhook(&self, old: &SavedWebhook, new: &Webhook) -> Result<Saved, StoreError> {
        let Webhook { team, id, config, .. } = new;
        let key = Key::Webhook(id);
        let row = SavedWebhook { webhook: new.clone(), version: old.version + 1 };
        let mut writes = vec![update(&self.table, &key, &to_item(old, &key)?, &to_item(&row, &key)?)];
        let old_name = &old.webhook.config.name;
        if *old_name != config.name {
            let name = to_item(&NameRow { id: id.clone() }, &Key::WebhookName(team, &config.name))?;
            writes.push(create(&self.table, name));
            writes.push(delete(&self.table, &Key::WebhookName(team, old_name)));
        }
        match self.write("update a webhook", writes).await? {
            Written::Now => Ok(Saved::Now),
            Written::Lost => self.verdict_on_webhook(new, Saved::Lost).await,
        }
    }

    pub async fn delete_webhook(&self, old: &SavedWebhook) -> Result<Written, StoreError> {
        let Webhook { team, id, config, .. } = &old.webhook;
        let version = AttributeValue::N(old.version.to_string());
        let writes = vec![
            delete_if(&self.table, &Key::Webhook(id), "version", version),
            delete(&self.table, &Key::WebhookName(team, &config.name)),
        ];
        self.write("delete a webhook", writes).await
    }

    /// Why a save was refused: the name is another's, or `otherwise`.
    async fn verdict_on_webhook(&self, webhook: &Webhook, otherwise: Saved) -> Result<Saved, StoreError> {
        let owner = self.webhook_named(&webhook.team, &webhook.config.name).await?;
        Ok(if owner.is_some_and(|owner| owner != webhook.id) { Saved::NameTaken } else { otherwise })
    }
}
