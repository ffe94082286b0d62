//! Runs: accepting, moving, ending. Each a single transaction, or a single write where one row is enough.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};
use jiff::Timestamp;
use ozma_domain::id::{RunId, TeamId};
use ozma_domain::protocol::Message;
use ozma_domain::run::{Execution, Run, RunRequest};
use ozma_domain::state::RunState;
use serde::{Deserialize, Serialize};

use crate::concurrency::{KeyRelease, KeyStep};
use crate::error::StoreError;
use crate::item::{check_not, create, delete_with_at_most, replace, replace_if, set_if_there, to_item, update};
use crate::key::Key;
use crate::ledger::LedgerChange;
use crate::messages::SentRow;
use crate::slots::SlotRow;
use crate::table::{Consistency, Range, Store, Written};

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
    /// Notifications to those who subscribed.
    Notify,
    /// Telling it where the run was asked for.
    Answer,
}

impl Owed {
    /// What the end of a run owes.
    pub fn of(run: &Run) -> Vec<Self> {
        let mut owed = vec![Self::Publish, Self::Seal, Self::Notify];
        owed.extend(run.answered.then_some(Self::Answer));
        owed
    }
}

/// As it stands in the row of an end.
fn owed_value(owed: &[Owed]) -> Result<AttributeValue, StoreError> {
    serde_dynamo::to_attribute_value(owed).map_err(|err| StoreError::unreadable("what is owed", err))
}

#[derive(Serialize, Deserialize)]
struct Child {
    run_id: RunId,
}

impl Store {
    /// Accepts a run: run, request, and where it waits, all or nothing. Lost: there is a run of this id already, or its
    /// concurrency key is no longer as it was.
    pub async fn accept(&self, run: &Run, request: &RunRequest, step: &KeyStep) -> Result<Written, StoreError> {
        let mut writes = vec![
            create(&self.table, to_item(run, &Key::Run(run.run_id))?),
            create(&self.table, to_item(request, &Key::Request(&run.team, run.run_id))?),
        ];
        writes.extend(self.place_of(run)?);
        if !run.state.is_terminal() {
            // Two at the same moment are one row.
            let times: BTreeMap<i64, Timestamp> =
                [run.expires_at, run.deadline_at].into_iter().flatten().map(|at| (at.as_millisecond(), at)).collect();
            for at in times.into_values() {
                writes.push(self.alarm(run, at)?);
            }
        }
        writes.extend(self.key_step(run, step)?);
        if let Some(parent) = request.parent_run_id {
            // Whoever cancels a run with its children finds every one that was accepted before.
            let cancelled = AttributeValue::S(RunState::Cancelled.to_string());
            writes.push(check_not(&self.table, &Key::Run(parent), "state", cancelled));
            let child = Child { run_id: run.run_id };
            writes.push(create(&self.table, to_item(&child, &Key::Child(parent, run.run_id))?));
        }
        if run.state.is_terminal() {
            writes.push(self.ended_row(run, &Owed::of(run))?);
        }
        self.write("accept a run", writes).await
    }

    /// The runs that `parent` is the parent of, in the order of acceptance.
    pub async fn children(&self, parent: RunId) -> Result<Vec<RunId>, StoreError> {
        let bound = |run| Some(Key::Child(parent, run).parts().1);
        let range =
            Range { from: bound(RunId::first_at(0)), to: Some("child#~".to_owned()), ..Range::all(Key::Run(parent)) };
        Ok(self.query::<Child>(range).await?.into_iter().map(|child| child.run_id).collect())
    }

    /// From its end back to the queue, with the message that it is reopened by. Its place in the index of ends goes, on
    /// condition that nothing is owed there any more but the answer: people are told how it stands then.
    pub async fn reopen(
        &self,
        old: &Run,
        queued: &Run,
        step: &KeyStep,
        message: &Message,
        sent: Option<&SentRow>,
    ) -> Result<Written, StoreError> {
        let ended_at = old.ended_at.unwrap_or(old.updated_at);
        let end = Key::Ended(&old.team, ended_at, old.run_id);
        let mut writes = vec![self.update_run(old, queued)?];
        writes.push(delete_with_at_most(&self.table, &end, "owed", owed_value(&[Owed::Answer])?));
        writes.extend(self.message_of(old.run_id, message, sent)?);
        writes.extend(self.place_of(&Run { version: old.version + 1, ..queued.clone() })?);
        writes.extend(queued.deadline_at.map(|at| self.alarm(queued, at)).transpose()?);
        writes.extend(self.key_step(queued, step)?);
        self.write("reopen a run", writes).await
    }

    /// Its time has come: from an alarm to the queue, or in line for its concurrency key.
    pub async fn enter_queue(&self, old: &Run, new: &Run, step: &KeyStep) -> Result<Written, StoreError> {
        let mut writes = vec![self.update_run(old, new)?];
        writes.extend(self.out_of_queue(old));
        writes.extend(self.place_of(&Run { version: old.version + 1, ..new.clone() })?);
        writes.extend(self.key_step(new, step)?);
        self.write("enter the queue", writes).await
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
        let range = Range { from: bound(0), to: bound(999_999), ..Range::all(Key::Run(run)) };
        self.query(range).await
    }

