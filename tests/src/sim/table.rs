//! The table: the real database in memory, with the door in between.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_dynamodb::operation::batch_get_item::{BatchGetItemOutput, builders::BatchGetItemInputBuilder};
use aws_sdk_dynamodb::operation::delete_item::{DeleteItemOutput, builders::DeleteItemInputBuilder};
use aws_sdk_dynamodb::operation::get_item::{GetItemOutput, builders::GetItemInputBuilder};
use aws_sdk_dynamodb::operation::put_item::{PutItemOutput, builders::PutItemInputBuilder};
use aws_sdk_dynamodb::operation::query::{QueryOutput, builders::QueryInputBuilder};
use aws_sdk_dynamodb::operation::transact_write_items::{
    TransactWriteItemsOutput, builders::TransactWriteItemsInputBuilder,
};
use aws_sdk_dynamodb::operation::update_item::{UpdateItemOutput, builders::UpdateItemInputBuilder};
use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};
use ozma_local::dynamodb::Direct;
use ozma_store::{DynamoDb, DynamoDbError};

use super::TABLE;
use super::core::Core;
use super::door::{Passing, Service};
use super::laws::Laws;
use super::mutants::Mutant;

#[derive(Clone)]
pub(super) struct Table {
    pub(super) core: Arc<Core>,
    pub(super) database: Direct,
    pub(super) laws: Arc<Laws>,
    pub(super) mutant: Option<Mutant>,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Table")
    }
}

pub(super) type Item = HashMap<String, AttributeValue>;

/// Partition and sort key of a row.
type Place = (String, String);

impl Table {
    /// A read. What an eventually consistent one sees may be as old as its request.
    async fn reads<T, R: Future<Output = Result<T, DynamoDbError>>>(
        &self,
        call: impl Fn() -> String,
        consistent: Option<bool>,
        read: impl Fn() -> R,
    ) -> Result<T, DynamoDbError> {
        let eventual = consistent == Some(false);
        let stale = eventual && self.core.strikes(self.core.chances.stale, "a read is stale");
        let early = if stale { Some(read().await) } else { None };
        let passing = self.core.pass(Service::Table, &call).await;
        arrives(passing)?;
        let answer = match early {
            Some(early) => early,
            None => read().await,
        };
        self.core.back(&call).await;
        returns(passing, answer)
    }

    async fn writes<T>(
        &self,
        operation: &str,
        places: &[Place],
        write: impl Future<Output = Result<T, DynamoDbError>>,
    ) -> Result<T, DynamoDbError> {
        let call = || told(operation, places);
        let passing = self.core.pass(Service::Table, call).await;
        arrives(passing)?;
        if passing == Passing::Through
            && operation == TRANSACTION
            && self.core.strikes(self.core.chances.conflict, "a transaction conflicts")
        {
            return Err(refused("TransactionCanceledException", &["TransactionConflict"]));
        }
        let answer = write.await;
        if answer.is_ok() {
            self.laws.wrote(places, |pk, sk| self.database.row(TABLE, pk, sk), self.core.time());
        }
        self.core.back(call).await;
        returns(passing, answer)
    }
}

const TRANSACTION: &str = "TransactWriteItems";

#[async_trait]
impl DynamoDb for Table {
    async fn get_item(&self, input: GetItemInputBuilder) -> Result<GetItemOutput, DynamoDbError> {
        let call = || told("GetItem", &[place(input.get_key().as_ref())]);
        self.reads(call, *input.get_consistent_read(), || self.database.get_item(input.clone())).await
    }

    async fn batch_get_item(&self, input: BatchGetItemInputBuilder) -> Result<BatchGetItemOutput, DynamoDbError> {
        let tables = || input.get_request_items().iter().flat_map(|tables| tables.values());
        let call = || {
            let keys = tables().flat_map(|wanted| &wanted.keys);
            told("BatchGetItem", &keys.map(|key| place(Some(key))).collect::<Vec<_>>())
        };
        let consistent = tables().find_map(|wanted| wanted.consistent_read);
        self.reads(call, consistent, || self.database.batch_get_item(input.clone())).await
    }

