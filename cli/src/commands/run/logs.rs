//! `oz run logs`.

use clap::Args;
use ozma_domain::id::RunId;

use crate::args::Global;
use crate::connect;
use crate::control_plane::Work;
use crate::exit::{Exit, Failure};
use crate::follow::Follow;
use crate::view::View;

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    run: RunId,
    /// Stay until the run's end
    #[arg(short, long)]
    follow: bool,
}

pub(crate) async fn run(global: &Global, args: LogsArgs) -> Result<Exit, Failure> {
    let work = if args.follow { Work::All } else { Work::NoStarts };
    connect::with_work(global, work, async |client| {
        let mut follow = Follow::new(client, args.run);
        // Of one document there is nothing to follow: json is the ndjson of the transcript here.
        let mut view = View::for_logs(global.output_format, args.follow);
        let shown = if args.follow { follow.until_ended(&mut view).await } else { follow.so_far(&mut view).await };
        view.pause()?;
        shown
    })
    .await?;
    Ok(Exit::Succeeded)
}
