//! Runs: accepting, moving, ending. Each a single transaction, or a single write where one row is enough.

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};
use jiff::Timestamp;
use ozma_domain::id::{RunId, TeamId};
use ozma_domain::run::{Execution, Run, RunRequest};
use ozma_domain::state::RunState;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::item::{create, delete, delete_if, replace, set_if_there, to_item, update};
use crate::key::Key;
use crate::slots::SlotRow;
use crate::table::{Consistency, Order, Range, Store, Written};

/// An ended run: the index of runs by their end, and the outbox of what is still owed of it, in one row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedRow {
    pub run_id: RunId,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owed: Vec<Owed>,
}

/// What the end of a run still owes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owed {
    /// The completion on the event bus.
    Publish,
    /// The signed manifest of the audit trail.
    Seal,
}

/// A run's place in the queue of its team.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueEntry {
    pub run_id: RunId,
    /// Of the run, when it was queued. Tells an entry that was left over from a later one.
    pub version: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_before: Option<Timestamp>,
}

impl QueueEntry {
    /// Since when the run may start.
    pub fn due_at(&self) -> Timestamp {
        self.not_before.unwrap_or(self.run_id.accepted_at())
    }
}

impl Store {
    /// Accepts a run: run, request and queue entry, all or nothing. Lost: there is a run of this id already.
    pub async fn accept(&self, run: &Run, request: &RunRequest) -> Result<Written, StoreError> {
        let writes = vec![
            create(&self.table, to_item(run, &Key::Run(run.run_id))?),
            create(&self.table, to_item(request, &Key::Request(&run.team, run.run_id))?),
            self.enqueue(run)?,
        ];
        self.write("accept a run", writes).await
    }

    pub async fn run(&self, run: RunId) -> Result<Option<Run>, StoreError> {
        self.get(&Key::Run(run), Consistency::Strong).await
    }

    pub async fn runs(&self, runs: &[RunId]) -> Result<Vec<Run>, StoreError> {
        self.get_all(&runs.iter().map(|run| Key::Run(*run)).collect::<Vec<_>>(), Consistency::Eventual).await
    }

    pub async fn request(&self, team: &TeamId, run: RunId) -> Result<Option<RunRequest>, StoreError> {
        self.get(&Key::Request(team, run), Consistency::Strong).await
    }

    pub async fn requests(&self, team: &TeamId, runs: &[RunId]) -> Result<Vec<RunRequest>, StoreError> {
        self.get_all(&runs.iter().map(|run| Key::Request(team, *run)).collect::<Vec<_>>(), Consistency::Eventual).await
    }

    /// The executions before the current one, first to last.
    pub async fn past_executions(&self, run: RunId) -> Result<Vec<Execution>, StoreError> {
        let bound = |number| Some(Key::PastExecution(run, number).parts().1);
        let range = Range {
            partition: Key::Run(run),
            from: bound(0),
            to: bound(999_999),
            order: Order::Ascending,
            consistency: Consistency::Strong,
            limit: usize::MAX,
        };
        self.query(range).await
    }

    /// The oldest runs that may start now, at most `limit`. Entries of runs that have gone on may be among them.
    pub async fn queue_head(&self, team: &TeamId, now: Timestamp, limit: usize) -> Result<Vec<QueueEntry>, StoreError> {
        let nobody = RunId::first_at(0);
        let due = Range {
            partition: Key::Waiting(team, now, nobody),
            from: None,
            to: Some(format!("{}~", crate::key::millis(now))),
            order: Order::Ascending,
            consistency: Consistency::Strong,
            limit,
        };
        let queued = Range {
            partition: Key::Queued(team, nobody),
            from: None,
            to: None,
            order: Order::Ascending,
            consistency: Consistency::Strong,
            limit,
        };
        let mut entries: Vec<QueueEntry> = self.query(due).await?;
        entries.extend(self.query::<QueueEntry>(queued).await?);
        entries.sort_unstable_by_key(|entry| entry.run_id);
        entries.truncate(limit);
        Ok(entries)
    }

    /// How many queue entries lie before `run`; counts no further than `limit`.
    pub async fn queued_before(&self, run: &Run, limit: usize) -> Result<usize, StoreError> {
        // Its own entry is the last one, unless it waits elsewhere for its time.
        let own = usize::from(run.not_before.is_none());
        let range = Range {
            partition: Key::Queued(&run.team, run.run_id),
            from: None,
            to: Some(run.run_id.to_string()),
            order: Order::Ascending,
            consistency: Consistency::Eventual,
            limit: limit + own,
        };
        Ok(self.query_items(range).await?.len().saturating_sub(own))
    }

    /// Takes away an entry whose run has gone on, and none that it has got since.
    pub async fn drop_queue_entry(&self, team: &TeamId, entry: &QueueEntry) -> Result<(), StoreError> {
        let key = queue_key(team, entry.run_id, entry.not_before);
        let version = AttributeValue::N(entry.version.to_string());
        let _ = self.write("drop a queue entry", vec![delete_if(&self.table, &key, "version", version)]).await?;
        Ok(())
    }

