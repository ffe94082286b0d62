//! The database without the client and without JSON, for a simulation that has one in memory for itself: no wire, no
//! thread, and no measure of what it costs. What the client and its wire form do is what [`super::client`] is for.

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
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};
use dynoxide::actions::batch_get_item::{BatchGetItemRequest, KeysAndAttributes};
use dynoxide::actions::delete_item::DeleteItemRequest;
use dynoxide::actions::get_item::GetItemRequest;
use dynoxide::actions::put_item::PutItemRequest;
use dynoxide::actions::query::QueryRequest;
use dynoxide::actions::transact_write_items::{
    TransactConditionCheck, TransactDelete, TransactPut, TransactUpdate, TransactWriteItem as Write,
    TransactWriteItemsRequest,
};
use dynoxide::actions::update_item::UpdateItemRequest;
use dynoxide::types::AttributeValue as Value;
use dynoxide::{Database, DynoxideError};
use ozma_store::{DynamoDb, DynamoDbError};

type Item = HashMap<String, AttributeValue>;

/// Answers before it returns.
#[derive(Clone)]
pub struct Direct {
    database: Arc<Database>,
}

impl Direct {
    pub fn new(database: Arc<Database>) -> Self {
        Self { database }
    }

    /// A row, past the store.
    pub fn row(&self, table: &str, pk: &str, sk: &str) -> Option<Item> {
        let key = [("pk", pk), ("sk", sk)].map(|(name, part)| (name.to_owned(), Value::S(part.to_owned())));
        let request = GetItemRequest { table_name: table.to_owned(), key: key.into(), ..Default::default() };
        self.database.get_item(request).ok()?.item.map(told)
    }
}

impl std::fmt::Debug for Direct {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Direct")
    }
}

#[async_trait]
impl DynamoDb for Direct {
    async fn get_item(&self, input: GetItemInputBuilder) -> Result<GetItemOutput, DynamoDbError> {
        let input = input.build().map_err(unbuilt)?;
        let request = GetItemRequest {
            table_name: input.table_name.unwrap_or_default(),
            key: asked(input.key.unwrap_or_default()),
            consistent_read: input.consistent_read,
            ..Default::default()
        };
        let answer = self.database.get_item(request).map_err(refused)?;
        Ok(GetItemOutput::builder().set_item(answer.item.map(told)).build())
    }

    async fn batch_get_item(&self, input: BatchGetItemInputBuilder) -> Result<BatchGetItemOutput, DynamoDbError> {
        let input = input.build().map_err(unbuilt)?;
        let of_table = |(table, wanted): (String, aws_sdk_dynamodb::types::KeysAndAttributes)| {
            let keys = wanted.keys.into_iter().map(asked).collect();
            (table, KeysAndAttributes { keys, consistent_read: wanted.consistent_read, ..Default::default() })
        };
        let request = BatchGetItemRequest {
            request_items: input.request_items.unwrap_or_default().into_iter().map(of_table).collect(),
            ..Default::default()
        };
        let answer = self.database.batch_get_item(request).map_err(refused)?;
        let rows = answer.responses.into_iter().map(|(table, rows)| (table, rows.into_iter().map(told).collect()));
        Ok(BatchGetItemOutput::builder().set_responses(Some(rows.collect())).build())
    }

    async fn query(&self, input: QueryInputBuilder) -> Result<QueryOutput, DynamoDbError> {
        let input = input.build().map_err(unbuilt)?;
        let request = QueryRequest {
            table_name: input.table_name.unwrap_or_default(),
            key_condition_expression: input.key_condition_expression,
            expression_attribute_names: input.expression_attribute_names,
            expression_attribute_values: input.expression_attribute_values.map(asked),
            scan_index_forward: input.scan_index_forward.unwrap_or(true),
            limit: input.limit.and_then(|limit| usize::try_from(limit).ok()),
            exclusive_start_key: input.exclusive_start_key.map(asked),
            consistent_read: input.consistent_read,
            ..Default::default()
        };
        let answer = self.database.query(request).map_err(refused)?;
        let rows = answer.items.unwrap_or_default().into_iter().map(told).collect();
        let last = answer.last_evaluated_key.map(told);
        Ok(QueryOutput::builder().set_items(Some(rows)).set_last_evaluated_key(last).build())
    }

