//! Many deliveries at once: each event comes one to four times, out of order, and some attempts die midway.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ozma_app::receive::{self, Delivered, ReceiveError, Request, Taken};
use ozma_app::{automations, teams, webhooks};
use ozma_domain::id::WebhookId;
use ozma_domain::limits;
use ozma_domain::team_settings::TeamSettings;
use ozma_domain::trigger::Source;
use ozma_domain::webhook::WebhookConfig;
use ozma_domain::webhook_auth::{DELIVERY, Header, WebhookAuth};
use serde_json::json;
use tokio::task::JoinSet;

use crate::world::{World, configs};

/// What became of them.
#[derive(Clone, Copy, Debug)]
pub struct Sum {
    pub events: u64,
    pub attempts: u64,
    /// First attempts whose handler was gone after some steps, wherever it was.
    pub died: u64,
    pub runs: u64,
    pub took: Duration,
}

/// Attempts at one time.
const AT_ONCE: usize = 16;

/// Delivers `events` different events to one webhook, with which one automation starts a run each. Every attempt that dies is
/// made again, as a sender does.
pub async fn deliver(events: u64, seed: u64) -> Sum {
    let world = World::new("build").await;
    let most = Some(limits::QUEUED_RUNS_MAX);
    let settings = TeamSettings { queued_runs: most, queued_runs_of_automation: most, ..TeamSettings::default() };
    teams::set(&world.app, &world.team, &settings).await.expect("settings");
    let deliveries_per_minute = Some(limits::WEBHOOK_DELIVERIES_MAX);
    let config = WebhookConfig { deliveries_per_minute, ..configs::webhook(WebhookAuth::Token) };
    let webhook = webhooks::create(&world.app, &world.team, config, None).await.expect("a webhook");
    let secret = webhooks::made_here(&world.app, &webhook).expect("a token").expose().to_owned();
    let mut automation: ozma_domain::automation::AutomationConfig = serde_json::from_value(json!({
        "name": "all", "template": {"prompt": "true", "harness": "shell", "agent_config": {}},
    }))
    .expect("an automation");
    automation.trigger.on = Some(Source::Webhook(webhook.id.clone()));
    automations::create(&world.app, &world.team, automation).await.expect("an automation");

    let sender = Arc::new(Sender { world, webhook: webhook.id, bearer: format!("Bearer {secret}") });
    let mut chance = fastrand::Rng::with_seed(seed);
    let times = |event: u64| 1 + usize::try_from(event % 4).unwrap_or(0);
    let mut attempts: Vec<u64> = (0..events).flat_map(|event| vec![event; times(event)]).collect();
    chance.shuffle(&mut attempts);
    let (mut tasks, mut died, began) = (JoinSet::new(), 0, Instant::now());
    let count = attempts.len() as u64;
    for event in attempts {
        if tasks.len() >= AT_ONCE {
            tasks.join_next().await.expect("a task").expect("no panic");
        }
        let dies_after = (chance.u8(0..20) == 0).then(|| chance.usize(1..80));
        died += u64::from(dies_after.is_some());
        let sender = Arc::clone(&sender);
        tasks.spawn(async move {
            if let Some(steps) = dies_after {
                let mut work = Box::pin(sender.attempt(event));
                for _ in 0..steps {
                    if futures_util::poll!(&mut work).is_ready() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            }
            let delivered = sender.attempt(event).await.expect("taken");
            assert_eq!(delivered.runs().len(), 1, "{delivered:?}");
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic");
    }
    let took = began.elapsed();
    let World { app, team, .. } = &sender.world;
    let runs = app.store.latest_requests(team, None, usize::MAX).await.expect("a store").len() as u64;
    Sum { events, attempts: count, died, runs, took }
}

struct Sender {
    world: World,
    webhook: WebhookId,
    bearer: String,
}

impl Sender {
    async fn attempt(&self, event: u64) -> Result<Delivered, ReceiveError> {
        let (id, body) = (format!("event-{event}"), format!(r#"{{"event": {event}}}"#));
        let header = |name: &str| match name {
            "authorization" => Header::Once(&self.bearer),
            DELIVERY => Header::Once(&id),
            _ => Header::Missing,
        };
        let request = Request { header, path_token: None, body: body.as_bytes() };
        match receive::webhook(&self.world.app, self.webhook.as_str(), request).await? {
            Taken::Delivered(delivered) => Ok(*delivered),
            Taken::Challenge(challenge) => panic!("nobody asked: {challenge}"),
        }
    }
}
