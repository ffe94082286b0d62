//! `oz run`: start a run, show it live, and end as it ends.

use std::time::Duration;

use clap::Args;
use ozma_api::wire::{AgentConfig, CreateRunRequest, RunCreated};
use ozma_domain::harness::HarnessKind;
use ozma_domain::id::RunId;

use crate::args::{Format, Global};
use crate::ask;
use crate::client::Client;
use crate::connect::{self, Connection};
use crate::control_plane::Work;
use crate::exit::{Exit, Failure};
use crate::follow::Follow;
use crate::interrupt::Interrupts;
use crate::output;
use crate::repo::RepoArgs;
use crate::scheduling::{self, SchedulingArgs};
use crate::task::{self, HarnessArg};
use crate::values;
use crate::view::View;
use crate::workplace::WorkplaceArgs;

/// After an interrupt, how long the cancelled run may take to end before we leave.
const CANCEL_PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// What to do; - reads it from standard input
    #[arg(short = 'p', long = "task", visible_alias = "prompt", value_name = "TEXT", required = true)]
    task: Option<String>,

    #[command(flatten)]
    workplace: WorkplaceArgs,

    #[command(flatten)]
    repos: RepoArgs,

    /// What carries out the task: shell runs it as a bash script [default: the agent's, without an agent shell]
    #[arg(long, value_name = "HARNESS")]
    harness: Option<HarnessArg>,

    /// A label to group and filter runs by
    #[arg(short, long)]
    name: Option<String>,

    /// A title for lists; made from the task if not given
    #[arg(long)]
    title: Option<String>,

    /// The run's deadline, such as 90s, 10m or 1h30m; the plan's bounds it
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    timeout: Option<Duration>,

    /// Not before then: a time, such as 2026-11-21T18:00:00Z, or a length of time from now, such as 2h
    #[arg(long, value_name = "WHEN", value_parser = scheduling::moment)]
    start_after: Option<jiff::Timestamp>,

    #[command(flatten)]
    scheduling: SchedulingArgs,

    /// Print the run's id and leave it to itself
    #[arg(long)]
    detach: bool,

    /// Makes it safe to start the same run twice: the second time answers with the first's
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,

    /// The plan, when this command brings its own control plane [default: the last one, at first free]
    #[arg(long, value_parser = connect::PLANS)]
    plan: Option<String>,
}

/// How following a run came to its end.
enum Followed {
    ToTheEnd,
    /// Left, the run goes on.
    Left,
    /// Cancelled from here.
    Cancelled,
}

pub(crate) async fn run(global: &Global, args: StartArgs) -> Result<Exit, Failure> {
    let mut request = request(&args)?;
    let repositories = args.repos.repositories().await?;
    let key = args.idempotency_key.map_or_else(random_key, Ok)?;
    let mut interrupts = Interrupts::listen()?;

    let connection = if args.detach {
        connect::connect_lasting(global, args.plan.as_deref()).await?
    } else {
        connect::connect(global, args.plan.as_deref(), Work::All).await?
    };
    let work = async {
        let config = request.config.get_or_insert_default();
        config.repositories = Some(repositories).filter(|repositories| !repositories.is_empty());
        args.scheduling.add_to(&mut request);
        if args.start_after.is_some() {
            request.scheduling.get_or_insert_default().not_before = args.start_after;
        }
        let config = request.config.get_or_insert_default();
        args.workplace.add_to(&connection.client, config, &mut request.agent_identity_uid).await?;
        let created = connection.client.create_run(&request, key).await?;
        if args.detach {
            return detached(global.output_format, &created);
        }
        attached(global, &connection, &created, &mut interrupts).await
    };
    let result = work.await;
    tokio::select! {
        () = connection.close() => result,
        () = interrupts.next() => Ok(Exit::Interrupted),
    }
}

fn request(args: &StartArgs) -> Result<CreateRunRequest, Failure> {
    let prompt = match args.task.as_deref() {
        Some(text) => task::read(text)?,
        None => return Err(Failure::usage("there is no task").hint("give one with --task")),
    };
    let of_nobody = (!args.workplace.has_agent()).then_some(HarnessArg(HarnessKind::Shell));
    let config = AgentConfig {
        name: args.name.clone(),
        harness: args.harness.or(of_nobody).map(Into::into),
        deadline_seconds: args.timeout.map(|timeout| timeout.as_secs()),
        ..AgentConfig::default()
    };
    Ok(CreateRunRequest {
        prompt: Some(prompt),
        title: args.title.clone(),
        config: Some(config),
        ..CreateRunRequest::default()
    })
}

/// Lets the request be sent again when its answer is lost.
fn random_key() -> Result<String, Failure> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|err| Failure::new("cannot draw a random number").because(err.to_string()))?;
    Ok(hex::encode(random))
}

