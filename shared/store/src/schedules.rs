//! Schedules, each with an alarm for the time that it has planned next.

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};
use ozma_domain::definition::SetName;
use ozma_domain::id::{ScheduleId, TeamId};
use ozma_domain::schedule::Schedule;
use serde::{Deserialize, Serialize};

use crate::change::Alter;
use crate::error::StoreError;
use crate::item::{create, delete_if, replace, to_item, update};
use crate::key::Key;
use crate::queue::{Alarm, AlarmOf};
use crate::table::{Consistency, Range, Store, Written};

/// A schedule as read, with the version that a change of it must still find.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedSchedule {
    #[serde(flatten)]
    pub schedule: Schedule,
    #[serde(default)]
    pub version: u64,
    /// The set whose apply made it. None: somebody made it by hand.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub set: Option<SetName>,
}

impl SavedSchedule {
    /// A new one.
    pub fn new(schedule: Schedule) -> Self {
        Self { schedule, version: 1, set: None }
    }

    /// The same row with what it is to hold next.
    pub fn with(&self, schedule: Schedule) -> Self {
        Self { schedule, version: self.version + 1, set: self.set.clone() }
    }
}

impl Store {
    pub async fn schedule(&self, team: &TeamId, id: &ScheduleId) -> Result<Option<SavedSchedule>, StoreError> {
        self.get(&Key::Schedule(team, id), Consistency::Strong).await
    }

    /// Every schedule of the team, at most `limit`, by id.
    pub async fn schedules(&self, team: &TeamId, limit: usize) -> Result<Vec<SavedSchedule>, StoreError> {
        let nobody = ScheduleId::new([0; 16]);
        let range = Range { limit, ..Range::all(Key::Schedule(team, &nobody)) };
        self.query(range).await
    }

    /// Lost: there is one of that id.
    pub async fn create_schedule(&self, schedule: &Schedule) -> Result<Written, StoreError> {
        let writes = self.schedule_writes(&Alter::Create(&SavedSchedule::new(schedule.clone())))?;
        self.write("create a schedule", writes).await
    }

    /// Changes a schedule, and moves its alarm. Lost: somebody else has changed or deleted it.
    pub async fn update_schedule(&self, old: &SavedSchedule, new: &Schedule) -> Result<Written, StoreError> {
        let writes = self.schedule_writes(&Alter::Update { old, new: &old.with(new.clone()) })?;
        self.write("update a schedule", writes).await
    }

    /// Lost: somebody else has changed or deleted it.
    pub async fn delete_schedule(&self, old: &SavedSchedule) -> Result<Written, StoreError> {
        self.write("delete a schedule", self.schedule_writes(&Alter::Delete(old))?).await
    }

    pub(crate) fn schedule_writes(&self, alter: &Alter<&SavedSchedule>) -> Result<Vec<TransactWriteItem>, StoreError> {
        let mut writes = Vec::new();
        match *alter {
            Alter::Create(row) => {
                let Schedule { team, id, .. } = &row.schedule;
                writes.push(create(&self.table, to_item(row, &Key::Schedule(team, id))?));
                writes.extend(self.next_alarm(&row.schedule)?);
            }
            Alter::Update { old, new } => {
                let Schedule { team, id, .. } = &new.schedule;
                let key = Key::Schedule(team, id);
                writes.push(update(&self.table, &key, &to_item(old, &key)?, &to_item(new, &key)?));
                if old.schedule.next_at() != new.schedule.next_at() {
                    writes.extend(alarm_of(&old.schedule).map(|alarm| self.without_alarm(team, &alarm)));
                    writes.extend(self.next_alarm(&new.schedule)?);
                }
            }
            Alter::Delete(old) => {
                let Schedule { team, id, .. } = &old.schedule;
                let version = AttributeValue::N(old.version.to_string());
                writes.push(delete_if(&self.table, &Key::Schedule(team, id), "version", version));
                writes.extend(alarm_of(&old.schedule).map(|alarm| self.without_alarm(team, &alarm)));
            }
            Alter::Keep(_) => {}
        }
        Ok(writes)
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
