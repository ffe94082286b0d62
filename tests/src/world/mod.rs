//! A small world: the real use cases, table and archive, with stand-ins for what lies outside, and faults on demand.

pub mod configs;

mod doubles;
mod faults;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use ozma_app::accept::{AcceptedRun, Idempotency, NewRun, accept};
use ozma_app::{App, Settings, dispatch, executions, handle};
use ozma_domain::artifact::{SavedFile, SavedKind, SavedSet};
use ozma_domain::audit::manifest::public_key;
use ozma_domain::harness::HarnessKind;
use ozma_domain::id::{ExecutionId, RunId, TeamId};
use ozma_domain::lane::Lane;
use ozma_domain::limits;
use ozma_domain::outcome::Outcome;
use ozma_domain::plan::Plan;
use ozma_domain::protocol::{Assignment, Claim, Report};
use ozma_domain::pull_request::Reported;
use ozma_domain::receiver::Reach;
use ozma_domain::run::{Isolation, Run, RunSource};
use ozma_domain::token::{ExecutionToken, claim_token};
use ozma_local::queue::LocalQueue;
use ozma_local::{dynamodb, s3};
use ozma_store::{Archive, Store, TeamRow};
use secrecy::{ExposeSecret, SecretString};

pub use doubles::{BusDouble, ClockDouble, LauncherDouble, TimerDouble, VaultDouble};
pub use faults::{Fault, Faults};

/// What the audit of a world is signed with.
const SIGNING_SEED: [u8; 32] = [9; 32];

pub struct World {
    pub app: App,
    pub team: TeamId,
    pub clock: Arc<ClockDouble>,
    pub queue: Arc<LocalQueue>,
    pub timer: Arc<TimerDouble>,
    pub launcher: Arc<LauncherDouble>,
    pub bus: Arc<BusDouble>,
    pub vault: Arc<VaultDouble>,
    pub faults: Faults,
    _archive: tempfile::TempDir,
}

impl World {
    /// With the plan of that name.
    pub async fn new(plan: &str) -> Self {
        let archive = tempfile::tempdir().expect("a temporary folder");
        let objects = s3::client(archive.path()).expect("an archive");
        Self::over(plan, &dynamodb::client(dynamodb::memory()), &objects, archive).await
    }

    /// Over that table and that archive, of which a part may be in a folder.
    pub async fn over(
        plan: &str,
        table: &aws_sdk_dynamodb::Client,
        objects: &aws_sdk_s3::Client,
        folder: tempfile::TempDir,
    ) -> Self {
        let faults = Faults::default();
        let client = faults.on_dynamodb(table);
        ozma_store::create_table(&client, "ozma").await.expect("a table");
        let store = Store::new(client, "ozma");
        store.put_audit_key(public_key(&SIGNING_SEED)).await.expect("a table");
        let team: TeamId = "local".parse().expect("a team id");
        let plan = Plan::named(plan).expect("a plan");
        store.put_team(&TeamRow::new(team.clone(), plan)).await.expect("a team");

        let clock = Arc::new(ClockDouble::default());
        let queue = Arc::new(LocalQueue::default());
        let timer = Arc::new(TimerDouble::default());
        let launcher = Arc::new(LauncherDouble::default());
        let bus = Arc::new(BusDouble::default());
        let vault = Arc::new(VaultDouble::default());
        let app = App {
            store,
            archive: Archive::new(faults.on_s3(objects), s3::BUCKET),
            queue: queue.clone(),
            timer: timer.clone(),
            launcher: launcher.clone(),
            bus: bus.clone(),
            vault: vault.clone(),
            clock: clock.clone(),
            settings: Arc::new(Settings {
                heartbeat_seconds: 15,
                lease_seconds: 60,
                start_seconds: limits::START_SECONDS,
                relaunch_seconds: 3,
                claim_key: SecretString::from("claim key"),
                webhook_key: SecretString::from("webhook key"),
                signing_seed: SIGNING_SEED,
                receivers: Reach::PublicAndLoopback,
                public_url: None,
                billed: false,
            }),
            maskers: Default::default(),
        };
        Self { app, team, clock, queue, timer, launcher, bus, vault, faults, _archive: folder }
    }

    pub fn new_run(&self, prompt: &str) -> NewRun {
        new_run(&self.team, prompt)
    }

    pub fn keyed(&self, prompt: &str, key: &str) -> NewRun {
        let idempotency = Some(Idempotency { key: key.to_owned(), body_hash: prompt.to_owned() });
        NewRun { idempotency, ..self.new_run(prompt) }
    }

    pub async fn accept(&self, prompt: &str) -> RunId {
        // Ids of one millisecond have no order; tests want one.
        self.clock.forward(SignedDuration::from_millis(1));
        let AcceptedRun { run_id, .. } = accept(&self.app, self.new_run(prompt)).await.expect("accepted");
        run_id
    }

    pub async fn run(&self, run: RunId) -> Run {
        self.app.store.run(run).await.expect("a store").expect("a run")
    }

