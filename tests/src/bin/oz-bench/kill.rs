//! `kill -9` of the control plane under load, again and again: no accepted run may be lost, none may run twice.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ozma_domain::id::RunId;
use tokio::task::JoinSet;

use crate::Result;
use crate::control_plane::{Api, ControlPlane, free_port};
use crate::machine;
use crate::report::{self, Times, time};
use crate::timelines;
use crate::witness::Witness;

/// For an accept that was cut off to be answered after all.
const ACCEPT: Duration = Duration::from_secs(120);

/// For all runs to end after the last kill, and to be sealed after that.
const PATIENCE: Duration = Duration::from_secs(600);
const SEALED: Duration = Duration::from_secs(60);

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

/// What the senders saw, over all rounds.
#[derive(Debug, Default)]
struct Sent {
    resent: AtomicUsize,
}

/// What the control plane says in the end of the runs it accepted.
#[derive(Debug, Default)]
struct Verdict {
    ended: usize,
    lost: Vec<RunId>,
    unsuccessful: Vec<String>,
    /// Runs whose transcripts hold the task's line more than once, or, though they succeeded, not at all.
    told_twice: Vec<RunId>,
    untold: Vec<RunId>,
    /// Trails that are sealed, and sealed without a gap.
    sealed: usize,
    complete: usize,
}

pub(crate) async fn measure(oz: &Path, args: &Args) -> Result<()> {
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

    let witness = Witness::listen().await?;
    let task: Arc<str> = witness.task(args.task).into();
    let sent = Arc::new(Sent::default());
    let mut senders = JoinSet::new();
    let mut refused = 0;
    let began = Instant::now();
    let mut control_plane = ControlPlane::start(oz, &data_dir, &args.plan, port)?;
    control_plane.healthy().await?;
    let api = control_plane.api(&data_dir)?;
    for round in 0..args.rounds {
        for client in 0..CLIENTS {
            let keys: Vec<String> =
                (client..args.runs).step_by(CLIENTS).map(|run| format!("round-{round}-run-{run}")).collect();
            senders.spawn(send(api.clone(), task.clone(), keys, sent.clone()));
        }
        // Every fourth kill meets the start itself.
        let within_ms = if round % 4 == 3 { args.within_ms.min(100) } else { args.within_ms };
        let mut killed = false;
        while !killed {
            tokio::time::sleep(Duration::from_millis(chance.below(within_ms.max(1)))).await;
            killed = control_plane.kill()?;
            refused += u32::from(!killed);
            if refused > args.rounds {
                return Err("oz up keeps ending by itself".into());
            }
            control_plane = ControlPlane::start(oz, &data_dir, &args.plan, port)?;
        }
    }
    control_plane.healthy().await?;
    let killing = began.elapsed();

    let mut accepted = HashSet::new();
    while let Some(runs) = senders.join_next().await {
        accepted.extend(runs??);
    }
    let all_ended = api.all_ended(PATIENCE).await;
    let took = began.elapsed();
    let verdict = judge(&api, &accepted).await?;
    let listed = api.runs().await?;
    let executions = timelines::read(&api, listed.iter().map(|run| run.run_id).collect()).await?;
    let testimony = witness.testimony();
    let lives: Times = executions.iter().filter_map(|e| Some(timelines::since(e.started?, e.ended?))).collect();

    report::line("kills", &format!("{} within {}; {refused} starts ended by themselves", args.rounds, time(killing)));
    report::line("accepted", &format!("{}, {} of them sent more than once", accepted.len(), sent.resent()));
    report::line("ended", &format!("{} ({} not SUCCEEDED)", verdict.ended, verdict.unsuccessful.len()));
    report::line("lost", &verdict.lost.len().to_string());
    let twice = testimony.twice + verdict.told_twice.len();
    report::line(
        "run twice",
        &format!("{} by the tasks, {} by the transcripts", testimony.twice, verdict.told_twice.len()),
    );
    report::line("runs accepted twice", &(listed.len() - accepted.len().min(listed.len())).to_string());
    report::line(
        "executions",
        &format!("{}: {} retries", executions.len(), executions.len().saturating_sub(listed.len())),
    );
    report::line("tasks seen", &format!("{}, {} finished", testimony.visits, testimony.finished));
    let held = timelines::most_at_once(&executions);
    report::line("most at once", &format!("{} tasks alive, {held} slots held", testimony.most_at_once));
    report::line("task started to end of execution", &lives.percentiles(&[50, 95, 100]));
    report::line("trails", &format!("{} sealed, {} without a gap", verdict.sealed, verdict.complete));
    report::line("duration", &format!("{} until all ended", time(took)));
    report::line("load after", &machine::load());
    for (what, runs) in [
        ("lost", &verdict.lost),
        ("told twice", &verdict.told_twice),
        ("succeeded without the task's line", &verdict.untold),
    ] {
        for run in runs.iter().take(10) {
            report::line(what, &run.to_string());
        }
    }
    for run in verdict.unsuccessful.iter().take(10) {
        report::line("not SUCCEEDED", run);
    }

    let expected = usize::try_from(args.rounds)? * args.runs;
    if !all_ended || !verdict.lost.is_empty() || accepted.len() != expected || listed.len() != expected {
        return Err("runs were lost".into());
    }
    if twice > 0 {
        return Err("runs ran twice".into());
    }
    if !verdict.untold.is_empty() || testimony.still_alive > 0 || verdict.sealed != expected {
        return Err("an end is not as it should be".into());
    }
    Ok(())
}

