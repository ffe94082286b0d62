//! A world: teams, handlers, agents; and the loop that lives a history.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use ozma_app::ports::{QueueMessage, QueueName};
use ozma_app::{App, Settings, automations, handle, resources, schedules, settle, sweep};
use ozma_domain::audit::manifest::public_key;
use ozma_domain::automation::{Automation, AutomationConfig};
use ozma_domain::environment::{Environment, EnvironmentConfig};
use ozma_domain::harness::HarnessKind;
use ozma_domain::id::{EnvironmentId, ExecutionId, TeamId};
use ozma_domain::plan::Plan;
use ozma_domain::receiver::Reach;
use ozma_domain::run_limits::{Budget, RunLimits};
use ozma_domain::schedule::{Missed, Overlap, Policies, ScheduleConfig, Timetable};
use ozma_domain::scheduling::{Concurrency, KeyPolicy, Scheduling};
use ozma_domain::template::RunTemplate;
use ozma_local::dynamodb::{self, Direct};
use ozma_local::s3;
use ozma_store::{Archive, Store, TeamRow, create_table};
use secrecy::SecretString;

use super::agent::Agent;
use super::archive::Objects;
use super::core::Core;
use super::door::{Chances, Service};
use super::launcher::{LauncherDouble, some_end};
use super::laws::Laws;
use super::mutants::Mutant;
use super::ports::{BusDouble, QueueDouble, RECEIVES, TimerDouble, VISIBILITY_MS};
use super::table::Table;
use super::{Event, History, Options, SIGNING_SEED, TABLE};
use crate::world::VaultDouble;

const MINUTE_MS: i64 = 60_000;
/// A history in which something is still open so long after the last fault has lost it.
const HORIZON_MS: i64 = 90 * MINUTE_MS;
/// Histories have some thousand steps. In one of so many, somebody tries the same again and again.
const STEPS_MAX: u64 = 60_000;

pub(super) struct Team {
    pub(super) id: TeamId,
    pub(super) environment: EnvironmentId,
    pub(super) automations: Vec<Automation>,
}

pub(super) struct World {
    pub(super) core: Arc<Core>,
    pub(super) app: App,
    /// Without faults.
    store: Store,
    pub(super) laws: Arc<Laws>,
    launcher: Arc<LauncherDouble>,
    objects: Objects,
    pub(super) teams: Vec<Team>,
    tasks: BTreeMap<u64, Pin<Box<dyn Future<Output = ()>>>>,
    /// Agents by the task in which they live.
    agents: BTreeMap<ExecutionId, Vec<u64>>,
    mutant: Option<Mutant>,
}

pub(super) async fn live(options: Options) -> History {
    let mut world = World::new(options).await;
    world.plan_wishes();
    let quiet_at = if options.faults { world.core.pick(3, 6) * MINUTE_MS } else { 3 * MINUTE_MS };
    world.core.calm_after(quiet_at);
    if options.faults {
        world.plan_outage(quiet_at);
    }
    if world.mutant != Some(Mutant::NobodySweeps) {
        world.core.plan(MINUTE_MS, Event::Sweep);
    }
    while let Some(event) = world.core.advance() {
        let sweeps = matches!(event, Event::Sweep);
        world.happens(event).await;
        if world.core.steps() > STEPS_MAX {
            world.laws.has_no_end();
        }
        if world.laws.is_broken() || world.core.now_ms() > quiet_at + HORIZON_MS {
            break;
        }
        if sweeps && world.core.now_ms() > quiet_at && !world.launcher.anything_alive() && world.laws.is_settled().await
        {
            break;
        }
    }
    world.history().await
}

