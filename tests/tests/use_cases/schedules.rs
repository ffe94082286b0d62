//! Schedules: each planned time has one run or a reason why it has none, whoever looks how often and whatever is lost.

use jiff::{SignedDuration, Timestamp};
use ozma_app::schedules::{self, ScheduleError};
use ozma_app::sweep::sweep;
use ozma_app::{cancel, resources};
use ozma_domain::environment::{Environment, EnvironmentConfig};
use ozma_domain::harness::HarnessKind;
use ozma_domain::id::RunId;
use ozma_domain::run::RunSource;
use ozma_domain::schedule::{Missed, Overlap, Policies, Schedule, ScheduleConfig, Timetable};
use ozma_tests::world::configs::template;
use ozma_tests::world::{Fault, World};

fn minutes(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

fn config(cron: &str, policies: Policies) -> ScheduleConfig {
    let template = template("make report", HarnessKind::Shell);
    let timetable = Timetable::parse(cron, None).expect("a timetable");
    ScheduleConfig { name: "report".to_owned(), timetable, enabled: true, template, policies }
}

fn allowing() -> Policies {
    Policies { overlap: Overlap::Allow, ..Policies::default() }
}

async fn every_ten_minutes(world: &World, policies: Policies) -> Schedule {
    schedules::create(&world.app, &world.team, "ada", config("rate(10 minutes)", policies)).await.expect("created")
}

async fn read(world: &World, schedule: &Schedule) -> Schedule {
    schedules::find(&world.app, &world.team, schedule.id.as_str()).await.expect("a schedule")
}

/// The planned times that have runs, oldest first, in minutes after the schedule was made; and `now` for those at once.
async fn planned(world: &World, schedule: &Schedule) -> String {
    let mut requests = world.app.store.latest_requests(&world.team, None, 1_000).await.expect("a store");
    requests.sort_by_key(|request| request.run_id);
    let snapshots = requests.iter().filter_map(|request| request.schedule.clone());
    let since = |at: Timestamp| at.duration_since(schedule.created_at).as_mins();
    let told = snapshots.map(|of| of.planned_at.map_or_else(|| "now".to_owned(), |at| since(at).to_string()));
    told.collect::<Vec<_>>().join(" ")
}

async fn states(world: &World, schedule: &Schedule) -> String {
    let mut told = Vec::new();
    for past in &read(world, schedule).await.history {
        told.push(match past.run_id {
            Some(run) => world.state(run).await.to_owned(),
            None => past.error.clone().unwrap_or_default(),
        });
    }
    told.join(" ")
}

#[tokio::test]
async fn each_planned_time_has_one_run_however_often_somebody_looks() {
    let world = World::new("free").await;
    let schedule = every_ten_minutes(&world, allowing()).await;
    assert_eq!((world.drain().await, planned(&world, &schedule).await.as_str()), (0, ""));
    for _ in 0..3 {
        world.clock.forward(minutes(10));
        assert_eq!(world.drain().await, 1);
        assert_eq!(world.drain().await, 0);
        sweep(&world.app, Timestamp::MIN).await.unwrap();
    }
    assert_eq!(planned(&world, &schedule).await, "10 20 30");
    let now = read(&world, &schedule).await;
    assert_eq!(now.next_at(), Some(schedule.created_at + minutes(40)));
    let run = now.history[2].run_id.unwrap();
    let request = world.app.store.request(&world.team, run).await.unwrap().unwrap();
    assert_eq!((request.source, request.creator.as_str()), (RunSource::ScheduledAgent, "ada"));
    assert_eq!(request.agent_config["name"], "report");
    assert_eq!(request.schedule.unwrap().planned_at, Some(schedule.created_at + minutes(30)));
}

/// Each single request of a look is lost, and each single reply: the next look makes up for it, and nothing is doubled.
#[tokio::test]
async fn whatever_is_lost_on_the_way_a_planned_time_has_one_run() {
    for fault in Fault::ALL {
        for nth in 1.. {
            let world = World::new("free").await;
            let schedule = every_ten_minutes(&world, allowing()).await;
            world.clock.forward(minutes(10));
            world.faults.plan(nth, fault);
            let looked = ozma_app::dispatch::drain(&world.app, &world.team).await;
            if world.faults.is_pending() {
                assert!(nth > 10 && looked.is_ok(), "{nth} requests");
                break;
            }
            world.clock.forward(SignedDuration::from_secs(5));
            drop(sweep(&world.app, Timestamp::MIN).await);
            world.pump().await;
            assert_eq!(planned(&world, &schedule).await, "10", "{fault:?} {nth}");
            world.clock.forward(minutes(10));
            world.drain().await;
            assert_eq!(planned(&world, &schedule).await, "10 20", "{fault:?} {nth}");
        }
    }
}

#[tokio::test]
async fn times_that_nobody_saw_are_made_up_for_by_the_policy() {
    let check = async |missed: Missed, expected: &str, left_out: Option<u32>| {
        let world = World::new("max").await;
        let schedule = every_ten_minutes(&world, Policies { missed, ..allowing() }).await;
        // From the first time to the fifth, and three minutes more: the fifth is on time.
        world.clock.forward(minutes(53));
        world.drain().await;
        assert_eq!(planned(&world, &schedule).await, expected);
        assert_eq!(read(&world, &schedule).await.history[0].left_out, left_out);
    };
    check(Missed::Skip, "50", Some(4)).await;
    check(Missed::Latest, "40 50", Some(3)).await;
    check(Missed::All(3), "20 30 40 50", Some(1)).await;
    check(Missed::All(10), "10 20 30 40 50", None).await;
}

#[tokio::test]
async fn a_run_that_goes_on_meets_the_next_by_the_policy() {
    let check = async |overlap: Overlap, expected: &str| {
        let world = World::new("free").await;
        let schedule = every_ten_minutes(&world, Policies { overlap, ..Policies::default() }).await;
        for _ in 0..2 {
            world.clock.forward(minutes(10));
            world.drain().await;
        }
        assert_eq!(states(&world, &schedule).await, expected);
    };
    check(Overlap::Skip, "PENDING CANCELLED").await;
    check(Overlap::Queue, "PENDING QUEUED").await;
    check(Overlap::Supersede, "CANCELLED QUEUED").await;
    check(Overlap::Allow, "PENDING PENDING").await;
}

#[tokio::test]
async fn paused_it_starts_nothing_and_resumed_it_goes_on_from_then() {
    let world = World::new("free").await;
    let schedule = every_ten_minutes(&world, allowing()).await;
    let enable = async |enabled| {
        let id = schedule.id.as_str();
        schedules::enable(&world.app, &world.team, id, "bob", enabled).await.unwrap().next_at()
    };
    assert_eq!(enable(false).await, None);
    world.clock.forward(minutes(35));
    assert_eq!(world.drain().await, 0);
    assert_eq!(enable(true).await, Some(schedule.created_at + minutes(40)));
    assert_eq!(world.drain().await, 0);
    world.clock.forward(minutes(5));
    world.drain().await;
    assert_eq!(planned(&world, &schedule).await, "40");
    assert_eq!(read(&world, &schedule).await.updated_by, "bob");
}

#[tokio::test]
async fn changed_it_plans_anew_and_deleted_it_plans_nothing() {
    let world = World::new("free").await;
    let schedule = every_ten_minutes(&world, allowing()).await;
    let id = schedule.id.as_str();
    world.clock.forward(minutes(1));
    let faster = config("rate(3 minutes)", allowing());
    schedules::update(&world.app, &world.team, "report", "bob", faster).await.unwrap();
    world.clock.forward(minutes(5));
    world.drain().await;
    assert_eq!(planned(&world, &schedule).await, "3 6");
    let run = schedules::run_now(&world.app, &world.team, id, "bob").await.unwrap().run_id;
    let request = world.app.store.request(&world.team, run).await.unwrap().unwrap();
    assert_eq!((request.creator.as_str(), request.schedule.unwrap().planned_at), ("bob", None));
    schedules::delete(&world.app, &world.team, id).await.unwrap();
    world.clock.forward(minutes(30));
    world.drain().await;
    assert_eq!(planned(&world, &schedule).await, "3 6 now");
    let unknown = schedules::find(&world.app, &world.team, id).await;
    assert!(matches!(unknown, Err(ScheduleError::Unknown(_))));
    assert_eq!(world.app.store.due_alarms(&world.team, world.now(), 10).await.unwrap().len(), 0);
}

#[tokio::test]
async fn why_there_is_no_run_is_told_and_the_next_time_is_planned() {
    let world = World::new("free").await;
    let web = EnvironmentConfig { name: "web".to_owned(), ..EnvironmentConfig::default() };
    let web = resources::create::<Environment>(&world.app, &world.team, web).await.unwrap().uid;
    let mut config = config("rate(10 minutes)", allowing());
    config.template.environment = Some(web.clone());
    let schedule = schedules::create(&world.app, &world.team, "ada", config).await.unwrap();
    let found = resources::find::<Environment>(&world.app, &world.team, web.as_str()).await.unwrap();
    resources::delete(&world.app, &found).await.unwrap();
    world.clock.forward(minutes(10));
    world.drain().await;
    let now = read(&world, &schedule).await;
    assert!(now.last_error.as_deref().is_some_and(|error| error.contains("there is no environment")), "{now:?}");
    assert_eq!(now.next_at(), Some(schedule.created_at + minutes(20)));
    let run: RunId = world.accept("true").await;
    cancel::cancel(&world.app, &world.team, run, "ada").await.unwrap();
    // A run at once without an environment mends the error that is told.
    let mut mended = now.config.clone();
    mended.template.environment = None;
    schedules::update(&world.app, &world.team, schedule.id.as_str(), "ada", mended).await.unwrap();
    world.clock.forward(minutes(10));
    world.drain().await;
    assert_eq!(read(&world, &schedule).await.last_error, None);
}

#[tokio::test]
async fn a_run_starts_later_by_its_jitter_and_a_schedule_ends_by_its_date() {
    let world = World::new("free").await;
    let ends_at = Some(world.now() + minutes(25));
    let schedule = every_ten_minutes(&world, Policies { jitter_seconds: 300, ends_at, ..allowing() }).await;
    world.clock.forward(minutes(10));
    world.drain().await;
    let run = world.run(read(&world, &schedule).await.history[0].run_id.unwrap()).await;
    let start = schedule.config.policies.start(&schedule.id, schedule.created_at + minutes(10));
    assert_eq!(run.not_before, Some(start).filter(|start| *start > world.now()));
    world.clock.forward(minutes(60));
    world.drain().await;
    assert_eq!((planned(&world, &schedule).await.as_str(), read(&world, &schedule).await.next_at()), ("10 20", None));
}

#[tokio::test]
async fn what_would_never_start_is_refused_by_field() {
    let world = World::new("free").await;
    let check = async |config: ScheduleConfig, expected: &str| {
        let refused = schedules::create(&world.app, &world.team, "ada", config).await.unwrap_err().to_string();
        assert!(refused.starts_with(expected), "{refused}");
    };
    check(config("at(2020-01-01T00:00:00)", allowing()), "cron_schedule: is over").await;
    let ends_at = Some(world.now() + minutes(5));
    check(config("rate(10 minutes)", Policies { ends_at, ..allowing() }), "cron_schedule: is over").await;
    check(ScheduleConfig { name: " ".to_owned(), ..config("@daily", allowing()) }, "name: a schedule needs").await;
    let mut of_nobody = config("@daily", allowing());
    of_nobody.template.environment = Some("0123456789abcdefABCDEF".parse().unwrap());
    check(of_nobody, "agent_config.environment_id: there is no environment").await;
    assert_eq!(schedules::list(&world.app, &world.team).await.unwrap(), []);
}
