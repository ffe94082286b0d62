//! People, and what they want of the control plane, at the worst of times.

use std::future::Future;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use ozma_app::accept::{Idempotency, NewRun, accept};
use ozma_app::ports::QueueMessage;
use ozma_app::receive::{self, Delivered, ReceiveError, Request, Taken};
use ozma_app::{App, cancel, messages, resources, teams};
use ozma_domain::automation::Automation;
use ozma_domain::environment::Environment;
use ozma_domain::id::{RunId, TeamId};
use ozma_domain::lane::Lane;
use ozma_domain::plan::Plan;
use ozma_domain::run_limits::{Budget, RunLimits};
use ozma_domain::scheduling::{Concurrency, KeyPolicy, Scheduling};
use ozma_domain::standard_webhooks::{self, SIGNATURE};
use ozma_domain::text::chain;
use ozma_domain::webhook_auth::Header;
use ozma_store::{StoreError, TeamRow};

use super::Event;
use super::core::Core;
use super::door::{Passing, Service};
use super::world::World;
use crate::world::new_run;

/// What somebody wants of the control plane.
#[derive(Clone)]
pub(super) enum Wish {
    /// A run, with a key under which it is asked for again until it is answered.
    Run { team: usize, trigger: String, environment: bool, asks: Box<Asks> },
    /// A run of an automation, by a signed webhook or as planned, delivered until it is answered.
    Trigger { team: usize, automation: usize, planned: bool, delivery: String },
    /// That a run be cancelled: this one, or any.
    Cancel(Option<RunId>),
    /// To say something to some run.
    Say,
    /// Another number of agents for a team.
    Plan { team: usize, agents: u16 },
    /// That nothing starts for a while.
    Pause { team: usize, ms: i64 },
    /// That an environment be gone.
    DeleteEnvironment { team: usize },
}

/// What a run is asked for with.
#[derive(Clone)]
pub(super) struct Asks {
    lane: Lane,
    weight: u16,
    scheduling: Scheduling,
    /// Of now, when it is asked for.
    start_after_ms: Option<i64>,
    limits: RunLimits,
    deadline_seconds: Option<u64>,
    /// Below some run that is there when it is asked for.
    has_parent: bool,
}

/// The largest weight of a lane that somebody asks for.
pub(super) const WEIGHT: u16 = 3;
const PRIORITY: i16 = 2;

impl Asks {
    /// Nothing but a run in that lane.
    fn plain(lane: &str) -> Self {
        Self {
            lane: Lane::User(lane.to_owned()),
            weight: 1,
            scheduling: Scheduling::default(),
            start_after_ms: None,
            limits: RunLimits::default(),
            deadline_seconds: None,
            has_parent: false,
        }
    }

    fn some(core: &Core) -> Self {
        let seconds =
            |chance, least, most| core.happens(chance).then(|| u64::try_from(core.pick(least, most)).unwrap_or(5));
        // A lane has one weight, as an automation has.
        let number = if core.happens(600) { 1 } else { core.pick(1, i64::from(WEIGHT)) };
        let policy =
            [KeyPolicy::Queue, KeyPolicy::Skip, KeyPolicy::Supersede][usize::try_from(core.pick(0, 2)).unwrap_or(0)];
        let concurrency = core.happens(250).then(|| Concurrency { key: format!("key {}", core.pick(0, 1)), policy });
        let priority = if core.happens(200) { core.pick(-i64::from(PRIORITY), i64::from(PRIORITY)) } else { 0 };
        Self {
            lane: Lane::User(format!("person {number}")),
            weight: u16::try_from(number).unwrap_or(1),
            scheduling: Scheduling {
                priority: i16::try_from(priority).unwrap_or(0),
                concurrency,
                not_before: None,
                queue_seconds: seconds(150, 3, 60),
            },
            start_after_ms: core.happens(150).then(|| core.pick(100, 60_000)),
            limits: RunLimits {
                run_seconds: seconds(100, 60, 200),
                budget: Budget {
                    minutes: core.happens(100).then_some(1),
                    tokens: seconds(100, 100, 4_000),
                    ..Budget::default()
                },
                ..RunLimits::default()
            },
            deadline_seconds: seconds(200, 5, 40),
            has_parent: core.happens(200),
        }
    }
}