    /// QUEUED → PENDING with a slot: the slot if it is free, the run if it still is queued, and the execution before this
    /// one, if any, to the past. The queue entry is left to [`Store::drop_queue_entry`]: outside of the transaction it
    /// costs half, and one that is left over starts nothing.
    pub async fn take_slot(&self, queued: &Run, pending: &Run, slot: u16) -> Result<Written, StoreError> {
        let team = &queued.team;
        let row = SlotRow { slot, run_id: pending.run_id, execution: pending.executions, taken_at: pending.updated_at };
        let mut writes =
            vec![create(&self.table, to_item(&row, &Key::Slot(team, slot))?), self.update_run(queued, pending)?];
        if let Some(past) = &queued.execution {
            let key = Key::PastExecution(queued.run_id, past.number);
            writes.push(replace(&self.table, to_item(past, &key)?));
        }
        self.write("take a slot", writes).await
    }

    /// Writes a change of the run alone.
    pub async fn update_run_row(&self, old: &Run, new: &Run) -> Result<Written, StoreError> {
        self.write("update a run", vec![self.update_run(old, new)?]).await
    }

    /// Ends a run for good, gives its slot back if it has one, and notes what is owed of the end.
    pub async fn end_run(
        &self,
        old: &Run,
        ended: &Run,
        slot: Option<u16>,
        owed: &[Owed],
    ) -> Result<Written, StoreError> {
        let ended_at = ended.ended_at.unwrap_or(ended.updated_at);
        let row = EndedRow { run_id: ended.run_id, owed: owed.to_vec() };
        let mut writes = vec![
            self.update_run(old, ended)?,
            replace(&self.table, to_item(&row, &Key::Ended(&ended.team, ended_at, ended.run_id))?),
        ];
        if let Some(slot) = slot {
            writes.push(self.free_slot(ended, slot));
        }
        if old.state == RunState::Queued {
            writes.push(self.dequeue(old));
        }
        self.write("end a run", writes).await
    }

    /// Back to the queue, from a slot.
    pub async fn requeue_run(&self, old: &Run, queued: &Run, slot: u16) -> Result<Written, StoreError> {
        let entry = self.enqueue(&Run { version: old.version + 1, ..queued.clone() })?;
        let writes = vec![self.update_run(old, queued)?, self.free_slot(old, slot), entry];
        self.write("requeue a run", writes).await
    }

    /// Closes the execution of a run that has ended already, and gives its slot back.
    pub async fn release_slot(&self, old: &Run, closed: &Run, slot: u16) -> Result<Written, StoreError> {
        self.write("release a slot", vec![self.update_run(old, closed)?, self.free_slot(old, slot)]).await
    }

    pub async fn ended(&self, run: &Run) -> Result<Option<EndedRow>, StoreError> {
        let Some(at) = run.ended_at else { return Ok(None) };
        self.get(&Key::Ended(&run.team, at, run.run_id), Consistency::Strong).await
    }

    /// Notes that all but `still` is done of a run's end.
    pub async fn settle_owed(&self, run: &Run, still: &[Owed]) -> Result<(), StoreError> {
        let Some(at) = run.ended_at else { return Ok(()) };
        let row = EndedRow { run_id: run.run_id, owed: still.to_vec() };
        let key = Key::Ended(&run.team, at, run.run_id);
        let _ = self.write("settle what is owed", vec![replace(&self.table, to_item(&row, &key)?)]).await?;
        Ok(())
    }

    /// Notes a watch, beside whatever else is being written to the run.
    pub async fn watch(&self, run: RunId, until: Timestamp) -> Result<(), StoreError> {
        let value = AttributeValue::S(until.to_string());
        let watch = set_if_there(&self.table, &Key::Run(run), "watched_until", value);
        let _ = self.write("watch a run", vec![watch]).await?;
        Ok(())
    }

    fn update_run(&self, old: &Run, new: &Run) -> Result<TransactWriteItem, StoreError> {
        let key = Key::Run(new.run_id);
        let new = Run { version: old.version + 1, ..new.clone() };
        Ok(update(&self.table, &key, &to_item(old, &key)?, &to_item(&new, &key)?))
    }

    fn enqueue(&self, run: &Run) -> Result<TransactWriteItem, StoreError> {
        let entry = QueueEntry { run_id: run.run_id, version: run.version, not_before: run.not_before };
        Ok(replace(&self.table, to_item(&entry, &queue_key(&run.team, run.run_id, run.not_before))?))
    }

    fn dequeue(&self, run: &Run) -> TransactWriteItem {
        delete(&self.table, &queue_key(&run.team, run.run_id, run.not_before))
    }
}

fn queue_key(team: &TeamId, run: RunId, not_before: Option<Timestamp>) -> Key<'_> {
    match not_before {
        Some(until) => Key::Waiting(team, until, run),
        None => Key::Queued(team, run),
    }
}