impl World {
    async fn new(options: Options) -> Self {
        let chances = if options.faults { some_chances(options.seed) } else { Chances::default() };
        let core = Core::new(options.seed, chances, options.trace);
        let memory = dynamodb::memory();
        create_table(&dynamodb::client(memory.clone()), TABLE).await.expect("a table");
        let database = Direct::new(memory);
        let store = Store::new(database.clone(), TABLE);
        store.put_audit_key(public_key(&SIGNING_SEED)).await.expect("a table");
        let laws = Arc::new(Laws::new(store.clone(), !options.faults));
        let mutant = options.mutant;
        let table = Table { core: core.clone(), database, laws: laws.clone(), mutant };
        let objects = Objects { core: core.clone(), stored: Arc::default(), mutant };
        let launcher = Arc::new(LauncherDouble::new(core.clone(), laws.clone(), mutant));
        let app = App {
            store: Store::new(table, TABLE),
            archive: Archive::new(objects.clone().client(), s3::BUCKET),
            queue: Arc::new(QueueDouble { core: core.clone(), mutant }),
            timer: Arc::new(TimerDouble { core: core.clone() }),
            launcher: launcher.clone(),
            bus: Arc::new(BusDouble { core: core.clone(), laws: laws.clone() }),
            vault: Arc::new(VaultDouble::default()),
            clock: core.clone(),
            settings: Arc::new(Settings {
                heartbeat_seconds: 15,
                lease_seconds: 60,
                start_seconds: 60,
                relaunch_seconds: 10,
                claim_key: SecretString::from("claim key"),
                webhook_key: SecretString::from("webhook key"),
                signing_seed: SIGNING_SEED,
                receivers: Reach::Public,
                public_url: None,
                billed: true,
            }),
            maskers: Default::default(),
        };
        // Before the loop nobody wakes who waits: the sweep sets timers for what is planned here.
        let unheard = Arc::new(crate::world::TimerDouble::default());
        let calm = App { store: store.clone(), timer: unheard, ..app.clone() };
        let mut teams = Vec::new();
        for number in 0..core.pick(1, 2) {
            let id: TeamId = format!("team-{number}").parse().expect("a team id");
            let agents = u16::try_from(core.pick(1, 3)).unwrap_or(1);
            let plan = Plan { concurrent_agents: agents, ..Plan::named("free").expect("a plan") };
            let mut row = TeamRow::new(id.clone(), plan);
            if core.happens(250) {
                let minutes = u64::try_from(core.pick(3, 12)).unwrap_or(3);
                row.settings.budget = Budget { minutes: Some(minutes), ..Budget::default() };
                laws.spend(&id, minutes * 60);
            }
            store.put_team(&row).await.expect("a team");
            laws.allow(&id, agents);
            let config = EnvironmentConfig { name: "web".to_owned(), ..Default::default() };
            let environment = resources::create::<Environment>(&calm, &id, config).await.expect("an environment").uid;
            let mut automations = Vec::new();
            for (name, key) in [("mender", None), ("reader", Some(KeyPolicy::Queue))] {
                automations.push(automations::create(&calm, &id, automation(name, key)).await.expect("an automation"));
            }
            teams.push(Team { id, environment, automations });
        }
        if core.happens(300) {
            plan_runs(&core, &calm, &laws, &teams[0].id).await;
        }
        Self {
            core,
            app,
            store,
            laws,
            launcher,
            objects,
            teams,
            tasks: BTreeMap::new(),
            agents: BTreeMap::new(),
            mutant,
        }
    }

    /// Now and then a service is out of reach: mostly for a while, sometimes for an hour.
    fn plan_outage(&self, quiet_at: i64) {
        let core = &self.core;
        if !core.happens(250) {
            return;
        }
        let service = Service::ALL[usize::try_from(core.pick(0, 6)).unwrap_or(0)];
        let from = core.pick(0, quiet_at / 2);
        let long = if core.happens(40) { 60 * MINUTE_MS } else { core.pick(5_000, 2 * MINUTE_MS) };
        core.count("a service is down");
        self.laws.a_service_is_down();
        core.outage(service, from, from + long);
    }

    // ---- The loop ----

    async fn happens(&mut self, event: Event) {
        match event {
            Event::Wake { task, wait } => {
                if self.core.wake(wait) {
                    self.poll(task);
                }
            }
            Event::Nudge(task) => {
                // As long as the code sleeps, and no longer.
                while self.tasks.contains_key(&task) && self.core.is_stuck(task) {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    self.advance(task);
                }
            }
            Event::Message { message, receives } => self.message(message, receives),
            Event::Stopped { execution, end, receives } => {
                let (core, app) = (self.core.clone(), self.app.clone());
                self.spawn(async move {
                    let told = core.handler(settle::container_gone(&app, execution, Some(&end))).await;
                    if !matches!(told, Ok(Ok(_))) && receives < RECEIVES {
                        core.plan(VISIBILITY_MS, Event::Stopped { execution, end, receives: receives + 1 });
                    }
                });
            }
            Event::Sweep => self.sweep().await,
            Event::Agent(execution) => self.agent(execution),
            Event::Die(execution) => {
                for task in self.agents.remove(&execution).unwrap_or_default() {
                    self.tasks.remove(&task);
                }
                if self.launcher.is_alive(execution) {
                    self.launcher.gone(execution, some_end(&self.core));
                }
            }
            Event::Person(wish) => self.wish(wish),
        }
    }

    pub(super) fn spawn(&mut self, work: impl Future<Output = ()> + 'static) -> u64 {
        let task = self.core.new_task();
        self.tasks.insert(task, Box::pin(work));
        self.poll(task);
        task
    }

    fn poll(&mut self, task: u64) {
        self.advance(task);
        if self.tasks.contains_key(&task) && self.core.is_stuck(task) {
            self.core.plan(0, Event::Nudge(task));
        }
    }

    fn advance(&mut self, task: u64) {
        // Taken out, because what it does may end others.
        let Some(mut work) = self.tasks.remove(&task) else { return };
        if self.core.poll(task, work.as_mut()).is_pending() {
            self.tasks.insert(task, work);
        }
    }

    fn message(&mut self, message: QueueMessage, receives: u32) {
        let (core, app) = (self.core.clone(), self.app.clone());
        self.spawn(async move {
            let work = async {
                match message.queue() {
                    QueueName::Ticks | QueueName::Ends => handle::message(&app, &message).await.is_ok(),
                    // Nobody subscribes or waits for an answer in a history.
                    QueueName::Errands => true,
                }
            };
            if !matches!(core.handler(work).await, Ok(true)) {
                if receives < RECEIVES {
                    core.plan(VISIBILITY_MS, Event::Message { message, receives: receives + 1 });
                } else {
                    core.count("a message is parked");
                }
            }
        });
    }