impl World {
    pub(super) fn plan_wishes(&self) {
        let core = &self.core;
        let last_team = i64::try_from(self.teams.len()).unwrap_or(1) - 1;
        let team = || usize::try_from(core.pick(0, last_team)).unwrap_or(0);
        let mut at = 0;
        for number in 0..core.pick(10, 24) {
            // Bursts, and pauses between them.
            at += if core.happens(600) { core.pick(0, 30) } else { core.pick(500, 12_000) };
            let trigger = format!("trigger {number}");
            let asks = Box::new(Asks::some(core));
            let wish = Wish::Run { team: team(), trigger, environment: core.happens(300), asks };
            // A sender that is not sure asks again.
            for _ in 0..i64::from(core.happens(250)) * core.pick(1, 2) {
                core.plan(at + core.pick(0, 20_000), Event::Person(wish.clone()));
            }
            core.plan(at, Event::Person(wish));
        }
        for number in 0..core.pick(0, 6) {
            let (automation, planned) = (usize::from(core.happens(500)), core.happens(400));
            let wish = Wish::Trigger { team: team(), automation, planned, delivery: format!("delivery {number}") };
            let at = core.pick(0, 90_000);
            // Whoever delivers does so at least once.
            for _ in 0..1 + i64::from(core.happens(400)) * core.pick(1, 3) {
                core.plan(at + core.pick(0, 20_000), Event::Person(wish.clone()));
            }
        }
        // A crowd of one lane, and somebody of another a while later.
        if core.happens(250) {
            let (team, at) = (team(), core.pick(0, 60_000));
            for number in 0..core.pick(8, 14) {
                let asks = Box::new(Asks::plain("robot"));
                let wish = Wish::Run { team, trigger: format!("crowd {number}"), environment: false, asks };
                core.plan(at + core.pick(0, 500), Event::Person(wish));
            }
            let asks = Box::new(Asks::plain("ada"));
            let wish = Wish::Run { team, trigger: "single".to_owned(), environment: false, asks };
            core.plan(at + core.pick(2_000, 40_000), Event::Person(wish));
        }
        for _ in 0..core.pick(0, 4) {
            core.plan(core.pick(0, 90_000), Event::Person(Wish::Cancel(None)));
            core.plan(core.pick(0, 180_000), Event::Person(Wish::Say));
        }
        if core.happens(300) {
            let agents = u16::try_from(core.pick(1, 4)).unwrap_or(1);
            core.plan(core.pick(0, 60_000), Event::Person(Wish::Plan { team: team(), agents }));
        }
        if core.happens(200) {
            let (team, at) = (team(), core.pick(0, 60_000));
            core.plan(at, Event::Person(Wish::Pause { team, ms: core.pick(1_000, 150_000) }));
        }
        if core.happens(100) {
            core.plan(core.pick(0, 60_000), Event::Person(Wish::DeleteEnvironment { team: team() }));
        }
    }

    pub(super) fn wish(&mut self, wish: Wish) {
        let (core, app) = (self.core.clone(), self.app.clone());
        match wish {
            Wish::Run { team, trigger, environment, asks } => {
                let laws = self.laws.clone();
                let parent = asks.has_parent.then(|| self.some_run()).flatten();
                let team = &self.teams[team];
                // The same trigger asks for the same, or the second would be another request.
                let parent = parent.filter(|(_, of)| *of == team.id).map(|(run, _)| run);
                let new = NewRun {
                    environment: environment.then(|| team.environment.clone()),
                    deadline_seconds: asks.deadline_seconds,
                    parent_run_id: parent,
                    lane: asks.lane,
                    weight: Some(asks.weight),
                    limits: asks.limits,
                    scheduling: Scheduling {
                        not_before: asks.start_after_ms.map(|ms| core.time() + SignedDuration::from_millis(ms)),
                        ..asks.scheduling
                    },
                    idempotency: Some(Idempotency { key: trigger.clone(), body_hash: "the same".to_owned() }),
                    ..new_run(&team.id, "true")
                };
                self.spawn(async move {
                    let ask = || format!("asks for {trigger}");
                    if let Some(Ok(accepted)) = insist(&core, ask, || accept(&app, new.clone())).await {
                        laws.answered(&trigger, accepted.run_id);
                    }
                });
            }
            Wish::Trigger { team, automation, planned, delivery } => {
                let laws = self.laws.clone();
                let automation = self.teams[team].automations[automation].clone();
                self.spawn(async move {
                    let ask = || format!("delivers {delivery} to {}", automation.id);
                    let work = || trigger(&app, &automation, planned, &delivery, core.time());
                    if let Some(Ok(delivered)) = insist(&core, ask, work).await
                        && let [run_id] = delivered.runs()[..]
                    {
                        laws.answered(&format!("{delivery} of {} {planned}", automation.id), run_id);
                    }
                });
            }
            Wish::Cancel(run) => {
                let known = run.and_then(|run| Some((run, self.laws.team_of(run)?)));
                let (cascade, laws) = (core.happens(500), self.laws.clone());
                if let Some((run, team)) = known.or_else(|| self.some_run()) {
                    self.spawn(async move {
                        if !cascade {
                            let ask = || format!("cancels {run}");
                            insist(&core, ask, || cancel::cancel(&app, &team, run, "somebody")).await;
                            return;
                        }
                        let ask = || format!("cancels {run} with all below it");
                        if let Some(Ok(_)) =
                            insist(&core, ask, || cancel::cancel_all(&app, &team, run, "somebody")).await
                        {
                            laws.cancelled_with_all_below(run);
                        }
                    });
                }
            }
            Wish::Say => {
                if let Some((run, team)) = self.some_run() {
                    self.laws.spoken_to(run);
                    self.spawn(async move {
                        let ask = || format!("says something to {run}");
                        insist(&core, ask, || messages::send(&app, &team, run, "somebody", "go on")).await;
                    });
                }
            }
            Wish::Plan { team, agents } => {
                let team = self.teams[team].id.clone();
                self.laws.allow(&team, agents);
                self.spawn(async move {
                    let ask = || format!("gives {team} {agents} agents");
                    insist(&core, ask, || change_plan(&app, &team, agents)).await;
                });
            }
            Wish::Pause { team, ms } => {
                let team = self.teams[team].id.clone();
                self.spawn(async move {
                    let ask = || format!("pauses {team}");
                    insist(&core, ask, || teams::pause(&app, &team, "somebody")).await;
                    core.pause(ms).await;
                    let ask = || format!("resumes {team}");
                    while !matches!(insist(&core, ask, || teams::resume(&app, &team)).await, Some(Ok(_))) {}
                });
            }
            Wish::DeleteEnvironment { team } => {
                let (team, environment) = (self.teams[team].id.clone(), self.teams[team].environment.clone());
                self.spawn(async move {
                    let ask = || format!("deletes the environment of {team}");
                    let delete = || async {
                        let found = resources::find::<Environment>(&app, &team, environment.as_str()).await?;
                        resources::delete(&app, &found).await
                    };
                    insist(&core, ask, delete).await;
                });
            }
        }
    }

