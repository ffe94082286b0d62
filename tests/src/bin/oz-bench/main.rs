//! Measures the product as its users meet it: the released `oz` over its own command line and HTTP API, and the cost of a
//! run at the table. Everything happens on this machine, in temporary folders. `docs/benchmarks.md` keeps the results.

mod control_plane;
mod deliveries;
mod fairness;
mod kill;
mod machine;
mod processes;
mod report;
mod startup;
mod throughput;
mod timelines;
mod units;
mod webhook;
mod witness;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measure Ozma.
#[derive(Debug, Parser)]
#[command(name = "oz-bench", version)]
struct Args {
    /// The oz program [default: the one beside this program]
    #[arg(long, global = true, value_name = "PATH")]
    oz: Option<PathBuf>,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// How long until `oz up` serves, what it takes when idle, and how long whole commands take
    Startup(startup::Args),
    /// How fast runs are accepted, started and ended
    Throughput(throughput::Args),
    /// What a run costs at the table, and whether that grows with the queue
    Units(units::Args),
    /// How long single runs wait behind a crowd of another lane
    Fairness(fairness::Args),
    /// Whether deliveries that come several times at once make one run each
    Deliveries(deliveries::Args),
    /// How long a signed event of GitHub takes to be accepted, and how much of a processor
    Webhook(webhook::Args),
    /// Whether runs survive `kill -9` of the control plane
    Kill(kill::Args),
}

/// Whatever goes wrong in a measurement ends it.
type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            anstream::eprintln!("oz-bench: {}", ozma_domain::text::chain(err.as_ref()));
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<()> {
    let oz = match args.oz {
        Some(path) => path,
        None => std::env::current_exe()?.with_file_name("oz"),
    };
    let oz = std::path::absolute(oz)?;
    if !oz.is_file() {
        return Err(format!("there is no program at {}; build it with: cargo build --release", oz.display()).into());
    }
    machine::print();
    match args.what {
        What::Startup(args) => startup::measure(&oz, &args).await,
        What::Throughput(args) => throughput::measure(&oz, &args).await,
        What::Units(args) => units::measure(&args).await,
        What::Fairness(args) => fairness::measure(&args).await,
        What::Deliveries(args) => deliveries::measure(&args).await,
        What::Webhook(args) => webhook::measure(&args).await,
        What::Kill(args) => kill::measure(&oz, &args).await,
    }
}