fn detached(format: Format, created: &RunCreated) -> Result<Exit, Failure> {
    match format {
        Format::Json => output::json(created)?,
        Format::Ndjson => output::json_line(created)?,
        Format::Pretty | Format::Text => {
            output::line(created.run_id)?;
            if created.at_capacity == Some(true) {
                output::note("note: every slot of the plan is taken; the run waits in the queue");
            }
        }
    }
    Ok(Exit::Succeeded)
}

async fn attached(
    global: &Global,
    connection: &Connection,
    created: &RunCreated,
    interrupts: &mut Interrupts,
) -> Result<Exit, Failure> {
    let (client, run) = (&connection.client, created.run_id);
    let mut view = View::new(global.output_format);
    view.started(&run.to_string())?;
    let mut follow = Follow::new(client, run);
    let followed = match follow_or_interrupt(connection, run, &mut follow, &mut view, interrupts).await {
        // Nobody reads any more, as in `oz run … | head`: what is of no use to anyone is not paid for.
        Err(failure) if failure.is_closed() => {
            // A control plane inside this command must not leave before the agent is gone. In json nothing is shown.
            cancel(client, run, &mut follow, &mut View::new(Format::Json), interrupts).await?;
            return Ok(Exit::Interrupted);
        }
        followed => followed,
    };
    view.pause()?;
    match followed? {
        Followed::ToTheEnd => {
            let item = client.run(run).await?;
            view.ended(&item, follow.narrator.facts(), &pointers(connection, run).await)?;
            Exit::of(item.state).ok_or_else(|| Failure::new(format!("the run is {} and yet has no end", item.state)))
        }
        Followed::Cancelled => {
            let item = client.run(run).await?;
            view.ended(&item, follow.narrator.facts(), &pointers(connection, run).await)?;
            Ok(Exit::Interrupted)
        }
        Followed::Left => {
            output::note(format_args!("The run goes on. Come back to it with `oz run logs {run} -f`."));
            Ok(Exit::Interrupted)
        }
    }
}

async fn follow_or_interrupt(
    connection: &Connection,
    run: RunId,
    follow: &mut Follow<'_>,
    view: &mut View,
    interrupts: &mut Interrupts,
) -> Result<Followed, Failure> {
    loop {
        tokio::select! {
            ended = follow.until_ended(view) => return ended.map(|()| Followed::ToTheEnd),
            () = interrupts.next() => {}
        }
        // A run inside this command cannot outlive it, so there is nothing to choose.
        let wish = if ask::is_possible() && !connection.is_embedded() {
            view.pause()?;
            tokio::select! {
                wish = wish() => wish?,
                () = interrupts.next() => Wish::Leave,
            }
        } else {
            Wish::Cancel
        };
        match wish {
            Wish::Stay => view.resume(),
            Wish::Leave => return Ok(Followed::Left),
            Wish::Cancel => {
                output::note("cancelling; Ctrl-C again leaves at once");
                return cancel(&connection.client, run, follow, view, interrupts).await;
            }
        }
    }
}

enum Wish {
    Cancel,
    Leave,
    Stay,
}

async fn wish() -> Result<Wish, Failure> {
    let question = "\nCancel the run, leave it to itself, or stay? [c/l/S] (Ctrl-C again: leave) ";
    Ok(match ask::letter(question).await? {
        Some('c') => Wish::Cancel,
        Some('l' | 'd') => Wish::Leave,
        _ => Wish::Stay,
    })
}

/// Cancels and shows the rest, for as long as that takes a moment.
async fn cancel(
    client: &Client,
    run: RunId,
    follow: &mut Follow<'_>,
    view: &mut View,
    interrupts: &mut Interrupts,
) -> Result<Followed, Failure> {
    let rest = async {
        match client.cancel(run, false).await {
            // It ended by itself in the meantime, which following will tell.
            Err(err) if err.is_already_ended() => {}
            answer => answer?,
        }
        follow.until_ended(view).await
    };
    tokio::select! {
        rest = tokio::time::timeout(CANCEL_PATIENCE, rest) => rest.unwrap_or(Ok(())).map(|()| Followed::Cancelled),
        () = interrupts.next() => Ok(Followed::Cancelled),
    }
}

/// Where to read more.
async fn pointers(connection: &Connection, run: RunId) -> Vec<String> {
    let mut pointers = vec![format!("  audit    oz audit show {run}")];
    if let Some(archive) = connection.archive() {
        // The folder of this run's objects, if the archive says where; else the archive's.
        let index = connection.client.audit(run).await.ok();
        let key = index.and_then(|index| Some(index.segments.first()?.key.clone()));
        let folder = key.as_deref().and_then(|key| key.rsplit_once('/')).map(|(folder, _)| archive.join(folder));
        pointers.push(format!("  archive  {}", folder.filter(|dir| dir.is_dir()).unwrap_or(archive).display()));
    }
    pointers
}
