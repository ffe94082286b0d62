//! Conversations: which run of which automation hears what is said in one.

use ozma_domain::id::{AutomationId, DeliveryId, RunId, TeamId};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::item::{replace_up_to, to_item};
use crate::key::Key;
use crate::table::{Range, Store};

/// Automations that answer in one conversation.
const MOST: usize = 100;

/// The latest run that an automation started in a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadRow {
    pub automation: AutomationId,
    pub run_id: RunId,
    /// The event that started it.
    pub delivery: DeliveryId,
    /// Seconds since 1970.
    pub expires: i64,
}

impl Store {
    /// Remembers a run for the conversation whose name hashes to `hash`, unless a later one of its automation is. Again, it
    /// sets another time to forget it.
    pub async fn keep_thread(&self, team: &TeamId, hash: &str, row: &ThreadRow) -> Result<(), StoreError> {
        let item = to_item(row, &Key::Thread(team, hash, &row.automation))?;
        let write = replace_up_to(&self.table, item, "run_id");
        // Lost: there is a later one.
        let _ = self.write("remember a conversation", vec![write]).await?;
        Ok(())
    }

    /// The runs of a conversation at the time `now`, one of each automation that has some.
    pub async fn thread(&self, team: &TeamId, hash: &str, now: i64) -> Result<Vec<ThreadRow>, StoreError> {
        let first = AutomationId::new([0; 16]);
        let range = Range { limit: MOST, ..Range::all(Key::Thread(team, hash, &first)) };
        let mut rows: Vec<ThreadRow> = self.query(range).await?;
        // The table deletes them some days later.
        rows.retain(|row| row.expires > now);
        Ok(rows)
    }
}
