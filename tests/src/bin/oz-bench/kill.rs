//! `kill -9` of the control plane while agents are at work, again and again: no accepted run may be lost, none may run
//! twice, and whoever was at work goes on or is replaced.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hasher};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use flate2::read::MultiGzDecoder;
use ozma_api::wire::RunItem;
use ozma_domain::audit::verify::{StoredSegment, verify};
use ozma_domain::id::RunId;
use ozma_domain::plan::Plan;
use ozma_domain::state::RunState;
use ozma_domain::text::chain;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::Result;
use crate::control_plane::{Api, ControlPlane, free_port};
use crate::machine;
use crate::processes::{agents, kill_agent};
use crate::report::{self, Times, time};
use crate::timelines;
use crate::witness::{Testimony, Witness};

/// For a call that was cut off to be answered after all.
const ANSWER: Duration = Duration::from_secs(120);

/// For all runs to end after the last kill, and to be sealed after that.
const PATIENCE: Duration = Duration::from_secs(600);
const SEALED: Duration = Duration::from_secs(60);

/// For what a kill is to meet; then it comes all the same.
const MEETING: Duration = Duration::from_secs(10);

/// Senders of a round.
const CLIENTS: usize = 8;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long, default_value_t = 20)]
    rounds: u32,
    /// Runs sent in each round
    #[arg(long, default_value_t = 60)]
    runs: usize,
    /// How long a task takes, in seconds
    #[arg(long, default_value_t = 0.3)]
    task: f64,
    /// How long each third task takes, in seconds: it lives through kills
    #[arg(long, default_value_t = 3.0)]
    long_task: f64,
    /// Cancel one of so many runs; 0 cancels none
    #[arg(long, default_value_t = 5)]
    cancel_each: usize,
    /// In each fourth round, kill so many agents as well
    #[arg(long, default_value_t = 1)]
    agents: usize,
    #[arg(long, default_value = "max")]
    plan: String,
    /// The latest moment of a kill, in milliseconds from the start of the process
    #[arg(long, default_value_t = 2_500)]
    within_ms: u64,
    /// Repeats the moments of an earlier measurement
    #[arg(long)]
    seed: Option<u64>,
    /// Keep the data folder and its log
    #[arg(long)]
    keep: bool,
}

/// What a kill is to meet, one after the other.
#[derive(Clone, Copy)]
enum Moment {
    /// Whatever there is; agents die with the control plane.
    Anything,
    /// An agent that reports its end.
    AFinish,
    /// A run that is being cancelled.
    ACancel,
    /// The start itself.
    TheStart,
}

/// What the senders saw, over all rounds.
#[derive(Debug, Default)]
struct Sent {
    resent: AtomicUsize,
    /// Told whenever somebody is about to cancel.
    cancels: Notify,
}

/// A run that was accepted.
#[derive(Clone, Copy, Debug)]
struct Accepted {
    run: RunId,
    cancelled: Cancelled,
}

/// What became of somebody's wish to cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cancelled {
    NotAsked,
    Now,
    /// It had ended, or an earlier try of the same cancel was done and not heard of.
    Late,
}

/// What the control plane says in the end of the runs it accepted.
#[derive(Debug, Default)]
struct Verdict {
    /// Trails that hold: signature, segments, chain. And those that are complete, too.
    verified: usize,
    complete: usize,
    /// Trails that say they are not complete, though nobody killed an agent of the run.
    incomplete: Vec<String>,
    twice: HashSet<RunId>,
    violations: Vec<String>,
}

