//! Following cursors gives exactly what filtering and sorting everything would: an oracle over random runs.

use std::cmp::Ordering;

use jiff::{SignedDuration, Timestamp};
use ozma_app::accept::{NewRun, accept};
use ozma_app::cancel::cancel;
use ozma_app::list::{Filter, Listing, SortBy, SortOrder, list};
use ozma_app::settle::container_gone;
use ozma_domain::failure::FailureClass;
use ozma_domain::id::RunId;
use ozma_domain::lifecycle::{Claiming, Ending};
use ozma_domain::outcome::Outcome;
use ozma_domain::protocol::Report;
use ozma_domain::run::{Isolation, RunSource};
use ozma_domain::state::RunState;
use ozma_store::{KeyRelease, Written};
use ozma_tests::world::World;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::api::{Api, time};

/// A run to be made. The small universes make filters hit and sorts tie.
#[derive(Clone, Debug)]
struct Spec {
    after_ms: i64,
    target: Target,
    name: Option<&'static str>,
    model: Option<&'static str>,
    skill: Option<&'static str>,
    creator: &'static str,
    title: &'static str,
    source: RunSource,
    environment: Option<usize>,
    metadata: Option<(&'static str, &'static str)>,
    /// Counted back from this run.
    parent: Option<usize>,
}

/// How far a run gets.
#[derive(Clone, Copy, Debug)]
enum Target {
    Queued,
    CancelledInQueue,
    Pending,
    Claimed,
    InProgress,
    CancelledAtWork,
    Requeued,
    Succeeded,
    Failed,
    Errored,
}

fn spec() -> impl Strategy<Value = Spec> {
    use Target as T;
    let target = prop_oneof![
        3 => Just(T::Queued),
        1 => Just(T::CancelledInQueue),
        1 => Just(T::Pending),
        1 => Just(T::Claimed),
        1 => Just(T::InProgress),
        1 => Just(T::CancelledAtWork),
        1 => Just(T::Requeued),
        3 => Just(T::Succeeded),
        1 => Just(T::Failed),
        1 => Just(T::Errored),
    ];
    let one_of = |names: &'static [&'static str]| proptest::option::of(proptest::sample::select(names));
    let labels = (one_of(&["a", "b"]), one_of(&["m", "n"]), one_of(&["o/r:a", "o/r:b", "O/R:C"]));
    let title = proptest::sample::select(&["Build", "build", "test web", "Zebra", "ärger"][..]);
    let source = proptest::sample::select(&[RunSource::Api, RunSource::Cli, RunSource::Slack][..]);
    let pair = proptest::sample::select(&[("k", "v"), ("k", "w"), ("automation_id", "v")][..]);
    let others = (
        proptest::sample::select(&["admin", "other"][..]),
        title,
        source,
        proptest::option::of(0..2_usize),
        proptest::option::of(pair),
        proptest::option::of(1..4_usize),
    );
    (0..3_i64, target, labels, others).prop_map(|(after_ms, target, (name, model, skill), others)| {
        let (creator, title, source, environment, metadata, parent) = others;
        Spec { after_ms, target, name, model, skill, creator, title, source, environment, metadata, parent }
    })
}

