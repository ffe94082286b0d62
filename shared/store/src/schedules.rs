//! Schedules, each with an alarm for the time that it has planned next.

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};
use ozma_domain::id::{ScheduleId, TeamId};
use ozma_domain::schedule::Schedule;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::item::{create, delete_if, replace, to_item, update};
use crate::key::Key;
use crate::queue::{Alarm, AlarmOf};
use crate::table::{Consistency, Order, Range, Store, Written};

/// A schedule as read, with the version that a change of it must still find.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedSchedule {
    #[serde(flatten)]
    pub schedule: Schedule,
    #[serde(default)]
    pub version: u64,
}

impl Store {
    pub async fn schedule(&self, team: &TeamId, id: &ScheduleId) -> Result<Option<SavedSchedule>, StoreError> {
        self.get(&Key::Schedule(team, id), Consistency::Strong).await
    }

    /// Every schedule of the team, at most `limit`, by id.
    pub async fn schedules(&self, team: &TeamId, limit: usize) -> Result<Vec<SavedSchedule>, StoreError> {
        let nobody = ScheduleId::new([0; 16]);
        let range = Range {
            partition: Key::Schedule(team, &nobody),
            from: None,
            to: None,
            order: Order::Ascending,
            consistency: Consistency::Strong,
            limit,
        };
        self.query(range).await
    }

    /// Lost: there is one of that id.
    pub async fn create_schedule(&self, schedule: &Schedule) -> Result<Written, StoreError> {
        let row = SavedSchedule { schedule: schedule.clone(), version: 1 };
        let mut writes = vec![create(&self.table, to_item(&row, &Key::Schedule(&schedule.team, &schedule.id))?)];
        writes.extend(self.next_alarm(schedule)?);
        self.write("create a schedule", writes).await
    }

    /// Changes a schedule, and moves its alarm. Lost: somebody else has changed or deleted it.
    pub async fn update_schedule(&self, old: &SavedSchedule, new: &Schedule) -> Result<Written, StoreError> {
        let key = Key::Schedule(&new.team, &new.id);
        let row = SavedSchedule { schedule: new.clone(), version: old.version + 1 };
        let mut writes = vec![update(&self.table, &key, &to_item(old, &key)?, &to_item(&row, &key)?)];
        if old.schedule.next_at() != new.next_at() {
            writes.extend(alarm_of(&old.schedule).map(|alarm| self.without_alarm(&new.team, &alarm)));
            writes.extend(self.next_alarm(new)?);
        }
        self.write("update a schedule", writes).await
    }

    /// Lost: somebody else has changed or deleted it.
    pub async fn delete_schedule(&self, old: &SavedSchedule) -> Result<Written, StoreError> {
        let Schedule { team, id, .. } = &old.schedule;
        let version = AttributeValue::N(old.version.to_string());
        let mut writes = vec![delete_if(&self.table, &Key::Schedule(team, id), "version", version)];
        writes.extend(alarm_of(&old.schedule).map(|alarm| self.without_alarm(team, &alarm)));
        self.write("delete a schedule", writes).await
    }

    fn next_alarm(&self, schedule: &Schedule) -> Result<Option<TransactWriteItem>, StoreError> {
        let Some(alarm) = alarm_of(schedule) else { return Ok(None) };
        Ok(Some(replace(&self.table, to_item(&alarm, &alarm.key(&schedule.team))?)))
    }
}

fn alarm_of(schedule: &Schedule) -> Option<Alarm> {
    let at = schedule.next_at()?;
    Some(Alarm { of: AlarmOf::Schedule(schedule.id.clone()), at })
}
