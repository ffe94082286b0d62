//! `oz whoami`.

use crate::args::Global;
use crate::connect;
use crate::exit::{Exit, Failure};
use crate::output;

pub(crate) async fn run(global: &Global) -> Result<Exit, Failure> {
    connect::with(global, async |client| {
        output::item(global.output_format, &client.whoami().await?, |whoami| {
            let plan = &whoami.plan;
            vec![
                ("Team", whoami.team.to_string()),
                ("Key", whoami.key_name.clone()),
                (
                    "Plan",
                    format!(
                        "{}: {} agents at once, each with {} vCPU and {} MiB",
                        plan.name, plan.concurrent_agents, plan.vcpus, plan.memory_mib
                    ),
                ),
                ("API", format!("{} (version {})", client.base(), whoami.api_version)),
            ]
        })
    })
    .await?;
    Ok(Exit::Succeeded)
}
