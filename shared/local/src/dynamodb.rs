//! DynamoDB in process: an ordinary SDK client whose HTTP layer calls a dynoxide database (one SQLite file) directly.
//! No port, no network, no TLS, no signature.

mod direct;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::config::endpoint::{Endpoint, EndpointFuture, Params, ResolveEndpoint};
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region, RuntimeComponents, StalledStreamProtectionConfig};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use dynoxide::actions::transact_write_items::TransactWriteItemsRequest;
use dynoxide::{Database, DynoxideError};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use direct::Direct;

const EXPIRE_EVERY: Duration = Duration::from_secs(3600);

/// Why a table file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{path} was written by a newer oz: update oz or choose another --data-dir", path = .path.display())]
    Newer { path: PathBuf, source: DynoxideError },
    #[error("{path} is damaged or not a table file: restore it from a copy or choose another --data-dir", path = .path.display())]
    Damaged { path: PathBuf, source: DynoxideError },
    #[error("could not open {path}", path = .path.display())]
    Unusable { path: PathBuf, source: DynoxideError },
    #[error("the path {path} is not UTF-8: choose another --data-dir", path = .path.display())]
    NotUtf8 { path: PathBuf },
}

/// Opens the file, or creates it. A commit is on the disk before it is answered (SQLite's WAL, `synchronous=FULL`).
pub fn open(path: &Path) -> Result<Arc<Database>, OpenError> {
    let text = path.to_str().ok_or_else(|| OpenError::NotUtf8 { path: path.to_owned() })?;
    Database::new(text).map(Arc::new).map_err(|source| refusal(path.to_owned(), source))
}

/// dynoxide has no kinds for these. The tests pin its words.
fn refusal(path: PathBuf, source: DynoxideError) -> OpenError {
    let words = source.to_string();
    if words.contains("newer version of Dynoxide") {
        OpenError::Newer { path, source }
    } else if ["not a valid SQLite", "not a database", "malformed"].iter().any(|said| words.contains(said)) {
        OpenError::Damaged { path, source }
    } else {
        OpenError::Unusable { path, source }
    }
}

/// Deletes rows whose time is over, as DynamoDB does by itself: now and each hour, for as long as the database is used.
pub fn keep_expiring(database: &Arc<Database>) {
    let database = Arc::downgrade(database);
    tokio::spawn(async move {
        while let Some(database) = database.upgrade() {
            let swept = tokio::task::spawn_blocking(move || database.sweep_ttl()).await;
            match swept {
                Ok(Ok(0)) | Err(_) => {}
                Ok(Ok(rows)) => tracing::debug!(rows, "rows whose time was over were deleted"),
                Ok(Err(err)) => tracing::warn!(error = %err, "could not delete rows whose time is over"),
            }
            tokio::time::sleep(EXPIRE_EVERY).await;
        }
    });
}

/// A database that is gone when its last client is.
pub fn memory() -> Arc<Database> {
    Arc::new(Database::memory().expect("SQLite opens in memory"))
}

pub fn client(database: Arc<Database>) -> aws_sdk_dynamodb::Client {
    let in_process = InProcess { database };
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("local"))
        .endpoint_resolver(in_process.clone())
        .allow_no_auth()
        .idempotency_token_provider(NO_TOKEN)
        .retry_config(RetryConfig::standard())
        // There is no wire that could stall.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .http_client(in_process)
        .build();
    aws_sdk_dynamodb::Client::from_conf(config)
}

/// Stands for the token that the SDK puts on every transaction to make its own retries safe. No answer is lost within a
/// process, and dynoxide looks through all tokens of the last ten minutes at each transaction, so it does not get this
/// one. A token that the caller chose arrives.
const NO_TOKEN: &str = "00000000-0000-0000-0000-000000000000";

/// What stands behind a client.
#[derive(Clone)]
struct InProcess {
    database: Arc<Database>,
}

impl std::fmt::Debug for InProcess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InProcess")
    }
}

/// One place, whatever is asked: the rules of the cloud's regions have no say here.
impl ResolveEndpoint for InProcess {
    fn resolve_endpoint<'a>(&'a self, _: &'a Params) -> EndpointFuture<'a> {
        EndpointFuture::ready(Ok(Endpoint::builder().url("http://dynamodb.local").build()))
    }
}

