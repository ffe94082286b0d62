//! A service outside that speaks: a world with its webhook, and what it sends.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use jiff::SignedDuration;
use ozma_app::complete::complete;
use ozma_app::ports::Queue as _;
use ozma_app::sweep::sweep;
use ozma_app::{automations, deliveries, webhooks};
use ozma_domain::automation::{Automation, AutomationConfig};
use ozma_domain::delivery::Delivery;
use ozma_domain::harness::HarnessKind;
use ozma_domain::id::RunId;
use ozma_domain::trigger::Source;
use ozma_domain::webhook::{Webhook, WebhookConfig};
use ozma_domain::webhook_auth::{Scheme, WebhookAuth};
use ozma_store::SavedDelivery;
use ozma_tests::world::World;
use ozma_tests::world::configs::{self, template};
use serde_json::{Value, json};
use tower::ServiceExt as _;

const MENTION: &str = include_str!("../../../events/slack/app_mention.json");
const COMMAND: &str = include_str!("../../../events/slack/slash_command.form");

/// Who says something in the payloads of Slack, and the message that began the thread.
pub(crate) const ANN: &str = "U043H11ES4V";
pub(crate) const THREAD: &str = "1785310201.104529";

/// A world with a webhook of a provider, and what the provider sends.
pub(crate) struct Outside {
    pub(crate) world: World,
    pub(crate) webhook: Webhook,
    secret: String,
}

impl Outside {
    pub(crate) async fn of(scheme: Scheme) -> Self {
        let world = World::new("build").await;
        let config = WebhookConfig {
            deliveries_per_minute: Some(100_000),
            own: serde_json::from_value(json!({"logins": ["ozma[bot]"], "mention": "@oz"})).unwrap(),
            ..configs::webhook(WebhookAuth::Signature { scheme })
        };
        webhooks::create(&world.app, &world.team, config, None).await.expect("a webhook");
        let secret = "8f742231b10e8888abcd99yyyzzz85a5".to_owned();
        let webhook = webhooks::rotate(&world.app, &world.team, "acme", Some(&secret)).await.expect("a secret");
        Self { world, webhook, secret }
    }

    /// An automation that listens there, with an agent that hears what is said to it.
    pub(crate) async fn listens(&self, name: &str, trigger: Value) -> Automation {
        self.listens_with(name, HarnessKind::Claude, trigger).await
    }

    pub(crate) async fn listens_with(&self, name: &str, harness: HarnessKind, trigger: Value) -> Automation {
        let mut config = AutomationConfig {
            name: name.to_owned(),
            paused: false,
            template: template("Do what is asked.", harness),
            trigger: serde_json::from_value(trigger).expect("a trigger"),
            weight: None,
            runs_per_hour: None,
            budget: Default::default(),
        };
        config.trigger.on = Some(Source::Webhook(self.webhook.id.clone()));
        automations::create(&self.world.app, &self.world.team, config).await.expect("an automation")
    }

