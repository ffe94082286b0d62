//! `oz run wait`.

use std::time::{Duration, Instant};

use ozma_api::wire::RunItem;
use ozma_domain::id::RunId;
use ozma_domain::text::{one_line, shorten};

use crate::args::Global;
use crate::client::Client;
use crate::connect;
use crate::control_plane::Work;
use crate::exit::{Exit, Failure};
use crate::follow::PATIENCE;
use crate::output::{self, Text};

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

pub(crate) async fn run(global: &Global, runs: Vec<RunId>) -> Result<Exit, Failure> {
    let ended = connect::with_work(global, Work::All, async |client| {
        let mut ended = Vec::new();
        for run in runs {
            ended.push(end_of(client, run).await?);
        }
        Ok(ended)
    })
    .await?;
    let row = |run: &RunItem| {
        vec![Text::Id(run.run_id.to_string()), Text::State(run.state), shorten(&one_line(&run.title), 60).into()]
    };
    output::list(global.output_format, &ended, &ended, &["RUN", "STATE", "TITLE"], row, "")?;
    let exits = ended.iter().filter_map(|run| Exit::of(run.state));
    Ok(exits.into_iter().find(|exit| *exit != Exit::Succeeded).unwrap_or(Exit::Succeeded))
}

async fn end_of(client: &Client, run: RunId) -> Result<RunItem, Failure> {
    let mut pause = FIRST_PAUSE;
    let mut away_since = None;
    loop {
        match client.run(run).await {
            Ok(item) if item.state.is_terminal() => return Ok(item),
            Ok(_) => away_since = None,
            Err(err) => {
                let away = away_since.get_or_insert_with(Instant::now).elapsed();
                if !err.is_transient() || away > PATIENCE {
                    return Err(err.into());
                }
                connect::find_again(client, away);
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
