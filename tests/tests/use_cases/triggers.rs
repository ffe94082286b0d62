//! What starts runs from outside: signed webhooks and planned events. Each delivery makes one run, however often it comes
//! and whatever is lost; and whoever cannot sign learns nothing.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use jiff::SignedDuration;
use ozma_app::automations;
use ozma_domain::automation::{Automation, AutomationConfig};
use ozma_domain::harness::HarnessKind;
use ozma_domain::id::{AutomationId, RunId};
use ozma_domain::limits;
use ozma_domain::run::RunSource;
use ozma_domain::standard_webhooks::SigningSecret;
use ozma_domain::template::RunTemplate;
use ozma_schedule::{Disposition, Handled, handle};
use ozma_tests::world::configs::template;
use ozma_tests::world::{Fault, World};
use serde_json::{Value, json};
use tower::ServiceExt as _;

const BODY: &str = r#"{"hello":"world"}"#;

fn config(name: &str) -> AutomationConfig {
    let template = RunTemplate {
        title: Some("Deploy".to_owned()),
        deadline_seconds: Some(60),
        metadata: [("a".to_owned(), "b".to_owned())].into(),
        ..template("make deploy", HarnessKind::Shell)
    };
    AutomationConfig {
        name: name.to_owned(),
        paused: false,
        template,
        trigger: Default::default(),
        weight: None,
        runs_per_hour: None,
        budget: Default::default(),
    }
}

async fn automation(world: &World) -> Automation {
    automations::create(&world.app, &world.team, config("deploy")).await.expect("created")
}

fn secret(world: &World, automation: &Automation) -> SigningSecret {
    automation.secret(&world.app.settings.webhook_key)
}

/// A delivery, made now.
struct Delivery<'a> {
    world: &'a World,
    address: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

/// A signed delivery.
fn delivery<'a>(world: &'a World, automation: &Automation, id: &str) -> Delivery<'a> {
    signed(world, automation.id.as_str(), &secret(world, automation), id, BODY.as_bytes())
}

fn signed<'a>(world: &'a World, address: &str, secret: &SigningSecret, id: &str, body: &[u8]) -> Delivery<'a> {
    let at = world.now().as_second();
    let signature = secret.sign(id, at, body);
    let headers =
        vec![("webhook-id", id.to_owned()), ("webhook-timestamp", at.to_string()), ("webhook-signature", signature)];
    Delivery { world, address: address.to_owned(), headers, body: body.to_vec() }
}

impl Delivery<'_> {
    fn with(mut self, name: &'static str, value: Option<&str>) -> Self {
        self.headers.retain(|(found, _)| *found != name);
        self.headers.extend(value.map(|value| (name, value.to_owned())));
        self
    }

    /// Status and body, as they are.
    async fn send(&self) -> (u16, String) {
        let mut request = Request::post(format!("/webhooks/{}", self.address));
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let request = request.body(Body::from(self.body.clone())).expect("a request");
        let router = ozma_webhook::router(Arc::new(self.world.app.clone()));
        let response = router.oneshot(request).await.expect("an answer");
        let status = response.status().as_u16();
        let bytes = to_bytes(response.into_body(), usize::MAX).await.expect("a body");
        (status, String::from_utf8(bytes.to_vec()).expect("a text"))
    }

    async fn check(&self, expected: &str) -> String {
        let (status, body) = self.send().await;
        let value: Value = serde_json::from_str(&body).expect("JSON");
        let told = match status {
            202 => format!("202 {}", value["duplicate"]),
            _ => format!("{status} {}: {}", value["error"].as_str().unwrap(), value["detail"].as_str().unwrap()),
        };
        assert!(told.starts_with(expected), "{told}\nexpected: {expected}");
        value["run_id"].as_str().unwrap_or_default().to_owned()
    }
}

async fn runs(world: &World) -> usize {
    world.app.store.latest_requests(&world.team, None, 1_000).await.expect("a store").len()
}

