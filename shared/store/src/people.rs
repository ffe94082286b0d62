//! People, as the provider of a webhook knows them: what it said of them, for a day.

use ozma_domain::id::WebhookId;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::item::{replace, to_item};
use crate::key::Key;
use crate::table::{Consistency, Store};

/// What a provider said when it was asked for somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonRow {
    /// None: they have none, or it is not shown.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub email: Option<String>,
    /// Why it says nothing of anybody.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub refused: Option<String>,
    /// Seconds since 1970.
    pub expires: i64,
}

impl Store {
    /// Whoever asks later knows better.
    pub async fn keep_person(&self, webhook: &WebhookId, id: &str, row: &PersonRow) -> Result<(), StoreError> {
        let write = replace(&self.table, to_item(row, &Key::Person(webhook, id))?);
        let _ = self.write("remember a person", vec![write]).await?;
        Ok(())
    }

    /// What is known of a person at the time `now`.
    pub async fn person(&self, webhook: &WebhookId, id: &str, now: i64) -> Result<Option<PersonRow>, StoreError> {
        let row: Option<PersonRow> = self.get(&Key::Person(webhook, id), Consistency::Strong).await?;
        // The table deletes it some days later.
        Ok(row.filter(|row| row.expires > now))
    }
}