    async fn put_item(&self, input: PutItemInputBuilder) -> Result<PutItemOutput, DynamoDbError> {
        let input = input.build().map_err(unbuilt)?;
        let request = PutItemRequest {
            table_name: input.table_name.unwrap_or_default(),
            item: asked(input.item.unwrap_or_default()),
            condition_expression: input.condition_expression,
            expression_attribute_names: input.expression_attribute_names,
            expression_attribute_values: input.expression_attribute_values.map(asked),
            ..Default::default()
        };
        self.database.put_item(request).map_err(refused)?;
        Ok(PutItemOutput::builder().build())
    }

    async fn update_item(&self, input: UpdateItemInputBuilder) -> Result<UpdateItemOutput, DynamoDbError> {
        let input = input.build().map_err(unbuilt)?;
        let request = UpdateItemRequest {
            table_name: input.table_name.unwrap_or_default(),
            key: asked(input.key.unwrap_or_default()),
            update_expression: input.update_expression,
            condition_expression: input.condition_expression,
            expression_attribute_names: input.expression_attribute_names,
            expression_attribute_values: input.expression_attribute_values.map(asked),
            return_values: input.return_values.map(|values| values.as_str().to_owned()),
            ..Default::default()
        };
        let answer = self.database.update_item(request).map_err(refused)?;
        Ok(UpdateItemOutput::builder().set_attributes(answer.attributes.map(told)).build())
    }

    async fn delete_item(&self, input: DeleteItemInputBuilder) -> Result<DeleteItemOutput, DynamoDbError> {
        let input = input.build().map_err(unbuilt)?;
        let request = DeleteItemRequest {
            table_name: input.table_name.unwrap_or_default(),
            key: asked(input.key.unwrap_or_default()),
            condition_expression: input.condition_expression,
            expression_attribute_names: input.expression_attribute_names,
            expression_attribute_values: input.expression_attribute_values.map(asked),
            ..Default::default()
        };
        self.database.delete_item(request).map_err(refused)?;
        Ok(DeleteItemOutput::builder().build())
    }

    async fn transact_write_items(
        &self,
        input: TransactWriteItemsInputBuilder,
    ) -> Result<TransactWriteItemsOutput, DynamoDbError> {
        let input = input.build().map_err(unbuilt)?;
        let writes = input.transact_items.unwrap_or_default().into_iter().map(write).collect();
        let request = TransactWriteItemsRequest { transact_items: writes, ..Default::default() };
        self.database.transact_write_items(request).map_err(refused)?;
        Ok(TransactWriteItemsOutput::builder().build())
    }
}

fn write(write: TransactWriteItem) -> Write {
    Write {
        put: write.put.map(|put| TransactPut {
            table_name: put.table_name,
            item: asked(put.item),
            condition_expression: put.condition_expression,
            expression_attribute_names: put.expression_attribute_names,
            expression_attribute_values: put.expression_attribute_values.map(asked),
            ..Default::default()
        }),
        update: write.update.map(|update| TransactUpdate {
            table_name: update.table_name,
            key: asked(update.key),
            update_expression: update.update_expression,
            condition_expression: update.condition_expression,
            expression_attribute_names: update.expression_attribute_names,
            expression_attribute_values: update.expression_attribute_values.map(asked),
            ..Default::default()
        }),
        delete: write.delete.map(|delete| TransactDelete {
            table_name: delete.table_name,
            key: asked(delete.key),
            condition_expression: delete.condition_expression,
            expression_attribute_names: delete.expression_attribute_names,
            expression_attribute_values: delete.expression_attribute_values.map(asked),
            ..Default::default()
        }),
        condition_check: write.condition_check.map(|check| TransactConditionCheck {
            table_name: check.table_name,
            key: asked(check.key),
            condition_expression: check.condition_expression,
            expression_attribute_names: check.expression_attribute_names,
            expression_attribute_values: check.expression_attribute_values.map(asked),
            ..Default::default()
        }),
    }
}

// ---- Values ----

fn asked(item: Item) -> HashMap<String, Value> {
    item.into_iter().map(|(name, value)| (name, to_database(value))).collect()
}

fn told(item: HashMap<String, Value>) -> Item {
    item.into_iter().map(|(name, value)| (name, from_database(value))).collect()
}

