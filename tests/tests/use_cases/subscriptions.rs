//! What is told to the outside: each change of a run reaches each receiver that wants to know of it, signed, however often
//! something is lost or repeated; and a receiver that is slow, gone or somebody else's network is nobody else's trouble.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use ozma_app::deliver::deliver;
use ozma_app::ports::QueueMessage;
use ozma_app::sweep::{Repairs, sweep};
use ozma_app::{App, cancel, complete, messages, subscriptions};
use ozma_domain::id::RunId;
use ozma_domain::notification::{Notification, Progress};
use ozma_domain::receiver::Reach;
use ozma_domain::standard_webhooks::Envelope;
use ozma_domain::subscription::{Subscription, SubscriptionConfig, Topic};
use ozma_tests::world::{Fault, World};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A receiver on this machine: keeps what comes, and answers as it is told.
#[derive(Clone)]
struct Receiver {
    url: String,
    received: Arc<Mutex<Vec<Request>>>,
    answers: Arc<Mutex<Vec<&'static str>>>,
}

/// A request as it came.
#[derive(Clone, Debug)]
struct Request {
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

const OK: &str = "HTTP/1.1 204 No Content\r\n\r\n";
const NO: &str = "HTTP/1.1 500 No\r\ncontent-length: 3\r\n\r\nno!";
const GONE: &str = "HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n";
const LATER: &str = "HTTP/1.1 429 Later\r\nretry-after: 7200\r\ncontent-length: 0\r\n\r\n";
/// It takes the request and never says anything.
const SILENCE: &str = "";

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/hook?x=1", listener.local_addr().expect("an address"));
        let receiver = Self { url, received: Arc::default(), answers: Arc::default() };
        let serving = receiver.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(connection));
            }
        });
        receiver
    }

    async fn serve(self, mut connection: TcpStream) {
        let mut bytes = Vec::new();
        let request = loop {
            if connection.read_buf(&mut bytes).await.expect("readable") == 0 {
                return;
            }
            if let Some(request) = Request::parse(&bytes) {
                break request;
            }
        };
        self.received.lock().unwrap().push(request);
        let answer = self.answers.lock().unwrap().pop().unwrap_or(OK);
        if answer == SILENCE {
            std::future::pending::<()>().await;
        }
        connection.write_all(answer.as_bytes()).await.expect("writable");
    }

    /// The next requests are answered so, one after the other; those after them are taken.
    fn will_answer(&self, answers: &[&'static str]) {
        *self.answers.lock().unwrap() = answers.iter().rev().copied().collect();
    }

    fn received(&self) -> Vec<Request> {
        self.received.lock().unwrap().clone()
    }

    /// `run.queued run.started …`, in the order in which they came.
    fn heard(&self) -> String {
        let heard = self.received().into_iter().map(|request| request.json()["type"].as_str().unwrap().to_owned());
        heard.collect::<Vec<_>>().join(" ")
    }
}