#[tokio::test]
async fn a_signed_webhook_starts_the_automations_run_once() {
    let world = World::new("free").await;
    let automation = automation(&world).await;
    let run = delivery(&world, &automation, "msg_1").check("202 false").await;
    let id: RunId = run.parse().unwrap();
    let request = world.app.store.request(&world.team, id).await.unwrap().unwrap();
    assert_eq!((request.title.as_str(), request.creator.as_str()), ("Deploy", "deploy"));
    assert_eq!((request.source, request.deadline_seconds), (RunSource::Api, Some(60)));
    assert_eq!((&request.agent_config["name"], &request.metadata["a"]), (&json!("deploy"), &"b".to_owned()));
    // A replay, and a later attempt with a time and a signature of its own.
    assert_eq!(delivery(&world, &automation, "msg_1").check("202 true").await, run);
    world.clock.forward(SignedDuration::from_hours(20));
    assert_eq!(delivery(&world, &automation, "msg_1").check("202 true").await, run);
    assert_ne!(delivery(&world, &automation, "msg_2").check("202 false").await, run);
    let other = signed(&world, automation.id.as_str(), &secret(&world, &automation), "msg_1", b"\"other\"");
    other.check("409 conflict: another body").await;
    // The ids of one automation are nothing to another.
    let second = automations::create(&world.app, &world.team, config("second")).await.unwrap();
    assert_ne!(delivery(&world, &second, "msg_1").check("202 false").await, run);
    assert_eq!(runs(&world).await, 3);
    world.drain().await;
    world.agent(id).await.work(&world).await;
    assert_eq!(world.state(id).await, "SUCCEEDED");
}

#[tokio::test]
async fn what_is_not_signed_by_the_scheme_is_refused_and_changes_nothing() {
    let world = World::new("free").await;
    let automation = automation(&world).await;
    let good = || delivery(&world, &automation, "msg_1");
    let no_signature = "401 unverified: webhook-signature: no signature in it is right";
    good().with("webhook-signature", Some("v1,AAAA")).check(no_signature).await;
    good().with("webhook-id", Some("msg_2")).check(no_signature).await;
    let body = br#"{"hello":"World"}"#.to_vec();
    Delivery { body, ..good() }.check(no_signature).await;
    let later = (world.now().as_second() + 1).to_string();
    good().with("webhook-timestamp", Some(&later)).check(no_signature).await;
    good().with("webhook-id", None).check("401 unverified: webhook-id: missing").await;
    good().with("webhook-signature", None).check("401 unverified: webhook-signature: missing").await;
    good().with("webhook-timestamp", Some("now")).check("401 unverified: webhook-timestamp: not of").await;
    let large =
        signed(&world, automation.id.as_str(), &secret(&world, &automation), "msg_3", &vec![b' '; 1024 * 1024 + 1]);
    large.check("413 too_large: the body has more than 1024 KiB").await;
    let old = good();
    world.clock.forward(SignedDuration::from_secs(301));
    old.check("401 unverified: webhook-timestamp: more than 5 minutes").await;
    assert_eq!(runs(&world).await, 0);
    let most = signed(&world, automation.id.as_str(), &secret(&world, &automation), "msg_4", &json_of(1024 * 1024));
    most.check("202 false").await;
}

#[tokio::test]
async fn svix_names_are_taken_too() {
    let world = World::new("free").await;
    let automation = automation(&world).await;
    let mut delivery = delivery(&world, &automation, "msg_1");
    for ((name, _), svix) in delivery.headers.iter_mut().zip(["svix-id", "svix-timestamp", "svix-signature"]) {
        *name = svix;
    }
    delivery.check("202 false").await;
}