fn to_database(value: AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => Value::S(text),
        AttributeValue::N(number) => Value::N(number),
        AttributeValue::Bool(is) => Value::BOOL(is),
        AttributeValue::Null(is) => Value::NULL(is),
        AttributeValue::B(bytes) => Value::B(bytes.into_inner()),
        AttributeValue::Ss(texts) => Value::SS(texts),
        AttributeValue::Ns(numbers) => Value::NS(numbers),
        AttributeValue::Bs(blobs) => Value::BS(blobs.into_iter().map(Blob::into_inner).collect()),
        AttributeValue::L(values) => Value::L(values.into_iter().map(to_database).collect()),
        AttributeValue::M(members) => Value::M(asked(members)),
        // The SDK's list may grow; the store writes what is above.
        unknown => unreachable!("the store wrote {unknown:?}"),
    }
}

fn from_database(value: Value) -> AttributeValue {
    match value {
        Value::S(text) => AttributeValue::S(text),
        Value::N(number) => AttributeValue::N(number),
        Value::BOOL(is) => AttributeValue::Bool(is),
        Value::NULL(is) => AttributeValue::Null(is),
        Value::B(bytes) => AttributeValue::B(Blob::new(bytes)),
        Value::SS(texts) => AttributeValue::Ss(texts),
        Value::NS(numbers) => AttributeValue::Ns(numbers),
        Value::BS(blobs) => AttributeValue::Bs(blobs.into_iter().map(Blob::new).collect()),
        Value::L(values) => AttributeValue::L(values.into_iter().map(from_database).collect()),
        Value::M(members) => AttributeValue::M(told(members)),
    }
}

// ---- Errors ----

fn refused(err: DynoxideError) -> DynamoDbError {
    let code = err.error_type().rsplit('#').next().map(str::to_owned);
    let reasons = match &err {
        DynoxideError::TransactionCanceledException(_, reasons) => reasons.iter().map(|r| r.code.clone()).collect(),
        _ => Vec::new(),
    };
    DynamoDbError { code, reasons, cause: err.into() }
}

