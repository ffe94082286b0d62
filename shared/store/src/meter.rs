//! Counts what the table is asked for and what that costs, at the client: DynamoDB says with every answer.

use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_dynamodb::types::ConsumedCapacity;

#[derive(Debug, Default)]
pub struct Meter {
    requests: AtomicU64,
    // Hundredths of a unit: an eventually consistent read costs half of one.
    read_units: AtomicU64,
    write_units: AtomicU64,
}

/// What was used since the start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    pub requests: u64,
    pub read_units: f64,
    pub write_units: f64,
}

impl Meter {
    pub fn usage(&self) -> Usage {
        let units = |hundredths: &AtomicU64| hundredths.load(Ordering::Relaxed) as f64 / 100.0;
        Usage {
            requests: self.requests.load(Ordering::Relaxed),
            read_units: units(&self.read_units),
            write_units: units(&self.write_units),
        }
    }

    pub(crate) fn read(&self, capacity: Option<&ConsumedCapacity>) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.read_units.fetch_add(hundredths(capacity), Ordering::Relaxed);
    }

    pub(crate) fn write(&self, capacity: Option<&ConsumedCapacity>) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.write_units.fetch_add(hundredths(capacity), Ordering::Relaxed);
    }

    pub(crate) fn read_many(&self, capacities: &[ConsumedCapacity]) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.read_units.fetch_add(capacities.iter().map(|c| hundredths(Some(c))).sum(), Ordering::Relaxed);
    }

    pub(crate) fn write_many(&self, capacities: &[ConsumedCapacity]) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.write_units.fetch_add(capacities.iter().map(|c| hundredths(Some(c))).sum(), Ordering::Relaxed);
    }

    /// A refused condition is not reported with a capacity; it costs at least one unit.
    pub(crate) fn refused(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.write_units.fetch_add(100, Ordering::Relaxed);
    }
}

fn hundredths(capacity: Option<&ConsumedCapacity>) -> u64 {
    capacity.and_then(ConsumedCapacity::capacity_units).map_or(0, |units| (units * 100.0).round() as u64)
}
