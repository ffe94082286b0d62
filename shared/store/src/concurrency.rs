//! Concurrency keys: who has one, and who waits for it in line.
//!
//! The lock's row counts those who joined the line, so that a holder who saw nobody there cannot leave while somebody joins.

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};
use ozma_domain::audit::digest;
use ozma_domain::id::{RunId, TeamId};
use ozma_domain::run::{Place, Run};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::item::{create, delete, delete_if, to_item, update};
use crate::key::Key;
use crate::table::{Consistency, Range, Store};

/// Who has a concurrency key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyLock {
    pub run_id: RunId,
    /// Counts every change of the row.
    pub version: u64,
    /// Whoever was accepted before this run has to make room for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<RunId>,
}

/// What entering the queue, or a way around it, means for the run's concurrency key.
#[derive(Clone, Debug, PartialEq)]
pub enum KeyStep {
    /// It has none, or has it already.
    Nothing,
    Take,
    /// Waits in line behind whoever has it.
    Join {
        lock: KeyLock,
        supersede: bool,
    },
}

/// What the end of a run means for its concurrency key.
#[derive(Clone, Debug, PartialEq)]
pub enum KeyRelease {
    /// It has none, or waits in line for it.
    Nothing,
    Free(KeyLock),
    /// The next in line has it, and enters the queue: as it was, and as it is.
    HandOver {
        lock: KeyLock,
        was: Box<Run>,
        next: Box<Run>,
    },
}

#[derive(Serialize, Deserialize)]
struct InLine {
    run_id: RunId,
}

impl KeyLock {
    /// Whether a later run wants this one to make room.
    pub fn supersedes(&self, run: RunId) -> bool {
        self.superseded_by.is_some_and(|by| by > run)
    }
}

impl Store {
    pub async fn key_lock(&self, team: &TeamId, key: &str) -> Result<Option<KeyLock>, StoreError> {
        self.get(&Key::Lock(team, &hash(key)), Consistency::Strong).await
    }

    /// Who waits for the key, first to last, at most `limit`.
    pub async fn line(&self, team: &TeamId, key: &str, limit: usize) -> Result<Vec<RunId>, StoreError> {
        let hash = hash(key);
        let range = Range {
            from: Some(Key::InLine(team, &hash, RunId::first_at(0)).parts().1),
            to: Some("line#~".to_owned()),
            limit,
            ..Range::all(Key::InLine(team, &hash, RunId::first_at(0)))
        };
        Ok(self.query::<InLine>(range).await?.into_iter().map(|row| row.run_id).collect())
    }

    pub(crate) fn key_step(&self, run: &Run, step: &KeyStep) -> Result<Vec<TransactWriteItem>, StoreError> {
        let Some(key) = &run.key else { return Ok(Vec::new()) };
        let hash = hash(key);
        let place = Key::Lock(&run.team, &hash);
        Ok(match step {
            KeyStep::Nothing => Vec::new(),
            KeyStep::Take => {
                let lock = KeyLock { run_id: run.run_id, version: 1, superseded_by: None };
                vec![create(&self.table, to_item(&lock, &place)?)]
            }
            KeyStep::Join { lock, supersede } => {
                let by = supersede.then_some(run.run_id).max(lock.superseded_by);
                let joined = KeyLock { version: lock.version + 1, superseded_by: by, ..lock.clone() };
                let in_line = InLine { run_id: run.run_id };
                vec![
                    update(&self.table, &place, &to_item(lock, &place)?, &to_item(&joined, &place)?),
                    create(&self.table, to_item(&in_line, &Key::InLine(&run.team, &hash, run.run_id))?),
                ]
            }
        })
    }

    pub(crate) fn key_release(&self, run: &Run, release: &KeyRelease) -> Result<Vec<TransactWriteItem>, StoreError> {
        let Some(key) = &run.key else { return Ok(Vec::new()) };
        let hash = hash(key);
        let place = Key::Lock(&run.team, &hash);
        Ok(match release {
            KeyRelease::Nothing => Vec::new(),
            KeyRelease::Free(lock) => {
                vec![delete_if(&self.table, &place, "version", AttributeValue::N(lock.version.to_string()))]
            }
            KeyRelease::HandOver { lock, was, next } => {
                let handed = KeyLock { run_id: next.run_id, version: lock.version + 1, ..lock.clone() };
                let in_line = Key::InLine(&run.team, &hash, next.run_id);
                let mut writes = vec![
                    update(&self.table, &place, &to_item(lock, &place)?, &to_item(&handed, &place)?),
                    delete_if(&self.table, &in_line, "run_id", AttributeValue::S(next.run_id.to_string())),
                    self.update_run(was, next)?,
                ];
                writes.extend(self.place_of(&Run { version: was.version + 1, ..(**next).clone() })?);
                writes
            }
        })
    }

    /// Takes a run that does not wait any more out of its line.
    pub(crate) fn out_of_line(&self, run: &Run) -> Option<TransactWriteItem> {
        let key = run.key.as_deref().filter(|_| run.place() == Some(Place::Line))?;
        Some(delete(&self.table, &Key::InLine(&run.team, &hash(key), run.run_id)))
    }
}

/// A key may hold any character; a row's does not.
fn hash(key: &str) -> String {
    digest(key.as_bytes()).to_string()
}