    async fn sweep(&mut self) {
        self.core.plan(MINUTE_MS, Event::Sweep);
        if self.core.any_outage_since(self.core.now_ms() - 10 * MINUTE_MS) {
            self.laws.excuse();
        } else {
            for team in &self.teams {
                let row = self.store.team(&team.id).await.ok().flatten();
                let stands = |row: &TeamRow| row.hold.is_some() || row.paused.is_some();
                let agents = row.filter(|row| !stands(row)).map_or(0, |row| row.plan.concurrent_agents);
                self.laws.nobody_waits(&team.id, self.core.time(), agents).await;
            }
        }
        let (core, app, laws) = (self.core.clone(), self.app.clone(), self.laws.clone());
        self.spawn(async move {
            core.tell(|| "sweeps".to_owned());
            if let Ok(Ok(repairs)) = core.handler(sweep::sweep(&app, Timestamp::MIN)).await {
                core.tell(|| format!("swept: {repairs:?}"));
                laws.swept(repairs, core.time());
            }
        });
    }

    fn agent(&mut self, execution: ExecutionId) {
        if !self.launcher.is_alive(execution) {
            return;
        }
        let agent = Agent {
            core: self.core.clone(),
            app: self.app.clone(),
            launcher: self.launcher.clone(),
            laws: self.laws.clone(),
            execution,
        };
        let task = self.spawn(agent.live());
        self.agents.entry(execution).or_default().push(task);
    }

    async fn history(self) -> History {
        let Self { core, laws, launcher, objects, teams, .. } = &self;
        let ids: Vec<TeamId> = teams.iter().map(|team| team.id.clone()).collect();
        if !laws.is_broken() {
            laws.at_the_end(&ids, &objects.all(), launcher.anything_alive()).await;
        }
        let runs = laws.runs();
        let (checks, violations) = laws.verdict();
        let mut ends = BTreeMap::new();
        for run in runs.values() {
            *ends.entry(run.state.as_str()).or_default() += 1;
        }
        History {
            runs: runs.len() as u64,
            ends,
            executions: runs.values().map(|run| u64::from(run.executions)).sum(),
            steps: core.steps(),
            virtual_seconds: u64::try_from(core.now_ms() / 1_000).unwrap_or(0),
            faults: core.faults(),
            checks,
            violations,
            story: core.story(),
        }
    }
}

/// A schedule of some minutes, each of which has its run in the end, however late somebody looks.
async fn plan_runs(core: &Core, calm: &App, laws: &Laws, team: &TeamId) {
    let overlap = Overlap::ALL[usize::try_from(core.pick(0, 3)).unwrap_or(0)];
    let minutes = core.pick(1, 3);
    let ends_at = core.time() + SignedDuration::from_secs(60 * minutes + 1);
    let config = ScheduleConfig {
        name: "each minute".to_owned(),
        timetable: Timetable::parse("rate(1 minute)", None).expect("a timetable"),
        enabled: true,
        template: template(None),
        policies: Policies { missed: Missed::All(50), overlap, ends_at: Some(ends_at), ..Policies::default() },
    };
    let schedule = schedules::create(calm, team, "somebody", config).await.expect("a schedule");
    laws.plans(&schedule.id, schedule.times_after(schedule.created_at).collect());
}

fn automation(name: &str, policy: Option<KeyPolicy>) -> AutomationConfig {
    let concurrency = policy.map(|policy| Concurrency { key: name.to_owned(), policy });
    AutomationConfig {
        name: name.to_owned(),
        paused: false,
        template: template(concurrency),
        trigger: Default::default(),
        weight: None,
        runs_per_hour: None,
        budget: Budget { minutes: Some(600), ..Budget::default() },
    }
}

fn template(concurrency: Option<Concurrency>) -> RunTemplate {
    RunTemplate {
        prompt: "true".to_owned(),
        title: None,
        harness: HarnessKind::Shell,
        agent_config: serde_json::Map::new(),
        environment: None,
        agent: None,
        runner: None,
        repositories: Vec::new(),
        deadline_seconds: None,
        metadata: BTreeMap::new(),
        scheduling: Scheduling { concurrency, ..Scheduling::default() },
        limits: RunLimits::default(),
    }
}

/// Some worlds are a little unlucky, some very; in each, other things go wrong.
fn some_chances(seed: u64) -> Chances {
    let mut random = fastrand::Rng::with_seed(seed ^ 0x5eed);
    let luck = [2, 10, 30][random.usize(0..3)];
    let mut chance = || if random.bool() { random.u32(0..=luck) } else { 0 };
    Chances {
        request_lost: chance(),
        reply_lost: chance(),
        throttled: chance(),
        conflict: chance(),
        slow: chance(),
        crash: chance(),
        stale: chance() * 20,
        duplicate: chance() * 3,
        skew: chance() * 10,
        launch: chance() * 3,
    }
}