fn unbuilt(err: impl std::error::Error + Send + Sync + 'static) -> DynamoDbError {
    DynamoDbError { code: None, reasons: Vec::new(), cause: err.into() }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::operation::batch_get_item::BatchGetItemInput;
    use aws_sdk_dynamodb::operation::delete_item::DeleteItemInput;
    use aws_sdk_dynamodb::operation::get_item::GetItemInput;
    use aws_sdk_dynamodb::operation::put_item::PutItemInput;
    use aws_sdk_dynamodb::operation::query::QueryInput;
    use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsInput;
    use aws_sdk_dynamodb::operation::update_item::UpdateItemInput;
    use aws_sdk_dynamodb::types::{ConditionCheck, Delete, KeysAndAttributes, Put, ReturnValue, Update};

    use super::*;
    use crate::dynamodb::{client, memory};

    const TABLE: &str = "ozma";

    fn text(value: &str) -> AttributeValue {
        AttributeValue::S(value.to_owned())
    }

    fn key(sk: &str) -> Item {
        [("pk", "a"), ("sk", sk)].map(|(name, part)| (name.to_owned(), text(part))).into()
    }

    /// A row with a value of every kind.
    fn row(sk: &str) -> Item {
        let blob = || Blob::new([0, 255]);
        let deep = AttributeValue::M([("deep".to_owned(), text("x"))].into());
        let values = [
            ("n", AttributeValue::N("1".to_owned())),
            ("bool", AttributeValue::Bool(true)),
            ("null", AttributeValue::Null(true)),
            ("b", AttributeValue::B(blob())),
            ("ss", AttributeValue::Ss(vec!["x".to_owned(), "y".to_owned()])),
            ("ns", AttributeValue::Ns(vec!["1".to_owned(), "2.5".to_owned()])),
            ("bs", AttributeValue::Bs(vec![blob()])),
            ("l", AttributeValue::L(vec![text("x"), deep])),
        ];
        key(sk).into_iter().chain(values.map(|(name, value)| (name.to_owned(), value))).collect()
    }

    /// What is answered to each operation, in turn.
    async fn answers(table: &dyn DynamoDb) -> Vec<String> {
        const NEW: &str = "attribute_not_exists(pk)";
        let mut said = Vec::new();
        fn outcome<T>(answer: Result<T, DynamoDbError>, of: impl Fn(T) -> String) -> String {
            answer.map_or_else(|err| format!("{:?} {:?}", err.code, err.reasons), of)
        }
        let sorted = |item: Item| {
            let mut attributes: Vec<_> = item.into_iter().map(|(name, value)| format!("{name}={value:?}")).collect();
            attributes.sort_unstable();
            attributes.join(" ")
        };
        let put = || PutItemInput::builder().table_name(TABLE).condition_expression(NEW);
        for _ in 0..2 {
            said.push(outcome(table.put_item(put().set_item(Some(row("1")))).await, |_| String::new()));
        }
        said.push(outcome(table.put_item(put().item("pk", text("a"))).await, |_| String::new()));
        let get = |sk| GetItemInput::builder().table_name(TABLE).set_key(Some(key(sk))).consistent_read(true);
        for sk in ["1", "absent"] {
            said.push(outcome(table.get_item(get(sk)).await, |a| format!("{:?}", a.item.map(sorted))));
        }
        for (expected, values) in [("1", ReturnValue::AllNew), ("7", ReturnValue::AllNew)] {
            let update = UpdateItemInput::builder().table_name(TABLE).set_key(Some(key("1"))).return_values(values);
            let update = update
                .update_expression("ADD #n :one REMOVE ss")
                .condition_expression("#n = :expected")
                .expression_attribute_names("#n", "n")
                .expression_attribute_values(":one", AttributeValue::N("1".to_owned()))
                .expression_attribute_values(":expected", AttributeValue::N(expected.to_owned()));
            said.push(outcome(table.update_item(update).await, |a| format!("{:?}", a.attributes.map(sorted))));
        }
        let transaction = || {
            let put = Put::builder().table_name(TABLE).set_item(Some(row("2"))).condition_expression(NEW);
            let update = Update::builder().table_name(TABLE).set_key(Some(key("3"))).update_expression("SET l = :l");
            let update = update.expression_attribute_values(":l", text("l"));
            let check =
                ConditionCheck::builder().table_name(TABLE).set_key(Some(key("1"))).condition_expression("n = :two");
            let check = check.expression_attribute_values(":two", AttributeValue::N("2".to_owned()));
            let delete = Delete::builder().table_name(TABLE).set_key(Some(key("0")));
            TransactWriteItemsInput::builder()
                .transact_items(TransactWriteItem::builder().put(put.build().unwrap()).build())
                .transact_items(TransactWriteItem::builder().update(update.build().unwrap()).build())
                .transact_items(TransactWriteItem::builder().condition_check(check.build().unwrap()).build())
                .transact_items(TransactWriteItem::builder().delete(delete.build().unwrap()).build())
        };
        for _ in 0..2 {
            said.push(outcome(table.transact_write_items(transaction()).await, |_| String::new()));
        }
        for ascending in [true, false] {
            let query = QueryInput::builder().table_name(TABLE).scan_index_forward(ascending).limit(2);
            let query = query
                .key_condition_expression("pk = :pk AND sk >= :from")
                .expression_attribute_values(":pk", text("a"))
                .expression_attribute_values(":from", text("1"));
            said.push(outcome(table.query(query).await, |a| {
                let rows: Vec<String> = a.items.unwrap_or_default().into_iter().map(sorted).collect();
                format!("{rows:?} {:?}", a.last_evaluated_key.map(sorted))
            }));
        }
        let delete =
            DeleteItemInput::builder().table_name(TABLE).set_key(Some(key("3"))).condition_expression("l = :l");
        for expected in ["other", "l"] {
            let delete = delete.clone().expression_attribute_values(":l", text(expected));
            said.push(outcome(table.delete_item(delete).await, |_| String::new()));
        }
        let wanted = KeysAndAttributes::builder().keys(key("2")).keys(key("3")).build().unwrap();
        let batch = BatchGetItemInput::builder().request_items(TABLE, wanted);
        said.push(outcome(table.batch_get_item(batch).await, |a| {
            let rows = a.responses.unwrap_or_default().remove(TABLE).unwrap_or_default();
            format!("{:?}", rows.into_iter().map(sorted).collect::<Vec<_>>())
        }));
        said
    }

    #[tokio::test]
    async fn it_answers_as_the_client_does() {
        let [one, other] = [memory(), memory()];
        for database in [&one, &other] {
            ozma_store::create_table(&client(database.clone()), TABLE).await.unwrap();
        }
        let told = answers(&Direct::new(one)).await;
        assert_eq!(told, answers(&client(other)).await);
        assert_eq!(told[1], r#"Some("ConditionalCheckFailedException") []"#);
        let cancelled = r#"Some("TransactionCanceledException") ["ConditionalCheckFailed", "None", "None", "None"]"#;
        assert_eq!(told[8], cancelled);
        assert!(told[9].contains("deep"), "{told:?}");
    }
}