impl HttpClient for InProcess {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for InProcess {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let database = self.database.clone();
        // A commit waits for the disk, and a call waits for the one database lock.
        let answer = tokio::task::spawn_blocking(move || answer(&database, &request));
        HttpConnectorFuture::new(async move { answer.await.map_err(|err| ConnectorError::other(err.into(), None))? })
    }
}

fn answer(database: &Database, request: &HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let operation =
        request.headers().get("x-amz-target").and_then(|target| target.split_once('.')).unwrap_or_default().1;
    let body = request.body().bytes().ok_or_else(|| ConnectorError::user("the body is not in memory".into()))?;
    let (status, json) = match dispatch(database, operation, body) {
        Ok(json) => (200, json),
        Err(err) => (err.status_code(), err.to_json()),
    };
    let status = StatusCode::try_from(status).map_err(|err| ConnectorError::other(err.into(), None))?;
    let mut response = HttpResponse::new(status, SdkBody::from(json));
    response.headers_mut().insert("content-type", "application/x-amz-json-1.0");
    Ok(response)
}

fn dispatch(database: &Database, operation: &str, body: &[u8]) -> Result<String, DynoxideError> {
    match operation {
        "GetItem" => run(body, |request| database.get_item(request)),
        "PutItem" => run(body, |request| database.put_item(request)),
        "UpdateItem" => run(body, |request| database.update_item(request)),
        "DeleteItem" => run(body, |request| database.delete_item(request)),
        "Query" => run(body, |request| database.query(request)),
        "Scan" => run(body, |request| database.scan(request)),
        "BatchGetItem" => run(body, |request| database.batch_get_item(request)),
        "BatchWriteItem" => run(body, |request| database.batch_write_item(request)),
        "TransactGetItems" => run(body, |request| database.transact_get_items(request)),
        "TransactWriteItems" => run(body, |mut request: TransactWriteItemsRequest| {
            request.client_request_token.take_if(|token| token == NO_TOKEN);
            database.transact_write_items(request)
        }),
        "CreateTable" => run(body, |request| database.create_table(request)),
        "DescribeTable" => run(body, |request| database.describe_table(request)),
        "UpdateTimeToLive" => run(body, |request| database.update_time_to_live(request)),
        "DescribeTimeToLive" => run(body, |request| database.describe_time_to_live(request)),
        other => Err(DynoxideError::UnsupportedCapability(other.to_owned())),
    }
}

fn run<Q: DeserializeOwned, A: Serialize>(
    body: &[u8],
    operation: impl FnOnce(Q) -> Result<A, DynoxideError>,
) -> Result<String, DynoxideError> {
    let request = serde_json::from_slice(body).map_err(|err| invalid(&err))?;
    let answer = operation(request).map_err(|err| match err {
        // A mark for dynoxide's own server, which never shows on the wire.
        DynoxideError::EnvelopedValidation(text) => DynoxideError::ValidationException(text),
        err => err,
    })?;
    serde_json::to_string(&answer).map_err(|err| DynoxideError::InternalServerError(err.to_string()))
}