/// Parts of a query string. `ENV0`, `RUN3` and times in milliseconds are filled in when there are runs.
fn filters() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let fixed = |pairs: &'static [(&'static str, &'static str)]| {
        proptest::sample::select(pairs).prop_map(|(name, value)| (name, value.to_owned()))
    };
    let state = proptest::sample::select(&RunState::ALL[..]).prop_map(|state| ("state", state.to_string()));
    let times = proptest::sample::select(&["created_after", "created_before", "updated_after"][..]);
    let time = (times, 0..60_i64).prop_map(|(name, ms)| (name, ms.to_string()));
    let run = (0..30_usize).prop_map(|run| ("ancestor_run_id", run.to_string()));
    let one = prop_oneof![
        4 => state,
        2 => time,
        1 => run,
        5 => fixed(&[
            ("name", "a"), ("name", "b"), ("model_id", "m"), ("skill", "o/r:a"), ("skill_spec", "o/r:b"),
            ("creator", "admin"), ("creator", "other"), ("executor", "admin"), ("executor", "nobody"),
            ("source", "API"), ("source", "CLI"), ("source", "LINEAR"), ("environment_id", "0"), ("environment_id", "1"),
            ("environment_id", "empty-environment"), ("metadata[k]", "v"), ("metadata[k]", "w"),
            ("automation_id", "v"), ("q", "BUILD"), ("q", "web test"), ("q", "r:a"), ("q", "ÄRGER"), ("q", "echo 1"),
            ("execution_location", "REMOTE"),
        ]),
        1 => fixed(&[
            ("execution_location", "LOCAL"), ("schedule_id", "s"), ("artifact_type", "PLAN"),
            ("artifact_type", "PULL_REQUEST"), ("factory_uid", "f"),
        ]),
    ];
    // Of one name one value counts, but for `state`.
    proptest::collection::vec(one, 0..4).prop_map(|mut pairs| {
        let mut seen = Vec::new();
        pairs.retain(|(name, _)| {
            *name == "state"
                || !seen.contains(name) && {
                    seen.push(*name);
                    true
                }
        });
        if seen.contains(&"skill") && seen.contains(&"skill_spec") {
            pairs.retain(|(name, _)| *name != "skill");
        }
        pairs
    })
}

