//! Outcomes on the bus, work in queues, and what is parked.

use jiff::Timestamp;
use ozma_app::ports::{Bus, Queue, QueueMessage, QueueName, RunEnded};
use ozma_aws::bus::EventBridgeBus;
use ozma_aws::parking::Parking;
use ozma_aws::queue::SqsQueue;
use ozma_domain::state::RunState;
use serde_json::{Value, json};

use crate::seam::{Seam, Step, execution, ok, team};

async fn publish(answer: Step) -> (Result<(), String>, Value) {
    let seam = Seam::new([answer]);
    let bus = EventBridgeBus::new(aws_sdk_eventbridge::Client::new(&seam.sdk()), "ozma");
    let event = RunEnded {
        id: "run/1/SUCCEEDED".to_owned(),
        run_id: execution(1).run,
        team: team(),
        state: RunState::Succeeded,
        ended_at: Timestamp::from_second(1_800_000_000).unwrap(),
        title: "a title".to_owned(),
        message: "done".to_owned(),
    };
    let published = bus.publish(&event).await.map_err(|err| err.what);
    let mut sent = seam.sent().remove(0);
    let detail = sent["Entries"][0]["Detail"].take();
    assert_eq!(serde_json::from_str::<RunEnded>(detail.as_str().unwrap()).unwrap(), event);
    (published, sent)
}

#[tokio::test]
async fn an_outcome_is_published_when_its_entry_is_taken() {
    let (published, sent) = publish(ok("PutEvents", json!({ "FailedEntryCount": 0, "Entries": [{}] }))).await;
    published.unwrap();
    let entry = json!({
        "EventBusName": "ozma",
        "Source": "oz.run",
        "DetailType": "Run State Change",
        "Time": 1_800_000_000,
        "Resources": [execution(1).run.to_string()],
        "Detail": null,
    });
    assert_eq!(sent["Entries"], json!([entry]));
}

#[tokio::test]
async fn an_entry_that_failed_is_an_error_though_the_call_is_answered() {
    let entry = json!({ "ErrorCode": "InternalFailure", "ErrorMessage": "try again" });
    let (published, _) = publish(ok("PutEvents", json!({ "FailedEntryCount": 1, "Entries": [entry] }))).await;
    assert_eq!(published.unwrap_err(), "the event bus refused an outcome: InternalFailure try again");
}

#[tokio::test]
async fn a_queue_that_the_function_does_not_have_is_named() {
    let seam = Seam::new([]);
    let queue = SqsQueue::new(aws_sdk_sqs::Client::new(&seam.sdk()), [(QueueName::Ticks, "ticks".to_owned())]);
    let err = queue.send(QueueMessage::Complete { team: team(), run: execution(1).run }).await.unwrap_err();
    assert_eq!(err.what, "this function does not send to the queue of ends");
}

#[tokio::test]
async fn the_team_is_the_message_group_so_that_queues_are_fair() {
    let seam = Seam::new([ok("SendMessage", json!({ "MessageId": "1" }))]);
    let ticks = (QueueName::Ticks, "https://sqs.example/ticks".to_owned());
    let queue = SqsQueue::new(aws_sdk_sqs::Client::new(&seam.sdk()), [ticks]);
    queue.send(QueueMessage::Tick { team: team() }).await.unwrap();
    let body = r#"{"type":"tick","team":"acme"}"#;
    let expected = json!({ "QueueUrl": "https://sqs.example/ticks", "MessageGroupId": "acme", "MessageBody": body });
    assert_eq!(seam.sent(), [expected]);
}

#[tokio::test]
async fn what_is_parked_fits_a_message_whatever_was_received() {
    for (character, count) in
        [("a", 1), ("a", 1024 * 1024), ("ü", 512 * 1024), ("\"", 1024 * 1024), ("\u{1}", 1024 * 1024)]
    {
        let seam = Seam::new([ok("SendMessage", json!({ "MessageId": "1" }))]);
        let parking = Parking::new(aws_sdk_sqs::Client::new(&seam.sdk()), "https://sqs.example/parking");
        let body = character.repeat(count);
        parking.park("dispatch", &"r".repeat(5_000), &body).await.unwrap();
        let sent = seam.sent();
        let message = sent[0]["MessageBody"].as_str().unwrap();
        assert!(message.len() <= 1024 * 1024, "{} bytes", message.len());
        let message: Value = serde_json::from_str(message).unwrap();
        assert_eq!(message["function"], "dispatch");
        let kept = message["body"].as_str().unwrap();
        assert!(!kept.is_empty() && body.starts_with(kept), "{character:?}");
    }
}
