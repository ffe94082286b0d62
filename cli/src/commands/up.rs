//! `oz up`: the control plane of this machine.

use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use crate::args::{Format, Global};
use crate::client::Client;
use crate::connect;
use crate::control_plane::{self, Running, Work};
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupts;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  oz up                         serve on http://127.0.0.1:8484 until Ctrl-C
  oz up --plan max --port 9000  40 agents at once, on another port

Other `oz` commands find it by its data folder. Runs outlive it: they go on when it starts again.";

/// How long there is nothing to do before `--until-idle` ends.
const IDLE: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct UpArgs {
    /// The port on the loopback interface; 0 takes any that is free
    #[arg(long, default_value_t = 8484)]
    port: u16,

    /// How many agents may run at once, and how large they are [default: the last one, at first free]
    #[arg(long, value_parser = connect::PLANS)]
    plan: Option<String>,

    /// End once there has been nothing to do for a while
    #[arg(long, hide = true)]
    until_idle: bool,
}

/// What is told once it serves.
#[derive(Serialize)]
struct Up {
    api_url: String,
    dashboard_url: String,
    admin_key_file: String,
    plan: String,
    isolation: String,
    data_dir: String,
}

pub(crate) async fn run(global: &Global, args: UpArgs) -> Result<Exit, Failure> {
    let mut interrupts = Interrupts::listen()?;
    let data_dir = global.data_dir()?;
    let port = Some(args.port).filter(|port| *port != 0);
    let options = control_plane::Options { data_dir: data_dir.clone(), plan: args.plan, port, work: Work::All };
    let running = control_plane::start(options).await?;
    let (url, plan) = (running.url.trim_end_matches('/'), &running.plan);
    let up = Up {
        api_url: format!("{url}/api/v1"),
        dashboard_url: format!("{url}/"),
        admin_key_file: data_dir.join("admin.key").display().to_string(),
        plan: format!(
            "{}: {} agents at once, each with {} vCPU and {} MiB",
            plan.name, plan.concurrent_agents, plan.size.vcpus, plan.size.memory_mib
        ),
        isolation: running.isolation.clone(),
        data_dir: data_dir.display().to_string(),
    };
    // A reader that has gone away is no reason to stop serving.
    let _ = print(global.output_format, &up);
    tokio::select! {
        () = interrupts.next() => {}
        () = idle(&running), if args.until_idle => {}
    }
    match running.agents().await {
        0 => output::note("stopping; Ctrl-C again leaves at once"),
        agents => output::note(format!(
            "stopping; {agents} at work go on, and report when `oz up` runs again within a minute; \
             after that they stop, and their runs are tried again"
        )),
    }
    tokio::select! {
        () = running.stop() => Ok(Exit::Succeeded),
        () = interrupts.next() => Ok(Exit::Interrupted),
    }
}

fn print(format: Format, up: &Up) -> Result<(), Failure> {
    if format == Format::Pretty {
        output::line(output::styled(output::BOLD, "Ozma is up. Ctrl-C stops it."))?;
    }
    output::item(format, up, |up| {
        vec![
            ("API", up.api_url.clone()),
            ("Dashboard", up.dashboard_url.clone()),
            ("Admin key", up.admin_key_file.clone()),
            ("Plan", up.plan.clone()),
            ("Isolation", up.isolation.clone()),
            ("Data", up.data_dir.clone()),
        ]
    })
}

/// Returns when no run has been unfinished for a while.
async fn idle(running: &Running) {
    let Ok(client) = Client::new(&running.url, Some(running.api_key.clone())) else {
        return std::future::pending().await;
    };
    let mut since = Instant::now();
    while since.elapsed() < IDLE {
        tokio::time::sleep(Duration::from_secs(2)).await;
        // No answer is no sign of idleness.
        if client.has_unfinished(None).await.unwrap_or(true) {
            since = Instant::now();
        }
    }
}
