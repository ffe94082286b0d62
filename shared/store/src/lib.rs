//! The one DynamoDB table and the S3 archive: the only place that spells a key or a condition.
//!
//! Writers read a row, let `ozma-domain` decide, and write the difference on condition that nothing changed meanwhile.
//! A lost race is a value ([`Written::Lost`]), never an error: the caller reads again and decides again.

mod answers;
mod api_keys;
mod archive;
mod audit_key;
mod automations;
mod change;
mod concurrency;
mod deliveries;
mod dynamodb;
mod error;
mod idempotency;
mod item;
mod key;
mod ledger;
mod listing;
mod looks;
mod messages;
mod meter;
mod notifications;
mod people;
mod queue;
mod rates;
mod resources;
mod runs;
mod schedules;
mod slots;
mod subscriptions;
mod table;
mod teams;
mod threads;
mod webhooks;

pub use answers::SavedAnswer;
pub use api_keys::ApiKeyRow;
pub use archive::{Archive, ArchiveKey, Object, StoredMetadata};
pub use automations::{Listener, SavedAutomation};
pub use change::{Alter, AppliedRow, Batch, Change};
pub use concurrency::{KeyLock, KeyRelease, KeyStep};
pub use deliveries::{SavedDelivery, SeenRow};
pub use dynamodb::{DynamoDb, DynamoDbError, create_table};
pub use error::{Cause, StoreError};
pub use idempotency::IdempotencyRow;
pub use ledger::LedgerChange;
pub use listing::{EndedEntry, RunPair};
pub use messages::SentRow;
pub use meter::{Meter, Usage};
pub use notifications::{DueNotification, SavedNotification};
pub use people::PersonRow;
pub use queue::{Alarm, AlarmOf, LaneRow, QueueEntry};
pub use resources::{Resource, Saved, Stored};
pub use runs::{EndedRow, Owed};
pub use schedules::SavedSchedule;
pub use slots::SlotRow;
pub use subscriptions::SavedSubscription;
pub use table::{Created, Store, Written};
pub use teams::{Hold, Pause, TeamRow, Want};
pub use threads::ThreadRow;
pub use webhooks::SavedWebhook;
