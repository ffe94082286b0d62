//! What one run costs at the table, counted at the client: DynamoDB's own accounting, where a transaction counts double.
//! The use cases, the table and the archive are the real ones; the clock, the containers and the agent are doubles.

use std::ops::{Add, AddAssign, Sub};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use ozma_app::accept::accept;
use ozma_app::ports::{Queue, QueueMessage};
use ozma_app::sweep::sweep;
use ozma_app::{Settings, complete, teams};
use ozma_domain::id::RunId;
use ozma_domain::limits::FLUSH_UNWATCHED_SECONDS;
use ozma_domain::receiver::Reach;
use ozma_domain::team_settings::TeamSettings;
use ozma_tests::world::{AgentDouble, World};
use secrecy::SecretString;

use crate::Result;
use crate::report;

/// What the design promises for a run of ten minutes.
const AIM: f64 = 22.0;

/// Of the task.
const TASK_SECONDS: u64 = 600;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Queued runs behind and before the one that is measured
    #[arg(long, value_delimiter = ',', default_value = "100,1000,10000,100000")]
    queued: Vec<u32>,
    #[arg(long, default_value = "max")]
    plan: String,
}

#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    requests: u64,
    read_units: f64,
    write_units: f64,
    /// Requests to the archive.
    objects: u64,
}

/// What has been counted so far, by stage.
struct Bill<'a> {
    world: &'a World,
    seen: Cost,
    stages: Vec<(&'static str, u32, Cost)>,
}

pub(crate) async fn measure(args: &Args) -> Result<()> {
    let alone = alone(&args.plan).await?;
    report::line("one run of 10 minutes, alone", "");
    print_stages(&alone);
    let keyless = keyless(&args.plan).await?;
    let keyed = alone.iter().find(|(stage, ..)| *stage == "accept").map(|(.., cost)| *cost).unwrap_or_default();
    let total = total(&alone);
    let without_key = total - keyed + keyless;
    report::line("without an Idempotency-Key", &format!("{:.1} write units", without_key.write_units));

    let mut rows = vec![head("queued")];
    let mut sweeps = vec![head("queued")];
    rows.push(row("none, all slots free".to_owned(), total));
    let mut all = Vec::new();
    let mut last = Vec::new();
    for queued in &args.queued {
        let world = world(&args.plan).await;
        let (stages, sweep) = among(&world, *queued).await?;
        last = stages;
        all.push(self::total(&last));
        rows.push(row(format!("{queued}, all slots taken"), self::total(&last)));
        sweeps.push(row(format!("{queued}, all slots taken"), sweep));
    }
    report::line("the same run, by stage, with all slots taken and the longest queue", "");
    print_stages(&last);
    report::line("the same run, by depth of the queue", "");
    report::table(&rows);
    report::line("one sweep, each minute, whatever runs", "");
    report::table(&sweeps);

    // A run that finds a queue takes its lane's turn there, which one that finds none need not.
    let most = all.iter().map(|cost| cost.write_units).fold(total.write_units, f64::max);
    let flat = all.windows(2).all(|two| two[0].write_units == two[1].write_units);
    report::line("write units", &format!("{most:.1} of {AIM}{}", if flat { ", flat" } else { ", not flat" }));
    if flat { Ok(()) } else { Err("a run costs more writes in a long queue".into()) }
}

/// A run that finds everything free.
async fn alone(plan: &str) -> Result<Vec<(&'static str, u32, Cost)>> {
    let world = world(plan).await;
    let mut bill = Bill::new(&world);
    let run = accept(&world.app, world.keyed("cargo test", "key")).await?.run_id;
    bill.charge("accept");
    tick(&world).await?;
    bill.charge("tick that takes a slot");
    work(&world, run, &mut bill).await?;
    tick(&world).await?;
    bill.charge("tick that finds nothing to do");
    Ok(bill.stages)
}

/// What an accept costs without a key.
async fn keyless(plan: &str) -> Result<Cost> {
    let world = world(plan).await;
    let mut bill = Bill::new(&world);
    accept(&world.app, world.new_run("cargo test")).await?;
    bill.charge("accept");
    Ok(total(&bill.stages))
}