#[tokio::test]
async fn an_address_that_takes_nothing_is_like_one_that_nobody_has() {
    let world = World::new("free").await;
    let there = automation(&world).await;
    let paused = automations::create(&world.app, &world.team, config("paused")).await.unwrap();
    let deleted = automations::create(&world.app, &world.team, config("deleted")).await.unwrap();
    let pause = AutomationConfig { paused: true, ..config("paused") };
    automations::update(&world.app, &world.team, "paused", pause).await.unwrap();
    automations::delete(&world.app, &world.team, "deleted").await.unwrap();
    let unknown = Automation { id: AutomationId::new([99; 16]), ..there.clone() };

    let mut answers = Vec::new();
    for automation in [&paused, &deleted, &unknown] {
        // Whoever can sign and whoever cannot are told the same.
        answers.push(delivery(&world, automation, "msg_1").send().await);
        answers.push(delivery(&world, automation, "msg_1").with("webhook-signature", Some("v1,AAAA")).send().await);
    }
    for address in ["nowhere", "%00", "%FF", "..", "3Fz9kQ0vWm7LxYb2RtUe1C1", "wh_3Fz9kQ0vWm7LxYb2RtUe1C"] {
        answers.push(Delivery { address: address.to_owned(), ..delivery(&world, &there, "msg_1") }.send().await);
    }
    assert_eq!(answers[0].0, 404);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    assert_eq!(runs(&world).await, 0);

    // What came while it was paused was refused, and is taken when it comes again.
    automations::update(&world.app, &world.team, "paused", config("paused")).await.unwrap();
    delivery(&world, &paused, "msg_1").check("202 false").await;
}

#[tokio::test]
async fn a_rotated_secret_overlaps_with_the_one_before() {
    let world = World::new("free").await;
    let first = automation(&world).await;
    let second = automations::rotate(&world.app, &world.team, "deploy").await.unwrap();
    delivery(&world, &first, "msg_1").check("202 false").await;
    delivery(&world, &second, "msg_1").check("202 true").await;
    world.clock.forward(SignedDuration::from_hours(24));
    delivery(&world, &first, "msg_2").check("401 unverified").await;
    delivery(&world, &second, "msg_2").check("202 false").await;
    let third = automations::rotate(&world.app, &world.team, "deploy").await.unwrap();
    delivery(&world, &first, "msg_3").check("401 unverified").await;
    delivery(&world, &second, "msg_3").check("202 false").await;
    delivery(&world, &third, "msg_4").check("202 false").await;
}

#[tokio::test]
async fn an_environment_that_is_gone_is_told_and_started_with_when_it_is_replaced() {
    let world = World::new("free").await;
    let environments = ozma_app::resources::create::<ozma_domain::environment::Environment>;
    let named =
        |name: &str| ozma_domain::environment::EnvironmentConfig { name: name.to_owned(), ..Default::default() };
    let web = environments(&world.app, &world.team, named("web")).await.unwrap();
    let mut config = config("deploy");
    config.template.environment = Some(web.uid.clone());
    let automation = automations::create(&world.app, &world.team, config.clone()).await.unwrap();
    let web = world.app.store.environment(&world.team, &web.uid).await.unwrap().unwrap();
    ozma_app::resources::delete(&world.app, &web).await.unwrap();
    delivery(&world, &automation, "msg_1").check("409 environment_missing").await;
    config.template.environment = None;
    automations::update(&world.app, &world.team, "deploy", config).await.unwrap();
    delivery(&world, &automation, "msg_1").check("202 false").await;
}

/// JSON of so many bytes.
fn json_of(bytes: usize) -> Vec<u8> {
    format!("\"{}\"", "x".repeat(bytes - 2)).into_bytes()
}

/// A run that an event was answered with.
struct Started {
    run_id: RunId,
    duplicate: bool,
}

/// Delivers until it is answered with a run, as a sender does. One fault at a time needs two tries.
async fn insist(world: &World, automation: &Automation) -> String {
    for _ in 0..5 {
        let (status, body) = delivery(world, automation, "msg_1").send().await;
        assert!(status == 202 || status == 500, "{status} {body}");
        if status == 202 {
            return serde_json::from_str::<Value>(&body).unwrap()["run_id"].as_str().unwrap().to_owned();
        }
    }
    panic!("a delivery does not recover");
}

#[tokio::test]
async fn whatever_request_is_lost_a_delivery_makes_one_run() {
    let calm = World::new("free").await;
    let made = automation(&calm).await;
    let before = calm.faults.requests();
    insist(&calm, &made).await;
    let requests = calm.faults.requests() - before;
    assert!(requests >= 3, "the story is told: {requests} requests");
    for (nth, fault) in Fault::each(requests) {
        let world = World::new("free").await;
        let automation = automation(&world).await;
        world.faults.plan(nth, fault);
        let run = insist(&world, &automation).await;
        assert!(!world.faults.is_pending(), "{fault:?} at request {nth}");
        assert_eq!(insist(&world, &automation).await, run, "{fault:?} at request {nth}");
        assert_eq!(runs(&world).await, 1, "{fault:?} at request {nth}");
        assert_eq!(world.drain().await, 1, "{fault:?} at request {nth}");
    }
}