    async fn query(&self, input: QueryInputBuilder) -> Result<QueryOutput, DynamoDbError> {
        let call = || {
            let values = input.get_expression_attribute_values().as_ref();
            format!("Query {}", values.map(|values| text(values, ":pk")).unwrap_or_default())
        };
        self.reads(call, *input.get_consistent_read(), || self.database.query(input.clone())).await
    }

    async fn put_item(&self, mut input: PutItemInputBuilder) -> Result<PutItemOutput, DynamoDbError> {
        if let Some(mutant) = self.mutant {
            let item = input.get_item().clone().map(|item| mutant.on_put(item));
            input = input.set_item(item);
        }
        let places = [place(input.get_item().as_ref())];
        self.writes("PutItem", &places, self.database.put_item(input)).await
    }

    async fn update_item(&self, mut input: UpdateItemInputBuilder) -> Result<UpdateItemOutput, DynamoDbError> {
        if let Some(mutant) = self.mutant {
            let key = input.get_key().clone().map(|key| mutant.on_update(key));
            input = input.set_key(key);
        }
        let places = [place(input.get_key().as_ref())];
        self.writes("UpdateItem", &places, self.database.update_item(input)).await
    }

    async fn delete_item(&self, input: DeleteItemInputBuilder) -> Result<DeleteItemOutput, DynamoDbError> {
        let places = [place(input.get_key().as_ref())];
        self.writes("DeleteItem", &places, self.database.delete_item(input)).await
    }

    async fn transact_write_items(
        &self,
        mut input: TransactWriteItemsInputBuilder,
    ) -> Result<TransactWriteItemsOutput, DynamoDbError> {
        if let Some(mutant) = self.mutant {
            let writes = input.get_transact_items().clone().map(|writes| mutant.on_transaction(writes));
            input = input.set_transact_items(writes);
        }
        let writes = input.get_transact_items().as_deref().unwrap_or_default();
        let places: Vec<Place> = writes.iter().filter_map(written).map(|key| place(Some(key))).collect();
        self.writes(TRANSACTION, &places, self.database.transact_write_items(input)).await
    }
}

fn arrives(passing: Passing) -> Result<(), DynamoDbError> {
    match passing {
        Passing::RequestLost => Err(unheard("request lost")),
        Passing::Throttled => Err(refused("ProvisionedThroughputExceededException", &[])),
        Passing::Through | Passing::ReplyLost => Ok(()),
    }
}

fn returns<T>(passing: Passing, answer: Result<T, DynamoDbError>) -> Result<T, DynamoDbError> {
    match passing {
        Passing::ReplyLost => Err(unheard("reply lost")),
        _ => answer,
    }
}

fn unheard(what: &str) -> DynamoDbError {
    DynamoDbError { code: None, reasons: Vec::new(), cause: what.into() }
}

fn refused(code: &str, reasons: &[&str]) -> DynamoDbError {
    let reasons = reasons.iter().map(|&reason| reason.to_owned()).collect();
    DynamoDbError { code: Some(code.to_owned()), reasons, cause: code.into() }
}

/// For the trace.
fn told(operation: &str, places: &[Place]) -> String {
    let places: Vec<String> = places.iter().map(|(pk, sk)| format!("{pk}/{sk}")).collect();
    format!("{operation} {}", places.join(" "))
}

fn place(key: Option<&Item>) -> Place {
    key.map(|key| (text(key, "pk"), text(key, "sk"))).unwrap_or_default()
}

/// The row that a part of a transaction writes, or its key.
pub(super) fn written(write: &TransactWriteItem) -> Option<&Item> {
    let TransactWriteItem { put, update, delete, .. } = write;
    let put = put.as_ref().map(|put| &put.item);
    put.or(update.as_ref().map(|update| &update.key)).or(delete.as_ref().map(|delete| &delete.key))
}

/// An attribute that is a text; else nothing.
pub(super) fn text(item: &Item, name: &str) -> String {
    item.get(name).and_then(|value| value.as_s().ok()).cloned().unwrap_or_default()
}
