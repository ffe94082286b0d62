//! The queue of a team: runs in the order of their turns, the times at which a waiting run is to be looked at, and where
//! each lane's last turn ends.

use aws_sdk_dynamodb::operation::update_item::UpdateItemInput;
use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};
use jiff::{SignedDuration, Timestamp};
use ozma_domain::id::{RunId, ScheduleId, TeamId};
use ozma_domain::lane::{Lane, Share, earliest, length};
use ozma_domain::limits;
use ozma_domain::run::{Place, Run};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::item::{delete, delete_if, replace, to_item};
use crate::key::{Key, TTL, millis};
use crate::table::{Consistency, Range, Store};

/// A run's place in the queue of its team.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueEntry {
    pub run_id: RunId,
    /// Of the run, when it was queued. Tells an entry that was left over from a later one.
    pub version: u64,
    /// Where its turn starts, in virtual time.
    pub start: u64,
    pub rank: u64,
    pub lane: Lane,
    pub queued_at: Timestamp,
}

/// A time at which to look at a waiting run, or at a schedule. What is to be done then, its row says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    #[serde(flatten)]
    pub of: AlarmOf,
    pub at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmOf {
    #[serde(rename = "run_id")]
    Run(RunId),
    #[serde(rename = "schedule_id")]
    Schedule(ScheduleId),
}

/// A lane that had to wait lately.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LaneRow {
    pub lane: Lane,
    /// Where its last turn ends, in virtual time.
    pub end: u64,
    pub weight: u16,
}

impl Alarm {
    pub(crate) fn key<'a>(&'a self, team: &'a TeamId) -> Key<'a> {
        match &self.of {
            AlarmOf::Run(run) => Key::Alarm(team, self.at, *run),
            AlarmOf::Schedule(schedule) => Key::ScheduleAlarm(team, self.at, schedule),
        }
    }
}

impl Store {
    /// Who is next, at most `limit`. Entries of runs that have gone on may be among them.
    pub async fn queue_head(&self, team: &TeamId, limit: usize) -> Result<Vec<QueueEntry>, StoreError> {
        self.query(queue(team, Consistency::Strong, limit)).await
    }

    /// The next one: where virtual time stands. Whoever saw an empty queue that is not would stand behind all of it.
    pub async fn queue_front(&self, team: &TeamId) -> Result<Option<QueueEntry>, StoreError> {
        Ok(self.queue_head(team, 1).await?.pop())
    }

    /// How many entries lie before `turn`'s run; counts no further than `limit`.
    pub async fn queued_before(&self, run: &Run, limit: usize) -> Result<usize, StoreError> {
        let Some(Place::Queue(turn)) = run.place() else { return Ok(0) };
        let own = Key::Queued(&run.team, turn.rank, run.run_id).parts().1;
        // Its own entry is the last one.
        let range = Range { to: Some(own), ..queue(&run.team, Consistency::Eventual, limit + 1) };
        Ok(self.query_items(range).await?.len().saturating_sub(1))
    }

    /// How many runs wait in the queue, of `lane` or in all; counts no further than `limit`.
    pub async fn queued(&self, team: &TeamId, lane: Option<&Lane>, limit: usize) -> Result<usize, StoreError> {
        let Some(lane) = lane else {
            return Ok(self.query_items(queue(team, Consistency::Strong, limit)).await?.len());
        };
        let entries: Vec<QueueEntry> = self.query(queue(team, Consistency::Strong, usize::MAX)).await?;
        Ok(entries.iter().filter(|entry| entry.lane == *lane).count().min(limit))
    }

    /// Takes away an entry whose run has gone on, and none that it has got since.
    pub async fn drop_queue_entry(&self, team: &TeamId, entry: &QueueEntry) -> Result<(), StoreError> {
        let key = Key::Queued(team, entry.rank, entry.run_id);
        let version = AttributeValue::N(entry.version.to_string());
        let _ = self.write("drop a queue entry", vec![delete_if(&self.table, &key, "version", version)]).await?;
        Ok(())
    }

    /// What is to be looked at up to `now`, earliest first, at most `limit`.
    pub async fn due_alarms(&self, team: &TeamId, now: Timestamp, limit: usize) -> Result<Vec<Alarm>, StoreError> {
        let range = Range {
            to: Some(format!("{}~", millis(now))),
            limit,
            ..Range::all(Key::Alarm(team, now, RunId::first_at(0)))
        };
        self.query(range).await
    }