#[tokio::test]
async fn a_planned_event_starts_one_run_for_each_occurrence() {
    let world = World::new("free").await;
    let automation = automation(&world).await;
    let event = |id: &str| json!({"id": id, "source": "oz.schedule", "detail": {"automation": automation.id}});
    let at = |time: &str| json!({"automation": automation.id, "scheduled_time": time});
    let start = async |event: &Value| match handle(&world.app, event).await {
        Ok(Handled::Delivered(delivered)) => {
            let [run_id] = delivered.runs()[..] else { panic!("{delivered:?}") };
            Started { run_id, duplicate: delivered.duplicate }
        }
        other => panic!("{other:?}"),
    };
    let first = start(&event("e-1")).await;
    let request = world.app.store.request(&world.team, first.run_id).await.unwrap().unwrap();
    assert_eq!((request.source, first.duplicate), (RunSource::ScheduledAgent, false));
    let again = start(&event("e-1")).await;
    assert_eq!((again.run_id, again.duplicate), (first.run_id, true));
    assert_ne!(start(&event("e-2")).await.run_id, first.run_id);
    let three = start(&at("2026-11-21T03:00:00Z")).await;
    assert_eq!(start(&at("2026-11-21T04:00:00+01:00")).await.run_id, three.run_id);
    assert_ne!(start(&at("2026-11-22T03:00:00Z")).await.run_id, three.run_id);
    // A webhook's delivery of the same id is another thing.
    delivery(&world, &automation, "e-1").check("202 false").await;
    assert_eq!(runs(&world).await, 5);
}

#[tokio::test]
async fn an_event_that_will_never_work_is_parked_and_one_that_may_is_tried_again() {
    let world = World::new("free").await;
    let automation = automation(&world).await;
    let event = json!({"id": "e-1", "detail": {"automation": automation.id}});
    let fails = async |event: &Value| handle(&world.app, event).await.expect_err("no run").disposition();
    world.faults.plan(1, Fault::RequestLost);
    assert_eq!(fails(&event).await, Disposition::Retry);
    world.faults.plan(3, Fault::ReplyLost);
    assert_eq!(fails(&event).await, Disposition::Retry);
    assert!(matches!(handle(&world.app, &event).await, Ok(Handled::Delivered(_))));
    assert_eq!(runs(&world).await, 1);
    let other = json!({"id": "e-1", "detail": {"automation": automation.id, "x": 1}});
    assert_eq!(fails(&other).await, Disposition::Park);
    assert_eq!(fails(&json!({"id": "e-1", "detail": {"automation": "deploy"}})).await, Disposition::Park);
    let unknown = json!({"id": "e-1", "detail": {"automation": AutomationId::new([99; 16])}});
    assert_eq!(fails(&unknown).await, Disposition::Park);
    // What is planned while it is paused is left out, and does not come later.
    let pause = AutomationConfig { paused: true, ..config("deploy") };
    automations::update(&world.app, &world.team, "deploy", pause).await.unwrap();
    let event = json!({"id": "e-2", "detail": {"automation": automation.id}});
    assert!(matches!(handle(&world.app, &event).await, Ok(Handled::Paused)));
    assert_eq!(runs(&world).await, 1);
}

#[tokio::test]
async fn a_team_has_so_many_automations_and_no_more() {
    let world = World::new("build").await;
    for number in 0..limits::AUTOMATIONS {
        automations::create(&world.app, &world.team, config(&format!("deploy {number}"))).await.expect("created");
    }
    let refused = automations::create(&world.app, &world.team, config("one more")).await.unwrap_err();
    assert_eq!(refused.to_string(), "the team has 1000 automations already; delete some that are not needed any more");
    automations::delete(&world.app, &world.team, "deploy 7").await.expect("deleted");
    automations::create(&world.app, &world.team, config("one more")).await.expect("created");
}
