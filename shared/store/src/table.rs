//! Reading rows, writing them, and telling a lost race from a failure.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::operation::batch_get_item::BatchGetItemInput;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemInput;
use aws_sdk_dynamodb::operation::get_item::GetItemInput;
use aws_sdk_dynamodb::operation::put_item::PutItemInput;
use aws_sdk_dynamodb::operation::query::QueryInput;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsInput;
use aws_sdk_dynamodb::operation::update_item::UpdateItemInput;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemInputBuilder;
use aws_sdk_dynamodb::types::{
    AttributeValue, KeysAndAttributes, ReturnConsumedCapacity, ReturnValue, TransactWriteItem,
};
use serde::de::DeserializeOwned;

use crate::dynamodb::DynamoDb;
use crate::error::StoreError;
use crate::item::{Item, from_item};
use crate::key::Key;
use crate::meter::Meter;

/// The one table.
#[derive(Clone, Debug)]
pub struct Store {
    client: Arc<dyn DynamoDb>,
    pub(crate) table: String,
    pub(crate) meter: Arc<Meter>,
}

/// Whether a row that must be new was. A second create is an answer, not an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    Now,
    Already,
}

/// Whether what was read still held when it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Written {
    Now,
    /// Somebody else was faster: read again and decide again.
    Lost,
}

/// Which end of a partition a query starts at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Ascending,
    Descending,
}

/// Whether a read sees every write before it. An eventually consistent one costs half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consistency {
    Strong,
    Eventual,
}

/// A query over one partition.
pub(crate) struct Range<'a> {
    pub(crate) partition: Key<'a>,
    /// Sort keys from here.
    pub(crate) from: Option<String>,
    /// Sort keys up to here.
    pub(crate) to: Option<String>,
    pub(crate) order: Order,
    pub(crate) consistency: Consistency,
    pub(crate) limit: usize,
}

impl<'a> Range<'a> {
    /// All rows of a partition, first to last, as they are now.
    pub(crate) fn all(partition: Key<'a>) -> Self {
        Self {
            partition,
            from: None,
            to: None,
            order: Order::Ascending,
            consistency: Consistency::Strong,
            limit: usize::MAX,
        }
    }
}

impl Store {
    pub fn new(client: impl DynamoDb, table: impl Into<String>) -> Self {
        Self { client: Arc::new(client), table: table.into(), meter: Arc::default() }
    }

    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    pub(crate) async fn get<Row: DeserializeOwned>(
        &self,
        key: &Key<'_>,
        consistency: Consistency,
    ) -> Result<Option<Row>, StoreError> {
        let wanted = GetItemInput::builder()
            .table_name(&self.table)
            .set_key(Some(key.attributes()))
            .consistent_read(consistency == Consistency::Strong)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let answer = self.client.get_item(wanted).await.map_err(StoreError::service("read a row"))?;
        self.meter.read(answer.consumed_capacity());
        answer.item.map(from_item).transpose()
    }

    /// Reads rows by key, in no particular order; missing ones are left out.
    pub(crate) async fn get_all<Row: DeserializeOwned>(
        &self,
        keys: &[Key<'_>],
        consistency: Consistency,
    ) -> Result<Vec<Row>, StoreError> {
        let mut rows = Vec::with_capacity(keys.len());
        // DynamoDB takes 100 keys at a time.
        for chunk in keys.chunks(100) {
            let mut wanted: Vec<Item> = chunk.iter().map(Key::attributes).collect();
            let mut pause = Duration::from_millis(20);
            while !wanted.is_empty() {
                let keys = KeysAndAttributes::builder()
                    .set_keys(Some(wanted))
                    .consistent_read(consistency == Consistency::Strong)
                    .build()
                    .expect("keys are set");
                let batch = BatchGetItemInput::builder()
                    .request_items(&self.table, keys)
                    .return_consumed_capacity(ReturnConsumedCapacity::Total);
                let answer = self.client.batch_get_item(batch).await;
                let mut answer = answer.map_err(StoreError::service("read rows"))?;
                self.meter.read_many(answer.consumed_capacity());
                let found = answer.responses.as_mut().and_then(|tables| tables.remove(&self.table)).unwrap_or_default();
                for item in found {
                    rows.push(from_item(item)?);
                }
                // What did not fit into 16 MB or was throttled comes back.
                wanted = answer
                    .unprocessed_keys
                    .and_then(|mut tables| tables.remove(&self.table))
                    .map(|left| left.keys)
                    .unwrap_or_default();
                if !wanted.is_empty() {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(1));
                }
            }
        }
        Ok(rows)
    }

    /// At most `range.limit` rows of a partition, in order.
    pub(crate) async fn query<Row: DeserializeOwned>(&self, range: Range<'_>) -> Result<Vec<Row>, StoreError> {
        self.query_items(range).await?.into_iter().map(from_item).collect()
    }

