//! Queue, timer and bus: what is sent is received from SQS.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use aws_sdk_scheduler::types::{ActionAfterCompletion, FlexibleTimeWindowMode};
use aws_sdk_sqs::types::QueueAttributeName;
use jiff::{SignedDuration, Timestamp};
use ozma_app::clock::SystemClock;
use ozma_app::ports::{Clock, QueueMessage, QueueName, RunEnded, Timer};
use ozma_aws::bus::EventBridgeBus;
use ozma_aws::queue::SqsQueue;
use ozma_aws::timer::AwsTimer;
use ozma_domain::id::RunId;
use ozma_tests::conformance::{
    BusUnderTest, QueueUnderTest, TimerUnderTest, bus_conforms, notify, queue_conforms, timer_conforms,
};
use ozma_tests::emulator::{ACCOUNT, Emulator, REGION};
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// A name that nothing else in the emulator has.
fn unique(kind: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("{kind}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A new queue's URL and ARN.
async fn queue(sqs: &aws_sdk_sqs::Client, kind: &str) -> (String, String) {
    let made = sqs.create_queue().queue_name(unique(kind)).send().await.expect("a queue");
    let url = made.queue_url.expect("its address");
    let asked = sqs.get_queue_attributes().queue_url(&url).attribute_names(QueueAttributeName::QueueArn);
    let attributes = asked.send().await.expect("its attributes").attributes.expect("its attributes");
    (url, attributes[&QueueAttributeName::QueueArn].clone())
}

/// Receives from the queue, hands on what `decode` makes of each body, and deletes it, until nobody listens.
fn poll<T: Send + 'static>(
    sqs: &aws_sdk_sqs::Client,
    url: String,
    done: UnboundedSender<T>,
    decode: impl Fn(&str) -> T + Send + 'static,
) {
    let sqs = sqs.clone();
    tokio::spawn(async move {
        while !done.is_closed() {
            let receive = sqs.receive_message().queue_url(&url).max_number_of_messages(10).wait_time_seconds(1);
            // The emulator ends with its test.
            let Ok(received) = receive.send().await else { return };
            for message in received.messages() {
                let _ = done.send(decode(message.body().expect("a body")));
                let delete = sqs.delete_message().queue_url(&url);
                let _ = delete.set_receipt_handle(message.receipt_handle.clone()).send().await;
            }
        }
    });
}

fn decoded(body: &str) -> QueueMessage {
    serde_json::from_str(body).expect("a message of ours")
}

struct Queues {
    queue: SqsQueue,
    arns: BTreeMap<QueueName, String>,
    received: UnboundedReceiver<QueueMessage>,
}

async fn queues(emulator: &Emulator) -> Queues {
    let sqs = aws_sdk_sqs::Client::new(emulator.sdk());
    let (done, received) = unbounded_channel();
    let (mut urls, mut arns) = (BTreeMap::new(), BTreeMap::new());
    for name in QueueName::ALL {
        let (url, arn) = queue(&sqs, &name.to_string()).await;
        poll(&sqs, url.clone(), done.clone(), move |body| {
            let message = decoded(body);
            assert_eq!(message.queue(), name, "{message:?}");
            message
        });
        urls.insert(name, url);
        arns.insert(name, arn);
    }
    Queues { queue: SqsQueue::new(sqs, urls), arns, received }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_in_sqs() {
    let emulator = Emulator::start().await;
    queue_conforms(async || {
        let Queues { queue, received, .. } = queues(&emulator).await;
        QueueUnderTest { queue: Arc::new(queue), received }
    })
    .await;
}

const ROLE: &str = "arn:aws:iam::000000000000:role/timers";

fn timer(emulator: &Emulator, queues: &Queues, queue: QueueName, group: &str) -> AwsTimer {
    AwsTimer {
        queue,
        queue_arn: queues.arns[&queue].clone(),
        sqs: queues.queue.clone(),
        clock: Arc::new(SystemClock),
        scheduler: aws_sdk_scheduler::Client::new(emulator.sdk()),
        group: group.to_owned(),
        role_arn: ROLE.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_timer_in_sqs() {
    let emulator = Emulator::start().await;
    timer_conforms(async || {
        let queues = queues(&emulator).await;
        let timer = Arc::new(timer(&emulator, &queues, QueueName::Ticks, "no-group-is-needed"));
        // SQS delays by whole seconds.
        TimerUnderTest {
            timer,
            clock: Arc::new(SystemClock),
            received: queues.received,
            step: SignedDuration::from_secs(1),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_a_quarter_of_an_hour_the_timer_is_a_schedule_made_once() {
    let emulator = Emulator::start().await;
    let queues = queues(&emulator).await;
    let scheduler = aws_sdk_scheduler::Client::new(emulator.sdk());
    let group = "timers";
    scheduler.create_schedule_group().name(group).send().await.expect("a group");
    let timer_of = |queue| timer(&emulator, &queues, queue, group);
    let timer = timer_of(QueueName::Ticks);
    let tick = |team: &str| QueueMessage::Tick { team: team.parse().expect("a team") };
    let planned = async || {
        let listed = scheduler.list_schedules().group_name(group).send().await.expect("lists");
        listed.schedules().iter().map(|schedule| schedule.name().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };

    let at: Timestamp = "2100-01-01T00:00:00.250Z".parse().expect("a time");
    for _ in 0..2 {
        timer.send_at(at, tick("a")).await.expect("plans, and finds it planned");
    }
    let names = planned().await;
    assert_eq!(names.len(), 1, "the same message for the same time is one schedule: {names:?}");
    let schedule = scheduler.get_schedule().group_name(group).name(&names[0]).send().await.expect("the schedule");
    assert_eq!(schedule.schedule_expression(), Some("at(2100-01-01T00:00:01)"), "in UTC, and not before its time");
    assert_eq!(schedule.schedule_expression_timezone(), Some("UTC"));
    assert_eq!(schedule.action_after_completion(), Some(&ActionAfterCompletion::Delete));
    assert_eq!(schedule.flexible_time_window().map(|window| window.mode()), Some(&FlexibleTimeWindowMode::Off));
    let target = schedule.target().expect("a target");
    assert_eq!((target.arn(), target.role_arn()), (queues.arns[&QueueName::Ticks].as_str(), ROLE));
    assert_eq!(target.input().map(decoded), Some(tick("a")), "Scheduler sends what the queue would have sent");
    assert_eq!(target.sqs_parameters().and_then(|sqs| sqs.message_group_id()), Some("a"));

    timer.send_at(at, tick("b")).await.expect("plans");
    timer.send_at(at + SignedDuration::from_secs(1), tick("a")).await.expect("plans");
    assert_eq!(planned().await.len(), 3, "another message or another time is another schedule");

    timer.send_at(SystemClock.now() + SignedDuration::from_secs(899), tick("c")).await.expect("sends");
    assert_eq!(planned().await.len(), 3, "what SQS can hold back needs no schedule");

    let others = planned().await;
    let end = QueueMessage::Complete { team: "a".parse().expect("a team"), run: RunId::new(1, [7; 10]) };
    for at in [SystemClock.now(), at] {
        let err = timer.send_at(at, end.clone()).await.expect_err("an end is told at once");
        assert_eq!(err.what, "this function has no timer for the queue of ends");
    }

    let notify = notify("a", 1);
    timer_of(QueueName::Errands).send_at(at, notify.clone()).await.expect("plans");
    let new = planned().await.into_iter().find(|name| !others.contains(name)).expect("one more");
    let schedule = scheduler.get_schedule().group_name(group).name(new).send().await.expect("the schedule");
    let target = schedule.target().expect("a target");
    assert_eq!((target.arn(), target.input().map(decoded)), (queues.arns[&QueueName::Errands].as_str(), Some(notify)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bus_on_eventbridge() {
    let emulator = Emulator::start().await;
    let sqs = aws_sdk_sqs::Client::new(emulator.sdk());
    let events = aws_sdk_eventbridge::Client::new(emulator.sdk());
    bus_conforms(async || {
        let name = unique("bus");
        events.create_event_bus().name(&name).send().await.expect("a bus");
        let (url, arn) = queue(&sqs, "subscriber").await;
        let pattern = r#"{"source":["oz.run"],"detail-type":["Run State Change"]}"#;
        let rule = events.put_rule().event_bus_name(&name).name("ended").event_pattern(pattern);
        rule.send().await.expect("a rule");
        let target = aws_sdk_eventbridge::types::Target::builder().id("queue").arn(&arn).build().expect("a target");
        let targets = events.put_targets().event_bus_name(&name).rule("ended").targets(target);
        targets.send().await.expect("a target");
        let (done, received) = unbounded_channel();
        poll(&sqs, url, done, |body| {
            let mut event: Value = serde_json::from_str(body).expect("an event");
            assert_eq!((&event["account"], &event["region"]), (&ACCOUNT.into(), &REGION.into()));
            let ended: RunEnded = serde_json::from_value(event["detail"].take()).expect("an outcome");
            assert_eq!(event["resources"], serde_json::json!([ended.run_id.to_string()]), "rules may match the run");
            ended
        });
        let bus = Arc::new(EventBridgeBus::new(events.clone(), name));
        BusUnderTest { bus, received }
    })
    .await;
}
