//! The product, broken on purpose: what it says to the outside is changed as if a line of it were missing. Each is caught
//! by a law, or the laws are worth nothing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};

use super::laws::Law;
use super::table::{Item, text, written};

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mutant {
    /// A run is accepted without its place in the queue.
    AcceptForgetsTheQueue,
    /// A slot is taken whether or not it is free.
    SlotsAreNotConditional,
    /// An end gives no slot back.
    EndsKeepTheirSlots,
    /// A run is written whoever was faster.
    RunsAreNotConditional,
    /// An end notes nothing that is owed of it.
    NothingIsOwed,
    /// A launch is made anew each time it is repeated.
    LaunchesAreNotIdempotent,
    /// A segment is acknowledged and not stored.
    SegmentsAreSwallowed,
    /// Whoever has work or a slot tells nobody.
    TicksAreNotSent,
    /// A key is used for another run as if it had never been used.
    KeysAreForgotten,
    /// There is no sweep.
    NobodySweeps,
    /// A concurrency key is taken whoever has it.
    KeysAreNotExclusive,
    /// Every run is put at the front of the queue.
    TurnsAreNotTaken,
    /// Nobody is told of a time.
    AlarmsAreNotSet,
}

static NEW_LANES: AtomicU64 = AtomicU64::new(0);

impl Mutant {
    pub const ALL: [Self; 13] = [
        Self::AcceptForgetsTheQueue,
        Self::SlotsAreNotConditional,
        Self::EndsKeepTheirSlots,
        Self::RunsAreNotConditional,
        Self::NothingIsOwed,
        Self::LaunchesAreNotIdempotent,
        Self::SegmentsAreSwallowed,
        Self::TicksAreNotSent,
        Self::KeysAreForgotten,
        Self::NobodySweeps,
        Self::KeysAreNotExclusive,
        Self::TurnsAreNotTaken,
        Self::AlarmsAreNotSet,
    ];

    /// The laws of which one at least catches it.
    pub fn caught_by(self) -> &'static [Law] {
        match self {
            Self::AcceptForgetsTheQueue | Self::NobodySweeps => &[Law::Outcome],
            Self::AlarmsAreNotSet => &[Law::Outcome, Law::Time],
            Self::KeysAreNotExclusive => &[Law::Key],
            Self::TurnsAreNotTaken => &[Law::Fair],
            Self::SlotsAreNotConditional => &[Law::Slot, Law::Cap],
            Self::EndsKeepTheirSlots => &[Law::Slot],
            Self::RunsAreNotConditional => &[Law::Final, Law::Slot],
            Self::NothingIsOwed => &[Law::Published],
            Self::LaunchesAreNotIdempotent => &[Law::OneContainer],
            Self::SegmentsAreSwallowed => &[Law::Audit],
            Self::TicksAreNotSent => &[Law::IdleSweep],
            Self::KeysAreForgotten => &[Law::Once],
        }
    }

    /// Whether it shows where nothing goes wrong.
    pub fn needs_faults(self) -> bool {
        !matches!(self, Self::TicksAreNotSent)
    }

    /// What is written instead.
    pub(super) fn on_transaction(self, mut writes: Vec<TransactWriteItem>) -> Vec<TransactWriteItem> {
        let partition = |write: &TransactWriteItem| written(write).map(|key| text(key, "pk")).unwrap_or_default();
        match self {
            Self::AcceptForgetsTheQueue => {
                writes.retain(|write| write.put.is_none() || !partition(write).ends_with("#queue"));
            }
            Self::AlarmsAreNotSet => {
                writes.retain(|write| write.put.is_none() || !partition(write).ends_with("#alarms"));
            }
            Self::EndsKeepTheirSlots => {
                writes.retain(|write| write.delete.is_none() || !partition(write).ends_with("#slots"));
            }
            Self::KeysAreNotExclusive => {
                writes.iter_mut().filter(|write| partition(write).contains("#concurrency#")).for_each(unconditional);
            }
            Self::SlotsAreNotConditional => {
                writes.iter_mut().filter(|write| partition(write).ends_with("#slots")).for_each(unconditional);
            }
            Self::RunsAreNotConditional => {
                writes.iter_mut().filter(|write| partition(write).starts_with("run#")).for_each(unconditional);
            }
            Self::NothingIsOwed => {
                for write in writes.iter_mut().filter(|write| partition(write).ends_with("#ended")) {
                    write.put.as_mut().map(|put| put.item.remove("owed"));
                }
            }
            _ => {}
        }
        writes
    }

    /// What is put instead.
    pub(super) fn on_put(self, mut item: Item) -> Item {
        if self == Self::KeysAreForgotten && text(&item, "sk") == "idempotency" {
            let unused = text(&item, "pk") + &text(&item, "run_id");
            item.insert("pk".to_owned(), AttributeValue::S(unused));
        }
        item
    }

    /// The key of the row that is updated instead.
    pub(super) fn on_update(self, mut key: Item) -> Item {
        if self == Self::TurnsAreNotTaken && text(&key, "pk").ends_with("#lanes") {
            // As if no lane had ever had a turn.
            let lane = NEW_LANES.fetch_add(1, Ordering::Relaxed);
            key.insert("sk".to_owned(), AttributeValue::S(format!("new lane {lane}")));
        }
        key
    }

    pub(super) fn swallows(self, key: &str) -> bool {
        self == Self::SegmentsAreSwallowed && key.starts_with("audit/")
    }
}

fn unconditional(write: &mut TransactWriteItem) {
    let TransactWriteItem { put, update, delete, .. } = write;
    if let Some(put) = put {
        // What only the condition named must go as well, or the request is refused.
        (put.condition_expression, put.expression_attribute_names, put.expression_attribute_values) =
            (None, None, None);
    }
    if let Some(update) = update {
        update.condition_expression = None;
        let is_used = |name: &String| update.update_expression.split([' ', ',']).any(|word| word == name);
        prune(&mut update.expression_attribute_names, is_used);
        prune(&mut update.expression_attribute_values, is_used);
    }
    if let Some(delete) = delete {
        (delete.condition_expression, delete.expression_attribute_names, delete.expression_attribute_values) =
            (None, None, None);
    }
}

fn prune<T>(named: &mut Option<HashMap<String, T>>, is_used: impl Fn(&String) -> bool) {
    if let Some(named) = named {
        named.retain(|name, _| is_used(name));
    }
    named.take_if(|named| named.is_empty());
}
