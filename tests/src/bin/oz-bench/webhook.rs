//! What it takes to accept a signed event of GitHub of 20 KiB that starts a run: on the embedded engine, and on an emulator of
//! DynamoDB and S3, which takes its own time but in another process.

use std::fs;
use std::time::{Duration, Instant};

use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use ozma_app::receive::{self, Request, Taken};
use ozma_app::{automations, teams, webhooks};
use ozma_domain::limits;
use ozma_domain::team_settings::TeamSettings;
use ozma_domain::trigger::Source;
use ozma_domain::webhook::{Webhook, WebhookConfig};
use ozma_domain::webhook_auth::{Header, Scheme, WebhookAuth};
use ozma_local::s3::BUCKET;
use ozma_tests::emulator::{Emulator, REGION};
use ozma_tests::world::{World, configs};
use serde_json::{Value, json};

use crate::Result;
use crate::report::{self, Times, time};

const EVENT: &str = include_str!("../../../../events/github/issues-labeled.json");
const BYTES: usize = 20 * 1024;
const SECRET: &str = "a secret of somebody, of some length";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Events, one after the other
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    events: u32,
}

pub(crate) async fn measure(args: &Args) -> Result<()> {
    accepted("the embedded engine", &World::new("build").await, args.events).await?;
    let emulator = Emulator::start().await;
    let table = aws_sdk_dynamodb::Client::new(emulator.sdk());
    let config = aws_sdk_s3::config::Builder::from(emulator.sdk()).force_path_style(true).build();
    let objects = aws_sdk_s3::Client::from_conf(config);
    let place =
        CreateBucketConfiguration::builder().location_constraint(BucketLocationConstraint::from(REGION)).build();
    objects.create_bucket().bucket(BUCKET).create_bucket_configuration(place).send().await?;
    let world = World::over("build", &table, &objects, tempfile::tempdir()?).await;
    accepted("an emulator", &world, args.events).await
}

async fn accepted(on: &str, world: &World, events: u32) -> Result<()> {
    let webhook = listened(world).await?;
    let secret = webhook.config.auth.parse_secret(SECRET)?;
    let mut times = Times::default();
    let mut processor = Duration::ZERO;
    // The first opens connections.
    for number in 0..=events {
        let (id, body) = (format!("event-{number}"), event(number)?);
        let headers = webhook.config.auth.headers(&secret, &id, world.now(), body.as_bytes()).ok_or("no signature")?;
        let header = |name: &str| match headers.iter().find(|(given, _)| *given == name) {
            Some((_, value)) => Header::Once(value),
            None if name == "x-github-event" => Header::Once("issues"),
            None => Header::Missing,
        };
        let (began, before) = (Instant::now(), processor_time()?);
        let request = Request { header, path_token: None, body: body.as_bytes() };
        let taken = receive::webhook(&world.app, webhook.id.as_str(), request).await?;
        if number > 0 {
            times.add(began.elapsed());
            processor += processor_time()?.saturating_sub(before);
        }
        match taken {
            Taken::Delivered(delivered) if delivered.runs().len() == 1 => {}
            other => return Err(format!("it started no run: {other:?}").into()),
        }
    }
    report::line(on, &format!("{} events of {} KiB", times.len(), BYTES / 1024));
    report::line("accepted within", &times.percentiles(&[50, 99]));
    report::line("processor", &format!("{} an event", time(processor / events)));
    Ok(())
}

/// A webhook of GitHub's that an automation listens to.
async fn listened(world: &World) -> Result<Webhook> {
    let most = Some(limits::QUEUED_RUNS_MAX);
    let settings = TeamSettings { queued_runs: most, queued_runs_of_automation: most, ..TeamSettings::default() };
    teams::set(&world.app, &world.team, &settings).await?;
    let config = WebhookConfig {
        deliveries_per_minute: Some(limits::WEBHOOK_DELIVERIES_MAX),
        ..configs::webhook(WebhookAuth::Signature { scheme: Scheme::Github })
    };
    webhooks::create(&world.app, &world.team, config, Some(SECRET)).await?;
    let webhook = webhooks::find(&world.app, &world.team, "acme").await?;
    let mut automation: ozma_domain::automation::AutomationConfig = serde_json::from_value(json!({
        "name": "fix",
        "template": {"prompt": "Fix {{ event.issue.title }}.", "harness": "claude", "agent_config": {}},
        "trigger": {"events": ["issue.labeled"], "filter": {"label": {"name": {"exists": true}}}},
    }))?;
    automation.trigger.on = Some(Source::Webhook(webhook.id.clone()));
    automations::create(&world.app, &world.team, automation).await?;
    Ok(webhook)
}

/// An issue of its own, so that none is taken for a loop.
fn event(number: u32) -> Result<String> {
    let mut event: Value = serde_json::from_str(EVENT)?;
    event["issue"]["number"] = number.into();
    let bare = event.to_string().len() + r#","padding":"""#.len();
    event["padding"] = "x".repeat(BYTES.saturating_sub(bare)).into();
    Ok(event.to_string())
}

/// Of this process so far, with all its threads.
fn processor_time() -> Result<Duration> {
    let text = fs::read_to_string("/proc/self/schedstat")?;
    let mut total: u64 = text.split_whitespace().next().and_then(|ns| ns.parse().ok()).unwrap_or(0);
    for task in fs::read_dir("/proc/self/task")? {
        let task = task?;
        if task.file_name().to_str() == Some(&std::process::id().to_string()) {
            continue;
        }
        // A thread that ends meanwhile is missed.
        let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        total += text.split_whitespace().next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(total))
}
