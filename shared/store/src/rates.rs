//! How often something was asked for.

use aws_sdk_dynamodb::operation::update_item::UpdateItemInput;
use aws_sdk_dynamodb::types::AttributeValue;
use ozma_domain::id::TeamId;
use serde::Deserialize;

use crate::error::StoreError;
use crate::key::{Key, TTL};
use crate::table::Store;

#[derive(Deserialize)]
struct RateRow {}

impl Store {
    /// Counts one more of `subject` in the hour or minute that begins at `start`, in seconds since 1970. False: there were
    /// `most` already. The subject says which of both it is counted in.
    pub async fn count(&self, team: &TeamId, subject: &str, start: i64, most: u32) -> Result<bool, StoreError> {
        let number = |number: i64| AttributeValue::N(number.to_string());
        let count = UpdateItemInput::builder()
            .table_name(&self.table)
            .set_key(Some(Key::Rate(team, subject, start).attributes()))
            .update_expression("ADD #count :one SET #ttl = :expires")
            .condition_expression("attribute_not_exists(#count) OR #count < :most")
            .expression_attribute_names("#count", "count")
            .expression_attribute_names("#ttl", TTL)
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":most", number(most.into()))
            .expression_attribute_values(":expires", number(start + 2 * 3600));
        Ok(self.update_and_read::<RateRow>("count a request", count).await?.is_some())
    }
}