/// What the SDK sends has the right shape, so this is a value that DynamoDB refuses, such as an empty set. dynoxide puts
/// a class such as `VALIDATION:` before its words.
fn invalid(err: &serde_json::Error) -> DynoxideError {
    let words = err.to_string();
    let unmarked = words
        .split_once(':')
        .filter(|(mark, _)| mark.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'))
        .map_or(words.as_str(), |(_, rest)| rest);
    DynoxideError::ValidationException(unmarked.to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use aws_sdk_dynamodb::Client;
    use aws_sdk_dynamodb::error::SdkError;
    use aws_sdk_dynamodb::types::{
        AttributeDefinition, AttributeValue, BillingMode, Delete, KeySchemaElement, KeyType, Put,
        ReturnConsumedCapacity, ScalarAttributeType, TimeToLiveSpecification, TransactWriteItem, Update,
    };

    use super::*;

    fn text(value: impl Into<String>) -> AttributeValue {
        AttributeValue::S(value.into())
    }

    async fn create_table(client: &Client) {
        let attribute = |name: &str| {
            AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S).build().unwrap()
        };
        let key = |name: &str, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap();
        let create = client.create_table().table_name("ozma").billing_mode(BillingMode::PayPerRequest);
        let create = create.attribute_definitions(attribute("pk")).attribute_definitions(attribute("sk"));
        create.key_schema(key("pk", KeyType::Hash)).key_schema(key("sk", KeyType::Range)).send().await.unwrap();
    }

    fn put(pk: &str, sk: &str) -> Put {
        let put = Put::builder()
            .table_name("ozma")
            .item("pk", text(pk))
            .item("sk", text(sk))
            .item("n", text("x".repeat(200)));
        put.condition_expression("attribute_not_exists(pk)").build().unwrap()
    }

    fn writes(puts: impl IntoIterator<Item = Put>) -> Vec<TransactWriteItem> {
        puts.into_iter().map(|put| TransactWriteItem::builder().put(put).build()).collect()
    }

    #[tokio::test]
    async fn operations_and_their_errors_are_those_of_the_sdk() {
        let client = client(memory());
        let absent = client.describe_table().table_name("ozma").send().await.unwrap_err();
        assert!(absent.into_service_error().is_resource_not_found_exception());
        create_table(&client).await;
        let again = client.create_table().table_name("ozma").send().await.unwrap_err();
        assert!(matches!(again, SdkError::ServiceError(_)));
        let ttl = TimeToLiveSpecification::builder().enabled(true).attribute_name("ttl").build().unwrap();
        client.update_time_to_live().table_name("ozma").time_to_live_specification(ttl).send().await.unwrap();

        let two = writes([put("a", "1"), put("a", "2")]);
        let done = client.transact_write_items().set_transact_items(Some(two.clone()));
        let done = done.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await.unwrap();
        assert_eq!(done.consumed_capacity()[0].capacity_units(), Some(4.0));
        let again =
            client.transact_write_items().set_transact_items(Some(two)).send().await.unwrap_err().into_service_error();
        let aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError::TransactionCanceledException(
            again,
        ) = again
        else {
            panic!("{again:?}")
        };
        let codes: Vec<_> = again.cancellation_reasons().iter().filter_map(|reason| reason.code()).collect();
        assert_eq!(codes, ["ConditionalCheckFailed", "ConditionalCheckFailed"]);

        let update = client.update_item().table_name("ozma").key("pk", text("a")).key("sk", text("1"));
        let update = update
            .update_expression("SET n = :n")
            .condition_expression("n = :n")
            .expression_attribute_values(":n", text("y"));
        assert!(update.send().await.unwrap_err().into_service_error().is_conditional_check_failed_exception());

        let page = client.query().table_name("ozma").key_condition_expression("pk = :pk").limit(1);
        let page = page.expression_attribute_values(":pk", text("a")).scan_index_forward(false).send().await.unwrap();
        assert_eq!((page.count(), page.last_evaluated_key().unwrap()["sk"].as_s().unwrap().as_str()), (1, "2"));

        let empty = client.put_item().table_name("ozma").item("pk", text("b")).item("sk", text(""));
        let empty = empty.send().await.unwrap_err().into_service_error();
        assert_eq!(empty.meta().code(), Some("ValidationException"));
        assert!(empty.meta().message().unwrap().contains("empty string"), "{empty:?}");
        let set = client.put_item().table_name("ozma").item("pk", text("b")).item("sk", text("1"));
        let set = set.item("set", AttributeValue::Ss(vec![])).send().await.unwrap_err().into_service_error();
        assert_eq!(set.meta().code(), Some("ValidationException"));
        assert!(!set.meta().message().unwrap().contains("VALIDATION"), "{set:?}");
        assert_eq!(client.list_tables().send().await.unwrap_err().raw_response().unwrap().status().as_u16(), 501);
    }

    #[tokio::test]
    async fn a_token_of_the_caller_makes_a_transaction_repeatable() {
        let client = client(memory());
        create_table(&client).await;
        let send = async |token: Option<&str>| {
            let transaction = client.transact_write_items().set_transact_items(Some(writes([put("a", "1")])));
            transaction.set_client_request_token(token.map(str::to_owned)).send().await.is_ok()
        };
        assert!(send(Some("mine")).await);
        assert!(send(Some("mine")).await);
        assert!(!send(None).await);
        assert!(!send(Some("another")).await);
    }

    #[tokio::test]
    async fn what_was_answered_is_there_when_the_file_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.db");
        let first = client(open(&path).unwrap());
        create_table(&first).await;
        first.put_item().table_name("ozma").item("pk", text("a")).item("sk", text("1")).send().await.unwrap();
        // As `kill -9` leaves it: the first is not closed.
        let copy = folder.path().join("copy.db");
        for suffix in ["", "-wal"] {
            std::fs::copy(format!("{}{suffix}", path.display()), format!("{}{suffix}", copy.display())).unwrap();
        }
        let again = client(open(&copy).unwrap());
        assert_eq!(again.scan().table_name("ozma").send().await.unwrap().count(), 1);
    }

    fn refused(path: &Path) -> String {
        open(path).map(|_| ()).unwrap_err().to_string().replace(&path.display().to_string(), "FILE")
    }

    #[test]
    fn a_file_that_cannot_be_used_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.db");
        std::fs::write(&path, "a letter, not a table".repeat(100)).unwrap();
        assert_eq!(
            refused(&path),
            "FILE is damaged or not a table file: restore it from a copy or choose another --data-dir"
        );
        assert_eq!(std::fs::read(&path).unwrap(), "a letter, not a table".repeat(100).as_bytes());

        std::fs::remove_file(&path).unwrap();
        drop(open(&path).unwrap());
        let mut bytes = std::fs::read(&path).unwrap();
        let recorded =
            |window: &[u8]| window.starts_with(b"schema_version") && window[14..].iter().all(u8::is_ascii_digit);
        let row = bytes.windows(16).position(recorded).unwrap();
        bytes[row + 14..row + 16].copy_from_slice(b"99");
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(refused(&path), "FILE was written by a newer oz: update oz or choose another --data-dir");
        assert_eq!(std::fs::read(&path).unwrap(), bytes);

        bytes[100..].fill(0x5A);
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(
            refused(&path),
            "FILE is damaged or not a table file: restore it from a copy or choose another --data-dir"
        );

        let absent = folder.path().join("absent/table.db");
        assert_eq!(refused(&absent), "could not open FILE");
    }

    /// `cargo test --release -p ozma-local -- --ignored --nocapture transactions_per_second`
    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "measures"]
    #[expect(clippy::print_stderr, reason = "the measure is for the person who asked for it")]
    async fn transactions_per_second() {
        for tasks in [1, 8] {
            let folder = tempfile::tempdir_in(".").unwrap();
            let client = client(open(&folder.path().join("table.db")).unwrap());
            create_table(&client).await;
            let start = Instant::now();
            let running: Vec<_> = (0..tasks)
                .map(|task| {
                    let client = client.clone();
                    tokio::spawn(async move {
                        let mut slowest = Duration::ZERO;
                        for n in 0..4000 / tasks {
                            let begun = Instant::now();
                            let pk = format!("{task}-{n}");
                            let delete =
                                Delete::builder().table_name("ozma").key("pk", text(&pk)).key("sk", text("queue"));
                            let update =
                                Update::builder().table_name("ozma").key("pk", text(&pk)).key("sk", text("slot"));
                            let update =
                                update.update_expression("SET n = :n").expression_attribute_values(":n", text("1"));
                            let mut items = writes([put(&pk, "run")]);
                            items.push(TransactWriteItem::builder().update(update.build().unwrap()).build());
                            items.push(TransactWriteItem::builder().delete(delete.build().unwrap()).build());
                            client.transact_write_items().set_transact_items(Some(items)).send().await.unwrap();
                            slowest = slowest.max(begun.elapsed());
                        }
                        slowest
                    })
                })
                .collect();
            let mut slowest = Duration::ZERO;
            for task in running {
                slowest = slowest.max(task.await.unwrap());
            }
            let seconds = start.elapsed().as_secs_f64();
            eprintln!("{tasks} tasks: {:.0} transactions of 3 items per second, slowest {slowest:?}", 4000.0 / seconds);
        }
    }
}