impl Request {
    /// Nothing until all of it is there.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).expect("a text");
        let mut lines = head.lines();
        assert_eq!(lines.next(), Some("POST /hook?x=1 HTTP/1.1"));
        let pair = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
        let headers: Vec<_> = lines.filter_map(pair).collect();
        let request = Self { headers, body: bytes[end + 4..].to_vec() };
        let length = request.header("content-length")?.parse::<usize>().ok()?;
        (request.body.len() == length).then_some(request)
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    fn id(&self) -> String {
        self.header("webhook-id").expect("an id").to_owned()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

async fn subscribe(world: &World, name: &str, receiver: &Receiver, topics: &[Topic]) -> Subscription {
    let url = receiver.url.parse().expect("an address");
    let topics = topics.iter().copied().collect();
    let config = SubscriptionConfig { name: name.to_owned(), url, topics, paused: false };
    subscriptions::create(&world.app, &world.team, config).await.expect("created")
}

async fn subscription(world: &World, name: &str) -> Subscription {
    subscriptions::find(&world.app, &world.team, name).await.expect("there")
}

async fn log(world: &World, name: &str) -> Vec<Notification> {
    subscriptions::notifications(&world.app, &world.team, name, None, 100).await.expect("a log")
}

/// The newest notification of a subscription: `pending 2 [500 500]`.
async fn stands(world: &World, name: &str) -> String {
    let log = log(world, name).await;
    let newest = log.first().expect("a notification");
    let statuses: Vec<String> = newest
        .attempts
        .iter()
        .map(|attempt| attempt.status.map_or_else(|| "-".to_owned(), |status| status.to_string()))
        .collect();
    let progress = match newest.progress() {
        Progress::Pending => "pending",
        Progress::Delivered => "delivered",
        Progress::Dead => "dead",
    };
    format!("{progress} [{}]", statuses.join(" "))
}

/// A run that ends, with all that is owed of that done.
async fn end(world: &World) -> RunId {
    let (run, agent) = world.claimed().await;
    agent.start(world).await.expect("started");
    agent.finish(world, 0).await.expect("finished");
    world.launcher.end(agent.execution);
    world.pump().await;
    run
}

/// Lets the time of each timer come, one after the other, until `until` or there is none.
async fn pass(world: &World, until: Timestamp) {
    while let Some((at, message)) = world.timer.next() {
        if at > until {
            world.app.timer.send_at(at, message).await.expect("set again");
            break;
        }
        if at > world.now() {
            world.clock.forward(at.duration_since(world.now()));
        }
        world.app.queue.send(message).await.expect("sent");
        world.pump().await;
    }
    world.clock.forward(until.duration_since(world.now()).max(SignedDuration::ZERO));
}

fn later(world: &World, seconds: i64) -> Timestamp {
    world.now() + SignedDuration::from_secs(seconds)
}

#[track_caller]
fn verify(world: &World, request: &Request, subscription: &Subscription, at: Timestamp) {
    let envelope = Envelope::read(|name| request.header(name)).expect("the scheme's headers");
    let secret = subscription.secret(&world.app.settings.webhook_key);
    assert_eq!(envelope.verify(&request.body, &[secret], at), Ok(()));
}

#[tokio::test]
async fn an_end_is_told_once_to_each_who_wants_to_know_and_signed() {
    let world = World::new("free").await;
    let (ends, starts, failures) = (Receiver::start().await, Receiver::start().await, Receiver::start().await);
    let made = subscribe(&world, "ends", &ends, &[]).await;
    subscribe(&world, "starts", &starts, &[Topic::Queued, Topic::Started]).await;
    subscribe(&world, "failures", &failures, &[Topic::Failed]).await;
    let run = end(&world).await;

    assert_eq!(
        (ends.heard(), starts.heard(), failures.heard()),
        ("run.succeeded".to_owned(), "run.queued run.started".to_owned(), String::new())
    );
    let [request] = &ends.received()[..] else { panic!("one") };
    verify(&world, request, &made, world.now());
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert!(request.header("user-agent").unwrap().starts_with("Ozma/"));
    let said = request.json();
    assert_eq!((&said["data"]["run_id"], &said["data"]["state"]), (&run.to_string().into(), &"SUCCEEDED".into()));
    assert_eq!(said["data"]["message"], "done");
    // Whatever is repeated, nothing is told again.
    complete::complete(&world.app, run).await.unwrap();
    world.pump().await;
    assert_eq!(ends.received().len(), 1);
    assert_eq!(stands(&world, "ends").await, "delivered [204]");
    assert_eq!(sweep(&world.app, Timestamp::MIN).await.unwrap(), Repairs::default());
    assert!(log(&world, "failures").await.is_empty());
}

#[tokio::test]
async fn every_way_to_end_is_told() {
    let world = World::new("free").await;
    let receiver = Receiver::start().await;
    subscribe(&world, "all", &receiver, &Topic::ALL).await;
    // While it waits; a run that goes on after its end has another end.
    let run = world.accept("true").await;
    cancel::cancel(&world.app, &world.team, run, "somebody").await.unwrap();
    world.pump().await;
    world.clock.forward(SignedDuration::from_secs(1));
    messages::send(&world.app, &world.team, run, "somebody", "again").await.unwrap();
    world.pump().await;
    world.clock.forward(SignedDuration::from_secs(1));
    cancel::cancel(&world.app, &world.team, run, "somebody").await.unwrap();
    world.pump().await;
    let ids: BTreeSet<String> = receiver.received().iter().map(Request::id).collect();
    assert_eq!(ids.len(), receiver.received().len(), "{}", receiver.heard());
    let heard = receiver.heard();
    let count = |topic: &str| heard.split(' ').filter(|found| *found == topic).count();
    assert_eq!((count("run.cancelled"), count("run.queued")), (2, 2), "{heard}");
}

#[tokio::test]
async fn a_team_without_subscriptions_pays_one_read() {
    let world = World::new("free").await;
    let receiver = Receiver::start().await;
    let measure = async || {
        let (run, agent) = world.claimed().await;
        agent.start(&world).await.unwrap();
        agent.finish(&world, 0).await.unwrap();
        world.launcher.end(agent.execution);
        let before = world.faults.requests();
        complete::complete(&world.app, run).await.unwrap();
        world.faults.requests() - before
    };
    let without = measure().await;
    subscribe(&world, "ends", &receiver, &[]).await;
    assert!(measure().await > without, "it asks who wants to know");
    subscriptions::delete(&world.app, &world.team, "ends").await.unwrap();
    assert_eq!(measure().await, without, "after the last one is gone nobody asks any more");
}

#[tokio::test]
async fn what_fails_is_tried_by_the_schedule_until_it_is_dead() {
    let world = World::new("free").await;
    let receiver = Receiver::start().await;
    subscribe(&world, "ends", &receiver, &[]).await;
    receiver.will_answer(&[NO; 12]);
    let began = world.now();
    end(&world).await;
    let pauses = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
    for (tried, pause) in (1..).zip(pauses) {
        assert_eq!(receiver.received().len(), tried);
        pass(&world, later(&world, pause - 1)).await;
        assert_eq!(receiver.received().len(), tried, "not before {pause} s");
        pass(&world, later(&world, 1)).await;
    }
    assert_eq!(receiver.received().len(), 10);
    let newest = log(&world, "ends").await.remove(0);
    assert_eq!((newest.progress(), newest.next_at), (Progress::Dead, None));
    assert_eq!(newest.attempts[9].body, "no!");
    pass(&world, later(&world, 1_000_000)).await;
    assert_eq!(receiver.received().len(), 10);
    // Each with the same id and body, and signed at its own time.
    let received = receiver.received();
    let first = &received[0];
    assert!(received.iter().all(|request| request.id() == first.id() && request.body == first.body));
    assert_ne!(received[9].header("webhook-timestamp"), first.header("webhook-timestamp"));
    let since = subscription(&world, "ends").await.failing_since.unwrap();
    assert!(since >= began && since <= began + SignedDuration::from_secs(1));
}

#[tokio::test]
async fn a_receiver_that_recovers_is_told_and_counts_as_well() {
    let world = World::new("free").await;
    let receiver = Receiver::start().await;
    subscribe(&world, "ends", &receiver, &[]).await;
    receiver.will_answer(&[NO, NO]);
    end(&world).await;
    pass(&world, later(&world, 400)).await;
    assert_eq!(stands(&world, "ends").await, "delivered [500 500 204]");
    assert_eq!(subscription(&world, "ends").await.failing_since, None);
}

#[tokio::test]
async fn a_busy_receiver_says_when() {
    let world = World::new("free").await;
    let receiver = Receiver::start().await;
    subscribe(&world, "ends", &receiver, &[]).await;
    receiver.will_answer(&[LATER]);
    end(&world).await;
    pass(&world, later(&world, 7_199)).await;
    assert_eq!(receiver.received().len(), 1);
    pass(&world, later(&world, 1)).await;
    assert_eq!(stands(&world, "ends").await, "delivered [429 204]");
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_left_alone_until_somebody_resumes_it() {
    let world = World::new("free").await;
    let receiver = Receiver::start().await;
    let made = subscribe(&world, "ends", &receiver, &[]).await;
    receiver.will_answer(&[GONE]);
    end(&world).await;
    assert_eq!(stands(&world, "ends").await, "dead [410]");
    let paused = subscription(&world, "ends").await;
    assert_eq!(paused.paused_because.as_deref(), Some("the receiver answered 410 Gone"));
    end(&world).await;
    pass(&world, later(&world, 1_000_000)).await;
    assert_eq!(receiver.received().len(), 1);
    subscriptions::update(&world.app, &world.team, "ends", made.config.clone()).await.unwrap();
    end(&world).await;
    assert_eq!(receiver.received().len(), 2);
}

#[tokio::test]
async fn five_days_of_failures_pause_a_subscription() {
    let world = World::new("free").await;
    let receiver = Receiver::start().await;
    subscribe(&world, "ends", &receiver, &[]).await;
    receiver.will_answer(&[NO; 50]);
    end(&world).await;
    pass(&world, later(&world, 4 * 24 * 3600)).await;
    assert!(!subscription(&world, "ends").await.config.paused, "its one notification is dead; that is all");
    end(&world).await;
    pass(&world, later(&world, 3 * 24 * 3600)).await;
    let paused = subscription(&world, "ends").await;
    assert!(paused.config.paused && paused.paused_because.unwrap().contains("failed for 5 days"));
    assert_eq!(log(&world, "ends").await[0].reason.as_deref(), Some("the subscription is paused"));
}

#[tokio::test]
async fn what_is_paused_or_deleted_while_it_is_tried_is_given_up() {
    let world = World::new("free").await;
    let receiver = Receiver::start().await;
    let made = subscribe(&world, "ends", &receiver, &[]).await;
    receiver.will_answer(&[NO, NO]);
    end(&world).await;
    let pause = SubscriptionConfig { paused: true, ..made.config.clone() };
    subscriptions::update(&world.app, &world.team, "ends", pause).await.unwrap();
    pass(&world, later(&world, 10)).await;
    assert_eq!(stands(&world, "ends").await, "dead [500]");
    // A replay is somebody's wish, and so is a ping.
    let id = log(&world, "ends").await.remove(0).id;
    subscriptions::replay(&world.app, &world.team, "ends", id.as_str()).await.unwrap();
    world.pump().await;
    assert_eq!(stands(&world, "ends").await, "dead [500 500]");
    subscriptions::test(&world.app, &world.team, "ends").await.unwrap();
    world.pump().await;
    assert_eq!((stands(&world, "ends").await.as_str(), receiver.received().len()), ("delivered [204]", 3));

    subscriptions::update(&world.app, &world.team, "ends", made.config.clone()).await.unwrap();
    receiver.will_answer(&[NO]);
    end(&world).await;
    subscriptions::delete(&world.app, &world.team, "ends").await.unwrap();
    pass(&world, later(&world, 1_000_000)).await;
    assert_eq!(receiver.received().len(), 4);
    let row = world.app.store.notifications(&made.id, None, 1).await.unwrap().remove(0);
    assert_eq!(row.reason.as_deref(), Some("the subscription was deleted"));
    assert_eq!(sweep(&world.app, Timestamp::MIN).await.unwrap().notified, 0);
}

#[tokio::test]
async fn a_rotated_secret_signs_beside_the_one_before_for_a_day() {
    let world = World::new("free").await;
    let receiver = Receiver::start().await;
    let first = subscribe(&world, "ends", &receiver, &[]).await;
    let second = subscriptions::rotate(&world.app, &world.team, "ends").await.unwrap();
    end(&world).await;
    let request = receiver.received().remove(0);
    assert_eq!(request.header("webhook-signature").unwrap().split(' ').count(), 2);
    verify(&world, &request, &first, world.now());
    verify(&world, &request, &second, world.now());
    world.clock.forward(SignedDuration::from_hours(24));
    end(&world).await;
    let request = receiver.received().remove(1);
    assert_eq!(request.header("webhook-signature").unwrap().split(' ').count(), 1);
    verify(&world, &request, &second, world.now());
}

#[tokio::test]
async fn a_replay_is_the_same_notification_now() {
    let world = World::new("free").await;
    let receiver = Receiver::start().await;
    let made = subscribe(&world, "ends", &receiver, &[]).await;
    end(&world).await;
    world.clock.forward(SignedDuration::from_hours(24 * 20));
    let id = log(&world, "ends").await.remove(0).id;
    subscriptions::replay(&world.app, &world.team, "ends", id.as_str()).await.unwrap();
    world.pump().await;
    let [first, again] = &receiver.received()[..] else { panic!("two") };
    assert_eq!((first.id(), &first.body), (again.id(), &again.body));
    verify(&world, again, &made, world.now());
    assert_eq!(stands(&world, "ends").await, "delivered [204 204]");
    // One whose message is lost is found by the sweep.
    subscriptions::replay(&world.app, &world.team, "ends", id.as_str()).await.unwrap();
    drop(world.queue.receive().await);
    world.clock.forward(SignedDuration::from_secs(31));
    assert_eq!(sweep(&world.app, Timestamp::MIN).await.unwrap(), Repairs { notified: 1, ..Repairs::default() });
    world.pump().await;
    assert_eq!(receiver.received().len(), 3);
}

#[tokio::test]
async fn a_receiver_that_hangs_delays_nobody() {
    let world = World::new("free").await;
    let (hanging, other) = (Receiver::start().await, Receiver::start().await);
    subscribe(&world, "hanging", &hanging, &[]).await;
    subscribe(&world, "other", &other, &[]).await;
    hanging.will_answer(&[SILENCE; 5]);
    let (run, agent) = world.claimed().await;
    agent.finish(&world, 0).await.unwrap();
    world.launcher.end(agent.execution);
    // Sealed and published without a word to or from any receiver.
    assert_eq!(complete::complete(&world.app, run).await.unwrap(), []);
    assert!(hanging.received().is_empty() && world.bus.published().len() == 1);

    let mut attempts = Vec::new();
    while !world.queue.is_empty() {
        if let QueueMessage::Notify { team, subscription, notification } = world.queue.receive().await {
            let app = world.app.clone();
            attempts.push(tokio::spawn(async move { deliver(&app, &team, &subscription, &notification).await }));
        }
    }
    let patience = tokio::time::Instant::now() + Duration::from_secs(10);
    while other.received().is_empty() || hanging.received().is_empty() {
        assert!(tokio::time::Instant::now() < patience);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Whoever is at it dies. Nobody else takes the attempt until that is sure; then it counts as one.
    attempts.iter().for_each(|attempt| attempt.abort());
    assert_eq!(stands(&world, "hanging").await, "pending []");
    let id = log(&world, "hanging").await.remove(0).id;
    let busy = subscriptions::replay(&world.app, &world.team, "hanging", id.as_str()).await;
    assert!(matches!(busy, Err(subscriptions::SubscriptionError::Busy)));
    for (seconds, repaired) in [(31, 0), (30, 1)] {
        world.clock.forward(SignedDuration::from_secs(seconds));
        // The other's note may have been cut off as well.
        let repairs = sweep(&world.app, Timestamp::MIN).await.unwrap();
        assert!(repairs.notified >= repaired, "{repairs:?}");
        assert!(repaired > 0 || hanging.received().len() == 1);
    }
    world.pump().await;
    assert_eq!(stands(&world, "hanging").await, "pending [-]");
    hanging.will_answer(&[]);
    pass(&world, later(&world, 10)).await;
    assert_eq!(stands(&world, "hanging").await, "delivered [- 204]");
}

#[tokio::test]
async fn two_who_handle_the_same_message_make_one_attempt() {
    let world = World::new("free").await;
    let receiver = Receiver::start().await;
    subscribe(&world, "ends", &receiver, &[]).await;
    let (run, agent) = world.claimed().await;
    agent.finish(&world, 0).await.unwrap();
    complete::complete(&world.app, run).await.unwrap();
    let mut attempts = Vec::new();
    while !world.queue.is_empty() {
        if let QueueMessage::Notify { team, subscription, notification } = world.queue.receive().await {
            for _ in 0..8 {
                let (app, team, subscription, notification): (App, _, _, _) =
                    (world.app.clone(), team.clone(), subscription.clone(), notification.clone());
                attempts.push(tokio::spawn(async move { deliver(&app, &team, &subscription, &notification).await }));
            }
        }
    }
    for attempt in attempts {
        attempt.await.unwrap().unwrap();
    }
    assert_eq!((receiver.received().len(), stands(&world, "ends").await.as_str()), (1, "delivered [204]"));
}

/// What follows once a run has ended: what is owed, and the attempts, of which the first is answered with a failure. Handlers
/// that fail are gone, as after a crash.
async fn tell(world: &World, run: RunId) {
    drop(complete::complete(&world.app, run).await);
    world.pump().await;
    pass(world, later(world, 10)).await;
}

/// What the sweep does about it, until it is told or ten minutes are over.
async fn make_up(world: &World) {
    for _ in 0..15 {
        if log(world, "ends").await.first().is_some_and(|newest| newest.progress() == Progress::Delivered) {
            return;
        }
        pass(world, later(world, 40)).await;
        sweep(&world.app, Timestamp::MIN).await.expect("swept");
        world.pump().await;
    }
}

async fn ended(world: &World) -> RunId {
    let (run, agent) = world.claimed().await;
    agent.finish(world, 0).await.expect("finished");
    world.launcher.end(agent.execution);
    run
}

#[tokio::test]
async fn whatever_request_is_lost_an_end_is_told_and_no_attempt_counts_twice() {
    let calm = World::new("free").await;
    let receiver = Receiver::start().await;
    subscribe(&calm, "ends", &receiver, &[]).await;
    receiver.will_answer(&[NO]);
    let run = ended(&calm).await;
    let before = calm.faults.requests();
    tell(&calm, run).await;
    let requests = calm.faults.requests() - before;
    assert_eq!(stands(&calm, "ends").await, "delivered [500 204]");
    for (nth, fault) in Fault::each(requests) {
        let world = World::new("free").await;
        let receiver = Receiver::start().await;
        subscribe(&world, "ends", &receiver, &[]).await;
        receiver.will_answer(&[NO]);
        let run = ended(&world).await;
        world.faults.plan(nth, fault);
        tell(&world, run).await;
        let told = format!("{fault:?} at request {nth}");
        assert!(!world.faults.is_pending(), "{told}");
        make_up(&world).await;
        let log = log(&world, "ends").await;
        let [notification] = &log[..] else { panic!("{told}: {log:?}") };
        assert_eq!(notification.progress(), Progress::Delivered, "{told}: {notification:?}");
        let numbers: Vec<u32> = notification.attempts.iter().map(|attempt| attempt.number).collect();
        let made = receiver.received().len();
        // What was sent counts once, and so does what nobody knows whether it was sent.
        assert!((made..=made + 1).contains(&numbers.len()), "{told}: {made} were sent: {log:?}");
        assert!(numbers.iter().zip(1..).all(|(number, expected)| *number == expected), "{told}: {log:?}");
        let unknown = notification.attempts.iter().filter(|attempt| attempt.status.is_none()).count();
        assert!(unknown <= 1, "{told}: {log:?}");
        let ids: BTreeSet<String> = receiver.received().iter().map(Request::id).collect();
        assert_eq!(ids.len(), 1, "{told}");
    }
}

#[tokio::test]
async fn what_may_not_be_reached_is_refused_when_it_is_set_and_when_it_is_sent() {
    let mut world = World::new("free").await;
    let receiver = Receiver::start().await;
    let made = subscribe(&world, "ends", &receiver, &[]).await;
    // The same, moved to a cloud.
    Arc::make_mut(&mut world.app.settings).receivers = Reach::Public;
    end(&world).await;
    let newest = log(&world, "ends").await.remove(0);
    assert!(newest.attempts[0].error.as_deref().unwrap().contains("own machine"), "{newest:?}");
    assert!(receiver.received().is_empty());
    let refused = subscriptions::create(&world.app, &world.team, made.config.clone()).await;
    assert!(
        refused.is_err_and(|err| err.to_string().starts_with("url: a receiver on the control plane's own machine"))
    );
}
