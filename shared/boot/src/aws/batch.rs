//! Batches of SQS: each message on its own. One that can never be handled is parked with the reason, one that may be
//! later comes back, and neither keeps the others waiting.

use std::collections::BTreeMap;
use std::error::Error;

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent};
use futures_util::future::join_all;
use ozma_app::ports::{QueueMessage, QueueName};
use ozma_aws::parking::Parking;
use ozma_domain::text::chain;

/// Who takes messages, and from which queue.
pub struct Taker {
    pub function: &'static str,
    pub queue: QueueName,
    /// What will never be handled is kept here, where a person looks.
    pub parking: Parking,
}

/// Hands each message of a batch to `handle`, and answers which of them have to come again: those that fail. Messages that
/// say the same are handled once: what was done after the last of them arrived serves all.
pub async fn each_record<E: Error + 'static>(
    taker: &Taker,
    event: SqsEvent,
    handle: impl AsyncFn(&QueueMessage) -> Result<(), E>,
) -> SqsBatchResponse {
    let mut batch: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in event.records {
        // An empty id makes Lambda deliver the whole batch again: the safe reading of no id.
        batch.entry(record.body.unwrap_or_default()).or_default().push(record.message_id.unwrap_or_default());
    }
    let handled = batch.iter().map(async |(body, ids)| {
        let reason = match taker.read(body) {
            Ok(message) => {
                let err = handle(&message).await.err()?;
                tracing::error!(?message, error = %chain(&err), "a message could not be handled; it comes again");
                return Some(ids);
            }
            Err(reason) => reason,
        };
        let err = taker.parking.park(taker.function, &reason, body).await.err()?;
        tracing::error!(error = %chain(&err), reason, "a message could not be parked; it comes again");
        Some(ids)
    });
    let mut response = SqsBatchResponse::default();
    for id in join_all(handled).await.into_iter().flatten().flatten() {
        let mut failure = BatchItemFailure::default();
        failure.item_identifier.clone_from(id);
        response.batch_item_failures.push(failure);
    }
    response
}

impl Taker {
    /// An error is the reason for which the message is parked.
    fn read(&self, body: &str) -> Result<QueueMessage, String> {
        let Self { function, queue, .. } = self;
        let message: QueueMessage =
            serde_json::from_str(body).map_err(|err| format!("it is not a message that {function} knows: {err}"))?;
        let theirs = message.queue();
        if theirs != *queue {
            return Err(format!("it belongs into the queue of {theirs}, and {function} takes from that of {queue}"));
        }
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use aws_config::retry::RetryConfig;
    use aws_credential_types::Credentials;
    use aws_lambda_events::sqs::SqsMessage;
    use aws_sdk_sqs::config::{BehaviorVersion, Region};
    use aws_smithy_runtime_api::client::http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
    };
    use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
    use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
    use aws_smithy_types::body::SdkBody;
    use ozma_app::ports::PortError;
    use serde_json::Value;

    use super::*;

    /// SQS as far as parking needs it: keeps what is sent, and answers each time with the same status.
    #[derive(Clone, Debug)]
    struct Sqs {
        status: u16,
        parked: Arc<Mutex<Vec<Value>>>,
    }

