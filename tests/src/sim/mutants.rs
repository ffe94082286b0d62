//! The product, broken on purpose: what it says to the outside is changed as if a line of it were missing. Each is caught
//! by a law, or the laws are worth nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use super::laws::Law;

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

    /// What is sent to the table instead, if anything is.
    pub(super) fn on_table(self, operation: &str, sent: &Value) -> Option<Value> {
        let mut sent = sent.clone();
        let writes = sent.get_mut("TransactItems").and_then(Value::as_array_mut);
        let partition = |write: &Value| {
            let place = [&write["Put"]["Item"], &write["Update"]["Key"], &write["Delete"]["Key"]];
            place.iter().find_map(|at| at["pk"]["S"].as_str().map(str::to_owned)).unwrap_or_default()
        };
        match (self, writes) {
            (Self::AcceptForgetsTheQueue, Some(writes)) => {
                writes.retain(|write| write["Put"].is_null() || !partition(write).ends_with("#queue"));
            }
            (Self::KeysAreNotExclusive, Some(writes)) => {
                for write in writes.iter_mut().filter(|write| partition(write).contains("#concurrency#")) {
                    for kind in ["Put", "Update", "Delete"] {
                        write.get_mut(kind).map(unconditional);
                    }
                }
            }
            (Self::AlarmsAreNotSet, Some(writes)) => {
                writes.retain(|write| write["Put"].is_null() || !partition(write).ends_with("#alarms"));
            }
            (Self::TurnsAreNotTaken, None) => {
                // As if no lane had ever had a turn.
                if operation != "UpdateItem" || !sent["Key"]["pk"]["S"].as_str()?.ends_with("#lanes") {
                    return None;
                }
                let lane = NEW_LANES.fetch_add(1, Ordering::Relaxed);
                sent["Key"]["sk"]["S"] = format!("new lane {lane}").into();
            }
            (Self::SlotsAreNotConditional, Some(writes)) => {
                for write in writes.iter_mut().filter(|write| partition(write).ends_with("#slots")) {
                    unconditional(write.get_mut("Put")?);
                }
            }
            (Self::EndsKeepTheirSlots, Some(writes)) => {
                writes.retain(|write| write["Delete"].is_null() || !partition(write).ends_with("#slots"));
            }
            (Self::RunsAreNotConditional, Some(writes)) => {
                for write in writes.iter_mut().filter(|write| partition(write).starts_with("run#")) {
                    unconditional(write.get_mut("Update")?);
                }
            }
            (Self::NothingIsOwed, Some(writes)) => {
                for write in writes.iter_mut().filter(|write| partition(write).ends_with("#ended")) {
                    write["Put"]["Item"].as_object_mut()?.remove("owed");
                }
            }
            (Self::KeysAreForgotten, None) => {
                if operation != "PutItem" || sent["Item"]["sk"]["S"] != json!("idempotency") {
                    return None;
                }
                let unused = format!("{}{}", sent["Item"]["pk"]["S"].as_str()?, sent["Item"]["run_id"]["S"].as_str()?);
                sent["Item"]["pk"]["S"] = unused.into();
            }
            _ => return None,
        }
        Some(sent)
    }

    pub(super) fn swallows(self, key: &str) -> bool {
        self == Self::SegmentsAreSwallowed && key.starts_with("audit/")
    }
}

fn unconditional(write: &mut Value) {
    let Some(write) = write.as_object_mut() else { return };
    write.remove("ConditionExpression");
    // What only the condition named must go as well, or the request is refused.
    let used = write.get("UpdateExpression").and_then(Value::as_str).unwrap_or_default().to_owned();
    for part in ["ExpressionAttributeNames", "ExpressionAttributeValues"] {
        if let Some(named) = write.get_mut(part).and_then(Value::as_object_mut) {
            named.retain(|name, _| used.split([' ', ',']).any(|word| word == name));
            if named.is_empty() {
                write.remove(part);
            }
        }
    }
}
