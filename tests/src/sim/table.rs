//! The table: the real client and the real database in memory, with the door in between.

use std::sync::{Arc, LazyLock};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use ozma_local::dynamodb::InProcess;
use serde::Deserialize;
use serde_json::{Value, json};

use super::TABLE;
use super::core::Core;
use super::door::{Passing, Service};
use super::laws::Laws;
use super::mutants::Mutant;

#[derive(Clone)]
pub(super) struct Table {
    pub(super) core: Arc<Core>,
    pub(super) database: InProcess,
    pub(super) laws: Arc<Laws>,
    pub(super) mutant: Option<Mutant>,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Table")
    }
}

impl Table {
    /// The SDK's own tries are off, so that each fault shows.
    pub(super) fn client(self, calm: &Client) -> Client {
        let config = calm.config().to_builder().retry_config(RetryConfig::disabled());
        Client::from_conf(config.http_client(self).build())
    }

    async fn answer(self, mut request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let operation = request.headers().get("x-amz-target").and_then(|target| target.split_once('.'));
        let operation = operation.map(|(_, operation)| operation.to_owned()).unwrap_or_default();
        let body = request.body().bytes().unwrap_or_default().to_vec();
        let reads = matches!(operation.as_str(), "GetItem" | "Query" | "BatchGetItem");
        let eventual =
            reads && serde_json::from_slice(&body).is_ok_and(|Read { consistent }| consistent == Some(false));
        // Most are reads, which nobody looks into unless the story is told.
        let sent = LazyLock::new(move || serde_json::from_slice::<Value>(&body).unwrap_or_default());
        if let Some(mutant) = self.mutant
            && let Some(mutated) = mutant.on_table(&operation, &sent)
        {
            *request.body_mut() = mutated.to_string().into();
        }
        let call = || format!("{operation} {}", keys(&sent).join(" "));
        // What an eventually consistent read sees may be as old as its request.
        let stale = (eventual && self.core.strikes(self.core.chances.stale, "a read is stale"))
            .then(|| self.database.answer(&request));
        let passing = self.core.pass(Service::Table, call).await;
        match passing {
            Passing::RequestLost => return Err(ConnectorError::io("request lost".into())),
            Passing::Throttled => return Ok(refused("ProvisionedThroughputExceededException", &[])),
            Passing::Through
                if operation == "TransactWriteItems"
                    && self.core.strikes(self.core.chances.conflict, "a transaction conflicts") =>
            {
                let writes = sent["TransactItems"].as_array().map_or(0, Vec::len);
                let mut reasons = vec![json!({ "Code": "None" }); writes];
                reasons[0] = json!({ "Code": "TransactionConflict", "Message": "Transaction is ongoing for the item" });
                return Ok(refused("TransactionCanceledException", &reasons));
            }
            Passing::Through | Passing::ReplyLost => {}
        }
        let answer = match stale {
            Some(answer) => answer?,
            None => self.database.answer(&request)?,
        };
        if answer.status().is_success() && !reads {
            let read = |pk: &str, sk: &str| self.database.row(TABLE, pk, sk);
            self.laws.wrote(&touched(&sent), read, self.core.time());
        }
        self.core.back(call).await;
        match passing {
            Passing::ReplyLost => Err(ConnectorError::io("reply lost".into())),
            _ => Ok(answer),
        }
    }
}

impl HttpClient for Table {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Table {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.clone().answer(request))
    }
}

/// What is to be known of a read.
#[derive(Deserialize)]
struct Read {
    #[serde(rename = "ConsistentRead")]
    consistent: Option<bool>,
}

/// An error as DynamoDB spells it.
fn refused(error: &str, reasons: &[Value]) -> HttpResponse {
    let kind = format!("com.amazonaws.dynamodb.v20120810#{error}");
    let body = json!({ "__type": kind, "message": error, "CancellationReasons": reasons });
    let status = StatusCode::try_from(400).expect("a status");
    let mut answer = HttpResponse::new(status, body.to_string().into());
    answer.headers_mut().insert("content-type", "application/x-amz-json-1.0");
    answer
}

/// Partition and sort key of every row that a request writes.
fn touched(sent: &Value) -> Vec<(String, String)> {
    let key = |at: &Value| {
        let part = |name: &str| at[name]["S"].as_str().map(str::to_owned);
        part("pk").zip(part("sk"))
    };
    let single = [&sent["Item"], &sent["Key"]];
    let many = sent["TransactItems"].as_array().into_iter().flatten();
    let many = many.flat_map(|write| [&write["Put"]["Item"], &write["Update"]["Key"], &write["Delete"]["Key"]]);
    single.into_iter().chain(many).filter_map(key).collect()
}

/// For the trace.
fn keys(sent: &Value) -> Vec<String> {
    let mut keys: Vec<String> = touched(sent).into_iter().map(|(pk, sk)| format!("{pk}/{sk}")).collect();
    if let Some(partition) = sent["ExpressionAttributeValues"][":pk"]["S"].as_str() {
        keys.push(partition.to_owned());
    }
    keys
}
