//! How long a single run waits behind a crowd of another lane: counted in turns, that is in runs that start before it.

use ozma_app::accept::{NewRun, accept};
use ozma_app::teams;
use ozma_domain::id::RunId;
use ozma_domain::lane::Lane;
use ozma_domain::team_settings::TeamSettings;
use ozma_tests::world::World;

use crate::Result;
use crate::report;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Runs of the one lane
    #[arg(long, default_value_t = 10_000)]
    crowd: u32,
    /// Lanes with one run each
    #[arg(long, default_value_t = 10)]
    singles: u32,
    #[arg(long, default_value = "free")]
    plan: String,
}

pub(crate) async fn measure(args: &Args) -> Result<()> {
    let world = World::new(&args.plan).await;
    let slots = world.app.plan(&world.team).await?.concurrent_agents;
    let settings = TeamSettings { queued_runs: Some(1_000_000), ..TeamSettings::default() };
    teams::set(&world.app, &world.team, &settings).await?;
    let ask = async |lane: String| -> Result<RunId> {
        let new = NewRun { lane: Lane::User(lane), ..world.new_run("true") };
        Ok(accept(&world.app, new).await?.run_id)
    };
    for _ in 0..args.crowd {
        ask("crowd".to_owned()).await?;
    }
    // All slots are the crowd's when the others come.
    ozma_app::dispatch::drain(&world.app, &world.team).await?;
    let mut waiting = Vec::new();
    for number in 0..args.singles {
        waiting.push(ask(format!("single {number}")).await?);
    }
    let singles = waiting.clone();
    let mut waits = Vec::new();
    let (mut started, mut ended) = (0_usize, 0);
    // One slot is given back at a time, and taken again: a turn.
    while !waiting.is_empty() {
        let oldest = world.app.store.taken_slots(&world.team).await?.into_iter().min_by_key(|slot| slot.taken_at);
        let oldest = oldest.ok_or("nobody is at work")?;
        world.clock.forward(jiff::SignedDuration::from_secs(1));
        world.agent(oldest.run_id).await.work(&world).await;
        ended += 1;
        ozma_app::dispatch::drain(&world.app, &world.team).await?;
        started += 1;
        let queued: Vec<RunId> = {
            let mut queued = Vec::new();
            for run in &waiting {
                if world.state(*run).await == "QUEUED" {
                    queued.push(*run);
                } else {
                    waits.push(started);
                }
            }
            queued
        };
        waiting = queued;
    }
    report::line("the crowd", &format!("{} runs of one lane, {slots} slots", args.crowd));
    report::line("single runs", &format!("{} lanes of one run each", singles.len()));
    let list: Vec<String> = waits.iter().map(ToString::to_string).collect();
    report::line("started after so many turns", &list.join(", "));
    report::line("turns in all", &format!("{started}, {ended} runs ended meanwhile"));
    // One of the crowd may be at the front; the singles take turns with it and with one another.
    let worst = waits.iter().max().copied().unwrap_or_default();
    let most = singles.len() + 2;
    if worst > most { Err(format!("a single run waited for {worst} turns, more than {most}").into()) } else { Ok(()) }
}