    /// The state's name: what tests compare.
    pub async fn state(&self, run: RunId) -> &'static str {
        self.run(run).await.state.as_str()
    }

    pub async fn drain(&self) -> usize {
        dispatch::drain(&self.app, &self.team).await.expect("drained")
    }

    /// The agent of `run`'s current execution, not yet claimed.
    pub async fn agent(&self, run: RunId) -> AgentDouble {
        let execution = self.run(run).await.execution_id().expect("an execution");
        AgentDouble::new(execution)
    }

    /// A run that its agent has just claimed.
    pub async fn claimed(&self) -> (RunId, AgentDouble) {
        let run = self.accept("true").await;
        self.drain().await;
        let agent = self.agent(run).await;
        agent.claim(self).await.map(drop).expect("claimed");
        (run, agent)
    }

    /// Handles what is in the queue, errors and all: a message that fails is gone, as after a crash.
    pub async fn pump(&self) {
        while !self.queue.is_empty() {
            drop(handle::message(&self.app, &self.queue.receive().await).await);
        }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.time()
    }
}

/// A run of the harness `shell`, asked for by the API, and nothing more.
pub fn new_run(team: &TeamId, prompt: &str) -> NewRun {
    NewRun {
        team: team.clone(),
        creator: "admin".to_owned(),
        source: RunSource::Api,
        prompt: prompt.to_owned(),
        title: None,
        harness: HarnessKind::Shell,
        agent_config: Default::default(),
        environment: None,
        agent: None,
        runner: None,
        repositories: Vec::new(),
        deadline_seconds: None,
        metadata: Default::default(),
        parent_run_id: None,
        idempotency: None,
        scheduling: Default::default(),
        limits: Default::default(),
        lane: Lane::User("admin".to_owned()),
        weight: None,
        runs_per_hour: None,
        automation_budget: Default::default(),
        schedule: None,
        event: None,
        run_id: None,
        object_cap: None,
    }
}

/// What an agent says to the control plane.
pub struct AgentDouble {
    pub execution: ExecutionId,
    pub token: String,
}

impl AgentDouble {
    pub fn new(execution: ExecutionId) -> Self {
        let seed = u8::try_from(execution.number % 200).unwrap_or(0);
        Self { execution, token: ExecutionToken::new([seed; 32]).expose().to_owned() }
    }

    pub async fn claim(&self, world: &World) -> Result<Assignment, executions::ExecutionError> {
        let token = claim_token(&world.app.settings.claim_key, self.execution);
        let claim = Claim {
            claim_token: token.expose_secret().to_owned(),
            execution_token: self.token.clone(),
            isolation: Isolation::Process,
            agent_version: "test".to_owned(),
        };
        executions::claim(&world.app, self.execution, &claim).await
    }

    pub async fn start(&self, world: &World) -> Result<(), executions::ExecutionError> {
        executions::start(&world.app, self.execution, &self.token).await.map(drop)
    }

    pub async fn segment(
        &self,
        world: &World,
        sequence: u32,
        lines: &str,
    ) -> Result<ozma_domain::protocol::Reply, executions::ExecutionError> {
        self.segment_after(world, sequence, lines, None).await
    }

    /// With the receipt of the segment before.
    pub async fn segment_after(
        &self,
        world: &World,
        sequence: u32,
        lines: &str,
        receipt: Option<&str>,
    ) -> Result<ozma_domain::protocol::Reply, executions::ExecutionError> {
        executions::segment(
            &world.app,
            self.execution,
            &self.token,
            sequence,
            &gzip(lines),
            executions::Beside { receipt, ..executions::Beside::default() },
        )
        .await
    }

    /// Saves these files, and that they are all.
    pub async fn save(&self, world: &World, files: &[(&str, &str)]) -> Result<(), executions::ExecutionError> {
        let mut set = SavedSet::default();
        for ((path, content), number) in files.iter().zip(1..) {
            executions::save_file(&world.app, self.execution, &self.token, number, gzip(content)).await?;
            set.files.push(SavedFile {
                number,
                path: (*path).to_owned(),
                kind: SavedKind::File { executable: false },
                bytes: content.len() as u64,
                sha256: ozma_domain::audit::digest(content.as_bytes()).to_string(),
            });
        }
        executions::save_set(&world.app, self.execution, &self.token, &set).await.map(drop)
    }

    /// Reports a pull request.
    pub async fn made(&self, world: &World, url: &str, branch: &str) -> Result<(), executions::ExecutionError> {
        let reported = Reported { url: url.parse()?, branch: branch.parse()? };
        executions::report_pull_request(&world.app, self.execution, &self.token, &reported).await.map(drop)
    }

    pub async fn finish(&self, world: &World, last_segment: u32) -> Result<(), executions::ExecutionError> {
        let report = Report { outcome: Outcome::Succeeded { summary: "done".to_owned() }, last_segment, usage: None };
        self.report(world, &report).await
    }

    pub async fn report(&self, world: &World, report: &Report) -> Result<(), executions::ExecutionError> {
        executions::finish(&world.app, self.execution, &self.token, report).await.map(drop)
    }

    /// Claim, start, one segment, finish.
    pub async fn work(&self, world: &World) {
        self.claim(world).await.map(drop).expect("claimed");
        self.start(world).await.expect("started");
        self.segment(world, 1, "{\"type\":\"notice\",\"text\":\"hello\"}\n").await.expect("a segment");
        self.finish(world, 1).await.expect("finished");
    }
}

pub fn gzip(text: &str) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).expect("memory");
    encoder.finish().expect("memory")
}