    fn some_run(&self) -> Option<(RunId, TeamId)> {
        let runs = self.laws.runs();
        let last = i64::try_from(runs.len()).unwrap_or(0) - 1;
        let number = usize::try_from(self.core.pick(0, last.max(0))).unwrap_or(0);
        runs.values().nth(number).map(|run| (run.run_id, run.team.clone()))
    }
}

/// Asks until there is an answer, as a patient sender does; gives up after a few times.
async fn insist<T, E: std::error::Error + 'static, Work: Future<Output = Result<T, E>>>(
    core: &Arc<Core>,
    ask: impl Fn() -> String,
    work: impl Fn() -> Work,
) -> Option<Result<T, E>> {
    for _ in 0..6 {
        let passing = core.pass(Service::Network, &ask).await;
        if passing.is_done() {
            let answer = core.handler(work()).await;
            core.pause(core.pick(2, 40)).await;
            if let (Ok(answer), Passing::Through) = (answer, passing) {
                if let Err(err) = &answer {
                    core.tell(|| format!("{} and hears: {}", ask(), chain(err)));
                }
                // A refusal is an answer; what did not get through to the store is none.
                if answer.is_ok() || !answer.as_ref().is_err_and(|err| err.source().is_some()) {
                    return Some(answer);
                }
            }
        }
        core.pause(core.pick(200, 4_000)).await;
    }
    None
}

/// What the doors of the product do with a delivery, which `now` signs if it is a webhook.
async fn trigger(
    app: &App,
    automation: &Automation,
    planned: bool,
    delivery: &str,
    now: Timestamp,
) -> Result<Delivered, ReceiveError> {
    if planned {
        return receive::planned(app, &automation.id, delivery, b"").await;
    }
    let (id, body) = (delivery.replace(' ', "-"), b"{}");
    let signature = automation.secret(&app.settings.webhook_key).sign(&id, now.as_second(), body);
    let at = now.as_second().to_string();
    let headers = [(standard_webhooks::ID, &id), (standard_webhooks::TIMESTAMP, &at), (SIGNATURE, &signature)];
    let header =
        |name: &str| Header::of(headers.iter().filter(|(found, _)| *found == name).map(|(_, value)| value.as_bytes()));
    match receive::webhook(app, automation.id.as_str(), Request { header, path_token: None, body }).await? {
        Taken::Delivered(delivered) => Ok(*delivered),
        Taken::Challenge(challenge) => panic!("nobody asked: {challenge}"),
    }
}

async fn change_plan(app: &App, team: &TeamId, agents: u16) -> Result<(), StoreError> {
    let Some(row) = app.store.team(team).await? else { return Ok(()) };
    let plan = Plan { concurrent_agents: agents, ..row.plan };
    app.store.put_team(&TeamRow { plan, ..row }).await?;
    // Whoever changes a plan says so: there may be slots for those who wait.
    let _ = app.queue.send(QueueMessage::Tick { team: team.clone() }).await;
    Ok(())
}
