//! The ledger: what an account has used in a month, and has reserved.

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem, Update};
use ozma_domain::id::TeamId;
use ozma_domain::ledger::{Account, Booking, Change, Used};

use crate::error::StoreError;
use crate::key::{Key, TTL};
use crate::table::{Consistency, Store};

/// A year and a month: what is asked about a month is asked by then.
const KEPT_SECONDS: i64 = 400 * 24 * 3600;

/// A change of every account of a booking.
#[derive(Clone, Debug, PartialEq)]
pub struct LedgerChange {
    pub booking: Booking,
    pub change: Change,
    /// When, in seconds since 1970.
    pub now: i64,
    /// On condition that no limit is exceeded. What was used already is booked whatever the limit.
    pub within_limits: bool,
}

impl Store {
    pub async fn account(&self, team: &TeamId, month: &str, account: &str) -> Result<Used, StoreError> {
        let used: Option<Used> = self.get(&Key::Account(team, month, account), Consistency::Strong).await?;
        Ok(used.unwrap_or_default())
    }

    pub(crate) fn booked(&self, team: &TeamId, ledger: Option<&LedgerChange>) -> Vec<TransactWriteItem> {
        let Some(LedgerChange { booking, change, now, within_limits }) = ledger else { return Vec::new() };
        if *change == Change::default() {
            return Vec::new();
        }
        let update = |account: &Account| {
            let number = |number: i64| AttributeValue::N(number.to_string());
            let mut update = Update::builder()
                .table_name(&self.table)
                .set_key(Some(Key::Account(team, &booking.month, &account.name).attributes()))
                .update_expression("ADD #s :s, #u :u, #t :t SET #ttl = :ttl")
                .expression_attribute_names("#s", "seconds")
                .expression_attribute_names("#u", "micro_usd")
                .expression_attribute_names("#t", "tokens")
                .expression_attribute_names("#ttl", TTL)
                .expression_attribute_values(":s", number(change.seconds))
                .expression_attribute_values(":u", number(change.micro_usd))
                .expression_attribute_values(":t", number(change.tokens))
                .expression_attribute_values(":ttl", number(now + KEPT_SECONDS));
            let signed = |limit: u64| i64::try_from(limit).unwrap_or(i64::MAX);
            let limits = [
                ("#s", ":smax", account.limit.minutes.map(|minutes| signed(minutes * 60) - change.seconds)),
                ("#u", ":umax", account.limit.micro_usd.map(|micro_usd| signed(micro_usd) - change.micro_usd)),
            ];
            let mut conditions = Vec::new();
            for (name, value, most) in limits {
                let Some(most) = most.filter(|_| *within_limits) else { continue };
                // A row that is not there has used nothing.
                let new = if most >= 0 { format!("attribute_not_exists({name}) OR ") } else { String::new() };
                conditions.push(format!("({new}{name} <= {value})"));
                update = update.expression_attribute_values(value, number(most));
            }
            if !conditions.is_empty() {
                update = update.condition_expression(conditions.join(" AND "));
            }
            TransactWriteItem::builder().update(update.build().expect("table, key and expression are set")).build()
        };
        booking.accounts.iter().map(update).collect()
    }
}
