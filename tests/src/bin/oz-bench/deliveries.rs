//! Whether many deliveries, many times each, make as many runs as there are events; and how fast they are taken.

use ozma_tests::deliveries::{Sum, deliver};

use crate::{Result, report};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Different events; each comes one to four times
    #[arg(long, default_value_t = 10_000)]
    events: u64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(crate) async fn measure(args: &Args) -> Result<()> {
    let Sum { events, attempts, died, runs, took } = deliver(args.events, args.seed).await;
    report::line("events", &events.to_string());
    report::line("attempts", &format!("{attempts}, of which {died} died midway and were made again"));
    report::line("runs", &runs.to_string());
    let per_second = attempts as f64 / took.as_secs_f64();
    report::line("taken", &format!("in {:.1} s, {per_second:.0} a second", took.as_secs_f64()));
    if runs == events { Ok(()) } else { Err(format!("{runs} runs of {events} events").into()) }
}