/// Sends one run after the other, each until its accept is answered.
async fn send(api: Api, task: Arc<str>, keys: Vec<String>, sent: Arc<Sent>) -> Result<Vec<RunId>> {
    let mut accepted = Vec::new();
    for key in keys {
        let give_up = Instant::now() + ACCEPT;
        let mut tries = 1;
        loop {
            match api.accept(&task, &key).await {
                Ok(created) => {
                    accepted.push(created.run_id);
                    break;
                }
                Err(err) if err.status().is_some_and(|status| status.is_client_error()) => return Err(err.into()),
                Err(err) if Instant::now() > give_up => return Err(err.into()),
                Err(_) => {
                    tries += 1;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
        sent.resent.fetch_add(usize::from(tries > 1), Ordering::Relaxed);
    }
    Ok(accepted)
}

async fn judge(api: &Api, accepted: &HashSet<RunId>) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let listed = api.runs().await?;
    let known: HashSet<RunId> = listed.iter().map(|run| run.run_id).collect();
    verdict.lost.extend(accepted.difference(&known));
    for run in &listed {
        let succeeded = run.state.as_str() == "SUCCEEDED";
        if !run.state.is_terminal() {
            verdict.lost.push(run.run_id);
            continue;
        }
        verdict.ended += 1;
        if !succeeded {
            let message = run.status_message.as_ref().map(|status| status.message.as_str()).unwrap_or_default();
            verdict.unsuccessful.push(format!("{} {}: {message}", run.run_id, run.state));
        }
        let line = format!("did {}:", run.run_id);
        match api.transcript(run.run_id).await?.iter().filter(|event| is_output_of(event, &line)).count() {
            0 if succeeded => verdict.untold.push(run.run_id),
            0 | 1 => {}
            _ => verdict.told_twice.push(run.run_id),
        }
    }
    let give_up = Instant::now() + SEALED;
    for run in &listed {
        loop {
            let audit = api.audit(run.run_id).await?;
            if let Some(manifest) = audit.manifest {
                verdict.sealed += 1;
                verdict.complete += usize::from(manifest.open(&audit.public_key)?.complete);
                break;
            }
            if Instant::now() > give_up {
                break;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
    Ok(verdict)
}

fn is_output_of(event: &str, line: &str) -> bool {
    let event: serde_json::Value = serde_json::from_str(event).unwrap_or_default();
    event["type"] == "output" && event["text"].as_str().is_some_and(|text| text.contains(line))
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