    pub async fn drop_alarm(&self, team: &TeamId, alarm: &Alarm) -> Result<(), StoreError> {
        let _ = self.write("drop an alarm", vec![self.without_alarm(team, alarm)]).await?;
        Ok(())
    }

    /// Takes the lane's next turn, behind whoever is at the `front`: where it starts. Whoever dies after it leaves a turn to
    /// nobody.
    pub async fn take_turn(
        &self,
        team: &TeamId,
        share: &Share,
        front: &QueueEntry,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let Share { lane, weight, .. } = share;
        let length = length(*weight);
        let front = earliest(front.start, front.lane == *lane, *weight);
        let kept = now.saturating_add(SignedDuration::from_secs(limits::LANE_SECONDS)).unwrap_or(now);
        // One of two writes is right, and which one, a read before it could not tell for sure.
        loop {
            for (value, condition, amount) in [
                ("#end + :amount", "#end >= :front", length),
                (":amount", "attribute_not_exists(#end) OR #end < :front", front + length),
            ] {
                let answer = UpdateItemInput::builder()
                    .table_name(&self.table)
                    .set_key(Some(Key::Lane(team, lane).attributes()))
                    .update_expression(format!("SET #end = {value}, lane = :lane, weight = :weight, #ttl = :kept"))
                    .condition_expression(condition)
                    .expression_attribute_names("#end", "end")
                    .expression_attribute_names("#ttl", TTL)
                    .expression_attribute_values(":amount", AttributeValue::N(amount.to_string()))
                    .expression_attribute_values(":front", AttributeValue::N(front.to_string()))
                    .expression_attribute_values(":lane", AttributeValue::S(lane.to_string()))
                    .expression_attribute_values(":weight", AttributeValue::N(weight.to_string()))
                    .expression_attribute_values(":kept", AttributeValue::N(kept.as_second().to_string()));
                if let Some(row) = self.update_and_read::<LaneRow>("take a turn", answer).await? {
                    return Ok(row.end.saturating_sub(length));
                }
            }
        }
    }

    /// The lanes that had to wait lately, each with the end of its last turn.
    pub async fn lanes(&self, team: &TeamId) -> Result<Vec<LaneRow>, StoreError> {
        let any = Lane::default();
        self.query(Range { consistency: Consistency::Eventual, ..Range::all(Key::Lane(team, &any)) }).await
    }

    /// What a run that waits has beside its row: an entry of the queue, or an alarm for when it may start. `run` is as
    /// written, with its version.
    pub(crate) fn place_of(&self, run: &Run) -> Result<Option<TransactWriteItem>, StoreError> {
        Ok(match run.place() {
            Some(Place::Queue(turn)) => {
                let entry = QueueEntry {
                    run_id: run.run_id,
                    version: run.version,
                    start: turn.start,
                    rank: turn.rank,
                    lane: run.share.lane.clone(),
                    queued_at: run.updated_at,
                };
                let key = Key::Queued(&run.team, turn.rank, run.run_id);
                Some(replace(&self.table, to_item(&entry, &key)?))
            }
            Some(Place::Until(at)) => Some(self.alarm(run, at)?),
            Some(Place::Line) | None => None,
        })
    }

    /// Looks at the run at `at`.
    pub(crate) fn alarm(&self, run: &Run, at: Timestamp) -> Result<TransactWriteItem, StoreError> {
        let alarm = Alarm { of: AlarmOf::Run(run.run_id), at };
        Ok(replace(&self.table, to_item(&alarm, &alarm.key(&run.team))?))
    }

    pub(crate) fn without_alarm(&self, team: &TeamId, alarm: &Alarm) -> TransactWriteItem {
        delete(&self.table, &alarm.key(team))
    }

    /// Takes a run that does not wait any more out of the queue. An alarm is left: it finds nothing to do.
    pub(crate) fn out_of_queue(&self, run: &Run) -> Option<TransactWriteItem> {
        match run.place() {
            Some(Place::Queue(turn)) => Some(delete(&self.table, &Key::Queued(&run.team, turn.rank, run.run_id))),
            Some(Place::Until(at)) => Some(self.without_alarm(&run.team, &Alarm { of: AlarmOf::Run(run.run_id), at })),
            Some(Place::Line) | None => None,
        }
    }
}

fn queue(team: &TeamId, consistency: Consistency, limit: usize) -> Range<'_> {
    let partition = Key::Queued(team, 0, RunId::first_at(0));
    Range { consistency, limit, ..Range::all(partition) }
}