    impl HttpClient for Sqs {
        fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
            SharedHttpConnector::new(self.clone())
        }
    }

    impl HttpConnector for Sqs {
        fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
            let sent: Value = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
            self.parked.lock().unwrap().push(serde_json::from_str(sent["MessageBody"].as_str().unwrap()).unwrap());
            HttpConnectorFuture::ready(Ok(HttpResponse::new(self.status.try_into().unwrap(), SdkBody::from("{}"))))
        }
    }

    fn tick(team: &str) -> String {
        format!(r#"{{"type":"tick","team":"{team}"}}"#)
    }

    const END: &str = r#"{"type":"complete","team":"a","run":"019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10"}"#;

    /// What became of a batch.
    #[derive(Debug, Default, PartialEq)]
    struct Became {
        /// The teams whose ticks were handled.
        handled: Vec<String>,
        /// The ids of what comes again.
        again: Vec<String>,
        /// What was put in the parking queue.
        parked: Vec<Value>,
    }

    /// Handles messages of these ids and bodies. The team `later` cannot be served now.
    async fn batch(status: u16, messages: &[(Option<&str>, &str)]) -> Became {
        let sqs = Sqs { status, parked: Arc::default() };
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .credentials_provider(Credentials::from_keys("test", "test", None))
            .retry_config(RetryConfig::disabled())
            .http_client(sqs.clone());
        let parking = Parking::new(aws_sdk_sqs::Client::from_conf(config.build()), "https://sqs.example/parking");
        let mut event = SqsEvent::default();
        event.records = messages
            .iter()
            .map(|(id, body)| {
                let mut message = SqsMessage::default();
                (message.message_id, message.body) = (id.map(str::to_owned), Some((*body).to_owned()));
                message
            })
            .collect();
        let handled = Mutex::new(Vec::new());
        let taker = Taker { function: "dispatch", queue: QueueName::Ticks, parking };
        let response = each_record(&taker, event, async |message| {
            let QueueMessage::Tick { team } = message else { panic!("{message:?}") };
            handled.lock().unwrap().push(team.to_string());
            if team.as_str() == "later" { Err(PortError::new("there is no capacity")) } else { Ok(()) }
        })
        .await;
        let again = response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect();
        let parked = sqs.parked.lock().unwrap().clone();
        Became { handled: handled.into_inner().unwrap(), again, parked }
    }

    #[tokio::test]
    async fn what_is_done_does_not_come_again() {
        let became = batch(200, &[(Some("1"), &tick("a")), (Some("2"), &tick("b"))]).await;
        assert_eq!(became, Became { handled: vec!["a".into(), "b".into()], ..Became::default() });
        assert_eq!(batch(200, &[]).await, Became::default());
    }

    #[tokio::test]
    async fn what_says_the_same_is_handled_once_and_comes_again_as_one() {
        let (a, later) = (tick("a"), tick("later"));
        let messages = [(Some("1"), &*a), (Some("2"), &*later), (Some("3"), &*a), (Some("4"), &*later)];
        let became = batch(200, &messages).await;
        assert_eq!(became.handled, ["a", "later"]);
        assert_eq!(became.again, ["2", "4"]);
    }

    #[tokio::test]
    async fn only_what_may_succeed_later_comes_again() {
        let messages = [(Some("1"), tick("a")), (Some("2"), tick("later")), (Some("3"), tick("b"))];
        let messages = messages.each_ref().map(|(id, body)| (*id, body.as_str()));
        let became = batch(200, &messages).await;
        assert_eq!((became.again, became.parked), (vec!["2".to_owned()], Vec::new()));
        assert_eq!(became.handled, ["a", "b", "later"]);
    }

    #[tokio::test]
    async fn what_will_never_succeed_is_parked_with_the_reason_and_holds_up_nobody() {
        for (body, reason) in [
            ("not JSON", "it is not a message that dispatch knows: "),
            ("", "it is not a message that dispatch knows: "),
            (r#"{"type":"of another version"}"#, "it is not a message that dispatch knows: unknown variant"),
            (r#"{"type":"tick","team":"NOT A TEAM"}"#, "it is not a message that dispatch knows: "),
            (END, "it belongs into the queue of ends, and dispatch takes from that of ticks"),
        ] {
            let became = batch(200, &[(Some("1"), body), (Some("2"), &tick("a"))]).await;
            assert!(became.handled.contains(&"a".to_owned()) && became.again.is_empty(), "{body}: {became:?}");
            let [parked] = &became.parked[..] else { panic!("{body}: {became:?}") };
            assert_eq!((&parked["function"], &parked["body"]), (&"dispatch".into(), &body.into()));
            assert!(parked["reason"].as_str().unwrap().starts_with(reason), "{parked}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_parked_comes_again_rather_than_to_be_lost() {
        let became = batch(500, &[(Some("1"), "not JSON"), (Some("2"), &tick("a"))]).await;
        assert_eq!((became.again, became.handled), (vec!["1".to_owned()], vec!["a".to_owned()]));
    }

    #[tokio::test]
    async fn a_message_without_an_id_makes_the_whole_batch_come_again() {
        assert_eq!(batch(200, &[(None, &tick("later"))]).await.again, [""], "Lambda takes an empty id as all of them");
        assert!(batch(200, &[(None, &tick("a"))]).await.again.is_empty(), "what is done needs no id");
    }
}