/// One run's worth in a team that has every slot taken and `queued` runs waiting. The run that is accepted has them all
/// before it, the one that is started has them all behind it. And what a sweep costs there.
async fn among(world: &World, queued: u32) -> Result<(Vec<(&'static str, u32, Cost)>, Cost)> {
    let plan = world.app.plan(&world.team).await?;
    let mut running = Vec::new();
    for _ in 0..plan.concurrent_agents {
        running.push(world.accept("sleep 600").await);
    }
    tick(world).await?;
    let mut next = None;
    for _ in 0..queued {
        let run = world.accept("cargo test").await;
        next.get_or_insert(run);
    }
    let (first, next) = (running.first().ok_or("no slots")?, next.ok_or("nothing queued")?);
    drain_queue(world).await;

    let mut swept = Bill::new(world);
    sweep(&world.app, Timestamp::MIN).await?;
    swept.charge("sweep");

    let mut bill = Bill::new(world);
    world.clock.forward(SignedDuration::from_millis(1));
    accept(&world.app, world.keyed("cargo test", "key")).await?;
    bill.charge("accept");
    tick(world).await?;
    bill.charge("tick that finds nothing to do");
    // Another run's cost.
    world.agent(*first).await.work(world).await;
    bill.forget();
    tick(world).await?;
    bill.charge("tick that takes a slot");
    work(world, next, &mut bill).await?;
    Ok((bill.stages, total(&swept.stages)))
}

/// From the claim to the sealed trail, with segments at the pace of an agent that nobody watches.
async fn work(world: &World, run: RunId, bill: &mut Bill<'_>) -> Result<()> {
    let agent: AgentDouble = world.agent(run).await;
    bill.forget();
    world.clock.forward(SignedDuration::from_secs(40));
    agent.claim(world).await?;
    bill.charge("claim");
    world.clock.forward(SignedDuration::from_secs(5));
    agent.start(world).await?;
    bill.charge("start");
    let lines = "{\"type\":\"output\",\"command\":1,\"stream\":\"stdout\",\"text\":\"one more line\\n\"}\n".repeat(50);
    let (mut sequence, mut worked, mut receipt) = (0, 0, None::<String>);
    while worked < TASK_SECONDS {
        let pace = FLUSH_UNWATCHED_SECONDS[FLUSH_UNWATCHED_SECONDS.len().min(sequence as usize + 1) - 1];
        let step = pace.min(TASK_SECONDS - worked);
        world.clock.forward(SignedDuration::from_secs(i64::try_from(step)?));
        (sequence, worked) = (sequence + 1, worked + step);
        receipt = agent.segment_after(world, sequence, &lines, receipt.as_deref()).await?.receipt;
        let renewed = bill.cost_since().write_units > 0.0;
        bill.charge(if renewed { "segment that renews the lease" } else { "segment" });
    }
    agent.finish(world, sequence).await?;
    bill.charge("settle");
    world.launcher.end(agent.execution);
    complete::complete(&world.app, run).await?;
    bill.charge("complete: publish and seal");
    drain_queue(world).await;
    Ok(())
}

/// A message that says there may be work, as it is handled.
async fn tick(world: &World) -> Result<()> {
    drain_queue(world).await;
    ozma_app::dispatch::drain(&world.app, &world.team).await?;
    Ok(())
}

/// Throws away what waits: the stages are played one by one.
async fn drain_queue(world: &World) {
    // One at least is there to be received.
    let _ = world.queue.send(QueueMessage::Tick { team: world.team.clone() }).await;
    while !world.queue.is_empty() {
        world.queue.receive().await;
    }
}

/// With the settings of the deployed stack.
async fn world(plan: &str) -> World {
    let mut world = World::new(plan).await;
    world.app.settings = Arc::new(Settings {
        heartbeat_seconds: 300,
        lease_seconds: 900,
        start_seconds: ozma_domain::limits::START_SECONDS,
        relaunch_seconds: 60,
        claim_key: SecretString::from("claim key"),
        webhook_key: SecretString::from("webhook key"),
        signing_seed: [9; 32],
        receivers: Reach::Public,
        public_url: None,
        billed: true,
    });
    let settings = TeamSettings { queued_runs: Some(1_000_000), ..TeamSettings::default() };
    teams::set(&world.app, &world.team, &settings).await.expect("a store");
    world
}

impl<'a> Bill<'a> {
    fn new(world: &'a World) -> Self {
        Self { world, seen: Cost::so_far(world), stages: Vec::new() }
    }

    fn cost_since(&self) -> Cost {
        Cost::so_far(self.world) - self.seen
    }

    /// What has happened since the last call was this stage.
    fn charge(&mut self, stage: &'static str) {
        let cost = self.cost_since();
        match self.stages.iter_mut().find(|(known, ..)| *known == stage) {
            Some((_, times, sum)) => {
                *times += 1;
                *sum += cost;
            }
            None => self.stages.push((stage, 1, cost)),
        }
        self.forget();
    }

    /// What has happened since the last call is not the run's.
    fn forget(&mut self) {
        self.seen = Cost::so_far(self.world);
    }
}

impl Cost {
    fn so_far(world: &World) -> Self {
        let usage = world.app.store.meter().usage();
        Self {
            requests: usage.requests,
            read_units: usage.read_units,
            write_units: usage.write_units,
            // The double counts both clients' requests; that of the table is one of them.
            objects: world.faults.requests().saturating_sub(usage.requests),
        }
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            read_units: self.read_units + other.read_units,
            write_units: self.write_units + other.write_units,
            objects: self.objects + other.objects,
        }
    }
}

impl Sub for Cost {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(other.requests),
            read_units: self.read_units - other.read_units,
            write_units: self.write_units - other.write_units,
            objects: self.objects.saturating_sub(other.objects),
        }
    }
}

fn total(stages: &[(&'static str, u32, Cost)]) -> Cost {
    stages.iter().fold(Cost::default(), |sum, (.., cost)| sum + *cost)
}

fn print_stages(stages: &[(&'static str, u32, Cost)]) {
    let mut rows = vec![head("stage")];
    for (stage, times, cost) in stages {
        let name = if *times == 1 { (*stage).to_owned() } else { format!("{times} × {stage}") };
        rows.push(row(name, *cost));
    }
    rows.push(row("**in all**".to_owned(), total(stages)));
    report::table(&rows);
}

fn head(first: &str) -> Vec<String> {
    [first, "requests", "read units", "write units", "archive requests"].map(str::to_owned).to_vec()
}

fn row(name: String, cost: Cost) -> Vec<String> {
    let Cost { requests, read_units, write_units, objects } = cost;
    vec![name, requests.to_string(), format!("{read_units:.1}"), format!("{write_units:.1}"), objects.to_string()]
}
