//! Notifications: the log of what was sent, and when there is something to send again.

use aws_sdk_dynamodb::types::TransactWriteItem;
use jiff::Timestamp;
use ozma_domain::id::{NotificationId, SubscriptionId, TeamId};
use ozma_domain::notification::Notification;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::item::{create, delete, replace, to_item, update};
use crate::key::{Key, millis};
use crate::table::{Consistency, Created, Order, Range, Store, Written};

/// A notification as read, with the version that a change of it must still find.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedNotification {
    #[serde(flatten)]
    pub notification: Notification,
    #[serde(default)]
    pub version: u64,
}

/// A time at which a notification is to be sent. Whether it is, its row says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DueNotification {
    pub subscription: SubscriptionId,
    pub id: NotificationId,
    pub at: Timestamp,
}

impl Store {
    /// Notes what is to be sent, and when, both or neither. The same event again is there already.
    pub async fn create_notification(&self, new: &Notification) -> Result<Created, StoreError> {
        let row = SavedNotification { notification: new.clone(), version: 1 };
        let mut writes = vec![create(&self.table, to_item(&row, &Key::Notification(&new.subscription, &new.id))?)];
        writes.extend(self.due_at(new)?);
        Ok(match self.write("create a notification", writes).await? {
            Written::Now => Created::Now,
            Written::Lost => Created::Already,
        })
    }

    pub async fn notification(
        &self,
        subscription: &SubscriptionId,
        id: &NotificationId,
    ) -> Result<Option<SavedNotification>, StoreError> {
        self.get(&Key::Notification(subscription, id), Consistency::Strong).await
    }

    /// Those of a subscription, newest first, at most `limit`; only those before `before`, if that is given.
    pub async fn notifications(
        &self,
        subscription: &SubscriptionId,
        before: Option<&NotificationId>,
        limit: usize,
    ) -> Result<Vec<Notification>, StoreError> {
        let first = NotificationId::new(Timestamp::UNIX_EPOCH, [0; 10]);
        let range = Range {
            to: before.map(ToString::to_string),
            order: Order::Descending,
            // The bound itself is among them.
            limit: limit + usize::from(before.is_some()),
            ..Range::all(Key::Notification(subscription, &first))
        };
        let rows: Vec<SavedNotification> = self.query(range).await?;
        let rows = rows.into_iter().map(|row| row.notification).filter(|row| Some(&row.id) != before);
        Ok(rows.take(limit).collect())
    }

    /// Writes a change of a notification, and moves the time at which it is due. Lost: somebody else was faster.
    pub async fn update_notification(
        &self,
        old: &SavedNotification,
        new: &Notification,
    ) -> Result<Written, StoreError> {
        let key = Key::Notification(&new.subscription, &new.id);
        let row = SavedNotification { notification: new.clone(), version: old.version + 1 };
        let mut writes = vec![update(&self.table, &key, &to_item(old, &key)?, &to_item(&row, &key)?)];
        let was = &old.notification;
        if was.next_at != new.next_at {
            writes.extend(self.due_at(new)?);
            // The table keeps milliseconds: what moves within one stays where it is.
            if let Some(at) = was.next_at.filter(|at| new.next_at.map(millis) != Some(millis(*at))) {
                writes.push(delete(&self.table, &Key::DueNotification(&was.team, at, &was.id)));
            }
        }
        self.write("update a notification", writes).await
    }

    /// What is due up to `until`, earliest first, at most `limit`.
    pub async fn due_notifications(
        &self,
        team: &TeamId,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<DueNotification>, StoreError> {
        let first = NotificationId::new(Timestamp::UNIX_EPOCH, [0; 10]);
        let range = Range {
            to: Some(format!("{}~", millis(until))),
            limit,
            ..Range::all(Key::DueNotification(team, until, &first))
        };
        self.query(range).await
    }

    /// Takes away a time of a notification that is not due then.
    pub async fn drop_due_notification(&self, team: &TeamId, due: &DueNotification) -> Result<(), StoreError> {
        let key = Key::DueNotification(team, due.at, &due.id);
        let _ = self.write("drop a time of a notification", vec![delete(&self.table, &key)]).await?;
        Ok(())
    }

    fn due_at(&self, notification: &Notification) -> Result<Option<TransactWriteItem>, StoreError> {
        let Some(at) = notification.next_at else { return Ok(None) };
        let Notification { subscription, id, team, .. } = notification;
        let due = DueNotification { subscription: subscription.clone(), id: id.clone(), at };
        Ok(Some(replace(&self.table, to_item(&due, &Key::DueNotification(team, at, id))?)))
    }
}