    pub(crate) async fn post(&self, id: &str, more: &[(&str, &str)], body: &str) -> (u16, Value) {
        // Ids of one millisecond have no order; tests want one.
        self.world.clock.forward(SignedDuration::from_millis(1));
        let auth = self.webhook.config.auth;
        let secret = auth.parse_secret(&self.secret).expect("a secret");
        let mut request = Request::post(format!("/webhooks/{}", self.webhook.id));
        for (name, value) in auth.headers(&secret, id, self.world.now(), body.as_bytes()).expect("headers") {
            request = request.header(name, value);
        }
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).expect("a request");
        let response =
            ozma_webhook::router(Arc::new(self.world.app.clone())).oneshot(request).await.expect("an answer");
        let status = response.status().as_u16();
        let bytes = to_bytes(response.into_body(), usize::MAX).await.expect("a body");
        (status, serde_json::from_slice(&bytes).expect("JSON"))
    }

    /// Somebody mentions us at Slack: in a thread, or beginning one.
    pub(crate) async fn mention(&self, user: &str, ts: &str, thread: Option<&str>, text: &str) -> (u16, Value) {
        self.post("", &[("content-type", "application/json")], &mentioned("app_mention", user, ts, thread, text)).await
    }

    /// Somebody types a command at Slack, which shows them the answer.
    pub(crate) async fn command(&self, user: &str, text: &str) -> String {
        let text = text.replace(' ', "+");
        let body = COMMAND.replace("run+fix+the+login+%26amp%3B+the+logout", &text).replace(ANN, user);
        // What tells commands apart.
        let body = body.replace("5601234567891", &self.world.now().as_nanosecond().to_string());
        let (status, answer) = self.post("", &[("content-type", "application/x-www-form-urlencoded")], &body).await;
        assert_eq!((status, answer["response_type"].as_str()), (200, Some("ephemeral")), "{answer}");
        answer["text"].as_str().expect("a text").to_owned()
    }

    pub(crate) async fn github(&self, event: &str, id: &str, body: &str) -> (u16, Value) {
        self.post(id, &[("x-github-event", event)], body).await
    }

    /// What Linear sends, now.
    pub(crate) async fn linear(&self, id: &str, body: &str) -> (u16, Value) {
        let mut body: Value = serde_json::from_str(body).unwrap();
        body["webhookTimestamp"] = self.world.now().as_millisecond().into();
        self.post(id, &[], &body.to_string()).await
    }

    pub(crate) async fn log(&self) -> Vec<SavedDelivery> {
        let wanted = deliveries::Wanted { limit: 100, ..Default::default() };
        deliveries::list(&self.world.app, &self.world.team, &wanted).await.expect("a log")
    }

    pub(crate) async fn latest(&self) -> Delivery {
        self.log().await.remove(0).delivery
    }

    pub(crate) async fn runs(&self) -> Vec<RunId> {
        let all = self.world.app.store.latest_requests(&self.world.team, None, 1_000).await.expect("a store");
        all.into_iter().rev().map(|request| request.run_id).collect()
    }

    pub(crate) async fn messages(&self, run: RunId) -> Vec<String> {
        let all = self.world.app.store.messages(run, "", 100).await.expect("a store");
        all.into_iter().map(|message| message.text).collect()
    }

    /// Time goes by, and the sweep goes round.
    pub(crate) async fn waits(&self, seconds: i64) {
        self.world.clock.forward(SignedDuration::from_secs(seconds));
        let _ = sweep(&self.world.app, self.world.now()).await;
        self.world.pump().await;
    }

    /// Handles a message that a timer was set for, at its time. Seconds until then.
    pub(crate) async fn rings(&self) -> Option<i64> {
        let seconds = self.next_timer().await?;
        self.world.pump().await;
        Some(seconds)
    }

    /// Puts it into the queue, at its time.
    pub(crate) async fn next_timer(&self) -> Option<i64> {
        let (at, message) = self.world.timer.next()?;
        let wait = at.duration_since(self.world.now());
        self.world.clock.forward(wait);
        self.world.queue.send(message).await.expect("a queue");
        Some(wait.as_secs())
    }

    /// The agent of a run does what it is to, to its end.
    pub(crate) async fn works(&self, run: RunId) {
        self.world.drain().await;
        let agent = self.world.agent(run).await;
        agent.work(&self.world).await;
        complete(&self.world.app, run).await.expect("completed");
        self.world.launcher.end(agent.execution);
    }
}

/// Whether its provider is being asked, and nothing else done about it.
pub(crate) fn is_asking(delivery: &Delivery) -> bool {
    delivery.asking().is_some() && !delivery.is_done() && delivery.runs.is_empty() && delivery.left.is_empty()
}

pub(crate) fn mentioned(kind: &str, user: &str, ts: &str, thread: Option<&str>, text: &str) -> String {
    let mut body: Value = serde_json::from_str(MENTION).unwrap();
    body["event_id"] = format!("Ev{kind}{ts}").into();
    body["event"]["type"] = kind.into();
    body["event"]["user"] = user.into();
    body["event"]["ts"] = ts.into();
    body["event"]["text"] = format!("<@U0442US8QGH> {text}").into();
    if let Some(thread) = thread {
        body["event"]["thread_ts"] = thread.into();
    }
    body.to_string()
}
