//! How long a person waits: for `oz up`, and for the smallest run there is.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::Result;
use crate::control_plane::{ControlPlane, command, free_port};
use crate::machine;
use crate::processes::Memory;
use crate::report::{self, Times};

/// Until a control plane counts as idle.
const IDLE: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How often each is measured
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

pub(crate) async fn measure(oz: &Path, Args { rounds }: &Args) -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let existing = temporary.path().join("existing");
    let fresh = |round: u32| temporary.path().join(format!("fresh-{round}"));
    report::line("size of oz", &report::mebibytes(oz.metadata()?.len()));
    let percents = [50, 95];

    let mut times = Times::default();
    for round in 0..*rounds {
        times.add(time_to_healthy(oz, &fresh(round)).await?);
    }
    report::line("oz up to healthy, new data folder", &times.percentiles(&percents));
    let mut times = Times::default();
    time_to_healthy(oz, &existing).await?;
    for _ in 0..*rounds {
        times.add(time_to_healthy(oz, &existing).await?);
    }
    report::line("oz up to healthy, existing data folder", &times.percentiles(&percents));

    let mut control_plane = ControlPlane::start(oz, &existing, "free", free_port()?)?;
    control_plane.healthy().await?;
    tokio::time::sleep(IDLE).await;
    report::line("oz up, idle for 5 s", &memory(control_plane.pid()));
    let mut times = Times::default();
    for _ in 0..*rounds {
        times.add(time_of_run(oz, &existing)?);
    }
    report::line("oz run --task true, oz up running", &times.percentiles(&percents));
    tokio::time::sleep(IDLE).await;
    report::line(&format!("oz up, {rounds} runs later and idle for 5 s"), &memory(control_plane.pid()));
    drop(control_plane);

    let mut times = Times::default();
    for round in 0..*rounds {
        times.add(time_of_run(oz, &fresh(1_000 + round))?);
    }
    report::line("oz run --task true, new data folder", &times.percentiles(&percents));
    let mut times = Times::default();
    for _ in 0..*rounds {
        times.add(time_of_run(oz, &existing)?);
    }
    report::line("oz run --task true, existing data folder", &times.percentiles(&percents));
    report::line("load after", &machine::load());
    Ok(())
}

async fn time_to_healthy(oz: &Path, data_dir: &Path) -> Result<Duration> {
    let port = free_port()?;
    let began = Instant::now();
    let mut control_plane = ControlPlane::start(oz, data_dir, "free", port)?;
    control_plane.healthy().await?;
    Ok(began.elapsed())
}

/// The whole command, from the start of its process to its end.
fn time_of_run(oz: &Path, data_dir: &Path) -> Result<Duration> {
    let began = Instant::now();
    let mut command = command(oz, data_dir);
    command.args(["run", "--harness", "shell", "--task", "true"]).stdout(Stdio::null());
    let output = command.output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("oz run ended with {}: {}", output.status, said.trim()).into());
    }
    Ok(began.elapsed())
}

fn memory(pid: u32) -> String {
    let Memory { resident, proportional } = Memory::of(pid);
    format!("RSS {}, PSS {}", report::mebibytes(resident), report::mebibytes(proportional))
}
