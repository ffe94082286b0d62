//! What the store asks of DynamoDB, in the SDK's own words.

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::batch_get_item::{BatchGetItemOutput, builders::BatchGetItemInputBuilder};
use aws_sdk_dynamodb::operation::delete_item::{DeleteItemOutput, builders::DeleteItemInputBuilder};
use aws_sdk_dynamodb::operation::get_item::{GetItemOutput, builders::GetItemInputBuilder};
use aws_sdk_dynamodb::operation::put_item::{PutItemOutput, builders::PutItemInputBuilder};
use aws_sdk_dynamodb::operation::query::{QueryOutput, builders::QueryInputBuilder};
use aws_sdk_dynamodb::operation::transact_write_items::{
    TransactWriteItemsError, TransactWriteItemsOutput, builders::TransactWriteItemsInputBuilder,
};
use aws_sdk_dynamodb::operation::update_item::{UpdateItemOutput, builders::UpdateItemInputBuilder};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TimeToLiveSpecification,
};

use crate::error::{Cause, StoreError, code};
use crate::key::{PK, SK, TTL};
use crate::table::Created;

/// The operations that the store needs. The SDK's client is what ships; a simulation of a million runs asks its database
/// without it, because half of its time would be the client and JSON.
#[async_trait]
pub trait DynamoDb: std::fmt::Debug + Send + Sync + 'static {
    async fn get_item(&self, input: GetItemInputBuilder) -> Result<GetItemOutput, DynamoDbError>;
    async fn batch_get_item(&self, input: BatchGetItemInputBuilder) -> Result<BatchGetItemOutput, DynamoDbError>;
    async fn query(&self, input: QueryInputBuilder) -> Result<QueryOutput, DynamoDbError>;
    async fn put_item(&self, input: PutItemInputBuilder) -> Result<PutItemOutput, DynamoDbError>;
    async fn update_item(&self, input: UpdateItemInputBuilder) -> Result<UpdateItemOutput, DynamoDbError>;
    async fn delete_item(&self, input: DeleteItemInputBuilder) -> Result<DeleteItemOutput, DynamoDbError>;
    async fn transact_write_items(
        &self,
        input: TransactWriteItemsInputBuilder,
    ) -> Result<TransactWriteItemsOutput, DynamoDbError>;
}

/// Why DynamoDB did not do it, or does not say that it did.
#[derive(Debug)]
pub struct DynamoDbError {
    /// The service's own name of the error, such as `ConditionalCheckFailedException`. None: it did not answer.
    pub code: Option<String>,
    /// Of a transaction that was cancelled: what each of its writes has to do with that, such as `TransactionConflict`.
    pub reasons: Vec<String>,
    pub cause: Cause,
}

impl DynamoDbError {
    pub(crate) fn is_failed_condition(&self) -> bool {
        self.code.as_deref() == Some("ConditionalCheckFailedException")
    }
}

impl<E, R> From<SdkError<E, R>> for DynamoDbError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    fn from(err: SdkError<E, R>) -> Self {
        let code = code(&err).map(str::to_owned);
        Self { code, reasons: Vec::new(), cause: err.into() }
    }
}

impl From<DynamoDbError> for Cause {
    fn from(err: DynamoDbError) -> Self {
        err.cause
    }
}

#[async_trait]
impl DynamoDb for Client {
    async fn get_item(&self, input: GetItemInputBuilder) -> Result<GetItemOutput, DynamoDbError> {
        Ok(input.send_with(self).await?)
    }

    async fn batch_get_item(&self, input: BatchGetItemInputBuilder) -> Result<BatchGetItemOutput, DynamoDbError> {
        Ok(input.send_with(self).await?)
    }

    async fn query(&self, input: QueryInputBuilder) -> Result<QueryOutput, DynamoDbError> {
        Ok(input.send_with(self).await?)
    }

    async fn put_item(&self, input: PutItemInputBuilder) -> Result<PutItemOutput, DynamoDbError> {
        Ok(input.send_with(self).await?)
    }

    async fn update_item(&self, input: UpdateItemInputBuilder) -> Result<UpdateItemOutput, DynamoDbError> {
        Ok(input.send_with(self).await?)
    }

    async fn delete_item(&self, input: DeleteItemInputBuilder) -> Result<DeleteItemOutput, DynamoDbError> {
        Ok(input.send_with(self).await?)
    }

    async fn transact_write_items(
        &self,
        input: TransactWriteItemsInputBuilder,
    ) -> Result<TransactWriteItemsOutput, DynamoDbError> {
        input.send_with(self).await.map_err(|err| {
            let cancelled = match err.as_service_error() {
                Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                    cancelled.cancellation_reasons()
                }
                _ => &[],
            };
            let reasons = cancelled.iter().filter_map(|reason| reason.code.clone()).collect();
            DynamoDbError { reasons, ..err.into() }
        })
    }
}

/// Creates the table where there is none: in the embedded engine and in tests. On AWS the template does.
pub async fn create_table(client: &Client, table: &str) -> Result<Created, StoreError> {
    let what = "create the table";
    let attribute = |name| {
        AttributeDefinition::builder()
            .attribute_name(name)
            .attribute_type(ScalarAttributeType::S)
            .build()
            .expect("name and type are set")
    };
    let key = |name, kind| {
        KeySchemaElement::builder().attribute_name(name).key_type(kind).build().expect("name and type are set")
    };
    let created = client
        .create_table()
        .table_name(table)
        .attribute_definitions(attribute(PK))
        .attribute_definitions(attribute(SK))
        .key_schema(key(PK, KeyType::Hash))
        .key_schema(key(SK, KeyType::Range))
        .billing_mode(BillingMode::PayPerRequest)
        .send()
        .await
        .map_err(DynamoDbError::from);
    match created {
        Ok(_) => {}
        Err(err) if err.code.as_deref() == Some("ResourceInUseException") => return Ok(Created::Already),
        Err(err) => return Err(StoreError::service(what)(err)),
    }
    let expiry = TimeToLiveSpecification::builder().attribute_name(TTL).enabled(true).build();
    client
        .update_time_to_live()
        .table_name(table)
        .time_to_live_specification(expiry.expect("name and switch are set"))
        .send()
        .await
        .map_err(StoreError::service(what))?;
    Ok(Created::Now)
}