pub(crate) async fn measure(oz: &Path, args: &Args) -> Result<()> {
    let slots = usize::from(Plan::named(&args.plan)?.concurrent_agents);
    let mut temporary = tempfile::tempdir()?;
    temporary.disable_cleanup(args.keep);
    let data_dir = temporary.path().join("data");
    let port = free_port()?;
    let seed = args.seed.unwrap_or_else(|| std::hash::RandomState::new().build_hasher().finish());
    let mut chance = Chance(seed);
    report::line("load", &format!("{} rounds of {} runs, plan {}, seed {seed}", args.rounds, args.runs, args.plan));
    if args.keep {
        report::line("data folder", &data_dir.display().to_string());
    }

    let witness = Arc::new(Witness::listen().await?);
    let tasks: [Arc<str>; 2] = [args.task, args.long_task].map(|seconds| witness.task(seconds).into());
    let sent = Arc::new(Sent::default());
    let mut senders = JoinSet::new();
    let (mut kills, mut refused) = (Vec::new(), 0);
    let mut interrupted: HashSet<RunId> = HashSet::new();
    let began = Instant::now();
    let mut control_plane = ControlPlane::start(oz, &data_dir, &args.plan, port)?;
    control_plane.healthy().await?;
    let api = control_plane.api(&data_dir)?;
    for round in 0..args.rounds {
        for client in 0..CLIENTS {
            let orders: Vec<Order> = (client..args.runs).step_by(CLIENTS).map(|run| order(round, run, args)).collect();
            senders.spawn(send(
                api.clone(),
                tasks.clone(),
                orders,
                sent.clone(),
                witness.clone(),
                Chance(chance.below(u64::MAX)),
            ));
        }
        let moment = [Moment::Anything, Moment::AFinish, Moment::ACancel, Moment::TheStart][round as usize % 4];
        let mut killed = false;
        while !killed {
            let within_ms = match moment {
                Moment::Anything => args.within_ms,
                Moment::AFinish | Moment::ACancel => {
                    // Not before work is under way.
                    tokio::time::sleep(Duration::from_millis(chance.below(args.within_ms.max(1)))).await;
                    let meeting = async {
                        match moment {
                            Moment::ACancel => sent.cancels.notified().await,
                            _ => witness.a_finish().await,
                        }
                    };
                    let _ = tokio::time::timeout(MEETING, meeting).await;
                    // What follows takes some milliseconds: the call, its writes, and what they set going.
                    50
                }
                Moment::TheStart => args.within_ms.min(100),
            };
            tokio::time::sleep(Duration::from_millis(chance.below(within_ms.max(1)))).await;
            let at_work = if matches!(moment, Moment::Anything) { agents(control_plane.pid()) } else { Vec::new() };
            let at = Instant::now();
            killed = control_plane.kill()?;
            if killed {
                kills.push(at);
                let killed = at_work.into_iter().filter_map(kill_agent).take(args.agents);
                interrupted.extend(killed.map(|execution| execution.run));
            }
            refused += u32::from(!killed);
            if refused > args.rounds {
                return Err("oz up keeps ending by itself".into());
            }
            control_plane = ControlPlane::start(oz, &data_dir, &args.plan, port)?;
        }
    }
    control_plane.healthy().await?;
    let killing = began.elapsed();

    let mut accepted = Vec::new();
    while let Some(runs) = senders.join_next().await {
        accepted.extend(runs??);
    }
    let all_ended = api.all_ended(PATIENCE).await;
    let took = began.elapsed();
    let listed = api.runs().await?;
    let testimony = witness.testimony(&kills);
    let mut verdict = judge(&api, &accepted, &listed, &testimony, &interrupted).await?;
    let executions = timelines::read(&api, listed.iter().map(|run| run.run_id).collect()).await?;
    let lives: Times = executions.iter().filter_map(|e| Some(timelines::since(e.started?, e.ended?))).collect();
    let held = timelines::most_at_once(&executions);
    let expected = usize::try_from(args.rounds)? * args.runs;
    verdict.law(all_ended, || "not every run ended".to_owned());
    verdict.law(accepted.len() == expected && listed.len() == expected, || {
        format!("{expected} runs were sent, {} accepted, and there are {}", accepted.len(), listed.len())
    });
    verdict.law(testimony.met > kills.len() / 2, || format!("only {} kills met agents at work", testimony.met));
    let most = held.max(testimony.most_at_once);
    verdict.law(most <= slots, || format!("{most} slots were held at once, the plan allows {slots}"));
    verdict.law(testimony.still_alive == 0, || format!("{} tasks are alive", testimony.still_alive));

    let finished = |run: &RunId| testimony.finished.contains(run);
    let went_on = testimony.caught.iter().filter(|(_, finished)| *finished).count();
    let replaced = testimony.caught.iter().filter(|(e, finished_itself)| !finished_itself && finished(&e.run)).count();
    let cut_off = testimony.caught.len() - went_on - replaced;
    let ended_as = |state: RunState| listed.iter().filter(|run| run.state == state).count();
    report::line(
        "kills",
        &format!(
            "{} within {}, {} met agents at work, {} agents killed with it; {refused} starts ended by themselves",
            kills.len(),
            time(killing),
            testimony.met,
            interrupted.len()
        ),
    );
    report::line("accepted", &format!("{}, {} of them sent more than once", accepted.len(), sent.resent()));
    report::line(
        "ended",
        &format!(
            "{} SUCCEEDED, {} CANCELLED ({} of them at work)",
            ended_as(RunState::Succeeded),
            ended_as(RunState::Cancelled),
            testimony.cut_off
        ),
    );
    report::line(
        "tasks at work at a kill",
        &format!(
            "{}: {went_on} went on to their end, {replaced} replaced, {cut_off} cancelled",
            testimony.caught.len()
        ),
    );
    report::line("tasks seen", &format!("{}, of {} runs finished", testimony.visits, testimony.finished.len()));
    report::line(
        "executions",
        &format!("{}: {} retries", executions.len(), executions.iter().filter(|e| e.execution.number > 1).count()),
    );
    report::line("most at once", &format!("{} tasks alive, {held} slots held", testimony.most_at_once));
    report::line("task started to end of execution", &lives.percentiles(&[50, 95, 100]));
    report::line("trails", &format!("{} verified, {} without a gap", verdict.verified, verdict.complete));
    report::line("duration", &format!("{} until all ended", time(took)));
    report::line("load after", &machine::load());
    for run in verdict.incomplete.iter().take(20) {
        report::line("incomplete", run);
    }
    for violation in verdict.violations.iter().take(20) {
        report::line("VIOLATION", violation);
    }
    anstream::println!(
        "kills: {}, runs: {}, at work at a kill: {} ({went_on} went on, {replaced} replaced, {cut_off} cancelled), run twice: \
         {}, slots: {most} of {slots}, trails verified: {}, violations: {}",
        kills.len(),
        listed.len(),
        testimony.caught.len(),
        verdict.twice.len(),
        verdict.verified,
        verdict.violations.len()
    );
    if verdict.violations.is_empty() { Ok(()) } else { Err("what must always hold did not".into()) }
}