    /// QUEUED → PENDING with a slot: the slot if it is free, the run if it still is queued, and the execution before this
    /// one, if any, to the past. The queue entry is left to [`Store::drop_queue_entry`]: outside of the transaction it
    /// costs half, and one that is left over starts nothing.
    ///
    /// What the execution reserves is in the same transaction: lost may also mean that a budget has not enough left.
    pub async fn take_slot(
        &self,
        queued: &Run,
        pending: &Run,
        slot: u16,
        ledger: Option<&LedgerChange>,
    ) -> Result<Written, StoreError> {
        let team = &queued.team;
        let row = SlotRow { slot, run_id: pending.run_id, execution: pending.executions, taken_at: pending.updated_at };
        let mut writes =
            vec![create(&self.table, to_item(&row, &Key::Slot(team, slot))?), self.update_run(queued, pending)?];
        if let Some(past) = &queued.execution {
            let key = Key::PastExecution(queued.run_id, past.number);
            writes.push(replace(&self.table, to_item(past, &key)?));
        }
        writes.extend(self.booked(team, ledger));
        self.write("take a slot", writes).await
    }

    /// Writes what an execution reserves or has used, in its row and in its accounts.
    pub async fn book(&self, old: &Run, new: &Run, ledger: &LedgerChange) -> Result<Written, StoreError> {
        let mut writes = vec![self.update_run(old, new)?];
        writes.extend(self.booked(&new.team, Some(ledger)));
        self.write("book", writes).await
    }

    /// Writes a change of the run alone.
    pub async fn update_run_row(&self, old: &Run, new: &Run) -> Result<Written, StoreError> {
        self.write("update a run", vec![self.update_run(old, new)?]).await
    }

    /// Ends a run for good, gives its slot back if it has one, and its concurrency key, and notes what is owed of the end.
    pub async fn end_run(
        &self,
        old: &Run,
        ended: &Run,
        slot: Option<u16>,
        owed: &[Owed],
        release: &KeyRelease,
        ledger: Option<&LedgerChange>,
    ) -> Result<Written, StoreError> {
        let mut writes = vec![self.update_run(old, ended)?, self.ended_row(ended, owed)?];
        writes.extend(self.booked(&ended.team, ledger));
        writes.extend(slot.map(|slot| self.free_slot(ended, slot)));
        writes.extend(self.out_of_queue(old));
        writes.extend(self.out_of_line(old));
        writes.extend(self.key_release(ended, release)?);
        self.write("end a run", writes).await
    }

    /// Back to the queue, from a slot.
    pub async fn requeue_run(
        &self,
        old: &Run,
        queued: &Run,
        slot: u16,
        ledger: Option<&LedgerChange>,
    ) -> Result<Written, StoreError> {
        let mut writes = vec![self.update_run(old, queued)?, self.free_slot(old, slot)];
        writes.extend(self.place_of(&Run { version: old.version + 1, ..queued.clone() })?);
        writes.extend(self.booked(&queued.team, ledger));
        self.write("requeue a run", writes).await
    }

    /// Closes the execution of a run that has ended already, and gives back its slot and its concurrency key.
    pub async fn release_slot(
        &self,
        old: &Run,
        closed: &Run,
        slot: u16,
        release: &KeyRelease,
        ledger: Option<&LedgerChange>,
    ) -> Result<Written, StoreError> {
        let mut writes = vec![self.update_run(old, closed)?, self.free_slot(old, slot)];
        writes.extend(self.booked(&closed.team, ledger));
        writes.extend(self.key_release(closed, release)?);
        self.write("release a slot", writes).await
    }

    pub async fn ended(&self, run: &Run) -> Result<Option<EndedRow>, StoreError> {
        let Some(at) = run.ended_at else { return Ok(None) };
        self.get(&Key::Ended(&run.team, at, run.run_id), Consistency::Strong).await
    }

    /// Notes that all but `still` is done of what `was` owed of a run's end. Lost: somebody else noted something meanwhile.
    pub async fn settle_owed(&self, run: &Run, was: &[Owed], still: &[Owed]) -> Result<Written, StoreError> {
        let Some(at) = run.ended_at else { return Ok(Written::Lost) };
        let key = Key::Ended(&run.team, at, run.run_id);
        // Nobody settles what is not owed.
        if was.is_empty() {
            return Ok(Written::Lost);
        }
        let row = to_item(&EndedRow { run_id: run.run_id, owed: still.to_vec() }, &key)?;
        self.write("settle what is owed", vec![replace_if(&self.table, row, "owed", owed_value(was)?)]).await
    }

    /// Notes a watch, beside whatever else is being written to the run.
    pub async fn watch(&self, run: RunId, until: Timestamp) -> Result<(), StoreError> {
        let value = AttributeValue::S(until.to_string());
        let watch = set_if_there(&self.table, &Key::Run(run), "watched_until", Some(value));
        let _ = self.write("watch a run", vec![watch]).await?;
        Ok(())
    }

    fn ended_row(&self, run: &Run, owed: &[Owed]) -> Result<TransactWriteItem, StoreError> {
        let ended_at = run.ended_at.unwrap_or(run.updated_at);
        let row = EndedRow { run_id: run.run_id, owed: owed.to_vec() };
        Ok(replace(&self.table, to_item(&row, &Key::Ended(&run.team, ended_at, run.run_id))?))
    }

    pub(crate) fn update_run(&self, old: &Run, new: &Run) -> Result<TransactWriteItem, StoreError> {
        let key = Key::Run(new.run_id);
        let new = Run { version: old.version + 1, ..new.clone() };
        Ok(update(&self.table, &key, &to_item(old, &key)?, &to_item(&new, &key)?))
    }
}