#[derive(Clone, Debug)]
struct Ask {
    filters: Vec<(&'static str, String)>,
    sort_by: Option<&'static str>,
    sort_order: Option<&'static str>,
    limit: usize,
}

fn ask() -> impl Strategy<Value = Ask> {
    let sort_by = proptest::option::of(proptest::sample::select(&["updated_at", "created_at", "title", "agent"][..]));
    let sort_order = proptest::option::of(proptest::sample::select(&["asc", "desc"][..]));
    (filters(), sort_by, sort_order, 1..9_usize).prop_map(|(filters, sort_by, sort_order, limit)| Ask {
        filters,
        sort_by,
        sort_order,
        limit,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pages_are_the_list_cut_up(
        specs in proptest::collection::vec(spec(), 0..28),
        asks in proptest::collection::vec(ask(), 12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(pages_match(&specs, &asks));
    }
}

async fn pages_match(specs: &[Spec], asks: &[Ask]) {
    let api = Api::new("max").await;
    let mut environments = Vec::new();
    for name in ["zero", "one"] {
        let body = json!({"name": name}).to_string();
        environments
            .push(api.call("POST", "/agent/environments", body).await.json()["uid"].as_str().unwrap().to_owned());
    }
    let start = api.world.now();
    let mut runs = Vec::new();
    for (at, spec) in specs.iter().enumerate() {
        runs.push(make(&api.world, spec, at, &runs, &environments).await);
    }
    let mut all = Vec::new();
    for run in &runs {
        let mut run = api.get(&format!("/agent/runs/{run}")).await;
        run.as_object_mut().unwrap().remove("queue");
        all.push(run);
    }
    for ask in asks {
        let filled: Vec<(&str, String)> = ask
            .filters
            .iter()
            .filter_map(|(name, value)| {
                let number = || value.parse::<usize>().expect("a number");
                let value = match *name {
                    "environment_id" if value != "empty-environment" => environments[number()].clone(),
                    "ancestor_run_id" => runs.get(number())?.to_string(),
                    "created_after" | "created_before" | "updated_after" => {
                        (start + SignedDuration::from_millis(value.parse().expect("a number"))).to_string()
                    }
                    _ => value.clone(),
                };
                Some((*name, value))
            })
            .collect();
        let mut query: Vec<String> =
            filled.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        query.extend(ask.sort_by.map(|by| format!("sort_by={by}")));
        query.extend(ask.sort_order.map(|order| format!("sort_order={order}")));
        query.push(format!("limit={}", ask.limit));
        let query = query.join("&");

        let mut expected: Vec<&Value> = all.iter().filter(|run| matches(run, &filled, &all)).collect();
        expected.sort_by(|a, b| compare(a, b, ask));
        let mut pages: Vec<Vec<Value>> = Vec::new();
        let mut cursor = String::new();
        loop {
            assert!(pages.len() <= all.len(), "{query}: the cursors go on for ever");
            let mut page = api.get(&format!("/agent/runs?{query}{cursor}")).await;
            pages.push(page["runs"].as_array_mut().unwrap().drain(..).collect());
            let info = &page["page_info"];
            let Some(next) = info["next_cursor"].as_str() else {
                assert_eq!(info, &json!({"has_next_page": false}));
                break;
            };
            assert_eq!((&info["has_next_page"], pages.last().unwrap().len()), (&json!(true), ask.limit), "{query}");
            cursor = format!("&cursor={}", encoded(next));
        }
        assert!(pages.len() == 1 || !pages.last().unwrap().is_empty(), "{query}: a page too many");
        let found: Vec<&Value> = pages.iter().flatten().collect();
        let ids = |runs: &[&Value]| runs.iter().map(|run| run["run_id"].to_string()).collect::<Vec<_>>();
        assert_eq!(ids(&found), ids(&expected), "{query}");
        assert_eq!(found, expected, "{query}: a run in a list is the run");
    }
}

/// The filters as the contract words them, over what the API answers for each run alone.
fn matches(run: &Value, filters: &[(&str, String)], all: &[Value]) -> bool {
    let states: Vec<&String> = filters.iter().filter(|(name, _)| *name == "state").map(|(_, value)| value).collect();
    let in_states = states.is_empty() || states.iter().any(|state| run["state"] == state.as_str());
    let config = &run["agent_config"];
    in_states
        && filters.iter().all(|(name, value)| match *name {
            "state" => true,
            "name" | "model_id" => config[*name] == value.as_str(),
            "skill" | "skill_spec" => config["skill_spec"] == value.as_str(),
            "creator" | "executor" => run[*name]["uid"] == value.as_str(),
            "source" | "execution_location" => run[*name] == value.as_str(),
            "environment_id" if value == "empty-environment" => config.get("environment_id").is_none(),
            "environment_id" => config["environment_id"] == value.as_str(),
            "created_after" => time(&run["created_at"]) > value.parse().unwrap(),
            "created_before" => time(&run["created_at"]) < value.parse().unwrap(),
            "updated_after" => time(&run["updated_at"]) > value.parse().unwrap(),
            "metadata[k]" => run["metadata"]["k"] == value.as_str(),
            "automation_id" => run["metadata"]["automation_id"] == value.as_str(),
            "q" => {
                let text = format!("{} {} {}", run["title"], run["prompt"], config["skill_spec"]).to_lowercase();
                value.to_lowercase().split(' ').all(|word| text.contains(word))
            }
            "ancestor_run_id" => ancestors(run, all).contains(&value.as_str()),
            "schedule_id" | "artifact_type" | "factory_uid" => false,
            other => panic!("{other} has no oracle"),
        })
}

fn ancestors<'a>(run: &'a Value, all: &'a [Value]) -> Vec<&'a str> {
    let Some(parent) = run["parent_run_id"].as_str() else { return Vec::new() };
    let mut found = all.iter().find(|run| run["run_id"] == parent).map(|run| ancestors(run, all)).unwrap_or_default();
    found.push(parent);
    found
}

fn compare(a: &Value, b: &Value, ask: &Ask) -> Ordering {
    let skill = |run: &Value| run["agent_config"]["skill_spec"].as_str().unwrap_or_default().to_lowercase();
    // Skill-less runs come last either way.
    let missing =
        if ask.sort_by == Some("agent") { skill(a).is_empty().cmp(&skill(b).is_empty()) } else { Ordering::Equal };
    let key = match ask.sort_by.unwrap_or("updated_at") {
        "created_at" => time(&a["created_at"]).cmp(&time(&b["created_at"])),
        "updated_at" => update(a).cmp(&update(b)),
        "title" => a["title"].as_str().unwrap().to_lowercase().cmp(&b["title"].as_str().unwrap().to_lowercase()),
        _ => skill(a).cmp(&skill(b)),
    };
    let rest = key.then_with(|| a["run_id"].as_str().cmp(&b["run_id"].as_str()));
    missing.then(if ask.sort_order == Some("asc") { rest } else { rest.reverse() })
}

/// A run that is back in the queue waits where it was created.
fn update(run: &Value) -> Timestamp {
    time(&run[if run["state"] == "QUEUED" { "created_at" } else { "updated_at" }])
}

async fn make(world: &World, spec: &Spec, at: usize, runs: &[RunId], environments: &[String]) -> RunId {
    let tick = |by: i64| world.clock.forward(SignedDuration::from_millis(by));
    tick(spec.after_ms);
    let environment = spec.environment.map(|index| environments[index].clone());
    let labels = [
        ("name", spec.name),
        ("model_id", spec.model),
        ("skill_spec", spec.skill),
        ("environment_id", environment.as_deref()),
    ];
    // Below a run that was cancelled nothing is accepted.
    let mut parent = spec.parent.and_then(|back| at.checked_sub(back)).map(|index| runs[index]);
    if let Some(run) = parent
        && world.state(run).await == "CANCELLED"
    {
        parent = None;
    }
    let new = NewRun {
        creator: spec.creator.to_owned(),
        source: spec.source,
        title: Some(spec.title.to_owned()),
        agent_config: labels.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value?)))).collect(),
        environment: environment.as_ref().map(|uid| uid.parse().expect("an id")),
        metadata: spec.metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        parent_run_id: parent,
        ..world.new_run(&format!("echo {at}"))
    };
    let run = accept(&world.app, new).await.expect("accepted").run_id;
    if matches!(spec.target, Target::Queued) {
        return run;
    }
    tick(spec.after_ms);
    let stop = async || cancel(&world.app, &world.team, run, "admin").await.expect("cancelled");
    if matches!(spec.target, Target::CancelledInQueue) {
        stop().await;
        return run;
    }
    // This run alone; the others stay where they are.
    let queued = world.run(run).await;
    let slot = u16::try_from(at).expect("few runs");
    let pending = queued.dispatched(slot, world.now(), 3_600, 600).expect("it is queued");
    let _ = world.app.store.take_slot(&queued, &pending, slot, None).await.expect("a store");
    let agent = world.agent(run).await;
    let report = async |outcome: Outcome| {
        agent.report(world, &Report { outcome, last_segment: 0, usage: None }).await.expect("reported");
    };
    if matches!(spec.target, Target::Pending) {
        return run;
    }
    tick(spec.after_ms);
    agent.claim(world).await.map(drop).expect("claimed");
    match spec.target {
        Target::Claimed => return run,
        Target::Requeued => {
            tick(1);
            container_gone(&world.app, agent.execution, None).await.expect("settled");
            return run;
        }
        _ => agent.start(world).await.expect("started"),
    }
    tick(spec.after_ms);
    match spec.target {
        Target::InProgress => {}
        Target::CancelledAtWork => stop().await,
        Target::Succeeded => report(Outcome::Succeeded { summary: "done".to_owned() }).await,
        Target::Failed => report(Outcome::failed(FailureClass::TaskFailed, "exit code 1")).await,
        _ => report(Outcome::failed(FailureClass::LaunchRefused, "refused")).await,
    }
    run
}

