//! Answers: what was told of a run where it was asked for.

use ozma_domain::answer::Answer;
use ozma_domain::id::RunId;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::item::{create, to_item, update};
use crate::key::Key;
use crate::table::{Consistency, Store, Written};

/// An answer as read, with the version that a change of it must still find.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedAnswer {
    #[serde(flatten)]
    pub answer: Answer,
    /// 0: there is no row yet.
    #[serde(default)]
    pub version: u64,
    /// Seconds since 1970, for DynamoDB to delete the row some days after.
    pub expires: i64,
}

impl Store {
    pub async fn answer(&self, run: RunId) -> Result<Option<SavedAnswer>, StoreError> {
        self.get(&Key::Answer(run), Consistency::Strong).await
    }

    /// Writes `new` where `old` still is. The version goes on by one, also where nothing else changes.
    pub async fn write_answer(&self, old: &SavedAnswer, new: &SavedAnswer) -> Result<Written, StoreError> {
        let key = Key::Answer(old.answer.run_id);
        let row = to_item(&SavedAnswer { version: old.version + 1, ..new.clone() }, &key)?;
        let write = match old.version {
            0 => create(&self.table, row),
            _ => update(&self.table, &key, &to_item(old, &key)?, &row),
        };
        self.write("note what was told of a run", vec![write]).await
    }
}