/// A run to be sent.
struct Order {
    key: String,
    long: bool,
    cancel: bool,
}

fn order(round: u32, run: usize, args: &Args) -> Order {
    Order {
        key: format!("round-{round}-run-{run}"),
        long: run.is_multiple_of(3),
        cancel: args.cancel_each > 0 && run % args.cancel_each == args.cancel_each - 1,
    }
}

/// Sends one run after the other, each until its accept is answered; what is to be cancelled is so some time later.
async fn send(
    api: Api,
    [short, long]: [Arc<str>; 2],
    orders: Vec<Order>,
    sent: Arc<Sent>,
    witness: Arc<Witness>,
    mut chance: Chance,
) -> Result<Vec<Accepted>> {
    let mut accepted = Vec::new();
    let mut cancels = JoinSet::new();
    for order in orders {
        let task = if order.long { &long } else { &short };
        let give_up = Instant::now() + ANSWER;
        let mut tries = 1;
        let run = loop {
            match api.accept(task, &order.key).await {
                Ok(created) => break created.run_id,
                Err(err) if err.status().is_some_and(|status| status.is_client_error()) => return Err(err.into()),
                Err(err) if Instant::now() > give_up => return Err(err.into()),
                Err(_) => {
                    tries += 1;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        };
        sent.resent.fetch_add(usize::from(tries > 1), Ordering::Relaxed);
        if order.cancel {
            let wait = Duration::from_millis(chance.below(if order.long { 1_500 } else { 4_000 }));
            // The long ones while their task is at work, the others whatever they are at.
            let witness = order.long.then(|| witness.clone());
            cancels.spawn(cancel(api.clone(), run, witness, wait, sent.clone()));
        } else {
            accepted.push(Accepted { run, cancelled: Cancelled::NotAsked });
        }
    }
    while let Some(cancelled) = cancels.join_next().await {
        accepted.push(cancelled??);
    }
    Ok(accepted)
}

async fn cancel(
    api: Api,
    run: RunId,
    witness: Option<Arc<Witness>>,
    wait: Duration,
    sent: Arc<Sent>,
) -> Result<Accepted> {
    let give_up = Instant::now() + ANSWER;
    while let Some(witness) = &witness
        && !witness.has_met(run)
        && Instant::now() < give_up
    {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(wait).await;
    let give_up = Instant::now() + ANSWER;
    loop {
        sent.cancels.notify_waiters();
        match api.cancel(run).await {
            Ok(()) => return Ok(Accepted { run, cancelled: Cancelled::Now }),
            Err(err) if err.status().is_some_and(|status| status.is_client_error()) => {
                return Ok(Accepted { run, cancelled: Cancelled::Late });
            }
            Err(err) if Instant::now() > give_up => return Err(err.into()),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn judge(
    api: &Api,
    accepted: &[Accepted],
    listed: &[RunItem],
    testimony: &Testimony,
    interrupted: &HashSet<RunId>,
) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let asked: HashMap<RunId, Cancelled> = accepted.iter().map(|accepted| (accepted.run, accepted.cancelled)).collect();
    let known: HashSet<RunId> = listed.iter().map(|run| run.run_id).collect();
    for accepted in accepted.iter().filter(|accepted| !known.contains(&accepted.run)) {
        verdict.law(false, || format!("{} was accepted and is lost", accepted.run));
    }
    for run in &testimony.alive_twice {
        verdict.twice.insert(*run);
        verdict.law(false, || format!("{run} ran twice at once"));
    }
    // Whose agent was killed after its task's last line and before its report, is begun anew: nobody knows of that end.
    for run in testimony.finished_twice.difference(interrupted) {
        verdict.twice.insert(*run);
        verdict.law(false, || format!("{run} ran twice, by its tasks"));
    }
    for item in listed {
        let (run, state) = (item.run_id, item.state);
        let asked = asked.get(&run).copied().unwrap_or(Cancelled::NotAsked);
        let lawful = match asked {
            Cancelled::NotAsked => state == RunState::Succeeded,
            Cancelled::Now => state == RunState::Cancelled,
            Cancelled::Late => matches!(state, RunState::Succeeded | RunState::Cancelled),
        };
        let message = item.status_message.as_ref().map(|status| status.message.as_str()).unwrap_or_default();
        verdict.law(lawful, || format!("{run} is {state}, and of a cancel: {asked:?}: {message}"));
        let line = format!("did {run}:");
        let told = api.transcript(run).await?.iter().filter(|event| is_output_of(event, &line)).count();
        if told > 1 && !interrupted.contains(&run) {
            verdict.twice.insert(run);
            verdict.law(false, || format!("{run} ran twice, by its transcript"));
        }
        if state == RunState::Succeeded {
            verdict.law(told > 0 && testimony.finished.contains(&run), || {
                format!("{run} succeeded, and its task did not come to its end")
            });
        }
    }
    let give_up = Instant::now() + SEALED;
    for item in listed {
        let run = item.run_id;
        match trail(api, run, give_up).await? {
            Ok(complete) => {
                verdict.verified += 1;
                verdict.complete += usize::from(complete);
                if !complete && !interrupted.contains(&run) {
                    verdict.incomplete.push(format!("{run} {}", item.state));
                }
            }
            Err(why) => verdict.law(false, || format!("the trail of {run} does not hold: {why}")),
        }
    }
    Ok(verdict)
}

/// Whether the trail is complete, once its signature, segments and chain were checked.
async fn trail(api: &Api, run: RunId, give_up: Instant) -> Result<std::result::Result<bool, String>> {
    let (signed, public_key) = loop {
        let audit = api.audit(run).await?;
        if let Some(manifest) = audit.manifest {
            break (manifest, audit.public_key);
        }
        if Instant::now() > give_up {
            return Ok(Err("it is not sealed".to_owned()));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    let manifest = match signed.open(&public_key) {
        Ok(manifest) if manifest.run_id == run => manifest,
        Ok(manifest) => return Ok(Err(format!("it is that of {}", manifest.run_id))),
        Err(err) => return Ok(Err(chain(&err).to_string())),
    };
    let mut stored = HashMap::new();
    for segment in &manifest.segments {
        if let Some(object) = api.segment(run, segment.execution, segment.sequence).await? {
            let mut lines = String::new();
            MultiGzDecoder::new(&object[..]).read_to_string(&mut lines)?;
            stored.insert(segment.key.clone(), StoredSegment { object, lines });
        }
    }
    let verified = verify(&manifest, |key| stored.remove(key));
    Ok(verified.map(|verified| verified.complete).map_err(|err| chain(&err).to_string()))
}

fn is_output_of(event: &str, line: &str) -> bool {
    let event: serde_json::Value = serde_json::from_str(event).unwrap_or_default();
    event["type"] == "output" && event["text"].as_str().is_some_and(|text| text.contains(line))
}

impl Verdict {
    fn law(&mut self, holds: bool, violation: impl FnOnce() -> String) {
        if !holds {
            self.violations.push(violation());
        }
    }
}

impl Sent {
    fn resent(&self) -> usize {
        self.resent.load(Ordering::Relaxed)
    }
}

/// `SplitMix64`: repeatable, and good enough to choose moments.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