fn encoded(text: &str) -> String {
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if unreserved(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// What happens to a run between two pages.
#[derive(Clone, Copy, Debug)]
struct Move {
    run: usize,
    cancel: bool,
    /// Timed so long before others can see it.
    late_ms: i64,
    after_ms: i64,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = (0..16_usize, proptest::bool::weighted(0.2), 0..50_i64, prop_oneof![0..12_i64, 0..400_i64]);
    let one = one.prop_map(|(run, cancel, late_ms, after_ms)| Move { run, cancel, late_ms, after_ms });
    proptest::collection::vec(one, 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_walk_meets_each_run_once_whatever_moves_meanwhile(
        between in proptest::collection::vec(moves(), 12),
        limit in 1..6_usize,
        ascending: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(walk_while_runs_move(&between, limit, ascending));
    }
}

async fn walk_while_runs_move(between: &[Vec<Move>], limit: usize, ascending: bool) {
    let api = Api::new("max").await;
    let mut runs = Vec::new();
    for at in 0..16 {
        runs.push(api.create(&format!("echo {at}")).await);
    }
    // Some are on their way already.
    for at in [1, 2, 3, 5, 8, 13, 1, 2, 3, 1, 2, 1] {
        step(&api.world, runs[at], at, Move { run: at, cancel: false, late_ms: 0, after_ms: 7 }).await;
    }
    let order = if ascending { "asc" } else { "desc" };
    let (mut met, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = api.get(&format!("/agent/runs?limit={limit}&sort_order={order}{cursor}")).await;
        met.extend(page["runs"].as_array().unwrap().iter().map(|run| run["run_id"].as_str().unwrap().to_owned()));
        let Some(next) = page["page_info"]["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
        for one in between.get(pages).into_iter().flatten() {
            step(&api.world, runs[one.run], one.run, *one).await;
        }
        pages += 1;
        assert!(pages <= runs.len(), "the cursors go on for ever");
    }
    let mut all: Vec<String> = runs.iter().map(RunId::to_string).collect();
    all.sort_unstable();
    met.sort_unstable();
    assert_eq!(met, all);
}

/// One step on for a run that has not ended.
async fn step(world: &World, id: RunId, at: usize, by: Move) {
    world.clock.forward(SignedDuration::from_millis(by.after_ms));
    let now = (world.now() - SignedDuration::from_millis(by.late_ms)).max(world.run(id).await.updated_at);
    let run = world.run(id).await;
    let store = &world.app.store;
    let slot = u16::try_from(at).expect("few runs");
    let held = run.held_slot();
    let done = Outcome::Succeeded { summary: "done".to_owned() };
    let written = match run.state {
        state if state.is_terminal() => return,
        RunState::Queued if !by.cancel => {
            let pending = run.dispatched(slot, now, 3_600, 600).expect("it is queued");
            store.take_slot(&run, &pending, slot, None).await
        }
        _ if by.cancel => {
            let cancelled = run.cancelled("admin", now).expect("it has not ended");
            store.end_run(&run, &cancelled, None, &[], &KeyRelease::Nothing, None).await
        }
        RunState::Pending => match run.claimed(1, "hash", Isolation::Process, now, 60) {
            Claiming::Now(claimed) => store.update_run_row(&run, &claimed).await,
            other => panic!("{other:?}"),
        },
        RunState::Claimed => store.update_run_row(&run, &run.started(now, 60).expect("it is claimed")).await,
        _ => match run.ended(1, &done, now, None) {
            Ending::Ended(ended) => store.end_run(&run, &ended, held, &[], &KeyRelease::Nothing, None).await,
            other => panic!("{other:?}"),
        },
    };
    assert_eq!(written.expect("a store"), Written::Now);
}

/// Runs that a filter turns away do not end the list, only the page.
#[tokio::test]
async fn rare_matches_are_found_beyond_the_window() {
    let world = World::new("free").await;
    let mut rare = Vec::new();
    for at in 0..450 {
        world.clock.forward(SignedDuration::from_millis(1));
        let title = if at % 149 == 0 { "rare" } else { "often" };
        let new = NewRun { title: Some(title.to_owned()), ..world.new_run("true") };
        let run = accept(&world.app, new).await.expect("accepted").run_id;
        if title == "rare" {
            rare.push(run);
        }
    }
    for (sort_by, order) in [
        (SortBy::UpdatedAt, SortOrder::Desc),
        (SortBy::CreatedAt, SortOrder::Desc),
        (SortBy::CreatedAt, SortOrder::Asc),
    ] {
        let filter = Filter { query: Some("rare".to_owned()), ..Filter::default() };
        let mut listing = Listing { filter, sort_by, order, limit: 3, cursor: None, window: 100 };
        let mut found = Vec::new();
        loop {
            let page = list(&world.app, &world.team, &listing).await.expect("a page");
            found.extend(page.runs.iter().map(|pair| pair.request.run_id));
            let Some(next) = page.next else { break };
            assert!(!page.runs.is_empty(), "clients stop at an empty page");
            listing.cursor = Some(next);
        }
        if order == SortOrder::Desc {
            found.reverse();
        }
        assert_eq!(found, rare, "{sort_by:?} {order:?}");
    }
}