    pub(crate) async fn query_items(&self, range: Range<'_>) -> Result<Vec<Item>, StoreError> {
        let mut items: Vec<Item> = Vec::new();
        let mut start = None;
        while items.len() < range.limit {
            let mut query = QueryInput::builder()
                .table_name(&self.table)
                .consistent_read(range.consistency == Consistency::Strong)
                .scan_index_forward(range.order == Order::Ascending)
                .return_consumed_capacity(ReturnConsumedCapacity::Total)
                .limit(i32::try_from(range.limit - items.len()).unwrap_or(i32::MAX))
                .set_exclusive_start_key(start)
                .expression_attribute_values(":pk", range.partition.partition());
            let condition = match (&range.from, &range.to) {
                (None, None) => "pk = :pk",
                (Some(_), None) => "pk = :pk AND sk >= :from",
                (None, Some(_)) => "pk = :pk AND sk <= :to",
                (Some(_), Some(_)) => "pk = :pk AND sk BETWEEN :from AND :to",
            };
            for (name, bound) in [(":from", &range.from), (":to", &range.to)] {
                if let Some(bound) = bound {
                    query = query.expression_attribute_values(name, AttributeValue::S(bound.clone()));
                }
            }
            let answer = self.client.query(query.key_condition_expression(condition)).await;
            let answer = answer.map_err(StoreError::service("query rows"))?;
            self.meter.read(answer.consumed_capacity());
            items.extend(answer.items.unwrap_or_default());
            start = answer.last_evaluated_key;
            if start.is_none() {
                break;
            }
        }
        Ok(items)
    }

    /// All or nothing. One write alone is not a transaction, which would cost double.
    pub(crate) async fn write(
        &self,
        what: &'static str,
        mut writes: Vec<TransactWriteItem>,
    ) -> Result<Written, StoreError> {
        if writes.len() == 1
            && let Some(write) = writes.pop()
        {
            return self.write_one(what, write).await;
        }
        let mut pause = Duration::from_millis(5);
        // A conflict with another transaction decides nothing. Ten rounds take about two seconds.
        for _ in 0..10 {
            let transaction = TransactWriteItemsInput::builder()
                .set_transact_items(Some(writes.clone()))
                .return_consumed_capacity(ReturnConsumedCapacity::Total);
            let err = match self.client.transact_write_items(transaction).await {
                Ok(answer) => {
                    self.meter.write_many(answer.consumed_capacity());
                    return Ok(Written::Now);
                }
                Err(err) => err,
            };
            if !err.reasons.is_empty() {
                self.meter.refused();
            }
            let has = |code| err.reasons.iter().any(|reason| reason == code);
            if has("ConditionalCheckFailed") {
                return Ok(Written::Lost);
            }
            if !has("TransactionConflict") {
                return Err(StoreError::service(what)(err));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(500));
        }
        // Nothing was decided against us, but somebody keeps writing there: the caller reads again.
        Ok(Written::Lost)
    }

    /// A conditional update that answers with the whole row. None: the condition did not hold.
    pub(crate) async fn update_and_read<Row: DeserializeOwned>(
        &self,
        what: &'static str,
        update: UpdateItemInputBuilder,
    ) -> Result<Option<Row>, StoreError> {
        let update = update.return_values(ReturnValue::AllNew).return_consumed_capacity(ReturnConsumedCapacity::Total);
        match self.client.update_item(update).await {
            Ok(answer) => {
                self.meter.write(answer.consumed_capacity());
                answer.attributes.map(from_item).transpose()
            }
            Err(err) if err.is_failed_condition() => {
                self.meter.refused();
                Ok(None)
            }
            Err(err) => Err(StoreError::service(what)(err)),
        }
    }

    async fn write_one(&self, what: &'static str, write: TransactWriteItem) -> Result<Written, StoreError> {
        // The request types differ, the answer is the same: what it cost, or that the condition failed.
        let answer = if let Some(put) = write.put {
            let put = PutItemInput::builder()
                .table_name(put.table_name)
                .set_item(Some(put.item))
                .set_condition_expression(put.condition_expression)
                .set_expression_attribute_names(put.expression_attribute_names)
                .set_expression_attribute_values(put.expression_attribute_values)
                .return_consumed_capacity(ReturnConsumedCapacity::Total);
            self.client.put_item(put).await.map(|answer| answer.consumed_capacity)
        } else if let Some(update) = write.update {
            let update = UpdateItemInput::builder()
                .table_name(update.table_name)
                .set_key(Some(update.key))
                .update_expression(update.update_expression)
                .set_condition_expression(update.condition_expression)
                .set_expression_attribute_names(update.expression_attribute_names)
                .set_expression_attribute_values(update.expression_attribute_values)
                .return_consumed_capacity(ReturnConsumedCapacity::Total);
            self.client.update_item(update).await.map(|answer| answer.consumed_capacity)
        } else if let Some(delete) = write.delete {
            let delete = DeleteItemInput::builder()
                .table_name(delete.table_name)
                .set_key(Some(delete.key))
                .set_condition_expression(delete.condition_expression)
                .set_expression_attribute_names(delete.expression_attribute_names)
                .set_expression_attribute_values(delete.expression_attribute_values)
                .return_consumed_capacity(ReturnConsumedCapacity::Total);
            self.client.delete_item(delete).await.map(|answer| answer.consumed_capacity)
        } else {
            return Ok(Written::Now);
        };
        match answer {
            Ok(capacity) => {
                self.meter.write(capacity.as_ref());
                Ok(Written::Now)
            }
            Err(err) if err.is_failed_condition() => {
                self.meter.refused();
                Ok(Written::Lost)
            }
            Err(err) => Err(StoreError::service(what)(err)),
        }
    }
}
